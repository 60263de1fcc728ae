//! Reading a replica: its head, and the cells that it names.

use std::collections::BTreeMap;

use crate::container::ContainerError;
use crate::container::names;
use crate::container::replica::ObjectKey;
use crate::container::replica::data::{DataSeal, HEADER_BYTES};
use crate::container::replica::head::{CellPlace, Head, HeadHeader};
use crate::ids::VaultId;
use crate::keys::replica_key::ReplicaKeys;
use crate::ops::OpsError;
use crate::store::{ObjectName, Store};

/// Opens the head of that number with the keys of an epoch. It opens with those of its own only.
pub fn open_head(bytes: &[u8], sequence: u64, keys: &ReplicaKeys) -> Result<Head, ContainerError> {
    let object = names::replica_head(sequence);
    let header = HeadHeader::expect(bytes, keys.vault(), sequence, &object)?;
    Head::open(bytes, &keys.head_key(&header.salt, sequence), &object)
}

/// Reads the cells of a head from a store, in the order of the data objects.
pub struct CellReader<'a> {
    store: &'a dyn Store,
    objects: BTreeMap<u64, (ObjectName, DataSeal)>,
}

impl<'a> CellReader<'a> {
    /// Checks that every data object is there, has its length and begins as it must.
    pub async fn open(
        store: &'a dyn Store,
        vault: VaultId,
        head: &Head,
    ) -> Result<CellReader<'a>, OpsError> {
        let mut objects = BTreeMap::new();
        for object in &head.objects {
            let name: ObjectName = object.name.parse()?;
            let key = ObjectKey::from_slice(object.key.expose())
                .ok_or(OpsError::Bug("a key is not 32 bytes"))?;
            let seal = DataSeal::new(key, vault, object.sequence);
            if store.size(&name).await? != object.bytes {
                let reason = "it has another length than the head of the replica says";
                return Err(ContainerError::malformed(name.as_str(), reason).into());
            }
            let header = store.read_range(&name, 0, HEADER_BYTES as u64).await?;
            seal.check_header(&header, name.as_str())?;
            objects.insert(object.sequence, (name, seal));
        }
        Ok(Self { store, objects })
    }

    /// The lines of a cell, piece by piece.
    pub async fn cell(&self, place: &CellPlace) -> Result<Vec<Vec<u8>>, OpsError> {
        let (name, seal) = self
            .objects
            .get(&place.object)
            .ok_or(OpsError::Bug("a cell lies in an object that its head does not list"))?;
        let sealed = self.store.read_range(name, place.offset, place.length).await?;
        Ok(seal.open_cell(place, &sealed, name.as_str())?)
    }
}
