//! `strongroom custody`: who holds the epoch secret, and whether they still do.

use std::path::PathBuf;

use super::config::{Config, custodians};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::{Report, when};
use crate::keys::custodian_settings::{
    CustodianKind, CustodianSettings, DEFAULT_TIMEOUT_SECONDS, PinSource,
};
use crate::ops::custodians::{self as verbs, CustodyReport, MembershipReport};

/// What `custody` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom custody list
  strongroom custody add vault-b --folder /mnt/usb/custodian --threshold 2
  strongroom custody check")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Tell who holds a share of the epoch secret, and what must still be destroyed
    #[command(after_help = "\
Example:
  strongroom custody list --json")]
    List,
    /// Ask every custodian whether it still has its share
    #[command(after_help = "\
Example:
  strongroom custody check")]
    Check,
    /// Give a share to one more custodian: a new epoch begins
    Add(AddArgs),
    /// Take a custodian out: a new epoch begins, and its share is destroyed
    Remove(RemoveArgs),
    /// Destroy what could not be reached before; share anew where a share is missing
    #[command(after_help = "\
Example:
  strongroom custody reconcile")]
    Reconcile,
}

/// What `custody add` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom custody add safe --folder /media/safe/custodian
  strongroom custody add far --program /usr/local/bin/share-over-ssh --threshold 2
  strongroom custody add hsm --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --token strongroom \\
      --pin-file /etc/strongroom/pin

Where it is goes into the configuration file. Of a custodian that is there already, only the name is \
given. --threshold is how many shares make the secret, from now on [default: as before].")]
pub struct AddArgs {
    /// Its name: lower-case letters, digits and -
    pub name: String,

    /// A folder, made if it is not there
    #[arg(long, value_name = "DIR", group = "place")]
    pub folder: Option<PathBuf>,

    /// A program that keeps the share (docs/custodians.md), with its arguments
    #[arg(long, value_name = "PROGRAM", group = "place", num_args = 1..)]
    pub program: Vec<String>,

    /// An HSM, through this PKCS #11 library
    #[arg(long, value_name = "FILE", group = "place", requires_all = ["token", "pin_file"])]
    pub pkcs11_module: Option<PathBuf>,

    /// The label of the HSM's token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub token: Option<String>,

    /// A file whose first line is the token's PIN
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub pin_file: Option<PathBuf>,

    /// How many shares make the secret
    #[arg(long, value_name = "K")]
    pub threshold: Option<u8>,
}

/// What `custody remove` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom custody remove safe --threshold 1

The configuration keeps its section until its old shares are destroyed.")]
pub struct RemoveArgs {
    /// Its name
    pub name: String,

    /// How many shares make the secret
    #[arg(long, value_name = "K")]
    pub threshold: Option<u8>,
}

/// Does it.
///
/// # Errors
/// See [`super::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let mut config = context.config()?;
    if let Command::Add(args) = &args.command {
        configure(&config, args)?;
        config = context.config()?;
    }
    let vault = context.vault(&config)?;
    match &args.command {
        Command::List => {
            let custody = verbs::list(&vault)?;
            let told = table(context, &custody);
            Report::new(&custody, told)
        }
        Command::Check => {
            let (custody, all_well) = verbs::check(&vault, &context.credentials(&config)?).await?;
            let told = table(context, &custody);
            let exit = if all_well { Exit::Done } else { Exit::Vault };
            Ok(Report::new(&custody, told)?.with_exit(exit))
        }
        Command::Add(args) => {
            let credentials = context.credentials(&config)?;
            let report = verbs::add(&vault, &credentials, &args.name, args.threshold).await?;
            changed(context, &report, &format!("Custodian `{}` holds a share.", args.name))
        }
        Command::Remove(args) => {
            let credentials = context.credentials(&config)?;
            let report = verbs::remove(&vault, &credentials, &args.name, args.threshold).await?;
            let is_gone = report.custody.to_destroy.iter().all(|one| one.custodian != args.name);
            if is_gone {
                custodians::remove(&config.file, &args.name)?;
            }
            changed(context, &report, &format!("Custodian `{}` is no member any more.", args.name))
        }
        Command::Reconcile => {
            let report = verbs::reconcile(&vault, &context.credentials(&config)?).await?;
            let told = match &report.rotation {
                Some(_) => "The secret was shared anew, for a share was missing.",
                None => "Every custodian has been asked.",
            };
            changed(context, &report, told)
        }
    }
}

/// Puts a new custodian into the configuration file.
fn configure(config: &Config, args: &AddArgs) -> Result<(), CliError> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| CliError::from_error(Exit::Usage, &error))
    };
    let kind = if let Some(folder) = &args.folder {
        CustodianKind::File { folder: absolute(folder)? }
    } else if !args.program.is_empty() {
        CustodianKind::Command {
            program: args.program.clone(),
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
        }
    } else if let (Some(module), Some(token), Some(pin_file)) =
        (&args.pkcs11_module, &args.token, &args.pin_file)
    {
        CustodianKind::Pkcs11 {
            module: absolute(module)?,
            token: token.clone(),
            pin: PinSource::File(absolute(pin_file)?),
        }
    } else if config.custodians.iter().any(|one| one.name == args.name) {
        return Ok(());
    } else {
        let message = format!("the configuration has no custodian `{}`", args.name);
        return Err(CliError::new(Exit::Usage, message)
            .hint("say where it is: --folder, --program or --pkcs11-module"));
    };
    Ok(custodians::add(&config.file, &CustodianSettings { name: args.name.clone(), kind })?)
}

fn changed(context: &Context, report: &MembershipReport, told: &str) -> Result<Report, CliError> {
    let mut text = format!("{told}\n\n{}", table(context, &report.custody));
    let waiting = report.rotation.iter().flat_map(|rotation| &rotation.waiting);
    for sentence in waiting {
        text.push_str(&format!("  {sentence}\n"));
    }
    let is_provisional =
        report.rotation.as_ref().is_some_and(|rotation| rotation.state == "provisional");
    let exit = if is_provisional { Exit::Provisional } else { Exit::Done };
    Ok(Report::new(report, text)?.with_exit(exit))
}

fn table(context: &Context, custody: &CustodyReport) -> String {
    let rows: Vec<Vec<String>> = custody
        .custodians
        .iter()
        .map(|one| {
            let share = one.answer.clone().or(one.share.map(str::to_owned));
            vec![
                one.name.clone(),
                one.place.clone().unwrap_or_else(|| "not in the configuration".to_owned()),
                share.unwrap_or_else(|| "none".to_owned()),
            ]
        })
        .collect();
    let members = custody.custodians.iter().filter(|one| one.share.is_some()).count();
    let mut text = format!(
        "Epoch {}: {} of {members} shares make its secret.\n\n{}",
        custody.epoch,
        custody.threshold,
        context.output.table(&["custodian", "place", "share"], &[], &rows),
    );
    let mut said = Vec::new();
    for assurance in custody.custodians.iter().filter_map(|one| one.assurance.as_ref()) {
        if !said.contains(&assurance) {
            text.push_str(&format!("\n{assurance}\n"));
            said.push(assurance);
        }
    }
    for one in &custody.to_destroy {
        text.push_str(&format!(
            "\nTo be destroyed since {} UTC: the share of epoch {} at `{}`.\n",
            when(&one.since),
            one.epoch,
            one.custodian
        ));
    }
    if !custody.provisional_erasures.is_empty() {
        let numbers: Vec<String> =
            custody.provisional_erasures.iter().map(u64::to_string).collect();
        text.push_str(&format!("\nProvisional because of that: erasure {}.\n", numbers.join(", ")));
    }
    text
}
