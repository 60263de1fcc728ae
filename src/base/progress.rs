//! How a long command tells how far it is. The command line draws it; nobody else looks.

/// What is told of a command's progress. Called from several tasks at once, and often: it must not
/// block.
pub trait ProgressSink: Send + Sync {
    /// Begins a part of the work, in words for a person ("reading rows"). Counts begin at zero.
    fn phase(&self, title: &str);

    /// How much the present phase is expected to be. An estimate: it may be passed.
    fn total(&self, rows: u64, bytes: u64);

    /// So much more of the present phase is done.
    fn advance(&self, rows: u64, bytes: u64);

    /// Reports at once what a person must not miss, whoever watches.
    fn warn(&self, text: &str);

    /// The work is over, whatever its outcome.
    fn finish(&self);
}

/// Progress that nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn phase(&self, _title: &str) {}
    fn total(&self, _rows: u64, _bytes: u64) {}
    fn advance(&self, _rows: u64, _bytes: u64) {}
    fn warn(&self, _text: &str) {}
    fn finish(&self) {}
}
