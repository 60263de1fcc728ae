//! The target database: made or checked before anything is written, and what is left out of it.

use super::request::RestoreRequest;
use crate::base::schema::ForeignKey;
use crate::container::manifest::{Contents, Manifest};
use crate::container::segment::Relation;
use crate::postgres::schema::target::{
    create_database, ensure_empty, ensure_no_database, missing_roles,
};
use crate::postgres::{ConnectionSettings, Session};
use crate::vault::OpsError;

/// The oid of the catalog `pg_constraint`, by which `pg_restore`'s list names constraints.
const PG_CONSTRAINT: u32 = 2606;
/// The database that always exists, to create others from.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Makes the target if asked to, and checks that it can take the backup.
pub async fn prepare(request: &RestoreRequest, manifest: &Manifest) -> Result<Session, OpsError> {
    let target = &request.target;
    if request.create {
        let maintenance: ConnectionSettings = target.with_database(MAINTENANCE_DATABASE);
        create_database(&maintenance, target.database(), &manifest.schema.database).await?;
    }
    let session = Session::connect(target).await?;
    check(&session, request, manifest).await?;
    Ok(session)
}

/// Checks as [`prepare`] does, without making or changing anything.
pub async fn look(request: &RestoreRequest, manifest: &Manifest) -> Result<(), OpsError> {
    let target = &request.target;
    if request.create {
        let maintenance: ConnectionSettings = target.with_database(MAINTENANCE_DATABASE);
        let session = Session::connect(&maintenance).await?;
        return Ok(ensure_no_database(&session, target.database()).await?);
    }
    check(&Session::connect(target).await?, request, manifest).await
}

async fn check(
    session: &Session,
    request: &RestoreRequest,
    manifest: &Manifest,
) -> Result<(), OpsError> {
    let data_only = request.contents == Contents::DataOnly;
    if !request.into_non_empty && !data_only {
        ensure_empty(session).await?;
    }
    let (source_major, target_major) =
        (manifest.schema.server_version_num / 10_000, session.server_major());
    if target_major < source_major {
        return Err(OpsError::TargetOlder { source_major, target_major });
    }
    let needs_roles = !(request.no_owner && request.no_privileges);
    if needs_roles && !data_only {
        let roles = missing_roles(session, &manifest.schema.roles).await?;
        if !roles.is_empty() {
            return Err(OpsError::MissingRoles { roles });
        }
    }
    Ok(())
}

/// Whether a relation's rows are to be restored.
pub fn is_chosen(request: &RestoreRequest, relation: &Relation) -> bool {
    match relation {
        _ if request.tables.is_empty() => true,
        Relation::Table(name) => request.tables.contains(name),
        Relation::LargeObjects => false,
    }
}

/// Foreign keys that cannot hold because the rows that they refer to are not restored.
fn foreign_keys_left_out<'a>(
    request: &RestoreRequest,
    manifest: &'a Manifest,
) -> impl Iterator<Item = &'a ForeignKey> {
    let chosen: Vec<_> = request
        .tables
        .iter()
        .filter_map(|name| manifest.schema.table(name))
        .map(|table| &table.name)
        .collect();
    manifest.schema.foreign_keys.iter().filter(move |key| {
        let is_chosen =
            |name| manifest.schema.table(name).is_some_and(|table| chosen.contains(&&table.name));
        !chosen.is_empty() && is_chosen(&key.table) && !is_chosen(&key.referenced_table)
    })
}

/// Entries of the archive that are left out, as `pg_restore`'s list names them.
pub fn left_out(request: &RestoreRequest, manifest: &Manifest) -> Vec<(u32, u32)> {
    foreign_keys_left_out(request, manifest).map(|key| (PG_CONSTRAINT, key.oid)).collect()
}

/// What the operator should know of a restore.
pub fn notices(request: &RestoreRequest, manifest: &Manifest) -> Vec<String> {
    let mut notices = Vec::new();
    if request.contents != Contents::DataOnly {
        let left_out: Vec<_> = foreign_keys_left_out(request, manifest)
            .map(|key| format!("{} on {}", key.name, key.table))
            .collect();
        if !left_out.is_empty() {
            notices.push(format!(
                "foreign keys were left out because the tables that they refer to have no rows \
                 here: {}",
                left_out.join(", ")
            ));
        }
    }
    let unchecked: Vec<_> = manifest
        .schema
        .foreign_keys
        .iter()
        .filter(|key| !key.validated)
        .map(|key| format!("{} on {}", key.name, key.table))
        .collect();
    if !unchecked.is_empty() {
        notices.push(format!(
            "foreign keys that the source had never validated may refer to people who are gone: {}",
            unchecked.join(", ")
        ));
    }
    notices
}
