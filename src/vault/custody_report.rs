//! Who holds the epoch secret, as the catalog and the configuration have it.

use serde::Serialize;

use super::OpsError;
use super::handle::Vault;
use crate::base::clock::timestamp;
use crate::base::ids::Epoch;
use crate::catalog::custody::{self as custody_rows, ShareRow, ShareSetRow, ShareState};
use crate::catalog::erasures;
use crate::keys::custodians::Custodian;

/// The custody of a vault.
#[derive(Debug, Clone, Serialize)]
pub struct CustodyReport {
    /// The present epoch.
    pub epoch: Epoch,
    /// How many shares make its secret.
    pub threshold: u8,
    /// The custodians, those that hold a share first.
    pub custodians: Vec<CustodianReport>,
    /// Shares of earlier epochs that must still be destroyed.
    pub to_destroy: Vec<ShareToDestroy>,
    /// The numbers of the erasures that are provisional because of them.
    pub provisional_erasures: Vec<u64>,
}

/// One custodian.
#[derive(Debug, Clone, Serialize)]
pub struct CustodianReport {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is, as a person knows it; absent where the configuration does not have it.
    pub place: Option<String>,
    /// What the destruction of a share means there, as one sentence.
    pub assurance: Option<String>,
    /// `member`, `no-member` (configured, holds no share) or `not-configured`.
    pub standing: &'static str,
    /// What the catalog knows of its share: `asked`, `held`; absent for one that is no member.
    pub share: Option<&'static str>,
    /// What the custodian itself says (only `custody check`): `ok`, or why not.
    pub answer: Option<String>,
}

/// A share of an earlier epoch that may still exist.
#[derive(Debug, Clone, Serialize)]
pub struct ShareToDestroy {
    /// The custodian.
    pub custodian: String,
    /// The epoch.
    pub epoch: Epoch,
    /// Since when it has to go.
    pub since: String,
    /// Whether it had been destroyed and came back.
    pub returned: bool,
}

/// Since when a share has to go: one that came back, since it was found.
fn share_since(set: &ShareSetRow, share: &ShareRow) -> chrono::DateTime<chrono::Utc> {
    if share.state == ShareState::Returned { share.changed_at } else { set.changed_at }
}

/// The custody of a vault, without asking any custodian.
pub fn report(vault: &Vault) -> Result<CustodyReport, OpsError> {
    let (epoch, present, leaving, provisional_erasures) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (
            crate::catalog::vault::read(connection)?.epoch,
            custody_rows::present(connection)?,
            custody_rows::with_shares_to_destroy(connection)?,
            erasures::provisional(connection)?,
        )
    };
    let mut custodians = Vec::new();
    for row in &present.shares {
        let configured = vault.custodian(&row.custodian).ok();
        custodians.push(CustodianReport {
            name: row.custodian.clone(),
            place: configured.map(Custodian::place),
            assurance: configured.map(|one| one.assurance().sentence().to_owned()),
            standing: if configured.is_some() { "member" } else { "not-configured" },
            share: Some(row.state.as_str()),
            answer: None,
        });
    }
    for custodian in vault.custodians() {
        if present.shares.iter().all(|row| row.custodian != custodian.name()) {
            custodians.push(CustodianReport {
                name: custodian.name().to_owned(),
                place: Some(custodian.place()),
                assurance: Some(custodian.assurance().sentence().to_owned()),
                standing: "no-member",
                share: None,
                answer: None,
            });
        }
    }
    let to_destroy = leaving
        .iter()
        .flat_map(|set| set.shares.iter().map(move |share| (set, share)))
        .filter(|(_, share)| share.state != ShareState::Destroyed)
        .map(|(set, share)| ShareToDestroy {
            custodian: share.custodian.clone(),
            epoch: set.epoch,
            since: timestamp(share_since(set, share)),
            returned: share.state == ShareState::Returned,
        })
        .collect();
    Ok(CustodyReport {
        epoch,
        threshold: present.threshold,
        custodians,
        to_destroy,
        provisional_erasures,
    })
}
