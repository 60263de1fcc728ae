//! The subject map: which row of which table belongs to which data subject.
//!
//! A map is inferred from a database's foreign keys ([`infer`]), completed by a person's decisions
//! ([`Decisions`]), kept as a commented file ([`SubjectMap::from_toml`], [`SubjectMap::to_toml`]),
//! compared with the live database before each backup ([`check`]), and turned into joins that find
//! each row's owner ([`owner_path`]). `docs/subject-map.md` explains it to the people who use it.
//!
//! Nothing here does input or output: values in, decisions out.

mod candidates;
mod check;
mod choice;
mod classes;
mod decisions;
mod error;
mod evidence;
mod file_comments;
mod file_read;
mod file_ways;
mod file_write;
mod index;
mod infer;
mod key;
mod key_types;
mod leftovers;
mod met;
mod model;
mod names;
mod notes;
mod path;
mod personal_data;
mod placeholders;
mod questions;
mod references;
mod resolve;

#[cfg(test)]
mod infer_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;

pub use check::{Drift, DriftKind, check};
pub use decisions::Decisions;
pub use error::MapError;
pub use evidence::{Evidence, FirstLook, Guess, Seen, first_looks, guesses, is_named_for_a_person};
pub use infer::{Proposal, Undecided, infer};
pub use key::{canonical_key, key_from_parts, key_parts};
pub use met::TableOwners;
pub use model::{
    KeyColumn, LargeObjectRule, OnGone, Ownership, Parent, ReferenceRule, SubjectClass, SubjectMap,
    Unknown, Version, Way,
};
pub use path::{owner_path, owner_paths};
pub use references::columns_to_null;
