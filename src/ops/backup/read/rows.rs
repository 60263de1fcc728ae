//! One reader's rows, from COPY's bytes to partitions. Runs on a thread of its own.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::forms::{Owner, OwnerField, RowForm, TupleReader};
use super::known_references::KnownReferences;
use super::partitions::Partitions;
use super::unknown::{Judge, Ruling};
use crate::base::ids::SourceId;
use crate::keys::vault_keys::ReferenceMaker;
use crate::ops::backup::plan::Owners;
use crate::ops::backup::seal::segment_sink::SegmentSink;
use crate::postgres::rows::lines::{Lines, split_owner};
use crate::postgres::rows::owners::Verdict;
use crate::postgres::rows::tuples::Tuples;
use crate::postgres::rows::values;
use crate::vault::OpsError;

/// What ends a relation's chunks: none. Without it the rows are not complete, whatever came before.
pub const END: Vec<Bytes> = Vec::new();

/// Deals everything that arrives on `chunks` until [`END`]: rows of nobody to the sink, all others to
/// the partitions. `rows_seen` is told of rows and bytes as they pass.
pub fn deal(
    mut chunks: mpsc::Receiver<Vec<Bytes>>,
    form: &RowForm,
    mut dealer: Dealer<'_, '_>,
    rows_seen: &dyn Fn(u64, u64),
) -> Result<(), OpsError> {
    match form {
        RowForm::Lines => {
            let mut lines = Lines::default();
            while let Some(some) = next_chunks(&mut chunks)? {
                let (mut rows, mut bytes) = (0, 0);
                for chunk in some {
                    bytes += chunk.len() as u64;
                    lines.push(chunk);
                    while let Some(line) = lines.next_line() {
                        rows += 1;
                        dealer.line(&line)?;
                    }
                }
                rows_seen(rows, bytes);
            }
            if lines.is_complete() { Ok(()) } else { Err(OpsError::CutShort) }
        }
        RowForm::Tuples(layout) => {
            let owner = match dealer.people.owners {
                Owners::Class(_, field) => Some(*field),
                Owners::Judged(_) => Some(OwnerField::Judged),
                Owners::Commons | Owners::Reference => None,
            };
            let mut reader = TupleReader::new(layout, owner);
            let (mut tuples, mut row) = (Tuples::default(), Vec::new());
            while let Some(some) = next_chunks(&mut chunks)? {
                let (mut rows, mut bytes) = (0, 0);
                for chunk in some {
                    bytes += chunk.len() as u64;
                    tuples.push(chunk);
                    while let Some(tuple) = tuples.next_tuple()? {
                        rows += 1;
                        match reader.read(tuple, &mut row)? {
                            Owner::Nobody => dealer.nobodys(&row)?,
                            Owner::Text(key) => dealer.owned(None, key, &row)?,
                            Owner::Value(type_oid, key) => {
                                dealer.owned(Some(type_oid), key, &row)?;
                            }
                            Owner::Judged(key, verdict) => dealer.judged(key, verdict, &row)?,
                        }
                    }
                }
                rows_seen(rows, bytes);
            }
            if tuples.is_complete() { Ok(()) } else { Err(OpsError::CutShort) }
        }
    }
}

fn next_chunks(chunks: &mut mpsc::Receiver<Vec<Bytes>>) -> Result<Option<Vec<Bytes>>, OpsError> {
    let some = chunks.blocking_recv().ok_or(OpsError::CutShort)?;
    Ok((!some.is_empty()).then_some(some))
}

/// Whose rows are read, and how their references are made.
#[derive(Clone, Copy)]
pub struct People<'a> {
    owners: &'a Owners,
    source: SourceId,
    references: &'a ReferenceMaker,
}

impl<'a> People<'a> {
    /// The people of a relation of that source.
    pub fn new(owners: &'a Owners, source: SourceId, references: &'a ReferenceMaker) -> Self {
        Self { owners, source, references }
    }
}

/// Finds out whose a row is and puts it there.
pub struct Dealer<'a, 's> {
    people: People<'a>,
    known: &'a mut KnownReferences,
    partitions: &'a mut Partitions,
    sink: &'a mut SegmentSink<'s>,
    judge: Judge<'a>,
    text: Vec<u8>,
}

impl<'a, 's> Dealer<'a, 's> {
    /// A dealer of the rows of one reader. `known` may remember people of the same source.
    pub fn new(
        people: People<'a>,
        known: &'a mut KnownReferences,
        partitions: &'a mut Partitions,
        sink: &'a mut SegmentSink<'s>,
        judge: Judge<'a>,
    ) -> Self {
        if let Owners::Class(class, field) = people.owners {
            known.keep_only(class, field.type_oid());
        }
        Self { people, known, partitions, sink, judge, text: Vec::new() }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), OpsError> {
        if matches!(self.people.owners, Owners::Commons) {
            return self.sink.commons_row(line);
        }
        match (split_owner(line), self.people.owners) {
            ((key, rest), Owners::Judged(_)) => {
                let (verdict, row) = split_owner(rest);
                let number = verdict.as_deref().and_then(|text| std::str::from_utf8(text).ok());
                let number = number.and_then(|text| text.parse().ok());
                let verdict = number.and_then(Verdict::from_number).ok_or(OpsError::Tuples)?;
                self.judged(key.as_deref(), verdict, row)
            }
            ((None, row), _) => self.nobodys(row),
            ((Some(key), row), Owners::Class(..)) => self.owned(None, &key, row),
            ((Some(reference), row), _) => {
                let reference = std::str::from_utf8(&reference).unwrap_or_default().parse();
                let reference =
                    reference.map_err(|_| OpsError::Bug("a row has no owner's reference"))?;
                Ok(self.partitions.push(reference, row)?)
            }
        }
    }

    fn nobodys(&mut self, row: &[u8]) -> Result<(), OpsError> {
        self.judge.nobodys();
        self.sink.commons_row(row)
    }

    /// Takes a row of which the server says what it knows.
    fn judged(&mut self, key: Option<&[u8]>, verdict: Verdict, row: &[u8]) -> Result<(), OpsError> {
        let Owners::Judged(classes) = self.people.owners else {
            return Err(OpsError::Bug("a row is judged that no way leads from"));
        };
        let reference = |class: usize| {
            let (class, key) = classes.get(class).zip(key).ok_or(OpsError::Tuples)?;
            Ok::<_, OpsError>(self.people.references.reference(self.people.source, class, key))
        };
        let (ruling, reference) = match verdict {
            Verdict::Nobody => return self.nobodys(row),
            Verdict::Has(class) => (Ruling::Owned, Some(reference(class)?)),
            Verdict::Lacks(class) => {
                let reference = reference(class)?;
                (self.judge.lacking(reference)?, Some(reference))
            }
            Verdict::Nowhere => (self.judge.nowhere(), None),
        };
        match (ruling, reference) {
            (Ruling::Owned, Some(reference)) => Ok(self.partitions.push(reference, row)?),
            (Ruling::LeftOut, _) => Ok(()),
            (Ruling::Commons | Ruling::Owned, _) => self.sink.commons_row(row),
        }
    }

    /// Takes a row whose owner's key is a text, or a value of that type.
    fn owned(&mut self, type_oid: Option<u32>, key: &[u8], row: &[u8]) -> Result<(), OpsError> {
        let Owners::Class(class, _) = self.people.owners else {
            return Err(OpsError::Bug("a row of nobody's table has an owner"));
        };
        let reference = match self.known.get(key) {
            Ok(reference) => reference,
            Err(place) => {
                let text = match type_oid {
                    None => key,
                    Some(type_oid) => {
                        self.text.clear();
                        values::text_of(type_oid, key, &mut self.text)
                            .map_err(|_| OpsError::Tuples)?;
                        &self.text
                    }
                };
                let reference = self.people.references.reference(self.people.source, class, text);
                self.known.put(place, key, reference);
                reference
            }
        };
        Ok(self.partitions.push(reference, row)?)
    }
}
