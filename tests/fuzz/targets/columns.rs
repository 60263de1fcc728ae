//! Payloads in columns, under any layout: they become tuples of the length that the index says or are
//! refused, and tuples that are encoded again become the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::container::columns::{self, CellWriter, Encoder, Fields, Layout, decode};

fuzz_target!(|bytes: &[u8]| {
    let Some((rows, rest)) = bytes.split_first_chunk::<2>() else { return };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return };
    let Some((layout, rest)) = rest.split_first_chunk::<2>() else { return };
    let Some((layout, payload)) = rest.split_at_checked(u16::from_le_bytes(*layout).into()) else {
        return;
    };
    let Ok(layout) = serde_json::from_slice::<Layout>(layout) else { return };
    let rows = u64::from(u16::from_le_bytes(*rows));
    // A gigabyte may be claimed, and is not worth its time here.
    let tuple_bytes = u64::from(u32::from_le_bytes(*length)) & 0xff_ffff;
    let Ok(tuples) = decode(&layout, payload, rows, tuple_bytes) else { return };
    assert_eq!(tuples.len() as u64, tuple_bytes);

    let (mut writer, mut row, mut rest) = (CellWriter::default(), Vec::new(), &tuples[..]);
    let (mut encoder, mut length) = (Encoder::new().unwrap(), 0);
    for _ in 0..rows {
        let (count, mut fields) = Fields::of(rest).unwrap();
        for _ in 0..count {
            fields.take().unwrap();
        }
        let (tuple, after) = rest.split_at(rest.len() - fields.rest().len());
        row.clear();
        writer.write(&layout, Fields::of(tuple).unwrap().1, &mut row).unwrap();
        length += columns::tuple_bytes(&row) as u64;
        encoder.push(&layout, &row).unwrap();
        rest = after;
    }
    assert!(rest.is_empty());
    let again = encoder.finish(&layout).unwrap();
    assert_eq!(length, tuple_bytes);
    assert!(decode(&layout, &again, rows, tuple_bytes).unwrap() == tuples);
});
