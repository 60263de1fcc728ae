//! A throw-away PostgreSQL server, for the demonstration and the tests.
//!
//! The server runs under a small shell process that waits for the end of its standard input. However
//! this process ends, by return, panic or SIGKILL, that pipe closes, and the shell stops the server
//! and removes its folder. So nothing is left behind, also when destructors never run.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use super::connect::session::Session;
use super::connect::url::{ConnectionSettings, LIBPQ_VARIABLES};
use super::error::PostgresError;
use super::tools;
use crate::base::schema::quote_identifier;

/// How long a server may take to answer, in seconds.
const START_SECONDS_MAX: u64 = 60;

/// How often another port is tried, when a program took the first one meanwhile.
const PORTS_TRIED_MAX: u32 = 5;

/// Why there is no temporary server.
#[derive(Debug, thiserror::Error)]
pub enum TemporaryError {
    /// PostgreSQL's server programs are not on this machine.
    #[error("no PostgreSQL server on this machine: `initdb` is not in PATH or a usual place")]
    ServerMissing,
    /// As root, and there is no other user to run the server as.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")]
    NoUser,
    /// A folder or process could not be made.
    #[error("the temporary server could not be set up: {0}")]
    System(#[from] io::Error),
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server did not start.
    #[error("the temporary server did not start: {0}")]
    Start(String),
    /// The server refused something.
    #[error(transparent)]
    Database(#[from] PostgresError),
    /// Debian's package could not be installed.
    #[error("PostgreSQL could not be installed: {0}")]
    Install(String),
}

/// What kind of server to start.
#[derive(Clone)]
pub struct TemporaryOptions {
    /// The superuser's password. The server listens on the loopback interface, where other users of
    /// the machine could reach it.
    pub password: String,
    /// The folder with `initdb` and `postgres`; searched for where there is none.
    pub binaries: Option<PathBuf>,
    /// A PEM certificate and its key: the server then offers TLS.
    pub tls: Option<(String, String)>,
    /// Further settings of the server, name and value.
    pub settings: Vec<(String, String)>,
}

impl TemporaryOptions {
    /// A plain server.
    #[must_use]
    pub fn new(password: impl Into<String>) -> Self {
        Self { password: password.into(), binaries: None, tls: None, settings: Vec::new() }
    }
}

/// A running server with a superuser `postgres`. Dropping it stops the server and removes its folder.
pub struct TemporaryCluster {
    keeper: Child,
    /// Closing it ends the server.
    life: Option<ChildStdin>,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl Drop for TemporaryCluster {
    fn drop(&mut self) {
        drop(self.life.take());
        // The keeper ends once the server has stopped and the folder is gone.
        let _ = self.keeper.wait();
    }
}

impl TemporaryCluster {
    /// Makes a cluster in a folder of its own and starts it on a free port of 127.0.0.1. Blocks for
    /// a second or two. As root, it runs as the user `postgres` or `nobody`.
    pub fn start(options: &TemporaryOptions) -> Result<Self, TemporaryError> {
        let binaries = match &options.binaries {
            Some(folder) => folder.clone(),
            None => find_server().ok_or(TemporaryError::ServerMissing)?,
        };
        let user = server_user()?;
        let (keeper, life, folder) = keep_folder(user)?;
        // From here on, dropping it removes everything.
        let mut cluster =
            Self { keeper, life: Some(life), folder, port: 0, password: options.password.clone() };
        cluster.initialize(&binaries, user, options)?;
        for tried in 1.. {
            match cluster.launch(&binaries, options) {
                Ok(()) => break,
                Err(TemporaryError::Start(reason))
                    if tried < PORTS_TRIED_MAX && reason.contains("could not bind") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(cluster)
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (password, port) = (encoded(&self.password), self.port);
        let database = encoded(database);
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data, socket and log; gone once it stops.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty database. Blocks; may be called from anywhere, also from async code.
    pub fn create_database(&self, name: &str) -> Result<(), TemporaryError> {
        self.administer(format!("CREATE DATABASE {} TEMPLATE template0", quote_identifier(name)))
    }

    /// Removes a database with whoever is connected to it. Blocks like [`Self::create_database`].
    pub fn drop_database(&self, name: &str) -> Result<(), TemporaryError> {
        let name = quote_identifier(name);
        self.administer(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    }

    /// Stops the server at once, as a crash would, and removes its folder.
    pub fn stop(self) {
        drop(self);
    }

    /// A thread of its own, since the caller may be inside of a runtime.
    fn administer(&self, statement: String) -> Result<(), TemporaryError> {
        let url = self.url("postgres");
        let worker = std::thread::spawn(move || -> Result<(), TemporaryError> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let session =
                    Session::connect(&ConnectionSettings::parse_with(&url, &|_| None)?).await?;
                Ok(session.batch("a database of the temporary server", &statement).await?)
            })
        });
        worker.join().unwrap_or_else(|_| {
            Err(TemporaryError::System(io::Error::other("the helping thread panicked")))
        })
    }

    fn initialize(
        &self,
        binaries: &Path,
        user: Option<(u32, u32)>,
        options: &TemporaryOptions,
    ) -> Result<(), TemporaryError> {
        let password_file = self.folder.join("password");
        write_private(&password_file, &options.password, user)?;
        let mut command = command_as(&binaries.join("initdb"), user, &self.folder);
        command
            .arg("--pgdata")
            .arg(self.folder.join("data"))
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"]);
        let output = command.output()?;
        fs::remove_file(&password_file)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line =
                said.lines().find(|line| line.contains("error")).unwrap_or("no reason given");
            return Err(TemporaryError::Initdb(line.to_owned()));
        }
        if let Some((certificate, key)) = &options.tls {
            write_private(&self.folder.join("data/server.crt"), certificate, user)?;
            write_private(&self.folder.join("data/server.key"), key, user)?;
        }
        Ok(())
    }

    /// Hands the server's command line to the keeper and waits until the server answers.
    fn launch(
        &mut self,
        binaries: &Path,
        options: &TemporaryOptions,
    ) -> Result<(), TemporaryError> {
        use std::io::Write;

        self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = self.folder.display().to_string();
        let mut settings: Vec<(&str, String)> = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", folder.clone()),
            // Nothing here outlives the process: durability would only cost time.
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("synchronous_commit", "off".to_owned()),
            ("max_connections", "200".to_owned()),
            ("shared_buffers", "64MB".to_owned()),
            ("lc_messages", "C".to_owned()),
        ];
        if options.tls.is_some() {
            settings.push(("ssl", "on".to_owned()));
        }
        settings.extend(options.settings.iter().map(|(name, to)| (name.as_str(), to.clone())));

        let mut line = vec![binaries.join("postgres").display().to_string()];
        line.extend(["-D".to_owned(), format!("{folder}/data")]);
        for (name, to) in settings {
            line.extend(["-c".to_owned(), format!("{name}={to}")]);
        }
        let quoted: Vec<String> =
            line.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let stopped = self.folder.join("stopped");
        let _ = fs::remove_file(&stopped);
        let keeper = self.life.as_mut().ok_or_else(|| io::Error::other("the keeper is gone"))?;
        writeln!(keeper, "{}", quoted.join(" "))?;
        keeper.flush()?;

        let status_file = self.folder.join("data/postmaster.pid");
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            // The eighth line tells the server's state.
            let status = fs::read_to_string(&status_file).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                return Ok(());
            }
            if stopped.exists() || Instant::now() > deadline {
                return Err(TemporaryError::Start(self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server logged last of a failure.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let telling =
            |line: &&str| ["could not bind", "FATAL", "PANIC"].iter().any(|w| line.contains(w));
        let found = log.lines().rev().find(telling).or_else(|| log.lines().last());
        found.unwrap_or("it logged nothing").to_owned()
    }
}

/// The keeper. Its first argument is the folder. It reads command lines, one at a time and as often
/// as a server does not start, and ends the server when its standard input ends. Signals of a
/// terminal do not reach it, for it leads a process group of its own.
const KEEPER: &str = r#"
folder=$1
begun=
while IFS= read -r line; do
    begun=1
    rm -f "$folder/server" "$folder/stopped"
    (
        eval "exec $line" </dev/null >>"$folder/log" 2>&1 &
        echo $! >"$folder/server"
        wait $!
        : >"$folder/stopped"
    ) </dev/null &
done
if [ -n "$begun" ]; then
    until [ -s "$folder/server" ] || [ -e "$folder/stopped" ]; do sleep 0.02; done
    [ -e "$folder/stopped" ] || kill -QUIT "$(cat "$folder/server")"
    wait
fi
rm -rf "$folder"
"#;

/// Makes the folder and starts its keeper.
fn keep_folder(user: Option<(u32, u32)>) -> Result<(Child, ChildStdin, PathBuf), TemporaryError> {
    let folder = tempfile::Builder::new()
        .prefix("strongroom-pg-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()?;
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    let mut keeper = command_as(Path::new("/bin/sh"), user, Path::new("/"))
        .args(["-c", KEEPER, "strongroom-keeper"])
        .arg(folder.path())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let life = keeper.stdin.take().ok_or_else(|| io::Error::other("the keeper has no input"))?;
    // The keeper removes it from now on.
    Ok((keeper, life, folder.keep()))
}

/// The newest server on this machine: the folder with its programs.
#[must_use]
pub fn find_server() -> Option<PathBuf> {
    tools::folders("initdb").into_iter().find(|folder| folder.join("postgres").is_file())
}

/// Keeps Debian's package from making a cluster of its own, which would run on port 5432 from then on.
/// There only while the package is installed.
const NO_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/strongroom-demo.conf";

/// Installs Debian's `postgresql` with apt-get, through `sudo -n` unless root, without the cluster
/// that it would make; `say` is told each step before it is done.
pub fn install_debian_postgresql(say: impl Fn(&str)) -> Result<(), TemporaryError> {
    let folder = Path::new(NO_CLUSTER).parent().map(Path::to_string_lossy).unwrap_or_default();
    let forbid = format!("mkdir -p {folder} && echo 'create_main_cluster = false' > {NO_CLUSTER}");
    let allow = format!("rm -f {NO_CLUSTER}; rmdir {folder} 2>/dev/null; true");
    as_root(&["apt-get", "update"], &say)?;
    as_root(&["sh", "-c", &forbid], |_| ())?;
    let install = ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"];
    let installed = as_root(&install, &say);
    as_root(&["sh", "-c", &allow], |_| ())?;
    installed
}

fn as_root(command: &[&str], say: impl Fn(&str)) -> Result<(), TemporaryError> {
    let mut words = if rustix::process::geteuid().is_root() { vec![] } else { vec!["sudo", "-n"] };
    words.extend(command);
    say(&format!("PostgreSQL is not on this machine; running `{}`", words.join(" ")));
    let output = Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| TemporaryError::Install(format!("{}: {error}", words[0])))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().last().unwrap_or("no reason given").to_owned();
    Err(TemporaryError::Install(reason))
}

/// The user and group to run as: `None` for this process's own.
fn server_user() -> Result<Option<(u32, u32)>, TemporaryError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| account(&accounts, name))
        .map(Some)
        .ok_or(TemporaryError::NoUser)
}

/// `name:password:uid:gid:…`
fn account(accounts: &str, name: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn command_as(program: &Path, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    for name in LIBPQ_VARIABLES {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env("TZ", "UTC").current_dir(folder).stdin(Stdio::null());
    command
}

fn write_private(path: &Path, contents: &str, user: Option<(u32, u32)>) -> io::Result<()> {
    fs::write(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    match user {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Percent-encodes whatever means something in a URL.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_the_list_of_users() {
        let accounts = "root:x:0:0::/root:/bin/sh\npostgres:x:105:112:,,,:/var/lib:/bin/bash\n";
        assert_eq!(account(accounts, "postgres"), Some((105, 112)));
        assert_eq!(account(accounts, "nobody"), None);
    }

    #[test]
    fn names_are_encoded_for_the_url() {
        assert_eq!(encoded("a/b ä"), "a%2Fb%20%C3%A4");
    }
}
