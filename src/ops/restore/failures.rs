//! What a restore could not do, each with what to do about it. A restore goes on after them: everything else is
//! there. What protects rows from readers is never silently missing: see [`super::closed`].

use serde::Serialize;

use crate::base::schema::QualifiedName;
use crate::postgres::PostgresError;
use crate::postgres::tools::FailedStatement;

/// Something that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The statement, or what was done.
    pub statement: String,
    /// What the server said, without values of rows.
    pub reason: String,
    /// What to do about it.
    pub cure: &'static str,
    /// Whether it protects rows from readers.
    pub protects: bool,
}

impl Failure {
    /// A statement of the schema.
    #[must_use]
    pub fn of_statement(failed: FailedStatement) -> Self {
        let FailedStatement { statement, reason } = failed;
        Self { cure: cure(&statement), protects: protects(&statement), statement, reason }
    }

    /// A statement that strongroom sent itself.
    #[must_use]
    pub fn of_error(statement: &str, error: &PostgresError) -> Self {
        let (statement, reason) = (statement.to_owned(), error.to_string());
        Self::of_statement(FailedStatement { statement, reason })
    }

    /// Rows of a table that the server refused.
    #[must_use]
    pub fn of_rows(table: &QualifiedName, error: &PostgresError) -> Self {
        Self {
            statement: format!("the rows of {table}"),
            reason: error.to_string(),
            cure: "its rows are missing here: correct what refuses them (a check that reads another table, a \
                   type or table that is missing) and run `restore --table` with --data-only",
            protects: false,
        }
    }
}

/// Whether a statement keeps rows from readers.
fn protects(statement: &str) -> bool {
    let is_row_security =
        statement.starts_with("ALTER TABLE") && statement.contains("ROW LEVEL SECURITY");
    let beginnings = ["CREATE POLICY", "GRANT ", "REVOKE ", "SECURITY LABEL"];
    is_row_security || beginnings.iter().any(|beginning| statement.starts_with(beginning))
}

fn cure(statement: &str) -> &'static str {
    let begins = |beginning: &str| statement.starts_with(beginning);
    if begins("CREATE EXTENSION") {
        "install the extension on the target's server and restore again"
    } else if begins("CREATE INDEX") || begins("CREATE UNIQUE INDEX") {
        "correct what it says in the copy, then run the statement. Rows that repeat a key were under an index \
         that no longer fits the collation; a function in an index needs its own search_path (ALTER FUNCTION \
         … SET search_path)"
    } else if statement.contains(" FOREIGN KEY ") {
        "correct the rows that refer to nothing, then run the statement; with NOT VALID it holds for new rows only"
    } else if statement.contains(" ADD CONSTRAINT ") {
        "correct the rows that do not keep to it, then run the statement"
    } else if protects(statement) {
        "create the role or correct what it says, run the statement, then open the copy with `restore --open`"
    } else if begins("REFRESH MATERIALIZED VIEW") {
        "the view is there without rows: correct what it reads, then run the statement"
    } else if begins("SET default_tablespace") {
        "the objects are in the default tablespace; --no-tablespaces restores them there without this message"
    } else {
        "correct what it says, then run the statement in the copy"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_protects_rows_is_known_as_such() {
        for statement in [
            "CREATE POLICY own ON public.notes USING (false);",
            "ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;",
            "ALTER TABLE ONLY public.notes FORCE ROW LEVEL SECURITY;",
            "REVOKE ALL ON TABLE public.notes FROM PUBLIC;",
        ] {
            assert!(protects(statement), "{statement}");
        }
        assert!(!protects("CREATE INDEX i ON public.notes USING btree (v);"));
    }
}
