//! The mark that a custodian holds beside its shares: it names the vault, and tells a place that
//! holds no share from a place that is not the custodian's at all.
//!
//! ```text
//! strongroom custodian v1
//! vault <32 hexadecimal digits>
//! ```

use crate::base::ids::{Epoch, VaultId};
use crate::keys::KeyError;

/// Stands for the mark where a custodian keeps everything by epoch: no epoch has this number.
pub(in crate::keys) const EPOCH: Epoch = Epoch(0);

const HEAD: &str = "strongroom custodian v1";

/// The mark's text.
pub(in crate::keys) fn to_text(vault: VaultId) -> String {
    format!("{HEAD}\nvault {vault}\n")
}

/// The vault that a mark names. `place` names the mark in errors.
pub(in crate::keys) fn from_text(text: &[u8], place: &str) -> Result<VaultId, KeyError> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut lines = text.lines();
    let head = lines.next();
    let vault = lines.next().and_then(|line| line.strip_prefix("vault ")?.parse().ok());
    match (head, vault, lines.next()) {
        (Some(HEAD), Some(vault), None) => Ok(vault),
        _ => Err(KeyError::Damaged {
            file: place.to_owned(),
            reason: "it is not a custodian's mark",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let text = to_text(VaultId([7; 16]));
        assert_eq!(from_text(text.as_bytes(), "m").unwrap(), VaultId([7; 16]));
        for wrong in ["", HEAD, &text[..30], &format!("{text}more\n"), &text.replace("v1", "v2")] {
            assert!(from_text(wrong.as_bytes(), "m").is_err(), "{wrong}");
        }
    }
}
