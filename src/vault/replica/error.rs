//! What can be wrong with the catalog's replica in the store.

use crate::base::ids::{Epoch, VaultId};
use crate::vault::{ErrorKind, OpsError};

/// Why a replica was not written, or no catalog made from it.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The store holds a replica that this catalog does not come from.
    #[error(
        "the store {location} holds replica {found} of the catalog, which this catalog (at replica \
         {known}) does not know: another machine writes this vault, or this catalog is an old copy"
    )]
    AnotherMachine {
        /// The store.
        location: String,
        /// The replica in the store.
        found: u64,
        /// The newest that this catalog knows; 0 for none.
        known: u64,
    },
    /// One of several stores cannot be asked, and may hold the newest replica.
    #[error("store `{store}` cannot be asked whether it holds a newer catalog: {source}")]
    Unasked {
        /// The store's name.
        store: String,
        /// Why not.
        source: Box<OpsError>,
    },
    /// There is no replica.
    #[error("the store {location} holds no replica of the catalog")]
    NoReplica {
        /// The store.
        location: String,
    },
    /// There is none of the epoch that was asked for.
    #[error("the store {location} holds no replica of the catalog of epoch {epoch}")]
    NoReplicaOfEpoch {
        /// The store.
        location: String,
        /// The epoch that was asked for.
        epoch: Epoch,
    },
    /// The store is another vault's than the recovery kit.
    #[error("the store {location} belongs to vault {found}, the recovery kit to vault {expected}")]
    OtherVaultsKit {
        /// The store.
        location: String,
        /// The vault that its marker names.
        found: VaultId,
        /// The vault that the kit names.
        expected: VaultId,
    },
    /// The custodians know a newer epoch than the store.
    #[error(
        "the newest replica of the catalog in the store {location} ({sequence}) is of epoch {epoch}, \
         and the custodians hold the secret of epoch {custodians}: the replica of that epoch is \
         missing, with everything that was recorded since"
    )]
    Rollback {
        /// The store.
        location: String,
        /// The replica's number.
        sequence: u64,
        /// Its epoch.
        epoch: Epoch,
        /// The newest epoch that the custodians know.
        custodians: Epoch,
    },
    /// The secret that opens the replica is gone.
    #[error(
        "replica {sequence} of the catalog is of epoch {epoch}, whose secret the custodians do not \
         hold{held}"
    )]
    SecretGone {
        /// The replica's number.
        sequence: u64,
        /// Its epoch.
        epoch: Epoch,
        /// What they hold instead, as a clause.
        held: String,
    },
    /// The secrets are those that were given, and yet the replica does not open.
    #[error(
        "replica {sequence} of the catalog does not open with this kit and the custodians' secret of \
         epoch {epoch}: the kit is of a master secret that was replaced since, or the replica is \
         damaged"
    )]
    KitDoesNotOpen {
        /// The replica's number.
        sequence: u64,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Written by a newer strongroom.
    #[error(
        "replica {sequence} holds a catalog of version {found}; this strongroom knows up to {known}"
    )]
    NewerCatalog {
        /// The replica's number.
        sequence: u64,
        /// Its catalog's version.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The rows contradict what their head or their keys say.
    #[error("replica {sequence} of the catalog is damaged: {finding}")]
    Damaged {
        /// The replica's number.
        sequence: u64,
        /// The first thing found.
        finding: String,
    },
}

impl ReplicaError {
    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AnotherMachine { .. } | Self::SecretGone { .. } => ErrorKind::Vault,
            Self::NoReplica { .. } | Self::NoReplicaOfEpoch { .. } => ErrorKind::NotFound,
            Self::OtherVaultsKit { .. }
            | Self::KitDoesNotOpen { .. }
            | Self::NewerCatalog { .. }
            | Self::Damaged { .. } => ErrorKind::Integrity,
            Self::Rollback { .. } => ErrorKind::Refused,
            Self::Unasked { source, .. } => source.kind(),
        }
    }
}
