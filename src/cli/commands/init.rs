//! `strongroom init`: begins a vault.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::durable;
use crate::cli::config::Config;
use crate::cli::context::{Context, places};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::kit_files;
use crate::cli::output::Report;
use crate::crypto::SecretText;
use crate::keys::master::Protection;
use crate::ops::init;
use crate::vault::OpsError;
use crate::vault::unlock::Begun;

/// What `init` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom init --store /mnt/backups --custodian /media/safe/custodian
  strongroom init --store /mnt/backups --recipient \"$(cat operator.pub)\"

The configuration is written to --config (./strongroom.toml if it is not given), the catalog and \
the master secret beside it. Everything is made or nothing is: what an `init` that failed or was killed \
had made is removed, at once or by the next one. Without --recipient the master secret is encrypted to a passphrase, \
from --passphrase-file or typed at the terminal.")]
pub struct Args {
    /// Where the backups go: a directory, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub store: String,

    /// Encrypt the master secret to this age or SSH public key, instead of a passphrase; repeatable
    #[arg(long = "recipient", id = "recipient", value_name = "AGE1…")]
    pub recipients: Vec<String>,

    /// Where the epoch secret is kept, which erasures destroy [default: custodian, beside the
    /// configuration]
    #[arg(long, value_name = "DIR")]
    pub custodian: Option<PathBuf>,

    /// Take a passphrase that is easy to guess
    #[arg(long)]
    pub weak: bool,

    /// Write the recovery kit, which holds the master secret, to this file; with a QR code if its
    /// name ends in .html
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
}

/// Begins a vault.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let file = absolute(&context.config_file_to_write())?;
    if file.exists() {
        let message =
            format!("{} already exists; a vault is never made over another", file.display());
        return Err(CliError::new(Exit::Refused, message).hint("name another file with --config"));
    }
    let folder = file.parent().unwrap_or(&file);
    let custodian = match &args.custodian {
        Some(folder) => absolute(folder)?,
        None => folder.join("custodian"),
    };
    let store = if args.store.contains("://") {
        args.store.clone()
    } else {
        absolute(&PathBuf::from(&args.store))?.display().to_string()
    };
    let kit = args.kit.as_deref().map(kit_files::free).transpose()?;
    let mut config = Config::new(&file, store, custodian.clone());
    let recipients = if args.recipients.is_empty() {
        None
    } else {
        Some(Protection::recipients(&args.recipients).map_err(OpsError::from)?)
    };
    // Before anybody types a passphrase for it.
    init::check(&places(&config)).await?;
    let protection = if let Some(recipients) = recipients {
        if let Some(file) = &context.global.identity {
            config.identity_file = Some(absolute(file)?);
        }
        recipients
    } else {
        if let Some(file) = &context.global.passphrase_file {
            config.passphrase_file = Some(absolute(file)?);
        }
        let passphrase = context.new_passphrase(args.weak)?;
        Protection::Passphrase(SecretText::new(passphrase.to_string()))
    };
    let last = async |begun: &Begun| {
        if let Some(kit) = &kit {
            let written = kit_files::write_first(begun, kit).await;
            if written.is_err() {
                // It was not there before, and it may hold the secret of a vault that is not made.
                let _ = durable::destroy_file(kit);
            }
            written?;
        }
        durable::create_file(&file, config.to_toml().as_bytes()).map_err(|source| {
            if source.kind() != std::io::ErrorKind::AlreadyExists {
                let _ = std::fs::remove_file(&file);
            }
            // It holds the secret of a vault that is not made after all.
            if let Some(kit) = &kit {
                let _ = durable::destroy_file(kit);
            }
            CliError::from(OpsError::File { what: format!("writing {}", file.display()), source })
        })
    };
    let environment = context.environment();
    let begun = init::init_with(places(&config), environment, &protection, last).await?;
    let vault = begun.vault.id();
    let kit = kit.map(|file| file.display().to_string());
    let document = json!({
        "vault": vault,
        "config": file.display().to_string(),
        "catalog": config.catalog.display().to_string(),
        "master": config.master.display().to_string(),
        "custodian": custodian.display().to_string(),
        "store": config.stores[0].url,
        "kit": kit,
    });
    let kept = match &kit {
        Some(file) => kit_files::written(file),
        None => "Print the recovery kit now and keep it in a safe place: strongroom kit print
"
        .to_owned(),
    };
    let text = format!(
        "A new vault, {vault}.

  configuration   {}
  catalog         {}
  master secret   {}
  epoch secret    {}
  store           {}

Keep a copy of the master secret's file away from this machine: it never
changes, and without it no backup opens. Never copy the epoch secret: that an
erasure destroys it is what makes people forgotten.

{kept}
Next: strongroom source add NAME --url env:VARIABLE
",
        file.display(),
        config.catalog.display(),
        config.master.display(),
        custodian.display(),
        config.stores[0].url,
    );
    Report::new(&document, text)
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::from_error(Exit::Usage, &error))
}
