//! Rows that do not fit in memory: to a file without a name, sealed under a key that lives in this
//! process only. After a crash the bytes that the disk may keep open with no key.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::base::durable;
use crate::base::random::CryptoRng;
use crate::crypto::{Context, aead, labels};
use crate::vault::OpsError;

/// Spilled rows could not be written or read. Nothing else that fails on a disk is one of these.
#[derive(Debug)]
pub struct SpillError(pub io::Error);

impl From<io::Error> for SpillError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<SpillError> for OpsError {
    fn from(SpillError(source): SpillError) -> Self {
        Self::Spill { source }
    }
}

crate::secret_key!(
    /// Seals the spilled rows of one relation; never leaves the process.
    SpillKey
);

/// A file of spilled chunks.
pub struct Spill {
    file: File,
    key: SpillKey,
    end: u64,
    chunks: u64,
}

/// Where a chunk lies in the spill file.
#[derive(Debug, Clone, Copy)]
pub struct SpilledChunk {
    number: u64,
    offset: u64,
    sealed_bytes: usize,
    /// The chunk's length.
    pub raw_bytes: usize,
}

impl Spill {
    /// A spill file in `folder`.
    pub fn create(folder: &Path, random: &mut impl CryptoRng) -> Result<Self, SpillError> {
        let file = durable::unnamed_file(folder)?;
        Ok(Self { file, key: SpillKey::generate(random), end: 0, chunks: 0 })
    }

    /// Puts a chunk away.
    pub fn write(&mut self, chunk: Vec<u8>) -> Result<SpilledChunk, SpillError> {
        let (number, raw_bytes) = (self.chunks, chunk.len());
        let mut sealed = chunk;
        sealed.reserve_exact(aead::TAG_BYTES);
        aead::seal_in_place(self.key.expose(), number, &context(number), &mut sealed);
        self.file.write_all_at(&sealed, self.end)?;
        let place =
            SpilledChunk { number, offset: self.end, sealed_bytes: sealed.len(), raw_bytes };
        self.end += sealed.len() as u64;
        self.chunks += 1;
        Ok(place)
    }

    /// Reads a chunk back.
    pub fn read(&self, place: SpilledChunk) -> Result<Vec<u8>, SpillError> {
        let mut sealed = vec![0; place.sealed_bytes];
        self.file.read_exact_at(&mut sealed, place.offset)?;
        aead::open_in_place(self.key.expose(), place.number, &context(place.number), &mut sealed)
            .map_err(|_| SpillError(io::ErrorKind::InvalidData.into()))?;
        Ok(sealed)
    }
}

fn context(number: u64) -> Context {
    Context::new(labels::SPILL).with_number(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn chunks_come_back_and_the_file_shows_nothing_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(folder.path(), &mut random::system()).unwrap();
        let one = spill.write(b"anna@example.org\n".repeat(100)).unwrap();
        let two = spill.write(b"bruno".to_vec()).unwrap();
        assert_eq!(spill.read(two).unwrap(), b"bruno");
        assert_eq!(spill.read(one).unwrap(), b"anna@example.org\n".repeat(100));
        let mut bytes = vec![0; usize::try_from(spill.end).unwrap()];
        spill.file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"bruno" || window == b"anna@"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
