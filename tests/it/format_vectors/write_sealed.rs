//! Vectors of segments, packs, manifests and other age files.

use serde_json::{Value, json};
use strongroom::base::ids::{Digest, PackId, SourceId, SubjectReference, VaultId};
use strongroom::base::schema::{DatabaseSchema, DatabaseSettings};
use strongroom::container::manifest::{
    Contents, LayerSummary, Manifest, MapText, PackSummary, RelationSummary, RowFormat, VERSION,
};
use strongroom::container::pack;
use strongroom::container::segment::{Codec, Compressor, Relation, context};
use strongroom::crypto::segment::SegmentSealer;

use crate::format_vectors::fixed::{
    ANNA_KEY, BRUNO_KEY, COMMONS_KEY, IDENTITY, OTHER_SOURCE, OTHER_VAULT, PACK, SOURCE, VAULT,
    backup, flipped, identity, other_backup, reference, table,
};
use crate::format_vectors::vector::Vector;
use crate::format_vectors::write_columns;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    segments(&mut add);
    packs(&mut add);
    manifests(&mut add);
    age_files(&mut add);
    all
}

type Add<'a> = dyn FnMut(&str, Vector) + 'a;
type Change<'a> = &'a dyn Fn(&mut Value);

const ROWS: &[u8] = b"1\tanna@example.org\tAnna\n2\tanna@example.org\t\\N\n";

/// Where a segment belongs, and what is in it.
struct Place {
    key: [u8; 32],
    vault: VaultId,
    source: SourceId,
    relation: Relation,
    reference: SubjectReference,
    codec: Codec,
}

fn anna() -> Place {
    Place {
        key: ANNA_KEY,
        vault: VAULT,
        source: SOURCE,
        relation: table("users"),
        reference: reference("42"),
        codec: Codec::Stored,
    }
}

impl Place {
    fn seal(&self, comment: &str, payload: &[u8], raw: &[u8]) -> Vector {
        let context =
            context(self.vault, self.source, &self.relation, self.reference, self.codec, None);
        let sealer = SegmentSealer::new(&self.key);
        let mac = sealer.content_mac(&context, payload);
        let sealed = sealer.seal(&context, &mac, payload);
        self.describe(Vector::new("segment", "opens", comment, sealed))
            .with("content-mac", &hex::encode(mac))
            .with("raw-bytes", &raw.len())
            .with("plain", &hex::encode(raw))
    }

    fn describe(&self, vector: Vector) -> Vector {
        vector
            .with("subject-key", &hex::encode(self.key))
            .with("vault", &self.vault)
            .with("source", &self.source)
            .with("relation", &serde_json::to_string(&self.relation).unwrap())
            .with("reference", &self.reference)
            .with("codec", &(self.codec as u8))
    }
}

fn segments(add: &mut Add<'_>) {
    let stored = anna().seal("Two rows as they are.", ROWS, ROWS);
    add("stored", stored.clone());

    let many = ROWS.repeat(50);
    let (codec, frame) = Compressor::new().unwrap().compress(&many).unwrap();
    assert_eq!(codec, Codec::Zstandard);
    let compressed = Place { codec, ..anna() };
    let zstandard = compressed.seal("A hundred rows in one Zstandard frame.", &frame, &many);
    add("zstandard", zstandard.clone());

    let commons = Place { key: COMMONS_KEY, reference: SubjectReference::COMMONS, ..anna() };
    add("commons", commons.seal("A row that is nobody's.", b"EUR\n", b"EUR\n"));
    let quoted = Relation::Table(strongroom::base::schema::QualifiedName::new("Ä.b", "q\"x"));
    let unusual = Place { relation: quoted, ..anna() };
    add("unusual_name", unusual.seal("A table whose name needs quotes.", ROWS, ROWS));
    let objects = Place { relation: Relation::LargeObjects, ..anna() };
    let lines = b"16400\tm\t{\"oid\":16400,\"owner\":\"app\",\"comment\":null,\"grants\":[]}\n\
                  16400\t0\t68656c6c6f\n";
    add("large_object", objects.seal("A large object's two lines.", lines, lines));

    let refused =
        |outcome: &str, comment: &str, bytes: &[u8]| stored.but(outcome, comment, bytes.to_vec());
    let (sealed, length) = (&stored.bytes, stored.bytes.len());
    for (name, cut) in [
        ("cut_empty", 0),
        ("cut_within_the_tag", 15),
        ("cut_before_the_tag", length - 16),
        ("cut_last_byte", length - 1),
    ] {
        add(name, refused("not-authentic", "Cut short.", &sealed[..cut]));
    }
    let longer = [&sealed[..], b"\0"].concat();
    add("one_byte_more", refused("not-authentic", "A byte follows the tag.", &longer));
    for (name, byte) in [
        ("flipped_first_byte", 0),
        ("flipped_last_of_rows", length - 17),
        ("flipped_tag", length - 1),
    ] {
        add(name, refused("not-authentic", "One bit differs.", &flipped(sealed, byte)));
    }

    let bruno = Place { key: BRUNO_KEY, reference: reference("43"), ..anna() };
    let elsewhere = [
        ("of_another_subject", bruno, "Another subject's segment, whole, in her place."),
        (
            "of_another_subject_under_her_key",
            Place { reference: reference("43"), ..anna() },
            "Sealed under the right key for another subject's reference.",
        ),
        (
            "of_another_table",
            Place { relation: table("accounts"), ..anna() },
            "The same subject's segment of another table.",
        ),
        (
            "of_a_table_with_shifted_name",
            Place {
                relation: Relation::Table(strongroom::base::schema::QualifiedName::new(
                    "publicu", "sers",
                )),
                ..anna()
            },
            "The names of schema and table joined are the same, their boundary is not.",
        ),
        (
            "of_large_objects",
            Place { relation: Relation::LargeObjects, ..anna() },
            "A segment of large objects in a table's place.",
        ),
        (
            "of_another_source",
            Place { source: OTHER_SOURCE, ..anna() },
            "A segment of another source of the vault.",
        ),
        ("of_another_vault", Place { vault: OTHER_VAULT, ..anna() }, "A segment of another vault."),
        (
            "of_another_codec",
            Place { codec: Codec::Zstandard, ..anna() },
            "Sealed as Zstandard, and the index says stored.",
        ),
    ];
    for (name, place, comment) in elsewhere {
        let vector = place.seal(comment, ROWS, ROWS);
        let here = anna().describe(vector.but("not-authentic", comment, vector.bytes.clone()));
        add(name, here);
    }
    let comment = "The index says Zstandard, sealed as stored.";
    add("codec_changed", refused("not-authentic", comment, sealed).with("codec", &1));
    let comment = "The index names a codec that does not exist.";
    add("codec_unknown", refused("malformed", comment, sealed).with("codec", &3));

    let mut mac = stored.hex("content-mac");
    mac[31] ^= 1;
    let comment = "One bit of the content MAC differs.";
    let vector = refused("not-authentic", comment, sealed);
    add("content_mac_flipped", vector.with("content-mac", &hex::encode(&mac)));
    let comment = "Decrypts under the key that the content MAC leads to, and is not what it names.";
    let place = anna();
    let context_bytes =
        context(place.vault, place.source, &place.relation, place.reference, place.codec, None);
    let sealer = SegmentSealer::new(&place.key);
    let named = sealer.content_mac(&context_bytes, ROWS);
    let forged = sealer.seal(&context_bytes, &named, b"9\tforged\t\\N\n");
    add("content_mac_of_other_rows", refused("not-authentic", comment, &forged));

    for (name, raw_bytes) in [
        ("length_one_less", ROWS.len() as u64 - 1),
        ("length_one_more", ROWS.len() as u64 + 1),
        ("length_zero", 0),
        ("length_absurd", u64::MAX),
    ] {
        let comment = "The index lies about the rows' length.";
        add(name, refused("malformed", comment, sealed).with("raw-bytes", &raw_bytes));
    }
    for (name, raw_bytes) in [
        ("zstandard_length_one_less", many.len() as u64 - 1),
        ("zstandard_length_one_more", many.len() as u64 + 1),
        ("zstandard_length_absurd", 1 << 40),
    ] {
        let comment = "The index lies about the length after decompression.";
        let vector = zstandard.but("malformed", comment, zstandard.bytes.clone());
        add(name, vector.with("raw-bytes", &raw_bytes));
    }
    for (name, payload, comment) in [
        ("zstandard_cut", &frame[..frame.len() - 1], "An authentic frame that ends too early."),
        ("zstandard_no_frame", ROWS, "Authentic bytes that are no Zstandard frame."),
        ("zstandard_empty", b"", "An authentic empty payload."),
    ] {
        let vector = compressed.seal(comment, payload, &many);
        add(name, vector.but("malformed", comment, vector.bytes.clone()));
    }
}

fn packs(add: &mut Add<'_>) {
    let describe = |vector: Vector| vector.with("vault", &VAULT).with("pack", &PACK);
    let header = pack::header(VAULT, PACK);
    let vector = describe(Vector::new("pack-header", "opens", "A pack's header.", header.to_vec()));
    add("right", vector.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: &[u8]| {
        add(name, vector.but(outcome, comment, bytes.to_vec()));
    };
    other("cut_empty", "malformed", "An empty object.", &[]);
    other("cut_last_byte", "malformed", "Ends within its header.", &header[..39]);
    other("magic_flipped", "malformed", "Another magic.", &flipped(&header, 0));
    other("newer", "newer-format", "Version 2.", &replaced(&header, 7, 2));
    other("version_zero", "newer-format", "Version 0 was never written.", &replaced(&header, 7, 0));
    let foreign = pack::header(OTHER_VAULT, PACK);
    other("of_another_vault", "other-vault", "Another vault's pack.", &foreign);
    let swapped = pack::header(VAULT, PackId([9; 16]));
    other("under_another_name", "malformed", "Another pack under this name.", &swapped);
}

fn replaced(bytes: &[u8], at: usize, by: u8) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    replaced[at] = by;
    replaced
}

/// A small manifest.
pub fn manifest() -> Manifest {
    let text = |text: &str| text.to_owned();
    Manifest {
        version: VERSION,
        written_by: text("strongroom 0.1.0"),
        vault: VAULT,
        backup: backup(),
        source: SOURCE,
        source_name: text("finance"),
        class: text("daily"),
        contents: Contents::DataOnly,
        note: None,
        started_at: "2026-11-22T02:00:00.000001Z".parse().unwrap(),
        snapshot_at: "2026-11-22T02:00:00.5Z".parse().unwrap(),
        schema: DatabaseSchema {
            server_version_num: 150_018,
            database: DatabaseSettings {
                name: text("finance"),
                encoding: text("UTF8"),
                collate: text("C.UTF-8"),
                ctype: text("C.UTF-8"),
                locale_provider: 'c',
                locale: None,
                icu_rules: None,
            },
            tables: Vec::new(),
            foreign_keys: Vec::new(),
            sequences: Vec::new(),
            materialized_views: Vec::new(),
            foreign_tables: Vec::new(),
            extension_tables: Vec::new(),
            large_objects: 0,
            roles: Vec::new(),
        },
        map: MapText { digest: Digest([7; 32]), toml: text("version = 1\n") },
        relations: vec![
            RelationSummary {
                relation: table("Users"),
                format: RowFormat::CopyText,
                layout: None,
                rows: 2,
                segments: 1,
                subjects: 1,
                raw_bytes: ROWS.len() as u64,
                sealed_bytes: ROWS.len() as u64 + 16,
                rows_of_erased: 0,
            },
            RelationSummary {
                relation: table("payees"),
                format: RowFormat::CopyBinary,
                layout: Some(write_columns::payees()),
                rows: 3,
                segments: 1,
                subjects: 1,
                raw_bytes: 150,
                sealed_bytes: 80,
                rows_of_erased: 2,
            },
        ],
        packs: vec![PackSummary { id: PACK, bytes: 104, sha256: Digest([8; 32]), used: 64 }],
        layers: vec![
            LayerSummary {
                backup: other_backup(),
                bytes: 950,
                sha256: Digest([10; 32]),
                directory_offset: 750,
                entries: 12,
                key: Some("0a".repeat(60)),
            },
            LayerSummary {
                backup: backup(),
                bytes: 250,
                sha256: Digest([9; 32]),
                directory_offset: 150,
                entries: 1,
                key: None,
            },
        ],
        schema_archive: None,
    }
}

fn manifests(add: &mut Add<'_>) {
    let identity = identity();
    let json = serde_json::to_value(manifest()).unwrap();
    let seal = |json: &[u8]| identity.seal("o", json).unwrap();
    let right = seal(json.to_string().as_bytes());
    let vector = Vector::new("manifest-2", "opens", "A manifest.", right.clone())
        .with("identity", &IDENTITY)
        .with("vault", &VAULT)
        .with("backup", &backup())
        .with("json", &json);
    add("right", vector.clone());
    let plain = |outcome: &str, comment: &str, bytes: Vec<u8>| vector.but(outcome, comment, bytes);

    let comment = "Asked for by another vault.";
    add(
        "of_another_vault",
        plain("other-vault", comment, right.clone()).with("vault", &OTHER_VAULT),
    );
    let comment = "Lies under another backup's name.";
    let moved = plain("other-backup", comment, right.clone());
    add("of_another_backup", moved.with("backup", &other_backup()));

    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        seal(json.to_string().as_bytes())
    };
    let cases: &[(&str, &str, &str, Change<'_>)] = &[
        ("newer", "newer-format", "Version 3, with a field that is not known.", &|json| {
            json["version"] = json!(3);
            json["new"] = json!(1);
        }),
        ("unknown_field", "malformed", "A field that version 2 does not have.", &|json| {
            json["new"] = json!(1);
        }),
        ("unknown_field_of_a_pack", "malformed", "A field that a pack does not have.", &|json| {
            json["packs"][0]["new"] = json!(1);
        }),
        ("missing_field", "malformed", "No list of packs.", &|json| {
            json.as_object_mut().unwrap().remove("packs");
        }),
        ("negative_rows", "malformed", "A number of rows below zero.", &|json| {
            json["relations"][0]["rows"] = json!(-1);
        }),
        ("short_digest", "malformed", "A digest of 31 bytes.", &|json| {
            json["packs"][0]["sha256"] = json!("08".repeat(31));
        }),
        (
            "backup_id_with_a_path",
            "malformed",
            "A backup id that would leave the store.",
            &|json| {
                json["backup"] = json!("../../../../etc/passwd0");
            },
        ),
        ("index_of_version_1", "malformed", "The index as version 1 names it.", &|json| {
            json["index"] = json["layers"].as_array_mut().unwrap().remove(1);
        }),
        ("version_1_with_layers", "malformed", "Version 1 knows no layers.", &|json| {
            json["version"] = json!(1);
        }),
        ("pack_without_used", "malformed", "A pack without `used`.", &|json| {
            json["packs"][0].as_object_mut().unwrap().remove("used");
        }),
        ("pack_twice", "malformed", "One pack, listed twice.", &|json| {
            let pack = json["packs"][0].clone();
            json["packs"].as_array_mut().unwrap().push(pack);
        }),
        ("layer_twice", "malformed", "One layer, listed twice.", &|json| {
            json["layers"][1] = json["layers"][0].clone();
        }),
        ("three_layers", "malformed", "A third layer.", &|json| {
            let mut layer = json["layers"][0].clone();
            layer["backup"] = json!("20261124T020000Z-000002");
            json["layers"].as_array_mut().unwrap().push(layer);
        }),
        ("packs_without_layers", "malformed", "Packs, and no index.", &|json| {
            json["layers"] = json!([]);
        }),
        (
            "layer_without_its_key",
            "malformed",
            "Another backup's layer without its key.",
            &|json| {
                json["layers"][0]["key"] = Value::Null;
            },
        ),
        ("own_layer_with_a_key", "malformed", "The own layer with a wrapped key.", &|json| {
            json["layers"][1]["key"] = json!("0a".repeat(60));
        }),
        ("layer_key_too_short", "malformed", "A wrapped key of 59 bytes.", &|json| {
            json["layers"][0]["key"] = json!("0a".repeat(59));
        }),
        ("directory_past_the_end", "malformed", "A directory that begins past the end.", &|json| {
            json["layers"][1]["directory_offset"] = json!(251);
        }),
        ("unknown_field_of_a_layer", "malformed", "A field that a layer does not have.", &|json| {
            json["layers"][0]["new"] = json!(1);
        }),
        ("unknown_row_format", "malformed", "A row format that does not exist.", &|json| {
            json["relations"][0]["format"] = json!("parquet");
        }),
        ("binary_rows_without_layout", "malformed", "Binary rows without a layout.", &|json| {
            json["relations"][1].as_object_mut().unwrap().remove("layout");
        }),
        ("lines_with_a_layout", "malformed", "Lines with a layout of columns.", &|json| {
            json["relations"][0]["layout"] = json["relations"][1]["layout"].clone();
        }),
        ("unknown_kind_of_column", "malformed", "A kind of column that is not known.", &|json| {
            json["relations"][1]["layout"][0]["kind"] = json!("integer-16");
        }),
        ("patterns_of_numbers", "malformed", "A column of numbers with patterns.", &|json| {
            json["relations"][1]["layout"][0]["patterns"] = json!(["a"]);
        }),
        ("unknown_field_of_a_column", "malformed", "A field that a column has not.", &|json| {
            json["relations"][1]["layout"][0]["new"] = json!(1);
        }),
    ];
    for (name, outcome, comment, change) in cases {
        add(name, plain(outcome, comment, changed(*change)));
    }
    add("no_json", plain("malformed", "Authentic bytes that are no JSON.", seal(b"manifest")));
    let twice = [json.to_string(), json.to_string()].concat();
    add("two_documents", plain("malformed", "Two JSON documents.", seal(twice.as_bytes())));
    let end = right.len();
    add("cut_last_byte", plain("not-authentic", "Cut short.", right[..end - 1].to_vec()));
    add("flipped", plain("not-authentic", "One bit differs.", flipped(&right, end - 100)));
}

fn age_files(add: &mut Add<'_>) {
    let contents = b"strongroom\n".repeat(6000);
    let sealed = identity().seal("o", &contents).unwrap();
    // The header ends after the line that begins with `---`; then a nonce of 16 bytes, then chunks
    // of 64 KiB with a tag of 16 bytes each.
    let mark = sealed.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    let header = mark + sealed[mark..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let chunk = header + 16 + (64 << 10) + 16;
    let small = identity().seal("o", b"small\n").unwrap();
    let right = Vector::new("age-file", "opens", "An age file for a backup.", small.clone())
        .with("identity", &IDENTITY)
        .with("plain", &hex::encode(b"small\n"));
    add("right", right.clone());
    let other = "AGE-SECRET-KEY-1GAR5W368GAR5W368GAR5W368GAR5W368GAR5W368GAR5W368GARSV3C77T";
    let comment = "Another backup's identity.";
    let vector = right.but("not-authentic", comment, small.clone());
    add("of_another_identity", vector.with("identity", &other));
    for (name, bytes) in [
        ("cut_empty", Vec::new()),
        ("cut_within_the_header", sealed[..40].to_vec()),
        ("cut_after_the_header", sealed[..header].to_vec()),
        ("cut_after_the_nonce", sealed[..header + 16].to_vec()),
        ("cut_after_a_whole_chunk", sealed[..chunk].to_vec()),
        ("cut_last_byte", small[..small.len() - 1].to_vec()),
        ("one_byte_more", [&small[..], b"\0"].concat()),
        ("flipped_header", flipped(&small, 60)),
        ("flipped_last_byte", flipped(&small, small.len() - 1)),
    ] {
        add(name, right.but("not-authentic", "Cut, longer or changed.", bytes));
    }
}
