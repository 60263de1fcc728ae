//! Vectors of a layer of an index: its header, directory and blocks, sealed and plain, and its key wrapped
//! for another backup.

use strongroom::base::ids::{BackupId, SubjectReference, VaultId};
use strongroom::container::index::{BlockPlace, IndexSeal, IndexWriter};
use strongroom::container::index_block::IndexEntry;
use strongroom::container::layer_block::{BlockBuilder, Listed};
use strongroom::container::layer_key::LayerUse;
use strongroom::container::segment::Codec;
use strongroom::crypto::{Context, aead, labels};

use crate::format_vectors::fixed::{
    Counting, IDENTITY, OTHER_IDENTITY, OTHER_VAULT, PACK, VAULT, backup, flipped, identity,
    other_backup, other_identity,
};
use crate::format_vectors::vector::Vector;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    headers(&mut add);
    directories(&mut add);
    blocks(&mut add);
    listings(&mut add);
    entries(&mut add);
    keys(&mut add);
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
            assert!(builder.push(&Listed::Segment(entry(*subject))).is_none());
        }
        let block = builder.take().unwrap();
        plain.push(block.bytes.clone());
        blocks.push(writer.block(&block));
    }
    let (directory, _) = writer.finish(&[PACK]);
    let places = seal(vault, backup.clone()).open_directory(&directory, "o").unwrap().places;
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
    let vector = described("layer-header", "A layer's header.", &header);
    add("right", vector.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: &[u8]| {
        add(name, vector.but(outcome, comment, bytes.to_vec()));
    };
    let mut newer = header.clone();
    newer[7] = 3;
    other("cut_empty", "malformed", "An empty object.", &[]);
    other("cut_last_byte", "malformed", "Ends within its header.", &header[..46]);
    other("magic_of_a_pack", "malformed", "A pack's magic.", &[b"SRPACK", &header[6..]].concat());
    other("newer", "newer-format", "Version 3.", &newer);
    let mut old = header.clone();
    old[7] = 1;
    other("of_version_1", "malformed", "The manifest says version 2.", &old);
    let foreign = index(OTHER_VAULT, &backup()).header;
    other("of_another_vault", "other-vault", "Another vault's index.", &foreign);
    let moved = index(VAULT, &other_backup()).header;
    other("of_another_backup", "other-backup", "Another backup's index.", &moved);
}

fn directories(add: &mut Add<'_>) {
    let sealed = index(VAULT, &backup()).directory;
    let vector = described("layer-directory", "The directory of two blocks.", &sealed);
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
        Context::new(labels::LAYER_DIRECTORY).with(&VAULT.0).with(backup().as_str().as_bytes());
    let authentic = |number, listing: &[u8]| {
        aead::seal(identity().index_key().expose(), number, &context, listing)
    };
    other("under_number_zero", "Sealed under number 0, not 2^64 - 1.", &authentic(0, &[0, 0]));
    let old =
        Context::new(labels::INDEX_DIRECTORY).with(&VAULT.0).with(backup().as_str().as_bytes());
    let old = aead::seal(identity().index_key().expose(), u64::MAX, &old, &[0, 0]);
    other("under_the_label_of_version_1", "Sealed as the directory of version 1.", &old);
    let lies = vector.but(
        "malformed",
        "Authentic: two blocks claimed, none listed.",
        authentic(u64::MAX, &[0, 2]),
    );
    add("count_lies", lies);
    let empty =
        vector.but("opens", "A layer without packs and blocks.", authentic(u64::MAX, &[0, 0]));
    add("empty", empty);
}

fn blocks(add: &mut Add<'_>) {
    let own = index(VAULT, &backup());
    let described = |comment: &str, number: usize, bytes: &[u8]| {
        let place = &own.places[number];
        described("layer-block", comment, bytes)
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
    let packs = [&[1][..], &PACK.0].concat();
    let right = Vector::new(
        "layer-listing",
        "opens",
        "A directory's plain bytes: one pack; one block of two entries, 166 bytes from 47.",
        [&packs[..], &[1], &place].concat(),
    );
    add("right", right.clone());
    let comment = "No packs and no blocks.";
    add("empty_lists", right.but("opens", comment, vec![0, 0]));
    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, right.but("malformed", comment, bytes));
    };
    other("empty", "Not even a count.", vec![]);
    other("no_places", "Ends behind the packs.", packs.clone());
    other("cut_within_a_pack", "Ends within a pack's identifier.", packs[..10].to_vec());
    other("cut", "Ends within a place.", right.bytes[..40].to_vec());
    other("left_over", "A byte is left over.", [&right.bytes[..], &[0]].concat());
    let absurd = [&[0x80; 9][..], &[1], &PACK.0, &[0]].concat();
    other("packs_absurd", "2^63 packs are claimed.", absurd);
    let absurd = [&packs[..], &[0x80; 9], &[1], &place].concat();
    other("places_absurd", "2^63 places are claimed.", absurd);
    other("of_version_1", "Without a list of packs.", [&[1][..], &place].concat());
    let long = [&[0x81, 0][..], &packs[1..], &[0]].concat();
    other("number_not_shortest", "1 written in two bytes.", long);
}

/// An entry's bytes behind the head of a block: flags, what is written of the reference, and a
/// segment of length 300, 7 rows and 1000 raw bytes at this place.
fn raw(flags: u8, reference: &[u8], place: &[u8]) -> Vec<u8> {
    [&[flags][..], reference, &[0xc1; 32], place, &[0xac, 2, 7, 0xe8, 7]].concat()
}

fn entries(add: &mut Add<'_>) {
    const FOLLOWS: u8 = 8;
    const NO_ROWS: u8 = 7;
    const SAME: u8 = 0xf0;
    let plain = index(VAULT, &backup()).plain.remove(0);
    let right = Vector::new("layer-entries", "opens", "A block's plain bytes.", plain.clone());
    add("right", right.clone());
    let block = |entries: &[Vec<u8>]| {
        [&[0, u8::try_from(entries.len()).unwrap()][..], &entries.concat()].concat()
    };
    let first = raw(1, &[1; 16], &[0, 40]);
    let near = [&[1; 15][..], &[2]].concat();
    let opens = [
        (
            "one_subject_twice",
            "Two segments of one subject, one behind the other.",
            vec![first.clone(), raw(SAME | 1 | FOLLOWS, &[], &[])],
        ),
        (
            "elsewhere",
            "The second segment lies in another pack.",
            vec![first.clone(), raw(1, &[2; 16], &[1, 40])],
        ),
        ("no_rows", "A subject has no rows now.", vec![[&[NO_ROWS][..], &[1; 16]].concat()]),
        (
            "follows_over_a_mark",
            "A segment follows the one before, with a mark between them.",
            vec![
                first.clone(),
                [&[NO_ROWS][..], &[2; 16]].concat(),
                raw(1 | FOLLOWS, &[3; 16], &[]),
            ],
        ),
        (
            "fourteen_bytes_shared",
            "References that differ in the last byte only.",
            vec![first.clone(), raw(0xe0 | 1 | FOLLOWS, &near[14..], &[])],
        ),
    ];
    for (name, comment, entries) in &opens {
        add(name, right.but("opens", comment, block(entries)));
    }
    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, right.but("malformed", comment, bytes));
    };
    other("empty", "No relation.", vec![]);
    other("cut_after_the_count", "Two entries claimed, none there.", plain[..2].to_vec());
    other("cut_last_byte", "Ends within an entry.", plain[..plain.len() - 1].to_vec());
    other("left_over", "A byte is left over.", [&plain[..], &[0]].concat());
    let counted = |count: u8| [&[0, count][..], &plain[2..]].concat();
    other("count_one_less", "Two entries, one claimed.", counted(1));
    other("count_one_more", "Two entries, three claimed.", counted(3));
    let absurd = [&[0][..], &[0xff; 9], &[1], &plain[2..]].concat();
    other("count_absurd", "2^64 - 1 entries claimed.", absurd);
    let second = |entry: Vec<u8>| block(&[first.clone(), entry]);
    other("out_of_order", "References descend.", second(raw(1 | FOLLOWS, &[0; 16], &[])));
    other("codec_unknown", "Codec 6.", block(&[raw(6, &[1; 16], &[0, 40])]));
    other(
        "first_is_the_same",
        "The first entry has the reference of none.",
        block(&[raw(SAME | 1, &[], &[0, 40])]),
    );
    other(
        "first_follows",
        "The first segment follows none.",
        block(&[raw(1 | FOLLOWS, &[1; 16], &[])]),
    );
    other(
        "first_shares",
        "The first reference shares bytes with none.",
        block(&[raw(0x10 | 1, &[1; 15], &[0, 40])]),
    );
    other(
        "follows_unsaid",
        "It lies right behind the one before, and its place is written.",
        second(raw(1, &[2; 16], &[0, 0xd4, 2])),
    );
    other(
        "shared_unsaid",
        "The same reference is written a second time.",
        second(raw(1 | FOLLOWS, &[1; 16], &[])),
    );
    other(
        "fewer_shared",
        "Fifteen bytes are the same, thirteen are said to be.",
        second(raw(0xd0 | 1 | FOLLOWS, &near[13..], &[])),
    );
    other(
        "shared_claimed",
        "One byte is said to be the same, and all that follow descend.",
        second(raw(0x10 | 1 | FOLLOWS, &[0; 15], &[])),
    );
    other(
        "mark_behind_her_segment",
        "She has a segment, and no rows now.",
        second(vec![SAME | NO_ROWS]),
    );
    other(
        "segment_behind_her_mark",
        "She has no rows now, and a segment.",
        block(&[[&[NO_ROWS][..], &[1; 16]].concat(), raw(SAME | 1, &[], &[0, 40])]),
    );
    other(
        "mark_twice",
        "She has no rows now, said twice.",
        block(&[[&[NO_ROWS][..], &[1; 16]].concat(), vec![SAME | NO_ROWS]]),
    );
    other(
        "mark_follows",
        "A mark that lies somewhere.",
        second([&[NO_ROWS | FOLLOWS][..], &[2; 16]].concat()),
    );
    let far = raw(1, &[1; 16], &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    other(
        "follows_beyond_64_bits",
        "It follows a segment that ends beyond 2^64.",
        block(&[far, raw(1 | FOLLOWS, &[2; 16], &[])]),
    );
}

fn keys(add: &mut Add<'_>) {
    let (own, layer) = (identity().index_key(), other_identity().index_key());
    let (user, written_by) = (backup(), other_backup());
    let place = LayerUse { vault: VAULT, user: &user, layer: &written_by };
    let wrapped = place.wrap(&own, &layer, &mut Counting(0x80));
    let vector =
        Vector::new("layer-key", "opens", "The key of another backup's layer.", wrapped.clone())
            .with("identity", &IDENTITY)
            .with("vault", &VAULT)
            .with("backup", &backup())
            .with("layer", &other_backup())
            .with("secret", &hex::encode(layer.expose()));
    add("right", vector.clone());
    let refused =
        |comment: &str, bytes: &[u8]| vector.but("not-authentic", comment, bytes.to_vec());
    add("cut_empty", refused("Cut short.", &[]));
    add("cut_last_byte", refused("Cut short.", &wrapped[..wrapped.len() - 1]));
    add("flipped_nonce", refused("One bit differs.", &flipped(&wrapped, 0)));
    add("flipped", refused("One bit differs.", &flipped(&wrapped, 20)));
    let vault =
        refused("Wrapped for a backup of this vault.", &wrapped).with("vault", &OTHER_VAULT);
    add("of_another_vault", vault);
    let user = refused("Wrapped for another backup.", &wrapped).with("backup", &other_backup());
    add("for_another_backup", user);
    let layer = refused("Wrapped as another layer's.", &wrapped).with("layer", &backup());
    add("of_another_layer", layer);
    let other = refused("Opened with another backup's identity.", &wrapped);
    add("under_another_identity", other.with("identity", &OTHER_IDENTITY));
}
