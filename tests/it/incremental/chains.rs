//! Many backups, each on the one before: every one restores by itself, whatever goes meanwhile.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::{Case, id, number, text};

/// A random change of the rows: added, changed and deleted people, rows of theirs, rows of nobody.
fn change(random: &mut StdRng, step: u32) -> String {
    let (some, other) = (random.random_range(1..40), random.random_range(1..40));
    let id = 10_000 + step;
    let body = text(&format!("{step} * id"), 3);
    match random.next_u32() % 6 {
        0 => format!(
            "INSERT INTO users VALUES ({id}, 'new'); INSERT INTO notes VALUES ({id}, {id}, 'hello');"
        ),
        1 => format!("UPDATE notes SET body = {body} WHERE user_id % 40 = {some}"),
        2 => format!(
            "DELETE FROM items WHERE note_id IN (SELECT id FROM notes WHERE user_id % 40 = {some});
             DELETE FROM notes WHERE user_id % 40 = {some};
             DELETE FROM users WHERE id % 40 = {some};"
        ),
        3 => format!("UPDATE countries SET name = 'n{step}' WHERE code = 'c{some}'"),
        4 => format!(
            "DELETE FROM items WHERE id % 40 = {some}; UPDATE users SET email = email || '.{step}'
             WHERE id % 40 = {other}"
        ),
        _ => "SELECT 1".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backup_of_a_chain_restores_by_itself() {
    // One seed, or the first and the last: `4-40`.
    let seeds = std::env::var("STRONGROOM_CHAIN").unwrap_or_else(|_| "1-3".to_owned());
    let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
    for seed in first.parse().unwrap()..=last.parse().unwrap() {
        chain(seed).await;
    }
}

async fn chain(seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let case = Case::new(120).await;
    let mut kept = Vec::new();
    for step in 0..10 {
        for _ in 0..random.random_range(0..3) {
            case.sql(&change(random, step)).await;
        }
        let full = random.random_range(0..8) == 0;
        let backup = case.back_up(if full { &["--full"] } else { &[] });
        kept.push((backup, case.picture().await));
        if random.random_range(0..3) == 0 && kept.len() > 1 {
            let gone = random.random_range(0..kept.len());
            let (gone, _) = kept.remove(gone);
            case.world.ok(&["expire", id(&gone), "--yes"]);
        }
        if random.random_range(0..3) == 0 {
            case.world.ok(&["prune"]);
        }
    }
    for (backup, expected) in &kept {
        case.expect(backup, expected).await;
    }
    case.verify();
    println!("chain {seed}: {} backups restored, {} bytes", kept.len(), case.stored_bytes());
    for (backup, _) in &kept {
        case.world.ok(&["expire", id(backup), "--yes"]);
    }
    assert!(case.objects("packs").is_empty() && case.objects("backups").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_lives_when_the_first_has_expired() {
    let case = Case::new(60).await;
    let first = case.back_up(&[]);
    case.sql("UPDATE notes SET body = 'other' WHERE id = 7").await;
    let second = case.back_up(&[]);
    let expected = case.picture().await;
    case.world.ok(&["expire", id(&first), "--yes"]);
    case.world.ok(&["prune"]);
    let left = case.objects(&format!("backups/{}", id(&first)));
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [format!("backups/{}/index", id(&first))]);
    case.expect(&second, &expected).await;
    case.verify();
    // The base's backup is gone: the next one begins a base of its own, and still refers to segments.
    let third = case.back_up(&[]);
    assert!(number(&third, "referenced_bytes") > 0);
    assert!(case.objects(&format!("backups/{}", id(&third))).len() == 3);
    case.world.ok(&["expire", id(&second), "--yes"]);
    assert!(case.objects(&format!("backups/{}", id(&first))).is_empty());
    case.expect(&third, &expected).await;
    case.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_which_little_is_needed_is_written_anew_and_goes() {
    let case = Case::new(200).await;
    let first = case.back_up(&[]);
    let packs = case.objects("packs");
    case.sql(&format!("UPDATE notes SET body = {} WHERE id > 40", text("'n' || id", 32))).await;
    let second = case.back_up(&[]);
    assert!(packs.is_subset(&case.objects("packs")));
    // The second still refers to what is left of the first's packs; the third does not any more.
    let third = case.back_up(&[]);
    case.world.ok(&["expire", id(&first), "--yes"]);
    case.world.ok(&["expire", id(&second), "--yes"]);
    let left = case.objects("packs");
    assert!(left.len() < packs.len() + 2, "{packs:?} {left:?}");
    assert!(packs.iter().any(|pack| !left.contains(pack)));
    case.expect(&third, &case.picture().await).await;
    let fourth = case.back_up(&[]);
    assert!(number(&fourth, "stored_bytes") < 40_000, "{fourth}");
    case.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_from_the_store_is_stored_anew() {
    let case = Case::new(60).await;
    let first = case.back_up(&[]);
    let pack = case.objects("packs").pop_first().unwrap();
    std::fs::remove_file(case.world.path().join("store").join(&pack)).unwrap();
    let second = case.back_up(&[]);
    let notices = second["notices"].to_string();
    assert!(notices.contains(&pack), "{notices}");
    case.expect(&second, &case.picture().await).await;
    let is_of_first = |name: &String| name.contains(id(&first)) && name.ends_with("index");
    let index = case.objects("backups").into_iter().find(is_of_first).unwrap();
    let index = case.world.path().join("store").join(index);
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    case.world.ok(&["expire", id(&second), "--yes"]);
    let third = case.back_up(&[]);
    assert!(third["notices"].to_string().contains("stored anew"), "{third}");
    assert_eq!(number(&third, "referenced_bytes"), 0);
    case.expect(&third, &case.picture().await).await;
}
