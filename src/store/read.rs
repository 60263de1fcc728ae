//! Reading a whole object, or a part of it and not a byte less.

use bytes::{Bytes, BytesMut};

use super::{ObjectName, Store, StoreError};

/// Part of an object, and not a byte less.
pub async fn read_exact(
    store: &dyn Store,
    name: &ObjectName,
    offset: u64,
    length: u64,
) -> Result<Bytes, StoreError> {
    let bytes = store.read_range(name, offset, length).await?;
    if bytes.len() as u64 == length {
        return Ok(bytes);
    }
    let (location, name) = (store.location(), name.to_string());
    let available = bytes.len() as u64;
    Err(StoreError::ShortRead { location, name, offset, length, available })
}

/// A whole object that fits in memory (manifest, schema archive, vault marker), in pieces: what a store
/// says of a length takes no memory before bytes have come.
///
/// # Errors
/// `TooLong` when it has more than `bytes_max` bytes.
pub async fn read_whole(
    store: &dyn Store,
    name: &ObjectName,
    bytes_max: u64,
) -> Result<Bytes, StoreError> {
    const PIECE_BYTES: u64 = 4 << 20;
    let length = store.size(name).await?;
    if length > bytes_max {
        let (location, name) = (store.location(), name.to_string());
        return Err(StoreError::TooLong { location, name, length, bytes_max });
    }
    if length <= PIECE_BYTES {
        return read_exact(store, name, 0, length).await;
    }
    let mut whole = BytesMut::new();
    while (whole.len() as u64) < length {
        let offset = whole.len() as u64;
        let piece = PIECE_BYTES.min(length - offset);
        whole.extend_from_slice(&read_exact(store, name, offset, piece).await?);
    }
    Ok(whole.freeze())
}
