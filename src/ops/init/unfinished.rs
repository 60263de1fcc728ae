//! What an `init` makes, noted before it is made: one that fails or is killed leaves nothing that a
//! later one takes for a vault.
//!
//! The note lies beside the catalog from before the first step until after the last. An `init` that
//! fails removes by it what it made; of one that was killed, the next `init` in the same place does.
//! A note names only what was not there before it, and a vault that knows a source or a backup is
//! never removed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::durable;
use crate::base::ids::{Epoch, VaultId};
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::{Catalog, sources, vault as vault_rows};
use crate::container::names;
use crate::container::vault_marker::VaultMarker;
use crate::keys::KeyError;
use crate::keys::custodians::settings::{CustodianKind, CustodianSettings};
use crate::store::{self, ObjectName, Store, StoreError};
use crate::vault::OpsError;
use crate::vault::settings::VaultPlaces;

/// What the note's name has more than the catalog's.
const SUFFIX: &str = ".init";
/// The longest note that is read.
const BYTES_MAX: u64 = 64 << 10;

/// The note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    vault: VaultId,
    master: PathBuf,
    catalog: PathBuf,
    /// The custodian's folder.
    custodian: PathBuf,
    /// The stores' URLs.
    stores: Vec<String>,
    /// Folders that were not there, each before those in it.
    folders: BTreeSet<PathBuf>,
}

/// The place of a vault, held by one `init`.
pub struct Place {
    file: File,
    path: PathBuf,
    note: Option<Note>,
    /// Folders that were not there.
    folders: BTreeSet<PathBuf>,
}

/// Whether an `init` did not come to its end here.
pub fn is_left(catalog: &Path) -> bool {
    note_of(catalog).exists()
}

impl Place {
    /// Holds the place. What an earlier `init` left there is removed; the second value says whether
    /// there was anything, and what of it could not be removed.
    pub async fn hold(places: &VaultPlaces) -> Result<(Self, Option<Vec<String>>), OpsError> {
        let path = note_of(&places.catalog);
        let folders = missing(places);
        let failed =
            |source| OpsError::File { what: format!("writing {}", path.display()), source };
        let file = durable::create_folder(durable::folder_of(&path))
            .and_then(|()| lock(&path))
            .map_err(failed)?
            .ok_or_else(|| OpsError::InitRunning { place: path.display().to_string() })?;
        let mut place = Self { file, path: path.clone(), note: None, folders };
        // What cannot be read was not written to its end, so that nothing was made after it.
        let mut text = Vec::new();
        (&place.file).take(BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let Ok(earlier) = serde_json::from_slice::<Note>(&text) else { return Ok((place, None)) };
        place.folders.extend(earlier.folders.iter().cloned());
        let kept = earlier.remove().await?;
        // Those that are needed again were not there before the earlier one.
        durable::create_folder(durable::folder_of(&path)).map_err(failed)?;
        place.empty().map_err(failed)?;
        Ok((place, Some(kept)))
    }

    /// Notes what is about to be made.
    pub fn begin(&mut self, vault: VaultId, places: &VaultPlaces) -> Result<(), OpsError> {
        let note = Note {
            vault,
            master: places.master.clone(),
            catalog: places.catalog.clone(),
            custodian: custodian_folder(places).unwrap_or_default(),
            stores: places.stores.iter().map(|store| store.url.clone()).collect(),
            folders: self.folders.clone(),
        };
        let text = serde_json::to_vec(&note)
            .map_err(|_| OpsError::Bug("the note of an unfinished vault is no JSON"))?;
        self.note = Some(note);
        durable::step("init.note", || {
            self.empty()?;
            self.file.write_all(&text)?;
            self.file.sync_all()?;
            durable::sync_folder(durable::folder_of(&self.path))
        })
        .map_err(|source| self.failed(source))
    }

    /// All was made: the note is removed.
    pub fn finish(self) -> Result<(), OpsError> {
        durable::step("init.finish", || {
            fs::remove_file(&self.path)?;
            durable::sync_folder(durable::folder_of(&self.path))
        })
        .map_err(|source| self.failed(source))
    }

    /// Removes what was made; what could not be removed, one sentence each.
    pub async fn give_up(mut self) -> Vec<String> {
        let kept = match self.note.take() {
            Some(note) => note.remove().await,
            None => Ok(Vec::new()),
        };
        match kept {
            Ok(kept) => {
                let _ = fs::remove_file(&self.path);
                remove_folders(&self.folders);
                kept
            }
            // The note stays, and with it the next `init`'s chance.
            Err(error) => vec![format!("{error}; the next `init` in this place tries again")],
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }

    fn failed(&self, source: io::Error) -> OpsError {
        OpsError::File { what: format!("writing {}", self.path.display()), source }
    }
}

impl Note {
    /// Removes what it names; what a store does not let go is told.
    async fn remove(&self) -> Result<Vec<String>, OpsError> {
        self.require_unused()?;
        let mut kept = Vec::new();
        for url in &self.stores {
            let store = match store::open(url) {
                Ok(store) => store,
                // It was not even made.
                Err(StoreError::Unreachable { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            kept.extend(self.clear(&*store).await?);
            let is_new = store::folder_of(url).is_some_and(|folder| self.folders.contains(&folder));
            if is_new {
                store.remove_leftovers().await?;
            }
        }
        self.clear_custodian()?;
        let failed = |path: &Path, source| OpsError::File {
            what: format!("removing {}", path.display()),
            source,
        };
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.catalog.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            gone(fs::remove_file(&path)).map_err(|source| failed(&path, source))?;
        }
        durable::destroy_file(&self.master).map_err(|source| failed(&self.master, source))?;
        self.sweep();
        remove_folders(&self.folders);
        Ok(kept)
    }

    /// Removes what a step that was cut off left beside the catalog, where only this vault writes.
    fn sweep(&self) {
        let folder = durable::folder_of(&self.catalog);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(durable::TEMPORARY_PREFIX) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// A vault that somebody has used is none that was never finished, whatever the note says.
    fn require_unused(&self) -> Result<(), OpsError> {
        if !self.catalog.exists() {
            return Ok(());
        }
        let catalog = Catalog::open(&self.catalog)?;
        let is_used = vault_rows::read(catalog.connection())?.vault_id != self.vault
            || !sources::all(catalog.connection())?.is_empty()
            || !backups::list(catalog.connection(), &BackupFilter::default())?.is_empty();
        if is_used {
            return Err(OpsError::VaultExists { place: self.catalog.display().to_string() });
        }
        Ok(())
    }

    /// Removes the vault's objects from a store that has its marker.
    async fn clear(&self, store: &dyn Store) -> Result<Vec<String>, OpsError> {
        let marker: ObjectName = names::VAULT_MARKER.parse()?;
        let bytes = match store.size(&marker).await {
            Ok(length) => store.read_range(&marker, 0, length.min(BYTES_MAX)).await?,
            Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let found = serde_json::from_slice::<VaultMarker>(&bytes);
        if !found.is_ok_and(|found| found.vault == self.vault) {
            return Ok(Vec::new());
        }
        let mut kept = Vec::new();
        // The marker last: it is what says that the rest is this vault's.
        let replica = store.list(names::CATALOG).await?.into_iter().map(|object| object.name);
        for name in replica.chain([marker]) {
            match store.delete(&name).await {
                Ok(()) => {}
                Err(error @ (StoreError::Retained { .. } | StoreError::Denied { .. })) => {
                    kept.push(format!("{error}: it opens for nobody; take another prefix"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(kept)
    }

    fn clear_custodian(&self) -> Result<(), OpsError> {
        if self.custodian.as_os_str().is_empty() {
            return Ok(());
        }
        let custodian = CustodianSettings::file("main", self.custodian.clone()).open()?;
        match custodian.destroy(self.vault, Epoch::FIRST).and_then(|()| custodian.leave(self.vault))
        {
            // It was never enrolled, or was another vault's from the beginning.
            Ok(()) | Err(KeyError::Unreachable { .. } | KeyError::OtherVault { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Removes folders that were not there before, as far as they are empty: the innermost first.
fn remove_folders(folders: &BTreeSet<PathBuf>) {
    for folder in folders.iter().rev() {
        remove_empty(folder);
    }
}

/// Removes a folder of empty folders.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // One that is not empty holds what is somebody else's.
    let _ = fs::remove_dir(folder);
}

/// The folders of a vault's places that are not there yet.
fn missing(places: &VaultPlaces) -> BTreeSet<PathBuf> {
    let folders = [
        Some(durable::folder_of(&places.catalog).to_owned()),
        Some(durable::folder_of(&places.master).to_owned()),
        Some(places.maps.clone()),
        custodian_folder(places),
    ];
    let stores = places.stores.iter().filter_map(|store| store::folder_of(&store.url));
    let folders: Vec<PathBuf> = folders.into_iter().flatten().chain(stores).collect();
    let above = folders.iter().flat_map(|folder| folder.ancestors());
    above
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect()
}

/// Whether the custodian's folder lies in the catalog's, as it does unless it is named.
pub fn is_beside_the_catalog(places: &VaultPlaces) -> bool {
    let above = durable::folder_of(&places.catalog);
    custodian_folder(places).is_some_and(|folder| durable::folder_of(&folder) == above)
}

fn custodian_folder(places: &VaultPlaces) -> Option<PathBuf> {
    match &places.custodians.first()?.kind {
        CustodianKind::File { folder } => Some(folder.clone()),
        CustodianKind::Command { .. } | CustodianKind::Pkcs11 { .. } => None,
    }
}

fn note_of(catalog: &Path) -> PathBuf {
    let mut path = catalog.to_owned().into_os_string();
    path.push(SUFFIX);
    path.into()
}

/// The locked file of that name; nothing when another process holds it.
fn lock(path: &PathBuf) -> io::Result<Option<File>> {
    loop {
        let file = durable::open_lock_file(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held it may have removed it meanwhile: then the name is another file's.
        let held = file.metadata()?.ino();
        if fs::metadata(path).is_ok_and(|now| now.ino() == held) {
            return Ok(Some(file));
        }
    }
}

fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
