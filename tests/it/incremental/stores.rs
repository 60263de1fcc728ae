//! Copies in a second store hold everything that a backup refers to.

use std::fs;

use super::{Case, number};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_what_others_wrote() {
    let case = Case::new(40).await;
    case.back_up(&[]);
    case.sql("UPDATE notes SET body = 'other' WHERE id = 7").await;
    case.back_up(&[]);
    let file = case.world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let two =
        "[[store]]\nname = \"main\"\nurl = \"store\"\n\n[[store]]\nname = \"far\"\nurl = \"far\"\n";
    let (before, rest) = text.split_once("[store]").unwrap();
    let rest = rest.split_once("[[custodian]]").unwrap().1;
    fs::write(&file, format!("{before}{two}\n[[custodian]]{rest}")).unwrap();
    fs::create_dir(case.world.path().join("far")).unwrap();
    case.world.ok(&["store", "check"]);
    // Only the second: what it refers to of the first comes along.
    let expected = case.picture().await;
    let third = case.back_up(&[]);
    assert!(number(&third, "referenced_bytes") > 0);
    fs::rename(case.world.path().join("store"), case.world.path().join("gone")).unwrap();
    case.expect(&third, &expected).await;
    let away = case.world.ends(12, &["backup", "main"]).document.unwrap();
    assert!(number(&away, "referenced_bytes") > 0, "the third is complete in both");
    case.expect(&away, &expected).await;
    fs::rename(case.world.path().join("gone"), case.world.path().join("store")).unwrap();
    case.world.ok(&["store", "reconcile"]);
    fs::rename(case.world.path().join("far"), case.world.path().join("gone")).unwrap();
    case.expect(&third, &expected).await;
    case.expect(&away, &expected).await;
    assert_eq!(case.world.backups().len(), 4);
}
