//! What goes wrong, with the real program: each gives one clear sentence, a hint, its exit code, an
//! entry in the audit log where the vault was touched, and loses nothing.

mod arguments;
mod buckets;
mod damage;
mod databases;
mod disks;
mod keys;
mod processes;
mod vaults;
