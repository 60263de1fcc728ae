//! The audit log: who accessed what, when, and how it went; written before the access happens.
//!
//! Entries stand in the table `audit_entry` of the catalog's database and are chained by SHA-256,
//! so that an edit, a removal or a reordering is found. `docs/audit.md` explains it to the officer
//! and gives auditors the exact bytes. This module knows no key: whoever has the vault's key
//! computes the MAC over [`head_message`], which makes a cut tail detectable.
//!
//! Code that releases keys takes a [`Recorded`], which only a durable entry yields: if the entry
//! cannot be written, the access does not happen.

mod chain;
mod entry;
mod error;
mod who;
mod words;

pub use chain::log::{
    Filter, Head, Recorded, head_holds, list, newest_at, read_head, record, record_in,
    record_with_head, seal_head, seal_head_in,
};
pub use chain::verify::{Broken, Fault, Verdict, verify};
pub use entry::{Entry, NewEntry, entry_hash, head_message};
pub use error::AuditError;
pub use who::Who;
pub use words::{Action, Outcome};

#[cfg(test)]
mod fixture;
