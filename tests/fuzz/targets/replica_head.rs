//! The head of a catalog's replica: its header, its opened body, and the seal around it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::VaultId;
use strongroom::container::replica::head::{Head, HeadHeader};
use strongroom::crypto::kdf;
use strongroom_fuzz::VAULT;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = HeadHeader::parse(bytes, "a head") {
        assert!(bytes.starts_with(&header.to_bytes()));
    }
    let _ = HeadHeader::expect(&[b"SRHEAD", bytes].concat(), VaultId(VAULT), 9, "a head");
    let key = kdf::derive(b"", b"key", b"info");
    assert!(Head::open(bytes, &key, "a head").is_err());
    if let Ok(head) = Head::parse(bytes, "a head") {
        let listed = |place: u64| head.object(place).is_some();
        assert!(head.cells.iter().all(|cell| cell.length > 0 && listed(cell.object)));
    }
    // The same, compressed and behind a key or two, so that what is inside is tried too.
    for keys in 0..3_u32 {
        let mut body = keys.to_be_bytes().to_vec();
        body.resize(4 + 32 * keys as usize, 7);
        body.extend(zstd_of(bytes));
        let _ = Head::parse(&body, "a head");
    }
});

/// A Zstandard frame of one raw block (RFC 8878, section 3.1.1).
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(100_000)];
    let length = u32::try_from(bytes.len()).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(length.to_le_bytes());
    frame.extend_from_slice(&((length << 3) | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(bytes);
    frame
}
