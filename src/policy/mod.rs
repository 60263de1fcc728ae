//! What may, must and must not happen. Everything here is pure: values in, decisions out.

pub mod free_text;
pub mod subject_map;
