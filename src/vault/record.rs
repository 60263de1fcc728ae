//! Entries in the audit log.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use super::OpsError;
use super::handle::Vault;
use crate::audit::{self, Action, NewEntry, Outcome, Recorded};
use crate::base::clock::timestamp;
use crate::crypto::kdf::MacKey;

impl Vault {
    /// Writes an audit entry. What it returns is the proof that an access is on record, which every
    /// release of keys asks for.
    pub fn record(
        &self,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<Recorded, OpsError> {
        self.record_signed(None, action, object, outcome, detail)
    }

    /// The same by a command that has the key which signs the log's head.
    pub(crate) fn record_signed(
        &self,
        key: Option<&MacKey>,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<Recorded, OpsError> {
        self.check_clock()?;
        let who = self.who();
        let entry = NewEntry {
            at: self.clock().now(),
            actor: &who.actor,
            host: &who.host,
            action,
            object,
            outcome,
            detail,
        };
        let catalog = self.catalog();
        let connection = catalog.connection();
        if let Some(key) = key
            && audit::head_holds(connection, |message, mac| key.verify_message(message, mac))?
        {
            let mac = |message: &[u8]| key.mac_message(message);
            return Ok(audit::record_with_head(connection, &entry, mac)?);
        }
        // A head that does not hold is left as it is, for `audit verify` to find.
        Ok(audit::record(connection, &entry)?)
    }

    /// Writes an audit entry that closes an access, or notes one that needs no key.
    pub fn note(
        &self,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<(), OpsError> {
        self.record(action, object, outcome, detail).map(|_| ())
    }

    pub(crate) fn note_signed(
        &self,
        key: Option<&MacKey>,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<(), OpsError> {
        self.record_signed(key, action, object, outcome, detail).map(|_| ())
    }

    /// Warns once where the clock stands before the newest entry. Nothing depends on it but what
    /// people read: the order of things is the order of epochs and entries.
    fn check_clock(&self) -> Result<(), OpsError> {
        const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
        if self.clock_was_checked.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let newest = audit::newest_at(self.catalog().connection())?;
        let now = self.clock().now();
        if let Some(newest) = newest.filter(|newest| now + TOLERANCE < *newest) {
            self.warn(&format!(
                "the clock stands at {}, before the newest entry of the audit log ({}); nothing is \
                 lost, but the moments written now will mislead: set the clock",
                timestamp(now),
                timestamp(newest)
            ));
        }
        Ok(())
    }
}
