//! What an export holds: her rows, a table a file, and her large objects.

use std::collections::BTreeMap;

use serde::Serialize;

use super::archive::Archive;
use super::csv;
use super::person::{Person, Share};
use crate::base::schema::{QualifiedName, Table};
use crate::container::ContainerError;
use crate::container::manifest::{RelationSummary, RowFormat};
use crate::postgres::rows::large_objects::Piece;
use crate::postgres::rows::row_values::Rows;
use crate::vault::OpsError;

/// A table of at most so many bytes is made in memory; of a longer one, the length is counted first,
/// for an archive says it before the contents.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// tar holds names of 100 bytes, and the folder beside them.
const NAME_CHARACTERS_MAX: usize = 70;

/// A table of the export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedTable {
    /// The table.
    pub table: String,
    /// Its file in the archive.
    pub file: String,
    /// Her rows.
    pub rows: u64,
    /// The columns, in the order of the file.
    pub columns: Vec<ExportedColumn>,
}

/// A column of the export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedColumn {
    /// Its name.
    pub name: String,
    /// Its type, as PostgreSQL names it.
    pub type_name: String,
}

/// A large object of the export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedLargeObject {
    /// The number by which rows name it.
    pub oid: u32,
    /// Its file in the archive.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its comment in the database.
    pub comment: Option<String>,
}

/// Writes her rows of one table; `place` makes the file's name distinct.
pub async fn table(
    archive: &mut Archive,
    person: &Person<'_>,
    share: &Share,
    summary: &RelationSummary,
    name: &QualifiedName,
    place: usize,
) -> Result<ExportedTable, OpsError> {
    let table = person.reader.manifest().schema.table(name).ok_or_else(|| {
        ContainerError::malformed("the manifest", "a relation is no table of its schema")
    })?;
    let columns: Vec<_> = table
        .copied_columns()
        .map(|column| ExportedColumn {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
        })
        .collect();
    let file = format!("tables/{place:03}-{}.csv", plain(&name.to_string()));
    let rows = TableRows { person, share, summary, table };
    let mut csv = Vec::new();
    csv::header(columns.iter().map(|column| column.name.as_str()), &mut csv);
    if share.raw_bytes() <= WHOLE_BYTES_MAX {
        for segment in 0..share.entries.len() {
            rows.append(segment, &mut csv).await?;
        }
        archive.file(&file, &csv)?;
    } else {
        let mut length = csv.len() as u64;
        let mut part = Vec::new();
        for segment in 0..share.entries.len() {
            part.clear();
            rows.append(segment, &mut part).await?;
            length += part.len() as u64;
        }
        archive.begin_file(&file, length)?;
        archive.write(&csv)?;
        for segment in 0..share.entries.len() {
            part.clear();
            rows.append(segment, &mut part).await?;
            archive.write(&part)?;
        }
        archive.end_file()?;
    }
    Ok(ExportedTable { table: name.to_string(), file, rows: share.rows(), columns })
}

/// Where a table's rows come from.
struct TableRows<'a> {
    person: &'a Person<'a>,
    share: &'a Share,
    summary: &'a RelationSummary,
    table: &'a Table,
}

impl TableRows<'_> {
    /// Appends the rows of one segment.
    async fn append(&self, segment: usize, csv: &mut Vec<u8>) -> Result<(), OpsError> {
        let relation = &self.summary.relation;
        let malformed =
            |reason| ContainerError::malformed(&format!("a segment of {relation}"), reason);
        let entry = &self.share.entries[segment];
        let opened = self.person.open(self.share.number, entry).await?;
        let types: Vec<u32> = self.table.copied_columns().map(|column| column.type_oid).collect();
        let rows = match self.summary.format {
            RowFormat::CopyBinary => Rows::binary(&opened, &types),
            RowFormat::CopyText => Rows::text(&opened, self.table.copied_columns().count()),
            RowFormat::LargeObjectPieces => return Err(malformed("it is not of a table").into()),
        };
        let count = csv::rows(rows, csv).map_err(|_| malformed("a row of it cannot be read"))?;
        if count != entry.rows {
            return Err(malformed("it holds another number of rows").into());
        }
        Ok(())
    }
}

/// A name for a file, of letters that every system takes.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| *letter != '"').take(NAME_CHARACTERS_MAX);
    letters
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => letter,
            _ => '_',
        })
        .collect()
}

/// A large object's pieces, before they are in order.
#[derive(Default)]
struct Found {
    comment: Option<String>,
    pieces: Vec<FoundPiece>,
}

/// Where a piece is.
struct FoundPiece {
    offset: u64,
    length: u64,
    segment: usize,
    /// Its line in the segment.
    line: std::ops::Range<usize>,
}

/// Writes her large objects. Their pieces come in any order, so it is noted first where each lies.
pub async fn large_objects(
    archive: &mut Archive,
    person: &Person<'_>,
    share: &Share,
) -> Result<Vec<ExportedLargeObject>, OpsError> {
    let malformed = |reason| ContainerError::malformed("a segment of large objects", reason);
    let mut opened = Opened { person, share, last: None };
    let mut objects: BTreeMap<u32, Found> = BTreeMap::new();
    for segment in 0..share.entries.len() {
        let rows = opened.segment(segment).await?;
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', rows) {
            let piece = Piece::parse(&rows[begin..end]);
            let piece = piece.ok_or_else(|| malformed("its line cannot be read"))?;
            let object = objects.entry(piece.oid()).or_default();
            match piece {
                Piece::Properties(properties) => object.comment = properties.comment,
                Piece::Bytes { offset, bytes, .. } => {
                    let (length, line) = (bytes.len() as u64, begin..end);
                    object.pieces.push(FoundPiece { offset, length, segment, line });
                }
            }
            begin = end + 1;
        }
    }
    let mut exported = Vec::new();
    for (oid, mut object) in objects {
        object.pieces.sort_by_key(|piece| piece.offset);
        let bytes = object.pieces.iter().try_fold(0_u64, |end, piece| {
            (piece.offset >= end).then(|| piece.offset.checked_add(piece.length)).flatten()
        });
        let bytes = bytes.ok_or_else(|| malformed("pieces of a large object overlap"))?;
        let file = format!("large-objects/{oid}");
        archive.begin_file(&file, bytes)?;
        let mut written = 0;
        for piece in object.pieces {
            archive.write_zeros(piece.offset - written)?;
            let rows = opened.segment(piece.segment).await?;
            let Some(Piece::Bytes { bytes, .. }) = rows.get(piece.line).and_then(Piece::parse)
            else {
                return Err(malformed("it has changed while it was read").into());
            };
            archive.write(&bytes)?;
            written = piece.offset + piece.length;
        }
        archive.end_file()?;
        exported.push(ExportedLargeObject { oid, file, bytes, comment: object.comment });
    }
    Ok(exported)
}

/// The segment that was opened last.
struct Opened<'a> {
    person: &'a Person<'a>,
    share: &'a Share,
    last: Option<(usize, Vec<u8>)>,
}

impl Opened<'_> {
    async fn segment(&mut self, number: usize) -> Result<&[u8], OpsError> {
        let rows = match self.last.take() {
            Some((last, rows)) if last == number => rows,
            _ => self.person.open(self.share.number, &self.share.entries[number]).await?,
        };
        Ok(&self.last.insert((number, rows)).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_plain_and_short() {
        assert_eq!(plain("public.users"), "public.users");
        assert_eq!(plain("\"Büro & Co\".\"a/../b\""), "B_ro___Co.a_.._b");
        assert_eq!(plain(&"ä".repeat(200)).len(), NAME_CHARACTERS_MAX);
    }
}
