//! The custodian that is a program of the user's own: ssh to another machine, a password store, a
//! secrets manager, a TPM. `docs/custodians.md` is its contract.
//!
//! ```text
//! PROGRAM ARGS… get VAULT EPOCH        the share on its standard output
//! PROGRAM ARGS… put VAULT EPOCH        the share on its standard input
//! PROGRAM ARGS… destroy VAULT EPOCH
//! PROGRAM ARGS… epochs VAULT           one number a line
//! ```
//!
//! Exit codes: 0 done, 10 it holds no such share, 11 another share is there; anything else is a
//! failure. A share never stands in an argument or in the environment.
//!
//! A program is not trusted to check anything: what it was given is read back, what it destroyed is
//! asked for again, and only where it holds this vault's mark (epoch 0) does "none" mean none.

use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::program::{self, Answer};
use super::share::{Share, TEXT_BYTES_MAX};
use super::{Assurance, Custodian, mark, no_share};
use crate::base::durable;
use crate::base::ids::{Epoch, VaultId};
use crate::keys::KeyError;

/// The exit code of "it holds no such share".
const HOLDS_NONE: i32 = 10;
/// The exit code of "another share of that epoch is there".
const TAKEN: i32 = 11;

/// A user's program that keeps shares.
pub struct CommandCustodian {
    name: String,
    program: Vec<String>,
    env: Vec<String>,
    timeout: Duration,
}

impl CommandCustodian {
    /// The custodian that this program with these first arguments is; one call may take `timeout`, and
    /// gets the variables `env` of this process besides `PATH`, `HOME` and `LANG`.
    ///
    /// # Errors
    /// [`KeyError::Unreachable`] when no program is named.
    pub fn new(
        name: &str,
        program: &[String],
        env: &[String],
        timeout: Duration,
    ) -> Result<Self, KeyError> {
        if program.first().is_none_or(String::is_empty) {
            return Err(KeyError::Unreachable {
                custodian: format!("the custodian `{name}`"),
                reason: "no program is named".to_owned(),
            });
        }
        let (name, program, env) = (name.to_owned(), program.to_vec(), env.to_vec());
        Ok(Self { name, program, env, timeout })
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> KeyError {
        KeyError::Unreachable { custodian: self.title(), reason: reason.to_string() }
    }

    fn call(&self, words: &[&str], input: &[u8]) -> Result<Answer, KeyError> {
        let mut arguments: Vec<&str> = self.program.iter().map(String::as_str).collect();
        arguments.extend(words);
        program::run(&arguments, &self.env, input, TEXT_BYTES_MAX, self.timeout)
            .map_err(|reason| self.unreachable(format_args!("its program {reason}")))
    }

    /// An answer other than the ones that mean something.
    fn failed(&self, answer: &Answer) -> KeyError {
        let complaint = match answer.complaint.as_str() {
            "" => String::new(),
            text => format!(": {text}"),
        };
        // What it had been given before it had to be named, and may miss.
        let missed = if self.env.is_empty() { program::withheld() } else { Vec::new() };
        let missed = match missed.as_slice() {
            [] => String::new(),
            names => format!(
                " (it does not get {}; `env` in its section of the configuration names what it needs)",
                names.join(", ")
            ),
        };
        self.unreachable(format_args!(
            "its program ended with exit code {}{complaint}{missed}",
            answer.code
        ))
    }

    /// What stands under an epoch, if anything does.
    fn fetch(&self, vault: VaultId, epoch: Epoch) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let answer = self.call(&["get", &vault.to_string(), &epoch.to_string()], b"")?;
        match answer.code {
            0 => Ok(Some(answer.output)),
            HOLDS_NONE => Ok(None),
            _ => Err(self.failed(&answer)),
        }
    }

    fn store(&self, vault: VaultId, epoch: Epoch, text: &[u8]) -> Result<(), KeyError> {
        let answer = self.call(&["put", &vault.to_string(), &epoch.to_string()], text)?;
        match answer.code {
            0 => Ok(()),
            TAKEN => Err(KeyError::EpochTaken { custodian: self.title(), epoch }),
            _ => Err(self.failed(&answer)),
        }
    }

    /// The share of an epoch as it stands there, checked, if there is one.
    fn read(&self, vault: VaultId, epoch: Epoch) -> Result<Option<Share>, KeyError> {
        let Some(text) = self.fetch(vault, epoch)? else { return Ok(None) };
        let place = format!("the share of epoch {epoch} from {}", self.title());
        Share::from_text(&text, &place)?.belonging_to(vault, epoch, &place).map(Some)
    }

    /// Holds where the program answers from this vault's place, and not from an empty one.
    fn require_mark(&self, vault: VaultId) -> Result<(), KeyError> {
        let Some(text) = self.fetch(vault, mark::EPOCH)? else {
            return Err(self.unreachable(
                "its program answers, and this vault's mark (epoch 0) is not in the place that it \
                 answers from",
            ));
        };
        self.check_mark(vault, &text)
    }

    fn check_mark(&self, vault: VaultId, text: &[u8]) -> Result<(), KeyError> {
        let place = format!("the mark from {}", self.title());
        let found = mark::from_text(text, &place)?;
        if found != vault {
            return Err(KeyError::OtherVault { file: place, found, expected: vault });
        }
        Ok(())
    }
}

impl Custodian for CommandCustodian {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> String {
        let program = self.program.first().map_or("", String::as_str);
        format!("the program {}", Path::new(program).display())
    }

    fn assurance(&self) -> Assurance {
        Assurance::Delegated
    }

    fn enroll(&self, vault: VaultId) -> Result<(), KeyError> {
        if let Some(text) = self.fetch(vault, mark::EPOCH)? {
            return self.check_mark(vault, &text);
        }
        let text = mark::to_text(vault);
        durable::step("custodian-mark", || self.store(vault, mark::EPOCH, text.as_bytes()))?;
        self.require_mark(vault)
    }

    fn put(&self, share: &Share) -> Result<(), KeyError> {
        let (vault, epoch) = (share.vault, share.epoch);
        let taken = || KeyError::EpochTaken { custodian: self.title(), epoch };
        match self.read(vault, epoch)? {
            Some(held) if held.is_same(share) => return Ok(()),
            Some(_) => return Err(taken()),
            None => self.require_mark(vault)?,
        }
        let text = share.to_text();
        durable::step("custodian-put", || self.store(vault, epoch, text.as_bytes()))?;
        match self.read(vault, epoch)? {
            Some(held) if held.is_same(share) => Ok(()),
            Some(_) => Err(taken()),
            None => Err(self.unreachable("its program took the share and does not hand it back")),
        }
    }

    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<Share, KeyError> {
        match self.read(vault, epoch)? {
            Some(share) => Ok(share),
            None => Err(no_share(self, epoch, &self.epochs(vault)?)),
        }
    }

    fn epochs(&self, vault: VaultId) -> Result<Vec<Epoch>, KeyError> {
        let answer = self.call(&["epochs", &vault.to_string()], b"")?;
        let numbers = match answer.code {
            0 => std::str::from_utf8(&answer.output).ok(),
            HOLDS_NONE => Some(""),
            _ => return Err(self.failed(&answer)),
        };
        let parse = |text: &str| -> Option<Vec<Epoch>> {
            text.split_ascii_whitespace().map(|number| number.parse().ok().map(Epoch)).collect()
        };
        let mut epochs = numbers.and_then(parse).ok_or_else(|| {
            self.unreachable("its program's list of epochs is no list of numbers")
        })?;
        self.require_mark(vault)?;
        epochs.retain(|epoch| *epoch != mark::EPOCH);
        epochs.sort_unstable();
        epochs.dedup();
        Ok(epochs)
    }

    fn destroy(&self, vault: VaultId, epoch: Epoch) -> Result<(), KeyError> {
        match self.read(vault, epoch) {
            Ok(Some(_)) | Err(KeyError::Damaged { .. }) => {}
            Ok(None) => self.require_mark(vault)?,
            Err(error) => return Err(error),
        }
        let words = ["destroy", &vault.to_string(), &epoch.to_string()];
        let answer = durable::step("custodian-destroy", || self.call(&words, b""))?;
        if !matches!(answer.code, 0 | HOLDS_NONE) {
            return Err(self.failed(&answer));
        }
        match self.fetch(vault, epoch)? {
            None => self.require_mark(vault),
            Some(_) => Err(self.unreachable(
                "its program said that it destroyed the share, and still hands it out",
            )),
        }
    }
}
