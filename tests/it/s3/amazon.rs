//! Vaults on Amazon's service: by its rules before SeaweedFS here, and on the service itself where
//! somebody with credentials runs `tests/it/s3/on_amazon`.

use std::fs;
use std::sync::Arc;

use serde_json::json;
use strongroom::store::open;

use super::{add_source, backup, names, only_bucket, people};
use crate::support::amazon;
use crate::support::proxy::{self, Between, Request, Response, Turn};
use crate::support::s3_server::seaweed;
use crate::vault::{World, picture};

/// Names the place of a vault at the service itself, for the tests that are otherwise left out.
const PLACE: &str = "STRONGROOM_ON_AMAZON";
/// The same in a bucket with Object Lock.
const LOCKED_PLACE: &str = "STRONGROOM_ON_AMAZON_LOCKED";

/// Everything that a vault does in a bucket.
async fn a_whole_life(url: &str, locked: bool) {
    let (database, world) = only_bucket(url).await;
    let expected = picture::of(&database).await;
    let first = backup(&world, "daily");
    let changed = "UPDATE public.orders SET what = 'changed' WHERE user_id = 9";
    database.session().await.batch("a change", changed).await.unwrap();
    let second = backup(&world, "daily");
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
    let (restored, _) = world.restored(&first, &[]);
    picture::of(&restored).await.assert_is(&expected);
    let erased = world.erase(None, "3");
    assert_eq!(
        (&erased["state"], &erased["proof"]["segments_opened"]),
        (&json!("confirmed"), &json!(0))
    );
    let (_restored, document) = world.restored(&second, &[]);
    assert_eq!(document["rows_forgotten"], 101);
    let expired = world.ok(&["expire", &first, "--yes"]);
    assert_eq!(expired["state"], "confirmed");
    assert_eq!(expired["retained"].as_array().unwrap().is_empty(), !locked, "{expired:#}");
    world.ok(&["prune"]);
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
    world.ok(&["doctor"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_lives_by_amazons_rules() {
    let server = seaweed();
    for (locked, more) in [(false, ""), (true, "&lock=governance&lock_days=30")] {
        let url = format!(
            "s3://{}/v?endpoint={}&credentials={}&part_mib=5{more}",
            server.bucket(locked),
            amazon::before(&server.endpoint()),
            server.credentials().display()
        );
        a_whole_life(&url, locked).await;
    }
}

/// A service that refuses checksums in headers, from the beginning.
struct WithoutChecksums;

impl Between for WithoutChecksums {
    fn asked(&self, request: &mut Request) -> Turn {
        if request.headers.iter().any(|(name, _)| name.to_lowercase().contains("checksum")) {
            let says = "Unsupported header 'x-amz-checksum-sha256' received for this API call.";
            return Turn::Answer(Response::error("400 Bad Request", "InvalidArgument", says));
        }
        Turn::Forward
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_refuses_checksums_holds_a_vault_and_no_locks() {
    let server = seaweed();
    let port = server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
    let port = proxy::start(port, Arc::new(WithoutChecksums));
    let url = format!(
        "s3://{}/v?endpoint=http://127.0.0.1:{port}&credentials={}",
        server.bucket(true),
        server.credentials().display()
    );
    let world = World::empty();
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    let init = |url: &str| world.run(&["init", "--store", url, "--recipient", &recipient]);
    let locked = init(&format!("{url}&lock=governance&lock_days=1"));
    assert_eq!((locked.code, locked.error_code().as_str()), (Some(7), "store"), "{}", locked.all());
    assert!(locked.error_message().contains("refuses the checksum"), "{}", locked.all());
    let begun = init(&url);
    assert_eq!(begun.code, Some(0), "{}", begun.all());
    assert!(begun.said.contains("the service refuses checksums in headers"), "{}", begun.all());
    let kept: String = world
        .catalog()
        .query_row("SELECT capabilities FROM store WHERE store = 'main'", [], |row| row.get(0))
        .unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["findings"]["checksum-header"]["verdict"], "no", "{kept:#}");
    let database = people().await;
    add_source(&world, &database);
    backup(&world, "daily");
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
}

/// Run by `tests/it/s3/on_amazon`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a bucket at Amazon"]
async fn on_amazon() {
    let places = [(PLACE, false, ""), (LOCKED_PLACE, true, "&lock=governance&lock_days=1")];
    let mut run = 0;
    for (variable, locked, more) in places {
        let Ok(place) = std::env::var(variable) else { continue };
        let (path, query) = place.split_once('?').unwrap_or((&place, ""));
        let run_of_its_own = chrono::Utc::now().format("%Y%m%dT%H%M%S");
        let path = path.trim_end_matches('/');
        let url = format!("{path}/vault-{run_of_its_own}?{query}&part_mib=5{more}");
        a_whole_life(&url, locked).await;
        let store = open(&url).unwrap();
        for name in names(&store, "").await {
            let gone = store.delete(&name.parse().unwrap()).await;
            assert!(locked || gone.is_ok(), "{name}: {gone:?}");
        }
        run += 1;
    }
    assert!(run > 0, "{PLACE} names no bucket");
}
