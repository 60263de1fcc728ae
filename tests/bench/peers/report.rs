//! What was found: a table of figures, a table of ratios with what is aimed at, and both as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::measure::{Cost, Series, bytes, memory};
use crate::peers::{self, BACKUPS, RESTORES};
use crate::server::Server;
use crate::{Done, LEDGER, LeftOut, Options, Shape, machine, vault};

pub const STRONGROOM: &str = "strongroom";

/// What a check's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Ratio,
    Seconds,
    Bytes,
}

/// A figure and, where there is one, the most that it may be.
pub struct Check {
    pub name: String,
    /// The ratio of medians, or the median.
    pub value: f64,
    /// Of the rounds.
    pub least: f64,
    pub most: f64,
    pub limit: Option<f64>,
    pub unit: Unit,
}

/// Everything that is reported.
pub struct Report {
    head: Value,
    measured: Vec<(String, String, Series)>,
    left_out: Vec<(String, String, String)>,
    kinds: BTreeMap<String, u64>,
    checks: Vec<Check>,
}

impl Check {
    /// One series against another that was run by turns with it.
    pub fn ratio(
        name: &str,
        against: &str,
        ours: &Series,
        theirs: &Series,
        of: impl Fn(&Cost) -> f64,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        let rounds = ours.0.iter().zip(&theirs.0).map(|(ours, theirs)| of(ours) / of(theirs));
        let rounds: Vec<_> = rounds.collect();
        Self {
            name: format!("{name} / {against}"),
            value: ours.median(&of) / theirs.median(&of),
            least: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            most: rounds.iter().copied().fold(0.0, f64::max),
            limit: limit.into(),
            unit: Unit::Ratio,
        }
    }

    /// What is a share of something already.
    pub fn share(
        name: &str,
        against: &str,
        series: &Series,
        of: impl Fn(&Cost) -> f64,
        limit: f64,
    ) -> Self {
        Self::figure(&format!("{name} / {against}"), series, of, limit, Unit::Ratio)
    }

    /// A figure of its own.
    pub fn figure(
        name: &str,
        series: &Series,
        of: impl Fn(&Cost) -> f64,
        limit: f64,
        unit: Unit,
    ) -> Self {
        let (value, least, most) = (series.median(&of), series.least(&of), series.most(&of));
        Self { name: name.to_owned(), value, least, most, limit: Some(limit), unit }
    }

    /// Whether it is within its limit, if it has one.
    pub fn is_met(&self) -> Option<bool> {
        self.limit.map(|limit| self.value <= limit)
    }

    /// A value of this check as text.
    pub fn shown(&self, value: f64) -> String {
        match self.unit {
            Unit::Ratio if value < 0.1 => format!("{value:.4}"),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Seconds => format!("{value:.3} s"),
            Unit::Bytes => megabytes(value),
        }
    }
}

impl Report {
    /// `has_ledger` is whether there is the ledger's database, for measurements that use it.
    pub fn begin(options: &Options, server: &Server, shape: &Shape, has_ledger: bool) -> Self {
        let variables: BTreeMap<_, _> = shape.variables().into_iter().collect();
        let mut data = json!({ "shape": variables });
        if has_ledger {
            let size = server.query(LEDGER, "select pg_database_size(current_database())");
            data["database_bytes"] = size.parse::<u64>().unwrap().into();
            data["rows"] = server.rows(LEDGER).into();
        }
        let head = json!({
            "strongroom": env!("CARGO_PKG_VERSION"),
            "machine": machine::describe(),
            "server": server.settings(),
            "data": data,
            "rounds": options.rounds,
            "jobs": options.jobs,
        });
        Self {
            head,
            measured: Vec::new(),
            left_out: Vec::new(),
            kinds: BTreeMap::new(),
            checks: Vec::new(),
        }
    }

    pub fn add(&mut self, what: &str, done: Done, left_out: LeftOut) {
        self.measured.extend(done.into_iter().map(|(whose, one)| (what.to_owned(), whose, one)));
        for (whose, reason) in left_out {
            self.leave_out(what, &whose, &reason);
        }
    }

    /// Names what could not be run, and why: nothing is left out in silence.
    pub fn leave_out(&mut self, what: &str, whose: &str, reason: &str) {
        eprintln!("{what}: {whose} is left out: {reason}");
        self.left_out.push((what.to_owned(), whose.to_owned(), reason.to_owned()));
    }

    pub fn note_bytes(&mut self, kinds: BTreeMap<String, u64>) {
        self.kinds = kinds;
    }

    pub fn require(&mut self, checks: impl IntoIterator<Item = Option<Check>>) {
        self.checks.extend(checks.into_iter().flatten());
    }

    pub fn series(&self, what: &str, whose: &str) -> Option<&Series> {
        let found = self.measured.iter().find(|(one, other, _)| one == what && other == whose);
        found.map(|(_, _, series)| series)
    }

    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub fn to_json(&self) -> Value {
        let measured = self.measured.iter().map(|(what, whose, series)| {
            let mut one = series.to_json();
            one["what"] = json!(what);
            one["whose"] = json!(whose);
            one
        });
        let left_out = self
            .left_out
            .iter()
            .map(|(what, whose, reason)| json!({ "what": what, "whose": whose, "reason": reason }));
        let checks = self.checks.iter().map(|check| {
            json!({
                "what": check.name,
                "value": check.value,
                "least": check.least,
                "most": check.most,
                "at_most": check.limit,
                "met": check.is_met(),
            })
        });
        let mut document = self.head.clone();
        document["measured"] = json!(measured.collect::<Vec<_>>());
        document["left_out"] = json!(left_out.collect::<Vec<_>>());
        document["stored_bytes_by_kind"] = json!(self.kinds);
        document["targets"] = json!(checks.collect::<Vec<_>>());
        document["lines"] = json!(lines());
        document
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.head;
        let machine = &head["machine"];
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        writeln!(
            out,
            "{} processors ({}), {}, load at the start {}",
            machine["processors"],
            text(&machine["processor"]),
            text(&machine["memory"]),
            text(&machine["load_at_start"]),
        )?;
        for (tool, version) in machine["tools"].as_object().into_iter().flatten() {
            writeln!(out, "  {tool:<12}{}", version.as_str().unwrap_or("is not on this machine"))?;
        }
        let settings = head["server"].as_array().into_iter().flatten();
        let settings: Vec<_> = settings.filter_map(Value::as_str).collect();
        for (place, some) in settings.chunks(4).enumerate() {
            writeln!(out, "{:<14}{}", if place == 0 { "  server" } else { "" }, some.join(", "))?;
        }
        let data = &head["data"];
        writeln!(out, "The data: {}", data["shape"])?;
        if let (rows @ Value::Number(_), Some(size)) =
            (&data["rows"], data["database_bytes"].as_f64())
        {
            writeln!(out, "  {rows} rows, a database of {}", megabytes(size))?;
        }
        writeln!(out, "\nThe lines, by bash with pipefail; what is before `;;` is not measured:")?;
        for (name, line) in lines() {
            writeln!(out, "  {name}\n      {line}")?;
        }
        writeln!(
            out,
            "\n{:<34}{:>9}{:>16}{:>8}{:>8}{:>11}{:>11}",
            "medians", "wall s", "(range)", "CPU s", "server", "memory", "bytes"
        )?;
        let mut before = "";
        for (what, whose, series) in &self.measured {
            if what != before {
                writeln!(out, "{what}")?;
                before = what;
            }
            let wall = |cost: &Cost| cost.wall_seconds;
            let server = series.median(|cost| cost.server_cpu_seconds.unwrap_or(f64::NAN));
            writeln!(
                out,
                "  {:<32}{:>9.2}{:>16}{:>8.2}{:>8.2}{:>11}{:>11}",
                whose,
                series.wall(),
                format!("({:.2}-{:.2})", series.least(wall), series.most(wall)),
                series.median(|cost| cost.cpu_seconds),
                server,
                megabytes(series.median(memory)),
                match series.median(bytes) {
                    0.0 => "-".to_owned(),
                    bytes => megabytes(bytes),
                },
            )?;
        }
        if !self.kinds.is_empty() {
            let kinds = self.kinds.iter().map(|(kind, bytes)| {
                #[allow(clippy::cast_precision_loss)]
                let bytes = megabytes(*bytes as f64);
                format!("{kind} {bytes}")
            });
            let kinds: Vec<_> = kinds.collect();
            writeln!(out, "  strongroom's bytes: {}", kinds.join(", "))?;
        }
        for (what, whose, reason) in &self.left_out {
            writeln!(out, "  left out: {what}, {whose}: {reason}")?;
        }
        writeln!(
            out,
            "\n{:<59}{:>9}{:>21}{:>10}",
            "ratios of medians", "measured", "(range)", "at most"
        )?;
        for check in &self.checks {
            let (limit, verdict) = match (check.limit, check.is_met()) {
                (Some(limit), Some(true)) => (check.shown(limit), "met"),
                (Some(limit), _) => (check.shown(limit), "MISSED"),
                (None, _) => ("-".to_owned(), ""),
            };
            let range = format!("({}-{})", check.shown(check.least), check.shown(check.most));
            let value = check.shown(check.value);
            writeln!(out, "{:<59}{value:>9}{range:>21}{limit:>10} {verdict}", check.name)?;
        }
        Ok(())
    }
}

/// Every command line that is run, by its name.
fn lines() -> Vec<(String, String)> {
    let whole = |prepare: &str, line: &str| {
        let line = peers::explained(line);
        if prepare.is_empty() { line } else { format!("{} ;; {line}", peers::explained(prepare)) }
    };
    let ours =
        vault::LINES.iter().map(|(name, line)| (format!("strongroom, {name}"), (*line).into()));
    let backups = BACKUPS.iter();
    let backups =
        backups.map(|one| (format!("backup, {}", one.name), whole(one.prepare, one.line)));
    let restores = RESTORES.iter();
    let restores =
        restores.map(|one| (format!("restore, {}", one.name), whole(one.prepare, one.line)));
    ours.chain(backups).chain(restores).collect()
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}
