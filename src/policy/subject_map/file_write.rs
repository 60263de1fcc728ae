//! Writes a subject map's file: commented, in a stable order, and read back as the same map.

use std::fmt::Write as _;

use super::file_comments::{HEADER, class_comment, comment, reference_comment, table_comment};
use super::file_ways;
use super::index::SchemaIndex;
use super::model::{LargeObjectRule, SubjectMap};
use crate::base::schema::DatabaseSchema;

impl SubjectMap {
    /// The map as a commented file. `schema` is only asked for the comments.
    #[must_use]
    pub fn to_toml(&self, schema: &DatabaseSchema) -> String {
        let index = SchemaIndex::new(schema);
        let version = self.version.number();
        let mut file = format!("{HEADER}\nversion = {version}\nsource = {}\n", text(&self.source));
        if let Some(unknown) = self.unknown {
            push(&mut file, &format!("unknown = {}\n", text(unknown.word())));
        }
        for class in &self.classes {
            let key: Vec<String> = class
                .key
                .iter()
                .map(|column| {
                    let (name, type_name) = (text(&column.name), text(&column.type_name));
                    format!("{{ column = {name}, type = {type_name} }}")
                })
                .collect();
            let (name, root) = (text(&class.name), text(&class.root.to_string()));
            push(&mut file, &format!("\n{}[[class]]\nname = {name}\n", class_comment(class)));
            push(&mut file, &format!("root = {root}\nkey = [{}]\n", key.join(", ")));
            if let Some(placeholder) = &class.placeholder {
                let pairs: Vec<String> = placeholder
                    .iter()
                    .map(|(name, value)| format!("{} = {}", text(name), text(value)))
                    .collect();
                push(&mut file, &format!("placeholder = {{ {} }}\n", pairs.join(", ")));
            }
            if !class.identify.is_empty() {
                push(&mut file, &format!("identify = {}\n", list(&class.identify)));
            }
        }
        push(&mut file, "\n[table]\n");
        for (name, ownership) in &self.tables {
            push(&mut file, &table_comment(self, &index, name, ownership));
            let unknown = self.unknown_of.get(name).map(|unknown| unknown.word());
            let value = file_ways::written(ownership, unknown);
            push(&mut file, &format!("{} = {value}\n\n", text(&name.to_string())));
        }
        for rule in &self.references {
            push(&mut file, &reference_comment(self, &index, rule));
            let table = text(&rule.table.to_string());
            let constraint = text(&rule.constraint);
            let (columns, to) = (list(&rule.columns), text(&rule.referenced_table.to_string()));
            push(
                &mut file,
                &format!("[[reference]]\ntable = {table}\nconstraint = {constraint}\n"),
            );
            let on_gone = text(rule.on_gone.word());
            push(&mut file, &format!("columns = {columns}\nto = {to}\non-gone = {on_gone}\n\n"));
        }
        for rule in &self.large_objects {
            match rule {
                LargeObjectRule::Column { table, column } => {
                    let why = "A large object that this column names belongs to the row's owner.";
                    let (table, column) = (text(&table.to_string()), text(column));
                    push(&mut file, &comment(why));
                    push(&mut file, "[[large-object]]\n");
                    push(&mut file, &format!("table = {table}\ncolumn = {column}\n\n"));
                }
                LargeObjectRule::Shared => {
                    let why = "A large object that no column above names is nobody's.";
                    push(
                        &mut file,
                        &format!("{}[[large-object]]\nshared = true\n\n", comment(why)),
                    );
                }
            }
        }
        while file.ends_with("\n\n") {
            file.pop();
        }
        file
    }
}

pub(super) fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|item| text(item)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A basic string of TOML, on one line whatever it holds.
pub(super) fn text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

fn push(file: &mut String, part: &str) {
    file.push_str(part);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SchemaBuilder, decisions, name};
    use super::super::{Evidence, OnGone, SubjectMap, check, infer};
    use super::*;

    const MANUAL: &str = include_str!("../../../docs/subject-map.md");

    fn schema() -> DatabaseSchema {
        SchemaBuilder::new()
            .table("users", &["id bigint !", "email text !", "invited_by bigint"], "id")
            .table("ingestion_batches", &["id bigint !", "user_id bigint !"], "id")
            .table("ingestion_items", &["id bigint !", "batch_id bigint !"], "id")
            .table("rules", &["id bigint !", "user_id bigint", "pattern text"], "id")
            .table("referrals", &["referrer_id bigint !", "referred_id bigint !"], "")
            .table("documents", &["user_id bigint !", "scan oid"], "")
            .table("currencies", &["code text !", "name text !"], "code")
            .references("users", "invited_by", "users", "id")
            .references("ingestion_batches", "user_id", "users", "id")
            .references("ingestion_items", "batch_id", "ingestion_batches", "id")
            .references("rules", "user_id", "users", "id")
            .references("referrals", "referrer_id", "users", "id")
            .references("referrals", "referred_id", "users", "id")
            .references("documents", "user_id", "users", "id")
            .large_objects(2)
            .build()
    }

    fn map() -> SubjectMap {
        let mut decisions = decisions(&["users"], &["referrals=referrer_id"], &["currencies"]);
        decisions.large_objects =
            vec![LargeObjectRule::Column { table: name("documents"), column: "scan".to_owned() }];
        let proposal = infer(&schema(), &decisions, None, &Evidence::default());
        assert_eq!(proposal.undecided, []);
        let mut map = proposal.map;
        map.classes[0].placeholder = Some(
            [("id", "0"), ("email", "forgotten@example.invalid")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        map.references[1].on_gone = OnGone::Placeholder;
        map
    }

    #[test]
    fn the_manual_shows_the_file_as_it_is_written() {
        let map = map();
        assert_eq!(check(&map, &schema()), []);
        let file = map.to_toml(&schema());
        let body = file.strip_prefix(HEADER).unwrap().trim();
        let example = MANUAL.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(example.trim(), body, "the manual's example");
        assert_eq!(SubjectMap::from_toml(&file), Ok(map));
    }

    #[test]
    fn names_cannot_leave_their_comment_or_their_string() {
        let odd = "x\n[table]\r\t\"\\'\u{7f}";
        assert_eq!(comment(odd).lines().count(), 1);
        let file = format!("a = {}\n{}", text(odd), comment(odd));
        let read: toml::Table = file.parse().unwrap();
        assert_eq!(read["a"].as_str(), Some(odd));
    }
}
