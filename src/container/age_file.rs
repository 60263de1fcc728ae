//! A backup's identity and the age files sealed for it (manifest, schema archive). The stock `age`
//! tool opens them, given the identity.

use std::io::{Read as _, Write as _};
use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;

use super::ContainerError;
use crate::crypto::SecretText;
use crate::crypto::kdf::{self, DerivedKey};
use crate::crypto::labels;

/// BK: the age X25519 identity of one backup.
pub struct BackupIdentity {
    identity: age::x25519::Identity,
    text: SecretText,
}

impl BackupIdentity {
    /// A fresh identity. Its randomness comes from the operating system, through age.
    #[must_use]
    pub fn generate() -> Self {
        let identity = age::x25519::Identity::generate();
        let text = SecretText::new(identity.to_string().expose_secret().to_owned());
        Self { identity, text }
    }

    /// The identity from its text form (`AGE-SECRET-KEY-1…`), as it is wrapped in the catalog.
    pub fn from_text(text: &[u8]) -> Result<Self, ContainerError> {
        let malformed =
            || ContainerError::malformed("a backup's identity", "it is not an age identity");
        let text = SecretText::from_utf8(text).ok_or_else(malformed)?;
        let identity = age::x25519::Identity::from_str(text.expose()).map_err(|_| malformed())?;
        Ok(Self { identity, text })
    }

    /// The text form, to be wrapped.
    #[must_use]
    pub fn text(&self) -> &SecretText {
        &self.text
    }

    /// The key of the backup's index: HKDF over the identity's text form.
    #[must_use]
    pub fn index_key(&self) -> DerivedKey {
        kdf::derive(b"", self.text.expose().as_bytes(), labels::INDEX_KEY.as_bytes())
    }

    /// Seals a whole object as an age file.
    pub fn seal(&self, object: &str, contents: &[u8]) -> Result<Vec<u8>, ContainerError> {
        let failed = |_| ContainerError::malformed(object, "age could not write it");
        let recipient = self.identity.to_public();
        let mut sealed = Vec::with_capacity(contents.len() + contents.len() / 1000 + 512);
        let mut writer = age::Encryptor::with_recipients(std::iter::once(&recipient as _))
            .map_err(|_| ContainerError::malformed(object, "age could not write it"))?
            .wrap_output(&mut sealed)
            .map_err(failed)?;
        writer.write_all(contents).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(sealed)
    }

    /// Opens a whole object; what does not authenticate to its last byte is refused.
    pub fn open(&self, object: &str, sealed: &[u8]) -> Result<Vec<u8>, ContainerError> {
        let refused = || ContainerError::not_authentic(object);
        let decryptor = age::Decryptor::new(sealed).map_err(|_| refused())?;
        let mut reader =
            decryptor.decrypt(std::iter::once(&self.identity as _)).map_err(|_| refused())?;
        let mut contents = Vec::with_capacity(sealed.len());
        reader.read_to_end(&mut contents).map_err(|_| refused())?;
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_file_opens_whole_or_not_at_all() {
        let identity = BackupIdentity::generate();
        let again = BackupIdentity::from_text(identity.text().expose().as_bytes()).unwrap();
        let sealed = identity.seal("o", &vec![7; 70_000]).unwrap();
        assert_eq!(again.open("o", &sealed).unwrap(), vec![7; 70_000]);
        assert_eq!(again.index_key().expose(), identity.index_key().expose());
        assert!(BackupIdentity::generate().open("o", &sealed).is_err());
        for length in (0..sealed.len()).step_by(97) {
            assert!(again.open("o", &sealed[..length]).is_err(), "{length}");
        }
        for byte in (0..sealed.len()).step_by(89) {
            let mut flipped = sealed.clone();
            flipped[byte] ^= 0x10;
            assert!(again.open("o", &flipped).is_err(), "{byte}");
        }
    }
}
