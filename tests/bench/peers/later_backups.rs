//! What a second backup writes: when nothing has changed, and when one person in a hundred has.

use crate::measure::Series;
use crate::peers::{self, BACKUPS};
use crate::report::{Check, STRONGROOM};
use crate::{Bench, COPY, LEDGER, measure, vault};

const UNCHANGED: &str = "nothing changed";
const CHANGED: &str = "1 % of people changed";
const FIRST: &str = "first backup";
const ANEW: &str = "everything anew";

pub fn measure(bench: &mut Bench) {
    let (server, rounds) = (bench.server, bench.options.rounds);
    let vault = bench.new_vault("later", LEDGER);
    let restic = BACKUPS.iter().find(|backup| backup.name == peers::RESTIC).unwrap();
    let mut ours = Later::default();
    let mut theirs = Later::default();
    let mut obstacle = bench.places.obstacle(restic);
    ours.first.0.push(vault.backup(&[]));
    if obstacle.is_none() {
        match bench.places.backup(restic, LEDGER) {
            Ok(cost) => theirs.first.0.push(cost),
            Err(reason) => obstacle = Some(reason),
        }
    }
    let people = crate::Shape::new(bench.options, bench.options.scenario).people;
    for round in 1..=rounds {
        eprintln!("later backups, {round} of {rounds}");
        for is_changed in [false, true] {
            if is_changed {
                server.query(LEDGER, &change(round, people));
            }
            ours.series(is_changed).0.push(vault.backup(&[]));
            if obstacle.is_none() {
                match bench.places.again(restic, LEDGER) {
                    Ok(cost) => theirs.series(is_changed).0.push(cost),
                    Err(reason) => obstacle = Some(reason),
                }
            }
        }
        if vault::has("backup", Some("--full")) {
            ours.anew.0.push(vault.backup(&["--full"]));
        }
    }
    // What was written in less must still be all of it.
    server.drop_database(COPY);
    vault.restore(COPY);
    bench.require_same("a later backup", &server.contents(LEDGER), COPY);
    server.drop_database(COPY);

    let report = &mut bench.report;
    let first = ours.first.bytes();
    let of_first = |name: &str, series: &Series, limit| {
        let share = move |cost: &measure::Cost| measure::bytes(cost) / first;
        Some(Check::share(name, "the first backup", series, share, limit))
    };
    report.require([
        of_first("second backup, 1 % of people changed: bytes", &ours.changed, 0.03),
        of_first("second backup, nothing changed: bytes", &ours.unchanged, 0.005),
    ]);
    if let Some(reason) = obstacle {
        report.leave_out("later backups", peers::RESTIC, &reason);
        theirs = Later::default();
    }
    let rows = |later: Later| {
        [
            (FIRST, later.first),
            (UNCHANGED, later.unchanged),
            (CHANGED, later.changed),
            (ANEW, later.anew),
        ]
    };
    let series = rows(ours).into_iter().zip(rows(theirs));
    for ((what, ours), (_, theirs)) in series {
        let both = [(STRONGROOM.to_owned(), ours), (peers::RESTIC.to_owned(), theirs)];
        let measured = both.into_iter().filter(|(_, series)| !series.0.is_empty());
        report.add(what, measured.collect(), Vec::new());
    }
}

/// Backups of one contender into one place.
#[derive(Default)]
struct Later {
    first: Series,
    unchanged: Series,
    changed: Series,
    anew: Series,
}

impl Later {
    fn series(&mut self, is_changed: bool) -> &mut Series {
        if is_changed { &mut self.changed } else { &mut self.unchanged }
    }
}

/// Another name for every hundredth person, each round another, and one more transaction for those
/// of them who have an account.
fn change(round: u32, people: u64) -> String {
    format!(
        "with changed as (
           update users set name = name || '*' where id in
             (select md5('u' || i)::uuid from generate_series({round}, {people}, 100) i)
           returning id)
         insert into transactions(user_id, account_id, booked_at, amount, currency, description)
         select distinct on (a.user_id) a.user_id, a.id, now(), {round}, 'EUR', 'CHANGED'
         from accounts a join changed on changed.id = a.user_id order by a.user_id, a.id"
    )
}
