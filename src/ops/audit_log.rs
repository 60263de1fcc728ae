//! Reading and checking the audit log. Both are on record themselves.

use crate::vault::unlock::audit_head_key;
use serde::Serialize;

use crate::audit::{self, Action, Entry, Filter, Outcome, Verdict};
use crate::base::ids::Digest;
use crate::keys::master::Credentials;
use crate::vault::OpsError;
use crate::vault::handle::Vault;

/// What a check of the log found.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// Whether every entry follows from the one before and the head fits.
    pub intact: bool,
    /// What is wrong, as a sentence.
    pub problem: Option<String>,
    /// The number of the first entry that is not as it was written.
    pub entry: Option<u64>,
    /// How many entries were checked; absent from a broken log.
    pub entries: Option<u64>,
    /// The last entry's hash; absent from a broken log.
    pub last_hash: Option<Digest>,
    /// Whether the head's signature was checked with the vault's key. Without it, someone who
    /// writes the whole log anew is not found.
    pub head_authenticated: bool,
}

/// The entries that fit, the oldest first.
pub fn list(vault: &Vault, filter: &Filter) -> Result<Vec<Entry>, OpsError> {
    vault.note(Action::AuditList, "audit-log", Outcome::Done, None)?;
    Ok(audit::list(vault.catalog().connection(), filter)?)
}

/// Checks the whole log; with credentials, the signature of its head too; and that it has the entries
/// `noted`, of which somebody kept number and hash.
pub fn verify(
    vault: &Vault,
    credentials: Option<&Credentials>,
    noted: &[(u64, Digest)],
) -> Result<AuditReport, OpsError> {
    let recorded = vault.record(Action::AuditVerify, "audit-log", Outcome::Begun, None)?;
    let head = audit::read_head(vault.catalog().connection())?;
    let mut expected = noted.to_vec();
    let mut forged = false;
    let head_authenticated = match credentials {
        Some(credentials) => {
            let key = audit_head_key(vault, credentials, &recorded)?;
            if let Some(head) = &head {
                let message = audit::head_message(head.seq, &head.hash);
                forged = !key.verify_message(&message, &head.mac);
                expected.push((head.seq, head.hash));
            }
            true
        }
        None => false,
    };
    let verdict = audit::verify(vault.catalog().connection(), &expected)?;
    let mut report = AuditReport {
        intact: true,
        problem: None,
        entry: None,
        entries: None,
        last_hash: None,
        head_authenticated,
    };
    match verdict {
        Verdict::Intact { .. } if head.is_none() => {
            report.intact = false;
            report.problem = Some("the head of the log was taken away".to_owned());
        }
        Verdict::Intact { entries, last_hash, .. } if !forged => {
            report.entries = Some(entries);
            report.last_hash = Some(last_hash);
        }
        Verdict::Intact { .. } => {
            report.intact = false;
            report.entry = head.map(|head| head.seq);
            report.problem =
                Some("the head's signature was not made with this vault's key".to_owned());
        }
        Verdict::Broken(broken) => {
            report.intact = false;
            report.entry = Some(broken.seq);
            report.problem = Some(broken.to_string());
        }
    }
    let outcome = if report.intact { Outcome::Done } else { Outcome::Failed };
    vault.note(Action::AuditVerify, "audit-log", outcome, None)?;
    Ok(report)
}
