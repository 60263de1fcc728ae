//! strongroom against the pipelines that people use today, on one database, in turns.
//!
//!     cargo bench --bench peers                                        the standard data set
//!     cargo bench --bench peers -- --people 5000 --accounts 12500 --transactions 250000
//!     cargo bench --bench peers -- --only backup --only restore --rounds 5 --json FILE
//!
//! It starts a PostgreSQL of its own (or takes `--url`), fills it, runs strongroom's release program
//! and every peer that is on the machine by turns, and prints medians and their ratios, beside the
//! ratio that is aimed at. A restore counts only if what it brought back is what was there.
//! docs/performance.md says what the figures mean. The peers: `apt-get install age zstd restic`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here ends the benchmark")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is for")]
#![allow(missing_docs, reason = "nobody uses it but itself")]

mod against_peers;
mod growth;
mod later_backups;
mod machine;
mod measure;
mod one_person;
mod peers;
mod plot;
mod report;
mod server;
mod shapes;
mod vault;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use measure::{Cost, Series};
use peers::Places;
use report::Report;
use server::Server;
use vault::Vault;

/// strongroom against the pipelines that people use today.
#[derive(Parser)]
#[command(name = "peers", max_term_width = 100)]
struct Options {
    /// People in the ledger
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    people: u64,
    /// Their accounts
    #[arg(long, default_value_t = 250_000)]
    accounts: u64,
    /// The accounts' transactions
    #[arg(long, default_value_t = 5_000_000)]
    transactions: u64,
    /// How the rows are spread over the people, for all measurements but `shapes`
    #[arg(long, value_enum, default_value_t = Scenario::Even)]
    scenario: Scenario,
    /// How often everything is run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Connections at the same time, of strongroom and of those peers that can have several
    #[arg(long, default_value_t = 2)]
    jobs: u16,
    /// Backups in the vault in which a person is erased
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(2..))]
    backups: u32,
    /// Only this measurement; repeatable
    #[arg(long, value_enum)]
    only: Vec<What>,
    /// A server to make databases on (`ledger`, `copy`, `shape_…`, `growth` are dropped!), instead of a temporary
    /// one; its password belongs into PGPASSWORD or a passfile
    #[arg(long)]
    url: Option<String>,
    /// A setting of the temporary server, NAME=VALUE; repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "url")]
    settings: Vec<String>,
    /// Where vaults and dumps are written [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Leave vaults and dumps where they are
    #[arg(long)]
    keep: bool,
    /// Write the results here, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the ratios into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The first backup of a vault, and what it stores
    Backup,
    /// A whole restore
    Restore,
    /// One person's export
    Export,
    /// Backups after the first
    Later,
    /// One person's erasure, with one backup and with many
    Erase,
    /// The same rows spread in other ways
    Shapes,
    /// Memory with four times as many rows
    Memory,
}

impl What {
    /// The others fill databases of their own.
    fn uses_the_ledger(self) -> bool {
        !matches!(self, Self::Shapes | Self::Memory)
    }
}

/// How the rows are spread over the people.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Everybody has about as many as anybody else
    Even,
    /// One person owns all accounts and transactions
    OneHeavy,
    /// As many people as there would be transactions, with a row each
    OneRowEach,
}

/// How much there is in a database.
#[derive(Clone, Copy)]
struct Shape {
    people: u64,
    accounts: u64,
    transactions: u64,
    owners: u64,
}

impl Shape {
    fn new(options: &Options, scenario: Scenario) -> Self {
        let &Options { people, accounts, transactions, .. } = options;
        match scenario {
            Scenario::Even => Self { people, accounts, transactions, owners: people },
            Scenario::OneHeavy => Self { people, accounts, transactions, owners: 1 },
            Scenario::OneRowEach => {
                Self { people: transactions, accounts: 0, transactions: 0, owners: 1 }
            }
        }
    }

    fn times(self, factor: u64) -> Self {
        Self {
            people: self.people * factor,
            accounts: self.accounts * factor,
            transactions: self.transactions * factor,
            owners: self.owners * factor,
        }
    }

    /// The generator's variables.
    fn variables(&self) -> [(&'static str, u64); 4] {
        [
            ("people", self.people),
            ("accounts", self.accounts),
            ("transactions", self.transactions),
            ("owners", self.owners),
        ]
    }
}

/// What every measurement works with.
struct Bench<'a> {
    options: &'a Options,
    server: &'a Server,
    places: Places<'a>,
    work: &'a Path,
    report: Report,
    /// The vault of the newest full backup.
    vault: Option<Vault<'a>>,
}

type Measurement = fn(&mut Bench);

/// The database that is backed up, and the one that is restored into.
const LEDGER: &str = "ledger";
const COPY: &str = "copy";

fn main() {
    let options = Options::parse();
    let server = match &options.url {
        Some(url) => Server::existing(url),
        None => Server::temporary(&options.settings),
    };
    let mut folder = tempfile::Builder::new();
    folder.prefix("strongroom-peers-").disable_cleanup(options.keep);
    let folder = match &options.work {
        Some(work) => folder.tempdir_in(work),
        None => folder.tempdir(),
    };
    let folder = folder.unwrap();
    let shape = Shape::new(&options, options.scenario);
    let wanted = |what: What| options.only.is_empty() || options.only.contains(&what);
    let needed = |what: &What| wanted(*what) && what.uses_the_ledger();
    let has_ledger = What::value_variants().iter().any(needed);
    if has_ledger {
        eprintln!("filling the database: {} people", shape.people);
        server.fill(LEDGER, &shape);
    }
    let mut bench = Bench {
        options: &options,
        server: &server,
        places: Places::new(&server, folder.path(), options.jobs),
        work: folder.path(),
        report: Report::begin(&options, &server, &shape, has_ledger),
        vault: None,
    };
    let all: [(What, Measurement); 7] = [
        (What::Backup, against_peers::full_backups),
        (What::Restore, against_peers::full_restores),
        (What::Export, one_person::export),
        (What::Later, later_backups::measure),
        (What::Erase, one_person::erase),
        (What::Shapes, shapes::measure),
        (What::Memory, growth::measure),
    ];
    for (_, measure) in all.into_iter().filter(|(what, _)| wanted(*what)) {
        measure(&mut bench);
    }
    for database in [LEDGER, COPY] {
        server.drop_database(database);
    }
    println!("{}", bench.report);
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{:#}\n", bench.report.to_json())).unwrap();
    }
    if let Some(file) = &options.plot {
        std::fs::write(file, plot::draw(bench.report.checks())).unwrap();
    }
    if options.keep {
        println!("Vaults and dumps are in {}", folder.path().display());
    }
}

/// What was run, by who ran it.
type Done = Vec<(String, Series)>;

/// Who could not run, and why.
type LeftOut = Vec<(String, String)>;

/// Somebody whose turn comes once a round.
type Turn<'t> = (String, Box<dyn FnMut() -> Result<Cost, String> + 't>);

/// Lets each have its turn, round after round. Who fails is left out from then on, with the reason.
fn in_turns(what: &str, rounds: u32, mut turns: Vec<Turn>) -> (Done, LeftOut) {
    let mut series = vec![Series::default(); turns.len()];
    let mut failed: Vec<Option<String>> = vec![None; turns.len()];
    for round in 1..=rounds {
        for (place, (name, run)) in turns.iter_mut().enumerate() {
            if failed[place].is_some() {
                continue;
            }
            match run() {
                Ok(cost) => {
                    let seconds = cost.wall_seconds;
                    eprintln!("{what}, {round} of {rounds}: {name} {seconds:.2} s");
                    series[place].0.push(cost);
                }
                Err(reason) => failed[place] = Some(reason),
            }
        }
    }
    let (mut done, mut left_out) = (Vec::new(), Vec::new());
    for (((name, _), series), failed) in turns.into_iter().zip(series).zip(failed) {
        match failed {
            Some(reason) => left_out.push((name, reason)),
            None => done.push((name, series)),
        }
    }
    (done, left_out)
}

impl<'a> Bench<'a> {
    /// A vault with one backup of the ledger.
    fn vault(&mut self) -> &Vault<'a> {
        if self.vault.is_none() {
            let vault = self.new_vault("ledger", LEDGER);
            vault.backup(&[]);
            self.vault = Some(vault);
        }
        self.vault.as_ref().unwrap()
    }

    fn new_vault(&self, name: &str, database: &str) -> Vault<'a> {
        Vault::begin(vault::folder(self.work, name), self.server, database, self.options.jobs)
    }

    /// Fails unless two databases hold the same.
    fn require_same(&self, whose: &str, contents: &server::Contents, database: &str) {
        let differences = contents.differences(&self.server.contents(database));
        assert!(differences.is_empty(), "{whose} brought back other {}", differences.join(", "));
    }
}
