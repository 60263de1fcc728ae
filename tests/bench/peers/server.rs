//! The PostgreSQL server that both sides work with: a temporary one, or one that is there.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use strongroom::postgres::ConnectionSettings;
use strongroom::postgres::connect::url::LIBPQ_VARIABLES;
use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions, find_server};

use crate::Shape;

const GENERATOR: &str = include_str!("ledger.sql");
/// Unit of the times in `/proc`, on every architecture that strongroom runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server and how to reach it.
pub struct Server {
    cluster: Option<TemporaryCluster>,
    /// What libpq reads, for every program that is run: no password is on a command line.
    environment: Vec<(String, String)>,
    settings: Vec<String>,
}

/// What a database holds: of every table the rows and the sum of their hashes; the definitions of
/// constraints and indexes and the sequences' values.
#[derive(PartialEq, Eq)]
pub struct Contents(BTreeMap<String, String>);

impl Server {
    /// A temporary server with these further settings (`name=value`).
    pub fn temporary(settings: &[String]) -> Self {
        let mut options = TemporaryOptions::new("only for the benchmark");
        // Analysing what was just restored would fall into whatever is measured next.
        options.settings.push(("autovacuum".to_owned(), "off".to_owned()));
        for setting in settings {
            let (name, value) = setting.split_once('=').expect("--set takes NAME=VALUE");
            options.settings.push((name.to_owned(), value.to_owned()));
        }
        let cluster = TemporaryCluster::start(&options).unwrap();
        let url = cluster.url("postgres");
        Self::at(&url, Some(cluster))
    }

    /// The server of this URL, on which databases are made and dropped.
    pub fn existing(url: &str) -> Self {
        Self::at(url, None)
    }

    fn at(url: &str, cluster: Option<TemporaryCluster>) -> Self {
        let from_environment = |name: &str| std::env::var(name).ok();
        let url = ConnectionSettings::parse_with(url, &from_environment).unwrap();
        let variables = url.environment().into_iter();
        let mut environment: Vec<(String, String)> =
            variables.map(|(name, value)| (name.to_owned(), value)).collect();
        // Debian's `pg_dump` in /usr/bin is a script that looks for the real one.
        if let Some(folder) = find_server() {
            let path = std::env::var("PATH").unwrap_or_default();
            environment.push(("PATH".to_owned(), format!("{}:{path}", folder.display())));
        }
        let mut server = Self { cluster, environment, settings: Vec::new() };
        for name in ["server_version", "fsync", "full_page_writes", "synchronous_commit"]
            .into_iter()
            .chain(["shared_buffers", "max_wal_size", "autovacuum"])
        {
            let value = server.query("postgres", &format!("show {name}"));
            server.settings.push(format!("{name} = {value}"));
        }
        server
    }

    /// What it is set to, as far as it matters here.
    pub fn settings(&self) -> &[String] {
        &self.settings
    }

    /// Its data's folder, where that is on this machine.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.cluster.as_ref().map(TemporaryCluster::folder)
    }

    /// Lets a program reach it.
    pub fn reached_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for name in LIBPQ_VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }

    /// Makes a database with a ledger of this shape. What it takes is not measured.
    pub(crate) fn fill(&self, database: &str, shape: &Shape) {
        self.drop_database(database);
        self.query("postgres", &format!("create database {database} template template0"));
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), GENERATOR).unwrap();
        let mut psql = self.psql(database);
        for (name, value) in shape.variables() {
            psql.args(["-v", &format!("{name}={value}")]);
        }
        psql.arg("-f").arg(script.path());
        said_by(&mut psql);
    }

    pub fn drop_database(&self, database: &str) {
        self.query("postgres", &format!("drop database if exists {database} with (force)"));
    }

    /// What a query gives, as text.
    pub fn query(&self, database: &str, query: &str) -> String {
        said_by(self.psql(database).args(["-c", query]))
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        self.reached_by(&mut psql);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database]);
        psql.stdin(Stdio::null());
        psql
    }

    /// Rows of all tables, as the server counts them.
    pub fn rows(&self, database: &str) -> u64 {
        let tables = self.tables(database);
        let count = |table: &String| self.query(database, &format!("select count(*) from {table}"));
        tables.iter().map(|table| count(table).parse::<u64>().unwrap()).sum()
    }

    fn tables(&self, database: &str) -> Vec<String> {
        let query = "select c.oid::regclass from pg_class c where relkind = 'r' \
                     and relnamespace = 'public'::regnamespace order by 1";
        self.query(database, query).lines().map(str::to_owned).collect()
    }

    /// Reads everything that a restore must bring back.
    pub fn contents(&self, database: &str) -> Contents {
        let mut found = BTreeMap::new();
        for table in self.tables(database) {
            let query = format!(
                "select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) \
                 from {table} t"
            );
            found.insert(table.clone(), self.query(database, &query));
        }
        for (what, query) in [
            (
                "constraints",
                "select conrelid::regclass || ' ' || conname || ' ' || \
                             pg_get_constraintdef(oid) || convalidated from pg_constraint \
                             where connamespace = 'public'::regnamespace order by 1",
            ),
            ("indexes", "select indexdef from pg_indexes where schemaname = 'public' order by 1"),
            (
                "sequences",
                "select sequencename || ' ' || last_value from pg_sequences \
                           where last_value is not null order by 1",
            ),
        ] {
            found.insert(what.to_owned(), self.query(database, query));
        }
        Contents(found)
    }

    /// Writes out what earlier work left to write, as far as the role may.
    pub fn settle(&self) {
        let _ = self.psql("postgres").args(["-c", "checkpoint"]).output();
    }

    /// The processor time that all its processes have used until now.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let status = fs::read_to_string(self.folder()?.join("data/postmaster.pid")).ok()?;
        let postmaster: u32 = status.lines().next()?.trim().parse().ok()?;
        // Its own, and that of the children that ended.
        let mut ticks: u64 = fields(postmaster)?.times.iter().sum();
        for entry in fs::read_dir("/proc").ok()? {
            let name = entry.ok()?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let Some(found) = fields(process) else { continue };
            if found.parent == postmaster {
                ticks += found.times[0] + found.times[1];
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "exact for thousands of years")]
        Some(ticks as f64 / TICKS_PER_SECOND)
    }
}

impl Contents {
    /// What differs, one word each; nothing if both are the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys());
        let mut differ: Vec<_> =
            names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect();
        differ.dedup();
        differ
    }
}

/// What `/proc` says of a process.
struct Process {
    parent: u32,
    /// User, system, user of ended children, system of ended children.
    times: [u64; 4],
}

fn fields(process: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let rest: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let time = |index: usize| rest.get(index)?.parse().ok();
    Some(Process {
        parent: rest.get(1)?.parse().ok()?,
        times: [time(11)?, time(12)?, time(13)?, time(14)?],
    })
}

fn said_by(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
