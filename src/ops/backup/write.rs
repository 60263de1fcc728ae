//! The small parts of a backup: whole objects, rows for the catalog, notices for the operator.

use crate::base::durable;
use crate::base::ids::BackupId;
use crate::base::schema::{DatabaseSchema, QualifiedName};
use crate::catalog::Transaction;
use crate::catalog::backups::BackupKind;
use crate::catalog::packs::{self, PackRow};
use crate::container::age_file::BackupIdentity;
use crate::container::manifest::{ArchiveSummary, Contents, Manifest, PackSummary};
use crate::container::names;
use crate::postgres::schema::hidden::Hidden;
use crate::postgres::tools::{Dumped, Tools, dump_schema};
use crate::postgres::{ConnectionSettings, SnapshotId};
use crate::store::{ObjectName, Store, Written, try_writing};
use crate::vault::OpsError;
use bytes::Bytes;

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

/// Writes the schema as `pg_dump` has it; also what `pg_dump` warned of.
pub async fn schema(
    store: &dyn Store,
    (backup, identity): &(&BackupId, &BackupIdentity),
    (settings, snapshot): (&ConnectionSettings, &SnapshotId),
    schema: &DatabaseSchema,
) -> Result<(Option<ArchiveSummary>, Vec<String>), OpsError> {
    let tools = Tools::find(schema.server_version_num / 10_000)?;
    let Dumped { archive, warnings } = dump_schema(&tools, settings, snapshot).await?;
    let name = names::schema(backup);
    let sealed = identity.seal(&name, &archive)?;
    let written = whole(store, &name, sealed, "backup.schema").await?;
    let summary = ArchiveSummary {
        bytes: written.bytes,
        sha256: written.sha256,
        pg_dump_version: tools.version().to_owned(),
    };
    let warning = |warning: String| format!("pg_dump says: {warning}");
    Ok((Some(summary), warnings.into_iter().map(warning).collect()))
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

/// The packs of a backup for the catalog, which knows those that earlier backups wrote.
pub fn pack_rows(
    transaction: &Transaction<'_>,
    manifest: &Manifest,
    own: &[PackSummary],
) -> Result<Vec<PackRow>, OpsError> {
    let row = |pack: &PackSummary| {
        let is_own = own.iter().any(|one| one.id == pack.id);
        let known = if is_own { None } else { packs::get(transaction, pack.id)? };
        Ok(PackRow {
            pack_id: pack.id,
            bytes: pack.bytes,
            sha256: pack.sha256,
            created_by: known.map_or_else(|| manifest.backup.clone(), |known| known.created_by),
        })
    };
    manifest.packs.iter().map(row).collect()
}

/// Bytes of a backup's objects.
pub struct ObjectBytes {
    /// Those that it wrote, but for its manifest.
    pub stored: u64,
    /// Those that earlier backups wrote.
    pub referenced: u64,
}

/// Counts a backup's own bytes and those that it refers to.
pub fn count_bytes(manifest: &Manifest, own: &[PackSummary]) -> ObjectBytes {
    let archive = manifest.schema_archive.as_ref().map_or(0, |archive| archive.bytes);
    let mut bytes = ObjectBytes { stored: archive, referenced: 0 };
    let packs =
        manifest.packs.iter().map(|pack| (pack.bytes, own.iter().any(|one| one.id == pack.id)));
    let layers = manifest.layers.iter().map(|layer| (layer.bytes, layer.key.is_none()));
    for (some, is_own) in packs.chain(layers) {
        let total = if is_own { &mut bytes.stored } else { &mut bytes.referenced };
        *total += some;
    }
    bytes
}

/// What the operator should know of the database that was backed up.
pub fn notices(schema: &DatabaseSchema, hidden: &Hidden) -> Vec<String> {
    let list = |names: Vec<&QualifiedName>| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut notices = Vec::new();
    if !hidden.subscriptions.is_empty() {
        notices.push(format!(
            "subscriptions are not in the backup, for only a superuser may read them: {}",
            hidden.subscriptions.join(", ")
        ));
    }
    if !hidden.user_mappings.is_empty() {
        notices.push(format!(
            "user mappings are in the backup without their options, for the role may not read them: {}",
            hidden.user_mappings.join(", ")
        ));
    }
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

/// The outcome of a backup. Whoever saw the store stop did not see why: it says so when it is asked again.
pub async fn telling_why<T>(
    store: &dyn Store,
    outcome: Result<T, OpsError>,
) -> Result<T, OpsError> {
    if let Err(OpsError::StoreStopped) = outcome {
        try_writing(store).await?;
    }
    outcome
}
