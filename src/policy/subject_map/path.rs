//! The way from a table's rows to their owners, checked against the schema.

use std::collections::{BTreeMap, BTreeSet};

use super::error::MapError;
use super::index::SchemaIndex;
use super::key_types::{same_text, same_type};
use super::model::{Ownership, SubjectClass, SubjectMap};
use crate::base::schema::{DatabaseSchema, Join, OwnerPath, QualifiedName, Table, TableKind};

/// The way from a table's rows to the data subjects that own them; `None` if they are nobody's.
///
/// A partition finds the way of the table that its rows belong to. For many tables, prefer
/// [`owner_paths`], which reads the schema once.
pub fn owner_path(
    map: &SubjectMap,
    schema: &DatabaseSchema,
    table: &QualifiedName,
) -> Result<Option<OwnerPath>, MapError> {
    walk(map, &SchemaIndex::new(schema), table)
}

/// The ways of all tables of the schema.
pub fn owner_paths(
    map: &SubjectMap,
    schema: &DatabaseSchema,
) -> Result<BTreeMap<QualifiedName, Option<OwnerPath>>, MapError> {
    let index = SchemaIndex::new(schema);
    let way = |table: &Table| Ok((table.name.clone(), walk(map, &index, &table.name)?));
    schema.tables.iter().map(way).collect()
}

pub(super) fn walk(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    start: &QualifiedName,
) -> Result<Option<OwnerPath>, MapError> {
    let mut joins = Vec::new();
    let mut visited = BTreeSet::new();
    let (mut table, mut ownership) = mapped(map, index, start)?;
    let Some(class_name) = ownership.class() else { return Ok(None) };
    let class = class_of(map, &table.name, class_name)?;
    loop {
        if !visited.insert(&table.name) {
            return Err(MapError::Circle { table: start.clone() });
        }
        match ownership {
            // The step before has refused a shared table already: it is of no class.
            Ownership::Shared => return Err(other_owner(&table.name, &table.name, class)),
            Ownership::Root { .. } => {
                check_root(class, table)?;
                let key_columns = class.key.iter().map(|column| column.name.clone()).collect();
                return Ok(Some(OwnerPath { class: class.name.clone(), joins, key_columns }));
            }
            Ownership::Owned { columns, via: None, .. } => {
                check_holds_key(class, table, columns)?;
                let key_columns = columns.clone();
                return Ok(Some(OwnerPath { class: class.name.clone(), joins, key_columns }));
            }
            Ownership::Owned { columns, via: Some(parent), .. } => {
                check_columns(table, columns)?;
                let (next, next_ownership) = mapped(map, index, &parent.table)?;
                check_columns(next, &parent.columns)?;
                check_count(&table.name, columns.len(), parent.columns.len())?;
                if !index.is_unique(&parent.table, &parent.columns) {
                    let (table, parent) = (table.name.clone(), parent.table.clone());
                    return Err(MapError::NotUnique { table, parent });
                }
                if next_ownership.class() != Some(&class.name) {
                    return Err(other_owner(&table.name, &parent.table, class));
                }
                joins.push(Join {
                    columns: columns.clone(),
                    table: parent.table.clone(),
                    only: next.kind == TableKind::Ordinary,
                    referenced_columns: parent.columns.clone(),
                });
                (table, ownership) = (next, next_ownership);
            }
        }
    }
}

/// The class's root is there, with the primary key that the class was made for.
pub(super) fn check_root(class: &SubjectClass, table: &Table) -> Result<(), MapError> {
    if table.name != class.root {
        let (class, table) = (class.name.clone(), table.name.clone());
        return Err(MapError::RootMismatch { class, table });
    }
    let same = class.key.len() == table.primary_key.len()
        && class.key.iter().zip(&table.primary_key).all(|(key, column)| {
            let found = table.column(column);
            key.name == *column
                && found.is_some_and(|found| same_type(&found.type_name, &key.type_name))
        });
    if same {
        Ok(())
    } else {
        Err(MapError::KeyChanged { class: class.name.clone(), table: table.name.clone() })
    }
}

fn mapped<'m, 's>(
    map: &'m SubjectMap,
    index: &SchemaIndex<'s>,
    name: &QualifiedName,
) -> Result<(&'s Table, &'m Ownership), MapError> {
    let table = index.table(name).ok_or_else(|| MapError::MissingTable { table: name.clone() })?;
    match map.tables.get(&table.name) {
        Some(ownership) => Ok((table, ownership)),
        None => Err(MapError::UnmappedTable { table: table.name.clone() }),
    }
}

fn class_of<'m>(
    map: &'m SubjectMap,
    table: &QualifiedName,
    class: &str,
) -> Result<&'m SubjectClass, MapError> {
    map.class(class)
        .ok_or_else(|| MapError::UnknownClass { table: table.clone(), class: class.to_owned() })
}

fn other_owner(table: &QualifiedName, parent: &QualifiedName, class: &SubjectClass) -> MapError {
    let (table, parent) = (table.clone(), parent.clone());
    MapError::OtherOwner { table, parent, class: class.name.clone() }
}

fn check_holds_key(
    class: &SubjectClass,
    table: &Table,
    columns: &[String],
) -> Result<(), MapError> {
    check_columns(table, columns)?;
    check_count(&table.name, columns.len(), class.key.len())?;
    for (name, key) in columns.iter().zip(&class.key) {
        let type_name = table.column(name).map_or("", |column| &column.type_name);
        if !same_text(type_name, &key.type_name) {
            return Err(MapError::TypeDiffers {
                table: table.name.clone(),
                column: name.clone(),
                type_name: type_name.to_owned(),
                class: class.name.clone(),
            });
        }
    }
    Ok(())
}

fn check_columns(table: &Table, columns: &[String]) -> Result<(), MapError> {
    match columns.iter().find(|name| table.column(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            Err(MapError::MissingColumn { table: table.name.clone(), column: name.clone() })
        }
    }
}

fn check_count(table: &QualifiedName, given: usize, needed: usize) -> Result<(), MapError> {
    if given == needed && given > 0 {
        Ok(())
    } else {
        Err(MapError::ColumnCount { table: table.clone(), given, needed: needed.max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Parent;
    use super::super::testing::{SchemaBuilder, infer_all, name};
    use super::*;

    fn schema() -> DatabaseSchema {
        SchemaBuilder::new()
            .table("users", &["id bigint !"], "id")
            .table("batches", &["id bigint !", "user_id bigint"], "id")
            .table("items", &["id bigint !", "batch_id bigint !"], "id")
            .table("currencies", &["code text !"], "code")
            .references("batches", "user_id", "users", "id")
            .references("items", "batch_id", "batches", "id")
            .build()
    }

    #[test]
    fn a_path_joins_parents_until_the_key_is_at_hand() {
        let schema = schema();
        let map = infer_all(&schema, &["users"], &[], &["currencies"]);
        let path = |table| owner_path(&map, &schema, &name(table)).unwrap();
        let users = path("users").unwrap();
        assert_eq!((users.joins.len(), users.key_columns), (0, vec!["id".to_owned()]));
        let batches = path("batches").unwrap();
        assert_eq!((batches.joins.len(), batches.key_columns), (0, vec!["user_id".to_owned()]));
        let items = path("items").unwrap();
        assert_eq!(items.class, "users");
        assert_eq!(items.key_columns, ["user_id"]);
        assert_eq!(
            items.joins,
            [Join {
                columns: vec!["batch_id".to_owned()],
                table: name("batches"),
                only: true,
                referenced_columns: vec!["id".to_owned()],
            }]
        );
        assert_eq!(path("currencies"), None);
        assert_eq!(owner_paths(&map, &schema).unwrap().len(), 4);
    }

    #[test]
    fn a_map_that_does_not_fit_is_an_error_that_names_the_table() {
        let schema = schema();
        let good = infer_all(&schema, &["users"], &[], &["currencies"]);
        let owned = |columns: &[&str], via: Option<(&str, &str)>| Ownership::Owned {
            class: "users".to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            via: via.map(|(table, column)| Parent {
                table: name(table),
                columns: vec![column.to_owned()],
            }),
        };
        for (ownership, message) in [
            (owned(&["gone"], None), "column `gone` of table `public.items`"),
            (owned(&["id", "batch_id"], None), "2 owner column(s) where 1"),
            (owned(&["batch_id"], Some(("gone", "id"))), "table `public.gone`"),
            (owned(&["batch_id"], Some(("batches", "user_id"))), "not known to be unique"),
            (owned(&["batch_id"], Some(("currencies", "code"))), "does not belong to `users`"),
            (owned(&["id"], Some(("items", "id"))), "in a circle"),
        ] {
            let mut map = good.clone();
            map.tables.insert(name("items"), ownership);
            let error = owner_path(&map, &schema, &name("items")).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
