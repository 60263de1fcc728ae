//! Identifiers as newtypes, so that one kind cannot stand where another belongs.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}")]
pub struct InvalidId {
    /// The kind that was asked for.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The length in bytes.
            pub const BYTES: usize = $length;
        }

        /// Lower-case hexadecimal.
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| InvalidId { kind: $kind, text: text.to_owned() })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_id!(
    /// One vault, from `init` until its end. Random.
    VaultId, 16, "vault id"
);
byte_id!(
    /// One source in one vault. Random, so that a renamed source stays the same.
    SourceId, 16, "source id"
);
byte_id!(
    /// One pack object. Random.
    PackId, 16, "pack id"
);
byte_id!(
    /// The only stored form of a data subject's identity: the first 16 bytes of
    /// HMAC-SHA-256 of source, class and key under the vault's index key (RFC 2104, section 5).
    SubjectReference, 16, "subject reference"
);
byte_id!(
    /// One splitting of one epoch secret among the custodians. Random, and no secret: shares of
    /// different splittings never combine.
    ShareSet, 16, "share set id"
);
byte_id!(
    /// A SHA-256 digest.
    Digest, 32, "SHA-256 digest"
);

impl SubjectReference {
    /// Stands for nobody: rows of the commons. No subject ever has it (a chance of 2^-128).
    pub const COMMONS: Self = Self([0; 16]);

    /// Whether this is the commons' mark.
    #[must_use]
    pub fn is_commons(&self) -> bool {
        *self == Self::COMMONS
    }
}

impl ShareSet {
    /// Stands in for the set of a whole secret that a version before shares wrote.
    pub const BEFORE_SHARES: Self = Self([0; 16]);
}

/// One backup: its moment in UTC and 24 random bits, `20261122T020000Z-3fa9c1`. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BackupId(String);

impl BackupId {
    /// The id of a backup begun at `moment`.
    #[must_use]
    pub fn new(moment: DateTime<Utc>, random: [u8; 3]) -> Self {
        Self(format!("{}-{}", moment.format("%Y%m%dT%H%M%SZ"), hex::encode(random)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Only the exact form is an id: it becomes part of object names.
impl FromStr for BackupId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const FORM: &[u8; 23] = b"dddddddd\0dddddd\0\0xxxxxx";
        const MARKS: &[u8; 23] = b"????????T??????Z-??????";
        let fits = text.len() == FORM.len()
            && text.bytes().zip(FORM).zip(MARKS).all(|((byte, form), mark)| match form {
                b'd' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                _ => byte == *mark,
            });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { kind: "backup id", text: text.to_owned() })
        }
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The number of an epoch: 1 at `init`, one more with every forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The first epoch of a vault.
    pub const FIRST: Self = Self(1);

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// A shard of the key tree: about the square root of all keys hang on each, so that forgetting one
/// re-wraps few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u32);

impl ShardId {
    /// Holds the vault's own keys: commons, index, tombstones, canary.
    pub const VAULT: Self = Self(1);
    /// Holds the backups' identities.
    pub const BACKUPS: Self = Self(2);
    /// The first of the shards that hold subjects' keys.
    pub const FIRST_OF_SUBJECTS: Self = Self(3);
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_id_is_read_in_its_exact_form_only() {
        let id = BackupId::new(DateTime::UNIX_EPOCH, [0, 0xab, 9]);
        assert_eq!(id.as_str(), "19700101T000000Z-00ab09");
        assert_eq!(id.as_str().parse(), Ok(id));
        for wrong in
            ["", "19700101T000000Z-00ab0", "19700101T000000Z-00AB09", "../../../etc/passwd0000"]
        {
            assert!(wrong.parse::<BackupId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_ids_round_trip() {
        let id = PackId([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("zz".parse::<PackId>().is_err());
    }
}
