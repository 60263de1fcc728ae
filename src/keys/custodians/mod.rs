//! A custodian: a place that holds a share of the epoch secret and can destroy it.

pub mod command;
pub mod file;
mod mark;
pub mod pkcs11;
mod program;
pub mod quorum;
pub mod settings;
pub mod share;

use self::share::Share;
use super::KeyError;
use crate::base::ids::{Epoch, VaultId};

crate::words!(
    /// What it means that a custodian has destroyed a share.
    Assurance, "kind of assurance",
    /// A file that was overwritten and unlinked.
    Overwritten = "overwritten",
    /// Whatever the user's own program did.
    Delegated = "delegated",
    /// An object that its device destroyed.
    Device = "device",
);

impl Assurance {
    /// One sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Overwritten => {
                "Its share is a file, which is overwritten and unlinked; flash storage, \
                 copy-on-write file systems and copies of the medium may keep the old block."
            }
            Self::Delegated => {
                "Its share is kept by the user's own program; the destruction is as good as that \
                 program and the place behind it."
            }
            Self::Device => {
                "Its share is an object inside a PKCS #11 token, which destroys it and then no \
                 longer finds it."
            }
        }
    }
}

/// What every kind of custodian does. All calls are durable when they return.
///
/// "It holds none" ([`KeyError::NoEpochSecret`]) and "it cannot be asked"
/// ([`KeyError::Unreachable`]) are never mixed up: an erasure is confirmed by the first only.
pub trait Custodian: Send + Sync {
    /// The name in the configuration, `main`.
    fn name(&self) -> &str;

    /// The place as a person knows it, `the folder /media/safe`.
    fn place(&self) -> String;

    /// Name and place, for messages.
    fn title(&self) -> String {
        format!("the custodian `{}` ({})", self.name(), self.place())
    }

    /// What its destruction of a share means.
    fn assurance(&self) -> Assurance;

    /// Makes it ready for a vault, once, before the first [`Custodian::put`]: at `init`, and when
    /// the custodian joins. Only this makes a folder or marks a medium, so that a medium that is
    /// away is never taken for a new one. Doing it again is a success.
    ///
    /// # Errors
    /// [`KeyError::OtherVault`] when it holds another vault's shares, [`KeyError::Unreachable`].
    fn enroll(&self, vault: VaultId) -> Result<(), KeyError>;

    /// Sees that [`Custodian::enroll`] has a place to work in. Nothing is made.
    ///
    /// # Errors
    /// [`KeyError::Unreachable`].
    fn require_place(&self) -> Result<(), KeyError> {
        Ok(())
    }

    /// Undoes [`Custodian::enroll`] where no share was kept since, or none any more. Doing it again is a
    /// success.
    ///
    /// # Errors
    /// [`KeyError::OtherVault`], [`KeyError::Unreachable`].
    fn leave(&self, _vault: VaultId) -> Result<(), KeyError> {
        Ok(())
    }

    /// Keeps a share. Putting the same share again is a success.
    ///
    /// # Errors
    /// [`KeyError::EpochTaken`] when another share of that epoch is there: a share is never
    /// overwritten by another. [`KeyError::Unreachable`] also when it was never enrolled.
    fn put(&self, share: &Share) -> Result<(), KeyError>;

    /// Hands out the share of an epoch.
    ///
    /// # Errors
    /// [`KeyError::NoEpochSecret`] when it holds none, [`KeyError::OtherVault`],
    /// [`KeyError::Damaged`], [`KeyError::Unreachable`].
    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<Share, KeyError>;

    /// The epochs whose shares it holds, ascending.
    ///
    /// # Errors
    /// [`KeyError::OtherVault`], [`KeyError::Unreachable`].
    fn epochs(&self, vault: VaultId) -> Result<Vec<Epoch>, KeyError>;

    /// Destroys the share of an epoch, damaged or not. One that is not there is a success; a
    /// custodian that cannot be reached is not.
    ///
    /// # Errors
    /// [`KeyError::OtherVault`], [`KeyError::Unreachable`].
    fn destroy(&self, vault: VaultId, epoch: Epoch) -> Result<(), KeyError>;
}

/// The error that a reachable custodian holds no share of an epoch; `held` is what it holds.
pub(super) fn no_share(custodian: &dyn Custodian, epoch: Epoch, held: &[Epoch]) -> KeyError {
    let held = match held {
        [] => "; it holds none at all".to_owned(),
        held => {
            let list: Vec<String> = held.iter().map(Epoch::to_string).collect();
            format!("; it holds epoch {}", list.join(", "))
        }
    };
    KeyError::NoEpochSecret { custodian: custodian.title(), epoch, held }
}
