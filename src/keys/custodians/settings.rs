//! What the configuration says of a custodian, and the custodian that it makes.

use std::path::PathBuf;
use std::time::Duration;

use super::Custodian;
use super::command::CommandCustodian;
use super::file::FileCustodian;
use super::pkcs11::Pkcs11Custodian;
use crate::keys::KeyError;

/// The name of a vault's only custodian, where the configuration gives it none.
pub const DEFAULT_NAME: &str = "main";

/// How long a user's program may take, in seconds, where the configuration does not say.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 30;

/// The most characters of a custodian's name.
pub const NAME_CHARACTERS_MAX: usize = 31;

/// One custodian: its name and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodianSettings {
    /// Unique in its vault; [`is_name`] holds.
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
    /// `command`: the user's own program.
    Command {
        /// The program and its first arguments; at least one.
        program: Vec<String>,
        /// How long one call may take, in seconds.
        timeout_seconds: u32,
        /// Variables of this program's environment that it gets besides `PATH`, `HOME` and `LANG`.
        env: Vec<String>,
    },
    /// `pkcs11`: a token, such as a hardware security module.
    Pkcs11 {
        /// The library of the token's maker.
        module: PathBuf,
        /// The token's label.
        token: String,
        /// Where the user's PIN is.
        pin: PinSource,
    },
}

/// Where the PIN of a token is: never in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl CustodianKind {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Command { .. } => "command",
            Self::Pkcs11 { .. } => "pkcs11",
        }
    }
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
        Ok(match &self.kind {
            CustodianKind::File { folder } => Box::new(FileCustodian::new(&self.name, folder)),
            CustodianKind::Command { program, timeout_seconds, env } => {
                let timeout = Duration::from_secs((*timeout_seconds).into());
                Box::new(CommandCustodian::new(&self.name, program, env, timeout)?)
            }
            CustodianKind::Pkcs11 { module, token, pin } => {
                Box::new(Pkcs11Custodian::new(&self.name, module, token, pin.clone()))
            }
        })
    }
}

/// Whether a custodian may have that name: 1 to 31 of `a-z`, `0-9` and `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "main", "safe-2", &"x".repeat(31)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Main", "a b", "a_b", "ä", &"x".repeat(32)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
