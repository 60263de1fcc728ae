//! The way from a table's rows to their owners, checked against the schema.

use std::collections::BTreeMap;

use super::error::MapError;
use super::index::SchemaIndex;
use super::key_types::{base_type, comparable, is_text_or_character, same_key, same_type};
use super::model::{Ownership, SubjectClass, SubjectMap, Way};
use crate::base::schema::{
    Column, DatabaseSchema, Join, OwnerPath, OwnerWays, QualifiedName, Reading, Table, TableKind,
    WayCondition,
};

/// More ways than this, counted through all tables on the way, are a mistake.
const WAYS_MAX: usize = 64;

/// The ways from a table's rows to the data subjects that own them; `None` if they are nobody's.
///
/// A partition finds the ways of the table that its rows belong to. For many tables, prefer
/// [`owner_paths`], which reads the schema once.
pub fn owner_path(
    map: &SubjectMap,
    schema: &DatabaseSchema,
    table: &QualifiedName,
) -> Result<Option<OwnerWays>, MapError> {
    walk(map, &SchemaIndex::new(schema), table)
}

/// The ways of all tables of the schema.
pub fn owner_paths(
    map: &SubjectMap,
    schema: &DatabaseSchema,
) -> Result<BTreeMap<QualifiedName, Option<OwnerWays>>, MapError> {
    let index = SchemaIndex::new(schema);
    let way = |table: &Table| Ok((table.name.clone(), walk(map, &index, &table.name)?));
    schema.tables.iter().map(way).collect()
}

pub(super) fn walk(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    start: &QualifiedName,
) -> Result<Option<OwnerWays>, MapError> {
    let (_, ownership) = mapped(map, index, start)?;
    if *ownership == Ownership::Shared {
        return Ok(None);
    }
    let mut walk = Walk { map, index, start, passed: Vec::new() };
    walk.ways_of(start).map(Some)
}

struct Walk<'w> {
    map: &'w SubjectMap,
    index: &'w SchemaIndex<'w>,
    start: &'w QualifiedName,
    /// The tables between the start and the one that is looked at.
    passed: Vec<QualifiedName>,
}

impl Walk<'_> {
    fn ways_of(&mut self, name: &QualifiedName) -> Result<OwnerWays, MapError> {
        let (table, ownership) = mapped(self.map, self.index, name)?;
        if self.passed.contains(&table.name) {
            return Err(MapError::Circle { table: self.start.clone() });
        }
        self.passed.push(table.name.clone());
        let found = match ownership {
            // The step before has refused a shared table already: it is of no class.
            Ownership::Shared => Err(MapError::UnmappedTable { table: table.name.clone() }),
            Ownership::Root { class } => {
                let class = class_of(self.map, &table.name, class)?;
                check_root(class, table)?;
                let key_columns = class.key.iter().map(|column| column.name.clone()).collect();
                let class = class.name.clone();
                Ok(OwnerPath { class, key_columns, ..OwnerPath::default() }.into())
            }
            Ownership::Owned { .. } => self.follow(table, &ownership.ways(), false),
            Ownership::Ways { ways, otherwise_shared } => {
                self.follow(table, ways, *otherwise_shared)
            }
        };
        self.passed.pop();
        found
    }

    fn follow(
        &mut self,
        table: &Table,
        ways: &[Way],
        otherwise_shared: bool,
    ) -> Result<OwnerWays, MapError> {
        let mut found = OwnerWays { ways: Vec::new(), otherwise_shared };
        for way in ways {
            let class = class_of(self.map, &table.name, &way.class)?;
            check_columns(table, &way.columns)?;
            let conditioned: Vec<String> = way.when.keys().cloned().collect();
            check_columns(table, &conditioned)?;
            let conditions = way.when.iter().map(|(column, values)| {
                let (column, values) = (column.clone(), values.clone());
                WayCondition { place: 0, column, values }
            });
            let conditions: Vec<WayCondition> = conditions.collect();
            if way.via.is_none() {
                let path = self.to_the_root(class, table, way)?;
                found.ways.push(OwnerPath { conditions, ..path });
                continue;
            }
            let further = self.through(class, table, way)?;
            found.otherwise_shared |= further.otherwise_shared;
            found.ways.extend(further.ways.into_iter().map(|mut path| {
                path.conditions.splice(..0, conditions.clone());
                path
            }));
        }
        if found.ways.is_empty() || found.ways.len() > WAYS_MAX {
            return Err(MapError::Ways { table: table.name.clone(), ways: found.ways.len() });
        }
        Ok(found)
    }

    /// A way whose columns hold the owner's key, or something else that is unique in the root.
    fn to_the_root(
        &self,
        class: &SubjectClass,
        table: &Table,
        way: &Way,
    ) -> Result<OwnerPath, MapError> {
        let (root, _) = mapped(self.map, self.index, &class.root)?;
        let key: Vec<String> = class.key.iter().map(|column| column.name.clone()).collect();
        let referenced = if way.by.is_empty() { &key } else { &way.by };
        check_count(&table.name, way.columns.len(), referenced.len())?;
        check_columns(root, referenced)?;
        if !self.index.is_unique(&class.root, referenced) {
            let (table, parent) = (table.name.clone(), class.root.clone());
            return Err(MapError::NotUnique { table, parent });
        }
        self.check_compares((table, way), root, referenced, Some(class))?;
        let join = self.join((table, way), (root, &class.root), referenced);
        let path = OwnerPath { class: class.name.clone(), ..OwnerPath::default() };
        let by_bytes = way.by.is_empty()
            && way.reading == Reading::default()
            && way.columns.iter().zip(&key).all(|(column, part)| {
                let pair = table.column(column).zip(root.column(part));
                pair.is_some_and(|(column, part)| same_key(column, part))
            });
        if !way.by.is_empty() || (!by_bytes && join.proven) {
            return Ok(OwnerPath { joins: vec![join], key_columns: key, ..path });
        }
        let key_columns = way.columns.clone();
        let lookup = (!join.proven).then_some(join);
        Ok(OwnerPath { key_columns, lookup, ..path })
    }

    /// A way through another table, and on from there.
    fn through(
        &mut self,
        class: &SubjectClass,
        table: &Table,
        way: &Way,
    ) -> Result<OwnerWays, MapError> {
        let Some(parent) = &way.via else { return Ok(OwnerWays::default()) };
        let (next, next_ownership) = mapped(self.map, self.index, &parent.table)?;
        check_columns(next, &parent.columns)?;
        check_count(&table.name, way.columns.len(), parent.columns.len())?;
        if !self.index.is_unique(&parent.table, &parent.columns) {
            let (table, parent) = (table.name.clone(), parent.table.clone());
            return Err(MapError::NotUnique { table, parent });
        }
        if !next_ownership.classes().contains(&class.name.as_str()) {
            return Err(other_owner(&table.name, &parent.table, class));
        }
        self.check_compares((table, way), next, &parent.columns, None)?;
        let mut further = self.ways_of(&parent.table)?;
        further.ways.retain(|path| path.class == class.name);
        let join = self.join((table, way), (next, &parent.table), &parent.columns);
        for path in &mut further.ways {
            path.joins.insert(0, join.clone());
            for condition in &mut path.conditions {
                condition.place += 1;
            }
        }
        Ok(further)
    }

    /// `referenced_table` may be a partition of the table `next`.
    fn join(
        &self,
        (table, way): (&Table, &Way),
        (next, referenced_table): (&Table, &QualifiedName),
        referenced: &[String],
    ) -> Join {
        let plain = way.reading == Reading::default();
        let own = (table, way.columns.as_slice());
        Join {
            columns: way.columns.clone(),
            reading: way.reading.clone(),
            table: referenced_table.clone(),
            only: next.kind == TableKind::Ordinary,
            referenced_columns: referenced.to_vec(),
            proven: plain && self.index.is_proven(own, (referenced_table, referenced)),
            optional: self.index.is_proven((next, referenced), (&table.name, &way.columns)),
        }
    }

    /// The server can compare the columns with those that they refer to, and an element or a cast is of a
    /// type that has it.
    fn check_compares(
        &self,
        (table, way): (&Table, &Way),
        next: &Table,
        referenced: &[String],
        class: Option<&SubjectClass>,
    ) -> Result<(), MapError> {
        for (name, target) in way.columns.iter().zip(referenced) {
            let pair = table.column(name).zip(next.column(target));
            let fits = pair.is_some_and(|(column, target)| compares(column, &way.reading, target));
            // What a foreign key compares, the server compares.
            let own = (table, way.columns.as_slice());
            if !fits && !self.index.is_proven(own, (&next.name, referenced)) {
                let type_name = table.column(name).map_or("", |column| &column.type_name);
                return Err(MapError::TypeDiffers {
                    table: table.name.clone(),
                    column: name.clone(),
                    type_name: type_name.to_owned(),
                    class: class.map_or_else(|| next.name.to_string(), |class| class.name.clone()),
                });
            }
        }
        Ok(())
    }
}

/// Whether what is read of the column can be compared with the target.
pub(super) fn compares(column: &Column, reading: &Reading, target: &Column) -> bool {
    let type_name = match (&reading.element, column.plain_type().strip_suffix("[]")) {
        (None, _) => column.plain_type(),
        (Some(path), Some(of)) if path.is_empty() => of,
        (Some(_), None) if matches!(column.plain_type(), "jsonb" | "json") => "text",
        (Some(_), _) => return false,
    };
    match reading.cast {
        None => comparable(type_name, target.plain_type()),
        Some(cast) => {
            let castable = is_text_or_character(&base_type(type_name))
                || cast == crate::base::schema::Cast::Text
                || comparable(type_name, "numeric") && comparable(cast.name(), "numeric");
            castable && comparable(cast.name(), target.plain_type())
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
        let path = |table| {
            let ways = owner_path(&map, &schema, &name(table)).unwrap();
            ways.map(|ways| ways.proven().unwrap().clone())
        };
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
                reading: Reading::default(),
                table: name("batches"),
                only: true,
                referenced_columns: vec!["id".to_owned()],
                proven: true,
                optional: false,
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
