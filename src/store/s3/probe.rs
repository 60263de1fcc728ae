//! What this bucket can do, seen with real objects.
//!
//! Everything is done to keys below [`PROBES`], which no object's name can reach. Where the bucket
//! keeps objects by a rule of its own, the probes ask for a retention of seconds instead. What
//! cannot be removed at the end is found as a leftover later.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{AggregatedBytes, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockMode,
};
use bytes::Bytes;

use super::super::capabilities::fresh;
use super::super::{Capabilities, Capability, StoreError, Verdict};
use super::S3Store;
use super::failure::Refusal;
use super::sum::Summed;
use super::uploads::OwnUpload;
use super::writer::PUT;
use crate::base::clock::{Clock, SystemClock};

/// What the keys of probes begin with, below the prefix. No object's name can.
pub(super) const PROBES: &str = ".strongroom-probe/";
/// How long a locked probe is retained, in seconds: enough for a slow answer.
const RETAINED_SECONDS: i64 = 8;
const CONTENTS: &[u8] = b"0123456789";
const OTHERS: &[u8] = b"overwritten";

pub(super) async fn probe(store: &S3Store) -> Result<Capabilities, StoreError> {
    let mut probe = Probe {
        store,
        prefix: format!("{}{PROBES}{}/", store.place().prefix, fresh("run")),
        short_retention: false,
        checksums: true,
        seen: Capabilities::new(),
    };
    let outcome = probe.run().await;
    // Also what a probe that failed half-way has written.
    let cleaned = probe.clean().await;
    outcome?;
    cleaned?;
    store.adopt(&probe.seen);
    if !store.configured_lock().is_none() {
        // Nothing is begun in a bucket that cannot keep the lock that its URL asks for.
        store.require_checksums()?;
        store.require_object_lock().await?;
    }
    Ok(probe.seen)
}

struct Probe<'s> {
    store: &'s S3Store,
    prefix: String,
    /// Whether every probe asks for a retention of seconds.
    short_retention: bool,
    /// Whether every probe carries its checksum.
    checksums: bool,
    seen: Capabilities,
}

/// How often something is sent.
#[derive(Clone, Copy)]
enum Tries {
    /// Until it is answered for good.
    UntilAnswered,
    /// Once: it is meant to be refused.
    One,
}

/// How a write went.
#[derive(Debug, PartialEq, Eq)]
enum Wrote {
    Yes,
    /// The name was taken.
    Refused,
    /// The service does not know the request in this form.
    NotKnown,
}

impl Probe<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        let lockable = self.retention_rule().await?;
        self.checksum_header().await?;
        self.conditional_put().await?;
        self.conditional_multipart().await?;
        self.checksums().await?;
        self.ranges().await?;
        self.listing_and_deleting().await?;
        self.versioning().await?;
        if lockable && self.checksums {
            self.object_lock().await?;
        }
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether the bucket can lock, and whether it does so unasked.
    async fn retention_rule(&mut self) -> Result<bool, StoreError> {
        match self.store.require_object_lock().await {
            Ok(Some(rule)) => {
                self.short_retention = true;
                let says = format!(
                    "the bucket locks every object by its own rule ({rule}); what is forgotten \
                     stays there as ciphertext until then"
                );
                self.seen.found(Capability::DefaultRetention, Verdict::Yes, says);
                Ok(true)
            }
            Ok(None) => {
                let says = "only objects that ask for a lock are locked";
                self.seen.found(Capability::DefaultRetention, Verdict::No, says);
                Ok(true)
            }
            Err(StoreError::NoObjectLock { reason, .. }) => {
                let says = format!("`lock` and `legal_hold` are refused here: {reason}");
                self.seen.found(Capability::ObjectLock, Verdict::No, says);
                let says = "the bucket locks nothing by itself";
                self.seen.found(Capability::DefaultRetention, Verdict::No, says);
                Ok(false)
            }
            Err(StoreError::Denied { action, .. }) => {
                let says = format!("it cannot be told without the permission {action}");
                self.seen.found(Capability::ObjectLock, Verdict::Unknown, says.clone());
                self.seen.found(Capability::DefaultRetention, Verdict::Unknown, says);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn retain_until(&self) -> Option<DateTime> {
        let until = SystemClock.now().timestamp() + RETAINED_SECONDS;
        self.short_retention.then(|| DateTime::from_secs(until))
    }

    /// One request that writes an object, as this probe writes now.
    async fn send(
        &self,
        key: &str,
        summed: &Summed,
        condition: bool,
        tries: Tries,
    ) -> Result<Result<(), SdkError<PutObjectError, HttpResponse>>, StoreError> {
        let until = self.retain_until();
        let algorithm = until.filter(|_| self.checksums).map(|_| ChecksumAlgorithm::Sha256);
        let send = |client: Client| {
            client
                .put_object()
                .bucket(&self.store.place().bucket)
                .key(key)
                .set_if_none_match(condition.then(|| "*".to_owned()))
                .set_checksum_sha256(self.checksums.then(|| summed.header()))
                .set_checksum_algorithm(algorithm.clone())
                .set_object_lock_mode(until.map(|_| ObjectLockMode::Governance))
                .set_object_lock_retain_until_date(until)
                .body(summed.body())
                .customize()
                .interceptor(summed.signature())
                .send()
        };
        let sent = match tries {
            Tries::UntilAnswered => self.store.ask(send).await?,
            Tries::One => Box::pin(send(self.store.client().await?)).await,
        };
        Ok(sent.map(drop))
    }

    async fn put(
        &self,
        key: &str,
        contents: &'static [u8],
        condition: bool,
    ) -> Result<Wrote, StoreError> {
        let summed = Summed::new(Bytes::from_static(contents));
        let Err(error) = self.send(key, &summed, condition, Tries::UntilAnswered).await? else {
            return Ok(Wrote::Yes);
        };
        match Refusal::of(&error) {
            Some(refusal) if refusal.status == 412 || refusal.status == 409 => Ok(Wrote::Refused),
            // Whether it is the condition shows where the same is written without.
            Some(refusal) if condition && refusal.may_be_about_a_header() => {
                match self.send(key, &summed, false, Tries::UntilAnswered).await? {
                    Ok(()) => Ok(Wrote::NotKnown),
                    Err(other) => Err(self.store.failed(PUT, key)(other)),
                }
            }
            _ => Err(self.store.failed(PUT, key)(error)),
        }
    }

    /// Whether a write may carry its checksum. Where it may not, no other probe's does.
    async fn checksum_header(&mut self) -> Result<(), StoreError> {
        let key = self.key("summed");
        let summed = Summed::new(Bytes::from_static(CONTENTS));
        let says = match self.send(&key, &summed, false, Tries::UntilAnswered).await? {
            Ok(()) => "each write carries its SHA-256 in a header of its own",
            Err(error) if Refusal::of(&error).is_some_and(|r| r.may_be_about_a_header()) => {
                self.checksums = false;
                if self.send(&key, &summed, false, Tries::UntilAnswered).await?.is_err() {
                    return Err(self.store.failed(PUT, &key)(error));
                }
                "the service refuses checksums in headers: writes carry none, and nothing is locked"
            }
            Err(error) => return Err(self.store.failed(PUT, &key)(error)),
        };
        let verdict = if self.checksums { Verdict::Yes } else { Verdict::No };
        self.seen.found(Capability::ChecksumHeader, verdict, says);
        if !self.checksums {
            let says = "`lock` and `legal_hold` are refused here: no lock without a checksum";
            self.seen.found(Capability::ObjectLock, Verdict::No, says);
        }
        Ok(())
    }

    async fn conditional_put(&mut self) -> Result<(), StoreError> {
        let key = self.key("once");
        let first = self.put(&key, CONTENTS, true).await?;
        let second = self.put(&key, OTHERS, true).await?;
        let (verdict, says) = match (first, second) {
            (Wrote::Yes, Wrote::Refused) => {
                (Verdict::Yes, "the service itself refuses to overwrite an object")
            }
            (Wrote::NotKnown, _) | (_, Wrote::NotKnown) => (
                Verdict::No,
                "the service refuses `If-None-Match`: strongroom looks at each name before it \
                 writes, and the vault's lock keeps other writers out",
            ),
            _ => (
                Verdict::No,
                "the service answers yes to `If-None-Match` and overwrites: strongroom looks at \
                 each name before it writes, and the vault's lock keeps other writers out",
            ),
        };
        self.seen.found(Capability::ConditionalPut, verdict, says);
        Ok(())
    }

    async fn conditional_multipart(&mut self) -> Result<(), StoreError> {
        let key = self.key("once-in-parts");
        self.put(&key, CONTENTS, false).await?;
        let (verdict, says) = match self.put_in_parts(&key).await? {
            Wrote::Refused => (Verdict::Yes, "a large object does not replace another either"),
            Wrote::NotKnown | Wrote::Yes => (
                Verdict::No,
                "a large object would replace another: strongroom looks at each name before it \
                 completes one, and the vault's lock keeps other writers out",
            ),
        };
        self.seen.found(Capability::ConditionalMultipart, verdict, says);
        Ok(())
    }

    /// One part, completed under a name that is taken.
    async fn put_in_parts(&self, key: &str) -> Result<Wrote, StoreError> {
        let bucket = &self.store.place().bucket;
        let until = self.retain_until();
        let begun = self.store.ask(|client| {
            client
                .create_multipart_upload()
                .bucket(bucket)
                .key(key)
                .set_checksum_algorithm(self.checksums.then_some(ChecksumAlgorithm::Sha256))
                .set_object_lock_mode(until.map(|_| ObjectLockMode::Governance))
                .set_object_lock_retain_until_date(until)
                .send()
        });
        let begun = begun.await?.map_err(self.store.failed(PUT, key))?;
        let id = OwnUpload::new(begun.upload_id().unwrap_or_default());
        let summed = Summed::new(Bytes::from_static(OTHERS));
        let algorithm = until.filter(|_| self.checksums).map(|_| ChecksumAlgorithm::Sha256);
        let sent = self.store.ask(|client| {
            client
                .upload_part()
                .bucket(bucket)
                .key(key)
                .upload_id(id.as_str())
                .part_number(1)
                .set_checksum_sha256(self.checksums.then(|| summed.header()))
                .set_checksum_algorithm(algorithm.clone())
                .body(summed.body())
                .customize()
                .interceptor(summed.signature())
                .send()
        });
        let sent = sent.await?.map_err(self.store.failed(PUT, key))?;
        let part = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(sent.e_tag().map(str::to_owned))
            .set_checksum_sha256(self.checksums.then(|| summed.header()))
            .build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let completed = self.store.ask(|client| {
            client
                .complete_multipart_upload()
                .bucket(bucket)
                .key(key)
                .upload_id(id.as_str())
                .multipart_upload(parts.clone())
                .if_none_match("*")
                .send()
        });
        let completed = completed.await?;
        let Err(error) = completed else { return Ok(Wrote::Yes) };
        self.store.abort_upload(key, id.as_str(), key).await?;
        match Refusal::of(&error) {
            Some(refusal) if refusal.status == 412 || refusal.status == 409 => Ok(Wrote::Refused),
            Some(refusal) if refusal.may_be_about_a_header() => Ok(Wrote::NotKnown),
            _ => Err(self.store.failed(PUT, key)(error)),
        }
    }

    async fn checksums(&mut self) -> Result<(), StoreError> {
        // The sum of nothing, which is not what is sent.
        let nothing = Summed::new(Bytes::new()).sum();
        let changed = Summed::known(Bytes::from_static(CONTENTS), nothing);
        let key = self.key("changed");
        let refused = match self.send(&key, &changed, false, Tries::One).await? {
            Ok(()) => false,
            Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.status == 400) => true,
            Err(error) => return Err(self.store.failed(PUT, &key)(error)),
        };
        let (verdict, says) = if refused {
            (Verdict::Yes, "the service refuses bytes that were changed on their way")
        } else {
            (
                Verdict::No,
                "bytes that change on their way are not noticed by the service, but by the next \
                 `verify`",
            )
        };
        self.seen.found(Capability::Checksums, verdict, says);
        Ok(())
    }

    async fn ranges(&mut self) -> Result<(), StoreError> {
        let key = self.key("range");
        self.put(&key, CONTENTS, false).await?;
        let bucket = &self.store.place().bucket;
        let answer = self
            .store
            .ask(|client| client.get_object().bucket(bucket).key(&key).range("bytes=3-6").send());
        let answer = answer.await?.map_err(self.store.failed("s3:GetObject", &key))?;
        let named = answer.content_range().is_some_and(|range| range.starts_with("bytes 3-6/10"));
        let body = answer.body.collect().await.map(AggregatedBytes::into_bytes);
        let (verdict, says) = if named && body.is_ok_and(|body| body == CONTENTS[3..7]) {
            (Verdict::Yes, "parts of objects are read by themselves")
        } else {
            (Verdict::No, "parts of objects cannot be read: a vault cannot live here")
        };
        self.seen.found(Capability::Ranges, verdict, says);
        Ok(())
    }

    async fn listing_and_deleting(&mut self) -> Result<(), StoreError> {
        let key = self.key("listed");
        self.put(&key, CONTENTS, false).await?;
        let listed = self.is_listed(&key).await?;
        let deleted = self.store.delete_key(&key, &key).await;
        let (verdict, says) = match deleted {
            // Retention of seconds: the end of the probe tells.
            Err(StoreError::Retained { .. }) => (Verdict::Yes, None),
            Err(StoreError::Denied { action, .. }) => {
                (Verdict::No, Some(format!("nothing can be removed without {action}")))
            }
            Err(error) => return Err(error),
            Ok(()) if self.is_listed(&key).await? => {
                (Verdict::No, Some("what was deleted is still listed".to_owned()))
            }
            Ok(()) if !self.store.key_is_gone(&key).await? => {
                (Verdict::No, Some("versions remain of what was deleted".to_owned()))
            }
            Ok(()) => (Verdict::Yes, None),
        };
        let says = says.unwrap_or_else(|| "what is deleted is gone, with all its versions".into());
        self.seen.found(Capability::Deleting, verdict, says);
        let (verdict, says) = if listed {
            (Verdict::Yes, "what is written is listed at once")
        } else {
            (Verdict::No, "lists lag behind: `prune` and `verify` cannot rely on them")
        };
        self.seen.found(Capability::Listing, verdict, says);
        Ok(())
    }

    async fn is_listed(&self, key: &str) -> Result<bool, StoreError> {
        let bucket = &self.store.place().bucket;
        let page =
            self.store.ask(|client| client.list_objects_v2().bucket(bucket).prefix(key).send());
        let page = page.await?.map_err(self.store.failed(super::list::LIST, key))?;
        Ok(page.contents().iter().any(|object| object.key() == Some(key)))
    }

    async fn versioning(&mut self) -> Result<(), StoreError> {
        let key = self.key("versions");
        self.put(&key, CONTENTS, false).await?;
        self.put(&key, OTHERS, false).await?;
        let (verdict, says) = if self.store.counted_versions(&key).await? == 2 {
            (
                Verdict::Yes,
                "an overwritten or deleted object stays below as a version; deleting removes all",
            )
        } else {
            (Verdict::No, "whoever can write here can destroy objects for good")
        };
        self.seen.found(Capability::Versioning, verdict, says);
        Ok(())
    }

    async fn object_lock(&mut self) -> Result<(), StoreError> {
        let key = self.key("locked");
        let before = std::mem::replace(&mut self.short_retention, true);
        let wrote = self.put(&key, CONTENTS, false).await;
        self.short_retention = before;
        let (verdict, says) = match wrote {
            Err(StoreError::Denied { .. }) => (
                Verdict::No,
                "objects cannot be locked without the permission s3:PutObjectRetention".to_owned(),
            ),
            Err(error) => return Err(error),
            Ok(_) => match self.store.delete_key(&key, &key).await {
                Err(StoreError::Retained { .. }) => {
                    (Verdict::Yes, "a locked object cannot be deleted before its date".to_owned())
                }
                Ok(()) => (
                    Verdict::No,
                    "the service takes a retention date, and deletes nevertheless: `lock` \
                     protects nothing here"
                        .to_owned(),
                ),
                Err(error) => return Err(error),
            },
        };
        self.seen.found(Capability::ObjectLock, verdict, says);
        Ok(())
    }

    /// Removes all probes of this run, waiting for the locks on them to end.
    async fn clean(&self) -> Result<(), StoreError> {
        let deadline = tokio::time::Instant::now()
            + Duration::from_secs(u64::try_from(RETAINED_SECONDS).unwrap_or(0) + 4);
        loop {
            let mut held = false;
            for key in self.store.keys_below(&self.prefix).await? {
                match self.store.delete_key(&key, &key).await {
                    Err(StoreError::Retained { .. }) => held = true,
                    // The finding of `deleting` tells already.
                    Err(StoreError::Denied { .. }) => return Ok(()),
                    outcome => outcome?,
                }
            }
            if !held || tokio::time::Instant::now() > deadline {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
