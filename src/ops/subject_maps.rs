//! The subject map of a source: its file, its history in the catalog, its comparison with the live
//! database.

use std::path::PathBuf;

use crate::audit::Action;
use crate::base::durable;
use crate::base::schema::DatabaseSchema;
use crate::keys::master::Credentials;
use crate::policy::subject_map::{self, Decisions, Drift, Proposal};
use crate::postgres::{Session, describe};
use crate::vault::OpsError;
use crate::vault::access::audited;
use crate::vault::handle::Vault;
use crate::vault::sources;
use crate::vault::subject_maps::{self, LoadedMap, load, remember};

/// What `map` found.
pub struct MapReport {
    /// The live database.
    pub schema: DatabaseSchema,
    /// The map that is proposed (or the one that was checked).
    pub proposal: Proposal,
    /// The proposed file.
    pub toml: String,
    /// Where the source's map is kept.
    pub path: PathBuf,
    /// Where the file and the database differ; only when a check was asked for.
    pub drift: Vec<Drift>,
}

/// What `map` shall do besides showing its proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapAction {
    /// Nothing.
    Show,
    /// Write the file, unless something is undecided.
    Write,
    /// Compare the file with the live database.
    Check,
}

/// Infers, writes or checks the map of a source.
pub async fn map(
    vault: &Vault,
    credentials: &Credentials,
    source: &str,
    decisions: &Decisions,
    action: MapAction,
) -> Result<MapReport, OpsError> {
    let row = sources::find(vault, source)?;
    let recorded_as = match action {
        MapAction::Write => Action::MapWrite,
        MapAction::Show | MapAction::Check => Action::Show,
    };
    audited(vault, recorded_as, source, async |access| {
        let unlocked = vault.unlock(credentials, access.recorded()).await?;
        let settings = sources::settings(vault, &unlocked, &row)?;
        let session = Session::connect(&settings).await?;
        session.begin_snapshot().await?;
        let schema = describe(&session).await?;
        let path = subject_maps::path(vault, &row.name);
        let existing = match load(vault, &row) {
            Ok(loaded) => Some(loaded.map),
            Err(OpsError::NoMap { .. }) if action != MapAction::Check => None,
            Err(error) => return Err(error),
        };
        if let (MapAction::Check, Some(map)) = (action, &existing) {
            let drift = subject_map::check(map, &schema);
            let toml = map.to_toml(&schema);
            let proposal = Proposal { map: map.clone(), undecided: Vec::new(), notes: Vec::new() };
            return Ok(MapReport { schema, proposal, toml, path, drift });
        }
        let mut proposal = subject_map::infer(&schema, decisions, existing.as_ref());
        proposal.map.source.clone_from(&row.name);
        let toml = proposal.map.to_toml(&schema);
        if action == MapAction::Write {
            if !proposal.undecided.is_empty() {
                return Err(OpsError::MapUndecided(proposal.undecided));
            }
            write(vault, &path, &toml)?;
            remember(vault, &row, &LoadedMap { map: proposal.map.clone(), toml: toml.clone() })?;
        }
        Ok(MapReport { schema, proposal, toml, path, drift: Vec::new() })
    })
    .await
}

fn write(vault: &Vault, path: &std::path::Path, toml: &str) -> Result<(), OpsError> {
    durable::create_folder(&vault.places().maps)
        .and_then(|()| durable::replace_file(path, toml.as_bytes()))
        .map_err(|source| OpsError::File {
            what: format!("writing the subject map {}", path.display()),
            source,
        })
}
