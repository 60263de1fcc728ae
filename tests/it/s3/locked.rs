//! A bucket with Object Lock: what is forgotten stays there as ciphertext and opens for nobody.

use std::sync::Arc;
use std::time::Duration;
use strongroom::vault::unlock::unlock;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use strongroom::audit::{Action, Outcome, Who};
use strongroom::base::clock::SystemClock;
use strongroom::base::ids::Epoch;
use strongroom::container::names as container_names;
use strongroom::crypto::SecretText;
use strongroom::keys::custodians::quorum;
use strongroom::keys::custodians::settings::CustodianSettings;
use strongroom::keys::master::Credentials;
use strongroom::keys::ring::KeyRing;
use strongroom::store::{Store, open};
use strongroom::vault::handle::Vault;
use strongroom::vault::replica::open_head;
use strongroom::vault::settings::StoreSettings;
use strongroom::vault::settings::{Environment, VaultPlaces};

use super::{backup, folder_and_bucket, names, only_bucket};
use crate::support::s3_server::{S3Server, seaweed};
use crate::vault::{World, finished};

/// The vault of a world, through the library.
fn vault(world: &World, url: &str) -> (Vault, Credentials) {
    let at = |name: &str| world.path().join(name);
    let places = VaultPlaces {
        catalog: at("catalog.sqlite"),
        master: at("master.age"),
        maps: at("maps"),
        custodians: vec![CustodianSettings::file("main", at("custodian"))],
        stores: vec![StoreSettings { name: "offsite".to_owned(), ..StoreSettings::main(url) }],
        spill: at("spill"),
    };
    let who = Who { actor: "ada".to_owned(), host: "vault-1".to_owned() };
    let environment = Environment {
        clock: Arc::new(SystemClock),
        who,
        warn: Arc::new(|_: &str| {}),
        alert: Arc::new(|_: &str| {}),
    };
    let identity = SecretText::new(std::fs::read_to_string(at("identity")).unwrap());
    let credentials =
        Credentials { passphrase: None, identities: Some((identity, "identity".to_owned())) };
    (Vault::open(places, environment).unwrap(), credentials)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_replicas_stay_in_a_locked_bucket_and_open_nothing() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let url = server.url(&format!("{bucket}/locked"), "&lock=governance&lock_days=30");
    let (_database, world) = folder_and_bucket(&url).await;
    let weekly = backup(&world, "weekly");
    let store = open(&url).unwrap();
    let before = names(&store, "catalog/").await;
    let erased = world.erase(None, "3");
    assert_eq!(erased["state"], "confirmed");
    assert_eq!(erased["proof"]["replicas_tried"], 1, "{erased:#}");
    assert_eq!(erased["proof"]["segments_opened"], 0);
    let after = names(&store, "catalog/").await;
    assert!(before.iter().all(|name| after.contains(name)), "the lock keeps them all");

    let (vault, credentials) = vault(&world, &url);
    let recorded = vault.record(Action::Unlock, "vault", Outcome::Begun, None).unwrap();
    let unlocked = unlock(&vault, &credentials, &recorded, None).await.unwrap();
    let (present, epoch) = {
        let ring = unlocked.ring();
        (ring.replica_keys(), ring.epoch())
    };
    let custodian = vault.custodian("main").unwrap();
    let share = custodian.get(vault.id(), epoch).unwrap();
    let secret = quorum::combine(&[share]).unwrap();
    let old = KeyRing::new(vault.id(), Epoch(1), &unlocked.master(), &secret).replica_keys();
    let (mut opened, mut closed) = (0, 0);
    for name in after.iter().filter(|name| name.starts_with(container_names::REPLICA_HEADS)) {
        let object = name.parse().unwrap();
        let length = store.size(&object).await.unwrap();
        let bytes = store.read_range(&object, 0, length).await.unwrap();
        let number = container_names::replica_head_number(name).unwrap();
        let opens =
            [&present, &old].into_iter().any(|keys| open_head(&bytes, number, keys).is_ok());
        assert_eq!(opens, !before.contains(name), "{name}");
        if opens { opened += 1 } else { closed += 1 }
    }
    assert!(opened >= 1 && closed >= 2, "{opened} {closed}");
    let (_restored, document) = world.restored(&weekly, &[]);
    assert_eq!(document["rows_forgotten"], 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_says_what_the_bucket_retains_and_prune_removes_it_once_it_is_free() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let url = server.url(&format!("{bucket}/e"), "&lock=governance&lock_days=30");
    let (_database, world) = folder_and_bucket(&url).await;
    let weekly = backup(&world, "weekly");
    world.ok(&["backup", "main", "--class", "weekly", "--full"]);
    let expired = world.ok(&["expire", &weekly, "--yes"]);
    assert_eq!(expired["state"], "confirmed");
    let retained = expired["retained"].as_array().unwrap();
    let of_backups = retained.iter().filter(|one| !one.as_str().unwrap().starts_with("catalog/"));
    assert!(of_backups.count() >= 4, "{expired:#}");
    let sentence = retained[0].as_str().unwrap();
    assert!(sentence.contains("ciphertext retained by the bucket until 20"), "{sentence}");
    assert_eq!(world.ends(5, &["verify", &weekly]).error_code(), "not-found");
    assert!(!world.ok(&["prune"])["retained"].as_array().unwrap().is_empty());

    // The date passes: here, an administrator brings it near.
    retain_all_for(server, &bucket, Duration::from_secs(3)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pruned = world.ok(&["prune"]);
    assert!(pruned["objects"].as_array().unwrap().len() >= 4, "{pruned:#}");
    assert_eq!(pruned["retained"], serde_json::json!([]));
    let store = open(&url).unwrap();
    assert_eq!(names(&store, &format!("backups/{weekly}")).await, [""; 0]);
    assert_eq!(store.old_versions("").await.unwrap(), []);
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
}

/// What nobody but an administrator can do: everything in a bucket falls free that soon.
async fn retain_all_for(server: &S3Server, bucket: &str, duration: Duration) {
    let client = server.client();
    let until = std::time::SystemTime::now() + duration;
    let listed = client.list_object_versions().bucket(bucket).send().await.unwrap();
    for version in listed.versions() {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Governance)
            .retain_until_date(DateTime::from(until));
        client
            .put_object_retention()
            .bucket(bucket)
            .key(version.key().unwrap())
            .version_id(version.version_id().unwrap())
            .bypass_governance_retention(true)
            .retention(retention.build())
            .send()
            .await
            .unwrap();
    }
}

/// Until when an object is retained.
async fn retained_until(store: &Arc<dyn Store>, name: &str) -> chrono::DateTime<chrono::Utc> {
    let lock = store.lock_of(&name.parse().unwrap()).await.unwrap();
    lock.retention.unwrap_or_else(|| panic!("{name} is not retained")).until
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_later_backup_needs_is_retained_as_long_as_that_backup() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let url = server.url(&format!("{bucket}/h"), "&lock=governance&lock_days=30");
    let (database, world) = only_bucket(&url).await;
    let first = backup(&world, "weekly");
    let store = open(&url).unwrap();
    let packs_of_first = names(&store, "packs/").await;
    assert!(!packs_of_first.is_empty());
    // Twenty-nine days go by.
    retain_all_for(server, &bucket, Duration::from_hours(24)).await;
    let day_after_next = chrono::Utc::now() + chrono::TimeDelta::days(2);
    let first_manifest = container_names::manifest(&first.parse().unwrap());
    assert!(retained_until(&store, &first_manifest).await < day_after_next);
    let change = "UPDATE public.orders SET what = 'changed' WHERE user_id = 7";
    database.session().await.batch("a change", change).await.unwrap();

    // A backup whose objects cannot be held is not there, and what it has held does no harm.
    for (edge, is_held) in [("before", false), ("after", true)] {
        let mut failing = world.command(&["backup", "main", "--class", "weekly"]);
        failing.env("STRONGROOM_FAIL_AT", format!("backup.hold:{edge}#1"));
        assert_ne!(finished(failing).code, Some(0));
        assert_eq!(world.backups().len(), 1, "{edge}");
        let mut held = 0;
        for name in &packs_of_first {
            held += usize::from(retained_until(&store, name).await > day_after_next);
        }
        assert_eq!(held > 0, is_held, "{edge}");
    }
    let mut killed = world.command(&["backup", "main", "--class", "weekly"]);
    killed.env("STRONGROOM_CRASH_AT", "backup.hold:before#1");
    assert_eq!(finished(killed).signal, Some(9));
    assert_eq!(world.backups().len(), 1);

    let second = world.ok(&["backup", "main", "--class", "weekly"]);
    let referenced = second["referenced_bytes"].as_u64().unwrap();
    assert!(referenced > 0, "{second:#}");
    let second = second["backup"].as_str().unwrap().to_owned();
    let manifest = container_names::manifest(&second.parse().unwrap());
    let wanted = retained_until(&store, &manifest).await;
    assert!(wanted > day_after_next);
    for name in &packs_of_first {
        assert!(retained_until(&store, name).await >= wanted, "{name}");
    }
    let index_of_first = container_names::index(&first.parse().unwrap());
    assert!(retained_until(&store, &index_of_first).await >= wanted, "its layer is read, too");
    // The first backup's own manifest is nobody else's.
    assert!(retained_until(&store, &first_manifest).await < day_after_next);

    // Once the first has expired, the second still has everything, and so has a restore.
    world.ok(&["expire", &first, "--yes"]);
    world.ok(&["prune"]);
    assert_eq!(world.ok(&["verify", &second])["intact"], true);
    let (restored, _) = world.restored(&second, &[]);
    let changed = "SELECT count(*) FROM public.orders WHERE what = 'changed'";
    let rows = restored.session().await.query_one(changed, &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 100);
}
