//! What the configuration says of a custodian, and the custodian that it makes.

use std::path::PathBuf;

use super::KeyError;
use super::custodian::Custodian;
use super::file_custodian::FileCustodian;

/// The name of a vault's only custodian, where the configuration gives it none.
pub const DEFAULT_NAME: &str = "main";

/// One custodian: its name and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodianSettings {
    /// Unique in its vault: 1 to 31 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// What it is.
    pub kind: CustodianKind,
}

/// The kinds of custodian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustodianKind {
    /// `file`: a folder.
    File {
        /// The folder.
        folder: PathBuf,
    },
}

impl CustodianSettings {
    /// A folder under that name.
    #[must_use]
    pub fn file(name: &str, folder: PathBuf) -> Self {
        Self { name: name.to_owned(), kind: CustodianKind::File { folder } }
    }

    /// The custodian. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`KeyError::Unreachable`] when it could never be used as it is set.
    pub fn open(&self) -> Result<Box<dyn Custodian>, KeyError> {
        match &self.kind {
            CustodianKind::File { folder } => Ok(Box::new(FileCustodian::new(&self.name, folder))),
        }
    }
}
