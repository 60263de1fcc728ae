//! The verbs of custody: who holds the epoch secret, whether they still do, and changing the set.

use std::sync::Arc;

use serde::Serialize;

use crate::audit::Action;
use crate::catalog::custody::{self as custody_rows, ShareSetRow};
use crate::keys::KeyError;
use crate::keys::master::Credentials;
use crate::vault::access::access;
use crate::vault::custody::{self, Membership};
use crate::vault::custody_report::{CustodyReport, report};
use crate::vault::forget::rotation::{RotateReport, share_anew};
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::{CustodyError, OpsError};

/// A change of the set.
#[derive(Debug, Clone, Serialize)]
pub struct MembershipReport {
    /// The custody after it.
    pub custody: CustodyReport,
    /// The epoch that began with it; absent where nothing had to change.
    pub rotation: Option<RotateReport>,
}

/// Tells who holds what, as the catalog knows it; the custodians are asked only whether they hold a
/// share that they should not.
pub fn list(vault: &Vault) -> Result<CustodyReport, OpsError> {
    vault.note(Action::Custody, "list", crate::audit::Outcome::Done, None)?;
    for sentence in custody::returned::notice(vault, None, None)? {
        vault.alert(&sentence);
    }
    report(vault)
}

/// Asks every custodian whether it still has its share, and whether the shares make the secret.
pub async fn check(
    vault: &Vault,
    credentials: &Credentials,
) -> Result<(CustodyReport, bool), OpsError> {
    access(vault, Action::Custody, "check")
        .run(async |access| {
            // That the vault unlocks proves that enough shares are well.
            access.unlock(credentials).await?;
            let present = custody_rows::present(vault.catalog().connection())?;
            let mut told = report(vault)?;
            let mut all_well = true;
            for custodian in &mut told.custodians {
                let row = present.shares.iter().find(|share| share.custodian == custodian.name);
                let Some(row) = row else { continue };
                let answer = ask(vault, &present, &row.custodian);
                all_well &= answer.is_ok();
                custodian.answer =
                    Some(answer.map_or_else(|error| error.to_string(), |()| "ok".into()));
            }
            Ok((told, all_well))
        })
        .await
}

fn ask(vault: &Vault, present: &ShareSetRow, name: &str) -> Result<(), KeyError> {
    let share = vault.custodian(name)?.get(vault.id(), present.epoch)?;
    if share.set == present.set {
        Ok(())
    } else {
        Err(KeyError::OtherShare { custodian: name.to_owned(), epoch: present.epoch })
    }
}

/// Adds a custodian that the configuration has, or changes how many shares are needed.
pub async fn add(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
    threshold: Option<u8>,
) -> Result<MembershipReport, OpsError> {
    change(vault, credentials, "custody add", threshold, |members| {
        if members.iter().any(|member| member == name) {
            return Err(CustodyError::IsMember { name: name.to_owned() }.into());
        }
        vault.custodian(name)?.enroll(vault.id())?;
        members.push(name.to_owned());
        Ok(())
    })
    .await
}

/// Takes a custodian out of the set: its share is destroyed with the epoch.
pub async fn remove(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
    threshold: Option<u8>,
) -> Result<MembershipReport, OpsError> {
    change(vault, credentials, "custody remove", threshold, |members| {
        let Some(place) = members.iter().position(|member| member == name) else {
            return Err(CustodyError::IsNoMember { name: name.to_owned() }.into());
        };
        members.remove(place);
        Ok(())
    })
    .await
}

async fn change(
    vault: &Vault,
    credentials: &Credentials,
    command: &str,
    threshold: Option<u8>,
    edit: impl FnOnce(&mut Vec<String>) -> Result<(), OpsError>,
) -> Result<MembershipReport, OpsError> {
    let lock = vault.lock_for_writing(command)?;
    access(vault, Action::Custody, &command.replace(' ', "-"))
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let present = custody_rows::present(vault.catalog().connection())?;
            let mut membership = Membership::of(&present);
            edit(&mut membership.custodians)?;
            membership.threshold = threshold.unwrap_or(membership.threshold);
            let count = membership.custodians.len();
            if membership.threshold == 0 || usize::from(membership.threshold) > count {
                return Err(
                    CustodyError::Threshold { threshold: membership.threshold, count }.into()
                );
            }
            let rotation = share_anew(vault, &unlocked, &lock, membership).await?;
            Ok(MembershipReport { custody: report(vault)?, rotation: Some(rotation) })
        })
        .await
}

/// Destroys what could not be destroyed before, and shares the secret anew where a member lacks its
/// share.
pub async fn reconcile(
    vault: &Vault,
    credentials: &Credentials,
) -> Result<MembershipReport, OpsError> {
    let lock = vault.lock_for_writing("custody reconcile")?;
    access(vault, Action::Custody, "reconcile")
        .writing(&lock)
        .run(async |access| {
            // Unlocking destroys whatever can be reached.
            let unlocked: Arc<Unlocked> = access.unlock(credentials).await?;
            access.check_store().await?;
            let present = custody_rows::present(vault.catalog().connection())?;
            let lacks_share = |name: &str| {
                matches!(
                    ask(vault, &present, name),
                    Err(KeyError::NoEpochSecret { .. }
                        | KeyError::OtherShare { .. }
                        | KeyError::Damaged { .. })
                )
            };
            let rotation = if present.shares.iter().any(|share| lacks_share(&share.custodian)) {
                let membership = Membership::of(&present);
                Some(share_anew(vault, &unlocked, &lock, membership).await?)
            } else {
                custody::confirm_held(vault, &present, |name| ask(vault, &present, name).is_ok())?;
                None
            };
            Ok(MembershipReport { custody: report(vault)?, rotation })
        })
        .await
}
