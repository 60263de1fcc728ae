//! What differs from run to run, replaced by something of the same width wherever that matters.

use std::path::Path;

/// The text with ids numbered in the order of their first appearance, and the folder named.
pub fn stable(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "[folder]");
    let mut ids: Vec<String> = Vec::new();
    let mut stable = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        stable.push_str(&numbered(word, &mut ids));
        let next = after.find(is_word).unwrap_or(after.len());
        stable.push_str(&after[..next]);
        rest = &after[next..];
    }
    stable
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-'
}

fn numbered(word: &str, ids: &mut Vec<String>) -> String {
    let is_hex =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let backup = word.len() == 23 && word.as_bytes()[8] == b'T' && word.as_bytes()[15] == b'Z';
    let digits = is_hex(word) && matches!(word.len(), 32 | 64);
    if !backup && !digits {
        return word.to_owned();
    }
    let number = ids.iter().position(|id| id == word).unwrap_or_else(|| {
        ids.push(word.to_owned());
        ids.len() - 1
    }) + 1;
    let width = word.len();
    if backup { format!("20261122T020000Z-{number:06}") } else { format!("{number:0width$}") }
}

/// Regular expressions for insta, and what stands in their place.
pub const FILTERS: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "2026-11-22T02:00:00.000000Z"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-22 02:00:00"),
    (r" +\d+(\.\d+)? [KM]?i?B\b", " [size]"),
    (r" +(STORED|RAW)\b", " $1"),
    (r"\d+ bytes from \d+ were asked for, \d+ are", "[n] bytes from [n] were asked for, [n] are"),
    (r"\(subject [0-9a-f]{32}\)", "(subject [reference])"),
    (r" at \d+ in pack", " at [n] in pack"),
    (r"packs/[0-9a-f]{2}/", "packs/00/"),
    (r"export-[0-9a-f]{32}-\d{8}T\d{6}Z-[0-9a-f]{6}", "export-[reference]-[backup]"),
    // Rows and schema are written side by side: either may be the first that cannot be.
    (
        r"(cannot be written to|does not permit s3:PutObject) \(object `[^`]+`\)",
        "$1 (object `[first]`)",
    ),
    (r"\d+\.\d s \([\d,]+ rows/s\)", "[time]"),
    (r"\d+\.\d s\b", "[time]"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:5432"),
    (r"s3://test-\d+", "s3://bucket"),
    (r"it says \w+, \d+ \w+ \d+ [\d:]+ GMT", "it says [moment]"),
    (r"\(process \d+\)", "(process [pid])"),
    (r"PostgreSQL 15\.\d+", "PostgreSQL 15.0"),
    (r"(?m)  \S+@\S+$", "  operator@machine"),
    (r"\btest_\d+", "finance"),
    (r"strongroom \d+\.\d+\.\d+", "strongroom [version]"),
];

/// Compares a sandbox's transcript with the snapshot of the test's name.
#[macro_export]
macro_rules! assert_session {
    ($name:literal, $sandbox:expr) => {
        insta::with_settings!({
            filters => $crate::support::redact::FILTERS.iter().copied(),
            omit_expression => true,
            prepend_module_to_snapshot => false,
        }, {
            insta::assert_snapshot!($name, $sandbox.transcript());
        });
    };
}
