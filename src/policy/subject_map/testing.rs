//! Schemas by hand, for tests.

use super::decisions::Decisions;
use super::evidence::Evidence;
use super::infer::{Proposal, infer};
use super::model::SubjectMap;
use crate::base::schema::{
    Column, DatabaseSchema, DatabaseSettings, ForeignKey, QualifiedName, Table, TableKind,
};

/// Builds a schema table by table. Names are read as SQL reads them (`public` by default).
pub(super) struct SchemaBuilder(DatabaseSchema);

impl SchemaBuilder {
    pub(super) fn new() -> Self {
        Self(DatabaseSchema {
            server_version_num: 150_018,
            database: DatabaseSettings {
                name: "main".to_owned(),
                encoding: "UTF8".to_owned(),
                collate: "C".to_owned(),
                ctype: "C".to_owned(),
                locale_provider: 'c',
                locale: None,
                icu_rules: None,
            },
            tables: Vec::new(),
            foreign_keys: Vec::new(),
            sequences: Vec::new(),
            materialized_views: Vec::new(),
            foreign_tables: Vec::new(),
            extension_tables: Vec::new(),
            large_objects: 0,
            roles: Vec::new(),
        })
    }

    /// Columns are `name type`, with ` !` for NOT NULL and ` =` for a default; the primary key's
    /// columns are separated by commas.
    pub(super) fn table(self, table: &str, columns: &[&str], primary_key: &str) -> Self {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        self.table_named(name(table), &columns, &list(primary_key))
    }

    pub(super) fn table_named(
        mut self,
        name: QualifiedName,
        columns: &[String],
        primary_key: &[String],
    ) -> Self {
        self.0.tables.push(Table {
            oid: 0,
            name,
            kind: TableKind::Ordinary,
            unlogged: false,
            columns: columns.iter().map(|text| column(text)).collect(),
            primary_key: primary_key.to_vec(),
            inherits: Vec::new(),
            partitions: Vec::new(),
            rows_estimated: 0,
            bytes_estimated: 0,
            unique: Vec::new(),
            checks: Vec::new(),
        });
        self
    }

    pub(super) fn inherits(mut self, table: &str, parent: &str) -> Self {
        self.edit(table, |table| table.inherits.push(name(parent)));
        self
    }

    pub(super) fn partition(mut self, table: &str, partition: &str) -> Self {
        self.edit(table, |table| {
            table.kind = TableKind::Partitioned;
            table.partitions.push(name(partition));
        });
        self
    }

    /// A foreign key named after its table and columns, `items_batch_id_fkey`.
    pub(super) fn references(
        mut self,
        table: &str,
        columns: &str,
        referenced_table: &str,
        referenced_columns: &str,
    ) -> Self {
        let constraint = format!("{}_{}_fkey", name(table).name, columns.replace(',', "_"));
        self.0.foreign_keys.push(ForeignKey {
            oid: 0,
            name: constraint,
            table: name(table),
            columns: list(columns),
            referenced_table: name(referenced_table),
            referenced_columns: list(referenced_columns),
            validated: true,
            match_full: false,
            temporal: false,
            on_delete: crate::base::schema::OnDelete::default(),
            on_update: crate::base::schema::OnUpdate::default(),
        });
        self
    }

    /// Changes the foreign key that was added last.
    pub(super) fn last_key(mut self, change: impl FnOnce(&mut ForeignKey)) -> Self {
        change(self.0.foreign_keys.last_mut().unwrap());
        self
    }

    pub(super) fn large_objects(mut self, count: u64) -> Self {
        self.0.large_objects = count;
        self
    }

    pub(super) fn build(mut self) -> DatabaseSchema {
        self.0.tables.sort_by(|left, right| left.name.cmp(&right.name));
        self.0
            .foreign_keys
            .sort_by(|left, right| (&left.table, &left.name).cmp(&(&right.table, &right.name)));
        self.0
    }

    fn edit(&mut self, table: &str, change: impl FnOnce(&mut Table)) {
        let wanted = name(table);
        change(self.0.tables.iter_mut().find(|table| table.name == wanted).unwrap());
    }
}

pub(super) fn name(text: &str) -> QualifiedName {
    text.parse().unwrap()
}

pub(super) fn decisions(roots: &[&str], owners: &[&str], shared: &[&str]) -> Decisions {
    let texts = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    Decisions::parse(&texts(roots), &texts(owners), &texts(shared), &[], &[]).unwrap()
}

pub(super) fn propose(
    schema: &DatabaseSchema,
    roots: &[&str],
    owners: &[&str],
    shared: &[&str],
) -> Proposal {
    infer(schema, &decisions(roots, owners, shared), None, &Evidence::default())
}

/// The map, where nothing is left undecided.
pub(super) fn infer_all(
    schema: &DatabaseSchema,
    roots: &[&str],
    owners: &[&str],
    shared: &[&str],
) -> SubjectMap {
    let proposal = propose(schema, roots, owners, shared);
    assert_eq!(proposal.undecided, [], "everything is decided");
    proposal.map
}

fn column(text: &str) -> Column {
    let (name, rest) = text.split_once(' ').unwrap();
    let type_name = rest.trim_end_matches(['!', '=', ' ']);
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_oid: 0,
        not_null: rest.contains('!'),
        has_default: rest.contains('='),
        generated: false,
        equality: crate::base::schema::Equality::default(),
        domain_over: None,
    }
}

fn list(columns: &str) -> Vec<String> {
    columns.split(',').filter(|column| !column.is_empty()).map(str::to_owned).collect()
}
