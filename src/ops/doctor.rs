//! Doctor: everything that a vault stands on, looked at without a key.

use serde::Serialize;

use crate::audit::{self, Action, Outcome, Verdict};
use crate::base::clock::timestamp;
use crate::base::ids::VaultId;
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::{erasures, sources};
use crate::store::{
    Capabilities, Capability, StoreError, Verdict as CapabilityVerdict, try_writing,
};
use crate::vault::custody_report;
use crate::vault::handle::Vault;
use crate::vault::stores::{self, NamedStore};
use crate::vault::{OpsError, custody, replica};

crate::words!(
    /// How one thing stands.
    Health, "health",
    /// As it should be.
    Well = "well",
    /// It works, and something should be known or done.
    Note = "note",
    /// It does not work.
    Failed = "failed",
);

/// What was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    /// The vault.
    pub vault: VaultId,
    /// One finding for each thing.
    pub findings: Vec<Finding>,
}

impl DoctorReport {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.health != Health::Failed)
    }
}

/// One thing, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub health: Health,
    /// What was found, as one sentence.
    pub finding: String,
}

/// Looks at everything. `more` are findings of layers above, about this process and its settings.
pub async fn doctor(vault: &Vault, more: Vec<Finding>) -> Result<DoctorReport, OpsError> {
    vault.note(Action::Doctor, "vault", Outcome::Begun, None)?;
    let mut findings = vec![catalog(vault), audit_log(vault)?, backups_made(vault)?];
    findings.extend(every_store(vault).await);
    findings.push(replica(vault).await);
    findings.extend(custody(vault)?);
    findings.extend(unproven(vault)?);
    findings.extend(more);
    vault.note(Action::Doctor, "vault", Outcome::Done, None)?;
    Ok(DoctorReport { vault: vault.id(), findings })
}

fn finding(what: &'static str, health: Health, text: impl Into<String>) -> Finding {
    Finding { what, health, finding: text.into() }
}

fn catalog(vault: &Vault) -> Finding {
    match vault.catalog().check() {
        Ok(()) => finding("catalog", Health::Well, "every page, index and reference fits"),
        Err(error) => finding("catalog", Health::Failed, error.to_string()),
    }
}

fn audit_log(vault: &Vault) -> Result<Finding, OpsError> {
    let verdict = audit::verify(vault.catalog().connection(), &[])?;
    let health =
        if matches!(verdict, Verdict::Intact { .. }) { Health::Well } else { Health::Failed };
    Ok(finding("audit log", health, verdict.to_string()))
}

fn backups_made(vault: &Vault) -> Result<Finding, OpsError> {
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let made = backups::list(connection, &BackupFilter::default())?;
    let sources = sources::all(connection)?;
    let without: Vec<_> = sources
        .iter()
        .filter(|source| made.iter().all(|row| row.source_id != source.source_id))
        .map(|source| format!("`{}`", source.name))
        .collect();
    Ok(match (made.first(), without.as_slice()) {
        (None, _) => finding("backups", Health::Note, "there is no backup yet"),
        (Some(newest), []) => {
            let moment = timestamp(newest.snapshot_at);
            let count = made.len();
            finding("backups", Health::Well, format!("{count} in all, the newest of {moment}"))
        }
        (Some(_), without) => {
            let text = format!("there is none of source {}", without.join(", "));
            finding("backups", Health::Note, text)
        }
    })
}

async fn every_store(vault: &Vault) -> Vec<Finding> {
    const WHAT: &str = "store";
    let ready = match stores::check_all(vault.stores()).await {
        Ok(ready) => ready,
        Err(error) => return vec![finding(WHAT, Health::Failed, error.to_string())],
    };
    let several = vault.stores().are_several();
    let mut findings = Vec::new();
    for one in &ready {
        let location = one.store.location();
        let name = if several { format!("`{}` is {location}", one.name) } else { location };
        let (health, seen) = writing(vault, one).await;
        findings.push(finding(WHAT, health, format!("{name}: {seen}")));
    }
    for (name, reason) in vault.stores().away() {
        findings.push(finding(WHAT, Health::Failed, format!("`{name}` cannot be used: {reason}")));
    }
    findings
}

/// Whether a store takes objects: one is written, read and removed, where it can be removed again.
async fn writing(vault: &Vault, store: &NamedStore) -> (Health, String) {
    let seen = match vault.stores().known_of(&store.name) {
        Ok(seen) => seen,
        Err(error) => return (Health::Failed, error.to_string()),
    };
    let keeps = |capabilities: &Capabilities| {
        capabilities.verdict(Capability::DefaultRetention) == CapabilityVerdict::Yes
            || capabilities.verdict(Capability::Deleting) != CapabilityVerdict::Yes
    };
    if seen.as_ref().is_some_and(keeps) {
        let last = match last_backup(vault) {
            Ok(Some(moment)) => format!("the last backup was written at {moment}"),
            Ok(None) => "no backup has been written yet".to_owned(),
            Err(error) => error.to_string(),
        };
        return (
            Health::Note,
            format!("writing was not tried, for it keeps what is written; {last}"),
        );
    }
    match try_writing(&*store.store).await {
        Ok(()) => (Health::Well, "it takes objects and gives them back".to_owned()),
        // It was written: that is what a backup needs.
        Err(error @ (StoreError::Denied { .. } | StoreError::Retained { .. })) => {
            (Health::Note, format!("an object that was written to try it stays: {error}"))
        }
        Err(error) => (Health::Failed, error.to_string()),
    }
}

/// When the newest backup was complete in the store.
fn last_backup(vault: &Vault) -> Result<Option<String>, OpsError> {
    let made = backups::list(vault.catalog().connection(), &BackupFilter::default())?;
    Ok(made.iter().map(|row| row.finished_at).max().map(timestamp))
}

fn unproven(vault: &Vault) -> Result<Vec<Finding>, OpsError> {
    let rows = erasures::unproven(vault.catalog().connection())?;
    let told = |row: &erasures::ErasureRow| {
        let text = format!(
            "the test after number {} could not read everything; `strongroom erase` of the same \
             people makes up for it",
            row.erasure_id
        );
        finding("erasure", Health::Note, text)
    };
    Ok(rows.iter().map(told).collect())
}

async fn replica(vault: &Vault) -> Finding {
    const WHAT: &str = "catalog's replica";
    if let Err(error) = replica::ensure_newest(vault, None).await {
        return finding(WHAT, Health::Failed, error.to_string());
    }
    let superseded = match replica::garbage(vault).await {
        Ok(objects) => objects.len(),
        Err(error) => return finding(WHAT, Health::Failed, error.to_string()),
    };
    match replica::is_behind(vault) {
        Ok(false) if superseded > 0 => {
            let text = format!(
                "the store has the catalog as it stands, and {superseded} superseded objects that \
                 it retains or does not let go; `strongroom prune` tells why"
            );
            finding(WHAT, Health::Note, text)
        }
        Ok(false) => finding(WHAT, Health::Well, "the store has the catalog as it stands"),
        Ok(true) => finding(
            WHAT,
            Health::Note,
            "the store has an older state; the next command that writes brings it up to date",
        ),
        Err(error) => finding(WHAT, Health::Failed, error.to_string()),
    }
}

fn custody(vault: &Vault) -> Result<Vec<Finding>, OpsError> {
    const WHAT: &str = "custodian";
    let mut findings: Vec<Finding> = custody::returned::notice(vault, None, None)?
        .into_iter()
        .map(|sentence| finding(WHAT, Health::Failed, sentence))
        .collect();
    let is_new = !findings.is_empty();
    let report = custody_report::report(vault)?;
    for one in report.custodians.iter().filter(|one| one.share.is_some()) {
        let held = vault.custodian(&one.name).and_then(|custodian| custodian.epochs(vault.id()));
        findings.push(match held {
            Ok(epochs) if epochs.contains(&report.epoch) => {
                let assurance = one.assurance.clone().unwrap_or_default();
                let text = format!("`{}` holds its share. {assurance}", one.name);
                finding(WHAT, Health::Well, text)
            }
            Ok(_) => {
                let text = format!("`{}` holds no share of the present epoch", one.name);
                finding(WHAT, Health::Failed, text)
            }
            Err(error) => finding(WHAT, Health::Failed, error.to_string()),
        });
    }
    if let [only] = report.custodians.as_slice()
        && report.threshold == 1
    {
        let text = format!(
            "`{}` alone holds the epoch secret: without it no backup opens, and whoever copies it \
             holds half of what opens them",
            only.name
        );
        findings.push(finding("custody", Health::Note, text));
    }
    for one in &report.to_destroy {
        let (health, what) = match one.returned {
            true if is_new => continue,
            true => (Health::Failed, "holds again a share that it had destroyed, that"),
            false => (Health::Note, "has not yet destroyed its share"),
        };
        let text = format!("`{}` {what} of epoch {}", one.custodian, one.epoch);
        findings.push(finding("custody", health, text));
    }
    for number in &report.provisional_erasures {
        let text = format!("number {number} is provisional");
        findings.push(finding("erasure", Health::Note, text));
    }
    Ok(findings)
}
