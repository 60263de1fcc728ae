//! Who waits for a lock on this server, and behind whom. Everybody may read `pg_locks`; what another role's
//! session is running is shown to superusers and members of `pg_read_all_stats` alone.

use super::session::{Session, value};
use crate::base::schema::QualifiedName;
use crate::postgres::error::PostgresError;

/// A session that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The session.
    pub session: Party,
    /// Whether it belongs to the work that asks.
    pub is_own: bool,
    /// Those it waits for, by the server's numbers of their processes; 0 is a prepared transaction.
    pub behind: Vec<i32>,
    /// The table that it wants, where it is one.
    pub table: Option<QualifiedName>,
}

/// A session, as far as it may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The server's number of its process; 0 is a prepared transaction.
    pub session: i32,
    /// Its role and its application's name, or the prepared transaction's name.
    pub who: String,
    /// The shape of the statement that it runs or ran last, without a value; empty where it may not be seen.
    pub statement: String,
}

/// All who wait, and the numbers of the sessions of the work that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// The sessions of the work.
    pub own: Vec<i32>,
    /// Who waits.
    pub waiting: Vec<Waiting>,
}

/// The sessions whose application has the name `$1` are the work's own.
const QUEUE: &str = "
    WITH own AS (
        SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()
    ), wanted AS (
        SELECT DISTINCT ON (pid) pid, relation, database FROM pg_locks
        WHERE NOT granted AND pid IS NOT NULL ORDER BY pid, relation
    )
    SELECT w.pid, pg_blocking_pids(w.pid), w.pid IN (SELECT pid FROM own),
        n.nspname::text, c.relname::text, a.usename::text, a.application_name, a.query,
        ARRAY(SELECT pid FROM own)
    FROM wanted w
    LEFT JOIN pg_class c ON c.oid = w.relation
        AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_activity a ON a.pid = w.pid";

/// Everybody who waits for a lock now. `mark` is the application's name of the own sessions.
pub async fn queue(session: &Session, mark: &str) -> Result<Queue, PostgresError> {
    let mut queue = Queue::default();
    for row in session.query(QUEUE, &[&mark]).await? {
        let (schema, table): (Option<String>, Option<String>) = (value(&row, 3)?, value(&row, 4)?);
        queue.own = value(&row, 8)?;
        queue.waiting.push(Waiting {
            session: party(&row, 0, 5)?,
            is_own: value(&row, 2)?,
            behind: value(&row, 1)?,
            table: schema.zip(table).map(|(schema, name)| QualifiedName::new(schema, name)),
        });
    }
    Ok(queue)
}

/// Who these are; of prepared transactions (0) those that hold a lock on `table`.
pub async fn parties(
    session: &Session,
    processes: &[i32],
    table: Option<&QualifiedName>,
) -> Result<Vec<Party>, PostgresError> {
    let statement = "
        SELECT pid, usename::text, application_name, query FROM pg_stat_activity
        WHERE pid = ANY ($1) ORDER BY pid";
    let rows = session.query(statement, &[&processes]).await?;
    let mut parties: Vec<Party> =
        rows.iter().map(|row| party(row, 0, 1)).collect::<Result<_, _>>()?;
    if processes.contains(&0) {
        let table = table.map(QualifiedName::quoted);
        let statement = "
            SELECT DISTINCT p.gid, p.owner::text, p.prepared::text
            FROM pg_prepared_xacts p
            JOIN pg_locks x ON x.pid IS NULL AND x.transactionid = p.transaction
            JOIN pg_locks l ON l.pid IS NULL AND l.virtualtransaction = x.virtualtransaction
            WHERE p.database = current_database()
                AND ($1::text IS NULL OR l.relation = to_regclass($1::text))";
        for row in session.query(statement, &[&table]).await? {
            let (name, owner): (String, String) = (value(&row, 0)?, value(&row, 1)?);
            let since: String = value(&row, 2)?;
            parties.push(Party {
                session: 0,
                who: format!("the prepared transaction `{name}` of {owner}, prepared at {since}"),
                statement: String::new(),
            });
        }
    }
    Ok(parties)
}

/// Ends all own sessions, so that their locks are free at once.
pub async fn end_sessions(session: &Session, mark: &str) -> Result<(), PostgresError> {
    let statement = "
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = $1 AND pid <> pg_backend_pid()";
    session.query(statement, &[&mark]).await.map(drop)
}

/// A session from its number and, side by side, its role, its application and its statement.
fn party(row: &tokio_postgres::Row, number: usize, who: usize) -> Result<Party, PostgresError> {
    let text = |index: usize| Ok(value::<Option<String>>(row, index)?.unwrap_or_default());
    let (role, application, query) = (text(who)?, text(who + 1)?, text(who + 2)?);
    let who = match (role.as_str(), application.as_str()) {
        ("", _) => "another role".to_owned(),
        (role, "") => role.to_owned(),
        (role, application) => format!("{role}, {application}"),
    };
    Ok(Party { session: value(row, number)?, who, statement: shape(&query) })
}

/// A statement without its values: what stands in quotes is left out, and so are numbers and comments, for
/// any of these may be a person's data. Cut after 100 characters.
#[must_use]
pub fn shape(query: &str) -> String {
    const CHARACTERS: usize = 100;
    if query.starts_with("<insufficient privilege>") {
        return String::new();
    }
    let mut shape = String::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if shape.chars().count() > CHARACTERS {
            shape.push('…');
            break;
        }
        let taken = match first {
            '\'' => {
                shape.push('?');
                quoted_bytes(rest)
            }
            '"' => {
                let bytes = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                shape.push_str(&rest[..bytes]);
                bytes
            }
            '$' if dollar_quoted_bytes(rest).is_some() => {
                shape.push('?');
                dollar_quoted_bytes(rest).unwrap_or(rest.len())
            }
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            first if first.is_whitespace() => {
                if !shape.is_empty() && !shape.ends_with(' ') {
                    shape.push(' ');
                }
                first.len_utf8()
            }
            first if first.is_ascii_digit() => {
                shape.push('?');
                let is_more = |c: char| !(c.is_alphanumeric() || c == '.' || c == '_');
                rest.find(is_more).unwrap_or(rest.len())
            }
            first if first.is_alphabetic() || first == '_' => {
                let is_more = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
                let bytes = rest.find(is_more).unwrap_or(rest.len());
                shape.push_str(&rest[..bytes]);
                bytes
            }
            other => {
                shape.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    shape.trim_end().to_owned()
}

/// The bytes of a text in single quotes. Where it holds a backslash, only the server knows whether the next
/// quote ends it: then everything that follows is left out.
fn quoted_bytes(text: &str) -> usize {
    let end = text[1..].find('\'').map(|end| end + 2);
    end.filter(|end| !text[..*end].contains('\\')).unwrap_or(text.len())
}

/// The bytes of a text between `$tag$` and `$tag$`, if it begins with one.
fn dollar_quoted_bytes(text: &str) -> Option<usize> {
    let tag = text[1..].find('$')? + 2;
    let is_tag = text[1..tag - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    let begins = !text[1..].starts_with(|c: char| c.is_ascii_digit());
    if !is_tag || !begins {
        return None;
    }
    Some(text[tag..].find(&text[..tag]).map_or(text.len(), |end| 2 * tag + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_without_its_values() {
        for (query, shown) in [
            (
                "ALTER TABLE public.\"big one\"\n  ADD c2 int",
                "ALTER TABLE public.\"big one\" ADD c2 int",
            ),
            ("UPDATE u SET mail = 'bob@x', n = 12.5e3 -- bob", "UPDATE u SET mail = ?, n = ?"),
            ("SELECT $x$ bob $x$, $1 /* bob */", "SELECT ?, $?"),
            ("SELECT E'it\\'s bob', 1", "SELECT E?"),
            ("SELECT 'C:\\', 'bob'", "SELECT ?"),
            ("SELECT 'it''s bob'", "SELECT ??"),
            ("SELECT 'bob", "SELECT ?"),
            ("<insufficient privilege>", ""),
            ("", ""),
        ] {
            assert_eq!(shape(query), shown);
        }
        assert!(shape(&"long ".repeat(100)).chars().count() < 120);
    }

    proptest::proptest! {
        #[test]
        fn no_statement_is_too_odd_to_be_shown(query in ".{0,60}") {
            let _ = shape(&query);
        }

        #[test]
        fn nothing_in_quotes_is_shown(before in "[a-z =(]{0,9}", value in "[A-Z]{4,9}[ '\\\\\"$-]{0,5}") {
            let quoted = value.replace('\'', "''");
            let shown = shape(&format!("{before}'{quoted}'"));
            proptest::prop_assert!(!shown.contains(&value[..4]), "{}", shown);
        }
    }
}
