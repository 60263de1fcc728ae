//! Which custodian was given which share of which epoch's secret, and what became of it.
//!
//! A share that was `asked` for may be there or not: whoever counts what an attacker could find
//! counts it, and whoever counts what opens the vault does not.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Moment, parsed};
use crate::base::ids::{Epoch, ShareSet};

crate::words!(
    /// How a splitting stands.
    SetState, "state of a splitting",
    /// Given out for an epoch that has not begun.
    Installing = "installing",
    /// Of the present epoch.
    Present = "present",
    /// Its shares must go.
    Leaving = "leaving",
    /// Too few of its shares can be left to make the secret.
    Destroyed = "destroyed",
    /// Its epoch never began under it: for ever, whatever is left of it. Keys of the epoch before may
    /// have been wrapped under it, in a transaction that was never completed.
    Undone = "undone"
);

crate::words!(
    /// How a share stands.
    ShareState, "state of a share",
    /// The custodian was asked to keep it; it may have it.
    Asked = "asked",
    /// The custodian said that it has it.
    Held = "held",
    /// The custodian is known not to have it any more.
    Destroyed = "destroyed",
    /// The custodian was found to have it again after that.
    Returned = "returned"
);

/// One splitting with its shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSetRow {
    /// The epoch whose secret it is.
    pub epoch: Epoch,
    /// The splitting.
    pub set: ShareSet,
    /// How many shares make the secret.
    pub threshold: u8,
    /// How it stands.
    pub state: SetState,
    /// When it came into its state.
    pub changed_at: DateTime<Utc>,
    /// Its shares, by their number.
    pub shares: Vec<ShareRow>,
}

/// One share at one custodian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// The custodian's name in the configuration.
    pub custodian: String,
    /// The share's number, from 1.
    pub index: u8,
    /// How it stands.
    pub state: ShareState,
    /// When it came into its state.
    pub changed_at: DateTime<Utc>,
}

impl ShareSetRow {
    /// How many of its shares may still exist. Two custodians may have the same one: somebody copied
    /// a folder.
    #[must_use]
    pub fn left(&self) -> usize {
        let left = self.shares.iter().filter(|share| share.state != ShareState::Destroyed);
        left.map(|share| share.index).collect::<BTreeSet<_>>().len()
    }

    /// Whether what may be left could still make the secret.
    #[must_use]
    pub fn can_be_combined(&self) -> bool {
        self.left() >= usize::from(self.threshold)
    }
}

/// All splittings, by epoch.
pub fn all(connection: &Connection) -> Result<Vec<ShareSetRow>, CatalogError> {
    select(connection, "")
}

/// The splittings in one state, by epoch.
pub fn in_state(
    connection: &Connection,
    state: SetState,
) -> Result<Vec<ShareSetRow>, CatalogError> {
    all_matching(connection, "WHERE state = ?1", [state.as_str()])
}

/// Splittings of which shares may be left that must go, by epoch.
pub fn with_shares_to_destroy(connection: &Connection) -> Result<Vec<ShareSetRow>, CatalogError> {
    select(
        connection,
        "WHERE state IN ('leaving', 'destroyed', 'undone') AND EXISTS (
             SELECT 1 FROM share AS h WHERE h.epoch = share_set.epoch
             AND h.set_id = share_set.set_id AND h.state <> 'destroyed')",
    )
}

/// The splitting of the present epoch.
///
/// # Errors
/// [`CatalogError::Damaged`] unless there is exactly one.
pub fn present(connection: &Connection) -> Result<ShareSetRow, CatalogError> {
    let mut found = in_state(connection, SetState::Present)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(CatalogError::Damaged {
            finding: "there is not exactly one splitting of the present epoch's secret".into(),
        }),
    }
}

/// Records a splitting with its shares.
pub fn insert(transaction: &Transaction<'_>, set: &ShareSetRow) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO share_set (epoch, set_id, threshold, state, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (set.epoch, set.set, set.threshold, set.state.as_str(), Moment(set.changed_at)),
        )
        .doing("record a splitting")?;
    for share in &set.shares {
        insert_share(transaction, (set.epoch, set.set), share)?;
    }
    Ok(())
}

/// Records one more share of a splitting.
pub fn insert_share(
    transaction: &Transaction<'_>,
    (epoch, set): (Epoch, ShareSet),
    share: &ShareRow,
) -> Result<(), CatalogError> {
    let ShareRow { custodian, index, state, changed_at } = share;
    transaction
        .execute(
            "INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (epoch, set, custodian, index, state.as_str(), Moment(*changed_at)),
        )
        .doing("record a share")?;
    Ok(())
}

/// Records how a splitting stands now.
///
/// # Errors
/// [`CatalogError::Missing`] when it is not there.
pub fn set_state(
    transaction: &Transaction<'_>,
    (epoch, set): (Epoch, ShareSet),
    state: SetState,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    changed_one(
        transaction
            .execute(
                "UPDATE share_set SET state = ?3, changed_at = ?4 WHERE epoch = ?1 AND set_id = ?2",
                (epoch, set, state.as_str(), Moment(now)),
            )
            .doing("record how a splitting stands")?,
        "splitting",
    )
}

/// Records how a share stands now.
///
/// # Errors
/// [`CatalogError::Missing`] when it is not there.
pub fn set_share_state(
    transaction: &Transaction<'_>,
    (epoch, set): (Epoch, ShareSet),
    custodian: &str,
    state: ShareState,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    changed_one(
        transaction
            .execute(
                "UPDATE share SET state = ?4, changed_at = ?5
                 WHERE epoch = ?1 AND set_id = ?2 AND custodian = ?3",
                (epoch, set, custodian, state.as_str(), Moment(now)),
            )
            .doing("record how a share stands")?,
        "share",
    )
}

/// The oldest epoch of which a copy of the catalog could still be opened with shares that must go:
/// erasures that it would undo are provisional. An undone splitting counts as one of the epoch before
/// its own, whose keys may stand wrapped under it in a write-ahead file.
pub fn oldest_leaving(connection: &Connection) -> Result<Option<Epoch>, CatalogError> {
    let leaving = in_state(connection, SetState::Leaving)?.into_iter().map(|set| set.epoch);
    let undone = in_state(connection, SetState::Undone)?
        .into_iter()
        .filter(ShareSetRow::can_be_combined)
        .map(|set| Epoch(set.epoch.0.saturating_sub(1)));
    Ok(leaving.chain(undone).min())
}

fn changed_one(changed: usize, what: &str) -> Result<(), CatalogError> {
    if changed == 1 { Ok(()) } else { Err(CatalogError::Missing { object: what.into() }) }
}

fn select(connection: &Connection, clause: &str) -> Result<Vec<ShareSetRow>, CatalogError> {
    all_matching(connection, clause, [])
}

fn all_matching(
    connection: &Connection,
    clause: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<ShareSetRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<ShareSetRow>> {
        let mut sets: Vec<ShareSetRow> = connection
            .prepare(&format!(
                "SELECT epoch, set_id, threshold, state, changed_at FROM share_set {clause}
                 ORDER BY epoch, set_id"
            ))?
            .query_map(parameters, set_from_row)?
            .collect::<Result<_, _>>()?;
        let mut shares = connection.prepare(
            "SELECT custodian, share_index, state, changed_at FROM share
             WHERE epoch = ?1 AND set_id = ?2 ORDER BY share_index",
        )?;
        for set in &mut sets {
            set.shares = shares
                .query_map((set.epoch, set.set), share_from_row)?
                .collect::<Result<_, _>>()?;
        }
        Ok(sets)
    };
    query().doing("read who holds the epoch secret")
}

fn set_from_row(row: &Row<'_>) -> rusqlite::Result<ShareSetRow> {
    Ok(ShareSetRow {
        epoch: row.get(0)?,
        set: row.get(1)?,
        threshold: row.get(2)?,
        state: parsed(row.get_ref(3)?)?,
        changed_at: row.get::<_, Moment>(4)?.0,
        shares: Vec::new(),
    })
}

fn share_from_row(row: &Row<'_>) -> rusqlite::Result<ShareRow> {
    Ok(ShareRow {
        custodian: row.get(0)?,
        index: row.get(1)?,
        state: parsed(row.get_ref(2)?)?,
        changed_at: row.get::<_, Moment>(3)?.0,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::catalog::migrations;

    const AT: &str = "2026-11-22T02:00:00.000000Z";
    const DESTROYED: SetState = SetState::Destroyed;
    const UNDONE: SetState = SetState::Undone;

    /// A catalog of version 8 in epoch 3 with these splittings, brought up to date: epoch, first byte of
    /// the splitting, threshold, state, and the states of its shares.
    fn migrated(sets: &[(u64, u8, u8, &str, &[&str])]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations::all().to_version(&mut connection, 8).unwrap();
        connection
            .execute(
                "INSERT INTO vault (only, vault_id, format_version, created_at, epoch)
                 VALUES (1, zeroblob(16), 1, ?1, 3)",
                [AT],
            )
            .unwrap();
        for (epoch, byte, threshold, state, shares) in sets {
            let set = ShareSet([*byte; 16]);
            let sql = "INSERT INTO share_set (epoch, set_id, threshold, state, changed_at)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.execute(sql, (Epoch(*epoch), set, threshold, state, AT)).unwrap();
            for (index, state) in (1_u8..).zip(*shares) {
                let sql =
                    "INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let custodian = format!("c-{index}");
                let row = (Epoch(*epoch), set, custodian, index, state, AT);
                connection.execute(sql, row).unwrap();
            }
        }
        migrations::all().to_latest(&mut connection).unwrap();
        connection
    }

    #[test]
    fn splittings_of_before_that_never_began_are_found_by_the_migration() {
        let connection = migrated(&[
            (1, 1, 1, "destroyed", &["destroyed"]),
            (2, 2, 2, "destroyed", &["destroyed", "destroyed", "held"]),
            (3, 3, 1, "present", &["held"]),
            (3, 4, 1, "destroyed", &["destroyed", "asked"]),
            (4, 5, 2, "destroyed", &["destroyed", "asked"]),
        ]);
        let states: Vec<_> = all(&connection).unwrap().iter().map(|set| set.state).collect();
        assert_eq!(states, [DESTROYED, DESTROYED, SetState::Present, UNDONE, UNDONE]);
        // The undone one that can still be put together counts as a secret of the epoch before.
        assert_eq!(oldest_leaving(&connection).unwrap(), Some(Epoch(2)));
        let left = with_shares_to_destroy(&connection).unwrap();
        let left: Vec<_> = left.iter().map(|set| (set.epoch.0, set.set.0[0])).collect();
        assert_eq!(left, [(2, 2), (3, 4), (4, 5)]);
    }

    #[test]
    fn one_share_in_two_places_is_one_share() {
        let connection = migrated(&[(1, 1, 2, "destroyed", &["destroyed", "destroyed"])]);
        let mut set = all(&connection).unwrap().remove(0);
        set.shares[0].state = ShareState::Returned;
        let copy = ShareRow { custodian: "c-9".into(), ..set.shares[0].clone() };
        set.shares.push(copy);
        assert!(!set.can_be_combined());
        set.shares[1].state = ShareState::Asked;
        assert!(set.can_be_combined());
    }
}
