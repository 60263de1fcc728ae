//! The commands, one a file: arguments in, a verb of [`crate::ops`], a report out.

pub mod audit;
pub mod backup;
pub mod completions;
pub mod custody;
pub mod doctor;
pub mod erase;
pub mod erasure;
pub mod expire;
pub mod export;
pub mod init;
pub mod keys;
pub mod kit;
pub mod list;
pub mod man;
pub mod map;
pub mod prune;
pub mod recover;
pub mod restore;
pub mod show;
pub mod source;
pub mod store;
pub mod subject;
pub mod verify;
