//! What a backup writes when little or nothing has changed.

use super::{Case, id, number, text};

/// Shares of the first backup's bytes, everything in the store counted.
const UNCHANGED_SHARE_MAX: f64 = 0.005;
const ONE_PERCENT_SHARE_MAX: f64 = 0.03;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_writes_what_has_changed() {
    let case = Case::new(8000).await;
    let empty = case.stored_bytes();
    let first = case.back_up(&[]);
    let after_first = case.stored_bytes();
    let (packs, first_bytes) = (case.objects("packs"), after_first - empty);

    let second = case.back_up(&[]);
    let after_second = case.stored_bytes();
    let unchanged = after_second - after_first;
    assert_eq!(case.objects("packs"), packs);
    let own = format!("backups/{}", id(&second));
    assert_eq!(
        case.objects(&own).into_iter().collect::<Vec<_>>(),
        [format!("{own}/manifest.age"), format!("{own}/schema.age")]
    );
    assert!(number(&second, "referenced_bytes") * 100 > number(&first, "stored_bytes") * 99);

    let body = text("'new' || id", 32);
    case.sql(&format!("UPDATE notes SET body = {body} WHERE id % 100 = 7")).await;
    let third = case.back_up(&[]);
    let changed = case.stored_bytes() - after_second;
    let float = |bytes: u64| f64::from(u32::try_from(bytes).unwrap());
    let share = |bytes: u64| float(bytes) / float(first_bytes);
    println!(
        "first {first_bytes} bytes; unchanged {unchanged} ({:.4}); 1 % changed {changed} ({:.4}); \
         reported {} and {}",
        share(unchanged),
        share(changed),
        second["stored_bytes"],
        third["stored_bytes"]
    );
    assert!(share(unchanged) <= UNCHANGED_SHARE_MAX, "{unchanged} of {first_bytes}");
    assert!(share(changed) <= ONE_PERCENT_SHARE_MAX, "{changed} of {first_bytes}");
    let expected = case.picture().await;
    case.expect(&third, &expected).await;
    case.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_refers_to_nothing() {
    let case = Case::new(50).await;
    let first = case.back_up(&[]);
    let full = case.back_up(&["--full"]);
    assert_eq!(number(&full, "referenced_bytes"), 0);
    assert!(number(&full, "stored_bytes") * 10 > number(&first, "stored_bytes") * 9);
    let next = case.back_up(&[]);
    assert!(number(&next, "referenced_bytes") > 0);
    let listed = case.world.ok(&["list"]);
    assert_eq!(listed["backups"][0]["referenced_bytes"], next["referenced_bytes"]);
    case.expect(&full, &case.picture().await).await;
}
