//! What a verb's failure means to a person: the exit code, and what to do.

use super::error::CliError;
use super::exit::Exit;
use crate::catalog::CatalogError;
use crate::keys::KeyError;
use crate::policy::subject_map::{MapError, Undecided};
use crate::postgres::PostgresError;
use crate::store::StoreError;
use crate::vault::replica::ReplicaError;
use crate::vault::{CustodyError, ErrorKind, OpsError};

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Internal => Self::Internal,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Integrity => Self::Integrity,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Source => Self::Source,
            ErrorKind::Store => Self::Store,
            ErrorKind::Vault => Self::Vault,
            ErrorKind::Identity => Self::Identity,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::ErasedPersonMet => Self::ErasedPersonMet,
        }
    }
}

impl From<OpsError> for CliError {
    fn from(error: OpsError) -> Self {
        let error = match error {
            // The store's errors have their hints already.
            OpsError::Store(error) => return error.into(),
            other => other,
        };
        Self::from_error(error.kind().into(), &error).hint(hint(&error))
    }
}

/// What to do about it.
fn hint(error: &OpsError) -> String {
    let text = match error {
        OpsError::ReplicaBehind { source } => {
            return format!("{}; then run any command that writes, such as prune", hint(source));
        }
        OpsError::Custody(error) => custody_hint(error),
        OpsError::Lock(_) => {
            "run the backup when the tables are free, or with a longer --lock-wait, --yield-after or more \
             --retries; see \"Locks\" in docs/operations.md"
        }
        OpsError::Incomplete { source, .. } => {
            return format!("{}; drop the database before you restore again", hint(source));
        }
        OpsError::Catalog(error) => return catalog_hint(error),
        OpsError::Replica(error) => return replica_hint(error),
        OpsError::Key(error) => return key_hint(error),
        OpsError::Postgres(error) => return postgres_hint(error),
        OpsError::Audit(_) => {
            "without an entry in the audit log nothing is accessed; look at the disk that holds \
             the catalog"
        }
        OpsError::RemovedMeanwhile { .. } => {
            "does another machine prune this store, or a rule of the bucket remove objects? stop it, \
             then run the backup again: it stores anew what is gone"
        }
        OpsError::Container(_) | OpsError::Damaged { .. } | OpsError::RowsMissing { .. } => {
            "`strongroom verify --all` tells which backups are damaged and what of them still \
             restores; `restore --salvage` restores that"
        }
        OpsError::Map(MapError::Key { .. }) => {
            "give the person's primary key as the database has it, and her class with --class"
        }
        OpsError::Map(_) => "correct the subject map or the argument and run the command again",
        OpsError::File { .. } => "check the path, its permissions and the space on its disk",
        OpsError::Spill { .. } => {
            "make room there, or set `spill` in the configuration file to a folder on another disk"
        }
        OpsError::VaultExists { .. } => {
            "use the vault that is there, or choose another --config and --store"
        }
        OpsError::OtherVaultsStore { .. } => {
            "set `url` in section [store] of the configuration file to this vault's own store"
        }
        OpsError::StoreWithoutVault { .. } => {
            "check that the store is mounted, and its `url` in the configuration file; a new store is \
             taken in by `strongroom store check NAME`"
        }
        OpsError::NoStore { .. } => "see the sections [[store]] of the configuration file",
        OpsError::NoStoreForClass { .. } => {
            "name the class in a section [[store]] of the configuration file, or leave `classes` out"
        }
        OpsError::StoreNotEmpty { .. } => {
            "give the vault an empty directory or prefix; nothing was written there"
        }
        OpsError::StoreUnfit { .. } => {
            "choose another service or bucket; docs/stores.md says what a vault needs of it"
        }
        OpsError::StoreMarkerDamaged { .. } => {
            "put the object back from a copy of the store; nothing was written"
        }
        OpsError::OldCatalog { .. } => {
            "use the newest catalog; an old copy cannot open anything that was forgotten since, \
             nor anything else"
        }
        OpsError::NoSource { .. } => {
            "see `strongroom source list`; add one with `strongroom source add`"
        }
        OpsError::SourceExists { .. } => "choose another name",
        OpsError::SourceVariable { variable, .. } => {
            return format!("set it, as in `export {variable}=postgresql://user@host/db`");
        }
        OpsError::NoBackup { .. } => "see `strongroom list`",
        OpsError::AmbiguousBackup { .. } => "write more of the id",
        OpsError::SourceRemoved { .. } => {
            "its backups restore as before; `strongroom source set-url NAME --url …` takes it up again"
        }
        OpsError::PeopleRefused { .. } => {
            "correct these lines, or begin them with #; --skip-unknown goes on without those whom the \
             vault does not know"
        }
        OpsError::InitRunning { .. } => "wait until it has ended",
        OpsError::SeveralSources { .. } => {
            "say of which: --source NAME, or `NAME:latest`; for the newest of every source, \
             `strongroom verify latest --each-source`"
        }
        OpsError::NoMap { name, .. } => {
            return format!(
                "make one with `strongroom map {name} --root SCHEMA.TABLE --write`, and read it"
            );
        }
        OpsError::MapUndecided(undecided) => return flags(undecided),
        OpsError::MapDrift(_) => {
            "see `strongroom map NAME --check`; then `strongroom map NAME --write` adds what it \
             can decide, and the file can be edited"
        }
        OpsError::UnknownOwners(_) => {
            "look at those rows: delete them in the database, or say in the subject map what they \
             are, for one table or for all: `unknown = \"commons\"` (nobody's, in every restore) or \
             `unknown = \"drop\"` (left out of backups)"
        }
        OpsError::LargeObjectOwners { .. } => {
            "name the column with `map --large-objects TABLE.COLUMN --write`, remove orphans with \
             PostgreSQL's `vacuumlo`, or declare the rest everybody's with `--large-objects shared`"
        }
        OpsError::MissingRoles { .. } => {
            "create the roles on the target server, or restore with --no-owner --no-privileges"
        }
        OpsError::TargetOlder { .. } => "restore into a server of the same version or a newer one",
        OpsError::NoPlaceholder { .. } => {
            "give the class its placeholder values in the subject map, or choose null or drop \
             with --on-gone"
        }
        OpsError::NotInBackup { .. } => "`strongroom show BACKUP` tells what is in it",
        OpsError::RowCount { .. } => {
            "a trigger or rule of the target may have changed rows; restore into an empty database"
        }
        OpsError::NoSubject { .. } => {
            "check the key, the class and the source; a person whom no backup has met is not in \
             the vault"
        }
        OpsError::AlreadyErased { .. } => "there is nothing left to do",
        OpsError::Forgotten { .. } => {
            "answer from the live database, if she is in it again; the backups hold nothing of her"
        }
        OpsError::ClassNeeded { .. } => "name one with --class",
        OpsError::NoClass { .. } => "see the classes in the subject map",
        OpsError::NotConfirmed => "run it again and type the words, or add --yes",
        OpsError::ErasedInSource { .. } => {
            "delete them from the live database too: an erasure does not reach it"
        }
        OpsError::KeyLost { .. } => {
            "put a newer or undamaged copy of the catalog back; `restore --salvage` restores the \
             others"
        }
        OpsError::NewerStore { .. } => "use the strongroom that wrote it, or a newer one",
        OpsError::CutShort | OpsError::Tuples | OpsError::Rekeyed => "run the command again",
        OpsError::Canary { .. } => {
            "nothing was forgotten yet; check the custodian, then run any command: it resumes"
        }
        OpsError::Bug(_) => "nothing was lost; please report it",
        OpsError::Compress { .. } => {
            "nothing was lost; give the command more memory, or fewer --jobs, and run it again"
        }
        OpsError::Store(StoreError::NotWritable { .. }) => {
            "check the permissions of the store, and whether it is mounted read-only"
        }
        OpsError::Store(StoreError::Full { .. }) => "make room in the store or move it",
        OpsError::Store(_) | OpsError::StoreStopped => {
            "look at the store's disk or network, then run the command again"
        }
    };
    text.to_owned()
}

const TARGET_NOT_EMPTY: &str = "restore into a new database with --create, or add \
                                --into-non-empty if you know that nothing collides";

/// The flags that decide, as far as a person reads on.
fn flags(undecided: &[Undecided]) -> String {
    const QUESTIONS_MAX: usize = 3;
    let flags: Vec<String> =
        undecided.iter().take(QUESTIONS_MAX).map(|one| one.flags.join(" or ")).collect();
    let rest = if undecided.len() > QUESTIONS_MAX { "; and so on" } else { "" };
    format!("decide with {}{rest}; without --write, all questions are listed", flags.join("; "))
}

fn custody_hint(error: &CustodyError) -> &'static str {
    match error {
        CustodyError::TooFew { .. } => {
            "make the custodians reachable (mounts, network, PINs) and run the command again; \
             `strongroom custody list` tells who has a share"
        }
        CustodyError::IsMember { .. } | CustodyError::IsNoMember { .. } => {
            "see `strongroom custody list`"
        }
        CustodyError::Threshold { .. } => "choose --threshold between 1 and their number",
        CustodyError::NotErased { .. } => {
            "a person who was never erased needs nothing: backups hold her rows"
        }
        CustodyError::Unproven { .. } => {
            "keep everything as it is and report it; until it is understood, treat the erasure as \
             not done"
        }
        CustodyError::MasterFile { .. } => "put the file back from a copy; nothing was overwritten",
    }
}

fn catalog_hint(error: &CatalogError) -> String {
    let text = match error {
        CatalogError::NotFound { .. } => {
            "check `catalog` in the configuration file, and that its disk is mounted"
        }
        CatalogError::Busy { .. } | CatalogError::BusyUnknown { .. } => {
            "wait until it has ended, then run the command again"
        }
        CatalogError::TooNew { .. } => "use the strongroom that made it, or a newer one",
        CatalogError::CheckpointIncomplete { .. } => {
            "another command is reading the catalog; when it has ended, the next command finishes \
             what was begun"
        }
        CatalogError::InvalidSourceName { .. } | CatalogError::Conflict { .. } => {
            "choose another name"
        }
        damaged if damaged.is_damage() => {
            "put the newest copy of the catalog in its place; a copy from before the last erasure \
             opens nothing"
        }
        busy if busy.is_busy() => "wait a moment, then run the command again",
        _ => "check the disk that holds the catalog: its space, its permissions, how it is mounted",
    };
    text.to_owned()
}

fn replica_hint(error: &ReplicaError) -> String {
    let text = match error {
        ReplicaError::AnotherMachine { .. } => {
            "use the vault from one machine; where the other is the one that counts, make this \
             machine's catalog anew with `strongroom recover`"
        }
        ReplicaError::Unasked { .. } => {
            "make it reachable; where it is lost for good, leave it out of the command, and what it \
             alone held is lost with it"
        }
        ReplicaError::NoReplica { .. } => {
            "check that this is the vault's store, and that it is mounted"
        }
        ReplicaError::NoReplicaOfEpoch { .. } => "leave out the epoch to use the newest replica",
        ReplicaError::OtherVaultsKit { .. } => {
            "use the recovery kit and the store of the same vault"
        }
        ReplicaError::Rollback { .. } => {
            "put the newest objects back into the store; to go on without what is missing, name the \
             replica's epoch with --epoch"
        }
        ReplicaError::SecretGone { .. } => {
            "name all custodians; a secret that an erasure destroyed opens nothing any more"
        }
        ReplicaError::KitDoesNotOpen { .. } => {
            "use the kit that was printed last: `keys rotate-master` makes all before it void"
        }
        ReplicaError::NewerCatalog { .. } => "use the strongroom that wrote it, or a newer one",
        ReplicaError::Damaged { .. } => "put the store's objects back from a copy of the store",
    };
    text.to_owned()
}

fn key_hint(error: &KeyError) -> String {
    let text = match error {
        KeyError::WrongPassphrase { .. } => "try again; check --passphrase-file if one is used",
        KeyError::WrongIdentity { .. } => {
            "give the identity file of one of the vault's recipients with --identity"
        }
        KeyError::InvalidAgeKey { .. } => {
            "age public keys begin with age1, and `age-keygen` writes identity files; of SSH keys, \
             ssh-ed25519 and ssh-rsa are taken, private ones without a passphrase (`ssh-keygen -p`)"
        }
        KeyError::MissingCredential { .. } => {
            "give --identity or --passphrase-file, or set them in the configuration file"
        }
        KeyError::NoEpochSecret { .. } => {
            "check that it is this vault's custodian; without the epoch secret no backup opens"
        }
        KeyError::Unreachable { .. } => {
            "check that it is there and mounted, or switched on; without the epoch secret no \
             backup opens"
        }
        KeyError::Kit(_) => {
            "compare it with the printed page; capitals, spaces and line breaks do not matter"
        }
        KeyError::TooFewShares { .. } => {
            "make more of the custodians reachable; without the epoch secret no backup opens"
        }
        KeyError::OtherVault { .. } => "use the file that belongs to this vault",
        KeyError::WorkFactor { .. } => {
            "the file is not damaged: put back the one that strongroom wrote (its work factor is 18), \
             or decrypt it with age on a machine with enough memory and encrypt it again"
        }
        KeyError::Damaged { .. } => "put the file back from a copy, if there is one",
        KeyError::Io { .. } => "check the path, its permissions and that its disk is mounted",
        _ => {
            "the catalog and the custodian do not fit each other: check that both are this \
             vault's, and the catalog its newest"
        }
    };
    text.to_owned()
}

fn postgres_hint(error: &PostgresError) -> String {
    let text = match error {
        PostgresError::InvalidUrl { .. } => {
            "write it as postgresql://user@host:5432/database?sslmode=require"
        }
        PostgresError::UnknownHost { .. } | PostgresError::Unreachable { .. } => {
            "check the host and port, and that the server runs"
        }
        PostgresError::LoginRefused { .. } => {
            "check the user and the password (in the URL, PGPASSWORD or the passfile)"
        }
        PostgresError::MissingDatabase { .. } => {
            "check the name; a restore can make the database with --create"
        }
        PostgresError::Tls { .. } => {
            "check sslmode and sslrootcert in the URL; with sslmode=disable nothing is encrypted"
        }
        PostgresError::CertificateFile { .. } => "check sslrootcert, sslcert and sslkey in the URL",
        PostgresError::Lost { .. } => "nothing half-done counts; run the command again",
        PostgresError::ServerTooOld { .. } => "upgrade the server first",
        PostgresError::NotEmpty { .. } => TARGET_NOT_EMPTY,
        PostgresError::DatabaseExists { .. } => "leave out --create, or name another database",
        PostgresError::SequenceUnreadable(_) => "grant the role SELECT on the sequence",
        PostgresError::Refused { sqlstate, .. } if sqlstate == "42501" => {
            "the role needs SELECT on every table and sequence, and BYPASSRLS where row-level \
             security is in force; a restore needs a role that may create what is restored"
        }
        PostgresError::Refused { sqlstate, .. } if sqlstate == "42P04" => {
            "leave out --create if it is empty, or name a database that does not exist yet"
        }
        PostgresError::LocaleProvider { .. } => {
            "make the database yourself and leave out --create, or restore into a newer server"
        }
        PostgresError::TriggersNotHeld { .. } => {
            "connect as a superuser, or grant the role SET ON PARAMETER session_replication_role"
        }
        PostgresError::NotNullable { .. } => {
            "choose drop or placeholder for this reference with --on-gone or in the subject map"
        }
        PostgresError::PlaceholderLength { .. } => {
            "give the class's placeholder in the subject map a value for each column"
        }
        PostgresError::ToolsMissing { .. } => {
            "install that package, or name a folder with both tools in STRONGROOM_PG_BIN"
        }
        PostgresError::LockNotHad { .. } => "run it again when the tables are free",
        PostgresError::Refused { .. }
        | PostgresError::Unexpected { .. }
        | PostgresError::ToolNotRun { .. }
        | PostgresError::ToolFailed { .. } => {
            "the server's log may tell more; nothing half-done counts, so run the command again"
        }
    };
    text.to_owned()
}
