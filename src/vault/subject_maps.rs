//! The subject map of a source: its file, and its history in the catalog.

use std::path::PathBuf;
use std::{fs, io};

use super::OpsError;
use super::handle::Vault;
use crate::catalog::sources::SourceRow;
use crate::catalog::subject_maps::{self, SubjectMapRow};
use crate::policy::subject_map::{SubjectClass, SubjectMap};

/// A map as it was read.
pub struct LoadedMap {
    /// The map.
    pub map: SubjectMap,
    /// Its file's text.
    pub toml: String,
}

/// Where a source's map is kept.
#[must_use]
pub fn path(vault: &Vault, source: &str) -> PathBuf {
    vault.places().maps.join(format!("{source}.toml"))
}

/// Reads the map's file.
pub fn load(vault: &Vault, source: &SourceRow) -> Result<LoadedMap, OpsError> {
    let path = path(vault, &source.name);
    let toml = match fs::read_to_string(&path) {
        Ok(toml) => toml,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpsError::NoMap {
                name: source.name.clone(),
                path: path.display().to_string(),
            });
        }
        Err(source) => {
            let what = format!("reading the subject map {}", path.display());
            return Err(OpsError::File { what, source });
        }
    };
    Ok(LoadedMap { map: SubjectMap::from_toml(&toml)?, toml })
}

/// Reads the map's file, or where it is gone the one last used: an erasure must be possible without
/// the file.
pub fn load_or_last_used(vault: &Vault, source: &SourceRow) -> Result<LoadedMap, OpsError> {
    match load(vault, source) {
        Err(OpsError::NoMap { name, path }) => {
            let last = subject_maps::latest(vault.catalog().connection(), source.source_id)?;
            let toml = last.ok_or(OpsError::NoMap { name, path })?.toml;
            Ok(LoadedMap { map: SubjectMap::from_toml(&toml)?, toml })
        }
        other => other,
    }
}

/// Puts a map into the catalog's history, if it is not the latest there.
pub fn remember(vault: &Vault, source: &SourceRow, loaded: &LoadedMap) -> Result<(), OpsError> {
    let row = SubjectMapRow {
        source_id: source.source_id,
        digest: loaded.map.digest(),
        toml: loaded.toml.clone(),
        created_at: vault.clock().now(),
    };
    vault.catalog().transaction(|transaction| {
        subject_maps::insert(transaction, &row)?;
        Ok(())
    })
}

/// The class of people that is meant: the named one, or the only one of the source.
pub fn find_class(
    vault: &Vault,
    source: &SourceRow,
    wanted: Option<&str>,
) -> Result<SubjectClass, OpsError> {
    let map = load_or_last_used(vault, source)?.map;
    match (wanted, map.classes.as_slice()) {
        (Some(wanted), _) => map.class(wanted).cloned().ok_or_else(|| OpsError::NoClass {
            name: source.name.clone(),
            class: wanted.to_owned(),
        }),
        (None, [only]) => Ok(only.clone()),
        (None, several) => Err(OpsError::ClassNeeded {
            name: source.name.clone(),
            classes: several.iter().map(|class| class.name.clone()).collect(),
        }),
    }
}
