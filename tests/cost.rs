//! What a backup may cost a row: allocations, bytes stored, processor time, memory. Wall time is
//! too noisy for a test that must not fail by chance; these are not.
//!
//! The same ledger is backed up at two sizes. What every backup costs whatever its size (the vault's
//! own keys, the schema, connections) falls out of the difference between both, and what grows faster
//! than the rows shows in it.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

mod support;
mod vault;

use std::alloc::System;
use std::ffi::OsString;
use std::io::Read as _;
use std::process::Stdio;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use strongroom::cli;
use strongroom::cli::args::{Command, Parsed};
use strongroom::cli::context::Context;
use support::TestDatabase;
use vault::{World, files_below};
use wait4::Wait4 as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LEDGER: &str = include_str!("bench/peers/ledger.sql");
/// Of the smaller ledger. A person has 2.5 accounts and 50 transactions.
const PEOPLE: u64 = 300;
const FACTOR: u64 = 8;

/// Each further row, of about 160 bytes of COPY text. One allocation a row is one too many on the way
/// of the rows, which are read in chunks and sealed in pieces; what is left is a person's: keys, sorted
/// rows, a segment a table.
const ALLOCATIONS_A_ROW_MAX: f64 = 3.0;
/// Each further row, with its person's keys in catalog and replica and its share of the index.
const STORED_BYTES_A_ROW_MAX: f64 = 75.0;
/// By how much more than the rows the processor time may grow. Rows times rows would be `FACTOR`.
const CPU_GROWTH_MAX: f64 = 1.6;
/// By how much the memory may grow, against the budget of 16 MiB that the vault is set to. The larger
/// ledger has several times that in rows.
const MEMORY_GROWTH_BYTES_MAX: u64 = 24 << 20;

/// What one backup cost.
struct Cost {
    rows: u64,
    allocations: u64,
    stored_bytes: u64,
    cpu_seconds: f64,
    memory_bytes_max: u64,
}

#[test]
fn a_backup_costs_no_more_a_row_the_more_rows_there_are() {
    let [small, large] = [PEOPLE, PEOPLE * FACTOR].map(measure);
    let rows = large.rows - small.rows;
    let a_row = |of: fn(&Cost) -> u64| (of(&large) - of(&small)) as f64 / rows as f64;
    let allocations = a_row(|cost| cost.allocations);
    let stored_bytes = a_row(|cost| cost.stored_bytes);
    let cpu_growth =
        (large.cpu_seconds / small.cpu_seconds) / (large.rows as f64 / small.rows as f64);
    let memory_growth = large.memory_bytes_max.saturating_sub(small.memory_bytes_max);
    let said = format!(
        "a row: {allocations:.2} allocations, {stored_bytes:.1} bytes stored; {:.2} µs of processor \
         time, {cpu_growth:.2} times as much as with fewer rows; memory {} MiB, {} MiB more",
        large.cpu_seconds * 1e6 / large.rows as f64,
        large.memory_bytes_max >> 20,
        memory_growth >> 20,
    );
    #[allow(clippy::print_stdout, reason = "`--nocapture` shows how far the bounds are")]
    {
        println!("{said}");
    }
    assert!(allocations <= ALLOCATIONS_A_ROW_MAX, "{said}");
    assert!(stored_bytes <= STORED_BYTES_A_ROW_MAX, "{said}");
    assert!(cpu_growth <= CPU_GROWTH_MAX, "{said}");
    assert!(memory_growth <= MEMORY_GROWTH_BYTES_MAX, "{said}");
}

/// Backs up a ledger twice, each time into a new vault: in this process, where allocations are
/// counted, and in one of its own, whose time and memory the system tells.
fn measure(people: u64) -> Cost {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (database, rows) = runtime.block_on(ledger(people));
    let world = vault(&database);
    let command = arguments(&world);
    let before = ALLOCATOR.stats().allocations;
    runtime.block_on(back_up(command));
    let allocations = (ALLOCATOR.stats().allocations - before) as u64;

    let world = vault(&database);
    let stored = stored_bytes(&world);
    let mut child = world.command(&["backup", "main"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut document = String::new();
    child.stdout.take().unwrap().read_to_string(&mut document).unwrap();
    let used = child.wait4().unwrap();
    assert!(used.status.success(), "{document}");
    let report: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(report["rows"], rows, "{report:#}");
    Cost {
        rows,
        allocations,
        stored_bytes: stored_bytes(&world) - stored,
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        memory_bytes_max: used.rusage.maxrss,
    }
}

/// A ledger of so many people, and how many rows it has.
async fn ledger(people: u64) -> (TestDatabase, u64) {
    let database = support::database();
    let (statements, _) = LEDGER.split_once("vacuum analyze").unwrap();
    let statements = [
        (":people", people),
        (":owners", people),
        (":accounts", people * 5 / 2),
        (":transactions", people * 50),
    ]
    .iter()
    .fold(statements.to_owned(), |text, (name, value)| text.replace(name, &value.to_string()));
    let session = database.session().await;
    session.batch("the ledger", &format!("SET search_path = public; {statements}")).await.unwrap();
    (database, people + people * 5 / 2 + people * 50 + 12)
}

fn vault(database: &TestDatabase) -> World {
    let world = World::with_source(database);
    world.map(&["--root", "public.users", "--shared", "public.categories"]);
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
    if let Err(error) = cli::backup::run(&Context::new(parsed.global), &backup).await {
        panic!("{error}");
    }
}

/// Everything in the store, and the catalog.
fn stored_bytes(world: &World) -> u64 {
    let catalog = ["catalog.sqlite", "catalog.sqlite-wal"].map(|name| world.path().join(name));
    let files = files_below(&world.path().join("store")).into_iter().chain(catalog);
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
