//! Every label that separates one use of a key from another, in one table.
//!
//! A label is used for one thing only and never changes its meaning: a new meaning is a new label.
//! `docs/format.md` lists the same table.

/// HKDF: epoch secret and master secret to the root key of an epoch.
pub const ROOT: &str = "strongroom root v1";
/// Context of a wrapped shard key.
pub const WRAP_SHARD: &str = "strongroom wrap shard v1";
/// Context of a wrapped subject key.
pub const WRAP_SUBJECT: &str = "strongroom wrap subject v1";
/// Context of a wrapped backup identity.
pub const WRAP_BACKUP: &str = "strongroom wrap backup v1";
/// Context of a wrapped vault key (commons, index, tombstone keys, canary).
pub const WRAP_VAULT_KEY: &str = "strongroom wrap vault key v1";
/// HMAC under the index key: source, class and key to a subject reference.
pub const SUBJECT_REFERENCE: &str = "strongroom subject reference v1";
/// HMAC under a quarter's tombstone key: subject reference to a tombstone.
pub const TOMBSTONE: &str = "strongroom tombstone v1";
/// HKDF: subject key to the key that makes content MACs.
pub const SEGMENT_MAC: &str = "strongroom segment mac v1";
/// HKDF: subject key and content MAC to the key of one segment.
pub const SEGMENT_KEY: &str = "strongroom segment key v1";
/// Context of a segment.
pub const SEGMENT: &str = "strongroom segment v1";
/// HKDF: backup identity to the key of its index.
pub const INDEX_KEY: &str = "strongroom index key v1";
/// Context of one block of an index.
pub const INDEX_BLOCK: &str = "strongroom index block v1";
/// Context of an index's directory.
pub const INDEX_DIRECTORY: &str = "strongroom index directory v1";
/// Context of one block of a layer of an index.
pub const LAYER_BLOCK: &str = "strongroom index block v2";
/// Context of the directory of a layer of an index.
pub const LAYER_DIRECTORY: &str = "strongroom index directory v2";
/// Context of the key of another backup's layer, wrapped for a backup that uses it.
pub const WRAP_INDEX_KEY: &str = "strongroom wrap index key v1";
/// HKDF: commons key to the key of short texts in the catalog.
pub const NOTE_KEY: &str = "strongroom note key v1";
/// Context of a source's URL in the catalog.
pub const SOURCE_URL: &str = "strongroom source url v1";
/// Context of an erasure's reason in the catalog.
pub const ERASURE_REASON: &str = "strongroom erasure reason v1";
/// HKDF: master secret to the key that signs the audit log's head.
pub const AUDIT_HEAD: &str = "strongroom audit head v1";
/// HKDF: root key of an epoch to the key of one head of the catalog's replica.
pub const REPLICA_KEY: &str = "strongroom replica key v1";
/// Context of the head of a catalog's replica.
pub const REPLICA_HEAD: &str = "strongroom replica head v1";
/// Context of one frame of a catalog's replica.
pub const REPLICA_FRAME: &str = "strongroom replica frame v1";
/// Context of spilled rows; the key lives in one process only.
pub const SPILL: &str = "strongroom spill v1";

/// All labels, for the test that keeps them apart and in `docs/format.md`.
pub const ALL: &[&str] = &[
    ROOT,
    WRAP_SHARD,
    WRAP_SUBJECT,
    WRAP_BACKUP,
    WRAP_VAULT_KEY,
    SUBJECT_REFERENCE,
    TOMBSTONE,
    SEGMENT_MAC,
    SEGMENT_KEY,
    SEGMENT,
    INDEX_KEY,
    INDEX_BLOCK,
    INDEX_DIRECTORY,
    LAYER_BLOCK,
    LAYER_DIRECTORY,
    WRAP_INDEX_KEY,
    NOTE_KEY,
    SOURCE_URL,
    ERASURE_REASON,
    AUDIT_HEAD,
    REPLICA_KEY,
    REPLICA_HEAD,
    REPLICA_FRAME,
    SPILL,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn no_label_begins_another() {
        for (index, one) in ALL.iter().enumerate() {
            for (other_index, other) in ALL.iter().enumerate() {
                assert!(index == other_index || !other.starts_with(one), "{one} / {other}");
            }
        }
    }
}
