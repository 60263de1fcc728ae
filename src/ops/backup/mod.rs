//! Backup: one snapshot of a source into sealed objects.
//!
//! Write order, each step durable before the next (`docs/architecture.md`, "Write order"):
//! subject keys, packs, schema archive and index, manifest, catalog; then the copies in the other stores
//! of its class. A backup exists when the catalog says so; what a crash leaves behind before that is
//! garbage that `prune` finds.

pub mod copies;
mod index;
mod met;
mod pack_stream;
mod plan;
mod present;
mod read;
mod reading;
mod report;
mod seal;
mod waits;
mod write;

use self::read::relations;
use crate::vault::handle::Writing;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;

use self::copies::Spread;
use self::index::index_stream::{ClosedIndex, IndexStream};
use self::index::previous::{LayerKind, Look, Previous};
use self::met::LeftOut;
use self::pack_stream::PackList;
use self::plan::RelationPlan;
use self::read::partitions::MemoryBudget;
use self::reading::Reading;
use self::seal::tools::ToolPool;
use self::waits::{AllWaited, Watch};
use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::{BackupId, ShardId};
use crate::base::progress::ProgressSink;
use crate::base::schema::DatabaseSchema;
use crate::base::{durable, random};
use crate::catalog::backups::{BackupClass, BackupRow};
use crate::catalog::sources::SourceRow;
use crate::container::age_file::BackupIdentity;
use crate::container::index::IndexSeal;
use crate::container::manifest::{
    self, Contents, LayerSummary, Manifest, MapText, PackSummary, RelationSummary,
};
use crate::container::names;
use crate::keys::master::Credentials;
use crate::keys::ring::KeyName;
use crate::policy::subject_map::{self, TableOwners};
use crate::postgres::{self, ConnectionSettings, Session};
use crate::store::{ObjectName, Store, Written};
use crate::vault::access::{Access, access};
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::stores::{copy, route};
use crate::vault::subject_keys::SubjectKeys;
use crate::vault::subject_maps::LoadedMap;
use crate::vault::{LockError, OpsError, replica};
use crate::vault::{sources, subject_maps};
pub use copies::StoreCopy;
pub use met::ErasedMet;
pub use report::BackupReport;
pub use waits::{LockRules, Waited};

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The source's name.
    pub source: String,
    /// Why it is made.
    pub class: BackupClass,
    /// The operator's note.
    pub note: Option<String>,
    /// Schema, rows, or both.
    pub contents: Contents,
    /// Connections that read at the same time, at least 1.
    pub jobs: usize,
    /// Memory for grouping rows, all connections together, in bytes.
    pub memory_bytes: usize,
    /// Whether everything is stored anew, whatever earlier backups have of it.
    pub full: bool,
    /// Whether meeting people who were erased is an error (the backup is complete all the same).
    pub strict: bool,
    /// How it behaves towards others who need the tables.
    pub locks: LockRules,
}

/// Backs a source up.
pub async fn backup(
    vault: &Vault,
    credentials: &Credentials,
    request: &BackupRequest,
    progress: &Arc<dyn ProgressSink>,
) -> Result<BackupReport, OpsError> {
    let source = sources::find(vault, &request.source)?;
    let lock = vault.lock_for_writing("backup")?;
    let report = access(vault, Action::Backup, &source.name)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let settings = sources::settings(vault, &unlocked, &source)?;
            let map = subject_maps::load(vault, &source)?;
            let (named, usable) = route::for_class(vault.stores(), request.class).await?;
            let primary = usable.first().ok_or(OpsError::StoreStopped)?;
            let store = Arc::clone(&primary.store);
            let primary = Arc::clone(&store);
            let spread = Spread { named, usable };
            let source = &source;
            let work = Work {
                vault,
                access,
                writing: &lock,
                unlocked,
                source,
                store,
                spread,
                settings,
                map,
                request,
                progress,
            };
            write::telling_why(&*primary, work.run().await).await
        })
        .await?;
    if request.strict && report.rows_of_erased > 0 {
        return Err(OpsError::ErasedInSource {
            backup: report.backup,
            rows: report.rows_of_erased,
        });
    }
    Ok(report)
}

/// Everything that one backup works with.
struct Work<'a> {
    vault: &'a Vault,
    access: &'a Access<'a>,
    writing: &'a Writing,
    unlocked: Arc<Unlocked>,
    source: &'a SourceRow,
    /// The nearest of the stores for this class: the backup is written there.
    store: Arc<dyn Store>,
    spread: Spread,
    settings: ConnectionSettings,
    map: LoadedMap,
    request: &'a BackupRequest,
    progress: &'a Arc<dyn ProgressSink>,
}

impl Work<'_> {
    /// Tries until a backup is made, or others stood in the way often enough.
    async fn run(mut self) -> Result<BackupReport, OpsError> {
        let rules = self.request.locks;
        let given = self.settings.clone();
        let waited = AllWaited::default();
        for attempts in 1.. {
            let mark = hex::encode(random::bytes::<4>(&mut random::system()));
            self.settings = given.of_one_work(&mark, rules.lock_wait);
            let error = match self.attempt(&waited).await {
                Err(error) if waits::is_in_the_way(&error) => error,
                ended => {
                    let waited = waited.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    return ended.map(|report| BackupReport { attempts, waited, ..report });
                }
            };
            if attempts > rules.retries {
                return Err(LockError::GaveUp { attempts, source: Box::new(error) }.into());
            }
            let pause = waits::pause(attempts);
            let seconds = pause.as_secs();
            self.progress.warn(&format!("{error}; it is tried again in {seconds} seconds"));
            tokio::time::sleep(pause).await;
        }
        Err(OpsError::Bug("a backup was tried without end"))
    }

    /// One attempt. When it fails nothing of it is left: no lock, no object, as far as the store lets them go.
    async fn attempt(&self, waited: &AllWaited) -> Result<BackupReport, OpsError> {
        let mut notices = Vec::new();
        let watch = Watch::start(&self.settings, self.request.locks, waited, self.progress);
        let mut watch = match watch.await {
            Ok(watch) => Some(watch),
            // The main connection says why, if nobody can connect.
            Err(error) if self.request.locks.yield_after.is_none() => {
                notices.push(format!("nobody looked at who waits behind the backup: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let ended = {
            let gives_way = async {
                match &mut watch {
                    Some(watch) => watch.gives_way().await,
                    None => std::future::pending().await,
                }
            };
            self.write(gives_way, notices).await
        };
        match (ended, watch) {
            (Err(error), Some(watch)) if waits::is_in_the_way(&error) => {
                let error = watch.explain(error);
                watch.release().await;
                Err(error)
            }
            (ended, _) => ended,
        }
    }

    /// Writes a backup, unless `gives_way` ends before all rows are read.
    async fn write(
        &self,
        gives_way: impl Future<Output = OpsError>,
        mut notices: Vec<String>,
    ) -> Result<BackupReport, OpsError> {
        let mut gives_way = std::pin::pin!(gives_way);
        let started_at = self.vault.clock().now();
        self.progress.phase("looking at the database");
        let begun = async {
            let session = Session::connect(&self.settings).await?;
            let snapshot = session.begin_locked().await?;
            let schema = postgres::describe(&session).await?;
            let hidden = postgres::schema::hidden::hidden(&session).await?;
            Ok::<_, OpsError>((session, snapshot, schema, hidden))
        };
        let (session, snapshot, schema, hidden) = tokio::select! {
            reason = &mut gives_way => return Err(reason),
            begun = begun => begun?,
        };
        let snapshot_at = session.transaction_time().await?;
        let drift = subject_map::check(&self.map.map, &schema);
        if !drift.is_empty() {
            return Err(OpsError::MapDrift(drift));
        }
        subject_maps::remember(self.vault, self.source, &self.map)?;

        let backup = BackupId::new(started_at, random::bytes(&mut random::system()));
        self.access.name_object(backup.as_str())?;
        let identity = BackupIdentity::generate();
        let new = (&backup, &identity);
        let packs = PackList::default();
        notices.extend(write::notices(&schema, &hidden));
        let read = async {
            let archive = async {
                if self.request.contents == Contents::DataOnly {
                    return Ok((None, Vec::new()));
                }
                let (store, from) = (self.store.as_ref(), (&self.settings, &snapshot));
                write::schema(store, &new, from, &schema).await
            };
            let rows = async {
                if self.request.contents == Contents::SchemaOnly {
                    return Ok((Vec::new(), Vec::new(), (Vec::new(), Vec::new())));
                }
                let database = (&session, &schema);
                self.write_rows(&new, database, &snapshot, &packs, &mut notices).await
            };
            tokio::try_join!(archive, rows)
        };
        let read = tokio::select! {
            reason = gives_way => Err(reason),
            read = read => read,
        };
        // No table is kept from anybody while the rest is written.
        drop(session);
        let written = async {
            let ((schema_archive, warnings), (relations, layers, (owners, met))) = read?;
            notices.extend(warnings);
            self.progress.phase("sealing the manifest");
            let manifest = Manifest {
                version: manifest::VERSION,
                written_by: format!("strongroom {}", env!("CARGO_PKG_VERSION")),
                vault: self.vault.id(),
                backup: backup.clone(),
                source: self.source.source_id,
                source_name: self.source.name.clone(),
                class: self.request.class.as_str().to_owned(),
                contents: self.request.contents,
                note: self.request.note.clone(),
                started_at,
                snapshot_at,
                schema,
                map: MapText { digest: self.map.map.digest(), toml: self.map.toml.clone() },
                relations,
                packs: packs.needed(),
                layers,
                schema_archive,
            };
            let written = self.write_manifest(&manifest, &identity).await?;
            self.hold_what_is_reused(&manifest, &packs).await?;
            Ok((manifest, written, owners, met))
        }
        .await;
        match written {
            // From here on nothing is removed: a commit that reports a failure may have happened.
            Ok((manifest, written, owners, met)) => {
                // New people's keys are in the store before a backup that needs them counts.
                let keys = self.unlocked.ring().replica_keys();
                replica::sync(self.vault, &keys, self.writing).await?;
                // After the sync, for from then on another machine's catalog is not the newest: it
                // can write no more, and so remove nothing of this backup.
                if let Err(error) = present::check(self.store.as_ref(), &manifest, written).await {
                    write::discard(self.store.as_ref(), &backup, &packs.own()).await;
                    return Err(error);
                }
                let (row, met) = self.record(&manifest, &identity, written, &packs.own(), &met)?;
                let copies = self.spread.copy(self.vault, &manifest, &row, self.progress).await?;
                Ok(self.report(&manifest, &row, met, copies, owners, notices))
            }
            Err(error) => {
                write::discard(self.store.as_ref(), &backup, &packs.own()).await;
                Err(error)
            }
        }
    }

    /// Rows, through several connections on the one snapshot, into packs and the index.
    async fn write_rows(
        &self,
        (backup, identity): &(&BackupId, &BackupIdentity),
        (session, schema): (&Session, &DatabaseSchema),
        snapshot: &postgres::SnapshotId,
        packs: &PackList,
        notices: &mut Vec<String>,
    ) -> Result<(Vec<RelationSummary>, Vec<LayerSummary>, (Vec<TableOwners>, LeftOut)), OpsError>
    {
        let jobs = self.request.jobs.max(1);
        let mut plans = RelationPlan::all(session, schema, &self.map.map, jobs).await?;
        let previous = self.previous(&plans, packs, notices).await?.map(Arc::new);
        for plan in &mut plans {
            let before = previous.as_ref().and_then(|previous| previous.layout(&plan.relation));
            plan.lay_out(session, before).await?;
        }
        self.progress.phase("reading and sealing rows");
        self.progress.total(
            schema.tables.iter().map(|table| table.rows_estimated).sum(),
            schema.tables.iter().map(|table| table.bytes_estimated).sum(),
        );
        let seal = IndexSeal::new(identity.index_key(), self.vault.id(), (*backup).clone());
        let name = names::index(backup).parse()?;
        let index = IndexStream::new(Handle::current(), Arc::clone(&self.store), name, seal);
        let keys = Arc::new(SubjectKeys::new(
            self.vault.shared_catalog(),
            Arc::clone(&self.unlocked),
            self.source.source_id,
            self.vault.clock().now(),
        ));
        let store = Arc::clone(&self.store);
        let tools = ToolPool::new(Handle::current(), store, self.vault.id(), packs.clone());
        let reading = Arc::new(Reading {
            vault: self.vault.id(),
            source: self.source.source_id,
            settings: self.settings.clone(),
            snapshot: snapshot.clone(),
            unlocked: Arc::clone(&self.unlocked),
            keys: Arc::clone(&keys),
            jobs,
            tools: Arc::new(tools),
            index: index.clone(),
            packs: packs.clone(),
            previous: previous.clone(),
            budget: MemoryBudget::new(self.request.memory_bytes),
            spill_folder: self.vault.places().spill.clone(),
            progress: Arc::clone(self.progress),
        });
        let counted: Vec<_> = plans.iter().filter_map(|plan| plan.counted.clone()).collect();
        let summaries = match relations::read_all(session, reading, plans).await {
            Err(OpsError::StoreStopped) => return Err(index.why_stopped().await),
            outcome => outcome?,
        };
        let owners = read::unknown::report(&counted)?;
        let index = index.close()?;
        let layers = match previous.filter(|previous| previous.is_shared()) {
            // The previous backup's layers say the same.
            Some(previous) if !index.differs() => {
                index.abandon().await;
                previous.layers(backup, identity, false)?
            }
            Some(previous) if previous.kind() == LayerKind::Changes => {
                let mut layers = previous.layers(backup, identity, true)?;
                if index.entries() > 0 {
                    layers.push(finish(index, backup, packs).await?);
                }
                layers
            }
            _ => vec![finish(index, backup, packs).await?],
        };
        Ok((summaries, layers, (owners, keys.left_out())))
    }

    /// The backup before, unless everything is to be stored anew.
    async fn previous(
        &self,
        plans: &[RelationPlan],
        packs: &PackList,
        notices: &mut Vec<String>,
    ) -> Result<Option<Previous>, OpsError> {
        let Some(store) = self.spread.usable.first() else { return Ok(None) };
        if self.request.full {
            return Ok(None);
        }
        let look = Look {
            vault: self.vault,
            unlocked: &self.unlocked,
            source: self.source.source_id,
            store,
            plans,
            now: self.vault.clock().now(),
        };
        Previous::open(&look, packs, notices).await
    }

    /// What earlier backups wrote must not fall free before what this one wrote.
    async fn hold_what_is_reused(
        &self,
        manifest: &Manifest,
        packs: &PackList,
    ) -> Result<(), OpsError> {
        let own: BTreeSet<_> = packs.own().into_iter().map(|pack| pack.id).collect();
        let packs = manifest.packs.iter().filter(|pack| !own.contains(&pack.id));
        let layers = manifest.layers.iter().filter(|layer| layer.key.is_some());
        let reused = packs
            .map(|pack| names::pack(pack.id))
            .chain(layers.map(|layer| names::index(&layer.backup)));
        let reused: Vec<ObjectName> = reused.map(|name| name.parse()).collect::<Result<_, _>>()?;
        let manifest = names::manifest(&manifest.backup).parse()?;
        copy::hold_as_long(self.store.as_ref(), &manifest, &reused).await
    }

    /// The last object of a backup.
    async fn write_manifest(
        &self,
        manifest: &Manifest,
        identity: &BackupIdentity,
    ) -> Result<Written, OpsError> {
        let name = names::manifest(&manifest.backup);
        let sealed = manifest.seal(identity, &name)?;
        let store = self.store.as_ref();
        write::whole(store, &name, sealed, "backup.manifest").await
    }

    /// The catalog's row: with it the backup exists.
    fn record(
        &self,
        manifest: &Manifest,
        identity: &BackupIdentity,
        written: Written,
        own_packs: &[PackSummary],
        left_out: &LeftOut,
    ) -> Result<(BackupRow, Vec<ErasedMet>), OpsError> {
        let wrapped_key = self.unlocked.ring().wrap(
            &KeyName::Backup(manifest.backup.clone()),
            ShardId::BACKUPS,
            identity.text().expose().as_bytes(),
            &mut random::system(),
        )?;
        let bytes = write::count_bytes(manifest, own_packs);
        let row = BackupRow {
            backup_id: manifest.backup.clone(),
            source_id: manifest.source,
            class: self.request.class,
            kind: write::kind(manifest.contents),
            note: manifest.note.clone(),
            started_at: manifest.started_at,
            snapshot_at: manifest.snapshot_at,
            finished_at: self.vault.clock().now(),
            server_version_num: manifest.schema.server_version_num,
            map_digest: Some(manifest.map.digest),
            manifest_name: names::manifest(&manifest.backup),
            manifest_bytes: written.bytes,
            manifest_sha256: written.sha256,
            row_count: manifest.rows(),
            subject_count: self.subjects(manifest),
            segment_count: manifest.relations.iter().map(|relation| relation.segments).sum(),
            bytes_stored: written.bytes + bytes.stored,
            bytes_referenced: bytes.referenced,
            shard_id: ShardId::BACKUPS,
            wrapped_key,
            epoch: self.unlocked.ring().epoch(),
            commons_kind: self.unlocked.commons_kind.clone(),
        };
        let layers: Vec<_> = manifest.layers.iter().map(|layer| layer.backup.clone()).collect();
        let erased_met = durable::step("backup.catalog", || {
            self.vault.catalog().transaction(|transaction| {
                let packs = write::pack_rows(transaction, manifest, own_packs)?;
                crate::catalog::backups::insert(transaction, &row, &packs, &layers)?;
                self.spread.record(transaction, &row)?;
                met::record(transaction, &row, left_out)
            })
        })?;
        Ok((row, erased_met))
    }

    /// Data subjects in a backup: those who have a row of their own in their class's root table.
    fn subjects(&self, manifest: &Manifest) -> u64 {
        let roots: Vec<_> = self.map.map.classes.iter().map(|class| &class.root).collect();
        let of_root = |relation: &&RelationSummary| match &relation.relation {
            crate::container::segment::Relation::Table(name) => roots.contains(&name),
            crate::container::segment::Relation::LargeObjects => false,
        };
        manifest.relations.iter().filter(of_root).map(|relation| relation.subjects).sum()
    }

    fn report(
        &self,
        manifest: &Manifest,
        row: &BackupRow,
        erased_met: Vec<ErasedMet>,
        copies: Vec<StoreCopy>,
        owners: Vec<TableOwners>,
        notices: Vec<String>,
    ) -> BackupReport {
        let seconds = seconds_between(manifest.started_at, self.vault.clock().now());
        BackupReport {
            backup: row.backup_id.clone(),
            source: self.source.name.clone(),
            class: row.class.as_str(),
            contents: manifest.contents.name(),
            snapshot_at: timestamp(row.snapshot_at),
            tables: manifest.relations.len() as u64,
            rows: row.row_count,
            subjects: row.subject_count,
            rows_of_erased: manifest.rows_of_erased(),
            erased_met,
            owners,
            raw_bytes: manifest.relations.iter().map(|relation| relation.raw_bytes).sum(),
            stored_bytes: row.bytes_stored,
            referenced_bytes: row.bytes_referenced,
            copies,
            seconds,
            attempts: 1,
            waited: Vec::new(),
            notices,
        }
    }
}

/// Makes the layer durable.
async fn finish(
    index: ClosedIndex,
    backup: &BackupId,
    packs: &PackList,
) -> Result<LayerSummary, OpsError> {
    let (backup, packs) = (backup.clone(), packs.ids());
    let finished = tokio::task::spawn_blocking(move || index.finish(backup, &packs));
    finished.await.map_err(|_| OpsError::Bug("a thread of work ended"))?
}

fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}
