//! The table of faults: each durable step of a command fails once *not done*, and once *done but
//! reported as failed*; then the next ordinary commands run, and the guarantee is checked in both
//! directions.
//!
//! The steps are learnt by running the command once; `--nocapture` shows the table.

use crate::guarantee::{BACKUP, BackingUp, ERASE, Erasing, VERIFY, begun_after_all};
use crate::points::{self, Outcomes};
use crate::vault::{Ran, World};

/// Whether the command reported the fault. One that it can do without may pass unseen.
fn reported(ran: &Ran) -> bool {
    ran.code != Some(0)
}

#[tokio::test]
async fn a_backup_is_complete_or_not_there() {
    let backing_up = BackingUp::prepared().await;
    let mut outcomes = Outcomes::default();
    for point in points::points(&backing_up.passages) {
        let world = backing_up.world.copy();
        let ran = points::fail(&world, &BACKUP, &point);
        let there = backing_up.is_there(&point, Some(&ran));
        backing_up.check(&world, &point, there).await;
        assert!(there || reported(&ran), "{point:?}: a backup that is not there was reported");
        outcomes.note(
            &point,
            match (there, reported(&ran)) {
                (true, true) => "complete",
                (true, false) => "complete, nothing reported",
                (false, _) => "not there",
            },
        );
    }
    let totals = outcomes.print("backup", "faults");
    assert!(totals["complete"] >= 3 && totals["not there"] >= 20, "{totals:?}");
}

#[tokio::test]
async fn after_an_erasure_failed_she_is_there_whole_or_gone_for_good() {
    let totals = erasure_failed(&Erasing::prepared().await).await;
    assert!(totals["confirmed"] >= 6 && totals["provisional"] >= 10, "{totals:?}");
    assert!(totals["gone, an error"] >= 6 && totals["still there, an error"] >= 6, "{totals:?}");
}

#[tokio::test]
async fn the_same_with_one_of_two_custodians() {
    let totals = erasure_failed(&Erasing::prepared_with(2, 1).await).await;
    assert!(totals["provisional"] >= 14 && totals["still there, an error"] >= 6, "{totals:?}");
}

#[tokio::test]
async fn the_same_with_two_of_three_custodians() {
    let totals = erasure_failed(&Erasing::prepared_with(3, 2).await).await;
    assert!(totals["confirmed"] >= 14 && totals["still there, an error"] >= 6, "{totals:?}");
}

/// How often each outcome was found.
async fn erasure_failed(erasing: &Erasing) -> std::collections::BTreeMap<&'static str, usize> {
    let (passages, committed) = erasing.passages();
    let mut outcomes = Outcomes::default();
    for (turn, point) in points::points(&passages).into_iter().enumerate() {
        let world = erasing.world.copy();
        let ran = points::fail(&world, &ERASE, &point);
        // What the command claims is held against what is found below.
        let claimed = [Some(0), Some(12)].contains(&ran.code);
        let mut gone = point.place >= committed || claimed;
        erasing.check_report(&world, &ran, &point);
        erasing.check_recovered(&world, gone, &point);
        outcomes.note(
            &point,
            match (gone, ran.code) {
                (true, Some(0)) => "confirmed",
                (true, Some(12)) => "provisional",
                (true, _) => "gone, an error",
                (false, _) => "still there, an error",
            },
        );
        if turn % 5 == 4 {
            // Whoever reads of a failure tries again at once.
            world.ends(if gone { 5 } else { 0 }, &ERASE);
            gone = true;
        } else {
            Erasing::next_command(&world, turn, gone, &point);
        }
        let compare = point.passage.starts_with("forget.") && point.passage.ends_with(":after");
        erasing.check(&world, gone, &point, compare).await;
    }
    let (custodians, threshold) = erasing.custody;
    outcomes.print(&format!("erase, {threshold} of {custodians} custodians"), "faults")
}

#[tokio::test]
async fn a_recovery_that_failed_is_taken_up_again() {
    let erasing = Erasing::prepared().await;
    let (passages, committed) = erasing.passages();
    let mut outcomes = Outcomes::default();
    for interrupted in points::points(&passages) {
        // Between them, the forgetting has begun and is not over: the next command recovers it.
        if !interrupted.passage.starts_with("forget.") || !interrupted.passage.ends_with(":after") {
            continue;
        }
        let cut_off = erasing.world.copy();
        points::crash(&cut_off, &ERASE, &interrupted);
        let passages = points::passages(&cut_off.copy(), &VERIFY);
        if !passages.iter().any(|passage| passage.starts_with("forget.")) {
            continue;
        }
        let gone = interrupted.place >= committed;
        for point in points::points(&passages) {
            let world = cut_off.copy();
            points::fail(&world, &VERIFY, &point);
            erasing.check(&world, gone, &point, false).await;
            outcomes.note(&point, if gone { "gone" } else { "still there" });
        }
    }
    let totals = outcomes.print("recovery of an erasure", "faults");
    assert!(totals["gone"] >= 10 && totals["still there"] >= 6, "{totals:?}");
}

#[tokio::test]
async fn a_vault_is_begun_whole_or_not_at_all() {
    let passages = points::passages_of(World::empty().init_command());
    let mut outcomes = Outcomes::default();
    for point in points::points(&passages) {
        let world = World::empty();
        let ran = points::fail_command(world.init_command(), &point);
        let found = begun_after_all(&world, &point);
        assert!(found == "complete" || reported(&ran), "{point:?}: {}", ran.all());
        outcomes.note(&point, found);
    }
    outcomes.print("init", "faults");
}
