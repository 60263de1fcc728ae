//! What a restore asks of the server and the database that it writes to.

use super::OF_THE_USER;
use crate::base::schema::{
    DatabaseSettings, QualifiedName, Sequence, quote_identifier, quote_literal,
};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::connect::url::ConnectionSettings;
use crate::postgres::error::PostgresError;

/// Makes an empty database like the source's: same encoding, same locale. `maintenance` is a
/// database of the same server to connect to meanwhile, usually `postgres`.
pub async fn create_database(
    maintenance: &ConnectionSettings,
    name: &str,
    like: &DatabaseSettings,
) -> Result<(), PostgresError> {
    let session = Session::connect(maintenance).await?;
    let statement = create_statement(session.server_major(), name, like)?;
    session.batch(&format!("the database {}", quote_identifier(name)), &statement).await
}

fn create_statement(
    target_major: u32,
    name: &str,
    like: &DatabaseSettings,
) -> Result<String, PostgresError> {
    let statement = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote_identifier(name),
        quote_literal(&like.encoding),
        quote_literal(&like.collate),
        quote_literal(&like.ctype)
    );
    let locale = quote_literal(like.locale.as_deref().unwrap_or_default());
    let unsupported = |provider| PostgresError::LocaleProvider { major: target_major, provider };
    match like.locale_provider {
        'i' if target_major < 15 => Err(unsupported("ICU")),
        'b' if target_major < 17 => Err(unsupported("builtin")),
        'i' => {
            let rules = match like.icu_rules.as_deref() {
                Some(_) if target_major < 16 => return Err(unsupported("ICU with rules")),
                Some(rules) => format!(" ICU_RULES {}", quote_literal(rules)),
                None => String::new(),
            };
            Ok(format!("{statement} LOCALE_PROVIDER icu ICU_LOCALE {locale}{rules}"))
        }
        'b' => Ok(format!("{statement} LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}")),
        // The server's own default may be another.
        _ if target_major >= 15 => Ok(format!("{statement} LOCALE_PROVIDER libc")),
        _ => Ok(statement),
    }
}

/// The first few relations of users: tables, views, sequences, foreign tables.
pub async fn user_relations(
    session: &Session,
    at_most: u32,
) -> Result<Vec<QualifiedName>, PostgresError> {
    let statement = format!(
        "SELECT n.nspname, c.relname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {OF_THE_USER}
        ORDER BY c.relkind NOT IN ('r', 'p'), 1, 2 LIMIT {at_most}"
    );
    let rows = session.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| Ok(QualifiedName::new(value::<String>(row, 0)?, value::<String>(row, 1)?)))
        .collect()
}

/// Refuses the name of a database that the server has.
pub async fn ensure_no_database(session: &Session, name: &str) -> Result<(), PostgresError> {
    let found = session.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?;
    if found.is_empty() {
        return Ok(());
    }
    Err(PostgresError::DatabaseExists { database: name.to_owned() })
}

/// Refuses a database that holds anything of a user's.
pub async fn ensure_empty(session: &Session) -> Result<(), PostgresError> {
    const NAMED: u32 = 5;
    let relations = user_relations(session, NAMED).await?;
    if relations.is_empty() {
        return Ok(());
    }
    let database = session.settings().database().to_owned();
    Err(PostgresError::NotEmpty { database, relations })
}

/// Which of these roles the server does not have, in their order.
pub async fn missing_roles(
    session: &Session,
    roles: &[String],
) -> Result<Vec<String>, PostgresError> {
    let statement = "
        SELECT wanted FROM unnest($1::text[]) WITH ORDINALITY AS w (wanted, position)
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) ORDER BY position";
    let rows = session.query(statement, &[&roles]).await?;
    rows.iter().map(|row| value(row, 0)).collect()
}

/// Everybody but its owner who has a right on a table or a column of it, quoted.
pub async fn grantees(session: &Session, table: &str) -> Result<Vec<String>, PostgresError> {
    let statement = "
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
        FROM pg_class c
        LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
        CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, '{}') || coalesce(t.attacl, '{}')) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = to_regclass($1::text) AND a.grantee <> c.relowner";
    let rows = session.query(statement, &[&table]).await?;
    rows.iter().map(|row| value(row, 0)).collect()
}

/// Puts a sequence where it stood.
pub async fn set_sequence(session: &Session, sequence: &Sequence) -> Result<(), PostgresError> {
    let statement = "SELECT setval($1::text::regclass, $2, $3)";
    let name = sequence.name.quoted();
    let answer =
        session.query_one(statement, &[&name, &sequence.last_value, &sequence.is_called]).await;
    answer.map(drop)
}

/// Fills a materialised view.
pub async fn refresh_materialized_view(
    session: &Session,
    view: &QualifiedName,
) -> Result<(), PostgresError> {
    let statement = format!("REFRESH MATERIALIZED VIEW {}", view.quoted());
    session.batch(&format!("the refresh of {view}"), &statement).await
}

/// Gathers the planner's statistics for the whole database.
pub async fn analyze(session: &Session) -> Result<(), PostgresError> {
    session.batch("ANALYZE", "ANALYZE").await
}

/// Keeps triggers and foreign keys from firing on what this session writes.
pub async fn disable_triggers_for_session(session: &Session) -> Result<(), PostgresError> {
    let set = session.batch("triggers", "SET session_replication_role = replica").await;
    set.map_err(|error| match error.sqlstate() {
        Some("42501") => PostgresError::TriggersNotHeld { target: session.target().to_owned() },
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(provider: char, locale: Option<&str>) -> DatabaseSettings {
        DatabaseSettings {
            name: "shop".to_owned(),
            encoding: "UTF8".to_owned(),
            collate: "C".to_owned(),
            ctype: "it's".to_owned(),
            locale_provider: provider,
            locale: locale.map(str::to_owned),
            icu_rules: None,
        }
    }

    #[test]
    fn a_database_is_made_as_each_version_wants_it() {
        let start = "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'it''s'";
        let made = |major, like: &DatabaseSettings| create_statement(major, "a\"b", like);
        assert_eq!(made(13, &settings('c', None)).unwrap(), start);
        assert_eq!(
            made(18, &settings('c', None)).unwrap(),
            format!("{start} LOCALE_PROVIDER libc")
        );
        assert_eq!(
            made(15, &settings('i', Some("de"))).unwrap(),
            format!("{start} LOCALE_PROVIDER icu ICU_LOCALE 'de'")
        );
        assert!(made(14, &settings('i', Some("de"))).is_err());
        let rules = Some("& a < 'z'".to_owned());
        let with_rules = DatabaseSettings { icu_rules: rules, ..settings('i', Some("de")) };
        assert!(made(16, &with_rules).unwrap().ends_with(" 'de' ICU_RULES '& a < ''z'''"));
        assert!(made(15, &with_rules).is_err());
        assert!(made(16, &settings('b', Some("C.UTF-8"))).is_err());
    }
}
