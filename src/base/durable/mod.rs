//! The one way in which strongroom makes bytes durable on a local disk.
//!
//! Every durable step of a command passes through [`step`], which names it. The tests kill the
//! process before and after each name (`tests/steps/crash.rs`) and let each step fail (`tests/steps/faults.rs`);
//! release builds contain no trace of that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[cfg(debug_assertions)]
mod faults;
#[cfg(debug_assertions)]
mod images;

/// In release builds every step is only itself, and any error will do.
#[cfg(not(debug_assertions))]
mod faults {
    /// See the debug build.
    pub trait Injected {}

    impl<E> Injected for E {}

    #[inline]
    pub(in crate::base) fn before<E>(_: &str) -> Result<(), E> {
        Ok(())
    }

    #[inline]
    pub(in crate::base) fn after<E>(_: &str) -> Result<(), E> {
        Ok(())
    }

    #[inline]
    pub(in crate::base) fn passed(_: &str) {}
}

pub use faults::Injected;

/// Marks a place that is no durable step, so that a debug build can be made to wait there.
pub fn mark(place: &str) {
    faults::passed(place);
}

/// Runs one durable step. In debug builds the process can be killed or made to wait just before or
/// just after it, and the step can be made to fail, undone or done.
///
/// # Errors
/// Whatever the step returns.
pub fn step<T, E: Injected>(name: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    faults::before(name)?;
    let outcome = run()?;
    faults::after(name)?;
    Ok(outcome)
}

/// Like [`step`], for a step that awaits.
///
/// # Errors
/// Whatever the step returns.
pub async fn step_async<T, E: Injected>(
    name: &str,
    run: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    faults::before(name)?;
    let outcome = run.await?;
    faults::after(name)?;
    Ok(outcome)
}

/// Writes a file that must not exist yet: temporary file, fsync, hard link, fsync of the folder.
/// Either the whole file is there under its name or nothing is. Mode 0600.
///
/// # Errors
/// `AlreadyExists` when the name is taken; whatever the file system reports otherwise.
pub fn create_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path)?;
    file.write_all(contents)?;
    file.finish().map(drop)
}

/// A file that must not exist yet, written piece by piece. It has its name from [`NewFile::finish`]
/// on; dropped before, it is gone.
pub struct NewFile {
    path: PathBuf,
    temporary: tempfile::NamedTempFile,
    bytes: u64,
}

impl NewFile {
    /// Begins it, under a temporary name in the same folder.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let temporary = temporary_in(folder_of(path))?;
        Ok(Self { path: path.to_owned(), temporary, bytes: 0 })
    }

    /// Makes it durable and gives it its name; how many bytes it has.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; whatever the file system reports otherwise.
    pub fn finish(self) -> io::Result<u64> {
        self.temporary.as_file().sync_all()?;
        step("file-create", || {
            self.temporary.persist_noclobber(&self.path).map_err(|refused| refused.error)?;
            sync_folder(folder_of(&self.path))
        })?;
        Ok(self.bytes)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.temporary.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// Replaces a file (or makes it) in one step: the old contents or the new ones, never a mixture.
/// Mode 0600.
///
/// # Errors
/// Whatever the file system reports; the old file is then still there.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = temporary_in(folder)?;
    temporary.write_all(contents)?;
    temporary.as_file().sync_all()?;
    step("file-replace", || {
        temporary.persist(path).map_err(|refused| refused.error)?;
        sync_folder(folder)
    })
}

/// Destroys a file that holds a secret: overwrites it in place, fsync, unlink, fsync of the
/// folder. Media that remap blocks (SSD, copy-on-write file systems) may keep the old ones; whoever
/// relies on this says so. A file that is already gone is a success.
///
/// # Errors
/// Whatever the file system reports.
pub fn destroy_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => {
            let length = file.metadata()?.len();
            let blank = vec![0_u8; usize::try_from(length).unwrap_or(0)];
            step("secret-overwrite", || {
                file.write_all(&blank)?;
                file.sync_all()
            })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An earlier call may have been cut off between the two.
            return sync_folder(folder_of(path));
        }
        Err(error) => return Err(error),
    }
    step("secret-unlink", || {
        fs::remove_file(path)?;
        sync_folder(folder_of(path))
    })
}

/// Makes a folder with its parents, readable by its owner only, and makes that durable.
///
/// # Errors
/// Whatever the file system reports.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_folder(parent)?;
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    sync_folder(parent)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Whatever the file system reports.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that holds `path`; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// The prefix of temporary files, so that what a crash leaves behind can be told from anything
/// else.
pub const TEMPORARY_PREFIX: &str = ".strongroom-tmp-";

fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
}

/// A file without a name, for what must not outlive the process. Mode 0600, gone when closed.
///
/// # Errors
/// Whatever the file system reports.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    tempfile::tempfile_in(folder)
}

/// Opens (or makes) a lock file, mode 0600.
///
/// # Errors
/// Whatever the file system reports.
pub fn open_lock_file(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create_file(&path, b"one").unwrap();
        let refused = create_file(&path, b"two").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace_file(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn destroying_twice_is_a_success() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_file(&path, b"one").unwrap();
        destroy_file(&path).unwrap();
        destroy_file(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn folders_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
