//! The sealing of segments: one subject's rows of one table under her key alone.
//!
//! ```text
//! SK'         = HKDF-SHA-256(salt = "", ikm = SK, info = "strongroom segment mac v1")
//! content_mac = HMAC-SHA-256(SK', context || p)
//! K           = HKDF-SHA-256(salt = content_mac, ikm = SK,
//!                            info = "strongroom segment key v1" || context)
//! sealed      = AES-256-GCM(K, nonce 0, aad = context, p)
//! ```
//!
//! `p` is exactly what is encrypted (already compressed), so one key never meets two plaintexts,
//! whatever a later compressor does. Equal content under an equal context seals to equal bytes:
//! that is how a backup recognises what an earlier one already holds. `content_mac` is kept in the
//! backup's index only: opening needs the subject's key and the backup's, and checking it after
//! opening commits to the key (AES-GCM alone does not).

use super::aead::{self, CannotOpen};
use super::context::Context;
use super::kdf::{self, MacKey};
use super::labels;

/// The keyed digest of a segment's payload.
pub type ContentMac = [u8; 32];

/// Seals and opens the segments of one subject.
pub struct SegmentSealer<'key> {
    subject_key: &'key [u8; 32],
    mac_key: MacKey,
}

impl<'key> SegmentSealer<'key> {
    /// Prepares a subject key.
    #[must_use]
    pub fn new(subject_key: &'key [u8; 32]) -> Self {
        let derived = kdf::derive(b"", subject_key, labels::SEGMENT_MAC.as_bytes());
        Self { subject_key, mac_key: MacKey::new(derived.expose()) }
    }

    /// The content MAC of a payload: equal for equal content, and nothing without the key.
    #[must_use]
    pub fn content_mac(&self, context: &Context, payload: &[u8]) -> ContentMac {
        self.mac_key.mac(context, payload)
    }

    /// Seals a payload whose content MAC is `content_mac`.
    #[must_use]
    pub fn seal(&self, context: &Context, content_mac: &ContentMac, payload: &[u8]) -> Vec<u8> {
        aead::seal(self.key(context, content_mac).expose(), 0, context, payload)
    }

    /// Opens a sealed payload and checks that it is the one that `content_mac` names.
    pub fn open(
        &self,
        context: &Context,
        content_mac: &ContentMac,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CannotOpen> {
        let key = self.key(context, content_mac);
        let payload = aead::open(key.expose(), 0, context, sealed)?;
        if self.mac_key.verify(context, &payload, content_mac) {
            Ok(payload)
        } else {
            Err(CannotOpen)
        }
    }

    fn key(&self, context: &Context, content_mac: &ContentMac) -> kdf::DerivedKey {
        let mut info = labels::SEGMENT_KEY.as_bytes().to_vec();
        info.extend_from_slice(context.as_bytes());
        kdf::derive(content_mac, self.subject_key, &info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_seals_to_equal_bytes_and_opens_with_both_keys_only() {
        let (anna, bruno) = ([1; 32], [2; 32]);
        let sealer = SegmentSealer::new(&anna);
        let context = Context::new("t");
        let mac = sealer.content_mac(&context, b"rows");
        let sealed = sealer.seal(&context, &mac, b"rows");
        assert_eq!(sealed, sealer.seal(&context, &mac, b"rows"));
        assert_eq!(sealer.open(&context, &mac, &sealed).unwrap(), b"rows");

        let mut other_mac = mac;
        other_mac[0] ^= 1;
        assert!(sealer.open(&context, &other_mac, &sealed).is_err());
        assert!(sealer.open(&Context::new("u"), &mac, &sealed).is_err());
        assert!(SegmentSealer::new(&bruno).open(&context, &mac, &sealed).is_err());
    }

    #[test]
    fn a_payload_sealed_under_another_mac_is_refused_although_it_decrypts() {
        let sealer = SegmentSealer::new(&[1; 32]);
        let context = Context::new("t");
        let mac = sealer.content_mac(&context, b"rows");
        let forged = sealer.seal(&context, &mac, b"other rows");
        assert!(sealer.open(&context, &mac, &forged).is_err());
    }
}
