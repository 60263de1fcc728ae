//! The command line as people and scripts meet it: the real program, whole sessions as snapshots.

mod beginning;
mod documents;
mod help;
mod manual;
mod people;
mod sessions;
mod sources;
mod terminal;
