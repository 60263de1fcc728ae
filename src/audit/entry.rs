//! One entry: which fields it has, which text they accept, and the bytes that its hash covers.

use chrono::{DateTime, Utc};
use rusqlite::Row;
use serde::Serialize;

use super::AuditError;
use super::words::{Action, Outcome};
use crate::base::clock::timestamp;
use crate::base::digest;
use crate::base::ids::Digest;

/// What the first field of an entry's message is, so that no other hash of ours can equal it.
const ENTRY_DOMAIN: &[u8] = b"strongroom audit entry v1";

/// What the first field of the head's message is.
const HEAD_DOMAIN: &[u8] = b"strongroom audit head v1";

/// The hash "before" the first entry.
pub(super) const GENESIS: Digest = Digest([0; 32]);

/// An entry to be written.
///
/// No field takes free text, for free text ends up naming people: `actor` and `host` come from
/// [`super::Who`], `object` is an identifier, `detail` is `name=value` pairs.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// Now.
    pub at: DateTime<Utc>,
    /// Who acts: 1 to 200 visible ASCII characters.
    pub actor: &'a str,
    /// The machine: 1 to 200 visible ASCII characters.
    pub host: &'a str,
    /// What is done.
    pub action: Action,
    /// What it is done to: 1 to 200 letters, digits and `._:/=,+*-`, such as a backup's id, a
    /// source's name, a subject reference, `vault`.
    pub object: &'a str,
    /// How it goes.
    pub outcome: Outcome,
    /// Facts for machines: `name=value` pairs with single spaces between them, at most 500
    /// characters; a value has 1 to 100 characters of those that `object` accepts.
    pub detail: Option<&'a str>,
}

/// An entry that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// When, as text: RFC 3339 in UTC with microseconds.
    pub at: String,
    /// Who acted.
    pub actor: String,
    /// The machine.
    pub host: String,
    /// What was done: one of the names of [`Action`], or that of a newer strongroom.
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// How it went: one of the names of [`Outcome`].
    pub outcome: String,
    /// Facts for machines, if any.
    pub detail: Option<String>,
    /// The hash of the entry before; zeros in the first.
    pub previous_hash: Digest,
    /// The hash of this entry.
    pub hash: Digest,
}

impl NewEntry<'_> {
    /// The entry as it follows another one.
    ///
    /// # Errors
    /// [`AuditError::Refused`] when a field has a form that the log does not accept.
    pub(super) fn following(&self, seq: u64, previous_hash: Digest) -> Result<Entry, AuditError> {
        let refuse = |field, rule| Err(AuditError::Refused { field, rule });
        for (field, text) in [("actor", self.actor), ("host", self.host)] {
            if !(1..=200).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return refuse(field, "1 to 200 visible ASCII characters");
            }
        }
        if !is_identifier(self.object, 200) {
            return refuse("object", "1 to 200 letters, digits and ._:/=,+*-");
        }
        if self.detail.is_some_and(|detail| !is_detail(detail)) {
            return refuse("detail", "name=value pairs with single spaces between, 500 characters");
        }
        let at = timestamp(self.at);
        if at.len() != 27 {
            return refuse("moment", "a year of four digits");
        }
        let mut entry = Entry {
            seq,
            at,
            actor: self.actor.to_owned(),
            host: self.host.to_owned(),
            action: self.action.as_str().to_owned(),
            object: self.object.to_owned(),
            outcome: self.outcome.as_str().to_owned(),
            detail: self.detail.map(str::to_owned),
            previous_hash,
            hash: GENESIS,
        };
        entry.hash = entry_hash(&entry);
        Ok(entry)
    }
}

impl Entry {
    /// The columns that [`Entry::from_row`] reads, in its order.
    pub(super) const COLUMNS: &str =
        "seq, at, actor, host, action, object, outcome, detail, previous_hash, hash";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: seq_column(row, 0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            host: row.get(3)?,
            action: row.get(4)?,
            object: row.get(5)?,
            outcome: row.get(6)?,
            detail: row.get(7)?,
            previous_hash: Digest(row.get(8)?),
            hash: Digest(row.get(9)?),
        })
    }
}

/// The hash that an entry must have: SHA-256 over its message, as `docs/audit.md` defines it.
/// `entry.hash` plays no part.
#[must_use]
pub fn entry_hash(entry: &Entry) -> Digest {
    digest::sha256(&entry_message(entry))
}

/// The bytes over which the vault's MAC of a head is computed.
#[must_use]
pub fn head_message(seq: u64, hash: &Digest) -> Vec<u8> {
    let mut message = Vec::with_capacity(76);
    for field in [HEAD_DOMAIN, &seq.to_be_bytes(), &hash.0] {
        push_field(&mut message, field);
    }
    message
}

fn entry_message(entry: &Entry) -> Vec<u8> {
    let mut detail = Vec::new();
    match &entry.detail {
        None => detail.push(0),
        Some(text) => {
            detail.push(1);
            detail.extend_from_slice(text.as_bytes());
        }
    }
    let mut message = Vec::with_capacity(300);
    for field in [
        ENTRY_DOMAIN,
        &entry.previous_hash.0,
        &entry.seq.to_be_bytes(),
        entry.at.as_bytes(),
        entry.actor.as_bytes(),
        entry.host.as_bytes(),
        entry.action.as_bytes(),
        entry.object.as_bytes(),
        entry.outcome.as_bytes(),
        &detail,
    ] {
        push_field(&mut message, field);
    }
    message
}

/// Four bytes of length, big-endian, then the bytes: two different lists of fields never give the
/// same message. A `usize` beyond 32 bits cannot occur: SQLite holds no value of 4 GiB.
fn push_field(message: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(field);
}

/// A row's number. SQLite's integers are signed; below zero is out of range.
pub(super) fn seq_column(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}

fn is_identifier(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/=,+*-".contains(&byte))
}

fn is_detail(text: &str) -> bool {
    (1..=500).contains(&text.len())
        && text.split(' ').all(|pair| {
            pair.split_once('=').is_some_and(|(name, value)| {
                name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.len() <= 40
                    && name.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
                    })
                    && is_identifier(value, 100)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fixture::entry;

    #[test]
    fn the_worked_example_of_the_document_is_right() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
        let new = NewEntry {
            at: DateTime::parse_from_rfc3339("2026-11-22T02:00:00Z").unwrap().to_utc(),
            actor: "ada",
            host: "vault-1",
            action: Action::Backup,
            object: "shop",
            outcome: Outcome::Begun,
            detail: Some("class=daily"),
        };
        let entry = new.following(1, GENESIS).unwrap();
        let blocks: Vec<String> = document
            .split("```hex\n")
            .skip(1)
            .map(|block| block.split("```").next().unwrap().split_whitespace().collect())
            .collect();
        assert_eq!(
            blocks,
            [
                hex::encode(entry_message(&entry)),
                entry.hash.to_string(),
                hex::encode(head_message(1, &entry.hash)),
            ]
        );
    }

    #[test]
    fn free_text_and_personal_data_have_no_place() {
        for object in [
            "",
            "Ada Lovelace",
            "ada@example.org",
            "a\nb",
            "a\u{7}",
            "é",
            "a'b",
            "(x)",
            &"x".repeat(201),
        ] {
            let refused = NewEntry { object, ..entry(0) }.following(1, GENESIS).unwrap_err();
            assert!(matches!(refused, AuditError::Refused { field: "object", .. }), "{object}");
        }
        for detail in [
            "",
            "words",
            "rows=1  tables=2",
            "rows=1 ",
            " rows=1",
            "rows=",
            "=1",
            "Rows=1",
            "to=a@b",
            "a=b\n",
            "reason=she asked",
            &format!("a={}", "x".repeat(101)),
        ] {
            let refused = NewEntry { detail: Some(detail), ..entry(0) }.following(1, GENESIS);
            assert!(
                matches!(refused, Err(AuditError::Refused { field: "detail", .. })),
                "{detail}"
            );
        }
        for actor in ["", "two words", "tab\t", "é", &"x".repeat(201)] {
            NewEntry { actor, ..entry(0) }.following(1, GENESIS).unwrap_err();
            NewEntry { host: actor, ..entry(0) }.following(1, GENESIS).unwrap_err();
        }
        for object in ["vault", "shop", "20261122T020000Z-3fa9c1", "source:shop", "a=b,c+d*"] {
            NewEntry { object, ..entry(0) }.following(1, GENESIS).unwrap();
        }
        let detail = Some("rows=1 tables=2 code=store/not-found");
        NewEntry { detail, ..entry(0) }.following(1, GENESIS).unwrap();
    }

    #[test]
    fn a_missing_detail_and_an_empty_one_differ() {
        let mut one = NewEntry { detail: None, ..entry(0) }.following(1, GENESIS).unwrap();
        let without = entry_hash(&one);
        one.detail = Some(String::new());
        assert_ne!(entry_hash(&one), without);
    }
}
