//! Infers a subject map from foreign keys and a person's decisions.
//!
//! Tables are settled from the roots outward, always those with the shortest way first. A person's
//! decision wins over an existing map, and an existing map over inference. What cannot be decided
//! is listed, with what would decide it; nothing is guessed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::candidates::{Candidate, Settled, from_foreign_keys};
use super::decisions::{Decisions, flag_text, identifiers, owner_flag};
use super::index::{SchemaIndex, nearest_column};
use super::key_types::same_text;
use super::model::{OnGone, Ownership, Parent, SubjectClass, SubjectMap};
use super::path::walk;
use super::references::{needed_rules, unchecked_keys};
use super::{classes, leftovers};
use crate::base::schema::{DatabaseSchema, QualifiedName, Table};

/// A map, and what is still to be decided before it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The map, with every table that is decided. Its source is the existing map's, or else the
    /// database's name until the caller sets it.
    pub map: SubjectMap,
    /// What a person must decide; empty if the map is complete.
    pub undecided: Vec<Undecided>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// One thing that a person must decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// The table concerned; `None` if it is the database as a whole.
    pub table: Option<QualifiedName>,
    /// Why it cannot be decided, in one sentence.
    pub reason: String,
    /// Flags of which one decides it, as they are typed into a shell.
    pub flags: Vec<String>,
}

/// Infers whose each table's rows are.
#[must_use]
pub fn infer(
    schema: &DatabaseSchema,
    decisions: &Decisions,
    existing: Option<&SubjectMap>,
) -> Proposal {
    let mut inference = Inference::new(schema, existing);
    inference.classes = classes::decide(&mut inference, decisions);
    let classes = inference.classes.clone();
    for class in &classes {
        inference.place(&class.root, 0, Some(&class.name));
        let root = Ownership::Root { class: class.name.clone() };
        inference.tables.insert(class.root.clone(), root);
    }
    inference.take_decisions(decisions);
    inference.keep_existing();
    if inference.classes.is_empty() {
        leftovers::no_classes(&mut inference);
    } else {
        while inference.settle_nearest() || inference.settle_inheriting() {}
        leftovers::no_way(&mut inference);
        leftovers::personal_data(&mut inference, decisions);
    }
    let large_objects = leftovers::large_objects(&mut inference, decisions);
    let mut map = SubjectMap {
        source: existing.map_or_else(|| schema.database.name.clone(), |map| map.source.clone()),
        classes: std::mem::take(&mut inference.classes),
        tables: std::mem::take(&mut inference.tables),
        references: Vec::new(),
        large_objects,
    };
    inference.refuse_broken_ways(&mut map);
    let old_rules = existing.map_or(&[][..], |map| &map.references);
    map.references = needed_rules(&map, &inference.index, old_rules);
    inference.note_references(&map, old_rules);
    let Inference { mut undecided, notes, .. } = inference;
    undecided.sort_by(|left, right| left.table.cmp(&right.table));
    Proposal { map, undecided, notes }
}

/// A table's way to its owners that a person chose.
#[derive(Debug)]
enum Chosen {
    /// By `--owner`.
    Columns(Vec<String>),
    /// By the existing map.
    Kept { class: String, columns: Vec<String>, via: Option<Parent> },
}

/// What is known so far.
pub(super) struct Inference<'i> {
    pub(super) index: SchemaIndex<'i>,
    pub(super) existing: Option<&'i SubjectMap>,
    pub(super) classes: Vec<SubjectClass>,
    pub(super) tables: BTreeMap<QualifiedName, Ownership>,
    pub(super) undecided: Vec<Undecided>,
    pub(super) notes: Vec<String>,
    settled: BTreeMap<QualifiedName, Settled>,
    chosen: BTreeMap<QualifiedName, Chosen>,
}

impl<'i> Inference<'i> {
    fn new(schema: &'i DatabaseSchema, existing: Option<&'i SubjectMap>) -> Self {
        Self {
            index: SchemaIndex::new(schema),
            existing,
            classes: Vec::new(),
            tables: BTreeMap::new(),
            undecided: Vec::new(),
            notes: Vec::new(),
            settled: BTreeMap::new(),
            chosen: BTreeMap::new(),
        }
    }

    pub(super) fn is_open(&self, table: &QualifiedName) -> bool {
        !self.tables.contains_key(table) && !self.settled.contains_key(table)
    }

    pub(super) fn undecide(&mut self, table: &QualifiedName, reason: String, flags: Vec<String>) {
        self.undecided.push(Undecided { table: Some(table.clone()), reason, flags });
    }

    /// The columns that a person chose to lead to the table's owner.
    pub(super) fn chosen_columns(&self, table: &QualifiedName) -> Option<&[String]> {
        match self.chosen.get(table)? {
            Chosen::Columns(columns) | Chosen::Kept { columns, .. } => Some(columns),
        }
    }

    /// The table that a flag names; where there is none, the flag becomes something to decide.
    pub(super) fn named(&mut self, flag: &str, name: &QualifiedName) -> Option<&'i Table> {
        let found = self.index.table(name);
        if found.is_none() {
            let nearest = self.index.nearest_table(name);
            let flags = nearest.map(|table| flag_text(flag, &table.to_string()));
            let reason = "there is no table of this name in the database".to_owned();
            self.undecide(name, reason, flags.into_iter().collect());
        }
        found
    }

    fn place(&mut self, table: &QualifiedName, steps: usize, class: Option<&str>) {
        let settled = Settled { steps, class: class.map(str::to_owned) };
        self.settled.insert(table.clone(), settled);
    }

    fn take_decisions(&mut self, decisions: &Decisions) {
        for name in decisions.shared.union(&decisions.shared_anyway) {
            let Some(table) = self.named("--shared", name) else { continue };
            if self.tables.contains_key(&table.name) {
                let reason = "it is said to be shared, and is the root of a class".to_owned();
                self.undecide(&table.name, reason, Vec::new());
            } else {
                self.tables.insert(table.name.clone(), Ownership::Shared);
            }
        }
        for (name, columns) in &decisions.owners {
            let Some(table) = self.named("--owner", name) else { continue };
            let missing = columns.iter().find(|column| table.column(column).is_none());
            if let Some(missing) = missing {
                let reason = format!("it has no column `{missing}`");
                let nearest = nearest_column(table, missing);
                let flags = nearest.map(|column| owner_flag(&table.name, &[column.to_owned()]));
                self.undecide(&table.name, reason, flags.into_iter().collect());
                self.place(&table.name, usize::MAX, None);
            } else if self.tables.contains_key(&table.name) {
                let reason = "it is given an owner, and is a root or shared as well".to_owned();
                self.undecide(&table.name, reason, Vec::new());
            } else {
                self.chosen.insert(table.name.clone(), Chosen::Columns(columns.clone()));
            }
        }
    }

    fn keep_existing(&mut self) {
        let Some(existing) = self.existing else { return };
        for (name, ownership) in &existing.tables {
            let Some(table) = self.index.table(name).filter(|table| table.name == *name) else {
                self.notes.push(format!("`{name}` is gone from the database, and from the map."));
                continue;
            };
            if !self.is_open(name) || self.chosen.contains_key(name) {
                continue;
            }
            match ownership {
                Ownership::Shared => {
                    self.tables.insert(name.clone(), Ownership::Shared);
                }
                Ownership::Owned { class, columns, via } if self.still_there(table, ownership) => {
                    let (class, columns, via) = (class.clone(), columns.clone(), via.clone());
                    self.chosen.insert(name.clone(), Chosen::Kept { class, columns, via });
                }
                Ownership::Owned { .. } | Ownership::Root { .. } => self.notes.push(format!(
                    "The map's rule for `{name}` names what is gone from the database; it is \
                     inferred again."
                )),
            }
        }
    }

    fn still_there(&self, table: &Table, ownership: &Ownership) -> bool {
        let Ownership::Owned { class, columns, via } = ownership else { return false };
        let has = |table: &Table, columns: &[String]| {
            columns.iter().all(|column| table.column(column).is_some())
        };
        let parent_is_there = via.as_ref().is_none_or(|parent| {
            self.index.table(&parent.table).is_some_and(|found| has(found, &parent.columns))
        });
        has(table, columns) && parent_is_there && self.classes.iter().any(|own| own.name == *class)
    }

    /// Settles the tables that are nearest to a root among those not settled yet; false if no
    /// foreign key leads any further.
    fn settle_nearest(&mut self) -> bool {
        let mut reachable = Vec::new();
        for table in self.index.schema.tables.iter().filter(|table| self.is_open(&table.name)) {
            let candidates = self.candidates(table);
            if let Some(steps) = candidates.iter().map(|candidate| candidate.steps).min() {
                reachable.push((steps, table, candidates));
            }
        }
        let Some(nearest) = reachable.iter().map(|(steps, ..)| *steps).min() else { return false };
        for (steps, table, mut candidates) in reachable {
            if steps == nearest {
                candidates.retain(|candidate| candidate.steps == steps);
                self.settle(table, &candidates);
            }
        }
        true
    }

    fn candidates(&self, table: &Table) -> Vec<Candidate> {
        let by_foreign_key = || from_foreign_keys(&self.index, &self.classes, &self.settled, table);
        match self.chosen.get(&table.name) {
            None => by_foreign_key(),
            Some(Chosen::Columns(columns)) => {
                if let Some(class) = self.class_held_by(table, columns) {
                    return vec![holding(class, columns)];
                }
                let mut candidates = by_foreign_key();
                candidates.retain(|candidate| same_columns(&candidate.columns, columns));
                candidates
            }
            Some(Chosen::Kept { class, columns, via: None }) => {
                let class = self.classes.iter().find(|own| own.name == *class);
                class.map(|class| holding(class, columns)).into_iter().collect()
            }
            Some(Chosen::Kept { columns, via: Some(parent), .. }) => {
                let toward = self.index.table(&parent.table);
                let place = toward.and_then(|table| self.settled.get(&table.name));
                let candidate = toward.zip(place).map(|(toward, place)| Candidate {
                    steps: place.steps.saturating_add(1),
                    columns: columns.clone(),
                    via: Some(parent.clone()),
                    class: place.class.clone(),
                    toward: toward.name.clone(),
                });
                candidate.into_iter().collect()
            }
        }
    }

    /// The one class whose key the columns can hold, where no foreign key says what they refer to.
    fn class_held_by(&self, table: &Table, columns: &[String]) -> Option<&SubjectClass> {
        let keys = self.index.foreign_keys_of(&table.name);
        if keys.iter().any(|key| same_columns(&key.columns, columns)) {
            return None;
        }
        let mut fitting = self.classes.iter().filter(|class| class.key.len() == columns.len());
        let class = fitting.next().filter(|_| fitting.next().is_none())?;
        let holds = columns.iter().zip(&class.key).all(|(column, key)| {
            table.column(column).is_some_and(|found| same_text(&found.type_name, &key.type_name))
        });
        holds.then_some(class)
    }

    fn settle(&mut self, table: &Table, candidates: &[Candidate]) {
        let [candidate] = candidates else { return self.leave_open(table, candidates) };
        self.place(&table.name, candidate.steps, candidate.class.as_deref());
        if let Some(class) = &candidate.class {
            self.tables.insert(table.name.clone(), candidate.ownership(class));
        } else {
            let reason = format!(
                "its rows belong to the owner of `{}`, which is not decided yet",
                candidate.toward
            );
            let deciding =
                self.undecided.iter().find(|other| other.table.as_ref() == Some(&candidate.toward));
            let flags = deciding.map(|other| other.flags.clone()).unwrap_or_default();
            self.undecide(&table.name, reason, flags);
        }
    }

    fn leave_open(&mut self, table: &Table, candidates: &[Candidate]) {
        let ways: Vec<String> = candidates
            .iter()
            .map(|way| format!("by `{}` to `{}`", identifiers(&way.columns), way.toward))
            .collect();
        let reason = format!("its rows have owners equally near: {}", ways.join(", or "));
        let mut flags: Vec<String> =
            candidates.iter().map(|way| owner_flag(&table.name, &way.columns)).collect();
        flags.dedup();
        let steps = candidates.first().map_or(usize::MAX, |way| way.steps);
        self.place(&table.name, steps, None);
        self.undecide(&table.name, reason, flags);
    }

    /// Gives tables that inherit from a settled one, and whose own foreign keys lead nowhere, the
    /// rule of that one; false if there are none.
    fn settle_inheriting(&mut self) -> bool {
        let open: Vec<&Table> = self
            .index
            .schema
            .tables
            .iter()
            .filter(|table| self.is_open(&table.name) && !self.chosen.contains_key(&table.name))
            .collect();
        let mut settled_any = false;
        for table in open {
            let mut candidates: Vec<Candidate> =
                table.inherits.iter().filter_map(|parent| self.inherited(parent)).collect();
            candidates.sort();
            candidates.dedup_by(|left, right| {
                (&left.columns, &left.via, &left.class)
                    == (&right.columns, &right.via, &right.class)
            });
            candidates.retain(|candidate| {
                candidate.columns.iter().all(|column| table.column(column).is_some())
            });
            if let Some(first) = candidates.first() {
                self.notes.push(format!(
                    "`{}` inherits from `{}` and follows its rule.",
                    table.name, first.toward
                ));
                self.settle(table, &candidates);
                settled_any = true;
            }
        }
        settled_any
    }

    fn inherited(&self, parent: &QualifiedName) -> Option<Candidate> {
        let place = self.settled.get(parent)?;
        let (columns, via) = match self.tables.get(parent) {
            Some(Ownership::Owned { columns, via, .. }) => (columns.clone(), via.clone()),
            Some(Ownership::Root { class }) => {
                let class = self.classes.iter().find(|own| own.name == *class)?;
                (class.key.iter().map(|column| column.name.clone()).collect(), None)
            }
            Some(Ownership::Shared) => return None,
            None => (Vec::new(), None),
        };
        Some(Candidate {
            steps: place.steps.max(1),
            columns,
            via,
            class: place.class.clone(),
            toward: parent.clone(),
        })
    }

    /// What is in the map by now must lead to an owner; a hand-edited rule may not.
    fn refuse_broken_ways(&mut self, map: &mut SubjectMap) {
        let names: Vec<QualifiedName> = map.tables.keys().cloned().collect();
        let errors: Vec<_> = names
            .into_iter()
            .filter_map(|name| walk(map, &self.index, &name).err().map(|error| (name, error)))
            .collect();
        for (name, error) in errors {
            let is_root = map.classes.iter().any(|class| class.root == name);
            if !is_root && map.tables.remove(&name).is_some() {
                let flag = flag_text("--owner", &format!("{name}=COLUMN"));
                self.undecide(&name, error.to_string(), vec![flag]);
            }
        }
    }

    fn note_references(&mut self, map: &SubjectMap, old: &[super::model::ReferenceRule]) {
        for rule in &map.references {
            let owner_of =
                |table| self.index.table(table).and_then(|found| map.tables.get(&found.name));
            let to_root = matches!(owner_of(&rule.referenced_table), Some(Ownership::Root { .. }));
            if to_root && owner_of(&rule.table) == Some(&Ownership::Shared) {
                self.notes.push(format!(
                    "`{}` is shared and refers to people by `{}`: their keys stand in rows that no \
                     erasure reaches, until a restore applies its rule.",
                    rule.table,
                    identifiers(&rule.columns)
                ));
            }
            let from_root = matches!(owner_of(&rule.table), Some(Ownership::Root { .. }));
            if from_root && rule.on_gone == OnGone::DropRow {
                self.notes.push(format!(
                    "`{}` of `{}` cannot be NULL: when the person it refers to is forgotten, a \
                     restore leaves out the person who refers. A placeholder row avoids that.",
                    rule.constraint, rule.table
                ));
            }
        }
        for rule in old {
            let now = map.reference(&rule.table, &rule.constraint);
            if now.is_none_or(|now| now.on_gone != rule.on_gone) {
                self.notes.push(format!(
                    "The map's rule for `{}` of `{}` no longer fits the database; it now is: {}.",
                    rule.constraint,
                    rule.table,
                    now.map_or("none needed", |now| now.on_gone.word())
                ));
            }
        }
        for key in unchecked_keys(map, &self.index) {
            self.notes.push(format!(
                "`{}` of `{}` was never checked (NOT VALID) and gets no rule: references to people \
                 who are gone are restored as they are.",
                key.name, key.table
            ));
        }
    }
}

fn holding(class: &SubjectClass, columns: &[String]) -> Candidate {
    Candidate {
        steps: 1,
        columns: columns.to_vec(),
        via: None,
        class: Some(class.name.clone()),
        toward: class.root.clone(),
    }
}

fn same_columns(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().all(|column| right.contains(column))
}
