//! Every durable step of every command that changes something: the program dies there, or the step
//! fails, and the guarantee must hold in both directions.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables of outcomes")]

#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the suites of `it` use the rest")]
#[path = "../it/vault/mod.rs"]
mod vault;

mod crash;
mod faults;
mod guarantee;
mod outcomes;
mod record;
