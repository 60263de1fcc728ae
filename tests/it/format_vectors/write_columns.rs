//! Vectors of rows in columns: payloads, and segments that are bound to their layout.

use serde_json::json;
use strongroom::container::columns::{CellWriter, Encoder, Fields, Layout};
use strongroom::container::segment::{Codec, context};
use strongroom::crypto::segment::SegmentSealer;

use crate::format_vectors::fixed::{ANNA_KEY, SOURCE, VAULT, reference, table};
use crate::format_vectors::vector::Vector;

/// All of them with their names.
pub fn all() -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    let mut add = |name: &str, vector: Vector| all.push((name.to_owned(), vector));
    lists(&mut add);
    kinds(&mut add);
    refused_lists(&mut add);
    refused_columns(&mut add);
    refused_whole(&mut add);
    segments(&mut add);
    all
}

type Add<'a> = dyn FnMut(&str, Vector) + 'a;

fn layout(json: &serde_json::Value) -> Layout {
    serde_json::from_value(json.clone()).unwrap()
}

/// The layout of the document's example: a number, a text with patterns, a sum, a flag, an id.
pub fn payees() -> Layout {
    layout(&json!([
        {"kind": "integer-8"},
        {"kind": "text", "patterns": ["REWE \u{4}", "Rent"]},
        {"kind": "numeric"},
        {"kind": "integer-1"},
        {"kind": "fixed-4"},
    ]))
}

/// The example's three rows: `1, REWE 0042, 12.50, true, …`, `2, Oma, -3, NULL, …`, `3, Rent, NaN, false, …`.
pub fn payees_tuples() -> Vec<Vec<u8>> {
    let number = |number: i64| number.to_be_bytes().to_vec();
    let (sum, minus_three, nan) = (
        vec![0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x13, 0x88],
        vec![0, 1, 0, 0, 0x40, 0, 0, 0, 0, 3],
        vec![0, 0, 0, 0, 0xc0, 0, 0, 0],
    );
    let id = Some(vec![0xab; 4]);
    vec![
        tuple(&[
            Some(number(1)),
            Some(b"REWE 0042".to_vec()),
            Some(sum),
            Some(vec![1]),
            id.clone(),
        ]),
        tuple(&[Some(number(2)), Some(b"Oma".to_vec()), Some(minus_three), None, id.clone()]),
        tuple(&[Some(number(3)), Some(b"Rent".to_vec()), Some(nan), Some(vec![0]), id]),
    ]
}

fn tuple(fields: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut tuple = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        let length = field.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap());
        tuple.extend(length.to_be_bytes());
        tuple.extend(field.iter().flatten());
    }
    tuple
}

/// What strongroom makes of tuples.
pub fn encoded(layout: &Layout, tuples: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = CellWriter::default();
    let cells = |tuple: &Vec<u8>| {
        let mut row = Vec::new();
        let (_, fields) = Fields::of(tuple).unwrap();
        writer.write(layout, fields, &mut row).unwrap();
        row
    };
    let rows: Vec<Vec<u8>> = tuples.iter().map(cells).collect();
    let mut encoder = Encoder::new().unwrap();
    for row in &rows {
        encoder.push(layout, row).unwrap();
    }
    encoder.finish(layout).unwrap()
}

/// A payload that must become these tuples.
fn opens(layout: &Layout, comment: &str, payload: Vec<u8>, tuples: &[Vec<u8>]) -> Vector {
    let plain = tuples.concat();
    Vector::new("columns", "opens", comment, payload)
        .with("layout", &serde_json::to_string(layout).unwrap())
        .with("rows", &tuples.len())
        .with("raw-bytes", &plain.len())
        .with("plain", &hex::encode(plain))
}

/// Whole numbers in one column of eight bytes: rows, no NULL, a list.
fn number_list(comment: &str, list: &str, numbers: &[i64]) -> Vector {
    let tuples: Vec<_> =
        numbers.iter().map(|number| tuple(&[Some(number.to_be_bytes().to_vec())])).collect();
    let count = u8::try_from(numbers.len()).unwrap();
    let payload = [&[count, 0][..], &bytes(list)].concat();
    opens(&layout(&json!([{"kind": "integer-8"}])), comment, payload, &tuples)
}

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(digits.replace(' ', "")).unwrap()
}

fn lists(add: &mut Add<'_>) {
    let (least, greatest) = (i64::MIN, i64::MAX);
    for (name, comment, list, numbers) in [
        (
            "list_plain",
            "Mode 0: 5 and 0, 1, 2, 4 above it in 3 bits.",
            "03 0a 8808",
            vec![5, 6, 7, 9],
        ),
        ("list_of_equal", "Mode 0, no bits: the same number again.", "00 0d", vec![-7, -7, -7]),
        (
            "list_strided",
            "Mode 1: 1000 and twice as much, in steps of 1000.",
            "42 d00f e807 18",
            vec![1000, 3000, 2000],
        ),
        (
            "list_of_differences",
            "Mode 2: 10, then 3, 5, 4 more.",
            "82 14 06 01 18",
            vec![10, 13, 18, 22],
        ),
        (
            "list_of_strided_differences",
            "Mode 2: 0, then 70, 50 more.",
            "82 00 64 14 01",
            vec![0, 70, 120],
        ),
        (
            "list_of_one_by_differences",
            "Mode 2 with one number: nothing is packed.",
            "85 04 00 01",
            vec![2],
        ),
        ("list_listed", "Mode 3: 900 and -1, then places.", "c1 02 880e 01 05", vec![-1, 900, -1]),
        (
            "list_wide",
            "64 bits have the head of 63.",
            "3f ffffffffffffffffff01 0000000000000000 ffffffffffffffff",
            vec![least, greatest],
        ),
        ("list_of_62_bits", "The widest below 64.", "3e 00 ffffffffffffff3f", vec![(1 << 62) - 1]),
        (
            "list_wraps",
            "The greatest number and one more is the least.",
            "01 feffffffffffffffff01 02",
            vec![greatest, least],
        ),
        (
            "list_wraps_in_differences",
            "The same in mode 2.",
            "80 feffffffffffffffff01 02 01",
            vec![greatest, least],
        ),
    ] {
        add(name, number_list(comment, list, &numbers));
    }
}

fn kinds(add: &mut Add<'_>) {
    let tuples = payees_tuples();
    add(
        "example",
        opens(&payees(), "The document's example.", encoded(&payees(), &tuples), &tuples),
    );

    let no_columns = layout(&json!([]));
    let empty = vec![tuple(&[]); 3];
    add("no_columns", opens(&no_columns, "Three rows of no columns.", vec![3], &empty));

    let every = layout(&json!([
        {"kind": "bytes"}, {"kind": "text"}, {"kind": "numeric"}, {"kind": "integer-1"},
        {"kind": "integer-2"}, {"kind": "integer-4"}, {"kind": "integer-8"}, {"kind": "fixed-4"},
        {"kind": "fixed-8"}, {"kind": "fixed-16"},
    ]));
    let row = |n: u8| {
        tuple(&[
            Some(vec![n; 3]),
            Some("Zoë".into()),
            Some(vec![0, 1, 0, 1, 0x40, 0, 0, 0, 0, n]),
            Some(vec![0x80 | n]),
            Some(vec![0xff, n]),
            Some(vec![0x80, 0, 0, n]),
            Some(vec![0x7f, 0, 0, 0, 0, 0, 0, n]),
            Some(vec![n; 4]),
            Some(vec![n; 8]),
            Some(vec![n; 16]),
        ])
    };
    let rows = vec![row(3), row(1), tuple(&vec![None; 10])];
    add("every_kind", opens(&every, "Every kind, and NULLs.", encoded(&every, &rows), &rows));
    let nulls = vec![tuple(&vec![None; 10]); 2];
    add("all_null", opens(&every, "NULLs only.", encoded(&every, &nulls), &nulls));
    let same = vec![row(7); 9];
    let comment = "Nine equal rows: fixed bytes stand there once, and the rest is compressed.";
    add("equal_rows", opens(&every, comment, encoded(&every, &same), &same));

    let numeric = layout(&json!([{"kind": "numeric"}]));
    let value = |digits: &str| tuple(&[Some(bytes(digits))]);
    let values = [
        value("0000 0000 0000 0002"),
        value("0002 0000 0000 0002 007b 1194"),
        value("0001 ffff 4000 0002 0064"),
        value("0001 0002 0000 0000 0001"),
        value("0001 fffe 0000 0005 1388"),
        value("0005 0004 0000 0000 03 9a 0d 2c 15 9c 21 38 16 8f"),
        value("0000 0000 c000 0000"),
        value("0000 0000 d000 0000"),
        value("0001 0000 0000 0002 0000"),
        value("0001 0000 0000 001f 0001"),
    ];
    let comment = "0.00, 123.45, -0.01, 1e8, 0.00005, more than 64 bits, NaN, infinity, a zero too many, scale 31.";
    add("numerics", opens(&numeric, comment, encoded(&numeric, &values), &values));

    let text = layout(&json!([
        {"kind": "text", "patterns": ["SEPA \u{12}\u{2} of \u{2}.\u{2}", "", "Ä\u{1}", "x\u{1}y"]},
    ]));
    let said = |text: &str| tuple(&[Some(text.into())]);
    let texts = [
        said("SEPA 00000000000000000142 of 31.12"),
        said(""),
        said("Ä7"),
        said("x0y"),
        said("Ä77"),
        said("line\nline"),
        said("SEPA 99999999999999999999 of 00.00"),
        said(&"A text that no pattern knows. ".repeat(9)),
    ];
    let comment = "Texts by their patterns, with groups of digits, and texts that have none.";
    add("texts", opens(&text, comment, encoded(&text, &texts), &texts));
}

fn refused_lists(add: &mut Add<'_>) {
    for (name, comment, list) in [
        ("list_empty", "No list.", ""),
        ("list_without_least", "A head and no more.", "03"),
        ("list_cut", "Packed numbers end too early.", "03 0a 88"),
        ("list_bits_left_over", "Bits are set after the last number.", "03 0a 8818"),
        ("list_place_beyond", "A place that is not in the list.", "c2 02 880e 01 c4"),
        ("list_of_none", "A list of no numbers, and places in it.", "c0 00"),
        ("list_absurd_count", "More numbers to know than bytes.", "c1 ffffffffffffffff7f 00"),
        ("list_long_varint", "A number that is not in its shortest form.", "00 8d00"),
        ("list_varint_beyond", "A number over 64 bits.", "00 ffffffffffffffffff03"),
        ("list_without_stride", "No stride.", "42 d00f"),
    ] {
        let right = number_list(comment, "00 0d", &[-7, -7, -7, -7]);
        let payload = [&[4, 0][..], &bytes(list)].concat();
        add(name, right.but("malformed", comment, payload));
    }
}

fn refused_columns(add: &mut Add<'_>) {
    let mut refuse =
        |name: &str, comment: &str, layout: &serde_json::Value, raw: usize, payload: &str| {
            let payload = bytes(payload);
            let rows = payload.first().copied().unwrap_or(0);
            let vector = Vector::new("columns", "malformed", comment, payload);
            add(name, vector.with("layout", layout).with("rows", &rows).with("raw-bytes", &raw));
        };
    let kind = |kind: &str| json!([{"kind": kind}]);
    let text = json!([{"kind": "text", "patterns": ["a\u{2}"]}]);
    for (name, comment, layout, raw, payload) in [
        ("head_3", "A head that is not known.", kind("integer-8"), 14, "01 03 00 02"),
        ("head_8", "A head that is not known.", kind("integer-8"), 14, "01 08 00 02"),
        (
            "equal_numbers",
            "Numbers cannot be said to be equal bytes.",
            kind("integer-8"),
            14,
            "01 04 00 02",
        ),
        ("equal_nulls", "No values, and they are said to be equal.", kind("fixed-4"), 6, "01 05"),
        ("nulls_cut", "Nine rows and NULLs of eight.", kind("fixed-4"), 9 * 6, "09 02 ff"),
        ("nulls_left_over", "NULLs of more rows than there are.", kind("fixed-4"), 6, "01 02 03"),
        ("integer_1_beyond", "128 in one byte.", kind("integer-1"), 7, "01 00 00 8002"),
        ("integer_2_beyond", "-32769 in two bytes.", kind("integer-2"), 8, "01 00 00 818004"),
        (
            "integer_4_beyond",
            "2147483648 in four bytes.",
            kind("integer-4"),
            10,
            "01 00 00 8080808010",
        ),
        ("scale_beyond", "A numeric of scale 32.", kind("numeric"), 14, "01 00 00 40 00 00"),
        ("scale_negative", "A numeric of scale -1.", kind("numeric"), 14, "01 00 00 01 00 00"),
        ("length_negative", "Bytes of length -1.", kind("bytes"), 6, "01 00 00 01"),
        (
            "length_beyond",
            "Bytes that are longer than all rows.",
            kind("bytes"),
            7,
            "01 00 00 8080808020 00 61",
        ),
        ("pattern_beyond", "Pattern 2 of one.", text.clone(), 9, "01 00 00 04 00 00"),
        ("pattern_negative", "Pattern -1.", text.clone(), 9, "01 00 00 01 00 00"),
        (
            "group_too_long",
            "A group of three digits where the pattern has two.",
            text.clone(),
            9,
            "01 00 00 02 00 c801",
        ),
        ("group_negative", "A group of digits below zero.", text.clone(), 9, "01 00 00 02 00 01"),
        ("groups_missing", "A pattern without its group of digits.", text, 9, "01 00 00 02"),
        ("no_literals", "No length of the literals.", kind("fixed-4"), 10, "01 00"),
        ("literals_cut", "Literals that end too early.", kind("fixed-4"), 10, "01 00 00 616263"),
        (
            "literals_left_over",
            "A literal byte too many.",
            kind("fixed-4"),
            10,
            "01 00 00 6162636465",
        ),
        (
            "literals_of_none",
            "Literals where no column has any.",
            kind("integer-8"),
            14,
            "01 00 00 02 00",
        ),
        (
            "literals_no_frame",
            "Compressed literals that are no frame.",
            kind("fixed-4"),
            10,
            "01 00 04 61626364",
        ),
        ("columns_missing", "Rows and no column.", kind("integer-8"), 14, "01"),
    ] {
        refuse(name, comment, &layout, raw, payload);
    }
}

fn refused_whole(add: &mut Add<'_>) {
    let bytes_only = layout(&json!([{"kind": "bytes"}]));
    let tuples = vec![tuple(&[Some(b"strongroom ".repeat(20))])];
    let payload = encoded(&bytes_only, &tuples);
    let right = opens(&bytes_only, "Compressed literals.", payload.clone(), &tuples);
    add("literals_compressed", right.clone());
    // rows, head, mode, length (two bytes), then the length of the frame.
    let place = 5;
    let mut changed = |name: &str, comment: &str, payload: &[u8]| {
        add(name, right.but("malformed", comment, payload.to_vec()));
    };
    let with_length = |length: u8| {
        let mut payload = payload.clone();
        payload[place] = length;
        payload
    };
    assert_eq!(usize::from(payload[place]), payload.len() - place - 1);
    changed(
        "compressed_one_less",
        "A frame longer than is said.",
        &with_length(payload[place] - 1),
    );
    changed(
        "compressed_one_more",
        "A frame shorter than is said.",
        &with_length(payload[place] + 1),
    );
    let mut other_size = payload.clone();
    other_size[3] ^= 2;
    changed(
        "compressed_of_another_size",
        "Literals of another length than all values.",
        &other_size,
    );
    changed("cut_empty", "An empty payload.", &[]);
    changed("cut_last_byte", "Cut short.", &payload[..payload.len() - 1]);
    changed("left_over", "A byte too many.", &[&payload[..], &[0]].concat());

    let tuples = payees_tuples();
    let example = opens(&payees(), "The document's example.", encoded(&payees(), &tuples), &tuples);
    let length = tuples.concat().len() as u64;
    let mut lies = |name: &str, comment: &str, rows: u64, raw_bytes: u64| {
        let vector = example.but("malformed", comment, example.bytes.clone());
        add(name, vector.with("rows", &rows).with("raw-bytes", &raw_bytes));
    };
    lies("rows_one_less", "The index says two rows.", 2, length);
    lies("rows_one_more", "The index says four rows.", 4, length);
    lies("rows_absurd", "The index says more rows than bytes.", u64::MAX, length);
    lies("length_one_less", "The index lies about the tuples' length.", 3, length - 1);
    lies("length_one_more", "The index lies about the tuples' length.", 3, length + 1);
    let absurd = [&bytes("ffffffffffffffffff01")[..], &example.bytes[1..]].concat();
    add("rows_beyond", example.but("malformed", "More rows than anything holds.", absurd));
}

fn segments(add: &mut Add<'_>) {
    let (layout, tuples) = (payees(), payees_tuples());
    let plain = tuples.concat();
    let relation = table("payees");
    let seal = |bound_to: &Layout, codec: Codec, payload: &[u8]| {
        let bound = context(VAULT, SOURCE, &relation, reference("42"), codec, Some(bound_to));
        let sealer = SegmentSealer::new(&ANNA_KEY);
        let mac = sealer.content_mac(&bound, payload);
        Vector::new("segment", "opens", "Rows in columns.", sealer.seal(&bound, &mac, payload))
            .with("subject-key", &hex::encode(ANNA_KEY))
            .with("vault", &VAULT)
            .with("source", &SOURCE)
            .with("relation", &serde_json::to_string(&relation).unwrap())
            .with("reference", &reference("42"))
            .with("codec", &(codec as u8))
            .with("content-mac", &hex::encode(mac))
            .with("layout", &serde_json::to_string(&layout).unwrap())
            .with("rows", &tuples.len())
            .with("raw-bytes", &plain.len())
            .with("plain", &hex::encode(&plain))
    };
    let payload = encoded(&layout, &tuples);
    let right = seal(&layout, Codec::Columns, &payload);
    add("columns", right.clone());
    let mut json = serde_json::to_value(&layout).unwrap();
    json[1]["patterns"][1] = json!("Miete");
    let other: Layout = serde_json::from_value(json).unwrap();
    let comment = "The same payload, sealed under a layout with another pattern.";
    let moved = seal(&other, Codec::Columns, &payload);
    add("columns_of_another_layout", moved.but("not-authentic", comment, moved.bytes.clone()));
    let comment = "The index says more rows.";
    let vector = right.but("malformed", comment, right.bytes.clone());
    add("columns_rows_one_more", vector.with("rows", &4));
    let comment = "The index says more bytes than a segment can have.";
    let vector = right.but("malformed", comment, right.bytes.clone());
    add("columns_length_absurd", vector.with("raw-bytes", &(1_u64 << 40)));
    let comment = "Rows as they are, where the relation is in columns.";
    let lines = seal(&layout, Codec::Stored, &plain);
    add("columns_without_columns", lines.but("malformed", comment, lines.bytes.clone()));
}
