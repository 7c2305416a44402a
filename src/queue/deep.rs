//! The part of a queue that is in the store only.
//!
//! What the store keeps need not be held in memory as well while nobody can take it: of a deep queue
//! only the first messages are, and the numbers of the rest. Before the head runs out the owner asks
//! the store for the next ([`Queue::wanted`]), and hands in what it gets ([`Queue::supply`]).

use std::collections::VecDeque;
use std::num::NonZeroU64;

use super::{Delivery, Gone, Queue, SubscriptionIds};
use crate::codec::QoS;
use crate::message::Message;

/// Messages that are asked for at once, at most.
const AT_ONCE: usize = 512;

/// A message that is in the store only, and what differs per recipient.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What the store calls it.
    pub number: NonZeroU64,
    /// Identifiers of all subscriptions that matched.
    pub subscription_ids: SubscriptionIds,
    /// Bytes of topic, properties and payload; 0 if they are not known.
    pub size: u32,
    /// The QoS of the delivery; of a message in a group's backlog the one it was published with.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
}

impl Stored {
    pub(super) fn gone(&self) -> Gone<'static> {
        Gone {
            number: Some(self.number),
            qos: self.qos,
            message: None,
        }
    }
}

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
    /// Bytes of what is in the store only.
    bytes: usize,
    /// Whether the store has been asked for the next messages.
    asked: bool,
}

impl Deep {
    pub(super) fn len(&self) -> usize {
        self.tail.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, delivery: Delivery, spills: bool) {
        let Some(number) = delivery.message.number().filter(|_| spills) else {
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

    fn push_stored(&mut self, stored: Stored) {
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
        Some(match oldest {
            Entry::Here(delivery) => Oldest::Here(delivery),
            Entry::Stored(stored) => {
                self.bytes -= stored.size as usize;
                Oldest::Stored(stored)
            }
        })
    }

    /// The first message, if it is in the store only.
    fn next(&self) -> Option<&Stored> {
        match self.tail.front()? {
            Entry::Stored(stored) => Some(stored),
            Entry::Here(_) => None,
        }
    }
}

impl Queue {
    /// A queue as it was kept: all of it is in the store only.
    pub fn restore(&mut self, kept: impl Iterator<Item = Stored>) {
        for stored in kept {
            self.bytes += stored.size as usize;
            self.deep.get_or_insert_default().push_stored(stored);
        }
    }

    /// The numbers of the messages that are to be read back next, if it is time for that: when what is
    /// in memory is soon used up, and the last that were asked for have come.
    pub fn wanted(&mut self) -> Option<Vec<u64>> {
        let most = self.spill.unwrap_or(usize::MAX);
        let held = self.held();
        let deep = self.deep.as_mut()?;
        if deep.asked || held > most / 2 || self.head.len() > AT_ONCE / 2 {
            return None;
        }
        deep.next()?;
        deep.asked = true;
        let mut bytes = held;
        let stored = deep.tail.iter().map_while(|entry| match entry {
            Entry::Stored(stored) => Some(stored),
            Entry::Here(_) => None,
        });
        let wanted = stored.take(AT_ONCE).take_while(|stored| {
            let fits = bytes <= most;
            bytes = bytes.saturating_add(stored.size as usize);
            fits
        });
        Some(wanted.map(|stored| stored.number.get()).collect())
    }

    /// Hands in what was read back, in the order in which it was asked for: all of it, or the first of
    /// it. Without a message it is lost, and shown to `lost`.
    pub fn supply(
        &mut self,
        found: impl Iterator<Item = (u64, Option<Message>)>,
        mut lost: impl FnMut(Gone<'_>),
    ) {
        if let Some(deep) = &mut self.deep {
            deep.asked = false;
        }
        for (number, message) in found {
            let next = self.deep.as_ref().and_then(|deep| deep.next());
            // What gave way meanwhile is not waited for any more.
            if next.is_none_or(|next| next.number.get() != number) {
                continue;
            }
            let before = std::mem::take(&mut self.head);
            let oldest = self.take_oldest();
            self.head = before;
            let Some(Oldest::Stored(stored)) = oldest else {
                return;
            };
            let Some(message) = message else {
                lost(stored.gone());
                continue;
            };
            message.keep_as(stored.number);
            self.bytes += message.size();
            self.head.push_back(Delivery {
                message,
                subscription_ids: stored.subscription_ids,
                qos: stored.qos,
                retain: stored.retain,
                // How often it was given to somebody before is not kept.
                attempts: 0,
            });
        }
    }
}
