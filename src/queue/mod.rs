//! The bounded queue of messages to deliver.
//!
//! A queue is owned by a session (what waits for its client) or by a group (the backlog that its
//! members share). It is bounded in messages and bytes; what gives way at the bound is told to the
//! caller, who counts it. It knows nothing of packet ids or connections.

mod deep;
mod delivery;
pub mod options;
mod purge;
mod reason;

use std::collections::VecDeque;
use std::num::NonZeroU64;

pub use deep::Stored;
pub use delivery::{Delivery, SubscriptionIds};
pub use reason::DropReason;

use crate::codec::QoS;
use crate::message::{Message, Timestamp};
use deep::{Deep, Oldest};
use options::{Options, Overflow};

/// Messages to deliver, oldest first.
///
/// ```text
///   pop <── head: in memory ── tail: numbers of messages in the store <── push
///                       ^── supply: read back ─┘
/// ```
///
/// Without a bound on memory ([`Queue::spill`]) all of it is the head.
///
/// Invariant: `bytes` is the sum of the sizes of all entries, as far as they are known.
#[derive(Debug, Default)]
pub struct Queue {
    head: VecDeque<Delivery>,
    /// What follows, if that is not in memory.
    deep: Option<Box<Deep>>,
    bytes: usize,
    /// Bytes in memory beyond which messages that the store keeps are left to it.
    spill: Option<usize>,
}

/// A message that left a queue without being taken from it.
#[derive(Clone, Copy, Debug)]
pub struct Gone<'a> {
    /// What the store calls it, if it keeps it.
    pub number: Option<NonZeroU64>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The message, if it was in memory.
    pub message: Option<&'a Message>,
}

impl<'a> From<&'a Delivery> for Gone<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            number: delivery.message.number(),
            qos: delivery.qos,
            message: Some(&delivery.message),
        }
    }
}

impl Queue {
    /// An empty queue, which holds no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how many bytes are held in memory before messages that the store keeps are left to it, if
    /// it keeps what is in this queue at all.
    pub fn spill(&mut self, beyond: Option<usize>) {
        self.spill = beyond;
    }

    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.head.len() + self.deep.as_ref().map_or(0, |deep| deep.len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.deep.is_none()
    }

    /// Bytes of topic, properties and payload in the queue.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a message. Returns how many messages gave way for it; with
    /// [`Overflow::DropNewest`] that may be the message itself. Each is shown to `gone`.
    #[must_use]
    pub fn push(
        &mut self,
        delivery: Delivery,
        options: &Options,
        mut gone: impl FnMut(Gone<'_>),
    ) -> usize {
        let size = delivery.message.size();
        let mut dropped = 0;
        while !self.fits(size, options) {
            if options.overflow == Overflow::DropNewest {
                gone(Gone::from(&delivery));
                return dropped + 1;
            }
            match self.take_oldest() {
                Some(Oldest::Here(oldest)) => gone(Gone::from(&oldest)),
                Some(Oldest::Stored(oldest)) => gone(oldest.gone()),
                None => break,
            }
            dropped += 1;
        }
        let full = self.spill.is_some_and(|most| self.held() >= most);
        let number = delivery.message.number().filter(|_| full);
        self.bytes += size;
        match (&mut self.deep, number) {
            (None, None) => self.head.push_back(delivery),
            (deep, _) => {
                let deep = deep.get_or_insert_default();
                deep.push(delivery, self.spill.is_some());
            }
        }
        dropped
    }

    fn fits(&self, size: usize, options: &Options) -> bool {
        self.is_empty()
            || (self.len() < options.messages && self.bytes.saturating_add(size) <= options.bytes)
    }

    /// Bytes in memory.
    fn held(&self) -> usize {
        let elsewhere = self.deep.as_ref().map_or(0, |deep| deep.bytes());
        self.bytes.saturating_sub(elsewhere)
    }

    /// Puts back, in front, what was taken before anything that waits. Never drops: the number of
    /// messages that can come back is bounded by the windows they were taken into.
    pub fn give_back(&mut self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        for delivery in deliveries.rev() {
            self.bytes += delivery.message.size();
            self.head.push_front(delivery);
        }
    }

    /// The message that is next, without taking it; nothing while it is in the store only.
    pub fn front(&self) -> Option<&Delivery> {
        let next = || self.deep.as_ref()?.front();
        self.head.front().or_else(next)
    }

    /// Takes the oldest message; nothing while that is in the store only. A queue that becomes empty
    /// gives its memory back.
    pub fn pop(&mut self) -> Option<Delivery> {
        self.front()?;
        match self.take_oldest()? {
            Oldest::Here(delivery) => Some(delivery),
            Oldest::Stored(_) => None,
        }
    }

    fn take_oldest(&mut self) -> Option<Oldest> {
        if let Some(delivery) = self.head.pop_front() {
            self.bytes -= delivery.message.size();
            if self.head.is_empty() && self.head.capacity() > KEPT_CAPACITY {
                self.head = VecDeque::new();
            }
            return Some(Oldest::Here(delivery));
        }
        let deep = self.deep.as_mut()?;
        let oldest = deep.pop();
        if deep.len() == 0 {
            self.deep = None;
        }
        self.bytes -= oldest.as_ref().map_or(0, Oldest::size);
        oldest
    }

    /// Drops expired messages from the front, and shows each to `gone`; returns how many.
    /// [MQTT5-3.3.2-5]
    pub fn drop_expired(&mut self, now: Timestamp, mut gone: impl FnMut(Gone<'_>)) -> usize {
        let mut dropped = 0;
        while self
            .front()
            .is_some_and(|delivery| delivery.message.expired(now))
        {
            if let Some(expired) = self.pop() {
                gone(Gone::from(&expired));
            }
            dropped += 1;
        }
        dropped
    }

    /// Drops everything; returns how many messages that were.
    pub fn clear(&mut self) -> usize {
        let dropped = self.len();
        *self = Self {
            spill: self.spill,
            ..Self::default()
        };
        dropped
    }
}

/// Entries for which an empty queue keeps room: a queue that fills and drains with every burst
/// should not allocate each time, an idle one should hold next to nothing.
const KEPT_CAPACITY: usize = 16;

#[cfg(test)]
mod tests;
