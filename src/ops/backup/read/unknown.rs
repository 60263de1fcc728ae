//! Rows whose owner the database does not know: counted by table, and dealt with as the map says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::SubjectReference;
use crate::base::schema::QualifiedName;
use crate::policy::subject_map::{TableOwners, Unknown};
use crate::vault::OpsError;
use crate::vault::subject_keys::{Met, SubjectKeys};

/// People without a row in the root are remembered, so many at the most for each reader.
const REMEMBERED_MAX: usize = 1 << 16;

/// What was met in one table of people. Counted by several readers at once.
#[derive(Debug, Default)]
pub struct OwnerCounts {
    nobodys: AtomicU64,
    nowhere: AtomicU64,
    unknown_keys: AtomicU64,
    gone_from_root: AtomicU64,
}

/// A table of people and the counts of its rows.
#[derive(Clone)]
pub struct Counted {
    /// The table.
    pub table: QualifiedName,
    /// What the map says of unknown owners there.
    pub unknown: Unknown,
    /// The counts.
    pub counts: Arc<OwnerCounts>,
}

impl Counted {
    fn report(&self) -> TableOwners {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        TableOwners {
            table: self.table.clone(),
            nobodys_rows: count(&self.counts.nobodys),
            rows_that_lead_nowhere: count(&self.counts.nowhere),
            rows_of_unknown_keys: count(&self.counts.unknown_keys),
            rows_gone_from_root: count(&self.counts.gone_from_root),
            unknown: self.unknown,
        }
    }
}

/// What the backup met, by table; only tables of which there is anything to say.
///
/// # Errors
/// [`OpsError::UnknownOwners`] where the map wants a person to decide first.
pub fn report(counted: &[Counted]) -> Result<Vec<TableOwners>, OpsError> {
    let mut tables: Vec<TableOwners> = counted.iter().map(Counted::report).collect();
    tables
        .retain(|table| table.nobodys_rows + table.unknown_rows() + table.rows_gone_from_root > 0);
    let refused =
        |table: &&TableOwners| table.unknown == Unknown::Refuse && table.unknown_rows() > 0;
    let refused: Vec<TableOwners> = tables.iter().filter(refused).cloned().collect();
    if refused.is_empty() { Ok(tables) } else { Err(OpsError::UnknownOwners(refused)) }
}

/// What is done with a row whose owner the root does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It belongs to this reference after all.
    Owned,
    /// It is nobody's.
    Commons,
    /// It is left out.
    LeftOut,
}

/// Judges the rows of one reader of a table.
pub struct Judge<'a> {
    counted: Option<&'a Counted>,
    keys: &'a SubjectKeys,
    met: HashMap<SubjectReference, Met>,
}

impl<'a> Judge<'a> {
    /// A judge of the rows of that table; none of rows that are nobody's by decision.
    pub fn new(counted: Option<&'a Counted>, keys: &'a SubjectKeys) -> Self {
        Self { counted, keys, met: HashMap::new() }
    }

    /// A row whose owner is NULL.
    pub fn nobodys(&self) {
        self.count(|counts| &counts.nobodys);
    }

    /// A row that leads nowhere.
    pub fn nowhere(&self) -> Ruling {
        self.count(|counts| &counts.nowhere);
        self.by_the_map()
    }

    /// A row with a key that the root does not have. No key is ever made for it: it is hers whom the vault
    /// knows, or nobody's.
    pub fn lacking(&mut self, reference: SubjectReference) -> Result<Ruling, OpsError> {
        let met = if let Some(met) = self.met.get(&reference) {
            *met
        } else {
            if self.met.len() >= REMEMBERED_MAX {
                self.met.clear();
            }
            let met = self.keys.met(reference)?;
            self.met.insert(reference, met);
            met
        };
        match met {
            // Counted and left out where she is sealed.
            Met::Erased => Ok(Ruling::Owned),
            Met::Before => {
                self.count(|counts| &counts.gone_from_root);
                Ok(Ruling::Owned)
            }
            Met::Never => {
                self.count(|counts| &counts.unknown_keys);
                Ok(self.by_the_map())
            }
        }
    }

    fn by_the_map(&self) -> Ruling {
        match self.counted.map(|counted| counted.unknown) {
            Some(Unknown::Drop | Unknown::Refuse) => Ruling::LeftOut,
            Some(Unknown::Commons | Unknown::Warn) | None => Ruling::Commons,
        }
    }

    fn count(&self, which: impl Fn(&OwnerCounts) -> &AtomicU64) {
        if let Some(counted) = self.counted {
            which(&counted.counts).fetch_add(1, Ordering::Relaxed);
        }
    }
}
