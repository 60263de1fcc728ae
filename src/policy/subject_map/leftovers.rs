//! What foreign keys leave open: tables without a way to an owner, shared tables with columns that
//! look like personal data, large objects.

use super::decisions::{Decisions, flag_text, identifiers, large_object_flag, owner_flag};
use super::infer::{Inference, Undecided};
use super::key_types::{holds_large_object, is_large_object, same_text};
use super::model::{LargeObjectRule, Ownership};
use super::personal_data::{is_of_people, personal_columns, words};
use crate::base::schema::{QualifiedName, Table};

/// Nobody named a root: proposes tables that are named for people, or are much referred to.
pub(super) fn no_classes(inference: &mut Inference<'_>) {
    let keys = &inference.index.schema.foreign_keys;
    let referred =
        |table: &Table| keys.iter().filter(|key| key.referenced_table == table.name).count();
    let mut likely: Vec<(bool, usize, &QualifiedName)> = inference
        .index
        .schema
        .tables
        .iter()
        .filter(|table| !table.primary_key.is_empty())
        .map(|table| (is_of_people(table), referred(table), &table.name))
        .filter(|(of_people, referred, _)| *of_people || *referred > 0)
        .collect();
    likely.sort_by(|left, right| (right.0, right.1, left.2).cmp(&(left.0, left.1, right.2)));
    let mut flags: Vec<String> =
        likely.iter().take(3).map(|(.., name)| flag_text("--root", &name.to_string())).collect();
    if flags.is_empty() {
        flags.push("--root SCHEMA.TABLE".to_owned());
    }
    let reason = "no table is named whose rows are the data subjects".to_owned();
    inference.undecided.push(Undecided { table: None, reason, flags });
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
                    identifiers(columns)
                ),
                vec![flag_text("--owner", &format!("{}=COLUMN", table.name)), shared_flag(table)],
            ),
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
            let mut flags = owner_flags(inference, table);
            flags.push(anyway);
            inference.undecide(&table.name, reason, flags);
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
        inference.undecided.push(Undecided { table: None, reason, flags });
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
    let mut flags = owner_flags(inference, table);
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
    if flags.is_empty() && !personal.is_empty() {
        flags.push(flag_text("--owner", &format!("{}=COLUMN", table.name)));
    }
    let shared = if personal.is_empty() { "--shared" } else { "--shared-anyway" };
    flags.push(flag_text(shared, &table.name.to_string()));
    (reason, flags)
}

fn shared_flag(table: &Table) -> String {
    let shared = if personal_columns(table).is_empty() { "--shared" } else { "--shared-anyway" };
    flag_text(shared, &table.name.to_string())
}

/// Columns that look like personal data, or like a data subject's key without a foreign key.
fn suspects(inference: &Inference<'_>, table: &Table) -> Vec<String> {
    let mut suspects = personal_columns(table);
    let keys = likely_owner_columns(inference, table);
    suspects.extend(keys.into_iter().filter(|key| !personal_columns(table).contains(key)));
    suspects
}

fn owner_flags(inference: &Inference<'_>, table: &Table) -> Vec<String> {
    let columns = likely_owner_columns(inference, table);
    columns.into_iter().map(|column| owner_flag(&table.name, &[column])).collect()
}

/// Columns without a foreign key that are named and typed like a root's key: `user_id`.
fn likely_owner_columns(inference: &Inference<'_>, table: &Table) -> Vec<String> {
    let keys = inference.index.foreign_keys_of(&table.name);
    let mut columns = Vec::new();
    for class in &inference.classes {
        let [key] = class.key.as_slice() else { continue };
        let mut wanted = words(&class.root.name);
        if let Some(last) = wanted.last_mut() {
            *last = singular(last);
        }
        for column in &table.columns {
            let mut named = words(&column.name);
            let ends_like_a_key = named.pop().is_some_and(|last| {
                last == "id" || words(&key.name).last().is_some_and(|word| *word == last)
            });
            let fits = ends_like_a_key
                && !wanted.is_empty()
                && named.ends_with(&wanted)
                && same_text(&column.type_name, &key.type_name)
                && !keys.iter().any(|key| !key.temporal && key.columns.contains(&column.name));
            if fits && !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
        }
    }
    columns
}

fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies") {
        format!("{stem}y")
    } else if word == "people" {
        "person".to_owned()
    } else {
        word.strip_suffix('s').unwrap_or(word).to_owned()
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
