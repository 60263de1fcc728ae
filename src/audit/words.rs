//! The log's fixed words: actions and outcomes.

crate::words!(
    /// What was done or attempted. `docs/audit.md` says what each means.
    Action, "action of the audit log",
    /// The vault was made.
    Init = "init",
    /// A source was added.
    SourceAdd = "source-add",
    /// A source got another URL or name, or was removed.
    SourceChange = "source-change",
    /// It was tried whether a source can be reached.
    SourceTest = "source-test",
    /// A subject map was put in force.
    MapWrite = "map-write",
    /// A backup was made.
    Backup = "backup",
    /// A backup's manifest was opened and shown.
    Show = "show",
    /// A backup was read and authenticated.
    Verify = "verify",
    /// A backup was restored to a database.
    Restore = "restore",
    /// One person's rows were handed out.
    Export = "export",
    /// A data subject was erased.
    Erase = "erase",
    /// A backup was expired.
    Expire = "expire",
    /// Objects that no backup needs were removed from the store.
    Prune = "prune",
    /// Stores were looked at, or backups copied from one to another.
    Store = "store",
    /// The master secret was opened.
    Unlock = "unlock",
    /// The epoch was renewed, with no key forgotten.
    Rotate = "rotate",
    /// A forgetting that a crash interrupted was finished or undone.
    Recover = "recover",
    /// The recovery kit was written.
    Kit = "kit",
    /// The set of custodians was changed, or what they hold was brought up to date.
    Custody = "custody",
    /// A person who was erased was let in again, with a new key.
    Readmit = "readmit",
    /// The vault's parts were examined.
    Doctor = "doctor",
    /// The record of erasures was read.
    ErasureList = "erasure-list",
    /// Tombstones whose time is over were taken away.
    Tombstones = "tombstones",
    /// The audit log was read.
    AuditList = "audit-list",
    /// The audit log was checked.
    AuditVerify = "audit-verify",
);

crate::words!(
    /// How an access went.
    Outcome, "outcome of the audit log",
    /// It begins now: written before any key is released.
    Begun = "begun",
    /// It was completed.
    Done = "done",
    /// It broke off.
    Failed = "failed",
    /// It was not allowed.
    Refused = "refused",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_is_explained_in_the_document() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
            assert!(document.contains(&format!("\n| `{action}` |")), "{action}");
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
            assert!(document.contains(&format!("\n| `{outcome}` |")), "{outcome}");
        }
        assert!("Init".parse::<Action>().is_err());
    }
}
