//! Rows through cells and columns and back.

use proptest::prelude::*;

use super::cells::{CellWriter, Fields};
use super::patterns::Patterns;
use super::*;

const KINDS: [ColumnKind; 10] = [
    ColumnKind::Bytes,
    ColumnKind::Text,
    ColumnKind::Numeric,
    ColumnKind::Integer1,
    ColumnKind::Integer2,
    ColumnKind::Integer4,
    ColumnKind::Integer8,
    ColumnKind::Fixed4,
    ColumnKind::Fixed8,
    ColumnKind::Fixed16,
];

fn layout(kinds: &[ColumnKind]) -> Layout {
    let patterns = ["a\u{1}", "\u{2}", "REWE \u{8} \u{2}.\u{2}.\u{4}", ""];
    let column = |kind: &ColumnKind| ColumnLayout {
        kind: *kind,
        patterns: if *kind == ColumnKind::Text {
            patterns.map(str::to_owned).to_vec().into()
        } else {
            Patterns::default()
        },
    };
    Layout::new(kinds.iter().map(column).collect())
}

fn value(kind: ColumnKind) -> BoxedStrategy<Vec<u8>> {
    let bytes = |length| prop::collection::vec(any::<u8>(), length).boxed();
    match kind {
        ColumnKind::Bytes => prop::collection::vec(any::<u8>(), 0..30).boxed(),
        ColumnKind::Text => prop_oneof![
            "a[0-9]|[0-9]{2}|REWE [0-9]{8} [0-9]{2}\\.[0-9]{2}\\.[0-9]{4}|",
            "[a-z0-9\n]{0,90}"
        ]
        .prop_map(String::into_bytes)
        .boxed(),
        ColumnKind::Numeric => prop_oneof![
            (any::<i64>(), 0_u8..=30).prop_map(|(units, scale)| {
                let mut value = [0; numeric::BYTES_MAX];
                let length = numeric::write(units, scale, &mut value);
                value[..length].to_vec()
            }),
            prop::collection::vec(any::<u8>(), 0..20)
        ]
        .boxed(),
        _ => {
            let width = kind.integer_bytes().or(kind.fixed_bytes()).unwrap_or(0);
            prop_oneof![bytes(width), Just(vec![3; width])].boxed()
        }
    }
}

fn tuple(fields: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut tuple = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        match field {
            None => tuple.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                tuple.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                tuple.extend(value);
            }
        }
    }
    tuple
}

type Rows = (Vec<ColumnKind>, Vec<Vec<Option<Vec<u8>>>>);

fn some_rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec(prop::sample::select(KINDS.to_vec()), 0..12).prop_flat_map(|kinds| {
        let row: Vec<_> =
            kinds.iter().map(|kind| prop::option::weighted(0.8, value(*kind))).collect();
        (Just(kinds), prop::collection::vec(row, 1..40))
    })
}

fn encoded(layout: &Layout, tuples: &[Vec<u8>]) -> (Vec<u8>, u64) {
    let mut writer = CellWriter::default();
    let rows: Vec<Vec<u8>> = tuples
        .iter()
        .map(|tuple| {
            let mut row = Vec::new();
            let (count, fields) = Fields::of(tuple).unwrap();
            assert_eq!(count, layout.columns().len());
            writer.write(layout, fields, &mut row).unwrap();
            row
        })
        .collect();
    let mut encoder = Encoder::new().unwrap();
    for row in &rows {
        encoder.push(layout, row).unwrap();
    }
    let bytes = rows.iter().map(|row| tuple_bytes(row) as u64).sum();
    (encoder.finish(layout).unwrap(), bytes)
}

proptest! {
    #[test]
    fn every_tuple_comes_back_byte_for_byte((kinds, rows) in some_rows(), flip: prop::sample::Index) {
        let layout = layout(&kinds);
        let tuples: Vec<Vec<u8>> = rows.iter().map(|row| tuple(row)).collect();
        let (payload, tuple_bytes) = encoded(&layout, &tuples);
        let whole = tuples.concat();
        prop_assert_eq!(tuple_bytes, whole.len() as u64);
        let count = rows.len() as u64;
        prop_assert_eq!(decode(&layout, &payload, count, tuple_bytes), Ok(whole));

        // What is not exactly so is refused, or at least of the length that was asked for.
        prop_assert!(decode(&layout, &payload, count + 1, tuple_bytes).is_err());
        prop_assert!(decode(&layout, &payload, count, tuple_bytes + 1).is_err());
        for length in 0..payload.len() {
            prop_assert!(decode(&layout, &payload[..length], count, tuple_bytes).is_err());
        }
        let mut flipped = payload.clone();
        let bit = flip.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(tuples) = decode(&layout, &flipped, count, tuple_bytes) {
            prop_assert_eq!(tuples.len() as u64, tuple_bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, rows in 0_u64..100, tuple_bytes in 0_u64..10_000) {
        let _ = decode(&layout(&KINDS), &bytes, rows, tuple_bytes);
        if let Ok((count, fields)) = Fields::of(&bytes) && count == KINDS.len() {
            let _ = CellWriter::default().write(&layout(&KINDS), fields, &mut Vec::new());
        }
    }
}

#[test]
fn groups_take_no_more_memory_than_the_tuples() {
    let patterns = vec!["\u{1}".repeat(100_000)].into();
    let layout = Layout::new(vec![ColumnLayout { kind: ColumnKind::Text, patterns }]);
    // A million rows of the pattern, in one byte a list.
    let mut payload = vec![0xc0, 0x84, 0x3d, 0, 0, 2];
    payload.resize(payload.len() + 200_000, 0);
    assert_eq!(decode(&layout, &payload, 1_000_000, 10_000_000), Err(Malformed));
}

#[test]
fn layouts_with_other_kinds_or_patterns_have_other_digests() {
    let one = layout(&[ColumnKind::Text, ColumnKind::Bytes]);
    let other = layout(&[ColumnKind::Bytes, ColumnKind::Text]);
    assert_ne!(one.digest(), other.digest());
    let json = serde_json::to_string(&one).unwrap();
    let again: Layout = serde_json::from_str(&json).unwrap();
    assert_eq!((again.digest(), &again), (one.digest(), &one));
    assert!(serde_json::from_str::<Layout>(r#"[{"kind":"bytes","patterns":["a"]}]"#).is_err());
}
