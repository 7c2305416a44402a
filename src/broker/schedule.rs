//! What is to happen later, and when: to sessions that are away, in groups, and to
//! messages that are delayed.
//!
//! A session is in the schedule exactly while it is away, at most once for each thing that can
//! happen to it; so clients that come and go leave nothing behind in it. A group is in it at most once,
//! while a member has something of it that has to be acknowledged in time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::delayed::{Delayed, Waiting};
use super::review::Doubtful;
use super::shared::{Absence, GroupRef, SessionRef};

/// What is due when.
#[derive(Default)]
pub(super) struct Schedule {
    due: BTreeMap<Due, (SessionRef, Absence)>,
    /// Sessions without a connection, by how long they have been away.
    away: BTreeMap<(Instant, u64), (SessionRef, Absence)>,
    /// Groups whose members may have something for too long, by when somebody is to look.
    groups: BTreeMap<(Instant, u64), GroupRef>,
    /// Messages that are to be published later.
    pub delayed: Delayed,
    /// Wills that are due, by when it is asked again whether they are allowed.
    doubtful: VecDeque<(Instant, Doubtful)>,
    /// Where the sweep of retained messages goes on, and when the last one was.
    pub sweep: Option<Box<str>>,
    pub swept: Option<Instant>,
    /// Told when something becomes due earlier than all else.
    pub notify: Option<Box<dyn Fn() + Send>>,
}

/// When, to the session of which number, what.
type Due = (Instant, u64, What);

/// What is to happen to a session that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Its Will is published. [MQTT5-3.1.2-8]
    Will,
    /// It ends. [MQTT5-4.1.0-2]
    End,
    /// It ends because there are too many like it.
    Evict,
}

impl Schedule {
    /// Notes that a session is away. If there are more than `maximum` now, those that have been so
    /// for longest end at the next tick.
    pub(super) fn left(&mut self, session: &SessionRef, absence: Absence, maximum: usize) {
        let entry = (session.clone(), absence);
        self.away.insert((absence.since, session.number), entry);
        if let Some(at) = absence.will {
            self.add(at, What::Will, session.clone(), absence);
        }
        if let Some(at) = absence.end {
            self.add(at, What::End, session.clone(), absence);
        }
        while self.away.len() > maximum
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
        let before = self.next();
        self.due
            .insert((at, session.number, what), (session, absence));
        self.tell(at, before);
    }

    /// Says that something is due at `at`, if nothing was due before that.
    fn tell(&self, at: Instant, before: Option<Instant>) {
        let first = before.is_none_or(|before| at < before);
        if let Some(notify) = self.notify.as_ref().filter(|_| first) {
            notify();
        }
    }

    /// Notes that somebody is to look at a group then.
    pub(super) fn watch(&mut self, at: Instant, group: &GroupRef) {
        let before = self.next();
        let number = group.source.0.get();
        self.groups.insert((at, number), group.clone());
        self.tell(at, before);
    }

    /// Notes that a message is to be published then.
    pub(super) fn delay(&mut self, at: Instant, number: u64, waiting: Waiting) {
        let before = self.next();
        self.delayed.put(at, number, waiting);
        self.tell(at, before);
    }

    /// Takes the next group that somebody is to look at.
    pub(super) fn take_watched(&mut self, now: Instant) -> Option<GroupRef> {
        let due = self.groups.first_entry();
        Some(due.filter(|entry| entry.key().0 <= now)?.remove())
    }

    /// Notes that it is asked again then whether a Will is allowed: later than for all others.
    pub(super) fn doubt(&mut self, at: Instant, will: Doubtful) {
        let before = self.next();
        self.doubtful.push_back((at, will));
        self.tell(at, before);
    }

    /// Takes the next Will that is to be asked about again.
    pub(super) fn take_doubtful(&mut self, now: Instant) -> Option<Doubtful> {
        let due = self.doubtful.front().is_some_and(|(at, _)| *at <= now);
        let (_, will) = due.then(|| self.doubtful.pop_front()).flatten()?;
        Some(will)
    }

    /// Takes the next thing that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(What, SessionRef, Absence)> {
        let due = self
            .due
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let ((_, _, what), (session, absence)) = due.remove_entry();
        Some((what, session, absence))
    }

    /// When the next thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.due.first_key_value().map(|((at, _, _), _)| *at);
        let groups = self.groups.first_key_value().map(|((at, _), _)| *at);
        let delayed = self.delayed.next();
        let doubtful = self.doubtful.front().map(|(at, _)| *at);
        let due = due.into_iter().chain(groups);
        due.chain(delayed).chain(doubtful).min()
    }
}
