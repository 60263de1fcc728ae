//! The worked bytes of docs/format.md, computed.

use std::fmt::Write as _;

use strongroom::base::ids::ShardId;
use strongroom::container::index_block::IndexEntry;
use strongroom::container::layer_block::{BlockBuilder, Listed};
use strongroom::container::pack;
use strongroom::container::segment::{Codec, context};
use strongroom::crypto::segment::SegmentSealer;
use strongroom::crypto::{Context, kdf, labels};
use strongroom::keys::MasterSecret;
use strongroom::keys::ring::{KeyName, KeyRing};
use strongroom::keys::vault_keys::TombstoneKey;

use crate::format_vectors::fixed::{
    ANNA_KEY, COMMONS_KEY, EPOCH_SECRET, MASTER, PACK, SOURCE, TOMBSTONE_KEY, VAULT, backup,
    identity, reference, table,
};
use crate::format_vectors::write_columns;
use crate::format_vectors::write_keys::{root_key, wrapped_shard, wrapped_subject};
use crate::format_vectors::write_layer;
use crate::format_vectors::write_replica;

/// Each block of lines that the document must hold, with what it is about.
pub fn bytes() -> Vec<(&'static str, String)> {
    vec![
        ("A context", a_context()),
        ("The key tree", key_tree()),
        ("A subject", subject()),
        ("A segment", segment()),
        ("Columns", columns()),
        ("An index", index()),
        ("Headers", headers()),
        ("Other keys", other_keys()),
        ("A replica", replica()),
    ]
}

/// `name  hexadecimal`, broken after 64 digits.
fn lines(fields: &[(&str, &[u8])]) -> String {
    let mut text = String::new();
    for (name, bytes) in fields {
        let digits = hex::encode(bytes);
        let mut name = *name;
        for line in digits.as_bytes().chunks(64) {
            let line = std::str::from_utf8(line).unwrap();
            let _ = writeln!(text, "    {name:<18}{line}");
            name = "";
        }
    }
    text
}

fn a_context() -> String {
    let context = Context::new(labels::LAYER_BLOCK)
        .with(&VAULT.0)
        .with(backup().as_str().as_bytes())
        .with_number(1);
    lines(&[("context", context.as_bytes())])
}

fn key_tree() -> String {
    let root = root_key(VAULT, 7);
    let shard = wrapped_shard(VAULT, 7, ShardId(3));
    let subject = wrapped_subject(VAULT, ShardId(3), reference("42"));
    // The primitives above and the key ring agree.
    let master = MasterSecret::from_slice(&MASTER).unwrap();
    let secret = strongroom::keys::EpochSecret::from_slice(&EPOCH_SECRET).unwrap();
    let shards = [(ShardId(3), &shard[..])];
    let ring =
        KeyRing::open(VAULT, strongroom::base::ids::Epoch(7), &master, &secret, shards).unwrap();
    let name = KeyName::Subject(reference("42"));
    assert_eq!(ring.unwrap(&name, ShardId(3), &subject).unwrap()[..], ANNA_KEY);
    lines(&[("R_7", root.expose()), ("wrapped shard", &shard), ("wrapped subject", &subject)])
}

fn subject() -> String {
    let (one, two) = (reference("42"), reference(r"7,a\,b\\c"));
    let tombstone = TombstoneKey::from_slice(&TOMBSTONE_KEY).unwrap().tombstone(one);
    lines(&[("key 42", &one.0), (r"key 7,a\,b\\c", &two.0), ("tombstone of 42", &tombstone)])
}

fn segment() -> String {
    let rows = b"1\tanna@example.org\tAnna\n2\tanna@example.org\t\\N\n";
    let context = context(VAULT, SOURCE, &table("users"), reference("42"), Codec::Stored, None);
    let sealer = SegmentSealer::new(&ANNA_KEY);
    let mac = sealer.content_mac(&context, rows);
    let sealed = sealer.seal(&context, &mac, rows);
    let mac_key = kdf::derive(b"", &ANNA_KEY, labels::SEGMENT_MAC.as_bytes());
    let info = [labels::SEGMENT_KEY.as_bytes(), context.as_bytes()].concat();
    let key = kdf::derive(&mac, &ANNA_KEY, &info);
    assert_eq!(strongroom::crypto::aead::open(key.expose(), 0, &context, &sealed).unwrap(), rows);
    lines(&[
        ("context", context.as_bytes()),
        ("SK'", mac_key.expose()),
        ("p", rows),
        ("content_mac", &mac),
        ("K", key.expose()),
        ("sealed", &sealed),
    ])
}

fn columns() -> String {
    let (layout, tuples) = (write_columns::payees(), write_columns::payees_tuples());
    let payload = write_columns::encoded(&layout, &tuples);
    let relation = table("payees");
    let (subject, codec) = (reference("42"), Codec::Columns);
    let context = context(VAULT, SOURCE, &relation, subject, codec, Some(&layout));
    let sealer = SegmentSealer::new(&ANNA_KEY);
    let mac = sealer.content_mac(&context, &payload);
    lines(&[
        ("tuples", &tuples.concat()),
        ("layout", &layout.digest().0),
        ("context", context.as_bytes()),
        ("p", &payload),
        ("content_mac", &mac),
        ("sealed", &sealer.seal(&context, &mac, &payload)),
    ])
}

fn index() -> String {
    let index = write_layer::index(VAULT, &backup());
    let mut numbers = BlockBuilder::new(300);
    let entry = IndexEntry {
        reference: reference("42"),
        content_mac: [0; 32],
        codec: Codec::Stored,
        pack: 0,
        offset: 127,
        length: 128,
        rows: 16_384,
        raw_bytes: 0,
    };
    assert!(numbers.push(&Listed::Segment(entry)).is_none());
    let block = numbers.take().unwrap().bytes;
    let varints = [&block[..3], &block[block.len() - 8..]].concat();
    assert_eq!(hex::encode(varints), ["ac0201", "00", "7f", "8001", "808001", "00"].concat());
    lines(&[
        ("IK", identity().index_key().expose()),
        ("plain block 0", &index.plain[0]),
        ("plain block 1", &index.plain[1]),
        ("block 1", &index.blocks[1]),
        ("directory", &index.directory),
    ])
}

fn headers() -> String {
    let index = write_layer::index(VAULT, &backup()).header;
    lines(&[("pack", &pack::header(VAULT, PACK)), ("index", &index)])
}

fn other_keys() -> String {
    let note = kdf::derive(b"", &COMMONS_KEY, labels::NOTE_KEY.as_bytes());
    let audit = kdf::derive(&VAULT.0, &MASTER, labels::AUDIT_HEAD.as_bytes());
    let master = MasterSecret::from_slice(&MASTER).unwrap();
    let signer = strongroom::keys::vault_keys::audit_head_key(&master, VAULT);
    let context = Context::new("x");
    assert_eq!(signer.mac(&context, b""), kdf::MacKey::new(audit.expose()).mac(&context, b""));
    lines(&[("note key", note.expose()), ("audit head key", audit.expose())])
}

fn replica() -> String {
    let master = MasterSecret::from_slice(&MASTER).unwrap();
    let secret = strongroom::keys::EpochSecret::from_slice(&EPOCH_SECRET).unwrap();
    let keys =
        KeyRing::new(VAULT, strongroom::base::ids::Epoch(7), &master, &secret).replica_keys();
    let header = write_replica::header(VAULT);
    let head_key = keys.head_key(&header.salt, header.sequence);
    assert_eq!(head_key.expose(), write_replica::head_key(VAULT).expose());
    let frame = Context::new(labels::REPLICA_FRAME)
        .with(&VAULT.0)
        .with_number(9)
        .with(b"subject:3")
        .with_number(2);
    lines(&[("HK", head_key.expose()), ("header", &header.to_bytes()), ("frame", frame.as_bytes())])
}
