//! The bounded queue of messages to deliver.
//!
//! A queue is owned by a session (what waits for its client) or by a group (the backlog that its
//! members share). It is bounded in messages and bytes; what gives way at the bound is told to the
//! caller, who counts it. It knows nothing of packet ids or connections.

mod delivery;
pub mod options;
mod reason;

use std::collections::VecDeque;

pub use delivery::{Delivery, SubscriptionIds};
pub use reason::DropReason;

use crate::message::Timestamp;
use options::{Options, Overflow};

/// Messages to deliver, oldest first.
///
/// Invariant: `bytes` is the sum of the sizes of all entries.
#[derive(Debug, Default)]
pub struct Queue {
    entries: VecDeque<Delivery>,
    bytes: usize,
}

impl Queue {
    /// An empty queue, which holds no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
        mut gone: impl FnMut(&Delivery),
    ) -> usize {
        let size = delivery.message.size();
        let mut dropped = 0;
        while !self.fits(size, options) {
            if options.overflow == Overflow::DropNewest {
                gone(&delivery);
                return dropped + 1;
            }
            if let Some(oldest) = self.pop() {
                gone(&oldest);
            }
            dropped += 1;
        }
        self.bytes += size;
        self.entries.push_back(delivery);
        dropped
    }

    /// Whether a message of this size finds room without another one giving way.
    pub fn fits(&self, size: usize, options: &Options) -> bool {
        self.entries.is_empty()
            || (self.entries.len() < options.messages
                && self.bytes.saturating_add(size) <= options.bytes)
    }

    /// Puts back, in front, what was taken before anything that waits. Never drops: the number of
    /// messages that can come back is bounded by the windows they were taken into.
    pub fn give_back(&mut self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        for delivery in deliveries.rev() {
            self.bytes += delivery.message.size();
            self.entries.push_front(delivery);
        }
    }

    /// The message that is next, without taking it.
    pub fn front(&self) -> Option<&Delivery> {
        self.entries.front()
    }

    /// Takes the oldest message. A queue that becomes empty gives its memory back.
    pub fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.entries.pop_front()?;
        self.bytes -= delivery.message.size();
        if self.entries.is_empty() && self.entries.capacity() > KEPT_CAPACITY {
            self.entries = VecDeque::new();
        }
        Some(delivery)
    }

    /// Drops expired messages from the front, and shows each to `gone`; returns how many.
    /// [MQTT5-3.3.2-5]
    pub fn drop_expired(&mut self, now: Timestamp, mut gone: impl FnMut(&Delivery)) -> usize {
        let mut dropped = 0;
        while self
            .front()
            .is_some_and(|delivery| delivery.message.expired(now))
        {
            if let Some(expired) = self.pop() {
                gone(&expired);
            }
            dropped += 1;
        }
        dropped
    }

    /// Drops everything; returns how many messages that were.
    pub fn clear(&mut self) -> usize {
        let dropped = self.entries.len();
        *self = Self::new();
        dropped
    }
}

/// Entries for which an empty queue keeps room: a queue that fills and drains with every burst
/// should not allocate each time, an idle one should hold next to nothing.
const KEPT_CAPACITY: usize = 16;

#[cfg(test)]
mod tests;
