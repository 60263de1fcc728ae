//! Kit: the recovery kit of a vault, handed to whoever writes it down.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::audit::Action;
use crate::base::ids::VaultId;
use crate::catalog::custody;
use crate::keys::MasterSecret;
use crate::keys::master::{Credentials, kit};
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::unlock::Begun;

/// A recovery kit with the notes of the day. The notes help whoever recovers; nothing hangs on them.
pub struct RecoveryKit {
    /// The vault.
    pub vault: VaultId,
    /// The kit's lines, with the master secret.
    pub lines: Zeroizing<String>,
    /// When it was made.
    pub printed_at: DateTime<Utc>,
    /// Where the stores are, as the configuration names them.
    pub store: String,
    /// The custodians that hold a share, by name and place.
    pub custodians: Vec<String>,
    /// How many of their shares make the epoch secret.
    pub threshold: u8,
}

/// Makes the kit and hands it to `write`, which is on record before any key is released. `form`
/// goes into that entry.
pub async fn print<T>(
    vault: &Vault,
    credentials: &Credentials,
    form: &str,
    write: impl FnOnce(&RecoveryKit) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let detail = format!("format={form}");
    access(vault, Action::Kit, "vault")
        .detail(&detail)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            write(&of(vault, &unlocked.master())?)
        })
        .await
}

/// The same for a vault that was begun in this moment, which nobody need unlock.
pub async fn print_first<T>(
    begun: &Begun,
    form: &str,
    write: impl FnOnce(&RecoveryKit) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let detail = format!("format={form}");
    let vault = &begun.vault;
    access(vault, Action::Kit, "vault")
        .detail(&detail)
        .signed_by(&begun.unlocked)
        .run(async |_| write(&of(vault, &begun.unlocked.master())?))
        .await
}

fn of(vault: &Vault, master: &MasterSecret) -> Result<RecoveryKit, OpsError> {
    let present = custody::present(vault.catalog().connection())?;
    let named = |share: &custody::ShareRow| match vault.custodian(&share.custodian) {
        Ok(custodian) => format!("{}: {}", share.custodian, custodian.place()),
        Err(_) => share.custodian.clone(),
    };
    Ok(RecoveryKit {
        vault: vault.id(),
        lines: kit::write(vault.id(), master),
        printed_at: vault.clock().now(),
        store: {
            let urls: Vec<_> = vault.places().stores.iter().map(|one| one.url.as_str()).collect();
            urls.join(" and ")
        },
        custodians: present.shares.iter().map(named).collect(),
        threshold: present.threshold,
    })
}
