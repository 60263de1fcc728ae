//! The file of a share of an epoch secret, as every custodian reads it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{Epoch, VaultId};
use strongroom::keys::KeyError;
use strongroom::keys::custodians::file::FileCustodian;
use strongroom::keys::custodians::share::Share;
use strongroom::keys::custodians::{Custodian, quorum};
use strongroom_fuzz::VAULT;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.path().join("epoch-7.secret"), bytes).unwrap();
    let custodian = FileCustodian::new("main", FOLDER.path());
    if let Ok(share) = custodian.get(VaultId(VAULT), Epoch(7)) {
        let digits: String =
            share.value.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(String::from_utf8_lossy(bytes).to_lowercase().contains(&digits));
        let again = Share::from_text(share.to_text().as_bytes(), "again").unwrap();
        assert!(again.is_same(&share));
        // Alone it is a secret or too few, and nothing else.
        match quorum::combine(&[again]) {
            Ok(secret) => assert_eq!(secret.expose(), share.value.expose()),
            Err(error) => assert!(matches!(error, KeyError::TooFewShares { got: 1, .. })),
        }
    }
    let _ = custodian.epochs(VaultId(VAULT));
});
