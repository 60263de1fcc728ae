//! The command line as people and scripts meet it: the real program, whole sessions as snapshots.

mod documents;
mod help;
mod sessions;
mod terminal;
