//! Reads a subject map's file. Every error names its line; an unknown key names the nearest known
//! one. What the file says of the database is compared with it elsewhere; here it is only
//! consistent in itself.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::MapError;
use super::file_ways;
use super::model::{
    KeyColumn, LargeObjectRule, OnGone, Ownership, ReferenceRule, SubjectClass, SubjectMap,
    Unknown, Version,
};
use crate::base::schema::QualifiedName;

impl SubjectMap {
    /// Reads a map from its file's text.
    pub fn from_toml(text: &str) -> Result<Self, MapError> {
        let document = DeTable::parse(text).map_err(|error| MapError::Syntax {
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let top = Section { text, table: document.get_ref(), place: "the file", start: 0 };
        let version = version(&top)?;
        let keys = ["version", "source", "class", "table", "reference", "large-object"];
        match version {
            Version::One => top.allow(&keys)?,
            Version::Two => {
                top.refuse_what_is_to_come(&[
                    "part",
                    "category",
                    "same-person",
                    "schema",
                    "patterns",
                ])?;
                top.allow(&[&keys[..], &["unknown"]].concat())?;
            }
        }
        let mut map = Self {
            version,
            source: top.string("source")?,
            classes: Vec::new(),
            tables: BTreeMap::new(),
            references: Vec::new(),
            large_objects: Vec::new(),
            unknown: top.table.get("unknown").map(|_| unknown(&top)).transpose()?,
            unknown_of: BTreeMap::new(),
        };
        for section in top.sections("class", "a class")? {
            let class = class(&section, version)?;
            if map.class(&class.name).is_some() {
                return Err(section.refuse(format!("class `{}` stands twice", class.name)));
            }
            map.classes.push(class);
        }
        tables(&top, &mut map)?;
        for section in top.sections("reference", "a reference")? {
            let rule = reference(&section)?;
            if map.reference(&rule.table, &rule.constraint).is_some() {
                let (constraint, table) = (&rule.constraint, &rule.table);
                return Err(section.refuse(format!("`{constraint}` of `{table}` stands twice")));
            }
            map.references.push(rule);
        }
        for section in top.sections("large-object", "a large-object rule")? {
            let rule = large_object(&section)?;
            if map.large_objects.contains(&rule) {
                return Err(section.refuse("the large-object rule stands twice".to_owned()));
            }
            map.large_objects.push(rule);
        }
        Ok(map)
    }
}

/// A table of the document, with what an error needs to name its line.
pub(super) struct Section<'t> {
    text: &'t str,
    pub(super) table: &'t DeTable<'t>,
    place: &'static str,
    start: usize,
}

fn version(top: &Section<'_>) -> Result<Version, MapError> {
    let value = top.required("version")?;
    match value.get_ref() {
        DeValue::Integer(number) if number.as_str() == "1" => Ok(Version::One),
        DeValue::Integer(number) if number.as_str() == "2" => Ok(Version::Two),
        _ => Err(top.refuse_at(value, "version must be 1 or 2".to_owned())),
    }
}

pub(super) fn unknown(section: &Section<'_>) -> Result<Unknown, MapError> {
    let word = section.string("unknown")?;
    let words = [Unknown::Refuse, Unknown::Commons, Unknown::Drop];
    words
        .into_iter()
        .find(|known| known.word() == word)
        .ok_or_else(|| section.refuse("`unknown` is `refuse`, `commons` or `drop`".to_owned()))
}

fn class(section: &Section<'_>, version: Version) -> Result<SubjectClass, MapError> {
    let keys = ["name", "root", "key", "placeholder"];
    match version {
        Version::One => section.allow(&keys)?,
        Version::Two => {
            section.refuse_what_is_to_come(&["kept"])?;
            section.allow(&[&keys[..], &["identify"]].concat())?;
        }
    }
    let key = section
        .sections("key", "a key column")?
        .iter()
        .map(|column| {
            column.allow(&["column", "type"])?;
            Ok(KeyColumn { name: column.string("column")?, type_name: column.string("type")? })
        })
        .collect::<Result<Vec<_>, MapError>>()?;
    if key.is_empty() {
        return Err(section.missing("key"));
    }
    let placeholder = match section.table.get("placeholder") {
        None => None,
        Some(value) => {
            let values = section.inner(value, "a placeholder")?;
            let names = values.table.keys().map(|name| name.get_ref().to_string());
            let pairs = names.map(|name| {
                let value = values.string(&name)?;
                Ok((name, value))
            });
            Some(pairs.collect::<Result<BTreeMap<_, _>, MapError>>()?)
        }
    };
    Ok(SubjectClass {
        name: section.string("name")?,
        root: section.name("root")?,
        key,
        placeholder,
        identify: match section.table.get("identify") {
            None => Vec::new(),
            Some(_) => section.strings("identify")?,
        },
    })
}

fn tables(top: &Section<'_>, map: &mut SubjectMap) -> Result<(), MapError> {
    let Some(value) = top.table.get("table") else { return Ok(()) };
    let tables = top.inner(value, "the tables")?;
    for (written, value) in tables.table {
        let line = line_at(top.text, written.span().start);
        let name: QualifiedName =
            written.get_ref().parse().map_err(|error: crate::base::schema::InvalidName| {
                MapError::Value { line, message: error.to_string() }
            })?;
        let section = tables.inner(value, "a table")?;
        if map.version == Version::Two {
            section.refuse_what_is_to_come(&["owners", "category", "patterns"])?;
            if section.table.get("unknown").is_some() {
                map.unknown_of.insert(name.clone(), unknown(&section)?);
            }
        }
        let ownership = ownership(&section, &name, map)?;
        if map.tables.insert(name.clone(), ownership).is_some() {
            return Err(section.refuse(format!("table `{name}` stands twice")));
        }
    }
    Ok(())
}

fn ownership(
    section: &Section<'_>,
    table: &QualifiedName,
    map: &SubjectMap,
) -> Result<Ownership, MapError> {
    let keys = ["root", "owner", "columns", "via", "via-columns", "shared"];
    match map.version {
        Version::One => section.allow(&keys)?,
        Version::Two => section.allow(&[&keys[..], file_ways::KEYS].concat())?,
    }
    let classes = &map.classes;
    let named = ["root", "owner", "shared"].map(|key| section.table.get(key).is_some());
    let class_named = |key: &str| {
        let name = section.string(key)?;
        match classes.iter().find(|class| class.name == name) {
            Some(class) => Ok(class),
            None => Err(section.refuse(format!("there is no class `{name}`"))),
        }
    };
    match named {
        [true, false, false] => {
            section.allow(&["root"])?;
            let class = class_named("root")?;
            if class.root != *table {
                let (name, root) = (&class.name, &class.root);
                return Err(section.refuse(format!("the root of class `{name}` is `{root}`")));
            }
            Ok(Ownership::Root { class: class.name.clone() })
        }
        [false, true, false] => file_ways::ownership(section, classes),
        [false, false, true] => {
            section.allow(&["shared"])?;
            section.truth("shared")?;
            Ok(Ownership::Shared)
        }
        _ => {
            Err(section
                .refuse("a table has exactly one of `root`, `owner` and `shared`".to_owned()))
        }
    }
}

fn reference(section: &Section<'_>) -> Result<ReferenceRule, MapError> {
    section.allow(&["table", "constraint", "columns", "to", "on-gone"])?;
    let word = section.string("on-gone")?;
    let words = [OnGone::SetNull, OnGone::DropRow, OnGone::Placeholder];
    let on_gone = words.into_iter().find(|known| known.word() == word).ok_or_else(|| {
        section.refuse("`on-gone` is `set-null`, `drop-row` or `placeholder`".to_owned())
    })?;
    Ok(ReferenceRule {
        table: section.name("table")?,
        constraint: section.string("constraint")?,
        columns: section.strings("columns")?,
        referenced_table: section.name("to")?,
        on_gone,
    })
}

fn large_object(section: &Section<'_>) -> Result<LargeObjectRule, MapError> {
    if section.table.get("shared").is_some() {
        section.allow(&["shared"])?;
        section.truth("shared")?;
        return Ok(LargeObjectRule::Shared);
    }
    section.allow(&["table", "column", "shared"])?;
    Ok(LargeObjectRule::Column { table: section.name("table")?, column: section.string("column")? })
}

impl<'t> Section<'t> {
    /// Refuses what a later version of strongroom will understand, by its name.
    fn refuse_what_is_to_come(&self, keys: &[&'static str]) -> Result<(), MapError> {
        match keys.iter().find(|key| self.table.contains_key(**key)) {
            None => Ok(()),
            Some(key) => Err(self.refuse(format!("`{key}` is not supported by this version"))),
        }
    }

    /// Refuses the first key that is not one of these.
    pub(super) fn allow(&self, known: &[&'static str]) -> Result<(), MapError> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let name = key.get_ref().to_string();
        let distance = |other: &&&'static str| strsim::damerau_levenshtein(&name, other);
        let nearest = known.iter().min_by_key(distance).copied().unwrap_or_default();
        let line = line_at(self.text, key.span().start);
        Err(MapError::UnknownKey { line, place: self.place, key: name, nearest })
    }

    pub(super) fn required(&self, key: &str) -> Result<&'t Spanned<DeValue<'t>>, MapError> {
        self.table.get(key).ok_or_else(|| self.missing(key))
    }

    pub(super) fn string(&self, key: &str) -> Result<String, MapError> {
        let value = self.required(key)?;
        match value.get_ref().as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.refuse_at(value, format!("`{key}` must be text in quotes"))),
        }
    }

    pub(super) fn name(&self, key: &str) -> Result<QualifiedName, MapError> {
        let value = self.required(key)?;
        let text = self.string(key)?;
        text.parse().map_err(|error: crate::base::schema::InvalidName| {
            self.refuse_at(value, error.to_string())
        })
    }

    /// A list of different texts, at least one.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>, MapError> {
        let value = self.required(key)?;
        let form = || self.refuse_at(value, format!("`{key}` must be a list of different columns"));
        let items = value.get_ref().as_array().ok_or_else(form)?;
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
        let texts = texts.ok_or_else(form)?;
        let different: BTreeSet<&String> = texts.iter().collect();
        if texts.is_empty() || different.len() != texts.len() { Err(form()) } else { Ok(texts) }
    }

    fn truth(&self, key: &str) -> Result<(), MapError> {
        let value = self.required(key)?;
        match value.get_ref().as_bool() {
            Some(true) => Ok(()),
            _ => Err(self.refuse_at(value, format!("`{key}` can only be true"))),
        }
    }

    pub(super) fn sections(&self, key: &str, place: &'static str) -> Result<Vec<Self>, MapError> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.refuse_at(value, format!("`{key}` must be a list of tables")));
        };
        items.iter().map(|item| self.inner(item, place)).collect()
    }

    pub(super) fn inner(
        &self,
        value: &'t Spanned<DeValue<'t>>,
        place: &'static str,
    ) -> Result<Self, MapError> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Self { text: self.text, table, place, start: value.span().start }),
            None => Err(self.refuse_at(value, format!("{place} must be a table, {{ key = … }}"))),
        }
    }

    fn missing(&self, key: &str) -> MapError {
        let line = line_at(self.text, self.start);
        MapError::MissingKey { line, place: self.place, key: key.to_owned() }
    }

    pub(super) fn refuse(&self, message: String) -> MapError {
        MapError::Value { line: line_at(self.text, self.start), message }
    }

    pub(super) fn refuse_at(&self, value: &Spanned<DeValue<'_>>, message: String) -> MapError {
        MapError::Value { line: line_at(self.text, value.span().start), message }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"version = 1
source = "main"

[[class]]
name = "users"
root = "public.users"
key = [{ column = "id", type = "bigint" }]
placeholder = { id = "0", email = "gone@example.invalid" }

[table]
"public.users" = { root = "users" }
"public.notes" = { owner = "users", columns = ["user_id"] }
"public.lines" = { owner = "users", columns = ["note_id"], via = "public.notes", via-columns = ["id"] }
"public.kinds" = { shared = true }

[[reference]]
table = "public.notes"
constraint = "notes_shown_to_fkey"
columns = ["shown_to"]
to = "public.users"
on-gone = "placeholder"

[[large-object]]
table = "public.notes"
column = "scan"

[[large-object]]
shared = true
"#;

    #[test]
    fn a_file_says_what_it_says() {
        let map = SubjectMap::from_toml(GOOD).unwrap();
        assert_eq!(map.source, "main");
        assert_eq!(map.classes[0].key[0].type_name, "bigint");
        assert_eq!(map.classes[0].placeholder.as_ref().unwrap()["id"], "0");
        assert_eq!(map.tables.len(), 4);
        assert_eq!(map.references[0].on_gone, OnGone::Placeholder);
        assert_eq!(map.large_objects.len(), 2);
    }

    #[test]
    fn every_mistake_names_its_line() {
        for (right, wrong, message) in [
            (
                "source = ",
                "sorce = ",
                "line 2 of the subject map: the file has no key `sorce`; the nearest is `source`",
            ),
            (
                "owner = \"users\", columns = [\"user_id\"]",
                "ower = \"users\"",
                "line 12 of the subject map: a table has no key `ower`; the nearest is `owner`",
            ),
            ("version = 1", "version = 3", "line 1 of the subject map: version must be 1 or 2"),
            ("version = 1", "version = ", "line 1 of the subject map: "),
            ("name = \"users\"", "", "line 4 of the subject map: a class lacks the key `name`"),
            (
                "shared = true }",
                "shared = false }",
                "line 14 of the subject map: `shared` can only be true",
            ),
            (
                "{ root = \"users\" }",
                "{ root = \"people\" }",
                "line 11 of the subject map: there is no class `people`",
            ),
            (
                "\"public.kinds\" = { shared = true }",
                "\"public.kinds\" = 5",
                "line 14 of the subject map: a table must be a table",
            ),
            ("\"public.kinds\" =", "\"Public.Users\" =", "stands twice"),
            (
                "\"public.kinds\" =",
                "\"a.b.c\" =",
                "line 14 of the subject map: `a.b.c` is not a table name",
            ),
            (
                "{ shared = true }",
                "{ shared = true, owner = \"users\" }",
                "line 14 of the subject map: a table has exactly one of",
            ),
            (
                "[\"user_id\"]",
                "[\"a\", \"b\"]",
                "line 12 of the subject map: `columns` names 2 where 1 are needed",
            ),
            (
                "[\"user_id\"]",
                "[\"a\", \"a\"]",
                "line 12 of the subject map: `columns` must be a list",
            ),
            (
                "\"placeholder\"",
                "\"delete\"",
                "`on-gone` is `set-null`, `drop-row` or `placeholder`",
            ),
            (
                "via = \"public.notes\", ",
                "",
                "line 13 of the subject map: a table lacks the key `via`",
            ),
            ("id = \"0\"", "id = 0", "line 8 of the subject map: `id` must be text in quotes"),
            (
                "column = \"scan\"",
                "colunm = \"scan\"",
                "line 25 of the subject map: a large-object rule has no key `colunm`; the nearest is `column`",
            ),
        ] {
            assert!(GOOD.contains(right), "{right}");
            let error = SubjectMap::from_toml(&GOOD.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}\nwanted: {message}");
        }
    }
}
