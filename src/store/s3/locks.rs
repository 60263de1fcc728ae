//! Object Lock: reading and setting what holds an object.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};
use chrono::{DateTime, Utc};

use super::super::{Lock, ObjectName, Retention, RetentionMode, StoreError};
use super::S3Store;

/// A service's moment as ours.
pub(super) fn moment(told: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(told.secs(), told.subsec_nanos())
}

impl S3Store {
    /// What holds an object now.
    pub(super) async fn lock_at_service(&self, name: &ObjectName) -> Result<Lock, StoreError> {
        self.lock_of_version(&self.place().key(name), None, name.as_str()).await
    }

    pub(super) async fn lock_of_version(
        &self,
        key: &str,
        version: Option<&str>,
        name: &str,
    ) -> Result<Lock, StoreError> {
        let head = self.ask(|client| {
            let request = client.head_object().bucket(&self.place().bucket).key(key);
            request.set_version_id(version.map(str::to_owned)).send()
        });
        let head = head.await?.map_err(self.failed("s3:GetObjectRetention", name))?;
        let mode = match head.object_lock_mode() {
            Some(ObjectLockMode::Governance) => Some(RetentionMode::Governance),
            // A mode of a later day is taken for the strictest.
            Some(_) => Some(RetentionMode::Compliance),
            None => None,
        };
        let until = head.object_lock_retain_until_date().and_then(moment);
        Ok(Lock {
            retention: mode.zip(until).map(|(mode, until)| Retention { mode, until }),
            legal_hold: head.object_lock_legal_hold_status()
                == Some(&ObjectLockLegalHoldStatus::On),
        })
    }

    /// Locks an object that is there: a later date, another mode where the service allows it, a
    /// legal hold put on or taken off.
    pub(super) async fn lock_object(
        &self,
        name: &ObjectName,
        lock: &Lock,
    ) -> Result<(), StoreError> {
        let key = self.place().key(name);
        let before = self.lock_at_service(name).await?;
        if *lock == before {
            return Ok(());
        }
        self.require_checksums()?;
        self.require_object_lock().await?;
        if let Some(wanted) = lock.retention
            && before.retention.is_none_or(|held| held.until < wanted.until)
        {
            let mode = match wanted.mode {
                RetentionMode::Governance => ObjectLockRetentionMode::Governance,
                RetentionMode::Compliance => ObjectLockRetentionMode::Compliance,
            };
            let until = aws_sdk_s3::primitives::DateTime::from_secs(wanted.until.timestamp());
            let retention =
                ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
            let sent = self.ask(|client| {
                client
                    .put_object_retention()
                    .bucket(&self.place().bucket)
                    .key(&key)
                    .retention(retention.clone())
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .send()
            });
            sent.await?.map_err(self.failed("s3:PutObjectRetention", name.as_str()))?;
        }
        if lock.legal_hold != before.legal_hold {
            let status = if lock.legal_hold {
                ObjectLockLegalHoldStatus::On
            } else {
                ObjectLockLegalHoldStatus::Off
            };
            let hold = ObjectLockLegalHold::builder().status(status).build();
            let sent = self.ask(|client| {
                client
                    .put_object_legal_hold()
                    .bucket(&self.place().bucket)
                    .key(&key)
                    .legal_hold(hold.clone())
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .send()
            });
            sent.await?.map_err(self.failed("s3:PutObjectLegalHold", name.as_str()))?;
        }
        Ok(())
    }

    /// The bucket's rule for objects that say nothing themselves; nothing where it locks none.
    ///
    /// # Errors
    /// `NoObjectLock` where it cannot lock at all.
    pub(super) async fn require_object_lock(&self) -> Result<Option<String>, StoreError> {
        let none = |reason: &str| StoreError::NoObjectLock {
            location: self.place().location(),
            reason: reason.to_owned(),
        };
        let asked = self.ask(|client| {
            client.get_object_lock_configuration().bucket(&self.place().bucket).send()
        });
        match asked.await? {
            Ok(answer) => {
                let found = answer.object_lock_configuration();
                if found.and_then(|found| found.object_lock_enabled())
                    != Some(&ObjectLockEnabled::Enabled)
                {
                    return Err(none("its bucket was made without Object Lock"));
                }
                let rule = found.and_then(|found| found.rule()?.default_retention());
                Ok(rule.map(|rule| {
                    let mode = rule.mode().map_or("", |mode| mode.as_str()).to_lowercase();
                    match (rule.days(), rule.years()) {
                        (Some(days), _) => format!("{mode}, {days} days"),
                        (None, Some(years)) => format!("{mode}, {years} years"),
                        (None, None) => mode,
                    }
                }))
            }
            Err(error) => match super::failure::Refusal::of(&error) {
                Some(refusal) if refusal.is_not_implemented() => {
                    Err(none("its service knows no Object Lock"))
                }
                Some(refusal)
                    if refusal.status == 404 && refusal.code != "NoSuchBucket"
                        || refusal.code == "InvalidRequest" =>
                {
                    Err(none("its bucket was made without Object Lock"))
                }
                _ => Err(self.failed("s3:GetBucketObjectLockConfiguration", "*")(error)),
            },
        }
    }
}
