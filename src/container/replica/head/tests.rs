//! Heads: what opens, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::crypto::kdf;

fn header() -> HeadHeader {
    HeadHeader { vault: VaultId([1; 16]), epoch: Epoch(3), sequence: 9, salt: [5; 32] }
}

fn key() -> DerivedKey {
    kdf::derive(b"", b"k", b"i")
}

fn object(sequence: u64) -> DataObject {
    DataObject {
        sequence,
        name: names::replica_data(sequence, [1, 2, 3, 4]),
        bytes: 1000,
        key: ObjectKey::from_slice(&[u8::try_from(sequence).unwrap(); 32]).unwrap(),
    }
}

fn place(cell: &str, object: u64, offset: u64) -> CellPlace {
    let cell = cell.to_owned();
    CellPlace { cell, object, frame: 0, offset, length: 100, sha256: Digest([2; 32]) }
}

fn head() -> Head {
    Head {
        schema: 6,
        written_at: DateTime::UNIX_EPOCH,
        previous: Some(Digest([3; 32])),
        objects: vec![object(4), object(9)],
        cells: vec![place("a", 9, 32), place("b", 4, 32), place("c", 9, 132)],
    }
}

#[test]
fn a_head_is_read_back() {
    let bytes = head().seal(&header(), &key(), "o").unwrap();
    assert_eq!(HeadHeader::parse(&bytes, "o").unwrap(), header());
    HeadHeader::expect(&bytes, VaultId([1; 16]), 9, "o").unwrap();
    let opened = Head::open(&bytes, &key(), "o").unwrap();
    assert_eq!(opened.cells, head().cells);
    for number in [4_u8, 9] {
        assert_eq!(opened.object(number.into()).unwrap().key.expose(), &[number; 32]);
    }
    assert!(opened.object(5).is_none());
}

#[test]
fn a_head_in_another_place_is_named_as_such() {
    let bytes = head().seal(&header(), &key(), "o").unwrap();
    let expect = |vault, sequence| {
        HeadHeader::expect(&bytes, VaultId([vault; 16]), sequence, "o").unwrap_err()
    };
    assert!(matches!(expect(2, 9), ContainerError::OtherVault { .. }));
    assert!(matches!(expect(1, 8), ContainerError::OtherReplica { .. }));
    let mut newer = bytes.clone();
    newer[7] = 2;
    assert!(matches!(HeadHeader::parse(&newer, "o"), Err(ContainerError::NewerFormat { .. })));
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let bytes = head().seal(&header(), &key(), "o").unwrap();
    for length in 0..bytes.len() {
        assert!(Head::open(&bytes[..length], &key(), "o").is_err(), "{length}");
    }
    for byte in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1;
        assert!(Head::open(&flipped, &key(), "o").is_err(), "{byte}");
    }
}

#[test]
fn a_head_that_lies_is_refused() {
    type Change = fn(&mut Head);
    let changes: [(Change, &str); 9] = [
        (|head| head.objects.swap(0, 1), "out of order"),
        (|head| head.cells.swap(0, 1), "out of order"),
        (|head| head.cells[1].cell = "a".to_owned(), "out of order"),
        (|head| head.objects[0].name = "packs/a".to_owned(), "a name that it cannot have"),
        (|head| head.cells[2].cell = "c".repeat(64), "a name that it cannot have"),
        (|head| head.cells[0].object = 5, "not listed"),
        (|head| head.cells[0].length = 969, "outside of its object"),
        (|head| head.cells[0].offset = u64::MAX, "outside of its object"),
        (|head| head.cells[2].offset = 131, "overlap"),
    ];
    for (change, reason) in changes {
        let mut head = head();
        change(&mut head);
        let bytes = head.seal(&header(), &key(), "o").unwrap();
        let refused = Head::open(&bytes, &key(), "o").err().unwrap();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(Head::parse(&bytes, "o").is_err());
        let _ = HeadHeader::parse(&bytes, "o");
    }
}
