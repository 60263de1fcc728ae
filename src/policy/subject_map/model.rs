//! The subject map as values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::RunningDigest;
use crate::base::ids::Digest;
use crate::base::schema::{QualifiedName, Reading};

/// Which row of which table of one source belongs to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectMap {
    /// Which grammar it is written in: a map keeps that of its file until `map --write` writes it.
    #[serde(skip, default)]
    pub version: Version,
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
    /// What a backup does with rows whose owner nobody knows, where a table says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    /// The same for single tables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown_of: BTreeMap<QualifiedName, Unknown>,
}

/// The version of a map's grammar. It decides what a new rule may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// The first: owners by columns, perhaps through another table.
    One,
    /// The second: ways in an order, casts, conditions, elements, what is unknown.
    #[default]
    Two,
}

impl Version {
    /// Its number in the file.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// What a backup does with a row whose owner nobody knows: the link leads nowhere, or to a key that
/// neither the root has, nor a tombstone, nor a backup before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// There is no backup until somebody has decided.
    Refuse,
    /// It is nobody's, and told each time. Maps of version 1 say so without a word.
    Warn,
    /// It is nobody's.
    Commons,
    /// It is left out.
    Drop,
}

impl Unknown {
    /// The word for it in the map file; none for what no file says.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Warn => "warn",
            Self::Commons => "commons",
            Self::Drop => "drop",
        }
    }
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
    /// The columns by which a person is told from a namesake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identify: Vec<String>,
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
    /// Each row belongs to the data subject that the first of these ways leads to that gives one.
    Ways {
        /// At least one.
        ways: Vec<Way>,
        /// Whether a row that no way's conditions take is nobody's. Else its owner is unknown.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        otherwise_shared: bool,
    },
    /// The rows are nobody's: the commons'.
    Shared,
}

/// One way to a row's owner, with everything that version 2 can say of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Way {
    /// The class.
    pub class: String,
    /// Columns of the table. Without `via` and `by` they hold the owner's key, in key order.
    pub columns: Vec<String>,
    /// The table that `columns` refer to, where they do not hold the key themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Parent>,
    /// Unique columns of the root that `columns` hold instead of its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// What of the column's value is compared.
    #[serde(flatten)]
    pub reading: Reading,
    /// The way holds only for rows with one of these values, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, Vec<String>>,
}

impl Way {
    /// A way in the words of version 1.
    #[must_use]
    pub fn plain(class: &str, columns: &[String], via: Option<Parent>) -> Self {
        Self { class: class.to_owned(), columns: columns.to_vec(), via, ..Self::default() }
    }

    /// Whether version 1 can say it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.by.is_empty() && self.when.is_empty() && self.reading == Reading::default()
    }
}

impl Ownership {
    /// Rows that belong to whom these ways lead to, in the shortest form that says so.
    #[must_use]
    pub fn by(ways: Vec<Way>, otherwise_shared: bool) -> Self {
        match ways.as_slice() {
            [way] if way.is_plain() && !otherwise_shared => Self::Owned {
                class: way.class.clone(),
                columns: way.columns.clone(),
                via: way.via.clone(),
            },
            _ => Self::Ways { ways, otherwise_shared },
        }
    }

    /// The ways to the owners of the table's rows; none of a root or a shared table.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        match self {
            Self::Owned { class, columns, via } => vec![Way::plain(class, columns, via.clone())],
            Self::Ways { ways, .. } => ways.clone(),
            Self::Root { .. } | Self::Shared => Vec::new(),
        }
    }

    /// The classes that rows of the table can belong to, each once.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        match self {
            Self::Root { class } | Self::Owned { class, .. } => vec![class],
            Self::Ways { ways, .. } => {
                let mut classes: Vec<&str> = ways.iter().map(|way| way.class.as_str()).collect();
                let mut seen = std::collections::BTreeSet::new();
                classes.retain(|class| seen.insert(*class));
                classes
            }
            Self::Shared => Vec::new(),
        }
    }
}

/// A table through which rows of another find their owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// What a backup does with rows of the table whose owner nobody knows.
    #[must_use]
    pub fn unknown_in(&self, table: &QualifiedName) -> Unknown {
        let unsaid = match self.version {
            Version::One => Unknown::Warn,
            Version::Two => Unknown::Refuse,
        };
        self.unknown_of.get(table).copied().or(self.unknown).unwrap_or(unsaid)
    }

    /// The rule for a foreign key, by its table and name.
    #[must_use]
    pub fn reference(&self, table: &QualifiedName, constraint: &str) -> Option<&ReferenceRule> {
        self.references.iter().find(|rule| rule.table == *table && rule.constraint == constraint)
    }

    /// The map's digest: SHA-256 over its canonical form.
    ///
    /// The canonical form is the line `strongroom subject map 1` or `2`, by the map's version, a line feed,
    /// and the map as JSON (RFC 8259) in UTF-8 without white space, members in the order in which the
    /// types of this module declare them (those that only version 2 has are left out where they say
    /// nothing), with classes ordered by name, tables by name, reference rules by table and constraint, and
    /// large object rules with columns first, by name. Comments, layout and order in the file do not count,
    /// so two files with one digest say the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut canonical = self.clone();
        canonical.classes.sort_by(|left, right| left.name.cmp(&right.name));
        canonical.references.sort();
        canonical.large_objects.sort();
        let mut hash = RunningDigest::default();
        hash.update(format!("strongroom subject map {}\n", self.version.number()).as_bytes());
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
            version: Version::One,
            source: "main".to_owned(),
            classes: vec![SubjectClass {
                name: "users".to_owned(),
                root: users.clone(),
                key: vec![KeyColumn { name: "id".to_owned(), type_name: "bigint".to_owned() }],
                placeholder: None,
                identify: Vec::new(),
            }],
            unknown: None,
            unknown_of: BTreeMap::new(),
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
        let map = SubjectMap { version: Version::Two, ..map() };
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(serde_json::from_str::<SubjectMap>(&text).unwrap(), map);
    }

    #[test]
    fn a_map_of_the_second_version_is_another_one() {
        let second = SubjectMap { version: Version::Two, ..map() };
        assert_ne!(second.digest(), map().digest());
    }
}
