//! Verifying the catalog's replica: everything of it that a recovery would read, store by store.

use serde::Serialize;

use super::{CellReader, newest_head, open_head, places};
use crate::catalog::replica;
use crate::container::bounds::HEAD_BYTES_MAX;
use crate::container::names;
use crate::container::replica::head::HeadHeader;
use crate::store::read_whole;
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::stores::{Copies, NamedStore};

crate::words! {
    /// How a store's copy of the replica stands.
    ReplicaHealth, "state of a replica",
    /// Everything of it was read and is right.
    Intact = "intact",
    /// It is older than the newest, of another epoch, or not there: the next command that writes brings it
    /// up to date.
    Behind = "behind",
    /// Something of it is missing or wrong.
    Damaged = "damaged",
    /// The store could not be read to the end.
    Unreachable = "unreachable",
}

/// One store's copy of the replica.
#[derive(Debug, Clone, Serialize)]
pub struct ReplicaCopy {
    /// The store.
    pub store: String,
    /// Its number; nothing where there is none.
    pub number: Option<u64>,
    /// How it stands.
    pub state: ReplicaHealth,
    /// Bytes that were read of it.
    pub bytes: u64,
    /// What is wrong with it, as one sentence.
    pub problem: Option<String>,
}

/// Reads the replica in every store: its head, and every cell that a recovery would make the catalog
/// of.
pub async fn verify(vault: &Vault, unlocked: &Unlocked) -> Result<Vec<ReplicaCopy>, OpsError> {
    let known = replica::state(vault.catalog().connection())?.sequence;
    let mut found = Vec::new();
    for store in places::stores(vault).await? {
        let mut copy = ReplicaCopy {
            store: store.name.clone(),
            number: None,
            state: ReplicaHealth::Intact,
            bytes: 0,
            problem: None,
        };
        match read(vault, unlocked, &store, &mut copy).await {
            Ok(true) if copy.number.is_some_and(|number| number >= known) => {}
            Ok(_) => copy.state = ReplicaHealth::Behind,
            Err(error) => {
                let damaged = error.is_damage();
                copy.state =
                    if damaged { ReplicaHealth::Damaged } else { ReplicaHealth::Unreachable };
                copy.problem = Some(error.to_string());
            }
        }
        found.push(copy);
    }
    // Where no store has one, nothing could be recovered.
    if known > 0 && found.iter().all(|copy| copy.number.is_none() && copy.problem.is_none()) {
        for copy in &mut found {
            copy.state = ReplicaHealth::Damaged;
            copy.problem = Some("it holds no replica of the catalog".to_owned());
        }
    }
    Ok(found)
}

/// Whether there is one of the catalog's own epoch, and all of it was read.
async fn read(
    vault: &Vault,
    unlocked: &Unlocked,
    store: &NamedStore,
    copy: &mut ReplicaCopy,
) -> Result<bool, OpsError> {
    let Some(number) = newest_head(&*store.store, 0, true).await? else { return Ok(false) };
    copy.number = Some(number);
    let bytes =
        read_whole(&*store.store, &names::replica_head(number).parse()?, HEAD_BYTES_MAX).await?;
    copy.bytes += bytes.len() as u64;
    let epoch = unlocked.ring().epoch();
    let header = HeadHeader::expect(&bytes, vault.id(), number, &names::replica_head(number))?;
    if header.epoch != epoch {
        // Of an old store, or of a catalog that was put back: nobody can say whether it is right.
        copy.problem = Some(format!("it is of epoch {}, the catalog of {epoch}", header.epoch));
        return Ok(false);
    }
    let keys = unlocked.ring().replica_keys();
    let head = open_head(&bytes, number, &keys)?;
    // Of this store alone: what another one has right does not make this copy right.
    let copies = Copies::new(vec![store.clone()]);
    let reader = CellReader::open(&copies, vault.id(), &head).await?;
    for place in &head.cells {
        reader.cell(place).await?;
        copy.bytes += place.length;
    }
    Ok(true)
}
