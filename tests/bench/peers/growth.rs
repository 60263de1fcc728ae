//! Memory must not grow with the database: the ledger, and one of four times the size.

use crate::measure::{self, Series};
use crate::report::{Check, STRONGROOM, Unit};
use crate::{Bench, COPY, Shape};

const DATABASE: &str = "growth";
const FACTOR: u64 = 4;
const MEMORY_BYTES_MAX: f64 = 400e6;
/// What may still be called the same: the allocator and the scheduler differ by as much.
const SAME_MAX: f64 = 1.1;

pub fn measure(bench: &mut Bench) {
    let once = Shape::new(bench.options, bench.options.scenario);
    let mut backups = Vec::new();
    let mut restores = Vec::new();
    for shape in [once, once.times(FACTOR)] {
        eprintln!("memory: {} people, {} transactions", shape.people, shape.transactions);
        bench.server.fill(DATABASE, &shape);
        let contents = bench.server.contents(DATABASE);
        let vault = bench.new_vault(DATABASE, DATABASE);
        let mut cost = vault.backup(&[]);
        cost.bytes = vault.bytes();
        backups.push(Series(vec![cost]));
        bench.server.drop_database(DATABASE);
        bench.server.drop_database(COPY);
        restores.push(Series(vec![vault.restore(COPY)]));
        bench.require_same(STRONGROOM, &contents, COPY);
        bench.server.drop_database(COPY);
    }
    let report = &mut bench.report;
    for (what, series) in [("backup", backups), ("restore", restores)] {
        let (small, large) = (&series[0], &series[1]);
        let figure = |name: String, series| {
            Some(Check::figure(&name, series, measure::memory, MEMORY_BYTES_MAX, Unit::Bytes))
        };
        report.require([
            figure(format!("{what}, peak memory"), small),
            figure(format!("{what}, {FACTOR} times the rows, peak memory"), large),
            Some(Check::ratio(
                &format!("{what}, {FACTOR} times the rows, peak memory"),
                "once the rows",
                large,
                small,
                measure::memory,
                SAME_MAX,
            )),
        ]);
        let names = ["once the rows".to_owned(), format!("{FACTOR} times the rows")];
        let named = names.into_iter().zip(series);
        let named = named.map(|(name, series)| (format!("{STRONGROOM}, {name}"), series));
        report.add(&format!("memory of a {what}"), named.collect(), Vec::new());
    }
}
