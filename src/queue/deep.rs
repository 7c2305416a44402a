//! The part of a queue that is in the store only.
//!
//! What the store keeps need not be held in memory as well while nobody can take it: of a deep queue
//! only the first messages are, and the numbers of the rest. Before the head runs out the owner asks
//! the store for the next, and hands in what it gets.

use std::collections::VecDeque;

use super::delivery::{Delivery, Stored};

/// The oldest entry of a queue.
pub(super) enum Oldest {
    Here(Delivery),
    Stored(Stored),
}

impl Oldest {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Here(delivery) => delivery.message.size(),
            Self::Stored(stored) => stored.size as usize,
        }
    }
}

#[derive(Debug)]
enum Entry {
    Stored(Stored),
    /// The store does not keep it, but it came after others that are there.
    Here(Delivery),
}

/// What follows the head of a queue. Never empty.
#[derive(Debug, Default)]
pub(super) struct Deep {
    tail: VecDeque<Entry>,
    /// The sum of the sizes of all entries, as far as they are known.
    bytes: usize,
    /// Of those that are in memory.
    here: usize,
    /// Whether the store has been asked for the next messages.
    pub asked: bool,
}

impl Deep {
    pub(super) fn len(&self) -> usize {
        self.tail.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of messages that are in memory.
    pub(super) fn here(&self) -> usize {
        self.here
    }

    pub(super) fn push(&mut self, delivery: Delivery, spills: bool) {
        let Some(number) = delivery.message.number().filter(|_| spills) else {
            self.bytes += delivery.message.size();
            self.here += delivery.message.size();
            return self.tail.push_back(Entry::Here(delivery));
        };
        let size = delivery.message.size();
        self.push_stored(Stored {
            number,
            subscription_ids: delivery.subscription_ids,
            // A Control Packet is shorter than 2^28 bytes.
            size: size as u32,
            qos: delivery.qos,
            retain: delivery.retain,
        });
    }

    pub(super) fn push_stored(&mut self, stored: Stored) {
        self.bytes += stored.size as usize;
        self.tail.push_back(Entry::Stored(stored));
    }

    pub(super) fn front(&self) -> Option<&Delivery> {
        match self.tail.front()? {
            Entry::Here(delivery) => Some(delivery),
            Entry::Stored(_) => None,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Oldest> {
        let oldest = self.tail.pop_front()?;
        if self.tail.len() < self.tail.capacity() / 4 {
            self.tail.shrink_to(self.tail.len() * 2);
        }
        let oldest = match oldest {
            Entry::Here(delivery) => Oldest::Here(delivery),
            Entry::Stored(stored) => Oldest::Stored(stored),
        };
        self.bytes -= oldest.size();
        if let Oldest::Here(delivery) = &oldest {
            self.here -= delivery.message.size();
        }
        Some(oldest)
    }

    /// The first message, if it is in the store only.
    pub(super) fn next(&self) -> Option<&Stored> {
        self.stored().next()
    }

    /// The first messages, as far as they are in the store only.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Stored> {
        self.tail.iter().map_while(|entry| match entry {
            Entry::Stored(stored) => Some(stored),
            Entry::Here(_) => None,
        })
    }
}
