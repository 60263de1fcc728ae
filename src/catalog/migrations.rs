//! The catalog's schema, from the numbered files under `catalog-schema/`.
//!
//! A file that was released is never edited again: what changes goes into the next number.

use rusqlite_migration::{M, Migrations};

/// The files, in order. The catalog's version is how many of them were applied.
const FILES: [&str; 10] = [
    include_str!("../../catalog-schema/0001_keys.sql"),
    include_str!("../../catalog-schema/0002_backups.sql"),
    include_str!("../../catalog-schema/0003_forgetting.sql"),
    include_str!("../../catalog-schema/0004_audit.sql"),
    include_str!("../../catalog-schema/0005_custody.sql"),
    include_str!("../../catalog-schema/0006_replica.sql"),
    include_str!("../../catalog-schema/0007_stores.sql"),
    include_str!("../../catalog-schema/0008_layers.sql"),
    include_str!("../../catalog-schema/0009_custody.sql"),
    include_str!("../../catalog-schema/0010_tombstones.sql"),
];

/// The version that this program writes.
pub(super) const VERSION: i64 = {
    assert!(FILES.len() == 10, "one more file is one more version");
    10
};

/// All migrations, with a check of all foreign keys after each.
pub(super) fn all() -> Migrations<'static> {
    Migrations::new(FILES.iter().map(|sql| M::up(sql).foreign_key_check()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rusqlite::Connection;

    use super::*;

    /// `table` and `table.column` for everything that has a comment directly above it.
    fn commented(sql: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut table: Option<String> = None;
        let mut above = "";
        for line in sql.lines() {
            let word = |text: &str| {
                text.split([' ', ',']).next().unwrap_or_default().trim_matches('"').to_owned()
            };
            let has_comment = above.trim_start().starts_with("-- ");
            if let (true, Some(rest)) = (has_comment, line.strip_prefix("ALTER TABLE "))
                && let Some((table, column)) = rest.split_once(" ADD COLUMN ")
            {
                found.insert(format!("{table}.{}", word(column)));
            }
            if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                let name = word(rest);
                if has_comment {
                    found.insert(name.clone());
                }
                table = Some(name);
            } else if line.starts_with(')') {
                table = None;
            } else if let (Some(table), true, Some(rest)) =
                (&table, has_comment, line.strip_prefix("    "))
                && rest.starts_with(|c: char| c.is_ascii_lowercase())
            {
                found.insert(format!("{table}.{}", word(rest)));
            }
            above = line;
        }
        found
    }

    fn in_memory() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        all().to_latest(&mut connection).unwrap();
        connection
    }

    fn column<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Vec<T> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_migrations_apply_to_an_empty_database() {
        all().validate().unwrap();
        let version: i64 =
            in_memory().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, VERSION);
    }

    #[test]
    fn every_table_and_every_column_has_a_comment() {
        let connection = in_memory();
        let commented: BTreeSet<String> = FILES.iter().flat_map(|sql| commented(sql)).collect();
        let existing: BTreeSet<String> = column::<String>(
            &connection,
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             UNION ALL
             SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .into_iter()
        .collect();
        assert!(existing.len() > 80, "{} is too few: was anything read?", existing.len());
        assert_eq!(existing.difference(&commented).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(commented.difference(&existing).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn every_table_is_strict() {
        let loose: Vec<String> = column(
            &in_memory(),
            "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND NOT strict AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        );
        assert_eq!(loose, Vec::<String>::new());
    }

    #[test]
    fn the_files_are_numbered_as_they_are_applied() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalog-schema");
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), FILES.len());
        for (number, (path, applied)) in names.iter().zip(FILES).enumerate() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(&format!("{:04}_", number + 1)), "{name}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), applied, "{name}");
        }
    }
}
