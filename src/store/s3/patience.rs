//! Requests that fail for a reason that passes are sent again: after a random pause that doubles, or
//! after the pause that the service asks for, for as long as the store's patience lasts.
//!
//! Patience is counted from the request's beginning, and from the moment on in which the service
//! answered nothing any more: what is asked while it is away already does not wait all over again.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use rand::RngExt;

use super::super::StoreError;
use super::S3Store;
use super::failure::{Passing, Refusal, failure_of_connection, passing};

/// The first pause is at most this long; later ones double.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// How often bytes are sent again that arrived changed, and an answer is asked for again that nobody
/// understands: what fails more often than this will not pass.
const GARBLED_MAX: u32 = 6;
/// From which pause on the waiting is told, once while it lasts.
const TOLD_FROM: Duration = Duration::from_secs(2);

/// Since when the service has answered nothing, as far as this process knows.
#[derive(Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    since: Option<Instant>,
    told: bool,
}

impl Outage {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, moment: Instant) -> Instant {
        *self.state().since.get_or_insert(moment)
    }

    fn ends(&self) {
        *self.state() = State::default();
    }

    /// Whether nobody was told yet; from now on somebody is.
    fn is_news(&self) -> bool {
        !std::mem::replace(&mut self.state().told, true)
    }
}

/// One request and its tries.
pub(super) struct Patience<'s> {
    store: &'s S3Store,
    began: Instant,
    tries: u32,
    garbled: u32,
}

impl Patience<'_> {
    /// Something moved: the waiting begins anew.
    pub(super) fn moved(&mut self) {
        (self.began, self.tries) = (Instant::now(), 0);
    }

    /// Waits before another try; tells whether there is one.
    pub(super) async fn again(
        &mut self,
        why: Passing,
        asked: Option<Duration>,
        said: &str,
    ) -> bool {
        let settings = &self.store.place().settings;
        self.tries += 1;
        if settings.attempts.is_some_and(|attempts| self.tries >= attempts) {
            return false;
        }
        if why == Passing::Garbled {
            self.garbled += 1;
            if self.garbled >= GARBLED_MAX {
                return false;
            }
        }
        let most = PAUSE_FIRST.saturating_mul(1 << (self.tries - 1).min(16)).min(PAUSE_MAX);
        let drawn = most.mul_f64(rand::rng().random_range(0.0..1.0));
        let pause = drawn.max(asked.unwrap_or_default());
        let away_since = match why {
            Passing::Away => self.store.inner.outage.begins(self.began),
            Passing::Busy | Passing::Garbled => self.began,
        };
        let waited = self.began.min(away_since).elapsed();
        if waited + pause > settings.patience {
            return false;
        }
        if pause.max(most) >= TOLD_FROM && self.store.inner.outage.is_news() {
            let left = settings.patience.saturating_sub(waited).as_secs();
            self.store.tell(&format!("{said}; trying again for up to {left} seconds"));
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl S3Store {
    pub(super) fn patience(&self) -> Patience<'_> {
        Patience { store: self, began: Instant::now(), tries: 0, garbled: 0 }
    }

    /// Sends a request until it is answered for good, or patience ends. Credentials that have run out
    /// are looked for once more, where they came from.
    pub(super) async fn ask<T, E, F>(
        &self,
        send: impl Fn(Client) -> F,
    ) -> Result<Result<T, SdkError<E, HttpResponse>>, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut patience = self.patience();
        let mut renewed = false;
        loop {
            let (number, client) = self.numbered_client().await?;
            // On the heap: requests are large, and everything that waits for one would be as large.
            let error = match Box::pin(send(client)).await {
                Ok(answer) => {
                    self.inner.outage.ends();
                    return Ok(Ok(answer));
                }
                Err(error) => error,
            };
            let refusal = Refusal::of(&error);
            if !renewed && refusal.as_ref().is_some_and(Refusal::is_about_expiry) {
                renewed = true;
                self.renew_client(number).await?;
                continue;
            }
            let Some(why) = passing(&error) else {
                self.inner.outage.ends();
                return Ok(Err(error));
            };
            let asked = refusal.and_then(|refusal| refusal.retry_after);
            let said = failure_of_connection(self.place(), &error);
            if !patience.again(why, asked, &said).await {
                return Ok(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_is_told_once() {
        let outage = Outage::default();
        let first = Instant::now();
        assert_eq!(outage.begins(first), first);
        assert_eq!(outage.begins(first + Duration::from_secs(5)), first);
        assert!(outage.is_news() && !outage.is_news());
        outage.ends();
        assert!(outage.is_news());
    }
}
