//! Crashes, waits and failures at durable steps, for the tests. Debug builds only.
//!
//! | variable | what happens |
//! |---|---|
//! | `STRONGROOM_STEP_LOG=FILE` | each passage, `NAME:EDGE`, is appended to FILE |
//! | `STRONGROOM_IMAGES=FOLDER` | the working folder at each passage is kept there, see `images.rs` |
//! | `STRONGROOM_CRASH_AT=NAME:EDGE#N` | the process is killed (SIGKILL) at the N-th passage, from 1 |
//! | `STRONGROOM_PANIC_AT=NAME:EDGE#N` | the thread panics there |
//! | `STRONGROOM_WAIT_AT=NAME:EDGE#N` | the process waits there until its standard input ends |
//! | `STRONGROOM_FAIL_AT=NAME:before#N` | the step is not done, and reports an error |
//! | `STRONGROOM_FAIL_AT=NAME:after#N` | the step is done, and reports an error all the same |
//!
//! EDGE is `before` or `after`; `#1` may be left out.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use super::images::Images;

/// An error that a test lets a durable step report.
pub trait Injected {
    /// The error, as the system or the database below would report it.
    fn injected(step: &str) -> Self;
}

impl Injected for io::Error {
    fn injected(step: &str) -> Self {
        Self::other(format!("a test lets `{step}` fail"))
    }
}

pub(super) fn before<E: Injected>(name: &str) -> Result<(), E> {
    edge(name, "before")
}

pub(super) fn after<E: Injected>(name: &str) -> Result<(), E> {
    edge(name, "after")
}

fn edge<E: Injected>(name: &str, edge: &str) -> Result<(), E> {
    let here = format!("{name}:{edge}");
    let number = passed(&here);
    if is_named_by("STRONGROOM_FAIL_AT", &here, number) { Err(E::injected(name)) } else { Ok(()) }
}

/// What this process has passed.
struct Passed {
    counts: BTreeMap<String, usize>,
    images: Images,
}

/// Notes a passage, and crashes or waits there where a test says so. Which passage of this place it
/// is, from 1.
pub fn passed(here: &str) -> usize {
    static PASSED: Mutex<Passed> =
        Mutex::new(Passed { counts: BTreeMap::new(), images: Images::new() });
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let number = passed.counts.entry(here.to_owned()).or_default();
    *number += 1;
    let number = *number;
    if let Some(log) = std::env::var_os("STRONGROOM_STEP_LOG")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(log)
    {
        let _ = file.write_all(format!("{here}\n").as_bytes());
    }
    passed.images.take(here);
    if is_named_by("STRONGROOM_CRASH_AT", here, number) {
        let this = rustix::process::getpid();
        let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
    drop(passed);
    assert!(!is_named_by("STRONGROOM_PANIC_AT", here, number), "the words of a panic");
    if is_named_by("STRONGROOM_WAIT_AT", here, number) {
        let mut byte = [0];
        while matches!(io::stdin().lock().read(&mut byte), Ok(1)) {}
    }
    number
}

fn is_named_by(variable: &str, here: &str, number: usize) -> bool {
    let Ok(target) = std::env::var(variable) else { return false };
    let (wanted, passage) = target.split_once('#').unwrap_or((&target, "1"));
    wanted == here && passage == number.to_string()
}
