//! Materialised views, in an order in which they can be refreshed.

use std::collections::{BTreeMap, BTreeSet};

use super::{OF_THE_USER, name};
use crate::base::schema::QualifiedName;
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// The views that hold rows, each after those that it reads, also through plain views. What a view
/// reads inside a function is not recorded by PostgreSQL, so not known here.
pub(super) async fn in_order_of_refresh(
    session: &Session,
) -> Result<Vec<QualifiedName>, PostgresError> {
    let statement = format!(
        "SELECT c.oid, n.nspname, c.relname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'm' AND c.relispopulated AND {OF_THE_USER} ORDER BY 2, 3"
    );
    let mut views: Vec<(u32, QualifiedName)> = Vec::new();
    for row in session.query(&statement, &[]).await? {
        views.push((value(&row, 0)?, name(&row, 1)?));
    }
    if views.is_empty() {
        return Ok(Vec::new());
    }
    let mut reads: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for row in session.query(READS, &[]).await? {
        reads.entry(value(&row, 0)?).or_default().insert(value(&row, 1)?);
    }
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for (oid, _) in &views {
        visit(*oid, &reads, &mut seen, &mut ordered);
    }
    let mut by_oid: BTreeMap<u32, QualifiedName> = views.into_iter().collect();
    Ok(ordered.into_iter().filter_map(|oid| by_oid.remove(&oid)).collect())
}

/// Which view reads which view.
const READS: &str = "
    SELECT DISTINCT r.ev_class, d.refobjid
    FROM pg_depend d
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class";

/// Depth first, so that what a view reads comes before it.
fn visit(
    view: u32,
    reads: &BTreeMap<u32, BTreeSet<u32>>,
    seen: &mut BTreeSet<u32>,
    ordered: &mut Vec<u32>,
) {
    if !seen.insert(view) {
        return;
    }
    for read in reads.get(&view).into_iter().flatten() {
        visit(*read, reads, seen, ordered);
    }
    ordered.push(view);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_after_what_it_reads_also_through_plain_views() {
        let reads = BTreeMap::from([(1, BTreeSet::from([2])), (2, BTreeSet::from([3]))]);
        let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
        for view in [1, 3] {
            visit(view, &reads, &mut seen, &mut ordered);
        }
        assert_eq!(ordered, [3, 2, 1]);
    }
}
