//! The table of faults: each durable step of a command fails once *not done*, and once *done but
//! reported as failed*; then the next ordinary commands run, and the guarantee is checked in both
//! directions.
//!
//! The steps are learnt by running the command once; `--nocapture` shows the table.

use crate::crash::is_compared;
use crate::guarantee::{BACKUP, BackingUp, ERASE, Erasing, VERIFY, begun_after_all};
use crate::outcomes::{Outcomes, at_least, each};
use crate::record;
use crate::vault::{Ran, World};

/// Whether the command reported the fault. One that it can do without may pass unseen.
fn reported(ran: &Ran) -> bool {
    ran.code != Some(0)
}

#[test]
fn a_backup_is_complete_or_not_there() {
    let backing_up = BackingUp::prepared();
    let outcomes = Outcomes::default();
    each(&backing_up.recording.points(), |turn, point| {
        let world = backing_up.world.copy();
        let ran = record::fail(&world, &BACKUP, point);
        let there = backing_up.is_there(point, Some(&ran));
        backing_up.check(&world, turn, point, there);
        assert!(there || reported(&ran), "{point:?}: a backup that is not there was reported");
        outcomes.note(
            point,
            match (there, reported(&ran)) {
                (true, true) => "complete",
                (true, false) => "complete, nothing reported",
                (false, _) => "not there",
            },
        );
    });
    let totals = outcomes.print("backup", "faults");
    at_least(&totals, &[("complete", 3), ("not there", 20)]);
}

#[test]
fn after_an_erasure_failed_she_is_there_whole_or_gone_for_good() {
    let totals = erasure_failed(&Erasing::prepared());
    at_least(&totals, &[("confirmed", 6), ("provisional", 10)]);
    at_least(&totals, &[("gone, an error", 6), ("still there, an error", 6)]);
}

#[test]
fn the_same_with_one_of_two_custodians() {
    let totals = erasure_failed(&Erasing::prepared_with(2, 1));
    at_least(&totals, &[("provisional", 14), ("still there, an error", 6)]);
}

#[test]
fn the_same_with_two_of_three_custodians() {
    let totals = erasure_failed(&Erasing::prepared_with(3, 2));
    at_least(&totals, &[("confirmed", 14), ("still there, an error", 6)]);
}

/// How often each outcome was found.
fn erasure_failed(erasing: &Erasing) -> std::collections::BTreeMap<&'static str, usize> {
    let outcomes = Outcomes::default();
    each(&erasing.recording.points(), |turn, point| {
        let world = erasing.world.copy();
        let ran = record::fail(&world, &ERASE, point);
        // What the command claims is held against what is found below.
        let claimed = [Some(0), Some(12)].contains(&ran.code);
        let mut gone = point.place >= erasing.committed || claimed;
        erasing.check_report(&world, &ran, point);
        erasing.check_recovered(&world, gone, point);
        outcomes.note(
            point,
            match (gone, ran.code) {
                (true, Some(0)) => "confirmed",
                (true, Some(12)) => "provisional",
                (true, _) => "gone, an error",
                (false, _) => "still there, an error",
            },
        );
        if turn % 5 == 4 {
            // Whoever reads of a failure tries again at once.
            Erasing::erase_again(&world, gone, point);
            gone = true;
        } else {
            Erasing::next_command(&world, turn, gone, point);
        }
        erasing.check(&world, gone, point, is_compared(point));
    });
    let (custodians, threshold) = erasing.custody;
    outcomes.print(&format!("erase, {threshold} of {custodians} custodians"), "faults")
}

#[test]
fn a_recovery_that_failed_is_taken_up_again() {
    let erasing = Erasing::prepared();
    let outcomes = Outcomes::default();
    let points = erasing.recording.points().into_iter();
    // Between them, the forgetting has begun and is not over: the next command recovers it.
    let interrupted = erasing.recording.images(points.filter(is_compared));
    for interrupted in &interrupted {
        let cut_off = interrupted.world();
        let recovery = record::record(&cut_off, &VERIFY);
        if !recovery.passages.iter().any(|passage| passage.starts_with("forget.")) {
            continue;
        }
        let gone = erasing.is_gone(interrupted);
        each(&recovery.points(), |_, point| {
            let world = cut_off.copy();
            record::fail(&world, &VERIFY, point);
            erasing.check(&world, gone, point, false);
            outcomes.note(point, if gone { "gone" } else { "still there" });
        });
    }
    let totals = outcomes.print("recovery of an erasure", "faults");
    at_least(&totals, &[("gone", 10), ("still there", 6)]);
}

#[test]
fn a_vault_is_begun_whole_or_not_at_all() {
    let learnt = World::empty();
    let recording = record::record_command(&learnt, learnt.init_command());
    let outcomes = Outcomes::default();
    each(&recording.points(), |_, point| {
        let world = World::empty();
        let ran = record::fail_command(world.init_command(), point);
        let found = begun_after_all(&world, point);
        assert!(found == "complete" || reported(&ran), "{point:?}: {}", ran.all());
        outcomes.note(point, found);
    });
    outcomes.print("init", "faults");
}
