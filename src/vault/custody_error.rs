//! What can go wrong with the custody of the epoch secret, and with a forgetting on its way there.

use super::ErrorKind;
use crate::base::ids::{Epoch, SubjectReference};

/// Why the epoch secret could not be had, shared or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// Too few custodians answered with their share.
    #[error(
        "{answered} of the {needed} shares that make the secret of epoch {epoch} could be had: {}",
        .reasons.join("; ")
    )]
    TooFew {
        /// The epoch.
        epoch: Epoch,
        /// How many shares it takes.
        needed: u8,
        /// How many there were.
        answered: usize,
        /// Why the others are missing, one sentence each.
        reasons: Vec<String>,
    },
    /// The custodian has a share already.
    #[error("custodian `{name}` holds a share already")]
    IsMember {
        /// The custodian.
        name: String,
    },
    /// The custodian has no share.
    #[error("custodian `{name}` holds no share of the present epoch")]
    IsNoMember {
        /// The custodian.
        name: String,
    },
    /// More shares would be needed than there are.
    #[error("{threshold} shares cannot be needed where {count} custodians hold one each")]
    Threshold {
        /// What was asked for.
        threshold: u8,
        /// How many custodians there are.
        count: usize,
    },
    /// Whoever was never erased cannot be readmitted.
    #[error("the subject (reference {reference}) was not erased, so there is nobody to readmit")]
    NotErased {
        /// The reference that was looked for.
        reference: SubjectReference,
    },
    /// The negative test after an erasure found something that opens.
    #[error("the erasure was carried out, and yet {what} from before it can be opened")]
    Unproven {
        /// What opens.
        what: String,
    },
    /// The new master secret's file is not the one that was laid out.
    #[error("{file} is not the new master secret's file that the rotation wrote")]
    MasterFile {
        /// The file.
        file: String,
    },
}

impl CustodyError {
    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooFew { .. } => ErrorKind::Vault,
            Self::IsMember { .. } | Self::IsNoMember { .. } | Self::Threshold { .. } => {
                ErrorKind::Refused
            }
            Self::NotErased { .. } => ErrorKind::NotFound,
            Self::Unproven { .. } | Self::MasterFile { .. } => ErrorKind::Integrity,
        }
    }
}
