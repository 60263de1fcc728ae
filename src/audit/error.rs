//! Why the audit log could not do what was asked.

/// What failed. No message holds more than an entry's own fields, which are not personal data.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A field has a form that the log does not accept; the log holds no free text.
    #[error("the audit log does not accept this {field}: {rule}")]
    Refused {
        /// The field.
        field: &'static str,
        /// What it accepts.
        rule: &'static str,
    },
    /// An entry that another transaction could take back proves nothing.
    #[error("an audit entry that proves an access cannot be written within another transaction")]
    InTransaction,
    /// There is no entry that a head could cover.
    #[error("the audit log is empty")]
    Empty,
    /// The log is full: numbers are used up.
    #[error("the audit log has no number left for another entry")]
    Full,
    /// An entry is not in the form in which entries are written.
    #[error("entry {seq} of the audit log is unreadable")]
    Unreadable {
        /// The entry's number.
        seq: u64,
    },
    /// SQLite refused or failed.
    #[error("the audit log could not {doing}: {reason}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        reason: rusqlite::Error,
    },
}

#[cfg(debug_assertions)]
impl crate::base::durable::Injected for AuditError {
    fn injected(step: &str) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        let said = Some(format!("a test lets `{step}` fail"));
        Self::Database { doing: "write", reason: rusqlite::Error::SqliteFailure(code, said) }
    }
}

/// Says what was being done when SQLite failed.
pub(super) trait Doing<T> {
    /// `what` completes "the audit log could not ...".
    fn doing(self, what: &'static str) -> Result<T, AuditError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, AuditError> {
        self.map_err(|reason| AuditError::Database { doing: what, reason })
    }
}
