//! Everything that is tested from outside and may share a process: one program to link, and one
//! PostgreSQL for all of it. `cargo test --test it NAME::` runs one suite.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, and what is missing")]

mod support;
mod vault;

mod attack;
mod bad_input;
mod cli;
mod custodians;
mod erasures;
mod export;
mod format_vectors;
#[cfg(debug_assertions)]
mod histories;
mod hostile_names;
mod incremental;
mod independent_reader;
mod kit;
mod map;
mod matrix;
mod memory;
mod on_disk;
mod patterns;
mod postgres;
mod random_round_trip;
mod replica;
mod round_trip;
mod s3;
mod source;
mod store_contract;
mod stores;
