//! Reading a whole object, or a part of it and not a byte less.

use bytes::Bytes;

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

/// A whole object that fits in memory (manifest, schema archive, vault marker).
pub async fn read_whole(store: &dyn Store, name: &ObjectName) -> Result<Bytes, StoreError> {
    let length = store.size(name).await?;
    read_exact(store, name, 0, length).await
}
