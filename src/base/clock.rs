//! The moment, as an argument: whatever depends on time is handed a [`Clock`].

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the moment in UTC.
pub trait Clock: Send + Sync {
    /// Now, cut to whole microseconds (what the catalog keeps).
    fn now(&self) -> DateTime<Utc>;
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}

/// A moment as strongroom writes it everywhere: RFC 3339 in UTC with microseconds,
/// `2026-11-22T02:00:00.000000Z`. Sorts as text.
#[must_use]
pub fn timestamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
