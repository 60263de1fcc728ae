//! Rules inside the top modules: which file may use which, and which room may use which crate.

use std::collections::BTreeSet;

use super::graph::{Graph, Module};
use super::{require_none, sources};

/// Files that use one another in a circle, and why they stay. A circle that is gone must go from here.
const CIRCLES: &[(&[&str], &str)] = &[
    (
        &["cli::config", "cli::config::custodians", "cli::config::reader", "cli::config::stores"],
        "the parts of one configuration, read into one value",
    ),
    (&["keys", "keys::master::kit"], "the error of all keys names the kit that could not be read"),
    (
        &["keys::custodians::pkcs11", "keys::custodians::settings"],
        "the settings of a kind and the kind that they set",
    ),
    (&["ops::erase", "ops::erase::later"], "a verb and the part that makes up for its test"),
    (
        &["policy::subject_map::choice", "policy::subject_map::decisions"],
        "a flag as it is printed and as it is read",
    ),
    (
        &[
            "policy::subject_map::classes",
            "policy::subject_map::infer",
            "policy::subject_map::leftovers",
            "policy::subject_map::notes",
            "policy::subject_map::resolve",
        ],
        "the steps of one inference, over one state",
    ),
    (
        &[
            "policy::subject_map::file_read",
            "policy::subject_map::file_ways",
            "policy::subject_map::file_write",
        ],
        "one file, read and written, and the ways in it",
    ),
    (
        &["policy::subject_map::placeholders", "policy::subject_map::references"],
        "a rule for references and the row that it may need",
    ),
    (
        &[
            "postgres::connect::locks",
            "postgres::connect::session",
            "postgres::schema",
            "postgres::schema::constraints",
            "postgres::schema::database",
            "postgres::schema::materialized_views",
            "postgres::schema::roles",
            "postgres::schema::sequences",
            "postgres::schema::tables",
        ],
        "a session locks the tables that a description lists, which is read through the session",
    ),
    (
        &["postgres::rows::owners", "postgres::schema::foreign_keys"],
        "the joins to an owner, and the foreign keys that spare them",
    ),
    (
        &[
            "postgres::rows::values",
            "postgres::rows::values::addresses",
            "postgres::rows::values::floats",
            "postgres::rows::values::moments",
            "postgres::rows::values::numbers",
        ],
        "a value of a range or an array holds values",
    ),
    (
        &["postgres::tools::database", "postgres::tools::restore"],
        "what pg_restore says, and what is done about the database itself",
    ),
    (&["store", "store::capabilities"], "the trait and what it says of a store"),
    (&["store::faulty", "store::faulty::writer"], "a store and its writer share their faults"),
    (
        &[
            "store::open",
            "store::s3",
            "store::s3::list",
            "store::s3::patience",
            "store::s3::probe",
            "store::s3::uploads",
            "store::s3::writer",
        ],
        "one client: its opening, and the requests that it makes",
    ),
    (&["vault::custody", "vault::custody::returned"], "a list of shares, and those that came back"),
    (
        &["vault::error", "vault::lock_error", "vault::replica::error"],
        "one error for the vault, with its parts",
    ),
    (&["vault::reader", "vault::reader::entries"], "a module and its part"),
    (
        &["vault::reader::cache", "vault::reader::layers"],
        "layers are kept in the cache that reads them",
    ),
    (&["vault::replica", "vault::replica::places"], "a module and its part"),
];

/// Rooms of which none uses another: what two of them need is below them.
const VERBS: [&str; 2] = ["ops", "cli::commands"];

/// Crates, and the rooms that may name them.
const CRATES: [(&str, &[&str]); 10] = [
    ("rusqlite", &["audit", "catalog"]),
    ("age", &["container", "keys", "ops::export"]),
    ("sha2", &["base::digest", "crypto"]),
    ("aws_sdk_s3", &["store"]),
    ("tokio_postgres", &["postgres"]),
    ("cryptoki", &["keys"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rpassword", &["cli"]),
    ("comfy_table", &["cli"]),
];

fn name(module: &Module) -> String {
    module.join("::")
}

#[test]
fn no_two_files_use_each_other() {
    let circles = Graph::of(&sources(&["src"])).circles();
    let mut findings = Vec::new();
    for circle in &circles {
        let circle: BTreeSet<String> = circle.iter().map(name).collect();
        let is_listed = CIRCLES.iter().any(|(files, _)| {
            circle.len() == files.len() && files.iter().all(|file| circle.contains(*file))
        });
        if !is_listed {
            findings.push(format!("in a circle: {circle:?}"));
        }
    }
    for (files, _) in CIRCLES {
        let is_there = circles.iter().any(|circle| {
            circle.len() == files.len() && circle.iter().all(|one| files.contains(&&*name(one)))
        });
        if !is_there {
            findings.push(format!("no circle any more, take it off the list: {files:?}"));
        }
    }
    require_none(&findings);
}

#[test]
fn no_verb_uses_another() {
    let mut findings = Vec::new();
    for (module, used) in Graph::of(&sources(&["src"])).uses {
        for room in VERBS {
            let verb = |module: &Module| {
                let name = name(module);
                let inside = name.strip_prefix(room)?.strip_prefix("::")?;
                Some(inside.split("::").next().unwrap_or_default().to_owned())
            };
            let Some(own) = verb(&module) else { continue };
            for other in used.iter().filter(|other| verb(other).is_some_and(|verb| verb != own)) {
                findings.push(format!("{} uses {}", name(&module), name(other)));
            }
        }
    }
    require_none(&findings);
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let module = source.module().join("::");
        for (number, line, _, tested) in source.code() {
            for (dependency, rooms) in CRATES {
                let path = format!("{dependency}::");
                let names_it = line.match_indices(&path).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$\"".contains(c))
                });
                let may = rooms.iter().any(|room| {
                    module
                        .strip_prefix(room)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
                });
                if names_it && !may && !tested {
                    findings.push(format!("{}:{number}: {dependency}", source.path));
                }
            }
            let prints = ["println!(", "print!(", "eprintln!(", "eprint!("];
            if !module.starts_with("cli") && !tested && prints.iter().any(|one| line.contains(one))
            {
                findings.push(format!("{}:{number}: writes to the terminal", source.path));
            }
        }
    }
    require_none(&findings);
}
