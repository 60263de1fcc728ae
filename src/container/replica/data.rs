//! A data object: cells one after the other, each in one or more sealed frames.
//!
//! ```text
//! data   = header || cell*
//! header = "SRDATA" || version (u16, big-endian: 1) || vault id (16) || sequence (u64)
//! cell   = frame+
//! frame  = length of the sealed bytes (u32, big-endian) || sealed
//! sealed = AES-256-GCM(object key, n, context("strongroom replica frame v1", vault, sequence,
//!                      cell, n), zstd(lines))
//! ```
//!
//! `n` counts the frames of the object from 0. The key belongs to one object, which is written once.

use super::head::CellPlace;
use super::{ObjectKey, check_beginning, compress, decompress};
use crate::base::digest;
use crate::base::digest::RunningDigest;
use crate::base::ids::VaultId;
use crate::container::ContainerError;
use crate::crypto::{Context, aead, labels};

/// The header's length in bytes: the first cell's offset.
pub const HEADER_BYTES: usize = 32;
/// A frame is closed when its lines have reached this many bytes. A longer line is a frame by itself.
pub const FRAME_BYTES_TARGET: usize = 1 << 20;

const MAGIC: [u8; 6] = *b"SRDATA";

/// What a data object is bound to, and its key.
pub struct DataSeal {
    key: ObjectKey,
    vault: VaultId,
    sequence: u64,
}

impl DataSeal {
    /// The seal of one data object.
    #[must_use]
    pub fn new(key: ObjectKey, vault: VaultId, sequence: u64) -> Self {
        Self { key, vault, sequence }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The object's header.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&super::VERSION.to_be_bytes());
        header.extend_from_slice(&self.vault.0);
        header.extend_from_slice(&self.sequence.to_be_bytes());
        header
    }

    /// Checks a data object's header, so that a mix-up is named as one.
    pub fn check_header(&self, bytes: &[u8], object: &str) -> Result<(), ContainerError> {
        check_header(bytes, self.vault, self.sequence, object)
    }

    /// Opens a cell, given the sealed bytes at its place: its lines, frame by frame.
    pub fn open_cell(
        &self,
        place: &CellPlace,
        sealed: &[u8],
        object: &str,
    ) -> Result<Vec<Vec<u8>>, ContainerError> {
        let what = format!("cell `{}` of {object}", place.cell);
        if digest::sha256(sealed) != place.sha256 {
            return Err(ContainerError::not_authentic(&what));
        }
        let (mut rest, mut number, mut frames) = (sealed, place.frame, Vec::new());
        while !rest.is_empty() {
            let cut = || ContainerError::malformed(&what, "it ends within a frame");
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
            let (frame, after) = after.split_at_checked(length).ok_or_else(cut)?;
            let opened =
                aead::open(self.key.expose(), number, &self.context(&place.cell, number), frame)
                    .map_err(|_| ContainerError::not_authentic(&what))?;
            frames.push(decompress(&opened, &what)?);
            rest = after;
            number = number
                .checked_add(1)
                .ok_or_else(|| ContainerError::malformed(&what, "its frames have no numbers"))?;
        }
        Ok(frames)
    }

    fn context(&self, cell: &str, number: u64) -> Context {
        Context::new(labels::REPLICA_FRAME)
            .with(&self.vault.0)
            .with_number(self.sequence)
            .with(cell.as_bytes())
            .with_number(number)
    }
}

/// Turns cells into a data object's bytes, in the order in which they are to be written.
pub struct DataWriter {
    seal: DataSeal,
    frames: u64,
    offset: u64,
}

impl DataWriter {
    /// A writer, and the header to begin with.
    #[must_use]
    pub fn new(seal: DataSeal) -> (Self, Vec<u8>) {
        let header = seal.header();
        (Self { seal, frames: 0, offset: header.len() as u64 }, header)
    }

    /// Seals the next cell, frame by frame: the bytes to append, and where they lie.
    pub fn cell(
        &mut self,
        cell: &str,
        frames: &[Vec<u8>],
    ) -> Result<(Vec<Vec<u8>>, CellPlace), ContainerError> {
        let (frame, offset) = (self.frames, self.offset);
        let mut running = RunningDigest::default();
        let mut pieces = Vec::with_capacity(frames.len());
        for lines in frames {
            let context = self.seal.context(cell, self.frames);
            let payload = compress(lines, cell)?;
            let sealed = aead::seal(self.seal.key.expose(), self.frames, &context, &payload);
            let length = u32::try_from(sealed.len())
                .map_err(|_| ContainerError::malformed(cell, "a frame of it is too long"))?;
            let piece = [&length.to_be_bytes()[..], &sealed].concat();
            running.update(&piece);
            self.frames += 1;
            self.offset += piece.len() as u64;
            pieces.push(piece);
        }
        let length = self.offset - offset;
        let (cell, object) = (cell.to_owned(), self.seal.sequence);
        let sha256 = running.finish();
        Ok((pieces, CellPlace { cell, object, frame, offset, length, sha256 }))
    }

    /// The object's length so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The seal, when all cells are written.
    #[must_use]
    pub fn finish(self) -> DataSeal {
        self.seal
    }
}

/// Checks the header of the data object of a vault and number.
pub fn check_header(
    bytes: &[u8],
    vault: VaultId,
    sequence: u64,
    object: &str,
) -> Result<(), ContainerError> {
    let header = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| ContainerError::malformed(object, "it ends within its header"))?;
    check_beginning(header, MAGIC, "it is not a data object of a replica", object)?;
    if header[8..24] != vault.0 {
        return Err(ContainerError::OtherVault { object: object.to_owned() });
    }
    if header[24..] != sequence.to_be_bytes() {
        return Err(ContainerError::OtherReplica { object: object.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VAULT: VaultId = VaultId([1; 16]);

    fn seal(sequence: u64) -> DataSeal {
        DataSeal::new(ObjectKey::from_slice(&[7; 32]).unwrap(), VAULT, sequence)
    }

    fn object() -> (Vec<u8>, Vec<CellPlace>) {
        let (mut writer, mut bytes) = DataWriter::new(seal(3));
        let mut places = Vec::new();
        for (cell, frames) in
            [("a", vec![b"one\n".to_vec(), b"two\n".repeat(500)]), ("b", vec![b"three\n".to_vec()])]
        {
            let (pieces, place) = writer.cell(cell, &frames).unwrap();
            bytes.extend(pieces.concat());
            places.push(place);
        }
        assert_eq!(writer.bytes(), bytes.len() as u64);
        (bytes, places)
    }

    fn sealed<'a>(bytes: &'a [u8], place: &CellPlace) -> &'a [u8] {
        let offset = usize::try_from(place.offset).unwrap();
        &bytes[offset..offset + usize::try_from(place.length).unwrap()]
    }

    #[test]
    fn cells_are_read_back_one_by_one() {
        let (bytes, places) = object();
        let seal = seal(3);
        seal.check_header(&bytes, "o").unwrap();
        let one = seal.open_cell(&places[0], sealed(&bytes, &places[0]), "o").unwrap();
        assert_eq!(one, [b"one\n".to_vec(), b"two\n".repeat(500)]);
        let two = seal.open_cell(&places[1], sealed(&bytes, &places[1]), "o").unwrap();
        assert_eq!(two, [b"three\n"]);
    }

    #[test]
    fn swapped_cut_and_changed_cells_are_refused() {
        let (bytes, places) = object();
        let own = seal(3);
        let cell = sealed(&bytes, &places[0]);
        assert!(own.open_cell(&places[1], cell, "o").is_err());
        let told = |bytes: &[u8], place: &CellPlace| CellPlace {
            sha256: digest::sha256(bytes),
            ..place.clone()
        };
        // Whoever can change the digest, too, meets the seal.
        for (place, bytes) in [
            (CellPlace { cell: "b".into(), ..places[0].clone() }, cell),
            (CellPlace { frame: 1, ..places[0].clone() }, cell),
            (told(sealed(&bytes, &places[1]), &places[0]), sealed(&bytes, &places[1])),
        ] {
            assert!(own.open_cell(&place, bytes, "o").is_err());
        }
        assert!(seal(4).open_cell(&places[0], cell, "o").is_err());
        for length in 1..cell.len() {
            // A cut between frames opens: that the whole cell is there is the digest's part.
            let cut = told(&cell[..length], &places[0]);
            let frames = own.open_cell(&cut, &cell[..length], "o");
            assert!(frames.map_or(true, |frames| frames.len() == 1), "{length}");
            assert!(own.open_cell(&places[0], &cell[..length], "o").is_err());
        }
        for byte in 0..cell.len() {
            let mut flipped = cell.to_vec();
            flipped[byte] ^= 1;
            assert!(own.open_cell(&told(&flipped, &places[0]), &flipped, "o").is_err());
        }
        let header = own.header();
        assert!(matches!(
            seal(4).check_header(&header, "o"),
            Err(ContainerError::OtherReplica { .. })
        ));
        for length in 0..HEADER_BYTES {
            assert!(own.check_header(&header[..length], "o").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes: Vec<u8>, frame: u64) {
            let place = CellPlace {
                cell: "a".into(),
                object: 3,
                frame,
                offset: 32,
                length: bytes.len() as u64,
                sha256: digest::sha256(&bytes),
            };
            prop_assert!(bytes.is_empty() || seal(3).open_cell(&place, &bytes, "o").is_err());
        }
    }
}
