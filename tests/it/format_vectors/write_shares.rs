//! Vectors of shares of an epoch secret, alone and together.

use strongroom::base::ids::{Epoch, ShareSet, VaultId};
use strongroom::keys::EpochSecret;
use strongroom::keys::custodians::quorum;
use strongroom::keys::custodians::share::Share;

use crate::format_vectors::fixed::{Counting, EPOCH_SECRET, OTHER_VAULT, VAULT};
use crate::format_vectors::vector::Vector;

const EPOCH: u64 = 7;
const SET: ShareSet = ShareSet([0x5e; 16]);
const OTHER_SET: ShareSet = ShareSet([0x5f; 16]);

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    shares(&mut |name, vector| all.push((name.to_owned(), vector)));
    quorums(&mut |name, vector| all.push((name.to_owned(), vector)));
    all
}

fn split(vault: VaultId, epoch: u64, set: ShareSet, threshold: u8, count: u8) -> Vec<Share> {
    let secret = EpochSecret::from_slice(&EPOCH_SECRET).unwrap();
    let random = &mut Counting(set.0[0]);
    quorum::split(&secret, vault, Epoch(epoch), set, threshold, count, random).unwrap()
}

fn text(share: &Share) -> String {
    share.to_text().as_str().to_owned()
}

fn shares(add: &mut dyn FnMut(&str, Vector)) {
    let share = &split(VAULT, EPOCH, SET, 2, 3)[1];
    let right_text = text(share);
    let right = Vector::new("epoch-share", "opens", "epoch-7.secret.", right_text.clone().into())
        .with("vault", &VAULT)
        .with("file-epoch", &EPOCH)
        .with("set", &SET)
        .with("threshold", &2)
        .with("index", &2)
        .with("secret", &hex::encode(share.value.expose()));
    add("right", right.clone());
    let whole = &split(VAULT, EPOCH, SET, 1, 1)[0];
    let alone = Vector::new("epoch-share", "opens", "The only one needed.", text(whole).into())
        .with("vault", &VAULT)
        .with("file-epoch", &EPOCH)
        .with("threshold", &1)
        .with("secret", &hex::encode(EPOCH_SECRET));
    add("right_alone", alone);
    let mut other = |name: &str, outcome: &str, comment: &str, text: &str| {
        add(name, right.but(outcome, comment, text.into()));
    };
    let foreign = text(&split(OTHER_VAULT, EPOCH, SET, 2, 3)[1]);
    other("of_another_vault", "other-vault", "Another vault's share.", &foreign);
    let moved = text(&split(VAULT, EPOCH + 1, SET, 2, 3)[1]);
    other("of_another_epoch", "malformed", "Names another epoch than its name.", &moved);
    let mut at = 0;
    for (number, line) in right_text.split_inclusive('\n').enumerate() {
        at += line.len();
        if at < right_text.len() {
            let name = format!("cut_after_line_{}", number + 1);
            other(&name, "malformed", "Cut after a line.", &right_text[..at]);
        }
    }
    other("cut_empty", "malformed", "An empty file.", "");
    let cut = &right_text[..right_text.len() - 3];
    other("cut_within_the_share", "malformed", "Cut.", cut);
    other("blanked", "malformed", "Overwritten with zeros.", &"\0".repeat(right_text.len()));
    other("left_over", "malformed", "A line follows.", &format!("{right_text}more\n"));
    for (name, comment, from, to) in [
        ("newer", "Version 2.", " v1\n", " v2\n"),
        ("no_set", "The line of the set is missing.", "set 5e5e", "sets 5e5e"),
        ("index_of_zero", "The secret itself would be at 0.", "index 2", "index 0"),
        ("index_too_large", "The field has no such element.", "index 2", "index 256"),
        ("threshold_of_zero", "Nothing would be needed.", "threshold 2", "threshold 0"),
        ("number_with_a_sign", "Digits only.", "epoch 7", "epoch +7"),
        ("number_with_a_zero", "No zero in front.", "epoch 7", "epoch 07"),
        ("lines_exchanged", "In another order.", "threshold 2\nindex 2", "index 2\nthreshold 2"),
        ("not_hexadecimal", "No digits.", "share ", "share zz"),
    ] {
        let wrong = right_text.replacen(from, to, 1);
        assert_ne!(wrong, right_text, "{name}");
        other(name, "malformed", comment, &wrong);
    }
}

fn quorums(add: &mut dyn FnMut(&str, Vector)) {
    let joined = |shares: &[&Share]| -> String { shares.iter().map(|share| text(share)).collect() };
    let vector = |outcome: &str, comment: &str, text: String| {
        Vector::new("epoch-quorum", outcome, comment, text.into())
            .with("vault", &VAULT)
            .with("file-epoch", &EPOCH)
            .with("secret", &hex::encode(EPOCH_SECRET))
    };
    let three_of_five = split(VAULT, EPOCH, SET, 3, 5);
    let [one, two, three, four, five] = &three_of_five[..] else { unreachable!() };
    let other_set = split(VAULT, EPOCH, OTHER_SET, 3, 5);
    let many = split(VAULT, EPOCH, SET, 2, 255);
    for (name, outcome, comment, text) in [
        ("three_of_five", "opens", "The last three.", joined(&[three, four, five])),
        ("in_any_order", "opens", "And with gaps.", joined(&[five, one, three])),
        ("more_than_needed", "opens", "All five.", joined(&[one, two, three, four, five])),
        ("one_twice", "opens", "The same text twice does no harm.", joined(&[one, two, two, four])),
        ("two_of_255", "opens", "The largest index.", joined(&[&many[0], &many[254]])),
        ("too_few", "too-few-shares", "Two of three.", joined(&[one, two])),
        ("one_thrice", "too-few-shares", "Three texts of one share.", joined(&[one, one, one])),
        (
            "of_two_splittings",
            "mixed-shares",
            "The same secret, split twice.",
            joined(&[one, two, &other_set[2]]),
        ),
        (
            "of_two_thresholds",
            "mixed-shares",
            "One says that fewer suffice.",
            joined(&[one, two]) + &text(three).replace("threshold 3", "threshold 2"),
        ),
        (
            "one_that_does_not_fit",
            "malformed",
            "Four, and the last is of another splitting under this one's label.",
            joined(&[one, two, three])
                + &text(&other_set[3]).replace(&OTHER_SET.to_string(), &SET.to_string()),
        ),
        (
            "two_in_one_place",
            "malformed",
            "Two different shares say that they are the first.",
            joined(&[one, two, three]) + &text(four).replace("index 4", "index 1"),
        ),
        (
            "of_another_vault",
            "other-vault",
            "One is another vault's.",
            joined(&[one, two, &split(OTHER_VAULT, EPOCH, SET, 3, 5)[2]]),
        ),
    ] {
        add(name, vector(outcome, comment, text));
    }
}
