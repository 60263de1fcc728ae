//! A person's decisions, as the flags of `strongroom map` give them, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::error::MapError;
use super::model::LargeObjectRule;
use crate::base::schema::{QualifiedName, display_identifier, split_identifiers};

/// What a person decided where foreign keys cannot, and over what they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// `--root SCHEMA.TABLE`: each row of the table is one person; each root is a class.
    pub roots: Vec<QualifiedName>,
    /// `--owner TABLE=COLUMN[,COLUMN…]`: the columns lead to a row's owner.
    pub owners: BTreeMap<QualifiedName, Vec<String>>,
    /// `--shared TABLE`: the rows are nobody's.
    pub shared: BTreeSet<QualifiedName>,
    /// `--shared-anyway TABLE`: the rows are nobody's, although columns look like personal data.
    pub shared_anyway: BTreeSet<QualifiedName>,
    /// `--large-objects TABLE.COLUMN|shared`: whom large objects belong to.
    pub large_objects: Vec<LargeObjectRule>,
}

impl Decisions {
    /// Reads the values of the flags. Names are written as in SQL: double quotes around unusual
    /// parts, `public` where no schema is named.
    pub fn parse(
        roots: &[String],
        owners: &[String],
        shared: &[String],
        shared_anyway: &[String],
        large_objects: &[String],
    ) -> Result<Self, MapError> {
        let mut decisions = Self::default();
        for value in roots {
            let root = table("--root", value, value)?;
            if !decisions.roots.contains(&root) {
                decisions.roots.push(root);
            }
        }
        for value in owners {
            let (table, columns) = owner(value)?;
            if decisions.owners.insert(table, columns).is_some() {
                return Err(refused("--owner", value, "the table's owner is given twice"));
            }
        }
        for value in shared {
            decisions.shared.insert(table("--shared", value, value)?);
        }
        for value in shared_anyway {
            decisions.shared_anyway.insert(table("--shared-anyway", value, value)?);
        }
        for value in large_objects {
            let rule = large_object(value)?;
            if !decisions.large_objects.contains(&rule) {
                decisions.large_objects.push(rule);
            }
        }
        Ok(decisions)
    }
}

/// A flag as it is typed into a shell: `--owner public.referrals=referrer_id`.
pub(super) fn flag_text(flag: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=,".contains(c);
    if value.chars().all(plain) {
        format!("{flag} {value}")
    } else {
        format!("{flag} '{}'", value.replace('\'', r"'\''"))
    }
}

/// The flag that makes columns lead to a table's owners.
pub(super) fn owner_flag(table: &QualifiedName, columns: &[String]) -> String {
    flag_text("--owner", &format!("{table}={}", identifiers(columns)))
}

/// The flag that makes a column name the large objects of its rows' owners.
pub(super) fn large_object_flag(table: &QualifiedName, column: &str) -> String {
    flag_text("--large-objects", &format!("{table}.{}", display_identifier(column)))
}

/// Columns as a person writes them, separated by commas.
pub(super) fn identifiers(columns: &[String]) -> String {
    columns.iter().map(|column| display_identifier(column)).collect::<Vec<_>>().join(",")
}

fn table(flag: &'static str, value: &str, name: &str) -> Result<QualifiedName, MapError> {
    name.parse().map_err(|_| {
        refused(flag, value, "not a table name; it is written SCHEMA.TABLE, as in SQL")
    })
}

fn owner(value: &str) -> Result<(QualifiedName, Vec<String>), MapError> {
    let form = || refused("--owner", value, "not of the form TABLE=COLUMN[,COLUMN…]");
    let (name, columns) = split_outside_quotes(value, '=').ok_or_else(form)?;
    let table = table("--owner", value, name)?;
    let mut rest = Some(columns);
    let mut read = Vec::new();
    while let Some(text) = rest {
        let (column, after) = match split_outside_quotes(text, ',') {
            Some((column, after)) => (column, Some(after)),
            None => (text, None),
        };
        let mut parts = split_identifiers(column).ok_or_else(form)?;
        match (parts.pop(), parts.is_empty()) {
            (Some(part), true) if !read.contains(&part) => read.push(part),
            _ => return Err(form()),
        }
        rest = after;
    }
    Ok((table, read))
}

fn large_object(value: &str) -> Result<LargeObjectRule, MapError> {
    if value == "shared" {
        return Ok(LargeObjectRule::Shared);
    }
    let form = || refused("--large-objects", value, "neither TABLE.COLUMN nor the word shared");
    let mut parts = split_identifiers(value).ok_or_else(form)?;
    let column = parts.pop().ok_or_else(form)?;
    let name = parts.pop().ok_or_else(form)?;
    let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
    if !parts.is_empty() {
        return Err(form());
    }
    Ok(LargeObjectRule::Column { table: QualifiedName::new(schema, name), column })
}

fn split_outside_quotes(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if character == separator && !quoted {
            return Some((&text[..index], &text[index + separator.len_utf8()..]));
        }
    }
    None
}

fn refused(flag: &'static str, value: &str, message: &str) -> MapError {
    MapError::Flag { flag, value: value.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(value: &str) -> Result<Decisions, MapError> {
        Decisions::parse(&[], &[value.to_owned()], &[], &[], &[])
    }

    #[test]
    fn an_owner_flag_names_a_table_and_its_columns() {
        let decisions = owners("Notes=Tenant,\"A=,b\"").unwrap();
        let table = QualifiedName::new("public", "notes");
        assert_eq!(decisions.owners[&table], ["tenant", "A=,b"]);
        for wrong in ["notes", "notes=", "notes=a.b", "=a", "notes=a,", "notes=a,a"] {
            assert!(owners(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn large_objects_have_a_column_or_are_shared() {
        let values = ["app.files.content".to_owned(), "shared".to_owned(), "f.c".to_owned()];
        let decisions = Decisions::parse(&[], &[], &[], &[], &values).unwrap();
        let column = |schema: &str, name: &str, column: &str| LargeObjectRule::Column {
            table: QualifiedName::new(schema, name),
            column: column.to_owned(),
        };
        assert_eq!(
            decisions.large_objects,
            [
                column("app", "files", "content"),
                LargeObjectRule::Shared,
                column("public", "f", "c")
            ]
        );
        for wrong in ["content", "a.b.c.d", ""] {
            assert!(Decisions::parse(&[], &[], &[], &[], &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_printed_flag_is_what_a_shell_gives_back() {
        let table = QualifiedName::new("public", "it's");
        let flag = owner_flag(&table, &["Id".to_owned()]);
        assert_eq!(flag, r#"--owner 'public."it'\''s"="Id"'"#);
        assert_eq!(owners("public.\"it's\"=\"Id\"").unwrap().owners[&table], ["Id"]);
    }
}
