//! `strongroom restore`: restores a backup into a database.

use crate::base::schema::QualifiedName;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, count, counted, shown};
use crate::cli::part_args::PartArgs;
use crate::cli::values::{BackupArgs, ColumnName, ConnectionUrl, OnGoneChoice, jobs};
use crate::ops::restore::{Failure, RestoreReport, RestoreRequest, plan, restore};
use crate::policy::subject_map::OnGone;
use crate::postgres::ConnectionSettings;
use crate::vault::OpsError;

/// What `restore` takes.
// Each is a flag of its own on the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom restore latest --to postgresql://localhost/copy --create
  strongroom restore finance@2026-11-22 --to env:TARGET_URL --create
  strongroom restore 20261122T02 --to env:TARGET_URL --table public.accounts

People who were erased do not come back: their rows are skipped and counted. References to them \
follow the subject map, or --on-gone. A URL with a password goes into an environment variable.")]
pub struct Args {
    /// Which backup.
    #[command(flatten)]
    pub backup: BackupArgs,

    /// The database to restore into: its URL, or the environment variable that holds it
    #[arg(long, value_name = "URL|env:VAR")]
    pub to: ConnectionUrl,

    /// Create the database first
    #[arg(long)]
    pub create: bool,

    /// Only this table; repeatable
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<QualifiedName>,

    /// Which part of the database.
    #[command(flatten)]
    pub part: PartArgs,

    /// Leave out who owns what; all belongs to the role that connects
    #[arg(long)]
    pub no_owner: bool,

    /// Leave out GRANT and REVOKE
    #[arg(long)]
    pub no_privileges: bool,

    /// Connections that write at the same time [default: as configured]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<u16>,

    /// What to do with references to people who are gone, instead of what the map says; repeatable
    #[arg(long = "on-gone", value_name = "TABLE.COLUMN=null|drop|placeholder")]
    pub on_gone: Vec<OnGoneChoice>,

    /// Restore even if the database has tables already
    #[arg(long, conflicts_with = "create")]
    pub into_non_empty: bool,

    /// Restore what is left of a damaged backup
    #[arg(long)]
    pub salvage: bool,

    /// Put everything into the database's own tablespace
    #[arg(long)]
    pub no_tablespaces: bool,

    /// Only see whether it could begin, and tell what it would do
    #[arg(long)]
    pub dry_run: bool,

    /// Open a copy that a restore left closed because a policy or a right was missing; restores nothing
    #[arg(long, conflicts_with_all = ["create", "tables", "into_non_empty", "salvage", "dry_run"])]
    pub open: bool,
}

/// Restores a backup into a database.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let target = args.to.resolve("--to", &context.output)?;
    let target = ConnectionSettings::parse(&target).map_err(OpsError::from)?;
    if let Some(warning) = target.warning() {
        context.output.warning(warning);
    }
    let credentials = context.credentials(&config)?;
    let on_gone = args
        .on_gone
        .iter()
        .map(|choice| {
            let ColumnName { table, column } = &choice.column;
            ((table.clone(), column.clone()), choice.action)
        })
        .collect();
    let request = RestoreRequest {
        backup: args.backup.choice()?,
        target,
        create: args.create,
        tables: args.tables.clone(),
        contents: args.part.contents(),
        no_owner: args.no_owner,
        no_privileges: args.no_privileges,
        jobs: args.jobs.map_or(config.backup.jobs.into(), usize::from),
        on_gone,
        into_non_empty: args.into_non_empty,
        salvage: args.salvage,
        no_tablespaces: args.no_tablespaces,
        open: args.open,
    };
    if args.dry_run {
        let plan = plan(&vault, &credentials, &request).await?;
        let text = format!(
            "Backup {} of source {} can be restored into {}:\n{}, {}; those of erased people are \
             left out.\nThis was a dry run: nothing was made or changed, and nothing but the backup's \
             index was read.\n",
            plan.backup,
            plan.source,
            plan.target,
            counted(plan.tables, "table", "tables"),
            counted(plan.rows, "row", "rows"),
        );
        return Report::new(&plan, text);
    }
    let progress = context.progress();
    let outcome = restore(&vault, &credentials, &request, &progress).await;
    progress.finish();
    let report = outcome?;
    for notice in &report.notices {
        context.output.note(&format!("note: {notice}"));
    }
    if args.open {
        let state = if report.closed { "stays closed" } else { "is open" };
        let text = format!("The database {} {state}.\n", report.target);
        tell_failures(context, &report);
        let exit = if report.failures.is_empty() { Exit::Done } else { Exit::Incomplete };
        return Ok(Report::new(&report, text)?.with_exit(exit));
    }
    let mut text = format!(
        "Backup {} of source {} is restored into {}.

  tables      {}
  rows        {}
  left out    {} of erased people
  time        {:.1} s
",
        report.backup,
        report.source,
        report.target,
        count(report.tables),
        count(report.rows),
        counted(report.rows_forgotten + report.rows_of_erased, "row", "rows"),
        report.seconds,
    );
    for mended in &report.mended {
        let rows = counted(mended.rows, "row", "rows");
        let done = match mended.done {
            OnGone::SetNull => format!("{rows} set to NULL, for the person is erased"),
            OnGone::DropRow => format!("{rows} left out, for the person is erased"),
            OnGone::Placeholder => format!("{rows} led to the placeholder"),
        };
        let (table, constraint) = (shown(&mended.table.to_string()), shown(&mended.constraint));
        text.push_str(&format!("\n  {table} ({constraint}):\n    {done}\n"));
    }
    if report.rows_damaged > 0 {
        context.output.warning(&format!(
            "{} damaged in the store and not restored",
            counted(report.rows_damaged, "row is", "rows are")
        ));
    }
    tell_failures(context, &report);
    let exit = match (report.rows_damaged, report.failures.is_empty()) {
        (0, true) => Exit::Done,
        (0, false) => Exit::Incomplete,
        _ => Exit::Integrity,
    };
    Ok(Report::new(&report, text)?.with_exit(exit))
}

/// What could not be restored, each with what to do about it.
fn tell_failures(context: &Context, report: &RestoreReport) {
    for failure in &report.failures {
        let Failure { statement, reason, cure, .. } = failure;
        context.output.warning(&format!("not restored: {statement}: {reason}; {cure}"));
    }
    if report.closed {
        context.output.warning(
            "the database is closed to everybody but its owner and superusers, for a policy or a right is \
             missing; once that is there, `restore BACKUP --to URL --open` opens it",
        );
    } else if report.failures.iter().any(|failure| failure.protects) {
        context.output.warning(
            "tables whose policies or rights are missing have no grants; their owners and superusers read them",
        );
    }
}
