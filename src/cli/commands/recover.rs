//! `strongroom recover`: a vault made anew on an empty machine, from its store.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use zeroize::Zeroizing;

use crate::base::durable;
use crate::base::ids::Epoch;
use crate::cli::config::Config;
use crate::cli::config::stores::is_name;
use crate::cli::context::{Context, places};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, counted, when};
use crate::crypto::SecretText;
use crate::keys::KeyError;
use crate::keys::custodians::Custodian;
use crate::keys::custodians::settings::CustodianSettings;
use crate::keys::master::Protection;
use crate::keys::master::kit::{self, Kit};
use crate::ops::recover::{self, RecoverReport, RecoverRequest, Recovered};
use crate::vault::OpsError;
use crate::vault::custody::Quorum;
use crate::vault::settings::{DEFAULT_NAME, StoreSettings};

/// What `recover` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom recover --store s3://vault/a --kit kit.txt --custodian /media/safe/custodian
  strongroom recover --store /mnt/backups --kit - --custodian /media/a --custodian /media/b \\
      --recipient \"$(cat operator.pub)\"

The kit is the recovery kit's text, typed or scanned (- reads standard input). The custodians are the \
folders that hold the shares, as many as are needed; --custodians-from names a file with [[custodian]] \
sections for those of other kinds. docs/disaster.md has the whole procedure.")]
pub struct Args {
    /// A store of the lost vault, with the name that it had if there were several; repeatable
    #[arg(long = "store", id = "store", value_name = "[NAME=]DIR|URL", required = true)]
    pub stores: Vec<String>,

    /// The recovery kit's text, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub kit: PathBuf,

    /// A folder that holds a share of the epoch secret; repeatable
    #[arg(long = "custodian", id = "custodian", value_name = "DIR")]
    pub custodians: Vec<PathBuf>,

    /// A configuration file whose custodians are used
    #[arg(long, value_name = "FILE", required_unless_present = "custodian")]
    pub custodians_from: Option<PathBuf>,

    /// Encrypt the master secret to this age or SSH public key, instead of a passphrase; repeatable
    #[arg(long = "recipient", id = "recipient", value_name = "AGE1…")]
    pub recipients: Vec<String>,

    /// Take a passphrase that is easy to guess
    #[arg(long)]
    pub weak: bool,

    /// Go back to the replica of this epoch, although the custodians know a newer one
    #[arg(long, value_name = "NUMBER")]
    pub epoch: Option<u64>,
}

/// Recovers a vault.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| CliError::from_error(Exit::Usage, &error))
    };
    let file = absolute(&context.config_file_to_write())?;
    if file.exists() {
        let message =
            format!("{} already exists; a vault is never made over another", file.display());
        return Err(CliError::new(Exit::Refused, message).hint("name another file with --config"));
    }
    let mut settings = match &args.custodians_from {
        Some(file) => Config::load(file)?.custodians,
        None => Vec::new(),
    };
    let named = settings.len();
    for (number, folder) in (1..).zip(&args.custodians) {
        settings.push(CustodianSettings::file(&format!("recovered-{number}"), absolute(folder)?));
    }
    let Kit { vault, master } = read_kit(&args.kit)?;
    let stores = args.stores.iter().map(|text| store(text)).collect::<Result<Vec<_>, _>>()?;
    let mut config = Config::with(&file, String::new(), settings);
    config.stores = distinct(stores)?;
    let protection = protection(context, args, &mut config)?;
    let custodians = config
        .custodians
        .iter()
        .map(CustodianSettings::open)
        .collect::<Result<Vec<_>, KeyError>>()
        .map_err(OpsError::from)?;
    let recovered = recover::recover(RecoverRequest {
        places: places(&config),
        environment: context.environment(),
        vault,
        master,
        protection,
        epochs: &Quorum { vault, custodians: &custodians },
        epoch: args.epoch.map(Epoch),
    })
    .await?;
    let report = recovered.report.clone();
    name_custodians(&recovered, &report, &mut config, &custodians[named..], named)?;
    durable::create_file(&file, config.to_toml().as_bytes()).map_err(|source| {
        CliError::from(OpsError::File { what: format!("writing {}", file.display()), source })
    })?;
    recovered.go_on().await?;
    let mut document = serde_json::to_value(&report)
        .map_err(|error| CliError::from_error(Exit::Internal, &error))?;
    document["config"] = json!(file.display().to_string());
    Report::new(&document, told(&report, &file))
}

/// A store as it is named on the command line: `offsite=s3://bucket/prefix`, or without its name.
fn store(text: &str) -> Result<StoreSettings, CliError> {
    let (name, place) = match text.split_once('=') {
        Some((name, place)) if is_name(name) => (name, place),
        _ => (DEFAULT_NAME, text),
    };
    let url = if place.contains("://") {
        place.to_owned()
    } else {
        let absolute = std::path::absolute(Path::new(place));
        absolute.map_err(|error| CliError::from_error(Exit::Usage, &error))?.display().to_string()
    };
    Ok(StoreSettings { name: name.to_owned(), ..StoreSettings::main(url) })
}

/// Stores with a name each.
fn distinct(stores: Vec<StoreSettings>) -> Result<Vec<StoreSettings>, CliError> {
    for (place, one) in stores.iter().enumerate() {
        if stores[..place].iter().any(|before| before.name == one.name) {
            let message = format!("two stores are named `{}`", one.name);
            return Err(CliError::new(Exit::Usage, message)
                .hint("give each the name that it had, as in --store offsite=s3://bucket/prefix"));
        }
    }
    Ok(stores)
}

fn read_kit(path: &Path) -> Result<Kit, CliError> {
    let mut text = Zeroizing::new(Vec::new());
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut text).map(|_| ())
    } else {
        fs::read(path).map(|read| text = Zeroizing::new(read))
    };
    read.map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot read the kit from {}: {error}", path.display()))
            .hint("give the text of the recovery kit as a file, or - and type it")
    })?;
    Ok(kit::read(&text).map_err(KeyError::from).map_err(OpsError::from)?)
}

fn protection(context: &Context, args: &Args, config: &mut Config) -> Result<Protection, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| CliError::from_error(Exit::Usage, &error))
    };
    if args.recipients.is_empty() {
        if let Some(file) = &context.global.passphrase_file {
            config.passphrase_file = Some(absolute(file)?);
        }
        let passphrase = context.new_passphrase(args.weak)?;
        return Ok(Protection::Passphrase(SecretText::new(passphrase.to_string())));
    }
    if let Some(file) = &context.global.identity {
        config.identity_file = Some(absolute(file)?);
    }
    Ok(Protection::recipients(&args.recipients).map_err(OpsError::from)?)
}

/// Gives folders the names that the recovered catalog has for them: each holds a share of a number.
fn name_custodians(
    recovered: &Recovered,
    report: &RecoverReport,
    config: &mut Config,
    folders: &[Box<dyn Custodian>],
    first: usize,
) -> Result<(), CliError> {
    let members = recover::members(recovered.vault())?;
    for (settings, custodian) in config.custodians[first..].iter_mut().zip(folders) {
        let share = custodian.get(report.vault, report.epoch);
        let index = share.ok().map(|share| share.index);
        if let Some((name, _)) = members.iter().find(|(_, number)| Some(*number) == index) {
            settings.name.clone_from(name);
        }
    }
    Ok(())
}

fn told(report: &RecoverReport, file: &Path) -> String {
    let mut text = format!(
        "Vault {} is recovered, as it stood on {} UTC.\n\n  \
         configuration   {}\n  epoch           {}\n  replica         {}\n  \
         in it           {}, {}, {}\n",
        report.vault,
        when(&report.written_at),
        file.display(),
        report.epoch,
        report.replica,
        counted(report.sources as u64, "source", "sources"),
        counted(report.backups as u64, "backup", "backups"),
        counted(report.subjects, "person", "people"),
    );
    if let Some(finding) = &report.audit_finding {
        text.push_str(&format!("\nThe audit log does not hold: {finding}\n"));
    }
    text.push_str(
        "\nThe machine from which it came can write to this vault no more.\n\
         Next: strongroom verify latest, then strongroom restore latest --to URL\n",
    );
    text
}
