//! One writing process at a time.
//!
//! SQLite alone lets two writers take turns, transaction by transaction. That is too little: a
//! backup or a forgetting reads keys, works for minutes, and then writes what it decided. So every
//! command that changes keys or backups holds this lock from beginning to end. The system releases
//! it when the process ends, however it ends. Readers do not need it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::CatalogError;
use super::error::OnFile;
use crate::base::clock::timestamp;
use crate::base::durable;

/// The right to write, as long as it lives.
#[derive(Debug)]
pub struct WriterLock {
    // The lock hangs on this open file. The file itself stays: were it removed, two processes
    // could hold locks on two files of the same name.
    _file: File,
}

impl WriterLock {
    /// Takes the lock of the catalog at `catalog_path`, or says who holds it. Does not wait.
    ///
    /// `command` is what the second process shows its user: a command's name, never its arguments,
    /// since those may hold secrets.
    ///
    /// # Errors
    /// [`CatalogError::Busy`] when another process writes; [`CatalogError::File`] when the lock
    /// file cannot be opened or written.
    pub fn acquire(
        catalog_path: &Path,
        command: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, CatalogError> {
        let path = lock_path(catalog_path);
        let mut file = durable::open_lock_file(&path).on_file("open the lock file", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(&mut file, path)),
            Err(TryLockError::Error(reason)) => {
                return Err(CatalogError::File { doing: "lock", path, reason });
            }
        }
        let command: String = command.chars().filter(|c| !c.is_control()).take(100).collect();
        let holder = Holder { pid: std::process::id(), command, since: now };
        holder.write(&mut file).on_file("write the lock file", &path)?;
        Ok(Self { _file: file })
    }
}

/// `vault.db` is locked by `vault.db.lock`, by whatever links the catalog is reached.
fn lock_path(catalog_path: &Path) -> PathBuf {
    let real = catalog_path.canonicalize().unwrap_or_else(|_| catalog_path.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

fn busy(file: &mut File, path: PathBuf) -> CatalogError {
    // The holder may have taken the lock a moment ago and not have written its name yet.
    for _ in 0..10 {
        if let Some(Holder { pid, command, since }) = Holder::read(file) {
            return CatalogError::Busy { pid, command, since };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    CatalogError::BusyUnknown { path }
}

struct Holder {
    pid: u32,
    command: String,
    since: DateTime<Utc>,
}

impl Holder {
    /// Three lines. Not synced: after a power cut nobody holds the lock.
    fn write(&self, file: &mut File) -> std::io::Result<()> {
        let Self { pid, command, since } = self;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        let text = format!("pid {pid}\ncommand {command}\nsince {}\n", timestamp(*since));
        file.write_all(text.as_bytes())
    }

    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(1024).read_to_string(&mut text).ok()?;
        let mut lines = text.strip_suffix('\n')?.lines();
        let pid = lines.next()?.strip_prefix("pid ")?.parse().ok()?;
        let command = lines.next()?.strip_prefix("command ")?;
        let since = DateTime::parse_from_rfc3339(lines.next()?.strip_prefix("since ")?).ok()?;
        let command = command.chars().filter(|c| !c.is_control()).take(100).collect();
        Some(Self { pid, command, since: since.with_timezone(&Utc) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::catalog::fixture::moment;

    #[test]
    fn the_second_writer_is_told_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        let first = WriterLock::acquire(&path, "backup", moment(7)).unwrap();
        let refused = WriterLock::acquire(&path, "erase", moment(9)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "the catalog is being written by `backup` (process {}) since {}",
                std::process::id(),
                timestamp(moment(7))
            )
        );
        assert!(refused.is_busy());
        drop(first);
        WriterLock::acquire(&path, "erase", moment(9)).unwrap();
        let mode = std::fs::metadata(lock_path(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_to_the_catalog_has_the_same_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("vault.db"), folder.path().join("link.db"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let _first = WriterLock::acquire(&path, "backup", moment(7)).unwrap();
        assert!(WriterLock::acquire(&link, "erase", moment(9)).unwrap_err().is_busy());
    }

    #[test]
    fn a_holder_without_a_readable_name_still_keeps_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        std::fs::write(lock_path(&path), "pid x\n").unwrap();
        let held = File::open(lock_path(&path)).unwrap();
        held.try_lock().unwrap();
        let refused = WriterLock::acquire(&path, "erase", moment(9)).unwrap_err();
        assert!(matches!(refused, CatalogError::BusyUnknown { .. }), "{refused}");
    }

    /// Not a test by itself: the process that `a_killed_writer_leaves_no_lock` starts.
    #[test]
    fn helper_that_holds_the_lock() {
        if let Some(path) = std::env::var_os("STRONGROOM_TEST_LOCK") {
            let _lock = WriterLock::acquire(Path::new(&path), "backup", moment(7)).unwrap();
            writeln!(std::io::stderr(), "locked").unwrap();
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn a_killed_writer_leaves_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::lock::tests::helper_that_holds_the_lock", "--nocapture"])
            .env("STRONGROOM_TEST_LOCK", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(other.stderr.take().unwrap());
        assert!(stderr.lines().map_while(Result::ok).any(|line| line == "locked"));
        match WriterLock::acquire(&path, "erase", moment(9)).unwrap_err() {
            CatalogError::Busy { pid, command, since } => {
                assert_eq!((pid, command.as_str(), since), (other.id(), "backup", moment(7)));
            }
            unexpected => panic!("{unexpected}"),
        }
        other.kill().unwrap();
        other.wait().unwrap();
        WriterLock::acquire(&path, "erase", moment(9)).unwrap();
    }
}
