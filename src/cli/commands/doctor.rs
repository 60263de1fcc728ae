//! `strongroom doctor`: looks at everything that the vault stands on.

use crate::base::memory;
use crate::cli::context::Context;
use crate::cli::error::{CliError, plain};
use crate::cli::exit::Exit;
use crate::cli::output::Report;
use crate::ops::doctor::{self, Finding, Health};
use crate::postgres::tools::Tools;

/// The oldest PostgreSQL whose tools will do.
const POSTGRES_MAJOR_MIN: u32 = 13;

/// What `doctor` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom doctor
  strongroom doctor --json

No key is needed. `verify` looks at the backups themselves, `custody check` at the shares.")]
pub struct Args {}

/// Looks at everything.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, _: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let report = doctor::doctor(&vault, vec![tools(), memory()]).await?;
    let rows: Vec<Vec<String>> = report
        .findings
        .iter()
        .map(|one| vec![one.what.to_owned(), one.health.to_string(), plain(&one.finding)])
        .collect();
    let text = context.output.table(&["what", "state", "finding"], &[], &rows);
    let exit = if report.is_well() { Exit::Done } else { Exit::Vault };
    Ok(Report::new(&report, text)?.with_exit(exit))
}

fn tools() -> Finding {
    let (health, finding) = match Tools::find(POSTGRES_MAJOR_MIN) {
        Ok(tools) => (Health::Well, format!("pg_dump and pg_restore {}", tools.version())),
        Err(error) => (Health::Failed, error.to_string()),
    };
    Finding { what: "PostgreSQL's tools", health, finding }
}

fn memory() -> Finding {
    let status = memory::status();
    let (health, finding) = match (status.whole_process, &status.refused) {
        (true, _) => (Health::Well, "all memory is locked: neither keys nor rows reach the swap space"
            .to_owned()),
        (false, None) => (
            Health::Note,
            "keys are locked in memory; rows in work may reach the swap space: encrypt it, or raise \
             the limit of locked memory (ulimit -l unlimited)"
                .to_owned(),
        ),
        (false, Some(reason)) => (
            Health::Note,
            format!("the system does not lock keys in memory ({reason}): encrypt the swap space"),
        ),
    };
    Finding { what: "memory", health, finding }
}
