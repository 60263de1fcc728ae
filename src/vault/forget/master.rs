//! The master secret's file while a forgetting replaces it: the new file lies beside the old one
//! until the new epoch has begun, then takes its place. Which of the two is in force follows from
//! the catalog alone, so a crash in between is settled without a key.

use std::path::PathBuf;
use std::{fs, io};

use crate::audit;
use crate::base::digest;
use crate::base::durable;
use crate::base::ids::{Digest, VaultId};
use crate::catalog::Transaction;
use crate::catalog::forgetting;
use crate::crypto::kdf::MacKey;
use crate::keys::MasterSecret;
use crate::keys::vault_keys::audit_head_key;
use crate::vault::handle::Vault;
use crate::vault::{CustodyError, OpsError};

/// A master secret that takes the place of the present one.
pub struct NewMaster {
    /// The secret.
    pub secret: MasterSecret,
    /// Its age file, for the operators' recipients.
    pub sealed: Vec<u8>,
}

impl NewMaster {
    /// The digest of its file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest::sha256(&self.sealed)
    }

    /// Signs the audit log's head again under the key of the new master secret, as a part of the
    /// transaction that replaces it. A head that does not hold is left as it is, for `audit verify`
    /// to find.
    pub(super) fn move_audit_head(
        &self,
        transaction: &Transaction<'_>,
        vault: VaultId,
        old: &MacKey,
    ) -> Result<(), OpsError> {
        if audit::head_holds(transaction, |message, mac| old.verify_message(message, mac))? {
            let new = audit_head_key(&self.secret, vault);
            audit::seal_head_in(transaction, |message| new.mac_message(message))?;
        }
        Ok(())
    }

    /// Lays the new file beside the old one.
    pub(super) fn lay_out(&self, vault: &Vault) -> Result<(), OpsError> {
        let path = new_file(vault);
        durable::step("forget.master", || durable::replace_file(&path, &self.sealed))
            .map_err(|source| failed("writing", &path, source))
    }
}

fn new_file(vault: &Vault) -> PathBuf {
    let mut name = vault.places().master.clone().into_os_string();
    name.push(".new");
    PathBuf::from(name)
}

/// Lets a new file that is in force take the old one's place. Does nothing where there is none, so
/// it may run at any time and in several processes at once.
pub fn take_its_place(vault: &Vault) -> Result<(), OpsError> {
    let (under_way, epoch) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (forgetting::current(connection)?, crate::catalog::vault::read(connection)?.epoch)
    };
    let Some(digest) = under_way
        .filter(|forgetting| forgetting.epoch_to == epoch)
        .and_then(|forgetting| forgetting.master_sha256)
    else {
        return Ok(());
    };
    let path = new_file(vault);
    let sealed = match fs::read(&path) {
        Ok(sealed) => sealed,
        // It took its place already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("reading", &path, source)),
    };
    if digest::sha256(&sealed) != digest {
        return Err(CustodyError::MasterFile { file: path.display().to_string() }.into());
    }
    let master = &vault.places().master;
    durable::step("forget.replace-master", || durable::replace_file(master, &sealed))
        .map_err(|source| failed("writing", master, source))?;
    clear_away(vault)
}

/// Removes a new file that is not needed: it holds nothing that is not in force elsewhere.
pub(super) fn clear_away(vault: &Vault) -> Result<(), OpsError> {
    let path = new_file(vault);
    durable::destroy_file(&path).map_err(|source| failed("removing", &path, source))
}

fn failed(doing: &str, path: &std::path::Path, source: io::Error) -> OpsError {
    OpsError::File { what: format!("{doing} {}", path.display()), source }
}
