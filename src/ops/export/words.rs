//! What an export says of itself: a page for people, and an index for machines.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::report::ExportReport;
use crate::base::clock::timestamp;
use crate::vault::OpsError;

/// `README.txt`.
pub fn readme(report: &ExportReport, at: DateTime<Utc>) -> String {
    let day = |moment: &str| moment.get(..16).unwrap_or(moment).replace('T', " ");
    format!(
        "What is stored about one person
===============================

These are all rows of one person in one encrypted backup of a database, as the
database held them at the moment of the backup. Nobody else's rows are here.

  database     {source} (the name of the source)
  person       of the class {class}; export.json says which one
  as of        {snapshot} UTC, when the backup was made
  backup       {backup}
{case}  written      {written} UTC, by strongroom {version}

tables/          one file a table in which the person has rows. They are CSV
                 files in UTF-8: spreadsheets open them. The first line names
                 the columns. An empty field is NULL (no value); \"\" is an
                 empty text. Times are in UTC.
large-objects/   files that the database kept apart from its tables, each
                 named by the number that the rows know it by.
export.json      the same in short, for programs: tables, columns and their
                 types, how many rows.

Columns that the database computes from others are left out. Rows that belong
to nobody in particular, and rows of others that mention the person, are not
part of it. What was written after the backup is not here either.

This archive was encrypted for you. Whoever unpacked it has a readable copy.
",
        case = report
            .case
            .as_ref()
            .map_or_else(String::new, |case| format!("  case         {case}\n")),
        source = report.source,
        class = report.class,
        snapshot = day(&report.snapshot_at),
        backup = report.backup,
        written = day(&timestamp(at)),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// `export.json`.
pub fn index(report: &ExportReport, key: &str, at: DateTime<Utc>) -> Result<Vec<u8>, OpsError> {
    let document = json!({
        "what": "strongroom export",
        "version": 1,
        "written_by": concat!("strongroom ", env!("CARGO_PKG_VERSION")),
        "written_at": timestamp(at),
        "case": report.case,
        "source": report.source,
        "class": report.class,
        "subject": key,
        "subject_reference": report.subject_reference,
        "backup": report.backup,
        "snapshot_at": report.snapshot_at,
        "rows": report.rows,
        "tables": report.tables,
        "large_objects": report.large_objects,
    });
    let mut text = serde_json::to_vec_pretty(&document)
        .map_err(|_| OpsError::Bug("an export's index is not JSON"))?;
    text.push(b'\n');
    Ok(text)
}
