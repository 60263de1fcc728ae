//! Locks of a backup: how long it waits for one, who waits behind it, and when it gives way.
//!
//! A session of its own looks at the server's locks while the backup runs. Whoever waits behind one of the
//! backup's sessions is reported at once and stands in the result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::progress::ProgressSink;
use crate::base::schema::QualifiedName;
use crate::postgres::connect::waiting::{self, Party, Queue, Waiting};
use crate::postgres::{ConnectionSettings, PostgresError, Session};
use crate::vault::{LockError, OpsError, table_or_end};

/// Whether the same work may succeed once others are done with the tables.
pub fn is_in_the_way(error: &OpsError) -> bool {
    match error {
        OpsError::Lock(_) => true,
        OpsError::Postgres(error) => error.is_lock_refused(),
        _ => false,
    }
}

/// How a backup behaves towards others who need the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRules {
    /// How long it waits for a lock.
    pub lock_wait: Duration,
    /// How long someone may wait behind it before it gives way; none: it never does.
    pub yield_after: Option<Duration>,
    /// How often it is tried again after it gave way, or could not have a lock.
    pub retries: u32,
}

impl Default for LockRules {
    fn default() -> Self {
        Self { lock_wait: Duration::from_secs(5), yield_after: None, retries: 10 }
    }
}

/// Someone who waited for a lock behind the backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waited {
    /// The table, where it was one.
    pub table: Option<QualifiedName>,
    /// The server's number of the session's process.
    pub session: i32,
    /// Its role and application.
    pub who: String,
    /// The shape of its statement, without values; empty where the backup's role may not see it.
    pub statement: String,
    /// How long it was seen waiting, in seconds.
    pub seconds: f64,
    /// How many more sessions waited behind it at one time.
    pub others: u64,
    /// Whether the backup gave way to it.
    pub gave_way: bool,
}

/// An own wait of this length is reported.
const REPORTED_FROM: Duration = Duration::from_secs(5);
/// How often the locks are looked at, unless shorter times need it more often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_MIN: Duration = Duration::from_millis(50);
/// An own wait that the server did not end by itself is ended so much later.
const GRACE: Duration = Duration::from_secs(2);
/// The first pause before a backup is tried again; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// How long to pause after so many attempts.
pub fn pause(attempts: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(PAUSE_MAX)
}

/// Those who waited behind one backup, whatever the attempt.
pub type AllWaited = Arc<Mutex<Vec<Waited>>>;

/// Looks at the locks of one attempt until it is dropped.
pub struct Watch {
    settings: ConnectionSettings,
    mark: String,
    seen: Arc<Mutex<Seen>>,
    verdict: Option<oneshot::Receiver<OpsError>>,
    task: JoinHandle<()>,
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    /// What an own session waits for, or waited for last.
    own: Option<OwnWait>,
}

#[derive(Clone)]
struct OwnWait {
    table: Option<QualifiedName>,
    parties: Vec<Party>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to look. `settings` are those of the sessions of the attempt.
    pub async fn start(
        settings: &ConnectionSettings,
        rules: LockRules,
        waited: &AllWaited,
        progress: &Arc<dyn ProgressSink>,
    ) -> Result<Self, PostgresError> {
        let session = Session::connect(settings).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, verdict) = oneshot::channel();
        let mark = settings.application_name().to_owned();
        let looking = Looking {
            session,
            mark: mark.clone(),
            rules,
            seen: Arc::clone(&seen),
            waited: Arc::clone(waited),
            progress: Arc::clone(progress),
            since: BTreeMap::new(),
            own_since: BTreeMap::new(),
        };
        let task = tokio::spawn(async move {
            if let Some(reason) = looking.run().await {
                let _ = sender.send(reason);
            }
        });
        Ok(Self { settings: settings.clone(), mark, seen, verdict: Some(verdict), task })
    }

    /// Ends when the backup has to give way, with the reason.
    pub async fn gives_way(&mut self) -> OpsError {
        match &mut self.verdict {
            Some(verdict) => match verdict.await {
                Ok(reason) => reason,
                // The connection is gone: nobody is seen any more.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Says of a lock that was not had which table it was, and who holds it.
    pub fn explain(&self, error: OpsError) -> OpsError {
        let is_lock = matches!(&error, OpsError::Postgres(error) if error.is_lock_refused());
        let own = self.seen.lock().unwrap_or_else(PoisonError::into_inner).own.clone();
        match own {
            Some(own) if is_lock => own.error(),
            _ => error,
        }
    }

    /// Ends every session of the attempt that may be left, so that no lock outlives it.
    pub async fn release(&self) {
        let ending = async {
            let session = Session::connect(&self.settings).await?;
            waiting::end_sessions(&session, &self.mark).await
        };
        // The connections are closed in any case; a server that busy ends them a little later.
        let _ = tokio::time::timeout(REPORTED_FROM, ending).await;
    }
}

impl OwnWait {
    fn error(&self) -> OpsError {
        let by = match self.parties.as_slice() {
            [] => "a session that has ended since".to_owned(),
            parties => parties.iter().map(named).collect::<Vec<_>>().join(" and "),
        };
        LockError::NotHad { table: self.table.clone(), by }.into()
    }
}

/// A session as a person reads it.
fn named(party: &Party) -> String {
    let statement = match party.statement.as_str() {
        "" => String::new(),
        statement => format!(": `{statement}`"),
    };
    match party.session {
        0 => party.who.clone(),
        session => format!("session {session} ({}){statement}", party.who),
    }
}

/// The looking itself.
struct Looking {
    session: Session,
    mark: String,
    rules: LockRules,
    seen: Arc<Mutex<Seen>>,
    waited: AllWaited,
    progress: Arc<dyn ProgressSink>,
    /// Who waits behind the backup, since when, and its place among those who waited.
    since: BTreeMap<i32, (Instant, usize)>,
    /// Own sessions that wait, since when, and whether that was reported.
    own_since: BTreeMap<i32, (Instant, bool)>,
}

impl Looking {
    /// Looks until somebody waited too long, or the connection ends.
    async fn run(mut self) -> Option<OpsError> {
        let shortest = self.rules.yield_after.unwrap_or(LOOK_EVERY).min(self.rules.lock_wait);
        let every = (shortest / 4).clamp(LOOK_EVERY_MIN, LOOK_EVERY);
        loop {
            let queue = waiting::queue(&self.session, &self.mark).await.ok()?;
            let blocked = self.note_blocked(&queue);
            let own = self.note_own(&queue).await?;
            if let Some((waited, wait)) = blocked
                && let Some(limit) = self.rules.yield_after
                // Nobody waits longer than the limit: the next look would come too late.
                && waited + 2 * every >= limit
            {
                return Some(self.gave_way(&wait));
            }
            if let Some(stuck) = own {
                return Some(stuck.error());
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Notes who waits behind the backup; the longest wait.
    fn note_blocked(&mut self, queue: &Queue) -> Option<(Duration, Waiting)> {
        let now = Instant::now();
        let is_behind = |one: &&Waiting| {
            !one.is_own && one.behind.iter().any(|process| queue.own.contains(process))
        };
        let behind: Vec<&Waiting> = queue.waiting.iter().filter(is_behind).collect();
        self.since.retain(|process, _| behind.iter().any(|one| one.session.session == *process));
        let mut longest: Option<(Duration, Waiting)> = None;
        for one in behind {
            let process = one.session.session;
            let others = followers(&queue.waiting, process);
            let (since, place) = *self.since.entry(process).or_insert_with(|| {
                let place = begin(&self.waited, one);
                self.progress.warn(&format!(
                    "{} waits behind this backup for {}",
                    named(&one.session),
                    table_or_end(one.table.as_ref()),
                ));
                (now, place)
            });
            let waited = now - since;
            let mut all = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = all.get_mut(place) {
                entry.seconds = waited.as_secs_f64();
                entry.others = entry.others.max(others);
            }
            if longest.as_ref().is_none_or(|(before, _)| *before < waited) {
                longest = Some((waited, one.clone()));
            }
        }
        longest
    }

    /// Notes what own sessions wait for. A wait that lasts too long is returned: only `pg_dump` can have
    /// one, whose sessions set no bound on most of their locks.
    async fn note_own(&mut self, queue: &Queue) -> Option<Option<OwnWait>> {
        let now = Instant::now();
        let own: Vec<&Waiting> = queue.waiting.iter().filter(|one| one.is_own).collect();
        self.own_since.retain(|process, _| own.iter().any(|one| one.session.session == *process));
        for one in own {
            let parties = waiting::parties(&self.session, &one.behind, one.table.as_ref());
            let wait = OwnWait { table: one.table.clone(), parties: parties.await.ok()? };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).own = Some(wait.clone());
            let (since, is_reported) =
                self.own_since.entry(one.session.session).or_insert((now, false));
            let waited = now - *since;
            if waited >= REPORTED_FROM && !*is_reported {
                *is_reported = true;
                self.progress.warn(&format!("the backup waits: {}", wait.error()));
            }
            if waited >= self.rules.lock_wait + GRACE {
                return Some(Some(wait));
            }
        }
        Some(None)
    }

    fn gave_way(&self, wait: &Waiting) -> OpsError {
        if let Some((_, place)) = self.since.get(&wait.session.session)
            && let Some(entry) =
                self.waited.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*place)
        {
            entry.gave_way = true;
        }
        LockError::GaveWay { table: wait.table.clone(), to: named(&wait.session) }.into()
    }
}

fn begin(waited: &AllWaited, one: &Waiting) -> usize {
    let mut all = waited.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(Waited {
        table: one.table.clone(),
        session: one.session.session,
        who: one.session.who.clone(),
        statement: one.session.statement.clone(),
        seconds: 0.0,
        others: 0,
        gave_way: false,
    });
    all.len() - 1
}

/// How many wait behind this one, directly or behind someone who does.
fn followers(waiting: &[Waiting], process: i32) -> u64 {
    let mut behind = vec![process];
    let mut next = 0;
    while let Some(first) = behind.get(next).copied() {
        next += 1;
        for one in waiting.iter().filter(|one| !one.is_own && one.behind.contains(&first)) {
            if !behind.contains(&one.session.session) {
                behind.push(one.session.session);
            }
        }
    }
    behind.len() as u64 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_five_minutes() {
        let pauses: Vec<u64> = (1..=9).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pause(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn those_behind_the_one_who_waits_are_counted_once() {
        let waits = |session: i32, behind: &[i32], is_own: bool| Waiting {
            session: Party { session, who: String::new(), statement: String::new() },
            is_own,
            behind: behind.to_vec(),
            table: None,
        };
        let queue = [
            waits(10, &[1], false),
            waits(11, &[10], false),
            waits(12, &[10, 11], false),
            waits(2, &[10], true),
        ];
        assert_eq!(followers(&queue, 10), 2);
        assert_eq!(followers(&queue, 12), 0);
    }
}
