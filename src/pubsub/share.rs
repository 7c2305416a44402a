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

use crate::message::{Message, Timestamp};
use crate::queue::options::Options as QueueOptions;
use crate::queue::{Delivery, Queue, Stored, SubscriptionIds};

use super::options::Strategy;
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
    /// The message as this member gets it, at its own granted QoS. [MQTT5-4.8.2-3]
    pub fn delivery(&self, message: &Message) -> Delivery {
        Delivery {
            message: message.clone(),
            subscription_ids: self.ids.clone(),
            qos: message.qos().min(self.granted.qos),
            retain: message.retain() && self.granted.retain_as_published,
        }
    }
}

/// A group: the members of one ShareName and Topic Filter.
#[derive(Debug)]
pub struct Group<S> {
    members: Vec<Member<S>>,
    backlog: Queue,
    strategy: Strategy,
    /// Index of the member whose turn it is (or who is stuck to).
    turn: usize,
    /// State of the generator behind [`Strategy::Random`].
    random: u64,
    ended: bool,
    /// Messages that could not be read back.
    lost: Vec<NonZeroU64>,
}

impl<S: Clone + Eq> Group<S> {
    /// A group without members. `seed` makes its random choices its own.
    pub fn new(strategy: Strategy, seed: u64) -> Self {
        Self {
            members: Vec::new(),
            backlog: Queue::new(),
            strategy,
            turn: 0,
            random: seed,
            ended: false,
            lost: Vec::new(),
        }
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
            None => self.members.push(member),
        }
    }

    /// Removes a member. Returns whether the group is empty now, and so ended: then its backlog is
    /// gone, and the number of messages in it is returned too.
    pub fn leave(&mut self, subscriber: &S) -> Option<usize> {
        self.members
            .retain(|member| member.subscriber != *subscriber);
        self.end_if_empty()
    }

    /// Ends a group that has no members. Returns the number of messages that were in its backlog, if
    /// it ended.
    pub fn end_if_empty(&mut self) -> Option<usize> {
        if !self.members.is_empty() || self.ended {
            return None;
        }
        self.ended = true;
        Some(self.backlog.clear())
    }

    /// Whether the last member has left: someone who still holds the group must look it up again.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Members, in the order in which they joined.
    pub fn members(&self) -> &[Member<S>] {
        &self.members
    }

    /// Messages that wait for a member.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Chooses who gets the next message. `load` tells how much a member has in flight, if it can
    /// take the message now.
    pub fn choose(&mut self, mut load: impl FnMut(&Member<S>) -> Option<usize>) -> Option<usize> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let start = match self.strategy {
            Strategy::Random => self.next_random() as usize % count,
            _ => self.turn % count,
        };
        let in_turn = (start..count).chain(0..start);
        let members = &self.members;
        let chosen = match self.strategy {
            Strategy::RoundRobin | Strategy::Sticky => in_turn
                .into_iter()
                .find(|index| load(&members[*index]).is_some()),
            // The first pick is fair; if that member cannot take it, all who can are asked.
            Strategy::Random if load(&members[start]).is_some() => Some(start),
            Strategy::Random => {
                let able: Vec<usize> = in_turn
                    .filter(|index| load(&members[*index]).is_some())
                    .collect();
                let pick = self.next_random() as usize % able.len().max(1);
                able.get(pick).copied()
            }
            Strategy::LeastInflight => in_turn
                .filter_map(|index| Some((load(&members[index])?, index)))
                // The first of equals, so that equals take turns.
                .min_by_key(|(load, _)| *load)
                .map(|(_, index)| index),
        }?;
        self.turn = match self.strategy {
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
    pub fn drop_expired(&mut self, now: Timestamp, mut gone: impl FnMut(&Message)) -> usize {
        self.backlog
            .drop_expired(now, |it| _ = it.message.map(&mut gone))
    }

    /// Puts a message into the backlog, as nobody can take it now. Returns how many messages were
    /// dropped for it, each of which is shown to `gone`.
    #[must_use]
    pub fn wait(
        &mut self,
        message: Message,
        options: &QueueOptions,
        mut gone: impl FnMut(&Message),
    ) -> usize {
        self.backlog.push(waiting(message), options, |it| {
            _ = it.message.map(&mut gone);
        })
    }

    /// The backlog as it was kept, all of it in the store only. So many bytes of it are held in memory
    /// from now on.
    pub fn restore(&mut self, kept: impl Iterator<Item = Stored>, memory: usize) {
        self.backlog.restore(kept);
        self.spill(memory);
    }

    /// The store keeps the backlog: so many bytes of it are held in memory beside.
    pub fn spill(&mut self, memory: usize) {
        self.backlog.spill(Some(memory));
    }

    /// The numbers of the messages that are to be read back from the store next, if it is time.
    pub fn wanted(&mut self) -> Option<Vec<u64>> {
        self.backlog.wanted()
    }

    /// Takes what was read back. Returns how many messages are lost.
    pub fn supply(&mut self, found: impl Iterator<Item = (u64, Option<Message>)>) -> usize {
        let before = self.lost.len();
        let lost = &mut self.lost;
        self.backlog.supply(found, |it| lost.extend(it.number));
        lost.len() - before
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
    pub fn give_back(&mut self, messages: impl DoubleEndedIterator<Item = Message>) {
        self.backlog.give_back(messages.map(waiting));
    }

    /// Hands out what waits for as long as `give` finds a taker. `give` is called with this group's
    /// next message and returns whether it went to somebody.
    pub fn drain(
        &mut self,
        now: Timestamp,
        mut give: impl FnMut(&mut Self, &Message) -> bool,
        mut expired: impl FnMut(&Message),
    ) {
        loop {
            self.backlog
                .drop_expired(now, |it| _ = it.message.map(&mut expired));
            let Some(message) = self.backlog.front().map(|front| front.message.clone()) else {
                return;
            };
            if !give(self, &message) {
                return;
            }
            self.backlog.pop();
        }
    }
}

/// A message in the backlog has no member yet, and so nothing that differs per member.
fn waiting(message: Message) -> Delivery {
    Delivery {
        qos: message.qos(),
        retain: message.retain(),
        subscription_ids: SubscriptionIds::default(),
        message,
    }
}

mod purge;

#[cfg(test)]
mod tests;
