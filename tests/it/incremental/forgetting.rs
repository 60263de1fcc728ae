//! People who are forgotten, and who come back, while backups share packs and layers.

use super::{Case, id, number};

const HERS: &str = "
    SELECT (SELECT count(*) FROM public.users WHERE id = 7) + (SELECT count(*) FROM public.notes WHERE user_id = 7)
         + (SELECT count(*) FROM public.items WHERE note_id = 7)";

async fn delete_her(case: &Case) {
    case.sql(
        "DELETE FROM items WHERE note_id = 7; DELETE FROM notes WHERE user_id = 7;
         DELETE FROM users WHERE id = 7;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_every_backup_that_shares_her_segments() {
    let case = Case::new(80).await;
    let mut backups = vec![case.back_up(&[])];
    for step in 0..3 {
        case.sql(&format!("UPDATE notes SET body = 'step {step}' WHERE id IN (7, 9)")).await;
        backups.push(case.back_up(&[]));
        backups.push(case.back_up(&[]));
    }
    let report = case.world.erase(None, "7");
    assert_eq!((number(&report, "backups"), number(&report, "rows")), (7, 21));
    assert_eq!(report["proof"]["segments_opened"], 0);
    assert_eq!(report["proof"]["segments_tried"], 21);
    assert_eq!(report["proof"]["bystanders_opened"], 7);
    for backup in &backups {
        let (copy, report) = case.world.restored(id(backup), &[]);
        assert_eq!(number(&report, "rows_forgotten"), 3);
        let hers = copy.session().await.query_one(HERS, &[]).await.unwrap();
        assert_eq!(hers.get::<_, i64>(0), 0);
    }
    // She is still in the source: none of her rows is sealed again.
    let after = case.back_up(&[]);
    assert_eq!(number(&after, "rows_of_erased"), 3);
    delete_her(&case).await;
    let later = case.back_up(&[]);
    let expected = case.picture().await;
    case.expect(&after, &expected).await;
    case.expect(&later, &expected).await;
    case.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_is_sealed_anew() {
    let case = Case::new(40).await;
    let before = case.back_up(&[]);
    case.world.erase(None, "7");
    let without = case.back_up(&[]);
    assert_eq!(number(&without, "rows_of_erased"), 3);
    case.world.ok(&["subject", "readmit", "--source", "main", "--subject", "7"]);
    let packs = case.objects("packs");
    let back = case.back_up(&[]);
    assert_eq!(number(&back, "rows_of_erased"), 0);
    assert_ne!(case.objects("packs"), packs, "what is hers lies in a pack of its own");
    case.expect(&back, &case.picture().await).await;
    for (backup, forgotten) in [(&before, 3), (&without, 0)] {
        let (copy, report) = case.world.restored(id(backup), &[]);
        assert_eq!(number(&report, "rows_forgotten"), forgotten);
        let hers = copy.session().await.query_one(HERS, &[]).await.unwrap();
        assert_eq!(hers.get::<_, i64>(0), 0);
    }
    let again = case.back_up(&[]);
    case.expect(&again, &case.picture().await).await;
    case.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_match_nothing_of_old_ones() {
    let case = Case::new(40).await;
    case.back_up(&[]);
    case.world.ok(&["keys", "rotate"]);
    let after = case.back_up(&[]);
    case.expect(&after, &case.picture().await).await;
    let again = case.back_up(&[]);
    case.expect(&again, &case.picture().await).await;
    case.verify();
}
