//! A share of an epoch secret, and the text in which a custodian keeps it.
//!
//! ```text
//! strongroom epoch share v1
//! vault <32 hexadecimal digits>
//! epoch <number>
//! set <32 hexadecimal digits>
//! threshold <number>
//! index <number>
//! share <64 hexadecimal digits>
//! ```
//!
//! Versions before shares wrote `strongroom epoch secret v1`: the whole secret. It is read as the
//! only share that is needed.

use zeroize::Zeroizing;

pub use crate::base::ids::ShareSet;
use crate::base::ids::{Epoch, VaultId};
use crate::keys::{KeyError, secret_file};

/// The most bytes that the text of a share may have, whoever keeps it.
pub const TEXT_BYTES_MAX: usize = 4096;

const HEAD: &str = "strongroom epoch share v1";
const WHOLE_KIND: &str = "epoch secret";

crate::secret_key!(
    /// The epoch secret itself where the threshold is 1, else one Shamir share's bytes.
    ShareValue
);

/// What one custodian holds of one epoch secret.
pub struct Share {
    /// The vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: Epoch,
    /// The splitting that it belongs to.
    pub set: ShareSet,
    /// How many shares of the set make the secret.
    pub threshold: u8,
    /// Which one it is, from 1: the point at which the polynomials are evaluated.
    pub index: u8,
    /// The secret part.
    pub value: ShareValue,
}

impl Share {
    /// Whether the other one is the very same share.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let key =
            |share: &Self| (share.vault, share.epoch, share.set, share.threshold, share.index);
        key(self) == key(other) && self.value.expose() == other.value.expose()
    }

    /// The text form. It is overwritten when dropped.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(hex::encode(self.value.expose()));
        // Reserved in full, so that growing leaves no copy of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(384));
        let Self { vault, epoch, set, threshold, index, .. } = self;
        let public = format!(
            "{HEAD}\nvault {vault}\nepoch {epoch}\nset {set}\nthreshold {threshold}\nindex {index}\n"
        );
        text.push_str(&public);
        text.push_str("share ");
        text.push_str(&digits);
        text.push('\n');
        text
    }

    /// Reads the text form, this one or the one before shares. `place` names it in errors.
    ///
    /// # Errors
    /// [`KeyError::Damaged`].
    pub fn from_text(text: &[u8], place: &str) -> Result<Self, KeyError> {
        let damaged = |reason| KeyError::Damaged { file: place.to_owned(), reason };
        if text.len() > TEXT_BYTES_MAX {
            return Err(damaged("it is too long for a share"));
        }
        if text.starts_with(b"strongroom epoch secret ") {
            return Self::from_whole_secret(text, place);
        }
        let text = std::str::from_utf8(text).map_err(|_| damaged("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(damaged("its first line names another kind of file or a newer version"));
        }
        let mut value_of = |key: &str, reason| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(key).ok_or_else(|| damaged(reason))
        };
        let vault = {
            let reason = "the line `vault …` is missing or malformed";
            value_of("vault ", reason)?.parse().map_err(|_| damaged(reason))?
        };
        let epoch = {
            let reason = "the line `epoch …` is missing or malformed";
            number(value_of("epoch ", reason)?).ok_or_else(|| damaged(reason))?
        };
        let set = {
            let reason = "the line `set …` is missing or malformed";
            value_of("set ", reason)?.parse().map_err(|_| damaged(reason))?
        };
        let mut small = |key, reason| {
            let number = number(value_of(key, reason)?).and_then(|number| number.try_into().ok());
            number.filter(|number| *number > 0).ok_or_else(|| damaged(reason))
        };
        let threshold = small("threshold ", "the line `threshold …` is missing or malformed")?;
        let index = small("index ", "the line `index …` is missing or malformed")?;
        let mut bytes = Zeroizing::new([0; 32]);
        let reason = "the line `share …` is missing or malformed";
        hex::decode_to_slice(value_of("share ", reason)?, bytes.as_mut_slice())
            .map_err(|_| damaged(reason))?;
        if lines.next().is_some() {
            return Err(damaged("something follows the share"));
        }
        let value = ShareValue::from_slice(bytes.as_slice()).ok_or_else(|| damaged(reason))?;
        Ok(Self { vault, epoch: Epoch(epoch), set, threshold, index, value })
    }

    fn from_whole_secret(text: &[u8], place: &str) -> Result<Self, KeyError> {
        let damaged = |reason| KeyError::Damaged { file: place.to_owned(), reason };
        let file = secret_file::read(WHOLE_KIND, text, place)?;
        let epoch = file.epoch.ok_or_else(|| damaged("the line `epoch …` is missing"))?;
        let value = ShareValue::from_slice(file.secret.as_slice())
            .ok_or_else(|| damaged("the secret is not 32 bytes"))?;
        let set = ShareSet::BEFORE_SHARES;
        Ok(Self { vault: file.vault, epoch, set, threshold: 1, index: 1, value })
    }

    /// This share, if it is of that vault and epoch. `place` names it in errors.
    ///
    /// # Errors
    /// [`KeyError::OtherVault`], [`KeyError::Damaged`] when it names another epoch.
    pub fn belonging_to(self, vault: VaultId, epoch: Epoch, place: &str) -> Result<Self, KeyError> {
        let file = place.to_owned();
        if self.vault != vault {
            return Err(KeyError::OtherVault { file, found: self.vault, expected: vault });
        }
        if self.epoch != epoch {
            return Err(KeyError::Damaged { file, reason: "it names another epoch" });
        }
        Ok(self)
    }
}

/// A number as it is written: digits only, no zero in front.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> Share {
        Share {
            vault: VaultId([7; 16]),
            epoch: Epoch(12),
            set: ShareSet([5; 16]),
            threshold: 2,
            index: 3,
            value: ShareValue::from_slice(&[9; 32]).unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_every_cut_is_refused() {
        let text = share().to_text();
        assert!(Share::from_text(text.as_bytes(), "f").unwrap().is_same(&share()));
        // The last newline says nothing.
        for length in 0..text.len() - 1 {
            assert!(Share::from_text(&text.as_bytes()[..length], "f").is_err(), "{length}");
        }
        assert!(Share::from_text(format!("{}x\n", *text).as_bytes(), "f").is_err());
    }

    #[test]
    fn a_malformed_line_is_refused() {
        let text = share().to_text();
        for (right, wrong) in [
            ("share v1", "share v2"),
            ("vault 07", "vault zz"),
            ("epoch 12", "epoch +12"),
            ("epoch 12", "epoch 012"),
            ("epoch 12", "epoch 99999999999999999999"),
            ("set 05", "set 5"),
            ("threshold 2", "threshold 0"),
            ("index 3", "index 0"),
            ("index 3", "index 256"),
            ("share 09", "share 0"),
        ] {
            let wrong = text.replacen(right, wrong, 1);
            assert_ne!(wrong, *text);
            let refused = Share::from_text(wrong.as_bytes(), "f");
            assert!(matches!(refused, Err(KeyError::Damaged { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_whole_secret_of_the_version_before_is_its_only_share() {
        let text = secret_file::write(WHOLE_KIND, VaultId([7; 16]), Some(Epoch(3)), &[9; 32]);
        let share = Share::from_text(text.as_bytes(), "f").unwrap();
        assert_eq!((share.vault, share.epoch), (VaultId([7; 16]), Epoch(3)));
        assert_eq!((share.threshold, share.index), (1, 1));
        assert_eq!((share.set, share.value.expose()), (ShareSet::BEFORE_SHARES, &[9; 32]));
        let no_epoch = secret_file::write(WHOLE_KIND, VaultId([7; 16]), None, &[9; 32]);
        assert!(Share::from_text(no_epoch.as_bytes(), "f").is_err());
    }
}
