//! The ways that a person chooses with `--owner`, read and written.
//!
//!     TABLE=WAY[|WAY…][|shared]
//!     WAY = COLUMN[,COLUMN…] [:CLASS[/COLUMN…]] [@TABLE[/COLUMN…]] [\[COLUMN=VALUE[,VALUE…]\]]
//!
//! `COLUMN.KEY.KEY` is a path into a document. What is printed is read again as the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::candidates::Candidate;
use super::decisions::{flag_text, identifiers};
use super::model::Parent;
use crate::base::schema::{QualifiedName, display_identifier, split_identifiers};

/// The ways to a table's owners, as a person names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerChoice {
    /// In the order in which they count.
    pub ways: Vec<WayChoice>,
    /// Rows that no way's conditions take are nobody's.
    pub otherwise_shared: bool,
}

/// One way, as a person names it: what is not said is found in the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WayChoice {
    /// The columns.
    pub columns: Vec<String>,
    /// A path into the column's document.
    pub path: Vec<String>,
    /// The class.
    pub class: Option<String>,
    /// Unique columns of the root.
    pub by: Vec<String>,
    /// The table in between; its columns, or none for its primary key.
    pub via: Option<Parent>,
    /// Conditions.
    pub when: BTreeMap<String, Vec<String>>,
}

impl OwnerChoice {
    /// What a person would have to say for that candidate; where it is explicit, with everything that
    /// tells it from others.
    pub(super) fn of(candidate: &Candidate, explicit: bool) -> Self {
        let ways = candidate.ways.iter().map(|way| WayChoice {
            columns: way.columns.clone(),
            path: way.reading.element.clone().unwrap_or_default(),
            class: (explicit && way.via.is_none()).then(|| way.class.clone()),
            by: way.by.clone(),
            via: way.via.clone().filter(|_| explicit),
            when: way.when.clone(),
        });
        Self { ways: ways.collect(), otherwise_shared: candidate.otherwise_shared }
    }

    /// The flag that says so.
    pub(super) fn flag(&self, table: &QualifiedName) -> String {
        let mut ways: Vec<String> = self.ways.iter().map(WayChoice::text).collect();
        if self.otherwise_shared {
            ways.push("shared".to_owned());
        }
        flag_text("--owner", &format!("{table}={}", ways.join("|")))
    }

    /// Reads what stands behind `TABLE=`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut choice = Self::default();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (way, after) = split(text, &['|']);
            if way == "shared" && after.is_none() && !choice.ways.is_empty() {
                choice.otherwise_shared = true;
            } else {
                choice.ways.push(WayChoice::parse(way)?);
            }
            rest = after;
        }
        Some(choice)
    }
}

impl WayChoice {
    fn text(&self) -> String {
        let mut text = match self.columns.as_slice() {
            // A table that is called so, not what is nobody's.
            [only] if only == "shared" => "\"shared\"".to_owned(),
            columns => identifiers(columns),
        };
        for key in &self.path {
            let _ = write!(text, ".{}", display_identifier(key));
        }
        if let Some(class) = &self.class {
            let _ = write!(text, ":{}", display_identifier(class));
            if !self.by.is_empty() {
                let _ = write!(text, "/{}", identifiers(&self.by));
            }
        }
        if let Some(via) = &self.via {
            let _ = write!(text, "@{}/{}", via.table, identifiers(&via.columns));
        }
        for (column, values) in &self.when {
            let values: Vec<String> =
                values.iter().map(|value| display_identifier(value)).collect();
            // Values keep their case: they are quoted unless that changes nothing.
            let _ = write!(text, "[{}={}]", display_identifier(column), values.join(","));
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut way = Self::default();
        let (columns, mut rest) = split_before(text, &[':', '@', '[']);
        for column in list(columns)? {
            let mut parts = split_identifiers(column)?.into_iter();
            let name = parts.next()?;
            let path: Vec<String> = parts.collect();
            if way.columns.contains(&name) || !(path.is_empty() || way.path.is_empty()) {
                return None;
            }
            way.columns.push(name);
            way.path.extend(path);
        }
        if !way.path.is_empty() && way.columns.len() > 1 {
            return None;
        }
        while !rest.is_empty() {
            let (sign, text) = rest.split_at(1);
            match sign {
                ":" => {
                    let (target, after) = split_before(text, &['@', '[']);
                    let (class, by) = split(target, &['/']);
                    way.class = Some(one(class)?);
                    way.by = by.map_or(Some(Vec::new()), columns_of)?;
                    rest = after;
                }
                "@" => {
                    let (target, after) = split_before(text, &[':', '[']);
                    let (table, columns) = split(target, &['/']);
                    let columns = columns.map_or(Some(Vec::new()), columns_of)?;
                    way.via = Some(Parent { table: table.parse().ok()?, columns });
                    rest = after;
                }
                "[" => {
                    let (condition, after) = split_before(text, &[']']);
                    let (column, values) = split(condition, &['=']);
                    way.when.insert(one(column)?, values_of(values?)?);
                    rest = after.strip_prefix(']')?;
                }
                _ => return None,
            }
        }
        Some(way)
    }
}

/// The text before the first of these signs outside of quotes, and the text after it.
pub(super) fn split<'t>(text: &'t str, signs: &[char]) -> (&'t str, Option<&'t str>) {
    let (before, rest) = split_before(text, signs);
    let mut rest_characters = rest.chars();
    let after = rest_characters.next().map(|_| rest_characters.as_str());
    (before, after)
}

fn split_before<'t>(text: &'t str, signs: &[char]) -> (&'t str, &'t str) {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if !quoted && signs.contains(&character) {
            return text.split_at(index);
        }
    }
    (text, "")
}

fn list(text: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (item, after) = split(text, &[',']);
        items.push(item);
        rest = after;
    }
    Some(items).filter(|items| items.iter().all(|item| !item.is_empty()))
}

fn one(text: &str) -> Option<String> {
    match split_identifiers(text)?.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn columns_of(text: &str) -> Option<Vec<String>> {
    list(text)?.into_iter().map(one).collect()
}

/// Values keep their case, with or without quotes around them.
fn values_of(text: &str) -> Option<Vec<String>> {
    let value = |text: &str| match text.strip_prefix('"') {
        Some(_) => one(text),
        None => (!text.contains('"')).then(|| text.to_owned()),
    };
    list(text)?.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again_as_the_same() {
        for text in [
            "user_id",
            "a,b",
            "user_id|attempt_id",
            "\"userId\":users",
            "email:users/email",
            "\"boardId\"@public.boards/id",
            "owner_id:users[owner_type=\"User\",admin]|shared",
            "payload.user.\"Id\":\"hr.people\"",
            "\"shared\"",
            "\"a|b\":\"x:y\"/\"p/q\"",
        ] {
            let choice = OwnerChoice::parse(text).unwrap_or_else(|| panic!("{text}"));
            let table = QualifiedName::new("public", "t");
            let flag = choice.flag(&table);
            let value = flag.strip_prefix("--owner ").unwrap().trim_matches('\'');
            assert_eq!(value.strip_prefix("public.t="), Some(text));
        }
        let values = OwnerChoice::parse("o[t=User]").unwrap().ways[0].when["t"].clone();
        assert_eq!(values, ["User"], "a value keeps its case");
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for wrong in
            ["", "a,a", "a,", "a:", "a:b/", "a@", "a[", "a[b]", "a[b=", "a.b,c", "|a", "shared|a|"]
        {
            assert_eq!(OwnerChoice::parse(wrong), None, "{wrong}");
        }
    }
}
