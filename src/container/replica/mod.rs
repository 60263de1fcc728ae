//! The catalog's replica in the store: data objects hold cells (a part of the catalog's rows each),
//! a head says which cells make up the catalog at one moment, where they lie, and under which keys.
//!
//! Data objects are sealed under keys of their own, which are in the head; the head is sealed under
//! a key of its epoch. So a head, and with it everything that only it leads to, dies with the epoch.

pub mod data;
pub mod head;

use super::ContainerError;

crate::secret_key!(
    /// Seals the cells of one data object.
    ObjectKey
);

/// The newest version of the replica's objects that is known here.
pub const VERSION: u16 = 1;

const COMPRESSION_LEVEL: i32 = 3;

/// Against a length field that lies: no frame and no head is longer, opened.
pub const PLAIN_BYTES_MAX: usize = 1 << 28;

/// One Zstandard frame with its content size, without checksum and dictionary.
fn compress(plain: &[u8], object: &str) -> Result<Vec<u8>, ContainerError> {
    let compress = || -> std::io::Result<Vec<u8>> {
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        compressor.include_checksum(false)?;
        compressor.include_contentsize(true)?;
        compressor.compress(plain)
    };
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(ContainerError::malformed(object, "it would be too long to be read again"));
    }
    compress().map_err(|_| ContainerError::malformed(object, "it could not be compressed"))
}

/// What [`compress`] was given. Nothing is allocated for a length that cannot be.
fn decompress(compressed: &[u8], object: &str) -> Result<Vec<u8>, ContainerError> {
    let malformed = |reason| ContainerError::malformed(object, reason);
    let length = zstd::zstd_safe::get_frame_content_size(compressed)
        .ok()
        .flatten()
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| malformed("it does not say how long it is"))?;
    if length > PLAIN_BYTES_MAX {
        return Err(malformed("it claims to be longer than it can be"));
    }
    let plain = zstd::bulk::decompress(compressed, length)
        .map_err(|_| malformed("it does not decompress"))?;
    if plain.len() == length { Ok(plain) } else { Err(malformed("it is shorter than it says")) }
}

/// Checks the magic and the version that every object of a replica begins with.
fn check_beginning(
    header: &[u8],
    magic: [u8; 6],
    not_this: &'static str,
    object: &str,
) -> Result<(), ContainerError> {
    if header[..6] != magic {
        return Err(ContainerError::malformed(object, not_this));
    }
    let version = u16::from_be_bytes([header[6], header[7]]);
    if version == VERSION {
        return Ok(());
    }
    Err(ContainerError::NewerFormat {
        object: object.to_owned(),
        found: version.into(),
        known: VERSION.into(),
    })
}
