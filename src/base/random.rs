//! Randomness, as an argument: whatever draws keys or ids is handed a [`CryptoRng`].

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

pub use rand::{CryptoRng, Rng};

/// The operating system's generator (`getrandom`). A system that cannot give randomness stops the
/// process: no key is ever made without it.
#[must_use]
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Fresh random bytes, for ids and salts that are not secret.
pub fn bytes<const N: usize>(random: &mut (impl CryptoRng + ?Sized)) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill_bytes(&mut bytes);
    bytes
}
