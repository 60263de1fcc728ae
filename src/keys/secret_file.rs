//! The small text form in which the master secret and epoch secrets are kept.
//!
//! ```text
//! strongroom <kind> v1
//! vault <32 hexadecimal digits>
//! epoch <number>                 (epoch secrets only)
//! secret <64 hexadecimal digits>
//! ```

use zeroize::Zeroizing;

use super::KeyError;
use crate::base::ids::{Epoch, VaultId};

/// A parsed file: whose it is and the secret's 32 bytes.
pub struct SecretFile {
    pub vault: VaultId,
    pub epoch: Option<Epoch>,
    pub secret: Zeroizing<[u8; 32]>,
}

/// Writes the text form. The result is overwritten when dropped.
pub fn write(
    kind: &str,
    vault: VaultId,
    epoch: Option<Epoch>,
    secret: &[u8; 32],
) -> Zeroizing<String> {
    let digits = Zeroizing::new(hex::encode(secret));
    // Reserved in full, so that growing leaves no copy of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str("strongroom ");
    text.push_str(kind);
    text.push_str(" v1\nvault ");
    text.push_str(&vault.to_string());
    if let Some(epoch) = epoch {
        text.push_str("\nepoch ");
        text.push_str(&epoch.to_string());
    }
    text.push_str("\nsecret ");
    text.push_str(&digits);
    text.push('\n');
    text
}

/// Reads the text form; `file` names it in errors.
pub fn read(kind: &str, text: &[u8], file: &str) -> Result<SecretFile, KeyError> {
    let damaged = |reason| KeyError::Damaged { file: file.to_owned(), reason };
    let text = std::str::from_utf8(text).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    if head.strip_prefix("strongroom ").and_then(|rest| rest.strip_suffix(" v1")) != Some(kind) {
        return Err(damaged("its first line names another kind of file or a newer version"));
    }
    let vault = lines
        .next()
        .and_then(|line| line.strip_prefix("vault "))
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| damaged("the line `vault …` is missing or malformed"))?;
    let mut line = lines.next().unwrap_or_default();
    let mut epoch = None;
    if let Some(number) = line.strip_prefix("epoch ") {
        let number = number.parse().map_err(|_| damaged("the line `epoch …` is malformed"))?;
        epoch = Some(Epoch(number));
        line = lines.next().unwrap_or_default();
    }
    let mut secret = Zeroizing::new([0; 32]);
    line.strip_prefix("secret ")
        .and_then(|digits| hex::decode_to_slice(digits, secret.as_mut_slice()).ok())
        .ok_or_else(|| damaged("the line `secret …` is missing or malformed"))?;
    if lines.next().is_some() {
        return Err(damaged("something follows the secret"));
    }
    Ok(SecretFile { vault, epoch, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_every_cut_is_refused() {
        let text = write("epoch secret", VaultId([7; 16]), Some(Epoch(3)), &[9; 32]);
        let file = read("epoch secret", text.as_bytes(), "f").unwrap();
        assert_eq!(
            (file.vault, file.epoch, *file.secret),
            (VaultId([7; 16]), Some(Epoch(3)), [9; 32])
        );
        for length in 0..text.len() - 1 {
            assert!(read("epoch secret", &text.as_bytes()[..length], "f").is_err(), "{length}");
        }
        assert!(read("master secret", text.as_bytes(), "f").is_err());
    }
}
