//! Binary values of every built-in type that strongroom prints, against the server's own text.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use strongroom::postgres::Session;
use strongroom::postgres::rows::lines::unescape;
use strongroom::postgres::rows::values::{is_known, text_of};

use super::support;

/// Random values of each type.
const RANDOM: usize = 4000;

/// One type: its name, values as a person writes them, and random ones in binary.
struct Case {
    type_name: &'static str,
    written: Vec<&'static str>,
    random: fn(&mut StdRng) -> Vec<u8>,
}

fn case(
    type_name: &'static str,
    written: &[&'static str],
    random: fn(&mut StdRng) -> Vec<u8>,
) -> Case {
    Case { type_name, written: written.to_vec(), random }
}

/// All of them, for a server of that major version.
fn cases(major: u32) -> Vec<Case> {
    let mut cases = vec![
        case("bool", &["t", "f"], |random| vec![random.random_range(0..2)]),
        case("int2", &["0", "-1", "-32768", "32767"], |random| {
            random.random::<i16>().to_be_bytes().into()
        }),
        case("int4", &["0", "-1", "-2147483648", "2147483647"], |random| {
            (random.random::<i32>() >> random.random_range(0..31)).to_be_bytes().into()
        }),
        case("int8", &["0", "-1", "-9223372036854775808", "9223372036854775807"], |random| {
            (random.random::<i64>() >> random.random_range(0..63)).to_be_bytes().into()
        }),
        case("oid", &["0", "4294967295"], |random| random.random::<u32>().to_be_bytes().into()),
        case("text", &["", "a\tb\nc\\d\r", "\\N", "\\.", "ä€𝄞"], text),
        case("varchar", &["", " a ", "NULL"], text),
        case("bpchar(20)", &["", "a", "a  "], |random| short(&text(random), 20)),
        case("bpchar", &["", "a", "a  "], text),
        case("name", &["", "a\"b'c", "ä€𝄞"], |random| short(&text(random), 15)),
        case("uuid", &["00000000-0000-0000-0000-000000000000"], |random| {
            random.random::<[u8; 16]>().into()
        }),
        case("json", &["null", "{\"a\" :  [1, \"\\u00e4\\n\"]}", " 1e5"], json),
        case(
            "jsonb",
            &["null", "{\"b\":1, \"a\" :  [1, \"\\u00e4\\n\"], \"\\\\\":1.00}", " 1e5"],
            |random| [&[1], &json(random)[..]].concat(),
        ),
        case("bytea", &["", "\\x00ff5c"], |random| {
            let length = random.random_range(0..40);
            (0..length).map(|_| random.random()).collect()
        }),
        case(
            "numeric",
            &[
                "0",
                "-0",
                "0.000",
                "NaN",
                "1",
                "-1.5",
                "10000",
                "9999.9999",
                "0.0001",
                "0.00010",
                "1e130000",
                "-1e-16383",
                "100000000000000000000",
                "123456789.123456789",
                "0.10",
                "1e-5",
                "12e3",
            ],
            numeric,
        ),
        case("numeric(12,4)", &["0", "12345678.9", "-0.0001", "NaN"], |random| {
            let digits = [
                random.random_range(1..1000),
                random.random_range(0..10_000),
                random.random_range(0..10_000),
            ];
            words(&[3, 1, 0, 4, digits[0], digits[1], digits[2]])
        }),
        case("money", &["0", "-0.01", "1234567.89", "-92233720368547758.08"], |random| {
            (random.random::<i64>() >> random.random_range(0..63)).to_be_bytes().into()
        }),
        case(
            "float4",
            &[
                "0",
                "-0",
                "NaN",
                "Infinity",
                "-Infinity",
                "1e-45",
                "3.4028235e38",
                "1e6",
                "999999",
                "1e-4",
                "9.9e-5",
            ],
            |random| single(random).to_be_bytes().into(),
        ),
        case(
            "float8",
            &[
                "0",
                "-0",
                "NaN",
                "Infinity",
                "-Infinity",
                "5e-324",
                "1.7976931348623157e308",
                "1e15",
                "1e14",
                "999999999999999",
                "1e23",
                "1e-4",
                "9.9e-5",
                "0.1",
                "2.2250738585072014e-308",
                "9007199254740993",
            ],
            |random| double(random).to_be_bytes().into(),
        ),
        case(
            "date",
            &[
                "infinity",
                "-infinity",
                "4714-11-24 BC",
                "5874897-12-31",
                "0001-12-31 BC",
                "0001-01-01",
                "2000-02-29",
                "1900-02-28",
                "0005-02-29 BC",
                "9999-12-31",
                "10000-01-01",
            ],
            |random| {
                let wide = random.random_range(-2_451_545..2_145_031_949_i32);
                let near = random.random_range(-800_000..100_000);
                if random.random() { wide } else { near }.to_be_bytes().into()
            },
        ),
        case(
            "time",
            &["00:00", "24:00", "23:59:59.999999", "01:02:03.1", "01:02:03.000010"],
            |random| microseconds(random, 0..86_400_000_001).to_be_bytes().into(),
        ),
        case(
            "timetz",
            &[
                "00:00+00",
                "24:00-15:59:59",
                "23:59:59.999999+15:59",
                "12:00:00.5-03:30",
                "12:00+00:00:01",
            ],
            |random| {
                let zone: i32 = match random.random_range(0..3) {
                    0 => random.random_range(-57_599..57_600),
                    1 => random.random_range(-950..950) * 60,
                    _ => random.random_range(-15..16) * 3600,
                };
                [&microseconds(random, 0..86_400_000_001).to_be_bytes()[..], &zone.to_be_bytes()]
                    .concat()
            },
        ),
        case(
            "timestamp",
            &[
                "infinity",
                "-infinity",
                "4714-11-24 00:00 BC",
                "294276-12-31 23:59:59.999999",
                "epoch",
                "1999-12-31 23:59:59.999999",
                "0001-12-31 23:59:59.5 BC",
                "2026-11-24 12:00:00.120000",
            ],
            moment,
        ),
        case(
            "timestamptz",
            &[
                "infinity",
                "-infinity",
                "4714-11-24 00:00+00 BC",
                "294276-12-31 23:59:59.999999+00",
                "epoch",
                "1890-01-01 00:00+00",
                "0044-03-15 12:00+00 BC",
                "2026-11-24 12:00:00.1+05:30",
            ],
            moment,
        ),
        case(
            "interval",
            &[
                "0",
                "1 year",
                "-1 year",
                "1 mon -1 day",
                "-1 mon 1 day 00:00:01",
                "1 day -00:00:00.5",
                "14 mons",
                "-14 mons",
                "-1 day +25:00",
                "1 year -1 mon",
                "00:00:00.000001",
                "-178000000 years",
            ],
            |random| {
                let part = |random: &mut StdRng| -> i32 {
                    if random.random_range(0..3) == 0 {
                        0
                    } else {
                        random.random::<i32>() >> random.random_range(0..31)
                    }
                };
                let time = if random.random_range(0..4) == 0 {
                    0
                } else {
                    microseconds(random, -6 << 60..6 << 60)
                };
                [&time.to_be_bytes()[..], &part(random).to_be_bytes(), &part(random).to_be_bytes()]
                    .concat()
            },
        ),
        case(
            "inet",
            &["0.0.0.0", "10.1.2.3/8", "::", "::1/64", "::1.2.3.4", "::ffff:1.2.3.4", "1::2:0:0/3"],
            |random| network(random, false),
        ),
        case(
            "cidr",
            &["0.0.0.0/0", "10.0.0.0/8", "1.2.3.4", "::/0", "::1", "::ffff:0:0/96"],
            |random| network(random, true),
        ),
        case("macaddr", &["00:00:00:00:00:00"], |random| random.random::<[u8; 6]>().into()),
        case("macaddr8", &["00:00:00:00:00:00:00:00"], |random| random.random::<[u8; 8]>().into()),
        case("varbit", &["", "1", "10101010101"], bits),
        case("bit(13)", &["1010101010101"], |random| {
            [&13_i32.to_be_bytes()[..], &[random.random(), random.random::<u8>() & 0xf8]].concat()
        }),
    ];
    if major >= 14 {
        cases.push(case("numeric", &["Infinity", "-Infinity"], numeric));
    }
    if major >= 17 {
        cases.push(case("interval", &["infinity", "-infinity"], |_| vec![0; 16]));
    }
    // Older servers print a byte above ASCII as it is, which is no text that could be compared.
    cases.push(if major >= 16 {
        case("\"char\"", &["", "a", "\\377", "\\"], |random| vec![random.random()])
    } else {
        case("\"char\"", &["", "a", "\\"], |random| vec![random.random_range(0..128)])
    });
    cases
}

fn text(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(0..30);
    let text: String = (0..length)
        .map(|_| match random.random_range(0..4) {
            0 => char::from(random.random_range(1..128_u8)),
            1 => *b"\t\n\r\\,\"' ".map(char::from).get(random.random_range(0..8)).unwrap(),
            2 => random.random_range('à'..'ÿ'),
            _ => random.random_range('\u{10000}'..'\u{10100}'),
        })
        .collect();
    text.into_bytes()
}

/// The first characters of a text.
fn short(text: &[u8], characters: usize) -> Vec<u8> {
    std::str::from_utf8(text).unwrap().chars().take(characters).collect::<String>().into_bytes()
}

fn json(random: &mut StdRng) -> Vec<u8> {
    let text = String::from_utf8(text(random)).unwrap();
    let (number, truth): (i64, bool) = random.random();
    serde_json::json!({ "text": text, "list": [number, null], "": truth }).to_string().into_bytes()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn numeric(random: &mut StdRng) -> Vec<u8> {
    let count = random.random_range(0..8_u16);
    let weight = random.random_range(-6..6_i16);
    let sign = if random.random() { 0 } else { 0x4000 };
    // The server rounds nothing that it is sent: the scale must tell all digits, or it cuts them.
    let scale = random.random_range(0..60_u16);
    let mut value = vec![count, weight.cast_unsigned(), sign, scale];
    value.extend(
        (0..count).map(|_| {
            if random.random_range(0..4) == 0 { 0 } else { random.random_range(0..10_000) }
        }),
    );
    words(&value)
}

/// Any number, or one where the shortest decimal is hard to find: next to a power of two or of ten,
/// or a decimal that lies exactly in the middle between two numbers.
fn double(random: &mut StdRng) -> f64 {
    let any = |random: &mut StdRng| f64::from_bits(random.random());
    let number = match random.random_range(0..6) {
        0 => any(random),
        1 => 2_f64.powi(random.random_range(-1074..1024)),
        2 => format!("{}e{}", random.random_range(1..1000), random.random_range(-320..306))
            .parse()
            .unwrap(),
        3 => random.random_range(-1_000_000..1_000_000_i32).into(),
        4 => {
            let tens = random.random_range(0..23);
            let five = 5_u64.pow(tens);
            let digits = random.random_range((1 << 53) / five..(1 << 54) / five) | 1;
            format!("{digits}e{tens}").parse().unwrap()
        }
        _ => return f64::from(random.random_range(-100_000_000..100_000_000_i32)) / 100.0,
    };
    // A NaN may carry bits that the server keeps, and all are printed alike.
    f64::from_bits(number.to_bits().wrapping_add_signed(random.random_range(-1..2)))
}

fn single(random: &mut StdRng) -> f32 {
    let number = match random.random_range(0..5) {
        0 => f32::from_bits(random.random()),
        1 => 2_f32.powi(random.random_range(-149..128)),
        2 => format!("{}e{}", random.random_range(1..1000), random.random_range(-44..36))
            .parse()
            .unwrap(),
        3 => {
            let tens = random.random_range(0..10);
            let five = 5_u64.pow(tens);
            let digits = random.random_range((1 << 24) / five..(1 << 25) / five) | 1;
            format!("{digits}e{tens}").parse().unwrap()
        }
        _ => return f32::from(random.random::<i16>()) / 100.0,
    };
    f32::from_bits(number.to_bits().wrapping_add_signed(random.random_range(-1..2)))
}

/// Half of them whole seconds or near to it.
fn microseconds(random: &mut StdRng, range: std::ops::Range<i64>) -> i64 {
    let any = random.random_range(range.clone());
    match random.random_range(0..4) {
        0 => any / 1_000_000 * 1_000_000,
        1 => any / 1000 * 1000,
        2 if range.contains(&(any % 100_000_000)) => any % 100_000_000,
        _ => any,
    }
}

fn moment(random: &mut StdRng) -> Vec<u8> {
    let wide: i64 = microseconds(random, -211_813_488_000_000_000..9_223_371_331_200_000_000);
    let near = microseconds(random, -70_000_000_000_000_000..10_000_000_000_000_000);
    if random.random() { wide } else { near }.to_be_bytes().into()
}

fn network(random: &mut StdRng, is_cidr: bool) -> Vec<u8> {
    let (family, length) = if random.random() { (2, 4) } else { (3, 16) };
    let bits = if random.random() { length * 8 } else { random.random_range(0..=length * 8) };
    let mut address: Vec<u8> = (0..length).map(|_| random.random()).collect();
    if family == 3 && random.random() {
        for pair in address.chunks_mut(2) {
            match random.random_range(0..4) {
                0 => pair[0] = 0,
                1 => {}
                _ => pair.fill(0),
            }
        }
        if random.random_range(0..3) == 0 {
            address[..10].fill(0);
            address[10..12].fill(if random.random() { 0 } else { 0xff });
        }
    }
    if is_cidr {
        for (at, byte) in (0..).zip(&mut address) {
            let kept = u32::from(bits).saturating_sub(at * 8).min(8);
            *byte &= u8::try_from(0xff00_u32 >> kept & 0xff).unwrap();
        }
    }
    [&[family, bits, u8::from(is_cidr), length][..], &address].concat()
}

fn bits(random: &mut StdRng) -> Vec<u8> {
    let length: i32 = random.random_range(0..40);
    let mut bytes: Vec<u8> = (0..(length + 7) / 8).map(|_| random.random()).collect();
    if let Some(last) = bytes.last_mut()
        && length % 8 > 0
    {
        *last &= 0xff << (8 - length % 8);
    }
    [&length.to_be_bytes()[..], &bytes].concat()
}

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows of one column in COPY's binary format.
fn binary_copy(values: &[Vec<u8>]) -> Vec<u8> {
    let mut copy = HEADER.to_vec();
    for value in values {
        copy.extend(1_u16.to_be_bytes());
        copy.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        copy.extend_from_slice(value);
    }
    copy.extend([0xff, 0xff]);
    copy
}

fn read_binary_copy(copy: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = copy.strip_prefix(HEADER).unwrap();
    let mut values = Vec::new();
    while let Some((count, after)) = rest.split_first_chunk() {
        if u16::from_be_bytes(*count) == 0xffff {
            assert!(after.is_empty());
            return values;
        }
        let (length, after) = after.split_first_chunk().unwrap();
        let (value, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        values.push(value.to_vec());
        rest = after;
    }
    panic!("the rows do not end");
}

async fn copy_out(session: &Session, statement: &str) -> Vec<u8> {
    let mut rows = session.copy_out(statement).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = rows.next_chunk().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    all
}

#[tokio::test]
async fn binary_values_are_printed_as_the_server_prints_them() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut random = StdRng::seed_from_u64(seed);
    let database = support::database();
    let session = database.session().await;
    let mut wrong = Vec::new();
    for case in cases(session.server_major()) {
        let Case { type_name, written, .. } = &case;
        let ddl = format!("CREATE TEMPORARY TABLE one (id serial, v {type_name})");
        session.batch("a table", &ddl).await.unwrap();
        for value in written {
            let statement = format!("INSERT INTO pg_temp.one (v) VALUES ($1::text::{type_name})");
            session.execute(&statement, &[value]).await.unwrap();
        }
        let values: Vec<_> = (0..RANDOM).map(|_| (case.random)(&mut random)).collect();
        let mut rows =
            session.copy_in("COPY pg_temp.one (v) FROM STDIN (FORMAT binary)").await.unwrap();
        rows.send(Bytes::from(binary_copy(&values))).await.unwrap();
        assert_eq!(rows.finish().await.unwrap(), RANDOM as u64, "{type_name}");

        let statement = "COPY (SELECT v FROM pg_temp.one ORDER BY id) TO STDOUT";
        let text = copy_out(&session, statement).await;
        let binary =
            read_binary_copy(&copy_out(&session, &format!("{statement} (FORMAT binary)")).await);
        let lines: Vec<_> =
            text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        assert_eq!((lines.len(), binary.len()), (written.len() + RANDOM, written.len() + RANDOM));
        let oid = "SELECT atttypid FROM pg_attribute WHERE attrelid = 'pg_temp.one'::regclass AND attname = 'v'";
        let type_oid: u32 = session.query_one(oid, &[]).await.unwrap().get(0);
        assert!(is_known(type_oid), "{type_name}");
        let mut printed = Vec::new();
        for (line, value) in lines.iter().zip(&binary) {
            printed.clear();
            let result = text_of(type_oid, value, &mut printed);
            if result.is_err() || *printed != *unescape(line) {
                let (here, there) =
                    (String::from_utf8_lossy(&printed), String::from_utf8_lossy(line));
                wrong.push(format!("{type_name} {}: {here} is {there}", hex::encode(value)));
            }
        }
        session.batch("the end of a table", "DROP TABLE pg_temp.one").await.unwrap();
    }
    wrong.truncate(40);
    assert!(wrong.is_empty(), "with the seed {seed}:\n{}", wrong.join("\n"));
}
