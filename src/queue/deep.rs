//! The part of a queue that is in the store only.
//!
//! What the store keeps need not be held in memory as well while nobody can take it: of a deep queue
//! only the first messages are, and the numbers of the rest. Before the head runs out the owner asks
//! the store for the next, and hands in what it gets.

use std::collections::VecDeque;

use super::delivery::{Delivery, Stored};
use super::in_store::{Front, InStore};

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

/// What follows the head of a queue. Never empty.
#[derive(Debug, Default)]
pub(super) struct Deep {
    tail: InStore,
    /// Messages that the store does not keep, but that came after others that are there: each has a gap
    /// among these.
    here: VecDeque<Delivery>,
    /// The sum of the sizes of all entries, as far as they are known.
    bytes: usize,
    /// Bytes of the messages that are `here`.
    bytes_here: usize,
    /// Whether the store has been asked for the next messages.
    pub asked: bool,
}

impl Deep {
    /// What was kept.
    pub(super) fn restored(kept: InStore) -> Self {
        Self {
            bytes: kept.bytes(),
            tail: kept,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tail.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of messages that are in memory.
    pub(super) fn bytes_here(&self) -> usize {
        self.bytes_here
    }

    pub(super) fn push(&mut self, delivery: Delivery, spills: bool) {
        let size = delivery.message.size();
        self.bytes += size;
        let Some(number) = delivery.message.number().filter(|_| spills) else {
            self.tail.push_gap();
            self.bytes_here += size;
            return self.here.push_back(delivery);
        };
        self.tail.push(Stored {
            number,
            subscription_ids: delivery.subscription_ids,
            // A Control Packet is shorter than 2^28 bytes.
            size: size as u32,
            qos: delivery.qos,
            retain: delivery.retain,
        });
    }

    pub(super) fn front(&self) -> Option<&Delivery> {
        match self.tail.front()? {
            Front::Gap => self.here.front(),
            Front::Stored(_) => None,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Oldest> {
        let oldest = match self.tail.pop()? {
            Front::Gap => Oldest::Here(self.here.pop_front()?),
            Front::Stored(stored) => Oldest::Stored(stored),
        };
        self.bytes -= oldest.size();
        if let Oldest::Here(delivery) = &oldest {
            self.bytes_here -= delivery.message.size();
        }
        Some(oldest)
    }

    /// The first message, if it is in the store only.
    pub(super) fn next(&self) -> Option<Stored> {
        self.stored().next()
    }

    /// The first messages, as far as they are in the store only.
    pub(super) fn stored(&self) -> impl Iterator<Item = Stored> {
        self.tail.iter()
    }
}
