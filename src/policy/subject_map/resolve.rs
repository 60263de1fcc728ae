//! What a person's `--owner` means in this database: which table its columns lead to, read as what.

use super::candidates::{Basis, Candidate, from_foreign_keys};
use super::choice::{OwnerChoice, WayChoice};
use super::infer::Inference;
use super::key_types::cast_to;
use super::model::{Parent, SubjectClass, Way};
use super::names::{Role, role};
use super::path::compares;
use crate::base::schema::{Reading, Table};

/// The candidates that the choice can mean; none while a table on the way is not settled, or if it leads
/// nowhere.
pub(super) fn resolve(
    inference: &Inference<'_>,
    table: &Table,
    choice: &OwnerChoice,
) -> Vec<Candidate> {
    let mut alternatives: Vec<Vec<Candidate>> = Vec::new();
    for way in &choice.ways {
        let mut found = one(inference, table, way);
        if found.is_empty() {
            return Vec::new();
        }
        if choice.ways.len() > 1 {
            found.truncate(1);
        }
        alternatives.push(found);
    }
    if let [single] = alternatives.as_mut_slice() {
        let mut single = std::mem::take(single);
        for candidate in &mut single {
            candidate.otherwise_shared = choice.otherwise_shared;
        }
        return single;
    }
    let parts: Vec<Candidate> = alternatives.into_iter().flatten().collect();
    let Some(first) = parts.first() else { return Vec::new() };
    let undecided = parts.iter().find(|part| part.class.is_none());
    vec![Candidate {
        steps: parts.iter().map(|part| part.steps).max().unwrap_or(1),
        class: undecided.map_or_else(|| first.class.clone(), |_| None),
        toward: undecided.unwrap_or(first).toward.clone(),
        otherwise_shared: choice.otherwise_shared,
        role: Role::Owner,
        basis: Basis::Chosen,
        nullable: false,
        ways: parts
            .iter()
            .flat_map(|part| {
                let class = part.class.clone().unwrap_or_default();
                part.ways.iter().cloned().map(move |way| Way { class: class.clone(), ..way })
            })
            .collect(),
    }]
}

fn one(inference: &Inference<'_>, table: &Table, choice: &WayChoice) -> Vec<Candidate> {
    let with_conditions = |mut candidate: Candidate| {
        candidate.basis = Basis::Chosen;
        for way in &mut candidate.ways {
            way.when.clone_from(&choice.when);
        }
        candidate
    };
    if let Some(via) = &choice.via {
        return through(inference, table, choice, via).into_iter().map(with_conditions).collect();
    }
    let mut classes: Vec<&SubjectClass> = inference.classes.iter().collect();
    if let Some(named) = &choice.class {
        classes.retain(|class| class.name == *named);
    } else if choice.path.is_empty() {
        let keys = inference.index.foreign_keys_of(&table.name);
        let refers =
            keys.iter().any(|key| !key.temporal && same_columns(&key.columns, &choice.columns));
        if refers {
            let mut candidates =
                from_foreign_keys(&inference.index, &inference.classes, &inference.settled, table);
            candidates.retain(|candidate| same_columns(candidate.columns(), &choice.columns));
            return candidates.into_iter().map(with_conditions).collect();
        }
    }
    let mut found: Vec<Candidate> =
        classes.iter().filter_map(|class| to_root(inference, table, choice, class)).collect();
    if found.len() > 1 {
        // A column that is named for one class means that one.
        let named = |candidate: &Candidate| {
            choice
                .columns
                .iter()
                .any(|column| super::names::is_named_for(column, &candidate.toward))
        };
        if found.iter().filter(|candidate| named(candidate)).count() == 1 {
            found.retain(named);
        }
    }
    if found.is_empty() && choice.class.is_none() {
        let guessed = inference.guessed(table).into_iter();
        found.extend(guessed.filter(|guess| same_columns(guess.columns(), &choice.columns)));
        found.truncate(1);
    }
    found.into_iter().map(with_conditions).collect()
}

fn to_root(
    inference: &Inference<'_>,
    table: &Table,
    choice: &WayChoice,
    class: &SubjectClass,
) -> Option<Candidate> {
    let root = inference.index.table(&class.root)?;
    let key: Vec<String> = class.key.iter().map(|column| column.name.clone()).collect();
    let targets = if choice.by.is_empty() { &key } else { &choice.by };
    let reading = reading(table, choice, root, targets)?;
    let first = choice.columns.first()?;
    let by = if *targets == key { Vec::new() } else { choice.by.clone() };
    Some(Candidate {
        ways: vec![Way {
            class: class.name.clone(),
            columns: choice.columns.clone(),
            by,
            reading,
            ..Way::default()
        }],
        otherwise_shared: false,
        steps: 1,
        class: Some(class.name.clone()),
        toward: class.root.clone(),
        role: role(first, &inference.classes).unwrap_or(Role::Unnamed),
        basis: Basis::Chosen,
        nullable: false,
    })
}

fn through(
    inference: &Inference<'_>,
    table: &Table,
    choice: &WayChoice,
    via: &Parent,
) -> Option<Candidate> {
    let parent = inference.index.table(&via.table)?;
    let place = inference.settled.get(&parent.name)?;
    let columns = if via.columns.is_empty() { &parent.primary_key } else { &via.columns };
    let reading = reading(table, choice, parent, columns)?;
    Some(Candidate {
        ways: vec![Way {
            class: place.class.clone().unwrap_or_default(),
            columns: choice.columns.clone(),
            via: Some(Parent { table: via.table.clone(), columns: columns.clone() }),
            reading,
            ..Way::default()
        }],
        otherwise_shared: false,
        steps: place.steps.saturating_add(1),
        class: place.class.clone(),
        toward: parent.name.clone(),
        role: Role::Parent,
        basis: Basis::Chosen,
        nullable: false,
    })
}

/// How the columns must be read to be compared with the targets.
fn reading(
    table: &Table,
    choice: &WayChoice,
    parent: &Table,
    targets: &[String],
) -> Option<Reading> {
    if choice.columns.len() != targets.len() {
        return None;
    }
    let mut pairs = Vec::new();
    for (column, target) in choice.columns.iter().zip(targets) {
        pairs.push((table.column(column)?, parent.column(target)?));
    }
    let is_list = pairs.iter().any(|(column, _)| column.plain_type().ends_with("[]"));
    let element =
        if choice.path.is_empty() { is_list.then(Vec::new) } else { Some(choice.path.clone()) };
    let (_, target) = pairs.first()?;
    let plain = Reading { element: element.clone(), cast: None };
    let cast = Reading { element, cast: cast_to(target.plain_type()) };
    [plain, cast]
        .into_iter()
        .find(|reading| pairs.iter().all(|(column, target)| compares(column, reading, target)))
}

fn same_columns(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().all(|column| right.contains(column))
}
