//! One object on its way into a bucket.
//!
//! Bytes are gathered until they fill a part. An object that never does is written with one
//! request; the parts of others go up side by side. Memory is bounded by one part for each open
//! writer and `parallel` parts for all writers of a store together.
//!
//! Invariant: a name is never published over another's. Each write carries a random mark, so that
//! a writer whose answer was lost knows its own object from a stranger's.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockLegalHoldStatus,
    ObjectLockMode,
};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::super::{Lock, ObjectName, ObjectWriter, RetentionMode, StoreError, Written};
use super::failure::Refusal;
use super::sum::Summed;
use super::{Header, Known, S3Store};
use crate::base::digest::RunningDigest;
use crate::base::{durable, random};

/// The metadata that holds a write's mark.
const MARK: &str = "strongroom-write";
/// What writing an object needs.
pub(super) const PUT: &str = "s3:PutObject";
/// How many parts S3 allows.
const PARTS_MAX: usize = 10_000;
/// How often a name is tried again that someone else is writing at the same moment.
const CONFLICTS_MAX: u32 = 5;
/// The pause before that, times the number of tries.
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// Writes one object. Dropped, it has its unfinished upload removed.
pub(super) struct S3Writer {
    target: Target,
    buffer: BytesMut,
    sha256: RunningDigest,
    bytes: u64,
    upload: Option<Upload>,
    /// Set by the first error: nothing can be written any more.
    failed: bool,
}

/// What is written, and how.
#[derive(Clone)]
struct Target {
    store: S3Store,
    name: ObjectName,
    key: String,
    lock: Lock,
    mark: String,
}

/// An upload in parts. Dropped, it stops and is removed from the service.
struct Upload {
    store: S3Store,
    key: String,
    id: super::uploads::OwnUpload,
    /// Whether it was begun with a checksum for each part, and so each must have one.
    with_sums: bool,
    parts: JoinSet<Result<CompletedPart, StoreError>>,
    done: Vec<CompletedPart>,
    begun: usize,
    completed: bool,
}

/// How publishing went.
enum Published {
    Yes,
    Taken,
    /// The service refused the request as it was; with less asked of it, it may work.
    Again,
}

impl S3Writer {
    pub(super) fn new(store: S3Store, name: ObjectName, lock: Lock) -> Self {
        let key = store.place().key(&name);
        let mark = hex::encode(random::bytes::<16>(&mut random::system()));
        Self {
            target: Target { store, name, key, lock, mark },
            buffer: BytesMut::new(),
            sha256: RunningDigest::default(),
            bytes: 0,
            upload: None,
            failed: false,
        }
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.sha256.update(&bytes);
        self.bytes += bytes.len() as u64;
        let part_bytes = self.target.store.place().settings.part_bytes;
        while !bytes.is_empty() {
            let room = part_bytes - self.buffer.len();
            self.buffer.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.buffer.len() == part_bytes {
                let part = self.buffer.split().freeze();
                self.begin_part(part).await?;
            }
        }
        Ok(())
    }

    async fn begin_part(&mut self, part: Bytes) -> Result<(), StoreError> {
        if self.upload.is_none() {
            self.upload = Some(self.target.begin_upload().await?);
        }
        match &mut self.upload {
            Some(upload) => upload.begin_part(&self.target, part).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ObjectWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.failed {
            return Err(self.target.earlier_failure());
        }
        let outcome = self.take(bytes).await;
        self.failed = outcome.is_err();
        outcome
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, StoreError> {
        if self.failed {
            return Err(self.target.earlier_failure());
        }
        let last = self.buffer.split().freeze();
        let sha256 = self.sha256.clone().finish();
        match self.upload.take() {
            None => self.target.publish(Whole::One(Summed::known(last, sha256))).await?,
            Some(mut upload) => {
                if !last.is_empty() {
                    upload.begin_part(&self.target, last).await?;
                }
                upload.wait_for_parts(&self.target).await?;
                self.target.publish(Whole::Parts(&mut upload)).await?;
            }
        }
        self.target.confirm_lock().await?;
        Ok(Written { bytes: self.bytes, sha256 })
    }

    #[cfg(debug_assertions)]
    async fn abandon(mut self: Box<Self>) {
        // What is gathered goes up as a part, so that there is something to be left behind.
        let gathered = self.buffer.split().freeze();
        if !gathered.is_empty() {
            let _ = self.begin_part(gathered).await;
        }
        if let Some(upload) = &mut self.upload {
            let _ = upload.wait_for_parts(&self.target).await;
            upload.completed = true;
        }
    }
}

/// All bytes of an object, as they are published.
enum Whole<'u> {
    One(Summed),
    Parts(&'u mut Upload),
}

impl Target {
    fn earlier_failure(&self) -> StoreError {
        self.store.io(self.name.as_str(), io::Error::other("an earlier write failed"))
    }

    fn taken(&self) -> StoreError {
        let location = self.store.place().location();
        StoreError::AlreadyExists { location, name: self.name.to_string() }
    }

    /// Makes the object visible under its name, or tells that the name is another's.
    async fn publish(&self, mut whole: Whole<'_>) -> Result<(), StoreError> {
        let mut conflicts = 0;
        loop {
            let known = self.store.known();
            let condition = match whole {
                Whole::One(_) => known.conditional_put,
                Whole::Parts(_) => known.conditional_multipart,
            };
            let looks = condition != Header::Works;
            let _turn = if looks { Some(self.store.turn(&self.key).lock().await) } else { None };
            if looks && self.store.is_there(&self.key, self.name.as_str()).await? {
                return if self.is_mine().await? { Ok(()) } else { Err(self.taken()) };
            }
            let conditional = condition != Header::Useless;
            let published = Box::pin(durable::step_async("store-publish", async {
                match &mut whole {
                    Whole::One(summed) => self.put(summed, conditional).await,
                    Whole::Parts(upload) => self.complete(upload, conditional).await,
                }
            }));
            match published.await? {
                Published::Yes => return Ok(()),
                Published::Taken => return Err(self.taken()),
                Published::Again if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    tokio::time::sleep(CONFLICT_PAUSE * conflicts).await;
                }
                Published::Again => {
                    let busy = io::Error::other("others keep writing the same name");
                    return Err(self.store.io(self.name.as_str(), busy));
                }
            }
        }
    }

    async fn put(&self, summed: &Summed, conditional: bool) -> Result<Published, StoreError> {
        let settings = &self.store.place().settings;
        let known = self.store.known();
        let with_sum = known.checksum != Header::Useless;
        let send = async |client: Client| {
            self.store.within_limit(summed.len()).await;
            client
                .put_object()
                .bucket(&self.store.place().bucket)
                .key(&self.key)
                .set_if_none_match(conditional.then(|| "*".to_owned()))
                .set_checksum_sha256(with_sum.then(|| summed.header()))
                .set_checksum_algorithm(self.algorithm_of_lock())
                .metadata(MARK, &self.mark)
                .set_storage_class(settings.storage_class.as_deref().map(Into::into))
                .set_server_side_encryption(settings.sse.as_deref().map(Into::into))
                .set_ssekms_key_id(settings.sse_kms_key.clone())
                .set_object_lock_mode(self.lock_mode())
                .set_object_lock_retain_until_date(self.lock_date())
                .set_object_lock_legal_hold_status(self.legal_hold())
                .body(summed.body())
                .customize()
                .interceptor(summed.signature())
                .send()
                .await
        };
        let sent = self.store.ask(send).await?;
        match sent {
            Ok(_) => Ok(Published::Yes),
            Err(error) => match Refusal::of(&error) {
                Some(refusal) => {
                    let learn = |known: &mut Known| known.conditional_put = Header::Useless;
                    let condition = conditional.then_some(known.conditional_put);
                    let sum = with_sum.then_some(known.checksum);
                    self.weigh(&refusal, learn, condition, sum)
                        .await?
                        .ok_or_else(|| self.store.failed(PUT, self.name.as_str())(error))
                }
                None => Err(self.store.failed(PUT, self.name.as_str())(error)),
            },
        }
    }

    async fn complete(
        &self,
        upload: &mut Upload,
        conditional: bool,
    ) -> Result<Published, StoreError> {
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(upload.done.clone())).build();
        let sent = self.store.ask(|client| {
            client
                .complete_multipart_upload()
                .bucket(&self.store.place().bucket)
                .key(&self.key)
                .upload_id(upload.id.as_str())
                .multipart_upload(parts.clone())
                .set_if_none_match(conditional.then(|| "*".to_owned()))
                .send()
        });
        let sent = sent.await?;
        match sent {
            Ok(_) => {
                upload.completed = true;
                Ok(Published::Yes)
            }
            Err(error) => match Refusal::of(&error) {
                // An earlier try did it, and its answer was lost.
                Some(refusal) if refusal.code == "NoSuchUpload" && self.is_mine().await? => {
                    upload.completed = true;
                    Ok(Published::Yes)
                }
                Some(refusal) => {
                    let learn = |known: &mut Known| known.conditional_multipart = Header::Useless;
                    let condition = conditional.then(|| self.store.known().conditional_multipart);
                    let outcome = self.weigh(&refusal, learn, condition, None).await?;
                    upload.completed = matches!(outcome, Some(Published::Yes));
                    outcome.ok_or_else(|| self.store.failed(PUT, self.name.as_str())(error))
                }
                None => Err(self.store.failed(PUT, self.name.as_str())(error)),
            },
        }
    }

    /// What a refusal to publish means; nothing where it is an ordinary failure. A header that the
    /// service may not know, and of which no probe saw that it does, is left out from then on: the
    /// one that the refusal names, else one after the other.
    async fn weigh(
        &self,
        refusal: &Refusal,
        learn: impl FnOnce(&mut Known),
        condition: Option<Header>,
        sum: Option<Header>,
    ) -> Result<Option<Published>, StoreError> {
        match refusal.status {
            412 if self.is_mine().await? => return Ok(Some(Published::Yes)),
            412 => return Ok(Some(Published::Taken)),
            // Another writer of the same name is at work at the same moment.
            409 if refusal.code == "ConditionalRequestConflict" => {
                return Ok(Some(Published::Again));
            }
            400 | 404 | 501 if !self.lock.is_none() => {
                self.store.require_object_lock().await?;
            }
            _ => {}
        }
        if !refusal.may_be_about_a_header() {
            return Ok(None);
        }
        let names_sum = refusal.names("checksum");
        if condition == Some(Header::Unknown) && !names_sum {
            self.store.learn(learn);
            return Ok(Some(Published::Again));
        }
        if sum == Some(Header::Unknown) && (names_sum || self.lock.is_none()) {
            self.leave_out_sums()?;
            return Ok(Some(Published::Again));
        }
        Ok(None)
    }

    /// The service refuses checksums in headers: no write of this process carries one any more.
    fn leave_out_sums(&self) -> Result<(), StoreError> {
        self.store.learn(|known| known.checksum = Header::Useless);
        if self.lock.is_none() { Ok(()) } else { self.store.require_checksums() }
    }

    /// The service asks for the algorithm's name where a lock goes with the write.
    fn algorithm_of_lock(&self) -> Option<ChecksumAlgorithm> {
        (!self.lock.is_none()).then_some(ChecksumAlgorithm::Sha256)
    }

    /// Whether the object under the name carries this write's mark.
    async fn is_mine(&self) -> Result<bool, StoreError> {
        match self.store.head(&self.name).await {
            Ok(head) => Ok(head.metadata().and_then(|all| all.get(MARK)) == Some(&self.mark)),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks once a process whether the service really locks what it was told to lock.
    async fn confirm_lock(&self) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Ok(());
        }
        let look = async || {
            let found = self.store.lock_at_service(&self.name).await?;
            let held = found.retention.is_some() || self.lock.retention.is_none();
            if held && (found.legal_hold || !self.lock.legal_hold) {
                return Ok(());
            }
            Err(StoreError::NoObjectLock {
                location: self.store.place().location(),
                reason: "it took an object that was to be locked, and did not lock it".to_owned(),
            })
        };
        self.store.inner.lock_seen.get_or_try_init(look).await.copied()
    }

    async fn begin_upload(&self) -> Result<Upload, StoreError> {
        let settings = &self.store.place().settings;
        let begun = loop {
            let sum = self.store.known().checksum;
            let algorithm = (sum != Header::Useless).then_some(ChecksumAlgorithm::Sha256);
            let begun = self.store.ask(|client| {
                client
                    .create_multipart_upload()
                    .bucket(&self.store.place().bucket)
                    .key(&self.key)
                    .set_checksum_algorithm(algorithm.clone())
                    .metadata(MARK, &self.mark)
                    .set_storage_class(settings.storage_class.as_deref().map(Into::into))
                    .set_server_side_encryption(settings.sse.as_deref().map(Into::into))
                    .set_ssekms_key_id(settings.sse_kms_key.clone())
                    .set_object_lock_mode(self.lock_mode())
                    .set_object_lock_retain_until_date(self.lock_date())
                    .set_object_lock_legal_hold_status(self.legal_hold())
                    .send()
            });
            match begun.await? {
                Ok(begun) => break begun,
                Err(error) => {
                    let refusal = Refusal::of(&error);
                    let about_sums = |r: &Refusal| r.may_be_about_a_header() && r.names("checksum");
                    if sum == Header::Unknown && refusal.as_ref().is_some_and(about_sums) {
                        self.leave_out_sums()?;
                        continue;
                    }
                    if !self.lock.is_none() && refusal.is_some_and(|r| r.status != 403) {
                        self.store.require_object_lock().await?;
                    }
                    return Err(self.store.failed(PUT, self.name.as_str())(error));
                }
            }
        };
        let Some(id) = begun.upload_id() else {
            let nameless = io::Error::other("the service began an upload without a name");
            return Err(self.store.io(self.name.as_str(), nameless));
        };
        Ok(Upload {
            store: self.store.clone(),
            key: self.key.clone(),
            id: super::uploads::OwnUpload::new(id),
            with_sums: self.store.known().checksum != Header::Useless,
            parts: JoinSet::new(),
            done: Vec::new(),
            begun: 0,
            completed: false,
        })
    }

    async fn send_part(
        &self,
        upload: String,
        number: i32,
        part: Summed,
        with_sum: bool,
    ) -> Result<CompletedPart, StoreError> {
        let send = async |client: Client| {
            self.store.within_limit(part.len()).await;
            client
                .upload_part()
                .bucket(&self.store.place().bucket)
                .key(&self.key)
                .upload_id(&upload)
                .part_number(number)
                .set_checksum_sha256(with_sum.then(|| part.header()))
                .set_checksum_algorithm(self.algorithm_of_lock())
                .body(part.body())
                .customize()
                .interceptor(part.signature())
                .send()
                .await
        };
        let send = async {
            self.store.ask(send).await?.map_err(self.store.failed(PUT, self.name.as_str()))
        };
        let sent = durable::step_async("store-write", send).await?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag().map(str::to_owned))
            .set_checksum_sha256(with_sum.then(|| part.header()))
            .build())
    }

    fn lock_mode(&self) -> Option<ObjectLockMode> {
        self.lock.retention.map(|retention| match retention.mode {
            RetentionMode::Governance => ObjectLockMode::Governance,
            RetentionMode::Compliance => ObjectLockMode::Compliance,
        })
    }

    fn lock_date(&self) -> Option<DateTime> {
        self.lock.retention.map(|retention| DateTime::from_secs(retention.until.timestamp()))
    }

    fn legal_hold(&self) -> Option<ObjectLockLegalHoldStatus> {
        self.lock.legal_hold.then_some(ObjectLockLegalHoldStatus::On)
    }
}

impl Upload {
    /// Sends a part once there is room for it; tells the failures of earlier ones.
    async fn begin_part(&mut self, target: &Target, part: Bytes) -> Result<(), StoreError> {
        while let Some(ended) = self.parts.try_join_next() {
            self.keep(target, ended)?;
        }
        self.begun += 1;
        if self.begun > PARTS_MAX {
            let part_mib = target.store.place().settings.part_bytes >> 20;
            let text = format!("it has more than {PARTS_MAX} parts of {part_mib} MiB");
            return Err(target.store.io(target.name.as_str(), io::Error::other(text)));
        }
        let permit = target.store.inner.parts.clone().acquire_owned().await;
        let permit = permit
            .map_err(|closed| target.store.io(target.name.as_str(), io::Error::other(closed)))?;
        let number = i32::try_from(self.begun).unwrap_or(i32::MAX);
        let (target, id) = (target.clone(), self.id.as_str().to_owned());
        let with_sums = self.with_sums;
        self.parts.spawn(async move {
            let sent = target.send_part(id, number, Summed::new(part), with_sums).await;
            drop(permit);
            sent
        });
        Ok(())
    }

    async fn wait_for_parts(&mut self, target: &Target) -> Result<(), StoreError> {
        while let Some(ended) = self.parts.join_next().await {
            self.keep(target, ended)?;
        }
        self.done.sort_by_key(CompletedPart::part_number);
        Ok(())
    }

    fn keep(
        &mut self,
        target: &Target,
        ended: Result<Result<CompletedPart, StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let lost = |error| target.store.io(target.name.as_str(), io::Error::other(error));
        self.done.push(ended.map_err(lost)??);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.parts.abort_all();
        // Without a runtime the process is ending: the next prune removes it.
        if !self.completed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (store, key, id) = (self.store.clone(), self.key.clone(), self.id.clone());
            runtime.spawn(async move {
                // Where this fails too, the next prune removes it.
                let _ = store.abort_upload(&key, id.as_str(), "").await;
            });
        }
    }
}
