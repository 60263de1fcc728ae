//! Vectors of an index: its header, directory and blocks, sealed and plain.

use strongroom::container::index::{BlockPlace, IndexSeal, IndexWriter};
use strongroom::container::index_block::{BlockBuilder, IndexEntry};
use strongroom::container::segment::Codec;
use strongroom::crypto::{Context, aead, labels};
use strongroom::ids::{BackupId, SubjectReference, VaultId};

use crate::fixed::{IDENTITY, OTHER_VAULT, VAULT, backup, flipped, identity, other_backup};
use crate::vector::Vector;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    headers(&mut add);
    directories(&mut add);
    blocks(&mut add);
    listings(&mut add);
    entries(&mut add);
    all
}

type Add<'a> = dyn FnMut(&str, Vector) + 'a;

fn seal(vault: VaultId, backup: BackupId) -> IndexSeal {
    IndexSeal::new(identity().index_key(), vault, backup)
}

/// An index of two blocks: two entries of relation 0, one of relation 1.
pub struct Index {
    pub header: Vec<u8>,
    pub blocks: Vec<Vec<u8>>,
    pub plain: Vec<Vec<u8>>,
    pub directory: Vec<u8>,
    pub places: Vec<BlockPlace>,
}

pub fn index(vault: VaultId, backup: &BackupId) -> Index {
    let (mut writer, header) = IndexWriter::new(seal(vault, backup.clone()));
    let (mut blocks, mut plain) = (Vec::new(), Vec::new());
    for (relation, subjects) in [(0, &[1, 2][..]), (1, &[1][..])] {
        let mut builder = BlockBuilder::new(relation);
        for subject in subjects {
            assert!(builder.push(&entry(*subject)).is_none());
        }
        let block = builder.take().unwrap();
        plain.push(block.bytes.clone());
        blocks.push(writer.block(&block));
    }
    let (directory, _) = writer.finish();
    let places = seal(vault, backup.clone()).open_directory(&directory, "o").unwrap();
    Index { header, blocks, plain, directory, places }
}

fn entry(subject: u8) -> IndexEntry {
    IndexEntry {
        reference: SubjectReference([subject; 16]),
        content_mac: [0xc0 | subject; 32],
        codec: Codec::Zstandard,
        pack: 0,
        offset: 40,
        length: 300,
        rows: 7,
        raw_bytes: 1000,
    }
}

fn described(kind: &str, comment: &str, bytes: &[u8]) -> Vector {
    Vector::new(kind, "opens", comment, bytes.to_vec())
        .with("identity", &IDENTITY)
        .with("vault", &VAULT)
        .with("backup", &backup())
}

fn headers(add: &mut Add<'_>) {
    let header = index(VAULT, &backup()).header;
    let vector = described("index-header", "An index's header.", &header);
    add("right", vector.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: &[u8]| {
        add(name, vector.but(outcome, comment, bytes.to_vec()));
    };
    let mut newer = header.clone();
    newer[7] = 2;
    other("cut_empty", "malformed", "An empty object.", &[]);
    other("cut_last_byte", "malformed", "Ends within its header.", &header[..46]);
    other("magic_of_a_pack", "malformed", "A pack's magic.", &[b"SRPACK", &header[6..]].concat());
    other("newer", "newer-format", "Version 2.", &newer);
    let foreign = index(OTHER_VAULT, &backup()).header;
    other("of_another_vault", "other-vault", "Another vault's index.", &foreign);
    let moved = index(VAULT, &other_backup()).header;
    other("of_another_backup", "other-backup", "Another backup's index.", &moved);
}

fn directories(add: &mut Add<'_>) {
    let sealed = index(VAULT, &backup()).directory;
    let vector = described("index-directory", "The directory of two blocks.", &sealed);
    add("right", vector.clone());
    let mut other = |name: &str, comment: &str, bytes: &[u8]| {
        add(name, vector.but("not-authentic", comment, bytes.to_vec()));
    };
    other("cut_empty", "Cut short.", &[]);
    other("cut_last_byte", "Cut short.", &sealed[..sealed.len() - 1]);
    other("flipped", "One bit differs.", &flipped(&sealed, 0));
    let foreign = index(OTHER_VAULT, &backup()).directory;
    other("of_another_vault", "Another vault's, under the same identity.", &foreign);
    let moved = index(VAULT, &other_backup()).directory;
    other("of_another_backup", "Another backup's, under the same identity.", &moved);
    let block = index(VAULT, &backup()).blocks.remove(0);
    other("is_a_block", "A block in the directory's place.", &block);
    let context =
        Context::new(labels::INDEX_DIRECTORY).with(&VAULT.0).with(backup().as_str().as_bytes());
    let authentic = |number, listing: &[u8]| {
        aead::seal(identity().index_key().expose(), number, &context, listing)
    };
    other("under_number_zero", "Sealed under number 0, not 2^64 - 1.", &authentic(0, &[0]));
    let lies = vector.but(
        "malformed",
        "Authentic: two blocks claimed, none listed.",
        authentic(u64::MAX, &[2]),
    );
    add("count_lies", lies);
    let empty = vector.but("opens", "An index without blocks.", authentic(u64::MAX, &[0]));
    add("empty", empty);
}

fn blocks(add: &mut Add<'_>) {
    let own = index(VAULT, &backup());
    let described = |comment: &str, number: usize, bytes: &[u8]| {
        let place = &own.places[number];
        described("index-block", comment, bytes)
            .with("number", &number)
            .with("relation", &place.relation)
            .with("first", &place.first)
            .with("last", &place.last)
            .with("entries", &place.entries)
    };
    let sealed = &own.blocks[0];
    let first = described("The first block.", 0, sealed);
    add("right", first.clone());
    add("second", described("The second block.", 1, &own.blocks[1]));
    let mut other = |name: &str, comment: &str, bytes: &[u8]| {
        add(name, first.but("not-authentic", comment, bytes.to_vec()));
    };
    other("cut_empty", "Cut short.", &[]);
    other("cut_last_byte", "Cut short.", &sealed[..sealed.len() - 1]);
    other("flipped_first_byte", "One bit differs.", &flipped(sealed, 0));
    other("flipped_tag", "One bit differs.", &flipped(sealed, sealed.len() - 1));
    other("swapped", "The second block in the first's place.", &own.blocks[1]);
    let foreign = index(OTHER_VAULT, &backup());
    other("of_another_vault", "Another vault's, under the same identity.", &foreign.blocks[0]);
    let moved = index(VAULT, &other_backup());
    other("of_another_backup", "Another backup's, under the same identity.", &moved.blocks[0]);
    let comment = "Authentic, and not what the directory says.";
    let lying = first.but("malformed", comment, sealed.clone());
    add("place_lies_about_relation", lying.clone().with("relation", &1));
    add("place_lies_about_entries", lying.clone().with("entries", &3));
    add("place_lies_about_first", lying.clone().with("first", &SubjectReference([2; 16])));
    add("place_lies_about_last", lying.with("last", &SubjectReference([1; 16])));
}

fn listings(add: &mut Add<'_>) {
    let place = [&[0][..], &[1; 16], &[2; 16], &[2, 47, 0xa6, 1]].concat();
    let right = Vector::new(
        "index-listing",
        "opens",
        "A directory's plain bytes: one block of two entries, 166 bytes from 47.",
        [&[1][..], &place].concat(),
    );
    add("right", right.clone());
    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, right.but("malformed", comment, bytes));
    };
    other("empty", "Not even a count.", vec![]);
    other("cut", "Ends within a place.", right.bytes[..20].to_vec());
    other(
        "cut_within_a_number",
        "Ends within a number.",
        right.bytes[..right.bytes.len() - 1].to_vec(),
    );
    other("left_over", "A byte is left over.", [&right.bytes[..], &[0]].concat());
    other("count_absurd", "2^63 places are claimed.", [&[0x80; 9][..], &[1], &place].concat());
    other("number_not_shortest", "1 written in two bytes.", [&[0x81, 0][..], &place].concat());
    other("number_over_64_bits", "A count of 65 bits.", [&[0xff; 9][..], &[2], &place].concat());
    let wide = [&[1, 0x80, 0x80, 0x80, 0x80, 0x10][..], &place[1..]].concat();
    other("relation_over_32_bits", "A relation number of 33 bits.", wide);
}

fn entries(add: &mut Add<'_>) {
    let plain = index(VAULT, &backup()).plain.remove(0);
    let right = Vector::new("index-entries", "opens", "A block's plain bytes.", plain.clone());
    add("right", right.clone());
    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, right.but("malformed", comment, bytes));
    };
    let (one, two) = plain[2..].split_at((plain.len() - 2) / 2);
    let replaced = |at: usize, by: u8| {
        let mut bytes = plain.clone();
        bytes[at] = by;
        bytes
    };
    other("empty", "No relation.", vec![]);
    other("cut_after_the_count", "Two entries claimed, none there.", plain[..2].to_vec());
    other("cut_last_byte", "Ends within an entry.", plain[..plain.len() - 1].to_vec());
    other("left_over", "A byte is left over.", [&plain[..], &[0]].concat());
    other("count_one_less", "Two entries, one claimed.", replaced(1, 1));
    other("count_one_more", "Two entries, three claimed.", replaced(1, 3));
    let absurd = [&[0][..], &[0xff; 9], &[1], one, two].concat();
    other("count_absurd", "2^64 - 1 entries claimed.", absurd);
    other("out_of_order", "References descend.", [&plain[..2], two, one].concat());
    other("codec_unknown", "Codec 2.", replaced(2 + 48, 2));
}
