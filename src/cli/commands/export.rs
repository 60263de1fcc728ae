//! `strongroom export`: hands out one person's rows, encrypted for whoever is to have them.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, count, counted, shown, when};
use crate::cli::values::{case_number, of_source, source_name};
use crate::crypto::SecretText;
use crate::ops::export::{ExportReport, ExportRequest, Format, export};
use crate::vault::reader::select::Choice;

/// What `export` takes.
#[derive(clap::Args)]
#[command(override_usage = "\
strongroom export --source NAME --subject KEY --recipient AGE1…
           --output FILE [OPTIONS] [BACKUP]")]
#[command(after_help = "\
Example:
  strongroom export --source finance --subject 48211 \\
    --recipient \"$(cat officer.pub)\" --case 2026-118 --output 2026-118.age
  age --decrypt --identity officer.key 2026-118.age | tar -x

The file is a tar archive (with --zip, a zip archive) inside an age file. In it is one folder, named \
by the case, the person's reference and the backup: a page that explains it, an index in JSON, one CSV \
file a table, and her large objects. Only the recipients can open it. Of the backup, nothing but her \
rows is opened.")]
pub struct Args {
    /// The source's name
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: String,

    /// The person's primary key (the parts of a composite one joined by commas)
    #[arg(long, value_name = "KEY")]
    pub subject: String,

    /// The subject class, where the map has several [default: the only one]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,

    /// Encrypt the file to this age or SSH public key; repeatable
    #[arg(long = "recipient", id = "recipient", value_name = "AGE1…", required = true)]
    pub recipients: Vec<String>,

    /// The file to write, which must not exist
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// The number of the case: the folder in the archive begins with it, and the audit log has it
    #[arg(long, value_name = "NUMBER", value_parser = case_number)]
    pub case: Option<String>,

    /// Make a zip archive, for a receiver without tar
    #[arg(long)]
    pub zip: bool,

    /// A backup's id, the beginning of one, a day, or `latest`: the newest of the source
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub backup: Choice,
}

/// Hands out one person's rows.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let output = free(&args.output)?;
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let request = ExportRequest {
        source: args.source.clone(),
        class: args.class.clone(),
        subject: SecretText::new(args.subject.clone()),
        backup: of_source(&args.backup, Some(&args.source))?,
        recipients: args.recipients.clone(),
        output,
        format: if args.zip { Format::Zip } else { Format::Tar },
        case: args.case.clone(),
    };
    let report = export(&vault, &credentials, &request).await?;
    Report::new(&report, text(&report, request.format))
}

/// The file's absolute path, when nothing has it yet.
fn free(file: &Path) -> Result<PathBuf, CliError> {
    if file.symlink_metadata().is_ok() {
        let message =
            format!("{} already exists; an export is never written over a file", file.display());
        return Err(CliError::new(Exit::Refused, message).hint("name another file"));
    }
    std::path::absolute(file).map_err(|error| CliError::from_error(Exit::Usage, &error))
}

fn text(report: &ExportReport, format: Format) -> String {
    let mut text = format!(
        "Person {}
of source {}, class {}, as of {} UTC, is in {}.

  backup      {}
  rows        {} in {}
  files       {}
  size        {}
  time        {:.1} s

",
        report.subject_reference,
        report.source,
        report.class,
        when(&report.snapshot_at),
        report.output,
        report.backup,
        count(report.rows),
        counted(report.tables.len() as u64, "table", "tables"),
        counted(report.large_objects.len() as u64, "large object", "large objects"),
        bytes(report.bytes),
        report.seconds,
    );
    for table in &report.tables {
        text.push_str(&format!("    {:>9}  {}\n", count(table.rows), shown(&table.table)));
    }
    let open = match format {
        Format::Tar => "age --decrypt --identity KEY EXPORT | tar -x",
        Format::Zip => "age --decrypt --identity KEY --output EXPORT.zip EXPORT",
    };
    text.push_str(&format!(
        "
Only its recipients can open it: {open}
It unpacks into a folder of its own:
  {}
An erasure does not reach what was handed out.
",
        report.folder
    ));
    text
}
