//! What a backup is going to read: every relation, how its rows are read, and in which parts.

use std::sync::Arc;

use super::read::forms::{self, OwnerField, RowForm};
use super::read::unknown::Counted;
use super::seal::sealed::Sealed;
use crate::base::schema::{Column, DatabaseSchema, OwnerWays, Table, TableKind};
use crate::container::columns::Layout;
use crate::container::manifest::{RelationSummary, RowFormat};
use crate::container::segment::Relation;
use crate::policy::subject_map::{self, LargeObjectRule, SubjectMap};
use crate::postgres::{Lockable, Part, Session};
use crate::vault::OpsError;

/// A table from this size on is read through several connections.
const SPLIT_FROM_BYTES: u64 = 32 << 20;
/// In more parts than there are connections, so that all of them end at about the same time.
const PARTS_A_JOB: u32 = 2;
/// Servers from this version on find the rows of a range of pages without reading the others.
const RANGES_SINCE_MAJOR: u32 = 14;

/// One relation to be read.
pub struct RelationPlan {
    /// Its place in the manifest's list.
    pub number: u32,
    /// The relation.
    pub relation: Relation,
    /// How its rows are read and sealed.
    pub form: RowForm,
    pub owners: Owners,
    /// Rows of it whose owner is in doubt; none of a table that is nobody's.
    pub counted: Option<Counted>,
    /// Whether its rows are the subjects themselves.
    pub is_root: bool,
    pub bytes_estimated: u64,
    pub how: How,
    /// What is read by itself, in the table's order.
    pub parts: Vec<Part>,
}

/// How a relation is read.
pub enum How {
    Table { table: Box<Table>, owner: Option<OwnerWays> },
    LargeObjects(Vec<OwnerColumn>, bool),
}

/// Whose the rows of a relation are.
#[derive(Clone)]
pub enum Owners {
    /// Everybody's: no owner stands before the rows.
    Commons,
    /// Each row names its subject's key, of this class, or nobody's.
    Class(String, OwnerField),
    /// Each row names a key and the server's verdict, which says of which of these classes it is.
    Judged(Vec<String>),
    /// Each row has its subject's reference before it (or `\N`), in hexadecimal.
    Reference,
}

/// A column whose values name large objects, and the way to the owner of its rows.
pub struct OwnerColumn {
    /// The table.
    pub table: Table,
    /// The column.
    pub column: Column,
    /// The way; `None` where the table is everybody's.
    pub owner: Option<OwnerWays>,
}

impl RelationPlan {
    /// Everything that a database holds; large tables in `jobs` parts.
    pub async fn all(
        session: &Session,
        schema: &DatabaseSchema,
        map: &SubjectMap,
        jobs: usize,
    ) -> Result<Vec<Self>, OpsError> {
        let mut owners = subject_map::owner_paths(map, schema)?;
        let mut plans = Vec::new();
        for (number, table) in (0..).zip(&schema.tables) {
            let owner = owners.remove(&table.name).flatten();
            let mut plan = Self::of_table(session, (number, schema, table), owner, jobs).await?;
            plan.counted = (!matches!(plan.owners, Owners::Commons)).then(|| Counted {
                table: table.name.clone(),
                unknown: map.unknown_in(&table.name),
                counts: Arc::default(),
            });
            plan.is_root = map.classes.iter().any(|class| class.root == table.name);
            plans.push(plan);
        }
        if schema.large_objects > 0 {
            let (columns, shared) = owner_columns(schema, map)?;
            plans.push(Self {
                number: u32::try_from(plans.len()).unwrap_or(u32::MAX),
                relation: Relation::LargeObjects,
                form: RowForm::Lines,
                owners: Owners::Reference,
                counted: None,
                is_root: false,
                bytes_estimated: 0,
                how: How::LargeObjects(columns, shared),
                parts: vec![Part::All],
            });
        }
        Ok(plans)
    }

    async fn of_table(
        session: &Session,
        (number, schema, table): (u32, &DatabaseSchema, &Table),
        owner: Option<OwnerWays>,
        jobs: usize,
    ) -> Result<Self, OpsError> {
        let form = match forms::kinds(table) {
            Some(kinds) => RowForm::Tuples(Arc::new(forms::without_patterns(&kinds))),
            None => RowForm::Lines,
        };
        let owners = match (&owner, &form) {
            (None, _) => Owners::Commons,
            (Some(owner), form) => match (owner.proven(), form) {
                (None, _) => {
                    Owners::Judged(owner.classes().into_iter().map(str::to_owned).collect())
                }
                (Some(way), RowForm::Lines) => Owners::Class(way.class.clone(), OwnerField::Before),
                (Some(way), RowForm::Tuples(_)) => {
                    Owners::Class(way.class.clone(), forms::owner_field(schema, table, owner))
                }
            },
        };
        // Rows of nobody are sealed in the table's order, so they are not read in parts.
        let parts = match &owners {
            Owners::Class(..) | Owners::Judged(_) => parts(session, table, jobs).await?,
            _ => vec![Part::All],
        };
        Ok(Self {
            number,
            relation: Relation::Table(table.name.clone()),
            form,
            owners,
            counted: None,
            is_root: false,
            bytes_estimated: table.bytes_estimated,
            how: How::Table { table: Box::new(table.clone()), owner },
            parts,
        })
    }

    /// The tables that reading it needs.
    pub fn needs_locked(&self) -> Vec<Lockable> {
        match &self.how {
            How::Table { table, owner } => Lockable::all_of(table, owner.as_ref()),
            How::LargeObjects(columns, _) => columns
                .iter()
                .flat_map(|column| Lockable::all_of(&column.table, column.owner.as_ref()))
                .collect(),
        }
    }

    /// How its rows are written.
    pub fn format(&self) -> RowFormat {
        match (&self.how, &self.form) {
            (How::LargeObjects(..), _) => RowFormat::LargeObjectPieces,
            (_, RowForm::Lines) => RowFormat::CopyText,
            (_, RowForm::Tuples(_)) => RowFormat::CopyBinary,
        }
    }

    /// Lays the columns out: as `before` does if they are of the same kinds and it has patterns, else with
    /// the patterns that are found now.
    pub async fn lay_out(
        &mut self,
        session: &Session,
        before: Option<&Layout>,
    ) -> Result<(), OpsError> {
        let How::Table { table, owner: Some(owner) } = &self.how else { return Ok(()) };
        let RowForm::Tuples(layout) = &mut self.form else { return Ok(()) };
        // A table that had too few people for patterns may have more by now.
        let is_like = |before: &&Layout| before.kinds().eq(layout.kinds()) && before.has_patterns();
        *layout = match before.filter(is_like) {
            Some(before) => Arc::new(before.clone()),
            None => Arc::new(forms::with_patterns(session, table, owner, layout).await?),
        };
        Ok(())
    }

    pub fn summary(&self, sealed: Sealed) -> RelationSummary {
        let layout = match &self.form {
            RowForm::Lines => None,
            RowForm::Tuples(layout) => Some((**layout).clone()),
        };
        RelationSummary {
            relation: self.relation.clone(),
            format: self.format(),
            layout,
            rows: sealed.rows,
            segments: sealed.segments,
            subjects: sealed.subjects,
            raw_bytes: sealed.raw_bytes,
            sealed_bytes: sealed.stored_bytes,
            rows_of_erased: sealed.rows_of_erased,
        }
    }
}

/// The parts in which a table is read: ranges of pages of about the same size.
async fn parts(session: &Session, table: &Table, jobs: usize) -> Result<Vec<Part>, OpsError> {
    let is_split = jobs > 1
        && table.kind == TableKind::Ordinary
        && table.bytes_estimated >= SPLIT_FROM_BYTES
        && session.server_major() >= RANGES_SINCE_MAJOR;
    if !is_split {
        return Ok(vec![Part::All]);
    }
    let parts = u32::try_from(jobs).unwrap_or(u32::MAX).saturating_mul(PARTS_A_JOB);
    let share = session.pages(table).await?.div_ceil(parts).max(1);
    // The table may have grown since: the last part has no end.
    let part = |number: u32| {
        let to = (number + 1 < parts).then(|| share.saturating_mul(number + 1));
        Part::Pages { from: share.saturating_mul(number), to }
    };
    Ok((0..parts).map(part).collect())
}

/// The columns that name large objects, and whether those that none names are everybody's.
fn owner_columns(
    schema: &DatabaseSchema,
    map: &SubjectMap,
) -> Result<(Vec<OwnerColumn>, bool), OpsError> {
    let mut columns = Vec::new();
    let mut shared = false;
    for rule in &map.large_objects {
        match rule {
            LargeObjectRule::Shared => shared = true,
            LargeObjectRule::Column { table, column } => {
                let owner = subject_map::owner_path(map, schema, table)?;
                let table = schema.table(table).cloned();
                let column: Option<Column> =
                    table.as_ref().and_then(|table| table.column(column)).cloned();
                if let (Some(table), Some(column)) = (table, column) {
                    columns.push(OwnerColumn { table, column, owner });
                }
            }
        }
    }
    Ok((columns, shared))
}
