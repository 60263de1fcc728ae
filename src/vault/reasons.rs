//! Why somebody was erased, in the officer's words: sealed in the catalog, and readable with the
//! vault's keys.

use super::OpsError;
use super::handle::Vault;
use super::keys::Unlocked;
use crate::base::random;
use crate::crypto::labels;

/// Before the case number, in the first line of a reason that has one.
const CASE: &str = "Case: ";

/// Why somebody was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// The number of the case, if one was given.
    pub case: Option<String>,
    /// The rest; may be empty.
    pub text: String,
}

impl Reason {
    fn to_note(&self) -> String {
        match &self.case {
            Some(case) => format!("{CASE}{case}\n{}", self.text),
            None => self.text.clone(),
        }
    }

    fn of_note(note: &str) -> Self {
        let (first, rest) = note.split_once('\n').unwrap_or((note, ""));
        match first.strip_prefix(CASE) {
            Some(case) => Self { case: Some(case.to_owned()), text: rest.to_owned() },
            None => Self { case: None, text: note.to_owned() },
        }
    }
}

/// A reason, sealed, with the random id that its context holds before it.
pub fn seal(vault: &Vault, unlocked: &Unlocked, reason: &Reason) -> Vec<u8> {
    let random = &mut random::system();
    let id = random::bytes::<16>(random);
    let (label, note) = (labels::ERASURE_REASON, reason.to_note());
    let sealed = unlocked.commons.seal_note(vault.id(), label, &id, &note, random);
    [&id[..], &sealed].concat()
}

/// A reason that [`seal`] sealed.
pub fn open(vault: &Vault, unlocked: &Unlocked, sealed: &[u8]) -> Result<Reason, OpsError> {
    let (id, note) = sealed.split_at_checked(16).unwrap_or((sealed, &[]));
    let note = unlocked.commons.open_note(vault.id(), labels::ERASURE_REASON, id, note)?;
    Ok(Reason::of_note(note.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_and_its_words_are_told_apart_again() {
        let reason = |case: Option<&str>, text: &str| Reason {
            case: case.map(str::to_owned),
            text: text.to_owned(),
        };
        for one in [
            reason(Some("2026-118"), "request of the 3rd"),
            reason(Some("2026-118"), ""),
            reason(None, "request 2026-118"),
            reason(None, "two\nlines"),
        ] {
            assert_eq!(Reason::of_note(&one.to_note()), one);
        }
    }
}
