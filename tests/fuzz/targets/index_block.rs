//! An opened block of an index of version 1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::index_block::parse;

fuzz_target!(|bytes: &[u8]| {
    let Ok((_, entries)) = parse(bytes, "an index") else { return };
    assert!(entries.len() <= bytes.len() / 48);
    assert!(entries.is_sorted_by_key(|entry| entry.reference));
});
