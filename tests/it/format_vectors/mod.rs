//! The stored format against named test vectors and against its document.
//!
//! Every file below `tests/vectors` says in its header what it is and what a reader must answer;
//! `tests/vectors/README.md` describes the files. `STRONGROOM_WRITE_VECTORS=1 cargo test --test it
//! format_vectors::` writes them anew: do that only with a change of the format, and look at the
//! difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use strongroom::crypto::labels;

mod check;
mod fixed;
mod vector;
mod worked;
mod write_columns;
mod write_keys;
mod write_layer;
mod write_replica;
mod write_sealed;
mod write_shares;

use vector::Vector;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
fn every_vector_has_the_outcome_that_its_header_says() {
    if std::env::var_os("STRONGROOM_WRITE_VECTORS").is_some_and(|value| value == "1") {
        write_all();
    }
    let mut wrong = Vec::new();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for (name, vector) in Vector::all(&folder()) {
        let found = check::outcome(&vector);
        if found != vector.text("outcome") {
            wrong.push(format!("{name}: {} expected, {found} found", vector.text("outcome")));
        }
        *outcomes.entry(found).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let accepted = outcomes.get("opens").copied().unwrap_or_default();
    let all: usize = outcomes.values().sum();
    assert!(all >= 80 && accepted * 2 < all, "most vectors are rejections: {outcomes:?}");
}

#[test]
fn the_document_has_every_label() {
    let document = document();
    for label in labels::ALL {
        assert!(document.contains(&format!("| `{label}` |")), "docs/format.md lacks `{label}`");
    }
}

#[test]
fn the_worked_bytes_in_the_document_are_right() {
    let document = document();
    let mut lacks = String::new();
    for (name, block) in worked::bytes() {
        if !document.contains(&block) {
            let _ = writeln!(lacks, "{name}:\n\n{block}");
        }
    }
    assert!(lacks.is_empty(), "docs/format.md must hold these bytes:\n\n{lacks}");
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    std::fs::read_to_string(path).unwrap()
}

fn write_all() {
    let vectors = [
        write_sealed::all(),
        write_columns::all(),
        write_layer::all(),
        write_keys::all(),
        write_replica::all(),
        write_shares::all(),
    ]
    .concat();
    // Kinds that nobody writes here any more stay as the version that wrote them left them.
    let kinds: BTreeSet<&str> = vectors.iter().map(|(_, vector)| vector.text("kind")).collect();
    for kind in kinds {
        let kind = folder().join(kind);
        if kind.is_dir() {
            std::fs::remove_dir_all(kind).unwrap();
        }
    }
    for (name, vector) in &vectors {
        vector.write(&folder().join(vector.text("kind")).join(format!("{name}.txt")));
    }
}
