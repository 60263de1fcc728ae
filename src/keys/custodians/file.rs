//! The custodian that keeps shares as files in a folder, one file an epoch.
//!
//! What it can promise is what its medium can: it overwrites and unlinks, but flash storage and
//! copy-on-write file systems may keep the old block. Put the folder on a medium that you can
//! destroy, away from the catalog.
//!
//! A file `strongroom-custodian` marks the folder and names the vault. Without it the medium counts
//! as away: an empty mount point must never look like a medium whose share was destroyed. A folder
//! of the version before, with `epoch-*.secret` files and no mark, is taken and marked at the next
//! write.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::share::{Share, TEXT_BYTES_MAX};
use super::{Assurance, Custodian, mark, no_share};
use crate::base::durable;
use crate::base::ids::{Epoch, VaultId};
use crate::keys::KeyError;

/// The file that marks a custodian's folder.
pub const MARKER: &str = "strongroom-custodian";

const PREFIX: &str = "epoch-";
const SUFFIX: &str = ".secret";

/// A folder of shares.
pub struct FileCustodian {
    name: String,
    folder: PathBuf,
}

/// What the folder says of itself.
enum Mark {
    /// Marked as a vault's.
    Of(VaultId),
    /// No mark, but share files: written by the version before.
    Unmarked,
}

impl FileCustodian {
    /// The custodian in `folder`.
    #[must_use]
    pub fn new(name: &str, folder: &Path) -> Self {
        Self { name: name.to_owned(), folder: folder.to_owned() }
    }

    fn file(&self, epoch: Epoch) -> PathBuf {
        self.folder.join(format!("{PREFIX}{epoch}{SUFFIX}"))
    }

    fn marker(&self) -> PathBuf {
        self.folder.join(MARKER)
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> KeyError {
        KeyError::Unreachable { custodian: self.title(), reason: reason.to_string() }
    }

    /// Holds the folder for this vault, or says why it is not the custodian's.
    fn require(&self, vault: VaultId) -> Result<Mark, KeyError> {
        let mark = self.mark()?;
        if let Mark::Of(found) = mark
            && found != vault
        {
            return Err(self.other_vault(found, vault));
        }
        Ok(mark)
    }

    fn other_vault(&self, found: VaultId, expected: VaultId) -> KeyError {
        KeyError::OtherVault { file: self.folder.display().to_string(), found, expected }
    }

    fn mark(&self) -> Result<Mark, KeyError> {
        match read_small(&self.marker()) {
            Ok(text) => mark::from_text(&text, &self.marker().display().to_string()).map(Mark::Of),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.folder.is_dir() {
                    return Err(self.unreachable("its folder is not there"));
                }
                if self.list()?.is_empty() {
                    return Err(self.unreachable(format_args!(
                        "its folder has no file `{MARKER}`, so its medium is not the one in it"
                    )));
                }
                Ok(Mark::Unmarked)
            }
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// The epochs of the files in the folder, whatever is in them.
    fn list(&self) -> Result<Vec<Epoch>, KeyError> {
        let mut epochs = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|error| self.unreachable(error))? {
            let name = entry.map_err(|error| self.unreachable(error))?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
            epochs.extend(number.map(Epoch));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn read(&self, vault: VaultId, epoch: Epoch) -> Result<Option<Share>, KeyError> {
        let path = self.file(epoch);
        let file = path.display().to_string();
        let text = match read_small(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreachable(error)),
        };
        Share::from_text(&text, &file)?.belonging_to(vault, epoch, &file).map(Some)
    }

    /// Marks the folder, in place of whatever mark it has.
    fn write_marker(&self, vault: VaultId) -> Result<(), KeyError> {
        let text = mark::to_text(vault);
        durable::step("custodian-mark", || durable::replace_file(&self.marker(), text.as_bytes()))
            .map_err(|source| io_error(&self.marker(), source))
    }

    /// Holds the folder against other writers, and destroys what a crashed one left.
    fn lock_and_sweep(&self) -> Result<File, KeyError> {
        let folder = File::open(&self.folder).map_err(|error| self.unreachable(error))?;
        match folder.lock() {
            Ok(()) => {}
            // Some network file systems have no locks; the vault's own lock holds there.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(self.unreachable(error)),
        }
        for entry in fs::read_dir(&self.folder).map_err(|error| self.unreachable(error))? {
            let entry = entry.map_err(|error| self.unreachable(error))?;
            if entry.file_name().to_string_lossy().starts_with(durable::TEMPORARY_PREFIX) {
                sweep(&entry.path()).map_err(|error| self.unreachable(error))?;
            }
        }
        Ok(folder)
    }
}

impl Custodian for FileCustodian {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> String {
        format!("the folder {}", self.folder.display())
    }

    fn assurance(&self) -> Assurance {
        Assurance::Overwritten
    }

    fn require_place(&self) -> Result<(), KeyError> {
        let above = durable::folder_of(&self.folder);
        if above.is_dir() {
            return Ok(());
        }
        Err(self.unreachable(format_args!("{} is not there", above.display())))
    }

    fn leave(&self, vault: VaultId) -> Result<(), KeyError> {
        self.require(vault)?;
        let _lock = self.lock_and_sweep()?;
        if self.list()?.is_empty() {
            fs::remove_file(self.marker())
                .and_then(|()| durable::sync_folder(&self.folder))
                .map_err(|error| self.unreachable(error))?;
        }
        Ok(())
    }

    fn enroll(&self, vault: VaultId) -> Result<(), KeyError> {
        self.require_place()?;
        durable::create_folder(&self.folder).map_err(|source| io_error(&self.folder, source))?;
        let _lock = self.lock_and_sweep()?;
        let held = self.list()?;
        match self.mark() {
            Ok(Mark::Of(found)) if found == vault => return Ok(()),
            // A mark without shares is what a command left that did not come to its end.
            Ok(Mark::Of(found)) if !held.is_empty() => return Err(self.other_vault(found, vault)),
            Ok(Mark::Unmarked) => {
                for epoch in held {
                    self.read(vault, epoch)?;
                }
            }
            Ok(Mark::Of(_)) | Err(KeyError::Unreachable { .. }) => {}
            Err(error) => return Err(error),
        }
        self.write_marker(vault)
    }

    fn put(&self, share: &Share) -> Result<(), KeyError> {
        self.require(share.vault)?;
        let _lock = self.lock_and_sweep()?;
        match self.read(share.vault, share.epoch)? {
            Some(held) if held.is_same(share) => {
                // The one before may not have come to its last sync.
                return durable::sync_folder(&self.folder).map_err(|error| self.unreachable(error));
            }
            Some(_) => {
                let epoch = share.epoch;
                return Err(KeyError::EpochTaken { custodian: self.title(), epoch });
            }
            None => {}
        }
        if let Mark::Unmarked = self.require(share.vault)? {
            self.write_marker(share.vault)?;
        }
        let path = self.file(share.epoch);
        let text = share.to_text();
        durable::step("custodian-put", || durable::create_file(&path, text.as_bytes()))
            .map_err(|source| io_error(&path, source))
    }

    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<Share, KeyError> {
        self.require(vault)?;
        match self.read(vault, epoch)? {
            Some(share) => Ok(share),
            None => Err(no_share(self, epoch, &self.list()?)),
        }
    }

    fn epochs(&self, vault: VaultId) -> Result<Vec<Epoch>, KeyError> {
        self.require(vault)?;
        self.list()
    }

    fn destroy(&self, vault: VaultId, epoch: Epoch) -> Result<(), KeyError> {
        let mark = self.require(vault)?;
        let _lock = self.lock_and_sweep()?;
        if let Mark::Unmarked = mark {
            // Without a mark, the file itself tells whose it is, unless it is damaged.
            if let Err(error @ KeyError::OtherVault { .. }) = self.read(vault, epoch) {
                return Err(error);
            }
            self.write_marker(vault)?;
        }
        durable::step("custodian-destroy", || durable::destroy_file(&self.file(epoch)))
            .map_err(|error| self.unreachable(error))
    }
}

fn io_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::Io { file: path.display().to_string(), source }
}

/// Destroys a temporary file that may hold a share.
fn sweep(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.nlink() > 1 {
        // The crash came between the link and the unlink: the other name is the share itself.
        return fs::remove_file(path);
    }
    durable::destroy_file(path)
}

/// Reads a small file into memory that is overwritten when dropped. One that is too long comes
/// back one byte over the limit.
fn read_small(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Reserved in full, so that growing leaves no copy of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES_MAX + 64));
    file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
