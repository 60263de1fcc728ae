//! A database's schema, indexed by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::schema::{DatabaseSchema, ForeignKey, QualifiedName, Table};

/// Finds tables, foreign keys and unique columns without searching the whole schema each time.
pub(super) struct SchemaIndex<'s> {
    pub(super) schema: &'s DatabaseSchema,
    tables: BTreeMap<&'s QualifiedName, &'s Table>,
    foreign_keys: BTreeMap<&'s QualifiedName, Vec<&'s ForeignKey>>,
    foreign_keys_to: BTreeMap<&'s QualifiedName, Vec<&'s ForeignKey>>,
    unique: BTreeMap<&'s QualifiedName, Vec<BTreeSet<&'s str>>>,
    referred_to: BTreeSet<(&'s QualifiedName, &'s str)>,
}

impl<'s> SchemaIndex<'s> {
    pub(super) fn new(schema: &'s DatabaseSchema) -> Self {
        let mut tables = BTreeMap::new();
        let mut unique: BTreeMap<_, Vec<BTreeSet<&str>>> = BTreeMap::new();
        for table in &schema.tables {
            for partition in &table.partitions {
                tables.insert(partition, table);
            }
            if !table.primary_key.is_empty() {
                unique.entry(&table.name).or_default().push(set(&table.primary_key));
            }
            unique.entry(&table.name).or_default().extend(table.unique.iter().map(|one| set(one)));
        }
        // A table's own name wins over its being listed as a partition.
        tables.extend(schema.tables.iter().map(|table| (&table.name, table)));
        let mut referred_to = BTreeSet::new();
        let mut foreign_keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut foreign_keys_to: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for key in &schema.foreign_keys {
            foreign_keys.entry(&key.table).or_default().push(key);
            if !key.temporal {
                unique.entry(&key.referenced_table).or_default().push(set(&key.referenced_columns));
            }
            if let Some(table) = tables.get(&key.referenced_table) {
                foreign_keys_to.entry(&table.name).or_default().push(key);
                let columns = key.referenced_columns.iter();
                referred_to.extend(columns.map(|column| (&table.name, column.as_str())));
            }
        }
        Self { schema, tables, foreign_keys, foreign_keys_to, unique, referred_to }
    }

    /// The table of that name; a partition finds the table that its rows belong to.
    pub(super) fn table(&self, name: &QualifiedName) -> Option<&'s Table> {
        self.tables.get(name).copied()
    }

    /// The foreign keys of exactly that table, not of its partitions.
    pub(super) fn foreign_keys_of(&self, table: &QualifiedName) -> &[&'s ForeignKey] {
        self.foreign_keys.get(table).map_or(&[], Vec::as_slice)
    }

    /// The foreign keys that lead to the table or one of its partitions.
    pub(super) fn foreign_keys_to(&self, table: &QualifiedName) -> &[&'s ForeignKey] {
        self.foreign_keys_to.get(table).map_or(&[], Vec::as_slice)
    }

    /// The foreign key of that table and name.
    pub(super) fn foreign_key(&self, table: &QualifiedName, name: &str) -> Option<&'s ForeignKey> {
        self.foreign_keys_of(table).iter().copied().find(|key| key.name == name)
    }

    /// Whether a foreign key says that these columns, where none is NULL, find a row by those.
    pub(super) fn is_proven(
        &self,
        (table, columns): (&Table, &[String]),
        (referenced_table, referenced): (&QualifiedName, &[String]),
    ) -> bool {
        let same_table = |name: &QualifiedName| {
            let whole = |name| self.table(name).map(|found| &found.name);
            name == referenced_table
                || whole(name).is_some() && whole(name) == whole(referenced_table)
        };
        self.foreign_keys_of(&table.name).iter().any(|key| {
            key.validated
                && !key.temporal
                && same_table(&key.referenced_table)
                && key.columns.len() == columns.len()
                && columns.iter().zip(referenced).all(|(column, target)| {
                    let mut pairs = key.columns.iter().zip(&key.referenced_columns);
                    pairs.any(|pair| pair == (column, target))
                })
        })
    }

    /// Whether the way is a foreign key of the other table.
    pub(super) fn is_reverse(
        &self,
        table: &QualifiedName,
        columns: &[String],
        via: Option<&super::model::Parent>,
    ) -> bool {
        via.and_then(|via| self.table(&via.table).map(|other| (other, via.columns.as_slice())))
            .is_some_and(|from| self.is_proven(from, (table, columns)))
    }

    /// Whether the columns are known to be unique together: by a constraint or an index, or because a
    /// foreign key refers to them.
    pub(super) fn is_unique(&self, table: &QualifiedName, columns: &[String]) -> bool {
        let columns = set(columns);
        let whole = self.table(table).map(|found| &found.name);
        [Some(table), whole]
            .into_iter()
            .flatten()
            .filter_map(|name| self.unique.get(name))
            .flatten()
            .any(|unique| unique.is_subset(&columns))
    }

    /// Whether a foreign key refers to the column of the table or of one of its partitions.
    pub(super) fn is_referred_to(&self, table: &Table, column: &str) -> bool {
        self.referred_to.contains(&(&table.name, column))
    }

    /// The table whose name is nearest to one that does not exist.
    pub(super) fn nearest_table(&self, name: &QualifiedName) -> Option<&'s QualifiedName> {
        let wanted = name.to_string();
        let nearest =
            |other: &QualifiedName| strsim::damerau_levenshtein(&wanted, &other.to_string());
        self.schema.tables.iter().map(|table| &table.name).min_by_key(|other| nearest(other))
    }
}

/// The column of a table whose name is nearest to one that does not exist.
pub(super) fn nearest_column<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    let names = table.columns.iter().map(|column| column.name.as_str());
    names.min_by_key(|other| strsim::damerau_levenshtein(name, other))
}

fn set(columns: &[String]) -> BTreeSet<&str> {
    columns.iter().map(String::as_str).collect()
}
