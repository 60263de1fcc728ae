//! The manifest: what a backup is. JSON inside an age file sealed for the backup's identity.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::age_file::BackupIdentity;
use super::columns::Layout;
use super::segment::Relation;
use super::{ContainerError, layer_key};
use crate::base::ids::{BackupId, Digest, PackId, SourceId, VaultId};
use crate::base::schema::DatabaseSchema;

/// The manifest version that is written here, and the newest that is known.
pub const VERSION: u32 = 2;
/// The version of a manifest that has one whole index and refers to nothing of other backups.
const VERSION_1: u32 = 1;
/// A base, and the changes since.
const LAYERS_MAX: usize = 2;

/// What a backup is; `docs/format.md` describes every field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The manifest's format version.
    pub version: u32,
    /// The strongroom that wrote it.
    pub written_by: String,
    /// The vault.
    pub vault: VaultId,
    /// The backup.
    pub backup: BackupId,
    /// The source.
    pub source: SourceId,
    /// The source's name at that time.
    pub source_name: String,
    /// `daily`, `weekly`, `pre-migration` or `manual`.
    pub class: String,
    /// Schema and rows, or one of them.
    pub contents: Contents,
    /// The operator's note.
    pub note: Option<String>,
    /// When the backup began.
    pub started_at: DateTime<Utc>,
    /// The server's clock in the snapshot.
    pub snapshot_at: DateTime<Utc>,
    /// The database as it was.
    pub schema: DatabaseSchema,
    /// The subject map that said whose each row is.
    pub map: MapText,
    /// What rows there are; places in this list are the index's relation numbers.
    pub relations: Vec<RelationSummary>,
    /// The packs that hold what the backup needs, whoever wrote them.
    pub packs: Vec<PackSummary>,
    /// The index's layers, the lowest first; none in a backup without rows.
    pub layers: Vec<LayerSummary>,
    /// `pg_dump`'s archive of the schema; absent from a data-only backup.
    pub schema_archive: Option<ArchiveSummary>,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Schema and rows.
    Full,
    /// The schema without rows.
    SchemaOnly,
    /// Rows without the schema.
    DataOnly,
}

impl Contents {
    /// The name, as the catalog and JSON output have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SchemaOnly => "schema-only",
            Self::DataOnly => "data-only",
        }
    }
}

/// The subject map of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapText {
    /// Its digest (over its meaning, not its comments).
    pub digest: Digest,
    /// Its file.
    pub toml: String,
}

/// How a relation's rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowFormat {
    /// PostgreSQL's COPY text format.
    CopyText,
    /// PostgreSQL's COPY binary format, sealed in columns.
    CopyBinary,
    /// Lines `oid TAB m TAB properties as JSON`, and `oid TAB offset TAB hexadecimal bytes`.
    LargeObjectPieces,
}

/// One relation's rows in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationSummary {
    /// The relation.
    pub relation: Relation,
    /// How its rows are written.
    pub format: RowFormat,
    /// Of binary rows, the layout of their columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Rows sealed.
    pub rows: u64,
    /// Segments.
    pub segments: u64,
    /// Subjects whose rows these are (the commons not counted).
    pub subjects: u64,
    /// The rows' bytes before compression.
    pub raw_bytes: u64,
    /// The sealed bytes.
    pub sealed_bytes: u64,
    /// Rows left out because their subject had been erased before this backup.
    pub rows_of_erased: u64,
}

/// One pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackSummary {
    /// The pack.
    pub id: PackId,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Digest,
    /// How many of its bytes are segments of this backup.
    pub used: u64,
}

/// One layer of the index, an object that this backup or an earlier one wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSummary {
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Where its directory begins; it ends with the object.
    pub directory_offset: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Its key, wrapped for this backup (see [`super::layer_key`]), in hexadecimal; absent from the
    /// backup's own layer.
    pub key: Option<String>,
}

/// The schema archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSummary {
    /// The age file's length.
    pub bytes: u64,
    /// The age file's digest.
    pub sha256: Digest,
    /// The version that `pg_dump --version` printed.
    pub pg_dump_version: String,
}

impl Manifest {
    /// Seals the manifest: the bytes of its age file.
    pub fn seal(&self, identity: &BackupIdentity, object: &str) -> Result<Vec<u8>, ContainerError> {
        let json = serde_json::to_vec(self)
            .map_err(|_| ContainerError::malformed(object, "it cannot be written as JSON"))?;
        identity.seal(object, &json)
    }

    /// Opens a manifest and checks that it is the one asked for.
    pub fn open(
        sealed: &[u8],
        identity: &BackupIdentity,
        vault: VaultId,
        backup: &BackupId,
        object: &str,
    ) -> Result<Self, ContainerError> {
        let json = identity.open(object, sealed)?;
        let malformed = |reason| ContainerError::malformed(object, reason);
        let version = serde_json::from_slice::<VersionOnly>(&json)
            .map_err(|_| malformed("it is not a manifest"))?
            .version;
        if version > VERSION {
            return Err(ContainerError::NewerFormat {
                object: object.to_owned(),
                found: version,
                known: VERSION,
            });
        }
        let unreadable = |_| malformed("a field of it cannot be read");
        let manifest: Self = if version == VERSION_1 {
            let fields = serde_json::from_slice(&json).map_err(unreadable)?;
            let fields = from_version_1(fields)
                .ok_or_else(|| malformed("it is not a manifest of version 1"))?;
            serde_json::from_value(fields).map_err(unreadable)?
        } else {
            serde_json::from_slice(&json).map_err(unreadable)?
        };
        if manifest.vault != vault {
            return Err(ContainerError::OtherVault { object: object.to_owned() });
        }
        if manifest.backup != *backup {
            return Err(ContainerError::OtherBackup { object: object.to_owned() });
        }
        manifest.check_lists().map_err(malformed)?;
        Ok(manifest)
    }

    /// What the lists of relations, layers and packs must be, or a word on what they are.
    fn check_lists(&self) -> Result<(), &'static str> {
        let is_right = |layer: &LayerSummary| {
            let key = layer.key.as_ref().map(|key| hex::decode(key).map(|key| key.len()));
            layer.directory_offset <= layer.bytes
                && match key {
                    None => layer.backup == self.backup,
                    Some(bytes) => bytes == Ok(layer_key::BYTES) && layer.backup != self.backup,
                }
        };
        let is_laid_out = |relation: &RelationSummary| {
            let is_right = relation.layout.is_some() == (relation.format == RowFormat::CopyBinary);
            is_right && (relation.layout.is_none() || self.version > VERSION_1)
        };
        if !self.relations.iter().all(is_laid_out) {
            return Err(
                "it has binary rows without the layout of their columns, or other rows with one",
            );
        }
        let writers: BTreeSet<_> = self.layers.iter().map(|layer| &layer.backup).collect();
        let packs: BTreeSet<_> = self.packs.iter().map(|pack| pack.id).collect();
        if self.layers.len() > LAYERS_MAX || !self.layers.iter().all(is_right) {
            return Err("it has layers of an index as there are none");
        }
        if writers.len() < self.layers.len() || packs.len() < self.packs.len() {
            return Err("it lists an object twice");
        }
        if self.layers.is_empty() && !self.packs.is_empty() {
            return Err("it has packs and no index");
        }
        Ok(())
    }

    /// Whether its index is of version 1: one object, which names packs by their places here.
    #[must_use]
    pub fn has_index_of_version_1(&self) -> bool {
        self.version == VERSION_1
    }

    /// Rows sealed, all relations together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.relations.iter().map(|relation| relation.rows).sum()
    }

    /// Rows left out at backup time because their subject had been erased.
    #[must_use]
    pub fn rows_of_erased(&self) -> u64 {
        self.relations.iter().map(|relation| relation.rows_of_erased).sum()
    }
}

/// The fields of a manifest of version 1 as those of today: its index is the one layer, and every
/// pack is its own and wholly used.
fn from_version_1(mut fields: Value) -> Option<Value> {
    let manifest = fields.as_object_mut()?;
    if manifest.contains_key("layers") {
        return None;
    }
    for pack in manifest.get_mut("packs")?.as_array_mut()? {
        let used = pack.get("bytes")?.clone();
        let is_new = pack.as_object_mut()?.insert("used".to_owned(), used).is_none();
        is_new.then_some(())?;
    }
    let relations = manifest.get("relations")?.as_array()?.iter();
    let segments = relations.filter_map(|relation| relation.get("segments")?.as_u64());
    let entries = segments.fold(0, u64::saturating_add);
    let index = manifest.remove("index").unwrap_or(Value::Null);
    let mut layers = Vec::new();
    if let Value::Object(mut layer) = index {
        let added = [
            ("backup", manifest.get("backup")?.clone()),
            ("entries", Value::from(entries)),
            ("key", Value::Null),
        ];
        for (name, value) in added {
            layer.insert(name.to_owned(), value).is_none().then_some(())?;
        }
        layers.push(Value::Object(layer));
    } else if !index.is_null() {
        return None;
    }
    manifest.insert("layers".to_owned(), Value::Array(layers));
    Some(fields)
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}
