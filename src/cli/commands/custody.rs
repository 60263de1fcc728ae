//! `strongroom custody`: who holds the epoch secret, and whether they still do.

use std::path::PathBuf;

use crate::cli::config::{Config, custodians};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, when, wrapped};
use crate::keys::custodians::settings::{
    CustodianKind, CustodianSettings, DEFAULT_TIMEOUT_SECONDS, PinSource,
};
use crate::ops::custody::{self as verbs, MembershipReport};
use crate::vault::custody_report::CustodyReport;

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

    /// A variable of the environment that the program gets besides PATH, HOME and LANG; repeatable
    #[arg(long, value_name = "NAME", requires = "program")]
    pub env: Vec<String>,

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
/// See [`crate::cli::exit::Exit`].
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
            let any_returned = custody.to_destroy.iter().any(|one| one.returned);
            let exit = if any_returned { Exit::Attention } else { Exit::Done };
            Ok(Report::new(&custody, told)?.with_exit(exit).as_product())
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
            let mut report =
                verbs::remove(&vault, &credentials, &args.name, args.threshold).await?;
            let is_gone = report.custody.to_destroy.iter().all(|one| one.custodian != args.name);
            if is_gone {
                custodians::remove(&config.file, &args.name)?;
                report.custody.custodians.retain(|one| one.name != args.name);
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
            env: args.env.clone(),
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
        text.push_str(&wrapped("  ", sentence));
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
            let known = one.share.map(|share| match share {
                "asked" => "not confirmed",
                held => held,
            });
            let share = one.answer.clone().or(known.map(str::to_owned));
            vec![
                one.name.clone(),
                one.place.clone().unwrap_or_else(|| "not in the configuration".to_owned()),
                share.unwrap_or_else(|| "none".to_owned()),
            ]
        })
        .collect();
    let members = custody.custodians.iter().filter(|one| one.share.is_some()).count();
    let whole = match (custody.threshold, members) {
        (1, 1) => "one custodian holds its secret".to_owned(),
        (1, _) => "each of its custodians holds its whole secret".to_owned(),
        (threshold, _) => format!("{threshold} of {members} shares make its secret"),
    };
    let columns = ["custodian", "place", "share"];
    let table = context.output.table(&columns, &[], &rows);
    let mut text = format!("Epoch {}: {whole}.\n\n{table}\n", custody.epoch);
    for one in &custody.custodians {
        if let Some(assurance) = &one.assurance {
            text.push_str(&wrapped("", &format!("{}: {assurance}", one.name)));
        }
    }
    for one in &custody.to_destroy {
        text.push_str(&format!(
            "\nTo be destroyed since {} UTC: the share of epoch {} at `{}`{}.\n",
            when(&one.since),
            one.epoch,
            one.custodian,
            if one.returned { ", which had destroyed it and holds it again" } else { "" }
        ));
    }
    if !custody.provisional_erasures.is_empty() {
        let numbers: Vec<String> =
            custody.provisional_erasures.iter().map(u64::to_string).collect();
        text.push_str(&format!("\nProvisional because of that: erasure {}.\n", numbers.join(", ")));
    }
    text
}
