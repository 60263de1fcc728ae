//! A data subject's key as text: one form for each key, however it is typed.
//!
//! The canonical form is the text that PostgreSQL writes for the value. A key of several columns
//! is its parts in key order, separated by `,`, with `\` and `,` inside a part written `\\` and
//! `\,`. A key of one column is that column's text as it is.

use super::error::MapError;
use super::key_types::base_type;
use super::model::{KeyColumn, SubjectClass};

/// The canonical text of a key that a person typed.
///
/// Whole numbers lose a plus sign and leading zeros, UUIDs become lower case with dashes, anything
/// else is taken as it is. The error says what the class expects, and never repeats what was given.
pub fn canonical_key(class: &SubjectClass, given: &str) -> Result<String, MapError> {
    let parts = key_parts(class, given)?;
    let canonical: Option<Vec<String>> = class
        .key
        .iter()
        .zip(&parts)
        .map(|(column, part)| canonical_part(&column.type_name, part))
        .collect();
    canonical.map(|parts| key_from_parts(&parts)).ok_or_else(|| refused(class))
}

/// The canonical text of a key from its columns' texts as PostgreSQL writes them, in key order.
#[must_use]
pub fn key_from_parts<S: AsRef<str>>(parts: &[S]) -> String {
    match parts {
        [only] => only.as_ref().to_owned(),
        several => {
            let escape = |part: &S| part.as_ref().replace('\\', r"\\").replace(',', r"\,");
            several.iter().map(escape).collect::<Vec<_>>().join(",")
        }
    }
}

/// The texts of a key's columns, in key order, not yet normalised.
pub fn key_parts(class: &SubjectClass, key: &str) -> Result<Vec<String>, MapError> {
    if class.key.len() == 1 {
        return Ok(vec![key.to_owned()]);
    }
    let mut parts = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        let part = match (character, parts.last_mut()) {
            (',', _) => {
                parts.push(String::new());
                continue;
            }
            ('\\', Some(part)) => match characters.next() {
                Some(escaped @ (',' | '\\')) => {
                    part.push(escaped);
                    continue;
                }
                _ => return Err(refused(class)),
            },
            (_, Some(part)) => part,
            (_, None) => return Err(refused(class)),
        };
        part.push(character);
    }
    if parts.len() == class.key.len() { Ok(parts) } else { Err(refused(class)) }
}

fn canonical_part(type_name: &str, given: &str) -> Option<String> {
    match base_type(type_name).as_str() {
        "smallint" => whole_number(given, i16::MIN.into(), i16::MAX.into()),
        "integer" => whole_number(given, i32::MIN.into(), i32::MAX.into()),
        "bigint" => whole_number(given, i64::MIN, i64::MAX),
        "uuid" => uuid(given),
        _ => Some(given.to_owned()),
    }
}

fn whole_number(given: &str, least: i64, greatest: i64) -> Option<String> {
    let number: i64 = given.trim().parse().ok()?;
    (least..=greatest).contains(&number).then(|| number.to_string())
}

/// Reads what PostgreSQL reads: either case, braces, dashes after any four digits or none.
fn uuid(given: &str) -> Option<String> {
    let given = given.trim();
    let bare = match given.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => given,
    };
    let mut digits = String::with_capacity(36);
    let mut dash_allowed = false;
    let mut count = 0;
    for character in bare.chars() {
        if character == '-' && dash_allowed {
            dash_allowed = false;
            continue;
        }
        if !character.is_ascii_hexdigit() {
            return None;
        }
        if matches!(count, 8 | 12 | 16 | 20) {
            digits.push('-');
        }
        digits.push(character.to_ascii_lowercase());
        count += 1;
        dash_allowed = count % 4 == 0 && count < 32;
    }
    (count == 32).then_some(digits)
}

fn refused(class: &SubjectClass) -> MapError {
    MapError::Key { class: class.name.clone(), expected: expected(class) }
}

fn expected(class: &SubjectClass) -> String {
    match class.key.as_slice() {
        [only] => described(only),
        several => {
            let parts = several.iter().map(described).collect::<Vec<_>>().join(", ");
            format!(
                "{} parts separated by commas, a comma inside a part written `\\,` and a \
                 backslash `\\\\`: {parts}",
                several.len()
            )
        }
    }
}

fn described(column: &KeyColumn) -> String {
    let what = match base_type(&column.type_name).as_str() {
        "smallint" | "integer" | "bigint" => "a whole number",
        "uuid" => "a UUID of 32 hexadecimal digits",
        "text" | "character varying" | "character" => "text",
        _ => "PostgreSQL's text",
    };
    format!("`{}` as {what} ({})", column.name, column.type_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(types: &[&str]) -> SubjectClass {
        let key = types.iter().enumerate().map(|(number, type_name)| KeyColumn {
            name: format!("k{number}"),
            type_name: (*type_name).to_owned(),
        });
        SubjectClass {
            name: "users".to_owned(),
            root: crate::base::schema::QualifiedName::new("public", "users"),
            key: key.collect(),
            placeholder: None,
            identify: Vec::new(),
        }
    }

    #[test]
    fn keys_take_one_form_by_their_type() {
        for (type_name, given, canonical) in [
            ("bigint", " +0042 ", "42"),
            ("integer", "-007", "-7"),
            ("smallint", "-0", "0"),
            ("bigint", "9223372036854775807", "9223372036854775807"),
            (
                "uuid",
                "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
            ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (
                "uuid",
                "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
            ("text", " Ana, O\\ ", " Ana, O\\ "),
            ("character varying(9)", "007", "007"),
            ("date", "2026-01-31", "2026-01-31"),
        ] {
            assert_eq!(canonical_key(&class(&[type_name]), given).unwrap(), canonical);
        }
    }

    #[test]
    fn a_malformed_key_is_refused_without_being_repeated() {
        for (type_name, given) in [
            ("bigint", "ana@example.com"),
            ("bigint", ""),
            ("integer", "2147483648"),
            ("smallint", "40000"),
            ("bigint", "1 2"),
            ("uuid", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"),
            ("uuid", "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11"),
            ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-"),
        ] {
            let error = canonical_key(&class(&[type_name]), given).unwrap_err().to_string();
            assert!(given.is_empty() || !error.contains(given), "{error}");
            assert!(error.contains(type_name), "{error}");
        }
    }

    #[test]
    fn a_composite_key_is_its_parts_with_commas_escaped() {
        let class = class(&["integer", "text"]);
        assert_eq!(canonical_key(&class, r"007,a\,b\\c").unwrap(), r"7,a\,b\\c");
        assert_eq!(key_parts(&class, r"7,a\,b\\c").unwrap(), ["7", r"a,b\c"]);
        assert_eq!(key_from_parts(&["7", r"a,b\c"]), r"7,a\,b\\c");
        for wrong in ["7", "7,a,b", r"7,a\b", r"7,a\", "x,a"] {
            assert!(canonical_key(&class, wrong).is_err(), "{wrong}");
        }
    }
}
