//! The command line as people and scripts meet it: the real program, whole sessions as snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]

mod documents;
mod help;
mod redact;
mod sandbox;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
