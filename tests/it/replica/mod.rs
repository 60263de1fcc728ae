//! The catalog's replica in the store: what a sync writes, what a recovery makes of it, and what
//! becomes of both when processes die and stores fail.

mod crashes;
mod machine;
mod recovery;
mod syncs;
mod tampering;
mod writing;
