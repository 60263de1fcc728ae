//! A store in a directory: every object is a file (mode 0600) below one root folder.
//!
//! An object is written to `.incoming` in the root, which must be on the same file system, and
//! moved to its name once all its bytes are durable. A file in `.incoming` is locked by its writer
//! for as long as that lives, so what is not locked was left behind by a crash.
//!
//! Only regular files with valid object names are objects: anything else that lies in the root
//! (`lost+found`, dot files, links) is neither listed nor touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Leftover, ObjectInfo, ObjectName, ObjectWriter, Store, StoreError};
use crate::durable::{self, TEMPORARY_PREFIX};

mod writer;

use writer::DirectoryWriter;

/// The folder of unfinished objects below the root. No object's name can lead into it.
const INCOMING: &str = ".incoming";

/// A store in a directory.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Arc<Path>,
}

impl DirectoryStore {
    /// Opens the store at `root`, which must be a folder.
    ///
    /// # Errors
    /// `Unreachable` when it is not there or is no folder.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let location = root.display().to_string();
        let opened = || {
            // Absolute, so that a later change of the working folder changes nothing.
            let root = std::path::absolute(root)?;
            let folder = fs::metadata(&root)?.is_dir();
            if folder { Ok(root) } else { Err(io::ErrorKind::NotADirectory.into()) }
        };
        match opened() {
            Ok(root) => Ok(Self { root: root.into() }),
            Err(source) => Err(StoreError::Unreachable { location, source }),
        }
    }

    /// Makes the folder, with its parents, unless it is there, and opens it.
    ///
    /// # Errors
    /// `NotWritable`, `Full`, `Io` or `Unreachable`.
    pub fn create(root: &Path) -> Result<Self, StoreError> {
        durable::create_folder(root)
            .map_err(|error| StoreError::writing(&root.display().to_string(), ".", error))?;
        Self::open(root)
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Runs what may block on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        run: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || run(&store)).await {
            Ok(outcome) => outcome,
            Err(lost) => Err(StoreError::Io {
                location: self.location(),
                name: name.to_owned(),
                source: io::Error::other(lost),
            }),
        }
    }

    fn reading(&self, name: &str) -> impl Fn(io::Error) -> StoreError {
        let (location, name) = (self.location(), name.to_owned());
        move |error| StoreError::reading(&location, &name, error)
    }

    fn writing(&self, name: &str) -> impl Fn(io::Error) -> StoreError {
        let (location, name) = (self.location(), name.to_owned());
        move |error| StoreError::writing(&location, &name, error)
    }

    /// The object's file and its length. A folder or a link is no object.
    fn open_object(&self, name: &ObjectName) -> Result<(File, u64), StoreError> {
        let open = || {
            let path = self.path(name);
            let kind = fs::symlink_metadata(&path)?.file_type();
            if !kind.is_file() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        open().map_err(self.reading(name.as_str()))
    }

    fn read_blocking(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let (file, size) = self.open_object(name)?;
        let short = |available| StoreError::ShortRead {
            location: self.location(),
            name: name.to_string(),
            offset,
            length,
            available,
        };
        let available = size.saturating_sub(offset);
        if offset > size || length > available {
            return Err(short(available));
        }
        let length = usize::try_from(length)
            .map_err(|too_long| self.reading(name.as_str())(io::Error::other(too_long)))?;
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes.into()),
            // The file was cut while it was being read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let size = file.metadata().map_or(0, |metadata| metadata.len());
                Err(short(size.saturating_sub(offset)))
            }
            Err(error) => Err(self.reading(name.as_str())(error)),
        }
    }

    fn list_blocking(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        // No object's name begins so, and the path might lead out of the root.
        if prefix.starts_with('/') || (!folder.is_empty() && folder.parse::<ObjectName>().is_err())
        {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        collect(&self.root, folder, prefix, &mut found).map_err(self.listing(prefix))?;
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// An error while listing is never `NotFound`: no single object was asked for.
    fn listing(&self, prefix: &str) -> impl Fn(io::Error) -> StoreError {
        let (location, name) = (self.location(), format!("{prefix}*"));
        move |source| StoreError::Io { location: location.clone(), name: name.clone(), source }
    }

    fn delete_blocking(&self, name: &ObjectName) -> Result<(), StoreError> {
        let path = self.path(name);
        let delete = || {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    outcome => outcome?,
                },
                Ok(_) => return Ok(()),
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
            // Also when it is gone already: an earlier delete may have been cut off before this.
            match durable::sync_folder(durable::folder_of(&path)) {
                Err(error) if is_absence(&error) => Ok(()),
                outcome => outcome,
            }
        };
        durable::step("store-delete", delete).map_err(self.writing(name.as_str()))
    }

    /// Calls `with` for each unfinished file that no writer holds, while it is locked.
    fn visit_leftovers(
        &self,
        with: impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<Vec<Leftover>, StoreError> {
        let incoming = self.root.join(INCOMING);
        let failed = self.listing(INCOMING);
        let entries = match fs::read_dir(&incoming) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut leftovers = Vec::new();
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            let temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX);
            if !temporary || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            let file = match File::open(&path) {
                Ok(file) => file,
                // Its writer was faster.
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            if file.try_lock().is_err() {
                continue;
            }
            let metadata = file.metadata().map_err(&failed)?;
            if metadata.nlink() == 0 {
                continue;
            }
            with(&path)?;
            leftovers.push(Leftover { place: path.display().to_string(), bytes: metadata.len() });
        }
        leftovers.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(leftovers)
    }

    /// Begins a file in `.incoming` and locks it.
    fn begin(&self, name: &ObjectName) -> Result<tempfile::NamedTempFile, StoreError> {
        let path = self.path(name);
        let begin = || {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let incoming = self.root.join(INCOMING);
            match fs::DirBuilder::new().create(&incoming) {
                Ok(()) => fs::set_permissions(&incoming, fs::Permissions::from_mode(0o700))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            loop {
                let file = tempfile::Builder::new()
                    .prefix(TEMPORARY_PREFIX)
                    .permissions(fs::Permissions::from_mode(0o600))
                    .tempfile_in(&incoming)?;
                file.as_file().lock()?;
                // Someone may have taken it for a leftover in the moment before it was locked.
                if file.as_file().metadata()?.nlink() == 1 {
                    return Ok(file);
                }
            }
        };
        begin().map_err(self.writing(name.as_str()))
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Adds all objects in `folder` (relative to `root`, empty for the root itself) whose names begin
/// with `prefix`.
fn collect(root: &Path, folder: &str, prefix: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) && !folder.is_empty() => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(part) = file_name.to_str() else { continue };
        let name = if folder.is_empty() { part.to_owned() } else { format!("{folder}/{part}") };
        let Ok(name) = name.parse::<ObjectName>() else { continue };
        let kind = entry.file_type()?;
        // A folder is entered if it can hold a match: it is below the prefix, or on the way there.
        let below = format!("{name}/");
        if kind.is_dir() && (below.starts_with(prefix) || prefix.starts_with(&below)) {
            collect(root, name.as_str(), prefix, found)?;
        } else if kind.is_file() && name.as_str().starts_with(prefix) {
            match entry.metadata() {
                Ok(metadata) => found.push(ObjectInfo { name, bytes: metadata.len() }),
                // Deleted since the folder was read.
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[async_trait]
impl Store for DirectoryStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let object = name.clone();
        self.blocking(name.as_str(), move |store| {
            let file = store.begin(&object)?;
            let path = store.path(&object);
            let writer = DirectoryWriter::start(store.location(), object, path, file);
            Ok(Box::new(writer) as Box<dyn ObjectWriter>)
        })
        .await
    }

    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let object = name.clone();
        let read = move |store: &Self| store.read_blocking(&object, offset, length);
        self.blocking(name.as_str(), read).await
    }

    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
        let object = name.clone();
        self.blocking(name.as_str(), move |store| Ok(store.open_object(&object)?.1)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let wanted = prefix.to_owned();
        self.blocking(prefix, move |store| store.list_blocking(&wanted)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let object = name.clone();
        self.blocking(name.as_str(), move |store| store.delete_blocking(&object)).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.blocking(INCOMING, |store| store.visit_leftovers(|_| Ok(()))).await
    }

    async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.blocking(INCOMING, |store| {
            let failed = store.writing(INCOMING);
            store.visit_leftovers(|path| fs::remove_file(path).map_err(&failed))
        })
        .await
    }
}
