//! Random schemas and rows, as values that proptest can shrink.

use proptest::prelude::*;

/// A column's type with values for it; `NULL` comes besides.
const TYPES: [(&str, &[&str]); 12] = [
    (
        "text",
        &[
            "'plain'",
            r"E'tab\there\nand line'",
            r"'\N'",
            r"E'back\\slash\\.'",
            "'表 Ünïcödé 🜁'",
            "''",
        ],
    ),
    ("text[]", &["'{}'", r#"'{"a,b",NULL,"","\\N","{}"}'"#, "ARRAY[E'x\\ty']"]),
    ("integer[]", &["'{1,NULL,-3}'", "'[-2:0]={1,2,3}'", "'{{1},{2}}'"]),
    ("jsonb", &[r#"'{"k": [1.10, null, "\u00fc"]}'"#, "'null'", r#"'"\\\\ \n"'"#]),
    ("json", &[r#"'{"k":  1, "k": 2}'"#, "'[]'"]),
    ("bytea", &[r"'\x'", r"'\x00ff5c0a09'", r"'\x2e'"]),
    ("numeric", &["'NaN'", "0.000", "1e-30", "-123456789012345678901234567890.5"]),
    ("double precision", &["'NaN'", "'-Infinity'", "5e-324", "0.1", "'-0'"]),
    (
        "timestamptz",
        &["'infinity'", "'2025-03-30 01:59:59.999999+00'", "'0044-03-15 00:00:00+00 BC'"],
    ),
    ("date", &["'-infinity'", "'4713-01-01 BC'", "'2024-02-29'"]),
    ("interval", &["'1 mon -3 days 04:05:06.789'", "'-178000000 years'"]),
    ("boolean", &["true", "false"]),
];

/// A whole database.
#[derive(Debug, Clone)]
pub struct Database {
    /// The tables; the first is a class of people, the second sometimes too.
    pub tables: Vec<TableSpec>,
    /// How many classes there are: 1 or 2.
    pub classes: usize,
    /// A foreign key of an earlier table to a later one: `(from, to)`, in any order.
    pub back: Option<(usize, usize)>,
}

/// One table.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// What its primary key is.
    pub key: Key,
    /// What it refers to, each to a table before it or to itself.
    pub references: Vec<Reference>,
    /// Types of further columns.
    pub columns: Vec<usize>,
    /// How many rows.
    pub rows: usize,
    /// What the values are made of.
    pub seed: u64,
}

/// A primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// None at all.
    None,
    /// `id bigint`.
    Number,
    /// `id text`, with all that is awkward in a text.
    Text,
    /// `(a integer, b text)`.
    Composite,
    /// The columns of the first reference and a number.
    OwnerAndNumber,
}

/// A foreign key.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Which table, counted from the first, modulo how many may be meant.
    pub target: usize,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// Databases of 3 to 8 tables.
pub fn databases() -> impl Strategy<Value = Database> {
    let key = prop_oneof![
        1 => Just(Key::None), 3 => Just(Key::Number), 1 => Just(Key::Text),
        2 => Just(Key::Composite), 2 => Just(Key::OwnerAndNumber)
    ];
    let reference = (any::<usize>(), any::<bool>())
        .prop_map(|(target, nullable)| Reference { target, nullable });
    let table = (
        key,
        prop::collection::vec(reference, 0..4),
        prop::collection::vec(0..TYPES.len(), 0..4),
        0_usize..40,
        any::<u64>(),
    )
        .prop_map(|(key, references, columns, rows, seed)| TableSpec {
            key,
            references,
            columns,
            rows,
            seed,
        });
    let tables = prop::collection::vec(table, 3..9);
    (tables, 1_usize..3, prop::option::of((0_usize..8, 0_usize..8))).prop_map(
        |(mut tables, classes, back)| {
            for root in &mut tables[..classes] {
                if matches!(root.key, Key::None | Key::OwnerAndNumber) {
                    root.key = Key::Number;
                }
                root.rows = root.rows.max(6);
                root.references.truncate(1);
                root.references.iter_mut().for_each(|reference| reference.nullable = true);
            }
            let count = tables.len();
            let back = back.map(|(from, to)| (from % count, to % count));
            Database { tables, classes, back }
        },
    )
}

impl Database {
    /// The key of a row of a table, as literals by column.
    fn key_of(&self, table: usize, row: usize) -> Vec<String> {
        let spec = &self.tables[table];
        match spec.key {
            Key::None => Vec::new(),
            Key::Number => vec![(row as u64 * 7 + 1).to_string()],
            Key::Text => vec![format!(r"E'k,{row}\\,\t''x'")],
            Key::Composite => vec![(row % 3).to_string(), format!(r"'b\,{row}'")],
            Key::OwnerAndNumber => {
                let mut key = self.reference_of(table, 0, row);
                key.push(row.to_string());
                key
            }
        }
    }

    /// The key columns' names and types.
    fn key_columns(&self, table: usize) -> Vec<(String, String)> {
        let column = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
        match self.tables[table].key {
            Key::None => Vec::new(),
            Key::Number => vec![column("id", "bigint")],
            Key::Text => vec![column("id", "text")],
            Key::Composite => vec![column("a", "integer"), column("b", "text")],
            Key::OwnerAndNumber => {
                let mut columns = self.reference_columns(table, 0);
                columns.push(column("n", "bigint"));
                columns
            }
        }
    }

    /// The table that a reference means: one with a key and rows, before this one or itself.
    fn target(&self, table: usize, number: usize) -> Option<usize> {
        let reference = self.tables[table].references.get(number)?;
        let own_key = matches!(self.tables[table].key, Key::Number | Key::Text | Key::Composite);
        let has_key = |other: usize| match self.tables[other].key {
            Key::None => false,
            Key::OwnerAndNumber => self.target(other, 0).is_some(),
            _ => true,
        };
        let fits = |other: &usize| {
            let before = *other < table || own_key;
            before && has_key(*other) && self.tables[*other].rows > 0
        };
        let possible: Vec<usize> = (0..=table).filter(fits).collect();
        (!possible.is_empty()).then(|| possible[reference.target % possible.len()])
    }

    /// The key that a table really has: one by its owner needs an owner.
    fn normal(mut self) -> Self {
        for table in 0..self.tables.len() {
            if self.tables[table].key == Key::OwnerAndNumber {
                let owner = self.target(table, 0).filter(|target| *target != table);
                match (owner, self.tables[table].references.first_mut()) {
                    (Some(_), Some(first)) => first.nullable = false,
                    _ => self.tables[table].key = Key::Number,
                }
            }
        }
        self
    }

    fn reference_columns(&self, table: usize, number: usize) -> Vec<(String, String)> {
        let Some(target) = self.target(table, number) else { return Vec::new() };
        self.key_columns(target)
            .into_iter()
            .map(|(name, kind)| (format!("r{number}_{name}"), kind))
            .collect()
    }

    /// The values of a row's reference.
    fn reference_of(&self, table: usize, number: usize, row: usize) -> Vec<String> {
        let Some(target) = self.target(table, number) else { return Vec::new() };
        let choice = mixed(self.tables[table].seed, (row * 31 + number) as u64);
        // A self-reference means a row that is there already, or itself.
        let among = if target == table { row + 1 } else { self.tables[target].rows };
        let mut key = self.key_of(target, usize::try_from(choice >> 8).unwrap_or(0) % among);
        if self.tables[table].references[number].nullable && choice.is_multiple_of(4) {
            // All of it, or only a part: both refer to nothing.
            let parts = if choice.is_multiple_of(8) { key.len() } else { 1 };
            key.iter_mut().take(parts).for_each(|part| "NULL".clone_into(part));
        }
        key
    }

    /// Statements that make it, in a schema `s` with tables `t0`, `t1` and so on.
    pub fn statements(&self) -> String {
        let database = self.clone().normal();
        let mut text = "CREATE SCHEMA s; SET search_path = s;\n".to_owned();
        for table in 0..database.tables.len() {
            database.table(table, &mut text);
        }
        if let Some((from, to)) = database.back {
            database.back_reference(from, to, &mut text);
        }
        text
    }

    fn table(&self, table: usize, text: &mut String) {
        let spec = &self.tables[table];
        let mut definitions = Vec::new();
        let key = self.key_columns(table);
        if spec.key != Key::OwnerAndNumber {
            definitions.extend(key.iter().map(|(name, kind)| format!("{name} {kind}")));
        } else if let Some((name, kind)) = key.last() {
            definitions.push(format!("{name} {kind}"));
        }
        for number in 0..spec.references.len() {
            let not_null = if spec.references[number].nullable { "" } else { " NOT NULL" };
            let columns = self.reference_columns(table, number);
            definitions
                .extend(columns.iter().map(|(name, kind)| format!("{name} {kind}{not_null}")));
            if let Some(target) = self.target(table, number) {
                let columns: Vec<_> = columns.into_iter().map(|(name, _)| name).collect();
                definitions
                    .push(format!("FOREIGN KEY ({}) REFERENCES t{target}", columns.join(", ")));
            }
        }
        for (number, kind) in spec.columns.iter().enumerate() {
            definitions.push(format!("c{number} {}", TYPES[*kind].0));
        }
        if !key.is_empty() {
            let columns: Vec<_> = key.into_iter().map(|(name, _)| name).collect();
            definitions.push(format!("PRIMARY KEY ({})", columns.join(", ")));
        }
        text.push_str(&format!("CREATE TABLE t{table} ({});\n", definitions.join(", ")));
        for row in 0..spec.rows {
            let values = self.row(table, row);
            if values.is_empty() {
                text.push_str(&format!("INSERT INTO t{table} DEFAULT VALUES;\n"));
            } else {
                text.push_str(&format!("INSERT INTO t{table} VALUES ({});\n", values.join(", ")));
            }
        }
    }

    fn row(&self, table: usize, row: usize) -> Vec<String> {
        let spec = &self.tables[table];
        let mut values = self.key_of(table, row);
        if spec.key == Key::OwnerAndNumber {
            values = vec![row.to_string()];
        }
        for number in 0..spec.references.len() {
            values.extend(self.reference_of(table, number, row));
        }
        for (number, kind) in spec.columns.iter().enumerate() {
            let choices = TYPES[*kind].1;
            let choice = mixed(spec.seed ^ 0xc01, (row * 17 + number) as u64);
            let choice = usize::try_from(choice >> 16).unwrap_or(0) % (choices.len() + 1);
            values.push(choices.get(choice).map_or("NULL".to_owned(), |value| (*value).to_owned()));
        }
        values
    }

    /// A nullable foreign key that may close a circle.
    fn back_reference(&self, from: usize, to: usize, text: &mut String) {
        let key = self.key_columns(to);
        if key.is_empty() || self.tables[to].rows == 0 {
            return;
        }
        let columns: Vec<String> = key.iter().map(|(name, _)| format!("back_{name}")).collect();
        for (column, (_, kind)) in columns.iter().zip(&key) {
            text.push_str(&format!("ALTER TABLE t{from} ADD {column} {kind};\n"));
        }
        let columns = columns.join(", ");
        text.push_str(&format!(
            "ALTER TABLE t{from} ADD FOREIGN KEY ({columns}) REFERENCES t{to} DEFERRABLE;\n"
        ));
        let row = mixed(self.tables[from].seed, 99);
        let row = usize::try_from(row >> 16).unwrap_or(0) % self.tables[to].rows;
        let values = self.key_of(to, row).join(", ");
        text.push_str(&format!("UPDATE t{from} SET ({columns}) = ROW({values});\n"));
    }
}

/// A number that looks random (splitmix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
