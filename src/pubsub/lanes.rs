//! The backlog of a group with an ordering key: what waits, waits for one member.
//!
//! ```text
//!            ┌─ bucket has a member ──> its lane ──────────> that member, when it can
//!   message ─┤
//!            └─ it has none, or some of it is loose ──> loose ──> whoever can; it has the bucket then
//!                                      ^                  └─ its bucket has got a member, who cannot
//!   member goes ── its lane, in front ─┘                                    └──> the lane of that one
//! ```
//!
//! After a start all of it is in the store only. It is read back from there, in its order, before anything
//! else; nobody knows before which bucket it is of.
//!
//! A member that is slow keeps waiting only what is its own. Invariants, for each bucket:
//! - what waits in a lane is older than what is loose, and both are in the order in which they came;
//! - what waits in a lane waits in that of the bucket's member;
//! - what has just come passes only what is of other buckets.

use std::collections::{HashMap, VecDeque};

use crate::message::Timestamp;
use crate::queue::options::{Options, Overflow};
use crate::queue::{Delivery, Gone, Queue};

/// See the module. Members are known by their places.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    buckets: HashMap<u16, Bucket>,
    /// One for each member.
    lanes: Vec<VecDeque<Waiting>>,
    loose: VecDeque<Waiting>,
    /// What was kept and has not been read back, and what has come since: younger than all the rest.
    stored: Queue,
    /// What comes next is younger than all, what comes back is older than all.
    next: i64,
    first: i64,
    len: usize,
    bytes: usize,
}

/// All messages whose values have one hash.
#[derive(Debug, Default)]
struct Bucket {
    /// The member that gets them.
    member: Option<usize>,
    /// How many wait.
    waiting: usize,
    /// How many of them are loose.
    loose: usize,
}

#[derive(Debug)]
struct Waiting {
    order: i64,
    bucket: Option<u16>,
    delivery: Delivery,
}

/// Where something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With the member that is to have it.
    Lane(usize),
    /// With nobody.
    Loose,
}

impl Lanes {
    pub(super) fn len(&self) -> usize {
        self.len + self.stored.len()
    }

    /// Bytes of memory, about: 64 for each entry beside its message.
    pub(super) fn weight(&self) -> usize {
        let here = self.len() - self.stored.len();
        self.bytes + here * 64 + self.stored.weight()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.stored.bytes()
    }

    /// What may be in the store only.
    pub(super) fn stored(&mut self) -> &mut Queue {
        &mut self.stored
    }

    /// A member has joined, behind all others.
    pub(super) fn join(&mut self) {
        self.lanes.push(VecDeque::new());
    }

    /// A member has left: those behind it move up.
    pub(super) fn leave(&mut self, member: usize) {
        self.release(member);
        self.lanes.remove(member);
        for bucket in self.buckets.values_mut() {
            if let Some(it) = bucket.member.as_mut().filter(|it| **it > member) {
                *it -= 1;
            }
        }
    }

    /// A member has nothing of its own any more: its buckets go to whoever takes the next of them.
    pub(super) fn release(&mut self, member: usize) {
        let mut lane = std::mem::take(&mut self.lanes[member]);
        for it in lane.iter().filter_map(|it| it.bucket) {
            self.buckets.entry(it).or_default().loose += 1;
        }
        lane.append(&mut self.loose);
        self.loose = lane;
        self.buckets.retain(|_, it| {
            it.member = it.member.filter(|it| *it != member);
            it.member.is_some() || it.waiting > 0
        });
    }

    /// The member that a bucket has.
    pub(super) fn member(&self, bucket: u16) -> Option<usize> {
        self.buckets.get(&bucket)?.member
    }

    /// Gives a bucket that has no member to one.
    pub(super) fn assign(&mut self, bucket: u16, member: usize) {
        self.buckets.entry(bucket).or_default().member = Some(member);
    }

    /// Whether a message may be given to a member before what waits.
    pub(super) fn may_pass(&self, bucket: Option<u16>) -> bool {
        let waits = |bucket| self.buckets.get(&bucket).is_some_and(|it| it.waiting > 0);
        self.stored.is_empty() && !bucket.is_some_and(waits)
    }

    pub(super) fn fits(&self, size: usize, options: &Options) -> bool {
        let fits =
            self.len() < options.messages && self.bytes().saturating_add(size) <= options.bytes;
        self.len() == 0 || fits
    }

    /// Lets a message wait. Returns how many gave way for it; each is shown to `gone`.
    #[must_use]
    pub(super) fn push(
        &mut self,
        delivery: Delivery,
        bucket: Option<u16>,
        options: &Options,
        mut gone: impl FnMut(Gone<'_>),
    ) -> usize {
        let mut dropped = 0;
        while !self.fits(delivery.message.size(), options) {
            // What has not been read back is promised longer than what comes now.
            let oldest = match options.overflow {
                Overflow::DropOldest => self.oldest().and_then(|place| self.pop(place)),
                Overflow::DropNewest => None,
            };
            gone(Gone::from(oldest.as_ref().unwrap_or(&delivery)));
            dropped += 1;
            if oldest.is_none() {
                return dropped;
            }
        }
        match self.stored.is_empty() {
            true => self.put(delivery, bucket),
            false => dropped += self.stored.push(delivery, &Options::UNBOUNDED, gone),
        }
        dropped
    }

    /// Lets a message wait, behind all others of its bucket.
    pub(super) fn put(&mut self, delivery: Delivery, bucket: Option<u16>) {
        let known = bucket.and_then(|bucket| self.buckets.get(&bucket));
        let member = known.filter(|it| it.loose == 0).and_then(|it| it.member);
        self.next += 1;
        let waiting = Waiting {
            order: self.next,
            bucket,
            delivery,
        };
        self.count(&waiting, member.is_none());
        match member {
            Some(member) => self.lanes[member].push_back(waiting),
            None => self.loose.push_back(waiting),
        }
    }

    /// Puts back what was taken before anything that waits, by a member that has nothing any more.
    pub(super) fn give_back(&mut self, delivery: Delivery, bucket: Option<u16>) {
        self.first -= 1;
        let waiting = Waiting {
            order: self.first,
            bucket,
            delivery,
        };
        self.count(&waiting, true);
        self.loose.push_front(waiting);
    }

    fn count(&mut self, waiting: &Waiting, loose: bool) {
        self.len += 1;
        self.bytes += waiting.delivery.message.size();
        if let Some(bucket) = waiting.bucket {
            let bucket = self.buckets.entry(bucket).or_default();
            bucket.waiting += 1;
            bucket.loose += usize::from(loose);
        }
    }

    /// Where something may wait: the lanes of all members, and then what is loose.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.lanes.len()).map(Place::Lane).chain([Place::Loose])
    }

    fn line(&mut self, place: Place) -> &mut VecDeque<Waiting> {
        match place {
            Place::Lane(member) => &mut self.lanes[member],
            Place::Loose => &mut self.loose,
        }
    }

    /// What is next in one place.
    pub(super) fn front(&self, place: Place) -> Option<&Delivery> {
        let line = match place {
            Place::Lane(member) => &self.lanes[member],
            Place::Loose => &self.loose,
        };
        line.front().map(|it| &it.delivery)
    }

    /// Takes what is next in one place.
    pub(super) fn pop(&mut self, place: Place) -> Option<Delivery> {
        let line = self.line(place);
        let waiting = line.pop_front()?;
        if line.is_empty() {
            *line = VecDeque::new();
        }
        self.len -= 1;
        self.bytes -= waiting.delivery.message.size();
        if let Some(bucket) = waiting.bucket
            && let Some(it) = self.buckets.get_mut(&bucket)
        {
            it.waiting -= 1;
            it.loose -= usize::from(place == Place::Loose);
            if it.member.is_none() && it.waiting == 0 {
                self.buckets.remove(&bucket);
            }
        }
        Some(waiting.delivery)
    }

    /// Moves what is loose and next to the lane of the member that has its bucket; returns whether there
    /// is one.
    pub(super) fn settle(&mut self) -> bool {
        let Some(bucket) = self.loose.front().and_then(|it| it.bucket) else {
            return false;
        };
        let Some(it) = self.buckets.get_mut(&bucket) else {
            return false;
        };
        let Some(member) = it.member else {
            return false;
        };
        it.loose -= 1;
        let waiting = self.loose.pop_front();
        self.lanes[member].extend(waiting);
        true
    }

    fn oldest(&self) -> Option<Place> {
        let order = |place: &Place| match place {
            Place::Lane(member) => self.lanes[*member].front().map(|it| it.order),
            Place::Loose => self.loose.front().map(|it| it.order),
        };
        let places = self.places().filter(|it| order(it).is_some());
        places.min_by_key(order)
    }

    /// Drops expired messages that are next in some place, and shows each to `gone`; returns how many.
    // [MQTT5-3.3.2-5]
    pub(super) fn drop_expired(
        &mut self,
        place: Place,
        now: Timestamp,
        mut gone: impl FnMut(Gone<'_>),
    ) -> usize {
        let mut dropped = 0;
        while self.front(place).is_some_and(|it| it.message.expired(now)) {
            if let Some(expired) = self.pop(place) {
                gone(Gone::from(&expired));
            }
            dropped += 1;
        }
        dropped
    }

    /// As [`Self::drop_expired`], in all places.
    pub(super) fn drop_all_expired(
        &mut self,
        now: Timestamp,
        mut gone: impl FnMut(Gone<'_>),
    ) -> usize {
        let places = self.places();
        let drop = |place| self.drop_expired(place, now, &mut gone);
        places.map(drop).sum()
    }

    /// Drops all that waits; returns how many messages that were.
    pub(super) fn clear(&mut self) -> usize {
        self.purge(|_| {})
    }

    /// Drops all that waits, and shows each to `gone`; returns how many messages that were.
    pub(super) fn purge(&mut self, mut gone: impl FnMut(Gone<'_>)) -> usize {
        let count = self.len();
        for place in self.places() {
            while let Some(delivery) = self.pop(place) {
                gone(Gone::from(&delivery));
            }
        }
        self.stored.purge(gone);
        count
    }
}
