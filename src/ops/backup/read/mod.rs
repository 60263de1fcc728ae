//! What a backup reads: relations, their rows, large objects.

pub mod forms;
pub mod known_references;
pub mod large_objects;
pub mod partitions;
pub mod relations;
pub mod rows;
pub mod spill;
pub mod unknown;
