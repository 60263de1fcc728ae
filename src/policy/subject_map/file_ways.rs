//! The ways to a row's owner in a subject map's file, read and written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::MapError;
use super::file_read::Section;
use super::file_write::{list, text};
use super::model::{Ownership, Parent, SubjectClass, Way};
use crate::base::schema::{Cast, Reading};

/// What version 2 says of a table's owner beyond version 1.
pub(super) const KEYS: &[&str] = &["by", "cast", "when", "element", "path", "otherwise", "unknown"];
/// What stands in one of several ways.
const WAY_KEYS: &[&str] =
    &["class", "columns", "via", "via-columns", "by", "cast", "when", "element", "path"];

/// Reads the ways of a table: one in the table's own line, or a list of several.
pub(super) fn ownership(
    section: &Section<'_>,
    classes: &[SubjectClass],
) -> Result<Ownership, MapError> {
    let otherwise_shared = match section.table.get("otherwise") {
        None => false,
        Some(_) if section.string("otherwise")? == "shared" => true,
        Some(value) => {
            return Err(section.refuse_at(value, "`otherwise` can only be \"shared\"".to_owned()));
        }
    };
    let owner = section.required("owner")?;
    let ways = if owner.get_ref().as_array().is_some() {
        section.allow(&["owner", "otherwise", "unknown"])?;
        let read = section.sections("owner", "a way")?;
        let ways = read.iter().map(|one| {
            one.allow(WAY_KEYS)?;
            way(one, "class", classes)
        });
        ways.collect::<Result<Vec<_>, _>>()?
    } else {
        vec![way(section, "owner", classes)?]
    };
    if ways.is_empty() {
        return Err(section.refuse_at(owner, "`owner` names no way".to_owned()));
    }
    if otherwise_shared && ways.iter().all(|way| way.when.is_empty()) {
        return Err(section.refuse("`otherwise` needs a way with `when`".to_owned()));
    }
    Ok(Ownership::by(ways, otherwise_shared))
}

fn way(
    section: &Section<'_>,
    class_key: &'static str,
    classes: &[SubjectClass],
) -> Result<Way, MapError> {
    let class = match (section.table.get(class_key), classes) {
        // Where there is one class, it need not be said.
        (None, [only]) if class_key == "class" => only,
        _ => {
            let name = section.string(class_key)?;
            classes
                .iter()
                .find(|class| class.name == name)
                .ok_or_else(|| section.refuse(format!("there is no class `{name}`")))?
        }
    };
    let has = |key: &str| section.table.get(key).is_some();
    let columns = section.strings("columns")?;
    let via = if has("via") || has("via-columns") {
        Some(Parent { table: section.name("via")?, columns: section.strings("via-columns")? })
    } else {
        None
    };
    let by = if has("by") { one_or_more(section, "by")? } else { Vec::new() };
    if via.is_some() && !by.is_empty() {
        return Err(section.refuse("a way has `via` or `by`, not both".to_owned()));
    }
    let needed = match (&via, by.len()) {
        (Some(parent), _) => parent.columns.len(),
        (None, 0) => class.key.len(),
        (None, several) => several,
    };
    if columns.len() != needed {
        let message = format!("`columns` names {} where {needed} are needed", columns.len());
        return Err(section.refuse(message));
    }
    Ok(Way {
        class: class.name.clone(),
        columns,
        via,
        by,
        reading: reading(section)?,
        when: when(section)?,
    })
}

fn reading(section: &Section<'_>) -> Result<Reading, MapError> {
    let cast = match section.table.get("cast") {
        None => None,
        Some(value) => {
            let word = section.string("cast")?;
            let known = Cast::ALL.into_iter().find(|cast| cast.name() == word);
            Some(known.ok_or_else(|| {
                let words: Vec<&str> = Cast::ALL.iter().map(|cast| cast.name()).collect();
                section.refuse_at(value, format!("`cast` is one of {}", words.join(", ")))
            })?)
        }
    };
    let element = match (section.table.get("element"), section.table.get("path")) {
        (None, None) => None,
        (_, Some(_)) => Some(section.strings("path")?),
        (Some(value), None) => {
            if section.string("element")? != "first" {
                return Err(section.refuse_at(value, "`element` can only be \"first\"".to_owned()));
            }
            Some(Vec::new())
        }
    };
    Ok(Reading { element, cast })
}

fn when(section: &Section<'_>) -> Result<BTreeMap<String, Vec<String>>, MapError> {
    let Some(value) = section.table.get("when") else { return Ok(BTreeMap::new()) };
    let conditions = section.inner(value, "a condition")?;
    let names = conditions.table.keys().map(|name| name.get_ref().to_string());
    names.map(|name| Ok((name.clone(), one_or_more(&conditions, &name)?))).collect()
}

/// A text, or a list of texts.
fn one_or_more(section: &Section<'_>, key: &str) -> Result<Vec<String>, MapError> {
    match section.required(key)?.get_ref().as_str() {
        Some(text) => Ok(vec![text.to_owned()]),
        None => section.strings(key),
    }
}

/// A table's line: its ways, and what else is said of it.
pub(super) fn written(ownership: &Ownership, unknown: Option<&str>) -> String {
    let mut value = match ownership {
        Ownership::Root { class } => format!("{{ root = {}", text(class)),
        Ownership::Shared => "{ shared = true".to_owned(),
        Ownership::Owned { .. } | Ownership::Ways { .. } => match ownership.ways().as_slice() {
            [way] => format!("{{ owner = {}", way_text(way, true)),
            several => {
                let ways: Vec<String> =
                    several.iter().map(|way| format!("{{ {} }}", way_text(way, false))).collect();
                format!("{{ owner = [{}]", ways.join(", "))
            }
        },
    };
    if matches!(ownership, Ownership::Ways { otherwise_shared: true, .. }) {
        value.push_str(", otherwise = \"shared\"");
    }
    if let Some(word) = unknown {
        let _ = write!(value, ", unknown = {}", text(word));
    }
    value + " }"
}

fn way_text(way: &Way, is_only: bool) -> String {
    let class = text(&way.class);
    let mut written = if is_only { class } else { format!("class = {class}") };
    let _ = write!(written, ", columns = {}", list(&way.columns));
    if let Some(parent) = &way.via {
        let table = text(&parent.table.to_string());
        let _ = write!(written, ", via = {table}, via-columns = {}", list(&parent.columns));
    }
    match way.by.as_slice() {
        [] => {}
        [only] => {
            let _ = write!(written, ", by = {}", text(only));
        }
        several => {
            let _ = write!(written, ", by = {}", list(several));
        }
    }
    match way.reading.element.as_deref() {
        None => {}
        Some([]) => written.push_str(", element = \"first\""),
        Some(path) => {
            let _ = write!(written, ", element = \"first\", path = {}", list(path));
        }
    }
    if let Some(cast) = way.reading.cast {
        let _ = write!(written, ", cast = {}", text(cast.name()));
    }
    if !way.when.is_empty() {
        let conditions: Vec<String> = way
            .when
            .iter()
            .map(|(column, values)| format!("{} = {}", text(column), list(values)))
            .collect();
        let _ = write!(written, ", when = {{ {} }}", conditions.join(", "));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::super::testing::SchemaBuilder;
    use super::super::{SubjectMap, Unknown};

    const SECOND: &str = r#"version = 2
source = "main"
unknown = "commons"

[[class]]
name = "users"
root = "public.users"
key = [{ column = "id", type = "uuid" }]
identify = ["email", "name"]

[[class]]
name = "staff"
root = "public.staff"
key = [{ column = "id", type = "bigint" }]

[table]
"public.a" = { owner = [{ class = "users", columns = ["user_id"] }, { class = "users", columns = ["b_id"], via = "public.b", via-columns = ["id"] }], unknown = "drop" }
"public.b" = { owner = "users", columns = ["mail"], by = "email" }
"public.c" = { owner = "users", columns = ["user_id"], cast = "uuid" }
"public.d" = { owner = "users", columns = ["owner_id"], when = { "owner_type" = ["User", "Admin"] }, otherwise = "shared" }
"public.e" = { owner = "users", columns = ["user_ids"], element = "first" }
"public.f" = { owner = "staff", columns = ["payload"], element = "first", path = ["user", "id"], cast = "bigint" }
"public.g" = { shared = true }
"public.staff" = { root = "staff" }
"public.users" = { root = "users" }
"#;

    #[test]
    fn the_second_version_is_read_and_written_as_the_same() {
        let map = SubjectMap::from_toml(SECOND).unwrap();
        assert_eq!(map.unknown, Some(Unknown::Commons));
        assert_eq!(map.unknown_in(&"a".parse().unwrap()), Unknown::Drop);
        assert_eq!(map.class("users").unwrap().identify, ["email", "name"]);
        let written = map.to_toml(&SchemaBuilder::new().build());
        assert_eq!(SubjectMap::from_toml(&written).as_ref(), Ok(&map), "{written}");
        let lines = |text: &str| -> Vec<String> {
            let owned = text.lines().filter(|line| line.starts_with("\"public."));
            owned.map(str::to_owned).collect()
        };
        assert_eq!(lines(&written), lines(SECOND));
    }

    #[test]
    fn the_first_version_knows_none_of_it() {
        let first = SECOND.replace("version = 2", "version = 1");
        let error = SubjectMap::from_toml(&first).unwrap_err().to_string();
        assert!(error.contains("has no key `unknown`"), "{error}");
    }

    #[test]
    fn what_a_later_version_will_understand_is_refused_by_its_name() {
        for (right, wrong, message) in [
            (
                "{ shared = true }",
                "{ shared = true, category = \"tax\" }",
                "`category` is not supported by this version",
            ),
            (
                "{ shared = true }",
                "{ owners = { rule = \"last-owner\" } }",
                "`owners` is not supported",
            ),
            ("source = \"main\"", "source = \"main\"\npart = []", "`part` is not supported"),
            (
                "by = \"email\"",
                "by = \"email\", otherwise = \"shared\"",
                "`otherwise` needs a way with `when`",
            ),
            ("cast = \"uuid\"", "cast = \"point\"", "`cast` is one of"),
            ("element = \"first\" }", "element = \"all\" }", "`element` can only be"),
        ] {
            let text = SECOND.replacen(right, wrong, 1);
            assert_ne!(text, SECOND, "{right}");
            let error = SubjectMap::from_toml(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
