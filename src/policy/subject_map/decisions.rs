//! A person's decisions, as the flags of `strongroom map` give them, and back.

use std::collections::{BTreeMap, BTreeSet};

pub use super::choice::OwnerChoice;
use super::choice::{self, WayChoice};
use super::error::MapError;
use super::model::{LargeObjectRule, Unknown};
use crate::base::schema::{DatabaseSchema, QualifiedName, display_identifier, split_identifiers};

/// What a person decided where foreign keys cannot, and over what they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// `--root SCHEMA.TABLE`: each row of the table is one person; each root is a class.
    pub roots: Vec<QualifiedName>,
    /// `--owner TABLE=WAY[|WAY…]`: the ways to a row's owner.
    pub owners: BTreeMap<QualifiedName, OwnerChoice>,
    /// `--owner '*.COLUMN'`: the same for every table with such a column.
    pub owner_columns: Vec<(Pattern, String)>,
    /// `--shared TABLE`: the rows are nobody's.
    pub shared: BTreeSet<QualifiedName>,
    /// `--shared 'ref_*'`: the same for every table of such a name.
    pub shared_patterns: Vec<Pattern>,
    /// `--shared-anyway TABLE`: the rows are nobody's, although columns look like personal data.
    pub shared_anyway: BTreeSet<QualifiedName>,
    /// `--large-objects TABLE.COLUMN|shared`: whom large objects belong to.
    pub large_objects: Vec<LargeObjectRule>,
    /// `--unknown WORD`: what is done with rows whose owner nobody knows.
    pub unknown: Option<Unknown>,
    /// `--unknown TABLE=WORD`: the same for one table.
    pub unknown_of: BTreeMap<QualifiedName, Unknown>,
    /// `--identify CLASS=COLUMN[,COLUMN…]`: by what a person is told from a namesake.
    pub identify: BTreeMap<String, Vec<String>>,
}

/// A name in which `*` stands for any text; without a schema, of every schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern, if it is one: it has a `*` in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_alphanumeric() || "_*.$-".contains(c);
        (text.contains('*') && text.chars().all(plain)).then(|| Self(text.to_owned()))
    }

    /// Whether the table's name is one of these.
    #[must_use]
    pub fn takes(&self, table: &QualifiedName) -> bool {
        match self.0.split_once('.') {
            Some((schema, name)) => fits(schema, &table.schema) && fits(name, &table.name),
            None => fits(&self.0, &table.name),
        }
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(after, &rest[at..]))
}

impl Decisions {
    /// Reads the values of the flags. Names are written as in SQL: double quotes around unusual
    /// parts, `public` where no schema is named.
    pub fn parse(
        roots: &[String],
        owners: &[String],
        shared: &[String],
        shared_anyway: &[String],
        large_objects: &[String],
    ) -> Result<Self, MapError> {
        let mut decisions = Self::default();
        for value in roots {
            let root = table("--root", value, value)?;
            if !decisions.roots.contains(&root) {
                decisions.roots.push(root);
            }
        }
        for value in owners {
            decisions.owner(value)?;
        }
        for value in shared {
            match Pattern::parse(value) {
                Some(pattern) => decisions.shared_patterns.push(pattern),
                None => {
                    decisions.shared.insert(table("--shared", value, value)?);
                }
            }
        }
        for value in shared_anyway {
            decisions.shared_anyway.insert(table("--shared-anyway", value, value)?);
        }
        for value in large_objects {
            let rule = large_object(value)?;
            if !decisions.large_objects.contains(&rule) {
                decisions.large_objects.push(rule);
            }
        }
        Ok(decisions)
    }

    /// Reads what `--unknown` and `--identify` say, too.
    pub fn and(mut self, unknown: &[String], identify: &[String]) -> Result<Self, MapError> {
        for value in unknown {
            let word = |text: &str| {
                let words = [Unknown::Refuse, Unknown::Commons, Unknown::Drop];
                let found = words.into_iter().find(|known| known.word() == text);
                found.ok_or_else(|| {
                    let message =
                        "not of the form [TABLE=]WORD; the words are refuse, commons and drop";
                    refused("--unknown", value, message)
                })
            };
            match choice::split(value, &['=']) {
                (text, None) => self.unknown = Some(word(text)?),
                (name, Some(text)) => {
                    self.unknown_of.insert(table("--unknown", value, name)?, word(text)?);
                }
            }
        }
        for value in identify {
            let form = || refused("--identify", value, "not of the form CLASS=COLUMN[,COLUMN…]");
            let (class, columns) = choice::split(value, &['=']);
            let choice = columns.and_then(OwnerChoice::parse).ok_or_else(form)?;
            match (split_identifiers(class).as_deref(), choice.ways.as_slice()) {
                (Some([class]), [way])
                    if *way
                        == WayChoice { columns: way.columns.clone(), ..WayChoice::default() } =>
                {
                    self.identify.insert(class.clone(), way.columns.clone());
                }
                _ => return Err(form()),
            }
        }
        Ok(self)
    }

    fn owner(&mut self, value: &str) -> Result<(), MapError> {
        let form = || {
            refused(
                "--owner",
                value,
                "not of the form TABLE=COLUMN[,COLUMN…] or TABLE=WAY|WAY; see `map --help`",
            )
        };
        if let Some((pattern, column)) = value.rsplit_once('.')
            && let Some(pattern) = Pattern::parse(pattern)
        {
            let column = split_identifiers(column).ok_or_else(form)?;
            let [column] = column.as_slice() else { return Err(form()) };
            self.owner_columns.push((pattern, column.clone()));
            return Ok(());
        }
        let (name, ways) = choice::split(value, &['=']);
        let table = table("--owner", value, name)?;
        let choice = OwnerChoice::parse(ways.ok_or_else(form)?).ok_or_else(form)?;
        if self.owners.insert(table, choice).is_some() {
            return Err(refused("--owner", value, "the table's owner is given twice"));
        }
        Ok(())
    }

    /// The tables that are said to be nobody's, those of patterns too: unless they are named otherwise.
    pub(super) fn shared_in(&self, schema: &DatabaseSchema) -> BTreeSet<QualifiedName> {
        // Who was asked again, and says an owner, has thought better of it.
        let shared = self.shared.iter().filter(|table| !self.owners.contains_key(table));
        let mut shared: BTreeSet<QualifiedName> =
            shared.chain(&self.shared_anyway).cloned().collect();
        for table in &schema.tables {
            let owned = self.owner_columns.iter().any(|(pattern, column)| {
                pattern.takes(&table.name) && table.column(column).is_some()
            });
            let named =
                owned || self.owners.contains_key(&table.name) || self.roots.contains(&table.name);
            if !named && self.shared_patterns.iter().any(|pattern| pattern.takes(&table.name)) {
                shared.insert(table.name.clone());
            }
        }
        shared
    }

    /// The tables whose owners are said, those of patterns too: unless they are named otherwise.
    pub(super) fn owners_in(
        &self,
        schema: &DatabaseSchema,
    ) -> BTreeMap<QualifiedName, OwnerChoice> {
        let mut owners = self.owners.clone();
        let shared = self.shared_in(schema);
        for table in &schema.tables {
            let named = shared.contains(&table.name)
                || self.roots.contains(&table.name)
                || owners.contains_key(&table.name);
            let column = self.owner_columns.iter().find(|(pattern, column)| {
                pattern.takes(&table.name) && table.column(column).is_some()
            });
            if let (false, Some((_, column))) = (named, column) {
                let way = WayChoice { columns: vec![column.clone()], ..WayChoice::default() };
                let choice = OwnerChoice { ways: vec![way], otherwise_shared: false };
                owners.insert(table.name.clone(), choice);
            }
        }
        owners
    }
}

/// A flag as it is typed into a shell: `--owner public.referrals=referrer_id`.
pub(super) fn flag_text(flag: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=,:@/".contains(c);
    if value.chars().all(plain) {
        format!("{flag} {value}")
    } else {
        format!("{flag} '{}'", value.replace('\'', r"'\''"))
    }
}

/// The flag that makes columns lead to a table's owners.
pub(super) fn owner_flag(table: &QualifiedName, columns: &[String]) -> String {
    flag_text("--owner", &format!("{table}={}", identifiers(columns)))
}

/// The flag that makes a column name the large objects of its rows' owners.
pub(super) fn large_object_flag(table: &QualifiedName, column: &str) -> String {
    flag_text("--large-objects", &format!("{table}.{}", display_identifier(column)))
}

/// Columns as a person writes them, separated by commas.
pub(super) fn identifiers(columns: &[String]) -> String {
    columns.iter().map(|column| display_identifier(column)).collect::<Vec<_>>().join(",")
}

fn table(flag: &'static str, value: &str, name: &str) -> Result<QualifiedName, MapError> {
    name.parse().map_err(|_| {
        refused(flag, value, "not a table name; it is written SCHEMA.TABLE, as in SQL")
    })
}

fn large_object(value: &str) -> Result<LargeObjectRule, MapError> {
    if value == "shared" {
        return Ok(LargeObjectRule::Shared);
    }
    let form = || refused("--large-objects", value, "neither TABLE.COLUMN nor the word shared");
    let mut parts = split_identifiers(value).ok_or_else(form)?;
    let column = parts.pop().ok_or_else(form)?;
    let name = parts.pop().ok_or_else(form)?;
    let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
    if !parts.is_empty() {
        return Err(form());
    }
    Ok(LargeObjectRule::Column { table: QualifiedName::new(schema, name), column })
}

fn refused(flag: &'static str, value: &str, message: &str) -> MapError {
    MapError::Flag { flag, value: value.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(value: &str) -> Result<Decisions, MapError> {
        Decisions::parse(&[], &[value.to_owned()], &[], &[], &[])
    }

    #[test]
    fn an_owner_flag_names_a_table_and_its_columns() {
        let decisions = owners("Notes=Tenant,\"A=,b\"").unwrap();
        let table = QualifiedName::new("public", "notes");
        assert_eq!(decisions.owners[&table].ways[0].columns, ["tenant", "A=,b"]);
        for wrong in ["notes", "notes=", "=a", "notes=a,", "notes=a,a"] {
            assert!(owners(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn large_objects_have_a_column_or_are_shared() {
        let values = ["app.files.content".to_owned(), "shared".to_owned(), "f.c".to_owned()];
        let decisions = Decisions::parse(&[], &[], &[], &[], &values).unwrap();
        let column = |schema: &str, name: &str, column: &str| LargeObjectRule::Column {
            table: QualifiedName::new(schema, name),
            column: column.to_owned(),
        };
        assert_eq!(
            decisions.large_objects,
            [
                column("app", "files", "content"),
                LargeObjectRule::Shared,
                column("public", "f", "c")
            ]
        );
        for wrong in ["content", "a.b.c.d", ""] {
            assert!(Decisions::parse(&[], &[], &[], &[], &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_printed_flag_is_what_a_shell_gives_back() {
        let table = QualifiedName::new("public", "it's");
        let flag = owner_flag(&table, &["Id".to_owned()]);
        assert_eq!(flag, r#"--owner 'public."it'\''s"="Id"'"#);
        assert_eq!(
            owners("public.\"it's\"=\"Id\"").unwrap().owners[&table].ways[0].columns,
            ["Id"]
        );
    }

    #[test]
    fn a_pattern_takes_the_tables_that_it_names() {
        let takes = |pattern: &str, table: &str| {
            Pattern::parse(pattern).unwrap().takes(&table.parse().unwrap())
        };
        assert!(takes("ref_*", "public.ref_colours"));
        assert!(takes("ref_*", "tenant_4.ref_colours"));
        assert!(takes("tenant_*.notes", "tenant_4.notes"));
        assert!(!takes("ref_*", "public.preferences"));
        assert!(!takes("tenant_*.notes", "public.notes"));
        assert!(takes("*", "a.b"));
        assert_eq!(Pattern::parse("notes"), None);
        let decisions = owners("*.author_id").unwrap();
        assert_eq!(decisions.owner_columns[0].1, "author_id");
    }

    #[test]
    fn what_is_unknown_is_decided_for_all_or_for_one() {
        let read = |value: &str| Decisions::default().and(&[value.to_owned()], &[]);
        assert_eq!(read("drop").unwrap().unknown, Some(Unknown::Drop));
        let table = QualifiedName::new("public", "clicks");
        assert_eq!(read("clicks=commons").unwrap().unknown_of[&table], Unknown::Commons);
        for wrong in ["", "warn", "clicks=", "clicks=all", "=drop"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let identify = Decisions::default().and(&[], &["users=email,\"Name\"".to_owned()]).unwrap();
        assert_eq!(identify.identify["users"], ["email", "Name"]);
    }
}
