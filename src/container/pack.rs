//! Packs: a header, then sealed segments one after the other, nothing between them.
//!
//! ```text
//! header  = "SRPACK" || version (u16, big-endian: 1) || vault id (16) || pack id (16)
//! pack    = header || sealed segment*
//! ```
//!
//! Where each segment lies is in the index of the backups that use it.

use super::ContainerError;
use crate::base::ids::{PackId, VaultId};

/// The newest pack version that is known here.
pub const VERSION: u16 = 1;
/// The header's length in bytes: the first segment's offset.
pub const HEADER_BYTES: usize = 40;

const MAGIC: &[u8; 6] = b"SRPACK";

/// The header of a pack.
#[must_use]
pub fn header(vault: VaultId, pack: PackId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&VERSION.to_be_bytes());
    header[8..24].copy_from_slice(&vault.0);
    header[24..].copy_from_slice(&pack.0);
    header
}

/// Checks a pack's header against what it should be, so that a mix-up is named as one.
pub fn check_header(
    bytes: &[u8],
    vault: VaultId,
    pack: PackId,
    object: &str,
) -> Result<(), ContainerError> {
    let header = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| ContainerError::malformed(object, "it ends within its header"))?;
    if &header[..6] != MAGIC {
        return Err(ContainerError::malformed(object, "it is not a pack"));
    }
    let version = u16::from_be_bytes([header[6], header[7]]);
    if version != VERSION {
        return Err(ContainerError::NewerFormat {
            object: object.to_owned(),
            found: version.into(),
            known: VERSION.into(),
        });
    }
    if header[8..24] != vault.0 {
        return Err(ContainerError::OtherVault { object: object.to_owned() });
    }
    if header[24..] != pack.0 {
        return Err(ContainerError::malformed(object, "it is another pack under this name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_its_vault_and_pack() {
        let (vault, pack) = (VaultId([1; 16]), PackId([2; 16]));
        let bytes = header(vault, pack);
        assert_eq!(check_header(&bytes, vault, pack, "p"), Ok(()));
        assert!(matches!(
            check_header(&bytes, VaultId([3; 16]), pack, "p"),
            Err(ContainerError::OtherVault { .. })
        ));
        assert!(check_header(&bytes, vault, PackId([3; 16]), "p").is_err());
        for length in 0..HEADER_BYTES {
            assert!(check_header(&bytes[..length], vault, pack, "p").is_err());
        }
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(&flipped, vault, pack, "p").is_err());
        }
    }
}
