//! What a backup seals: rows into segments, segments into packs.

pub mod sealing;
pub mod segment_sink;
pub mod tools;
