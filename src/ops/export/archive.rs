//! The file that is handed out: a tar archive inside an age file, written piece by piece. What is in
//! it reaches the disk encrypted only.

use std::io::{self, Write};
use std::path::Path;

use age::stream::StreamWriter;
use age::x25519::Recipient;
use chrono::{DateTime, Utc};

use crate::base::durable::NewFile;
use crate::keys::KeyError;
use crate::vault::OpsError;

/// tar's unit: contents are filled up to it with zeros.
const BLOCK_BYTES: u64 = 512;

/// An archive that is being written. Dropped unfinished, it leaves nothing behind.
pub struct Archive {
    tar: tar::Builder<StreamWriter<NewFile>>,
    what: String,
    /// The modification time of everything in it.
    at: u64,
    /// Bytes that the file begun last still lacks, and its whole length.
    lacking: u64,
    length: u64,
}

impl Archive {
    /// Begins it for these recipients; files in it are dated `at`.
    pub fn begin(
        path: &Path,
        recipients: &[Recipient],
        at: DateTime<Utc>,
    ) -> Result<Self, OpsError> {
        let what = format!("writing {}", path.display());
        let failed = |source| OpsError::File { what: what.clone(), source };
        let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients)
            .map_err(|_| KeyError::InvalidAgeKey { what: "the list of recipients".to_owned() })?;
        let file = NewFile::begin(path).map_err(failed)?;
        let tar = tar::Builder::new(encryptor.wrap_output(file).map_err(failed)?);
        let at = u64::try_from(at.timestamp()).unwrap_or(0);
        Ok(Self { tar, what, at, lacking: 0, length: 0 })
    }

    /// Adds a whole file.
    pub fn file(&mut self, name: &str, contents: &[u8]) -> Result<(), OpsError> {
        self.begin_file(name, contents.len() as u64)?;
        self.write(contents)?;
        self.end_file()
    }

    /// Begins a file of that length; its contents follow by [`Archive::write`]. The name is of at
    /// most 100 bytes.
    pub fn begin_file(&mut self, name: &str, length: u64) -> Result<(), OpsError> {
        let mut header = tar::Header::new_gnu();
        self.during(|archive| {
            header.set_path(name)?;
            header.set_size(length);
            header.set_mode(0o600);
            header.set_mtime(archive.at);
            header.set_cksum();
            archive.tar.append(&header, io::empty())
        })?;
        (self.length, self.lacking) = (length, length);
        Ok(())
    }

    /// More of the file's contents.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let too_long = OpsError::Bug("a file of an export is longer than was said");
        self.lacking = self.lacking.checked_sub(bytes.len() as u64).ok_or(too_long)?;
        self.during(|archive| archive.tar.get_mut().write_all(bytes))
    }

    /// So many zeros.
    pub fn write_zeros(&mut self, mut count: u64) -> Result<(), OpsError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let part = count.min(ZEROS.len() as u64);
            self.write(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())])?;
            count -= part;
        }
        Ok(())
    }

    /// Ends the file.
    pub fn end_file(&mut self) -> Result<(), OpsError> {
        if self.lacking > 0 {
            return Err(OpsError::Bug("a file of an export is shorter than was said"));
        }
        let filling = (BLOCK_BYTES - self.length % BLOCK_BYTES) % BLOCK_BYTES;
        self.lacking = filling;
        self.write_zeros(filling)
    }

    /// Ends the archive, makes it durable and gives it its name; how many bytes it has.
    pub fn finish(self) -> Result<u64, OpsError> {
        let Self { tar, what, .. } = self;
        let finished = || tar.into_inner()?.finish()?.finish();
        finished().map_err(|source| OpsError::File { what, source })
    }

    fn during(&mut self, run: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), OpsError> {
        run(self).map_err(|source| OpsError::File { what: self.what.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_was_written_is_there_for_its_recipient() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.age");
        let identity = age::x25519::Identity::generate();
        let recipients = [identity.to_public()];
        let mut archive = Archive::begin(&path, &recipients, DateTime::UNIX_EPOCH).unwrap();
        archive.file("a", b"").unwrap();
        archive.file("b", &[7; 513]).unwrap();
        archive.begin_file("c", 5000).unwrap();
        archive.write(b"x").unwrap();
        assert!(archive.end_file().is_err(), "it is too short");
        archive.write_zeros(4999).unwrap();
        assert!(archive.write(b"x").is_err(), "it is too long");
        archive.end_file().unwrap();
        assert!(!path.exists(), "it has no name yet");
        let bytes = archive.finish().unwrap();

        let sealed = std::fs::read(&path).unwrap();
        assert_eq!(sealed.len() as u64, bytes);
        let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
        let plain = decryptor.decrypt(std::iter::once(&identity as _)).unwrap();
        let mut archive = tar::Archive::new(plain);
        let mut found = Vec::new();
        for file in archive.entries().unwrap() {
            let mut file = file.unwrap();
            let mut contents = Vec::new();
            file.read_to_end(&mut contents).unwrap();
            found.push((file.path().unwrap().display().to_string(), contents));
        }
        let large = [&b"x"[..], &[0; 4999]].concat();
        let expected = [("a", vec![]), ("b", vec![7; 513]), ("c", large)];
        assert_eq!(found, expected.map(|(name, contents)| (name.to_owned(), contents)));
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.age");
        let recipients = [age::x25519::Identity::generate().to_public()];
        let begin = || Archive::begin(&path, &recipients, DateTime::UNIX_EPOCH).unwrap();
        let mut archive = begin();
        archive.file("a", &vec![1; 200_000]).unwrap();
        drop(archive);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(&path, b"before").unwrap();
        assert!(begin().finish().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
