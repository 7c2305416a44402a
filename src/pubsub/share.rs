//! Shared subscriptions as work queues: one member of a group gets each message.
//!
//! The backlog belongs to the group. A message waits in it only while no member can take one, and
//! whatever makes a member able to (quota, a connection, a new member) draws from it; so the
//! backlog never holds a message that a member could have.
//!
//! ```text
//!   message ──> backlog empty and a member can take it? ──> that member
//!                         └ no ──> backlog ──> drain, when a member can again
//!   member leaves ──> what it had not acknowledged at QoS 1 ──> front of the backlog ──> drain
//! ```

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::codec::PacketId;
use crate::message::{Message, Timestamp};
use crate::queue::options::Options as QueueOptions;
use crate::queue::{Delivery, Gone, InStore, Queue, SubscriptionIds};

use super::lanes::{Lanes, Place};
use super::options::{GroupOptions, Strategy};
use super::subscriptions::Granted;

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Member<S> {
    /// Who.
    pub subscriber: S,
    /// What its subscription was granted.
    pub granted: Granted,
    ids: SubscriptionIds,
}

impl<S> Member<S> {
    /// The message as this member gets it, at its own granted QoS; `attempts` is how often it was given
    /// to a member before. [MQTT5-4.8.2-3]
    pub fn delivery(&self, message: &Message, attempts: u16) -> Delivery {
        Delivery {
            message: message.clone(),
            subscription_ids: self.ids.clone(),
            qos: message.qos().min(self.granted.qos),
            retain: message.retain() && self.granted.retain_as_published,
            attempts: attempts.saturating_add(1),
        }
    }
}

/// Whether a member can take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It can now, and has so many in flight.
    Free(usize),
    /// It cannot now.
    Busy,
    /// It never can, as far as is known.
    Never,
}

/// A group: the members of one ShareName and Topic Filter.
#[derive(Debug)]
pub struct Group<S> {
    members: Vec<Member<S>>,
    backlog: Backlog,
    options: Arc<GroupOptions>,
    /// Whether it does without members.
    declared: bool,
    /// Index of the member whose turn it is (or who is stuck to).
    turn: usize,
    /// State of the generator behind [`Strategy::Random`].
    random: u64,
    ended: bool,
    /// What has not been acknowledged in time, if that is looked after.
    watch: Option<Box<Watch<S>>>,
    /// Messages that could not be read back.
    lost: Vec<NonZeroU64>,
}

#[derive(Debug)]
enum Backlog {
    Plain(Queue),
    /// With an ordering key.
    Keyed(Box<Lanes>),
}

/// What a group with an acknowledgement timeout knows.
#[derive(Debug)]
struct Watch<S> {
    /// Whether somebody is going to look for overdue deliveries.
    armed: bool,
    overdue: Vec<Overdue<S>>,
}

/// A delivery that was not acknowledged in time and is still with the member that it was given to, for
/// want of another.
#[derive(Clone, Debug)]
pub struct Overdue<S> {
    /// The member.
    pub holder: S,
    /// The Packet Identifier.
    pub id: PacketId,
    /// The message.
    pub message: Message,
}

impl<S: Clone + Eq> Group<S> {
    /// A group without members. `seed` makes its random choices its own.
    pub fn new(options: Arc<GroupOptions>, seed: u64) -> Self {
        let watch = options.acknowledgement_timeout.map(|_| Watch {
            armed: false,
            overdue: Vec::new(),
        });
        Self {
            members: Vec::new(),
            backlog: match options.ordering {
                None => Backlog::Plain(Queue::new()),
                Some(_) => Backlog::Keyed(Box::default()),
            },
            options,
            declared: false,
            turn: 0,
            random: seed,
            ended: false,
            watch: watch.map(Box::new),
            lost: Vec::new(),
        }
    }

    /// Says that it does without members: it does not end with the last one, and collects without any.
    pub fn declare(&mut self) {
        self.declared = true;
    }

    /// Whether it does without members.
    pub fn is_declared(&self) -> bool {
        self.declared
    }

    /// How it behaves.
    pub fn options(&self) -> &Arc<GroupOptions> {
        &self.options
    }

    /// Adds a member, or, if it is `known` to be one, replaces what it was granted.
    pub fn join(&mut self, subscriber: S, granted: Granted, known: bool) {
        let ids: Vec<u32> = granted.id.iter().map(|id| id.get()).collect();
        let member = Member {
            subscriber,
            granted,
            ids: SubscriptionIds::new(&ids),
        };
        let place = known
            .then(|| {
                self.members
                    .iter_mut()
                    .find(|m| m.subscriber == member.subscriber)
            })
            .flatten();
        match place {
            Some(place) => *place = member,
            None => {
                self.members.push(member);
                if let Backlog::Keyed(lanes) = &mut self.backlog {
                    lanes.join();
                }
            }
        }
    }

    /// Removes a member. Returns whether the group is empty now, and so ended: then its backlog is
    /// gone, and the number of messages in it is returned too.
    pub fn leave(&mut self, subscriber: &S) -> Option<usize> {
        if let Some(index) = self.position(subscriber) {
            self.members.remove(index);
            if let Backlog::Keyed(lanes) = &mut self.backlog {
                lanes.leave(index);
            }
        }
        self.end_if_empty()
    }

    /// Ends a group that has no members. Returns the number of messages that were in its backlog, if
    /// it ended.
    pub fn end_if_empty(&mut self) -> Option<usize> {
        if !self.members.is_empty() || self.ended || self.declared {
            return None;
        }
        self.ended = true;
        Some(self.clear())
    }

    /// A member has lost its connection: what goes to one member is another one's from now on.
    pub fn release(&mut self, subscriber: &S) {
        let index = self.position(subscriber);
        if let (Some(index), Backlog::Keyed(lanes)) = (index, &mut self.backlog) {
            lanes.release(index);
        }
    }

    fn position(&self, subscriber: &S) -> Option<usize> {
        let mut members = self.members.iter();
        members.position(|member| member.subscriber == *subscriber)
    }

    /// Whether it is over: someone who still holds the group must look it up again.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ends a group that has no members.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Members, in the order in which they joined.
    pub fn members(&self) -> &[Member<S>] {
        &self.members
    }

    /// Messages that wait for a member.
    pub fn backlog(&self) -> usize {
        match &self.backlog {
            Backlog::Plain(queue) => queue.len(),
            Backlog::Keyed(lanes) => lanes.len(),
        }
    }

    /// Bytes of memory that the backlog takes, about.
    pub fn weight(&self) -> usize {
        match &self.backlog {
            Backlog::Plain(queue) => queue.weight(),
            Backlog::Keyed(lanes) => lanes.weight(),
        }
    }

    /// Bytes of topic, properties and payload that wait for a member.
    pub fn backlog_bytes(&self) -> usize {
        match &self.backlog {
            Backlog::Plain(queue) => queue.bytes(),
            Backlog::Keyed(lanes) => lanes.bytes(),
        }
    }

    /// Whether a message of this size finds room in the backlog without another one giving way.
    pub fn has_room_for(&self, size: usize) -> bool {
        match &self.backlog {
            Backlog::Plain(queue) => queue.fits(size, &self.options.queue),
            Backlog::Keyed(lanes) => lanes.fits(size, &self.options.queue),
        }
    }

    /// Whether a message may be given to a member before what waits.
    pub fn may_pass(&self, message: &Message) -> bool {
        match &self.backlog {
            Backlog::Plain(queue) => queue.is_empty(),
            Backlog::Keyed(lanes) => lanes.may_pass(self.bucket(message)),
        }
    }

    fn bucket(&self, message: &Message) -> Option<u16> {
        self.options.ordering.as_ref()?.bucket(message)
    }

    /// Chooses who gets this message. `load` tells how much a member has in flight, if it can take the
    /// message now.
    pub fn choose(
        &mut self,
        message: &Message,
        mut load: impl FnMut(&Member<S>) -> Load,
    ) -> Option<usize> {
        let Backlog::Keyed(lanes) = &self.backlog else {
            return self.pick(load);
        };
        let Some(bucket) = self.bucket(message) else {
            return self.pick(load);
        };
        let Some(member) = lanes.member(bucket) else {
            let chosen = self.pick(load)?;
            if let Backlog::Keyed(lanes) = &mut self.backlog {
                lanes.assign(bucket, chosen);
            }
            return Some(chosen);
        };
        match load(&self.members[member]) {
            Load::Free(_) => Some(member),
            Load::Busy => None,
            // It does not keep others waiting behind what it could not read anyway.
            Load::Never => self.pick(load),
        }
    }

    /// Any member, as the strategy has it.
    fn pick(&mut self, mut load: impl FnMut(&Member<S>) -> Load) -> Option<usize> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let start = match self.options.strategy {
            Strategy::Random => self.next_random() as usize % count,
            _ => self.turn % count,
        };
        let in_turn = (start..count).chain(0..start);
        let members = &self.members;
        let mut free = |index: usize| match load(&members[index]) {
            Load::Free(load) => Some(load),
            Load::Busy | Load::Never => None,
        };
        let chosen = match self.options.strategy {
            Strategy::RoundRobin | Strategy::Sticky => {
                in_turn.into_iter().find(|index| free(*index).is_some())
            }
            // The first pick is fair; if that member cannot take it, all who can are asked.
            Strategy::Random if free(start).is_some() => Some(start),
            Strategy::Random => {
                let able: Vec<usize> = in_turn.filter(|index| free(*index).is_some()).collect();
                let pick = self.next_random() as usize % able.len().max(1);
                able.get(pick).copied()
            }
            Strategy::LeastInflight => in_turn
                .filter_map(|index| Some((free(index)?, index)))
                // The first of equals, so that equals take turns.
                .min_by_key(|(load, _)| *load)
                .map(|(_, index)| index),
        }?;
        self.turn = match self.options.strategy {
            Strategy::Sticky => chosen,
            _ => chosen + 1,
        };
        Some(chosen)
    }

    // xorshift64*: chances need to be equal, not secret.
    fn next_random(&mut self) -> u64 {
        let mut x = self.random | 1;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    /// Drops messages of the backlog that have expired, and shows each to `gone`; returns how many.
    pub fn drop_expired(&mut self, now: Timestamp, gone: impl FnMut(Gone<'_>)) -> usize {
        match &mut self.backlog {
            Backlog::Plain(queue) => queue.drop_expired(now, gone),
            Backlog::Keyed(lanes) => lanes.drop_all_expired(now, gone),
        }
    }

    /// Puts a message into the backlog, as nobody can take it now. Returns how many messages were
    /// dropped for it, each of which is shown to `gone`: none if the group refuses instead. What it did
    /// not refuse when it was asked has a place.
    #[must_use]
    pub fn wait(&mut self, message: Message, gone: impl FnMut(Gone<'_>)) -> usize {
        let bucket = self.bucket(&message);
        let bounds = match self.options.refuses {
            true => &QueueOptions::UNBOUNDED,
            false => &self.options.queue,
        };
        let delivery = waiting(message, 0);
        match &mut self.backlog {
            Backlog::Plain(queue) => queue.push(delivery, bounds, gone),
            Backlog::Keyed(lanes) => lanes.push(delivery, bucket, bounds, gone),
        }
    }

    /// The backlog as it was kept, all of it in the store only. So many bytes of it are held in memory
    /// from now on.
    pub fn restore(&mut self, kept: InStore, memory: usize) {
        self.stored().restore(kept);
        self.spill(memory);
    }

    /// The store keeps the backlog: so many bytes of it are held in memory beside. With an ordering key
    /// all of it is.
    pub fn spill(&mut self, memory: usize) {
        self.stored().spill(Some(memory));
    }

    /// What may be in the store only.
    fn stored(&mut self) -> &mut Queue {
        match &mut self.backlog {
            Backlog::Plain(queue) => queue,
            Backlog::Keyed(lanes) => lanes.stored(),
        }
    }

    /// The numbers of the messages that are to be read back from the store next, if it is time.
    pub fn wanted(&mut self) -> Option<Vec<u64>> {
        self.stored().wanted()
    }

    /// Takes what was read back. Returns how many messages are lost.
    pub fn supply(&mut self, found: impl Iterator<Item = (u64, Option<Message>)>) -> usize {
        let mut lost = Vec::new();
        self.stored().supply(found, |it| lost.extend(it.number));
        let count = lost.len();
        self.lost.append(&mut lost);
        self.sort_in();
        count
    }

    /// Finds places for what was read back, where messages have one that depends on what they are.
    fn sort_in(&mut self) {
        while let Backlog::Keyed(lanes) = &mut self.backlog
            && let Some(delivery) = lanes.stored().pop()
        {
            let bucket = self.bucket(&delivery.message);
            if let Backlog::Keyed(lanes) = &mut self.backlog {
                lanes.put(delivery, bucket);
            }
        }
    }

    /// Whether messages are lost that nobody has been told of.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Takes the numbers of the messages that are lost.
    pub fn take_lost(&mut self) -> Vec<NonZeroU64> {
        std::mem::take(&mut self.lost)
    }

    /// A member gives back what it was sent but did not acknowledge, oldest first.
    pub fn give_back(&mut self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        let deliveries = deliveries.map(|it| waiting(it.message, it.attempts));
        if let Backlog::Plain(queue) = &mut self.backlog {
            return queue.give_back(deliveries);
        }
        for delivery in deliveries.rev() {
            let bucket = self.bucket(&delivery.message);
            if let Backlog::Keyed(lanes) = &mut self.backlog {
                lanes.give_back(delivery, bucket);
            }
        }
    }

    /// Whether a delivery that failed was the last that the group allows.
    pub fn is_exhausted(&self, delivery: &Delivery) -> bool {
        let limit = self.options.delivery_limit;
        limit.is_some_and(|limit| delivery.attempts >= limit.get())
    }

    /// Hands out what waits for as long as `give` finds a taker. `give` is called with this group's
    /// next message and how often it was given to a member before, and returns whether it went to
    /// somebody.
    pub fn drain(
        &mut self,
        now: Timestamp,
        mut give: impl FnMut(&mut Self, &Message, u16) -> bool,
        mut expired: impl FnMut(Gone<'_>),
    ) {
        let Backlog::Keyed(lanes) = &mut self.backlog else {
            return self.drain_place(None, now, &mut give, &mut expired);
        };
        for place in lanes.places() {
            self.drain_place(Some(place), now, &mut give, &mut expired);
        }
    }

    /// Hands out what waits in one place, if there are several.
    fn drain_place(
        &mut self,
        place: Option<Place>,
        now: Timestamp,
        give: &mut impl FnMut(&mut Self, &Message, u16) -> bool,
        expired: &mut impl FnMut(Gone<'_>),
    ) {
        loop {
            let next = match (&mut self.backlog, place) {
                (Backlog::Plain(queue), _) => {
                    queue.drop_expired(now, &mut *expired);
                    queue.front()
                }
                (Backlog::Keyed(lanes), Some(place)) => {
                    lanes.drop_expired(place, now, &mut *expired);
                    lanes.front(place)
                }
                (Backlog::Keyed(_), None) => None,
            };
            let Some((message, attempts)) = next.map(|it| (it.message.clone(), it.attempts)) else {
                return;
            };
            let given = give(self, &message, attempts);
            let goes_on = match (&mut self.backlog, place) {
                (Backlog::Plain(queue), _) => given && queue.pop().is_some(),
                (Backlog::Keyed(lanes), Some(place)) if given => lanes.pop(place).is_some(),
                // Who has its bucket cannot take it now: that keeps nobody else waiting.
                (Backlog::Keyed(lanes), Some(Place::Loose)) => lanes.settle(),
                (Backlog::Keyed(_), _) => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Drops all that waits; returns how many messages that were.
    pub fn clear(&mut self) -> usize {
        match &mut self.backlog {
            Backlog::Plain(queue) => queue.clear(),
            Backlog::Keyed(lanes) => lanes.clear(),
        }
    }

    /// Notes that somebody is going to look for overdue deliveries, or that nobody is any more. Returns
    /// whether that is new; without an acknowledgement timeout nothing ever is.
    pub fn arm(&mut self, armed: bool) -> bool {
        let watch = self.watch.as_mut();
        watch.is_some_and(|it| std::mem::replace(&mut it.armed, armed) != armed)
    }

    /// Whether deliveries are overdue.
    pub fn is_overdue(&self) -> bool {
        self.watch.as_ref().is_some_and(|it| !it.overdue.is_empty())
    }

    /// Takes the overdue deliveries that are known of, and leaves others to be known of, if there are
    /// any.
    pub fn replace_overdue(&mut self, overdue: Vec<Overdue<S>>) -> Vec<Overdue<S>> {
        match &mut self.watch {
            Some(watch) => std::mem::replace(&mut watch.overdue, overdue),
            None => Vec::new(),
        }
    }
}

/// A message in the backlog, which was given to a member so often: it has none now, and so nothing that
/// differs per member.
fn waiting(message: Message, attempts: u16) -> Delivery {
    Delivery {
        qos: message.qos(),
        retain: message.retain(),
        subscription_ids: SubscriptionIds::default(),
        attempts,
        message,
    }
}

mod purge;

#[cfg(test)]
mod tests;
