//! Draws how far a command is: rows, bytes, rate and the time that is left, on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Output, count};
use crate::base::progress::ProgressSink;

/// How often the line is drawn at most, each second.
const DRAWS_PER_SECOND: u8 = 10;

/// A line for a person who watches, or nothing at all.
#[must_use]
pub fn watched(output: &Output) -> Arc<dyn ProgressSink> {
    if output.draws_progress() {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        Arc::new(ProgressLine::new(target, output.clone()))
    } else {
        Arc::new(WarningsOnly(output.clone()))
    }
}

/// Nobody watches: warnings are printed, as everywhere.
struct WarningsOnly(Output);

impl ProgressSink for WarningsOnly {
    fn phase(&self, _title: &str) {}
    fn total(&self, _rows: u64, _bytes: u64) {}
    fn advance(&self, _rows: u64, _bytes: u64) {}
    fn warn(&self, text: &str) {
        self.0.warning(text);
    }
    fn finish(&self) {}
}

struct ProgressLine {
    output: Output,
    bar: ProgressBar,
    rows: AtomicU64,
    rows_total: AtomicU64,
}

impl ProgressLine {
    fn new(target: ProgressDrawTarget, output: Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(false));
        // Until the verb says what it does: the passphrase alone takes a second.
        bar.set_prefix("opening the vault");
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { output, bar, rows: AtomicU64::new(0), rows_total: AtomicU64::new(0) }
    }

    fn tell_rows(&self) {
        let rows = self.rows.load(Ordering::Relaxed);
        let total = self.rows_total.load(Ordering::Relaxed);
        if total >= rows && total > 0 {
            self.bar.set_message(format!("{} of about {} rows", count(rows), count(total)));
        } else if rows > 0 {
            self.bar.set_message(format!("{} rows", count(rows)));
        } else {
            self.bar.set_message("");
        }
    }
}

/// The title and the rate always have room in 80 columns; the rows are cut to what is left.
fn style(bounded: bool) -> ProgressStyle {
    let template = if bounded {
        "{prefix}  {percent}%  {binary_bytes_per_sec}  ETA {eta}  {wide_msg}"
    } else {
        "{prefix}  {elapsed}  {binary_bytes}  {wide_msg}"
    };
    // A template that does not parse is a defect that a test finds; the default bar still works.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl ProgressSink for ProgressLine {
    fn phase(&self, title: &str) {
        self.rows.store(0, Ordering::Relaxed);
        self.rows_total.store(0, Ordering::Relaxed);
        self.bar.set_style(style(false));
        self.bar.unset_length();
        self.bar.set_position(0);
        self.bar.reset_eta();
        self.bar.set_prefix(title.to_owned());
        self.tell_rows();
    }

    fn total(&self, rows: u64, bytes: u64) {
        self.rows_total.store(rows, Ordering::Relaxed);
        if bytes > 0 {
            self.bar.set_length(bytes);
            self.bar.set_style(style(true));
        }
        self.tell_rows();
    }

    fn advance(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bar.inc(bytes);
        // An estimate that was passed: better no end than one that lies behind.
        if self.bar.length().is_some_and(|length| length < self.bar.position()) {
            self.bar.unset_length();
            self.bar.set_style(style(false));
        }
        self.tell_rows();
    }

    fn warn(&self, text: &str) {
        self.bar.suspend(|| self.output.warning(text));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_parse() {
        for bounded in [true, false] {
            style(bounded);
        }
        assert!(ProgressStyle::with_template("{nonsense:>>}").is_err());
    }

    #[test]
    fn the_line_tells_rows_and_gives_up_an_estimate_that_was_passed() {
        let line = ProgressLine::new(ProgressDrawTarget::hidden(), Output::new(true, true));
        line.phase("reading rows");
        line.total(2000, 1000);
        line.advance(1000, 500);
        assert_eq!(line.bar.message(), "1,000 of about 2,000 rows");
        assert_eq!(line.bar.length(), Some(1000));
        line.advance(3000, 5000);
        assert_eq!(line.bar.message(), "4,000 rows");
        assert_eq!(line.bar.length(), None);
        line.phase("writing the manifest");
        assert_eq!((line.bar.prefix().as_str(), line.bar.position()), ("writing the manifest", 0));
        assert_eq!(line.bar.message(), "");
    }
}
