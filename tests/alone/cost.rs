//! What a backup may cost a row: allocations, bytes stored, processor time, memory. Wall time is
//! too noisy for a test that must not fail by chance; these are not.
//!
//! The same ledger is backed up at two sizes. What every backup costs whatever its size (the vault's
//! own keys, the schema, connections) falls out of the difference between both, and what grows faster
//! than the rows shows in it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stderr, reason = "an installation is never silent")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/vault/mod.rs"]
mod vault;

use std::alloc::System;
use std::ffi::OsString;
use std::io::Read as _;
use std::process::Stdio;

use crate::support::TestDatabase;
use crate::vault::{World, files_below};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use strongroom::cli;
use strongroom::cli::args::{Command, Parsed};
use strongroom::cli::context::Context;
use wait4::Wait4 as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LEDGER: &str = include_str!("../bench/peers/ledger.sql");
/// Of the smallest ledger. A person has 2.5 accounts and 50 transactions.
const PEOPLE: u64 = 200;

/// Each further row, of about 160 bytes of COPY text. Rows are read in chunks and sealed in pieces: what
/// is allocated is a person's (her keys, her sorted rows, her segments), about once a row today.
const ALLOCATIONS_A_ROW_MAX: f64 = 3.0;
/// Each further row, with its share of its person's keys in catalog and replica and of the index.
const STORED_BYTES_A_ROW_MAX: f64 = 75.0;
/// By how much more than the rows the processor time may grow, for six times the rows. Were it rows
/// times rows, it would be six.
const CPU_GROWTH_MAX: f64 = 2.0;
/// By how much the memory may grow with rows of 16 MB and of 112 MB, against a budget of 16 MiB.
const MEMORY_GROWTH_BYTES_MAX: u64 = 32 << 20;

/// What one backup cost, by a process of its own.
struct Cost {
    stored_bytes: u64,
    cpu_seconds: f64,
    memory_bytes_max: u64,
}

#[test]
fn a_backup_costs_no_more_a_row_the_more_rows_there_are() {
    let [few, more, many] = [1, 2, 6].map(|factor| ledger(PEOPLE * factor));
    let allocations = difference(allocated(&more.0), allocated(&few.0), more.1 - few.1);
    let [small, large] = [&few, &many].map(|(database, rows)| cost(database, &LEDGER_MAP, *rows));
    let stored_bytes = difference(large.stored_bytes, small.stored_bytes, many.1 - few.1);
    let growth = (large.cpu_seconds / small.cpu_seconds) / (many.1 as f64 / few.1 as f64);
    let said = format!(
        "each further row: {allocations:.2} allocations, {stored_bytes:.1} bytes stored; {:.1} µs of \
         processor time a row, {growth:.2} times as much as with fewer rows",
        large.cpu_seconds * 1e6 / many.1 as f64,
    );
    show(&said);
    assert!(allocations <= ALLOCATIONS_A_ROW_MAX, "{said}");
    assert!(stored_bytes <= STORED_BYTES_A_ROW_MAX, "{said}");
    assert!(growth <= CPU_GROWTH_MAX, "{said}");
}

#[test]
fn a_backup_takes_no_more_memory_the_more_rows_there_are() {
    let [small, large] = [4_000, 28_000].map(|rows| {
        let database = wide(rows);
        cost(&database, &["--root", "public.notes"], rows)
    });
    let (before, after) = (small.memory_bytes_max, large.memory_bytes_max);
    let said =
        format!("memory with 7 times the rows: {} MiB, then {} MiB", before >> 20, after >> 20);
    show(&said);
    assert!(after.saturating_sub(before) <= MEMORY_GROWTH_BYTES_MAX, "{said}");
}

const LEDGER_MAP: [&str; 4] = ["--root", "public.users", "--shared", "public.categories"];

fn difference(more: u64, less: u64, rows: u64) -> f64 {
    (more as f64 - less as f64) / rows as f64
}

#[allow(clippy::print_stdout, reason = "`--nocapture` shows how far the bounds are")]
fn show(said: &str) {
    println!("{said}");
}

/// How many allocations a backup of this ledger makes, in this process. What the other test allocates
/// meanwhile to start its programs counts too, and is nothing beside it.
fn allocated(database: &TestDatabase) -> u64 {
    let world = vault(database, &LEDGER_MAP);
    let command = arguments(&world);
    let before = ALLOCATOR.stats().allocations;
    runtime().block_on(back_up(command));
    (ALLOCATOR.stats().allocations - before) as u64
}

/// Backs up into a new vault, by the program.
fn cost(database: &TestDatabase, map: &[&str], rows: u64) -> Cost {
    let world = vault(database, map);
    let stored = stored_bytes(&world);
    let mut child = world.command(&["backup", "main"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut document = String::new();
    child.stdout.take().unwrap().read_to_string(&mut document).unwrap();
    let used = child.wait4().unwrap();
    assert!(used.status.success(), "{document}");
    let report: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(report["rows"], rows, "{report:#}");
    Cost {
        stored_bytes: stored_bytes(&world) - stored,
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        memory_bytes_max: used.rusage.maxrss,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Rows of 4 kB of COPY text, each somebody's.
fn wide(rows: u64) -> TestDatabase {
    let statements = format!(
        "CREATE TABLE public.notes (id int PRIMARY KEY, body text);
         INSERT INTO public.notes SELECT n, repeat(md5(n::text), 125) FROM generate_series(1, {rows}) n"
    );
    filled(&statements)
}

fn filled(statements: &str) -> TestDatabase {
    let database = support::database();
    runtime().block_on(async {
        database.session().await.batch("the rows", statements).await.unwrap();
    });
    database
}

/// A ledger of so many people, and how many rows it has.
fn ledger(people: u64) -> (TestDatabase, u64) {
    let (statements, _) = LEDGER.split_once("vacuum analyze").unwrap();
    let statements = [
        (":people", people),
        (":owners", people),
        (":accounts", people * 5 / 2),
        (":transactions", people * 50),
    ]
    .iter()
    .fold(statements.to_owned(), |text, (name, value)| text.replace(name, &value.to_string()));
    let database = filled(&format!("SET search_path = public; {statements}"));
    (database, people + people * 5 / 2 + people * 50 + 12)
}

fn vault(database: &TestDatabase, map: &[&str]) -> World {
    let world = World::with_source(database);
    world.map(map);
    world
}

/// `backup` as this process would have been told.
fn arguments(world: &World) -> Vec<OsString> {
    let command = world.command(&["backup", "main", "--quiet"]);
    [command.get_program()].into_iter().chain(command.get_args()).map(OsString::from).collect()
}

async fn back_up(arguments: Vec<OsString>) {
    let Ok(Parsed::Run(parsed)) = cli::args::parse(arguments) else { panic!("no command") };
    let Command::Backup(backup) = parsed.command else { panic!("another command") };
    if let Err(error) = cli::commands::backup::run(&Context::new(parsed.global), &backup).await {
        panic!("{error}");
    }
}

/// Everything in the store, and the catalog.
fn stored_bytes(world: &World) -> u64 {
    let catalog = ["catalog.sqlite", "catalog.sqlite-wal"].map(|name| world.path().join(name));
    let files = files_below(&world.path().join("store")).into_iter().chain(catalog);
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
