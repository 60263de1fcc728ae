//! What a database's own rows say of the ways to their owners: which ways are worth a look, and what was
//! seen. The values themselves never come here, only counts; and the words of `*_type` columns and the
//! keys of documents, which name kinds and not people.

use std::collections::BTreeMap;

use super::index::SchemaIndex;
use super::key_types::{base_type, cast_to, is_text_or_character};
use super::model::{Parent, SubjectClass, Way};
use super::names::{Role, flat_singular, is_named_for, role, stem};
use super::path::compares;
use crate::base::schema::{Column, DatabaseSchema, QualifiedName, Reading, Table};

/// What was seen in a sample of rows. Without a look at the data it is empty, and names must do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Keys of documents (`jsonb`) that look as if a person's key stood there, by table and column.
    pub documents: BTreeMap<(QualifiedName, String), Vec<Vec<String>>>,
    /// The different values of columns that say of which kind another column's key is.
    pub kinds: BTreeMap<(QualifiedName, String), Vec<String>>,
    /// What was counted of a way, by table.
    pub seen: BTreeMap<(QualifiedName, Way), Seen>,
}

/// Counts of the rows that were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rows.
    pub rows: u64,
    /// Rows in which the way begins with NULL (or is not meant for).
    pub null: u64,
    /// Rows whose way leads to a row that is there.
    pub known: u64,
}

impl Seen {
    /// Rows whose way leads nowhere.
    #[must_use]
    pub fn unknown(self) -> u64 {
        self.rows.saturating_sub(self.null).saturating_sub(self.known)
    }

    /// Whether what was seen speaks against the way: hardly any value leads anywhere.
    pub(super) fn contradicts(self) -> bool {
        let given = self.rows.saturating_sub(self.null);
        given > 0 && self.known.saturating_mul(10) < given
    }

    /// In words: "of 200 rows looked at, 98 % lead to a row, 2 % are NULL".
    pub(super) fn sentence(self) -> String {
        if self.rows == 0 {
            return "the table has no row to look at".to_owned();
        }
        let share = |part: u64| {
            let tenths = part.saturating_mul(1000) / self.rows;
            match tenths {
                0 if part > 0 => "under 0.1 %".to_owned(),
                1000 => "all".to_owned(),
                tenths if tenths % 10 == 0 => format!("{} %", tenths / 10),
                tenths => format!("{}.{} %", tenths / 10, tenths % 10),
            }
        };
        let mut parts = vec![format!("{} known", share(self.known))];
        if self.null > 0 {
            parts.push(format!("{} NULL", share(self.null)));
        }
        if self.unknown() > 0 {
            parts.push(format!("{} lead nowhere", share(self.unknown())));
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        format!("of {} {rows} looked at: {}", self.rows, parts.join(", "))
    }
}

/// A way that no foreign key says, worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// The table.
    pub table: QualifiedName,
    /// The way; its class is empty where it leads through another table.
    pub way: Way,
    /// What the column's name says.
    pub(super) role: Role,
    /// Whether the name alone is reason enough to propose it.
    pub(super) by_name: bool,
}

/// A column of documents, or one that says of which kind another column's key is: what to read first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstLook {
    /// The keys of a document.
    Document(QualifiedName, String),
    /// The words of a column.
    Kinds(QualifiedName, String),
}

/// What to look at before [`guesses`] are made.
#[must_use]
pub fn first_looks(schema: &DatabaseSchema) -> Vec<FirstLook> {
    let mut looks = Vec::new();
    for table in &schema.tables {
        for column in &table.columns {
            if is_document(column) {
                looks.push(FirstLook::Document(table.name.clone(), column.name.clone()));
            }
            if kind_column(table, column).is_some() {
                let kind = kind_column(table, column).map(|kind| kind.name.clone());
                looks.extend(kind.map(|kind| FirstLook::Kinds(table.name.clone(), kind)));
            }
        }
    }
    looks
}

/// Whether a path of a document is named as if a person's key stood there.
#[must_use]
pub fn is_named_for_a_person(path: &[String], classes: &[SubjectClass]) -> bool {
    let is_person = |name: &String| role(name, classes).is_some();
    match path {
        [only] => is_person(only),
        [outer, inner] => {
            let key = stem(inner);
            (is_person(outer) && matches!(key.as_str(), "id" | "uuid" | "key" | "uid"))
                || is_person(inner)
        }
        _ => false,
    }
}

/// Ways that no foreign key says and that a name, a type or a document suggests.
#[must_use]
pub fn guesses(
    schema: &DatabaseSchema,
    classes: &[SubjectClass],
    evidence: &Evidence,
) -> Vec<Guess> {
    let index = SchemaIndex::new(schema);
    let parents: Vec<&Table> = schema
        .tables
        .iter()
        .filter(|table| table.primary_key.len() == 1 && !is_root(classes, table))
        .collect();
    let mut by_stem: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    for parent in &parents {
        by_stem.entry(flat_singular(&parent.name.name)).or_default().push(parent);
    }
    let mut found = Vec::new();
    for table in schema.tables.iter().filter(|table| !is_root(classes, table)) {
        for column in table.columns.iter().filter(|column| !column.generated) {
            let refers = index.foreign_keys_of(&table.name).iter().any(|key| {
                !key.temporal && key.columns.len() == 1 && key.columns.contains(&column.name)
            });
            if !refers {
                let seeker = Seeker { index: &index, classes, evidence, table, column };
                // `account_id` is an account's, where there is such a table.
                let is_of_a_table = by_stem.contains_key(&stem(&column.name));
                let named = role(&column.name, classes).filter(|_| !is_of_a_table);
                seeker.to_roots(named, &mut found);
                seeker.through(&by_stem, &mut found);
            }
        }
    }
    found
}

struct Seeker<'s> {
    index: &'s SchemaIndex<'s>,
    classes: &'s [SubjectClass],
    evidence: &'s Evidence,
    table: &'s Table,
    column: &'s Column,
}

impl Seeker<'_> {
    fn guess(&self, way: Way, role: Role, by_name: bool) -> Guess {
        Guess { table: self.table.name.clone(), way, role, by_name }
    }

    fn to_roots(&self, named: Option<Role>, found: &mut Vec<Guess>) {
        let is_key = self.table.primary_key.as_slice() == [self.column.name.clone()];
        for class in self.classes {
            let Some(root) = self.index.table(&class.root) else { continue };
            let [key] = class.key.as_slice() else { continue };
            let Some(key) = root.column(&key.name) else { continue };
            let kinds = self.kinds(class);
            for reading in self.readings(key) {
                let way = Way {
                    class: class.name.clone(),
                    columns: vec![self.column.name.clone()],
                    reading: reading.clone(),
                    ..Way::default()
                };
                match (&kinds, &reading.element) {
                    // A key of many kinds is only this class's where the kind says so.
                    (Some((kind, values)), None) => {
                        if !values.is_empty() {
                            let when = [(kind.clone(), values.clone())].into();
                            found.push(self.guess(Way { when, ..way }, Role::Owner, true));
                        }
                    }
                    (_, Some(path)) if !path.is_empty() => {
                        let role = path
                            .iter()
                            .find_map(|name| role(name, self.classes))
                            .unwrap_or(Role::Unnamed);
                        found.push(self.guess(way, role, false));
                    }
                    _ => {
                        let of_this = self.is_of_this_class(class, named);
                        let telling = is_telling(key) && !is_key;
                        if let Some(role) = named.filter(|_| of_this && !is_key) {
                            found.push(self.guess(way, role, true));
                        } else if named.is_none() && telling && reading.cast.is_none() {
                            found.push(self.guess(way, Role::Unnamed, false));
                        }
                    }
                }
            }
            self.by_unique_columns(class, root, found);
        }
    }

    /// Something else that is unique in the root, such as an address.
    fn by_unique_columns(&self, class: &SubjectClass, root: &Table, found: &mut Vec<Guess>) {
        if !is_text_or_character(&base_type(self.column.plain_type())) {
            return;
        }
        for unique in &root.unique {
            let [unique] = unique.as_slice() else { continue };
            let Some(target) = root.column(unique) else { continue };
            if !is_text_or_character(&base_type(target.plain_type()))
                && target.type_name != self.column.type_name
            {
                continue;
            }
            if compares(self.column, &Reading::default(), target) {
                let (own, theirs) = (stem(&self.column.name), stem(unique));
                let by_name = own == theirs || own.ends_with(&theirs);
                let is_mail = theirs.contains("mail");
                let alike = by_name
                    || (is_mail
                        && (own.contains("mail") || own == "identifier" || own == "recipient"));
                if alike {
                    let way = Way {
                        class: class.name.clone(),
                        columns: vec![self.column.name.clone()],
                        by: vec![unique.clone()],
                        ..Way::default()
                    };
                    // Two people can have one name, but not one address.
                    let role = if is_mail { Role::Parent } else { Role::Unnamed };
                    found.push(self.guess(way, role, by_name && is_mail));
                }
            }
        }
    }

    /// A row of another table that the column is named for.
    fn through(&self, by_stem: &BTreeMap<String, Vec<&Table>>, found: &mut Vec<Guess>) {
        if self.table.primary_key.as_slice() == [self.column.name.clone()] {
            return;
        }
        let mut named = stem(&self.column.name);
        // `last_invoice_id` is named for an invoice, too, if nothing else.
        let parents = loop {
            if let Some(parents) = by_stem.get(&named) {
                break parents;
            }
            let Some((_, rest)) = split_first_word(&self.column.name, &named) else { return };
            named = rest;
        };
        for parent in parents.iter().filter(|parent| parent.name != self.table.name) {
            let [key] = parent.primary_key.as_slice() else { continue };
            let Some(key) = parent.column(key) else { continue };
            let reading = Reading { element: None, cast: None };
            let cast = Reading { cast: cast_to(key.plain_type()), ..reading.clone() };
            let reading =
                [reading, cast].into_iter().find(|reading| compares(self.column, reading, key));
            if let Some(reading) = reading {
                let via = Parent { table: parent.name.clone(), columns: vec![key.name.clone()] };
                let columns = vec![self.column.name.clone()];
                let way = Way { columns, via: Some(via), reading, ..Way::default() };
                found.push(self.guess(way, Role::Parent, true));
            }
        }
    }

    /// Whether a column named for people means people of this class, where there are several.
    fn is_of_this_class(&self, class: &SubjectClass, named: Option<Role>) -> bool {
        let for_one = |class: &&SubjectClass| {
            let name = flat_singular(&class.root.name);
            stem(&self.column.name).contains(&name) && is_named_for(&name, &class.root)
        };
        named.is_some()
            && match self.classes.iter().find(for_one) {
                Some(one) => one.name == class.name,
                None => true,
            }
    }

    /// How the column's values could be read as keys of the root.
    fn readings(&self, key: &Column) -> Vec<Reading> {
        let cast = cast_to(key.plain_type());
        let mut readings = Vec::new();
        let plain = Reading::default();
        if self.column.plain_type().ends_with("[]") {
            let first = Reading { element: Some(Vec::new()), cast: None };
            let first_cast = Reading { cast, ..first.clone() };
            readings.extend(
                [first, first_cast].into_iter().find(|reading| compares(self.column, reading, key)),
            );
        } else if is_document(self.column) {
            let at = (self.table.name.clone(), self.column.name.clone());
            for path in self.evidence.documents.get(&at).into_iter().flatten() {
                let text = Reading { element: Some(path.clone()), cast: None };
                let other = Reading { cast, ..text.clone() };
                readings.extend(
                    [text, other].into_iter().find(|reading| compares(self.column, reading, key)),
                );
            }
        } else {
            let other = Reading { cast, ..plain.clone() };
            readings.extend(
                [plain, other].into_iter().find(|reading| compares(self.column, reading, key)),
            );
        }
        readings
    }

    /// The column that says of which kind this one's key is, and its values that mean the class.
    fn kinds(&self, class: &SubjectClass) -> Option<(String, Vec<String>)> {
        let kind = kind_column(self.table, self.column)?;
        let at = (self.table.name.clone(), kind.name.clone());
        let values = self.evidence.kinds.get(&at).map(Vec::as_slice).unwrap_or_default();
        let mean = |value: &&String| {
            let last = value.rsplit(['\\', ':', '.', '/']).next().unwrap_or(value);
            is_named_for(last, &class.root)
        };
        let values: Vec<String> = values.iter().filter(mean).cloned().collect();
        // Nobody looked: as applications mostly write it.
        let unseen = !self.evidence.kinds.contains_key(&at);
        let values = if unseen { vec![camel(&class.root.name)] } else { values };
        Some((kind.name.clone(), values))
    }
}

/// The column beside `owner_id` that says of which kind it is: `owner_type`.
fn kind_column<'t>(table: &'t Table, column: &Column) -> Option<&'t Column> {
    let named = stem(&column.name);
    if named == column.name.to_lowercase().replace('_', "") {
        return None;
    }
    table.columns.iter().find(|other| {
        let mut parts = super::personal_data::words(&other.name);
        let last = parts.pop().unwrap_or_default();
        matches!(last.as_str(), "type" | "kind" | "class")
            && !parts.is_empty()
            && parts.concat() == named
    })
}

fn split_first_word(column: &str, stem: &str) -> Option<(String, String)> {
    let parts = super::personal_data::words(column);
    let mut rest = stem;
    for part in parts {
        match rest.strip_prefix(part.as_str()) {
            Some(after) if !after.is_empty() => {
                rest = after;
                if rest.len() < stem.len() {
                    return Some((part, rest.to_owned()));
                }
            }
            _ => return None,
        }
    }
    None
}

fn is_root(classes: &[SubjectClass], table: &Table) -> bool {
    classes.iter().any(|class| class.root == table.name)
}

fn is_document(column: &Column) -> bool {
    matches!(column.plain_type(), "jsonb" | "json")
}

/// Whether a value that equals a key is hardly one by chance.
fn is_telling(key: &Column) -> bool {
    let base = base_type(key.plain_type());
    base == "uuid" || is_text_or_character(&base)
}

fn camel(table: &str) -> String {
    let mut name = flat_singular(table);
    if let Some(first) = name.get(..1).map(str::to_uppercase) {
        name.replace_range(..1, &first);
    }
    name
}
