//! The subject map as values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::RunningDigest;
use crate::base::ids::Digest;
use crate::base::schema::QualifiedName;

/// Which row of which table of one source belongs to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectMap {
    /// The source's name.
    pub source: String,
    /// The classes of data subjects (`users`; or `customers` and `employees`).
    pub classes: Vec<SubjectClass>,
    /// One decision for every table of the database that holds rows.
    pub tables: BTreeMap<QualifiedName, Ownership>,
    /// What a restore does with a foreign key whose target is gone, one rule for each foreign key
    /// that can be concerned.
    pub references: Vec<ReferenceRule>,
    /// Whom large objects belong to.
    pub large_objects: Vec<LargeObjectRule>,
}

/// One class of data subjects: each row of its root table is one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectClass {
    /// The class's name. It is part of every subject reference, so renaming a class makes its
    /// people strangers to the vault.
    pub name: String,
    /// The table whose rows are the people.
    pub root: QualifiedName,
    /// The root's primary key, in key order.
    pub key: Vec<KeyColumn>,
    /// The row that a restore puts in a forgotten person's place where a reference rule says
    /// [`OnGone::Placeholder`]: column to value, in PostgreSQL's text form.
    pub placeholder: Option<BTreeMap<String, String>>,
}

/// One column of a class's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// The column's name, as PostgreSQL stores it.
    pub name: String,
    /// Its type, as `format_type` prints it.
    pub type_name: String,
}

/// Whose the rows of one table are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ownership {
    /// Each row is a data subject.
    Root {
        /// The class.
        class: String,
    },
    /// Each row belongs to the data subject that its columns lead to, or to nobody where a column
    /// on the way is NULL.
    Owned {
        /// The class.
        class: String,
        /// Columns of this table. Without `via` they hold the owner's key, in key order.
        columns: Vec<String>,
        /// The table that `columns` refer to, where they do not hold the key themselves.
        via: Option<Parent>,
    },
    /// The rows are nobody's: the commons'.
    Shared,
}

impl Ownership {
    /// The class that rows of the table belong to, if they belong to anyone.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Root { class } | Self::Owned { class, .. } => Some(class),
            Self::Shared => None,
        }
    }
}

/// A table through which rows of another find their owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Parent {
    /// The table (the root itself, where its primary key is not what is referred to).
    pub table: QualifiedName,
    /// Its columns that are referred to, in the order of the referring ones. They are unique
    /// together, so that a row never finds two owners.
    pub columns: Vec<String>,
}

/// What a restore does with one foreign key where the row it refers to is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReferenceRule {
    /// The referring table (a partition, if the foreign key is the partition's own).
    pub table: QualifiedName,
    /// The foreign key's name, unique within its table.
    pub constraint: String,
    /// All columns of the foreign key ([`super::columns_to_null`] tells which of them are set).
    pub columns: Vec<String>,
    /// The table referred to.
    pub referenced_table: QualifiedName,
    /// What is done.
    pub on_gone: OnGone,
}

/// What is done with a reference to a row that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnGone {
    /// The referring columns that may be NULL become NULL.
    SetNull,
    /// The referring row is left out, and in turn what refers to it, by its own rules.
    DropRow,
    /// The referring columns point to the class's placeholder row.
    Placeholder,
}

impl OnGone {
    /// The word for it in the map file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SetNull => "set-null",
            Self::DropRow => "drop-row",
            Self::Placeholder => "placeholder",
        }
    }
}

/// Whom large objects belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LargeObjectRule {
    /// An object that this column names belongs to the owner of the row.
    Column {
        /// The table.
        table: QualifiedName,
        /// Its column that holds large objects' numbers.
        column: String,
    },
    /// An object that no such column names belongs to the commons. Without this rule such an
    /// object is undecided, and stops a backup.
    Shared,
}

impl SubjectMap {
    /// The class of that name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&SubjectClass> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The rule for a foreign key, by its table and name.
    #[must_use]
    pub fn reference(&self, table: &QualifiedName, constraint: &str) -> Option<&ReferenceRule> {
        self.references.iter().find(|rule| rule.table == *table && rule.constraint == constraint)
    }

    /// The map's digest: SHA-256 over its canonical form.
    ///
    /// The canonical form is the line `strongroom subject map 1`, a line feed, and the map as JSON
    /// (RFC 8259) in UTF-8 without white space, members in the order in which the types of this
    /// module declare them, with classes ordered by name, tables by name, reference rules by table
    /// and constraint, and large object rules with columns first, by name. Comments, layout and
    /// order in the file do not count, so two files with one digest say the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut canonical = self.clone();
        canonical.classes.sort_by(|left, right| left.name.cmp(&right.name));
        canonical.references.sort();
        canonical.large_objects.sort();
        let mut hash = RunningDigest::default();
        hash.update(b"strongroom subject map 1\n");
        // Writing to a hash cannot fail, nor can serialising plain strings and maps keyed by them.
        let written = serde_json::to_writer(HashWriter(&mut hash), &canonical);
        debug_assert!(written.is_ok(), "a subject map is always valid JSON");
        hash.finish()
    }
}

struct HashWriter<'h>(&'h mut RunningDigest);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> SubjectMap {
        let users = QualifiedName::new("public", "users");
        SubjectMap {
            source: "main".to_owned(),
            classes: vec![SubjectClass {
                name: "users".to_owned(),
                root: users.clone(),
                key: vec![KeyColumn { name: "id".to_owned(), type_name: "bigint".to_owned() }],
                placeholder: None,
            }],
            tables: [(users, Ownership::Root { class: "users".to_owned() })].into(),
            references: Vec::new(),
            large_objects: vec![
                LargeObjectRule::Shared,
                LargeObjectRule::Column {
                    table: QualifiedName::new("public", "files"),
                    column: "content".to_owned(),
                },
            ],
        }
    }

    #[test]
    fn the_digest_is_that_of_the_documented_canonical_form() {
        let canonical = concat!(
            "strongroom subject map 1\n",
            r#"{"source":"main","classes":[{"name":"users","root":"public.users","#,
            r#""key":[{"name":"id","type_name":"bigint"}],"placeholder":null}],"#,
            r#""tables":{"public.users":{"kind":"root","class":"users"}},"references":[],"#,
            r#""large_objects":[{"kind":"column","table":"public.files","column":"content"},"#,
            r#"{"kind":"shared"}]}"#
        );
        assert_eq!(map().digest(), crate::base::digest::sha256(canonical.as_bytes()));
    }

    #[test]
    fn the_digest_ignores_order_and_notices_change() {
        let mut other = map();
        other.large_objects.reverse();
        assert_eq!(other.digest(), map().digest());
        other.large_objects.pop();
        assert_ne!(other.digest(), map().digest());
    }

    #[test]
    fn a_map_survives_json() {
        let text = serde_json::to_string(&map()).unwrap();
        assert_eq!(serde_json::from_str::<SubjectMap>(&text).unwrap(), map());
    }
}
