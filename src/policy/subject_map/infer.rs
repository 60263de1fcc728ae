//! Infers a subject map from foreign keys, what the data shows, and a person's decisions.
//!
//! Tables are settled from the roots outward. A person's decision wins over an existing map, and an
//! existing map over inference. What a foreign key does not say beyond doubt is listed, the likeliest
//! answer first with the reason beside it; nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::candidates::{
    Basis, Candidate, Settled, from_foreign_keys, from_guesses, from_reverse_keys,
};
use super::classes;
use super::decisions::{Decisions, OwnerChoice, flag_text, owner_flag};
use super::evidence::{Evidence, Guess, guesses};
use super::index::{SchemaIndex, nearest_column};
use super::leftovers;
use super::model::{Ownership, SubjectClass, SubjectMap, Version};
use super::names::Role;
use super::notes;
use super::path::walk;
use super::placeholders;
use super::references::needed_rules;
use super::resolve::resolve;
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
    /// Flags of which one decides it, as they are typed into a shell, the likeliest first.
    pub flags: Vec<String>,
    /// What speaks for each flag; empty where nothing does.
    pub why: Vec<String>,
}

/// Infers whose each table's rows are.
#[must_use]
pub fn infer(
    schema: &DatabaseSchema,
    decisions: &Decisions,
    existing: Option<&SubjectMap>,
    evidence: &Evidence,
) -> Proposal {
    let mut inference = Inference::new(schema, existing, evidence);
    inference.classes = classes::decide(&mut inference, decisions);
    let classes = inference.classes.clone();
    let guessed = guesses(schema, &classes, evidence);
    for guess in &guessed {
        inference.guesses.entry(guess.table.clone()).or_default().push(guess);
    }
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
        inference.find_reachable();
        while inference.settle()
            || inference.settle_inheriting()
            || inference.settle_round(Round::Guessed)
        {}
        leftovers::no_way(&mut inference);
        leftovers::personal_data(&mut inference, decisions);
    }
    let large_objects = leftovers::large_objects(&mut inference, decisions);
    let mut map = SubjectMap {
        version: Version::Two,
        source: existing.map_or_else(|| schema.database.name.clone(), |map| map.source.clone()),
        classes: std::mem::take(&mut inference.classes),
        tables: std::mem::take(&mut inference.tables),
        references: Vec::new(),
        large_objects,
        unknown: decisions.unknown.or_else(|| existing.and_then(|map| map.unknown)),
        unknown_of: existing.map(|map| map.unknown_of.clone()).unwrap_or_default(),
    };
    for (name, unknown) in &decisions.unknown_of {
        if let Some(table) = inference.named("--unknown", name) {
            map.unknown_of.insert(table.name.clone(), *unknown);
        }
    }
    map.unknown_of.retain(|name, _| map.tables.contains_key(name));
    inference.refuse_broken_ways(&mut map);
    let old_rules = existing.map_or(&[][..], |map| &map.references);
    placeholders::propose(&mut map, &inference.index, old_rules);
    map.references = needed_rules(&map, &inference.index, old_rules);
    notes::of_references(&mut inference, &map, old_rules);
    notes::of_two_people(&mut inference, &map);
    leftovers::unknown_owners(&mut inference, &map);
    let Inference { mut undecided, notes, .. } = inference;
    undecided.sort_by(|left, right| left.table.cmp(&right.table));
    Proposal { map, undecided, notes }
}

/// A table's way to its owners that a person chose.
#[derive(Debug)]
enum Chosen {
    /// By `--owner`.
    Flag(OwnerChoice),
    /// By the existing map.
    Kept(Ownership),
}

/// What is known so far.
pub(super) struct Inference<'i> {
    pub(super) index: SchemaIndex<'i>,
    pub(super) existing: Option<&'i SubjectMap>,
    pub(super) evidence: &'i Evidence,
    pub(super) classes: Vec<SubjectClass>,
    pub(super) tables: BTreeMap<QualifiedName, Ownership>,
    pub(super) undecided: Vec<Undecided>,
    pub(super) notes: Vec<String>,
    pub(super) settled: BTreeMap<QualifiedName, Settled>,
    pub(super) guesses: BTreeMap<QualifiedName, Vec<&'i Guess>>,
    chosen: BTreeMap<QualifiedName, Chosen>,
    /// Tables from which foreign keys lead to a root.
    reachable: BTreeSet<QualifiedName>,
}

/// Which tables are settled in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Those of which a foreign key or a person leaves no doubt.
    Certain,
    /// Those of which all foreign keys have been followed.
    Complete,
    /// The nearest of a circle.
    Circle,
    /// Those that no foreign key leads from.
    Guessed,
}

impl<'i> Inference<'i> {
    fn new(
        schema: &'i DatabaseSchema,
        existing: Option<&'i SubjectMap>,
        evidence: &'i Evidence,
    ) -> Self {
        Self {
            index: SchemaIndex::new(schema),
            existing,
            evidence,
            classes: Vec::new(),
            tables: BTreeMap::new(),
            undecided: Vec::new(),
            notes: Vec::new(),
            settled: BTreeMap::new(),
            guesses: BTreeMap::new(),
            chosen: BTreeMap::new(),
            reachable: BTreeSet::new(),
        }
    }

    pub(super) fn is_open(&self, table: &QualifiedName) -> bool {
        !self.tables.contains_key(table) && !self.settled.contains_key(table)
    }

    pub(super) fn undecide(&mut self, table: &QualifiedName, reason: String, flags: Vec<String>) {
        self.ask(table, reason, flags.into_iter().map(|flag| (flag, String::new())).collect());
    }

    /// Asks a person, with what speaks for each answer.
    pub(super) fn ask(
        &mut self,
        table: &QualifiedName,
        reason: String,
        answers: Vec<(String, String)>,
    ) {
        let (flags, why) = answers.into_iter().unzip();
        self.undecided.push(Undecided { table: Some(table.clone()), reason, flags, why });
    }

    /// The columns that a person chose to lead to the table's owner.
    pub(super) fn chosen_columns(&self, table: &QualifiedName) -> Option<Vec<String>> {
        let columns = match self.chosen.get(table)? {
            Chosen::Flag(choice) => {
                choice.ways.iter().flat_map(|way| way.columns.clone()).collect()
            }
            Chosen::Kept(ownership) => {
                ownership.ways().into_iter().flat_map(|way| way.columns).collect()
            }
        };
        Some(columns)
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

    pub(super) fn place(&mut self, table: &QualifiedName, steps: usize, class: Option<&str>) {
        let settled = Settled { steps, class: class.map(str::to_owned) };
        self.settled.insert(table.clone(), settled);
    }

    fn take_decisions(&mut self, decisions: &Decisions) {
        let schema = self.index.schema;
        for name in decisions.shared_in(schema) {
            let Some(table) = self.named("--shared", &name) else { continue };
            if self.tables.contains_key(&table.name) {
                let reason = "it is said to be shared, and is the root of a class".to_owned();
                self.undecide(&table.name, reason, Vec::new());
            } else {
                self.tables.insert(table.name.clone(), Ownership::Shared);
            }
        }
        for (name, choice) in decisions.owners_in(schema) {
            let Some(table) = self.named("--owner", &name) else { continue };
            let columns = choice.ways.iter().flat_map(|way| &way.columns);
            let missing = columns.into_iter().find(|column| table.column(column).is_none());
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
                self.chosen.insert(table.name.clone(), Chosen::Flag(choice));
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
                Ownership::Owned { .. } | Ownership::Ways { .. }
                    if self.still_there(table, ownership) =>
                {
                    self.chosen.insert(name.clone(), Chosen::Kept(ownership.clone()));
                }
                _ => self.notes.push(format!(
                    "The map's rule for `{name}` names what is gone from the database; it is \
                     inferred again."
                )),
            }
        }
    }

    fn still_there(&self, table: &Table, ownership: &Ownership) -> bool {
        let has = |table: &Table, columns: &[String]| {
            columns.iter().all(|column| table.column(column).is_some())
        };
        ownership.ways().iter().all(|way| {
            let parent_is_there = way.via.as_ref().is_none_or(|parent| {
                self.index.table(&parent.table).is_some_and(|found| has(found, &parent.columns))
            });
            let class = self.classes.iter().find(|own| own.name == way.class);
            let root = class.and_then(|class| self.index.table(&class.root));
            has(table, &way.columns)
                && way.when.keys().all(|column| table.column(column).is_some())
                && parent_is_there
                && root.is_some_and(|root| has(root, &way.by))
        })
    }

    /// Which tables foreign keys lead from to a root, or from which a person chose a way.
    fn find_reachable(&mut self) {
        let mut reachable: BTreeSet<QualifiedName> = self.settled.keys().cloned().collect();
        reachable.extend(self.chosen.keys().cloned());
        loop {
            let before = reachable.len();
            for key in self.index.schema.foreign_keys.iter().filter(|key| !key.temporal) {
                let ends =
                    self.index.table(&key.table).zip(self.index.table(&key.referenced_table));
                if let Some((table, parent)) = ends
                    && reachable.contains(&parent.name)
                    && !self.tables.contains_key(&table.name)
                {
                    reachable.insert(table.name.clone());
                }
            }
            if reachable.len() == before {
                self.reachable = reachable;
                return;
            }
        }
    }

    /// Settles the tables that are nearest to a root among those not settled yet; false if nothing leads
    /// any further.
    fn settle(&mut self) -> bool {
        [Round::Certain, Round::Complete, Round::Circle]
            .into_iter()
            .any(|round| self.settle_round(round))
    }

    fn settle_round(&mut self, round: Round) -> bool {
        let mut reached = Vec::new();
        for table in self.index.schema.tables.iter().filter(|table| self.is_open(&table.name)) {
            let candidates = self.candidates(table);
            let Some(best) = candidates.first() else { continue };
            let takes = match round {
                Round::Certain => self.certain(table, &candidates).is_some(),
                Round::Complete => best.is_foreign_key() && !self.has_open_parents(table),
                Round::Circle => best.is_foreign_key(),
                Round::Guessed => true,
            };
            if takes {
                let steps = candidates.iter().map(|candidate| candidate.steps).min();
                let waits = round == Round::Guessed && self.has_open_parents(table);
                reached.push((waits, steps.unwrap_or_default(), table, candidates));
            }
        }
        let order = |one: &(bool, usize, &Table, Vec<Candidate>)| (one.0, one.1);
        let Some(nearest) = reached.iter().map(order).min() else { return false };
        for (waits, steps, table, candidates) in reached {
            if (waits, steps) == nearest {
                self.decide(table, &candidates);
            }
        }
        true
    }

    /// Whether another table that is not settled yet may give this one an owner.
    fn has_open_parents(&self, table: &Table) -> bool {
        let is_open = |name: &QualifiedName| {
            let found = self.index.table(name).map(|found| &found.name);
            found.is_some_and(|found| {
                *found != table.name && self.is_open(found) && self.reachable.contains(found)
            })
        };
        let guessed = self.guesses.get(&table.name).into_iter().flatten();
        self.index
            .foreign_keys_of(&table.name)
            .iter()
            .any(|key| !key.temporal && is_open(&key.referenced_table))
            || guessed.filter_map(|guess| guess.way.via.as_ref()).any(|via| {
                via.table != table.name
                    && self.is_open(&via.table)
                    && self.guesses.contains_key(&via.table)
            })
    }

    /// The ways that could lead to the table's owners, the likeliest first.
    pub(super) fn candidates(&self, table: &Table) -> Vec<Candidate> {
        match self.chosen.get(&table.name) {
            None => {
                let mut candidates =
                    from_foreign_keys(&self.index, &self.classes, &self.settled, table);
                candidates.extend(self.guessed(table));
                candidates.sort_by(|left, right| {
                    (left.rank(), left.columns()).cmp(&(right.rank(), right.columns()))
                });
                candidates
            }
            Some(Chosen::Flag(choice)) => resolve(self, table, choice),
            Some(Chosen::Kept(ownership)) => self.kept(ownership).into_iter().collect(),
        }
    }

    /// The candidates that names and the data suggest.
    pub(super) fn guessed(&self, table: &Table) -> Vec<Candidate> {
        let guesses = self.guesses.get(&table.name).map(Vec::as_slice).unwrap_or_default();
        let mut candidates =
            from_guesses(guesses, self.evidence, &self.classes, &self.settled, table);
        candidates.extend(from_reverse_keys(&self.index, &self.settled, table));
        candidates
    }

    fn kept(&self, ownership: &Ownership) -> Option<Candidate> {
        let ways = ownership.ways();
        let mut steps = 1;
        let mut toward = None;
        for way in &ways {
            let target = match &way.via {
                Some(parent) => self.index.table(&parent.table).map(|table| table.name.clone())?,
                None => self.classes.iter().find(|own| own.name == way.class)?.root.clone(),
            };
            steps = self.settled.get(&target)?.steps.saturating_add(1).max(steps);
            toward.get_or_insert(target);
        }
        let otherwise_shared = matches!(ownership, Ownership::Ways { otherwise_shared: true, .. });
        let toward = toward?;
        let class = match ways.first().and_then(|way| way.via.as_ref()) {
            Some(_) => self.settled.get(&toward)?.class.clone(),
            None => ways.first().map(|way| way.class.clone()),
        };
        Some(Candidate {
            class,
            ways,
            otherwise_shared,
            steps,
            toward,
            role: Role::Owner,
            basis: Basis::Chosen,
            nullable: false,
        })
    }

    /// The candidate that leaves no doubt, if there is one: what a name suggests beside it does not count,
    /// unless rows would be nobody's without it.
    fn certain<'c>(&self, table: &Table, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
        let said = |one: &&Candidate| one.is_foreign_key() || one.basis == Basis::Chosen;
        let mut said_candidates = candidates.iter().filter(said);
        let best = said_candidates.next()?;
        let others: Vec<&Candidate> = said_candidates.collect();
        if best.basis == Basis::Chosen {
            return others.is_empty().then_some(best);
        }
        let likewise = |other: &&Candidate| {
            other.columns() != best.columns()
                && (other.role, other.rank().2) == (best.role, best.rank().2)
                && (other.steps == best.steps || best.nullable)
        };
        // The customer's or the clerk's?
        let of_another_class = |other: &&Candidate| {
            let direct = other.ways.iter().all(|way| way.via.is_none());
            direct
                && !other.role.is_doubtful()
                && other.class.is_some()
                && other.class != best.class
        };
        let second = |other: &Candidate| {
            let is_seen = matches!(other.basis, Basis::Guess(Some(_)) | Basis::ForeignKey(_));
            is_seen && !other.role.is_doubtful() && other.columns() != best.columns()
        };
        let is_certain = best.is_plain()
            && !others.iter().any(of_another_class)
            && !others.iter().any(likewise)
            && !(best.nullable
                && (self.has_open_parents(table)
                    || candidates.iter().any(second)
                    || (best.role == Role::Parent && !others.is_empty())));
        is_certain.then_some(best)
    }

    fn decide(&mut self, table: &Table, candidates: &[Candidate]) {
        let certain = self.certain(table, candidates).cloned();
        let best = certain.as_ref().or(candidates.first());
        // A parent that is not decided yet may turn out to be the better way.
        let waiting = candidates.iter().filter(|one| one.class.is_none()).find(|one| {
            let counts =
                one.is_foreign_key() || candidates.len() == 1 || one.basis == Basis::Chosen;
            best.is_some_and(|best| {
                // It may be what gives an owner where the best way is NULL.
                let completes = certain.is_none()
                    && best.nullable
                    && !best.role.is_doubtful()
                    && !one.role.is_doubtful()
                    && one.columns() != best.columns();
                completes || (counts && one.rank() <= best.rank())
            })
        });
        match (waiting.cloned(), certain) {
            (Some(waiting), _) => {
                self.place(&table.name, waiting.steps, None);
                self.wait_for(table, &waiting);
            }
            (None, Some(best)) => {
                self.place(&table.name, best.steps, best.class.as_deref());
                if let Some(class) = &best.class {
                    self.tables.insert(table.name.clone(), best.ownership(class));
                } else {
                    self.wait_for(table, &best);
                }
            }
            (None, None) => self.leave_open(table, candidates),
        }
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
            candidates.sort_by(|left, right| left.ways.cmp(&right.ways));
            candidates.dedup_by(|left, right| left.ways == right.ways && left.class == right.class);
            candidates.retain(|candidate| {
                let mut columns = candidate.ways.iter().flat_map(|way| &way.columns);
                columns.all(|column| table.column(column).is_some())
            });
            if let Some(first) = candidates.first() {
                self.notes.push(format!(
                    "`{}` inherits from `{}` and follows its rule.",
                    table.name, first.toward
                ));
                self.decide(table, &candidates);
                settled_any = true;
            }
        }
        settled_any
    }

    fn inherited(&self, parent: &QualifiedName) -> Option<Candidate> {
        let place = self.settled.get(parent)?;
        let mut otherwise_shared = false;
        let ways = match self.tables.get(parent) {
            Some(owned @ Ownership::Owned { .. }) => owned.ways(),
            Some(Ownership::Ways { ways, otherwise_shared: shared }) => {
                otherwise_shared = *shared;
                ways.clone()
            }
            Some(Ownership::Root { class }) => {
                let class = self.classes.iter().find(|own| own.name == *class)?;
                let columns: Vec<String> =
                    class.key.iter().map(|column| column.name.clone()).collect();
                vec![super::model::Way::plain(&class.name, &columns, None)]
            }
            Some(Ownership::Shared) => return None,
            None => Vec::new(),
        };
        Some(Candidate {
            steps: place.steps.max(1),
            ways,
            otherwise_shared,
            class: place.class.clone(),
            toward: parent.clone(),
            role: Role::Parent,
            basis: Basis::Chosen,
            nullable: false,
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
}
