//! The file that is handed out: a tar or zip archive inside an age file, written piece by piece. What
//! is in it reaches the disk encrypted only.
//!
//! Everything in it lies in one folder, whose name no other export has. Two people's exports that are
//! unpacked in the same place stay apart.

use std::io::{self, Write};
use std::path::Path;

use age::stream::StreamWriter;
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use zip::write::SimpleFileOptions;

use crate::base::durable::NewFile;
use crate::keys::KeyError;
use crate::keys::master::age_keys::Recipient;
use crate::vault::OpsError;

/// tar's unit: contents are filled up to it with zeros.
const BLOCK_BYTES: u64 = 512;
/// From this length on a file of a zip archive is noted in its long form.
const ZIP_LONG_BYTES: u64 = u32::MAX as u64;

/// The kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For those who have tar.
    Tar,
    /// For everybody else.
    Zip,
}

type Sealed = StreamWriter<NewFile>;

/// What is written through.
enum Writer {
    Tar(tar::Builder<Sealed>),
    Zip(Box<zip::ZipWriter<zip::write::StreamWriter<Sealed>>>),
}

/// An archive that is being written. Dropped unfinished, it leaves nothing behind.
pub struct Archive {
    writer: Writer,
    what: String,
    /// The folder of everything in it.
    folder: String,
    /// The modification time of everything in it.
    at: DateTime<Utc>,
    /// Bytes that the file begun last still lacks, and its whole length.
    lacking: u64,
    length: u64,
}

impl Archive {
    /// Begins it for these recipients; files in it lie in `folder` and are dated `at`.
    pub fn begin(
        path: &Path,
        format: Format,
        recipients: &[Recipient],
        folder: &str,
        at: DateTime<Utc>,
    ) -> Result<Self, OpsError> {
        let what = format!("writing {}", path.display());
        let failed = |source| OpsError::File { what: what.clone(), source };
        let recipients = recipients.iter().map(Recipient::as_age);
        let encryptor = age::Encryptor::with_recipients(recipients)
            .map_err(|_| KeyError::InvalidAgeKey { what: "the list of recipients".to_owned() })?;
        let file = NewFile::begin(path).map_err(failed)?;
        let sealed = encryptor.wrap_output(file).map_err(failed)?;
        let writer = match format {
            Format::Tar => Writer::Tar(tar::Builder::new(sealed)),
            Format::Zip => Writer::Zip(Box::new(zip::ZipWriter::new_stream(sealed))),
        };
        Ok(Self { writer, what, folder: folder.to_owned(), at, lacking: 0, length: 0 })
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
        let name = format!("{}/{name}", self.folder);
        let at = self.at;
        self.during(|writer| match writer {
            Writer::Tar(tar) => {
                // This kind holds folders of up to 155 bytes beside the name.
                let mut header = tar::Header::new_ustar();
                header.set_path(name)?;
                header.set_size(length);
                header.set_mode(0o600);
                header.set_mtime(u64::try_from(at.timestamp()).unwrap_or(0));
                header.set_cksum();
                tar.append(&header, io::empty())
            }
            Writer::Zip(zip) => {
                let options = SimpleFileOptions::default()
                    .compression_method(zip::CompressionMethod::Deflated)
                    .last_modified_time(zip_time(at))
                    .unix_permissions(0o600)
                    .large_file(length >= ZIP_LONG_BYTES);
                Ok(zip.start_file(name, options)?)
            }
        })?;
        (self.length, self.lacking) = (length, length);
        Ok(())
    }

    /// More of the file's contents.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let too_long = OpsError::Bug("a file of an export is longer than was said");
        self.lacking = self.lacking.checked_sub(bytes.len() as u64).ok_or(too_long)?;
        self.during(|writer| writer.contents().write_all(bytes))
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
        if let Writer::Zip(_) = self.writer {
            return Ok(());
        }
        let filling = (BLOCK_BYTES - self.length % BLOCK_BYTES) % BLOCK_BYTES;
        self.lacking = filling;
        self.write_zeros(filling)
    }

    /// Ends the archive, makes it durable and gives it its name; how many bytes it has.
    pub fn finish(self) -> Result<u64, OpsError> {
        let Self { writer, what, .. } = self;
        let sealed = || match writer {
            Writer::Tar(tar) => tar.into_inner(),
            Writer::Zip(zip) => Ok(zip.finish()?.into_inner()),
        };
        let finished = || sealed()?.finish()?.finish();
        finished().map_err(|source| OpsError::File { what, source })
    }

    fn during(&mut self, run: impl FnOnce(&mut Writer) -> io::Result<()>) -> Result<(), OpsError> {
        run(&mut self.writer).map_err(|source| OpsError::File { what: self.what.clone(), source })
    }
}

impl Writer {
    /// Where a file's contents go.
    fn contents(&mut self) -> &mut dyn Write {
        match self {
            Self::Tar(tar) => tar.get_mut(),
            Self::Zip(zip) => zip,
        }
    }
}

/// A moment as zip notes it: local time without a zone, in steps of two seconds, from 1980 on.
fn zip_time(at: DateTime<Utc>) -> zip::DateTime {
    let part = |number: u32| u8::try_from(number).unwrap_or(0);
    let year = u16::try_from(at.year()).unwrap_or(0);
    zip::DateTime::from_date_and_time(
        year,
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    /// What an archive of three files holds for its recipient.
    fn written(format: Format) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.age");
        let identity = age::x25519::Identity::generate();
        let recipients = [Recipient::Age(identity.to_public())];
        let at = DateTime::UNIX_EPOCH;
        let mut archive = Archive::begin(&path, format, &recipients, "folder", at).unwrap();
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
        let mut plain = decryptor.decrypt(std::iter::once(&identity as _)).unwrap();
        let mut archive = Vec::new();
        plain.read_to_end(&mut archive).unwrap();
        archive
    }

    fn expected() -> Vec<(String, Vec<u8>)> {
        let large = [&b"x"[..], &[0; 4999]].concat();
        let files = [("a", vec![]), ("b", vec![7; 513]), ("c", large)];
        files.map(|(name, contents)| (format!("folder/{name}"), contents)).into()
    }

    #[test]
    fn what_was_written_is_there_for_its_recipient() {
        let bytes = written(Format::Tar);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut found = Vec::new();
        for file in archive.entries().unwrap() {
            let mut file = file.unwrap();
            let mut contents = Vec::new();
            file.read_to_end(&mut contents).unwrap();
            found.push((file.path().unwrap().display().to_string(), contents));
        }
        assert_eq!(found, expected());

        let mut archive = zip::ZipArchive::new(Cursor::new(written(Format::Zip))).unwrap();
        let mut found = Vec::new();
        for number in 0..archive.len() {
            let mut file = archive.by_index(number).unwrap();
            let mut contents = Vec::new();
            file.read_to_end(&mut contents).unwrap();
            found.push((file.name().unwrap().into_owned(), contents));
        }
        assert_eq!(found, expected());
    }

    #[test]
    fn a_long_folder_and_a_long_name_fit() {
        let folder = tempfile::tempdir().unwrap();
        let recipients = [Recipient::Age(age::x25519::Identity::generate().to_public())];
        for (number, format) in [Format::Tar, Format::Zip].into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let (long, at) = ("f".repeat(110), Utc::now());
            let mut archive = Archive::begin(&path, format, &recipients, &long, at).unwrap();
            archive.file(&format!("tables/{}", "n".repeat(90)), b"x").unwrap();
            archive.finish().unwrap();
        }
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.age");
        let recipients = [Recipient::Age(age::x25519::Identity::generate().to_public())];
        let at = DateTime::UNIX_EPOCH;
        let begin = || Archive::begin(&path, Format::Tar, &recipients, "f", at).unwrap();
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
