//! Secrets as newtypes: overwritten when dropped, never printed, copied, defaulted or serialised.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Declares a 32-byte secret, kept in locked memory (see [`crate::base::memory`]).
#[macro_export]
macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name($crate::base::memory::LockedBytes);

        impl $name {
            /// A fresh random secret.
            pub fn generate(random: &mut (impl $crate::base::random::CryptoRng + ?Sized)) -> Self {
                Self::filled(|bytes| $crate::base::random::Rng::fill_bytes(random, bytes.as_mut_slice()))
            }

            /// The secret that `fill` writes in its place.
            pub fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
                let mut secret = Self($crate::base::memory::LockedBytes::zeroed());
                fill(&mut secret.0);
                secret
            }

            /// The secret from its bytes; `None` unless there are exactly 32.
            // Not every secret is read back from bytes.
            #[allow(dead_code)]
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                (bytes.len() == 32).then(|| Self::filled(|secret| secret.copy_from_slice(bytes)))
            }

            /// The bytes, for the primitive that needs them.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }
    };
}

/// A secret text (an age identity, a passphrase, a URL with a password).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text over, with the memory that holds it: it must not have grown before.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret from UTF-8 bytes; `None` if they are not.
    #[must_use]
    pub fn from_utf8(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(|text| Self(text.to_owned()))
    }

    /// The text, for the primitive that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
