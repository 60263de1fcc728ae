//! A bucket with Object Lock: what is forgotten stays there as ciphertext and opens for nobody.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use strongroom::audit::{Action, Outcome, Who};
use strongroom::clock::SystemClock;
use strongroom::container::names as container_names;
use strongroom::crypto::SecretText;
use strongroom::ids::Epoch;
use strongroom::keys::custodian_settings::CustodianSettings;
use strongroom::keys::master::Credentials;
use strongroom::keys::quorum;
use strongroom::keys::ring::KeyRing;
use strongroom::ops::replica::open_head;
use strongroom::ops::stores::StoreSettings;
use strongroom::ops::vault::{Environment, Vault, VaultPlaces};
use strongroom::store::open;

use crate::s3_server::seaweed;
use crate::vault::World;
use crate::{backup, folder_and_bucket, names};

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
    let environment =
        Environment { clock: Arc::new(SystemClock), who, warn: Arc::new(|_: &str| {}) };
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
    let unlocked = vault.unlock(&credentials, &recorded).await.unwrap();
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
    let client = server.client();
    let until = std::time::SystemTime::now() + Duration::from_secs(3);
    let listed = client.list_object_versions().bucket(&bucket).prefix("e/").send().await.unwrap();
    for version in listed.versions() {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Governance)
            .retain_until_date(DateTime::from(until));
        client
            .put_object_retention()
            .bucket(&bucket)
            .key(version.key().unwrap())
            .version_id(version.version_id().unwrap())
            .bypass_governance_retention(true)
            .retention(retention.build())
            .send()
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pruned = world.ok(&["prune"]);
    assert!(pruned["objects"].as_array().unwrap().len() >= 4, "{pruned:#}");
    assert_eq!(pruned["retained"], serde_json::json!([]));
    let store = open(&url).unwrap();
    assert_eq!(names(&store, &format!("backups/{weekly}")).await, [""; 0]);
    assert_eq!(store.old_versions("").await.unwrap(), []);
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
}
