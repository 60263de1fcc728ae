//! Compares a subject map with the live schema. Any drift stops a backup.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::error::MapError;
use super::index::SchemaIndex;
use super::key_types::holds_large_object;
use super::model::{LargeObjectRule, OnGone, Ownership, ReferenceRule, SubjectClass, SubjectMap};
use super::path::{check_root, walk};
use super::references::{is_possible, needed_rules};
use crate::base::schema::{DatabaseSchema, QualifiedName};

/// One way in which a map and a database differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Drift {
    /// The table concerned; `None` if it is the database as a whole.
    pub table: Option<QualifiedName>,
    /// The kind, stable for programs.
    pub kind: DriftKind,
    /// What differs and what to do, in one sentence.
    pub sentence: String,
}

/// The kinds of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// A table that the map says nothing of.
    NewTable,
    /// A table of the map that is gone.
    TableGone,
    /// A column of the map that is gone.
    ColumnGone,
    /// A root's primary key is another one, or of another type.
    KeyChanged,
    /// A column that should hold a key has a type that cannot.
    TypeChanged,
    /// A table's way to its owner does not lead there.
    BrokenPath,
    /// A foreign key that needs a rule has none.
    NewReference,
    /// A rule for a foreign key that is gone or is another one.
    ReferenceGone,
    /// A rule that cannot do what it says.
    ReferenceRule,
    /// A placeholder row that the table would refuse.
    Placeholder,
    /// Large objects, or their columns, that no rule covers.
    LargeObjects,
}

impl fmt::Display for Drift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl Drift {
    /// How many there are and what the first is, for an error's end.
    #[must_use]
    pub fn summary(drift: &[Self]) -> String {
        let Some(first) = drift.first() else { return String::new() };
        let first = first.to_string();
        let first = first.trim_end_matches('.');
        match drift.len() {
            1 => format!(": {first}"),
            many => format!(" in {many} places. The first: {first}"),
        }
    }
}

/// Every difference between a map and a database, by table; empty if the map still fits.
#[must_use]
pub fn check(map: &SubjectMap, schema: &DatabaseSchema) -> Vec<Drift> {
    let mut check = Check { map, index: SchemaIndex::new(schema), drifts: Vec::new() };
    check.classes();
    check.tables();
    check.references();
    check.large_objects();
    check.drifts.sort();
    check.drifts.dedup();
    check.drifts
}

struct Check<'c> {
    map: &'c SubjectMap,
    index: SchemaIndex<'c>,
    drifts: Vec<Drift>,
}

impl Check<'_> {
    fn found(&mut self, table: Option<&QualifiedName>, kind: DriftKind, sentence: String) {
        self.drifts.push(Drift { table: table.cloned(), kind, sentence });
    }

    fn classes(&mut self) {
        for class in &self.map.classes {
            let Some(table) = self.index.table(&class.root) else {
                self.table_gone(&class.root);
                continue;
            };
            if check_root(class, table).is_err() {
                self.key_changed(class);
            }
            let root = Ownership::Root { class: class.name.clone() };
            if self.map.tables.get(&class.root) != Some(&root) {
                let sentence = format!(
                    "The class `{}` has the root `{}`, which the map does not mark as its root; \
                     write `{{ root = \"{}\" }}` for that table.",
                    class.name, class.root, class.name
                );
                self.found(Some(&class.root), DriftKind::BrokenPath, sentence);
            }
            if let Some(values) = &class.placeholder {
                self.placeholder(class, values);
            }
        }
    }

    fn tables(&mut self) {
        for table in &self.index.schema.tables {
            if !self.map.tables.contains_key(&table.name) {
                let sentence = format!(
                    "Table `{}` is not in the subject map; run `strongroom map` to decide whose \
                     its rows are.",
                    table.name
                );
                self.found(Some(&table.name), DriftKind::NewTable, sentence);
            }
        }
        for name in self.map.tables.keys() {
            match self.index.table(name) {
                Some(table) if table.name == *name => {
                    if let Err(error) = walk(self.map, &self.index, name) {
                        self.broken(name, &error);
                    }
                }
                _ => self.table_gone(name),
            }
        }
    }

    fn broken(&mut self, table: &QualifiedName, error: &MapError) {
        let (kind, what) = match error {
            // Told once, for the table itself.
            MapError::MissingTable { table } => return self.table_gone(table),
            MapError::UnmappedTable { .. } => return,
            MapError::KeyChanged { class, .. } => match self.map.class(class) {
                Some(class) => return self.key_changed(class),
                None => (DriftKind::KeyChanged, "run `strongroom map` again"),
            },
            MapError::MissingColumn { .. } => {
                (DriftKind::ColumnGone, "run `strongroom map` to decide anew whose its rows are")
            }
            MapError::TypeDiffers { .. } => (
                DriftKind::TypeChanged,
                "let the table find its owner through the root (`via`), or give the column the \
                 key's type",
            ),
            _ => (DriftKind::BrokenPath, "correct its line in the subject map"),
        };
        // An error may stand for a table further along the way, where it is told already.
        let named = match error {
            MapError::MissingColumn { table, .. } | MapError::TypeDiffers { table, .. } => table,
            _ => table,
        };
        let mut sentence = error.to_string();
        if let Some(first) = sentence.get(..1).map(str::to_uppercase) {
            sentence.replace_range(..1, &first);
        }
        self.found(Some(&named.clone()), kind, format!("{sentence}; {what}."));
    }

    fn table_gone(&mut self, table: &QualifiedName) {
        let sentence = format!(
            "Table `{table}` of the subject map is gone from the database; run `strongroom map` to \
             take it out."
        );
        self.found(Some(table), DriftKind::TableGone, sentence);
    }

    fn key_changed(&mut self, class: &SubjectClass) {
        let sentence = format!(
            "The primary key of `{}` is no longer the key of the class `{}`; run `strongroom map \
             --root {}` if people are to be named by the new key from now on.",
            class.root, class.name, class.root
        );
        self.found(Some(&class.root), DriftKind::KeyChanged, sentence);
    }

    fn references(&mut self) {
        for rule in needed_rules(self.map, &self.index, &self.map.references) {
            if self.map.reference(&rule.table, &rule.constraint).is_none() {
                let sentence = format!(
                    "Foreign key `{}` of `{}` can refer to people who are gone and has no rule; \
                     run `strongroom map` to add one (proposed: {}).",
                    rule.constraint,
                    rule.table,
                    rule.on_gone.word()
                );
                self.found(Some(&rule.table), DriftKind::NewReference, sentence);
            }
        }
        for rule in &self.map.references {
            self.reference(rule);
        }
    }

    fn reference(&mut self, rule: &ReferenceRule) {
        let Some(key) = self.index.foreign_key(&rule.table, &rule.constraint) else {
            let sentence = format!(
                "The map has a rule for foreign key `{}` of `{}`, which is gone; run `strongroom \
                 map` to take it out.",
                rule.constraint, rule.table
            );
            return self.found(Some(&rule.table), DriftKind::ReferenceGone, sentence);
        };
        if key.columns != rule.columns || key.referenced_table != rule.referenced_table {
            let sentence = format!(
                "Foreign key `{}` of `{}` is not the one that the map's rule was made for; run \
                 `strongroom map` to renew the rule.",
                rule.constraint, rule.table
            );
            self.found(Some(&rule.table), DriftKind::ReferenceGone, sentence);
        } else if !is_possible(self.map, &self.index, key, rule.on_gone) {
            let why = match rule.on_gone {
                OnGone::Placeholder => {
                    "needs a class with placeholder values and a foreign key to the root's key"
                }
                OnGone::SetNull | OnGone::DropRow => {
                    "needs a column that may be NULL and does not lead to the row's own owner"
                }
            };
            let sentence = format!(
                "The rule `{}` for foreign key `{}` of `{}` is not possible: it {why}; choose \
                 another rule in the map.",
                rule.on_gone.word(),
                rule.constraint,
                rule.table
            );
            self.found(Some(&rule.table), DriftKind::ReferenceRule, sentence);
        }
    }

    fn placeholder(&mut self, class: &SubjectClass, values: &BTreeMap<String, String>) {
        let Some(table) = self.index.table(&class.root) else { return };
        for name in values.keys() {
            let why = match table.column(name) {
                None => "which the table does not have",
                Some(column) if column.generated => "which the database computes by itself",
                Some(_) => continue,
            };
            let sentence = format!(
                "The placeholder of the class `{}` gives column `{name}`, {why}; take it out.",
                class.name
            );
            self.found(Some(&class.root), DriftKind::Placeholder, sentence);
        }
        for column in table.copied_columns().filter(|column| !values.contains_key(&column.name)) {
            let in_key = class.key.iter().any(|key| key.name == column.name);
            if in_key || (column.not_null && !column.has_default) {
                let sentence = format!(
                    "The placeholder of the class `{}` lacks column `{}`, which must have a \
                     value; add one.",
                    class.name, column.name
                );
                self.found(Some(&class.root), DriftKind::Placeholder, sentence);
            }
        }
    }

    fn large_objects(&mut self) {
        let count = self.index.schema.large_objects;
        if count > 0 && self.map.large_objects.is_empty() {
            let sentence = format!(
                "The database holds {count} large object(s) and the map does not say whose they \
                 are; run `strongroom map` with `--large-objects`."
            );
            self.found(None, DriftKind::LargeObjects, sentence);
        }
        for rule in &self.map.large_objects {
            let LargeObjectRule::Column { table, column } = rule else { continue };
            let found = self.index.table(table).and_then(|found| found.column(column));
            if !found.is_some_and(|found| holds_large_object(&found.type_name)) {
                let sentence = format!(
                    "Column `{column}` of `{table}` should name large objects, and is gone or of \
                     a type that cannot; correct the map's large-object rule."
                );
                self.found(Some(table), DriftKind::LargeObjects, sentence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SchemaBuilder, infer_all, name};
    use super::*;

    const USERS: &[&str] = &["id bigint !", "email text !", "nick text"];
    const FRIENDS: &[&str] = &["user_id bigint !", "other_id bigint", "seen_by bigint !"];

    fn builder(users: &[&str], friends: &[&str]) -> SchemaBuilder {
        SchemaBuilder::new()
            .table("users", users, "id")
            .table("friends", friends, "")
            .references("friends", "user_id", "users", "id")
    }

    fn schema() -> DatabaseSchema {
        builder(USERS, FRIENDS).references("friends", "other_id", "users", "id").build()
    }

    fn map() -> SubjectMap {
        infer_all(&schema(), &["users"], &["friends=user_id"], &[])
    }

    fn kinds(map: &SubjectMap, schema: &DatabaseSchema) -> Vec<DriftKind> {
        let drifts = check(map, schema);
        for drift in &drifts {
            assert!(drift.sentence.ends_with('.'), "{drift}");
        }
        drifts.into_iter().map(|drift| drift.kind).collect()
    }

    #[test]
    fn an_unchanged_database_has_no_drift() {
        assert_eq!(check(&map(), &schema()), []);
    }

    #[test]
    fn every_change_that_matters_is_found() {
        let map = map();
        let with_new = SchemaBuilder::table;
        let other =
            |builder: SchemaBuilder| builder.references("friends", "other_id", "users", "id");
        let with_reference = other(builder(USERS, FRIENDS));
        for (schema, expected) in [
            (with_new(with_reference, "new", &["a text"], "").build(), vec![DriftKind::NewTable]),
            (
                other(builder(USERS, FRIENDS))
                    .references("friends", "seen_by", "users", "id")
                    .build(),
                vec![DriftKind::NewReference],
            ),
            (builder(USERS, FRIENDS).build(), vec![DriftKind::ReferenceGone]),
            (
                other(builder(&["id uuid !", "email text !"], FRIENDS)).build(),
                vec![DriftKind::KeyChanged],
            ),
            (other(builder(USERS, &["other_id bigint"])).build(), vec![DriftKind::ColumnGone]),
            (
                other(SchemaBuilder::new().table("users", USERS, "id").table(
                    "friends",
                    &["user_id text", "other_id bigint"],
                    "",
                ))
                .build(),
                vec![DriftKind::TypeChanged],
            ),
            (
                other(builder(USERS, &["user_id bigint !", "other_id bigint !"])).build(),
                vec![DriftKind::ReferenceRule],
            ),
            (
                SchemaBuilder::new().table("users", USERS, "id").build(),
                vec![DriftKind::TableGone, DriftKind::ReferenceGone],
            ),
            (
                other(builder(USERS, FRIENDS)).large_objects(1).build(),
                vec![DriftKind::LargeObjects],
            ),
        ] {
            assert_eq!(kinds(&map, &schema), expected);
        }
    }

    #[test]
    fn a_placeholder_must_be_a_row_that_the_table_accepts() {
        let mut map = map();
        let values = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            Some(owned.collect::<BTreeMap<_, _>>())
        };
        map.references[0].on_gone = OnGone::Placeholder;
        assert_eq!(kinds(&map, &schema()), [DriftKind::ReferenceRule]);
        map.classes[0].placeholder = values(&[("id", "0"), ("email", "gone@example.invalid")]);
        assert_eq!(kinds(&map, &schema()), []);
        map.classes[0].placeholder = values(&[("nick", "gone"), ("gone", "")]);
        let expected = [DriftKind::Placeholder; 3];
        assert_eq!(kinds(&map, &schema()), expected, "no key, no e-mail, an unknown column");
    }

    #[test]
    fn a_large_object_column_must_be_there() {
        let mut map = map();
        map.large_objects =
            vec![LargeObjectRule::Column { table: name("friends"), column: "photo".to_owned() }];
        assert_eq!(kinds(&map, &schema()), [DriftKind::LargeObjects]);
    }
}
