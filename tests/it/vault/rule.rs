//! What a restore must give after an erasure, computed by SQL in a copy of the source: nothing here
//! uses the program's own ways, only the subject map that it wrote.

use std::collections::{BTreeMap, BTreeSet};

use strongroom::base::schema::{QualifiedName, quote_identifier};
use strongroom::policy::subject_map::{OnGone, Ownership, SubjectMap, Way};
use strongroom::postgres::Session;

/// Between the parts of a composite key; in no value.
const BETWEEN: &str = "\u{1}";

/// A person: the class and the parts of her key as text.
pub type Person = (String, Vec<String>);

/// Deletes what these people own, and then follows the map's rules. How many rows were theirs.
pub async fn apply(session: &Session, map: &SubjectMap, gone: &[Person]) -> u64 {
    session.batch("triggers", "SET session_replication_role = replica").await.unwrap();
    let owned = delete_owned(session, map, gone).await;
    let keys = foreign_keys(session).await;
    while mend(session, map, &keys).await > 0 {}
    owned
}

/// Who owns which row, to begin with the rows that hold a key themselves.
async fn delete_owned(session: &Session, map: &SubjectMap, gone: &[Person]) -> u64 {
    let create = "CREATE TEMP TABLE owned (relation text, row_id tid, class text, owner text)";
    session.batch("owners", create).await.unwrap();
    let mut open: BTreeMap<&QualifiedName, &Ownership> = map.tables.iter().collect();
    let mut known: BTreeSet<&QualifiedName> = BTreeSet::new();
    while !open.is_empty() {
        let before = open.len();
        for (name, ownership) in open.clone() {
            let ways = ownership.ways();
            let waits = |way: &Way| way.via.as_ref().is_some_and(|via| !known.contains(&via.table));
            if ways.iter().any(waits) {
                continue;
            }
            let mut from: Vec<String> = ways.iter().map(|way| by_way(name, way)).collect();
            if let Ownership::Root { class } = ownership {
                let key = &map.class(class).unwrap().key;
                let columns: Vec<_> = key.iter().map(|column| column.name.clone()).collect();
                from.push(by_columns(name, class, &columns));
            }
            // The first way that gives an owner.
            for from in from {
                let insert = format!(
                    "INSERT INTO owned SELECT * FROM ({from}) AS f (relation, row_id, class, owner)
                     WHERE f.owner IS NOT NULL AND NOT EXISTS (SELECT FROM owned o
                        WHERE o.relation = f.relation AND o.row_id = f.row_id)"
                );
                session.batch("owners", &insert).await.unwrap();
            }
            known.insert(name);
            open.remove(name);
        }
        assert!(open.len() < before, "the map goes in circles: {open:?}");
    }
    let mut deleted = 0;
    for name in map.tables.keys() {
        for (class, key) in gone {
            let statement = format!(
                "DELETE FROM {0} WHERE ctid IN (SELECT row_id FROM owned
                    WHERE relation = '{0}' AND class = $1::text AND owner = $2::text)",
                name.quoted()
            );
            deleted += session.execute(&statement, &[class, &key.join(BETWEEN)]).await.unwrap();
        }
    }
    deleted
}

fn by_way(name: &QualifiedName, way: &Way) -> String {
    assert!(way.is_plain(), "the rule knows no other ways: {way:?}");
    let Some(via) = &way.via else { return by_columns(name, &way.class, &way.columns) };
    let equal: Vec<String> = way
        .columns
        .iter()
        .zip(&via.columns)
        .map(|(own, theirs)| {
            format!("t.{} = p.{}", quote_identifier(own), quote_identifier(theirs))
        })
        .collect();
    format!(
        "SELECT '{0}', t.ctid, '{class}', o.owner FROM {0} t JOIN {1} p ON {2}
         JOIN owned o ON o.relation = '{1}' AND o.row_id = p.ctid",
        name.quoted(),
        via.table.quoted(),
        equal.join(" AND "),
        class = way.class,
    )
}

fn by_columns(name: &QualifiedName, class: &str, columns: &[String]) -> String {
    let texts: Vec<String> =
        columns.iter().map(|column| format!("t.{}::text", quote_identifier(column))).collect();
    // `||` gives NULL, nobody, if a part is NULL.
    let owner = texts.join(&format!(" || '{BETWEEN}' || "));
    format!("SELECT '{0}', t.ctid, '{class}', {owner} FROM {0} t", name.quoted())
}

struct Key {
    table: QualifiedName,
    name: String,
    columns: Vec<String>,
    referenced: QualifiedName,
    referenced_columns: Vec<String>,
    /// Of `columns`, those that may be NULL.
    nullable: Vec<String>,
}

async fn foreign_keys(session: &Session) -> Vec<Key> {
    let statement = "
        SELECT tn.nspname, t.relname, c.conname, rn.nspname, r.relname,
            ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
                  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY place),
            ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, place)
                  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.number ORDER BY place),
            ARRAY(SELECT a.attname::text FROM pg_attribute a
                  WHERE a.attrelid = t.oid AND a.attnum = ANY (c.conkey) AND NOT a.attnotnull)
        FROM pg_constraint c
        JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
        JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
        WHERE c.contype = 'f' ORDER BY 1, 2, 3";
    let rows = session.query(statement, &[]).await.unwrap();
    let name = |schema: &str, name: &str| QualifiedName::new(schema, name);
    rows.iter()
        .map(|row| Key {
            table: name(row.get(0), row.get(1)),
            name: row.get(2),
            referenced: name(row.get(3), row.get(4)),
            columns: row.get(5),
            referenced_columns: row.get(6),
            nullable: row.get(7),
        })
        .collect()
}

/// Goes once through all foreign keys; how many rows were changed.
async fn mend(session: &Session, map: &SubjectMap, keys: &[Key]) -> u64 {
    let mut changed = 0;
    for key in keys {
        let set: Vec<String> =
            key.columns.iter().map(|column| format!("t.{}", quote_identifier(column))).collect();
        let equal: Vec<String> = set
            .iter()
            .zip(&key.referenced_columns)
            .map(|(own, theirs)| format!("{own} = p.{}", quote_identifier(theirs)))
            .collect();
        let dangling = format!(
            "num_nulls({}) = 0 AND NOT EXISTS (SELECT FROM {} p WHERE {})",
            set.join(", "),
            key.referenced.quoted(),
            equal.join(" AND ")
        );
        let table = key.table.quoted();
        let count = format!("SELECT count(*) FROM {table} t WHERE {dangling}");
        if session.query_one(&count, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            continue;
        }
        let rule = map.reference(&key.table, &key.name);
        let rule = rule.unwrap_or_else(|| panic!("{} of {table} dangles without a rule", key.name));
        let statement = match rule.on_gone {
            OnGone::DropRow => format!("DELETE FROM {table} t WHERE {dangling}"),
            OnGone::SetNull => {
                let columns = columns_to_null(map, keys, key);
                assert!(!columns.is_empty(), "{} of {table} cannot be released", key.name);
                let set: Vec<String> = columns
                    .iter()
                    .map(|column| format!("{} = NULL", quote_identifier(column)))
                    .collect();
                format!("UPDATE {table} t SET {} WHERE {dangling}", set.join(", "))
            }
            OnGone::Placeholder => {
                let class = map.classes.iter().find(|class| class.root == key.referenced).unwrap();
                let row = class.placeholder.as_ref().unwrap();
                let literal = |value: &String| format!("'{}'", value.replace('\'', "''"));
                let columns: Vec<String> = row.keys().map(|name| quote_identifier(name)).collect();
                let values: Vec<String> = row.values().map(literal).collect();
                let insert = format!(
                    "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
                    key.referenced.quoted(),
                    columns.join(", "),
                    values.join(", ")
                );
                session.execute(&insert, &[]).await.unwrap();
                let pairs = key.columns.iter().zip(&key.referenced_columns);
                let set: Vec<String> = pairs
                    .map(|(own, theirs)| {
                        format!("{} = {}", quote_identifier(own), literal(&row[theirs]))
                    })
                    .collect();
                format!("UPDATE {table} t SET {} WHERE {dangling}", set.join(", "))
            }
        };
        changed += session.execute(&statement, &[]).await.unwrap();
    }
    changed
}

/// A row must not become nobody's, and what others refer to stays.
fn columns_to_null(map: &SubjectMap, keys: &[Key], key: &Key) -> Vec<String> {
    let own = match &map.tables[&key.table] {
        Ownership::Owned { columns, .. } => columns.clone(),
        Ownership::Ways { ways, .. } => ways[0].columns.clone(),
        Ownership::Root { class } => {
            map.class(class).unwrap().key.iter().map(|column| column.name.clone()).collect()
        }
        Ownership::Shared => Vec::new(),
    };
    let referred = |column: &String| {
        keys.iter()
            .any(|other| other.referenced == key.table && other.referenced_columns.contains(column))
    };
    let free = |column: &&String| !own.contains(column) && !referred(column);
    key.nullable.iter().filter(free).cloned().collect()
}
