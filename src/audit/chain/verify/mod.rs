//! Whether the log is as it was written.

use std::fmt;

use rusqlite::{Connection, OptionalExtension};

use super::log::read_head;
use crate::audit::AuditError;
use crate::audit::entry::{Entry, GENESIS, entry_hash, seq_column};
use crate::audit::error::Doing;
use crate::base::ids::Digest;

/// What reading the whole log showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry follows from the one before, and every head fits.
    Intact {
        /// How many entries there are.
        entries: u64,
        /// The hash of the last entry; zeros for an empty log. Whoever writes number and hash down
        /// can hold the log to them later.
        last_hash: Digest,
        /// How many entries at the end no head covers: had one of them been cut off, nothing here
        /// would show it.
        uncovered: u64,
    },
    /// Something was changed.
    Broken(Broken),
}

/// The first place where the log is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its content does not give its hash.
    Edited,
    /// Its content gives its hash, but it does not follow from the entry before: one of the two was
    /// replaced.
    Replaced,
    /// It is not there, though later ones are.
    Missing,
    /// Another entry stands in its place; the one that belongs there stands elsewhere.
    OutOfOrder,
    /// It is not there and neither is any later one, though a head covers it.
    CutOff,
    /// The chain holds, but here it has another hash than a head: it was written anew.
    HeadDoesNotFit,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Edited => "was edited",
            Self::Replaced => "does not follow from the one before: one of the two was replaced",
            Self::Missing => "is missing",
            Self::OutOfOrder => "is out of order",
            Self::CutOff => "is missing, with everything after it",
            Self::HeadDoesNotFit => {
                "does not fit the head, or what was noted of it: the log was written anew"
            }
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "entry {} {}", self.seq, self.fault)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intact { entries, .. } => write!(formatter, "all {entries} entries are intact"),
            Self::Broken(broken) => broken.fmt(formatter),
        }
    }
}

/// Reads the whole log, in bounded memory, and compares it with itself, with the head in the
/// database and with `expected`: numbers and hashes of entries that the caller trusts, because it checked
/// a MAC or kept a note.
///
/// The head in the database is compared by number and hash only; its MAC is for those who have the
/// vault's key.
///
/// # Errors
/// [`AuditError::Database`] when the database cannot be read. A damaged entry is no error but a
/// verdict.
pub fn verify(connection: &Connection, expected: &[(u64, Digest)]) -> Result<Verdict, AuditError> {
    // Read before the entries: an entry and a head that are written meanwhile then do no harm.
    let stored_head = read_head(connection)?.map(|head| (head.seq, head.hash));
    let heads: Vec<(u64, Digest)> =
        stored_head.into_iter().chain(expected.iter().copied()).collect();

    let mut statement = connection
        .prepare(&format!("SELECT {} FROM audit_entry ORDER BY seq", Entry::COLUMNS))
        .doing("read its entries")?;
    let mut rows = statement.query([]).doing("read its entries")?;
    let mut last = (0_u64, GENESIS);
    // A head that does not fit is reported only if the chain itself holds: the chain's fault says
    // more about what happened.
    let mut misfit: Option<u64> = None;
    while let Some(row) = rows.next().doing("read its entries")? {
        let expected_seq = last.0 + 1;
        let Ok(seq) = seq_column(row, 0) else {
            return Ok(broken(expected_seq, Fault::OutOfOrder));
        };
        let fault = match Entry::from_row(row) {
            _ if seq < expected_seq => Some(Fault::OutOfOrder),
            _ if seq > expected_seq => Some(Fault::Missing),
            Err(_) => Some(Fault::Edited),
            Ok(entry) => fault_of(&entry, &last.1).or_else(|| {
                last = (entry.seq, entry.hash);
                None
            }),
        };
        if let Some(fault) = fault {
            let moved =
                fault != Fault::Missing && stands_elsewhere(connection, expected_seq, &last.1)?;
            return Ok(broken(expected_seq, if moved { Fault::OutOfOrder } else { fault }));
        }
        if misfit.is_none() && heads.iter().any(|(seq, hash)| *seq == last.0 && *hash != last.1) {
            misfit = Some(last.0);
        }
    }
    if let Some(seq) = misfit {
        return Ok(broken(seq, Fault::HeadDoesNotFit));
    }
    let covered = heads.iter().map(|(seq, _)| *seq).max().unwrap_or(0);
    if covered > last.0 {
        return Ok(broken(last.0 + 1, Fault::CutOff));
    }
    Ok(Verdict::Intact { entries: last.0, last_hash: last.1, uncovered: last.0 - covered })
}

fn broken(seq: u64, fault: Fault) -> Verdict {
    Verdict::Broken(Broken { seq, fault })
}

fn fault_of(entry: &Entry, previous_hash: &Digest) -> Option<Fault> {
    if entry_hash(entry) != entry.hash {
        Some(Fault::Edited)
    } else if entry.previous_hash != *previous_hash {
        Some(Fault::Replaced)
    } else {
        None
    }
}

/// Whether the entry that belongs at `seq`, after the one of `previous_hash`, stands under another
/// number with everything else unchanged.
fn stands_elsewhere(
    connection: &Connection,
    seq: u64,
    previous_hash: &Digest,
) -> Result<bool, AuditError> {
    let candidate = connection
        .query_row(
            &format!(
                "SELECT {} FROM audit_entry WHERE previous_hash = ?1 AND seq <> ?2 LIMIT 1",
                Entry::COLUMNS
            ),
            (previous_hash.0, i64::try_from(seq).unwrap_or(i64::MAX)),
            |row| Ok(Entry::from_row(row).ok()),
        )
        .optional()
        .doing("look for an entry")?
        .flatten();
    Ok(candidate.is_some_and(|mut entry| {
        entry.seq = seq;
        entry_hash(&entry) == entry.hash
    }))
}

#[cfg(test)]
mod tests;
