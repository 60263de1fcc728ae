//! Killing a command at each of its durable steps, or letting the step fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::vault::{Ran, World, finished};

/// The N-th passage of a step's edge, `forget.commit:after#1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Name and edge.
    pub passage: String,
    /// Which passage of that name and edge, from 1.
    pub number: usize,
    /// Its place among all passages of the command.
    pub place: usize,
}

/// All passages of a command, in their order. The command must succeed; it works on `world` itself.
pub fn passages(world: &World, arguments: &[&str]) -> Vec<String> {
    passages_of(world.command(arguments))
}

/// All passages of a command that is made already.
pub fn passages_of(mut command: std::process::Command) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    command.env("STRONGROOM_STEP_LOG", log.path());
    let ran = finished(command);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let passages = logged(log.path());
    assert!(!passages.is_empty(), "the program was built without its crash points");
    passages
}

/// The passages of durable steps in a log of the program.
fn logged(log: &Path) -> Vec<String> {
    let log = fs::read_to_string(log).unwrap();
    // Other places than the edges of steps are marked for the memory test.
    log.lines().filter(|line| line.contains(':')).map(str::to_owned).collect()
}

/// The first, the middle and the last passage of each name and edge.
pub fn points(passages: &[String]) -> Vec<Point> {
    let mut places: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for (place, passage) in passages.iter().enumerate() {
        places.entry(passage).or_default().push(place);
    }
    let mut points = Vec::new();
    for (passage, places) in places {
        let mut chosen = vec![0, places.len() / 2, places.len() - 1];
        chosen.dedup();
        points.extend(chosen.into_iter().map(|index| Point {
            passage: passage.clone(),
            number: index + 1,
            place: places[index],
        }));
    }
    points.sort_by_key(|point| point.place);
    points
}

/// Runs a command that is killed at this point.
pub fn crash(world: &World, arguments: &[&str], point: &Point) {
    crash_command(world.command(arguments), point);
}

/// Runs a command that is made already and is killed at this point.
pub fn crash_command(mut command: std::process::Command, point: &Point) {
    command.env("STRONGROOM_CRASH_AT", format!("{}#{}", point.passage, point.number));
    let ran = finished(command);
    assert_eq!(ran.signal, Some(9), "{point:?}: {}", ran.all());
}

/// Runs a command whose durable step fails at this point: not done at its edge `before`, done all the
/// same at its edge `after`.
pub fn fail(world: &World, arguments: &[&str], point: &Point) -> Ran {
    fail_command(world.command(arguments), point)
}

/// Like [`fail`], for a command that is made already.
pub fn fail_command(mut command: std::process::Command, point: &Point) -> Ran {
    let log = tempfile::NamedTempFile::new().unwrap();
    command.env("STRONGROOM_STEP_LOG", log.path());
    command.env("STRONGROOM_FAIL_AT", format!("{}#{}", point.passage, point.number));
    let ran = finished(command);
    let came = logged(log.path()).iter().filter(|passage| **passage == point.passage).count();
    assert!(came >= point.number, "{point:?}: the command never came there; {}", ran.all());
    assert!(ran.code.is_some_and(|code| code != 1), "{point:?}: {}", ran.all());
    ran
}

/// What was found, for the table at the end.
#[derive(Default)]
pub struct Outcomes(BTreeMap<String, BTreeMap<&'static str, usize>>);

impl Outcomes {
    /// Notes the outcome of what was done at a point.
    pub fn note(&mut self, point: &Point, outcome: &'static str) {
        *self.0.entry(point.passage.clone()).or_default().entry(outcome).or_default() += 1;
    }

    /// Prints the table of `what` was done to a command, and returns how often each outcome was found.
    pub fn print(&self, command: &str, what: &str) -> BTreeMap<&'static str, usize> {
        let mut totals: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut text = String::new();
        for (passage, outcomes) in &self.0 {
            let found: Vec<_> =
                outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            text.push_str(&format!("  {passage:28} {}\n", found.join(", ")));
            for (outcome, count) in outcomes {
                *totals.entry(outcome).or_default() += count;
            }
        }
        let found: Vec<_> =
            totals.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        let count: usize = totals.values().sum();
        println!("{command}: {count} {what}, {}\n{text}", found.join(", "));
        totals
    }
}
