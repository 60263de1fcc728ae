//! A vault on a machine of its own, used through `ops`, without a database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use strongroom::vault::unlock::unlock;

use age::secrecy::ExposeSecret as _;
use strongroom::audit::{Action, Outcome, Who};
use strongroom::base::clock::SystemClock;
use strongroom::base::ids::{Epoch, SourceId, SubjectReference, VaultId};
use strongroom::catalog::sources::{SourceRow, SourceUrl};
use strongroom::catalog::{self, sources};
use strongroom::container::vault_marker::VaultMarker;
use strongroom::crypto::SecretText;
use strongroom::keys::MasterSecret;
use strongroom::keys::custodians::Custodian;
use strongroom::keys::custodians::file::FileCustodian;
use strongroom::keys::custodians::settings::CustodianSettings;
use strongroom::keys::master::{self, Credentials, Protection};
use strongroom::ops::init;
use strongroom::ops::recover::{RecoverRequest, Recovered, recover};
use strongroom::store::ObjectInfo;
use strongroom::vault::custody::{EpochSecrets, Quorum};
use strongroom::vault::forget::Change;
use strongroom::vault::handle::Vault;
use strongroom::vault::keys::Unlocked;
use strongroom::vault::replica::{self, SyncReport};
use strongroom::vault::settings::StoreSettings;
use strongroom::vault::settings::{Environment, VaultPlaces};
use strongroom::vault::subject_keys::{Resolved, SubjectKeys};
use strongroom::vault::{OpsError, forget};

/// The one source.
pub const SOURCE: SourceId = SourceId([5; 16]);

/// A vault, opened and unlocked.
pub struct Machine {
    pub vault: Vault,
    pub unlocked: Arc<Unlocked>,
}

/// Where everything is: the store and the custodian outlive machines.
pub struct World {
    pub folder: Folder,
    pub id: VaultId,
    identity: String,
    recipient: String,
}

/// A folder of this process, or of the one that started it.
pub enum Folder {
    Own(tempfile::TempDir),
    Others(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Others(folder) => folder,
        }
    }
}

pub fn environment() -> Environment {
    let who = Who { actor: "ada".to_owned(), host: "vault-1".to_owned() };
    Environment {
        clock: Arc::new(SystemClock),
        who,
        warn: Arc::new(|_: &str| {}),
        alert: Arc::new(|_: &str| {}),
    }
}

impl World {
    /// A new vault with one source, and the machine that made it. Replica 1, which `init` wrote, does
    /// not know the source yet.
    pub async fn new() -> (Self, Machine) {
        let identity = age::x25519::Identity::generate();
        let mut world = Self {
            folder: Folder::Own(tempfile::tempdir().unwrap()),
            id: VaultId([0; 16]),
            identity: identity.to_string().expose_secret().to_owned(),
            recipient: identity.to_public().to_string(),
        };
        std::fs::write(world.path("identity"), &world.identity).unwrap();
        let places = world.places("one");
        let begun = init::init(places, environment(), &world.protection()).await.unwrap();
        world.id = begun.vault.id();
        drop(begun);
        let machine = world.machine("one").await;
        let url = SourceUrl::Environment("DATABASE_URL".to_owned());
        let created_at = machine.vault.clock().now();
        let row = SourceRow { source_id: SOURCE, name: "main".to_owned(), url, created_at };
        let catalog = machine.vault.catalog();
        catalog.transaction(|transaction| sources::insert(transaction, &row)).unwrap();
        drop(catalog);
        (world, machine)
    }

    /// The world that another process made.
    pub fn at(folder: &Path) -> Self {
        Self::in_folder(Folder::Others(folder.to_owned()))
    }

    /// A twin of all files.
    pub fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), folder.path());
        Self::in_folder(Folder::Own(folder))
    }

    fn in_folder(folder: Folder) -> Self {
        let identity = std::fs::read_to_string(folder.path().join("identity")).unwrap();
        let key: age::x25519::Identity = identity.parse().unwrap();
        let marker = std::fs::read(folder.path().join("store/strongroom-vault.json")).unwrap();
        let marker: VaultMarker = serde_json::from_slice(&marker).unwrap();
        Self { folder, id: marker.vault, identity, recipient: key.to_public().to_string() }
    }

    pub fn protection(&self) -> Protection {
        Protection::recipients(std::slice::from_ref(&self.recipient)).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a machine of that name keeps its part.
    pub fn places(&self, machine: &str) -> VaultPlaces {
        let folder = self.path(machine);
        VaultPlaces {
            catalog: folder.join("catalog.sqlite"),
            master: folder.join("master.age"),
            maps: folder.join("maps"),
            custodians: vec![CustodianSettings::file("main", self.path("custodian"))],
            stores: vec![StoreSettings::main(self.path("store").display().to_string())],
            spill: folder.join("spill"),
        }
    }

    /// Opens and unlocks the vault of a machine.
    pub async fn machine(&self, name: &str) -> Machine {
        let vault = Vault::open(self.places(name), environment()).unwrap();
        let recorded = vault.record(Action::Unlock, "vault", Outcome::Begun, None).unwrap();
        let unlocked = unlock(&vault, &self.credentials(), &recorded, None).await.unwrap();
        Machine { vault, unlocked }
    }

    pub fn credentials(&self) -> Credentials {
        let identity = SecretText::new(self.identity.clone());
        Credentials { passphrase: None, identities: Some((identity, "identity".to_owned())) }
    }

    /// The master secret, as a recovery kit holds it.
    pub fn kit(&self) -> MasterSecret {
        let sealed = std::fs::read(self.path("one/master.age")).unwrap();
        master::open(&sealed, self.id, &self.credentials(), "master.age").unwrap()
    }

    pub fn custodian(&self) -> OneCustodian {
        let custodian = FileCustodian::new("main", &self.path("custodian"));
        OneCustodian { custodians: [Box::new(custodian)], vault: self.id }
    }

    /// Recovers the vault to another machine.
    pub async fn recover(&self, to: &str) -> Result<Recovered, OpsError> {
        self.recover_with(to, self.id, &self.custodian().quorum(), None).await
    }

    pub async fn recover_with(
        &self,
        to: &str,
        vault: VaultId,
        epochs: &dyn EpochSecrets,
        epoch: Option<Epoch>,
    ) -> Result<Recovered, OpsError> {
        recover(RecoverRequest {
            places: self.places(to),
            environment: environment(),
            vault,
            master: self.kit(),
            protection: self.protection(),
            epochs,
            epoch,
        })
        .await
    }

    /// What recovering says when it must fail; nothing may be left of it.
    pub async fn refusal(&self) -> String {
        let error = self.recover("refused").await.err().expect("a recovery must fail").to_string();
        assert!(!self.path("refused/catalog.sqlite").exists(), "{error}");
        assert!(!self.path("refused/master.age").exists(), "{error}");
        let folder = self.folder.path().display().to_string();
        error.replace(&folder, "").replace(&self.id.to_string(), "VAULT")
    }

    /// The objects of the replica in the store, by name.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        for kind in ["head", "data"] {
            let Ok(entries) = std::fs::read_dir(self.path("store/catalog").join(kind)) else {
                continue;
            };
            for entry in entries {
                let entry = entry.unwrap();
                let name = format!("catalog/{kind}/{}", entry.file_name().to_str().unwrap());
                objects.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
        objects
    }

    pub fn write_object(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path("store").join(name), bytes).unwrap();
    }

    pub fn remove_object(&self, name: &str) {
        std::fs::remove_file(self.path("store").join(name)).unwrap();
    }

    /// Puts the replica's objects in the store back to what they were.
    pub fn put_back(&self, objects: &BTreeMap<String, Vec<u8>>) {
        for name in self.objects().keys() {
            self.remove_object(name);
        }
        for (name, bytes) in objects {
            self.write_object(name, bytes);
        }
    }
}

impl Machine {
    /// One sync, as every command ends with.
    pub async fn sync(&self) -> Result<SyncReport, OpsError> {
        let lock = self.vault.lock_for_writing("test")?;
        let keys = self.unlocked.ring().replica_keys();
        replica::sync(&self.vault, &keys, &lock).await
    }

    /// What every command that writes begins with.
    pub async fn ensure_newest(&self) -> Result<(), OpsError> {
        let keys = self.unlocked.ring().replica_keys();
        replica::ensure_newest(&self.vault, Some(&keys)).await
    }

    /// Writes the whole replica anew, as to a store that lost it: no object of it holds anything
    /// that is superseded. There are a head and a data object then.
    pub async fn sync_anew(&self, world: &World) -> SyncReport {
        world.put_back(&BTreeMap::new());
        self.ensure_newest().await.unwrap();
        let report = self.sync().await.unwrap();
        assert_eq!(world.objects().len(), 2);
        report
    }

    /// What of the replica this machine takes for garbage.
    pub async fn garbage(&self) -> Vec<ObjectInfo> {
        replica::garbage(&self.vault).await.unwrap()
    }

    /// Subjects with keys, as a backup makes them.
    pub fn add_subjects(&self, numbers: std::ops::Range<u64>) {
        let now = self.vault.clock().now();
        let (catalog, unlocked) = (self.vault.shared_catalog(), Arc::clone(&self.unlocked));
        let keys = SubjectKeys::new(catalog, unlocked, SOURCE, now);
        let references: Vec<_> = numbers.map(reference).collect();
        for part in references.chunks(10_000) {
            let resolved = keys.resolve(part).unwrap();
            assert!(resolved.iter().all(|one| matches!(one, Resolved::Key(_))));
        }
    }

    /// Forgets a subject. The old epoch's secret is gone when this returns, and the store has the
    /// catalog of the new one.
    pub async fn forget(&self, number: u64) {
        let lock = self.vault.lock_for_writing("test").unwrap();
        let subjects = [reference(number)];
        let change = Change { subjects: &subjects, ..Change::default() };
        let forgotten =
            forget::forget(&self.vault, &self.unlocked, &lock, &change, |_, _, _| Ok(())).await;
        assert!(forgotten.unwrap().waiting.is_empty());
    }

    /// Whether the catalog has a key of that subject that opens.
    pub fn opens(&self, number: u64) -> bool {
        let catalog = self.vault.catalog();
        let row = catalog::subjects::get(catalog.connection(), &reference(number)).unwrap();
        let name = strongroom::keys::ring::KeyName::Subject(reference(number));
        row.is_some_and(|row| {
            self.unlocked.ring().unwrap(&name, row.shard_id, &row.wrapped_key).is_ok()
        })
    }

    /// Every row of every table that is replicated, by table.
    pub fn dump(&self) -> BTreeMap<String, Vec<String>> {
        dump(self.vault.catalog().connection())
    }
}

/// Every row of every table that is replicated, by table.
pub fn dump(connection: &rusqlite::Connection) -> BTreeMap<String, Vec<String>> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'
                 AND name NOT GLOB 'replica_*' AND name NOT GLOB 'sqlite_*'";
    let mut statement = connection.prepare(names).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let table = |name: String| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            let values =
                (0..columns).map(|column| row.get_ref(column).map(|one| format!("{one:?}")));
            values.collect::<Result<Vec<_>, _>>().map(|values| values.join(" "))
        };
        let mut rows: Vec<String> =
            statement.query_map([], text).unwrap().map(Result::unwrap).collect();
        // Each catalog has its own wrappings of the keys of the replica's own objects.
        let own = format!("{:?}", rusqlite::types::ValueRef::Text(b"replica:"));
        rows.retain(|row| name != "vault_key" || !row.starts_with(&own[..own.len() - 2]));
        rows.sort();
        (name, rows)
    };
    names.map(Result::unwrap).map(table).collect()
}

pub fn reference(number: u64) -> SubjectReference {
    let mut reference = [7; 16];
    // Scattered, as keyed hashes are.
    let scattered = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    reference[..8].copy_from_slice(&scattered.to_be_bytes());
    SubjectReference(reference)
}

/// A file custodian as a recovery sees it.
pub struct OneCustodian {
    custodians: [Box<dyn Custodian>; 1],
    vault: VaultId,
}

impl OneCustodian {
    pub fn quorum(&self) -> Quorum<'_> {
        Quorum { vault: self.vault, custodians: &self.custodians }
    }
}

/// Names that end so.
pub fn names_with<'a>(objects: &'a BTreeMap<String, Vec<u8>>, part: &str) -> Vec<&'a str> {
    objects.keys().map(String::as_str).filter(|name| name.contains(part)).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
