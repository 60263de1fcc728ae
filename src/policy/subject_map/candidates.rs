//! How a table could find its owners: one candidate for each foreign key that leads to a table
//! whose owners are known.

use std::collections::{BTreeMap, BTreeSet};

use super::index::SchemaIndex;
use super::key_types::same_text;
use super::model::{Ownership, Parent, SubjectClass};
use crate::base::schema::{ForeignKey, QualifiedName, Table};

/// A table whose place in the graph is known.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// Steps to the root: 0 for a root, 1 for a table that holds its key.
    pub(super) steps: usize,
    /// The class, or `None` while a person has to decide.
    pub(super) class: Option<String>,
}

/// One way for a table to find its owners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Steps to the root.
    pub(super) steps: usize,
    /// The columns of the table that the way begins with.
    pub(super) columns: Vec<String>,
    /// Where those columns lead; `None` where they hold the key.
    pub(super) via: Option<Parent>,
    /// The class, or `None` if the table that the columns lead to is undecided.
    pub(super) class: Option<String>,
    /// The table that the columns lead to.
    pub(super) toward: QualifiedName,
}

impl Candidate {
    pub(super) fn ownership(&self, class: &str) -> Ownership {
        let (columns, via) = (self.columns.clone(), self.via.clone());
        Ownership::Owned { class: class.to_owned(), columns, via }
    }
}

/// The candidates that the table's own foreign keys give, without repetition.
pub(super) fn from_foreign_keys(
    index: &SchemaIndex<'_>,
    classes: &[SubjectClass],
    settled: &BTreeMap<QualifiedName, Settled>,
    table: &Table,
) -> Vec<Candidate> {
    let mut candidates = BTreeSet::new();
    // A `PERIOD` refers to many rows together, and none of them need equal it: no join leads there.
    for key in index.foreign_keys_of(&table.name).iter().filter(|key| !key.temporal) {
        let Some(parent) = index.table(&key.referenced_table) else { continue };
        let Some(place) = settled.get(&parent.name) else { continue };
        if parent.name == table.name {
            continue;
        }
        let root_class = classes.iter().find(|class| class.root == parent.name);
        let direct = root_class.and_then(|class| key_columns(class, key, table));
        let (columns, via) = if let Some(columns) = direct {
            (columns, None)
        } else {
            let columns = key.referenced_columns.clone();
            let parent = Parent { table: key.referenced_table.clone(), columns };
            (key.columns.clone(), Some(parent))
        };
        candidates.insert(Candidate {
            steps: place.steps.saturating_add(1),
            columns,
            via,
            class: place.class.clone(),
            toward: parent.name.clone(),
        });
    }
    candidates.into_iter().collect()
}

/// The columns of a foreign key that hold the class's key as the same text, in the key's order.
fn key_columns(class: &SubjectClass, key: &ForeignKey, table: &Table) -> Option<Vec<String>> {
    if key.referenced_columns.len() != class.key.len() {
        return None;
    }
    let mut columns = Vec::new();
    for part in &class.key {
        let position = key.referenced_columns.iter().position(|name| *name == part.name)?;
        let column = table.column(key.columns.get(position)?)?;
        if !same_text(&column.type_name, &part.type_name) {
            return None;
        }
        columns.push(column.name.clone());
    }
    Some(columns)
}
