//! The lock that keeps tables as they are while they are read. It is taken before the snapshot, so that no
//! table is emptied or rewritten between the two, and it is never waited for without a bound.

use std::collections::BTreeSet;
use std::time::Duration;

use super::session::{Session, SnapshotId, value};
use crate::base::schema::{OwnerPath, OwnerWays, QualifiedName, Table, TableKind};
use crate::postgres::error::PostgresError;
use crate::postgres::schema::OF_THE_USER;

/// So many tables are locked by one statement.
const TABLES_A_STATEMENT: usize = 200;
/// How often the tables are listed and locked again because some were dropped or rewritten meanwhile.
const LISTINGS_MAX: u32 = 20;
/// Between two of these.
const BETWEEN_LISTINGS: Duration = Duration::from_millis(200);
/// What is locked when readers lock a table: that none is altered or dropped; rows come and go.
const MODE: &str = "IN ACCESS SHARE MODE";
/// What a refused lock goes back to, so that the transaction and its snapshot live on.
const SAVEPOINT: &str = "SAVEPOINT locked";

/// A table as a lock names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockable(String);

impl Lockable {
    /// What reading this table through these ways to its owner needs.
    #[must_use]
    pub fn all_of(table: &Table, owner: Option<&OwnerWays>) -> Vec<Self> {
        let only = |is_only: bool, name: &QualifiedName| {
            Self(format!("{}{}", if is_only { "ONLY " } else { "" }, name.quoted()))
        };
        let ways = owner.iter().flat_map(|owner| &owner.ways);
        let joins = ways.flat_map(OwnerPath::all_joins);
        let own = only(table.kind == TableKind::Ordinary, &table.name);
        std::iter::once(own).chain(joins.map(|join| only(join.only, &join.table))).collect()
    }
}

impl Session {
    /// Lists the tables, begins the read-only transaction of a backup, locks them, and only then takes the
    /// snapshot and exports it: a table that is being emptied or rewritten is waited for, and read as it is
    /// afterwards. A lock is waited for as long as the connection's settings say.
    pub async fn begin_locked(&self) -> Result<SnapshotId, PostgresError> {
        let mut listings = 0;
        loop {
            listings += 1;
            match self.try_begin_locked().await {
                Ok(Some(snapshot)) => return Ok(snapshot),
                // A table of the list was dropped or renamed before it was locked.
                Err(error) if error.sqlstate() == Some("42P01") && listings < LISTINGS_MAX => {}
                Ok(None) if listings < LISTINGS_MAX => {}
                Ok(None) => {
                    return Err(PostgresError::Unexpected {
                        doing: "locking the tables".to_owned(),
                        reason: "tables are dropped or rewritten faster than they can be locked"
                            .to_owned(),
                    });
                }
                Err(error) => return Err(error),
            }
            self.batch("the end of the transaction", "ROLLBACK").await?;
            tokio::time::sleep(BETWEEN_LISTINGS).await;
        }
    }

    /// `None` when a table was made or rewritten between the locks and the snapshot.
    async fn try_begin_locked(&self) -> Result<Option<SnapshotId>, PostgresError> {
        let listed = self.lockable_tables().await?;
        // Nothing before the locks may be a query: the first one takes the snapshot.
        self.begin("").await?;
        self.lock(&listed).await?;
        let row = self.query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await?;
        let snapshot = SnapshotId(value(&row, 0)?);
        let seen = self.lockable_tables().await?;
        let later: Vec<QualifiedName> =
            seen.difference(&listed).map(|(_, name)| name.clone()).collect();
        let later: BTreeSet<_> = later.into_iter().map(|name| (0, name)).collect();
        self.lock(&later).await?;
        Ok((!self.is_rewritten().await?).then_some(snapshot))
    }

    /// The tables that hold rows and are a user's, with their oids.
    async fn lockable_tables(&self) -> Result<BTreeSet<(u32, QualifiedName)>, PostgresError> {
        let statement = format!(
            "SELECT c.oid, n.nspname, c.relname
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {OF_THE_USER}"
        );
        let rows = self.query(&statement, &[]).await?;
        rows.iter()
            .map(|row| {
                let name = QualifiedName::new(value::<String>(row, 1)?, value::<String>(row, 2)?);
                Ok((value(row, 0)?, name))
            })
            .collect()
    }

    async fn lock(&self, tables: &BTreeSet<(u32, QualifiedName)>) -> Result<(), PostgresError> {
        let names: Vec<_> = tables.iter().map(|(_, name)| name.quoted()).collect();
        for names in names.chunks(TABLES_A_STATEMENT) {
            let statement = format!("LOCK TABLE {} {MODE}", names.join(", "));
            self.batch("the shared lock that reading the tables needs", &statement).await?;
        }
        Ok(())
    }

    /// Whether a table has another file now than the snapshot says: it was emptied or rewritten by someone
    /// who was done after the snapshot, whose rows the snapshot would show as if there were none.
    async fn is_rewritten(&self) -> Result<bool, PostgresError> {
        let statement = format!(
            "SELECT EXISTS (
                SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'r' AND {OF_THE_USER}
                    AND c.relfilenode <> pg_catalog.pg_relation_filenode(c.oid))"
        );
        value(&self.query_one(&statement, &[]).await?, 0)
    }

    /// Begins what [`Session::lock_now`] needs, within a transaction.
    pub async fn savepoint(&self) -> Result<(), PostgresError> {
        self.batch("the snapshot", SAVEPOINT).await
    }

    /// Locks tables if that is possible at once; whether it was.
    pub async fn lock_now(&self, tables: &[Lockable]) -> Result<bool, PostgresError> {
        if tables.is_empty() {
            return Ok(true);
        }
        let names: Vec<_> = tables.iter().map(|table| table.0.as_str()).collect();
        let tables = names.join(", ");
        let statement =
            format!("RELEASE SAVEPOINT locked; {SAVEPOINT}; LOCK TABLE {tables} {MODE} NOWAIT");
        match self.batch("the shared lock that reading the tables needs", &statement).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_lock_refused() => {
                self.back_to_savepoint().await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes back to where [`Session::lock_now`] began, after a statement that failed.
    pub async fn back_to_savepoint(&self) -> Result<(), PostgresError> {
        self.batch("going back after a refused lock", "ROLLBACK TO SAVEPOINT locked").await
    }
}

/// The settings' own form of a length of time.
#[must_use]
pub(in crate::postgres) fn milliseconds(wait: Duration) -> String {
    // 0 would mean: without end.
    wait.as_millis().clamp(1, 2_147_483_647).to_string()
}
