//! One connection to a database, set up so that everything read through it is complete and has one
//! textual form, whatever the role's or the database's own settings are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Config, NoTls, Row};

use super::merged::{Merged, MergedPlain, MergedTls};
use super::url::{ConnectionSettings, SslMode};
use super::{locks, tls};
use crate::base::schema::quote_literal;
use crate::postgres::error::PostgresError;

/// The oldest server that strongroom reads, as its major version.
pub const OLDEST_MAJOR: u32 = 13;

/// What every session sets.
///
/// As `pg_dump` does: no row-security policy may hide rows silently (a query that one applies to
/// fails instead), scans begin at the table's beginning, nothing times out, values are printed in
/// full. Beyond it: `TimeZone` and `lc_monetary` are fixed, so that the same row is the same text in
/// every backup and `money` survives a restore under another locale.
const SETTINGS: &[(&str, &str)] = &[
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("lc_monetary", "C"),
    ("extra_float_digits", "3"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("bytea_output", "hex"),
    ("search_path", ""),
];

/// What every session sets that writes: what `pg_restore` sets, and what the input needs, no more. Everything else is
/// as the database, its role or its server have it, for functions in generated columns, partition bounds and
/// checks may depend on it, as `TimeZone`. The input does not: moments stand with their offset, days year first.
const SETTINGS_TO_WRITE: &[(&str, &str)] = &[
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    ("array_nulls", "on"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("client_min_messages", "warning"),
    ("search_path", ""),
];

/// A snapshot that a session exported, valid as long as that session's transaction is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotId(pub(super) String);

impl SnapshotId {
    /// The server's name for it, as `pg_dump --snapshot` takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One connection. Dropping it closes the connection at once, whatever is under way.
pub struct Session {
    pub(in crate::postgres) client: Client,
    pub(in crate::postgres) link: Link,
    connection: JoinHandle<()>,
    settings: ConnectionSettings,
    version_num: u32,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// Connects and sets the session up to read.
    pub async fn connect(settings: &ConnectionSettings) -> Result<Self, PostgresError> {
        Self::connect_with(settings, SETTINGS).await
    }

    /// Connects and sets the session up to write what was read.
    pub async fn connect_to_write(settings: &ConnectionSettings) -> Result<Self, PostgresError> {
        Self::connect_with(settings, SETTINGS_TO_WRITE).await
    }

    async fn connect_with(
        settings: &ConnectionSettings,
        to_set: &[(&str, &str)],
    ) -> Result<Self, PostgresError> {
        let wait = settings.connect_timeout;
        let opened = match wait {
            None => open(settings).await,
            Some(wait) => tokio::time::timeout(wait, open(settings)).await.unwrap_or_else(|_| {
                Err(PostgresError::Unreachable {
                    target: settings.redacted(),
                    reason: format!("no answer within {} seconds", wait.as_secs()),
                })
            }),
        };
        let (client, connection, link) = opened?;
        let mut session =
            Self { client, link, connection, settings: settings.clone(), version_num: 0 };
        session.set_up(to_set).await?;
        Ok(session)
    }

    async fn set_up(&mut self, to_set: &[(&str, &str)]) -> Result<(), PostgresError> {
        let row = self.query_one("SHOW server_version_num", &[]).await?;
        let version: String = value(&row, 0)?;
        self.version_num = version.parse().map_err(|_| PostgresError::Unexpected {
            doing: "SHOW server_version_num".to_owned(),
            reason: "it is not a number".to_owned(),
        })?;
        if self.server_major() < OLDEST_MAJOR {
            return Err(PostgresError::ServerTooOld {
                target: self.target().to_owned(),
                major: self.server_major(),
            });
        }
        let mut calls: Vec<String> = to_set.iter().map(|(name, to)| set_config(name, to)).collect();
        if let Some(wait) = self.settings.lock_wait {
            calls.push(set_config("lock_timeout", &locks::milliseconds(wait)));
        }
        if self.server_major() >= 14 {
            calls.push(set_config("idle_session_timeout", "0"));
        }
        if self.server_major() >= 17 {
            calls.push(set_config("transaction_timeout", "0"));
        }
        self.batch("the session's settings", &format!("SELECT {}", calls.join(", "))).await
    }

    /// The server's version as `server_version_num` gives it (150018 is 15.18).
    #[must_use]
    pub fn server_version_num(&self) -> u32 {
        self.version_num
    }

    /// The server's major version.
    #[must_use]
    pub fn server_major(&self) -> u32 {
        self.version_num / 10_000
    }

    /// The database as a person may see it, without its password.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.link.target
    }

    /// The settings that this session was opened with.
    #[must_use]
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Begins a read-only transaction at one moment and exports it for other sessions and tools.
    pub async fn begin_snapshot(&self) -> Result<SnapshotId, PostgresError> {
        self.begin("").await?;
        let row = self.query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await?;
        Ok(SnapshotId(value(&row, 0)?))
    }

    /// Begins a read-only transaction that sees exactly what `snapshot` sees.
    pub async fn join_snapshot(&self, snapshot: &SnapshotId) -> Result<(), PostgresError> {
        self.begin(&format!("; SET TRANSACTION SNAPSHOT {}", quote_literal(&snapshot.0))).await
    }

    /// Begins a read-only transaction whose snapshot is taken by its first query, or is the one that `then` sets.
    pub(super) async fn begin(&self, then: &str) -> Result<(), PostgresError> {
        let statements = format!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY{then}");
        self.batch("the snapshot", &statements).await
    }

    /// The server's clock at the transaction's beginning, in UTC.
    pub async fn transaction_time(&self) -> Result<DateTime<Utc>, PostgresError> {
        let statement = "SELECT (extract(epoch FROM pg_catalog.now()) * 1000000)::bigint";
        let microseconds: i64 = value(&self.query_one(statement, &[]).await?, 0)?;
        DateTime::from_timestamp_micros(microseconds).ok_or_else(|| PostgresError::Unexpected {
            doing: "the server's clock".to_owned(),
            reason: "it is out of range".to_owned(),
        })
    }

    /// Ends a transaction, keeping what it wrote.
    pub async fn commit(&self) -> Result<(), PostgresError> {
        self.batch("the end of the transaction", "COMMIT").await
    }

    /// Runs a query. Errors name the statement's beginning, so it must not hold values: those are
    /// parameters.
    pub async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PostgresError> {
        let answer = self.client.query(statement, parameters).await;
        answer.map_err(|error| self.link.failure(&summary(statement), &error))
    }

    /// Runs a query that gives exactly one row.
    pub async fn query_one(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, PostgresError> {
        let answer = self.client.query_one(statement, parameters).await;
        answer.map_err(|error| self.link.failure(&summary(statement), &error))
    }

    /// Runs a statement; the number of rows that it touched.
    pub async fn execute(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, PostgresError> {
        let answer = self.client.execute(statement, parameters).await;
        answer.map_err(|error| self.link.failure(&summary(statement), &error))
    }

    /// Runs statements separated by semicolons; `doing` names them in errors.
    pub async fn batch(&self, doing: &str, statements: &str) -> Result<(), PostgresError> {
        let answer = self.client.batch_execute(statements).await;
        answer.map_err(|error| self.link.failure(doing, &error))
    }
}

/// A column of a row.
pub(in crate::postgres) fn value<'row, T: FromSql<'row>>(
    row: &'row Row,
    index: usize,
) -> Result<T, PostgresError> {
    row.try_get(index).map_err(|_| PostgresError::Unexpected {
        doing: "a query".to_owned(),
        reason: format!("column {} is of another type than expected", index + 1),
    })
}

/// What is known of a connection by everything that uses it.
#[derive(Clone)]
pub(in crate::postgres) struct Link {
    pub(in crate::postgres) target: Arc<str>,
    ending: Arc<Mutex<Option<String>>>,
}

impl Link {
    /// Turns a client error into ours: a lost connection, a refusal, or an unreadable answer.
    pub(in crate::postgres) fn failure(
        &self,
        doing: &str,
        error: &tokio_postgres::Error,
    ) -> PostgresError {
        let lost = |reason: String| PostgresError::Lost {
            target: self.target.to_string(),
            doing: doing.to_owned(),
            reason,
        };
        if let Some(answer) = error.as_db_error() {
            // Class 57P: the server shut down, crashed, or the session was ended from outside.
            if answer.code().code().starts_with("57P") {
                return lost(answer.message().to_owned());
            }
            return PostgresError::refused(doing, answer);
        }
        if error.is_closed() || source_io(error).is_some() {
            let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return lost(ending.unwrap_or_else(|| "the server closed it".to_owned()));
        }
        PostgresError::Unexpected { doing: doing.to_owned(), reason: error.to_string() }
    }
}

type Opened = (Client, JoinHandle<()>, Link);

/// Tries the kinds of connection that `sslmode` allows, in libpq's order.
async fn open(settings: &ConnectionSettings) -> Result<Opened, PostgresError> {
    let sockets_only = settings.endpoints.iter().all(super::url::Endpoint::is_socket);
    let mode = if sockets_only { SslMode::Disable } else { settings.ssl_mode };
    match mode {
        SslMode::Disable => open_plain(settings).await.map_err(|failed| failed.error),
        SslMode::Allow => match open_plain(settings).await {
            Err(failed) if failed.refused_login => open_encrypted(settings, true).await,
            other => other.map_err(|failed| failed.error),
        },
        SslMode::Prefer => match open_encrypted_or_plain(settings).await {
            // As in libpq: a failed handshake, or a rule of the server against this user over an
            // encrypted connection, is tried again without.
            Err(failed) if failed.refused_login || failed.is_tls() => {
                open_plain(settings).await.map_err(|_| failed.error)
            }
            other => other.map_err(|failed| failed.error),
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            open_encrypted(settings, true).await
        }
    }
}

struct Failed {
    error: PostgresError,
    refused_login: bool,
}

impl Failed {
    fn is_tls(&self) -> bool {
        matches!(self.error, PostgresError::Tls { .. })
    }
}

async fn open_plain(settings: &ConnectionSettings) -> Result<Opened, Failed> {
    use tokio_postgres::config::{SslMode as Mode, SslNegotiation};

    let mut config = config(settings);
    if settings.endpoints.iter().any(super::url::Endpoint::is_socket) {
        config.ssl_mode(Mode::Disable);
        // Where there is more than one place, the client chooses, and takes rows as they come.
        if let [endpoint] = settings.endpoints.as_slice()
            && settings.host_addresses.is_empty()
            && settings.target_session.is_none()
            && let Ok(stream) = UnixStream::connect(endpoint.socket_path()).await
        {
            let opened = config.connect_raw(Merged::plain(stream), NoTls).await;
            let (client, connection) = opened.map_err(|error| connect_failure(settings, &error))?;
            return Ok(attend(settings, client, connection));
        }
        let (client, connection) =
            config.connect(NoTls).await.map_err(|error| connect_failure(settings, &error))?;
        return Ok(attend(settings, client, connection));
    }
    config.ssl_mode(Mode::Require).ssl_negotiation(SslNegotiation::Direct);
    let (client, connection) =
        config.connect(MergedPlain).await.map_err(|error| connect_failure(settings, &error))?;
    Ok(attend(settings, client, connection))
}

async fn open_encrypted(
    settings: &ConnectionSettings,
    insist: bool,
) -> Result<Opened, PostgresError> {
    open_with_tls(settings, insist).await.map_err(|failed| failed.error)
}

async fn open_encrypted_or_plain(settings: &ConnectionSettings) -> Result<Opened, Failed> {
    open_with_tls(settings, false).await
}

async fn open_with_tls(settings: &ConnectionSettings, insist: bool) -> Result<Opened, Failed> {
    use tokio_postgres::config::SslMode as Mode;

    let connector =
        tls::connector(settings).map_err(|error| Failed { error, refused_login: false })?;
    let mut config = config(settings);
    config.ssl_mode(if insist { Mode::Require } else { Mode::Prefer });
    let (client, connection) = config
        .connect(MergedTls(connector))
        .await
        .map_err(|error| connect_failure(settings, &error))?;
    Ok(attend(settings, client, connection))
}

fn config(settings: &ConnectionSettings) -> Config {
    let mut config = Config::new();
    config
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(&settings.application_name)
        // A vanished peer is noticed within about a minute.
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3);
    for endpoint in &settings.endpoints {
        config.host(&endpoint.host).port(endpoint.port);
    }
    for address in &settings.host_addresses {
        config.hostaddr(*address);
    }
    if let Some(password) = &settings.password {
        config.password(password.as_bytes());
    }
    config.channel_binding(settings.channel_binding);
    if let Some(options) = &settings.options {
        config.options(options);
    }
    match settings.target_session.as_deref() {
        Some("read-write") => {
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        }
        Some("read-only") => {
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadOnly);
        }
        _ => {}
    }
    if let Some(wait) = settings.connect_timeout {
        config.connect_timeout(wait);
    }
    config
}

/// Runs the connection in a task of its own and remembers how it ended.
fn attend<S, T>(
    settings: &ConnectionSettings,
    client: Client,
    mut connection: tokio_postgres::Connection<S, T>,
) -> Opened
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let ending = Arc::new(Mutex::new(None));
    let link = Link { target: settings.redacted().into(), ending: Arc::clone(&ending) };
    let task = tokio::spawn(async move {
        // By reference: the reason must be there before dropping the connection wakes its users.
        if let Err(error) = (&mut connection).await {
            let reason = match (error.as_db_error(), source_io(&error)) {
                (Some(answer), _) => answer.message().to_owned(),
                (None, Some(io)) => io.to_string(),
                (None, None) => error.to_string(),
            };
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        }
        drop(connection);
    });
    (client, task, link)
}

fn connect_failure(settings: &ConnectionSettings, error: &tokio_postgres::Error) -> Failed {
    let target = settings.redacted();
    if let Some(answer) = error.as_db_error() {
        let reason = answer.message().to_owned();
        let refused_login = answer.code().code() == "28000";
        let error = match answer.code().code() {
            "28000" | "28P01" => PostgresError::LoginRefused { target, reason },
            "3D000" => {
                PostgresError::MissingDatabase { target, database: settings.database.clone() }
            }
            _ => PostgresError::Unreachable { target, reason },
        };
        return Failed { error, refused_login };
    }
    let said = error.to_string();
    let reason = std::error::Error::source(error).map_or_else(|| said.clone(), ToString::to_string);
    let error = if said.contains("TLS") {
        PostgresError::Tls { target, reason }
    } else if reason.contains("lookup address") {
        PostgresError::UnknownHost { target }
    } else if said.contains("authentication") || said.contains("invalid configuration") {
        // No password at hand, or a method of login that is not supported.
        PostgresError::LoginRefused { target, reason }
    } else {
        PostgresError::Unreachable { target, reason }
    };
    Failed { error, refused_login: false }
}

fn source_io(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

fn set_config(name: &str, to: &str) -> String {
    format!("pg_catalog.set_config({}, {}, false)", quote_literal(name), quote_literal(to))
}

/// The beginning of a statement, on one line, for an error's text.
fn summary(statement: &str) -> String {
    const CHARACTERS: usize = 80;
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        None => format!("`{line}`"),
        Some((end, _)) => format!("`{}…`", &line[..end]),
    }
}
