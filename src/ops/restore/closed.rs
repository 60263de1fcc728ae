//! A copy whose protection is not complete is closed to others.
//!
//! A database that the restore made lets nobody else in from the beginning; at the end it gets the rights that the
//! source's has, unless a policy or a right is missing: then it stays closed until `restore --open`. In a
//! database that was there before, the tables concerned lose their grants instead. A superuser and the owner see
//! the rows in any case.

use super::failures::Failure;
use crate::base::schema::quote_identifier;
use crate::postgres::schema::target::grantees;
use crate::postgres::tools::{DatabaseStatement, DatabaseStatementKind};
use crate::postgres::{PostgresError, Session};

/// Lets nobody but its owner and superusers connect.
pub async fn close(session: &Session, database: &str) -> Result<(), PostgresError> {
    let statement =
        format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", quote_identifier(database));
    session.batch("closing the database", &statement).await
}

/// Gives it the rights that the source's database has; what could not be given.
pub async fn open(
    session: &Session,
    database: &str,
    statements: &[DatabaseStatement],
) -> Result<Vec<Failure>, PostgresError> {
    let statement = format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", quote_identifier(database));
    // What the source takes from everybody is taken in the same transaction.
    session.batch("opening the database", &format!("BEGIN; {statement}")).await?;
    let mut failures = Vec::new();
    let privileges = statements.iter().filter(|one| one.kind == DatabaseStatementKind::Privilege);
    for one in privileges {
        session.batch("opening the database", "SAVEPOINT one").await?;
        if let Err(error) = session.batch("a right on the database", &one.text).await {
            failures.push(Failure::of_error(&one.text, &error));
            session.batch("opening the database", "ROLLBACK TO SAVEPOINT one").await?;
        }
    }
    let is_still_closed = failures.iter().any(|failure| failure.statement.starts_with("REVOKE"));
    session
        .batch("opening the database", if is_still_closed { "ROLLBACK" } else { "COMMIT" })
        .await?;
    Ok(failures)
}

/// Carries out the statements of these kinds; what could not be done.
pub async fn apply(
    session: &Session,
    statements: &[DatabaseStatement],
    kinds: &[DatabaseStatementKind],
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for one in statements.iter().filter(|one| kinds.contains(&one.kind)) {
        if let Err(error) = session.batch("what is set on the database", &one.text).await {
            failures.push(Failure::of_error(&one.text, &error));
        }
    }
    failures
}

/// Takes all rights on the tables whose protection is missing from everybody but their owners.
pub async fn revoke_grants(session: &Session, failures: &[Failure]) -> Result<(), PostgresError> {
    for failure in failures.iter().filter(|failure| failure.protects) {
        let Some(table) = table_of(&failure.statement) else { continue };
        for role in grantees(session, table).await? {
            let statement = format!("REVOKE ALL ON TABLE {table} FROM {role} CASCADE");
            session.batch("taking rights on a table that is not protected", &statement).await?;
        }
    }
    Ok(())
}

/// The table that a statement protects, as the statement names it.
fn table_of(statement: &str) -> Option<&str> {
    let words: Vec<&str> = statement.split(' ').collect();
    let after =
        |word: &str| words.iter().position(|one| *one == word).and_then(|at| words.get(at + 1));
    let table = match *words.first()? {
        "ALTER" => after("ONLY").or_else(|| after("TABLE")),
        "CREATE" => after("ON"),
        _ => after("TABLE"),
    };
    table.map(|table| table.trim_end_matches(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_statement_is_found() {
        for statement in [
            "CREATE POLICY own ON public.notes USING (false);",
            "ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;",
            "ALTER TABLE ONLY public.notes FORCE ROW LEVEL SECURITY;",
            "REVOKE ALL ON TABLE public.notes FROM PUBLIC;",
        ] {
            assert_eq!(table_of(statement), Some("public.notes"), "{statement}");
        }
    }
}
