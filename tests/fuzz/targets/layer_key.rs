//! A wrapped key of another backup's layer: nothing opens that was not wrapped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::VaultId;
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::layer_key::LayerUse;
use strongroom_fuzz::{BACKUP, IDENTITY};

fuzz_target!(|bytes: &[u8]| {
    let identity = BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap();
    let backup = BACKUP.parse().unwrap();
    let place = LayerUse { vault: VaultId([9; 16]), user: &backup, layer: &backup };
    assert!(place.unwrap(&identity.index_key(), bytes, "a manifest").is_err());
});
