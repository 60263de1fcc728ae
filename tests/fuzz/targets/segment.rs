//! Segments: sealed bytes do not open, and an authentic payload decompresses to what its index says
//! or not at all, with no more memory than that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{SourceId, SubjectReference, VaultId};
use strongroom::container::segment::{Codec, Compressor, Relation, context, decompress};
use strongroom::crypto::segment::SegmentSealer;
use strongroom_fuzz::VAULT;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, payload)) = bytes.split_first_chunk::<4>() else { return };
    let length = u32::from_le_bytes(*length);
    // Mostly lengths that are near the truth.
    for raw_bytes in [u64::from(length), u64::from(length % 4096), payload.len() as u64] {
        let codec = Codec::from_number((length >> 24) as u8 & 1).unwrap();
        // A gigabyte may be claimed, and is not worth its time here.
        if raw_bytes > 1 << 24 {
            continue;
        }
        if let Ok(rows) = decompress(codec, payload.to_vec(), raw_bytes, "a segment") {
            assert_eq!(rows.len() as u64, raw_bytes);
            let (codec, mut packed) = Compressor::new().unwrap().compress(&rows).unwrap();
            assert!(decompress(codec, packed.clone(), raw_bytes, "a segment").unwrap() == rows);
            // A frame that is nearly right.
            let size = packed.len();
            if let Some(byte) = packed.get_mut(length as usize % size.max(1)) {
                *byte = byte.wrapping_add((length >> 16) as u8);
                let _ = decompress(codec, packed, raw_bytes, "a segment");
            }
        }
    }
    assert!(decompress(Codec::Stored, payload.to_vec(), u64::MAX, "a segment").is_err());
    let relation = Relation::Table("public.users".parse().unwrap());
    let reference = SubjectReference([9; 16]);
    let bound =
        context(VaultId(VAULT), SourceId([3; 16]), &relation, reference, Codec::Zstandard, None);
    let sealer = SegmentSealer::new(&[0x41; 32]);
    assert!(sealer.open(&bound, &[7; 32], bytes).is_err());
    let mac = sealer.content_mac(&bound, payload);
    let sealed = sealer.seal(&bound, &mac, payload);
    assert_eq!(sealer.open(&bound, &mac, &sealed).unwrap(), payload);
});
