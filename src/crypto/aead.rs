//! AES-256-GCM (NIST SP 800-38D), in the two ways in which strongroom uses it.
//!
//! - [`wrap`]: short secrets under a long-lived key, a random 96-bit nonce before the ciphertext.
//!   One key wraps far fewer than the 2^32 messages that section 8.3 allows: a shard key about
//!   sqrt(N) keys, a root key about sqrt(N) shard keys.
//! - [`seal`]: a payload under a key (or a key and number) that is used once.

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use super::context::Context;
use crate::base::random::{self, CryptoRng};

/// The bytes that [`seal`] adds: the tag.
pub const TAG_BYTES: usize = 16;
/// The bytes that [`wrap`] adds: nonce and tag.
pub const WRAP_BYTES: usize = NONCE_BYTES + TAG_BYTES;

const NONCE_BYTES: usize = 12;

/// The bytes were made with another key or for another context, or were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not open: wrong key, wrong place, or changed since it was sealed")]
pub struct CannotOpen;

/// Wraps a secret: `nonce || AES-256-GCM(key, nonce, aad = context, secret)`.
pub fn wrap(
    key: &[u8; 32],
    context: &Context,
    secret: &[u8],
    random: &mut (impl CryptoRng + ?Sized),
) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = random::bytes(random);
    let mut wrapped = nonce.to_vec();
    wrapped.extend_from_slice(&encrypt(key, nonce, context, secret));
    wrapped
}

/// Opens what [`wrap`] made.
pub fn unwrap(
    key: &[u8; 32],
    context: &Context,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    let (nonce, ciphertext) = wrapped.split_first_chunk::<NONCE_BYTES>().ok_or(CannotOpen)?;
    decrypt(key, *nonce, context, ciphertext).map(Zeroizing::new)
}

/// Seals a payload: `AES-256-GCM(key, number, aad = context, payload)`. A pair of key and number
/// must never meet two payloads.
#[must_use]
pub fn seal(key: &[u8; 32], number: u64, context: &Context, payload: &[u8]) -> Vec<u8> {
    encrypt(key, nonce_of(number), context, payload)
}

/// Opens what [`seal`] made.
pub fn open(
    key: &[u8; 32],
    number: u64,
    context: &Context,
    sealed: &[u8],
) -> Result<Vec<u8>, CannotOpen> {
    decrypt(key, nonce_of(number), context, sealed)
}

/// [`seal`], with the sealed bytes in the place of the payload.
pub fn seal_in_place(key: &[u8; 32], number: u64, context: &Context, payload: &mut Vec<u8>) {
    encrypt_in_place(key, nonce_of(number), context, payload);
}

/// [`open`], with the payload in the place of the sealed bytes.
pub fn open_in_place(
    key: &[u8; 32],
    number: u64,
    context: &Context,
    sealed: &mut Vec<u8>,
) -> Result<(), CannotOpen> {
    decrypt_in_place(key, nonce_of(number), context, sealed)
}

/// The nonce of a numbered seal: four zero bytes, then the number, big-endian.
fn nonce_of(number: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn encrypt(key: &[u8; 32], nonce: [u8; NONCE_BYTES], context: &Context, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + TAG_BYTES);
    bytes.extend_from_slice(payload);
    encrypt_in_place(key, nonce, context, &mut bytes);
    bytes
}

fn encrypt_in_place(
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    context: &Context,
    payload: &mut Vec<u8>,
) {
    // Cannot fail: GCM takes payloads up to 64 GiB; a segment holds a few MiB or one row, and
    // PostgreSQL bounds a row to 1 GiB.
    #[allow(clippy::expect_used)]
    Aes256Gcm::new(key.into())
        .encrypt_in_place(&Nonce::from(nonce), context.as_bytes(), payload)
        .expect("a payload below 64 GiB");
}

fn decrypt(
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    context: &Context,
    ciphertext: &[u8],
) -> Result<Vec<u8>, CannotOpen> {
    let mut bytes = ciphertext.to_vec();
    decrypt_in_place(key, nonce, context, &mut bytes)?;
    Ok(bytes)
}

fn decrypt_in_place(
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    context: &Context,
    ciphertext: &mut Vec<u8>,
) -> Result<(), CannotOpen> {
    Aes256Gcm::new(key.into())
        .decrypt_in_place(&Nonce::from(nonce), context.as_bytes(), ciphertext)
        .map_err(|_| CannotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_opens_only_as_it_was_wrapped() {
        let mut random = random::system();
        let context = Context::new("here");
        let wrapped = wrap(&[1; 32], &context, b"secret", &mut random);
        assert_eq!(wrapped.len(), 6 + WRAP_BYTES);
        assert_eq!(*unwrap(&[1; 32], &context, &wrapped).unwrap(), b"secret");
        assert!(unwrap(&[2; 32], &context, &wrapped).is_err());
        assert!(unwrap(&[1; 32], &Context::new("there"), &wrapped).is_err());
        for length in 0..wrapped.len() {
            assert!(unwrap(&[1; 32], &context, &wrapped[..length]).is_err());
        }
        for bit in 0..wrapped.len() * 8 {
            let mut flipped = wrapped.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unwrap(&[1; 32], &context, &flipped).is_err());
        }
    }

    #[test]
    fn a_seal_is_bound_to_its_number() {
        let context = Context::new("here");
        let sealed = seal(&[1; 32], 7, &context, b"payload");
        assert_eq!(open(&[1; 32], 7, &context, &sealed).unwrap(), b"payload");
        assert_eq!(open(&[1; 32], 8, &context, &sealed), Err(CannotOpen));
    }

    #[test]
    fn a_seal_is_the_same_in_place() {
        let context = Context::new("here");
        let mut bytes = b"payload".to_vec();
        seal_in_place(&[1; 32], 7, &context, &mut bytes);
        assert_eq!(bytes, seal(&[1; 32], 7, &context, b"payload"));
        assert_eq!(open_in_place(&[1; 32], 8, &context, &mut bytes.clone()), Err(CannotOpen));
        open_in_place(&[1; 32], 7, &context, &mut bytes).unwrap();
        assert_eq!(bytes, b"payload");
    }
}
