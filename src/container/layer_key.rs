//! The key of another backup's layer, wrapped for a backup that uses it.
//!
//! ```text
//! key     = HKDF("", identity of the backup that wrote the layer, "strongroom index key v1")
//! wrapped = wrap(the own index key, context(wrap index key, vault, own backup, layer's backup), key)
//! ```
//!
//! So a layer opens with the identity of each backup that uses it and with nothing else, and destroying
//! one identity closes that backup alone.

use super::ContainerError;
use crate::base::ids::{BackupId, VaultId};
use crate::base::random::CryptoRng;
use crate::crypto::aead::{self, WRAP_BYTES};
use crate::crypto::kdf::DerivedKey;
use crate::crypto::{Context, labels};

/// The length of a wrapped key in bytes.
pub const BYTES: usize = 32 + WRAP_BYTES;

/// A backup that uses a layer, and that layer.
pub struct LayerUse<'a> {
    /// The vault.
    pub vault: VaultId,
    /// The backup that uses it.
    pub user: &'a BackupId,
    /// The backup that wrote it.
    pub layer: &'a BackupId,
}

impl LayerUse<'_> {
    /// Wraps the layer's key under the user's index key.
    #[must_use]
    pub fn wrap(
        &self,
        own: &DerivedKey,
        key: &DerivedKey,
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Vec<u8> {
        aead::wrap(own.expose(), &self.context(), key.expose(), random)
    }

    /// Unwraps it; `object` names the manifest in errors.
    pub fn unwrap(
        &self,
        own: &DerivedKey,
        wrapped: &[u8],
        object: &str,
    ) -> Result<DerivedKey, ContainerError> {
        let refused = || ContainerError::not_authentic(&format!("the key of a layer in {object}"));
        let key = aead::unwrap(own.expose(), &self.context(), wrapped).map_err(|_| refused())?;
        DerivedKey::from_slice(&key).ok_or_else(refused)
    }

    fn context(&self) -> Context {
        Context::new(labels::WRAP_INDEX_KEY)
            .with(&self.vault.0)
            .with(self.user.as_str().as_bytes())
            .with(self.layer.as_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::crypto::kdf;

    #[test]
    fn a_layers_key_opens_in_its_place_only() {
        let backup =
            |last: u8| format!("20261122T020000Z-00000{last}").parse::<BackupId>().unwrap();
        let (user, layer, other) = (backup(2), backup(1), backup(3));
        let place = |user, layer| LayerUse { vault: VaultId([1; 16]), user, layer };
        let (own, key) = (kdf::derive(b"", b"own", b"i"), kdf::derive(b"", b"layer", b"i"));
        let wrapped = place(&user, &layer).wrap(&own, &key, &mut random::system());
        assert_eq!(wrapped.len(), BYTES);
        let opened = place(&user, &layer).unwrap(&own, &wrapped, "m").unwrap();
        assert_eq!(opened.expose(), key.expose());
        assert!(place(&user, &layer).unwrap(&key, &wrapped, "m").is_err());
        assert!(place(&other, &layer).unwrap(&own, &wrapped, "m").is_err());
        assert!(place(&user, &other).unwrap(&own, &wrapped, "m").is_err());
        let elsewhere = LayerUse { vault: VaultId([2; 16]), user: &user, layer: &layer };
        assert!(elsewhere.unwrap(&own, &wrapped, "m").is_err());
    }
}
