//! Reading a replica: its head, and the cells that it names.

use crate::store::read_exact;
use std::collections::BTreeMap;

use crate::base::ids::VaultId;
use crate::container::replica::ObjectKey;
use crate::container::replica::data::{DataSeal, HEADER_BYTES};
use crate::container::replica::head::{CellPlace, Head, HeadHeader};
use crate::container::{ContainerError, names};
use crate::keys::replica_key::ReplicaKeys;
use crate::store::{ObjectName, Store};
use crate::vault::OpsError;
use crate::vault::stores::Copies;

/// Opens the head of that number with the keys of an epoch. It opens with those of its own only.
pub fn open_head(bytes: &[u8], sequence: u64, keys: &ReplicaKeys) -> Result<Head, ContainerError> {
    let object = names::replica_head(sequence);
    let header = HeadHeader::expect(bytes, keys.vault(), sequence, &object)?;
    Head::open(bytes, &keys.head_key(&header.salt, sequence), &object)
}

/// Reads the cells of a head from the stores, in the order of the data objects.
pub struct CellReader<'a> {
    copies: &'a Copies,
    objects: BTreeMap<u64, (ObjectName, DataSeal)>,
}

impl<'a> CellReader<'a> {
    /// Checks that every data object is there, has its length and begins as it must.
    pub async fn open(
        copies: &'a Copies,
        vault: VaultId,
        head: &Head,
    ) -> Result<CellReader<'a>, OpsError> {
        let mut objects = BTreeMap::new();
        for object in &head.objects {
            let name: ObjectName = object.name.parse()?;
            let key = ObjectKey::from_slice(object.key.expose())
                .ok_or(OpsError::Bug("a key is not 32 bytes"))?;
            let seal = DataSeal::new(key, vault, object.sequence);
            let mut attempts = copies.attempts(&name);
            loop {
                let Some(store) = attempts.next_store() else { return Err(attempts.error()) };
                match check(store, &name, object.bytes, &seal).await {
                    Ok(()) => break attempts.succeeded(()),
                    Err(error) => attempts.failed(error)?,
                }
            }
            objects.insert(object.sequence, (name, seal));
        }
        Ok(Self { copies, objects })
    }

    /// The lines of a cell, piece by piece.
    pub async fn cell(&self, place: &CellPlace) -> Result<Vec<Vec<u8>>, OpsError> {
        let (name, seal) = self
            .objects
            .get(&place.object)
            .ok_or(OpsError::Bug("a cell lies in an object that its head does not list"))?;
        let mut attempts = self.copies.attempts(name);
        while let Some(store) = attempts.next_store() {
            let opened = match read_exact(store, name, place.offset, place.length).await {
                Ok(sealed) => seal.open_cell(place, &sealed, name.as_str()).map_err(OpsError::from),
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(lines) => return Ok(attempts.succeeded(lines)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }
}

async fn check(
    store: &dyn Store,
    name: &ObjectName,
    bytes: u64,
    seal: &DataSeal,
) -> Result<(), OpsError> {
    if store.size(name).await? != bytes {
        let reason = "it has another length than the head of the replica says";
        return Err(ContainerError::malformed(name.as_str(), reason).into());
    }
    let header = read_exact(store, name, 0, HEADER_BYTES as u64).await?;
    Ok(seal.check_header(&header, name.as_str())?)
}

/// Whether a head is nobody's. Another machine's opens with the keys of its epoch; of an epoch whose
/// keys are not at hand, nobody can say.
pub fn is_damaged(vault: VaultId, keys: Option<&ReplicaKeys>, head: &[u8], sequence: u64) -> bool {
    let object = names::replica_head(sequence);
    match (HeadHeader::expect(head, vault, sequence, &object), keys) {
        (Err(_), _) => true,
        (Ok(header), Some(keys)) if header.epoch == keys.epoch() => {
            open_head(head, sequence, keys).is_err()
        }
        _ => false,
    }
}
