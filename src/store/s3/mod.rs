//! A store in a bucket of an S3-compatible service. `docs/stores.md` is its user's guide.
//!
//! Every object is one key below the prefix. A small one is written with one request, a larger one
//! in parts ([`writer`]). Nothing is asked of the service before the first call, which finds the
//! credentials too.
//!
//! Services differ. Where it is not known that this one refuses to overwrite, an object's name is
//! looked at before it is written ([`S3Store::adopt`] tells what is known).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use super::{
    Capabilities, Capability, Leftover, Lock, ObjectInfo, ObjectName, ObjectWriter, OldVersion,
    Retention, Store, StoreError, Tell, Verdict,
};
use crate::base::clock::{Clock, SystemClock};

mod client;
mod failure;
mod list;
mod locks;
mod patience;
mod place;
mod probe;
mod reader;
mod sum;
mod uploads;
mod versions;
mod writer;

use failure::{Asked, failure};
use place::Place;

/// How many names can be published at once where names are looked at first.
const TURNS: usize = 64;
/// The longest stretch that is asked of the bandwidth limit at once, in bytes.
const LIMITED_BYTES: usize = 64 << 10;
/// How often the bandwidth limit gives, in a second.
const LIMIT_REFILLS_PER_SECOND: u32 = 20;

/// A store in a bucket.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    /// Numbered, so that of many who find it out of date one makes the next.
    client: tokio::sync::Mutex<Option<(u64, Client)>>,
    outage: patience::Outage,
    /// Where one-sentence warnings go.
    tell: Tell,
    /// Parts under way, of all writers together: what bounds memory.
    parts: Arc<Semaphore>,
    limit: Option<leaky_bucket::RateLimiter>,
    /// Held from looking at a name until it is written, where looking is needed.
    turns: [tokio::sync::Mutex<()>; TURNS],
    known: Mutex<Known>,
    /// Whether the bucket ever kept versions.
    versioned: OnceCell<bool>,
    /// Set once the bucket was seen to be there.
    bucket_seen: AtomicBool,
    /// Set once an object's lock was seen at the service.
    lock_seen: OnceCell<()>,
}

/// What is known of the service.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// `If-None-Match: *` with an object that is written at once.
    conditional_put: Header,
    /// The same with one that is written in parts.
    conditional_multipart: Header,
    /// The checksum of what is written.
    checksum: Header,
}

/// What a service does about a header that not every service knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Header {
    /// Nobody looked: it is sent, and left out once it is refused. Where it is a condition, the name
    /// is looked at first as well.
    #[default]
    Unknown,
    /// It does what it should.
    Works,
    /// The service takes no notice of it, or refuses the whole request: it is not sent.
    Useless,
}

impl Header {
    fn from_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Yes => Self::Works,
            Verdict::No => Self::Useless,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

impl S3Store {
    /// The store of a URL; `rest` is what stands after `s3://`.
    pub(super) fn open(url: &str, rest: &str, tell: Tell) -> Result<Self, StoreError> {
        let place = Place::parse(url, rest)?;
        let limit = place.settings.bandwidth_bytes_per_second.map(|rate| {
            let per_refill = usize::try_from(rate / u64::from(LIMIT_REFILLS_PER_SECOND));
            leaky_bucket::RateLimiter::builder()
                .initial(0)
                .interval(Duration::from_secs(1) / LIMIT_REFILLS_PER_SECOND)
                .refill(per_refill.unwrap_or(usize::MAX))
                .max(usize::try_from(rate).unwrap_or(usize::MAX).max(LIMITED_BYTES))
                .build()
        });
        Ok(Self {
            inner: Arc::new(Inner {
                client: tokio::sync::Mutex::new(None),
                outage: patience::Outage::default(),
                tell,
                parts: Arc::new(Semaphore::new(place.settings.parallel)),
                limit,
                turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
                known: Mutex::default(),
                versioned: OnceCell::new(),
                bucket_seen: AtomicBool::new(false),
                lock_seen: OnceCell::new(),
                place,
            }),
        })
    }

    /// Takes over what an earlier [`Store::probe`] of this bucket found.
    pub(super) fn adopt(&self, capabilities: &Capabilities) {
        let header = |of| Header::from_verdict(capabilities.verdict(of));
        self.learn(|known| {
            known.conditional_put = header(Capability::ConditionalPut);
            known.conditional_multipart = header(Capability::ConditionalMultipart);
            known.checksum = header(Capability::ChecksumHeader);
        });
    }

    fn place(&self) -> &Place {
        &self.inner.place
    }

    async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.numbered_client().await?.1)
    }

    async fn numbered_client(&self) -> Result<(u64, Client), StoreError> {
        let mut current = self.inner.client.lock().await;
        if let Some((number, client)) = &*current {
            return Ok((*number, client.clone()));
        }
        // On the heap: it is large, and everything that asks for the client would be as large.
        let client = Box::pin(client::connect(self.place())).await?;
        Ok(current.insert((1, client)).clone())
    }

    /// Looks for credentials once more, unless somebody has meanwhile.
    async fn renew_client(&self, old: u64) -> Result<(), StoreError> {
        let mut current = self.inner.client.lock().await;
        if current.as_ref().is_some_and(|(number, _)| *number == old) {
            let client = Box::pin(client::connect(self.place())).await?;
            *current = Some((old + 1, client));
        }
        Ok(())
    }

    /// Tells the user something that does not end the command.
    fn tell(&self, sentence: &str) {
        (self.inner.tell)(sentence);
    }

    fn known(&self) -> Known {
        *self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, what: impl FnOnce(&mut Known)) {
        what(&mut self.inner.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// No service takes a lock without the checksum of what is locked.
    fn require_checksums(&self) -> Result<(), StoreError> {
        if self.known().checksum != Header::Useless {
            return Ok(());
        }
        Err(StoreError::NoObjectLock {
            location: self.location(),
            reason: "its service refuses the checksum that goes with a lock".to_owned(),
        })
    }

    /// An answer came that only a bucket which is there gives.
    fn bucket_is_there(&self) {
        self.inner.bucket_seen.store(true, Ordering::Relaxed);
    }

    fn knows_bucket(&self) -> bool {
        self.inner.bucket_seen.load(Ordering::Relaxed)
    }

    /// Waits until that many bytes may cross the network.
    async fn within_limit(&self, bytes: usize) {
        let Some(limit) = &self.inner.limit else { return };
        let mut left = bytes;
        while left > 0 {
            let now = left.min(LIMITED_BYTES);
            limit.acquire(now).await;
            left -= now;
        }
    }

    /// The turn of a key: within this process, one publishing at a time.
    fn turn(&self, key: &str) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.inner.turns[usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default()]
    }

    /// What a failed request means for an object, or for the prefix of a list.
    fn failed<E>(
        &self,
        action: &'static str,
        name: &str,
    ) -> impl Fn(SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        move |error| failure(Asked { place: self.place(), action, name }, &error)
    }

    fn io(&self, name: &str, source: io::Error) -> StoreError {
        StoreError::Io { location: self.location(), name: name.to_owned(), source }
    }

    /// The lock that the URL asks for.
    fn configured_lock(&self) -> Lock {
        let settings = &self.place().settings;
        Lock {
            retention: settings.retention.map(|(mode, days)| Retention {
                mode,
                until: SystemClock.now() + chrono::Duration::days(days.into()),
            }),
            legal_hold: settings.legal_hold,
        }
    }
}

#[async_trait]
impl Store for S3Store {
    fn location(&self) -> String {
        self.place().location()
    }

    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.create_locked(name, &self.configured_lock()).await
    }

    async fn create_locked(
        &self,
        name: &ObjectName,
        lock: &Lock,
    ) -> Result<Box<dyn ObjectWriter>, StoreError> {
        if !lock.is_none() {
            self.require_checksums()?;
        }
        self.client().await?;
        Ok(Box::new(writer::S3Writer::new(self.clone(), name.clone(), *lock)))
    }

    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        self.read(name, offset, length).await
    }

    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
        let head = self.head(name).await?;
        u64::try_from(head.content_length().unwrap_or(-1))
            .map_err(|_| self.io(name.as_str(), io::Error::other("the service tells no length")))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_objects(prefix).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.delete_object(name).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.visit_leftovers(false).await
    }

    async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.visit_leftovers(true).await
    }

    async fn lock_of(&self, name: &ObjectName) -> Result<Lock, StoreError> {
        self.lock_at_service(name).await
    }

    async fn lock(&self, name: &ObjectName, lock: &Lock) -> Result<(), StoreError> {
        self.lock_object(name, lock).await
    }

    async fn old_versions(&self, prefix: &str) -> Result<Vec<OldVersion>, StoreError> {
        self.list_old_versions(prefix).await
    }

    async fn bring_back(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.bring_back_oldest(name).await
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        probe::probe(self).await
    }
}
