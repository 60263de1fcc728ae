//! Splitting an epoch secret so that k of n custodians suffice, and putting it together again:
//! Shamir's scheme over GF(2^8), byte by byte, by the crate `vsss-rs` (`docs/format.md`, section 4).

use vsss_rs::{DefaultShare, Gf256, IdentifierGf256, Polynomial as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::share::{Share, ShareSet, ShareValue};
use crate::base::ids::{Epoch, VaultId};
use crate::base::random::CryptoRng;
use crate::keys::{EpochSecret, KeyError};

/// The most shares that a secret is split into.
pub const SHARES_MAX: u8 = u8::MAX;

type Point = DefaultShare<IdentifierGf256, IdentifierGf256>;

/// The shares of a secret, one for each of `count` custodians, `index` from 1. With a threshold of
/// 1 every share is the whole secret.
///
/// # Errors
/// [`KeyError::BadThreshold`] unless `1 <= threshold <= count`.
pub fn split(
    secret: &EpochSecret,
    vault: VaultId,
    epoch: Epoch,
    set: ShareSet,
    threshold: u8,
    count: u8,
    random: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<Share>, KeyError> {
    if threshold == 0 || threshold > count {
        return Err(KeyError::BadThreshold { threshold, count });
    }
    let mut values: Vec<_> = (0..count).map(|_| Zeroizing::new(*secret.expose())).collect();
    if threshold > 1 {
        let mut polynomial = SecretPolynomial::new(threshold);
        for (at, byte) in secret.expose().iter().enumerate() {
            polynomial.draw(*byte, random)?;
            for (value, index) in values.iter_mut().zip(1..=count) {
                value[at] = polynomial.at(index);
            }
        }
    }
    let shares = values.iter().zip(1..=count).map(|(value, index)| {
        let value = ShareValue::from_slice(value.as_slice()).ok_or(BAD_LENGTH)?;
        Ok(Share { vault, epoch, set, threshold, index, value })
    });
    shares.collect()
}

/// The secret that the shares were split from; more than the threshold are checked against it.
/// Shares of another secret with the same labels give another secret: the root key tells.
///
/// # Errors
/// [`KeyError::TooFewShares`], [`KeyError::MixedShares`], [`KeyError::BadShares`].
pub fn combine(shares: &[Share]) -> Result<EpochSecret, KeyError> {
    let Some(first) = shares.first() else {
        return Err(KeyError::TooFewShares { needed: 1, got: 0 });
    };
    for share in shares {
        for (differs, what) in [
            (share.vault != first.vault, "vaults"),
            (share.epoch != first.epoch, "epochs"),
            (share.set != first.set, "splittings"),
            (share.threshold != first.threshold, "thresholds"),
        ] {
            if differs {
                return Err(KeyError::MixedShares { what });
            }
        }
    }
    let mut different: Vec<&Share> = Vec::new();
    for share in shares {
        match different.iter().find(|one| one.index == share.index) {
            None => different.push(share),
            Some(one) if one.value.expose() == share.value.expose() => {}
            Some(_) => return Err(BAD_PAIR),
        }
    }
    let needed = first.threshold;
    if different.len() < usize::from(needed) {
        return Err(KeyError::TooFewShares { needed, got: different.len() });
    }
    if needed <= 1 {
        let is_alike = |share: &&Share| share.value.expose() == first.value.expose();
        if needed == 0 || !different.iter().all(is_alike) {
            return Err(BAD_PAIR);
        }
        return EpochSecret::from_slice(first.value.expose()).ok_or(BAD_LENGTH);
    }
    let secret = interpolate(&different[..usize::from(needed)])?;
    // The same through other shares: one that is damaged or foreign gives another secret.
    for share in &different[usize::from(needed)..] {
        let mut others = different[..usize::from(needed) - 1].to_vec();
        others.push(share);
        if interpolate(&others)?.expose() != secret.expose() {
            return Err(KeyError::BadShares { reason: "one of them does not fit the others" });
        }
    }
    Ok(secret)
}

const BAD_PAIR: KeyError =
    KeyError::BadShares { reason: "two of the same place in the set are different" };
const BAD_LENGTH: KeyError = KeyError::BadShares { reason: "one of them is not 32 bytes" };

/// The value at 0 of the polynomials through the shares: as many as the threshold says.
fn interpolate(shares: &[&Share]) -> Result<EpochSecret, KeyError> {
    let points: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(
        shares.iter().map(|share| [&[share.index][..], share.value.expose()].concat()).collect(),
    );
    let refused = || KeyError::BadShares { reason: "two of them are of the same place" };
    let secret = Zeroizing::new(Gf256::combine_bytes(&*points).map_err(|_| refused())?);
    EpochSecret::from_slice(&secret).ok_or(BAD_LENGTH)
}

/// The polynomial of one byte. The crate leaves wiping it to whoever holds it.
struct SecretPolynomial(Vec<Point>);

impl SecretPolynomial {
    fn new(threshold: u8) -> Self {
        Self(Vec::create(threshold.into()))
    }

    /// Random coefficients over the whole field, and the byte at 0.
    fn draw(&mut self, byte: u8, random: &mut (impl CryptoRng + ?Sized)) -> Result<(), KeyError> {
        let length = self.0.len();
        self.0
            .fill(&IdentifierGf256(Gf256(byte)), random, length)
            .map_err(|_| KeyError::BadShares { reason: "the polynomial has no place for them" })
    }

    fn at(&self, index: u8) -> u8 {
        self.0.evaluate(&IdentifierGf256(Gf256(index)), self.0.len()).0.0
    }
}

impl Drop for SecretPolynomial {
    fn drop(&mut self) {
        for coefficient in &mut self.0 {
            coefficient.identifier.zeroize();
            coefficient.value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    const VAULT: VaultId = VaultId([1; 16]);
    const SET: ShareSet = ShareSet([2; 16]);

    fn shares(threshold: u8, count: u8) -> (EpochSecret, Vec<Share>) {
        let random = &mut random::system();
        let secret = EpochSecret::generate(random);
        let shares = split(&secret, VAULT, Epoch(1), SET, threshold, count, random).unwrap();
        (secret, shares)
    }

    fn copy(share: &Share) -> Share {
        Share::from_text(share.to_text().as_bytes(), "a copy").unwrap()
    }

    fn pick(shares: &[Share], places: &[usize]) -> Vec<Share> {
        places.iter().map(|place| copy(&shares[*place])).collect()
    }

    #[test]
    fn every_three_of_five_suffice_and_two_do_not() {
        let (secret, shares) = shares(3, 5);
        assert_eq!(shares.iter().map(|share| share.index).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        for a in 0..5 {
            for b in 0..5 {
                let two = combine(&pick(&shares, &[a, b]));
                assert!(matches!(two, Err(KeyError::TooFewShares { needed: 3, .. })));
                for c in 0..5 {
                    if a != b && b != c && a != c {
                        let three = combine(&pick(&shares, &[a, b, c])).unwrap();
                        assert_eq!(three.expose(), secret.expose());
                    }
                }
            }
        }
        assert_eq!(combine(&shares).unwrap().expose(), secret.expose());
    }

    #[test]
    fn with_a_threshold_of_one_every_share_is_the_secret() {
        let (secret, shares) = shares(1, 3);
        for share in &shares {
            assert_eq!(share.value.expose(), secret.expose());
            assert_eq!(combine(&[copy(share)]).unwrap().expose(), secret.expose());
        }
        assert_eq!(combine(&shares).unwrap().expose(), secret.expose());
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (_, shares) = shares(2, 3);
        let with = |change: &dyn Fn(&mut Share)| {
            let mut pair = pick(&shares, &[0, 1]);
            change(&mut pair[1]);
            combine(&pair).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let words = "the shares do not belong together: they are of different ";
        assert_eq!(with(&|share| share.vault = VaultId([9; 16])), format!("{words}vaults"));
        assert_eq!(with(&|share| share.epoch = Epoch(2)), format!("{words}epochs"));
        assert_eq!(with(&|share| share.set = ShareSet([9; 16])), format!("{words}splittings"));
        assert_eq!(with(&|share| share.threshold = 1), format!("{words}thresholds"));
        assert!(with(&|share| share.index = 1).contains("same place"));
        assert_eq!(
            combine(&pick(&shares, &[1, 1])).err().unwrap().to_string(),
            "the epoch secret needs 2 shares, and only 1 could be had"
        );
        assert!(matches!(combine(&[]), Err(KeyError::TooFewShares { .. })));
    }

    #[test]
    fn a_share_too_many_is_checked_against_the_others() {
        let (_, mut shares) = shares(2, 3);
        shares[2].value = ShareValue::generate(&mut random::system());
        assert!(matches!(combine(&shares), Err(KeyError::BadShares { .. })));
    }

    #[test]
    fn a_threshold_beyond_the_custodians_is_refused() {
        let random = &mut random::system();
        let secret = EpochSecret::generate(random);
        for (threshold, count) in [(0, 1), (0, 0), (2, 1)] {
            let refused = split(&secret, VAULT, Epoch(1), SET, threshold, count, random);
            assert!(matches!(refused, Err(KeyError::BadThreshold { .. })));
        }
    }
}
