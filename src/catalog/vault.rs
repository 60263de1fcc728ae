//! The one vault that a catalog describes, and its present epoch.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Moment;
use crate::base::ids::{Epoch, VaultId};

/// What `init` decides about a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVault {
    /// The vault's identifier.
    pub vault_id: VaultId,
    /// The version of the sealed format, from 1.
    pub format_version: u32,
    /// When the vault was made.
    pub created_at: DateTime<Utc>,
    /// The epoch that it begins with, [`Epoch::FIRST`] unless it is recovered.
    pub epoch: Epoch,
}

/// The vault as it stands: the same facts, with the present epoch.
pub type Vault = NewVault;

/// The vault.
///
/// # Errors
/// [`CatalogError::Damaged`] when the row is not there.
pub fn read(connection: &Connection) -> Result<Vault, CatalogError> {
    connection
        .query_row("SELECT vault_id, format_version, created_at, epoch FROM vault", [], |row| {
            Ok(Vault {
                vault_id: row.get(0)?,
                format_version: row.get(1)?,
                created_at: row.get::<_, Moment>(2)?.0,
                epoch: row.get(3)?,
            })
        })
        .optional()
        .doing("read the vault's row")?
        .ok_or_else(|| CatalogError::Damaged { finding: "the vault's row is not there".into() })
}

/// Moves the vault from one epoch to the next, together with everything else in `transaction`.
///
/// # Errors
/// [`CatalogError::Missing`] when the vault is not in the epoch `from`.
pub fn advance_epoch(transaction: &Transaction<'_>, from: Epoch) -> Result<Epoch, CatalogError> {
    let next = from.next();
    let changed = transaction
        .execute("UPDATE vault SET epoch = ?2 WHERE epoch = ?1", (from, next))
        .doing("advance the epoch")?;
    if changed == 1 {
        Ok(next)
    } else {
        Err(CatalogError::Missing { object: format!("vault in epoch {from}") })
    }
}

pub(super) fn insert(transaction: &Transaction<'_>, vault: &NewVault) -> Result<(), CatalogError> {
    let NewVault { vault_id, format_version, created_at, epoch } = vault;
    transaction
        .execute(
            "INSERT INTO vault (only, vault_id, format_version, created_at, epoch)
             VALUES (1, ?1, ?2, ?3, ?4)",
            (vault_id, format_version, Moment(*created_at), epoch),
        )
        .doing("record the vault")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::catalog;

    #[test]
    fn the_epoch_moves_one_forward_and_never_back() {
        let (_folder, catalog) = catalog();
        let next = catalog.transaction(|tx| advance_epoch(tx, Epoch(1))).unwrap();
        assert_eq!(next, Epoch(2));
        assert_eq!(read(catalog.connection()).unwrap().epoch, Epoch(2));
        let stale = catalog.transaction(|tx| advance_epoch(tx, Epoch(1))).unwrap_err();
        assert_eq!(stale.to_string(), "the catalog has no vault in epoch 1");
        catalog.connection().execute("UPDATE vault SET epoch = 1", []).unwrap_err();
        catalog.connection().execute("DELETE FROM vault", []).unwrap_err();
    }
}
