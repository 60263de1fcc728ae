//! A data object of a catalog's replica: its header, and a cell. Nothing opens that was not sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::digest;
use strongroom::base::ids::VaultId;
use strongroom::container::replica::ObjectKey;
use strongroom::container::replica::data::DataSeal;
use strongroom::container::replica::head::CellPlace;
use strongroom_fuzz::VAULT;

fuzz_target!(|bytes: &[u8]| {
    let seal = DataSeal::new(ObjectKey::from_slice(&[7; 32]).unwrap(), VaultId(VAULT), 9);
    if seal.check_header(bytes, "an object").is_ok() {
        assert!(bytes.starts_with(&seal.header()));
    }
    let _ = seal.check_header(&[b"SRDATA", bytes].concat(), "an object");
    let place = CellPlace {
        cell: "shard".to_owned(),
        object: 9,
        frame: 1,
        offset: 32,
        length: bytes.len() as u64,
        sha256: digest::sha256(bytes),
    };
    assert!(bytes.is_empty() || seal.open_cell(&place, bytes, "an object").is_err());
});
