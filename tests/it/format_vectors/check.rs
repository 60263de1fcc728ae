//! What the crate answers to a vector.

use strongroom::base::ids::{Epoch, ShardId};
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::columns::{Layout, decode};
use strongroom::container::index::{BlockPlace, IndexSeal, parse_layer_listing, parse_listing};
use strongroom::container::layer_key::LayerUse;
use strongroom::container::manifest::Manifest;
use strongroom::container::replica::ObjectKey;
use strongroom::container::replica::data::DataSeal;
use strongroom::container::replica::head::{CellPlace, HeadHeader};
use strongroom::container::segment::{Codec, Relation, context, decompress, rows_of};
use strongroom::container::{ContainerError, index_block, layer_block, pack};
use strongroom::crypto::SecretText;
use strongroom::crypto::segment::SegmentSealer;
use strongroom::keys::custodians::file::FileCustodian;
use strongroom::keys::custodians::share::Share;
use strongroom::keys::custodians::{Custodian as _, quorum};
use strongroom::keys::master::{self, Credentials};
use strongroom::keys::ring::{KeyName, KeyRing};
use strongroom::keys::vault_keys::{CommonsKey, IndexKey, ReferenceMaker, TombstoneKey};
use strongroom::keys::{EpochSecret, KeyError, MasterSecret};
use strongroom::policy::subject_map::key_from_parts;
use strongroom::vault::replica::open_head;

use crate::format_vectors::vector::Vector;

/// The outcome in the words of the vectors' headers.
pub fn outcome(vector: &Vector) -> String {
    let outcome = match vector.text("kind") {
        "segment" => segment(vector),
        "columns" => columns(vector),
        "pack-header" => pack_header(vector),
        "index-header" => index_header(vector),
        "index-directory" => index_directory(vector),
        "index-listing" => parse_listing(&vector.bytes, "o").map(drop).map_err(|e| stored(&e)),
        "layer-header" => layer_header(vector),
        "layer-directory" => layer_directory(vector),
        "layer-listing" => {
            parse_layer_listing(&vector.bytes, "o").map(drop).map_err(|error| stored(&error))
        }
        "layer-block" => block(vector, &layer_seal(vector)),
        "layer-entries" => {
            layer_block::parse(&vector.bytes, "o").map(drop).map_err(|error| stored(&error))
        }
        "layer-key" => layer_key(vector),
        "index-block" => block(vector, &index_seal(vector)),
        "index-entries" => {
            index_block::parse(&vector.bytes, "o").map(drop).map_err(|error| stored(&error))
        }
        "manifest" | "manifest-2" => manifest(vector),
        "age-file" => age_file(vector),
        "wrapped-key" => wrapped_key(vector),
        "epoch-secret" | "epoch-share" => epoch_share(vector),
        "epoch-quorum" => epoch_quorum(vector),
        "master-secret" => master_secret(vector),
        "note" => note(vector),
        "subject-reference" => subject_reference(vector),
        "tombstone" => tombstone(vector),
        "replica-head" => replica_head(vector),
        "replica-data" => replica_data(vector),
        "replica-cell" => replica_cell(vector),
        other => panic!("a vector of unknown kind `{other}`"),
    };
    outcome.err().unwrap_or("opens").to_owned()
}

type Outcome = Result<(), &'static str>;

fn stored(error: &ContainerError) -> &'static str {
    match error {
        ContainerError::NotAuthentic { .. } => "not-authentic",
        ContainerError::Malformed { .. } => "malformed",
        ContainerError::OtherVault { .. } => "other-vault",
        ContainerError::OtherBackup { .. } => "other-backup",
        ContainerError::OtherReplica { .. } => "other-replica",
        ContainerError::NewerFormat { .. } => "newer-format",
    }
}

fn secret(error: &KeyError) -> &'static str {
    match error {
        KeyError::WrongPassphrase { .. } => "wrong-passphrase",
        KeyError::WrongIdentity { .. } => "wrong-identity",
        KeyError::OtherVault { .. } => "other-vault",
        KeyError::Wrapped { .. } => "not-authentic",
        KeyError::Damaged { .. } | KeyError::BadShares { .. } => "malformed",
        KeyError::MixedShares { .. } => "mixed-shares",
        KeyError::TooFewShares { .. } => "too-few-shares",
        other => panic!("{other}"),
    }
}

/// What opened must be what the vector says.
fn same(vector: &Vector, name: &str, found: &[u8]) {
    if let Some(expected) = vector.optional(name) {
        assert_eq!(hex::encode(found), expected);
    }
}

fn segment(vector: &Vector) -> Outcome {
    let codec = Codec::from_number(vector.value("codec")).ok_or("malformed")?;
    let relation: Relation = serde_json::from_str(vector.text("relation")).unwrap();
    let layout = vector.optional("layout").map(layout);
    let context = context(
        vector.value("vault"),
        vector.value("source"),
        &relation,
        vector.value("reference"),
        codec,
        layout.as_ref(),
    );
    let key = vector.key("subject-key");
    let payload = SegmentSealer::new(&key)
        .open(&context, &vector.key("content-mac"), &vector.bytes)
        .map_err(|_| "not-authentic")?;
    let raw_bytes = vector.value("raw-bytes");
    let rows = if layout.is_none() {
        decompress(codec, payload, raw_bytes, "o")
    } else {
        let counts = (vector.value("rows"), raw_bytes);
        rows_of((codec, layout.as_ref()), payload, counts, "o")
    };
    same(vector, "plain", &rows.map_err(|error| stored(&error))?);
    Ok(())
}

fn layout(json: &str) -> Layout {
    serde_json::from_str(json).unwrap()
}

fn columns(vector: &Vector) -> Outcome {
    let layout = layout(vector.text("layout"));
    let (rows, tuple_bytes) = (vector.value("rows"), vector.value("raw-bytes"));
    let tuples = decode(&layout, &vector.bytes, rows, tuple_bytes).map_err(|_| "malformed")?;
    same(vector, "plain", &tuples);
    Ok(())
}

fn pack_header(vector: &Vector) -> Outcome {
    pack::check_header(&vector.bytes, vector.value("vault"), vector.value("pack"), "o")
        .map_err(|error| stored(&error))
}

fn index_seal(vector: &Vector) -> IndexSeal {
    let identity = BackupIdentity::from_text(vector.text("identity").as_bytes()).unwrap();
    IndexSeal::of_version_1(identity.index_key(), vector.value("vault"), vector.value("backup"))
}

fn layer_seal(vector: &Vector) -> IndexSeal {
    let identity = BackupIdentity::from_text(vector.text("identity").as_bytes()).unwrap();
    IndexSeal::new(identity.index_key(), vector.value("vault"), vector.value("backup"))
}

fn layer_header(vector: &Vector) -> Outcome {
    layer_seal(vector).check_header(&vector.bytes, "o").map_err(|error| stored(&error))
}

fn layer_directory(vector: &Vector) -> Outcome {
    let opened = layer_seal(vector).open_directory(&vector.bytes, "o");
    opened.map(drop).map_err(|error| stored(&error))
}

fn layer_key(vector: &Vector) -> Outcome {
    let identity = BackupIdentity::from_text(vector.text("identity").as_bytes()).unwrap();
    let (user, layer) = (vector.value("backup"), vector.value("layer"));
    let place = LayerUse { vault: vector.value("vault"), user: &user, layer: &layer };
    let key = place.unwrap(&identity.index_key(), &vector.bytes, "o");
    same(vector, "secret", key.map_err(|error| stored(&error))?.expose());
    Ok(())
}

fn index_header(vector: &Vector) -> Outcome {
    index_seal(vector).check_header(&vector.bytes, "o").map_err(|error| stored(&error))
}

fn index_directory(vector: &Vector) -> Outcome {
    let opened = index_seal(vector).open_directory(&vector.bytes, "o");
    opened.map(drop).map_err(|error| stored(&error))
}

fn block(vector: &Vector, seal: &IndexSeal) -> Outcome {
    let place = BlockPlace {
        relation: vector.value("relation"),
        first: vector.value("first"),
        last: vector.value("last"),
        entries: vector.value("entries"),
        offset: 0,
        length: vector.bytes.len() as u64,
    };
    let opened = seal.open_block(vector.value("number"), &place, &vector.bytes, "o");
    opened.map(drop).map_err(|error| stored(&error))
}

fn manifest(vector: &Vector) -> Outcome {
    let identity = BackupIdentity::from_text(vector.text("identity").as_bytes()).unwrap();
    let (vault, backup) = (vector.value("vault"), vector.value("backup"));
    let opened = Manifest::open(&vector.bytes, &identity, vault, &backup, "o");
    opened.map(drop).map_err(|error| stored(&error))
}

fn age_file(vector: &Vector) -> Outcome {
    let identity = BackupIdentity::from_text(vector.text("identity").as_bytes()).unwrap();
    let contents = identity.open("o", &vector.bytes).map_err(|error| stored(&error))?;
    same(vector, "plain", &contents);
    Ok(())
}

fn wrapped_key(vector: &Vector) -> Outcome {
    let master = MasterSecret::from_slice(&vector.key("master")).unwrap();
    let epoch_secret = EpochSecret::from_slice(&vector.key("epoch-secret")).unwrap();
    let (vault, epoch) = (vector.value("vault"), Epoch(vector.value("epoch")));
    let shard = ShardId(vector.value("shard"));
    let shard_key = vector.hex("shard-key");
    let ring = KeyRing::open(vault, epoch, &master, &epoch_secret, [(shard, &shard_key[..])]);
    let ring = ring.map_err(|error| secret(&error))?;
    let (kind, name) = vector.text("key").split_once(' ').unwrap();
    let name = match kind {
        "subject" => KeyName::Subject(name.parse().unwrap()),
        "backup" => KeyName::Backup(name.parse().unwrap()),
        _ => KeyName::Vault(name.to_owned()),
    };
    let key = ring.unwrap(&name, shard, &vector.bytes).map_err(|error| secret(&error))?;
    same(vector, "secret", &key);
    Ok(())
}

fn epoch_share(vector: &Vector) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let epoch = Epoch(vector.value("file-epoch"));
    std::fs::write(folder.path().join(format!("epoch-{epoch}.secret")), &vector.bytes).unwrap();
    let custodian = FileCustodian::new("main", folder.path());
    let found = custodian.get(vector.value("vault"), epoch).map_err(|error| secret(&error))?;
    for (name, value) in [
        ("set", found.set.to_string()),
        ("threshold", found.threshold.to_string()),
        ("index", found.index.to_string()),
    ] {
        assert_eq!(vector.optional(name).unwrap_or(&value), value);
    }
    same(vector, "secret", found.value.expose());
    Ok(())
}

fn epoch_quorum(vector: &Vector) -> Outcome {
    const HEAD: &str = "strongroom epoch";
    let (vault, epoch) = (vector.value("vault"), Epoch(vector.value("file-epoch")));
    let text = std::str::from_utf8(&vector.bytes).unwrap();
    let read = |text| {
        Share::from_text(format!("{HEAD}{text}").as_bytes(), "o")?.belonging_to(vault, epoch, "o")
    };
    let shares: Result<Vec<_>, KeyError> = text.split(HEAD).skip(1).map(read).collect();
    let found = shares.and_then(|shares| quorum::combine(&shares));
    same(vector, "secret", found.map_err(|error| secret(&error))?.expose());
    Ok(())
}

fn master_secret(vector: &Vector) -> Outcome {
    let text = |name| vector.optional(name).map(|text| SecretText::new(text.to_owned()));
    let credentials = Credentials {
        passphrase: text("passphrase"),
        identities: text("identity").map(|identity| (identity, "id".to_owned())),
    };
    let found = master::open(&vector.bytes, vector.value("vault"), &credentials, "o");
    let found = found.map_err(|error| secret(&error))?;
    same(vector, "secret", found.expose());
    Ok(())
}

fn note(vector: &Vector) -> Outcome {
    let key = CommonsKey::from_slice(&vector.key("commons-key")).unwrap();
    let (vault, id) = (vector.value("vault"), vector.hex("id"));
    let opened = key.open_note(vault, vector.text("label"), &id, &vector.bytes);
    let opened = opened.map_err(|_| "not-authentic")?;
    same(vector, "text", opened.expose().as_bytes());
    Ok(())
}

fn subject_reference(vector: &Vector) -> Outcome {
    let maker = ReferenceMaker::new(&IndexKey::from_slice(&vector.key("index-key")).unwrap());
    let parts: Vec<String> = serde_json::from_str(vector.text("key-parts")).unwrap();
    let key = key_from_parts(&parts);
    let reference = maker.reference(vector.value("source"), vector.text("class"), key.as_bytes());
    if reference.0[..] == vector.bytes { Ok(()) } else { Err("differs") }
}

fn tombstone(vector: &Vector) -> Outcome {
    let key = TombstoneKey::from_slice(&vector.key("tombstone-key")).unwrap();
    let tombstone = key.tombstone(vector.value("reference"));
    if tombstone[..] == vector.bytes { Ok(()) } else { Err("differs") }
}

fn replica_head(vector: &Vector) -> Outcome {
    let (vault, sequence) = (vector.value("vault"), vector.value("sequence"));
    let master = MasterSecret::from_slice(&vector.key("master")).unwrap();
    let epoch_secret = EpochSecret::from_slice(&vector.key("epoch-secret")).unwrap();
    let header = HeadHeader::expect(&vector.bytes, vault, sequence, "o");
    let header = header.map_err(|error| stored(&error))?;
    let keys = KeyRing::new(vault, header.epoch, &master, &epoch_secret).replica_keys();
    let head = open_head(&vector.bytes, sequence, &keys).map_err(|error| stored(&error))?;
    same(vector, "plain", &serde_json::to_vec(&head).unwrap());
    let keys: Vec<_> = head.objects.iter().map(|object| *object.key.expose()).collect();
    same(vector, "keys", &keys.concat());
    Ok(())
}

fn data_seal(vector: &Vector) -> DataSeal {
    let key = ObjectKey::from_slice(&vector.key("object-key")).unwrap();
    DataSeal::new(key, vector.value("vault"), vector.value("sequence"))
}

fn replica_data(vector: &Vector) -> Outcome {
    data_seal(vector).check_header(&vector.bytes, "o").map_err(|error| stored(&error))
}

fn replica_cell(vector: &Vector) -> Outcome {
    let place = CellPlace {
        cell: vector.text("cell").to_owned(),
        object: vector.value("sequence"),
        frame: vector.value("frame"),
        offset: 32,
        length: vector.bytes.len() as u64,
        sha256: vector.value("sha256"),
    };
    let opened = data_seal(vector).open_cell(&place, &vector.bytes, "o");
    let lines = opened.map_err(|error| stored(&error))?.concat();
    same(vector, "plain", &lines);
    Ok(())
}
