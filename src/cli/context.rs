//! What every command is given: the options for all of them, and what follows from these.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::args::GlobalArgs;
use super::config::{Config, FILE_NAME};
use super::error::CliError;
use super::output::Output;
use super::{progress, prompt};
use crate::clock::{Clock, SystemClock};
use crate::progress::ProgressSink;

/// What every command is given.
pub struct Context {
    /// The options for every command.
    pub global: GlobalArgs,
    /// Where warnings and notes go; the report is a command's result.
    pub output: Output,
    /// Tells the moment.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// The context that the options describe.
    #[must_use]
    pub fn new(global: GlobalArgs) -> Self {
        let output = Output::new(global.json, global.quiet);
        Self { global, output, clock: Arc::new(SystemClock) }
    }

    /// The vault's configuration.
    ///
    /// # Errors
    /// `Usage`.
    pub fn config(&self) -> Result<Config, CliError> {
        let file = Config::find(self.global.config.as_deref())?;
        Ok(Config::load(&file)?)
    }

    /// The file that `init` writes.
    #[must_use]
    pub fn config_file_to_write(&self) -> PathBuf {
        self.global.config.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME))
    }

    /// The file of identities to open the vault with, if one is named on the command line, in the
    /// environment or, last, in the configuration. A passphrase file that is named nearer wins.
    #[must_use]
    pub fn identity_file(&self, config: &Config) -> Option<PathBuf> {
        let named_nearer = self.global.passphrase_file.is_some();
        let configured = config.identity_file.clone().filter(|_| !named_nearer);
        self.global.identity.clone().or(configured)
    }

    /// The vault's passphrase: from the file that is named on the command line, in the environment
    /// or in the configuration, else from the terminal.
    ///
    /// # Errors
    /// `Identity`.
    pub fn passphrase(&self, config: &Config) -> Result<Zeroizing<String>, CliError> {
        match self.global.passphrase_file.as_ref().or(config.passphrase_file.as_ref()) {
            Some(file) => prompt::passphrase_file(file),
            None => prompt::passphrase("Passphrase of the vault"),
        }
    }

    /// The passphrase of a vault that is being made: from the file on the command line or in the
    /// environment, else typed twice at the terminal.
    ///
    /// # Errors
    /// `Identity`, or `Usage` when it is too short.
    pub fn new_passphrase(&self) -> Result<Zeroizing<String>, CliError> {
        match &self.global.passphrase_file {
            Some(file) => {
                let passphrase = prompt::passphrase_file(file)?;
                prompt::check_new(&passphrase)?;
                Ok(passphrase)
            }
            None => prompt::new_passphrase("Passphrase for the new vault"),
        }
    }

    /// A line of progress, drawn only where a person watches.
    #[must_use]
    pub fn progress(&self) -> Arc<dyn ProgressSink> {
        progress::watched(&self.output)
    }
}
