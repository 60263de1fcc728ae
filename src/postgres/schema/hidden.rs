//! What a role cannot read and `pg_dump` therefore leaves out, some of it without a word.

use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// What this role cannot see, by its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Subscriptions: only a superuser reads them.
    pub subscriptions: Vec<String>,
    /// User mappings whose options are not shown to the role: `role on server`.
    pub user_mappings: Vec<String>,
}

/// Finds what the session's role cannot see.
pub async fn hidden(session: &Session) -> Result<Hidden, PostgresError> {
    let subscriptions = "
        SELECT subname::text FROM pg_subscription
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND current_setting('is_superuser') = 'off'
        ORDER BY 1";
    // The conditions under which the view shows options.
    let user_mappings = "
        SELECT m.usename::text || ' on ' || m.srvname::text
        FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
        WHERE current_setting('is_superuser') = 'off' AND m.umoptions IS NULL AND NOT (
            m.umuser <> 0 AND m.usename = current_user
                AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE'))
            OR m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE'))
        ORDER BY 1";
    Ok(Hidden {
        subscriptions: texts(session, subscriptions).await?,
        user_mappings: texts(session, user_mappings).await?,
    })
}

async fn texts(session: &Session, statement: &str) -> Result<Vec<String>, PostgresError> {
    session.query(statement, &[]).await?.iter().map(|row| value(row, 0)).collect()
}
