//! Texts as patterns that many people share, and the digits in between.
//!
//! A pattern is a text in which every run of digits is replaced by one character that says how long it
//! is: U+0001 for one digit, up to U+0012 for eighteen (a longer run is several). `REWE SAGT DANKE 4711`
//! has the pattern `REWE SAGT DANKE \u{4}` and the group 4711.
//!
//! Patterns are kept beside the rows of many people, so they must not tell anything of one:
//! [`Collector`] takes a pattern only if at least [`PEOPLE_MIN`] different people have it.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use serde::{Deserialize, Serialize};

/// A pattern is shared by at least so many different people.
pub const PEOPLE_MIN: usize = 50;
/// A text that is longer has no pattern.
const TEXT_BYTES_MAX: usize = 255;
/// As many digits as always fit into 64 bits.
const GROUP_DIGITS_MAX: usize = 18;
/// Of one column, the most that are kept, and their bytes all together.
const PATTERNS_MAX: usize = 4096;
const PATTERN_BYTES_MAX: usize = 32 << 10;
/// How many different patterns are counted; of a column whose texts are all different no more are looked at.
const COUNTED_MAX: usize = 50_000;

type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<rustc_hash::FxHasher>>;

/// The digits of a text, in the order of their groups.
#[derive(Debug, Default)]
pub struct Found {
    pattern: Vec<u8>,
    /// The groups' values.
    pub groups: Vec<u64>,
}

impl Found {
    /// Takes a text apart; false if it has no pattern.
    pub fn take_apart(&mut self, text: &[u8]) -> bool {
        self.pattern.clear();
        self.groups.clear();
        if text.len() > TEXT_BYTES_MAX {
            return false;
        }
        let mut rest = text;
        loop {
            let plain = rest.iter().position(|byte| MEANING[usize::from(*byte)] != PLAIN);
            let (before, after) = rest.split_at(plain.unwrap_or(rest.len()));
            self.pattern.extend_from_slice(before);
            let Some(&byte) = after.first() else { return true };
            if MEANING[usize::from(byte)] == FORBIDDEN {
                return false;
            }
            let (mut value, mut digits) = (0_u64, 0_u8);
            for digit in after.iter().take(GROUP_DIGITS_MAX) {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    break;
                }
                value = value * 10 + u64::from(digit);
                digits += 1;
            }
            self.groups.push(value);
            self.pattern.push(digits);
            rest = &after[usize::from(digits)..];
        }
    }
}

const PLAIN: u8 = 0;
const DIGIT: u8 = 1;
const FORBIDDEN: u8 = 2;

/// What a byte is to a pattern.
static MEANING: [u8; 256] = {
    let mut meaning = [PLAIN; 256];
    let mut byte = 1;
    while byte <= GROUP_DIGITS_MAX {
        meaning[byte] = FORBIDDEN;
        byte += 1;
    }
    let mut digit = b'0' as usize;
    while digit <= b'9' as usize {
        meaning[digit] = DIGIT;
        digit += 1;
    }
    meaning
};

/// The patterns of one column, each with its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Patterns {
    texts: Vec<String>,
    numbers: FastMap<Vec<u8>, usize>,
    /// Of every pattern, its groups: how many bytes stand before each, and how many digits it has.
    groups: Vec<Vec<(usize, usize)>>,
}

impl From<Vec<String>> for Patterns {
    fn from(texts: Vec<String>) -> Self {
        let numbers = texts.iter().map(|text| text.as_bytes().to_vec()).zip(0..).collect();
        let groups = texts.iter().map(|text| groups_of(text.as_bytes())).collect();
        Self { texts, numbers, groups }
    }
}

impl From<Patterns> for Vec<String> {
    fn from(patterns: Patterns) -> Self {
        patterns.texts
    }
}

impl Patterns {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The patterns, by number.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// The number of a text's pattern, if it is among these.
    #[must_use]
    pub fn number(&self, found: &Found) -> Option<usize> {
        self.numbers.get(&found.pattern).copied()
    }

    /// How many groups of digits a pattern has.
    #[must_use]
    pub fn groups(&self, number: usize) -> Option<usize> {
        self.groups.get(number).map(Vec::len)
    }

    /// The text of a pattern and its groups; `None` if they do not belong together.
    #[must_use]
    pub fn put_together(
        &self,
        number: usize,
        groups: &mut impl Iterator<Item = u64>,
        text: &mut Vec<u8>,
    ) -> Option<()> {
        let mut rest = self.texts.get(number)?.as_bytes();
        for (before, digits) in self.groups.get(number)? {
            let (plain, after) = rest.split_at_checked(*before)?;
            text.extend_from_slice(plain);
            rest = after.get(1..)?;
            let mut value = groups.next()?;
            let start = text.len();
            text.resize(start + digits, b'0');
            for place in text.get_mut(start..)?.iter_mut().rev() {
                // Cannot truncate: below 10.
                #[allow(clippy::cast_possible_truncation)]
                let digit = (value % 10) as u8;
                *place = b'0' + digit;
                value /= 10;
            }
            if value != 0 {
                return None;
            }
        }
        text.extend_from_slice(rest);
        Some(())
    }
}

fn groups_of(pattern: &[u8]) -> Vec<(usize, usize)> {
    let mut groups = Vec::new();
    let mut before = 0;
    for byte in pattern {
        if MEANING[usize::from(*byte)] == FORBIDDEN {
            groups.push((before, usize::from(*byte)));
            before = 0;
        } else {
            before += 1;
        }
    }
    groups
}

/// Finds the patterns that many people share, in some of a table's rows.
#[derive(Default)]
pub struct Collector {
    counted: HashMap<Vec<u8>, Seen>,
    found: Found,
}

#[derive(Default)]
struct Seen {
    texts: u64,
    /// Hashes of who has it, as many as matter.
    people: HashSet<u64>,
}

impl Collector {
    /// Looks at a text of a person; `person` stands for her in this process.
    pub fn look(&mut self, person: u64, text: &[u8]) {
        if !self.found.take_apart(text) {
            return;
        }
        if !self.counted.contains_key(&self.found.pattern) {
            if self.counted.len() == COUNTED_MAX {
                return;
            }
            self.counted.insert(self.found.pattern.clone(), Seen::default());
        }
        let Some(seen) = self.counted.get_mut(&self.found.pattern) else { return };
        seen.texts += 1;
        if seen.people.len() < PEOPLE_MIN {
            seen.people.insert(person);
        }
    }

    /// The patterns that are shared by enough people, those first that save most.
    #[must_use]
    pub fn finish(self) -> Patterns {
        let mut shared: Vec<(u64, String)> = self
            .counted
            .into_iter()
            .filter(|(_, seen)| seen.people.len() >= PEOPLE_MIN)
            .filter_map(|(pattern, seen)| {
                let saved = seen.texts * pattern.len() as u64;
                String::from_utf8(pattern).ok().map(|pattern| (saved, pattern))
            })
            .collect();
        shared.sort_by(|(one, one_text), (other, other_text)| {
            other.cmp(one).then_with(|| one_text.cmp(other_text))
        });
        let mut bytes = 0;
        let fits = |(_, pattern): &(u64, String)| {
            bytes += pattern.len();
            bytes <= PATTERN_BYTES_MAX
        };
        let kept = shared.into_iter().take_while(fits).take(PATTERNS_MAX);
        kept.map(|(_, pattern)| pattern).collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collected(texts: impl IntoIterator<Item = (u64, String)>) -> Patterns {
        let mut collector = Collector::default();
        texts.into_iter().for_each(|(person, text)| collector.look(person, text.as_bytes()));
        collector.finish()
    }

    #[test]
    fn a_text_of_one_person_is_no_pattern_however_often_she_has_it() {
        let hers = (0..1000).map(|_| (7, "canary of one".to_owned()));
        let shared =
            (0..PEOPLE_MIN as u64).map(|person| (person, format!("REWE {}", 1000 + person)));
        let of_too_few = (1..PEOPLE_MIN as u64).map(|person| (person, "of forty-nine".to_owned()));
        let patterns = collected(hers.chain(shared).chain(of_too_few));
        assert_eq!(patterns.texts().collect::<Vec<_>>(), ["REWE \u{4}"]);
    }

    #[test]
    fn a_text_with_control_characters_has_no_pattern() {
        let mut found = Found::default();
        assert!(!found.take_apart(b"line\nline"));
        assert!(!found.take_apart(&[b'x'; 256]));
        assert!(found.take_apart(b"007 of 1234567890123456789"));
        assert_eq!(found.pattern, b"\x03 of \x12\x01");
        assert_eq!(found.groups, [7, 123_456_789_012_345_678, 9]);
    }

    proptest! {
        #[test]
        fn texts_come_back(text in "[0-9a-c ]{0,60}|.{0,20}") {
            let mut found = Found::default();
            if found.take_apart(text.as_bytes()) {
                let pattern = String::from_utf8(found.pattern.clone()).unwrap();
                let patterns = Patterns::from(vec!["other".to_owned(), pattern]);
                prop_assert_eq!(patterns.number(&found), Some(1));
                prop_assert_eq!(patterns.groups(1), Some(found.groups.len()));
                let mut again = Vec::new();
                let put = patterns.put_together(1, &mut found.groups.iter().copied(), &mut again);
                prop_assert_eq!(put, Some(()));
                prop_assert_eq!(again, text.into_bytes());
            }
        }
    }
}
