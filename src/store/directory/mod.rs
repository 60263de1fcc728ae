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
use crate::base::durable::{self, TEMPORARY_PREFIX};

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

#[cfg(test)]
mod tests {
    use super::super::Written;
    use super::*;
    use std::os::unix::fs::symlink;

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    async fn put(store: &DirectoryStore, object: &str) -> Result<Written, StoreError> {
        let mut writer = store.create(&name(object)).await?;
        writer.write(Bytes::from_static(b"bytes")).await?;
        writer.finish().await
    }

    fn temporary_files(root: &Path) -> usize {
        fs::read_dir(root.join(INCOMING)).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn objects_are_readable_by_their_owner_only() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(&root.path().join("s")).unwrap();
        put(&store, "a/b").await.unwrap();
        for (path, expected) in [("s", 0o700), ("s/a", 0o700), ("s/a/b", 0o600)] {
            let mode = fs::metadata(root.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{path}");
        }
        assert_eq!(temporary_files(&root.path().join("s")), 0);
    }

    #[tokio::test]
    async fn what_a_crash_left_is_told_from_a_writer_at_work() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(root.path()).unwrap();
        let mut at_work = store.create(&name("a")).await.unwrap();
        at_work.write(Bytes::from_static(b"one")).await.unwrap();
        let crashed = root.path().join(INCOMING).join(format!("{TEMPORARY_PREFIX}crashed"));
        fs::write(&crashed, b"half").unwrap();
        fs::write(root.path().join(INCOMING).join("somebody's"), b"").unwrap();

        let expected = [Leftover { place: crashed.display().to_string(), bytes: 4 }];
        assert_eq!(store.leftovers().await.unwrap(), expected);
        assert_eq!(store.remove_leftovers().await.unwrap(), expected);
        assert_eq!(store.leftovers().await.unwrap(), []);
        assert!(!crashed.exists());
        assert_eq!(at_work.finish().await.unwrap().bytes, 3);
        assert_eq!(temporary_files(root.path()), 1);
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_removes_its_file() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(root.path()).unwrap();
        let writer = store.create(&name("a")).await.unwrap();
        assert_eq!(temporary_files(root.path()), 1);
        drop(writer);
        for _ in 0..500 {
            if temporary_files(root.path()) == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the file is still there");
    }

    #[tokio::test]
    async fn what_is_not_the_stores_is_neither_listed_nor_touched() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(root.path()).unwrap();
        put(&store, "packs/a").await.unwrap();
        fs::create_dir(root.path().join("lost+found")).unwrap();
        fs::write(root.path().join(".hidden"), b"").unwrap();
        fs::write(root.path().join("packs/new\nline"), b"").unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"bytes").unwrap();
        symlink(outside.path(), root.path().join("way")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("packs/link")).unwrap();

        let listed = store.list("").await.unwrap();
        assert_eq!(listed, [ObjectInfo { name: name("packs/a"), bytes: 5 }]);
        let read = store.read_range(&name("packs/link"), 0, 1).await;
        assert!(matches!(read, Err(StoreError::NotFound { .. })), "{read:?}");
        store.delete(&name("packs/link")).await.unwrap();
        assert!(root.path().join("packs/link").symlink_metadata().is_ok());
        let taken = put(&store, "packs/link").await;
        assert!(matches!(taken, Err(StoreError::AlreadyExists { .. })), "{taken:?}");
    }

    #[tokio::test]
    async fn an_objects_name_cannot_be_a_folder_too() {
        let root = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create(root.path()).unwrap();
        put(&store, "a/b").await.unwrap();
        for object in ["a", "a/b/c"] {
            let refused = put(&store, object).await;
            assert!(matches!(refused, Err(StoreError::Io { .. })), "{object}: {refused:?}");
        }
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_store_whose_folder_is_gone_is_not_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let store = DirectoryStore::create(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        assert!(put(&store, "a/b").await.is_err());
        assert!(store.list("").await.is_err());
        assert!(!path.exists());
    }
}
