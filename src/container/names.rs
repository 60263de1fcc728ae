//! The names of a vault's objects in a store.
//!
//! ```text
//! strongroom-vault.json              whose store this is
//! packs/<2 digits>/<pack id>.pack    sealed segments
//! backups/<backup id>/schema.age     pg_dump's archive of the schema, an age file
//! backups/<backup id>/index          which segments belong to the backup
//! backups/<backup id>/manifest.age   what the backup is, an age file
//! catalog/data/<sequence>-<8 digits>  rows of the catalog, sealed
//! catalog/head/<sequence>            which of those rows are the present catalog's
//! ```

use crate::base::ids::{BackupId, PackId};

/// The object that says whose store this is.
pub const VAULT_MARKER: &str = "strongroom-vault.json";
/// Before every pack.
pub const PACKS: &str = "packs/";
/// Before every backup's own objects.
pub const BACKUPS: &str = "backups/";

/// A pack's name.
#[must_use]
pub fn pack(id: PackId) -> String {
    let id = id.to_string();
    format!("{PACKS}{}/{id}.pack", &id[..2])
}

/// The name of a backup's manifest.
#[must_use]
pub fn manifest(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/manifest.age")
}

/// The name of a backup's index.
#[must_use]
pub fn index(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/index")
}

/// The name of a backup's schema archive.
#[must_use]
pub fn schema(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/schema.age")
}

/// Before every object of the catalog's replica.
pub const CATALOG: &str = "catalog/";
/// Before every head of the catalog's replica.
pub const REPLICA_HEADS: &str = "catalog/head/";
/// Before every data object of the catalog's replica.
pub const REPLICA_DATA: &str = "catalog/data/";

/// The name of the head of the catalog's replica of that number.
#[must_use]
pub fn replica_head(sequence: u64) -> String {
    format!("{REPLICA_HEADS}{sequence:010}")
}

/// The name of a data object of that number. The random part keeps apart what two attempts (or two
/// machines) write under one number; only a head says which of them counts.
#[must_use]
pub fn replica_data(sequence: u64, random: [u8; 4]) -> String {
    format!("{REPLICA_DATA}{sequence:010}-{}", hex::encode(random))
}

/// The number in the name of a head; `None` for any other name.
#[must_use]
pub fn replica_head_number(name: &str) -> Option<u64> {
    let sequence = name.strip_prefix(REPLICA_HEADS)?.parse().ok()?;
    (replica_head(sequence) == name).then_some(sequence)
}

/// The number in the name of a data object; `None` for any other name.
#[must_use]
pub fn replica_data_number(name: &str) -> Option<u64> {
    let (sequence, random) = name.strip_prefix(REPLICA_DATA)?.split_once('-')?;
    let sequence = sequence.parse().ok()?;
    let mut bytes = [0; 4];
    hex::decode_to_slice(random, &mut bytes).ok()?;
    (replica_data(sequence, bytes) == name).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_names_of_a_replica_have_numbers() {
        assert_eq!(replica_head_number(&replica_head(7)), Some(7));
        assert_eq!(
            replica_data_number(&replica_data(12_345_678_901, [1; 4])),
            Some(12_345_678_901)
        );
        for wrong in ["catalog/head/7", "catalog/head/+000000007", "catalog/head/0000000007x", "x"]
        {
            assert_eq!(replica_head_number(wrong), None, "{wrong}");
        }
        for wrong in ["catalog/data/0000000007", "catalog/data/0000000007-0000000G", "x"] {
            assert_eq!(replica_data_number(wrong), None, "{wrong}");
        }
    }
}
