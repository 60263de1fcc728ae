//! What one person costs: her export, and her erasure with one backup and with many.

use crate::against_peers::FULL_RESTORE;
use crate::measure::Series;
use crate::report::{Check, STRONGROOM, Unit};
use crate::{Bench, COPY, LEDGER, in_turns, vault};

const EXPORT: &str = "export of one person";

/// One person's rows out of a full backup, against restoring all of it.
pub fn export(bench: &mut Bench) {
    if !vault::has("export", None) {
        bench.report.leave_out(EXPORT, STRONGROOM, "not in this version");
        return;
    }
    bench.vault();
    let (vault, server, rounds) =
        (bench.vault.as_ref().unwrap(), bench.server, bench.options.rounds);
    let mut number = 0;
    let export = || {
        number += 1;
        Ok(vault.export(&key(bench, number)))
    };
    let (done, _) = in_turns(EXPORT, rounds, vec![(STRONGROOM.to_owned(), Box::new(export))]);
    if bench.report.series(FULL_RESTORE, STRONGROOM).is_none() {
        let restore = || {
            server.drop_database(COPY);
            Ok(vault.restore(COPY))
        };
        let turns: Vec<crate::Turn> = vec![(STRONGROOM.to_owned(), Box::new(restore))];
        let (restored, _) = in_turns(FULL_RESTORE, rounds, turns);
        server.drop_database(COPY);
        bench.report.add(FULL_RESTORE, restored, Vec::new());
    }
    let report = &mut bench.report;
    report.add(EXPORT, done, Vec::new());
    let check = report.series(EXPORT, STRONGROOM).and_then(|export| {
        let restore = report.series(FULL_RESTORE, STRONGROOM)?;
        let (name, of) = ("one person's export, wall time", "strongroom's full restore");
        Some(Check::ratio(name, of, export, restore, |cost| cost.wall_seconds, 0.01))
    });
    report.require([check]);
}

/// The whole command, from the process's start to its end, with one backup and with many.
pub fn erase(bench: &mut Bench) {
    let vault = bench.new_vault("erase", LEDGER);
    let (rounds, many) = (bench.options.rounds, bench.options.backups);
    let mut number = 0;
    let mut erase = || {
        let mut series = Series::default();
        for _ in 0..rounds {
            number += 1;
            let mut cost = vault.erase(&key(bench, number));
            // The bytes of an erasure are told by the benchmark `forgetting`.
            cost.bytes = 0;
            eprintln!("erasure: {:.3} s", cost.wall_seconds);
            series.0.push(cost);
        }
        series
    };
    vault.backup(&[]);
    let with_one = erase();
    for made in 1..many {
        vault.backup(&[]);
        eprintln!("backups for the erasure: {} of {many}", made + 1);
    }
    let with_many = erase();
    let report = &mut bench.report;
    let wall = |cost: &crate::Cost| cost.wall_seconds;
    let name = format!("erasure, {many} backups");
    report.require([
        Some(Check::figure(&name, &with_many, wall, 1.0, Unit::Seconds)),
        // Two series of the same command differ by as much on a quiet machine.
        Some(Check::ratio(&name, "one backup", &with_many, &with_one, wall, 1.1)),
    ]);
    report.add("erasure, 1 backup", vec![(STRONGROOM.to_owned(), with_one)], Vec::new());
    report.add(&name, vec![(STRONGROOM.to_owned(), with_many)], Vec::new());
}

/// The key of a person by number; not the first, who owns everything where one person does.
fn key(bench: &Bench, number: u64) -> String {
    bench.server.query(LEDGER, &format!("select md5('u' || {})::uuid", number + 1))
}
