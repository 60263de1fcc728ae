//! References to people who are gone, mended before the constraints come back.
//!
//! For every validated foreign key whose referenced rows may be missing, the subject map's rule (or
//! the operator's) is applied: set null, refer to a placeholder row, or drop the referring row. A
//! dropped row may itself be referred to, so the rules are applied until nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::request::RestoreRequest;
use super::target;
use crate::base::schema::{ForeignKey, QualifiedName, quote_identifier, quote_literal};
use crate::container::manifest::Manifest;
use crate::container::segment::Relation;
use crate::policy::subject_map::{OnGone, Ownership, ReferenceRule, SubjectMap, columns_to_null};
use crate::postgres::Session;
use crate::postgres::schema::foreign_keys;
use crate::vault::OpsError;

/// What became of one foreign key's references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// The referring table.
    pub table: QualifiedName,
    /// The foreign key.
    pub constraint: String,
    /// What was done.
    pub done: OnGone,
    /// Rows changed or dropped.
    pub rows: u64,
}

/// Mends every reference, and says what was done.
pub async fn references(
    session: &Session,
    manifest: &Manifest,
    map: &SubjectMap,
    request: &RestoreRequest,
) -> Result<Vec<Mended>, OpsError> {
    if !request.on_gone.is_empty() {
        check_overrides(manifest, request)?;
    }
    let mut placeholders = Placeholders::default();
    let mut lossy = tables_that_lost_rows(map);
    let mut counts: BTreeMap<(QualifiedName, String, OnGone), u64> = BTreeMap::new();
    loop {
        let mut changed = false;
        for key in candidates(manifest, request) {
            if !lossy.contains(unit(manifest, &key.referenced_table)) {
                continue;
            }
            let rule = rule(manifest, map, request, key);
            let rows = match rule {
                OnGone::SetNull => {
                    let columns = columns_to_null(map, &manifest.schema, &reference(key));
                    foreign_keys::null_dangling(session, key, &columns).await?
                }
                OnGone::DropRow => foreign_keys::delete_dangling(session, key).await?,
                OnGone::Placeholder => placeholders.redirect(session, manifest, map, key).await?,
            };
            if rows > 0 {
                *counts.entry((key.table.clone(), key.name.clone(), rule)).or_default() += rows;
                changed = true;
                if rule == OnGone::DropRow {
                    lossy.insert(unit(manifest, &key.table).clone());
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mended = |((table, constraint, done), rows)| Mended { table, constraint, done, rows };
    Ok(counts.into_iter().map(mended).collect())
}

/// Foreign keys that will be there after the restore and that the source had validated.
fn candidates<'a>(
    manifest: &'a Manifest,
    request: &'a RestoreRequest,
) -> impl Iterator<Item = &'a ForeignKey> {
    let left_out = target::left_out(request, manifest);
    manifest.schema.foreign_keys.iter().filter(move |key| {
        let table = Relation::Table(unit(manifest, &key.table).clone());
        key.validated
            && target::is_chosen(request, &table)
            && !left_out.iter().any(|(_, oid)| *oid == key.oid)
    })
}

/// The table that a partition's rows belong to.
fn unit<'a>(manifest: &'a Manifest, name: &'a QualifiedName) -> &'a QualifiedName {
    manifest.schema.table(name).map_or(name, |table| &table.name)
}

/// Every table that some people's rows are in.
fn tables_that_lost_rows(map: &SubjectMap) -> BTreeSet<QualifiedName> {
    let owned = |(name, ownership): (&QualifiedName, &Ownership)| {
        (*ownership != Ownership::Shared).then(|| name.clone())
    };
    map.tables.iter().filter_map(owned).collect()
}

/// The operator's word, then the map's, then what the columns allow.
fn rule(
    manifest: &Manifest,
    map: &SubjectMap,
    request: &RestoreRequest,
    key: &ForeignKey,
) -> OnGone {
    let table = unit(manifest, &key.table);
    let given =
        key.columns.iter().find_map(|column| request.on_gone.get(&(table.clone(), column.clone())));
    if let Some(rule) = given {
        return *rule;
    }
    let mapped = map.reference(&key.table, &key.name).or_else(|| map.reference(table, &key.name));
    if let Some(rule) = mapped {
        return rule.on_gone;
    }
    if columns_to_null(map, &manifest.schema, &reference(key)).is_empty() {
        OnGone::DropRow
    } else {
        OnGone::SetNull
    }
}

/// A foreign key as the subject map's rules name it.
fn reference(key: &ForeignKey) -> ReferenceRule {
    ReferenceRule {
        table: key.table.clone(),
        constraint: key.name.clone(),
        columns: key.columns.clone(),
        referenced_table: key.referenced_table.clone(),
        on_gone: OnGone::SetNull,
    }
}

/// A rule for a column that no foreign key has would silently do nothing.
fn check_overrides(manifest: &Manifest, request: &RestoreRequest) -> Result<(), OpsError> {
    for (table, column) in request.on_gone.keys() {
        let fits = manifest
            .schema
            .foreign_keys
            .iter()
            .any(|key| unit(manifest, &key.table) == table && key.columns.contains(column));
        if !fits {
            return Err(OpsError::NotInBackup {
                backup: manifest.backup.clone(),
                reason: format!("has no foreign key on {table}, column {column}"),
            });
        }
    }
    Ok(())
}

/// Placeholder rows that were inserted, by root table.
#[derive(Default)]
struct Placeholders(BTreeSet<QualifiedName>);

impl Placeholders {
    async fn redirect(
        &mut self,
        session: &Session,
        manifest: &Manifest,
        map: &SubjectMap,
        key: &ForeignKey,
    ) -> Result<u64, OpsError> {
        let root = unit(manifest, &key.referenced_table);
        let missing = || OpsError::NoPlaceholder { table: root.clone() };
        let class = map.classes.iter().find(|class| class.root == *root).ok_or_else(missing)?;
        let values = class.placeholder.as_ref().ok_or_else(missing)?;
        let of_key = key
            .referenced_columns
            .iter()
            .map(|column| values.get(column).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(missing)?;
        if foreign_keys::count_dangling(session, key).await? == 0 {
            return Ok(0);
        }
        if self.0.insert(root.clone()) {
            let columns: Vec<_> = values.keys().map(|column| quote_identifier(column)).collect();
            let literals: Vec<_> = values.values().map(|value| quote_literal(value)).collect();
            let statement = format!(
                "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                root.quoted(),
                columns.join(", "),
                literals.join(", ")
            );
            session.batch(&format!("the placeholder row of {root}"), &statement).await?;
        }
        Ok(foreign_keys::redirect_dangling(session, key, &of_key).await?)
    }
}
