//! The key hierarchy and who holds its two roots.
//!
//! ```text
//! master secret (age file)  ┐
//! epoch secret (custodians) ┴─ root key of the epoch ── shard keys ── subject keys
//!                                                                  ├─ backup identities
//!                                                                  └─ vault keys
//! ```
//!
//! Nothing here touches the catalog: wrapped keys come in and go out as bytes.

pub mod custodians;
pub mod master;
pub mod rekey;
pub mod replica_key;
pub mod ring;
mod secret_file;
pub mod vault_keys;

use crate::base::ids::{Epoch, ShardId, VaultId};

crate::secret_key!(
    /// M: long-lived, never changed by a forgetting, and by itself opens nothing.
    MasterSecret
);
crate::secret_key!(
    /// E of one epoch: the one thing that must be erasable.
    EpochSecret
);
crate::secret_key!(
    /// SK: seals one subject's rows, in every backup.
    SubjectKey
);

/// Why a key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The passphrase does not open the master secret.
    #[error("the passphrase does not open the master secret in {file}")]
    WrongPassphrase {
        /// The age file.
        file: String,
    },
    /// No identity at hand opens the master secret.
    #[error("none of the identities at hand opens the master secret in {file}")]
    WrongIdentity {
        /// The age file.
        file: String,
    },
    /// The master secret's file asks for what was not given.
    #[error("the master secret in {file} needs {needed}, and none was given")]
    MissingCredential {
        /// The age file.
        file: String,
        /// "a passphrase" or "an identity file".
        needed: &'static str,
    },
    /// The passphrase's age file asks for more work than is done: far more memory than a machine has.
    #[error(
        "{file} asks for more work than is done for a passphrase: its scrypt work factor is \
         {required}, and the highest that is accepted is {limit}"
    )]
    WorkFactor {
        /// The age file.
        file: String,
        /// The logarithm of the cost, as its header has it.
        required: u8,
        /// The highest that is accepted.
        limit: u8,
    },
    /// A recipient or an identity file that cannot be read.
    #[error("{what} is not one that age understands")]
    InvalidAgeKey {
        /// What was given, without any secret part.
        what: String,
    },
    /// A file that should hold a secret holds something else.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that belongs to another vault.
    #[error("{file} belongs to another vault ({found}, this one is {expected})")]
    OtherVault {
        /// The file.
        file: String,
        /// The vault that it names.
        found: VaultId,
        /// This vault.
        expected: VaultId,
    },
    /// The custodian answered, and holds no share of this epoch.
    #[error("{custodian} holds no share of epoch {epoch}{held}")]
    NoEpochSecret {
        /// The custodian.
        custodian: String,
        /// The epoch asked for.
        epoch: Epoch,
        /// What it holds instead, as a clause (may be empty).
        held: String,
    },
    /// The custodian could not be asked, or could not do what it was asked: whether it holds a
    /// share is not known.
    #[error("{custodian} cannot be used now: {reason}")]
    Unreachable {
        /// The custodian.
        custodian: String,
        /// What stands in the way, as a clause.
        reason: String,
    },
    /// What the custodian has under this epoch is not the share that the catalog knows.
    #[error(
        "the custodian `{custodian}` holds a share of epoch {epoch} that is of another splitting"
    )]
    OtherShare {
        /// The custodian's name.
        custodian: String,
        /// The epoch.
        epoch: Epoch,
    },
    /// A share that was to be destroyed is still there.
    #[error(
        "{custodian} still holds its share of epoch {epoch}, though it said that it destroyed it"
    )]
    NotDestroyed {
        /// The custodian.
        custodian: String,
        /// The epoch.
        epoch: Epoch,
    },
    /// Another share is already there under the same epoch.
    #[error("{custodian} already holds another share of epoch {epoch}")]
    EpochTaken {
        /// The custodian.
        custodian: String,
        /// The epoch.
        epoch: Epoch,
    },
    /// Shares that could not come from one splitting.
    #[error("the shares do not belong together: they are of different {what}")]
    MixedShares {
        /// What differs: "vaults", "epochs", "splittings" or "thresholds".
        what: &'static str,
    },
    /// Not enough shares of the epoch secret.
    #[error("the epoch secret needs {needed} shares, and only {got} could be had")]
    TooFewShares {
        /// How many are needed.
        needed: u8,
        /// How many different ones there are.
        got: usize,
    },
    /// Shares of one splitting that contradict one another or cannot exist.
    #[error("the shares of the epoch secret are damaged: {reason}")]
    BadShares {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A threshold that no set of custodians can have.
    #[error("{threshold} of {count} custodians cannot be a quorum")]
    BadThreshold {
        /// How many shares would be needed.
        threshold: u8,
        /// How many there would be.
        count: u8,
    },
    /// A wrapped key does not open.
    #[error("{key} in shard {shard} does not open under epoch {epoch}")]
    Wrapped {
        /// Which key, without secrets.
        key: String,
        /// Its shard.
        shard: ShardId,
        /// The epoch that was tried.
        epoch: Epoch,
    },
    /// A shard that the catalog names and the ring does not hold.
    #[error("the catalog has no shard {shard}")]
    NoShard {
        /// The shard.
        shard: ShardId,
    },
    /// A text is not a recovery kit, or not as it was printed.
    #[error(transparent)]
    Kit(#[from] master::kit::KitError),
    /// The file system refused.
    #[error("the secret in {file} could not be read or written: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(debug_assertions)]
impl crate::base::durable::Injected for KeyError {
    fn injected(step: &str) -> Self {
        Self::Io { file: step.to_owned(), source: std::io::Error::injected(step) }
    }
}
