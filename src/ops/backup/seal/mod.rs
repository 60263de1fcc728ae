//! What a backup seals: rows into segments, segments into packs.

pub mod sealed;
pub mod sealing;
pub mod segment_sink;
pub mod tools;
