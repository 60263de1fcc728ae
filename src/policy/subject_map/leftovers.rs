//! What foreign keys leave open: tables without a way to an owner, shared tables with columns that
//! look like personal data, large objects.

use super::candidates::Candidate;
use super::choice::OwnerChoice;
use super::decisions::{Decisions, flag_text, identifiers, large_object_flag};
use super::infer::{Inference, Undecided};
use super::key_types::{holds_large_object, is_large_object};
use super::model::{LargeObjectRule, Ownership, SubjectMap, Unknown, Version};
use super::names::is_of_a_framework;
use super::personal_data::{is_of_people, personal_columns};
use crate::base::schema::{QualifiedName, Table};

/// Nobody named a root: proposes tables that are named for people, or are much referred to.
pub(super) fn no_classes(inference: &mut Inference<'_>) {
    let keys = &inference.index.schema.foreign_keys;
    let referred =
        |table: &Table| keys.iter().filter(|key| key.referenced_table == table.name).count();
    // Who has an address or a name is a person, more than what is only called so.
    let mut likely: Vec<(u8, usize, &QualifiedName)> = inference
        .index
        .schema
        .tables
        .iter()
        .filter(|table| !table.primary_key.is_empty())
        .map(|table| {
            let of_people = u8::from(is_of_people(table)) + u8::from(looks_like_a_root(table));
            (of_people, referred(table), &table.name)
        })
        .filter(|(of_people, referred, _)| *of_people > 0 || *referred > 0)
        .collect();
    likely.sort_by(|left, right| (right.0, right.1, left.2).cmp(&(left.0, left.1, right.2)));
    let mut flags: Vec<String> =
        likely.iter().take(3).map(|(.., name)| flag_text("--root", &name.to_string())).collect();
    if flags.is_empty() {
        flags.push("--root SCHEMA.TABLE".to_owned());
    }
    let reason = "no table is named whose rows are the data subjects".to_owned();
    let why = vec![String::new(); flags.len()];
    inference.undecided.push(Undecided { table: None, reason, flags, why });
}

/// Lists the tables that nothing leads from.
pub(super) fn no_way(inference: &mut Inference<'_>) {
    let tables: Vec<&Table> = inference.index.schema.tables.iter().collect();
    for table in tables {
        if !inference.is_open(&table.name) {
            continue;
        }
        let (reason, flags) = match inference.chosen_columns(&table.name) {
            Some(columns) => (
                format!(
                    "its chosen owner columns ({}) lead to no data subject: no foreign key of \
                     exactly these columns ends at one, and they cannot hold the key of exactly \
                     one class",
                    identifiers(&columns)
                ),
                vec![
                    flag_text("--owner", &format!("{}=COLUMN", table.name)),
                    shared_flag(inference, table),
                ],
            ),
            None if is_of_a_framework(&table.name) && personal_columns(table).is_empty() => {
                inference.notes.push(format!(
                    "`{}` is a migration tool's own table, and nobody's.",
                    table.name
                ));
                inference.tables.insert(table.name.clone(), Ownership::Shared);
                continue;
            }
            None => without_foreign_keys(inference, table),
        };
        inference.undecide(&table.name, reason, flags);
    }
}

/// Lists shared tables whose columns look like personal data, unless a person said that they are
/// shared all the same: by the flag, or in the existing map.
pub(super) fn personal_data(inference: &mut Inference<'_>, decisions: &Decisions) {
    let tables: Vec<&Table> = inference.index.schema.tables.iter().collect();
    for table in tables {
        if inference.tables.get(&table.name) != Some(&Ownership::Shared) {
            continue;
        }
        let suspects = suspects(inference, table);
        if suspects.is_empty() {
            continue;
        }
        let listed = identifiers(&suspects);
        let named = |name: &QualifiedName| {
            inference.index.table(name).is_some_and(|found| found.name == table.name)
        };
        let confirmed = decisions.shared_anyway.iter().any(named)
            || inference
                .existing
                .is_some_and(|map| map.tables.get(&table.name) == Some(&Ownership::Shared));
        if confirmed {
            inference.notes.push(format!(
                "`{}` is shared by decision, although these columns look like personal data: \
                 {listed}. No erasure will reach them.",
                table.name
            ));
        } else {
            inference.tables.remove(&table.name);
            let reason = format!(
                "it is to be shared, and has columns that look like personal data: {listed}"
            );
            let anyway = flag_text("--shared-anyway", &table.name.to_string());
            let mut answers: Vec<(String, String)> = likely(inference, table)
                .iter()
                .map(|one| (OwnerChoice::of(one, true).flag(&table.name), one.why()))
                .collect();
            answers.push((anyway, String::new()));
            inference.ask(&table.name, reason, answers);
        }
    }
}

/// The rules for large objects: the existing map's and those of the flags.
pub(super) fn large_objects(
    inference: &mut Inference<'_>,
    decisions: &Decisions,
) -> Vec<LargeObjectRule> {
    let mut rules: Vec<LargeObjectRule> = Vec::new();
    for rule in inference.existing.map_or(&[][..], |map| &map.large_objects) {
        if exists(inference, rule) {
            rules.push(rule.clone());
        } else {
            inference.notes.push(
                "A large-object rule names a column that is gone; the rule is left out.".to_owned(),
            );
        }
    }
    for rule in &decisions.large_objects {
        if let LargeObjectRule::Column { table, column } = rule
            && !exists(inference, rule)
        {
            let reason = format!(
                "it has no column `{column}` of a type that can hold a large object's number"
            );
            let flags = likely_columns(inference);
            inference.undecide(table, reason, flags);
        } else if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules.sort();
    let count = inference.index.schema.large_objects;
    if count > 0 && rules.is_empty() {
        let reason =
            format!("the database holds {count} large object(s), and no rule says whose they are");
        let mut flags = likely_columns(inference);
        flags.push("--large-objects shared".to_owned());
        let why = vec![String::new(); flags.len()];
        inference.undecided.push(Undecided { table: None, reason, flags, why });
    } else if count > 0 {
        let covered = |flag: &String| {
            rules.iter().any(|rule| match rule {
                LargeObjectRule::Column { table, column } => {
                    *flag == large_object_flag(table, column)
                }
                LargeObjectRule::Shared => false,
            })
        };
        let uncovered: Vec<String> =
            likely_columns(inference).into_iter().filter(|flag| !covered(flag)).collect();
        if !uncovered.is_empty() {
            inference.notes.push(format!(
                "These columns may name large objects, too: add {} if they do.",
                uncovered.join(" ")
            ));
        }
    }
    rules
}

fn without_foreign_keys(inference: &Inference<'_>, table: &Table) -> (String, Vec<String>) {
    let mut flags = Vec::new();
    let personal = suspects(inference, table);
    let reason = if personal.is_empty() {
        "no foreign key leads from it to a data subject".to_owned()
    } else {
        format!(
            "no foreign key leads from it to a data subject, and these columns look like personal \
             data: {}",
            identifiers(&personal)
        )
    };
    if !personal.is_empty() {
        if looks_like_a_root(table) {
            flags.push(flag_text("--root", &table.name.to_string()));
        }
        flags.push(flag_text("--owner", &format!("{}=COLUMN", table.name)));
    }
    if flags.len() == 1 && !personal.is_empty() {
        // A flag that says something comes before one that must be filled in.
        flags.insert(0, shared_flag(inference, table));
    } else {
        flags.push(shared_flag(inference, table));
    }
    (reason, flags)
}

/// Whether each of the table's rows is most likely a person.
pub(super) fn looks_like_a_root(table: &Table) -> bool {
    is_of_people(table) && !table.primary_key.is_empty() && !personal_columns(table).is_empty()
}

/// The flag that says that the table's rows are nobody's.
pub(super) fn shared_flag(inference: &Inference<'_>, table: &Table) -> String {
    let is_plain = suspects(inference, table).is_empty();
    flag_text(if is_plain { "--shared" } else { "--shared-anyway" }, &table.name.to_string())
}

/// Columns that look like personal data, or like a data subject's key without a foreign key.
fn suspects(inference: &Inference<'_>, table: &Table) -> Vec<String> {
    let mut suspects = personal_columns(table);
    for one in likely(inference, table) {
        let new = one.columns().iter().filter(|column| !suspects.contains(column)).cloned();
        let new: Vec<String> = new.collect();
        suspects.extend(new);
    }
    suspects
}

/// Columns without a foreign key that are named like a person's key, or hold one.
fn likely(inference: &Inference<'_>, table: &Table) -> Vec<Candidate> {
    let mut likely = inference.guessed(table);
    likely.retain(|one| one.class.is_some() && one.ways.iter().all(|way| way.via.is_none()));
    likely
        .sort_by(|left, right| (left.rank(), left.columns()).cmp(&(right.rank(), right.columns())));
    likely
}

/// Asks what is to be done with rows whose owner nobody knows, where the data shows some.
pub(super) fn unknown_owners(inference: &mut Inference<'_>, map: &SubjectMap) {
    let is_said =
        |table: &QualifiedName| map.unknown.is_some() || map.unknown_of.contains_key(table);
    let mut open = Vec::new();
    for (table, ownership) in &map.tables {
        if is_said(table) || map.version == Version::One {
            continue;
        }
        // With several ways, the next one may know.
        let [way] = ownership.ways().try_into().unwrap_or_else(|_| [super::model::Way::default()]);
        // A scan that no person's row names is nobody's, and not unknown.
        if inference.index.is_reverse(table, &way.columns, way.via.as_ref()) {
            continue;
        }
        let keyless = super::model::Way { class: String::new(), ..way.clone() };
        let seen = [way, keyless]
            .into_iter()
            .find_map(|way| inference.evidence.seen.get(&(table.clone(), way)).copied());
        if let Some(seen) = seen.filter(|seen| seen.unknown() > 0) {
            open.push((table.clone(), seen));
        }
    }
    for (table, seen) in open {
        let flag = |word: Unknown| flag_text("--unknown", &format!("{table}={}", word.word()));
        let reason = format!(
            "some of its rows name an owner whom the database does not have ({}); say what they are",
            seen.sentence()
        );
        let answers = vec![
            (
                flag(Unknown::Commons),
                "nobody's: in every restore, and no erasure reaches them".to_owned(),
            ),
            (flag(Unknown::Drop), "left out of backups".to_owned()),
            (flag(Unknown::Refuse), "no backup while there are any".to_owned()),
        ];
        inference.ask(&table, reason, answers);
    }
}

fn exists(inference: &Inference<'_>, rule: &LargeObjectRule) -> bool {
    match rule {
        LargeObjectRule::Shared => true,
        LargeObjectRule::Column { table, column } => inference
            .index
            .table(table)
            .and_then(|found| found.column(column))
            .is_some_and(|found| holds_large_object(&found.type_name)),
    }
}

fn likely_columns(inference: &Inference<'_>) -> Vec<String> {
    let mut flags = Vec::new();
    for table in &inference.index.schema.tables {
        for column in &table.columns {
            if is_large_object(&column.type_name) {
                flags.push(large_object_flag(&table.name, &column.name));
            }
        }
    }
    flags
}
