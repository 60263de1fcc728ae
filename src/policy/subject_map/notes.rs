//! What a person should know of a map, though it is decided.

use super::decisions::identifiers;
use super::infer::Inference;
use super::key_types::base_type;
use super::model::{OnGone, Ownership, ReferenceRule, SubjectMap};
use super::names::role;
use super::personal_data::personal_columns;
use super::references::unchecked_keys;
use crate::base::schema::OnUpdate;

/// Notes on the rules for references to people who are gone.
pub(super) fn of_references(
    inference: &mut Inference<'_>,
    map: &SubjectMap,
    old: &[ReferenceRule],
) {
    let mut notes = Vec::new();
    let index = &inference.index;
    let owner_of = |table| index.table(table).and_then(|found| map.tables.get(&found.name));
    for rule in &map.references {
        let to_root = matches!(owner_of(&rule.referenced_table), Some(Ownership::Root { .. }));
        let of_nobody = owner_of(&rule.table) == Some(&Ownership::Shared);
        if to_root && of_nobody {
            notes.push(format!(
                "`{}` is shared and refers to people by `{}`: their keys stand in rows that no \
                 erasure reaches, until a restore applies its rule.",
                rule.table,
                identifiers(&rule.columns)
            ));
        }
        let from_root = matches!(owner_of(&rule.table), Some(Ownership::Root { .. }));
        match (rule.on_gone, from_root, of_nobody) {
            (OnGone::DropRow, true, _) => notes.push(format!(
                "`{}` of `{}` cannot be NULL: when the person it refers to is forgotten, a \
                 restore leaves out the person who refers. A placeholder row avoids that.",
                rule.constraint, rule.table
            )),
            (OnGone::DropRow, _, true) => notes.push(format!(
                "`{}` of `{}` cannot be NULL: when the person it refers to is forgotten, a restore \
                 leaves out a row that is nobody's. A placeholder row avoids that.",
                rule.constraint, rule.table
            )),
            (OnGone::DropRow, false, false) => notes.push(format!(
                "`{}` of `{}`: a restore leaves out rows of others that refer to a person who is \
                 forgotten.",
                rule.constraint, rule.table
            )),
            _ => {}
        }
    }
    for rule in old {
        let now = map.reference(&rule.table, &rule.constraint);
        if now.is_none_or(|now| now.on_gone != rule.on_gone) {
            notes.push(format!(
                "The map's rule for `{}` of `{}` no longer fits the database; it now is: {}.",
                rule.constraint,
                rule.table,
                now.map_or("none needed", |now| now.on_gone.word())
            ));
        }
    }
    for key in unchecked_keys(map, index) {
        notes.push(format!(
            "`{}` of `{}` was never checked (NOT VALID) and gets no rule: references to people \
             who are gone are restored as they are.",
            key.name, key.table
        ));
    }
    let keys = index.schema.foreign_keys.iter();
    for key in keys.filter(|key| key.on_update == OnUpdate::Cascade) {
        if matches!(owner_of(&key.referenced_table), Some(Ownership::Root { .. })) {
            notes.push(format!(
                "`{}` of `{}` follows changes of the key that it refers to (ON UPDATE CASCADE): to \
                 strongroom, a person whose key changes is another person from then on. Her older \
                 backups keep the old key; erase it, too.",
                key.name, key.table
            ));
        }
    }
    for class in &map.classes {
        let root = index.table(&class.root);
        let natural = class.key.iter().find(|key| {
            let base = base_type(&key.type_name);
            matches!(base.as_str(), "text" | "character varying" | "character" | "citext")
                && root.is_some_and(|root| personal_columns(root).contains(&key.name))
        });
        if let Some(key) = natural {
            notes.push(format!(
                "The class `{}` is named by `{}`, which can change and can be given to somebody else: \
                 a person with a new key is a stranger to her older backups, and a person with an \
                 erased key is left out.",
                class.name, key.name
            ));
        }
    }
    inference.notes.extend(notes);
}

/// Names rows of two people, and what of rows that stay speaks of people.
pub(super) fn of_two_people(inference: &mut Inference<'_>, map: &SubjectMap) {
    let mut notes = Vec::new();
    let index = &inference.index;
    for (name, ownership) in &map.tables {
        let Some(table) = index.table(name) else { continue };
        let own: Vec<String> = ownership.ways().into_iter().flat_map(|way| way.columns).collect();
        let is_root = |name| {
            let found = index.table(name).map(|found| &found.name);
            map.classes.iter().any(|class| Some(&class.root) == found)
        };
        let mut others: Vec<&String> = Vec::new();
        for key in index.foreign_keys_of(name).iter().filter(|key| is_root(&key.referenced_table)) {
            others.extend(key.columns.iter().filter(|column| !own.contains(column)));
        }
        for guess in inference.guesses.get(name).into_iter().flatten() {
            let seen = inference.evidence.seen.get(&(name.clone(), guess.way.clone()));
            if guess.way.via.is_none()
                && seen.is_some_and(|seen| seen.known > 0 && !seen.contradicts())
            {
                others.extend(guess.way.columns.iter().filter(|column| !own.contains(column)));
            }
        }
        others.retain(|column| {
            role(column, &map.classes).is_some() || others_are_keys(table, column)
        });
        others.sort();
        others.dedup();
        let others: Vec<String> = others.into_iter().cloned().collect();
        if !others.is_empty()
            && matches!(ownership, Ownership::Owned { .. } | Ownership::Ways { .. })
        {
            notes.push(format!(
                "`{name}` has rows of two people: they belong to the one in `{}` and go with her; an \
                 erasure of the one in `{}` leaves them.",
                identifiers(&own),
                identifiers(&others),
            ));
        }
        if *ownership == Ownership::Shared {
            let documents = table.columns.iter().filter(|column| {
                matches!(column.type_name.as_str(), "jsonb" | "json")
                    && inference
                        .evidence
                        .documents
                        .contains_key(&(name.clone(), column.name.clone()))
            });
            let mut waiting: Vec<String> = documents.map(|column| column.name.clone()).collect();
            waiting.extend(others);
            if !waiting.is_empty() {
                notes.push(format!(
                    "`{name}` is nobody's and stays; these columns speak of people and wait for a \
                     mask: {}.",
                    identifiers(&waiting)
                ));
            }
        }
    }
    inference.notes.extend(notes);
}

fn others_are_keys(table: &crate::base::schema::Table, column: &str) -> bool {
    table.column(column).is_some()
}
