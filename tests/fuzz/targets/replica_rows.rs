//! The rows of a catalog's replica, as they are put into a new catalog.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use strongroom::catalog::Catalog;
use strongroom::catalog::replica::rebuild::Rebuild;

thread_local! {
    static REBUILD: RefCell<(tempfile::TempDir, Rebuild)> = {
        let memory = std::path::Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(parent).unwrap();
        let rebuild = Rebuild::begin(&folder.path().join("catalog"), Catalog::version()).unwrap();
        RefCell::new((folder, rebuild))
    };
}

const SHARDS: &[u8] = b"{\"table\":\"shard\",\"columns\":[[\"shard_id\",\"INTEGER\"],\
                        [\"wrapped_key\",\"BLOB\"],[\"capacity\",\"INTEGER\"]]}\n";

fuzz_target!(|bytes: &[u8]| {
    REBUILD.with_borrow_mut(|(_, rebuild)| {
        let before = rebuild.rows();
        if rebuild.add_cell([bytes]).is_ok() {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert!(rebuild.rows() - before <= lines);
        }
        let _ = rebuild.add_cell([&[SHARDS, bytes].concat()[..]]);
    });
});
