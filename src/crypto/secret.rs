//! Secrets as newtypes: overwritten when dropped, never printed, copied, defaulted or serialised.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Declares a 32-byte secret.
#[macro_export]
macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(zeroize::ZeroizeOnDrop)]
        pub struct $name(Box<[u8; 32]>);

        impl $name {
            /// A fresh random secret.
            pub fn generate(random: &mut (impl $crate::random::CryptoRng + ?Sized)) -> Self {
                let mut secret = Self(Box::new([0; 32]));
                $crate::random::Rng::fill_bytes(random, secret.0.as_mut_slice());
                secret
            }

            /// The secret from its bytes; `None` unless there are exactly 32.
            // Not every secret is read back from bytes.
            #[allow(dead_code)]
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let mut secret = Self(Box::new([0; 32]));
                (bytes.len() == 32).then(|| {
                    secret.0.copy_from_slice(bytes);
                    secret
                })
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
    /// Takes the text over.
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
