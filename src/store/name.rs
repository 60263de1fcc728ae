//! The names of objects, checked once.

use std::fmt;
use std::str::FromStr;

/// The name of an object: relative, its parts separated by `/`.
///
/// Every name can be kept by every kind of store, so it obeys the strictest: at most
/// [`ObjectName::BYTES_MAX`] bytes in all (what S3 allows, less a prefix) and
/// [`ObjectName::PART_BYTES_MAX`] bytes a part (what a Linux file name can hold). A longer part is
/// refused here, never split or shortened. No part is empty or begins with a dot, for those are a
/// store's own (`.`, `..`, `.incoming`), and no character is a control character or a backslash,
/// which some services take for a `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 900;
    /// The longest part of a name, in bytes.
    pub const PART_BYTES_MAX: usize = 255;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot name an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name an object: {reason}", text.escape_debug())]
pub struct InvalidObjectName {
    /// What was given.
    pub text: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl TryFrom<String> for ObjectName {
    type Error = InvalidObjectName;

    fn try_from(text: String) -> Result<Self, InvalidObjectName> {
        match broken_rule(&text) {
            None => Ok(Self(text)),
            Some(reason) => Err(InvalidObjectName { text, reason }),
        }
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > ObjectName::BYTES_MAX {
        return Some("it is longer than 900 bytes");
    }
    if text.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    if text.contains('\\') {
        return Some("it holds a backslash");
    }
    text.split('/').find_map(|part| {
        if part.is_empty() {
            Some("a part is empty (no `/` at either end, no `//`)")
        } else if part.starts_with('.') {
            Some("a part begins with a dot")
        } else if part.len() > ObjectName::PART_BYTES_MAX {
            Some("a part is longer than 255 bytes")
        } else {
            None
        }
    })
}

impl FromStr for ObjectName {
    type Err = InvalidObjectName;

    fn from_str(text: &str) -> Result<Self, InvalidObjectName> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_names_are_names() {
        let longest = [vec!["x".repeat(255); 3], vec!["y".repeat(132)]].concat().join("/");
        assert_eq!(longest.len(), 900);
        for name in ["a", "packs/00/1", "a b+c", "ключ/鍵", "a.b", "-", longest.as_str()] {
            assert_eq!(name.parse::<ObjectName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn whatever_could_leave_the_store_is_no_name() {
        let part_too_long = "x".repeat(256);
        let too_long = vec!["x".repeat(100); 9].join("/");
        for wrong in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/..",
            "../a",
            "a/./b",
            ".incoming/a",
            "a\0b",
            "a\nb",
            "a\\b",
            "\u{7f}",
            "\u{85}",
            &part_too_long,
            &too_long,
        ] {
            assert!(wrong.parse::<ObjectName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_error_prints_no_control_character() {
        let error = "a\u{1b}[2J".parse::<ObjectName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a\\u{1b}[2J` cannot name an object: it holds a control character"
        );
    }
}
