//! Named primitives and nothing else: SHA-256, HMAC-SHA-256 (RFC 2104), HKDF-SHA-256 (RFC 5869),
//! AES-256-GCM (NIST SP 800-38D). How they are composed is in `docs/format.md`; every label that
//! separates one use from another is in [`labels`].

pub mod aead;
pub mod context;
pub mod kdf;
pub mod labels;
pub mod secret;
pub mod segment;

pub use aead::CannotOpen;
pub use context::Context;
pub use secret::SecretText;
