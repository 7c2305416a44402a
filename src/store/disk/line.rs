//! Who waits in the queue of one session or group.
//!
//! The order of a queue is that of the numbers of its messages. The broker gives them as messages are
//! accepted, so those of one publisher to one topic keep their order, which is all that is promised; and
//! it is the same whether a message is read where it was first written or where it was carried to. What a
//! member of a group gives back is in front of what came later; a retained message for a new
//! subscription, of what was accepted after it.

use super::entry::Flags;
use crate::queue::Chunked;

/// One that waits, in twelve bytes: 61 bits of its number, QoS and RETAIN, Subscription Identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting([u32; 3]);

impl Waiting {
    pub fn new(number: u64, flags: Flags, ids: u32) -> Self {
        let packed = number << 3 | u64::from(flags.to_byte() & 7);
        Self([packed as u32, (packed >> 32) as u32, ids])
    }

    pub fn number(self) -> u64 {
        (u64::from(self.0[1]) << 32 | u64::from(self.0[0])) >> 3
    }

    /// How it is to be sent; whether it waits for a group, its queue must know.
    pub fn flags(self) -> Flags {
        Flags::from_byte(self.0[0] as u8 & 7).unwrap_or(Flags {
            group: false,
            qos: crate::codec::QoS::AtMostOnce,
            retain: false,
        })
    }

    /// Where the mirror keeps its Subscription Identifiers.
    pub fn ids(self) -> u32 {
        self.0[2]
    }
}

/// A queue.
#[derive(Debug, Default)]
pub(super) struct Line {
    entries: Chunked<Waiting>,
    /// The order was disturbed: it is made good when somebody asks for a number.
    unsorted: bool,
}

impl Line {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.entries.iter()
    }

    pub fn push(&mut self, it: Waiting) {
        self.unsorted |= self
            .entries
            .back()
            .is_some_and(|last| last.number() > it.number());
        self.entries.push_back(it);
    }

    /// Takes the oldest with this number.
    pub fn take(&mut self, number: u64) -> Option<Waiting> {
        if self.entries.front().is_some_and(|it| it.number() == number) {
            // Sorting is stable, so this is the one that would be first.
            return self.entries.pop_front();
        }
        self.sort();
        self.entries
            .take(|it| it.number() < number, |it| it.number() == number)
    }

    /// All with this number, the oldest first.
    pub fn all(&mut self, number: u64) -> Vec<Waiting> {
        self.sort();
        let from = self.entries.from(|it| it.number() < number).copied();
        from.take_while(|it| it.number() == number).collect()
    }

    /// All of them, in order.
    pub fn sorted(&mut self) -> impl Iterator<Item = &Waiting> {
        self.sort();
        self.entries.iter()
    }

    pub fn retain(&mut self, keep: impl FnMut(&Waiting) -> bool) {
        self.entries.retain(keep);
    }

    fn sort(&mut self) {
        if std::mem::take(&mut self.unsorted) {
            self.entries.sort_by_key(|it| it.number());
        }
    }
}
