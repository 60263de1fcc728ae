//! Rows in columns: the form in which binary rows of a table are sealed.
//!
//! A row as PostgreSQL's `COPY … (FORMAT binary)` writes it has a length before every field and its numbers
//! at full width. Here one subject's rows of one table are turned into columns: whole numbers as
//! differences from the least, in as many bits as the greatest needs ([`integers`]); texts as the
//! number of a pattern that many people share and the digits in it ([`patterns`]); what is left as
//! bytes, compressed together. `docs/format.md`, section "Columns", is the normative description.
//!
//! ```text
//! tuple (COPY binary) --cells--> a row of cells, compact, one in memory --encode--> payload
//! tuple (COPY binary) <-------------------------decode------------------------------- payload
//! ```
//!
//! The way is exact: what comes out is, byte for byte, what went in.

mod bits;
pub(crate) mod cells;
mod decode;
mod encode;
mod integers;
mod layout;
mod numeric;
pub mod patterns;

pub use cells::{CellWriter, Fields, tuple_bytes};
pub use decode::decode;
pub use encode::Encoder;
pub use layout::{ColumnKind, ColumnLayout, Layout};

/// A tuple, or a payload, is not what the layout says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its columns cannot be read")]
pub struct Malformed;

#[cfg(test)]
mod tests;
