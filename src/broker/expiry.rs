//! What happens later: Wills after their delay, the end of sessions, retained messages that expire.
//!
//! A session is in the schedule exactly while it is away, at most once for each thing that can
//! happen to it; so clients that come and go leave nothing behind in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::shared::{Absence, SessionRef, State};

/// What is due when.
#[derive(Default)]
pub(super) struct Schedule {
    due: BTreeMap<Due, (SessionRef, Absence)>,
    /// Sessions without a connection, by how long they have been away.
    away: BTreeMap<(Instant, u64), (SessionRef, Absence)>,
    /// Where the sweep of retained messages goes on, and when the last one was.
    sweep: Option<Box<str>>,
    swept: Option<Instant>,
    /// Told when something becomes due earlier than all else.
    notify: Option<Box<dyn Fn() + Send>>,
}

/// When, to the session of which number, what.
type Due = (Instant, u64, What);

/// What is to happen to a session that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Its Will is published. [MQTT5-3.1.2-8]
    Will,
    /// It ends. [MQTT5-4.1.0-2]
    End,
    /// It ends because there are too many like it.
    Evict,
}

impl Schedule {
    /// Notes that a session is away. If there are more than `maximum` now, the one that has been so
    /// for longest ends at the next tick.
    pub(super) fn left(&mut self, session: &SessionRef, absence: Absence, maximum: usize) {
        let entry = (session.clone(), absence);
        self.away.insert((absence.since, session.number), entry);
        if let Some(at) = absence.will {
            self.add(at, What::Will, session.clone(), absence);
        }
        if let Some(at) = absence.end {
            self.add(at, What::End, session.clone(), absence);
        }
        if self.away.len() > maximum
            && let Some((_, (longest, absence))) = self.away.pop_first()
        {
            self.add(absence.since, What::Evict, longest, absence);
        }
    }

    /// Notes that a session is not away any more: nothing of what was to happen will.
    pub(super) fn back(&mut self, session: &SessionRef, absence: Absence) {
        self.away.remove(&(absence.since, session.number));
        self.due
            .remove(&(absence.since, session.number, What::Evict));
        for (at, what) in [(absence.will, What::Will), (absence.end, What::End)] {
            if let Some(at) = at {
                self.due.remove(&(at, session.number, what));
            }
        }
    }

    fn add(&mut self, at: Instant, what: What, session: SessionRef, absence: Absence) {
        let first = self.due.first_key_value().is_none_or(|(due, _)| at < due.0);
        self.due
            .insert((at, session.number, what), (session, absence));
        if let Some(notify) = self.notify.as_ref().filter(|_| first) {
            notify();
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<(What, SessionRef, Absence)> {
        let due = self
            .due
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let ((_, _, what), (session, absence)) = due.remove_entry();
        Some((what, session, absence))
    }
}

/// Retained messages looked at in one sweep, and how often there is one.
const SWEEP_STEPS: usize = 10_000;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What one tick lets happen before others have their turn; what is left is due at once.
const DUE_PER_TICK: usize = 256;

impl Broker {
    /// Calls `notify` whenever [`Self::tick`] becomes due earlier than it was. `notify` must not
    /// call the broker.
    pub fn on_earlier(&self, notify: Box<dyn Fn() + Send>) {
        self.schedule.lock().notify = Some(notify);
    }

    /// When [`Self::tick`] is to be called next.
    pub fn next_tick(&self, now: Instant) -> Instant {
        let schedule = self.schedule.lock();
        let sweep = now + SWEEP_INTERVAL;
        schedule
            .due
            .first_key_value()
            .map_or(sweep, |((at, _, _), _)| sweep.min(*at))
    }

    /// Does what is due.
    pub fn tick(&self, batch: &mut Batch) {
        let now = batch.now;
        for _ in 0..DUE_PER_TICK {
            // Not in the condition of a loop: the lock would be held through its body.
            let due = self.schedule.lock().take_due(now.instant);
            let Some((what, session, absence)) = due else {
                break;
            };
            self.happen(what, &session, absence, batch);
        }
        self.sweep(now);
        self.finish(batch);
    }

    fn happen(&self, what: What, session: &SessionRef, absence: Absence, batch: &mut Batch) {
        let mut side = session.inbound.lock();
        // It may have come back, and even left again, since the schedule was asked.
        if side.state != State::Away(absence) {
            return;
        }
        match what {
            What::Will => self.publish_will(session, &mut side, batch),
            What::End => {
                self.metrics.session_expired();
                self.end_session(session, &mut side, batch);
            }
            What::Evict => {
                self.metrics.session_evicted();
                self.end_session(session, &mut side, batch);
            }
        }
    }

    fn sweep(&self, now: Now) {
        let from = {
            let mut schedule = self.schedule.lock();
            // Clients decide how often there is a tick, but not how often there is a sweep.
            if schedule
                .swept
                .is_some_and(|last| now.instant < last + SWEEP_INTERVAL)
            {
                return;
            }
            schedule.swept = Some(now.instant);
            schedule.sweep.take()
        };
        let (next, _) = self
            .retained
            .write()
            .sweep(from.as_deref(), SWEEP_STEPS, now.wall);
        self.schedule.lock().sweep = next;
    }
}
