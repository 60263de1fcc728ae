//! k of n: any k shares make the secret, fewer say nothing of it, and an implementation in another
//! language agrees.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use strongroom::base::ids::Epoch;
use strongroom::base::random;
use strongroom::keys::custodians::quorum;
use strongroom::keys::custodians::share::{Share, ShareSet};
use strongroom::keys::{EpochSecret, KeyError};

use super::new_vault;
use crate::support::tools;

fn split(secret: &EpochSecret, threshold: u8, count: u8) -> Vec<Share> {
    let random = &mut random::system();
    let set = ShareSet(random::bytes(random));
    quorum::split(secret, new_vault(), Epoch(5), set, threshold, count, random).unwrap()
}

fn copy(share: &Share) -> Share {
    Share::from_text(share.to_text().as_bytes(), "a copy").unwrap()
}

/// The shares at these places, taken modulo what is left.
fn pick(shares: &[Share], places: &[usize], count: usize) -> Vec<Share> {
    let mut left: Vec<&Share> = shares.iter().collect();
    places.iter().take(count).map(|place| copy(left.remove(place % left.len()))).collect()
}

fn python(files: &[String]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader/shamir.py");
    Command::new(tools::program("python3")).arg(program).args(files).output().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_k_of_n_make_the_secret_and_one_less_does_not(
        secret in any::<[u8; 32]>(),
        (threshold, count) in (1_u8..=12).prop_flat_map(|count| (1..=count, Just(count))),
        places in prop::collection::vec(any::<usize>(), 12),
    ) {
        let secret = EpochSecret::from_slice(&secret).unwrap();
        let shares = split(&secret, threshold, count);
        prop_assert_eq!(shares.len(), usize::from(count));
        let enough = pick(&shares, &places, threshold.into());
        let whole = quorum::combine(&enough).unwrap();
        prop_assert_eq!(whole.expose(), secret.expose());
        let few = pick(&shares, &places, usize::from(threshold) - 1);
        let refused = quorum::combine(&few);
        prop_assert!(matches!(refused, Err(KeyError::TooFewShares { .. })), "{threshold} of {count}");
        // Whoever forges the threshold gets something else.
        if threshold > 2 {
            let forged: Vec<_> =
                few.into_iter().map(|share| Share { threshold: threshold - 1, ..share }).collect();
            let other = quorum::combine(&forged).unwrap();
            prop_assert_ne!(other.expose(), secret.expose());
        }
    }

    #[test]
    fn shares_of_two_splittings_never_combine(secret in any::<[u8; 32]>()) {
        let secret = EpochSecret::from_slice(&secret).unwrap();
        let (one, two) = (split(&secret, 2, 3), split(&secret, 2, 3));
        let mut foreign = copy(&two[1]);
        foreign.vault = one[0].vault;
        let mixed = quorum::combine(&[copy(&one[0]), copy(&foreign)]);
        let is_refused = matches!(mixed, Err(KeyError::MixedShares { what: "splittings" }));
        prop_assert!(is_refused);
        // Relabelled, it gives another secret; where there is one share more, it is found out.
        foreign.set = one[0].set;
        let other = quorum::combine(&[copy(&one[0]), copy(&foreign)]).unwrap();
        prop_assert_ne!(other.expose(), secret.expose());
        let found = quorum::combine(&[copy(&one[0]), foreign, copy(&one[2])]);
        let is_refused = matches!(found, Err(KeyError::BadShares { .. }));
        prop_assert!(is_refused);
    }
}

/// One share less than the threshold is as random as noise, whatever the secret: each byte of a
/// share takes every value about equally often.
#[test]
fn a_share_alone_is_noise() {
    let secret = EpochSecret::from_slice(&[0; 32]).unwrap();
    let mut seen = [0_u32; 256];
    for _ in 0..4_000 {
        for byte in split(&secret, 2, 2)[1].value.expose() {
            seen[usize::from(*byte)] += 1;
        }
    }
    // 128,000 bytes over 256 values: 500 each, with a deviation of 22. A crate that never draws the
    // coefficient 0 (the advisory against `sharks`) would leave the first at 0.
    assert!(seen.iter().all(|count| (350..650).contains(count)), "{seen:?}");
}

#[test]
fn another_implementation_combines_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (threshold, count) in [(1, 1), (1, 3), (2, 2), (2, 3), (3, 5), (7, 9), (200, 255)] {
        let secret = EpochSecret::generate(&mut random::system());
        let shares = split(&secret, threshold, count);
        let mut files: Vec<String> = Vec::new();
        // The last ones, so that the indices are not just 1, 2, 3.
        for share in &shares[usize::from(count - threshold)..] {
            let file = folder.path().join(format!("{threshold}-{}", share.index));
            fs::write(&file, share.to_text().as_bytes()).unwrap();
            files.push(file.display().to_string());
        }
        let output = python(&files);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), hex::encode(secret.expose()));
        if threshold > 1 {
            let refused = python(&files[1..]);
            assert!(!refused.status.success());
            assert!(String::from_utf8_lossy(&refused.stderr).contains("shares are needed"));
        }
    }
}
