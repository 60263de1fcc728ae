//! The object that says whose store this is.

use serde::{Deserialize, Serialize};

use super::ContainerError;
use crate::base::ids::VaultId;

/// The newest format version that this strongroom reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// What the object holds, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultMarker {
    /// Always `strongroom vault`.
    pub what: String,
    /// The newest format version that the vault's objects may have.
    pub format_version: u32,
    /// The vault.
    pub vault: VaultId,
}

impl VaultMarker {
    /// The value of `what`.
    pub const WHAT: &'static str = "strongroom vault";

    /// The marker of a vault, as it is stored.
    pub fn bytes_of(vault: VaultId) -> Result<Vec<u8>, ContainerError> {
        let marker = Self { what: Self::WHAT.to_owned(), format_version: FORMAT_VERSION, vault };
        serde_json::to_vec_pretty(&marker)
            .map_err(|_| ContainerError::malformed("the vault's marker", "it is no JSON"))
    }
}
