//! An opened directory of a layer of an index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::index::parse_layer_listing;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(directory) = parse_layer_listing(bytes, "a layer") {
        assert!(directory.packs.len() * 16 + directory.places.len() * 36 <= bytes.len());
    }
});
