//! `strongroom map`: decides which row belongs to whom.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, counted, shown};
use crate::cli::values::source_name;
use crate::ops::subject_maps::{self, MapAction, MapReport};
use crate::policy::subject_map::{Decisions, Undecided};
use crate::vault::OpsError;

/// What says how the map is to be, and so goes with no check of it.
const CHANGING: [&str; 8] =
    ["write", "roots", "owners", "shared", "shared_anyway", "large_objects", "unknown", "identify"];

/// What `map` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom map finance --root public.users
  strongroom map finance --root users --owner notes=author_id --shared rates --write
  strongroom map finance --check

Ownership is inferred from foreign keys; what they leave open is listed with the flag that decides \
it. --write saves the map as a file to review and edit. --check fails once the database has a \
table or column that the map does not know, or lacks one that it names.")]
pub struct Args {
    /// The source's name
    #[arg(value_parser = source_name)]
    pub name: String,

    /// A table whose rows are people, one row a person; repeatable
    #[arg(long = "root", value_name = "SCHEMA.TABLE")]
    pub roots: Vec<String>,

    /// The column that says whose a table's rows are (several, by commas, for a composite key), or a
    /// longer way as `map` prints it; '*.COLUMN' for all tables with that column; repeatable
    #[arg(long = "owner", value_name = "TABLE=COLUMN")]
    pub owners: Vec<String>,

    /// A table whose rows are nobody's own, or a name with *; repeatable
    #[arg(long = "shared", value_name = "TABLE")]
    pub shared: Vec<String>,

    /// A shared table although columns of it look like personal data; repeatable
    #[arg(long = "shared-anyway", value_name = "TABLE")]
    pub shared_anyway: Vec<String>,

    /// A column that names large objects, which belong to its row's owner, or `shared`; repeatable
    #[arg(long = "large-objects", value_name = "TABLE.COLUMN|shared")]
    pub large_objects: Vec<String>,

    /// What a backup does with rows whose owner nobody knows: refuse, commons (nobody's) or drop;
    /// repeatable
    #[arg(long = "unknown", value_name = "[TABLE=]WORD")]
    pub unknown: Vec<String>,

    /// By what a person of a class is told from a namesake; repeatable
    #[arg(long = "identify", value_name = "CLASS=COLUMN,COLUMN")]
    pub identify: Vec<String>,

    /// Do not look at any rows: names and foreign keys must do
    #[arg(long)]
    pub no_probe: bool,

    /// Save the map
    #[arg(long)]
    pub write: bool,

    /// Compare the saved map with the database
    #[arg(long, conflicts_with_all = CHANGING)]
    pub check: bool,
}

/// Infers, saves or checks a subject map.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let decisions = Decisions::parse(
        &args.roots,
        &args.owners,
        &args.shared,
        &args.shared_anyway,
        &args.large_objects,
    )
    .and_then(|decisions| decisions.and(&args.unknown, &args.identify))
    .map_err(OpsError::from)?;
    let credentials = context.credentials(&config)?;
    let action = match (args.write, args.check) {
        (true, _) => MapAction::Write,
        (_, true) => MapAction::Check,
        _ => MapAction::Show,
    };
    let report =
        subject_maps::map(&vault, &credentials, &args.name, &decisions, action, !args.no_probe)
            .await?;
    let document = json!({
        "source": args.name,
        "path": report.path.display().to_string(),
        "written": args.write,
        "tables": report.proposal.map.tables.len(),
        "undecided": report.proposal.undecided,
        "notes": report.proposal.notes,
        "drift": report.drift,
        "map": report.toml,
    });
    for note in &report.proposal.notes {
        context.output.note(&format!("note: {note}"));
    }
    if args.check {
        return checked(&report, &document);
    }
    let open = &report.proposal.undecided;
    let text = if args.write {
        format!(
            "The subject map of {} is written to {}.\nRead it: it says whose every row is.\n\n\
             Next: strongroom backup {}\n",
            args.name,
            report.path.display(),
            args.name
        )
    } else if open.is_empty() {
        format!("{}\n# All is decided. Add --write to save this map.\n", report.toml)
    } else {
        questions(&args.name, report.proposal.map.tables.len(), open)
    };
    let exit = if open.is_empty() { Exit::Done } else { Exit::Refused };
    Ok(Report::new(&document, text)?.with_exit(exit))
}

/// What is still to be decided, each with the flags of which one decides it.
fn questions(source: &str, decided: usize, open: &[Undecided]) -> String {
    let mut text = format!(
        "{} of {source} {} decided; still open:\n",
        counted(decided as u64, "table", "tables"),
        if decided == 1 { "is" } else { "are" }
    );
    for Undecided { table, reason, flags, why } in open {
        let table = table.as_ref().map_or_else(|| "the database".to_owned(), ToString::to_string);
        let (table, reason) = (shown(&table), shown(reason));
        text.push_str(&format!("\n  {table}: {reason}\n"));
        for (flag, why) in flags.iter().zip(why) {
            let why = if why.is_empty() { String::new() } else { format!("  # {why}") };
            text.push_str(&format!("    {}{}\n", shown(flag), shown(&why)));
        }
    }
    for (column, tables) in many_alike(open) {
        text.push_str(&format!("\n  --owner '*.{column}' answers {tables} of these questions.\n"));
    }
    text.push_str(
        "\nRun it again with a flag for each: --owner TABLE=COLUMN where a column holds\n\
         the key of the person whose the row is, --shared TABLE where the rows are\n\
         nobody's. With nothing open, the whole map is shown, and --write saves it.\n",
    );
    text
}

/// Columns by which at least five questions are most likely answered, the most frequent first.
fn many_alike(open: &[Undecided]) -> Vec<(&str, usize)> {
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for question in open {
        let flag = question.flags.first().and_then(|flag| flag.strip_prefix("--owner "));
        let way = flag.and_then(|flag| flag.split_once('=')).map(|(_, way)| way);
        let column = way.map(|way| way.split_once(':').map_or(way, |(column, _)| column));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if let Some(column) = column.filter(|column| column.chars().all(is_plain)) {
            *columns.entry(column).or_default() += 1;
        }
    }
    let mut columns: Vec<_> = columns.into_iter().filter(|(_, tables)| *tables >= 5).collect();
    columns.sort_by_key(|(column, tables)| (std::cmp::Reverse(*tables), *column));
    columns
}

fn checked(report: &MapReport, document: &serde_json::Value) -> Result<Report, CliError> {
    if report.drift.is_empty() {
        let text = format!("The map {} fits the database.\n", report.path.display());
        return Report::new(document, text);
    }
    let mut text = format!("The map {} does not fit the database:\n", report.path.display());
    for drift in &report.drift {
        text.push_str(&format!("  - {}\n", shown(&drift.to_string())));
    }
    Ok(Report::new(document, text)?.with_exit(Exit::Refused))
}
