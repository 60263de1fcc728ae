//! The custodian that keeps epoch secrets as files in a folder, one file an epoch.
//!
//! What it can promise is what its medium can: it overwrites and unlinks, but flash storage and
//! copy-on-write file systems may keep the old block. Put the folder on a medium that you can
//! destroy, away from the catalog.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::custodian::Custodian;
use super::{EpochSecret, KeyError, secret_file};
use crate::durable;
use crate::ids::{Epoch, VaultId};

const KIND: &str = "epoch secret";
const PREFIX: &str = "epoch-";
const SUFFIX: &str = ".secret";

/// A folder of epoch secrets.
pub struct FileCustodian {
    folder: PathBuf,
}

impl FileCustodian {
    /// The custodian in `folder`; [`Custodian::put`] makes the folder when it is missing.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, epoch: Epoch) -> PathBuf {
        self.folder.join(format!("{PREFIX}{epoch}{SUFFIX}"))
    }

    fn read(&self, vault: VaultId, epoch: Epoch) -> Result<Option<EpochSecret>, KeyError> {
        let path = self.file(epoch);
        let file = path.display().to_string();
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::Io { file, source }),
        };
        let parsed = secret_file::read(KIND, &text, &file)?;
        if parsed.vault != vault {
            return Err(KeyError::OtherVault { file, found: parsed.vault, expected: vault });
        }
        if parsed.epoch != Some(epoch) {
            return Err(KeyError::Damaged { file, reason: "it names another epoch" });
        }
        Ok(EpochSecret::from_slice(parsed.secret.as_slice()))
    }
}

impl Custodian for FileCustodian {
    fn name(&self) -> String {
        format!("the file custodian {}", self.folder.display())
    }

    fn put(&self, vault: VaultId, epoch: Epoch, secret: &EpochSecret) -> Result<(), KeyError> {
        match self.read(vault, epoch)? {
            Some(held) if held.expose() == secret.expose() => return Ok(()),
            Some(_) => return Err(KeyError::EpochTaken { custodian: self.name(), epoch }),
            None => {}
        }
        let text = secret_file::write(KIND, vault, Some(epoch), secret.expose());
        let path = self.file(epoch);
        durable::create_folder(&self.folder)
            .and_then(|()| durable::create_file(&path, text.as_bytes()))
            .map_err(|source| KeyError::Io { file: path.display().to_string(), source })
    }

    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<EpochSecret, KeyError> {
        if let Some(secret) = self.read(vault, epoch)? {
            return Ok(secret);
        }
        let held = match self.epochs(vault)?.as_slice() {
            [] => "; it holds none at all".to_owned(),
            epochs => {
                let list: Vec<String> = epochs.iter().map(Epoch::to_string).collect();
                format!("; it holds epoch {}", list.join(", "))
            }
        };
        Err(KeyError::NoEpochSecret { custodian: self.name(), epoch, held })
    }

    fn epochs(&self, _: VaultId) -> Result<Vec<Epoch>, KeyError> {
        let io = |source| KeyError::Io { file: self.folder.display().to_string(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io(source)),
        };
        let mut epochs = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX))
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|number| number.parse().ok());
            epochs.extend(number.map(Epoch));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn destroy(&self, _: VaultId, epoch: Epoch) -> Result<(), KeyError> {
        let path = self.file(epoch);
        durable::destroy_file(&path)
            .map_err(|source| KeyError::Io { file: path.display().to_string(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    const VAULT: VaultId = VaultId([1; 16]);

    /// What every custodian must hold; each kind calls it with an empty one.
    fn contract(custodian: &dyn Custodian) {
        let (one, two) = (
            EpochSecret::generate(&mut random::system()),
            EpochSecret::generate(&mut random::system()),
        );
        assert!(custodian.epochs(VAULT).unwrap().is_empty());
        assert!(matches!(custodian.get(VAULT, Epoch(1)), Err(KeyError::NoEpochSecret { .. })));

        custodian.put(VAULT, Epoch(1), &one).unwrap();
        custodian.put(VAULT, Epoch(1), &one).unwrap();
        assert!(matches!(custodian.put(VAULT, Epoch(1), &two), Err(KeyError::EpochTaken { .. })));
        custodian.put(VAULT, Epoch(2), &two).unwrap();
        assert_eq!(custodian.epochs(VAULT).unwrap(), [Epoch(1), Epoch(2)]);
        assert_eq!(custodian.get(VAULT, Epoch(1)).unwrap().expose(), one.expose());
        assert!(custodian.get(VaultId([2; 16]), Epoch(1)).is_err());

        custodian.destroy(VAULT, Epoch(1)).unwrap();
        custodian.destroy(VAULT, Epoch(1)).unwrap();
        assert!(matches!(custodian.get(VAULT, Epoch(1)), Err(KeyError::NoEpochSecret { .. })));
        assert_eq!(custodian.get(VAULT, Epoch(2)).unwrap().expose(), two.expose());
    }

    #[test]
    fn the_file_custodian_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        contract(&FileCustodian::new(&folder.path().join("custodian")));
    }
}
