//! Restore: a backup into a database, everyone but the forgotten.
//!
//! Order: everything authenticated; the schema's first part; rows; references to forgotten people
//! mended as the subject map says; sequences; the schema's second part (indexes, constraints,
//! triggers), which the server checks against every row; materialised views.

mod closed;
mod failures;
pub mod large_objects;
pub mod references;
mod request;
mod rows;
mod target;

use std::sync::Arc;

use serde::Serialize;

pub use self::failures::Failure;
pub use self::request::RestoreRequest;
use self::rows::RestoredRelation;
use crate::audit::Action;
use crate::base::ids::BackupId;
use crate::base::progress::ProgressSink;
use crate::catalog::backups::BackupRow;
use crate::container::manifest::{Contents, Manifest, RelationSummary};
use crate::container::segment::Relation;
use crate::keys::master::Credentials;
use crate::policy::subject_map::SubjectMap;
use crate::postgres::tools::{
    DatabaseStatement, DatabaseStatementKind, RestoreOptions, Section, Tools, database_statements,
    restore_section,
};
use crate::postgres::{self, Session};
use crate::vault::OpsError;
use crate::vault::access::{DRY_RUN, access};
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::BackupReader;
use crate::vault::reader::authenticate::{Verified, authenticate, authenticate_for_salvage};
use crate::vault::reader::select;
use crate::vault::subject_keys::SubjectKeys;

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    /// The backup.
    pub backup: BackupId,
    /// The source that it is of.
    pub source: String,
    /// The target, without its password.
    pub target: String,
    /// Tables whose rows were restored.
    pub tables: u64,
    /// Rows restored, before references were mended.
    pub rows: u64,
    /// Rows of forgotten people in this backup, which nobody can open.
    pub rows_forgotten: u64,
    /// Rows that were not in the backup because their subject had been erased before it.
    pub rows_of_erased: u64,
    /// Rows lost to damage (only with `--salvage`).
    pub rows_damaged: u64,
    /// References to people who are gone, and what became of them.
    pub mended: Vec<references::Mended>,
    /// What could not be restored, and what to do about it.
    pub failures: Vec<Failure>,
    /// Whether the database lets nobody else in, for something that protects rows is missing.
    pub closed: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What the operator should know.
    pub notices: Vec<String>,
}

/// What a restore would do.
#[derive(Debug, Clone, Serialize)]
pub struct RestorePlan {
    /// The backup.
    pub backup: BackupId,
    /// The source that it is of.
    pub source: String,
    /// The target, without its password.
    pub target: String,
    /// Tables whose rows would be restored.
    pub tables: u64,
    /// Rows of theirs in the backup; those of forgotten people would be left out.
    pub rows: u64,
}

/// Sees whether a restore could begin, and what it would do. Nothing is made or changed.
pub async fn plan(
    vault: &Vault,
    credentials: &Credentials,
    request: &RestoreRequest,
) -> Result<RestorePlan, OpsError> {
    let row = select::backup(vault, &request.backup)?;
    let detail = format!("{DRY_RUN} to={}", audit_name(&request.target.redacted()));
    access(vault, Action::Restore, row.backup_id.as_str())
        .detail(&detail)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let identity = unlocked.backup_identity(&row)?;
            let reader = BackupReader::open(vault, &row, identity).await?;
            let manifest = reader.manifest();
            check_request(request, manifest)?;
            target::look(request, manifest).await?;
            let with_rows = request.contents != Contents::SchemaOnly;
            let chosen = manifest
                .relations
                .iter()
                .filter(|one| with_rows && target::is_chosen(request, &one.relation));
            let is_table = |one: &&RelationSummary| matches!(one.relation, Relation::Table(_));
            Ok(RestorePlan {
                backup: row.backup_id.clone(),
                source: select::source_of(vault, &row)?,
                target: request.target.redacted(),
                tables: chosen.clone().filter(is_table).count() as u64,
                rows: chosen.map(|one| one.rows).sum(),
            })
        })
        .await
}

/// Restores a backup.
pub async fn restore(
    vault: &Vault,
    credentials: &Credentials,
    request: &RestoreRequest,
    progress: &Arc<dyn ProgressSink>,
) -> Result<RestoreReport, OpsError> {
    let row = select::backup(vault, &request.backup)?;
    let to = format!("to={}", audit_name(&request.target.redacted()));
    access(vault, Action::Restore, row.backup_id.as_str())
        .detail(&to)
        .run(async |access| {
            let begun_at = vault.clock().now();
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let identity = unlocked.backup_identity(&row)?;
            let reader = Arc::new(BackupReader::open(vault, &row, identity).await?);
            check_request(request, reader.manifest())?;

            progress.phase("authenticating the backup");
            progress.total(0, row.bytes_stored + row.bytes_referenced);
            let (verified, problems) = if request.salvage {
                authenticate_for_salvage(&reader, progress).await?
            } else {
                (authenticate(&reader, progress).await?, Vec::new())
            };
            let work = Work { vault, unlocked, row: &row, reader: &reader, request, progress };
            let mut report = work.run(&verified).await?;
            report.notices.splice(0..0, problems);
            report.seconds = (vault.clock().now() - begun_at).as_seconds_f64();
            Ok(report)
        })
        .await
}

/// The target as the audit log takes it: host, port and database; what the log has no letters for
/// is a `*`.
fn audit_name(target: &str) -> String {
    const CHARACTERS_MAX: usize = 90;
    let place = target.rsplit_once('@').map_or(target, |(_, place)| place);
    let accepted = |c: char| c.is_ascii_alphanumeric() || "._:/=,+-".contains(c);
    let letters = place.chars().take(CHARACTERS_MAX);
    letters.map(|letter| if accepted(letter) { letter } else { '*' }).collect()
}

/// Refuses what the backup cannot give.
fn check_request(request: &RestoreRequest, manifest: &Manifest) -> Result<(), OpsError> {
    let lacks =
        |reason: String| Err(OpsError::NotInBackup { backup: manifest.backup.clone(), reason });
    if manifest.contents == Contents::SchemaOnly && request.contents == Contents::DataOnly {
        return lacks("holds the schema only, no rows".to_owned());
    }
    if manifest.contents == Contents::DataOnly && request.contents != Contents::DataOnly {
        return lacks(
            "holds rows only, no schema; restore it with --data-only into a database that has the \
             tables"
                .to_owned(),
        );
    }
    for table in &request.tables {
        if manifest.schema.table(table).is_none() {
            return lacks(format!("has no table {table}"));
        }
    }
    Ok(())
}

struct Work<'a> {
    vault: &'a Vault,
    unlocked: Arc<Unlocked>,
    row: &'a BackupRow,
    reader: &'a Arc<BackupReader>,
    request: &'a RestoreRequest,
    progress: &'a Arc<dyn ProgressSink>,
}

impl Work<'_> {
    async fn run(&self, verified: &Verified<'_>) -> Result<RestoreReport, OpsError> {
        let manifest = verified.reader().manifest();
        let request = self.request;
        if request.open {
            return self.open(manifest).await;
        }
        self.progress.phase("preparing the target database");
        let session = target::prepare(request, manifest).await?;
        let filled = self.fill(&session, manifest).await;
        filled.map_err(|source| OpsError::Incomplete {
            database: request.target.database().to_owned(),
            source: Box::new(source),
        })
    }

    /// Everything after the target is ready: from here on a failure leaves it in part.
    async fn fill(
        &self,
        session: &Session,
        manifest: &Manifest,
    ) -> Result<RestoreReport, OpsError> {
        let request = self.request;
        let tools_major = session.server_major().max(manifest.schema.server_version_num / 10_000);
        let with_schema = request.contents != Contents::DataOnly;
        let with_rows =
            request.contents != Contents::SchemaOnly && manifest.contents != Contents::SchemaOnly;
        let archive = if with_schema { Some(self.archive(tools_major).await?) } else { None };
        let mut failures = Vec::new();
        let statements = match &archive {
            Some(archive) if request.create => self.about_database(archive, manifest).await?,
            _ => Vec::new(),
        };
        if request.create {
            closed::close(session, request.target.database()).await?;
            let kinds = [DatabaseStatementKind::Setting];
            failures.extend(closed::apply(session, &statements, &kinds).await);
        }
        if let Some(archive) = &archive {
            failures.extend(self.section(archive, Section::PreData).await?);
        }
        // A connection of now has the settings that were made.
        let session = &Session::connect_to_write(&request.target).await?;
        if request.contents == Contents::DataOnly {
            postgres::schema::target::disable_triggers_for_session(session).await?;
        }
        let mut restored = Vec::new();
        let mut mended = Vec::new();
        if with_rows {
            let (rows, refused) = self.rows(manifest).await?;
            restored = rows;
            failures.extend(refused.iter().map(|one| Failure::of_rows(&one.table, &one.error)));
            let forgotten = |one: &RestoredRelation| one.forgotten + one.damaged;
            let gone: u64 = restored.iter().map(forgotten).sum::<u64>() + manifest.rows_of_erased();
            if gone > 0 {
                self.progress.phase("mending references to people who are gone");
                let map = SubjectMap::from_toml(&manifest.map.toml)?;
                mended = references::references(session, manifest, &map, request).await?;
            }
            for sequence in &manifest.schema.sequences {
                if let Err(error) = postgres::schema::target::set_sequence(session, sequence).await
                {
                    let statement = format!("setval of sequence {}", sequence.name);
                    failures.push(Failure::of_error(&statement, &error));
                }
            }
        }
        if let Some(archive) = &archive {
            self.progress.phase("building indexes and constraints");
            failures.extend(self.section(archive, Section::PostData).await?);
        }
        if with_rows && with_schema {
            self.progress.phase("refreshing materialised views");
            for view in &manifest.schema.materialized_views {
                let refreshed = postgres::schema::target::refresh_materialized_view(session, view);
                if let Err(error) = refreshed.await {
                    let statement = format!("REFRESH MATERIALIZED VIEW {}", view.quoted());
                    failures.push(Failure::of_error(&statement, &error));
                }
            }
        }
        let closed = self.protect(session, &statements, &mut failures).await?;
        Ok(RestoreReport { failures, closed, ..self.report(manifest, &restored, mended)? })
    }

    /// Opens the database to those whom the source lets in, or leaves it closed where a policy or a right is
    /// missing; whether it is closed.
    async fn protect(
        &self,
        session: &Session,
        statements: &[DatabaseStatement],
        failures: &mut Vec<Failure>,
    ) -> Result<bool, OpsError> {
        let request = self.request;
        let is_unprotected = failures.iter().any(|failure| failure.protects);
        if !request.create {
            if is_unprotected {
                closed::revoke_grants(session, failures).await?;
            }
            return Ok(false);
        }
        let mut closed = is_unprotected;
        if !is_unprotected {
            let failed = closed::open(session, request.target.database(), statements).await?;
            closed = failed.iter().any(|failure| failure.statement.starts_with("REVOKE"));
            failures.extend(failed);
        }
        let kinds = [DatabaseStatementKind::Limit, DatabaseStatementKind::Owner];
        failures.extend(closed::apply(session, statements, &kinds).await);
        Ok(closed)
    }

    /// Opens a copy that was left closed.
    async fn open(&self, manifest: &Manifest) -> Result<RestoreReport, OpsError> {
        let session = Session::connect_to_write(&self.request.target).await?;
        let tools_major = session.server_major().max(manifest.schema.server_version_num / 10_000);
        let archive = self.archive(tools_major).await?;
        let statements = self.about_database(&archive, manifest).await?;
        let failures = closed::open(&session, self.request.target.database(), &statements).await?;
        let closed = failures.iter().any(|failure| failure.statement.starts_with("REVOKE"));
        Ok(RestoreReport { failures, closed, ..self.report(manifest, &[], Vec::new())? })
    }

    /// The statements about the database itself that the request does not leave out.
    async fn about_database(
        &self,
        (tools, archive): &(Tools, Vec<u8>),
        manifest: &Manifest,
    ) -> Result<Vec<DatabaseStatement>, OpsError> {
        let request = self.request;
        let source = &manifest.schema.database.name;
        let mut statements = database_statements(tools, &request.target, archive, source).await?;
        statements.retain(|one| match one.kind {
            DatabaseStatementKind::Owner => !request.no_owner,
            DatabaseStatementKind::Privilege => !request.no_privileges,
            _ => true,
        });
        Ok(statements)
    }

    async fn archive(&self, tools_major: u32) -> Result<(Tools, Vec<u8>), OpsError> {
        let tools = Tools::find(tools_major)?;
        Ok((tools, self.reader.schema_archive().await?))
    }

    async fn section(
        &self,
        (tools, archive): &(Tools, Vec<u8>),
        section: Section,
    ) -> Result<Vec<Failure>, OpsError> {
        let options = RestoreOptions {
            no_owner: self.request.no_owner,
            no_privileges: self.request.no_privileges,
            jobs: match section {
                Section::PreData => 1,
                Section::PostData => self.request.jobs,
            },
            skip: target::left_out(self.request, self.reader.manifest()),
            no_tablespaces: self.request.no_tablespaces,
        };
        let failed = restore_section(tools, &self.request.target, archive, section, &options);
        Ok(failed.await?.into_iter().map(Failure::of_statement).collect())
    }

    async fn rows(
        &self,
        manifest: &Manifest,
    ) -> Result<(Vec<RestoredRelation>, Vec<rows::Refused>), OpsError> {
        let chosen: Vec<u32> = (0..)
            .zip(&manifest.relations)
            .filter(|(_, summary)| target::is_chosen(self.request, &summary.relation))
            .map(|(number, _)| number)
            .collect();
        self.progress.phase("restoring rows");
        let total = |bytes: bool| {
            chosen
                .iter()
                .filter_map(|number| manifest.relations.get(*number as usize))
                .map(|summary| if bytes { summary.raw_bytes } else { summary.rows })
                .sum()
        };
        self.progress.total(total(false), total(true));
        let keys = Arc::new(SubjectKeys::of_backup(self.vault, &self.unlocked, self.row)?);
        rows::restore_all(self.reader, &keys, chosen, self.request, self.progress).await
    }

    fn report(
        &self,
        manifest: &Manifest,
        restored: &[RestoredRelation],
        mended: Vec<references::Mended>,
    ) -> Result<RestoreReport, OpsError> {
        let is_table = |one: &&RestoredRelation| matches!(one.relation, Relation::Table(_));
        Ok(RestoreReport {
            backup: manifest.backup.clone(),
            source: select::source_of(self.vault, self.row)?,
            target: self.request.target.redacted(),
            tables: restored.iter().filter(is_table).count() as u64,
            rows: restored.iter().map(|one| one.rows).sum(),
            rows_forgotten: restored.iter().map(|one| one.forgotten).sum(),
            rows_of_erased: manifest.rows_of_erased(),
            rows_damaged: restored.iter().map(|one| one.damaged).sum(),
            mended,
            failures: Vec::new(),
            closed: false,
            seconds: 0.0,
            notices: target::notices(self.request, manifest),
        })
    }
}
