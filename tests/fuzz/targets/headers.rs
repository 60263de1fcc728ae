//! The headers of an index and a pack, as they are and behind the right magic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{PackId, VaultId};
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::index::IndexSeal;
use strongroom::container::pack;
use strongroom_fuzz::{BACKUP, IDENTITY};

fuzz_target!(|bytes: &[u8]| {
    let (vault, id) = (VaultId([1; 16]), PackId([2; 16]));
    let identity = BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap();
    let seal = IndexSeal::new(identity.index_key(), vault, BACKUP.parse().unwrap());
    if pack::check_header(bytes, vault, id, "a pack").is_ok() {
        assert_eq!(bytes[..pack::HEADER_BYTES], pack::header(vault, id));
    }
    if seal.check_header(bytes, "an index").is_ok() {
        assert!(bytes.starts_with(&seal.header()));
    }
    let _ = pack::check_header(&[b"SRPACK", bytes].concat(), vault, id, "a pack");
    let _ = seal.check_header(&[b"SRINDX", bytes].concat(), "an index");
});
