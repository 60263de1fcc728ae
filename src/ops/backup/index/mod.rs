//! What a backup knows of earlier ones, and the index that it writes.

pub mod index_stream;
pub mod layer_writer;
pub mod previous;
pub mod relation_index;
