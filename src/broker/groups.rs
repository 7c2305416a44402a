//! Groups as work queues that last.
//!
//! ```text
//!   offer ──> member ── PUBACK ──> done
//!               │
//!               ├─ its connection ends ─────────> give_back ──> another member, or the backlog
//!               └─ no PUBACK in time, and another
//!                  member can take it ──────────> hand_on ────> that member
//!                                                     └─ once too often ──> Letter ──> dead letter
//! ```
//!
//! What is overdue stays with the member that has it until another one can take it: so nobody gets a
//! message twice on one connection, and a late PUBACK counts for as long as nobody else was given the
//! message. Nobody looks at a group without an acknowledgement timeout, and one that has one is looked
//! at once per timeout, however many messages go through it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{QoS, UserPropertiesBuf};
use crate::message::{Message, Parts};
use crate::pubsub::{Group, Overdue, Subscriptions};
use crate::queue::{Delivery, DropReason, Gone};
use crate::session::Source;
use crate::store::Progress;

use super::batch::Batch;
use super::core::Broker;
use super::expiry::DUE_PER_TICK;
use super::keeping::ToKeep;
use super::metrics::Gauge;
use super::publish::FanOut;
use super::routes::SharedRoute;
use super::shared::{GroupRef, InboundSide, OutboundSide, SessionRef};

/// A message that a group has given up.
#[derive(Debug)]
pub(super) struct Letter {
    group: GroupRef,
    delivery: Delivery,
}

/// A group is not looked at more often than so many times per acknowledgement timeout.
const LOOKS_PER_TIMEOUT: u32 = 16;

impl Broker {
    /// Makes the groups that the options declare, if they are not there: to be called once, after what
    /// the store has kept was taken up.
    pub fn declare_groups(&self) {
        let options = self.options();
        let named = &options.pubsub.groups;
        for it in named.iter().filter(|it| it.declared) {
            let mut subscriptions = self.subscriptions.write();
            let group = self.group(&mut subscriptions, &it.share, &it.filter);
            drop(subscriptions);
            if self.store.remembers() {
                self.keep_group(&group);
            }
            self.generations.changed(&it.filter);
        }
    }

    /// The group of this name, which is made if there is none.
    pub(super) fn group(
        &self,
        subscriptions: &mut Subscriptions<SessionRef, GroupRef>,
        share: &str,
        filter: &str,
    ) -> GroupRef {
        subscriptions.group(filter, share, || {
            let number = self.number();
            self.make_group(number, share, filter)
        })
    }

    /// Whether a message must be refused because a group that it goes to has no room for it, and refuses
    /// rather than drop.
    pub(super) fn is_refused_by_group(
        &self,
        route: &SharedRoute,
        message: &Message,
        batch: &mut Batch,
    ) -> bool {
        let refusing = route.groups.iter().filter(|group| group.options.refuses);
        refusing.into_iter().any(|shared| {
            let mut group = shared.group.lock();
            let before = group.backlog();
            let gone = |gone: Gone<'_>| self.tell_gone(shared, gone);
            let expired = group.drop_expired(batch.now.wall, gone);
            batch.tally.drop(DropReason::Expired, expired);
            batch.tally.queue_changed(before, group.backlog());
            !group.is_ended() && !group.has_room_for(message.size())
        })
    }

    /// What a member had not acknowledged goes to others at once, or waits in front of the backlog.
    pub(super) fn give_back(
        &self,
        session: &SessionRef,
        side: &InboundSide,
        back: Vec<(Source, Delivery)>,
        batch: &mut Batch,
    ) {
        for shared in side.groups.iter() {
            let of_group = back.iter().filter(|(source, _)| *source == shared.source);
            let deliveries: Vec<_> = of_group.map(|(_, delivery)| delivery.clone()).collect();
            // Messages that go to one member only go to another one now.
            if deliveries.is_empty() && shared.options.ordering.is_none() {
                continue;
            }
            let mut group = shared.group.lock();
            group.release(session);
            let exhausted = |it: &Delivery| group.is_exhausted(it);
            let (exhausted, deliveries): (Vec<_>, Vec<_>) =
                deliveries.into_iter().partition(exhausted);
            batch.tally.queue_changed(0, deliveries.len());
            group.give_back(deliveries.into_iter());
            batch.tally.queued_bytes += shared.weigh(group.weight());
            drop(group);
            let letters = exhausted.into_iter().map(|delivery| Letter {
                group: shared.clone(),
                delivery,
            });
            batch.letters.extend(letters);
            self.drain_group(shared, batch);
        }
    }

    /// A member was given a message that it has to acknowledge in time, if the group has such a time.
    pub(super) fn look_after(
        &self,
        group: &mut Group<SessionRef>,
        shared: &GroupRef,
        side: &mut OutboundSide,
        batch: &Batch,
    ) {
        let Some(timeout) = shared.options.acknowledgement_timeout else {
            return;
        };
        let now = batch.now.instant;
        side.outbound.stamp_newest(self.ticks(now));
        if group.arm(true) {
            self.schedule.lock().watch(now + timeout, shared);
        }
    }

    /// Milliseconds by the clock of acknowledgement timeouts. They come around after seven weeks, which
    /// is far longer than a timeout.
    fn ticks(&self, now: Instant) -> u32 {
        let epoch = *self.epoch.get_or_init(|| now);
        now.saturating_duration_since(epoch).as_millis() as u32
    }

    /// Looks at the groups in which something may be overdue.
    pub(super) fn look_at_groups(&self, batch: &mut Batch) {
        for _ in 0..DUE_PER_TICK {
            let due = self.schedule.lock().take_watched(batch.now.instant);
            let Some(shared) = due else {
                return;
            };
            self.look_at(&shared, batch);
        }
    }

    /// Finds what is overdue, hands on what can be, gives up what was tried often enough, and looks
    /// again when the next may be overdue.
    fn look_at(&self, shared: &GroupRef, batch: &mut Batch) {
        let Some(timeout) = shared.options.acknowledgement_timeout else {
            return;
        };
        let mut guard = shared.group.lock();
        let group = &mut *guard;
        group.arm(false);
        let (found, next) = self.overdue(group, shared, timeout, batch.now.instant);
        let mut overdue = Vec::new();
        for (it, exhausted) in found {
            match exhausted {
                true => self.give_up(shared, &it, batch),
                false => overdue.push(it),
            }
        }
        group.replace_overdue(overdue);
        self.hand_on(group, shared, batch);
        if let Some(left) = next {
            let left = left.max(timeout / LOOKS_PER_TIMEOUT);
            group.arm(true);
            let at = batch.now.instant + left;
            self.schedule.lock().watch(at, shared);
        }
    }

    /// All that is overdue, the longest first, each with whether it was tried often enough; and how long
    /// it is until the next may be.
    fn overdue(
        &self,
        group: &Group<SessionRef>,
        shared: &GroupRef,
        timeout: Duration,
        now: Instant,
    ) -> (Vec<(Overdue<SessionRef>, bool)>, Option<Duration>) {
        let now = self.ticks(now);
        let (mut found, mut next) = (Vec::new(), None);
        for member in group.members() {
            let side = member.subscriber.outbound.lock();
            for (id, delivery, since) in side.outbound.unacknowledged(shared.source) {
                let age = Duration::from_millis(now.wrapping_sub(since).into());
                if let Some(left) = timeout.checked_sub(age).filter(|left| !left.is_zero()) {
                    // What follows was sent later.
                    next = next.into_iter().chain([left]).min();
                    break;
                }
                let overdue = Overdue {
                    holder: member.subscriber.clone(),
                    id,
                    message: delivery.message.clone(),
                };
                found.push((age, overdue, group.is_exhausted(delivery)));
            }
        }
        found.sort_by_key(|(age, ..)| std::cmp::Reverse(*age));
        let found = found.into_iter().map(|(_, it, exhausted)| (it, exhausted));
        (found.collect(), next)
    }

    /// Takes what is overdue from the members that have it and gives it to others that can take it. The
    /// rest stays where it is.
    pub(super) fn hand_on(
        &self,
        group: &mut Group<SessionRef>,
        shared: &GroupRef,
        batch: &mut Batch,
    ) {
        let mut left = Vec::new();
        // With an ordering key, or where not everybody may have everything, it says nothing of other
        // messages that nobody can take this one.
        let mut members = group.members().iter();
        let each_by_itself =
            shared.options.ordering.is_some() || members.any(|it| it.subscriber.is_screened());
        // Beside this member nobody can take anything; if there are two such, nobody can at all.
        let (mut alone, mut nobody): (Option<SessionRef>, bool) = (None, false);
        for it in group.replace_overdue(Vec::new()) {
            let hopeless = nobody || alone.as_ref() == Some(&it.holder);
            let able = match hopeless {
                true => None,
                false => self.choose(group, &it.message, Some(&it.holder), batch).0,
            };
            if able.is_none() {
                if !hopeless && !each_by_itself {
                    nobody = alone.replace(it.holder.clone()).is_some();
                }
                left.push(it);
                continue;
            }
            let Some(delivery) = self.withdraw(shared, &it, batch) else {
                continue;
            };
            let (message, attempts) = (&delivery.message, delivery.attempts);
            let except = Some(&it.holder);
            if !self.give(group, shared, (message, attempts), except, batch) {
                batch.tally.queue_changed(0, 1);
                group.give_back(std::iter::once(delivery));
            }
        }
        group.replace_overdue(left);
    }

    /// Takes a message back from a member, unless it was acknowledged meanwhile.
    fn withdraw(
        &self,
        shared: &GroupRef,
        it: &Overdue<SessionRef>,
        batch: &mut Batch,
    ) -> Option<Delivery> {
        let mut side = it.holder.outbound.lock();
        let withdrawn = side.outbound.withdraw(shared.source, it.id, &it.message);
        self.tell_steps(&it.holder, &mut side, batch);
        withdrawn
    }

    fn give_up(&self, shared: &GroupRef, it: &Overdue<SessionRef>, batch: &mut Batch) {
        if let Some(delivery) = self.withdraw(shared, it, batch) {
            let group = shared.clone();
            batch.letters.push(Letter { group, delivery });
        }
    }

    /// Publishes what groups have given up, or drops it if they name no topic for it.
    pub(super) fn publish_letters(&self, batch: &mut Batch) {
        while !batch.letters.is_empty() {
            for letter in std::mem::take(&mut batch.letters) {
                self.publish_letter(&letter, batch);
            }
        }
    }

    fn publish_letter(&self, letter: &Letter, batch: &mut Batch) {
        let Letter { group, delivery } = letter;
        if let Some(topic) = &group.options.dead_letter
            && !self.publish_instead(topic, letter, batch)
        {
            // It cannot be kept as a dead letter now: it goes round once more.
            batch.tally.queue_changed(0, 1);
            let delivery = std::iter::once(delivery.clone());
            group.group.lock().give_back(delivery);
            return self.drain_group(group, batch);
        }
        // Only now: a crash in between makes two of it, and not none.
        self.tell_dropped(group, &delivery.message);
        batch.tally.drop(DropReason::DeliveryLimit, 1);
    }

    /// Publishes a dead letter; returns whether it was taken in.
    fn publish_instead(&self, topic: &str, letter: &Letter, batch: &mut Batch) -> bool {
        let message = dead_letter(topic, &letter.group, &letter.delivery);
        let route = self.look_up(topic, None);
        let what = ToKeep {
            message: &message,
            route: &route,
            publisher: None,
            held: None,
            retained: false,
            must_be_retained: false,
        };
        let taken = !matches!(self.keep(&what, None), Progress::Refused(_));
        if taken {
            self.fan_out_all(&mut FanOut::new(message, route), batch);
        }
        taken
    }

    /// Tells that a message has left a group's backlog for nobody.
    pub(super) fn tell_gone(&self, group: &GroupRef, gone: Gone<'_>) {
        let kept = group.is_kept() && gone.qos != QoS::AtMostOnce;
        if let Some(number) = gone.number.filter(|_| kept) {
            self.tell_lost(group, number);
        }
    }

    /// A group that nobody knows yet.
    pub(super) fn make_group(&self, number: NonZeroU64, share: &str, filter: &str) -> GroupRef {
        let options = self.options();
        let named = options.pubsub.named(share, filter);
        let unnamed = || self.unnamed_group.load_full();
        let behaviour = named.map_or_else(unnamed, |it| Arc::clone(&it.options));
        let seed = number.get().wrapping_mul(SEED);
        let mut group = Group::new(behaviour, seed);
        if named.is_some_and(|it| it.declared) {
            group.declare();
        }
        self.metrics.gauge(Gauge::Groups, 1);
        GroupRef::new(number, share, filter, group)
    }
}

/// Makes the numbers of groups into seeds that are far apart.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// The message that is published in place of one that was given up. It does not expire: it waits for
/// somebody who looks into it.
fn dead_letter(topic: &str, group: &GroupRef, delivery: &Delivery) -> Message {
    let message = &delivery.message;
    let mut added = UserPropertiesBuf::new();
    for (name, value) in [
        ("dead-letter-reason", "delivery-limit"),
        ("dead-letter-topic", message.topic()),
        ("dead-letter-attempts", &delivery.attempts.to_string()),
        ("dead-letter-share", &group.share),
    ] {
        // All of them are strings that came out of MQTT packets or are as good.
        let _ = added.push(name, value);
    }
    let forwarded = [message.forwarded(), added.as_bytes()].concat();
    let parts = Parts {
        topic,
        forwarded: &forwarded,
        payload: message.payload(),
        qos: message.qos(),
        retain: false,
        expires: None,
    };
    Message::new(parts, &mut Vec::new())
}
