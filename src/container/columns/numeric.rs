//! PostgreSQL's `numeric` as a whole number and the digits after its point, and exactly back.
//!
//! Source: `numeric_send` in PostgreSQL's `utils/adt/numeric.c`. A value is `ndigits`, `weight`, `sign`,
//! `dscale` (16 bits each) and `ndigits` digits to the base of 10,000, the first with the weight
//! `10,000^weight`.

/// Values with more digits after the point are kept as bytes.
pub const SCALE_MAX: u8 = 30;
const NEGATIVE: u16 = 0x4000;
const BASE: u64 = 10_000;

/// `(units, scale)` with the value `units / 10^scale`; `None` for what this cannot say exactly
/// (infinities, very long numbers, any form that PostgreSQL itself would not write).
pub fn read(value: &[u8]) -> Option<(i64, u8)> {
    read_short(value).or_else(|| read_any(value))
}

/// The same for what nearly all values are: at most four digits to the base of 10,000, those before the
/// point and those after it, zeros that are not written included.
fn read_short(value: &[u8]) -> Option<(i64, u8)> {
    let (head, digits) = value.split_first_chunk::<8>()?;
    let field = |place: usize| u16::from_be_bytes([head[place], head[place + 1]]);
    let (count, weight, sign, scale) = (field(0), field(2).cast_signed(), field(4), field(6));
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
    let (digits, []) = digits.as_chunks::<2>() else { return None };
    let after_point = scale.div_ceil(4);
    let places = i32::from(weight) + 1 + i32::from(after_point);
    let is_short = usize::from(count) == digits.len() && (1..=4).contains(&places);
    let zeros = usize::try_from(places).ok()?.checked_sub(digits.len())?;
    let (first, last) = (digits.first()?, digits.last()?);
    // PostgreSQL writes no zeros around the others.
    if !is_short || *first == [0; 2] || *last == [0; 2] || ![0, NEGATIVE].contains(&sign) {
        return None;
    }
    let mut units = 0;
    for digit in digits {
        let digit = u64::from(u16::from_be_bytes(*digit));
        if digit >= BASE {
            return None;
        }
        units = units * BASE + digit;
    }
    (0..zeros).for_each(|_| units *= BASE);
    let beyond = [1, 10, 100, 1000][usize::from(4 * after_point - scale)];
    if units % beyond != 0 {
        return None;
    }
    // Cannot wrap: below 10^16.
    let units = (units / beyond).cast_signed();
    Some((if sign == NEGATIVE { -units } else { units }, scale))
}

fn read_any(value: &[u8]) -> Option<(i64, u8)> {
    let (head, digits) = value.split_first_chunk::<8>()?;
    let field = |place: usize| u16::from_be_bytes([head[place], head[place + 1]]);
    let (weight, sign, scale) = (field(2).cast_signed(), field(4), field(6));
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
    let mut units = 0_i128;
    for (digit, place) in digits.chunks_exact(2).zip(0_i32..) {
        let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
        let exponent = 4 * (i32::from(weight) - place) + i32::from(scale);
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        let part = if exponent < 0 { digit / power } else { digit.checked_mul(power)? };
        units = units.checked_add(part)?;
    }
    if sign == NEGATIVE {
        units = -units;
    }
    let units = i64::try_from(units).ok()?;
    // Whatever was lost or odd shows here.
    let mut again = [0; BYTES_MAX];
    let length = write(units, scale, &mut again);
    (again.get(..length)? == value).then_some((units, scale))
}

/// The longest value that [`write`] makes: 19 digits and 30 after the point.
pub const BYTES_MAX: usize = 8 + 2 * 15;

/// Writes the value into `out` and says how long it is.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub fn write(units: i64, scale: u8, out: &mut [u8; BYTES_MAX]) -> usize {
    let after_point = usize::from(scale).div_ceil(4);
    let mut rest = u128::from(units.unsigned_abs());
    // At most 19 digits and three more: below 10^23.
    rest *= 10_u128.pow(4 * after_point as u32 - u32::from(scale));
    let mut digits = [0_u16; 15];
    let mut count = 0;
    while rest > u128::from(u64::MAX) {
        digits[count] = (rest % u128::from(BASE)) as u16;
        rest /= u128::from(BASE);
        count += 1;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        digits[count] = (rest % BASE) as u16;
        rest /= BASE;
        count += 1;
    }
    let zeros = digits[..count].iter().take_while(|digit| **digit == 0).count();
    let weight = if count == 0 { 0 } else { count as i16 - 1 - after_point as i16 };
    let sign = if units < 0 { NEGATIVE } else { 0 };
    let kept = count - zeros;
    out[..2].copy_from_slice(&(kept as u16).to_be_bytes());
    out[2..4].copy_from_slice(&weight.to_be_bytes());
    out[4..6].copy_from_slice(&sign.to_be_bytes());
    out[6..8].copy_from_slice(&u16::from(scale).to_be_bytes());
    for (place, digit) in digits[zeros..count].iter().rev().enumerate() {
        out[8 + 2 * place..10 + 2 * place].copy_from_slice(&digit.to_be_bytes());
    }
    8 + 2 * kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back(units: i64, scale in 0..=SCALE_MAX) {
            let mut bytes = [0; BYTES_MAX];
            let length = write(units, scale, &mut bytes);
            prop_assert_eq!(read(&bytes[..length]), Some((units, scale)));
        }

        #[test]
        fn short_values_are_read_as_any(
            units in -20_000_i64..20_000, tens in 0..14_u32, scale in 0_u8..12,
            change in prop::option::of((0_usize..12, any::<u8>())),
        ) {
            let mut bytes = [0; BYTES_MAX];
            let length = write(units * 10_i64.pow(tens), scale, &mut bytes);
            if let Some((place, byte)) = change {
                bytes[place] = byte;
            }
            let value = &bytes[..length];
            if let Some(short) = read_short(value) {
                prop_assert_eq!(read_any(value), Some(short));
            }
        }

        #[test]
        fn any_bytes_are_read_exactly_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some((units, scale)) = read(&bytes) {
                let mut again = [0; BYTES_MAX];
                let length = write(units, scale, &mut again);
                prop_assert_eq!(&again[..length], &bytes[..]);
            }
        }
    }

    /// As `SELECT numeric_send(…)` prints them.
    #[test]
    fn postgresql_writes_the_same() {
        for (units, scale, sent) in [
            (0, 2, "0000000000000002"),
            (12_345, 2, "0002000000000002007b1194"),
            (-1, 2, "0001ffff400000020064"),
            (100_000_000, 0, "00010002000000000001"),
            (5, 5, "0001fffe00000005" /* 0.00005 */),
        ] {
            let mut bytes = [0; BYTES_MAX];
            let length = write(units, scale, &mut bytes);
            assert!(hex::encode(&bytes[..length]).starts_with(sent), "{units} {scale}");
        }
        // An amount takes the short way.
        assert_eq!(
            read_short(&hex::decode("0002000000000002007b1194").unwrap()),
            Some((12_345, 2))
        );
        // NaN and infinity.
        assert_eq!(read(&hex::decode("00000000c0000000").unwrap()), None);
        assert_eq!(read(&hex::decode("00000000d0000000").unwrap()), None);
    }
}
