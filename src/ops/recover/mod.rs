//! Recover: the catalog made anew on an empty machine, from its replica in the store, the recovery
//! kit's master secret and a quorum of custodians.
//!
//! Order: everything is read and checked in a catalog under a temporary name; then the master secret
//! (`recover.master`), the subject maps, and last the catalog (`recover.catalog`). So a catalog that
//! has its name is whole. A replica that is older than what the custodians know is refused: it would
//! bring back what was forgotten, or lose what was recorded since.

mod check;
mod choose;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::audit::{self, Action, NewEntry, Outcome};
use crate::base::ids::{Epoch, ShardId, ShareSet, VaultId};
use crate::base::{durable, random};
use crate::catalog::custody::{self as custody_rows, SetState, ShareRow, ShareSetRow, ShareState};
use crate::catalog::replica::rebuild::{Rebuild, Rebuilt};
use crate::catalog::replica::{self, CellRow, ObjectRow};
use crate::catalog::vault_keys::{self, VaultKeyRow};
use crate::catalog::{Catalog, backups, sources, subject_maps, subjects};
use crate::container::replica::head::Head;
use crate::keys::MasterSecret;
use crate::keys::master::{self, Protection};
use crate::keys::replica_key::ReplicaKeys;
use crate::keys::vault_keys::audit_head_key;
use crate::vault::OpsError;
use crate::vault::custody::{EpochSecrets, LaterShare};
use crate::vault::handle::Vault;
use crate::vault::replica::{CellReader, ReplicaError, SyncReport, sync};
use crate::vault::settings::{Environment, VaultPlaces};
use crate::vault::stores::Copies;

/// The custodians of the recovered vault by name, each with the number of its share.
pub fn members(vault: &Vault) -> Result<Vec<(String, u8)>, OpsError> {
    let present = custody_rows::present(vault.catalog().connection())?;
    Ok(present.shares.into_iter().map(|share| (share.custodian, share.index)).collect())
}

/// What a recovery needs.
pub struct RecoverRequest<'a> {
    /// Where the vault's parts shall be, and where its stores are: those that are left of them, each of
    /// which must answer.
    pub places: VaultPlaces,
    /// The moment, and who gave the command.
    pub environment: Environment,
    /// The vault, as the recovery kit names it.
    pub vault: VaultId,
    /// The master secret, from the recovery kit.
    pub master: MasterSecret,
    /// For whom the master secret is encrypted on this machine.
    pub protection: Protection,
    /// The custodians.
    pub epochs: &'a dyn EpochSecrets,
    /// The epoch of the replica to use although the custodians know a newer one.
    pub epoch: Option<Epoch>,
}

/// What was recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecoverReport {
    /// The vault.
    pub vault: VaultId,
    /// The replica's number.
    pub replica: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was written, RFC 3339.
    pub written_at: String,
    /// Sources.
    pub sources: usize,
    /// Backups.
    pub backups: usize,
    /// Data subjects.
    pub subjects: u64,
    /// Subject maps that were written to the folder of maps.
    pub maps: Vec<PathBuf>,
    /// What is wrong with the audit log, if anything is: it was so when the replica was written, and
    /// no reason to leave the backups lost.
    pub audit_finding: Option<String>,
}

/// A vault that was recovered, and the keys to go on with.
pub struct Recovered {
    /// What was recovered.
    pub report: RecoverReport,
    vault: Vault,
    keys: ReplicaKeys,
}

impl Recovered {
    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Writes the next replica, so that the machine from which the last one came, should it still
    /// live, is told that it is not the vault's machine any more.
    pub async fn go_on(&self) -> Result<SyncReport, OpsError> {
        let lock = self.vault.lock_for_writing("recover")?;
        sync(&self.vault, &self.keys, &lock).await
    }
}

/// Makes the catalog anew. Nothing is there unless this succeeds, but for the master secret and
/// subject maps, should the last steps fail.
pub async fn recover(request: RecoverRequest<'_>) -> Result<Recovered, OpsError> {
    let RecoverRequest { places, environment, vault, master, protection, epochs, epoch } = request;
    for place in [&places.master, &places.catalog] {
        if place.exists() {
            return Err(OpsError::VaultExists { place: place.display().to_string() });
        }
    }
    let copies = choose::stores(&places, vault, &environment).await?;
    let (chosen, secret, head) =
        choose::best(&copies, &environment, vault, epochs, epoch, &master).await?;
    let (sequence, known) = (chosen.sequence, Catalog::version());
    if head.schema > known {
        return Err(ReplicaError::NewerCatalog { sequence, found: head.schema, known }.into());
    }

    for file in [&places.catalog, &places.master] {
        durable::create_folder(durable::folder_of(file)).map_err(writing(file))?;
    }
    let rebuilt = rebuild(&copies, &places, vault, &head).await?;
    let ring = check::keys(rebuilt.catalog(), &chosen, vault, &master, &secret)?;
    let keys = ring.replica_keys();
    let audit_finding = check::audit_log(rebuilt.catalog(), vault, &master)?;
    adopt(&rebuilt, &chosen, &head, &keys)?;
    give_up_later(&rebuilt, &environment, epochs.later(chosen.epoch))?;
    let mut report = describe(&rebuilt, &chosen, &head)?;
    report.audit_finding = audit_finding;
    record(&rebuilt, &environment, &master, &report)?;

    let sealed = master::seal(&master, vault, &protection)?;
    durable::step("recover.master", || durable::create_file(&places.master, &sealed))
        .map_err(writing(&places.master))?;
    report.maps = write_maps(&rebuilt, &places)?;
    drop(rebuilt.publish()?);
    let vault = Vault::open(places, environment)?;
    Ok(Recovered { report, vault, keys })
}

fn writing(file: &std::path::Path) -> impl FnOnce(std::io::Error) -> OpsError {
    let what = format!("writing {}", file.display());
    move |source| OpsError::File { what, source }
}

/// Reads every cell into a catalog that has no name yet.
async fn rebuild(
    copies: &Copies,
    places: &VaultPlaces,
    vault: VaultId,
    head: &Head,
) -> Result<Rebuilt, OpsError> {
    let reader = CellReader::open(copies, vault, head).await?;
    let mut rebuild = Rebuild::begin(&places.catalog, head.schema)?;
    for place in &head.cells {
        let pieces = reader.cell(place).await?;
        rebuild.add_cell(pieces.iter().map(Vec::as_slice))?;
    }
    Ok(rebuild.finish()?)
}

/// Notes in the catalog from which replica it comes, so that the next sync goes on from there.
fn adopt(
    rebuilt: &Rebuilt,
    chosen: &choose::Chosen,
    head: &Head,
    keys: &ReplicaKeys,
) -> Result<(), OpsError> {
    let random = &mut random::system();
    rebuilt.catalog().transaction(|transaction| {
        for object in &head.objects {
            let row = ObjectRow {
                sequence: object.sequence,
                name: object.name.clone(),
                bytes: object.bytes,
            };
            replica::insert_object(transaction, &row)?;
            let kind = ReplicaKeys::kind(object.sequence);
            let wrapped_key = keys.wrap(object.sequence, object.key.expose(), random)?;
            let row = VaultKeyRow { kind, shard_id: ShardId::VAULT, wrapped_key };
            vault_keys::insert(transaction, &row)?;
        }
        let rows: Vec<CellRow> = head
            .cells
            .iter()
            .map(|place| CellRow {
                cell: place.cell.clone(),
                sequence: place.object,
                frame: place.frame,
                start: place.offset,
                bytes: place.length,
                sha256: place.sha256,
                content: None,
            })
            .collect();
        replica::insert_cells(transaction, &rows)?;
        let newest = &chosen.newest;
        replica::adopt(transaction, newest.sequence, newest.epoch, newest.sha256)?;
        Ok(())
    })
}

/// Shares of later epochs, where somebody insisted on an older one: they must go, or no epoch could
/// ever take their number.
fn give_up_later(
    rebuilt: &Rebuilt,
    environment: &Environment,
    later: Vec<LaterShare>,
) -> Result<(), OpsError> {
    let changed_at = environment.clock.now();
    rebuilt.catalog().transaction(|transaction| {
        let present = custody_rows::present(transaction)?;
        let known = custody_rows::all(transaction)?;
        let mut sets: BTreeMap<(Epoch, ShareSet), ShareSetRow> = BTreeMap::new();
        for share in later {
            let LaterShare { member, epoch, set, threshold, index } = share;
            let member = present.shares.iter().find(|row| row.index == member);
            let is_known = known.iter().any(|row| (row.epoch, row.set) == (epoch, set));
            let (Some(member), false) = (member, is_known) else { continue };
            let row = sets.entry((epoch, set)).or_insert_with(|| ShareSetRow {
                epoch,
                set,
                threshold,
                // What the catalog that is gone wrapped under it, nobody here knows.
                state: SetState::Undone,
                changed_at,
                shares: Vec::new(),
            });
            let custodian = member.custodian.clone();
            row.shares.push(ShareRow { custodian, index, state: ShareState::Held, changed_at });
        }
        sets.values().try_for_each(|set| custody_rows::insert(transaction, set))?;
        Ok(())
    })
}

/// The audit log of the recovered vault says that it was recovered, and from what.
fn record(
    rebuilt: &Rebuilt,
    environment: &Environment,
    master: &MasterSecret,
    report: &RecoverReport,
) -> Result<(), OpsError> {
    let detail = format!("replica={}", report.replica);
    let entry = NewEntry {
        at: environment.clock.now(),
        actor: &environment.who.actor,
        host: &environment.who.host,
        action: Action::Recover,
        object: &report.vault.to_string(),
        outcome: Outcome::Done,
        detail: Some(&detail),
    };
    let key = audit_head_key(master, report.vault);
    let connection = rebuilt.catalog().connection();
    // A log that does not hold is not signed, for `audit verify` to find.
    let _ = match report.audit_finding {
        None => audit::record_with_head(connection, &entry, |message| key.mac_message(message))?,
        Some(_) => audit::record(connection, &entry)?,
    };
    Ok(())
}

fn describe(
    rebuilt: &Rebuilt,
    chosen: &choose::Chosen,
    head: &Head,
) -> Result<RecoverReport, OpsError> {
    let connection = rebuilt.catalog().connection();
    Ok(RecoverReport {
        vault: chosen.vault,
        replica: chosen.sequence,
        epoch: chosen.epoch,
        written_at: crate::base::clock::timestamp(head.written_at),
        sources: sources::all(connection)?.len(),
        backups: backups::list(connection, &backups::BackupFilter::default())?.len(),
        subjects: subjects::count(connection)?,
        maps: Vec::new(),
        audit_finding: None,
    })
}

/// Writes each source's map in force to the folder of maps. A file that is there stays.
fn write_maps(rebuilt: &Rebuilt, places: &VaultPlaces) -> Result<Vec<PathBuf>, OpsError> {
    let connection = rebuilt.catalog().connection();
    durable::create_folder(&places.maps).map_err(writing(&places.maps))?;
    let mut written = Vec::new();
    for source in sources::all(connection)? {
        let Some(map) = subject_maps::latest(connection, source.source_id)? else { continue };
        let path = places.maps.join(format!("{}.toml", source.name));
        match durable::create_file(&path, map.toml.as_bytes()) {
            Ok(()) => written.push(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(writing(&path)(error)),
        }
    }
    Ok(written)
}
