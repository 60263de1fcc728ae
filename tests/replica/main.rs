//! The catalog's replica in the store: what a sync writes, what a recovery makes of it, and what
//! becomes of both when processes die and stores fail.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stdout, reason = "the figures are for those who run the test")]

mod crashes;
mod machine;
mod recovery;
mod syncs;
mod tampering;
