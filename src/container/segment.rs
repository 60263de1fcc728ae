//! Segments: what a subject's rows of one relation are bound to, and how they are compressed.
//!
//! Rows are lines of PostgreSQL's COPY text format, or tuples of its binary format, which are sealed in
//! columns ([`super::columns`]). They are sorted, but for the commons' and those of a subject too large
//! for memory, which are in the server's order. Two subjects never share a compression frame.

use serde::{Deserialize, Serialize};

use super::ContainerError;
use super::columns::{self, Layout};
use crate::base::ids::{SourceId, SubjectReference, VaultId};
use crate::base::schema::QualifiedName;
use crate::crypto::{Context, labels};

/// Rows are cut into segments of about this many bytes (before compression), so that memory stays
/// bounded however much one subject owns. A row that is longer makes a segment by itself.
pub const RAW_BYTES_TARGET: usize = 2 << 20;

/// Against a length field that lies: PostgreSQL's own limit of a COPY row is 1 GiB.
const RAW_BYTES_MAX: u64 = (1 << 30) + (RAW_BYTES_TARGET as u64);

const COMPRESSION_LEVEL: i32 = 3;

/// What rows are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// A table.
    Table(QualifiedName),
    /// The database's large objects.
    LargeObjects,
}

impl std::fmt::Display for Relation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(name) => name.fmt(formatter),
            Self::LargeObjects => formatter.write_str("large objects"),
        }
    }
}

/// How a segment's payload was made from its rows. The number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// The rows as they are, where compression would not make them smaller.
    Stored = 0,
    /// One Zstandard frame (RFC 8878) with its content size, without checksum and dictionary.
    Zstandard = 1,
    /// Binary tuples in columns, by the layout of their relation.
    Columns = 2,
}

impl Codec {
    /// The codec of that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Stored),
            1 => Some(Self::Zstandard),
            2 => Some(Self::Columns),
            _ => None,
        }
    }
}

/// The context of a segment: vault, source, relation, subject and codec; of one in columns, their layout.
#[must_use]
pub fn context(
    vault: VaultId,
    source: SourceId,
    relation: &Relation,
    reference: SubjectReference,
    codec: Codec,
    layout: Option<&Layout>,
) -> Context {
    let bound = Context::new(labels::SEGMENT).with(&vault.0).with(&source.0);
    let bound = match relation {
        Relation::Table(name) => {
            bound.with(b"table").with(name.schema.as_bytes()).with(name.name.as_bytes())
        }
        Relation::LargeObjects => bound.with(b"large objects").with(b"").with(b""),
    };
    let bound = bound.with(&reference.0).with(&[codec as u8]);
    match (codec, layout) {
        (Codec::Columns, Some(layout)) => bound.with(&layout.digest().0),
        _ => bound,
    }
}

/// Compresses segments; keeps its working memory between them.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// A compressor.
    pub fn new() -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        compressor.include_checksum(false)?;
        compressor.include_contentsize(true)?;
        Ok(Self(compressor))
    }

    /// The payload of some rows.
    pub fn compress(&mut self, rows: &[u8]) -> std::io::Result<(Codec, Vec<u8>)> {
        let compressed = self.0.compress(rows)?;
        if compressed.len() < rows.len() {
            Ok((Codec::Zstandard, compressed))
        } else {
            Ok((Codec::Stored, rows.to_vec()))
        }
    }
}

/// The rows of an authenticated payload, `rows` and `raw_bytes` of them as the index says; `segment`
/// names it in errors.
pub fn rows_of(
    (codec, layout): (Codec, Option<&Layout>),
    payload: Vec<u8>,
    (rows, raw_bytes): (u64, u64),
    segment: &str,
) -> Result<Vec<u8>, ContainerError> {
    let lines = match codec {
        Codec::Stored | Codec::Zstandard if layout.is_some() => {
            return Err(ContainerError::malformed(
                segment,
                "its relation is in columns, it is not",
            ));
        }
        Codec::Stored | Codec::Zstandard => decompress(codec, payload, raw_bytes, segment)?,
        Codec::Columns => {
            let malformed = |reason| ContainerError::malformed(segment, reason);
            let layout = layout.ok_or_else(|| malformed("its relation has no layout"))?;
            if raw_bytes > RAW_BYTES_MAX {
                return Err(malformed("it claims to be longer than a segment can be"));
            }
            return columns::decode(layout, &payload, rows, raw_bytes)
                .map_err(|_| malformed("its columns cannot be read"));
        }
    };
    let found = memchr::memchr_iter(b'\n', &lines).count() as u64;
    if found == rows && lines.last() == Some(&b'\n') {
        Ok(lines)
    } else {
        Err(ContainerError::malformed(segment, "it holds another number of rows"))
    }
}

/// The lines of an authenticated payload of lines.
pub fn decompress(
    codec: Codec,
    payload: Vec<u8>,
    raw_bytes: u64,
    segment: &str,
) -> Result<Vec<u8>, ContainerError> {
    let malformed = |reason| ContainerError::malformed(segment, reason);
    if raw_bytes > RAW_BYTES_MAX {
        return Err(malformed("it claims to be longer than a segment can be"));
    }
    let raw_bytes =
        usize::try_from(raw_bytes).map_err(|_| malformed("it is too long for this machine"))?;
    let rows = match codec {
        Codec::Stored => payload,
        Codec::Zstandard => zstd::bulk::decompress(&payload, raw_bytes)
            .map_err(|_| malformed("it does not decompress"))?,
        Codec::Columns => return Err(malformed("its rows are no lines")),
    };
    if rows.len() == raw_bytes {
        Ok(rows)
    } else {
        Err(malformed("it has another length than the index says"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_a_wrong_length_is_refused() {
        let mut compressor = Compressor::new().unwrap();
        for rows in [&b""[..], b"x\n", &b"anna\t1\n".repeat(1000)] {
            let (codec, payload) = compressor.compress(rows).unwrap();
            assert_eq!(decompress(codec, payload.clone(), rows.len() as u64, "s").unwrap(), rows);
            assert!(decompress(codec, payload.clone(), rows.len() as u64 + 1, "s").is_err());
            assert!(decompress(codec, payload, u64::MAX, "s").is_err());
        }
    }

    #[test]
    fn a_context_tells_every_part_apart() {
        let table = |schema: &str, name: &str| Relation::Table(QualifiedName::new(schema, name));
        let base = (
            VaultId([1; 16]),
            SourceId([2; 16]),
            table("a", "b"),
            SubjectReference([3; 16]),
            Codec::Stored,
        );
        let bytes = |(v, s, r, p, c): &(VaultId, SourceId, Relation, SubjectReference, Codec)| {
            context(*v, *s, r, *p, *c, None).as_bytes().to_vec()
        };
        let mut others = vec![base.clone(); 6];
        others[0].0 = VaultId([9; 16]);
        others[1].1 = SourceId([9; 16]);
        others[2].2 = table("ab", "");
        others[3].3 = SubjectReference::COMMONS;
        others[4].4 = Codec::Zstandard;
        others[5].2 = Relation::LargeObjects;
        for other in &others {
            assert_ne!(bytes(&base), bytes(other));
        }
    }
}
