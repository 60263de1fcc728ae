//! The file of an epoch secret, as the file custodian reads it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strongroom::ids::{Epoch, VaultId};
use strongroom::keys::custodian::Custodian;
use strongroom::keys::file_custodian::FileCustodian;
use strongroom_fuzz::VAULT;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.path().join("epoch-7.secret"), bytes).unwrap();
    let custodian = FileCustodian::new(FOLDER.path());
    if let Ok(secret) = custodian.get(VaultId(VAULT), Epoch(7)) {
        let digits: String = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(String::from_utf8_lossy(bytes).to_lowercase().contains(&digits));
    }
    let _ = custodian.epochs(VaultId(VAULT));
});
