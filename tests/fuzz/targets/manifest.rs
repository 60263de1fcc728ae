//! A manifest's JSON, sealed as a whole, so that it is read as an authentic one. What is read is
//! written and read again as the same; but version 1 is read only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::VaultId;
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::manifest::Manifest;
use strongroom_fuzz::{BACKUP, IDENTITY, VAULT};

fuzz_target!(|json: &[u8]| {
    let identity = BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap();
    let (vault, backup) = (VaultId(VAULT), BACKUP.parse().unwrap());
    // Most inputs are no JSON, and sealing costs most of the time.
    if serde_json::from_slice::<serde_json::Value>(json).is_err() {
        return;
    }
    let sealed = identity.seal("a manifest", json).unwrap();
    if let Ok(manifest) = Manifest::open(&sealed, &identity, vault, &backup, "a manifest") {
        if manifest.has_index_of_version_1() {
            return;
        }
        let sealed = manifest.seal(&identity, "a manifest").unwrap();
        let again = Manifest::open(&sealed, &identity, vault, &backup, "a manifest").unwrap();
        assert!(again == manifest);
        for relation in &manifest.relations {
            let _ = relation.relation.to_string();
        }
    }
});
