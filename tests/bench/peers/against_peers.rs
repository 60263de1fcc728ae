//! A full backup and a full restore, against every peer.

use crate::peers::{self, BACKUPS, Places, RESTORES};
use crate::report::{Check, STRONGROOM, Unit};
use crate::{Bench, COPY, LEDGER, Turn, in_turns, measure, vault};

const FULL_BACKUP: &str = "full backup";
pub const FULL_RESTORE: &str = "full restore";

/// The first backup of a new vault: every person gets a key, which is the dearest case.
pub fn full_backups(bench: &mut Bench) {
    let (places, report) = (&bench.places, &mut bench.report);
    let mut newest = None;
    let mut turns: Vec<Turn> = Vec::new();
    let (work, server, jobs) = (bench.work, bench.server, bench.options.jobs);
    turns.push((
        STRONGROOM.to_owned(),
        Box::new(|| {
            let folder = vault::folder(work, "ledger");
            let vault = newest.insert(vault::Vault::begin(folder, server, LEDGER, jobs));
            let mut cost = vault.backup(&[]);
            cost.bytes = vault.bytes();
            Ok(cost)
        }),
    ));
    for backup in BACKUPS {
        match places.obstacle(backup) {
            Some(reason) => report.leave_out(FULL_BACKUP, backup.name, &reason),
            None => {
                turns.push((backup.name.into(), Box::new(|| places.backup(backup, LEDGER))));
            }
        }
    }
    let (done, left_out) = in_turns(FULL_BACKUP, bench.options.rounds, turns);
    report.add(FULL_BACKUP, done, left_out);
    report.note_bytes(newest.as_ref().unwrap().bytes_by_kind());
    let against = |name: &str, of: fn(&measure::Cost) -> f64, limit| {
        let (ours, theirs) =
            (report.series(FULL_BACKUP, STRONGROOM)?, report.series(FULL_BACKUP, peers::STANDARD)?);
        Some(Check::ratio(name, peers::STANDARD, ours, theirs, of, limit))
    };
    let checks = [
        against("full backup, wall time", |cost| cost.wall_seconds, 0.85),
        against("bytes stored, everything included", measure::bytes, 0.65),
    ];
    report.require(checks);
    bench.vault = newest;
}

/// A restore into a new database, with indexes and constraints, and compared with the source.
pub fn full_restores(bench: &mut Bench) {
    bench.vault();
    let (vault, server, places) = (bench.vault.as_ref().unwrap(), bench.server, &bench.places);
    let contents = server.contents(LEDGER);
    let expected = |whose: &str| {
        bench.require_same(whose, &contents, COPY);
        server.drop_database(COPY);
    };
    server.drop_database(COPY);
    let mut turns: Vec<Turn> = vec![(
        STRONGROOM.to_owned(),
        Box::new(|| {
            let cost = vault.restore(COPY);
            expected(STRONGROOM);
            Ok(cost)
        }),
    )];
    let mut missing = Vec::new();
    for restore in RESTORES {
        let prepared = match Places::obstacle_to_restore(restore) {
            Some(reason) => Err(reason),
            None => places.prepare(restore, LEDGER),
        };
        match prepared {
            Err(reason) => missing.push((restore.name.to_owned(), reason)),
            Ok(()) => turns.push((
                restore.name.into(),
                Box::new(move || {
                    let cost = places.restore(restore, LEDGER, COPY)?;
                    expected(restore.name);
                    Ok(cost)
                }),
            )),
        }
    }
    let (done, mut left_out) = in_turns(FULL_RESTORE, bench.options.rounds, turns);
    left_out.extend(missing);
    let report = &mut bench.report;
    report.add(FULL_RESTORE, done, left_out);
    let check = report.series(FULL_RESTORE, STRONGROOM).and_then(|ours| {
        let theirs = report.series(FULL_RESTORE, peers::STANDARD_RESTORE)?;
        let (name, peer) = ("full restore, wall time", peers::STANDARD_RESTORE);
        Some(Check::ratio(name, peer, ours, theirs, |cost| cost.wall_seconds, 0.90))
    });
    report.require([check]);
    let memory = report.series(FULL_RESTORE, STRONGROOM).map(|series| {
        Check::figure("full restore, peak memory", series, measure::memory, 400e6, Unit::Bytes)
    });
    report.require([memory]);
}
