//! The independent reader in Python, run on a vault's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use strongroom::container::columns::Fields;
use strongroom::postgres::rows::tuples;

use super::World;
use crate::support::python;

/// The folder of the reader's programs.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader")
}

/// What it is to read.
pub struct Reading<'a> {
    /// The catalog's file; without one, the replica in the store is read.
    pub catalog: Option<&'a Path>,
    /// As many custodians' shares as are needed.
    pub shares: &'a [PathBuf],
    /// The backup's id, or `latest`.
    pub backup: &'a str,
}

/// Runs the reader on the store and the master secret of a vault; its output, and the folder of that
/// name in the vault's, which holds what was read, if anything was.
pub fn read(world: &World, reading: &Reading<'_>, to: &str) -> (Output, PathBuf) {
    let folder_of_world = world.path();
    let tool = if succeeds(Command::new("age").arg("--version")) { "age" } else { "rage" };
    let mut decrypt = Command::new(tool);
    decrypt.args(["--decrypt", "--identity", "identity", "--output", "master.txt"]);
    let decrypted = decrypt.arg("master.age").current_dir(folder_of_world).output().unwrap();
    assert!(decrypted.status.success(), "{}", said(&decrypted));
    let out = folder_of_world.join(to);
    let mut command = Command::new(python::interpreter());
    // Without a catalog, the machine is gone: what is left of its master secret is the kit.
    let is_kit_used = reading.catalog.is_none() && folder_of_world.join("kit.txt").exists();
    let master = if is_kit_used { ["--kit", "kit.txt"] } else { ["--master", "master.txt"] };
    command.arg(folder().join("read_backup.py")).args(master).args([
        "--store",
        "store",
        "--backup",
        reading.backup,
    ]);
    if let Some(catalog) = reading.catalog {
        command.arg("--catalog").arg(catalog);
    }
    command.arg("--to").arg(&out).arg("--epoch-secret").args(reading.shares);
    let output = command.current_dir(folder_of_world).stdin(Stdio::null()).output().unwrap();
    fs::remove_file(folder_of_world.join("master.txt")).unwrap();
    (output, out)
}

/// How many rows there are in a file that the reader wrote: lines of text, or tuples of COPY's binary form.
pub fn count_rows(file: &[u8]) -> usize {
    let Some(mut rest) = file.strip_prefix(tuples::HEADER) else {
        return memchr::memchr_iter(b'\n', file).count();
    };
    let mut rows = 0;
    while rest != tuples::TRAILER {
        let (count, mut fields) = Fields::of(rest).unwrap();
        for _ in 0..count {
            fields.take().unwrap();
        }
        rest = fields.rest();
        rows += 1;
    }
    rows
}

/// Everything that a program said.
pub fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
