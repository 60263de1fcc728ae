//! The comments of a subject map's file: what the words mean, and why each rule was chosen.

use super::index::SchemaIndex;
use super::model::{OnGone, Ownership, Parent, ReferenceRule, SubjectClass, SubjectMap};
use super::personal_data::personal_columns;
use super::references::indexed_columns_to_null;
use crate::base::schema::QualifiedName;

/// Stands above every file.
pub(super) const HEADER: &str = r#"# Subject map: which row of which table belongs to which person.
#
# strongroom proposed it from the database's foreign keys; a person reviews and may change it.
# `strongroom map NAME --check` compares it with the database; a backup refuses a map that does not
# fit. docs/subject-map.md explains everything here.
#
# [[class]] is a kind of people. Each row of its `root` table is one person, named by its primary
#   key. Do not rename a class: people already in backups are named with it.
#   `placeholder = { id = "0", ... }` is the row that may stand for a forgotten person.
#
# [table] has one line for each table:
#   { root = "users" }                           each row is one person;
#   { owner = "users", columns = ["user_id"] }   the columns hold the owner's key;
#   { owner = "users", columns = ["batch_id"], via = "public.batches", via-columns = ["id"] }
#                                                the row belongs to whom the other row belongs;
#   { shared = true }                            the rows are nobody's, and no erasure reaches them.
#   A row whose columns are NULL on the way to the owner is nobody's, too.
#   More can be said of a way: `owner = [{ ... }, { ... }]` (the first that gives an owner), `by` (a
#   unique column of the root), `cast`, `when` with `otherwise`, `element` and `path`.
#
# unknown says what a backup does with rows whose owner nobody knows, for all tables or for one:
#   "refuse" (no backup; what holds if nothing is said), "commons" (nobody's), "drop" (left out).
#
# [[reference]] says what a restore does where a row refers to a person who was forgotten:
#   on-gone = "set-null"      columns of the reference that may be NULL become NULL;
#   on-gone = "drop-row"      the referring row is left out;
#   on-gone = "placeholder"   the reference leads to the class's placeholder row.
#
# [[large-object]] names a column that holds numbers of large objects (they belong to the row's
#   owner), or says `shared = true` for those that no such column names.
#
# Tables are written schema.table with double quotes around unusual parts, as in SQL; columns are
# written exactly as the database spells them. Comments are yours to change, and are written anew
# by `strongroom map --write`.
"#;

/// Lines of comment. What would end a comment, or hide in it, is made visible.
pub(super) fn comment(sentence: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 100 && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.extend(word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}

pub(super) fn class_comment(class: &SubjectClass) -> String {
    comment(&format!("Each row of `{}` is one person of this class.", class.root))
}

pub(super) fn table_comment(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    name: &QualifiedName,
    ownership: &Ownership,
) -> String {
    let nullable = |columns: &[String]| {
        let table = index.table(name);
        columns.iter().any(|column| {
            table.and_then(|table| table.column(column)).is_some_and(|found| !found.not_null)
        })
    };
    let orphans = |columns: &[String]| {
        if nullable(columns) { " Rows where it is NULL are nobody's." } else { "" }
    };
    comment(&match ownership {
        Ownership::Root { .. } => "Each row is one person.".to_owned(),
        Ownership::Owned { class, columns, via: None } => format!(
            "{} the key of `{class}` ({}).{}",
            holds(columns),
            reason(map, index, name, ownership),
            orphans(columns)
        ),
        Ownership::Owned { columns, via: Some(parent), .. } => format!(
            "{} to `{}`, whose owner the row belongs to ({}).{}",
            leads(columns),
            parent.table,
            reason(map, index, name, ownership),
            orphans(columns)
        ),
        Ownership::Ways { ways, .. } => {
            let ways: Vec<String> = ways.iter().map(way_sentence).collect();
            format!("The owner is found {}.", ways.join("; else "))
        }
        Ownership::Shared => match index.table(name).map(personal_columns).unwrap_or_default() {
            none if none.is_empty() => "Nobody's, by decision.".to_owned(),
            personal => format!(
                "Nobody's, by decision, although these look like personal data: {}.",
                personal.join(", ")
            ),
        },
    })
}

pub(super) fn reference_comment(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    rule: &ReferenceRule,
) -> String {
    let columns = rule.columns.join(", ");
    let to = &rule.referenced_table;
    comment(&match rule.on_gone {
        OnGone::SetNull => format!(
            "`{columns}` can refer to somebody else's row of `{to}`; where that is gone, `{}` \
             becomes NULL.",
            indexed_columns_to_null(map, index, rule).join(", ")
        ),
        OnGone::DropRow => format!(
            "`{columns}` can refer to a row of `{to}` that is gone; then the referring row is left \
             out."
        ),
        OnGone::Placeholder => format!(
            "`{columns}` can refer to somebody else's row of `{to}`; where that is gone, it leads \
             to the placeholder row."
        ),
    })
}

/// Why the rule is what it is, as far as the schema tells.
fn reason(
    map: &SubjectMap,
    index: &SchemaIndex<'_>,
    name: &QualifiedName,
    ownership: &Ownership,
) -> String {
    let Ownership::Owned { class, columns, via } = ownership else { return String::new() };
    let root = map.class(class);
    let target = match (via, root) {
        (Some(Parent { table, columns }), _) => Some((table.clone(), columns.clone())),
        (None, Some(class)) => {
            Some((class.root.clone(), class.key.iter().map(|key| key.name.clone()).collect()))
        }
        (None, None) => None,
    };
    let foreign_key = target.and_then(|(table, referenced)| {
        index.foreign_keys_of(name).iter().find(|key| {
            let same_table = index.table(&key.referenced_table).map(|found| &found.name)
                == index.table(&table).map(|found| &found.name);
            same_table
                && key.columns.len() == columns.len()
                && columns.iter().zip(&referenced).all(|(column, target)| {
                    key.columns
                        .iter()
                        .zip(&key.referenced_columns)
                        .any(|pair| pair == (column, target))
                })
        })
    });
    match foreign_key {
        Some(key) => format!("foreign key {}", key.name),
        None if index.table(name).is_some_and(|table| !table.inherits.is_empty()) => {
            "inherited, or by decision".to_owned()
        }
        None if index.is_reverse(name, columns, via.as_ref()) => {
            "the foreign key leads the other way".to_owned()
        }
        None => "by decision; there is no such foreign key".to_owned(),
    }
}

/// One way in words: "by `mail`, which is a person's `email`".
fn way_sentence(way: &super::model::Way) -> String {
    let columns = way.columns.join("`, `");
    let mut sentence = match (way.reading.element.as_deref(), &way.via, way.by.as_slice()) {
        (_, Some(parent), _) => format!("by `{columns}` through `{}`", parent.table),
        (_, None, by) if !by.is_empty() => {
            format!("by `{columns}`, which is the `{}` of `{}`", by.join("`, `"), way.class)
        }
        (Some([]), ..) => format!("by the first of `{columns}`, a key of `{}`", way.class),
        (Some(path), ..) => {
            format!("by `{}` in `{columns}`, a key of `{}`", path.join("."), way.class)
        }
        (None, ..) => format!("by `{columns}`, a key of `{}`", way.class),
    };
    for (column, values) in &way.when {
        sentence.push_str(&format!(", where `{column}` is {}", values.join(" or ")));
    }
    sentence
}

fn holds(columns: &[String]) -> String {
    match columns {
        [only] => format!("`{only}` holds"),
        several => format!("`{}` hold", several.join(", ")),
    }
}

fn leads(columns: &[String]) -> String {
    match columns {
        [only] => format!("`{only}` leads"),
        several => format!("`{}` lead", several.join(", ")),
    }
}
