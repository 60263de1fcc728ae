//! A list of whole numbers in few bytes.
//!
//! ```text
//! list = head (1) || rest            not there at all for an empty list
//! head = mode * 64 + width           width: 0 to 62 bits, or 63 for 64 bits
//!
//! mode 0  least                      || number - least, packed
//! mode 1  least || stride            || (number - least) / stride, packed
//! mode 2  first || least || stride   || (difference - least) / stride, packed, one less than numbers
//! mode 3  count || the numbers that occur, as they first occur || the place of each, packed
//! ```
//!
//! `least`, `first` and the numbers of mode 3 are zigzag varints; `stride` and `count` are varints. A
//! difference is that to the number before. All sums wrap at 64 bits.

use super::{Malformed, bits};
use crate::container::varint::{self, Reader};

/// So many different numbers at the most are worth a list of them.
const DIFFERENT_MAX: usize = 16;

const PLAIN: u8 = 0;
const STRIDED: u8 = 1;
const DIFFERENCES: u8 = 2;
const LISTED: u8 = 3;

/// Signed numbers as unsigned ones, small for small ones of either sign.
#[allow(clippy::cast_sign_loss)]
pub fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[allow(clippy::cast_possible_wrap)]
pub fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// What a row of numbers spans.
#[derive(Clone, Copy)]
struct Span {
    least: i64,
    greatest: i64,
}

impl Span {
    #[allow(clippy::cast_sign_loss)]
    fn range(self) -> u64 {
        self.greatest.wrapping_sub(self.least) as u64
    }
}

/// Appends a list.
#[allow(clippy::cast_possible_truncation)]
pub fn put(bytes: &mut Vec<u8>, numbers: &[i64]) {
    let Some((&first, rest)) = numbers.split_first() else { return };
    let mut span = Span { least: first, greatest: first };
    let mut differences = Span { least: i64::MAX, greatest: i64::MIN };
    let mut before = first;
    for &number in rest {
        span.least = span.least.min(number);
        span.greatest = span.greatest.max(number);
        let difference = number.wrapping_sub(before);
        differences.least = differences.least.min(difference);
        differences.greatest = differences.greatest.max(difference);
        before = number;
    }
    if span.range() == 0 {
        bytes.push(head(PLAIN, 0));
        varint::put(bytes, zigzag(first));
        return;
    }
    let stride = stride(numbers, span.least);
    let plain = width_of(span.range() / stride);
    let count = numbers.len() as u64;
    let plain_bits = count * u64::from(plain);
    if let Some(listed) = Listed::of(numbers, plain_bits) {
        listed.put(bytes, numbers);
        return;
    }
    // A span of differences is one only if none of them wrapped.
    let of_differences = width_of(differences.range() / stride);
    let sorted = differences.least >= 0 && span.least == first && span.greatest == before;
    if sorted && rest.len() as u64 * u64::from(of_differences) + 16 < plain_bits {
        let least = differences.least;
        bytes.push(head(DIFFERENCES, of_differences));
        varint::put(bytes, zigzag(first));
        varint::put(bytes, zigzag(least));
        varint::put(bytes, stride);
        let pairs = numbers.iter().zip(rest);
        let difference = |(before, number): (&i64, &i64)| number.wrapping_sub(*before);
        pack(bytes, of_differences, pairs.map(difference), least, stride);
        return;
    }
    if stride == 1 {
        bytes.push(head(PLAIN, plain));
        varint::put(bytes, zigzag(span.least));
    } else {
        bytes.push(head(STRIDED, plain));
        varint::put(bytes, zigzag(span.least));
        varint::put(bytes, stride);
    }
    pack(bytes, plain, numbers.iter().copied(), span.least, stride);
}

#[allow(clippy::cast_sign_loss)]
fn pack(
    bytes: &mut Vec<u8>,
    width: u32,
    numbers: impl Iterator<Item = i64>,
    least: i64,
    stride: u64,
) {
    let above = numbers.map(|number| number.wrapping_sub(least) as u64);
    if stride == 1 {
        bits::put(bytes, width, above);
    } else {
        let divisor = Divisor::new(stride);
        bits::put(bytes, width, above.map(|number| divisor.exactly(number)));
    }
}

/// The greatest common divisor of what all numbers are above the least; at least 1.
#[allow(clippy::cast_sign_loss)]
fn stride(numbers: &[i64], least: i64) -> u64 {
    let mut found: Option<Divisor> = None;
    for &number in numbers {
        let mut above = number.wrapping_sub(least) as u64;
        match &found {
            _ if above == 0 => {}
            None => found = Some(Divisor::new(above)),
            Some(divisor) if divisor.divides(above) => {}
            Some(divisor) => {
                let mut stride = divisor.number;
                while above != 0 {
                    (stride, above) = (above, stride % above);
                }
                if stride == 1 {
                    return 1;
                }
                found = Some(Divisor::new(stride));
            }
        }
    }
    found.map_or(1, |found| found.number)
}

/// Exact division by multiplication: Henry S. Warren, Hacker's Delight, 10-16 and 10-17.
struct Divisor {
    number: u64,
    /// Of the odd part, modulo 2^64.
    inverse: u64,
    twos: u32,
}

impl Divisor {
    /// Of a number above 0.
    fn new(number: u64) -> Self {
        let twos = number.trailing_zeros();
        let odd = number >> twos;
        // Newton's method: three bits are right at first, and twice as many after each step.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { number, inverse, twos }
    }

    fn divides(&self, dividend: u64) -> bool {
        dividend.wrapping_mul(self.inverse).rotate_right(self.twos) <= u64::MAX / self.number
    }

    /// The quotient of a number that it divides.
    fn exactly(&self, dividend: u64) -> u64 {
        (dividend >> self.twos).wrapping_mul(self.inverse)
    }
}

/// The few numbers that occur.
struct Listed {
    numbers: [i64; DIFFERENT_MAX],
    count: usize,
}

impl Listed {
    /// If there are few, and naming them is shorter than `plain_bits`.
    fn of(numbers: &[i64], plain_bits: u64) -> Option<Self> {
        let mut listed = Self { numbers: [0; DIFFERENT_MAX], count: 0 };
        let mut list_bits = 16;
        for &number in numbers {
            if listed.place(number).is_none() {
                *listed.numbers.get_mut(listed.count)? = number;
                listed.count += 1;
                list_bits += 7 + u64::from(width_of(zigzag(number)));
                if list_bits >= plain_bits {
                    return None;
                }
            }
        }
        let bits = list_bits + numbers.len() as u64 * u64::from(listed.width());
        (bits < plain_bits).then_some(listed)
    }

    fn width(&self) -> u32 {
        width_of(self.count as u64 - 1)
    }

    fn known(&self) -> &[i64] {
        &self.numbers[..self.count]
    }

    fn place(&self, number: i64) -> Option<u64> {
        self.known().iter().position(|known| *known == number).map(|place| place as u64)
    }

    fn put(&self, bytes: &mut Vec<u8>, numbers: &[i64]) {
        bytes.push(head(LISTED, self.width()));
        varint::put(bytes, self.count as u64);
        for number in self.known() {
            varint::put(bytes, zigzag(*number));
        }
        let places = numbers.iter().map(|number| self.place(*number).unwrap_or(0));
        bits::put(bytes, self.width(), places);
    }
}

/// Bits that a number needs; 63 is rounded up to 64, which has a head of its own.
fn width_of(number: u64) -> u32 {
    match 64 - number.leading_zeros() {
        63 => 64,
        width => width,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn head(mode: u8, width: u32) -> u8 {
    mode << 6 | if width == 64 { 63 } else { width as u8 }
}

/// Reads a list of `count` numbers. The caller has bounded `count` by the bytes that it may become.
#[allow(clippy::cast_possible_wrap)]
pub fn take(bytes: &mut &[u8], count: usize) -> Result<Vec<i64>, Malformed> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut reader = Reader(bytes);
    let head = reader.byte().ok_or(Malformed)?;
    let width = match u32::from(head & 63) {
        63 => 64,
        width => width,
    };
    let signed = |reader: &mut Reader<'_>| reader.number().map(unzigzag).ok_or(Malformed);
    let mut numbers = Vec::with_capacity(count);
    match head >> 6 {
        PLAIN | STRIDED => {
            let least = signed(&mut reader)?;
            let stride = if head >> 6 == STRIDED { reader.number().ok_or(Malformed)? } else { 1 };
            *bytes = reader.0;
            bits::take(bytes, width, count, |packed| {
                numbers.push(least.wrapping_add(packed.wrapping_mul(stride) as i64));
            })?;
        }
        DIFFERENCES => {
            let first = signed(&mut reader)?;
            let least = signed(&mut reader)?;
            let stride = reader.number().ok_or(Malformed)?;
            *bytes = reader.0;
            numbers.push(first);
            let mut number = first;
            bits::take(bytes, width, count - 1, |packed| {
                let difference = least.wrapping_add(packed.wrapping_mul(stride) as i64);
                number = number.wrapping_add(difference);
                numbers.push(number);
            })?;
        }
        _ => {
            let known = reader.number().ok_or(Malformed)?;
            if known > bytes.len() as u64 {
                return Err(Malformed);
            }
            let known: Vec<i64> =
                (0..known).map(|_| signed(&mut reader)).collect::<Result<_, _>>()?;
            *bytes = reader.0;
            let mut all_known = true;
            bits::take(bytes, width, count, |place| {
                let number = usize::try_from(place).ok().and_then(|place| known.get(place));
                all_known &= number.is_some();
                numbers.push(number.copied().unwrap_or(0));
            })?;
            if !all_known {
                return Err(Malformed);
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[i64]) -> usize {
        let mut bytes = Vec::new();
        put(&mut bytes, numbers);
        let mut rest = &bytes[..];
        assert_eq!(take(&mut rest, numbers.len()).as_deref(), Ok(numbers));
        assert!(rest.is_empty());
        bytes.len()
    }

    fn some() -> impl Strategy<Value = Vec<i64>> {
        let any_numbers = prop::collection::vec(any::<i64>(), 0..40).boxed();
        let few =
            prop::collection::vec(prop::sample::select(vec![i64::MIN, -7, 0, i64::MAX]), 0..90)
                .boxed();
        let near = (any::<i64>(), prop::collection::vec(0_i64..1000, 0..90))
            .prop_map(|(base, near)| near.into_iter().map(|one| base.wrapping_add(one)).collect())
            .boxed();
        let sorted = (any::<i32>(), 1_i64..100_000, prop::collection::vec(0_i64..1000, 0..90))
            .prop_map(|(base, stride, steps)| {
                let mut number = i64::from(base);
                steps
                    .into_iter()
                    .map(|step| {
                        number += step * stride;
                        number
                    })
                    .collect()
            })
            .boxed();
        prop_oneof![any_numbers, few, near, sorted]
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in some()) {
            round_trip(&numbers);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, count in 0_usize..200) {
            let _ = take(&mut &bytes[..], count);
        }
    }

    proptest! {
        #[test]
        fn division_is_exact(divisor in 1_u64.., factor: u32, any: u64) {
            let divided = Divisor::new(divisor);
            if let Some(number) = divisor.checked_mul(factor.into()) {
                prop_assert!(divided.divides(number));
                prop_assert_eq!(divided.exactly(number), u64::from(factor));
            }
            prop_assert_eq!(divided.divides(any), any % divisor == 0);
        }
    }

    #[test]
    fn what_is_regular_is_short() {
        assert_eq!(round_trip(&[7; 1000]), 2);
        let moments: Vec<i64> = (0..50).map(|hour| hour * 3_600_000_000).collect();
        assert!(round_trip(&moments) < 20, "{}", round_trip(&moments));
        let accounts: Vec<i64> = (0..64).map(|row| [123_456, 98_765][row % 2]).collect();
        assert!(round_trip(&accounts) < 20, "{}", round_trip(&accounts));
        let numbers: Vec<i64> = (0..50).map(|row| row * 100_000 + (row * 7919) % 90_000).collect();
        assert!(round_trip(&numbers) < 50 * 18 / 8 + 12, "{}", round_trip(&numbers));
    }
}
