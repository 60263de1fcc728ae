//! The owner of each row as SQL: which tables are joined, and what says whose a row is.
//!
//! Where foreign keys prove every step ([`OwnerWays::proven`]), one field stands before a row: the owner's
//! key, or NULL for nobody. Else two fields do, the key and a [`Verdict`], because "nobody's" and "leads
//! nowhere" are two things.

use std::fmt::Write as _;

use crate::base::schema::{
    Cast, OwnerPath, OwnerWays, Reading, Table, TableKind, quote_identifier, quote_literal,
};
use crate::postgres::connect::session::Session;
use crate::postgres::error::PostgresError;
use crate::postgres::schema::foreign_keys::{self, BUILT_IN_EQUALITY};

/// What the server says of a row's owner where no foreign key proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key is one that the root of this class has, by its place in [`OwnerWays::classes`].
    Has(usize),
    /// The key is of this class, and its root does not have it.
    Lacks(usize),
    /// No way begins here: NULL.
    Nobody,
    /// A way begins and leads nowhere.
    Nowhere,
}

impl Verdict {
    /// As the server sends it.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            -1 => Some(Self::Nobody),
            -2 => Some(Self::Nowhere),
            _ => {
                let class = usize::try_from(number / 2).ok()?;
                Some(if number % 2 == 0 { Self::Has(class) } else { Self::Lacks(class) })
            }
        }
    }
}

/// Which operator compares the columns of each join, as the foreign keys themselves do.
///
/// An extension's type may have an equality of its own (`citext` ignores case). Under the empty
/// `search_path` a bare `=` would silently be text's, and rows of a person would seem nobody's. So may a
/// collation, and where two columns have different ones the server wants to be told which.
#[derive(Debug, Clone, Default)]
pub struct Equality {
    /// By way, then by join, then by column; what is missing is the built-in operator.
    comparisons: Vec<Vec<Vec<Comparison>>>,
}

/// How the server compares with a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The operator, with its schema.
    pub operator: String,
    /// What follows the right side: the collation, or nothing.
    pub collation: String,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { operator: BUILT_IN_EQUALITY.to_owned(), collation: String::new() }
    }
}

impl Equality {
    fn of(&self, way: usize, join: usize, column: usize) -> Comparison {
        let joins = self.comparisons.get(way);
        let columns = joins.and_then(|joins| joins.get(join));
        columns.and_then(|columns| columns.get(column)).cloned().unwrap_or_default()
    }
}

impl Session {
    /// The operators by which the joins of the ways compare.
    pub async fn equality(&self, owner: Option<&OwnerWays>) -> Result<Equality, PostgresError> {
        let mut comparisons = Vec::new();
        for way in owner.iter().flat_map(|owner| &owner.ways) {
            let mut of_way = Vec::new();
            for join in way.all_joins() {
                let mut of_join = Vec::new();
                for column in &join.referenced_columns {
                    of_join.push(foreign_keys::equality(self, &join.table, column).await?);
                }
                of_way.push(of_join);
            }
            comparisons.push(of_way);
        }
        Ok(Equality { comparisons })
    }
}

/// The fields before a row that say whose it is.
#[must_use]
pub fn owner_fields(owner: &OwnerWays, key_as_value: bool) -> Vec<String> {
    match owner.proven() {
        Some(way) => match way.key_columns.as_slice() {
            [single] if key_as_value => {
                vec![format!("t{}.{}", way.joins.len(), quote_identifier(single))]
            }
            columns => vec![key_text(columns, |column| {
                format!("t{}.{}::text", way.joins.len(), quote_identifier(column))
            })],
        },
        None => judged(owner),
    }
}

/// The table as `t0` and the joins on the ways to its owner. Left joins: a row whose way ends early is not
/// lost. What they lead to is unique, so none is doubled.
#[must_use]
pub fn owner_joins(
    table: &Table,
    sample: &str,
    owner: Option<&OwnerWays>,
    equality: &Equality,
) -> String {
    let mut from = format!("{} t0{sample}", source(table));
    let Some(owner) = owner else { return from };
    let is_proven = owner.proven().is_some();
    for (number, way) in owner.ways.iter().enumerate() {
        for (place, join) in way.all_joins().enumerate() {
            let (here, there) =
                (alias(is_proven, number, place), alias(is_proven, number, place + 1));
            let pairs = join.columns.iter().zip(&join.referenced_columns).enumerate();
            let conditions: Vec<String> = pairs
                .map(|(position, (column, referenced))| {
                    let Comparison { operator, collation } = equality.of(number, place, position);
                    format!(
                        "{} {operator} {there}.{}{collation}",
                        value_of(&here, column, &join.reading),
                        quote_identifier(referenced)
                    )
                })
                .collect();
            let _ = write!(
                from,
                " LEFT JOIN {}{} {there} ON {}",
                if join.only { "ONLY " } else { "" },
                join.table.quoted(),
                conditions.join(" AND ")
            );
        }
    }
    from
}

/// `ONLY` for an ordinary table; a partitioned one has no rows by itself.
pub(in crate::postgres) fn source(table: &Table) -> String {
    match table.kind {
        TableKind::Ordinary => format!("ONLY {}", table.name.quoted()),
        TableKind::Partitioned => table.name.quoted(),
    }
}

fn alias(is_proven: bool, way: usize, place: usize) -> String {
    if is_proven || place == 0 { format!("t{place}") } else { format!("w{way}_{place}") }
}

/// The key of several columns as [`super::lines::composite_key`] writes it.
fn key_text(columns: &[String], text: impl Fn(&String) -> String) -> String {
    match columns {
        [single] => text(single),
        several => several
            .iter()
            .map(|column| format!("replace(replace({}, '\\', '\\\\'), ',', '\\,')", text(column)))
            .collect::<Vec<_>>()
            .join(" || ',' || "),
    }
}

/// What of a column's value is compared, NULL where a text is not of the type that it is cast to.
#[must_use]
pub fn value_of(alias: &str, column: &str, reading: &Reading) -> String {
    let whole = format!("{alias}.{}", quote_identifier(column));
    let value = match &reading.element {
        None => whole,
        Some(path) if path.is_empty() => {
            format!("({whole})[pg_catalog.array_lower({whole}, 1)]")
        }
        Some(path) => {
            let keys: Vec<String> = path.iter().map(|key| quote_literal(key)).collect();
            let at = format!(
                "({whole}::pg_catalog.jsonb OPERATOR(pg_catalog.#>) ARRAY[{}]::pg_catalog.text[])",
                keys.join(", ")
            );
            format!(
                "(CASE pg_catalog.jsonb_typeof({at}) WHEN 'array' THEN {at} OPERATOR(pg_catalog.->>) 0 \
                 ELSE {at} OPERATOR(pg_catalog.#>>) '{{}}' END)"
            )
        }
    };
    let cast = |pattern: &str, type_name: &str| {
        format!(
            "(CASE WHEN ({value})::pg_catalog.text OPERATOR(pg_catalog.~) {} \
             THEN ({value})::pg_catalog.text::pg_catalog.{type_name} END)",
            quote_literal(pattern)
        )
    };
    match reading.cast {
        None => value,
        Some(Cast::Bigint) => cast(r"^\s*[-+]?[0-9]{1,18}\s*$", "int8"),
        Some(Cast::Numeric) => cast(r"^\s*[-+]?[0-9]{1,100}(\.[0-9]{0,100})?\s*$", "numeric"),
        Some(Cast::Uuid) => cast(
            r"^[0-9a-fA-F]{4}(-?[0-9a-fA-F]{4}){7}$|^\{[0-9a-fA-F]{4}(-?[0-9a-fA-F]{4}){7}\}$",
            "uuid",
        ),
        Some(Cast::Text) => format!("({value})::pg_catalog.text"),
    }
}

/// Key and verdict.
fn judged(owner: &OwnerWays) -> Vec<String> {
    let classes = owner.classes();
    let (mut has, mut lacks, mut nowhere, mut taken, mut begun) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, way) in owner.ways.iter().enumerate() {
        let class = classes.iter().position(|class| *class == way.class).unwrap_or_default();
        let at = |place: usize| alias(false, number, place);
        let end = way.joins.len();
        let condition = conditions(way, number);
        let and = |what: String| match &condition {
            Some(condition) => format!("({condition}) AND {what}"),
            None => what,
        };
        let own = |column: &String| match &way.lookup {
            Some(lookup) => format!("{}::text", value_of(&at(end), column, &lookup.reading)),
            None => format!("{}.{}::text", at(end), quote_identifier(column)),
        };
        let own_key = key_text(&way.key_columns, own);
        match &way.lookup {
            None => has.push((and(format!("({own_key}) IS NOT NULL")), own_key, 2 * class)),
            Some(lookup) => {
                let root =
                    |column: &String| format!("{}.{}", at(end + 1), quote_identifier(column));
                let root_key = key_text(&lookup.referenced_columns, |column| {
                    format!("{}::text", root(column))
                });
                has.push((and(format!("({root_key}) IS NOT NULL")), root_key, 2 * class));
                let is_a_key = format!("({own_key}) IS NOT NULL");
                lacks.push((and(is_a_key), own_key, 2 * class + 1));
            }
        }
        for (place, join) in way.all_joins().enumerate() {
            let given = |column: &String| {
                let raw = Reading { cast: None, ..join.reading.clone() };
                format!("{} IS NOT NULL", value_of(&at(place), column, &raw))
            };
            let given: Vec<String> = join.columns.iter().map(given).collect();
            let given = given.join(" AND ");
            if place == 0 {
                begun.push(format!("({given})"));
            }
            if let (false, false, Some(first)) =
                (join.proven, join.optional, join.referenced_columns.first())
            {
                let there = format!("{}.{}", at(place + 1), quote_identifier(first));
                nowhere.push(format!("({})", and(format!("{given} AND {there} IS NULL"))));
            }
        }
        taken.push(condition.map(|condition| format!("({condition})")));
    }
    if let (false, Some(taken)) =
        (owner.otherwise_shared, taken.into_iter().collect::<Option<Vec<_>>>())
        && !begun.is_empty()
    {
        nowhere.push(format!(
            "(({}) IS NOT TRUE AND ({}))",
            taken.join(" OR "),
            begun.join(" OR ")
        ));
    }
    let decided: Vec<_> = has.into_iter().chain(lacks).collect();
    let (mut key, mut verdict) = ("CASE".to_owned(), "(CASE".to_owned());
    for (condition, text, number) in decided {
        let _ = write!(key, " WHEN {condition} THEN {text}");
        let _ = write!(verdict, " WHEN {condition} THEN {number}");
    }
    if !nowhere.is_empty() {
        let _ = write!(verdict, " WHEN {} THEN -2", nowhere.join(" OR "));
    }
    vec![format!("{key} END"), format!("{verdict} ELSE -1 END)::pg_catalog.int2")]
}

fn conditions(way: &OwnerPath, number: usize) -> Option<String> {
    let one = |condition: &crate::base::schema::WayCondition| {
        let values: Vec<String> =
            condition.values.iter().map(|value| quote_literal(value)).collect();
        format!(
            "{}.{}::pg_catalog.text = ANY (ARRAY[{}]::pg_catalog.text[])",
            alias(false, number, condition.place),
            quote_identifier(&condition.column),
            values.join(", ")
        )
    };
    let all: Vec<String> = way.conditions.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_what_its_number_says() {
        assert_eq!(Verdict::from_number(-1), Some(Verdict::Nobody));
        assert_eq!(Verdict::from_number(-2), Some(Verdict::Nowhere));
        assert_eq!(Verdict::from_number(0), Some(Verdict::Has(0)));
        assert_eq!(Verdict::from_number(3), Some(Verdict::Lacks(1)));
        assert_eq!(Verdict::from_number(-3), None);
    }
}
