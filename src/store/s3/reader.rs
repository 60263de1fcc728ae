//! Reading: ranges of objects, taken up again where a body breaks off.

use std::io;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use bytes::{Bytes, BytesMut};

use super::super::{ObjectName, StoreError};
use super::S3Store;
use super::failure::{Passing, Refusal};

impl S3Store {
    /// What the service tells of an object without its bytes.
    pub(super) async fn head(&self, name: &ObjectName) -> Result<HeadObjectOutput, StoreError> {
        self.head_key(&self.place().key(name), name.as_str()).await
    }

    pub(super) async fn head_key(
        &self,
        key: &str,
        name: &str,
    ) -> Result<HeadObjectOutput, StoreError> {
        let bucket = &self.place().bucket;
        let head = self.ask(|client| client.head_object().bucket(bucket).key(key).send()).await?;
        let error = match head {
            Ok(head) => {
                self.bucket_is_there();
                return Ok(head);
            }
            Err(error) => error,
        };
        let failed = self.failed("s3:GetObject", name);
        // The answer to HEAD has no body that could say why. Where the bucket is known to be there, a
        // 404 is about the object; else reading the first byte tells.
        match Refusal::of(&error) {
            None => Err(failed(error)),
            Some(refusal) if refusal.status == 404 && self.knows_bucket() => Err(failed(error)),
            Some(_) => {
                let telling = self.ask(|client| {
                    client.get_object().bucket(bucket).key(key).range("bytes=0-0").send()
                });
                match telling.await? {
                    Ok(_) => Err(failed(error)),
                    Err(telling) => {
                        let told = Refusal::of(&telling);
                        if told.is_some_and(|told| told.code == "NoSuchKey") {
                            self.bucket_is_there();
                        }
                        Err(self.failed("s3:GetObject", name)(telling))
                    }
                }
            }
        }
    }

    /// Whether a key is taken.
    pub(super) async fn is_there(&self, key: &str, name: &str) -> Result<bool, StoreError> {
        let bucket = &self.place().bucket;
        match self.ask(|client| client.head_object().bucket(bucket).key(key).send()).await? {
            Ok(_) => Ok(true),
            Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.status == 404) => {
                Ok(false)
            }
            Err(_) => match self.head_key(key, name).await {
                Ok(_) => Ok(true),
                Err(StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    pub(super) async fn read(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let end = offset.checked_add(length).filter(|_| length > 0);
        let Some(end) = end else {
            // An empty range, or one beyond all numbers: only the object's length is asked for.
            let size = self.head(name).await?.content_length().unwrap_or(0);
            let available = u64::try_from(size).unwrap_or(0).saturating_sub(offset);
            let inside = length == 0 && offset <= u64::try_from(size).unwrap_or(0);
            return if inside {
                Ok(Bytes::new())
            } else {
                Err(self.short(name, offset, length, available))
            };
        };
        let mut read = BytesMut::new();
        let mut patience = self.patience();
        loop {
            let at = offset + read.len() as u64;
            let wanted = end - at;
            let answer = self.ask_range(name, at, end, (offset, length)).await?;
            if read.is_empty() {
                let wanted = usize::try_from(wanted)
                    .map_err(|too_long| self.io(name.as_str(), io::Error::other(too_long)))?;
                read.reserve(wanted);
            }
            let before = read.len();
            match self.receive(answer, wanted, &mut read).await {
                Ok(()) => return Ok(read.freeze()),
                Err(broken) => {
                    // A body that moves on is not given up; one that does not is, in the end.
                    if read.len() > before {
                        patience.moved();
                    }
                    let said =
                        format!("the store {} breaks off ({broken})", self.place().location());
                    if !patience.again(Passing::Away, None, &said).await {
                        return Err(self.io(name.as_str(), broken));
                    }
                }
            }
        }
    }

    /// Asks for `at..end`, and makes sure that what comes is exactly that.
    async fn ask_range(
        &self,
        name: &ObjectName,
        at: u64,
        end: u64,
        whole: (u64, u64),
    ) -> Result<GetObjectOutput, StoreError> {
        let asked = self.ask(|client| {
            let request = client.get_object().bucket(&self.place().bucket);
            request.key(self.place().key(name)).range(format!("bytes={at}-{}", end - 1)).send()
        });
        let answer = match asked.await? {
            Ok(answer) => answer,
            Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.status == 416) => {
                let size = self.head(name).await?.content_length().unwrap_or(0);
                let available = u64::try_from(size).unwrap_or(0).saturating_sub(whole.0);
                return Err(self.short(name, whole.0, whole.1, available));
            }
            Err(error) => return Err(self.failed("s3:GetObject", name.as_str())(error)),
        };
        let comes = u64::try_from(answer.content_length().unwrap_or(-1)).ok();
        match answer.content_range().and_then(first_and_size) {
            Some((first, size)) if first == at && size < end => {
                Err(self.short(name, whole.0, whole.1, size.saturating_sub(whole.0)))
            }
            Some((first, _)) if first == at && comes == Some(end - at) => Ok(answer),
            // A service may answer a range that is the whole object without naming it.
            None if at == 0 && comes == Some(end) => Ok(answer),
            None if at == 0 && comes.is_some_and(|comes| comes < end) => {
                Err(self.short(name, whole.0, whole.1, comes.unwrap_or(0)))
            }
            _ => Err(self.io(
                name.as_str(),
                io::Error::other("the service answered with another range than it was asked for"),
            )),
        }
    }

    /// Appends the body; after an error, what came before it.
    async fn receive(
        &self,
        answer: GetObjectOutput,
        wanted: u64,
        read: &mut BytesMut,
    ) -> Result<(), io::Error> {
        let mut left = wanted;
        let mut body = answer.body;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| io::Error::other(super::failure::text_of(&error)))?;
            self.within_limit(chunk.len()).await;
            left = left
                .checked_sub(chunk.len() as u64)
                .ok_or_else(|| io::Error::other("the service sent more bytes than it announced"))?;
            read.extend_from_slice(&chunk);
        }
        match left {
            0 => Ok(()),
            left => Err(io::Error::other(format!("the answer ended {left} bytes early"))),
        }
    }

    fn short(&self, name: &ObjectName, offset: u64, length: u64, available: u64) -> StoreError {
        let location = self.place().location();
        StoreError::ShortRead { location, name: name.to_string(), offset, length, available }
    }
}

/// The first byte and the object's length from `bytes 3-6/10`.
fn first_and_size(content_range: &str) -> Option<(u64, u64)> {
    let (range, size) = content_range.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, size.trim().parse().ok()?))
}
