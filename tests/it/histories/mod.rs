//! Seeded histories: backups, restores, erasures, expiries, prunes, copies, reconciliations and
//! recoveries over two stores that fail at random. At the end, with stores that work again, everything
//! that was called complete restores, nothing forgotten opens, and nothing but needed objects is left.
//!
//! A usual run plays some; `soak` plays `STRONGROOM_HISTORIES` of them (docs/testing.md), and
//! `STRONGROOM_HISTORY` is the seed of one to play again.

mod beginning;
mod commands;
mod end;
mod history;
mod promises;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use beginning::Beginning;
use futures_util::FutureExt as _;
use history::{History, Second};

/// How many histories a usual run has at most, and how long it may take.
const USUAL: (u64, Duration) = (300, Duration::from_secs(10));
/// The same with a bucket.
const USUAL_IN_A_BUCKET: (u64, Duration) = (20, Duration::from_secs(10));
/// However slow the machine is, so many are played.
const HISTORIES_MIN: u64 = 4;
/// One in so many seeds has a second store that lies.
const LIARS: u64 = 5;

/// What a number of histories came to.
#[derive(Default)]
struct Tally {
    histories: u64,
    /// The seeds of those that broke a promise.
    broken: Vec<u64>,
    commands: BTreeMap<&'static str, (u64, u64)>,
    faults: BTreeMap<String, u64>,
}

impl Tally {
    async fn play(&mut self, beginning: &Beginning, seed: u64, second: Second) {
        let history = async { History::begin(beginning, seed, second).await.play().await };
        self.histories += 1;
        // The others are told of, too.
        let Ok(history) = AssertUnwindSafe(history).catch_unwind().await else {
            println!("BROKEN: STRONGROOM_HISTORY={seed} ({second:?})");
            return self.broken.push(seed);
        };
        for (command, done) in history.commands {
            let count = self.commands.entry(command).or_default();
            if done { count.0 += 1 } else { count.1 += 1 }
        }
        for fault in history.faults {
            *self.faults.entry(fault).or_default() += 1;
        }
    }

    fn tell(&self, took: Duration) {
        let (done, failed) =
            self.commands.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let faults: u64 = self.faults.values().sum();
        println!(
            "{} histories, {} commands ({done} done, {failed} failed), {faults} faults, {took:.0?}",
            self.histories,
            done + failed,
        );
        for (command, (done, failed)) in &self.commands {
            println!("  {command:<22} {done:>6} done {failed:>6} failed");
        }
        for (fault, count) in &self.faults {
            println!("  {fault:<22} {count:>6}");
        }
    }

    /// No promise was broken; and a run that met nothing proves nothing.
    fn assert_that_promises_were_kept(&self) {
        assert_eq!(self.broken, [0; 0], "STRONGROOM_HISTORY=SEED plays one again");
        let (run, faults) = (self.histories, self.faults.values().sum::<u64>());
        assert!(run >= 3 && faults > run, "{run} histories met {faults} faults only");
    }
}

/// The second store of the history of a seed, where it is a directory.
fn second_of(seed: u64) -> Second {
    if seed % LIARS == LIARS - 1 { Second::Liar } else { Second::Directory }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_complete_is_lost_and_nothing_forgotten_opens() {
    let beginning = Beginning::new().await;
    let (mut tally, started) = (Tally::default(), Instant::now());
    if let Some(seed) = number("STRONGROOM_HISTORY") {
        tally.play(&beginning, seed, second_of(seed)).await;
        return assert_eq!(tally.broken, [0; 0]);
    }
    for seed in 0..USUAL.0 {
        tally.play(&beginning, seed, second_of(seed)).await;
        if tally.histories >= HISTORIES_MIN && started.elapsed() > USUAL.1 {
            break;
        }
    }
    tally.tell(started.elapsed());
    tally.assert_that_promises_were_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_where_the_second_store_is_a_bucket() {
    if number("STRONGROOM_HISTORY").is_some() {
        return;
    }
    let beginning = Beginning::new().await;
    let (mut tally, started) = (Tally::default(), Instant::now());
    let first = number("STRONGROOM_FIRST").unwrap_or(0);
    let count = number("STRONGROOM_BUCKET_HISTORIES").unwrap_or(USUAL_IN_A_BUCKET.0);
    for seed in first..first + count {
        tally.play(&beginning, seed, Second::Bucket { versions: seed % 2 == 1 }).await;
        if number("STRONGROOM_BUCKET_HISTORIES").is_none()
            && tally.histories >= HISTORIES_MIN
            && started.elapsed() > USUAL_IN_A_BUCKET.1
        {
            break;
        }
    }
    tally.tell(started.elapsed());
    tally.assert_that_promises_were_kept();
}

/// From the seed `STRONGROOM_FIRST` on, for none that a usual run has played already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as STRONGROOM_HISTORIES says"]
async fn soak() {
    let (first, count) = (
        number("STRONGROOM_FIRST").unwrap_or(1_000),
        number("STRONGROOM_HISTORIES").unwrap_or(2_000),
    );
    let beginning = Beginning::new().await;
    let (mut tally, started) = (Tally::default(), Instant::now());
    for seed in first..first + count {
        tally.play(&beginning, seed, second_of(seed)).await;
        if tally.histories.is_multiple_of(100) {
            tally.tell(started.elapsed());
        }
    }
    tally.tell(started.elapsed());
    tally.assert_that_promises_were_kept();
}
