//! Values of built-in types in PostgreSQL's binary form, as the text that the server prints for them
//! under the settings of [`session`](crate::postgres::connect::session): what `COPY` in its text
//! format has, before escaping. A cast to `text` gives something else for three of them: `bool`
//! (`true`), `bpchar` (without the spaces at its end) and `inet` (always with its bits).
//!
//! A type is either printed exactly as every supported server prints it, or it is not in [`is_known`].
//! Sources: the types' `…send` and `…out` functions in PostgreSQL 13 to 18 (`src/backend/utils/adt`).

mod addresses;
mod floats;
mod moments;
mod numbers;
mod type_oids;

use type_oids as oid;

/// A value that is not what PostgreSQL sends for its type, or whose type is not known here. Its bytes
/// are not in the message: they may be a person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of the type with the oid {type_oid} is not in PostgreSQL's binary form")]
pub struct MalformedValue {
    /// The type.
    pub type_oid: u32,
}

/// The value's bytes are not of its type.
struct Malformed;

/// Whether [`text_of`] prints values of the type.
#[must_use]
pub fn is_known(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::BOOL
            | oid::BYTEA
            | oid::CHAR
            | oid::NAME
            | oid::INT8
            | oid::INT2
            | oid::INT4
            | oid::TEXT
            | oid::OID
            | oid::JSON
            | oid::CIDR
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::MONEY
            | oid::MACADDR
            | oid::MACADDR8
            | oid::INET
            | oid::BPCHAR
            | oid::VARCHAR
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
            | oid::TIMETZ
            | oid::BIT
            | oid::VARBIT
            | oid::NUMERIC
            | oid::UUID
            | oid::JSONB
    )
}

/// Appends the text of one value that is not NULL. On an error, `out` is as it was.
pub fn text_of(type_oid: u32, value: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedValue> {
    let before = out.len();
    let printed = match type_oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON => {
            out.extend_from_slice(value);
            Ok(())
        }
        oid::INT4 => fixed(value).map(|bytes| integer(i32::from_be_bytes(bytes), out)),
        oid::INT8 => fixed(value).map(|bytes| integer(i64::from_be_bytes(bytes), out)),
        oid::INT2 => fixed(value).map(|bytes| integer(i16::from_be_bytes(bytes), out)),
        oid::OID => fixed(value).map(|bytes| integer(u32::from_be_bytes(bytes), out)),
        oid::UUID => fixed(value).map(|bytes| uuid(&bytes, out)),
        oid::BOOL => boolean(value, out),
        oid::CHAR => fixed(value).map(|[byte]| character(byte, out)),
        oid::BYTEA => {
            out.extend_from_slice(b"\\x");
            hexadecimal(value, out);
            Ok(())
        }
        oid::JSONB => match value.split_first() {
            Some((1, text)) => {
                out.extend_from_slice(text);
                Ok(())
            }
            _ => Err(Malformed),
        },
        oid::BIT | oid::VARBIT => bits(value, out),
        oid::NUMERIC => numbers::numeric(value, out),
        oid::MONEY => fixed(value).map(|bytes| numbers::money(i64::from_be_bytes(bytes), out)),
        oid::FLOAT4 => fixed(value).map(|bytes| floats::single(f32::from_be_bytes(bytes), out)),
        oid::FLOAT8 => fixed(value).map(|bytes| floats::double(f64::from_be_bytes(bytes), out)),
        oid::DATE => fixed(value).and_then(|bytes| moments::date(i32::from_be_bytes(bytes), out)),
        oid::TIME => fixed(value).and_then(|bytes| moments::time(i64::from_be_bytes(bytes), out)),
        oid::TIMETZ => moments::time_with_zone(value, out),
        oid::TIMESTAMP => {
            fixed(value).and_then(|bytes| moments::timestamp(i64::from_be_bytes(bytes), "", out))
        }
        oid::TIMESTAMPTZ => {
            fixed(value).and_then(|bytes| moments::timestamp(i64::from_be_bytes(bytes), "+00", out))
        }
        oid::INTERVAL => moments::interval(value, out),
        oid::INET => addresses::network(value, false, out),
        oid::CIDR => addresses::network(value, true, out),
        oid::MACADDR => fixed::<6>(value).map(|bytes| addresses::hardware(&bytes, out)),
        oid::MACADDR8 => fixed::<8>(value).map(|bytes| addresses::hardware(&bytes, out)),
        _ => Err(Malformed),
    };
    printed.map_err(|Malformed| {
        out.truncate(before);
        MalformedValue { type_oid }
    })
}

/// The bytes of a type of fixed length.
fn fixed<const LENGTH: usize>(value: &[u8]) -> Result<[u8; LENGTH], Malformed> {
    value.try_into().map_err(|_| Malformed)
}

fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// At least so many digits, zeros in front.
fn padded(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    out.resize(out.len() + width.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits);
}

fn boolean(value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.push(match value {
        [0] => b'f',
        [1] => b't',
        _ => return Err(Malformed),
    });
    Ok(())
}

/// `"char"`. A byte above ASCII is octal, as servers from 16 on print it: what older ones print, the
/// byte itself, is no text in any encoding but a single-byte one.
fn character(byte: u8, out: &mut Vec<u8>) {
    match byte {
        // The server's text ends at a zero, so this one is empty.
        0 => {}
        1..=0x7f => out.push(byte),
        _ => out.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
    }
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

fn hex_digits(byte: u8) -> [u8; 2] {
    [HEXADECIMAL[usize::from(byte >> 4)], HEXADECIMAL[usize::from(byte & 15)]]
}

fn hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    out.extend(bytes.iter().flat_map(|byte| hex_digits(*byte)));
}

fn uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        at += usize::from(matches!(index, 4 | 6 | 8 | 10));
        text[at..at + 2].copy_from_slice(&hex_digits(*byte));
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// Bit strings: their length in bits, then the bits, the last byte filled up.
fn bits(value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (length, bytes) = value.split_first_chunk().ok_or(Malformed)?;
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Malformed)?;
    if bytes.len() != length.div_ceil(8) {
        return Err(Malformed);
    }
    let digit = |at: usize| b'0' + (bytes[at / 8] >> (7 - at % 8) & 1);
    out.extend((0..length).map(digit));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(type_oid: u32, value: &[u8]) -> Option<String> {
        let mut out = b"before ".to_vec();
        let printed = text_of(type_oid, value, &mut out).ok();
        let text = String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned();
        if printed.is_none() {
            assert_eq!(text, "", "an error leaves nothing behind");
        }
        printed.map(|()| text)
    }

    #[test]
    fn whole_numbers_and_names_are_as_the_server_prints_them() {
        assert_eq!(text(oid::INT2, &[0x80, 0]).unwrap(), "-32768");
        assert_eq!(text(oid::INT4, &[0xff; 4]).unwrap(), "-1");
        assert_eq!(text(oid::INT8, &i64::MIN.to_be_bytes()).unwrap(), "-9223372036854775808");
        assert_eq!(text(oid::OID, &[0xff; 4]).unwrap(), "4294967295");
        let uuid: [u8; 16] = std::array::from_fn(|at| 0x11 * u8::try_from(at).unwrap());
        assert_eq!(text(oid::UUID, &uuid).unwrap(), "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn a_length_that_is_not_the_types_is_refused() {
        for (type_oid, value) in [
            (oid::INT4, &[0; 3][..]),
            (oid::INT4, &[0; 5]),
            (oid::UUID, &[0; 15]),
            (oid::BOOL, &[]),
            (oid::BOOL, &[2]),
            (oid::JSONB, &[]),
            (oid::JSONB, b"\x02{}"),
            (oid::BIT, &[0, 0, 0, 9, 0xff]),
            (oid::BIT, &[0xff, 0xff, 0xff, 0xff]),
            (oid::MACADDR, &[0; 8]),
            (oid::CIDR, &[2, 24, 1, 4, 1, 2, 3]),
            (oid::NUMERIC, &[0, 1, 0, 0, 0, 0, 0, 0]),
            (2950 + 1, b""),
        ] {
            assert_eq!(text(type_oid, value), None, "{type_oid} {value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_printed_or_refused_and_refused_where_the_type_is_unknown(
            type_oid in prop_oneof![Just(oid::NUMERIC), Just(oid::INTERVAL), 0_u32..4000],
            value in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut out = Vec::new();
            let printed = text_of(type_oid, &value, &mut out);
            if !is_known(type_oid) {
                prop_assert_eq!(printed, Err(MalformedValue { type_oid }));
            }
            prop_assert!(printed.is_ok() || out.is_empty());
        }
    }
}
