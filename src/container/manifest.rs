//! The manifest: what a backup is. JSON inside an age file sealed for the backup's identity.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ContainerError;
use super::age_file::BackupIdentity;
use super::columns::Layout;
use super::segment::Relation;
use crate::ids::{BackupId, Digest, PackId, SourceId, VaultId};
use crate::schema::DatabaseSchema;

/// The newest manifest version that is known here.
pub const VERSION: u32 = 1;

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
    /// The packs; places in this list are the index's pack numbers.
    pub packs: Vec<PackSummary>,
    /// The index; absent from a backup without rows.
    pub index: Option<IndexSummary>,
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
}

/// The index object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSummary {
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Where its directory begins; it ends with the object.
    pub directory_offset: u64,
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
        let manifest: Self =
            serde_json::from_slice(&json).map_err(|_| malformed("a field of it cannot be read"))?;
        if manifest.vault != vault {
            return Err(ContainerError::OtherVault { object: object.to_owned() });
        }
        if manifest.backup != *backup {
            return Err(ContainerError::OtherBackup { object: object.to_owned() });
        }
        Ok(manifest)
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

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}
