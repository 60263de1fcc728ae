//! The one table of exit codes. `docs/exit-codes.md` holds the same table; a test compares them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// A defect of strongroom.
    Internal = 1,
    /// Wrong arguments or configuration.
    Usage = 2,
    /// Something stored is not what was written.
    Integrity = 3,
    /// Not allowed, or not confirmed.
    Refused = 4,
    /// What was named does not exist.
    NotFound = 5,
    /// The database.
    Source = 6,
    /// The object store.
    Store = 7,
    /// The catalog, a custodian or the local disk.
    Vault = 8,
    /// No key to the vault.
    Identity = 9,
    /// Another command has the vault.
    Busy = 10,
    /// An erased person is still in the source.
    ErasedPersonMet = 11,
    /// Done, but a custodian or the store must still be reached.
    Provisional = 12,
    /// What was to be found out could not be.
    Inconclusive = 13,
    /// A part of it was done.
    Incomplete = 14,
    /// Done, and somebody must look at something.
    Attention = 15,
}

impl Exit {
    /// Every way to end, by number.
    pub const ALL: [Self; 16] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::Integrity,
        Self::Refused,
        Self::NotFound,
        Self::Source,
        Self::Store,
        Self::Vault,
        Self::Identity,
        Self::Busy,
        Self::ErasedPersonMet,
        Self::Provisional,
        Self::Inconclusive,
        Self::Incomplete,
        Self::Attention,
    ];

    /// The process's exit code.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The stable name that `--json` gives as `error.code`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Integrity => "integrity",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Source => "source",
            Self::Store => "store",
            Self::Vault => "vault",
            Self::Identity => "identity",
            Self::Busy => "busy",
            Self::ErasedPersonMet => "erased-person-met",
            Self::Provisional => "provisional",
            Self::Inconclusive => "inconclusive",
            Self::Incomplete => "incomplete",
            Self::Attention => "attention",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Done => "The command did what was asked.",
            Self::Internal => "strongroom itself has a defect; please report it.",
            Self::Usage => {
                "The command line, the configuration file or the subject map is not right."
            }
            Self::Integrity => {
                "Something stored is damaged, missing or not what was written: a backup, the \
                 catalog or the audit log."
            }
            Self::Refused => {
                "A rule of the vault forbids it, or it was not confirmed; nothing was changed."
            }
            Self::NotFound => "The backup, source or person that was named is not known here.",
            Self::Source => {
                "The database could not be reached or failed, in a backup or in a restore."
            }
            Self::Store => "The store of the backups could not be reached, is full or failed.",
            Self::Vault => {
                "The vault's own files failed: the catalog, a custodian or the local disk."
            }
            Self::Identity => {
                "The passphrase or identity is wrong or missing, so the vault stays closed."
            }
            Self::Busy => "Another command is changing this vault; try again once it has ended.",
            Self::ErasedPersonMet => {
                "The backup was made, but a person erased from the vault is still in the database \
                 (only with `backup --strict`)."
            }
            Self::Provisional => {
                "It was done, but is not confirmed: a custodian or the store could not be reached."
            }
            Self::Inconclusive => "What was to be found out could not be found out.",
            Self::Incomplete => "A part of it was done, and a part could not be.",
            Self::Attention => "It was done, and something needs attention: the warnings say what.",
        }
    }

    /// The table as `docs/exit-codes.md` has it.
    #[must_use]
    pub fn markdown_table() -> String {
        let mut table = String::from("| code | name | meaning |\n|---|---|---|\n");
        for exit in Self::ALL {
            let row = format!("| {} | `{}` | {} |\n", exit.number(), exit.name(), exit.sentence());
            table.push_str(&row);
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_this_one() {
        let document = include_str!("../../docs/exit-codes.md");
        let table = Exit::markdown_table();
        assert!(document.contains(&table), "docs/exit-codes.md must hold this table:\n\n{table}");
    }

    #[test]
    fn numbers_and_names_are_distinct_and_in_order() {
        for (number, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.number()), number);
            let same = Exit::ALL.into_iter().filter(|other| other.name() == exit.name());
            assert_eq!(same.count(), 1, "{}", exit.name());
        }
    }
}
