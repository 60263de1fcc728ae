//! What sort of failure an error is.

/// What sort of failure it is. The command line gives each sort its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A defect of strongroom.
    Internal,
    /// A wrong argument, config or subject map.
    Usage,
    /// Something stored is not what was written.
    Integrity,
    /// A rule forbids it, or it was not confirmed.
    Refused,
    /// What was named does not exist.
    NotFound,
    /// A database failed.
    Source,
    /// The store failed.
    Store,
    /// The vault's own files failed.
    Vault,
    /// The passphrase or identity is wrong or missing.
    Identity,
    /// Another command has the vault.
    Busy,
    /// A backup met people who were erased.
    ErasedPersonMet,
}

impl ErrorKind {
    /// The stable name, as the audit log has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
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
        }
    }
}
