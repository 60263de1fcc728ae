//! Rows out and in, in every form that PostgreSQL has for them.

pub mod copy;
pub mod large_objects;
pub mod lines;
pub mod owners;
pub mod probe;
pub mod row_values;
pub mod tuples;
pub mod values;
