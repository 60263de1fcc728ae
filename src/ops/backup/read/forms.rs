//! In which form the rows of a table are read and sealed: as binary tuples in columns where every
//! column's type is known to mean the same in any database, else as lines of text.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::base::schema::{DatabaseSchema, OwnerWays, Table, TableKind};
use crate::container::columns::patterns::{Collector, Patterns};
use crate::container::columns::{CellWriter, ColumnKind, ColumnLayout, Fields, Layout, Malformed};
use crate::postgres::rows::owners::Verdict;
use crate::postgres::rows::tuples::Tuples;
use crate::postgres::{CopyFormat, Part, Session, TableRead};
use crate::vault::OpsError;

/// Patterns are looked for in about so many rows.
const SAMPLE_ROWS: u64 = 60_000;

/// How rows are read and sealed.
#[derive(Clone)]
pub enum RowForm {
    /// Lines: COPY's text format, or pieces of large objects.
    Lines,
    /// Tuples of COPY's binary format, in columns.
    Tuples(Arc<Layout>),
}

/// Where a row says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerField {
    /// In a field before the row's own, as text.
    Before,
    /// In a field before the row's own, as a value of that type.
    BeforeAsValue {
        /// The type's object identifier.
        type_oid: u32,
    },
    /// In this one of the row's own fields, as a value of that type.
    Own {
        /// The field's place.
        place: usize,
        /// The type's object identifier.
        type_oid: u32,
    },
    /// In two fields before the row's own: the key as text, and the server's verdict.
    Judged,
}

impl OwnerField {
    /// The type of which the keys are values; none where they are text.
    pub fn type_oid(self) -> Option<u32> {
        match self {
            Self::Before | Self::Judged => None,
            Self::BeforeAsValue { type_oid } | Self::Own { type_oid, .. } => Some(type_oid),
        }
    }
}

/// The kind of a column of that built-in type; `None` where its binary form may differ from database to
/// database, or is not known here.
fn kind(type_oid: u32) -> Option<ColumnKind> {
    // As pg_type.dat assigns them; they never change.
    Some(match type_oid {
        16 | 18 => ColumnKind::Integer1,                 // boolean, "char"
        21 => ColumnKind::Integer2,                      // smallint
        23 | 26 | 1082 => ColumnKind::Integer4,          // integer, oid, date
        20 | 1083 | 1114 | 1184 => ColumnKind::Integer8, // bigint, time, timestamp, timestamptz
        700 => ColumnKind::Fixed4,                       // real
        701 => ColumnKind::Fixed8,                       // double precision
        1186 | 2950 => ColumnKind::Fixed16,              // interval, uuid
        1700 => ColumnKind::Numeric,
        19 | 25 | 114 | 1042 | 1043 => ColumnKind::Text, // name, text, json, character, varchar
        17 | 650 | 829 | 869 | 1266 | 3802 => ColumnKind::Bytes, // bytea, cidr, macaddr, inet, timetz, jsonb
        _ => return None,
    })
}

/// The kinds of a table's columns, if it is read as tuples.
pub fn kinds(table: &Table) -> Option<Vec<ColumnKind>> {
    table.copied_columns().map(|column| kind(column.type_oid)).collect()
}

/// Types whose values are the same text here as the server's cast to text makes of them: smallint, integer,
/// bigint, text, varchar, uuid. (A cast takes the blanks off a `character`.)
const KEY_TYPES: [u32; 6] = [20, 21, 23, 25, 1043, 2950];

/// Where the owner's key of a row that is read as a tuple is.
pub fn owner_field(schema: &DatabaseSchema, table: &Table, owner: &OwnerWays) -> OwnerField {
    let Some(owner) = owner.proven() else { return OwnerField::Judged };
    let end = owner.joins.last().map_or(Some(table), |join| schema.table(&join.table));
    let ([key], Some(end)) = (owner.key_columns.as_slice(), end) else { return OwnerField::Before };
    let Some(type_oid) = end.column(key).map(|column| column.type_oid) else {
        return OwnerField::Before;
    };
    if !KEY_TYPES.contains(&type_oid) {
        return OwnerField::Before;
    }
    match table.copied_columns().position(|column| column.name == *key) {
        Some(place) if owner.joins.is_empty() => OwnerField::Own { place, type_oid },
        _ => OwnerField::BeforeAsValue { type_oid },
    }
}

/// The server sent other tuples than it was asked for. (Stored columns that are malformed are damage.)
fn not_as_asked(_: Malformed) -> OpsError {
    OpsError::Tuples
}

/// A layout of columns of these kinds.
pub fn without_patterns(kinds: &[ColumnKind]) -> Layout {
    let column = |kind: &ColumnKind| ColumnLayout { kind: *kind, patterns: Patterns::default() };
    Layout::new(kinds.iter().map(column).collect())
}

/// The same layout with the patterns of texts that many of the table's people share, found in a sample
/// of its rows.
pub async fn with_patterns(
    session: &Session,
    table: &Table,
    owner: &OwnerWays,
    layout: &Layout,
) -> Result<Layout, OpsError> {
    let kinds: Vec<ColumnKind> = layout.kinds().collect();
    if !kinds.contains(&ColumnKind::Text) {
        return Ok(layout.clone());
    }
    let found = patterns(session, table, owner, &kinds).await?;
    let columns = kinds.into_iter().zip(found);
    Ok(Layout::new(columns.map(|(kind, patterns)| ColumnLayout { kind, patterns }).collect()))
}

async fn patterns(
    session: &Session,
    table: &Table,
    owner: &OwnerWays,
    kinds: &[ColumnKind],
) -> Result<Vec<Patterns>, OpsError> {
    let mut collectors: Vec<Collector> = kinds.iter().map(|_| Collector::default()).collect();
    let percent = match (table.kind, table.rows_estimated) {
        // An estimate is no count: a few pages more do no harm.
        #[allow(clippy::cast_precision_loss)]
        (TableKind::Ordinary, rows) if rows > SAMPLE_ROWS => {
            100.0 * SAMPLE_ROWS as f64 / rows as f64
        }
        _ => 100.0,
    };
    let part = Part::Sample { percent, rows: 2 * SAMPLE_ROWS };
    let format = CopyFormat::Binary;
    let read = TableRead { format, part, ..TableRead::lines(table, Some(owner)) };
    let mut rows = session.copy_table_out(&read).await?;
    let people = RandomState::new();
    let mut tuples = Tuples::default();
    while let Some(chunk) = rows.next_chunk().await {
        tuples.push(chunk?);
        while let Some(tuple) = tuples.next_tuple()? {
            let (_, mut fields) = Fields::of(tuple).map_err(not_as_asked)?;
            let key = fields.take().map_err(not_as_asked)?;
            // Only people of whom it is certain make a pattern theirs.
            let is_certain = owner.proven().is_some()
                || matches!(
                    fields.take().map_err(not_as_asked)?.map(verdict).transpose()?,
                    Some(Verdict::Has(_))
                );
            let Some(key) = key.filter(|_| is_certain) else { continue };
            let person = people.hash_one(key);
            for (kind, collector) in kinds.iter().zip(&mut collectors) {
                if let Some(value) = fields.take().map_err(not_as_asked)?
                    && *kind == ColumnKind::Text
                {
                    collector.look(person, value);
                }
            }
        }
    }
    if !tuples.is_complete() {
        return Err(OpsError::CutShort);
    }
    Ok(collectors.into_iter().map(Collector::finish).collect())
}

/// Turns tuples into rows of cells, and knows whose they are.
pub struct TupleReader<'a> {
    layout: &'a Layout,
    owner: Option<OwnerField>,
    cells: CellWriter,
}

/// The server's verdict, as a value of `smallint`.
fn verdict(value: &[u8]) -> Result<Verdict, OpsError> {
    let number = <[u8; 2]>::try_from(value).map(i16::from_be_bytes).ok();
    number.and_then(Verdict::from_number).ok_or(OpsError::Tuples)
}

/// What a tuple says of its owner.
pub enum Owner<'a> {
    /// Nobody's.
    Nobody,
    /// The key as text.
    Text(&'a [u8]),
    /// The key as a value of that type.
    Value(u32, &'a [u8]),
    /// The key as text, if there is one, and what the server says of it.
    Judged(Option<&'a [u8]>, Verdict),
}

impl<'a> TupleReader<'a> {
    /// A reader of rows of that layout.
    pub fn new(layout: &'a Layout, owner: Option<OwnerField>) -> Self {
        Self { layout, owner, cells: CellWriter::default() }
    }

    /// The owner of a tuple; its cells take the place of what is in `row`.
    pub fn read<'t>(&mut self, tuple: &'t [u8], row: &mut Vec<u8>) -> Result<Owner<'t>, OpsError> {
        let (count, mut fields) = Fields::of(tuple).map_err(not_as_asked)?;
        let before = match self.owner {
            Some(OwnerField::Judged) => 2,
            Some(OwnerField::Before | OwnerField::BeforeAsValue { .. }) => 1,
            Some(OwnerField::Own { .. }) | None => 0,
        };
        if count != self.layout.columns().len() + before {
            return Err(OpsError::Tuples);
        }
        let owner = match self.owner {
            None => Owner::Nobody,
            Some(OwnerField::Before) => {
                fields.take().map_err(not_as_asked)?.map_or(Owner::Nobody, Owner::Text)
            }
            Some(OwnerField::Judged) => {
                let key = fields.take().map_err(not_as_asked)?;
                Owner::Judged(
                    key,
                    verdict(fields.take().map_err(not_as_asked)?.ok_or(OpsError::Tuples)?)?,
                )
            }
            Some(OwnerField::BeforeAsValue { type_oid }) => fields
                .take()
                .map_err(not_as_asked)?
                .map_or(Owner::Nobody, |value| Owner::Value(type_oid, value)),
            Some(OwnerField::Own { place, type_oid }) => {
                let (_, mut look) = Fields::of(tuple).map_err(not_as_asked)?;
                for _ in 0..place {
                    look.take().map_err(not_as_asked)?;
                }
                look.take()
                    .map_err(not_as_asked)?
                    .map_or(Owner::Nobody, |value| Owner::Value(type_oid, value))
            }
        };
        row.clear();
        self.cells.write(self.layout, fields, row).map_err(not_as_asked)?;
        Ok(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_read_as_a_value_can_be_printed_for_an_export() {
        let read: Vec<u32> = (0..10_000).filter(|type_oid| kind(*type_oid).is_some()).collect();
        assert!(read.len() > 20);
        for type_oid in read {
            assert!(crate::postgres::rows::values::is_known(type_oid), "{type_oid}");
        }
        assert!(KEY_TYPES.iter().all(|type_oid| kind(*type_oid).is_some()));
    }
}
