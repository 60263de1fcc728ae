//! The chain of entries: how it grows, and how it is checked.

pub mod log;
pub mod verify;
