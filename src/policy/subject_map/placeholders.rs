//! Placeholder rows, proposed where a restore would else leave out rows of others, or of nobody.

use std::collections::BTreeMap;

use super::index::SchemaIndex;
use super::key_types::base_type;
use super::model::{OnGone, ReferenceRule, SubjectClass, SubjectMap};
use super::personal_data::words;
use super::references::{is_possible, needed_rules, takes_placeholder};
use crate::base::schema::{Column, QualifiedName, Table};

/// Gives classes a placeholder whose foreign keys need one, where a row can be made up that the table
/// takes. What a person wrote stays.
pub(super) fn propose(map: &mut SubjectMap, index: &SchemaIndex<'_>, old: &[ReferenceRule]) {
    let without = map.clone();
    for number in 0..map.classes.len() {
        let Some(class) = map.classes.get(number).filter(|class| class.placeholder.is_none())
        else {
            continue;
        };
        let Some(values) = index.table(&class.root).and_then(|root| made_up(index, class, root))
        else {
            continue;
        };
        let root = class.root.clone();
        let mut with = without.clone();
        with.classes.clone_from(&map.classes);
        if let Some(class) = with.classes.get_mut(number) {
            class.placeholder = Some(values.clone());
        }
        let of_class =
            |table: &QualifiedName| index.table(table).is_some_and(|found| found.name == root);
        let rules = needed_rules(&with, index, old);
        let helps = rules
            .iter()
            .any(|rule| rule.on_gone == OnGone::Placeholder && of_class(&rule.referenced_table));
        if helps && let Some(class) = map.classes.get_mut(number) {
            class.placeholder = Some(values);
        }
    }
}

/// What a restore does, if nobody says otherwise: never leave out a row that could stay.
pub(super) fn best(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &crate::base::schema::ForeignKey,
) -> OnGone {
    if is_possible(map, index, key, OnGone::SetNull) && !null_breaks_a_check(map, index, key) {
        OnGone::SetNull
    } else if is_possible(map, index, key, OnGone::Placeholder) && takes_placeholder(index, key) {
        OnGone::Placeholder
    } else {
        OnGone::DropRow
    }
}

/// Whether a `CHECK` asks which of the columns are NULL. Any other condition is not false of a NULL.
fn null_breaks_a_check(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &crate::base::schema::ForeignKey,
) -> bool {
    let nulled = super::references::nullable_columns(map, index, key);
    let Some(table) = index.table(&key.table) else { return false };
    table.checks.iter().any(|check| {
        let condition = check.condition.to_lowercase();
        let asks = ["num_nonnulls", "num_nulls", "is not null", "is null", "coalesce"];
        check.columns.iter().any(|column| nulled.contains(column))
            && asks.iter().any(|word| condition.contains(word))
    })
}

/// A row that the root takes, and that is no person's.
fn made_up(
    index: &SchemaIndex<'_>,
    class: &SubjectClass,
    root: &Table,
) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for column in root.copied_columns() {
        let in_key = class.key.iter().any(|key| key.name == column.name);
        if in_key || (column.not_null && !column.has_default) {
            let refers = index
                .foreign_keys_of(&root.name)
                .iter()
                .any(|key| key.columns.contains(&column.name));
            if refers {
                return None;
            }
            values.insert(column.name.clone(), value(column)?);
        }
    }
    // A condition that looks at what is made up may refuse it.
    let is_free = root
        .checks
        .iter()
        .all(|check| !check.columns.iter().any(|column| values.contains_key(column)));
    is_free.then_some(values)
}

fn value(column: &Column) -> Option<String> {
    let is_mail = words(&column.name).iter().any(|word| word.contains("mail"));
    let limit = column.type_name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let limit: usize = limit.and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let value = match base_type(&column.type_name).as_str() {
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => "0",
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "text" | "character varying" if is_mail && limit >= 29 => "forgotten@example.invalid",
        "text" | "character varying" => "forgotten",
        "boolean" => "false",
        "date" => "1970-01-01",
        "timestamp without time zone" => "1970-01-01 00:00:00",
        "timestamp with time zone" => "1970-01-01 00:00:00+00",
        "jsonb" | "json" => "{}",
        _ => return None,
    };
    Some(value.chars().take(limit).collect())
}
