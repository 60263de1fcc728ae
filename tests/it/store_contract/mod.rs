//! What every store must do, run for each store that there is: the directory, S3 on a real server,
//! S3 on a server that behaves differently and one that holds Amazon's rules, and the faulty wrapper
//! without faults.

mod contract;
mod s3;
mod s3_amazon;
mod s3_failures;
mod s3_patience;
mod s3_probe;

use std::any::Any;
use std::sync::Arc;

use strongroom::store::Store;
use strongroom::store::directory::DirectoryStore;

use crate::support::s3_server::S3Server;

/// A store for one test, and what must live as long as it.
struct Subject {
    store: Arc<dyn Store>,
    keeps: Box<dyn Any>,
}

/// One test of each part of the contract for a store.
macro_rules! keeps_the_contract {
    ($module:ident, $make:expr) => {
        keeps_the_contract!($module, $make =>
            an_object_reads_back_with_its_length_and_digest,
            objects_appear_whole_at_once_and_in_the_order_of_their_writing,
            an_unfinished_object_is_invisible_and_leaves_nothing,
            an_object_is_created_once_and_never_replaced,
            of_concurrent_writers_exactly_one_wins,
            a_range_must_lie_inside_the_object,
            an_empty_object_is_an_object,
            a_large_object_in_uneven_writes_is_whole,
            odd_names_are_kept_apart_and_listed_as_they_are,
            a_listing_is_complete_ordered_and_exact_to_its_prefix,
            deleting_is_final_and_may_be_repeated,
            what_is_not_an_object_is_not_found,
        );
    };
    ($module:ident, $make:expr => $($part:ident,)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $part() {
                let subject: super::Subject = $make;
                super::contract::$part(subject.store).await;
                drop(subject.keeps);
            })*
        }
    };
}

fn directory() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::create(&folder.path().join("store")).unwrap();
    Subject { store: Arc::new(store), keeps: Box::new(folder) }
}

#[cfg(debug_assertions)]
fn faultless() -> Subject {
    let Subject { store, keeps } = directory();
    Subject { store: Arc::new(strongroom::store::faulty::FaultyStore::new(store)), keeps }
}

/// The same before which Amazon's rules are held.
fn s3_by_amazons_rules(server: &S3Server, locked: bool) -> Subject {
    let bucket = server.bucket(locked);
    let url = s3_amazon::url(server, &format!("{bucket}/a%20vault+1"), "");
    Subject { store: strongroom::store::open(&url).unwrap(), keeps: Box::new(()) }
}

/// A store in a bucket of its own, below a prefix that needs encoding.
fn s3(server: &S3Server, locked: bool) -> Subject {
    let bucket = server.bucket(locked);
    let url = server.url(&format!("{bucket}/a%20vault+1"), "");
    Subject { store: strongroom::store::open(&url).unwrap(), keeps: Box::new(()) }
}

keeps_the_contract!(directory_store, super::directory());
#[cfg(debug_assertions)]
keeps_the_contract!(faulty_store_without_faults, super::faultless());
keeps_the_contract!(s3_on_seaweedfs, super::s3(crate::support::s3_server::seaweed(), false));
keeps_the_contract!(
    s3_on_seaweedfs_with_versions,
    super::s3(crate::support::s3_server::seaweed(), true)
);
keeps_the_contract!(
    s3_by_amazons_rules, super::s3_by_amazons_rules(crate::support::s3_server::seaweed(), true) =>
    an_object_reads_back_with_its_length_and_digest,
    an_unfinished_object_is_invisible_and_leaves_nothing,
    an_object_is_created_once_and_never_replaced,
    of_concurrent_writers_exactly_one_wins,
    a_range_must_lie_inside_the_object,
    an_empty_object_is_an_object,
    a_large_object_in_uneven_writes_is_whole,
    odd_names_are_kept_apart_and_listed_as_they_are,
    deleting_is_final_and_may_be_repeated,
    what_is_not_an_object_is_not_found,
);
// A quick subset: thousands of keys take it too long.
keeps_the_contract!(s3_on_moto, super::s3(crate::support::s3_server::moto(), false) =>
    an_object_reads_back_with_its_length_and_digest,
    an_unfinished_object_is_invisible_and_leaves_nothing,
    an_object_is_created_once_and_never_replaced,
    of_concurrent_writers_exactly_one_wins,
    a_range_must_lie_inside_the_object,
    an_empty_object_is_an_object,
    a_large_object_in_uneven_writes_is_whole,
    odd_names_are_kept_apart_and_listed_as_they_are,
    deleting_is_final_and_may_be_repeated,
    what_is_not_an_object_is_not_found,
);
