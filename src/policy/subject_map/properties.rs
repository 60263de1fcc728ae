//! Properties of every schema, on random ones: trees, meshes and circles of foreign keys, with
//! unusual names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::testing::SchemaBuilder;
use super::{
    Decisions, Evidence, OnGone, Ownership, SubjectMap, check, columns_to_null, infer, owner_paths,
};
use crate::base::schema::{DatabaseSchema, ForeignKey, OwnerWays, QualifiedName};

/// One foreign key of a random table: the table it refers to, and whether it may be NULL.
type Edge = (usize, bool);

#[derive(Debug, Clone)]
struct Plan {
    names: Vec<String>,
    edges: Vec<Vec<Edge>>,
    not_valid: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let table_name = prop_oneof![
        4 => "[a-z]{1,6}",
        1 => "[a-zA-Z\"'.,= \\\\#\\n\\tÄé{}\\[\\]]{1,8}",
    ];
    proptest::collection::btree_set(table_name, 1..9).prop_flat_map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        let count = names.len();
        let edges = proptest::collection::vec((0..count, any::<bool>()), 0..4);
        (Just(names), proptest::collection::vec(edges, count), 0..20_usize)
            .prop_map(|(names, edges, not_valid)| Plan { names, edges, not_valid })
    })
}

fn schema(plan: &Plan) -> DatabaseSchema {
    let table = |number: usize| QualifiedName::new("public", &plan.names[number]);
    let mut builder = SchemaBuilder::new();
    for (number, edges) in plan.edges.iter().enumerate() {
        // No placeholder can be made up of a point.
        let mut columns = vec!["id bigint !".to_owned(), "place point !".to_owned()];
        for (edge, (_, nullable)) in edges.iter().enumerate() {
            columns.push(format!("to{edge} bigint{}", if *nullable { "" } else { " !" }));
        }
        builder = builder.table_named(table(number), &columns, &["id".to_owned()]);
    }
    let mut schema = builder.build();
    for (number, edges) in plan.edges.iter().enumerate() {
        for (edge, (target, _)) in edges.iter().enumerate() {
            schema.foreign_keys.push(ForeignKey {
                oid: 0,
                name: format!("key \"{edge}\""),
                table: table(number),
                columns: vec![format!("to{edge}")],
                referenced_table: table(*target),
                referenced_columns: vec!["id".to_owned()],
                validated: schema.foreign_keys.len() + 1 != plan.not_valid,
                match_full: false,
                temporal: false,
                on_delete: crate::base::schema::OnDelete::default(),
                on_update: crate::base::schema::OnUpdate::default(),
            });
        }
    }
    schema
}

/// Follows the first flag of everything undecided until nothing is.
fn decided(plan: &Plan, schema: &DatabaseSchema) -> SubjectMap {
    let mut flags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let root = QualifiedName::new("public", &plan.names[0]).to_string();
    flags.entry("--root".to_owned()).or_default().insert(root);
    for _ in 0..=plan.names.len() {
        let of = |flag: &str| -> Vec<String> {
            flags.get(flag).into_iter().flatten().cloned().collect()
        };
        let decisions = Decisions::parse(
            &of("--root"),
            &of("--owner"),
            &of("--shared"),
            &of("--shared-anyway"),
            &[],
        );
        let proposal = infer(schema, &decisions.unwrap(), None, &Evidence::default());
        for table in &schema.tables {
            let open =
                proposal.undecided.iter().any(|open| open.table.as_ref() == Some(&table.name));
            let known = proposal.map.tables.contains_key(&table.name);
            assert!(open != known, "{} is decided or listed, never both", table.name);
        }
        if proposal.undecided.is_empty() {
            return proposal.map;
        }
        for open in &proposal.undecided {
            let (flag, value) = open.flags[0].split_once(' ').unwrap();
            flags.entry(flag.to_owned()).or_default().insert(as_a_shell_reads(value));
        }
    }
    panic!("the flags that are offered do not decide");
}

fn as_a_shell_reads(value: &str) -> String {
    let inner = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inner.unwrap_or(value).replace(r"'\''", "'")
}

type Row = BTreeMap<String, Option<i64>>;
type Database = BTreeMap<QualifiedName, Vec<Row>>;

const ROWS: i64 = 4;

/// Every table has the same keys, so that any reference among them holds.
fn rows(schema: &DatabaseSchema, mut seed: u64) -> Database {
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut database = Database::new();
    for table in &schema.tables {
        for id in 0..ROWS {
            let mut row = Row::from([("id".to_owned(), Some(id))]);
            for column in table.columns.iter().skip(1) {
                let null = !column.not_null && next() % 3 == 0;
                let value = i64::try_from(next()).unwrap() % ROWS;
                row.insert(column.name.clone(), (!null).then_some(value));
            }
            database.entry(table.name.clone()).or_default().push(row);
        }
    }
    database
}

fn owner(database: &Database, owner: &OwnerWays, row: &Row) -> Option<i64> {
    owner.ways.iter().find_map(|path| {
        let mut row = row;
        for join in &path.joins {
            let value = row[&join.columns[0]]?;
            let key = &join.referenced_columns[0];
            row = database[&join.table].iter().find(|other| other[key] == Some(value))?;
        }
        row[&path.key_columns[0]]
    })
}

fn dangles(database: &Database, key: &ForeignKey, row: &Row) -> bool {
    row[&key.columns[0]].is_some_and(|value| {
        !database[&key.referenced_table]
            .iter()
            .any(|other| other[&key.referenced_columns[0]] == Some(value))
    })
}

/// What a restore does: leaves out the person's rows, then applies the rules until nothing changes.
fn restore(
    map: &SubjectMap,
    schema: &DatabaseSchema,
    paths: &BTreeMap<QualifiedName, Option<OwnerWays>>,
    before: &Database,
    person: i64,
) -> Database {
    let mut database = before.clone();
    for (table, rows) in &mut database {
        if let Some(path) = &paths[table] {
            rows.retain(|row| owner(before, path, row) != Some(person));
        }
    }
    loop {
        let snapshot = database.clone();
        for rule in &map.references {
            let key = schema
                .foreign_keys
                .iter()
                .find(|key| key.table == rule.table && key.name == rule.constraint)
                .unwrap();
            let nulled = columns_to_null(map, schema, rule);
            let current = database.clone();
            let rows = database.get_mut(&rule.table).unwrap();
            match rule.on_gone {
                OnGone::DropRow => rows.retain(|row| !dangles(&current, key, row)),
                OnGone::SetNull => {
                    for row in rows.iter_mut().filter(|row| dangles(&current, key, row)) {
                        for column in &nulled {
                            row.insert(column.clone(), None);
                        }
                    }
                }
                OnGone::Placeholder => unreachable!("inference proposes none"),
            }
        }
        if snapshot == database {
            return database;
        }
    }
}

proptest! {
    #[test]
    fn every_schema_is_decided_by_the_flags_that_are_offered(plan in plan()) {
        let schema = schema(&plan);
        let map = decided(&plan, &schema);
        prop_assert_eq!(check(&map, &schema), Vec::new());
        for (table, path) in owner_paths(&map, &schema).unwrap() {
            let Some(path) = path else {
                prop_assert_eq!(&map.tables[&table], &Ownership::Shared);
                continue;
            };
            for path in &path.ways {
                let mut here = schema.table(&table).unwrap();
                for join in &path.joins {
                    prop_assert!(join.columns.iter().all(|column| here.column(column).is_some()));
                    here = schema.table(&join.table).unwrap();
                    let there = |column| here.column(column).is_some();
                    prop_assert!(join.referenced_columns.iter().all(|column| there(column)));
                }
                prop_assert!(path.key_columns.iter().all(|column| here.column(column).is_some()));
            }
        }
    }

    #[test]
    fn a_written_map_is_read_back(plan in plan()) {
        let schema = schema(&plan);
        let map = decided(&plan, &schema);
        let text = map.to_toml(&schema);
        let read = SubjectMap::from_toml(&text);
        prop_assert_eq!(read.as_ref(), Ok(&map), "{}", text);
        prop_assert_eq!(read.unwrap().digest(), map.digest());
        let again = infer(&schema, &Decisions::default(), Some(&map), &Evidence::default());
        prop_assert_eq!(again.undecided, Vec::new());
        prop_assert_eq!(again.map, map);
    }

    #[test]
    fn after_a_person_is_left_out_every_reference_holds_and_owners_stay(
        plan in plan(), seed in any::<u64>(), person in 0..ROWS,
    ) {
        let schema = schema(&plan);
        let map = decided(&plan, &schema);
        let paths = owner_paths(&map, &schema).unwrap();
        let before = rows(&schema, seed);
        let after = restore(&map, &schema, &paths, &before, person);
        for key in schema.foreign_keys.iter().filter(|key| key.validated) {
            for row in &after[&key.table] {
                prop_assert!(!dangles(&after, key, row), "{} of {}", key.name, key.table);
            }
        }
        for (table, path) in &paths {
            let Some(path) = path else { continue };
            for row in &after[table] {
                let whose = owner(&after, path, row);
                prop_assert_ne!(whose, Some(person));
                let was = before[table].iter().find(|other| other["id"] == row["id"]).unwrap();
                // Only a reference that was never checked may lead nowhere afterwards.
                if plan.not_valid > schema.foreign_keys.len() || plan.not_valid == 0 {
                    prop_assert_eq!(whose, owner(&before, path, was));
                }
            }
        }
    }
}
