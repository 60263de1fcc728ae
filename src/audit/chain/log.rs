//! Writing and reading the log.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::audit::AuditError;
use crate::audit::entry::{Entry, GENESIS, NewEntry, head_message, seq_column};
use crate::audit::error::Doing;
use crate::audit::words::{Action, Outcome};
use crate::base::clock::timestamp;
use crate::base::durable;
use crate::base::ids::Digest;

/// Proof that an entry is durable. Code that releases keys demands one, by reference or by value;
/// it can neither be made elsewhere nor copied.
#[derive(Debug)]
#[must_use = "an access is recorded so that it may happen"]
pub struct Recorded {
    seq: u64,
    hash: Digest,
}

impl Recorded {
    /// The entry's number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The entry's hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }
}

/// The authenticated head: how far the log went when someone with the vault's key sealed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last entry that it covers.
    pub seq: u64,
    /// That entry's hash.
    pub hash: Digest,
    /// The MAC of [`head_message`]`(seq, hash)` under a key of the vault.
    pub mac: [u8; 32],
}

/// Which entries to list; the default is all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those of this moment and later.
    pub since: Option<DateTime<Utc>>,
    /// Only those before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Only those of this action.
    pub action: Option<Action>,
    /// Only those of this outcome.
    pub outcome: Option<Outcome>,
    /// At most this many: the newest of those that fit.
    pub limit: Option<u32>,
}

/// Writes an entry, durably, in a transaction of its own that takes SQLite's write lock first: so
/// processes that record at once wait for one another and the chain has no fork.
///
/// # Errors
/// [`AuditError::Refused`] for a field with free text; [`AuditError::InTransaction`];
/// [`AuditError::Database`]. The access must then not happen.
pub fn record(connection: &Connection, entry: &NewEntry<'_>) -> Result<Recorded, AuditError> {
    in_own_transaction(connection, |transaction| append(transaction, entry))
}

/// Like [`record`], and moves the head to the new entry in the same transaction. `mac` computes the
/// MAC of the message that it is given.
///
/// # Errors
/// As [`record`].
pub fn record_with_head(
    connection: &Connection,
    entry: &NewEntry<'_>,
    mac: impl FnOnce(&[u8]) -> [u8; 32],
) -> Result<Recorded, AuditError> {
    in_own_transaction(connection, |transaction| {
        let recorded = append(transaction, entry)?;
        write_head(transaction, recorded.seq, recorded.hash, mac)?;
        Ok(recorded)
    })
}

/// Writes an entry as a part of `transaction`, for a result that must stand or fall with what it
/// reports. It proves nothing, for the transaction may yet be undone: no [`Recorded`].
///
/// # Errors
/// As [`record`].
pub fn record_in(transaction: &Transaction<'_>, entry: &NewEntry<'_>) -> Result<(), AuditError> {
    append(transaction, entry).map(|_| ())
}

/// Moves the head to the last entry: for whoever has the vault's key, at the end of a command.
///
/// # Errors
/// [`AuditError::Empty`] when there is no entry; as [`record`] otherwise.
pub fn seal_head(
    connection: &Connection,
    mac: impl FnOnce(&[u8]) -> [u8; 32],
) -> Result<(), AuditError> {
    in_own_transaction(connection, |transaction| {
        let (seq, hash) = last(transaction)?.ok_or(AuditError::Empty)?;
        write_head(transaction, seq, hash, mac)
    })
}

/// Like [`seal_head`], as a part of `transaction`: for a change of the key that signs.
///
/// # Errors
/// As [`seal_head`].
pub fn seal_head_in(
    transaction: &Transaction<'_>,
    mac: impl FnOnce(&[u8]) -> [u8; 32],
) -> Result<(), AuditError> {
    let (seq, hash) = last(transaction)?.ok_or(AuditError::Empty)?;
    write_head(transaction, seq, hash, mac)
}

/// The moment of the newest entry, if there is one that can be read.
///
/// # Errors
/// [`AuditError::Database`].
pub fn newest_at(connection: &Connection) -> Result<Option<DateTime<Utc>>, AuditError> {
    let at: Option<String> = connection
        .query_row("SELECT at FROM audit_entry ORDER BY seq DESC LIMIT 1", [], |row| row.get(0))
        .optional()
        .doing("read its last entry")?;
    Ok(at.and_then(|at| DateTime::parse_from_rfc3339(&at).ok()).map(|at| at.with_timezone(&Utc)))
}

/// The authenticated head, if there is one yet. Whoever has the vault's key compares its MAC before
/// relying on it.
///
/// # Errors
/// [`AuditError::Database`].
pub fn read_head(connection: &Connection) -> Result<Option<Head>, AuditError> {
    connection
        .query_row("SELECT seq, hash, mac FROM audit_head", [], |row| {
            Ok(Head { seq: seq_column(row, 0)?, hash: Digest(row.get(1)?), mac: row.get(2)? })
        })
        .optional()
        .doing("read its head")
}

/// Whether the head may be moved on: nothing was written yet, or the head is there, `is_genuine` says
/// so of its message and MAC, and the entry that it covers is the same. Whoever moved a head that
/// does not hold would sign what someone cut off or wrote anew.
///
/// # Errors
/// [`AuditError::Database`].
pub fn head_holds(
    connection: &Connection,
    is_genuine: impl FnOnce(&[u8], &[u8; 32]) -> bool,
) -> Result<bool, AuditError> {
    let Some(head) = read_head(connection)? else {
        return Ok(last(connection)?.is_none());
    };
    let seq = i64::try_from(head.seq).map_err(|_| AuditError::Full)?;
    let covered: Option<Vec<u8>> = connection
        .query_row("SELECT hash FROM audit_entry WHERE seq = ?1", [seq], |row| row.get(0))
        .optional()
        .doing("read the entry at its head")?;
    Ok(covered.as_deref() == Some(&head.hash.0[..])
        && is_genuine(&head_message(head.seq, &head.hash), &head.mac))
}

/// The entries that fit, oldest first.
///
/// # Errors
/// [`AuditError::Unreadable`] when a column holds what is never written there;
/// [`AuditError::Database`].
pub fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Entry>, AuditError> {
    let mut statement = connection
        .prepare(&format!(
            "SELECT {} FROM audit_entry
             WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2)
               AND (?3 IS NULL OR action = ?3) AND (?4 IS NULL OR outcome = ?4)
             ORDER BY seq DESC LIMIT ?5",
            Entry::COLUMNS
        ))
        .doing("list its entries")?;
    let mut rows = statement
        .query((
            filter.since.map(timestamp),
            filter.until.map(timestamp),
            filter.action.map(Action::as_str),
            filter.outcome.map(Outcome::as_str),
            filter.limit.map_or(-1, i64::from),
        ))
        .doing("list its entries")?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().doing("list its entries")? {
        let entry = Entry::from_row(row)
            .map_err(|_| AuditError::Unreadable { seq: seq_column(row, 0).unwrap_or(0) })?;
        entries.push(entry);
    }
    entries.reverse();
    Ok(entries)
}

fn in_own_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, AuditError>,
) -> Result<T, AuditError> {
    if !connection.is_autocommit() {
        return Err(AuditError::InTransaction);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
        .doing("begin to write")?;
    let outcome = work(&transaction)?;
    durable::step("audit-commit", || transaction.commit().doing("write"))?;
    Ok(outcome)
}

fn append(transaction: &Transaction<'_>, entry: &NewEntry<'_>) -> Result<Recorded, AuditError> {
    let (last_seq, previous_hash) = last(transaction)?.unwrap_or((0, GENESIS));
    let seq = i64::try_from(last_seq)
        .ok()
        .and_then(|number| number.checked_add(1))
        .ok_or(AuditError::Full)?;
    let entry = entry.following(seq.unsigned_abs(), previous_hash)?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO audit_entry ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            Entry::COLUMNS
        ))
        .and_then(|mut statement| {
            statement.execute((
                seq,
                &entry.at,
                &entry.actor,
                &entry.host,
                &entry.action,
                &entry.object,
                &entry.outcome,
                &entry.detail,
                entry.previous_hash.0,
                entry.hash.0,
            ))
        })
        .doing("write an entry")?;
    Ok(Recorded { seq: entry.seq, hash: entry.hash })
}

fn write_head(
    transaction: &Transaction<'_>,
    seq: u64,
    hash: Digest,
    mac: impl FnOnce(&[u8]) -> [u8; 32],
) -> Result<(), AuditError> {
    let stored_seq = i64::try_from(seq).map_err(|_| AuditError::Full)?;
    transaction
        .execute(
            "INSERT INTO audit_head (only, seq, hash, mac) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (only) DO UPDATE SET seq = ?1, hash = ?2, mac = ?3",
            (stored_seq, hash.0, mac(&head_message(seq, &hash))),
        )
        .doing("move its head")?;
    Ok(())
}

fn last(connection: &Connection) -> Result<Option<(u64, Digest)>, AuditError> {
    connection
        .query_row("SELECT seq, hash FROM audit_entry ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((seq_column(row, 0)?, Digest(row.get(1)?)))
        })
        .optional()
        .doing("read its last entry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::verify::{Verdict, verify};
    use crate::audit::fixture::{at, database, entry};

    #[test]
    fn entries_are_chained_and_listed_by_filter() {
        let (_folder, connection) = database();
        for number in 0..6 {
            let mut new = entry(number);
            if number % 2 == 1 {
                (new.action, new.outcome) = (Action::Erase, Outcome::Done);
            }
            assert_eq!(record(&connection, &new).unwrap().seq(), number + 1);
        }
        let numbers = |filter: Filter| -> Vec<u64> {
            list(&connection, &filter).unwrap().into_iter().map(|entry| entry.seq).collect()
        };
        let all = list(&connection, &Filter::default()).unwrap();
        assert_eq!(all[0].previous_hash, GENESIS);
        assert!(all.windows(2).all(|pair| pair[0].hash == pair[1].previous_hash));
        assert_eq!(numbers(Filter { limit: Some(2), ..Filter::default() }), [5, 6]);
        let erase = Filter { action: Some(Action::Erase), ..Filter::default() };
        assert_eq!(numbers(erase), [2, 4, 6]);
        let begun = Filter { outcome: Some(Outcome::Begun), ..Filter::default() };
        assert_eq!(numbers(begun), [1, 3, 5]);
        let part = Filter { since: Some(at(1)), until: Some(at(4)), ..Filter::default() };
        assert_eq!(numbers(part), [2, 3, 4]);
    }

    #[test]
    fn an_entry_within_another_transaction_proves_nothing() {
        let (_folder, mut connection) = database();
        let transaction = connection.transaction().unwrap();
        let refused = record(&transaction, &entry(0)).unwrap_err();
        assert!(matches!(refused, AuditError::InTransaction));
        record_in(&transaction, &entry(0)).unwrap();
        record_in(&transaction, &entry(1)).unwrap();
        transaction.rollback().unwrap();
        assert_eq!(list(&connection, &Filter::default()).unwrap(), []);
        let transaction = connection.transaction().unwrap();
        record_in(&transaction, &entry(0)).unwrap();
        transaction.commit().unwrap();
        assert_eq!(record(&connection, &entry(1)).unwrap().seq(), 2);
    }

    #[test]
    fn entries_cannot_be_changed_by_ordinary_means() {
        let (_folder, connection) = database();
        for number in 0..3 {
            let _ = record(&connection, &entry(number)).unwrap();
        }
        seal_head(&connection, |_| [7; 32]).unwrap();
        for statement in [
            "UPDATE audit_entry SET object = 'other' WHERE seq = 2",
            "DELETE FROM audit_entry WHERE seq = 3",
            "DELETE FROM audit_entry",
            "REPLACE INTO audit_entry SELECT * FROM audit_entry WHERE seq = 2",
            "INSERT INTO audit_entry SELECT 9, at, actor, host, action, object, outcome, detail,
                 previous_hash, hash FROM audit_entry WHERE seq = 3",
            "INSERT INTO audit_entry SELECT 4, at, actor, host, action, object, outcome, detail,
                 previous_hash, hash FROM audit_entry WHERE seq = 3",
            "DELETE FROM audit_head",
            "UPDATE audit_head SET seq = 2",
            "REPLACE INTO audit_head (only, seq, hash, mac) VALUES (1, 1, zeroblob(32), zeroblob(32))",
        ] {
            assert!(connection.execute(statement, []).is_err(), "{statement}");
        }
        assert_eq!(list(&connection, &Filter::default()).unwrap().len(), 3);
    }

    #[test]
    fn processes_that_record_at_once_make_one_chain() {
        let (folder, connection) = database();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let own = Connection::open(folder.path().join("audit.db")).unwrap();
                    own.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
                    own.pragma_update(None, "synchronous", "OFF").unwrap();
                    for number in 0..25 {
                        let _ = record(&own, &entry(number)).unwrap();
                    }
                });
            }
        });
        let verdict = verify(&connection, &[]).unwrap();
        assert!(matches!(verdict, Verdict::Intact { entries: 100, .. }), "{verdict}");
    }

    #[test]
    fn the_head_covers_the_last_entry() {
        let (_folder, connection) = database();
        assert!(matches!(seal_head(&connection, |_| [1; 32]), Err(AuditError::Empty)));
        assert_eq!(read_head(&connection).unwrap(), None);
        let first = record_with_head(&connection, &entry(0), |message| {
            assert!(message.starts_with(b"\0\0\0\x18strongroom audit head v1"));
            [1; 32]
        })
        .unwrap();
        let head = Head { seq: 1, hash: first.hash(), mac: [1; 32] };
        assert_eq!(read_head(&connection).unwrap(), Some(head));
        let second = record(&connection, &entry(1)).unwrap();
        assert_eq!(read_head(&connection).unwrap(), Some(head));
        seal_head(&connection, |_| [2; 32]).unwrap();
        let head = Head { seq: 2, hash: second.hash(), mac: [2; 32] };
        assert_eq!(read_head(&connection).unwrap(), Some(head));
    }
}
