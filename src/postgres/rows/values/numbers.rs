//! `numeric` and `money` (`numeric.c`, `cash.c`).

use super::{Malformed, integer, padded};

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// The most digits after the point that the type can tell.
const SCALE_MAX: u16 = 0x3fff;

/// How many digits to the base of 10,000, the power of the first one, sign, scale; then the digits.
pub(super) fn numeric(value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (head, digits) = value.split_first_chunk::<8>().ok_or(Malformed)?;
    let field = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign, scale) = (field(0), field(2).cast_signed(), field(4), field(6));
    if digits.len() != usize::from(count) * 2 {
        return Err(Malformed);
    }
    match sign {
        0 => {}
        NEGATIVE => out.push(b'-'),
        NOT_A_NUMBER | INFINITY | NEGATIVE_INFINITY if count > 0 => return Err(Malformed),
        NOT_A_NUMBER => out.extend_from_slice(b"NaN"),
        INFINITY => out.extend_from_slice(b"Infinity"),
        NEGATIVE_INFINITY => out.extend_from_slice(b"-Infinity"),
        _ => return Err(Malformed),
    }
    if sign & NOT_A_NUMBER == NOT_A_NUMBER {
        return Ok(());
    }
    if scale > SCALE_MAX {
        return Err(Malformed);
    }
    let (digits, _) = digits.as_chunks::<2>();
    if digits.iter().any(|digit| u16::from_be_bytes(*digit) > 9999) {
        return Err(Malformed);
    }
    // The digit of that power of 10,000; those that are not told are zeros.
    let digit = |power: i32| {
        let at = usize::try_from(i32::from(weight) - power).ok();
        at.and_then(|at| digits.get(at)).map_or(0, |digit| u64::from(u16::from_be_bytes(*digit)))
    };
    integer(if weight < 0 { 0 } else { digit(weight.into()) }, out);
    for power in (0..i32::from(weight)).rev() {
        padded(digit(power), 4, out);
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + usize::from(scale);
        for power in 1..=i32::from(scale).div_euclid(4) + 1 {
            padded(digit(-power), 4, out);
        }
        out.truncate(end);
    }
    Ok(())
}

/// Cents, as `lc_monetary = C` writes them.
pub(super) fn money(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let (whole, cents) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(whole).as_bytes();
    for (at, digit) in digits.iter().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
    out.push(b'.');
    padded(cents, 2, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(count: u16, weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Option<String> {
        let head = [count, weight.cast_unsigned(), sign, scale];
        let bytes: Vec<u8> =
            head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
        let mut out = Vec::new();
        numeric(&bytes, &mut out).ok().map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_have_as_many_decimals_as_their_scale() {
        assert_eq!(text(0, 0, 0, 0, &[]).unwrap(), "0");
        assert_eq!(text(0, 0, 0, 3, &[]).unwrap(), "0.000");
        assert_eq!(text(2, 0, NEGATIVE, 2, &[12, 3400]).unwrap(), "-12.34");
        assert_eq!(text(1, 2, 0, 0, &[7]).unwrap(), "700000000");
        assert_eq!(text(1, -2, 0, 8, &[50]).unwrap(), "0.00000050");
        assert_eq!(text(1, -2, 0, 5, &[5000]).unwrap(), "0.00005");
        assert_eq!(text(0, 0, INFINITY, 0, &[]).unwrap(), "Infinity");
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        assert_eq!(text(1, 0, 0, 0, &[10_000]), None, "a digit over its base");
        assert_eq!(text(2, 0, 0, 0, &[1]), None, "a digit missing");
        assert_eq!(text(0, 0, 0x8000, 0, &[]), None, "an unknown sign");
        assert_eq!(text(0, 0, 0, SCALE_MAX + 1, &[]), None, "a scale over the most");
        assert_eq!(text(1, 0, NOT_A_NUMBER, 0, &[1]), None, "digits of no number");
    }

    #[test]
    fn money_is_grouped_by_thousands() {
        let text = |cents| {
            let mut out = Vec::new();
            money(cents, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(5), "$0.05");
        assert_eq!(text(-123_456_789), "-$1,234,567.89");
        assert_eq!(text(i64::MIN), "-$92,233,720,368,547,758.08");
    }
}
