//! Taking up what the store has kept: the broker as it was when the process before this one ended.
//!
//! Every session is away then. What it was promised meanwhile by the clock on the wall, its end and its
//! Will, comes as if the process had gone on: at once, if its time has passed.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::Identity;
use crate::message::{Message, Timestamp};
use crate::queue::Delivery;
use crate::session::{Inbound, NEVER, Outbound, Subscribed, Will};
use crate::store::record::Record;
use crate::store::state::{KeptGroup, KeptRetained, KeptSession, Numbered, State as Kept};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::metrics::Gauge;
use super::person::{Owner, Person, proved};
use super::shared::{Absence, GroupRef, InboundSide, SessionRef, State};

/// How much was taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Sessions.
    pub sessions: usize,
    /// Shared groups.
    pub groups: usize,
    /// Deliveries that wait for a client, or for a member of a group.
    pub queued: usize,
    /// Deliveries that were in flight.
    pub in_flight: usize,
    /// Retained messages.
    pub retained: usize,
    /// Messages that are to be published later.
    pub delayed: usize,
    /// Retained messages beyond the bounds in force now, which are left out.
    pub without_room: usize,
}

impl Broker {
    /// Takes up what the store has kept. To be called once, before the first connection.
    pub fn restore(&self, kept: Kept, batch: &mut Batch) -> Restored {
        let mut restored = Restored::default();
        self.number_from(kept.next_number);
        for retained in kept.retained {
            match self.restore_retained(retained) {
                true => restored.retained += 1,
                false => restored.without_room += 1,
            }
        }
        let mut groups = Vec::with_capacity(kept.groups.len());
        for group in kept.groups {
            restored.queued += group.backlog.len();
            groups.push(self.restore_group(group, batch));
        }
        for session in self.one_for_each_client(kept.sessions) {
            restored.queued += session.waiting.len();
            restored.in_flight += session.in_flight.len();
            restored.sessions += 1;
            self.restore_session(session, batch);
        }
        restored.delayed = kept.delayed.len();
        for delayed in kept.delayed {
            self.restore_delayed(delayed, batch.now);
        }
        groups.retain(|group| !self.dissolve_if_empty(group, batch));
        restored.groups = groups.len();
        self.declare_groups();
        self.finish(batch);
        restored
    }

    fn restore_retained(&self, kept: KeptRetained) -> bool {
        let message = numbered(kept.message, kept.number);
        let publisher = kept.publisher.map(Arc::from);
        self.retained.write().set(message, publisher).is_ok()
    }

    fn restore_group(&self, kept: KeptGroup, batch: &mut Batch) -> GroupRef {
        let mut subscriptions = self.subscriptions.write();
        let shared = subscriptions.group(&kept.filter, &kept.share, || {
            let number = NonZeroU64::new(kept.number).unwrap_or(NonZeroU64::MIN);
            self.make_group(number, &kept.share, &kept.filter)
        });
        shared.set_kept();
        batch.tally.queue_changed(0, kept.backlog.len());
        let mut group = shared.group.lock();
        group.restore(kept.backlog, self.options().queue_memory);
        batch.tally.queued_bytes += shared.weigh(group.weight());
        drop(group);
        shared
    }

    /// A group that has lost its last member, though the store did not hear of its end.
    fn dissolve_if_empty(&self, shared: &GroupRef, batch: &mut Batch) -> bool {
        let mut subscriptions = self.subscriptions.write();
        let Some(dropped) = shared.group.lock().end_if_empty() else {
            return false;
        };
        self.group_ended(&mut subscriptions, shared, dropped, batch);
        true
    }

    /// The store may have two sessions of one client: one that was to be opened when the process ended,
    /// and the one that was there before, or was opened instead. What was never open has nothing.
    fn one_for_each_client(&self, mut sessions: Vec<KeptSession>) -> Vec<KeptSession> {
        sessions.sort_by(|a, b| {
            let rank = |it: &KeptSession| (has_something(it), it.number);
            let by_client = a.client_id.cmp(&b.client_id);
            by_client.then_with(|| rank(b).cmp(&rank(a)))
        });
        sessions.dedup_by(|other, first| {
            let same = other.client_id == first.client_id;
            if same {
                let session = other.number;
                self.store.append(Record::Ended { session }, None);
            }
            same
        });
        sessions
    }

    fn restore_session(&self, kept: KeptSession, batch: &mut Batch) {
        let owner = Owner {
            user: kept.owner.user.map(Arc::from),
            mount: kept.owner.mount.map(Arc::from),
        };
        let session = SessionRef::new(kept.number, kept.client_id.into(), owner);
        let mut side = session.inbound.lock();
        if !self.registry.add(&session) {
            return;
        }
        self.metrics.gauge(Gauge::Sessions, 1);
        side.inbound = Inbound::restored(kept.held);
        side.expiry = kept.expiry;
        side.epoch = self.cluster.claim(&session.client_id);
        side.will = kept.will.map(|will| {
            Box::new(Will {
                message: will.message,
                expiry: will.expiry,
                delay: will.delay,
            })
        });
        {
            let in_flight = kept.in_flight.into_iter();
            let in_flight = in_flight.map(|it| (it.id, it.publish.map(delivery)));
            let mut outbound = session.outbound.lock();
            outbound.outbound = Outbound::restored(in_flight, kept.waiting);
            batch.tally.queue_changed(0, outbound.outbound.queued());
            session.set_kept(&mut outbound, Some(self.options().queue_memory));
            outbound.outbound.weigh(&mut batch.tally);
        }
        let subscriptions = kept.subscriptions.iter().map(|(filter, options, id)| {
            let subscribed = Subscribed {
                options: *options,
                id: *id,
            };
            (&**filter, subscribed)
        });
        self.resubscribe(&session, &mut side, subscriptions);
        let identity = Identity {
            user: session.owner.user.clone(),
            ..Identity::default()
        };
        let person = Person {
            identity: proved(&identity),
            port: None,
        };
        self.introduce(&session, &side, person);
        // Whether it was in doubt before is not kept.
        session.outbound.lock().outbound.doubt();
        self.restore_absence(&session, &mut side, kept.left, batch.now);
    }

    fn restore_absence(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        left: Timestamp,
        now: Now,
    ) {
        let after = |seconds: u32| {
            let due = left.after(Duration::from_secs(seconds.into()));
            now.instant + until(due, now.wall)
        };
        let absence = Absence {
            since: ago(left, now),
            will: side.will.as_ref().map(|will| after(will.delay)),
            end: (side.expiry != NEVER).then(|| after(side.expiry)),
        };
        side.state = State::Away(Box::new(absence));
        let maximum = self.options().abandoned_sessions_maximum;
        self.schedule.lock().left(session, absence, maximum);
    }
}

fn has_something(session: &KeptSession) -> bool {
    let nothing = session.subscriptions.is_empty()
        && session.held.is_empty()
        && session.in_flight.is_empty()
        && session.waiting.is_empty();
    !nothing
}

/// The message, with the number that the store knows it by.
pub(super) fn numbered(message: Message, number: u64) -> Message {
    if let Some(number) = NonZeroU64::new(number) {
        message.keep_as(number);
    }
    message
}

fn delivery(kept: Numbered) -> Delivery {
    Delivery {
        message: numbered(kept.delivery.message, kept.number),
        ..kept.delivery
    }
}

/// How long it is until then; nothing if that has passed.
pub(super) fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(due.as_millis().saturating_sub(now.as_millis()))
}

/// The moment at which the clock on the wall said `then`, or the first that this machine knows of.
fn ago(then: Timestamp, now: Now) -> Instant {
    let passed = until(now.wall, then);
    now.instant.checked_sub(passed).unwrap_or(now.instant)
}
