//! An opened directory of an index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::index::parse_listing;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(places) = parse_listing(bytes, "an index") {
        assert!(places.len() <= bytes.len() / 36);
    }
});
