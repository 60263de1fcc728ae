//! An opened block of a layer of an index: refused, or exactly what its entries are written as again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::layer_block::{BLOCK_BYTES_TARGET, BlockBuilder, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok((relation, entries)) = parse(bytes, "a layer") else { return };
    assert!(entries.len() <= bytes.len() / 3);
    let mut builder = BlockBuilder::new(relation);
    if entries.is_empty() || bytes.len() > BLOCK_BYTES_TARGET {
        return;
    }
    let full = entries.iter().filter_map(|entry| builder.push(entry)).last();
    let block = full.or_else(|| builder.take()).unwrap();
    assert_eq!(block.bytes, bytes, "one meaning has one form");
});
