//! `float4` and `float8` as the shortest decimal that is read back as the same number (`f2s.c`,
//! `d2s.c`).
//!
//! PostgreSQL's shortest is not everybody's: it must lie strictly between the midpoints to the
//! neighbouring numbers, so that a reader that rounds a tie the other way reads the same number too.
//! Rust's may be a midpoint itself, where a reader that rounds ties to even comes back to the number:
//! 1e23 is 1e+23 in Rust and 9.999999999999999e+22 in PostgreSQL. And of two decimals that are as near,
//! PostgreSQL's is the even one. So Rust's is taken unless it is a midpoint, or such an odd one.

use std::fmt::{self, LowerExp, Write as _};
use std::str::FromStr;

/// More digits than these are written with an exponent (`FLT_DIG`, `DBL_DIG`).
const SINGLE_DIGITS: i32 = 6;
const DOUBLE_DIGITS: i32 = 15;

pub(super) fn single(number: f32, out: &mut Vec<u8>) {
    let bits = number.to_bits();
    let (fraction, biased) = (u64::from(bits & 0x7f_ffff), (bits >> 23 & 0xff).cast_signed());
    let decimal = Parts::new(fraction, biased, 23, -149).shortest(number.abs());
    print(number.into(), &decimal, SINGLE_DIGITS, out);
}

pub(super) fn double(number: f64, out: &mut Vec<u8>) {
    let bits = number.to_bits();
    // Eleven bits.
    #[allow(clippy::cast_possible_truncation)]
    let biased = (bits >> 52 & 0x7ff) as i32;
    let decimal = Parts::new(bits & 0xf_ffff_ffff_ffff, biased, 52, -1074).shortest(number.abs());
    print(number, &decimal, DOUBLE_DIGITS, out);
}

fn print(number: f64, decimal: &Decimal, digits_max: i32, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    if number.is_infinite() {
        out.extend_from_slice(b"Infinity");
    } else if number == 0.0 {
        out.push(b'0');
    } else {
        decimal.print(digits_max, out);
    }
}

/// A finite number without its sign: mantissa times two to the power of the exponent.
struct Parts {
    mantissa: u64,
    exponent: i32,
    /// Whether the number is a power of two whose neighbour below is only half as far away.
    below_is_near: bool,
}

impl Parts {
    fn new(fraction: u64, biased: i32, fraction_bits: u32, exponent_min: i32) -> Self {
        if biased == 0 {
            return Self { mantissa: fraction, exponent: exponent_min, below_is_near: false };
        }
        Self {
            mantissa: fraction | 1 << fraction_bits,
            exponent: exponent_min + biased - 1,
            below_is_near: fraction == 0 && biased > 1,
        }
    }

    /// The shortest decimal strictly between the midpoints, and of those the nearest, and of two that
    /// are as near the even one. For what is not a finite number or is zero, anything.
    fn shortest<Float: Number>(&self, number: Float) -> Decimal {
        let shortest = Decimal::of(number, None);
        if self.mantissa == 0 {
            return shortest;
        }
        if !self.is_read_as_others(&shortest) {
            return self.even(shortest, number);
        }
        // Longer ones, until one is strictly between. At a power of two the nearest may be outside
        // on the near side, and yet one on the other side within.
        for decimals in shortest.length() - 1..17 {
            let nearest = Decimal::of(number, Some(decimals));
            for digits in [nearest.digits, nearest.digits - 1, nearest.digits + 1] {
                let candidate = Decimal { digits, power: nearest.power };
                if self.is_within(&candidate, number) {
                    return self.even(candidate.without_zeros(), number);
                }
            }
        }
        shortest
    }

    /// Whether a decimal is strictly between the midpoints.
    fn is_within<Float: Number>(&self, decimal: &Decimal, number: Float) -> bool {
        decimal.is_read_as(number) && !self.is_read_as_others(decimal)
    }

    /// Whether a decimal that Rust reads as this number is another's where ties are rounded otherwise.
    /// Rust never reads a tie as a number whose mantissa is odd.
    fn is_read_as_others(&self, decimal: &Decimal) -> bool {
        self.mantissa.is_multiple_of(2) && self.has_midpoint(decimal)
    }

    /// The neighbour of an odd decimal that is as near to the number, where there is one.
    fn even<Float: Number>(&self, decimal: Decimal, number: Float) -> Decimal {
        if decimal.digits.is_multiple_of(2) {
            return decimal;
        }
        let twos = self.mantissa.trailing_zeros();
        let (odd, exponent) = (self.mantissa >> twos, self.exponent + twos.cast_signed());
        for digits in [decimal.digits - 1, decimal.digits + 1] {
            let between =
                Decimal { digits: (decimal.digits + digits) * 5, power: decimal.power - 1 };
            let other = Decimal { digits, power: decimal.power };
            if between.is(odd, exponent) && self.is_within(&other, number) {
                return other;
            }
        }
        decimal
    }

    /// Whether a decimal is exactly in the middle between this number and a neighbour: an odd
    /// multiple of half their distance.
    fn has_midpoint(&self, decimal: &Decimal) -> bool {
        let below = if self.below_is_near {
            (self.mantissa * 4 - 1, self.exponent - 2)
        } else {
            (self.mantissa * 2 - 1, self.exponent - 1)
        };
        decimal.is(self.mantissa * 2 + 1, self.exponent - 1) || decimal.is(below.0, below.1)
    }
}

/// `digits` times ten to the power of `power`.
struct Decimal {
    digits: u64,
    power: i32,
}

impl Decimal {
    /// As Rust rounds the number: with so many digits after the first one, or as few as it needs.
    fn of<Float: LowerExp>(number: Float, decimals: Option<usize>) -> Self {
        let mut text = Text::default();
        let _ = match decimals {
            None => write!(text, "{number:e}"),
            Some(decimals) => write!(text, "{number:.decimals$e}"),
        };
        let (mantissa, exponent) = text.as_str().split_once('e').unwrap_or(("0", "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let digits = digits.fold(0, |digits, byte| digits * 10 + u64::from(byte - b'0'));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Self { digits, power: exponent - i32::try_from(fraction.len()).unwrap_or(0) }
    }

    /// How many digits.
    fn length(&self) -> usize {
        self.digits.max(1).ilog10() as usize + 1
    }

    fn without_zeros(mut self) -> Self {
        while self.digits != 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.power += 1;
        }
        self
    }

    fn is_read_as<Float: Number>(&self, number: Float) -> bool {
        let mut text = Text::default();
        write!(text, "{}e{}", self.digits, self.power).is_ok()
            && text.as_str().parse().is_ok_and(|read: Float| read == number)
    }

    /// Whether it is exactly an odd number times a power of two.
    fn is(&self, odd: u64, exponent: i32) -> bool {
        let twos = self.digits.trailing_zeros();
        // Beyond 5^27 one side's odd part has over 64 bits, and the other's has not.
        if self.digits == 0 || twos.cast_signed() + self.power != exponent {
            return false;
        }
        let Some(fives) = 5_u64.checked_pow(self.power.unsigned_abs()) else { return false };
        let (digits, odd, fives) =
            (u128::from(self.digits >> twos), u128::from(odd), u128::from(fives));
        if self.power >= 0 { digits * fives == odd } else { digits == odd * fives }
    }

    fn print(&self, digits_max: i32, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.digits).as_bytes();
        let zeros = |count: i32| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
        // Of the first digit.
        let exponent = self.power + i32::try_from(digits.len()).unwrap_or(0) - 1;
        let before_point = if (-4..digits_max).contains(&exponent) { exponent + 1 } else { 1 };
        if before_point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(zeros(-before_point));
            out.extend_from_slice(digits);
            return;
        }
        if let Some((whole, fraction)) =
            digits.split_at_checked(before_point.unsigned_abs() as usize)
        {
            out.extend_from_slice(whole);
            if !fraction.is_empty() {
                out.push(b'.');
                out.extend_from_slice(fraction);
            }
        } else {
            out.extend_from_slice(digits);
            out.extend(zeros(self.power));
        }
        if before_point != exponent + 1 {
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            super::padded(exponent.unsigned_abs().into(), 2, out);
        }
    }
}

/// A binary floating-point number.
trait Number: Copy + LowerExp + FromStr + PartialEq {}

impl Number for f32 {}
impl Number for f64 {}

/// A short text on the stack; the longest is 17 digits, a point, and an exponent.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = self.length + more.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(more.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_single(number: f32) -> String {
        let mut out = Vec::new();
        single(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn text_double(number: f64) -> String {
        let mut out = Vec::new();
        double(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_short_and_have_an_exponent_where_they_are_large_or_small() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-1234.5, "-1234.5"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text_double(number), text);
        }
        assert_eq!(text_single(1_000_000.0), "1e+06");
        assert_eq!(text_single(123_456.0), "123456");
        assert_eq!(text_single(f32::MAX), "3.4028235e+38");
        assert_eq!(text_single(-f32::INFINITY), "-Infinity");
    }

    #[test]
    fn a_midpoint_is_not_short_enough() {
        assert_eq!(text_double(1e23), "9.999999999999999e+22");
        assert_eq!(format!("{:e}", 1e23_f64), "1e23");
    }

    #[test]
    fn of_two_as_near_the_even_one_is_printed() {
        // 3347442.25, and 1467788936600494 with a quarter more and less.
        assert_eq!(text_single(f32::from_bits(0x4a4c_4fc9)), "3.3474422e+06");
        assert_eq!(text_double(f64::from_bits(0x4314_dbc8_f8af_6eb9)), "1.4677889366004942e+15");
        assert_eq!(text_double(f64::from_bits(0x4314_dbc8_f8af_6eb7)), "1.4677889366004938e+15");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bits: u64, single_bits: u32) {
            let number = f64::from_bits(bits);
            if !number.is_nan() {
                let read: f64 = text_double(number).parse().unwrap();
                prop_assert_eq!(read.to_bits(), bits);
            }
            let number = f32::from_bits(single_bits);
            if !number.is_nan() {
                let read: f32 = text_single(number).parse().unwrap();
                prop_assert_eq!(read.to_bits(), single_bits);
            }
        }
    }
}
