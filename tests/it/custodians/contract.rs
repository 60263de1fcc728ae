//! The contract of `keys::custodian`, one function a clause.

use strongroom::keys::KeyError;

use super::{Place, new_vault, share};
use strongroom::base::ids::Epoch;

type Clause = fn(&dyn Place);

/// Every clause, by name.
pub const CLAUSES: &[(&str, Clause)] = &[
    ("what_is_put_comes_back", what_is_put_comes_back),
    ("a_share_is_never_overwritten", a_share_is_never_overwritten),
    ("two_epochs_live_side_by_side", two_epochs_live_side_by_side),
    ("two_epochs_are_put_at_once", two_epochs_are_put_at_once),
    ("destroying_is_final_and_may_be_repeated", destroying_is_final_and_may_be_repeated),
    ("another_vault_gets_nothing", another_vault_gets_nothing),
    ("damage_is_told_and_can_be_destroyed", damage_is_told_and_can_be_destroyed),
    ("away_is_never_empty", away_is_never_empty),
    ("messages_hold_no_secret", messages_hold_no_secret),
];

fn what_is_put_comes_back(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    custodian.enroll(vault).unwrap();
    assert!(custodian.epochs(vault).unwrap().is_empty());
    let none = custodian.get(vault, Epoch(1)).err().unwrap();
    assert!(matches!(none, KeyError::NoEpochSecret { .. }), "{none}");
    assert!(none.to_string().ends_with("holds no share of epoch 1; it holds none at all"));

    let one = share(vault, 1);
    custodian.put(&one).unwrap();
    custodian.put(&one).unwrap();
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
    // It is there for whoever opens the place anew.
    let anew = place.open();
    anew.enroll(vault).unwrap();
    assert!(anew.get(vault, Epoch(1)).unwrap().is_same(&one));
    assert_eq!(anew.epochs(vault).unwrap(), [Epoch(1)]);
    assert_eq!(anew.title(), custodian.title());
    assert!(!anew.assurance().sentence().is_empty());
}

fn a_share_is_never_overwritten(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let first = share(vault, 1);
    custodian.put(&first).unwrap();
    let mut other = share(vault, 1);
    for _ in 0..2 {
        let taken = custodian.put(&other);
        assert!(matches!(taken, Err(KeyError::EpochTaken { epoch: Epoch(1), .. })));
        // The same secret with other labels is another share too.
        other = share(vault, 1);
        other.value =
            strongroom::keys::custodians::share::ShareValue::from_slice(first.value.expose())
                .unwrap();
    }
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&first));
}

fn two_epochs_live_side_by_side(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let (nine, ten) = (share(vault, 9), share(vault, 10));
    custodian.put(&ten).unwrap();
    custodian.put(&nine).unwrap();
    assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(9), Epoch(10)]);
    custodian.destroy(vault, Epoch(9)).unwrap();
    assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(10)]);
    assert!(custodian.get(vault, Epoch(10)).unwrap().is_same(&ten));
    let gone = custodian.get(vault, Epoch(9)).err().unwrap().to_string();
    assert!(gone.ends_with("holds no share of epoch 9; it holds epoch 10"), "{gone}");
}

fn two_epochs_are_put_at_once(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let shares: Vec<_> = (1..=6).map(|epoch| share(vault, epoch)).collect();
    let others: Vec<_> = shares.iter().map(|_| place.open()).collect();
    std::thread::scope(|scope| {
        for (share, custodian) in shares.iter().zip(&others) {
            scope.spawn(move || custodian.put(share).unwrap());
        }
    });
    for share in &shares {
        assert!(custodian.get(vault, share.epoch).unwrap().is_same(share));
    }
    std::thread::scope(|scope| {
        for (share, custodian) in shares.iter().zip(&others).skip(1) {
            scope.spawn(move || custodian.destroy(vault, share.epoch).unwrap());
        }
    });
    assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(1)]);
}

fn destroying_is_final_and_may_be_repeated(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    custodian.put(&share(vault, 1)).unwrap();
    custodian.destroy(vault, Epoch(1)).unwrap();
    custodian.destroy(vault, Epoch(1)).unwrap();
    custodian.destroy(vault, Epoch(7)).unwrap();
    for custodian in [custodian, place.open()] {
        let gone = custodian.get(vault, Epoch(1));
        assert!(matches!(gone, Err(KeyError::NoEpochSecret { .. })));
        assert!(custodian.epochs(vault).unwrap().is_empty());
    }
    // The place is free again: an undone forgetting begins anew with the same epoch.
    let again = share(vault, 1);
    place.open().put(&again).unwrap();
    assert!(place.open().get(vault, Epoch(1)).unwrap().is_same(&again));
}

fn another_vault_gets_nothing(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let held = share(vault, 1);
    custodian.put(&held).unwrap();
    let other = new_vault();
    // Places that keep several vaults answer that the other one's mark is not there.
    let is_refusal = |error: Option<KeyError>| {
        matches!(error, Some(KeyError::OtherVault { .. } | KeyError::Unreachable { .. }))
    };
    assert!(is_refusal(custodian.get(other, Epoch(1)).err()));
    assert!(is_refusal(custodian.epochs(other).err()));
    assert!(is_refusal(custodian.destroy(other, Epoch(1)).err()));
    assert!(is_refusal(custodian.put(&share(other, 1)).err()));
    assert!(is_refusal(custodian.put(&share(other, 2)).err()));
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&held));
    assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(1)]);
}

fn damage_is_told_and_can_be_destroyed(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let one = share(vault, 1);
    custodian.put(&one).unwrap();
    let text = one.to_text();
    let cut = &text.as_bytes()[..text.len() / 2];
    let elsewhere = share(vault, 2).to_text();
    for damage in [b"", cut, b"\xff\xfe", elsewhere.as_bytes(), text[..text.len() - 3].as_bytes()] {
        place.overwrite(vault, Epoch(1), damage);
        let damaged = custodian.get(vault, Epoch(1)).err().unwrap();
        assert!(matches!(damaged, KeyError::Damaged { .. }), "{damaged}");
        assert!(custodian.put(&one).is_err());
        // It is there, and whoever counts what is left must see it.
        assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(1)]);
    }
    place.overwrite(vault, Epoch(1), share(new_vault(), 1).to_text().as_bytes());
    let foreign = custodian.get(vault, Epoch(1)).err().unwrap();
    assert!(matches!(foreign, KeyError::OtherVault { .. }), "{foreign}");

    place.overwrite(vault, Epoch(1), cut);
    custodian.destroy(vault, Epoch(1)).unwrap();
    assert!(custodian.epochs(vault).unwrap().is_empty());
    custodian.put(&one).unwrap();
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
}

/// The clause on which a confirmed erasure stands: what cannot be reached has destroyed nothing.
fn away_is_never_empty(place: &dyn Place) {
    let vault = new_vault();
    for (why, custodian) in place.unreachable() {
        let answers = [
            ("get", custodian.get(vault, Epoch(1)).err()),
            ("epochs", custodian.epochs(vault).err()),
            ("destroy", custodian.destroy(vault, Epoch(1)).err()),
            ("put", custodian.put(&share(vault, 1)).err()),
        ];
        for (verb, error) in answers {
            let Some(KeyError::Unreachable { reason, .. }) = &error else {
                panic!("{why}: {verb} gave {error:?}");
            };
            assert!(!reason.is_empty() && !reason.contains('\n'), "{why}: {verb}: {reason}");
        }
    }
}

fn messages_hold_no_secret(place: &dyn Place) {
    let (vault, custodian) = (new_vault(), place.open());
    custodian.enroll(vault).unwrap();
    let one = share(vault, 1);
    custodian.put(&one).unwrap();
    let digits = one.to_text().split("share ").last().unwrap().trim().to_owned();
    assert_eq!(digits.len(), 64);
    let broken = one.to_text().replace("index 1", "index x");
    place.overwrite(vault, Epoch(1), broken.as_bytes());
    let errors = [custodian.get(vault, Epoch(1)).err(), custodian.put(&one).err()];
    for error in errors {
        let error = error.unwrap();
        assert!(!format!("{error} {error:?}").contains(&digits[..16]), "{error}");
    }
}
