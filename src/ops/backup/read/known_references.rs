//! The references of people who were met lately.

use crate::base::ids::SubjectReference;

/// The references of people of one class who were met lately: a table of fixed size in which each key has
/// one of two places, so that it stays small however many people there are.
#[derive(Default)]
pub struct KnownReferences {
    class: String,
    type_oid: Option<u32>,
    places: Vec<Pair>,
}

/// Two places, in one line of a processor's cache.
#[derive(Clone)]
#[repr(align(64))]
struct Pair([Known; 2]);

/// A key, filled up with zeros, and its reference. Keys of one type that differ still do then: of numbers
/// and UUIDs all are of one length, and no text holds a zero. A place with a key of zeros is empty.
#[derive(Clone)]
struct Known {
    key: u128,
    reference: SubjectReference,
}

/// Longer keys are not remembered.
const KEY_BYTES_MAX: usize = 16;

const PAIRS: usize = 1 << 17;

/// Where a key may be put; `None` for one that is not remembered.
type Place = Option<(usize, usize)>;

impl KnownReferences {
    /// Forgets everybody, unless they are of this class and their keys of this type (none: text).
    pub fn keep_only(&mut self, class: &str, type_oid: Option<u32>) {
        if self.class != class || self.type_oid != type_oid {
            *self = Self { class: class.to_owned(), type_oid, places: Vec::new() };
        }
    }

    pub fn get(&mut self, key: &[u8]) -> Result<SubjectReference, Place> {
        let filled = filled_up(key).ok_or(None)?;
        if self.places.is_empty() {
            let empty = Known { key: 0, reference: SubjectReference::COMMONS };
            self.places.resize(PAIRS, Pair([empty.clone(), empty]));
        }
        let pair = hash(filled) & (PAIRS - 1);
        let Pair([first, second]) = &self.places[pair];
        if first.key == filled {
            return Ok(first.reference);
        }
        if second.key == filled {
            return Ok(second.reference);
        }
        // The first place if it is free, else the second, which the next one takes again.
        Err(Some((pair, usize::from(first.key != 0))))
    }

    pub fn put(&mut self, place: Place, key: &[u8], reference: SubjectReference) {
        if let (Some((pair, place)), Some(key)) = (place, filled_up(key)) {
            self.places[pair].0[place] = Known { key, reference };
        }
    }
}

/// A key as a number above 0; `None` if it is longer than 16 bytes, or nothing but zeros.
fn filled_up(key: &[u8]) -> Option<u128> {
    let mut bytes = [0; KEY_BYTES_MAX];
    bytes.get_mut(..key.len())?.copy_from_slice(key);
    Some(u128::from_le_bytes(bytes)).filter(|key| *key != 0)
}

fn hash(key: u128) -> usize {
    use std::hash::Hasher as _;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write_u128(key);
    // Which of the table's places: any bits will do.
    #[allow(clippy::cast_possible_truncation)]
    let hash = hasher.finish() as usize;
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_gives_its_own_reference_and_no_other() {
        let mut known = KnownReferences::default();
        let reference = |number: u32| {
            let mut bytes = [1; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            SubjectReference(bytes)
        };
        let (mut found, rounds) = (0_u32, 3);
        for _ in 0..rounds {
            for number in 0..100_000_u32 {
                let key = number.to_string();
                match known.get(key.as_bytes()) {
                    Ok(of_key) => {
                        assert_eq!(of_key, reference(number));
                        found += 1;
                    }
                    Err(place) => known.put(place, key.as_bytes(), reference(number)),
                }
            }
        }
        assert!(found > 150_000, "most are remembered: {found}");
        assert_eq!(known.get(&[b'x'; KEY_BYTES_MAX + 1]), Err(None));
        assert_eq!(known.get(b""), Err(None));
        assert_eq!(known.get(&[0; 8]), Err(None));
    }

    #[test]
    fn people_of_another_class_or_of_keys_of_another_type_are_not_the_known_ones() {
        let mut known = KnownReferences::default();
        known.keep_only("users", Some(20));
        let Err(place) = known.get(b"key") else { panic!("nobody is known yet") };
        known.put(place, b"key", SubjectReference([1; 16]));
        known.keep_only("users", Some(20));
        assert_eq!(known.get(b"key"), Ok(SubjectReference([1; 16])));
        known.keep_only("users", None);
        assert!(known.get(b"key").is_err());
        let Err(place) = known.get(b"key") else { panic!("nobody is known yet") };
        known.put(place, b"key", SubjectReference([2; 16]));
        known.keep_only("companies", None);
        assert!(known.get(b"key").is_err());
    }
}
