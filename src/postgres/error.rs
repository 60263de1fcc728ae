//! What can go wrong between strongroom and PostgreSQL.
//!
//! A server's answer is reported by its message and SQLSTATE alone: `DETAIL`, `HINT` and `CONTEXT`
//! may hold row values and are never kept. Where the message itself may hold one (a value that does
//! not fit its type, text that a function raised), only the SQLSTATE is reported.

use tokio_postgres::error::DbError;

use crate::base::schema::QualifiedName;

/// Why PostgreSQL, or a tool of PostgreSQL, could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The connection settings are not understood. The text given is never repeated here.
    #[error("the database URL is not understood: {reason}")]
    InvalidUrl {
        /// Which part, and why; without its value.
        reason: String,
    },
    /// No address is known for the host.
    #[error("the host of {target} is not known")]
    UnknownHost {
        /// The database asked for, without its password.
        target: String,
    },
    /// Nothing answered, or nothing that is a PostgreSQL server.
    #[error("{target} does not answer: {reason}")]
    Unreachable {
        /// The database asked for, without its password.
        target: String,
        /// What the operating system or the server said.
        reason: String,
    },
    /// The server refused the user or the password.
    #[error("{target} refused the login: {reason}")]
    LoginRefused {
        /// The database asked for, without its password.
        target: String,
        /// The server's message.
        reason: String,
    },
    /// The server has no such database.
    #[error("the server has no database `{database}` ({target})")]
    MissingDatabase {
        /// The database asked for, without its password.
        target: String,
        /// Its name.
        database: String,
    },
    /// An encrypted connection could not be made.
    #[error("no encrypted connection to {target}: {reason}")]
    Tls {
        /// The database asked for, without its password.
        target: String,
        /// What failed.
        reason: String,
    },
    /// A certificate or key file cannot be used.
    #[error("the certificate file {path} cannot be used: {reason}")]
    CertificateFile {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The connection ended while something was under way.
    #[error("the connection to {target} was lost while {doing}: {reason}")]
    Lost {
        /// The database, without its password.
        target: String,
        /// What was under way.
        doing: String,
        /// What ended it.
        reason: String,
    },
    /// The server answered with an error.
    #[error("the server refused {doing}: {message} (SQLSTATE {sqlstate})")]
    Refused {
        /// What was asked.
        doing: String,
        /// The five characters of the SQLSTATE.
        sqlstate: String,
        /// The server's message, unless it may hold a row's value.
        message: String,
    },
    /// A lock was not had in the time that was given for it.
    #[error("{who} waited too long for a lock")]
    LockNotHad {
        /// Who waited.
        who: String,
    },
    /// The server answered with something that cannot be read.
    #[error("the server's answer to {doing} cannot be read: {reason}")]
    Unexpected {
        /// What was asked.
        doing: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The server is older than PostgreSQL 13.
    #[error("{target} is PostgreSQL {major}; 13 or newer is needed")]
    ServerTooOld {
        /// The database, without its password.
        target: String,
        /// Its major version.
        major: u32,
    },
    /// A sequence's value may not be read, so a backup would lose it.
    #[error("the role may not read the sequence {0}")]
    SequenceUnreadable(QualifiedName),
    /// The database that was to be created is there.
    #[error("the database {database} is there already")]
    DatabaseExists {
        /// The database.
        database: String,
    },
    /// The database to restore into is not empty.
    #[error("the database `{database}` is not empty: it holds {}", listed(.relations))]
    NotEmpty {
        /// The database's name.
        database: String,
        /// The first few relations found.
        relations: Vec<QualifiedName>,
    },
    /// The target server cannot make a database with the source's locale.
    #[error(
        "PostgreSQL {major} cannot make a database with the {provider} locale provider of the source"
    )]
    LocaleProvider {
        /// The target's major version.
        major: u32,
        /// `ICU` or `builtin`.
        provider: &'static str,
    },
    /// Triggers cannot be kept from firing.
    #[error(
        "the role may not set session_replication_role in {target}, so triggers would fire during the restore"
    )]
    TriggersNotHeld {
        /// The database, without its password.
        target: String,
    },
    /// A reference cannot be emptied, because a column of it refuses NULL.
    #[error("the foreign key `{constraint}` of {table} has no column that can be set to NULL")]
    NotNullable {
        /// The constraint's name.
        constraint: String,
        /// The referring table.
        table: QualifiedName,
    },
    /// A placeholder does not have as many values as the reference has columns.
    #[error("the foreign key `{constraint}` of {table} needs {needed} values, not {given}")]
    PlaceholderLength {
        /// The constraint's name.
        constraint: String,
        /// The referring table.
        table: QualifiedName,
        /// The number of its columns.
        needed: usize,
        /// The number of values given.
        given: usize,
    },
    /// No client tools that are new enough.
    #[error(
        "no pg_dump and pg_restore of PostgreSQL {major} or newer on this machine{}; the Debian package is postgresql-client-{major}",
        found_instead(*.newest_found)
    )]
    ToolsMissing {
        /// The major version needed.
        major: u32,
        /// The newest ones that there are.
        newest_found: Option<u32>,
    },
    /// A tool could not be started or handed its input.
    #[error("{tool} could not be run: {reason}")]
    ToolNotRun {
        /// The tool.
        tool: String,
        /// What the operating system said.
        reason: String,
    },
    /// A tool failed.
    #[error("{tool} failed: {reason}")]
    ToolFailed {
        /// The tool.
        tool: String,
        /// The first lines that it wrote, row values left out.
        reason: String,
    },
}

impl PostgresError {
    /// The server's answer, stripped of whatever may hold a row's value.
    pub(super) fn refused(doing: impl Into<String>, error: &DbError) -> Self {
        Self::Refused {
            doing: doing.into(),
            sqlstate: error.code().code().to_owned(),
            message: safe_message(error.code().code(), error.message()),
        }
    }

    /// The SQLSTATE of the server's answer, where there is one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused { sqlstate, .. } => Some(sqlstate),
            _ => None,
        }
    }

    /// Whether a lock was not to be had (`lock_not_available`), or was had in a circle (`deadlock_detected`).
    #[must_use]
    pub fn is_lock_refused(&self) -> bool {
        matches!(self, Self::LockNotHad { .. })
            || matches!(self.sqlstate(), Some("55P03" | "40P01"))
    }
}

/// The message, unless its SQLSTATE is one whose messages quote values: class 22 (data exceptions;
/// 22023 quotes parameters only), P0001 (raised by a function) and P0004 (a failed assertion).
pub(super) fn safe_message(sqlstate: &str, message: &str) -> String {
    let quotes_values =
        (sqlstate.starts_with("22") && sqlstate != "22023") || sqlstate.starts_with("P0");
    if quotes_values {
        let kind = if sqlstate.starts_with("22") { "a value was refused" } else { "raised by SQL" };
        format!("{kind}; the message is withheld, for it may hold personal data")
    } else {
        message.to_owned()
    }
}

fn listed(relations: &[QualifiedName]) -> String {
    relations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn found_instead(newest: Option<u32>) -> String {
    newest.map_or_else(String::new, |major| format!(" (the newest there are of {major})"))
}

pub(in crate::postgres) fn invalid(reason: impl Into<String>) -> PostgresError {
    PostgresError::InvalidUrl { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_may_hold_values_are_withheld() {
        assert!(!safe_message("22P02", "invalid input: \"bob@example.org\"").contains("bob"));
        assert!(!safe_message("P0001", "no such customer bob").contains("bob"));
        assert_eq!(safe_message("42P01", "relation missing"), "relation missing");
        assert_eq!(safe_message("22023", "parameter"), "parameter");
    }
}
