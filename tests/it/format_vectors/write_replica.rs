//! Vectors of the catalog's replica: heads, and headers and cells of data objects.

use chrono::DateTime;
use strongroom::base::digest;
use strongroom::base::ids::{Digest, Epoch, VaultId};
use strongroom::container::names;
use strongroom::container::replica::ObjectKey;
use strongroom::container::replica::data::{DataSeal, DataWriter};
use strongroom::container::replica::head::{CellPlace, DataObject, Head, HeadHeader};
use strongroom::crypto::kdf::DerivedKey;
use strongroom::crypto::{Context, aead, kdf, labels};

use crate::format_vectors::fixed::{EPOCH_SECRET, MASTER, OTHER_VAULT, VAULT, flipped};
use crate::format_vectors::vector::Vector;
use crate::format_vectors::write_keys::root_key;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    heads(&mut add);
    headers(&mut add);
    cells(&mut add);
    all
}

type Add<'a> = dyn FnMut(&str, Vector) + 'a;

const EPOCH: u64 = 7;
const SEQUENCE: u64 = 9;
const OBJECT_KEY: [u8; 32] = [0x47; 32];

/// The header of replica 9 in epoch 7.
pub fn header(vault: VaultId) -> HeadHeader {
    let mut salt = [0; 32];
    salt.iter_mut().zip(0xa0..).for_each(|(byte, value)| *byte = value);
    HeadHeader { vault, epoch: Epoch(EPOCH), sequence: SEQUENCE, salt }
}

/// The key of that head, from the primitives alone.
pub fn head_key(vault: VaultId) -> DerivedKey {
    let info =
        Context::new(labels::REPLICA_KEY).with(&vault.0).with_number(EPOCH).with_number(SEQUENCE);
    kdf::derive(&header(vault).salt, root_key(vault, EPOCH).expose(), info.as_bytes())
}

fn object(sequence: u64) -> DataObject {
    let key = ObjectKey::from_slice(&OBJECT_KEY).unwrap();
    let name = names::replica_data(sequence, [0xd0, 0xd1, 0xd2, 0xd3]);
    DataObject { sequence, name, bytes: 1000, key }
}

fn place(cell: &str, object: u64, frame: u64, offset: u64) -> CellPlace {
    let (cell, sha256) = (cell.to_owned(), Digest([0xe0; 32]));
    CellPlace { cell, object, frame, offset, length: 100, sha256 }
}

fn head() -> Head {
    Head {
        schema: 6,
        written_at: DateTime::parse_from_rfc3339("2026-11-22T02:00:00Z").unwrap().to_utc(),
        previous: Some(Digest([0xf0; 32])),
        objects: vec![object(4), object(9)],
        cells: vec![
            place("shard", 9, 0, 32),
            place("subject:3", 4, 2, 200),
            place("vault", 9, 1, 132),
        ],
    }
}

fn sealed(head: &Head, vault: VaultId) -> Vec<u8> {
    head.seal(&header(vault), &head_key(vault), "o").unwrap()
}

/// A head with two keys and this JSON, whatever it says.
fn authentic(json: &[u8]) -> Vec<u8> {
    authentic_list(2, &compressed(json))
}

fn compressed(json: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(false).unwrap();
    compressor.compress(json).unwrap()
}

fn authentic_list(keys: u32, list: &[u8]) -> Vec<u8> {
    let all = OBJECT_KEY.repeat(usize::try_from(keys).unwrap());
    authentic_body(&[&keys.to_be_bytes(), &all[..], list].concat())
}

fn authentic_body(body: &[u8]) -> Vec<u8> {
    let header = header(VAULT).to_bytes();
    let context = Context::new(labels::REPLICA_HEAD).with(&header);
    [&header[..], &aead::seal(head_key(VAULT).expose(), 0, &context, body)].concat()
}

fn heads(add: &mut Add<'_>) {
    let right = sealed(&head(), VAULT);
    let json = serde_json::to_vec(&head()).unwrap();
    let vector = Vector::new("replica-head", "opens", "Replica 9.", right.clone())
        .with("keys", &hex::encode([OBJECT_KEY, OBJECT_KEY].concat()))
        .with("master", &hex::encode(MASTER))
        .with("epoch-secret", &hex::encode(EPOCH_SECRET))
        .with("vault", &VAULT)
        .with("sequence", &SEQUENCE)
        .with("plain", &hex::encode(&json));
    add("right", vector.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: Vec<u8>| {
        add(name, vector.but(outcome, comment, bytes));
    };
    other("cut_empty", "malformed", "An empty object.", Vec::new());
    other("cut_in_the_header", "malformed", "Ends within its header.", right[..71].to_vec());
    other("cut_after_the_header", "not-authentic", "No body.", right[..72].to_vec());
    let last = right.len() - 1;
    other("cut_last_byte", "not-authentic", "Cut short.", right[..last].to_vec());
    other("one_byte_more", "not-authentic", "Longer.", [&right[..], &[0]].concat());
    for (name, byte) in
        [("flipped_epoch", 31), ("flipped_salt", 40), ("flipped_body", 72), ("flipped_tag", last)]
    {
        other(name, "not-authentic", "One bit differs.", flipped(&right, byte));
    }
    let data = [b"SRDATA", &right[6..]].concat();
    other("magic_of_a_data_object", "malformed", "A data object's magic.", data);
    let mut newer = right.clone();
    newer[7] = 2;
    other("newer", "newer-format", "Version 2.", newer);
    let foreign = sealed(&head(), OTHER_VAULT);
    other("of_another_vault", "other-vault", "Another vault's, under the same secrets.", foreign);
    let comment = "Replica 8 under the name of replica 9.";
    other("of_another_number", "other-replica", comment, flipped(&right, 39));

    let mut lying = |name: &str, comment: &str, change: fn(&mut Head)| {
        let mut head = head();
        change(&mut head);
        other(name, "malformed", comment, sealed(&head, VAULT));
    };
    lying("objects_out_of_order", "Data objects descend.", |head| head.objects.swap(0, 1));
    lying("cells_out_of_order", "Cells descend.", |head| head.cells.swap(0, 1));
    lying("cell_twice", "A cell is listed twice.", |head| head.cells[1].cell = "shard".into());
    lying("object_elsewhere", "A data object with a pack's name.", |head| {
        head.objects[0].name = "packs/51/5152535455565758595a5b5c5d5e5f60.pack".into();
    });
    lying("object_of_another_number", "A data object with another's name.", |head| {
        head.objects[0].name = names::replica_data(5, [0; 4]);
    });
    lying("object_not_listed", "A cell in a data object that is not listed.", |head| {
        head.cells[0].object = 5;
    });
    lying("cell_outside", "A cell that ends behind its object.", |head| head.cells[0].offset = 901);
    lying("cell_overflows", "A cell beyond 2^64 bytes.", |head| head.cells[0].offset = u64::MAX);
    lying("cell_empty", "A cell of no bytes.", |head| head.cells[0].length = 0);
    lying("cells_overlap", "Two cells share a byte.", |head| head.cells[2].offset = 131);
    lying("cell_name_long", "A name of 64 bytes.", |head| head.cells[2].cell = "w".repeat(64));

    let text = String::from_utf8(json).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from));
        authentic(text.replacen(from, to, 1).as_bytes())
    };
    other(
        "field_unknown",
        "malformed",
        "A field that version 1 does not have.",
        with("{", r#"{"more":1,"#),
    );
    other("field_missing", "malformed", "No `schema`.", with(r#""schema":6,"#, ""));
    let list = compressed(text.as_bytes());
    for (name, keys) in [("keys_too_few", 1), ("keys_too_many", 3)] {
        let comment = "Another number of keys than of data objects.";
        other(name, "malformed", comment, authentic_list(keys, &list));
    }
    let cut = [&3_u32.to_be_bytes(), &OBJECT_KEY[..], &OBJECT_KEY].concat();
    other(
        "cut_in_the_keys",
        "malformed",
        "Three keys, of which two are there.",
        authentic_body(&cut),
    );
    let many = [&u32::MAX.to_be_bytes(), &OBJECT_KEY[..], &list].concat();
    other("keys_lie", "malformed", "Claims 128 gigabytes of keys.", authentic_body(&many));
    other("cut_in_the_count", "malformed", "Three bytes.", authentic_body(&[0; 3]));
    other("not_json", "malformed", "No JSON.", authentic(b"{"));
    other(
        "not_compressed",
        "malformed",
        "JSON that is not compressed.",
        authentic_list(2, text.as_bytes()),
    );
    // A frame header that claims 2^40 bytes.
    let bomb = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 40).to_le_bytes()].concat();
    other("length_lies", "malformed", "Claims a tebibyte of JSON.", authentic_list(2, &bomb));
}

fn seal(vault: VaultId, sequence: u64) -> DataSeal {
    DataSeal::new(ObjectKey::from_slice(&OBJECT_KEY).unwrap(), vault, sequence)
}

fn described(kind: &str, comment: &str, bytes: &[u8]) -> Vector {
    Vector::new(kind, "opens", comment, bytes.to_vec())
        .with("vault", &VAULT)
        .with("sequence", &SEQUENCE)
        .with("object-key", &hex::encode(OBJECT_KEY))
}

fn headers(add: &mut Add<'_>) {
    let header = seal(VAULT, SEQUENCE).header();
    let vector = described("replica-data", "A data object's header.", &header);
    add("right", vector.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: &[u8]| {
        add(name, vector.but(outcome, comment, bytes.to_vec()));
    };
    let mut newer = header.clone();
    newer[7] = 2;
    other("cut_last_byte", "malformed", "Ends within its header.", &header[..31]);
    other("magic_of_a_head", "malformed", "A head's magic.", &[b"SRHEAD", &header[6..]].concat());
    other("newer", "newer-format", "Version 2.", &newer);
    let foreign = seal(OTHER_VAULT, SEQUENCE).header();
    other("of_another_vault", "other-vault", "Another vault's.", &foreign);
    let moved = seal(VAULT, SEQUENCE - 1).header();
    other("of_another_number", "other-replica", "Data object 8.", &moved);
}

const LINES: &[u8] = b"{\"table\":\"shard\",\"columns\":[[\"shard_id\",\"INTEGER\"],\
                       [\"wrapped_key\",\"BLOB\"],[\"capacity\",\"INTEGER\"]]}\n[1,\"00ff\",256]\n";

fn cells(add: &mut Add<'_>) {
    let (mut writer, _) = DataWriter::new(seal(VAULT, SEQUENCE));
    writer.cell("first", &[b"x\n".to_vec()]).unwrap();
    let (pieces, place) =
        writer.cell("shard", &[LINES.to_vec(), b"[2,null,256]\n".to_vec()]).unwrap();
    let bytes = pieces.concat();
    let plain = [LINES, b"[2,null,256]\n"].concat();
    let vector =
        described("replica-cell", "A cell of two frames, the second cell of its object.", &bytes)
            .with("cell", &place.cell)
            .with("frame", &place.frame)
            .with("sha256", &digest::sha256(&bytes))
            .with("plain", &hex::encode(plain));
    add("right", vector.clone());
    let told = |outcome: &str, comment: &str, bytes: &[u8]| {
        vector.but(outcome, comment, bytes.to_vec()).with("sha256", &digest::sha256(bytes))
    };
    let silent = vector.but("not-authentic", "One bit differs.", flipped(&bytes, 30));
    add("flipped", silent);
    let silent = vector.but("not-authentic", "The second frame is gone.", pieces[0].clone());
    add("cut_between_frames", silent);
    add(
        "flipped_and_told",
        told("not-authentic", "One bit differs, in the head too.", &flipped(&bytes, 30)),
    );
    add("cut_within_a_frame", told("malformed", "Cut short.", &bytes[..bytes.len() - 1]));
    add("cut_within_a_length", told("malformed", "Cut short.", &bytes[..pieces[0].len() + 3]));
    let swapped = [&pieces[1][..], &pieces[0]].concat();
    add("frames_swapped", told("not-authentic", "The frames in another order.", &swapped));
    let again = vector.but("not-authentic", "Another cell's place.", bytes.clone());
    add("of_another_cell", again.clone().with("cell", &"subject:3"));
    add("of_another_frame", again.clone().with("frame", &0));
    add("of_another_object", again.clone().with("sequence", &8));
    add("of_another_vault", again.clone().with("vault", &OTHER_VAULT));
    add("of_another_key", again.with("object-key", &"48".repeat(32)));
    let context = Context::new(labels::REPLICA_FRAME)
        .with(&VAULT.0)
        .with_number(SEQUENCE)
        .with(b"shard")
        .with_number(1);
    let sealed = aead::seal(&OBJECT_KEY, 1, &context, LINES);
    let length = u32::try_from(sealed.len()).unwrap().to_be_bytes();
    let bare = [&length[..], &sealed].concat();
    add("not_compressed", told("malformed", "Authentic, and not compressed.", &bare));
}
