//! Unsigned LEB128, shortest form only, and a reader that never reads past its end.

/// Appends a number.
#[inline]
pub fn put(bytes: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte @ 0..0x80) => bytes.push(byte),
        _ => put_longer(bytes, number),
    }
}

fn put_longer(bytes: &mut Vec<u8>, mut number: u64) {
    let (mut written, mut length) = ([0; 10], 0);
    for byte in &mut written {
        length += 1;
        // Cannot truncate: masked to seven bits.
        #[allow(clippy::cast_possible_truncation)]
        let seven = number as u8 & 0x7f;
        number >>= 7;
        *byte = if number == 0 { seven } else { seven | 0x80 };
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&written[..length]);
}

/// Reads fields one after the other; `None` when the bytes end or are not in shortest form.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some(u64::from(*byte));
        }
        self.longer_number()
    }

    fn longer_number(&mut self) -> Option<u64> {
        const ENDS: u64 = 0x8080_8080_8080_8080;
        // Eight bytes at once, if the number ends within them.
        if let Some(first) = self.0.first_chunk()
            && let word = u64::from_le_bytes(*first)
            && let ends = !word & ENDS
            && ends != 0
        {
            let bits = ends.trailing_zeros() + 1;
            let own = word & (u64::MAX >> (64 - bits));
            if own >> (bits - 8) == 0 {
                return None;
            }
            self.0 = self.0.get(bits as usize / 8..)?;
            let sevens = own & !ENDS;
            let fourteens =
                (sevens & 0x007f_007f_007f_007f) | (sevens >> 1 & 0x3f80_3f80_3f80_3f80);
            let doubled =
                (fourteens & 0x0000_3fff_0000_3fff) | (fourteens >> 2 & 0x0fff_c000_0fff_c000);
            return Some((doubled & 0x0fff_ffff) | (doubled >> 4 & 0x00ff_ffff_f000_0000));
        }
        self.longest_number()
    }

    fn longest_number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 || shift > 0 && *byte == 0 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn number32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(number: u64) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.number(), Some(number));
            prop_assert!(reader.is_empty());
            for length in 0..bytes.len() {
                prop_assert_eq!(Reader(&bytes[..length]).number(), None);
            }
        }

        #[test]
        fn eight_bytes_at_once_give_what_single_bytes_give(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(0x80), any::<u8>()], 0..24),
        ) {
            let (mut reader, mut by_bytes) = (Reader(&bytes), Reader(&bytes));
            let number = reader.number();
            prop_assert_eq!(number, by_bytes.longest_number());
            if number.is_some() {
                prop_assert_eq!(reader.0, by_bytes.0);
            }
        }

        #[test]
        fn small_numbers_round_trip_before_other_bytes(bits in 0_u32..64, number: u64, rest: [u8; 9]) {
            let number = number >> bits;
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            bytes.extend(rest);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.number(), Some(number));
            prop_assert_eq!(reader.0, rest);
        }
    }

    #[test]
    fn longer_forms_and_overflow_are_refused() {
        assert_eq!(Reader(&[0x80, 0x00]).number(), None);
        assert_eq!(Reader(&[0xff; 10]).number(), None);
        assert_eq!(
            Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).number(),
            Some(u64::MAX)
        );
    }
}
