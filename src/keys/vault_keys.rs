//! The vault's own keys and what each is for.

use chrono::{DateTime, Datelike as _, Utc};

use super::KeyError;
use super::ring::KeyName;
use crate::base::ids::{ShardId, SourceId, SubjectReference, VaultId};
use crate::base::random::CryptoRng;
use crate::crypto::kdf::{self, DerivedKey, MacKey};
use crate::crypto::{Context, aead, labels};
use crate::keys::MasterSecret;

crate::secret_key!(
    /// IK: makes subject references.
    IndexKey
);
crate::secret_key!(
    /// CK: seals rows that are nobody's, and short texts in the catalog.
    CommonsKey
);
crate::secret_key!(
    /// Seals nothing: whether it opens tells whether an epoch works.
    CanaryKey
);
crate::secret_key!(
    /// TK: makes the tombstones of one quarter.
    TombstoneKey
);

/// The names under which the catalog keeps the vault's keys.
pub mod kinds {
    /// The commons key.
    pub const COMMONS: &str = "commons";
    /// The index key.
    pub const INDEX: &str = "index";
    /// A key that seals nothing: whether it opens tells whether an epoch works.
    pub const CANARY: &str = "canary";
    /// Before the quarter's name (`2026Q4`): a tombstone key.
    pub const TOMBSTONE_PREFIX: &str = "tombstone:";
    /// Before a sync's number, 10 digits: the key of a data object of the catalog's replica.
    pub const REPLICA_PREFIX: &str = "replica:";

    /// The newest of the commons keys: `commons`, `commons:2` and so on.
    #[must_use]
    pub fn newest_commons<'a>(kinds: impl Iterator<Item = &'a str>) -> String {
        match kinds.filter_map(generation).max() {
            None | Some(1) => COMMONS.to_owned(),
            Some(number) => format!("{COMMONS}:{number}"),
        }
    }

    /// The commons key that follows on `kind`.
    #[must_use]
    pub fn next_commons(kind: &str) -> String {
        format!("{COMMONS}:{}", generation(kind).unwrap_or(1) + 1)
    }

    fn generation(kind: &str) -> Option<u32> {
        match kind.strip_prefix(COMMONS)? {
            "" => Some(1),
            rest => rest.strip_prefix(':')?.parse().ok(),
        }
    }
}

/// The name of a vault key in the key tree; all hang on [`ShardId::VAULT`].
#[must_use]
pub fn name(kind: &str) -> (KeyName, ShardId) {
    (KeyName::Vault(kind.to_owned()), ShardId::VAULT)
}

/// Makes subject references; prepared once, then cheap for every row.
pub struct ReferenceMaker(MacKey);

impl ReferenceMaker {
    /// Prepares the index key.
    #[must_use]
    pub fn new(key: &IndexKey) -> Self {
        Self(MacKey::new(key.expose()))
    }

    /// The reference of a subject: `HMAC-SHA-256(IK, context(source, class, key))`, first 16 bytes.
    /// `key` is the primary key in PostgreSQL's text form (several columns joined as `docs/format.md` says).
    #[must_use]
    pub fn reference(&self, source: SourceId, class: &str, key: &[u8]) -> SubjectReference {
        let context = Context::new(labels::SUBJECT_REFERENCE)
            .with(&source.0)
            .with(class.as_bytes())
            .with(key);
        let mac = self.0.mac(&context, b"");
        let mut reference = SubjectReference([0; 16]);
        reference.0.copy_from_slice(&mac[..16]);
        reference
    }
}

impl TombstoneKey {
    /// The tombstone of a subject in this key's quarter.
    #[must_use]
    pub fn tombstone(&self, reference: SubjectReference) -> [u8; 32] {
        let context = Context::new(labels::TOMBSTONE).with(&reference.0);
        MacKey::new(self.expose()).mac(&context, b"")
    }
}

impl CommonsKey {
    /// Seals a short text for the catalog. `label` and `id` say which.
    pub fn seal_note(
        &self,
        vault: VaultId,
        label: &str,
        id: &[u8],
        text: &str,
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Vec<u8> {
        let context = Context::new(label).with(&vault.0).with(id);
        aead::wrap(self.note_key().expose(), &context, text.as_bytes(), random)
    }

    /// Opens what [`CommonsKey::seal_note`] sealed.
    pub fn open_note(
        &self,
        vault: VaultId,
        label: &str,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<crate::crypto::SecretText, KeyError> {
        let damaged = || KeyError::Damaged {
            file: "the catalog".to_owned(),
            reason: "a sealed text does not open",
        };
        let context = Context::new(label).with(&vault.0).with(id);
        let text =
            aead::unwrap(self.note_key().expose(), &context, sealed).map_err(|_| damaged())?;
        crate::crypto::SecretText::from_utf8(&text).ok_or_else(damaged)
    }

    fn note_key(&self) -> DerivedKey {
        kdf::derive(b"", self.expose(), labels::NOTE_KEY.as_bytes())
    }
}

/// The key that signs the audit log's head: it hangs on the master secret, not on an epoch, so that
/// a forgetting leaves the log verifiable.
#[must_use]
pub fn audit_head_key(master: &MasterSecret, vault: VaultId) -> MacKey {
    let key = kdf::derive(&vault.0, master.expose(), labels::AUDIT_HEAD.as_bytes());
    MacKey::new(key.expose())
}

/// The quarter of a moment, `2026Q4`.
#[must_use]
pub fn quarter(moment: DateTime<Utc>) -> String {
    format!("{:04}Q{}", moment.year(), moment.month0() / 3 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn references_differ_by_source_class_and_key() {
        let maker = ReferenceMaker::new(&IndexKey::generate(&mut random::system()));
        let (one, other) = (SourceId([1; 16]), SourceId([2; 16]));
        let reference = maker.reference(one, "users", b"42");
        assert_eq!(reference, maker.reference(one, "users", b"42"));
        assert_ne!(reference, maker.reference(other, "users", b"42"));
        assert_ne!(reference, maker.reference(one, "staff", b"42"));
        assert_ne!(reference, maker.reference(one, "users", b"43"));
    }

    #[test]
    fn a_note_opens_in_its_own_place_only() {
        let random = &mut random::system();
        let key = CommonsKey::generate(random);
        let vault = VaultId([1; 16]);
        let sealed = key.seal_note(vault, labels::SOURCE_URL, b"a", "text", random);
        assert_eq!(
            key.open_note(vault, labels::SOURCE_URL, b"a", &sealed).unwrap().expose(),
            "text"
        );
        assert!(key.open_note(vault, labels::SOURCE_URL, b"b", &sealed).is_err());
        assert!(key.open_note(vault, labels::ERASURE_REASON, b"a", &sealed).is_err());
    }
}
