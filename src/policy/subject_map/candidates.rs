//! How a table could find its owners: one candidate for each foreign key that leads to a table whose owners
//! are known, and one for each way that a name or the data suggests. Ranked: the likeliest first.

use std::collections::BTreeMap;

use super::evidence::{Evidence, Guess, Seen};
use super::index::SchemaIndex;
use super::key_types::same_key;
use super::model::{Ownership, Parent, SubjectClass, Way};
use super::names::{Role, role};
use crate::base::schema::{ForeignKey, OnDelete, QualifiedName, Table};

/// A table whose place in the graph is known.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// Steps to the root: 0 for a root, 1 for a table that holds its key.
    pub(super) steps: usize,
    /// The class, or `None` while a person has to decide.
    pub(super) class: Option<String>,
}

/// What speaks for a candidate besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// A foreign key, and what the application's own `DELETE` does.
    ForeignKey(OnDelete),
    /// A foreign key of the other table, on unique columns: one row of it has one of these.
    Reverse,
    /// A name, or the data.
    Guess(Option<Seen>),
    /// A person said so.
    Chosen,
}

/// One way for a table to find its owners, or several in an order that a person chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) ways: Vec<Way>,
    pub(super) otherwise_shared: bool,
    /// Steps to the root.
    pub(super) steps: usize,
    /// The class, or `None` if the table that the columns lead to is undecided.
    pub(super) class: Option<String>,
    /// The table that the columns lead to.
    pub(super) toward: QualifiedName,
    pub(super) role: Role,
    pub(super) basis: Basis,
    /// Whether it can be NULL where it begins.
    pub(super) nullable: bool,
}

impl Candidate {
    pub(super) fn ownership(&self, class: &str) -> Ownership {
        let ways = self.ways.iter().cloned().map(|mut way| {
            if way.class.is_empty() {
                class.clone_into(&mut way.class);
            }
            way
        });
        Ownership::by(ways.collect(), self.otherwise_shared)
    }

    /// The columns that it begins with.
    pub(super) fn columns(&self) -> &[String] {
        self.ways.first().map_or(&[], |way| &way.columns)
    }

    pub(super) fn is_foreign_key(&self) -> bool {
        matches!(self.basis, Basis::ForeignKey(_))
    }

    /// Likelier owners are less.
    pub(super) fn rank(&self) -> (Role, bool, u8, bool, u64, usize) {
        let (by_key, rule, unknown) = match self.basis {
            Basis::Chosen | Basis::ForeignKey(OnDelete::Cascade) => (true, 0, 0),
            Basis::ForeignKey(OnDelete::Refuse) => (true, 1, 0),
            Basis::ForeignKey(OnDelete::Release) => (true, 2, 0),
            Basis::Reverse => (false, 0, 0),
            // Without a look at the data a name must do; what leads nowhere speaks against it.
            Basis::Guess(seen) => (false, 1, seen.map_or(0, Seen::unknown)),
        };
        (self.role, !by_key, rule, self.nullable, unknown, self.steps)
    }

    /// Whether it decides by itself, if no other way leads to somebody else.
    pub(super) fn is_plain(&self) -> bool {
        match self.basis {
            Basis::Chosen => true,
            Basis::ForeignKey(on_delete) => {
                !self.role.is_doubtful() && (on_delete != OnDelete::Release || !self.nullable)
            }
            Basis::Reverse | Basis::Guess(_) => false,
        }
    }

    /// Why it is proposed, in a few words.
    pub(super) fn why(&self) -> String {
        let mut reasons = Vec::new();
        match self.basis {
            Basis::ForeignKey(OnDelete::Cascade) => {
                reasons.push("the application deletes the rows with that one (CASCADE)".to_owned());
            }
            Basis::ForeignKey(OnDelete::Release) => reasons.push(
                "the application keeps the rows when that one is deleted (SET NULL)".to_owned(),
            ),
            Basis::ForeignKey(OnDelete::Refuse) => reasons.push("foreign key".to_owned()),
            Basis::Reverse => {
                reasons.push("a unique foreign key of that table leads here".to_owned());
            }
            Basis::Guess(Some(seen)) => reasons.push(seen.sentence()),
            Basis::Guess(None) => reasons.push("by its name alone".to_owned()),
            Basis::Chosen => {}
        }
        if !self.role.why().is_empty() {
            reasons.push(self.role.why().to_owned());
        }
        if self.nullable && self.is_foreign_key() {
            reasons.push("can be NULL".to_owned());
        }
        reasons.join("; ")
    }
}

/// The candidates that the table's own foreign keys give, without repetition.
pub(super) fn from_foreign_keys(
    index: &SchemaIndex<'_>,
    classes: &[SubjectClass],
    settled: &BTreeMap<QualifiedName, Settled>,
    table: &Table,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    // A `PERIOD` refers to many rows together, and none of them need equal it: no join leads there.
    for key in index.foreign_keys_of(&table.name).iter().filter(|key| !key.temporal) {
        let Some(parent) = index.table(&key.referenced_table) else { continue };
        let Some(place) = settled.get(&parent.name) else { continue };
        if parent.name == table.name {
            continue;
        }
        let root_class = classes.iter().find(|class| class.root == parent.name);
        let direct = root_class.and_then(|class| key_columns(class, key, table, parent));
        let (columns, via) = if let Some(columns) = direct {
            (columns, None)
        } else {
            let columns = key.referenced_columns.clone();
            let parent = Parent { table: key.referenced_table.clone(), columns };
            (key.columns.clone(), Some(parent))
        };
        let candidate = Candidate {
            nullable: is_nullable(table, &columns),
            role: role_of_key(classes, key, root_class.is_some()),
            ways: vec![Way {
                class: place.class.clone().unwrap_or_default(),
                columns,
                via,
                ..Way::default()
            }],
            otherwise_shared: false,
            steps: place.steps.saturating_add(1),
            class: place.class.clone(),
            toward: parent.name.clone(),
            basis: Basis::ForeignKey(key.on_delete),
        };
        if !candidates.iter().any(|other| other.ways == candidate.ways) {
            candidates.push(candidate);
        }
    }
    candidates
        .sort_by(|left, right| (left.rank(), left.columns()).cmp(&(right.rank(), right.columns())));
    candidates
}

/// The candidates that other tables' foreign keys give, where they are unique: a person's `scan_id`.
pub(super) fn from_reverse_keys(
    index: &SchemaIndex<'_>,
    settled: &BTreeMap<QualifiedName, Settled>,
    table: &Table,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for key in index.foreign_keys_to(&table.name).iter().filter(|key| !key.temporal) {
        let Some(other) = index.table(&key.table) else { continue };
        let Some(place) = settled.get(&other.name) else { continue };
        if other.name == table.name || !index.is_unique(&other.name, &key.columns) {
            continue;
        }
        let via = Parent { table: other.name.clone(), columns: key.columns.clone() };
        let class = place.class.clone();
        let way = Way {
            class: class.clone().unwrap_or_default(),
            columns: key.referenced_columns.clone(),
            via: Some(via),
            ..Way::default()
        };
        candidates.push(Candidate {
            ways: vec![way],
            otherwise_shared: false,
            steps: place.steps.saturating_add(1),
            class,
            toward: other.name.clone(),
            role: Role::Parent,
            basis: Basis::Reverse,
            nullable: false,
        });
    }
    candidates
}

/// The candidates that names and the data suggest.
pub(super) fn from_guesses(
    guesses: &[&Guess],
    evidence: &Evidence,
    classes: &[SubjectClass],
    settled: &BTreeMap<QualifiedName, Settled>,
    table: &Table,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for guess in guesses {
        let seen = evidence.seen.get(&(table.name.clone(), guess.way.clone())).copied();
        let by_data = seen.is_some_and(|seen| seen.known > 0);
        if seen.is_some_and(Seen::contradicts) || !(guess.by_name || by_data) {
            continue;
        }
        let toward = match &guess.way.via {
            Some(parent) => parent.table.clone(),
            None => match classes.iter().find(|class| class.name == guess.way.class) {
                Some(class) => class.root.clone(),
                None => continue,
            },
        };
        let Some(place) = settled.get(&toward) else { continue };
        let class = match &guess.way.via {
            Some(_) => place.class.clone(),
            None => Some(guess.way.class.clone()),
        };
        let way = Way { class: class.clone().unwrap_or_default(), ..guess.way.clone() };
        let nullable = seen.map_or_else(
            || is_nullable(table, &guess.way.columns),
            |seen| seen.null > 0 && guess.way.when.is_empty(),
        );
        candidates.push(Candidate {
            otherwise_shared: !way.when.is_empty(),
            ways: vec![way],
            steps: place.steps.saturating_add(1),
            class,
            toward,
            role: guess.role,
            basis: Basis::Guess(seen),
            nullable,
        });
    }
    candidates
}

fn is_nullable(table: &Table, columns: &[String]) -> bool {
    columns.iter().any(|name| table.column(name).is_some_and(|column| !column.not_null))
}

fn role_of_key(classes: &[SubjectClass], key: &ForeignKey, to_root: bool) -> Role {
    let named = match key.columns.as_slice() {
        [single] => role(single, classes),
        _ => None,
    };
    match (named, to_root) {
        (Some(named), true) => named,
        (None, true) => Role::Unnamed,
        (Some(named), false) if named.is_doubtful() => named,
        (_, false) => Role::Parent,
    }
}

/// The columns of a foreign key that hold the class's key as the same text, in the key's order.
fn key_columns(
    class: &SubjectClass,
    key: &ForeignKey,
    table: &Table,
    root: &Table,
) -> Option<Vec<String>> {
    if key.referenced_columns.len() != class.key.len() {
        return None;
    }
    let mut columns = Vec::new();
    for part in &class.key {
        let position = key.referenced_columns.iter().position(|name| *name == part.name)?;
        let column = table.column(key.columns.get(position)?)?;
        if !same_key(column, root.column(&part.name)?) {
            return None;
        }
        columns.push(column.name.clone());
    }
    Some(columns)
}
