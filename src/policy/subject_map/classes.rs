//! Which tables are the roots of classes of data subjects, and by which keys.

use super::decisions::{Decisions, flag_text};
use super::infer::{Inference, Undecided};
use super::model::{KeyColumn, SubjectClass};
use super::path::check_root;
use crate::base::schema::{Table, display_identifier};

/// The existing map's classes, then those of `--root`.
pub(super) fn decide(inference: &mut Inference<'_>, decisions: &Decisions) -> Vec<SubjectClass> {
    let mut roots: Vec<&Table> = Vec::new();
    for name in &decisions.roots {
        if let Some(table) = inference.named("--root", name)
            && !roots.iter().any(|root| root.name == table.name)
        {
            roots.push(table);
        }
    }
    let mut classes = kept(inference, &roots);
    roots.retain(|root| !classes.iter().any(|class| class.root == root.name));
    for root in &roots {
        if root.primary_key.is_empty() {
            let reason =
                "it is to be a root and has no primary key to name its people by; give it \
                          one, or choose another root"
                    .to_owned();
            inference.undecide(&root.name, reason, vec!["--root SCHEMA.TABLE".to_owned()]);
            continue;
        }
        let ambiguous =
            roots.iter().any(|other| other.name != root.name && other.name.name == root.name.name);
        let short = display_identifier(&root.name.name);
        let taken = classes.iter().any(|class| class.name == short);
        let name = if ambiguous || taken { root.name.to_string() } else { short };
        let key = key_of(root);
        let root = root.name.clone();
        let class = SubjectClass { name, root, key, placeholder: None, identify: Vec::new() };
        classes.push(class);
    }
    for (name, columns) in &decisions.identify {
        identify(inference, &mut classes, name, columns);
    }
    classes
}

fn identify(
    inference: &mut Inference<'_>,
    classes: &mut [SubjectClass],
    name: &str,
    columns: &[String],
) {
    let class = classes.iter_mut().find(|class| class.name == name);
    let root = class.as_ref().and_then(|class| inference.index.table(&class.root));
    let missing =
        columns.iter().find(|column| root.is_none_or(|root| root.column(column).is_none()));
    match (class, missing) {
        (Some(class), None) => class.identify = columns.to_vec(),
        (Some(class), Some(missing)) => {
            let root = class.root.clone();
            inference.undecide(&root, format!("it has no column `{missing}`"), Vec::new());
        }
        (None, _) => inference.undecided.push(Undecided {
            table: None,
            reason: format!("there is no class `{name}` to identify people of"),
            flags: Vec::new(),
            why: Vec::new(),
        }),
    }
}

fn kept(inference: &mut Inference<'_>, roots: &[&Table]) -> Vec<SubjectClass> {
    let mut classes = Vec::new();
    for class in inference.existing.map_or(&[][..], |map| &map.classes) {
        let Some(table) = inference.index.table(&class.root) else {
            inference.notes.push(format!(
                "The root `{}` is gone from the database, and the class `{}` from the map.",
                class.root, class.name
            ));
            continue;
        };
        let mut class = class.clone();
        if check_root(&class, table).is_err() {
            if roots.iter().any(|root| root.name == table.name) && !table.primary_key.is_empty() {
                inference.notes.push(format!(
                    "The class `{}` has a new key: people erased or backed up under the old key \
                     are strangers to the new one.",
                    class.name
                ));
                class.key = key_of(table);
            } else {
                let reason = format!(
                    "its primary key is no longer the key of the class `{}`, by which people in \
                     the backups are named",
                    class.name
                );
                let flag = flag_text("--root", &table.name.to_string());
                inference.undecide(&table.name, reason, vec![flag]);
            }
        }
        classes.push(class);
    }
    classes
}

fn key_of(table: &Table) -> Vec<KeyColumn> {
    let type_of = |name: &String| table.column(name).map(|column| column.type_name.clone());
    let column = |name: &String| KeyColumn {
        name: name.clone(),
        type_name: type_of(name).unwrap_or_default(),
    };
    table.primary_key.iter().map(column).collect()
}
