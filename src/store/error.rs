//! What can go wrong at a store.

use std::io;

use chrono::{DateTime, Utc};

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object of that name.
    #[error("{location} has no object `{name}`")]
    NotFound {
        /// The store.
        location: String,
        /// The object.
        name: String,
    },
    /// An object of that name is there, and stays as it is.
    #[error("{location} already has an object `{name}`")]
    AlreadyExists {
        /// The store.
        location: String,
        /// The object.
        name: String,
    },
    /// The store may not be written to: permissions, or it is read-only.
    #[error("{location} cannot be written to (object `{name}`): {source}")]
    NotWritable {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// No space is left, or the quota is used up.
    #[error("{location} is full (object `{name}`): {source}")]
    Full {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The object ends before the range that was asked for.
    #[error(
        "object `{name}` in {location} is too short: {length} bytes from {offset} were asked for, \
         {available} are there"
    )]
    ShortRead {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// The first byte asked for.
        offset: u64,
        /// How many bytes were asked for.
        length: u64,
        /// How many there are from `offset` on.
        available: u64,
    },
    /// The object is longer than it can be.
    #[error(
        "object `{name}` in {location} is not what its name says: it has {length} bytes, and such an \
         object has at most {bytes_max}"
    )]
    TooLong {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// Its length.
        length: u64,
        /// The most that it can have.
        bytes_max: u64,
    },
    /// Anything else that the system reported.
    #[error("{location} failed (object `{name}`): {source}")]
    Io {
        /// The store.
        location: String,
        /// The object, or the prefix of a list.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no store at that place.
    #[error("cannot open the store {location}: {source}")]
    Unreachable {
        /// The store.
        location: String,
        /// What the system said.
        source: io::Error,
    },
    /// The place is not named in a way that this version understands.
    #[error("cannot open the store {location}: {reason}")]
    Unsupported {
        /// The store.
        location: String,
        /// Why not, as the rest of a sentence.
        reason: String,
    },
    /// No connection to the service, or none that can be used.
    #[error("cannot reach the store {location}: {problem}")]
    Connection {
        /// The store.
        location: String,
        /// What is wrong with it.
        problem: ConnectionProblem,
    },
    /// The service does not accept who asks, or nothing was found to ask with.
    #[error("{location} is closed to these credentials: {reason}")]
    Credentials {
        /// The store.
        location: String,
        /// What the service, or the search for credentials, said.
        reason: String,
    },
    /// What was asked with was good once, and has run out; no newer is where it came from.
    #[error("the credentials for {location} have expired: {reason}")]
    CredentialsExpired {
        /// The store.
        location: String,
        /// What the service said.
        reason: String,
    },
    /// The object lies in a storage class that cannot be read at once.
    #[error(
        "object `{name}` in {location} was moved to an archive (Glacier) and cannot be read now"
    )]
    Archived {
        /// The store.
        location: String,
        /// The object.
        name: String,
    },
    /// Something on the way, or the service, takes no request of that length.
    #[error(
        "a request of up to {part_mib} MiB is too large for {location} (object `{name}`): {source}"
    )]
    TooLarge {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// How long a request may be, as it is configured.
        part_mib: usize,
        /// What the service, or a proxy, said.
        source: io::Error,
    },
    /// Who asks is known, and may not do this.
    #[error("{location} does not permit {action} (object `{name}`)")]
    Denied {
        /// The store.
        location: String,
        /// The object, or the prefix of a list.
        name: String,
        /// The permission that is missing, `s3:PutObject`.
        action: &'static str,
    },
    /// The service has no such bucket.
    #[error("there is no bucket for the store {location}")]
    NoBucket {
        /// The store.
        location: String,
    },
    /// The bucket is in another region than the requests are signed for.
    #[error("the bucket of {location} is in another region{}", named(region.as_deref()))]
    WrongRegion {
        /// The store.
        location: String,
        /// Its region, where the service tells.
        region: Option<String>,
    },
    /// This machine's clock and the service's are too far apart for a signature.
    #[error("the clock of this machine and that of {location} are too far apart{}", moments(said.as_deref()))]
    ClockSkew {
        /// The store.
        location: String,
        /// What the service's clock shows, where it tells.
        said: Option<String>,
    },
    /// The service does not do what a vault needs.
    #[error("the service of {location} cannot hold a vault: {reason}")]
    Unfit {
        /// The store.
        location: String,
        /// Why not, as the rest of a sentence.
        reason: String,
    },
    /// A lock was asked for and the store cannot keep one.
    #[error("{location} cannot lock objects: {reason}")]
    NoObjectLock {
        /// The store.
        location: String,
        /// Why not, as the rest of a sentence.
        reason: String,
    },
    /// The object is locked: nobody can delete it yet.
    #[error("{location} retains object `{name}` {}", until_when(*until, *legal_hold))]
    Retained {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// The moment from which on it can be deleted, as far as a date holds it.
        until: Option<DateTime<Utc>>,
        /// Whether a legal hold is on it, which ends when somebody takes it off.
        legal_hold: bool,
    },
}

/// What is wrong with a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionProblem {
    /// Nobody knows the host's name.
    #[error("the host {host} is unknown")]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// Nobody listens there, or it hangs up.
    #[error("{host} does not take the connection ({reason})")]
    Refused {
        /// The host and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// It takes too long.
    #[error("{host} does not answer in time")]
    Silent {
        /// The host and port.
        host: String,
    },
    /// The environment names a proxy, and that does not lead there.
    #[error("the proxy {proxy} does not lead to {host} ({reason})")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// The host and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Its certificate is not of an authority that this machine trusts, or not its own.
    #[error("the certificate of {host} is not trusted ({reason})")]
    Certificate {
        /// The host and port.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS was begun, and something else came back.
    #[error("{host} does not speak TLS")]
    NoTls {
        /// The host and port.
        host: String,
    },
    /// Plain HTTP was spoken to what wants TLS.
    #[error("{host} wants TLS, and the endpoint says http://")]
    TlsWanted {
        /// The host and port.
        host: String,
    },
}

fn named(region: Option<&str>) -> String {
    region.map_or_else(String::new, |region| format!(", {region}"))
}

fn moments(said: Option<&str>) -> String {
    said.map_or_else(String::new, |moment| format!(" (it says {moment})"))
}

fn until_when(until: Option<DateTime<Utc>>, legal_hold: bool) -> String {
    match (until, legal_hold) {
        (Some(until), false) => format!("until {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
        (Some(until), true) => {
            format!("until {} and under a legal hold", until.format("%Y-%m-%d %H:%M:%S UTC"))
        }
        (None, _) => "under a legal hold".to_owned(),
    }
}

impl StoreError {
    /// What an operating system's error means for an object that is being written or deleted.
    pub(super) fn writing(location: &str, name: &str, source: io::Error) -> Self {
        let (location, name) = (location.to_owned(), name.to_owned());
        match source.kind() {
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { location, name },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { location, name, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { location, name, source }
            }
            _ => Self::Io { location, name, source },
        }
    }

    /// What an operating system's error means for an object that is being read.
    pub(super) fn reading(location: &str, name: &str, source: io::Error) -> Self {
        let (location, name) = (location.to_owned(), name.to_owned());
        match source.kind() {
            // A name below a file, or the name of a folder: no object either way.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Self::NotFound { location, name },
            _ => Self::Io { location, name, source },
        }
    }
}

#[cfg(debug_assertions)]
impl crate::base::durable::Injected for StoreError {
    fn injected(step: &str) -> Self {
        let source = io::Error::injected(step);
        Self::Io { location: "the store".to_owned(), name: step.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_from_other_failures() {
        for (errno, full) in [(Errno::NOSPC, true), (Errno::DQUOT, true), (Errno::IO, false)] {
            let error = StoreError::writing("/store", "a", errno.into());
            assert_eq!(matches!(error, StoreError::Full { .. }), full, "{error}");
        }
    }

    #[test]
    fn missing_rights_and_a_read_only_file_system_are_not_writable() {
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            let error = StoreError::writing("/store", "a", errno.into());
            assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        }
    }
}
