//! Where a database is and how to log in: a `postgres://` URL or a libpq key=value string.
//!
//! What the text leaves out comes from the environment, as in libpq (`PGHOST`, `PGUSER`,
//! `PGPASSWORD`, …), then from the password file, then from libpq's defaults. The password is never
//! shown: `Display` and `Debug` print [`ConnectionSettings::redacted`], and no error repeats a part
//! of the text in which a badly written password could hide.
//! Source: PostgreSQL's documentation, "Database Connection Control Functions".

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;
use zeroize::Zeroizing;

pub use super::endpoint::Endpoint;
use super::endpoint::endpoints;
use super::passfile;
use super::service;
use super::url_text::parameters;
use crate::postgres::error::{PostgresError, invalid};

/// The longest wait for a connection where the URL sets none, in seconds.
const CONNECT_TIMEOUT_SECONDS: u64 = 30;

/// Whether and how a connection is encrypted, as libpq defines `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Plain first, encrypted if the server insists.
    Allow,
    /// Encrypted first, plain if that fails. The default.
    Prefer,
    /// Encrypted; the certificate is checked only if root certificates are given.
    Require,
    /// Encrypted; the certificate's chain must lead to a root certificate.
    VerifyCa,
    /// Encrypted; the chain and the host's name must be right.
    VerifyFull,
}

impl SslMode {
    /// The mode's name in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Where the root certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The machine's own collection (`sslrootcert=system`).
    System,
    /// A PEM file.
    File(PathBuf),
}

/// Everything needed to connect to one database.
#[derive(Clone)]
pub struct ConnectionSettings {
    pub(in crate::postgres) endpoints: Vec<Endpoint>,
    pub(in crate::postgres) host_addresses: Vec<std::net::IpAddr>,
    pub(in crate::postgres) user: String,
    pub(in crate::postgres) password: Option<Zeroizing<String>>,
    pub(in crate::postgres) database: String,
    pub(in crate::postgres) ssl_mode: SslMode,
    pub(in crate::postgres) root_certificates: Option<RootCertificates>,
    pub(in crate::postgres) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(in crate::postgres) connect_timeout: Option<Duration>,
    pub(in crate::postgres) application_name: String,
    pub(in crate::postgres) options: Option<String>,
    pub(in crate::postgres) target_session: Option<String>,
    /// How long its sessions wait for a lock; none: without end.
    pub(in crate::postgres) lock_wait: Option<Duration>,
    pub(in crate::postgres) channel_binding: ChannelBinding,
    warning: Option<String>,
}

impl ConnectionSettings {
    /// The first host in another place that could be anybody: its name and certificate are not checked,
    /// or nothing is encrypted at all.
    #[must_use]
    pub fn unchecked_host(&self) -> Option<&str> {
        let is_checked =
            !matches!(self.ssl_mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        let is_here = |host: &str| {
            host == "localhost" || host.parse().is_ok_and(|at: std::net::IpAddr| at.is_loopback())
        };
        let mut elsewhere = self
            .endpoints
            .iter()
            .filter(|one| !is_checked && !one.is_socket() && !is_here(&one.host))
            .map(|one| one.host.as_str());
        elsewhere.next()
    }

    /// Reads a URL or a key=value string; what is missing comes from this process's environment.
    pub fn parse(text: &str) -> Result<Self, PostgresError> {
        Self::parse_with(text, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Reads a URL or a key=value string; what is missing comes from `environment`.
    pub fn parse_with(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PostgresError> {
        let mut given = parameters(text.trim())?;
        if let Some(service) = given.remove("service").or_else(|| environment("PGSERVICE")) {
            // What the text itself says comes before the service, and this before the environment.
            for (name, value) in service::parameters(&service, environment)? {
                given.entry(name).or_insert(value);
            }
        }
        for name in given.keys() {
            if !PARAMETERS.contains(&name.as_str()) && !IGNORED_PARAMETERS.contains(&name.as_str())
            {
                return Err(invalid(unknown_parameter(name)));
            }
        }
        let mut take = |name: &str, variable: &str| {
            given
                .remove(name)
                .filter(|value| !value.is_empty())
                .or_else(|| Some(variable).filter(|v| !v.is_empty()).and_then(environment))
        };

        let user = take("user", "PGUSER")
            .or_else(|| environment("USER"))
            .or_else(|| environment("LOGNAME"))
            .ok_or_else(|| invalid("it names no user"))?;
        let database = take("dbname", "PGDATABASE").unwrap_or_else(|| user.clone());
        let host_addresses = take("hostaddr", "PGHOSTADDR")
            .map(|list| {
                list.split(',')
                    .map(|address| {
                        address.parse().map_err(|_| invalid("`hostaddr` is not an IP address"))
                    })
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()?
            .unwrap_or_default();
        let hosts = take("host", "PGHOST");
        let ports = take("port", "PGPORT");
        let endpoints = endpoints(hosts.as_deref(), ports.as_deref(), &host_addresses)?;

        let root_certificates =
            take("sslrootcert", "PGSSLROOTCERT").map(|value| match value.as_str() {
                "system" => RootCertificates::System,
                path => RootCertificates::File(PathBuf::from(path)),
            });
        let ssl_mode = match take("sslmode", "PGSSLMODE").as_deref() {
            Some(name) => ssl_mode(name)?,
            None if root_certificates == Some(RootCertificates::System) => SslMode::VerifyFull,
            None => SslMode::Prefer,
        };
        if root_certificates == Some(RootCertificates::System) && ssl_mode != SslMode::VerifyFull {
            return Err(invalid("`sslrootcert=system` needs `sslmode=verify-full`"));
        }
        let client_certificate = match (take("sslcert", "PGSSLCERT"), take("sslkey", "PGSSLKEY")) {
            (Some(certificate), Some(key)) => {
                Some((PathBuf::from(certificate), PathBuf::from(key)))
            }
            (None, None) => None,
            _ => return Err(invalid("`sslcert` and `sslkey` are needed together")),
        };
        let connect_timeout = match take("connect_timeout", "PGCONNECT_TIMEOUT") {
            None => Some(Duration::from_secs(CONNECT_TIMEOUT_SECONDS)),
            // As in libpq, zero or less means to wait for ever.
            Some(seconds) => seconds
                .trim()
                .parse::<i64>()
                .map_err(|_| invalid("`connect_timeout` is not a number of seconds"))
                .map(|seconds| {
                    u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs)
                })?,
        };
        let target_session = take("target_session_attrs", "PGTARGETSESSIONATTRS");
        if let Some(kind) = &target_session
            && !["any", "read-write", "read-only"].contains(&kind.as_str())
        {
            return Err(invalid("`target_session_attrs` is not any, read-write or read-only"));
        }

        let channel_binding = match take("channel_binding", "PGCHANNELBINDING") {
            Some(name) => channel_binding(&name)?,
            None => ChannelBinding::Prefer,
        };
        let given_password = take("password", "PGPASSWORD").map(Zeroizing::new);
        let passfile = passfile::path(take("passfile", "PGPASSFILE"), environment)
            .filter(|_| given_password.is_none());
        let warning = passfile.as_deref().and_then(passfile::warning);
        let password = given_password.or_else(|| {
            let path = passfile?;
            endpoints.iter().find_map(|endpoint| {
                passfile::password(&path, endpoint, &database, &user).map(Zeroizing::new)
            })
        });
        Ok(Self {
            endpoints,
            host_addresses,
            user,
            password,
            database,
            ssl_mode,
            root_certificates,
            client_certificate,
            connect_timeout,
            application_name: take("application_name", "PGAPPNAME")
                .unwrap_or_else(|| "strongroom".to_owned()),
            options: take("options", "PGOPTIONS"),
            target_session,
            lock_wait: None,
            channel_binding,
            warning,
        })
    }

    /// What the user should know of these settings, as one sentence.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name by which the server knows its sessions.
    #[must_use]
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// Whether and how the connection is to be encrypted.
    #[must_use]
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// The same server and user, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The same for sessions of one work, known by a name that no other session has, none of which waits
    /// longer than this for a lock.
    #[must_use]
    pub fn of_one_work(&self, mark: &str, lock_wait: Duration) -> Self {
        // The server keeps 63 bytes.
        let name: String = self.application_name.chars().take(15).collect();
        let application_name = format!("{name} {mark}");
        Self { application_name, lock_wait: Some(lock_wait), ..self.clone() }
    }

    /// The settings as a person may see them: `postgres://user@host:port/db`, never a password.
    #[must_use]
    pub fn redacted(&self) -> String {
        if let Some(socket) = self.endpoints.iter().find(|endpoint| endpoint.is_socket()) {
            let Self { user, database, .. } = self;
            return format!(
                "postgres://{user}@/{database}?host={}&port={}",
                socket.host, socket.port
            );
        }
        let hosts: Vec<_> = self
            .endpoints
            .iter()
            .map(|Endpoint { host, port }| {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            })
            .collect();
        format!("postgres://{}@{}/{}", self.user, hosts.join(","), self.database)
    }

    /// The variables that tell a child process of PostgreSQL's own tools where to connect. All of
    /// [`LIBPQ_VARIABLES`] that are not among them must be removed from the child's environment;
    /// [`Self::apply_to`] does both.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let joined = |part: &dyn Fn(&Endpoint) -> String| {
            self.endpoints.iter().map(part).collect::<Vec<_>>().join(",")
        };
        let mut variables = vec![
            ("PGHOST", joined(&|endpoint| endpoint.host.clone())),
            ("PGPORT", joined(&|endpoint| endpoint.port.to_string())),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGSSLMODE", self.ssl_mode.as_str().to_owned()),
            ("PGAPPNAME", self.application_name.clone()),
            (
                "PGCONNECT_TIMEOUT",
                self.connect_timeout.map_or(0, |wait| wait.as_secs()).to_string(),
            ),
        ];
        if let Some(password) = &self.password {
            variables.push(("PGPASSWORD", password.to_string()));
        }
        match &self.root_certificates {
            Some(RootCertificates::System) => {
                variables.push(("PGSSLROOTCERT", "system".to_owned()));
            }
            Some(RootCertificates::File(path)) => {
                variables.push(("PGSSLROOTCERT", path.to_string_lossy().into_owned()));
            }
            None => {}
        }
        if let Some((certificate, key)) = &self.client_certificate {
            variables.push(("PGSSLCERT", certificate.to_string_lossy().into_owned()));
            variables.push(("PGSSLKEY", key.to_string_lossy().into_owned()));
        }
        if !self.host_addresses.is_empty() {
            let list: Vec<_> = self.host_addresses.iter().map(ToString::to_string).collect();
            variables.push(("PGHOSTADDR", list.join(",")));
        }
        if let Some(options) = &self.options {
            variables.push(("PGOPTIONS", options.clone()));
        }
        variables.push(("PGCHANNELBINDING", channel_binding_name(self.channel_binding).to_owned()));
        if let Some(kind) = &self.target_session {
            variables.push(("PGTARGETSESSIONATTRS", kind.clone()));
        }
        variables
    }

    /// Gives a child process these settings by its environment, and no other libpq variable.
    pub fn apply_to(&self, command: &mut tokio::process::Command) {
        for name in LIBPQ_VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.environment());
    }
}

impl FromStr for ConnectionSettings {
    type Err = PostgresError;

    fn from_str(text: &str) -> Result<Self, PostgresError> {
        Self::parse(text)
    }
}

impl fmt::Display for ConnectionSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConnectionSettings({})", self.redacted())
    }
}

/// Every environment variable that libpq or its tools read.
/// Source: PostgreSQL's documentation, "Environment Variables" (of libpq), 13 to 18.
#[rustfmt::skip]
pub const LIBPQ_VARIABLES: &[&str] = &[
    "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE",
    "PGREQUIREAUTH", "PGCHANNELBINDING", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGAPPNAME",
    "PGSSLMODE", "PGREQUIRESSL", "PGSSLNEGOTIATION", "PGSSLCOMPRESSION", "PGSSLCERT",
    "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI",
    "PGREQUIREPEER", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGGSSENCMODE",
    "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGSYSCONFDIR", "PGLOCALEDIR",
];

#[rustfmt::skip]
const PARAMETERS: &[&str] = &[
    "user", "password", "dbname", "host", "hostaddr", "port", "sslmode", "sslrootcert",
    "sslcert", "sslkey", "connect_timeout", "application_name", "options",
    "target_session_attrs", "passfile", "channel_binding",
];

/// Parameters of libpq that change nothing here.
#[rustfmt::skip]
const IGNORED_PARAMETERS: &[&str] = &[
    "client_encoding", "fallback_application_name", "gssencmode", "keepalives",
    "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "sslcompression", "sslsni", "krbsrvname", "gsslib",
];

/// Names the parameter only if it looks like one: it might be a part of a password.
fn unknown_parameter(name: &str) -> String {
    let looks_like_one =
        name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if looks_like_one {
        format!("it has an unknown parameter `{name}`")
    } else {
        "it has an unknown parameter".to_owned()
    }
}

fn channel_binding(name: &str) -> Result<ChannelBinding, PostgresError> {
    use ChannelBinding::{Disable, Prefer, Require};
    [Disable, Prefer, Require]
        .into_iter()
        .find(|binding| channel_binding_name(*binding) == name)
        .ok_or_else(|| invalid("`channel_binding` is not disable, prefer or require"))
}

fn channel_binding_name(binding: ChannelBinding) -> &'static str {
    match binding {
        ChannelBinding::Disable => "disable",
        ChannelBinding::Require => "require",
        _ => "prefer",
    }
}

fn ssl_mode(name: &str) -> Result<SslMode, PostgresError> {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    [Disable, Allow, Prefer, Require, VerifyCa, VerifyFull]
        .into_iter()
        .find(|mode| mode.as_str() == name)
        .ok_or_else(|| {
            invalid("`sslmode` is not disable, allow, prefer, require, verify-ca or verify-full")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnectionSettings, PostgresError> {
        ConnectionSettings::parse_with(text, &|_| None)
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        let settings = parse(
            "postgresql://al%20ice:p%40s%2Fs@db.example:6432/shop?sslmode=verify-full&application_name=x&connect_timeout=0",
        )
        .unwrap();
        assert_eq!(settings.redacted(), "postgres://al ice@db.example:6432/shop");
        assert_eq!(settings.password.as_ref().unwrap().as_str(), "p@s/s");
        assert_eq!(settings.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(settings.connect_timeout, None);
        let settings = parse("postgres://u@[::1],h:1/d").unwrap();
        assert_eq!(settings.redacted(), "postgres://u@[::1]:5432,h:1/d");
        let settings = parse("postgres://u@/d?host=/run/pg&port=7").unwrap();
        assert_eq!(settings.redacted(), "postgres://u@/d?host=/run/pg&port=7");
        assert!(settings.endpoints[0].is_socket());
        let settings = parse("postgres://u@%2Frun%2Fpg:7/d").unwrap();
        assert_eq!(settings.endpoints[0].host, "/run/pg");
    }

    #[test]
    fn key_value_strings_are_read_as_libpq_reads_them() {
        let settings = parse("host=h port = 9 user='a b' password='it\\'s' dbname=d").unwrap();
        assert_eq!(settings.redacted(), "postgres://a b@h:9/d");
        assert_eq!(settings.password.as_ref().unwrap().as_str(), "it's");
        assert!(parse("host='h").is_err());
    }

    #[test]
    fn the_password_is_in_no_text_but_the_childs_environment() {
        let settings = parse("postgres://u:hunter2@h/d").unwrap();
        for text in [format!("{settings}"), format!("{settings:?}"), settings.redacted()] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(settings.environment().contains(&("PGPASSWORD", "hunter2".to_owned())));
        assert!(settings.environment().iter().all(|(name, _)| LIBPQ_VARIABLES.contains(name)));
    }

    #[test]
    fn a_badly_written_password_is_not_repeated_in_the_error() {
        for url in [
            "postgres://u:hunter/2@h/d",
            "postgres://u:12/hunter@h/d",
            "postgres://u:hunter?2@h/d",
            "postgres://u:hunter?Xhunter=2@h/d",
            "postgres://u:hunter%zz@h/d",
            "postgres://u:1@hunter/2@h/d",
            "mysql://u:hunter@h/d",
            "hunter",
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(!message.contains("hunter"), "{message}");
        }
        let settings = parse("postgres://u:hunter@2@h/d").unwrap();
        assert_eq!(settings.redacted(), "postgres://u@h:5432/d");
    }

    #[test]
    fn what_a_url_leaves_out_comes_from_the_environment() {
        let environment = |name: &str| match name {
            "PGHOST" => Some("h".to_owned()),
            "PGUSER" => Some("u".to_owned()),
            "PGPASSWORD" => Some("secret".to_owned()),
            "PGSSLMODE" => Some("require".to_owned()),
            _ => None,
        };
        let settings = ConnectionSettings::parse_with("postgres:///d", &environment).unwrap();
        assert_eq!(settings.redacted(), "postgres://u@h:5432/d");
        assert_eq!(settings.password.as_ref().unwrap().as_str(), "secret");
        assert_eq!(settings.ssl_mode(), SslMode::Require);
    }

    #[test]
    fn a_service_stands_between_the_text_and_the_environment() {
        let home = tempfile::tempdir().unwrap();
        let file = "[finance]\nhost=one,two\nport=5433\nuser=backup\nchannel_binding=require\n";
        std::fs::write(home.path().join(".pg_service.conf"), file).unwrap();
        let environment = |name: &str| match name {
            "HOME" => Some(home.path().display().to_string()),
            "PGSERVICE" => Some("finance".to_owned()),
            "PGUSER" => Some("nobody".to_owned()),
            _ => None,
        };
        for text in ["postgres:///d?service=finance", "service=finance dbname=d", "dbname=d"] {
            let settings = ConnectionSettings::parse_with(text, &environment).unwrap();
            assert_eq!(settings.redacted(), "postgres://backup@one:5433,two:5433/d", "{text}");
            assert_eq!(settings.channel_binding, ChannelBinding::Require);
            let told = settings.environment();
            assert!(told.contains(&("PGCHANNELBINDING", "require".to_owned())), "{told:?}");
        }
        let near = "postgres://me@three/d";
        let settings = ConnectionSettings::parse_with(near, &environment).unwrap();
        assert_eq!(settings.redacted(), "postgres://me@three:5433/d");
        assert!(ConnectionSettings::parse_with("service=none", &environment).is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for url in [
            "postgres://u@h:x/d",
            "postgres://u@h/d?sslmode=maybe",
            "postgres://u@h/d?sllmode=require",
            "postgres://u@h/d?channel_binding=maybe",
            "postgres://u@h/d?sslrootcert=system&sslmode=require",
            "postgres://u@h/d?connect_timeout=soon",
            "postgres://u@[::1/d",
            "postgres://u@a,b:1,c/d?port=1,2",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
        let system = parse("postgres://u@h/d?sslrootcert=system").unwrap();
        assert_eq!(system.ssl_mode(), SslMode::VerifyFull);
    }
}
