//! HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::context::Context;

crate::secret_key!(
    /// A key that HKDF gave, for one purpose that its label names.
    DerivedKey
);

impl DerivedKey {
    /// The same key once more, for who outlives its owner.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::filled(|copy| copy.copy_from_slice(self.expose()))
    }
}

/// `HKDF-SHA-256(salt, ikm, info)`, 32 bytes out. `info` is a label or a whole context.
#[must_use]
#[allow(clippy::expect_used, clippy::missing_panics_doc)]
pub fn derive(salt: &[u8], ikm: &[u8], info: &[u8]) -> DerivedKey {
    let kdf = Hkdf::<Sha256>::new(Some(salt), ikm);
    // Cannot fail: RFC 5869 allows up to 255 * 32 bytes of output, and 32 are asked for.
    DerivedKey::filled(|key| kdf.expand(info, key.as_mut_slice()).expect("32 bytes"))
}

/// HMAC-SHA-256 with the key's inner state computed once, for many short messages.
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Prepares a key of any length.
    #[must_use]
    #[allow(clippy::expect_used, clippy::missing_panics_doc)]
    pub fn new(key: &[u8]) -> Self {
        // Cannot fail: RFC 2104 takes keys of any length.
        Self(Hmac::new_from_slice(key).expect("any length"))
    }

    /// `HMAC(key, context || message)`.
    #[must_use]
    pub fn mac(&self, context: &Context, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(context.as_bytes());
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `expected` is `HMAC(key, context || message)`, in constant time.
    #[must_use]
    pub fn verify(&self, context: &Context, message: &[u8], expected: &[u8; 32]) -> bool {
        let mut mac = self.0.clone();
        mac.update(context.as_bytes());
        mac.update(message);
        mac.verify_slice(expected).is_ok()
    }
}

impl MacKey {
    /// `HMAC(key, message)`, for messages that separate themselves from others.
    #[must_use]
    pub fn mac_message(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `expected` is `HMAC(key, message)`, in constant time.
    #[must_use]
    pub fn verify_message(&self, message: &[u8], expected: &[u8; 32]) -> bool {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(expected).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, appendix A, test case 1 (first 32 bytes).
    #[test]
    fn hkdf_gives_the_rfc_vector() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let key = derive(&salt, &[0x0b; 22], &info);
        assert_eq!(
            hex::encode(key.expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn a_mac_is_bound_to_its_context() {
        let key = MacKey::new(b"key");
        let mac = key.mac(&Context::new("a"), b"m");
        assert!(key.verify(&Context::new("a"), b"m", &mac));
        assert!(!key.verify(&Context::new("b"), b"m", &mac));
        assert!(!key.verify(&Context::new("a"), b"n", &mac));
    }
}
