//! Binary values of built-in types, as text: the type's oid, then its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::postgres::rows::values::{is_known, text_of};

fuzz_target!(|bytes: &[u8]| {
    let Some((type_oid, value)) = bytes.split_first_chunk() else { return };
    let type_oid = u32::from(u16::from_be_bytes(*type_oid));
    let mut out = b"before".to_vec();
    let printed = text_of(type_oid, value, &mut out);
    let text = out.strip_prefix(b"before").unwrap();
    match printed {
        Ok(()) => assert!(is_known(type_oid)),
        Err(_) => assert!(text.is_empty()),
    }
    if printed.is_err() {
        return;
    }
    // What a person's key or a report may hold is never longer than its value by much.
    let numeric_max = 4 * (1 << 15) + (1 << 14) + 8;
    assert!(text.len() <= value.len() * 8 + 64 || (type_oid == 1700 && text.len() <= numeric_max));
    match type_oid {
        20 => {
            assert_eq!(str::from_utf8(text).unwrap().parse::<i64>().unwrap().to_be_bytes(), value)
        }
        701 => {
            let read: f64 = str::from_utf8(text).unwrap().parse().unwrap();
            let number = f64::from_be_bytes(value.try_into().unwrap());
            assert!(read.to_bits() == number.to_bits() || read.is_nan() && number.is_nan());
        }
        _ => {}
    }
});
