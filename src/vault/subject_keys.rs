//! Subject keys for one source while a command runs: known ones opened, new ones made durable in
//! the catalog before a segment is sealed under them, erased people recognised.

use crate::vault::unlock::commons_of;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::OpsError;
use super::handle::{SharedCatalog, Vault};
use super::keys::Unlocked;
use crate::base::clock::timestamp;
use crate::base::ids::{Digest, Epoch, ShardId, SourceId, SubjectReference};
use crate::base::{durable, random};
use crate::catalog::Transaction;
use crate::catalog::backups::BackupRow;
use crate::catalog::sources::SourceRow;
use crate::catalog::{shards, subjects};
use crate::keys::SubjectKey;
use crate::keys::ring::KeyName;
use crate::keys::vault_keys::CommonsKey;
use crate::policy::subject_map::SubjectClass;
use chrono::{DateTime, Utc};

/// A shard takes at least this many keys; from 65,536 subjects on, about their square root.
const SHARD_CAPACITY_MIN: u64 = 256;
/// Up to this many subjects are looked up one by one, more by one walk over their range.
const SINGLE_LOOKUPS_MAX: usize = 64;

/// A subject's standing in the vault.
pub enum Resolved {
    /// Her key.
    Key(SubjectKey),
    /// She was erased: none of her rows may be sealed.
    Erased,
}

/// Whether the vault knows somebody whom the database does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// She was erased.
    Erased,
    /// An earlier backup has rows of hers.
    Before,
    /// Nobody knows her.
    Never,
}

/// How the owner of sealed rows stands.
pub enum Standing {
    /// Here is her key.
    Key(SubjectKey),
    /// Nobody: the commons.
    Commons,
    /// She was erased: nobody opens her rows.
    Forgotten,
    /// She was not erased, and yet the catalog has no key of hers that opens: this is why.
    KeyDamaged(OpsError),
}

/// The subject keys of one source.
pub struct SubjectKeys {
    catalog: SharedCatalog,
    unlocked: Arc<Unlocked>,
    source: SourceId,
    now: DateTime<Utc>,
    resolving: Mutex<()>,
    reading: Option<Reading>,
    /// Rows of erased people that were left out.
    left_out: Mutex<BTreeMap<SubjectReference, u64>>,
}

/// The backup whose segments are being opened.
struct Reading {
    commons: CommonsKey,
    epoch: Epoch,
}

impl SubjectKeys {
    /// The keys of `source`; subjects met first are dated `now`.
    #[must_use]
    pub fn new(
        catalog: SharedCatalog,
        unlocked: Arc<Unlocked>,
        source: SourceId,
        now: DateTime<Utc>,
    ) -> Self {
        let (resolving, left_out) = (Mutex::new(()), Mutex::default());
        Self { catalog, unlocked, source, now, resolving, reading: None, left_out }
    }

    /// The keys that open a backup's segments: the commons key of its time, and nobody's who was
    /// readmitted after it, for what it holds of her was sealed under a key that is destroyed.
    pub fn of_backup(
        vault: &Vault,
        unlocked: &Arc<Unlocked>,
        backup: &BackupRow,
    ) -> Result<Self, OpsError> {
        let commons = commons_of(vault, unlocked, &backup.commons_kind)?;
        let (catalog, unlocked) = (vault.shared_catalog(), Arc::clone(unlocked));
        let keys = Self::new(catalog, unlocked, backup.source_id, vault.clock().now());
        Ok(Self { reading: Some(Reading { commons, epoch: backup.epoch }), ..keys })
    }

    /// The key of the commons.
    #[must_use]
    pub fn commons(&self) -> &[u8; 32] {
        self.reading.as_ref().map_or(&self.unlocked.commons, |reading| &reading.commons).expose()
    }

    /// How the people of sealed rows stand, in the order asked for (which may repeat). Whoever has
    /// neither a key nor a tombstone was not forgotten: her key is lost. One person's damaged key
    /// says nothing of the others.
    pub fn standing(&self, references: &[SubjectReference]) -> Result<Vec<Standing>, OpsError> {
        let rows = self.rows(references)?;
        references
            .iter()
            .map(|reference| {
                let row = rows.get(reference);
                if row.is_some_and(|row| self.is_from_before(row)) {
                    return Ok(Standing::Forgotten);
                }
                Ok(match row.map(|row| self.open(row)) {
                    Some(Ok(key)) => Standing::Key(key),
                    Some(Err(error)) if error.is_damage() => Standing::KeyDamaged(error),
                    Some(Err(error)) => return Err(error),
                    None if reference.is_commons() => Standing::Commons,
                    None if self.is_erased(*reference)? => Standing::Forgotten,
                    None => Standing::KeyDamaged(OpsError::KeyLost { reference: *reference }),
                })
            })
            .collect()
    }

    /// The keys of subjects that the vault knows, in the order asked for (which may repeat);
    /// `None` for everyone else and for the commons' mark.
    fn known(&self, references: &[SubjectReference]) -> Result<Vec<Option<SubjectKey>>, OpsError> {
        let rows = self.rows(references)?;
        references
            .iter()
            .map(|reference| rows.get(reference).map(|row| self.open(row)).transpose())
            .collect()
    }

    /// The keys of subjects whose rows are to be sealed, in the order asked for (each once).
    /// Whoever is new gets a key, durable when this returns.
    pub fn resolve(&self, references: &[SubjectReference]) -> Result<Vec<Resolved>, OpsError> {
        let known = self.known(references)?;
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().map(Resolved::Key).collect());
        }
        // Several readers may meet the same new person at once: one of them makes her key.
        let _alone = self.resolving.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known(references)?;
        let mut resolved = Vec::with_capacity(references.len());
        let mut new = Vec::new();
        for (reference, key) in references.iter().zip(known) {
            resolved.push(match key {
                Some(key) => Resolved::Key(key),
                None if self.is_erased(*reference)? => Resolved::Erased,
                None => {
                    new.push((*reference, resolved.len()));
                    Resolved::Key(SubjectKey::generate(&mut random::system()))
                }
            });
        }
        let new: Vec<(SubjectReference, &SubjectKey)> = new
            .into_iter()
            .filter_map(|(reference, place)| match &resolved[place] {
                Resolved::Key(key) => Some((reference, key)),
                Resolved::Erased => None,
            })
            .collect();
        if !new.is_empty() {
            let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            durable::step("subjects.insert", || {
                catalog.transaction(|transaction| self.insert(transaction, &new, None))
            })?;
        }
        Ok(resolved)
    }

    /// Gives someone who was erased a new key, as a part of `transaction`: her tombstones go, and
    /// what backups before `epoch` hold of her stays forgotten.
    pub fn readmit(
        &self,
        transaction: &Transaction<'_>,
        reference: SubjectReference,
        epoch: Epoch,
    ) -> Result<(), OpsError> {
        for mac in self.tombstones(reference) {
            crate::catalog::tombstones::delete(transaction, &mac)?;
        }
        let key = SubjectKey::generate(&mut random::system());
        self.insert(transaction, &[(reference, &key)], Some(epoch))
    }

    /// Counts rows of somebody who was erased, which are left out.
    pub fn leave_out(&self, reference: SubjectReference, rows: u64) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        *left_out.entry(reference).or_default() += rows;
    }

    /// The erased people who were met: their tombstones (one of which is there), and how many rows of
    /// theirs were left out.
    #[must_use]
    pub fn left_out(&self) -> Vec<(Vec<Digest>, u64)> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let tombstones = |(reference, rows): (&SubjectReference, &u64)| {
            (self.tombstones(*reference).collect(), *rows)
        };
        left_out.iter().filter(|(_, rows)| **rows > 0).map(tombstones).collect()
    }

    /// The number of the subject's erasure, if she was erased and it is known.
    pub fn erasure_of(&self, reference: SubjectReference) -> Result<Option<u64>, OpsError> {
        let macs: Vec<Digest> = self.tombstones(reference).collect();
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let all = crate::catalog::tombstones::all(catalog.connection())?;
        Ok(all.into_iter().find(|row| macs.contains(&row.mac)).and_then(|row| row.erasure_id))
    }

    /// When the subject was erased, if she was.
    pub fn erased_at(
        &self,
        reference: SubjectReference,
    ) -> Result<Option<DateTime<Utc>>, OpsError> {
        let macs: Vec<Digest> = self.tombstones(reference).collect();
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let all = crate::catalog::tombstones::all(catalog.connection())?;
        Ok(all.into_iter().find(|row| macs.contains(&row.mac)).map(|row| row.erased_at))
    }

    /// Whether the vault knows somebody who has no row in the root. A key of hers is enough: whichever
    /// backup it was made for, what is sealed under it is hers.
    pub fn met(&self, reference: SubjectReference) -> Result<Met, OpsError> {
        if self.is_erased(reference)? {
            return Ok(Met::Erased);
        }
        let rows = self.rows(&[reference])?;
        Ok(if rows.contains_key(&reference) { Met::Before } else { Met::Never })
    }

    fn is_erased(&self, reference: SubjectReference) -> Result<bool, OpsError> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        for mac in self.tombstones(reference) {
            if crate::catalog::tombstones::contains(catalog.connection(), &mac)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tombstones(&self, reference: SubjectReference) -> impl Iterator<Item = Digest> {
        self.unlocked.tombstones.iter().map(move |(_, key)| Digest(key.tombstone(reference)))
    }

    fn rows(
        &self,
        references: &[SubjectReference],
    ) -> Result<HashMap<SubjectReference, subjects::SubjectRow>, OpsError> {
        let mut wanted: Vec<_> =
            references.iter().copied().filter(|reference| !reference.is_commons()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = HashMap::with_capacity(wanted.len());
        if let (Some(first), Some(last), true) =
            (wanted.first(), wanted.last(), wanted.len() > SINGLE_LOOKUPS_MAX)
        {
            for row in subjects::range(catalog.connection(), *first..=*last)? {
                if wanted.binary_search(&row.reference).is_ok() {
                    rows.insert(row.reference, row);
                }
            }
        } else {
            for reference in wanted {
                if let Some(row) = subjects::get(catalog.connection(), &reference)? {
                    rows.insert(reference, row);
                }
            }
        }
        Ok(rows)
    }

    /// Whether the backup that is being read is older than her present key.
    fn is_from_before(&self, row: &subjects::SubjectRow) -> bool {
        let reading = self.reading.as_ref();
        reading.zip(row.readmitted_epoch).is_some_and(|(reading, since)| reading.epoch < since)
    }

    fn open(&self, row: &subjects::SubjectRow) -> Result<SubjectKey, OpsError> {
        let name = KeyName::Subject(row.reference);
        // The ring is let go before the catalog is asked: whoever adds a shard takes them the other
        // way round.
        let opened = self.unlocked.ring().unwrap(&name, row.shard_id, &row.wrapped_key);
        let key = match opened {
            Ok(key) => key,
            Err(error) => {
                let epoch = self.unlocked.ring().epoch();
                let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
                let present = crate::catalog::vault::read(catalog.connection())?.epoch;
                // Where the epoch has changed, the key is well: it is wrapped anew.
                return Err(if present == epoch { error.into() } else { OpsError::Rekeyed });
            }
        };
        SubjectKey::from_slice(&key).ok_or(OpsError::Bug("a subject key is not 32 bytes"))
    }

    fn insert(
        &self,
        transaction: &Transaction<'_>,
        new: &[(SubjectReference, &SubjectKey)],
        readmitted_epoch: Option<Epoch>,
    ) -> Result<(), OpsError> {
        let random = &mut random::system();
        let mut rest = new;
        while !rest.is_empty() {
            let (shard_id, free) = match shards::open_shard(transaction)? {
                Some(open) if open.shard.shard_id >= ShardId::FIRST_OF_SUBJECTS => {
                    (open.shard.shard_id, open.free)
                }
                _ => {
                    let keys = shards::capacity_for_subjects(transaction)? + rest.len() as u64;
                    let capacity = keys.isqrt().max(SHARD_CAPACITY_MIN);
                    let shard_id = shards::next_id(transaction)?;
                    let wrapped_key = self.unlocked.ring_mut().add_shard(shard_id, random);
                    let shard = shards::ShardRow { shard_id, wrapped_key, capacity };
                    shards::insert(transaction, &shard)?;
                    (shard_id, capacity)
                }
            };
            let fits = usize::try_from(free).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(fits);
            let ring = self.unlocked.ring();
            let rows = now
                .iter()
                .map(|(reference, key)| {
                    let name = KeyName::Subject(*reference);
                    Ok(subjects::SubjectRow {
                        reference: *reference,
                        source_id: self.source,
                        shard_id,
                        wrapped_key: ring.wrap(&name, shard_id, key.expose(), random)?,
                        created_at: self.now,
                        readmitted_epoch,
                    })
                })
                .collect::<Result<Vec<_>, OpsError>>()?;
            subjects::insert_many(transaction, &rows)?;
            rest = later;
        }
        Ok(())
    }
}

/// Checks that the vault has a key of that subject.
///
/// # Errors
/// [`OpsError::AlreadyErased`], [`OpsError::NoSubject`].
pub fn ensure_known(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: &SubjectClass,
    reference: SubjectReference,
) -> Result<(), OpsError> {
    if subjects::get(vault.catalog().connection(), &reference)?.is_some() {
        return Ok(());
    }
    let keys = SubjectKeys::new(
        vault.shared_catalog(),
        Arc::clone(unlocked),
        source.source_id,
        vault.clock().now(),
    );
    Err(match keys.erased_at(reference)? {
        Some(erased_at) => OpsError::AlreadyErased { reference, erased_at: timestamp(erased_at) },
        None => {
            OpsError::NoSubject { name: source.name.clone(), class: class.name.clone(), reference }
        }
    })
}
