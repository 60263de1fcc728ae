//! Versions: what deleting means in a bucket that keeps them, and what lies below what is shown.
//!
//! Objects are created once, so of several versions of a name the oldest is the one that was
//! written here. Whatever lies above it (a delete marker, another content) someone else put there.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::BucketVersioningStatus;
use chrono::{DateTime, Utc};

use super::super::{Leftover, Lock, ObjectName, OldVersion, StoreError};
use super::S3Store;
use super::failure::Refusal;
use super::probe::PROBES;
use crate::base::durable;

const DELETE: &str = "s3:DeleteObject";
const DELETE_VERSION: &str = "s3:DeleteObjectVersion";
const LIST_VERSIONS: &str = "s3:ListBucketVersions";

/// One version of a key, or one delete marker.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: String,
    bytes: u64,
    is_marker: bool,
    is_latest: bool,
    written: Option<DateTime<Utc>>,
}

impl S3Store {
    /// Whether a key is an object's or a probe's.
    pub(super) fn is_our_key(&self, key: &str) -> bool {
        let probe = key.strip_prefix(&self.place().prefix).is_some_and(|k| k.starts_with(PROBES));
        probe || self.place().name(key).is_some()
    }

    /// Whether the bucket keeps versions or ever did. A service without versions has none.
    pub(super) async fn keeps_versions(&self) -> Result<bool, StoreError> {
        let ask = async || {
            let bucket = &self.place().bucket;
            let asked = self.ask(|client| client.get_bucket_versioning().bucket(bucket).send());
            match asked.await? {
                Ok(answer) => Ok(matches!(
                    answer.status(),
                    Some(BucketVersioningStatus::Enabled | BucketVersioningStatus::Suspended)
                )),
                Err(error) if Refusal::of(&error).is_some_and(|r| r.is_not_implemented()) => {
                    Ok(false)
                }
                // Not permitted, or an answer that nobody understands: the versions themselves tell.
                Err(error) if Refusal::of(&error).is_some_and(|r| r.status == 200) => Ok(true),
                Err(error) if Refusal::of(&error).is_some_and(|r| r.code == "AccessDenied") => {
                    Ok(true)
                }
                Err(error) => Err(self.failed("s3:GetBucketVersioning", "*")(error)),
            }
        };
        self.inner.versioned.get_or_try_init(ask).await.copied()
    }

    /// Deletes all that is under a name: the object, its older versions and its delete markers.
    pub(super) async fn delete_object(&self, name: &ObjectName) -> Result<(), StoreError> {
        let key = self.place().key(name);
        durable::step_async("store-delete", self.delete_key(&key, name.as_str())).await
    }

    pub(super) async fn delete_key(&self, key: &str, name: &str) -> Result<(), StoreError> {
        if !self.keeps_versions().await? {
            let deleted = self
                .ask(|client| client.delete_object().bucket(&self.place().bucket).key(key).send());
            let deleted = deleted.await?.map_err(self.failed(DELETE, name))?;
            // Someone may have switched versions on meanwhile: then this made one marker more.
            if deleted.delete_marker() != Some(true) && deleted.version_id().is_none() {
                return Ok(());
            }
        }
        let mut retained = None;
        for version in self.versions_of(key, name).await? {
            match self.delete_version(&version, name).await {
                // The others still go; which of them holds longest is what is told.
                Err(error @ StoreError::Retained { .. }) => {
                    retained = Some(longer(retained, error));
                }
                outcome => outcome?,
            }
        }
        retained.map_or(Ok(()), Err)
    }

    async fn versions_of(&self, key: &str, name: &str) -> Result<Vec<Version>, StoreError> {
        let mut versions = self.list_versions(key, name).await?;
        versions.retain(|version| version.key == key);
        Ok(versions)
    }

    pub(super) async fn delete_version(
        &self,
        version: &Version,
        name: &str,
    ) -> Result<(), StoreError> {
        let deleted = self.ask(|client| {
            let request = client.delete_object().bucket(&self.place().bucket);
            request.key(&version.key).version_id(&version.id).send()
        });
        let Err(error) = deleted.await? else { return Ok(()) };
        let refusal = Refusal::of(&error);
        if refusal.as_ref().is_some_and(|refusal| refusal.status == 404) {
            return Ok(());
        }
        // The same refusal means a lock or a missing permission: the lock itself tells which.
        if !version.is_marker
            && refusal.is_some_and(|refusal| matches!(refusal.status, 400 | 403 | 405 | 409))
        {
            let lock = self.lock_of_version(&version.key, Some(&version.id), name).await?;
            if let Some(retained) = self.retained(name, &lock) {
                return Err(retained);
            }
        }
        Err(self.failed(DELETE_VERSION, name)(error))
    }

    /// The error that a lock is, if it still holds.
    fn retained(&self, name: &str, lock: &Lock) -> Option<StoreError> {
        let until = lock.retention.map(|retention| retention.until);
        (until.is_some() || lock.legal_hold).then(|| StoreError::Retained {
            location: self.place().location(),
            name: name.to_owned(),
            until,
            legal_hold: lock.legal_hold,
        })
    }

    /// All versions and delete markers of keys that begin so.
    async fn list_versions(&self, prefix: &str, shown: &str) -> Result<Vec<Version>, StoreError> {
        let mut found = Vec::new();
        let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
        loop {
            let page = self.ask(|client| {
                client
                    .list_object_versions()
                    .bucket(&self.place().bucket)
                    .prefix(prefix)
                    .set_key_marker(key.clone())
                    .set_version_id_marker(id.clone())
                    .send()
            });
            let page = match page.await? {
                Ok(page) => page,
                Err(error) if Refusal::of(&error).is_some_and(|r| r.status == 200) => {
                    return Err(StoreError::Unfit {
                        location: self.place().location(),
                        reason:
                            "it does not answer a list of versions (`?versions`) as S3 does, so \
                                 nobody can say what is removed for good"
                                .to_owned(),
                    });
                }
                Err(error) => return Err(self.failed(LIST_VERSIONS, shown)(error)),
            };
            found.extend(page.versions().iter().filter_map(|version| {
                Some(Version {
                    key: version.key()?.to_owned(),
                    id: version.version_id()?.to_owned(),
                    bytes: u64::try_from(version.size().unwrap_or(0)).unwrap_or(0),
                    is_marker: false,
                    is_latest: version.is_latest() == Some(true),
                    written: version.last_modified().and_then(super::locks::moment),
                })
            }));
            found.extend(page.delete_markers().iter().filter_map(|marker| {
                Some(Version {
                    key: marker.key()?.to_owned(),
                    id: marker.version_id()?.to_owned(),
                    bytes: 0,
                    is_marker: true,
                    is_latest: marker.is_latest() == Some(true),
                    written: marker.last_modified().and_then(super::locks::moment),
                })
            }));
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let next = (
                page.next_key_marker().map(str::to_owned),
                page.next_version_id_marker().map(str::to_owned),
            );
            if next.0.is_none() || next == (key, id) {
                return Err(self.endless(shown));
            }
            (key, id) = next;
        }
    }

    /// How many versions a key has, delete markers aside.
    pub(super) async fn counted_versions(&self, key: &str) -> Result<usize, StoreError> {
        if !self.keeps_versions().await? {
            return Ok(1);
        }
        let versions = self.versions_of(key, key).await?;
        Ok(versions.iter().filter(|version| !version.is_marker).count())
    }

    /// Whether nothing is under a key any more, not even a marker.
    pub(super) async fn key_is_gone(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.everything_below(key).await?.iter().all(|version| version.key != key))
    }

    /// All keys that begin so, each once, whatever is under them.
    pub(super) async fn keys_below(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.everything_below(prefix).await?.into_iter().map(|version| version.key).collect())
    }

    async fn everything_below(&self, prefix: &str) -> Result<Vec<Version>, StoreError> {
        if self.keeps_versions().await? {
            self.list_versions(prefix, prefix).await
        } else {
            self.plain_objects(prefix).await
        }
    }

    /// What lies below what is shown, and the markers that hide it.
    pub(super) async fn list_old_versions(
        &self,
        prefix: &str,
    ) -> Result<Vec<OldVersion>, StoreError> {
        if !super::list::may_begin_a_name(prefix) || !self.keeps_versions().await? {
            return Ok(Vec::new());
        }
        let full = format!("{}{prefix}", self.place().prefix);
        let versions = self.list_versions(&full, &format!("{prefix}*")).await?;
        let mut old: Vec<_> = versions
            .into_iter()
            .filter(|version| version.is_marker || !version.is_latest)
            .filter_map(|version| {
                Some(OldVersion {
                    name: self.place().name(&version.key)?,
                    version: version.id,
                    bytes: version.bytes,
                    delete_marker: version.is_marker,
                    written: version.written,
                })
            })
            .filter(|version| version.name.as_str().starts_with(prefix))
            .collect();
        old.sort_by(|a, b| (&a.name, a.written, &a.version).cmp(&(&b.name, b.written, &b.version)));
        Ok(old)
    }

    /// Removes what someone put over the oldest version of a name; whether there was anything.
    pub(super) async fn bring_back_oldest(&self, name: &ObjectName) -> Result<bool, StoreError> {
        if !self.keeps_versions().await? {
            return Ok(false);
        }
        let key = self.place().key(name);
        let versions = self.versions_of(&key, name.as_str()).await?;
        // Versions of one second are not told apart by their dates; the service lists the newest
        // first, so of equals the last is the oldest.
        let oldest = versions
            .iter()
            .enumerate()
            .filter(|(_, version)| !version.is_marker)
            .min_by_key(|(index, version)| (version.written, std::cmp::Reverse(*index)))
            .map(|(_, version)| version.id.clone());
        let Some(oldest) = oldest else {
            let location = self.place().location();
            return Err(StoreError::NotFound { location, name: name.to_string() });
        };
        let above: Vec<_> = versions.iter().filter(|version| version.id != oldest).collect();
        for version in &above {
            self.delete_version(version, name.as_str()).await?;
        }
        Ok(!above.is_empty())
    }

    /// Delete markers under which nothing lies, and what probes left.
    pub(super) async fn visit_orphans(&self, remove: bool) -> Result<Vec<Leftover>, StoreError> {
        let prefix = self.place().prefix.clone();
        let probes = format!("{prefix}{PROBES}");
        let versions = if self.keeps_versions().await? {
            self.list_versions(&prefix, "*").await?
        } else {
            self.plain_objects(&probes).await?
        };
        let mut by_key: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
        for version in versions.iter().filter(|version| self.is_our_key(&version.key)) {
            by_key.entry(&version.key).or_default().push(version);
        }
        let mut orphans = Vec::new();
        for (key, versions) in by_key {
            let probe = key.starts_with(&probes);
            if !probe && versions.iter().any(|version| !version.is_marker) {
                continue;
            }
            let bytes = versions.iter().map(|version| version.bytes).sum();
            let what = if probe { "probe" } else { "delete marker" };
            let place = format!("s3://{}/{key} ({what})", self.place().bucket);
            if remove {
                match self.delete_key(key, key).await {
                    // It stays until it falls free, and is found again then.
                    Err(StoreError::Retained { .. }) => continue,
                    outcome => outcome?,
                }
            }
            orphans.push(Leftover { place, bytes });
        }
        Ok(orphans)
    }

    /// The keys of a bucket without versions, as if each were its only version.
    async fn plain_objects(&self, prefix: &str) -> Result<Vec<Version>, StoreError> {
        // Probes are few: one page holds them.
        let page = self.ask(|client| {
            client.list_objects_v2().bucket(&self.place().bucket).prefix(prefix).send()
        });
        let page = page.await?.map_err(self.failed(super::list::LIST, "*"))?;
        let objects = page.contents().iter().filter_map(|object| {
            Some(Version {
                key: object.key()?.to_owned(),
                id: String::new(),
                bytes: u64::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                is_marker: false,
                is_latest: true,
                written: None,
            })
        });
        Ok(objects.collect())
    }
}

/// Of two retentions the one that ends later; a legal hold has no end.
fn longer(one: Option<StoreError>, other: StoreError) -> StoreError {
    let end = |error: &StoreError| match error {
        StoreError::Retained { until, legal_hold, .. } => (*legal_hold, *until),
        _ => (false, None),
    };
    match one {
        Some(one) if end(&one) >= end(&other) => one,
        _ => other,
    }
}
