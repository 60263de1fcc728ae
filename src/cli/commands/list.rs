//! `strongroom list`: lists the backups.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, bytes, count, when};
use crate::cli::values::source_name;
use crate::ops::inspect::{self, BackupSummary};

/// What `list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom list
  strongroom list --source finance --json
  strongroom list --columns backup,taken,rows

On a narrow terminal the columns give way in this order: note, stored, class, rows; what is left out is \
said. In a pipe all of them are printed, a line a backup. With --quiet, the ids alone.")]
pub struct Args {
    /// Only the backups of this source
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,

    /// All columns, however wide
    #[arg(long, conflicts_with = "columns")]
    pub wide: bool,

    /// These columns, in this order: backup, source, class, contents, taken, rows, people, stored,
    /// referenced, note
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', hide_possible_values = true)]
    pub columns: Vec<Column>,
}

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Column {
    /// The backup's id
    Backup,
    /// Its source
    Source,
    /// Why it was made
    Class,
    /// Whether schema, rows or both are in it
    Contents,
    /// The moment that it shows
    Taken,
    /// Its rows
    Rows,
    /// The people whose rows they are
    People,
    /// Bytes that it added to the store
    Stored,
    /// Bytes of earlier backups that it refers to
    Referenced,
    /// The operator's note
    Note,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Backup,
        Self::Source,
        Self::Class,
        Self::Contents,
        Self::Taken,
        Self::Rows,
        Self::People,
        Self::Stored,
        Self::Referenced,
        Self::Note,
    ];
    const USUAL: [Self; 6] =
        [Self::Backup, Self::Source, Self::Class, Self::Rows, Self::Stored, Self::Note];
    /// What is left out where there is no room, the first first.
    const GIVES_WAY: [Self; 4] = [Self::Note, Self::Stored, Self::Class, Self::Rows];

    fn header(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Source => "source",
            Self::Class => "class",
            Self::Contents => "contents",
            Self::Taken => "taken (utc)",
            Self::Rows => "rows",
            Self::People => "people",
            Self::Stored => "stored",
            Self::Referenced => "referenced",
            Self::Note => "note",
        }
    }

    fn of(self, one: &BackupSummary) -> String {
        match self {
            Self::Backup => one.backup.to_string(),
            Self::Source => one.source.clone(),
            Self::Class => one.class.to_owned(),
            Self::Contents => one.contents.to_owned(),
            Self::Taken => when(&one.snapshot_at),
            Self::Rows => count(one.rows),
            Self::People => count(one.subjects),
            Self::Stored => bytes(one.stored_bytes),
            Self::Referenced => bytes(one.referenced_bytes),
            Self::Note => one.note.clone().unwrap_or_default(),
        }
    }

    /// The width that it takes without wrapping.
    fn width(self, backups: &[BackupSummary]) -> usize {
        let cells = backups.iter().map(|one| self.of(one).chars().count());
        cells.chain([self.header().len()]).max().unwrap_or(0)
    }
}

/// The columns that fit, and those that were left out.
fn fitting(width: Option<usize>, backups: &[BackupSummary]) -> (Vec<Column>, Vec<Column>) {
    let mut shown = Column::USUAL.to_vec();
    let mut left_out = Vec::new();
    let needed = |shown: &[Column]| {
        shown.iter().map(|column| column.width(backups) + 2).sum::<usize>().saturating_sub(2)
    };
    for column in Column::GIVES_WAY {
        if width.is_none_or(|width| needed(&shown) <= width) {
            break;
        }
        shown.retain(|one| *one != column);
        left_out.push(column);
    }
    (shown, left_out)
}

/// Lists the backups.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let backups = inspect::list(&vault, args.source.as_deref())?;
    let columns = if args.wide {
        Column::ALL.to_vec()
    } else if args.columns.is_empty() {
        let (shown, left_out) = fitting(context.output.terminal_columns(), &backups);
        if !left_out.is_empty() && !backups.is_empty() {
            let names: Vec<_> = left_out.iter().map(|column| column.header()).collect();
            context.output.note(&format!("no room for {} (--wide shows all)", names.join(", ")));
        }
        shown
    } else {
        args.columns.clone()
    };
    let text = if backups.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else if context.global.quiet {
        backups.iter().flat_map(|one| [one.backup.as_str(), "\n"]).collect()
    } else {
        let headers: Vec<_> = columns.iter().map(|column| column.header()).collect();
        let cells = |one| columns.iter().map(|column| column.of(one)).collect();
        let rows: Vec<_> = backups.iter().map(cells).collect();
        let output = if args.wide { context.output.unbounded() } else { context.output.clone() };
        output.table(&headers, &["rows", "people", "stored", "referenced"], &rows)
    };
    let report = Report::new(&json!({ "backups": backups }), text)?.as_product();
    std::future::ready(Ok(report)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backups() -> Vec<BackupSummary> {
        let backup = BackupSummary {
            backup: "20261122T020000Z-3fa9c1".parse().unwrap(),
            source: "finance".to_owned(),
            class: "pre-migration",
            contents: "full",
            note: Some("n".repeat(60)),
            snapshot_at: "2026-11-22T02:00:00.000000Z".to_owned(),
            rows: 1_234_567,
            subjects: 7,
            stored_bytes: 99,
            referenced_bytes: 0,
        };
        vec![backup]
    }

    #[test]
    fn columns_give_way_in_the_order_that_is_said() {
        assert_eq!(fitting(None, &backups()), (Column::USUAL.to_vec(), vec![]));
        assert_eq!(fitting(Some(200), &backups()).1, []);
        assert_eq!(fitting(Some(80), &backups()).1, [Column::Note]);
        assert_eq!(fitting(Some(60), &backups()).1, [Column::Note, Column::Stored]);
        let (shown, _) = fitting(Some(10), &backups());
        assert_eq!(shown, [Column::Backup, Column::Source]);
    }
}
