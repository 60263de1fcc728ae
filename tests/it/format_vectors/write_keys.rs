//! Vectors of keys: wrapped keys, secret files, notes, subject references, tombstones.

use std::io::Write as _;

use age::secrecy::SecretString;
use strongroom::base::ids::{ShardId, SubjectReference, VaultId};
use strongroom::crypto::{Context, aead, kdf, labels};

use crate::format_vectors::fixed::{
    ANNA_KEY, COMMONS_KEY, Counting, EPOCH_SECRET, IDENTITY, INDEX_KEY, MASTER, OTHER_SOURCE,
    OTHER_VAULT, SHARD_KEY, SOURCE, TOMBSTONE_KEY, VAULT, backup, flipped, reference,
};
use crate::format_vectors::vector::Vector;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    wrapped_keys(&mut add);
    epoch_secrets(&mut add);
    master_secrets(&mut add);
    notes(&mut add);
    references(&mut add);
    tombstones(&mut add);
    all
}

type Add<'a> = dyn FnMut(&str, Vector) + 'a;

const EPOCH: u64 = 7;

/// The root key of an epoch, from the primitives alone.
pub fn root_key(vault: VaultId, epoch: u64) -> kdf::DerivedKey {
    let salt = [&vault.0[..], &epoch.to_be_bytes()].concat();
    kdf::derive(&salt, &[EPOCH_SECRET, MASTER].concat(), labels::ROOT.as_bytes())
}

/// A shard's key, wrapped under the root key.
pub fn wrapped_shard(vault: VaultId, epoch: u64, shard: ShardId) -> Vec<u8> {
    let context = Context::new(labels::WRAP_SHARD)
        .with(&vault.0)
        .with_number(epoch)
        .with_number(shard.0.into());
    aead::wrap(root_key(vault, epoch).expose(), &context, &SHARD_KEY, &mut Counting(0x80))
}

/// A subject's key, wrapped under the shard's.
pub fn wrapped_subject(vault: VaultId, shard: ShardId, reference: SubjectReference) -> Vec<u8> {
    wrapped(labels::WRAP_SUBJECT, vault, shard, &reference.0, &ANNA_KEY)
}

fn wrapped(label: &str, vault: VaultId, shard: ShardId, name: &[u8], key: &[u8]) -> Vec<u8> {
    let context = Context::new(label).with(&vault.0).with_number(shard.0.into()).with(name);
    aead::wrap(&SHARD_KEY, &context, key, &mut Counting(0x90))
}

fn wrapped_keys(add: &mut Add<'_>) {
    let (shard, anna) = (ShardId(3), reference("42"));
    let described = |comment: &str, key: &str, secret: &[u8], bytes: Vec<u8>| {
        Vector::new("wrapped-key", "opens", comment, bytes)
            .with("master", &hex::encode(MASTER))
            .with("epoch-secret", &hex::encode(EPOCH_SECRET))
            .with("vault", &VAULT)
            .with("epoch", &EPOCH)
            .with("shard", &shard)
            .with("shard-key", &hex::encode(wrapped_shard(VAULT, EPOCH, shard)))
            .with("key", &key)
            .with("secret", &hex::encode(secret))
    };
    let key = format!("subject {anna}");
    let right = wrapped_subject(VAULT, shard, anna);
    let subject = described("A subject's key.", &key, &ANNA_KEY, right.clone());
    add("subject", subject.clone());
    let (id, identity) = (backup().to_string(), IDENTITY.as_bytes());
    let bytes = wrapped(labels::WRAP_BACKUP, VAULT, shard, id.as_bytes(), identity);
    add("backup", described("A backup's identity.", &format!("backup {id}"), identity, bytes));
    let bytes = wrapped(labels::WRAP_VAULT_KEY, VAULT, shard, b"commons", &COMMONS_KEY);
    add("vault_key", described("The commons key.", "vault commons", &COMMONS_KEY, bytes));

    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, subject.but("not-authentic", comment, bytes));
    };
    for (name, cut) in [
        ("cut_empty", 0),
        ("cut_within_the_nonce", 11),
        ("cut_after_the_nonce", 12),
        ("cut_before_the_tag", right.len() - 16),
        ("cut_last_byte", right.len() - 1),
    ] {
        other(name, "Cut short.", right[..cut].to_vec());
    }
    other("one_byte_more", "A byte follows the tag.", [&right[..], &[0]].concat());
    for (name, byte) in
        [("flipped_nonce", 0), ("flipped_key", 12), ("flipped_tag", right.len() - 1)]
    {
        other(name, "One bit differs.", flipped(&right, byte));
    }
    let moved = wrapped_subject(VAULT, shard, reference("43"));
    other("of_another_subject", "Another subject's wrapped key in her row.", moved);
    let moved = wrapped_subject(VAULT, ShardId(4), anna);
    other("of_another_shard", "Wrapped for another shard, under the same shard key.", moved);
    let moved = wrapped_subject(OTHER_VAULT, shard, anna);
    other("of_another_vault", "Wrapped for another vault, under the same shard key.", moved);
    let moved = wrapped(labels::WRAP_VAULT_KEY, VAULT, shard, &anna.0, &ANNA_KEY);
    other("of_another_use", "Wrapped as a vault key.", moved);

    let refused = |comment: &str| subject.but("not-authentic", comment, right.clone());
    let shard_key = |bytes: Vec<u8>| hex::encode(bytes);
    let older = shard_key(wrapped_shard(VAULT, EPOCH - 1, shard));
    let comment = "The shard's key of the epoch before.";
    add("shard_of_another_epoch", refused(comment).with("shard-key", &older));
    let comment = "Another shard's key.";
    let swapped = shard_key(wrapped_shard(VAULT, EPOCH, ShardId(4)));
    add("shard_of_another_number", refused(comment).with("shard-key", &swapped));
    let comment = "Another vault's shard key, under the same secrets.";
    let foreign = shard_key(wrapped_shard(OTHER_VAULT, EPOCH, shard));
    add("shard_of_another_vault", refused(comment).with("shard-key", &foreign));
    let comment = "The right rows and another epoch's secret.";
    add("epoch_secret_of_another", refused(comment).with("epoch-secret", &"23".repeat(32)));
    let comment = "The right rows and another master secret.";
    add("master_of_another", refused(comment).with("master", &"12".repeat(32)));
    let comment = "Master and epoch secret exchanged.";
    let exchanged = refused(comment)
        .with("master", &hex::encode(EPOCH_SECRET))
        .with("epoch-secret", &hex::encode(MASTER));
    add("secrets_exchanged", exchanged);
}

fn epoch_secret_text(vault: VaultId, epoch: &str) -> String {
    format!(
        "strongroom epoch secret v1\nvault {vault}\nepoch {epoch}\nsecret {}\n",
        hex::encode(EPOCH_SECRET)
    )
}

fn epoch_secrets(add: &mut Add<'_>) {
    let text = epoch_secret_text(VAULT, "7");
    let right = Vector::new("epoch-secret", "opens", "epoch-7.secret.", text.clone().into())
        .with("vault", &VAULT)
        .with("file-epoch", &EPOCH)
        .with("secret", &hex::encode(EPOCH_SECRET));
    add("right", right.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, text: &str| {
        add(name, right.but(outcome, comment, text.into()));
    };
    let foreign = epoch_secret_text(OTHER_VAULT, "7");
    other("of_another_vault", "other-vault", "Another vault's secret.", &foreign);
    let moved = epoch_secret_text(VAULT, "8");
    other("of_another_epoch", "malformed", "Names another epoch than its name.", &moved);
    other("cut_empty", "malformed", "An empty file.", "");
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        if at < text.len() {
            let name = format!("cut_after_line_{}", number + 1);
            other(&name, "malformed", "Cut after a line.", &text[..at]);
        }
    }
    other("cut_within_the_secret", "malformed", "Cut.", &text[..text.len() - 3]);
    other("blanked", "malformed", "Overwritten with zeros.", &"\0".repeat(text.len()));
    let kind = text.replace("epoch secret", "master secret");
    other("of_another_kind", "malformed", "A master secret's first line.", &kind);
    other("newer", "malformed", "Version 2.", &text.replace(" v1\n", " v2\n"));
    other(
        "no_epoch",
        "malformed",
        "The line of the epoch is missing.",
        &text.replace("epoch 7\n", ""),
    );
    other("left_over", "malformed", "A line follows the secret.", &(text.clone() + "more\n"));
    other("not_hexadecimal", "malformed", "No digits.", &text.replace("2222", "22zz"));
}

fn master_secret_text(vault: VaultId) -> String {
    format!("strongroom master secret v1\nvault {vault}\nsecret {}\n", hex::encode(MASTER))
}

fn for_recipient(text: &str) -> Vec<u8> {
    let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
    age::encrypt(&identity.to_public(), text.as_bytes()).unwrap()
}

fn for_passphrase(text: &str, passphrase: &str) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    recipient.set_work_factor(10);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap();
    sealed
}

fn master_secrets(add: &mut Add<'_>) {
    let sealed = for_recipient(&master_secret_text(VAULT));
    let right = Vector::new("master-secret", "opens", "For a recipient.", sealed.clone())
        .with("vault", &VAULT)
        .with("secret", &hex::encode(MASTER));
    let by_identity = right.clone().with("identity", &IDENTITY);
    add("for_a_recipient", by_identity.clone());
    let mut other = |name: &str, outcome: &str, comment: &str, bytes: Vec<u8>| {
        add(name, by_identity.but(outcome, comment, bytes));
    };
    let foreign = for_recipient(&master_secret_text(OTHER_VAULT));
    other("of_another_vault", "other-vault", "Another vault's master secret.", foreign);
    let epoch = for_recipient(&epoch_secret_text(VAULT, "1"));
    other("of_another_kind", "malformed", "An epoch secret in an age file.", epoch);
    other("no_age_file", "malformed", "The text as it is.", master_secret_text(VAULT).into());
    let last = sealed.len() - 1;
    other("cut_last_byte", "malformed", "Cut short.", sealed[..last].to_vec());
    other("flipped_last_byte", "malformed", "One bit differs.", flipped(&sealed, last));
    let short = master_secret_text(VAULT).replace(&"11".repeat(32), &"11".repeat(31));
    other("short_secret", "malformed", "A secret of 31 bytes.", for_recipient(&short));

    let sealed = for_passphrase(&master_secret_text(VAULT), "correct horse");
    let comment = "For a passphrase (scrypt with a work factor that is for tests only).";
    let by_passphrase = right
        .but("opens", comment, sealed)
        .with("passphrase", &"correct horse")
        .with("secret", &hex::encode(MASTER));
    add("for_a_passphrase", by_passphrase.clone());
    let comment = "Another passphrase.";
    let bytes = by_passphrase.bytes.clone();
    let wrong = by_passphrase.but("wrong-passphrase", comment, bytes);
    add("wrong_passphrase", wrong.with("passphrase", &"correct house"));
}

fn notes(add: &mut Add<'_>) {
    let seal = |vault: VaultId, label: &str, id: &[u8], text: &str| {
        let key = kdf::derive(b"", &COMMONS_KEY, labels::NOTE_KEY.as_bytes());
        let context = Context::new(label).with(&vault.0).with(id);
        aead::wrap(key.expose(), &context, text.as_bytes(), &mut Counting(0xa0))
    };
    let url = "postgresql://backup@db.example/finance";
    let sealed = seal(VAULT, labels::SOURCE_URL, &SOURCE.0, url);
    let right = Vector::new("note", "opens", "A source's URL.", sealed.clone())
        .with("commons-key", &hex::encode(COMMONS_KEY))
        .with("vault", &VAULT)
        .with("label", &labels::SOURCE_URL)
        .with("id", &SOURCE)
        .with("text", &hex::encode(url));
    add("source_url", right.clone());
    let mut other = |name: &str, comment: &str, bytes: Vec<u8>| {
        add(name, right.but("not-authentic", comment, bytes));
    };
    let moved = seal(VAULT, labels::SOURCE_URL, &OTHER_SOURCE.0, url);
    other("of_another_source", "Another source's URL.", moved);
    let moved = seal(VAULT, labels::ERASURE_REASON, &SOURCE.0, url);
    other("of_another_use", "Sealed as an erasure's reason.", moved);
    other(
        "of_another_vault",
        "Another vault's.",
        seal(OTHER_VAULT, labels::SOURCE_URL, &SOURCE.0, url),
    );
    other("cut_last_byte", "Cut short.", sealed[..sealed.len() - 1].to_vec());
    other("flipped", "One bit differs.", flipped(&sealed, 20));
}

fn references(add: &mut Add<'_>) {
    let described = |outcome: &str, comment: &str, parts: &[&str], bytes: Vec<u8>| {
        Vector::new("subject-reference", outcome, comment, bytes)
            .with("index-key", &hex::encode(INDEX_KEY))
            .with("source", &SOURCE)
            .with("class", &"users")
            .with("key-parts", &serde_json::to_string(parts).unwrap())
    };
    let anna = reference("42").0.to_vec();
    add("one_column", described("opens", "The key 42.", &["42"], anna.clone()));
    let comment = "A key of two columns, with a comma and a backslash inside.";
    let composite = reference(r"7,a\,b\\c").0.to_vec();
    add("two_columns", described("opens", comment, &["7", r"a,b\c"], composite));
    let comment = "One column is not escaped.";
    add(
        "one_column_with_a_comma",
        described("opens", comment, &["a,b"], reference("a,b").0.to_vec()),
    );
    let comment = "Another class.";
    let staff = described("differs", comment, &["42"], anna.clone());
    add("class_differs", staff.with("class", &"staff"));
    let other = described("differs", "Another source.", &["42"], anna.clone());
    add("source_differs", other.with("source", &OTHER_SOURCE));
    add("key_differs", described("differs", "The key 042.", &["042"], anna));
}

fn tombstones(add: &mut Add<'_>) {
    let context = Context::new(labels::TOMBSTONE).with(&reference("42").0);
    let tombstone = kdf::MacKey::new(&TOMBSTONE_KEY).mac(&context, b"").to_vec();
    let right = Vector::new("tombstone", "opens", "Of the key 42.", tombstone.clone())
        .with("tombstone-key", &hex::encode(TOMBSTONE_KEY))
        .with("reference", &reference("42"));
    add("right", right.clone());
    let other = right.but("differs", "Of another subject.", tombstone.clone());
    add("of_another_subject", other.with("reference", &reference("43")));
    let other = right.but("differs", "Of another quarter's key.", tombstone);
    add("of_another_quarter", other.with("tombstone-key", &"46".repeat(32)));
}
