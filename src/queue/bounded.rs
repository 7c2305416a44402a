//! The queue itself.

use std::collections::VecDeque;

use super::deep::{Deep, Oldest};
use super::delivery::{Delivery, Gone};
use super::in_store::InStore;
use super::options::{Options, Overflow};
use crate::message::{Message, Timestamp};

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
pub struct Queue(Option<Box<Entries>>);

/// What is in a queue, from the first message on: most queues never see one.
#[derive(Debug, Default)]
struct Entries {
    head: VecDeque<Delivery>,
    /// What follows, if that is not in memory.
    deep: Option<Box<Deep>>,
    bytes: usize,
    /// Bytes in memory beyond which messages that the store keeps are left to it.
    spill: Option<usize>,
}

impl Queue {
    /// An empty queue, which holds no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how many bytes are held in memory before messages that the store keeps are left to it, if
    /// it keeps what is in this queue at all.
    pub fn spill(&mut self, beyond: Option<usize>) {
        if beyond.is_some() || self.0.is_some() {
            self.entries().spill = beyond;
        }
    }

    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|it| it.is_empty())
    }

    /// Bytes of topic, properties and payload in the queue.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.bytes)
    }

    /// Bytes of memory that it takes, about: of all messages that are there, and what each entry takes.
    pub fn weight(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.weight())
    }

    /// Appends a message where no more memory is to be taken: what the store keeps is left to it, and of
    /// everything else only as much is taken as gives way, but always one. Otherwise as [`Self::push`].
    #[must_use]
    pub fn push_pressed(
        &mut self,
        delivery: Delivery,
        options: &Options,
        gone: impl FnMut(Gone<'_>),
    ) -> usize {
        self.entries().push_pressed(delivery, options, gone)
    }

    /// Appends a message. Returns how many messages gave way for it; with
    /// [`Overflow::DropNewest`] that may be the message itself. Each is shown to `gone`.
    #[must_use]
    pub fn push(
        &mut self,
        delivery: Delivery,
        options: &Options,
        gone: impl FnMut(Gone<'_>),
    ) -> usize {
        self.entries().push(delivery, options, gone)
    }

    /// Whether a message of this size finds room without another one giving way.
    pub fn fits(&self, size: usize, options: &Options) -> bool {
        self.0.as_ref().is_none_or(|it| it.fits(size, options))
    }

    /// Puts back, in front, what was taken before anything that waits. Never drops: the number of
    /// messages that can come back is bounded by the windows they were taken into.
    pub fn give_back(&mut self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        for delivery in deliveries.rev() {
            let entries = self.entries();
            entries.bytes += delivery.message.size();
            entries.head.push_front(delivery);
        }
    }

    /// The message that is next, without taking it; nothing while it is in the store only.
    pub fn front(&self) -> Option<&Delivery> {
        self.0.as_ref()?.front()
    }

    /// Takes the oldest message; nothing while that is in the store only. A queue that becomes empty
    /// gives its memory back.
    pub fn pop(&mut self) -> Option<Delivery> {
        self.0.as_mut()?.pop()
    }

    pub(super) fn take_oldest(&mut self) -> Option<Oldest> {
        self.0.as_mut()?.take_oldest()
    }

    /// Drops expired messages from the front, and shows each to `gone`; returns how many.
    /// [MQTT5-3.3.2-5]
    pub fn drop_expired(&mut self, now: Timestamp, gone: impl FnMut(Gone<'_>)) -> usize {
        let entries = self.0.as_mut();
        entries.map_or(0, |it| it.drop_expired(now, gone))
    }

    /// Drops everything; returns how many messages that were.
    pub fn clear(&mut self) -> usize {
        let before = self.0.take();
        let spill = before.as_ref().and_then(|it| it.spill);
        self.spill(spill);
        before.map_or(0, |it| it.len())
    }

    /// An empty queue becomes what was kept of it: all of it is in the store only.
    pub fn restore(&mut self, kept: InStore) {
        if !kept.is_empty() {
            let deep = Deep::restored(kept);
            let entries = self.entries();
            entries.bytes = deep.bytes();
            entries.deep = Some(Box::new(deep));
        }
    }

    /// The numbers of the messages that are to be read back next, if it is time for that: when what is
    /// in memory is soon used up, and the last that were asked for have come.
    pub fn wanted(&mut self) -> Option<Vec<u64>> {
        self.0.as_mut()?.wanted()
    }

    /// Hands in what was read back, in the order in which it was asked for: all of it, or the first of
    /// it. Without a message it is lost, and shown to `lost`.
    pub fn supply(
        &mut self,
        found: impl Iterator<Item = (u64, Option<Message>)>,
        lost: impl FnMut(Gone<'_>),
    ) {
        if let Some(entries) = &mut self.0 {
            entries.supply(found, lost);
        }
    }

    fn entries(&mut self) -> &mut Entries {
        self.0.get_or_insert_default()
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.head.capacity())
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.held())
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.head.len() + self.deep.as_ref().map_or(0, |deep| deep.len())
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.deep.is_none()
    }

    fn weight(&self) -> usize {
        let (here, deep) = self
            .deep
            .as_ref()
            .map_or((0, 0), |deep| (deep.bytes_here(), deep.len()));
        self.held() + here + self.head.len() * ENTRY + deep * STORED_ENTRY
    }

    fn push_pressed(
        &mut self,
        delivery: Delivery,
        options: &Options,
        gone: impl FnMut(Gone<'_>),
    ) -> usize {
        let is_stored = self.spill.is_some() && delivery.message.number().is_some();
        if !is_stored {
            let options = Options {
                bytes: options.bytes.min(self.bytes),
                ..*options
            };
            return self.push(delivery, &options, gone);
        }
        let spill = self.spill.replace(0);
        let dropped = self.push(delivery, options, gone);
        self.spill = spill;
        dropped
    }

    fn push(
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

    /// Bytes of the head.
    fn held(&self) -> usize {
        let elsewhere = self.deep.as_ref().map_or(0, |deep| deep.bytes());
        self.bytes.saturating_sub(elsewhere)
    }

    fn front(&self) -> Option<&Delivery> {
        let next = || self.deep.as_ref()?.front();
        self.head.front().or_else(next)
    }

    fn pop(&mut self) -> Option<Delivery> {
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

    fn drop_expired(&mut self, now: Timestamp, mut gone: impl FnMut(Gone<'_>)) -> usize {
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

    fn wanted(&mut self) -> Option<Vec<u64>> {
        let most = self.spill.unwrap_or(usize::MAX);
        let held = self.held();
        let deep = self.deep.as_mut()?;
        if deep.asked || held > most / 2 || self.head.len() > AT_ONCE / 2 {
            return None;
        }
        deep.next()?;
        deep.asked = true;
        let mut bytes = held;
        let wanted = deep.stored().take(AT_ONCE).take_while(|stored| {
            let fits = bytes <= most;
            bytes = bytes.saturating_add(stored.size as usize);
            fits
        });
        Some(wanted.map(|stored| stored.number.get()).collect())
    }

    fn supply(
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

/// What an entry takes beside its message, about, and one that is in the store only.
const ENTRY: usize = 64;
const STORED_ENTRY: usize = 32;

/// Messages that are asked for at once, at most.
const AT_ONCE: usize = 512;

/// Entries for which an empty queue keeps room: a queue that fills and drains with every burst
/// should not allocate each time, an idle one should hold next to nothing.
const KEPT_CAPACITY: usize = 16;

#[cfg(test)]
mod tests;
