//! A custodian: a place that holds the epoch secret and can destroy it.

use super::{EpochSecret, KeyError};
use crate::ids::{Epoch, VaultId};

/// What every kind of custodian does. All calls are durable when they return.
pub trait Custodian: Send + Sync {
    /// The custodian as a person names it.
    fn name(&self) -> String;

    /// Keeps the secret of an epoch. Putting the same secret again is a success.
    ///
    /// # Errors
    /// [`KeyError::EpochTaken`] when another secret of that epoch is there: a secret is never
    /// overwritten by another.
    fn put(&self, vault: VaultId, epoch: Epoch, secret: &EpochSecret) -> Result<(), KeyError>;

    /// Hands out the secret of an epoch.
    ///
    /// # Errors
    /// [`KeyError::NoEpochSecret`] when it holds none, [`KeyError::OtherVault`], [`KeyError::Damaged`].
    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<EpochSecret, KeyError>;

    /// The epochs whose secrets it holds, ascending.
    fn epochs(&self, vault: VaultId) -> Result<Vec<Epoch>, KeyError>;

    /// Destroys the secret of an epoch. One that is not there is a success.
    fn destroy(&self, vault: VaultId, epoch: Epoch) -> Result<(), KeyError>;
}
