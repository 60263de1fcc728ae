//! Everything that a database holds, in a form that can be compared.

use std::collections::BTreeMap;
use std::process::Command;

use strongroom::base::schema::QualifiedName;
use strongroom::postgres::Session;
use strongroom::postgres::tools::Tools;

use crate::support::{PASSWORD, TestDatabase, cluster};

/// Everything that a database holds, but its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Each table's own rows as text, sorted; partitions by themselves.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Materialised views' rows, sorted; `None` where the view is not populated.
    pub views: BTreeMap<String, Option<Vec<String>>>,
    /// `last_value` and `is_called`.
    pub sequences: BTreeMap<String, (i64, bool)>,
    /// By number: the digest of the bytes, their length, owner, rights and comment.
    pub large_objects: BTreeMap<u32, String>,
    /// What `pg_dump --schema-only` writes.
    pub schema: String,
}

/// Takes the picture of a database.
pub async fn of(database: &TestDatabase) -> Picture {
    let session = database.session().await;
    let mut tables = BTreeMap::new();
    for name in relations(&session, "r").await {
        tables.insert(name.to_string(), rows(&session, &name).await);
    }
    let mut views = BTreeMap::new();
    for name in relations(&session, "m").await {
        let statement = "SELECT relispopulated FROM pg_class WHERE oid = $1::text::regclass";
        let populated = session.query_one(statement, &[&name.quoted()]).await.unwrap().get(0);
        let rows = if populated { Some(rows(&session, &name).await) } else { None };
        views.insert(name.to_string(), rows);
    }
    let mut sequences = BTreeMap::new();
    for name in relations(&session, "S").await {
        let statement = format!("SELECT last_value, is_called FROM {}", name.quoted());
        let row = session.query_one(&statement, &[]).await.unwrap();
        sequences.insert(name.to_string(), (row.get(0), row.get(1)));
    }
    let large_objects = large_objects(&session).await;
    drop(session);
    Picture { tables, views, sequences, large_objects, schema: dumped_schema(database) }
}

/// The relations of a kind that are nobody's system and no extension's.
pub async fn relations(session: &Session, kind: &str) -> Vec<QualifiedName> {
    let statement = "
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind::text = $1 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1, 2";
    let rows = session.query(statement, &[&kind]).await.unwrap();
    rows.iter()
        .map(|row| QualifiedName::new(row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect()
}

/// A relation's own rows as text, sorted.
pub async fn rows(session: &Session, name: &QualifiedName) -> Vec<String> {
    let statement = format!(r#"SELECT "the row"::text FROM ONLY {} "the row""#, name.quoted());
    let rows = session.query(&statement, &[]).await.unwrap();
    let mut rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    rows.sort();
    rows
}

async fn large_objects(session: &Session) -> BTreeMap<u32, String> {
    let statement = "
        SELECT oid, concat_ws(' ', encode(sha256(lo_get(oid)), 'hex'), length(lo_get(oid)),
            lomowner::regrole, coalesce(lomacl::text, 'no rights'),
            coalesce(obj_description(oid, 'pg_largeobject'), 'no comment'))
        FROM pg_largeobject_metadata ORDER BY oid";
    let rows = session.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The schema as `pg_dump` writes it, without what is another every time.
pub fn dumped_schema(database: &TestDatabase) -> String {
    let tools = Tools::find(strongroom_major()).unwrap();
    let output = Command::new(tools.folder().join("pg_dump"))
        .args(["--schema-only", "--host=127.0.0.1", "--username=postgres"])
        .arg(format!("--port={}", cluster().port()))
        .arg(&database.name)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let differs =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(differs).collect::<Vec<_>>().join("\n")
}

/// The shared server's major version.
fn strongroom_major() -> u32 {
    static MAJOR: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *MAJOR.get_or_init(|| {
        let file = cluster().folder().join("data/PG_VERSION");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    })
}

impl Picture {
    /// Fails, telling the first differences, unless both hold the same.
    pub fn assert_is(&self, expected: &Self) {
        let differences = self.differences(expected);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    /// Where `self` is not as `expected`, one line each.
    pub fn differences(&self, expected: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("table", &self.tables, &expected.tables, &mut found);
        compare("view", &self.views, &expected.views, &mut found);
        compare("sequence", &self.sequences, &expected.sequences, &mut found);
        compare("large object", &self.large_objects, &expected.large_objects, &mut found);
        let lines = self.schema.lines().zip(expected.schema.lines());
        if let Some((is, expected)) = lines.into_iter().find(|(is, expected)| is != expected) {
            found.push(format!("schema: is `{is}`, expected `{expected}`"));
        } else if self.schema != expected.schema {
            found.push("schema: one is longer".to_owned());
        }
        found
    }
}

fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    are: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
    found: &mut Vec<String>,
) {
    for (name, value) in are {
        match expected.get(name) {
            Some(other) if other == value => {}
            other => found.push(format!("{what} {name:?}: is {value:?}, expected {other:?}")),
        }
    }
    let missing = expected.keys().filter(|name| !are.contains_key(name));
    found.extend(missing.map(|name| format!("{what} {name:?} is missing")));
}
