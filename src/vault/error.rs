//! What can go wrong with a verb. Hints and exit codes are the command line's.

use super::error_kind::ErrorKind;
use std::io;

use super::CustodyError;
use super::error_lists::{count, damage, join, questions, told};
use super::replica::ReplicaError;
use crate::audit::AuditError;
use crate::base::ids::{BackupId, Epoch, VaultId};
use crate::base::schema::QualifiedName;
use crate::catalog::CatalogError;
use crate::container::ContainerError;
use crate::keys::KeyError;
use crate::policy::subject_map::{Drift, MapError, TableOwners, Undecided};
use crate::postgres::PostgresError;
use crate::store::StoreError;

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The audit log failed, so nothing was accessed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Stored bytes were refused.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog's replica in the store cannot be written or used.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A database failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The subject map is wrong.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The epoch secret could not be had, shared or forgotten.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A local file could not be read or written.
    #[error("{what}: {source}")]
    File {
        /// What was done to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for rows that do not fit in memory failed.
    #[error("the spill folder (sealed rows that do not fit in memory): {source}")]
    Spill {
        /// What the system said.
        source: io::Error,
    },
    /// The compressor failed, which writes to memory only.
    #[error("compressing rows failed: {source}")]
    Compress {
        /// What it said.
        source: io::Error,
    },
    /// A vault is already there.
    #[error("{place} already exists; a vault is never made over another")]
    VaultExists {
        /// The file or store.
        place: String,
    },
    /// The store holds another vault.
    #[error("the store {location} belongs to vault {found}, this catalog to vault {expected}")]
    OtherVaultsStore {
        /// The store.
        location: String,
        /// The vault that its marker names.
        found: VaultId,
        /// This vault.
        expected: VaultId,
    },
    /// The store has no marker of any vault.
    #[error("the store {location} holds no vault: its object `strongroom-vault.json` is missing")]
    StoreWithoutVault {
        /// The store.
        location: String,
    },
    /// The store's marker cannot be read.
    #[error("the store {location}: its object `strongroom-vault.json` cannot be read")]
    StoreMarkerDamaged {
        /// The store.
        location: String,
    },
    /// The configuration has no store of that name.
    #[error("no store is named `{name}`; there is {}", join(known))]
    NoStore {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The configuration sends backups of that class nowhere.
    #[error("no store takes backups of the class {class}")]
    NoStoreForClass {
        /// The class.
        class: &'static str,
    },
    /// A store that is no vault's holds something.
    #[error("the store {location} holds objects and no vault, so it is not taken")]
    StoreNotEmpty {
        /// The store.
        location: String,
    },
    /// A service was seen to lack what nothing makes up for.
    #[error("no vault can live in the store {location}: {reason}")]
    StoreUnfit {
        /// The store.
        location: String,
        /// What it lacks, as the rest of a sentence.
        reason: String,
    },
    /// The custodian has gone on to a later epoch: this catalog is an old copy.
    #[error(
        "this catalog stands at epoch {catalog}, and the custodian at epoch {custodian}: the \
         catalog is an old copy, from before a forgetting"
    )]
    OldCatalog {
        /// The catalog's epoch.
        catalog: Epoch,
        /// The newest epoch that the custodian holds.
        custodian: Epoch,
    },
    /// No source of that name.
    #[error("no source is named `{name}`{known}")]
    NoSource {
        /// The name.
        name: String,
        /// The names that exist, as a clause (may be empty).
        known: String,
    },
    /// A source of that name exists.
    #[error("a source named `{name}` already exists")]
    SourceExists {
        /// The name.
        name: String,
    },
    /// The source was removed.
    #[error("source `{name}` was removed; nothing more is backed up from it")]
    SourceRemoved {
        /// The source.
        name: String,
    },
    /// The environment variable that holds the source's URL is not set.
    #[error("the environment variable {variable} is not set; source `{name}` has its URL there")]
    SourceVariable {
        /// The source.
        name: String,
        /// The variable.
        variable: String,
    },
    /// No backup fits the selector.
    #[error("no backup fits `{selector}`")]
    NoBackup {
        /// What was asked for.
        selector: String,
    },
    /// More than one backup fits the prefix.
    #[error("`{selector}` fits {} backups: {}", .candidates.len(), join(.candidates))]
    AmbiguousBackup {
        /// What was asked for.
        selector: String,
        /// What it fits.
        candidates: Vec<BackupId>,
    },
    /// People of a list cannot be erased.
    #[error(
        "{} of the {count} people of the list cannot be erased, so none was: {}",
        .lines.len(),
        told(.lines)
    )]
    PeopleRefused {
        /// People in the list.
        count: usize,
        /// Line by line, why.
        lines: Vec<(usize, String)>,
    },
    /// Another `init` makes a vault there now.
    #[error("another `init` is making a vault here now (it holds {place})")]
    InitRunning {
        /// The file that it holds.
        place: String,
    },
    /// The newest of which source?
    #[error("`{which}` could be of any of these sources: {}", .sources.join(", "))]
    SeveralSources {
        /// What was asked for.
        which: String,
        /// The sources.
        sources: Vec<String>,
    },
    /// The source has no subject map yet.
    #[error("source `{name}` has no subject map at {path}")]
    NoMap {
        /// The source.
        name: String,
        /// Where it was looked for.
        path: String,
    },
    /// Tables whose rows' owners nobody has decided.
    #[error(
        "nothing is written, for the subject map leaves {} undecided: {}",
        count(.0.len(), "question", "questions"),
        questions(.0)
    )]
    MapUndecided(Vec<Undecided>),
    /// The database has changed since the map was written.
    #[error(
        "the subject map does not fit the database any more{}",
        Drift::summary(.0)
    )]
    MapDrift(Vec<Drift>),
    /// Rows of people whose owner nobody knows, and a map that wants that decided.
    #[error("rows in tables of people have owners that nobody knows{}", TableOwners::sentence(.0))]
    UnknownOwners(Vec<TableOwners>),
    /// Large objects that no row names, or that rows of several people name.
    #[error(
        "{orphans} large objects are named by no row and {shared} by rows of several people, so \
         nobody can say whose they are"
    )]
    LargeObjectOwners {
        /// Named by no row.
        orphans: u64,
        /// Named by rows of several people.
        shared: u64,
    },
    /// Roles that own restored objects and do not exist in the target.
    #[error("the target server has no role {}", join(.roles))]
    MissingRoles {
        /// The roles.
        roles: Vec<String>,
    },
    /// What was asked for is not in the backup.
    #[error("backup {backup} {reason}")]
    NotInBackup {
        /// The backup.
        backup: BackupId,
        /// What it lacks, as the rest of the sentence.
        reason: String,
    },
    /// A restored table has another number of rows than was sealed.
    #[error("{table}: {expected} rows were sent and the server wrote {written}")]
    RowCount {
        /// The table.
        table: QualifiedName,
        /// Rows sent.
        expected: u64,
        /// Rows that the server counted.
        written: u64,
    },
    /// A restore failed after it had begun to write.
    #[error("{source}; the database `{database}` is incomplete")]
    Incomplete {
        /// The target.
        database: String,
        /// Why.
        source: Box<Self>,
    },
    /// Everything was done, but for the copy of the catalog in the store.
    #[error("everything was done here, but the catalog's replica in the store is behind: {source}")]
    ReplicaBehind {
        /// Why.
        source: Box<Self>,
    },
    /// A verification found damage.
    #[error("{}", damage(.problems))]
    Damaged {
        /// One sentence for each damaged object.
        problems: Vec<String>,
    },
    /// The subject is not in the vault.
    #[error(
        "the vault holds nothing of the subject asked for in class `{class}` of source `{name}` (reference {reference})"
    )]
    NoSubject {
        /// The source.
        name: String,
        /// The class.
        class: String,
        /// The reference that was looked for.
        reference: crate::base::ids::SubjectReference,
    },
    /// The subject has been erased before.
    #[error(
        "the subject (reference {reference}) was erased on {erased_at}; nothing of her is left to erase"
    )]
    AlreadyErased {
        /// Her reference.
        reference: crate::base::ids::SubjectReference,
        /// When, in RFC 3339.
        erased_at: String,
    },
    /// Somebody's rows were asked for who was erased.
    #[error(
        "the subject (reference {reference}) was erased on {erased_at}; no backup has a row of her \
         that opens"
    )]
    Forgotten {
        /// Her reference.
        reference: crate::base::ids::SubjectReference,
        /// When, in RFC 3339.
        erased_at: String,
    },
    /// Several subject classes, and none was named.
    #[error("source `{name}` has several subject classes: {}", join(.classes))]
    ClassNeeded {
        /// The source.
        name: String,
        /// Its classes.
        classes: Vec<String>,
    },
    /// No such subject class.
    #[error("source `{name}` has no subject class `{class}`")]
    NoClass {
        /// The source.
        name: String,
        /// What was asked for.
        class: String,
    },
    /// Nobody said yes.
    #[error("not confirmed; nothing was erased")]
    NotConfirmed,
    /// A backup met people who were erased from the vault, and was asked to be strict.
    #[error(
        "backup {backup} is complete; {rows} rows of people who were erased from the vault are still in the source and were left out"
    )]
    ErasedInSource {
        /// The backup.
        backup: BackupId,
        /// Rows left out.
        rows: u64,
    },
    /// Others need the tables that a backup reads.
    #[error(transparent)]
    Lock(#[from] super::LockError),
    /// The stream of rows ended within a row.
    #[error("the server's rows ended within a row")]
    CutShort,
    /// Binary rows are not what the types of their columns say.
    #[error("the server's rows are not in the binary form that their columns' types have")]
    Tuples,
    /// A writer saw the store stop; the store's own error is told elsewhere.
    #[error("the store stopped taking bytes")]
    StoreStopped,
    /// A subject who was never erased has no key in the catalog.
    #[error(
        "the catalog has no key of subject {reference}, and no tombstone: her rows are lost, not \
         forgotten"
    )]
    KeyLost {
        /// The subject.
        reference: crate::base::ids::SubjectReference,
    },
    /// The vault's store was written by a newer strongroom.
    #[error("the store {location} has format version {found}; this strongroom knows up to {known}")]
    NewerStore {
        /// The store.
        location: String,
        /// Its version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The keys that a command works with are of an epoch that is over.
    #[error("an erasure changed the vault's keys while this command was running")]
    Rekeyed,
    /// The canary did not open under the new epoch.
    #[error(
        "the new epoch {epoch} does not open the canary; the old epoch secret was kept and nothing \
         is lost"
    )]
    Canary {
        /// The new epoch.
        epoch: Epoch,
    },
    /// The target is older than the source.
    #[error(
        "the target is PostgreSQL {target_major}, and the backup comes from {source_major}: a \
         schema does not go back to an older version"
    )]
    TargetOlder {
        /// The source's major version.
        source_major: u32,
        /// The target's.
        target_major: u32,
    },
    /// A placeholder was asked for and the map has none.
    #[error("the subject map has no placeholder row for {table}, or not all of its key")]
    NoPlaceholder {
        /// The root table.
        table: QualifiedName,
    },
    /// What a backup needs was removed while it ran.
    #[error(
        "{count} of the objects that this backup needs are not in {location} any more as they were \
         written, such as `{name}`: they were removed while it ran, and it does not count"
    )]
    RemovedMeanwhile {
        /// The store.
        location: String,
        /// One of them.
        name: String,
        /// How many.
        count: usize,
    },
    /// The index leads to another number of rows than the manifest says.
    #[error("{relation}: {expected} rows were sealed and {found} found")]
    RowsMissing {
        /// The relation.
        relation: String,
        /// Rows sealed.
        expected: u64,
        /// Rows found.
        found: u64,
    },
    /// A thread of work ended abnormally, or a promise of this program does not hold.
    #[error("a fault in strongroom itself: {0}")]
    Bug(&'static str),
}

/// The SQLSTATE of a database that is there already (`duplicate_database`).
const DATABASE_EXISTS: &str = "42P04";

impl OpsError {
    /// A thread of work panicked.
    pub(crate) const THREAD_ENDED: Self = Self::Bug("a thread of work ended abnormally");

    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Incomplete { source, .. } | Self::ReplicaBehind { source } => source.kind(),
            Self::Custody(error) => error.kind(),
            Self::Rekeyed | Self::InitRunning { .. } => ErrorKind::Busy,
            Self::Replica(error) => error.kind(),
            Self::Catalog(error) if error.is_busy() => ErrorKind::Busy,
            Self::Catalog(error) if error.is_damage() => ErrorKind::Integrity,
            Self::Key(
                KeyError::WrongPassphrase { .. }
                | KeyError::WrongIdentity { .. }
                | KeyError::MissingCredential { .. }
                | KeyError::Kit(_),
            ) => ErrorKind::Identity,
            Self::Map(_)
            | Self::Key(KeyError::InvalidAgeKey { .. })
            | Self::Postgres(PostgresError::InvalidUrl { .. })
            | Self::Store(StoreError::Unsupported { .. })
            | Self::SourceVariable { .. }
            | Self::AmbiguousBackup { .. }
            | Self::SeveralSources { .. }
            | Self::PeopleRefused { .. }
            | Self::SourceRemoved { .. }
            | Self::NoStoreForClass { .. }
            | Self::ClassNeeded { .. } => ErrorKind::Usage,
            Self::Key(
                KeyError::Damaged { .. }
                | KeyError::OtherVault { .. }
                | KeyError::OtherShare { .. }
                | KeyError::Wrapped { .. },
            )
            | Self::Container(_)
            | Self::Store(
                StoreError::NotFound { .. }
                | StoreError::ShortRead { .. }
                | StoreError::TooLong { .. },
            )
            | Self::OtherVaultsStore { .. }
            | Self::StoreMarkerDamaged { .. }
            | Self::Damaged { .. }
            | Self::KeyLost { .. }
            | Self::NewerStore { .. }
            | Self::RowCount { .. }
            | Self::RowsMissing { .. }
            | Self::RemovedMeanwhile { .. }
            | Self::Canary { .. } => ErrorKind::Integrity,
            Self::Catalog(_)
            | Self::Audit(_)
            | Self::Key(_)
            | Self::File { .. }
            | Self::Spill { .. }
            | Self::OldCatalog { .. } => ErrorKind::Vault,
            Self::Store(_)
            | Self::StoreStopped
            | Self::StoreUnfit { .. }
            | Self::StoreWithoutVault { .. } => ErrorKind::Store,
            Self::Postgres(error) if error.sqlstate() == Some(DATABASE_EXISTS) => {
                ErrorKind::Refused
            }
            Self::Postgres(
                PostgresError::NotEmpty { .. } | PostgresError::DatabaseExists { .. },
            )
            | Self::VaultExists { .. }
            | Self::SourceExists { .. }
            | Self::MapUndecided(_)
            | Self::MapDrift(_)
            | Self::UnknownOwners(_)
            | Self::LargeObjectOwners { .. }
            | Self::MissingRoles { .. }
            | Self::TargetOlder { .. }
            | Self::NoPlaceholder { .. }
            | Self::StoreNotEmpty { .. }
            | Self::NotConfirmed => ErrorKind::Refused,
            Self::NoSource { .. }
            | Self::NoStore { .. }
            | Self::NoBackup { .. }
            | Self::NotInBackup { .. }
            | Self::NoMap { .. }
            | Self::NoSubject { .. }
            | Self::AlreadyErased { .. }
            | Self::Forgotten { .. }
            | Self::NoClass { .. } => ErrorKind::NotFound,
            Self::Postgres(_) | Self::Lock(_) | Self::CutShort | Self::Tuples => ErrorKind::Source,
            Self::ErasedInSource { .. } => ErrorKind::ErasedPersonMet,
            Self::Bug(_) | Self::Compress { .. } => ErrorKind::Internal,
        }
    }

    /// Whether an object lies in an archive, where nobody can read it now.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        matches!(self, Self::Store(StoreError::Archived { .. }))
    }

    /// Whether stored bytes are not what was written: what `verify` reports rather than stops at.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        if let Self::Incomplete { source, .. } = self {
            return source.is_damage();
        }
        matches!(
            self,
            Self::Container(_)
                | Self::Store(
                    StoreError::NotFound { .. }
                        | StoreError::ShortRead { .. }
                        | StoreError::TooLong { .. },
                )
                | Self::Key(KeyError::Wrapped { .. })
                | Self::KeyLost { .. }
                | Self::Damaged { .. }
        )
    }
}

#[cfg(debug_assertions)]
impl crate::base::durable::Injected for OpsError {
    fn injected(step: &str) -> Self {
        Self::File { what: step.to_owned(), source: io::Error::injected(step) }
    }
}

impl From<crate::store::InvalidObjectName> for OpsError {
    fn from(_: crate::store::InvalidObjectName) -> Self {
        Self::Bug("an object has no valid name")
    }
}

impl From<crate::postgres::rows::tuples::NotBinary> for OpsError {
    fn from(_: crate::postgres::rows::tuples::NotBinary) -> Self {
        Self::Tuples
    }
}
