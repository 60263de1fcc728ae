//! The command line as people and scripts meet it: the real program, whole sessions as snapshots.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stderr, reason = "what is skipped says so")]

mod documents;
mod help;
mod redact;
mod sandbox;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
