//! Which custodian was given which share of which epoch's secret, and what became of it.
//!
//! A share that was `asked` for may be there or not: whoever counts what an attacker could find
//! counts it, and whoever counts what opens the vault does not.

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
    Destroyed = "destroyed"
);

crate::words!(
    /// How a share stands.
    ShareState, "state of a share",
    /// The custodian was asked to keep it; it may have it.
    Asked = "asked",
    /// The custodian said that it has it.
    Held = "held",
    /// The custodian is known not to have it any more.
    Destroyed = "destroyed"
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
    /// How many of its shares may still exist.
    #[must_use]
    pub fn left(&self) -> usize {
        self.shares.iter().filter(|share| share.state != ShareState::Destroyed).count()
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

/// Splittings of which shares may be left that must go, `leaving` or `destroyed`, by epoch.
pub fn with_shares_to_destroy(connection: &Connection) -> Result<Vec<ShareSetRow>, CatalogError> {
    select(
        connection,
        "WHERE state IN ('leaving', 'destroyed') AND EXISTS (
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
        transaction
            .execute(
                "INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    set.epoch,
                    set.set,
                    &share.custodian,
                    share.index,
                    share.state.as_str(),
                    Moment(share.changed_at),
                ),
            )
            .doing("record a share")?;
    }
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

/// The oldest epoch whose secret could still be made from shares that must go: erasures that it
/// would undo are provisional.
pub fn oldest_leaving(connection: &Connection) -> Result<Option<Epoch>, CatalogError> {
    Ok(in_state(connection, SetState::Leaving)?.first().map(|set| set.epoch))
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
