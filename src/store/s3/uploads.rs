//! Uploads that were begun and never finished.
//!
//! Those of this process are known and left alone. One of another process is left behind as soon
//! as it is `leftover_hours` old, by default at once: whoever looks for leftovers holds the vault's
//! writer lock, so nobody else is writing. A writer whose upload is removed nevertheless (on another
//! machine, after a mistake) fails when it finishes, and has published nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::types::MultipartUpload;

use super::super::{Leftover, StoreError};
use super::S3Store;
use super::failure::Refusal;
use crate::base::clock::{Clock, SystemClock};

/// What listing unfinished uploads needs.
const LIST_UPLOADS: &str = "s3:ListBucketMultipartUploads";

/// The uploads of this process, by what the service calls them.
static OWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<String>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An upload of this process, for as long as anybody here knows of it.
#[derive(Clone)]
pub(super) struct OwnUpload(Arc<Registered>);

struct Registered(String);

impl OwnUpload {
    pub(super) fn new(id: &str) -> Self {
        own().insert(id.to_owned());
        Self(Arc::new(Registered(id.to_owned())))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        own().remove(&self.0);
    }
}

impl S3Store {
    /// Finds what was left unfinished, and removes it where told to.
    pub(super) async fn visit_leftovers(&self, remove: bool) -> Result<Vec<Leftover>, StoreError> {
        let mut leftovers = Vec::new();
        for upload in self.unfinished_uploads().await? {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            let bytes = self.bytes_of_upload(key, id).await?;
            if remove {
                self.abort_upload(key, id, key).await?;
            }
            let place = format!("s3://{}/{key} (unfinished upload {id})", self.place().bucket);
            leftovers.push(Leftover { place, bytes });
        }
        leftovers.extend(self.visit_orphans(remove).await?);
        leftovers.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(leftovers)
    }

    async fn unfinished_uploads(&self) -> Result<Vec<MultipartUpload>, StoreError> {
        let prefix = &self.place().prefix;
        let mut found = Vec::new();
        let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
        loop {
            let page = self.ask(|client| {
                client
                    .list_multipart_uploads()
                    .bucket(&self.place().bucket)
                    .set_prefix((!prefix.is_empty()).then(|| prefix.clone()))
                    .set_key_marker(key.clone())
                    .set_upload_id_marker(id.clone())
                    .send()
            });
            let page = page.await?.map_err(self.failed(LIST_UPLOADS, "*"))?;
            found.extend(page.uploads().iter().filter(|upload| self.is_left(upload)).cloned());
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let next = (
                page.next_key_marker().map(str::to_owned),
                page.next_upload_id_marker().map(str::to_owned),
            );
            if next.0.is_none() || next == (key, id) {
                return Err(self.endless("*"));
            }
            (key, id) = next;
        }
    }

    fn is_left(&self, upload: &MultipartUpload) -> bool {
        let ours = upload.key().is_some_and(|key| self.is_our_key(key));
        let under_way = upload.upload_id().is_none_or(|id| own().contains(id));
        let age = self.place().settings.leftover_age;
        let old = age.is_zero()
            || upload.initiated().is_some_and(|begun| {
                let seconds = SystemClock.now().timestamp().saturating_sub(begun.secs());
                u64::try_from(seconds).is_ok_and(|seconds| seconds >= age.as_secs())
            });
        ours && !under_way && old
    }

    async fn bytes_of_upload(&self, key: &str, id: &str) -> Result<u64, StoreError> {
        let mut bytes = 0;
        let mut marker: Option<String> = None;
        loop {
            let page = self.ask(|client| {
                client
                    .list_parts()
                    .bucket(&self.place().bucket)
                    .key(key)
                    .upload_id(id)
                    .set_part_number_marker(marker.clone())
                    .send()
            });
            let page = match page.await? {
                Ok(page) => page,
                // Its writer was faster.
                Err(error) if is_gone(Refusal::of(&error)) => return Ok(bytes),
                Err(error) => {
                    return Err(self.failed("s3:ListMultipartUploadParts", key)(error));
                }
            };
            let sizes = page.parts().iter().filter_map(|part| u64::try_from(part.size()?).ok());
            bytes += sizes.sum::<u64>();
            let next = page.next_part_number_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) || next.is_none() || next == marker {
                return Ok(bytes);
            }
            marker = next;
        }
    }

    /// Removes an upload; one that is gone is a success.
    pub(super) async fn abort_upload(
        &self,
        key: &str,
        id: &str,
        shown: &str,
    ) -> Result<(), StoreError> {
        let aborted = self.ask(|client| {
            client
                .abort_multipart_upload()
                .bucket(&self.place().bucket)
                .key(key)
                .upload_id(id)
                .send()
        });
        match aborted.await? {
            Err(error) if !is_gone(Refusal::of(&error)) => {
                Err(self.failed("s3:AbortMultipartUpload", shown)(error))
            }
            _ => Ok(()),
        }
    }
}

fn is_gone(refusal: Option<Refusal>) -> bool {
    refusal.is_some_and(|refusal| refusal.code == "NoSuchUpload" || refusal.status == 404)
}
