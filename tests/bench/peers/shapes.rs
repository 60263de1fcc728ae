//! The same number of rows spread in other ways: one person who owns nearly all, people with one row
//! each. Time and bytes a row, against the even case.

use clap::ValueEnum as _;

use crate::measure::{self, Cost, Series};
use crate::peers::{self, BACKUPS};
use crate::report::{Check, STRONGROOM};
use crate::{Bench, Scenario, Shape, Turn, in_turns, vault};

const LIMIT: f64 = 1.5;

pub fn measure(bench: &mut Bench) {
    let (server, places, work) = (bench.server, &bench.places, bench.work);
    let jobs = bench.options.jobs;
    let standard = BACKUPS.iter().find(|backup| backup.name == peers::STANDARD).unwrap();
    let mut turns: Vec<Turn> = Vec::new();
    let mut rows = Vec::new();
    let can_compare = places.obstacle(standard).is_none();
    for &scenario in Scenario::value_variants() {
        let database = database(scenario);
        eprintln!("filling the database: {}", name(scenario));
        server.fill(&database, &Shape::new(bench.options, scenario));
        rows.push(server.rows(&database));
        let from = database.clone();
        turns.push((
            format!("{STRONGROOM}, {}", name(scenario)),
            Box::new(move || {
                let vault = vault::Vault::begin(vault::folder(work, &from), server, &from, jobs);
                let mut cost = vault.backup(&[]);
                cost.bytes = vault.bytes();
                Ok(cost)
            }),
        ));
        if can_compare {
            let run = move || places.backup(standard, &database);
            turns.push((format!("{}, {}", standard.name, name(scenario)), Box::new(run)));
        }
    }
    let (done, left_out) = in_turns("shapes", bench.options.rounds, turns);
    for &scenario in Scenario::value_variants() {
        server.drop_database(&database(scenario));
    }
    let report = &mut bench.report;
    report.add("shapes", done, left_out);
    #[allow(clippy::cast_precision_loss)]
    let rows: Vec<f64> = rows.into_iter().map(|rows| rows as f64).collect();
    let of =
        |whose: &str, scenario| report.series("shapes", &format!("{whose}, {}", name(scenario)));
    let mut checks = Vec::new();
    for (place, &scenario) in Scenario::value_variants().iter().enumerate().skip(1) {
        let factor = rows[0] / rows[place];
        let scaled = |series: &Series| {
            let scale = |cost: &Cost| Cost {
                wall_seconds: cost.wall_seconds * factor,
                // Whole bytes are near enough.
                bytes: scaled_bytes(cost, factor),
                ..*cost
            };
            Series(series.0.iter().map(scale).collect())
        };
        for whose in [STRONGROOM, peers::STANDARD] {
            let (Some(even), Some(other)) = (of(whose, Scenario::Even), of(whose, scenario)) else {
                continue;
            };
            let other = scaled(other);
            let time = format!("{}: time a row", name(scenario));
            let bytes = format!("{}: bytes a row", name(scenario));
            // The peer's figure tells what is the rows' own doing: it is no target.
            let limit = if whose == STRONGROOM { Some(LIMIT) } else { None };
            let against = format!("the even case, {whose}");
            let wall = |cost: &Cost| cost.wall_seconds;
            checks.push(Some(Check::ratio(&time, &against, &other, even, wall, limit)));
            checks.push(Some(Check::ratio(&bytes, &against, &other, even, measure::bytes, limit)));
        }
    }
    report.require(checks);
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scaled_bytes(cost: &Cost, factor: f64) -> u64 {
    (measure::bytes(cost) * factor) as u64
}

fn name(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Even => "even",
        Scenario::OneHeavy => "one heavy",
        Scenario::OneRowEach => "one row each",
    }
}

fn database(scenario: Scenario) -> String {
    format!("shape_{}", name(scenario).replace(' ', "_"))
}
