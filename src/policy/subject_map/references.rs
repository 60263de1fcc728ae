//! Foreign keys that can point to a row that is gone, and what a restore does with each.
//!
//! A row can be gone in two ways: its owner was forgotten, or it was left out because it referred
//! to something that is gone. So the foreign keys concerned are found by going round until nothing
//! new is found.

use std::collections::BTreeSet;

use super::index::SchemaIndex;
use super::model::{OnGone, Ownership, ReferenceRule, SubjectMap, Way};
use super::placeholders::best;
use crate::base::schema::{DatabaseSchema, ForeignKey, QualifiedName, Table};

/// The columns that [`OnGone::SetNull`] sets: those of the foreign key that may be NULL, without
/// those by which the row finds its own owner (a row must not become nobody's), those that other
/// rows refer to, and generated ones. Empty if setting NULL cannot release the reference.
#[must_use]
pub fn columns_to_null(
    map: &SubjectMap,
    schema: &DatabaseSchema,
    rule: &ReferenceRule,
) -> Vec<String> {
    indexed_columns_to_null(map, &SchemaIndex::new(schema), rule)
}

pub(super) fn indexed_columns_to_null(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    rule: &ReferenceRule,
) -> Vec<String> {
    let key = index.foreign_key(&rule.table, &rule.constraint);
    key.map(|key| nullable_columns(map, index, key)).unwrap_or_default()
}

/// The rules that the map needs, by table and constraint, with decisions of `existing` kept where
/// they are possible.
pub(super) fn needed_rules(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    existing: &[ReferenceRule],
) -> Vec<ReferenceRule> {
    // Tables with rows that may be left out although their owner is still there.
    let mut thinned: BTreeSet<&QualifiedName> = BTreeSet::new();
    loop {
        let before = thinned.len();
        let mut rules = Vec::new();
        for key in &index.schema.foreign_keys {
            let Some((table, parent)) = ends(map, index, key) else { continue };
            let is_thinned = thinned.contains(&parent.name);
            let vanishes = is_thinned || map.tables[&parent.name] != Ownership::Shared;
            if !key.validated || !vanishes {
                continue;
            }
            if !is_thinned && same_owner(map, index, key, table, parent) {
                continue;
            }
            let mut rule = rule_for(map, index, key, existing);
            if is_thinned && leads_on(map, key) {
                // Without this link the row would be somebody else's, or nobody's.
                rule.on_gone = OnGone::DropRow;
            }
            if rule.on_gone == OnGone::DropRow {
                thinned.insert(&table.name);
            }
            rules.push(rule);
        }
        if thinned.len() == before {
            rules.sort();
            return rules;
        }
    }
}

/// Whether a rule can do what it says for this foreign key.
pub(super) fn is_possible(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &ForeignKey,
    on_gone: OnGone,
) -> bool {
    match on_gone {
        OnGone::DropRow => true,
        OnGone::SetNull => !nullable_columns(map, index, key).is_empty(),
        OnGone::Placeholder => {
            refers_to_root_key(map, index, key)
                && key.columns.iter().all(|column| may_change(map, index, key, column))
        }
    }
}

/// Foreign keys that were never checked (`NOT VALID`) and point to rows that may be gone.
pub(super) fn unchecked_keys<'s>(map: &SubjectMap, index: &SchemaIndex<'s>) -> Vec<&'s ForeignKey> {
    let concerned = |key: &&ForeignKey| {
        !key.validated
            && ends(map, index, key)
                .is_some_and(|(_, parent)| map.tables[&parent.name] != Ownership::Shared)
    };
    index.schema.foreign_keys.iter().filter(concerned).collect()
}

fn rule_for(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &ForeignKey,
    existing: &[ReferenceRule],
) -> ReferenceRule {
    let kept = existing.iter().find(|rule| {
        rule.table == key.table
            && rule.constraint == key.name
            && rule.columns == key.columns
            && rule.referenced_table == key.referenced_table
            && is_possible(map, index, key, rule.on_gone)
    });
    kept.cloned().unwrap_or_else(|| ReferenceRule {
        table: key.table.clone(),
        constraint: key.name.clone(),
        columns: key.columns.clone(),
        referenced_table: key.referenced_table.clone(),
        on_gone: best(map, index, key),
    })
}

/// The referring and the referred table, where the map knows both.
fn ends<'s>(
    map: &SubjectMap,
    index: &SchemaIndex<'s>,
    key: &ForeignKey,
) -> Option<(&'s Table, &'s Table)> {
    let table = index.table(&key.table)?;
    let parent = index.table(&key.referenced_table)?;
    let known = |table: &Table| map.tables.contains_key(&table.name);
    (known(table) && known(parent)).then_some((table, parent))
}

/// Whether a row and the row it refers to always have the same owner, so that they go together:
/// the foreign key is the way to the owner, or it carries along the columns that lead to the owner
/// at both ends.
fn same_owner(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &ForeignKey,
    table: &Table,
    parent: &Table,
) -> bool {
    let pairs: Vec<(&String, &String)> = key.columns.iter().zip(&key.referenced_columns).collect();
    let equates = |left: &[String], right: &[String]| {
        left.len() == right.len() && left.iter().zip(right).all(|pair| pairs.contains(&pair))
    };
    if let Some(Way { columns, via: Some(via), .. }) = first_way(map, &table.name) {
        let leads_there = index.table(&via.table).is_some_and(|to| to.name == parent.name);
        if leads_there && equates(&columns, &via.columns) {
            return true;
        }
    }
    // The other way round: the row's own unique column names what belongs to its owner.
    if let Some(Ownership::Owned { columns, via: Some(via), .. }) = map.tables.get(&parent.name) {
        let leads_here = index.table(&via.table).is_some_and(|to| to.name == table.name);
        if leads_here && equates(&via.columns, columns) {
            return true;
        }
    }
    match (owner_columns(map, &table.name), owner_columns(map, &parent.name)) {
        (Some(own), Some(theirs)) => {
            own.class == theirs.class
                && own.via == theirs.via
                && equates(&own.columns, &theirs.columns)
        }
        _ => false,
    }
}

/// The way that counts first, if it is one of every row and its columns are compared as they are.
fn first_way(map: &SubjectMap, table: &QualifiedName) -> Option<Way> {
    map.tables.get(table)?.ways().into_iter().next().filter(Way::is_plain)
}

/// Whether a later way of the table leads along the foreign key.
fn leads_on(map: &SubjectMap, key: &ForeignKey) -> bool {
    let Some(Ownership::Ways { ways, .. }) = map.tables.get(&key.table) else { return false };
    ways.iter().any(|way| way.columns.iter().any(|column| key.columns.contains(column)))
}

struct OwnerColumns {
    class: String,
    columns: Vec<String>,
    via: Option<super::model::Parent>,
}

fn owner_columns(map: &SubjectMap, table: &QualifiedName) -> Option<OwnerColumns> {
    match map.tables.get(table)? {
        Ownership::Shared => None,
        Ownership::Root { class } => {
            let columns = map.class(class)?.key.iter().map(|column| column.name.clone()).collect();
            Some(OwnerColumns { class: class.clone(), columns, via: None })
        }
        Ownership::Owned { .. } | Ownership::Ways { .. } => {
            let Way { class, columns, via, .. } = first_way(map, table)?;
            Some(OwnerColumns { class, columns, via })
        }
    }
}

/// The columns by which a row finds its owner first. Where a later way gives one, those before are free.
fn leading_columns(map: &SubjectMap, table: &QualifiedName) -> Vec<String> {
    match map.tables.get(table) {
        Some(Ownership::Ways { ways, .. }) => {
            ways.first().map(|way| way.columns.clone()).unwrap_or_default()
        }
        _ => owner_columns(map, table).map(|own| own.columns).unwrap_or_default(),
    }
}

/// Whether a placeholder can stand in the foreign key's columns in any number of rows.
pub(super) fn takes_placeholder(index: &SchemaIndex<'_>, key: &ForeignKey) -> bool {
    let Some(table) = index.table(&key.table) else { return false };
    let in_unique = |columns: &[String]| columns.iter().any(|column| key.columns.contains(column));
    !in_unique(&table.primary_key) && !table.unique.iter().any(|unique| in_unique(unique))
}

pub(super) fn nullable_columns(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    key: &ForeignKey,
) -> Vec<String> {
    let Some(table) = index.table(&key.table) else { return Vec::new() };
    let free = |name: &&String| {
        table.column(name).is_some_and(|found| !found.not_null)
            && may_change(map, index, key, name)
            && !is_half_of_full_match(index, key, name)
    };
    // A period is the row's own, not a reference: the other columns release it.
    let released = key.columns.len() - usize::from(key.temporal);
    let columns: Vec<String> = key.columns[..released].iter().filter(free).cloned().collect();
    if key.match_full && columns.len() < key.columns.len() { Vec::new() } else { columns }
}

/// Whether a restore may give the column another value: it is not computed by the database, does
/// not lead to the row's own owner, and no other row refers to it.
fn may_change(map: &SubjectMap, index: &SchemaIndex<'_>, key: &ForeignKey, column: &str) -> bool {
    let Some(table) = index.table(&key.table) else { return false };
    let stored = table.column(column).is_some_and(|found| !found.generated);
    let own = leading_columns(map, &table.name);
    stored && !own.iter().any(|name| name == column) && !index.is_referred_to(table, column)
}

/// Whether setting the column NULL would break another foreign key, one that is `MATCH FULL` and
/// must be NULL in all its columns or in none.
fn is_half_of_full_match(index: &SchemaIndex<'_>, key: &ForeignKey, column: &String) -> bool {
    index.foreign_keys_of(&key.table).iter().any(|other| {
        other.match_full
            && other.columns.contains(column)
            && !other.columns.iter().all(|also| key.columns.contains(also))
    })
}

fn refers_to_root_key(map: &SubjectMap, index: &SchemaIndex<'_>, key: &ForeignKey) -> bool {
    let Some(parent) = index.table(&key.referenced_table) else { return false };
    let Some(Ownership::Root { class }) = map.tables.get(&parent.name) else { return false };
    let Some(class) = map.class(class) else { return false };
    class.placeholder.is_some()
        && key.referenced_columns.len() == class.key.len()
        && class.key.iter().all(|column| key.referenced_columns.contains(&column.name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SchemaBuilder, infer_all, name};
    use super::*;

    fn rules(map: &SubjectMap) -> Vec<(String, OnGone)> {
        map.references.iter().map(|rule| (rule.constraint.clone(), rule.on_gone)).collect()
    }

    fn builder() -> SchemaBuilder {
        // No placeholder can be made up of a point.
        SchemaBuilder::new().table("users", &["id bigint !", "place point !"], "id")
    }

    #[test]
    fn the_way_to_the_owner_needs_no_rule_and_other_references_do() {
        let schema = builder()
            .table("referrals", &["by_id bigint !", "to_id bigint !", "hint_id bigint"], "")
            .references("referrals", "by_id", "users", "id")
            .references("referrals", "to_id", "users", "id")
            .references("referrals", "hint_id", "users", "id")
            .build();
        let map = infer_all(&schema, &["users"], &["referrals=by_id"], &[]);
        assert_eq!(
            rules(&map),
            [
                ("referrals_hint_id_fkey".to_owned(), OnGone::SetNull),
                ("referrals_to_id_fkey".to_owned(), OnGone::DropRow),
            ]
        );
        assert_eq!(columns_to_null(&map, &schema, &map.references[0]), ["hint_id"]);
    }

    #[test]
    fn a_reference_that_carries_the_owner_along_needs_no_rule() {
        let schema = builder()
            .table("accounts", &["id bigint !", "user_id bigint !"], "id")
            .table("moves", &["user_id bigint !", "account_id bigint !", "other_id bigint !"], "")
            .references("accounts", "user_id", "users", "id")
            .references("moves", "user_id", "users", "id")
            .references("moves", "user_id,account_id", "accounts", "user_id,id")
            .references("moves", "other_id", "accounts", "id")
            .build();
        let map = infer_all(&schema, &["users"], &[], &[]);
        assert_eq!(rules(&map), [("moves_other_id_fkey".to_owned(), OnGone::DropRow)]);
    }

    #[test]
    fn what_hangs_off_a_row_that_may_be_left_out_gets_a_rule_too() {
        let schema = builder()
            .table("referrals", &["id bigint !", "by_id bigint !", "to_id bigint !"], "id")
            .table("notes", &["id bigint !", "referral_id bigint"], "id")
            .table("topics", &["id bigint !", "author_id bigint !"], "id")
            .table("pins", &["topic_id bigint"], "")
            .references("referrals", "by_id", "users", "id")
            .references("referrals", "to_id", "users", "id")
            .references("notes", "referral_id", "referrals", "id")
            .references("topics", "author_id", "users", "id")
            .references("pins", "topic_id", "topics", "id")
            .build();
        let map = infer_all(&schema, &["users"], &["referrals=by_id"], &["topics", "pins"]);
        assert_eq!(
            rules(&map),
            [
                // Its owner is found through the column, so it cannot become NULL.
                ("notes_referral_id_fkey".to_owned(), OnGone::DropRow),
                ("pins_topic_id_fkey".to_owned(), OnGone::SetNull),
                ("referrals_to_id_fkey".to_owned(), OnGone::DropRow),
                ("topics_author_id_fkey".to_owned(), OnGone::DropRow),
            ]
        );
    }

    #[test]
    fn nulls_are_set_as_the_foreign_key_allows() {
        let table = ["owner_id bigint !", "a bigint", "b bigint !"];
        let build = |full: bool| {
            builder()
                .table("pairs", &["a bigint !", "b bigint !", "user_id bigint !"], "a,b")
                .table("uses", &table, "")
                .references("pairs", "user_id", "users", "id")
                .references("uses", "owner_id", "users", "id")
                .references("uses", "a,b", "pairs", "a,b")
                .last_key(|key| key.match_full = full)
                .build()
        };
        let schema = build(false);
        let map = infer_all(&schema, &["users"], &[], &[]);
        assert_eq!(rules(&map), [("uses_a_b_fkey".to_owned(), OnGone::SetNull)]);
        assert_eq!(columns_to_null(&map, &schema, &map.references[0]), ["a"]);
        let map = infer_all(&build(true), &["users"], &[], &[]);
        assert_eq!(rules(&map), [("uses_a_b_fkey".to_owned(), OnGone::DropRow)]);
    }

    #[test]
    fn a_column_that_others_refer_to_or_that_leads_to_the_owner_is_not_changed() {
        let schema = builder()
            .table("seats", &["user_id bigint !", "guest_id bigint"], "user_id")
            .table("meals", &["guest_id bigint"], "")
            .references("seats", "user_id", "users", "id")
            .references("seats", "guest_id", "users", "id")
            .references("meals", "guest_id", "seats", "guest_id")
            .build();
        let map = infer_all(&schema, &["users"], &["seats=user_id"], &[]);
        let drop = |name: &str| (name.to_owned(), OnGone::DropRow);
        assert_eq!(rules(&map), [drop("meals_guest_id_fkey"), drop("seats_guest_id_fkey")]);
    }

    #[test]
    fn a_key_that_was_never_checked_gets_no_rule() {
        let schema = builder()
            .table("uses", &["owner_id bigint !", "other_id bigint !"], "")
            .references("uses", "owner_id", "users", "id")
            .references("uses", "other_id", "users", "id")
            .last_key(|key| key.validated = false)
            .build();
        let map = infer_all(&schema, &["users"], &["uses=owner_id"], &[]);
        assert_eq!(rules(&map), []);
        let index = SchemaIndex::new(&schema);
        assert_eq!(unchecked_keys(&map, &index)[0].table, name("uses"));
    }
}
