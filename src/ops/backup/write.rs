//! The small parts of a backup: whole objects, rows for the catalog, notices for the operator.

use bytes::Bytes;

use super::OpsError;
use crate::catalog::backups::BackupKind;
use crate::catalog::packs::PackRow;
use crate::container::manifest::{Contents, Manifest, PackSummary};
use crate::container::names;
use crate::durable;
use crate::ids::BackupId;
use crate::schema::{DatabaseSchema, QualifiedName};
use crate::store::{ObjectName, Store, Written};

/// Writes an object that fits in memory. `step` names the durable step.
pub async fn whole(
    store: &dyn Store,
    name: &str,
    bytes: Vec<u8>,
    step: &str,
) -> Result<Written, OpsError> {
    let name: ObjectName = name.parse()?;
    let mut writer = store.create(&name).await?;
    writer.write(Bytes::from(bytes)).await?;
    Ok(durable::step_async(step, writer.finish()).await?)
}

/// Removes what a failed backup wrote, as far as the store lets it; the rest is garbage that
/// `prune` finds. Not a word of failure: the reason why the backup failed is what counts.
pub async fn discard(store: &dyn Store, backup: &BackupId, packs: &[PackSummary]) {
    let objects = [names::manifest(backup), names::index(backup), names::schema(backup)];
    let packs = packs.iter().map(|pack| names::pack(pack.id));
    for name in objects.into_iter().chain(packs) {
        if let Ok(name) = name.parse::<ObjectName>() {
            let _ = store.delete(&name).await;
        }
    }
}

/// The catalog's word for what a backup holds.
pub fn kind(contents: Contents) -> BackupKind {
    match contents {
        Contents::Full => BackupKind::Full,
        Contents::SchemaOnly => BackupKind::SchemaOnly,
        Contents::DataOnly => BackupKind::DataOnly,
    }
}

/// The packs of a backup for the catalog.
pub fn pack_rows(manifest: &Manifest) -> Vec<PackRow> {
    let row = |pack: &PackSummary| PackRow {
        pack_id: pack.id,
        bytes: pack.bytes,
        sha256: pack.sha256,
        created_by: manifest.backup.clone(),
    };
    manifest.packs.iter().map(row).collect()
}

/// What the operator should know of the database that was backed up.
pub fn notices(schema: &DatabaseSchema) -> Vec<String> {
    let list = |names: Vec<&QualifiedName>| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut notices = Vec::new();
    let unlogged: Vec<_> =
        schema.tables.iter().filter(|table| table.unlogged).map(|table| &table.name).collect();
    if !unlogged.is_empty() {
        notices
            .push(format!("unlogged tables are in the backup like any other: {}", list(unlogged)));
    }
    if !schema.foreign_tables.is_empty() {
        notices.push(format!(
            "foreign tables are in the backup without rows (their rows live on another server): {}",
            list(schema.foreign_tables.iter().collect())
        ));
    }
    if !schema.extension_tables.is_empty() {
        notices.push(format!(
            "tables of extensions are left to their extensions, rows included: {}",
            list(schema.extension_tables.iter().collect())
        ));
    }
    notices
}
