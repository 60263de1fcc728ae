//! Numbers of a fixed number of bits, one after the other: the lowest bit first, the last byte filled
//! up with zeros.

use super::Malformed;

/// How many bytes `count` numbers of `width` bits take; `None` if that is beyond memory.
pub fn packed_bytes(count: usize, width: u32) -> Option<usize> {
    Some(count.checked_mul(width as usize)?.div_ceil(8))
}

/// Appends numbers, each below `2^width`.
#[allow(clippy::cast_possible_truncation)]
pub fn put(bytes: &mut Vec<u8>, width: u32, numbers: impl Iterator<Item = u64>) {
    let (mut pending, mut filled) = (0_u128, 0_u32);
    for number in numbers {
        debug_assert!(width == 64 || number >> width == 0, "the width is that of the greatest");
        pending |= u128::from(number) << filled;
        filled += width;
        if filled >= 64 {
            bytes.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            filled -= 64;
        }
    }
    let rest = filled.div_ceil(8) as usize;
    bytes.extend_from_slice(&(pending as u64).to_le_bytes()[..rest]);
}

/// Reads `count` numbers of `width` bits and hands each on. What fills the last byte must be zero.
#[allow(clippy::cast_possible_truncation)]
pub fn take(
    bytes: &mut &[u8],
    width: u32,
    count: usize,
    mut number: impl FnMut(u64),
) -> Result<(), Malformed> {
    let length = packed_bytes(count, width).ok_or(Malformed)?;
    let (packed, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    if width == 0 {
        (0..count).for_each(|_| number(0));
        return Ok(());
    }
    let mask = u64::MAX >> (64 - width);
    let mut words = packed.chunks_exact(8);
    let (mut pending, mut filled) = (0_u128, 0_u32);
    let mut tail = Some(words.remainder());
    for _ in 0..count {
        while filled < width {
            if let Some(word) = words.next() {
                let word = u64::from_le_bytes(word.try_into().map_err(|_| Malformed)?);
                pending |= u128::from(word) << filled;
                filled += 64;
            } else {
                let left = tail.take().ok_or(Malformed)?;
                let mut word = [0; 8];
                word.get_mut(..left.len()).ok_or(Malformed)?.copy_from_slice(left);
                pending |= u128::from(u64::from_le_bytes(word)) << filled;
                filled += left.len() as u32 * 8;
            }
        }
        number(pending as u64 & mask);
        pending >>= width;
        filled -= width;
    }
    if pending == 0 { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(width in 0_u32..=64, numbers in prop::collection::vec(any::<u64>(), 0..70)) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let numbers: Vec<u64> = numbers.into_iter().map(|number| number & mask).collect();
            let mut bytes = Vec::new();
            put(&mut bytes, width, numbers.iter().copied());
            prop_assert_eq!(Some(bytes.len()), packed_bytes(numbers.len(), width));
            let (mut rest, mut found) = (&bytes[..], Vec::new());
            prop_assert_eq!(take(&mut rest, width, numbers.len(), |number| found.push(number)), Ok(()));
            prop_assert_eq!(found, numbers);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn bits_after_the_last_number_are_refused() {
        let mut found = 0;
        assert_eq!(take(&mut &[0b0000_0111][..], 3, 1, |number| found = number), Ok(()));
        assert_eq!(found, 7);
        assert_eq!(take(&mut &[0b0000_1111][..], 3, 1, |_| ()), Err(Malformed));
        assert_eq!(take(&mut &[0xff][..], 9, 1, |_| ()), Err(Malformed));
    }
}
