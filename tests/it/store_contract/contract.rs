//! What every store must do: one function for each part of the contract.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use strongroom::store::{ObjectName, Store, StoreError, Written};

pub fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

pub async fn put(store: &dyn Store, object: &str, contents: &[u8]) -> Result<Written, StoreError> {
    let mut writer = store.create(&name(object)).await?;
    if !contents.is_empty() {
        writer.write(Bytes::copy_from_slice(contents)).await?;
    }
    writer.finish().await
}

pub async fn get(store: &dyn Store, object: &str) -> Vec<u8> {
    let size = store.size(&name(object)).await.unwrap();
    store.read_range(&name(object), 0, size).await.unwrap().to_vec()
}

pub async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).await.unwrap();
    listed.into_iter().map(|object| object.name.to_string()).collect()
}

/// Bytes that no part of repeats soon.
pub fn noise(length: usize) -> Vec<u8> {
    (0..length.div_ceil(32))
        .flat_map(|block| Sha256::digest(block.to_le_bytes()))
        .take(length)
        .collect()
}

pub async fn an_object_reads_back_with_its_length_and_digest(store: Arc<dyn Store>) {
    let written = put(&*store, "packs/one", b"some bytes").await.unwrap();
    assert_eq!(written.bytes, 10);
    assert_eq!(written.sha256.0[..], Sha256::digest(b"some bytes")[..]);
    assert_eq!(get(&*store, "packs/one").await, b"some bytes");
}

/// Whoever writes an index after its packs relies on this.
pub async fn objects_appear_whole_at_once_and_in_the_order_of_their_writing(store: Arc<dyn Store>) {
    let order = ["packs/1", "packs/2", "index", "manifest"];
    let watched = Arc::clone(&store);
    let watching = tokio::spawn(async move {
        loop {
            let listed = names(&*watched, "").await;
            // What is listed is there, whole, and so is all that was finished before it.
            for object in &listed {
                assert_eq!(get(&*watched, object).await, object.repeat(100).as_bytes());
                let before = order.iter().position(|one| one == object).unwrap();
                for earlier in &order[..before] {
                    watched.size(&name(earlier)).await.unwrap();
                }
            }
            if listed.len() == order.len() {
                break;
            }
        }
    });
    for object in order {
        put(&*store, object, object.repeat(100).as_bytes()).await.unwrap();
        assert!(names(&*store, "").await.contains(&object.to_owned()), "{object}");
    }
    watching.await.unwrap();
}

pub async fn an_unfinished_object_is_invisible_and_leaves_nothing(store: Arc<dyn Store>) {
    let object = name("packs/one");
    let mut writer = store.create(&object).await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    assert!(matches!(store.size(&object).await, Err(StoreError::NotFound { .. })));
    let read = store.read_range(&object, 0, 1).await;
    assert!(matches!(read, Err(StoreError::NotFound { .. })));
    assert_eq!(names(&*store, "").await, [""; 0]);
    assert_eq!(store.leftovers().await.unwrap(), []);
    drop(writer);
    put(&*store, "packs/one", b"whole").await.unwrap();
    assert_eq!(get(&*store, "packs/one").await, b"whole");
}

pub async fn an_object_is_created_once_and_never_replaced(store: Arc<dyn Store>) {
    put(&*store, "a", b"first").await.unwrap();
    let again = put(&*store, "a", b"second").await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(get(&*store, "a").await, b"first");
}

pub async fn of_concurrent_writers_exactly_one_wins(store: Arc<dyn Store>) {
    let mut writers = Vec::new();
    for number in 0..8_u8 {
        let mut writer = store.create(&name("raced")).await.unwrap();
        writer.write(Bytes::from(vec![number; 1000])).await.unwrap();
        writers.push((number, writer));
    }
    let finishing = writers
        .into_iter()
        .map(|(number, writer)| tokio::spawn(async move { (number, writer.finish().await) }));
    let mut winners = Vec::new();
    for finished in finishing.collect::<Vec<_>>() {
        match finished.await.unwrap() {
            (number, Ok(_)) => winners.push(number),
            (_, Err(StoreError::AlreadyExists { .. })) => {}
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&*store, "raced").await, vec![winners[0]; 1000]);
}

pub async fn a_range_must_lie_inside_the_object(store: Arc<dyn Store>) {
    put(&*store, "a", b"0123456789").await.unwrap();
    let read = async |offset, length| store.read_range(&name("a"), offset, length).await;
    assert_eq!(read(3, 4).await.unwrap(), "3456");
    assert_eq!(read(0, 10).await.unwrap(), "0123456789");
    assert_eq!(read(4, 0).await.unwrap(), "");
    assert_eq!(read(10, 0).await.unwrap(), "");
    for (wrong, there) in
        [((9, 2), 1), ((10, 1), 0), ((11, 0), 0), ((0, u64::MAX), 10), ((u64::MAX, 9), 0)]
    {
        match read(wrong.0, wrong.1).await {
            Err(StoreError::ShortRead { offset, length, available, .. }) => {
                assert_eq!(((offset, length), available), (wrong, there));
            }
            other => panic!("{wrong:?}: {other:?}"),
        }
    }
}

pub async fn an_empty_object_is_an_object(store: Arc<dyn Store>) {
    let written = put(&*store, "empty", b"").await.unwrap();
    assert_eq!(written.bytes, 0);
    assert_eq!(written.sha256.0[..], Sha256::digest(b"")[..]);
    assert_eq!(store.size(&name("empty")).await.unwrap(), 0);
    assert_eq!(names(&*store, "").await, ["empty"]);
    let again = put(&*store, "empty", b"no").await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })));
}

pub async fn a_large_object_in_uneven_writes_is_whole(store: Arc<dyn Store>) {
    let block = Bytes::from(noise(1 << 20));
    let mut writer = store.create(&name("large")).await.unwrap();
    let mut sha256 = Sha256::new();
    for number in 0..72 {
        let at = number * 14_000;
        for part in [block.slice(..at), Bytes::new(), block.slice(at..)] {
            sha256.update(&part);
            writer.write(part).await.unwrap();
        }
    }
    let written = writer.finish().await.unwrap();
    assert_eq!(written.bytes, 72 << 20);
    assert_eq!(written.sha256.0[..], sha256.finalize()[..]);
    assert_eq!(store.size(&name("large")).await.unwrap(), 72 << 20);
    let across = store.read_range(&name("large"), (10 << 20) - 5, 10).await.unwrap();
    assert_eq!(across, [&block[block.len() - 5..], &block[..5]].concat());
}

pub async fn odd_names_are_kept_apart_and_listed_as_they_are(store: Arc<dyn Store>) {
    let longest = [vec!["x".repeat(255); 3], vec!["y".repeat(132)]].concat().join("/");
    let mut odd = [
        "a b",
        "a+b",
        "a%20b",
        "a%2Fb",
        "Ключ/鍵/🗝",
        "e\u{301}",
        "é",
        "-rf",
        "~",
        "*",
        "a.b",
        "A",
        "'\"",
        &longest,
    ];
    for (number, object) in odd.iter().enumerate() {
        put(&*store, object, number.to_string().as_bytes()).await.unwrap();
    }
    for (number, object) in odd.iter().enumerate() {
        assert_eq!(get(&*store, object).await, number.to_string().as_bytes(), "{object}");
    }
    odd.sort_unstable();
    assert_eq!(names(&*store, "").await, odd);
    assert_eq!(names(&*store, "Ключ/").await, ["Ключ/鍵/🗝"]);
}

pub async fn a_listing_is_complete_ordered_and_exact_to_its_prefix(store: Arc<dyn Store>) {
    let object = |number| (format!("packs/{:02x}/{number:04}", number % 7), number % 3);
    let mut expected: Vec<_> = (0..3000_u64).map(object).collect();
    let writing = expected.clone().into_iter().map(|(object, bytes)| {
        let store = &store;
        async move { put(&**store, &object, &noise(usize::try_from(bytes).unwrap())).await.unwrap() }
    });
    stream::iter(writing).buffer_unordered(16).collect::<Vec<_>>().await;
    // `/` sorts after `-` and `.`, so the folder's contents stand between these two.
    for object in ["packs/00-", "packs/000", "backups/x"] {
        put(&*store, object, b"").await.unwrap();
        expected.push((object.to_owned(), 0));
    }
    expected.sort();
    let listed = store.list("").await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|o| (o.name.to_string(), o.bytes)).collect();
    assert_eq!(listed, expected);
    for prefix in ["packs/", "packs/0", "packs/00", "packs/00/", "packs/00/00", "pa", "backups/x"] {
        let begin = expected.iter().map(|(object, _)| object.as_str());
        let begin: Vec<_> = begin.filter(|object| object.starts_with(prefix)).collect();
        assert_eq!(names(&*store, prefix).await, begin, "{prefix}");
    }
    for nothing in ["q", "packs/00/x", "/", "../", "packs/../", ".", "packs//", "packs/zz/"] {
        assert_eq!(names(&*store, nothing).await, [""; 0], "{nothing}");
    }
}

pub async fn deleting_is_final_and_may_be_repeated(store: Arc<dyn Store>) {
    put(&*store, "a/b", b"old").await.unwrap();
    for _ in 0..2 {
        store.delete(&name("a/b")).await.unwrap();
        assert!(matches!(store.size(&name("a/b")).await, Err(StoreError::NotFound { .. })));
    }
    store.delete(&name("never/was/there")).await.unwrap();
    assert_eq!(names(&*store, "").await, [""; 0]);
    put(&*store, "a/b", b"new").await.unwrap();
    assert_eq!(get(&*store, "a/b").await, b"new");
}

pub async fn what_is_not_an_object_is_not_found(store: Arc<dyn Store>) {
    put(&*store, "a/b", b"contents").await.unwrap();
    for absent in ["a", "a/b/c", "a/c", "x/y"] {
        let size = store.size(&name(absent)).await;
        assert!(matches!(size, Err(StoreError::NotFound { .. })), "{absent}: {size:?}");
        let read = store.read_range(&name(absent), 0, 0).await;
        assert!(matches!(read, Err(StoreError::NotFound { .. })), "{absent}: {read:?}");
    }
    store.delete(&name("a")).await.unwrap();
    assert_eq!(get(&*store, "a/b").await, b"contents");
}
