//! The object that says whose store it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::vault_marker::VaultMarker;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(marker) = serde_json::from_slice::<VaultMarker>(bytes) {
        let written = serde_json::to_vec(&marker).unwrap();
        assert!(serde_json::from_slice::<VaultMarker>(&written).unwrap() == marker);
    }
});
