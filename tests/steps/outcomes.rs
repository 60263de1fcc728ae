//! What was found at each point, for the table at the end, and the work that is shared by the cores.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use crate::record::Point;

/// By the name and edge of the step, how often what was found.
#[derive(Default)]
pub struct Outcomes(Mutex<BTreeMap<String, BTreeMap<&'static str, usize>>>);

impl Outcomes {
    /// Notes the outcome of what was done at a point.
    pub fn note(&self, point: &Point, outcome: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(point.passage.clone()).or_default().entry(outcome).or_default() += 1;
    }

    /// The same for several points that left the same.
    pub fn note_all(&self, points: &[Point], outcome: &'static str) {
        for point in points {
            self.note(point, outcome);
        }
    }

    /// Prints the table of `what` was done to a command, and returns how often each outcome was found.
    pub fn print(&self, command: &str, what: &str) -> BTreeMap<&'static str, usize> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut text = String::new();
        for (passage, outcomes) in &*all {
            let found: Vec<_> =
                outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            text.push_str(&format!("  {passage:28} {}\n", found.join(", ")));
            for (outcome, count) in outcomes {
                *totals.entry(outcome).or_default() += count;
            }
        }
        let found: Vec<_> =
            totals.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        let count: usize = totals.values().sum();
        println!("{command}: {count} {what}, {}\n{text}", found.join(", "));
        totals
    }
}

/// Fails where an outcome was found less often than every whole table finds it; a part of a table
/// (`STRONGROOM_STEPS`) may lack it.
pub fn at_least(totals: &BTreeMap<&'static str, usize>, least: &[(&str, usize)]) {
    let is_whole = std::env::var_os("STRONGROOM_STEPS").is_none_or(|steps| steps == "every");
    let lacks = |(outcome, least): &&(&str, usize)| {
        totals.get(outcome).copied().unwrap_or_default() < *least
    };
    let lacking = least.iter().find(lacks);
    assert!(lacking.is_none() || !is_whole, "{lacking:?} in {totals:?}");
}

/// Does the same with each, on all cores; fails as soon as one has failed. `turn` is its place.
pub fn each<T: Sync>(all: &[T], work: impl Fn(usize, &T) + Sync) {
    let turns = Mutex::new(0..all.len());
    let next = || turns.lock().ok().and_then(|mut turns| turns.next());
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(all.len()) {
            scope.spawn(|| {
                while let Some(turn) = next() {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        work(turn, &all[turn]);
                    }));
                    if let Err(panic) = done {
                        // Nobody takes another turn.
                        if let Ok(mut turns) = turns.lock() {
                            *turns = 0..0;
                        }
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}

/// Waits for what a test of this crate asks the database.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
