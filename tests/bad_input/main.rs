//! What goes wrong, with the real program: each gives one clear sentence, a hint, its exit code, an
//! entry in the audit log where the vault was touched, and loses nothing.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stderr, reason = "what is skipped says so")]

#[path = "../support/answering.rs"]
mod answering;
mod arguments;
mod buckets;
mod damage;
mod databases;
mod disks;
mod faketime;
mod keys;
mod processes;
#[path = "../cli/redact.rs"]
mod redact;
#[path = "../support/s3_server.rs"]
mod s3_server;
#[path = "../cli/sandbox.rs"]
mod sandbox;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tools.rs"]
mod tools;
mod vaults;
