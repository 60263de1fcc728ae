//! What every command is given: the options for all of them, and what follows from these.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::config::{Config, FILE_NAME};
use super::error::CliError;
use super::exit::Exit;
use super::global_args::GlobalArgs;
use super::output::Output;
use super::{progress, prompt};
use crate::audit::Who;
use crate::base::clock::{Clock, SystemClock};
use crate::base::progress::ProgressSink;
use crate::crypto::SecretText;
use crate::keys::KeyError;
use crate::keys::master::{self, Credentials};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::settings::{Environment, VaultPlaces};

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
    /// `Identity`; `Usage` when what was typed twice differs; `Refused` when it is weak and nobody insists.
    pub fn new_passphrase(&self, weak: bool) -> Result<Zeroizing<String>, CliError> {
        let passphrase = if let Some(file) = &self.global.passphrase_file {
            prompt::passphrase_file(file)?
        } else {
            let asked = prompt::new_passphrase("Passphrase for the new vault");
            asked.map_err(|error| match error.exit() {
                Exit::Identity => error
                    .hint("give a file with --passphrase-file, or a public key with --recipient"),
                _ => error,
            })?
        };
        prompt::refuse_weak(&passphrase, weak)?;
        Ok(passphrase)
    }

    /// A passphrase that takes the place of the present one: from a file, else typed twice.
    ///
    /// # Errors
    /// As [`Context::new_passphrase`].
    pub fn another_passphrase(
        &self,
        file: Option<&Path>,
        weak: bool,
    ) -> Result<Zeroizing<String>, CliError> {
        let passphrase = match file {
            Some(file) => prompt::passphrase_file(file)?,
            None => prompt::new_passphrase("New passphrase of the vault")?,
        };
        prompt::refuse_weak(&passphrase, weak)?;
        Ok(passphrase)
    }

    /// The vault that the configuration describes.
    ///
    /// # Errors
    /// `Usage`, `Vault` or `Store`.
    pub fn vault(&self, config: &Config) -> Result<Vault, CliError> {
        Ok(Vault::open(places(config), self.environment())?)
    }

    /// Who gave the command, and the clock.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let (warns, alerts) = (self.output.clone(), self.output.clone());
        Environment {
            clock: Arc::clone(&self.clock),
            who: Who::current(),
            warn: Arc::new(move |sentence: &str| warns.warning(sentence)),
            alert: Arc::new(move |sentence: &str| alerts.alert(sentence)),
        }
    }

    /// What opens the master secret: an identity file where one is named, else a passphrase, asked
    /// for only where the master secret needs one.
    ///
    /// # Errors
    /// `Identity`, `Vault`.
    pub fn credentials(&self, config: &Config) -> Result<Credentials, CliError> {
        let mut credentials = Credentials::default();
        if let Some(file) = self.identity_file(config) {
            let text = fs::read_to_string(&file).map_err(|error| {
                let message = format!("cannot read identities from {}: {error}", file.display());
                CliError::new(Exit::Identity, message)
                    .hint("check --identity, or `identity_file` in the configuration file")
            })?;
            credentials.identities = Some((SecretText::new(text), file.display().to_string()));
        }
        let file = config.master.display().to_string();
        let sealed = fs::read(&config.master).map_err(|source| {
            CliError::from(OpsError::from(KeyError::Io { file: file.clone(), source }))
        })?;
        if master::needs_passphrase(&sealed, &file).map_err(OpsError::from)? {
            let passphrase = self.passphrase(config)?;
            credentials.passphrase = Some(SecretText::new(passphrase.to_string()));
        }
        Ok(credentials)
    }

    /// Like [`Context::credentials`], but nothing where nothing is named and nobody can be asked.
    ///
    /// # Errors
    /// As [`Context::credentials`].
    pub fn credentials_if_any(&self, config: &Config) -> Result<Option<Credentials>, CliError> {
        let named = self.identity_file(config).is_some()
            || self.global.passphrase_file.is_some()
            || config.passphrase_file.is_some();
        if named || std::io::stdin().is_terminal() {
            self.credentials(config).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A line of progress, drawn only where a person watches.
    #[must_use]
    pub fn progress(&self) -> Arc<dyn ProgressSink> {
        progress::watched(&self.output)
    }
}

/// Where a configuration has its vault's parts.
#[must_use]
pub fn places(config: &Config) -> VaultPlaces {
    VaultPlaces {
        catalog: config.catalog.clone(),
        master: config.master.clone(),
        maps: config.maps.clone(),
        custodians: config.custodians.clone(),
        stores: config.stores.clone(),
        spill: config.spill.clone().unwrap_or_else(std::env::temp_dir),
    }
}
