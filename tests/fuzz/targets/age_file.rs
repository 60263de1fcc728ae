//! Age files: a sealed object, the master secret, and the text of an identity.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::VaultId;
use strongroom::container::age_file::BackupIdentity;
use strongroom::crypto::SecretText;
use strongroom::keys::master::{self, Credentials};
use strongroom_fuzz::{IDENTITY, VAULT};

fuzz_target!(|bytes: &[u8]| {
    let identity = BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap();
    let _ = identity.open("an object", bytes);
    let _ = BackupIdentity::from_text(bytes);
    // A passphrase's work factor is the file's own word: none is given, so that none is worked off.
    let identities = Some((SecretText::new(IDENTITY.to_owned()), "an identity file".to_owned()));
    let credentials = Credentials { passphrase: None, identities };
    let _ = master::needs_passphrase(bytes, "a file");
    let _ = master::open(bytes, VaultId(VAULT), &credentials, "a file");
    // The identity file is a person's, too.
    if let Some(text) = SecretText::from_utf8(bytes) {
        let credentials =
            Credentials { passphrase: None, identities: Some((text, "f".to_owned())) };
        let sealed = identity.seal("an object", b"strongroom").unwrap();
        let _ = master::open(&sealed, VaultId(VAULT), &credentials, "a file");
    }
});
