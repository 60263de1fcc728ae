//! Export: one person's rows out of a backup, as one file that only its receivers can open.
//!
//! Nobody else's segment is opened, and of the packs only her segments are read. The file has its
//! name once all of it is durable.

mod archive;
mod contents;
mod csv;
mod person;
mod report;
mod words;

use std::path::PathBuf;

pub use self::contents::{ExportedColumn, ExportedLargeObject, ExportedTable};
pub use self::report::ExportReport;

use self::archive::Archive;
pub use self::archive::Format;
use self::person::{Person, Share};
use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::{BackupId, SubjectReference};
use crate::container::segment::Relation;
use crate::crypto::SecretText;
use crate::keys::master::{Credentials, Protection};
use crate::policy::subject_map;
use crate::vault::OpsError;
use crate::vault::access::{Access, access};
use crate::vault::handle::Vault;
use crate::vault::reader::BackupReader;
use crate::vault::reader::select::{self, Choice};
use crate::vault::subject_keys::ensure_known;
use crate::vault::subject_keys::{Standing, SubjectKeys};
use crate::vault::{sources, subject_maps};

/// The audit log names so many receivers.
const RECIPIENTS_NAMED_MAX: usize = 4;

/// Whose rows to hand out, from where, and to whom.
pub struct ExportRequest {
    /// The source's name.
    pub source: String,
    /// The subject class, needed where the source has several.
    pub class: Option<String>,
    /// Her key, as the officer has it.
    pub subject: SecretText,
    /// Which backup of the source; the newest is the newest that has rows.
    pub backup: Choice,
    /// The age public keys of the receivers, at least one.
    pub recipients: Vec<String>,
    /// The file to write; must not exist.
    pub output: PathBuf,
    /// The kind of archive.
    pub format: Format,
    /// The number of the case, which the folder is named by.
    pub case: Option<String>,
}

/// Hands out one person's rows.
pub async fn export(
    vault: &Vault,
    credentials: &Credentials,
    request: &ExportRequest,
) -> Result<ExportReport, OpsError> {
    let recipients = match Protection::recipients(&request.recipients)? {
        Protection::Recipients(recipients) if !recipients.is_empty() => recipients,
        _ => return Err(OpsError::Bug("an export without receivers")),
    };
    let source = sources::find(vault, &request.source)?;
    let row = select::backup_with_rows(vault, &source, &request.backup)?;
    let detail = format!("backup={} recipients={}", row.backup_id, recipients.len());
    access(vault, Action::Export, &source.name).detail(&detail).run(async |access| {
        let begun_at = vault.clock().now();
        if let Some(case) = &request.case {
            access.add_detail(&format!("case={case}"));
        }
        for recipient in recipients.iter().take(RECIPIENTS_NAMED_MAX) {
            access.add_detail(&format!("to={recipient}"));
        }
        let unlocked = access.unlock(credentials).await?;
        access.check_store().await?;
        let class = subject_maps::find_class(vault, &source, request.class.as_deref())?;
        let key = subject_map::canonical_key(&class, request.subject.expose())?;
        let reference =
            unlocked.references.reference(source.source_id, &class.name, key.as_bytes());
        access.name_object(&reference.to_string())?;
        ensure_known(vault, &unlocked, &source, &class, reference).map_err(forgotten)?;
        let keys = SubjectKeys::of_backup(vault, &unlocked, &row)?;
        let standing = keys.standing(&[reference])?.pop();
        let not_in =
            |reason: String| OpsError::NotInBackup { backup: row.backup_id.clone(), reason };
        let subject_key = match standing {
            Some(Standing::Key(key)) => key,
            Some(Standing::KeyDamaged(error)) => return Err(error),
            _ => {
                return Err(not_in(format!(
                    "opens nothing of the subject (reference {reference}): she was erased after it"
                )));
            }
        };
        let identity = unlocked.backup_identity(&row)?;
        let reader = BackupReader::open(vault, &row, identity).await?;
        let person = Person { reader: &reader, reference, key: subject_key };
        let shares = person.shares().await?;
        if shares.is_empty() {
            return Err(not_in(format!("holds no rows of the subject (reference {reference})")));
        }
        let mut report = ExportReport {
            backup: row.backup_id.clone(),
            source: source.name.clone(),
            class: class.name.clone(),
            subject_reference: reference,
            snapshot_at: timestamp(row.snapshot_at),
            output: request.output.display().to_string(),
            folder: folder(request.case.as_deref(), reference, &row.backup_id),
            case: request.case.clone(),
            recipients: recipients.len() as u64,
            tables: Vec::new(),
            large_objects: Vec::new(),
            rows: 0,
            bytes: 0,
            seconds: 0.0,
        };
        let (path, folder) = (&request.output, &report.folder);
        let mut archive = Archive::begin(path, request.format, &recipients, folder, begun_at)?;
        archive.file("README.txt", words::readme(&report, begun_at).as_bytes())?;
        write(&mut archive, &person, &shares, &mut report).await?;
        let index = words::index(&report, &key, begun_at)?;
        archive.file("export.json", &index)?;
        facts(access, &report);
        report.bytes = archive.finish()?;
        report.seconds = (vault.clock().now() - begun_at).as_seconds_f64();
        Ok(report)
    })
    .await
}

/// The folder in the archive: no two exports of other people, or from other backups, share one.
fn folder(case: Option<&str>, reference: SubjectReference, backup: &BackupId) -> String {
    let case = case.unwrap_or("export").replace('/', "-");
    format!("{case}-{reference}-{backup}")
}

/// What an erasure says of someone who is gone, as an export says it.
fn forgotten(error: OpsError) -> OpsError {
    match error {
        OpsError::AlreadyErased { reference, erased_at } => {
            OpsError::Forgotten { reference, erased_at }
        }
        other => other,
    }
}

async fn write(
    archive: &mut Archive,
    person: &Person<'_>,
    shares: &[Share],
    report: &mut ExportReport,
) -> Result<(), OpsError> {
    for share in shares {
        let Some(summary) = person.reader.manifest().relations.get(share.number as usize) else {
            return Err(OpsError::Bug("a relation was found that does not exist"));
        };
        match &summary.relation {
            Relation::Table(name) => {
                let place = report.tables.len() + 1;
                let table = contents::table(archive, person, share, summary, name, place).await?;
                report.rows += table.rows;
                report.tables.push(table);
            }
            Relation::LargeObjects => {
                report.large_objects = contents::large_objects(archive, person, share).await?;
            }
        }
    }
    Ok(())
}

fn facts(access: &Access<'_>, report: &ExportReport) {
    access.add_detail(&format!(
        "tables={} rows={} large_objects={}",
        report.tables.len(),
        report.rows,
        report.large_objects.len()
    ));
}
