//! What happens later: Wills after their delay, the end of sessions, retained messages that expire.
//!
//! Entries are never searched for or removed: each names the session and the epoch under which it
//! was made, and is passed over if the session has had another connection since.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use crate::cluster::Epoch;

use super::batch::{Batch, Now};
use super::core::Broker;
use super::shared::{SessionRef, State};

/// What is due when.
#[derive(Default)]
pub(super) struct Schedule {
    due: BinaryHeap<Reverse<Entry>>,
    /// Sessions without a connection, by how long they have been away.
    away: BTreeMap<(Instant, u64), SessionRef>,
    /// Sessions that end because there are too many like them.
    evicted: Vec<(Instant, SessionRef)>,
    /// Where the sweep of retained messages goes on.
    sweep: Option<Box<str>>,
    /// Told when something becomes due earlier than all else.
    notify: Option<Box<dyn Fn() + Send>>,
}

struct Entry {
    at: Instant,
    session: SessionRef,
    epoch: Epoch,
    what: What,
}

/// What is to happen to a session that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its Will is published. [MQTT5-3.1.2-8]
    Will,
    /// It ends. [MQTT5-4.1.0-2]
    End,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.session.number, self.what == What::End).cmp(&(
            other.at,
            other.session.number,
            other.what == What::End,
        ))
    }
}

impl Schedule {
    pub(super) fn add(&mut self, at: Instant, session: &SessionRef, epoch: Epoch, what: What) {
        let first = self.due.peek().is_none_or(|Reverse(entry)| at < entry.at);
        self.due.push(Reverse(Entry {
            at,
            session: session.clone(),
            epoch,
            what,
        }));
        if let Some(notify) = self.notify.as_ref().filter(|_| first) {
            notify();
        }
    }

    /// Notes that a session is away; returns the one that has been so for longest if there are now
    /// more than `maximum`.
    pub(super) fn left(
        &mut self,
        since: Instant,
        session: &SessionRef,
        maximum: usize,
    ) -> Option<(Instant, SessionRef)> {
        self.away.insert((since, session.number), session.clone());
        if self.away.len() <= maximum {
            return None;
        }
        let ((since, _), session) = self.away.pop_first()?;
        Some((since, session))
    }

    /// Notes that a session is not away any more.
    pub(super) fn back(&mut self, since: Instant, session: &SessionRef) {
        self.away.remove(&(since, session.number));
    }

    /// A session that has been away for longest makes room: it ends at the next tick.
    pub(super) fn evict(&mut self, since: Instant, session: SessionRef) {
        self.evicted.push((since, session));
        if let Some(notify) = &self.notify {
            notify();
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<Entry> {
        if self.due.peek()?.0.at > now {
            return None;
        }
        self.due.pop().map(|Reverse(entry)| entry)
    }
}

/// Retained messages looked at in one sweep, and how often there is one.
const SWEEP_STEPS: usize = 10_000;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Broker {
    /// Calls `notify` whenever [`Self::tick`] becomes due earlier than it was. `notify` must not
    /// call the broker.
    pub fn on_earlier(&self, notify: Box<dyn Fn() + Send>) {
        self.schedule.lock().notify = Some(notify);
    }

    /// When [`Self::tick`] is to be called next.
    pub fn next_tick(&self, now: Instant) -> Instant {
        let schedule = self.schedule.lock();
        if !schedule.evicted.is_empty() {
            return now;
        }
        let due = schedule.due.peek().map(|Reverse(entry)| entry.at);
        due.unwrap_or(now + SWEEP_INTERVAL)
            .min(now + SWEEP_INTERVAL)
    }

    /// Does what is due.
    pub fn tick(&self, batch: &mut Batch) {
        let now = batch.now;
        loop {
            // Not in the `while` condition: the lock would be held through the body.
            let due = self.schedule.lock().take_due(now.instant);
            let Some(entry) = due else { break };
            self.happen(&entry, batch);
        }
        let evicted = std::mem::take(&mut self.schedule.lock().evicted);
        for (since, session) in evicted {
            let mut side = session.inbound.lock();
            // It may have been resumed, and even left again, since.
            if side.state == State::Away(since) {
                self.metrics.session_evicted();
                self.end_session(&session, &mut side, batch);
            }
        }
        self.sweep(now);
        self.finish(batch);
    }

    fn happen(&self, entry: &Entry, batch: &mut Batch) {
        let session = &entry.session;
        let mut side = session.inbound.lock();
        if side.epoch != entry.epoch || !matches!(side.state, State::Away(_)) {
            return;
        }
        match entry.what {
            What::Will => {
                if let Some(will) = side.will.take() {
                    self.publish(will.publish(batch.now.wall), Some(session), batch);
                }
            }
            What::End => {
                self.metrics.session_expired();
                self.end_session(session, &mut side, batch);
            }
        }
    }

    fn sweep(&self, now: Now) {
        let from = self.schedule.lock().sweep.take();
        let (next, _) = self
            .retained
            .write()
            .sweep(from.as_deref(), SWEEP_STEPS, now.wall);
        self.schedule.lock().sweep = next;
    }
}
