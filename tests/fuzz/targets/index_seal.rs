//! Sealed blocks and directories: nothing opens that was not sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{BackupId, SubjectReference, VaultId};
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::index::{BlockPlace, IndexSeal};
use strongroom_fuzz::{BACKUP, IDENTITY};

fuzz_target!(|bytes: &[u8]| {
    let identity = BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap();
    let (vault, backup) = (VaultId([1; 16]), BACKUP.parse::<BackupId>().unwrap());
    let nobody = SubjectReference::COMMONS;
    let place =
        BlockPlace { relation: 0, first: nobody, last: nobody, entries: 1, offset: 47, length: 1 };
    for seal in [
        IndexSeal::of_version_1(identity.index_key(), vault, backup.clone()),
        IndexSeal::new(identity.index_key(), vault, backup),
    ] {
        assert!(seal.open_directory(bytes, "an index").is_err());
        assert!(seal.open_block(0, &place, bytes, "an index").is_err());
    }
});
