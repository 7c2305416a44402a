//! The state that the records in the log add up to, without the messages themselves.
//!
//! The same code runs while records are replayed and while they are written, so what is found at a
//! start is what there was. The log may begin anywhere: its oldest segments are given up one by one,
//! after what lives in them was carried to the end. So a replay meets names before what they stand for
//! (*lenient*): it takes them on trust, lets what is carried later set things right, and at its end
//! drops what nothing ever explained. What is carried says how things *are*, not what happened, so it
//! does no harm where its original is still there.

use std::collections::{HashMap, VecDeque};

use super::entry::{Body, Entry, Flags, Flight, Holder, LostBody, Session, Wanted};
use super::line::{Line, Waiting};
use super::messages::{Messages, Slot};
use super::numbers::Numbered;
use super::sets::Sets;
use crate::codec::{QoS, SubscriptionOptions};
use crate::store::record::{DELAYED, Owner, Replaces};

/// How long nothing is said of the time while somebody is connected, in milliseconds: so much too late a
/// session may be thought to have been left by a crash.
pub(super) const CLOCK: u64 = 1_000;

/// Keeps a message that was carried, though nobody holds it yet, until the replay is over.
pub(super) const PINNED: u32 = 1 << 31;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub segment: u32,
    /// The offset of the frame in the segment.
    pub offset: u32,
}

/// A session, or another holder of messages.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Nothing if it is not kept.
    pub session: Option<Session>,
    /// The segment from which on all of it but its queue can be read.
    pub since: u32,
    pub waiting: Line,
    /// In the order of the first sending.
    pub in_flight: VecDeque<Flight>,
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// ShareName and Topic Filter; nothing if it is not known.
    pub names: Option<(Box<str>, Box<str>)>,
    pub since: u32,
    pub waiting: Line,
}

/// How many messages were written to a segment, and how many of them are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub total: u32,
    pub live: u32,
    /// Records there that may say of messages elsewhere for whom they wait.
    pub fed: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub holders: Numbered<Held>,
    pub groups: Numbered<Group>,
    pub messages: Messages,
    /// Retained messages and their publishers, by topic.
    pub retained: HashMap<Box<str>, (u64, Option<Box<str>>)>,
    pub shares: Numbered<Share>,
    sets: Sets,
    pub lenient: bool,
    /// Records that named what is not kept.
    pub unknown: u64,
    /// The last time that was heard of, in milliseconds since the Unix epoch.
    pub clock: u64,
    /// Above all numbers that were seen.
    pub next: u64,
}

/// Where a message is that nothing was heard of yet.
fn nowhere(refs: u32) -> Slot {
    let (segment, offset) = (0, 0);
    Slot {
        segment,
        offset,
        refs,
    }
}

impl Mirror {
    /// A mirror before a replay.
    pub fn new() -> Self {
        let delayed = Group {
            names: Some(("$delayed".into(), "".into())),
            ..Group::default()
        };
        Self {
            lenient: true,
            next: 1,
            groups: Numbered::from_iter([(DELAYED, delayed)]),
            ..Self::default()
        }
    }

    /// Takes a record in.
    pub fn apply(&mut self, place: Place, entry: Entry<'_>) {
        if matches!(entry, Entry::Fed(..) | Entry::Again(..) | Entry::Due(..)) {
            self.shares.entry(place.segment.into()).or_default().fed += 1;
        }
        match entry {
            Entry::Opened {
                session,
                expiry,
                client_id,
                owner,
                will,
            } => self.opened(place, session, expiry, (client_id, owner), will),
            Entry::Left {
                session,
                at,
                expiry,
                will,
            } => self.left(session, at, expiry, will),
            Entry::WillDone(session) => {
                if let Some(it) = self.session(session) {
                    it.will = Box::default();
                }
            }
            Entry::Ended(number) => self.ended(number),
            Entry::Subscribed(session, id, filters) => self.subscribed(session, id, &filters),
            Entry::Unsubscribed(session, filters) => {
                if let Some(it) = self.session(session) {
                    it.subscriptions.retain(|it| !filters.contains(&&*it.0));
                }
            }
            Entry::Group(group, share, filter) => {
                self.seen(group);
                let it = self.groups.entry(group).or_default();
                it.names = Some((share.into(), filter.into()));
                it.since = place.segment;
            }
            Entry::Dissolved(group) => match self.groups.remove(&group) {
                Some(it) => self.release_all(it.waiting, VecDeque::new()),
                None => self.unknown(),
            },
            Entry::Message(body) => self.message(place, &body),
            Entry::Due(number, retained, targets) => {
                self.due(place, number, retained, &targets);
            }
            Entry::Lost(body) => self.lost(place, &body),
            Entry::Cleared(topic) => match self.retained.remove(topic) {
                Some((number, _)) => self.release(number),
                None => self.unknown(),
            },
            Entry::Released(session, id) => {
                if let Some(it) = self.session(session) {
                    it.held.retain(|it| *it != id);
                }
            }
            Entry::Fed(number, targets) => {
                for it in &targets {
                    self.wait(number, it, place.segment);
                }
            }
            Entry::Restart(at, next) => self.restart(at, next),
            Entry::Clock(at, next) => self.clock(at, next),
            Entry::Carried(body) => self.carried(place, &body),
            Entry::Again(number, targets) => {
                self.set(number, &targets, place.segment);
            }
            Entry::Holder(it) => self.holder(place, it),
            delivery => self.delivery(place, delivery),
        }
    }

    /// What happens to one delivery.
    fn delivery(&mut self, place: Place, entry: Entry<'_>) {
        match entry {
            Entry::Sent {
                holder,
                id,
                number,
                group,
                qos,
            } => self.sent(place, holder, id, number, group, qos),
            Entry::Received(holder, id) => match self.flight(holder, id) {
                Some(it) => {
                    if let Some(number) = it.number.take() {
                        self.release(number);
                    }
                }
                None => self.unknown(),
            },
            Entry::Done(holder, id) => self.done(holder, id),
            Entry::Returned(holder, id) => self.returned(holder, id),
            Entry::Dropped(owner, number) => {
                let taken = match self.groups.get_mut(&owner) {
                    Some(it) => it.waiting.take(number),
                    None => {
                        let it = self.holders.get_mut(&owner);
                        it.and_then(|it| it.waiting.take(number))
                    }
                };
                match taken {
                    Some(_) => self.release(number),
                    None => self.unknown(),
                }
            }
            _ => {}
        }
    }

    fn seen(&mut self, number: u64) {
        self.next = self.next.max(number.saturating_add(1));
    }

    /// In a replay nothing is known for sure to be unknown.
    fn unknown(&mut self) {
        self.unknown += u64::from(!self.lenient);
    }

    fn session(&mut self, number: u64) -> Option<&mut Session> {
        let found = self.holders.get_mut(&number);
        let found = found.and_then(|it| it.session.as_mut());
        if found.is_none() {
            self.unknown += u64::from(!self.lenient);
        }
        found
    }

    fn subscribed(
        &mut self,
        number: u64,
        id: Option<u32>,
        filters: &[(&str, SubscriptionOptions)],
    ) {
        let Some(it) = self.session(number) else {
            return;
        };
        for (filter, options) in filters {
            it.subscriptions.retain(|it| *it.0 != **filter);
            it.subscriptions.push(((*filter).into(), *options, id));
        }
    }

    fn flight(&mut self, holder: u64, id: u16) -> Option<&mut Flight> {
        let it = self.holders.get_mut(&holder)?;
        it.in_flight.iter_mut().find(|it| it.id == id)
    }

    /// One client may have two sessions: a new one is kept before it is known whether it will be opened, and
    /// the broker ends the one or the other.
    fn opened(
        &mut self,
        place: Place,
        number: u64,
        expiry: u32,
        (client_id, owner): (&str, Owner<'_>),
        will: &[u8],
    ) {
        self.seen(number);
        let held = self.holders.entry(number).or_default();
        if held.session.is_none() {
            held.since = place.segment;
        }
        let it = held.session.get_or_insert_default();
        (it.client_id, it.owner) = (client_id.into(), owner.into());
        (it.expiry, it.left, it.will) = (expiry, None, will.into());
    }

    /// QoS 1 messages from groups go back, whoever holds them. One of QoS 2 that was begun with a
    /// session stays with it while it is kept [MQTT5-4.8.2-4], and goes to nobody else after that
    /// [MQTT5-4.8.2-5].
    fn left(&mut self, number: u64, at: u64, expiry: u32, will: bool) {
        self.clock = self.clock.max(at);
        let Some(held) = self.holders.get_mut(&number) else {
            return;
        };
        let kept = held.session.is_some();
        if let Some(it) = &mut held.session {
            (it.left, it.expiry) = (Some(at), expiry);
            if !will {
                it.will = Box::default();
            }
        }
        self.give_back(number);
        if !kept && !self.lenient {
            self.ended(number);
        }
    }

    fn give_back(&mut self, number: u64) {
        let Some(held) = self.holders.get_mut(&number) else {
            return;
        };
        let (mut back, mut stays) = (Vec::new(), VecDeque::new());
        for it in std::mem::take(&mut held.in_flight) {
            match (it.group, it.number) {
                (Some(_), Some(_)) if it.flags.qos == QoS::AtLeastOnce => back.push(it),
                _ => stays.push_back(it),
            }
        }
        held.in_flight = stays;
        for it in back {
            self.wait_again(it);
        }
    }

    /// Lets the message of a delivery wait in its group again.
    fn wait_again(&mut self, it: Flight) {
        let Some(number) = it.number else {
            return;
        };
        let ids = self.intern(&it.ids);
        let waiting = Waiting::new(number, it.flags, ids);
        match it.group.map(|it| (it, self.groups.get_mut(&it))) {
            Some((_, Some(group))) => group.waiting.push(waiting),
            Some((group, None)) if self.lenient => {
                self.groups.entry(group).or_default().waiting.push(waiting);
            }
            _ => self.release(number),
        }
    }

    pub fn ended(&mut self, number: u64) {
        self.give_back(number);
        // An end may be told twice.
        if let Some(it) = self.holders.remove(&number) {
            self.release_all(it.waiting, it.in_flight);
        }
    }

    pub fn release_all(&mut self, mut waiting: Line, in_flight: VecDeque<Flight>) {
        for it in waiting.sorted() {
            self.release(it.number());
        }
        for number in in_flight.into_iter().filter_map(|it| it.number) {
            self.release(number);
        }
    }

    /// One less holds a message; the last one lets it go.
    fn release(&mut self, number: u64) {
        let Some(slot) = self.messages.get(number) else {
            return;
        };
        slot.refs = (slot.refs & PINNED) | (slot.refs & !PINNED).saturating_sub(1);
        if slot.refs == 0 {
            self.forget(number);
        }
    }

    pub fn forget(&mut self, number: u64) {
        if let Some(slot) = self.messages.remove(number)
            && let Some(share) = self.shares.get_mut(&slot.segment.into())
        {
            share.live = share.live.saturating_sub(1);
        }
    }

    /// One more holds a message. False if there is no such message.
    fn hold(&mut self, number: u64) -> bool {
        if let Some(slot) = self.messages.get(number) {
            slot.refs += 1;
            return true;
        }
        if self.lenient {
            self.messages.insert(number, nowhere(1));
        }
        self.lenient
    }

    fn locate(&mut self, number: u64, place: Place, refs: u32) {
        let Place { segment, offset } = place;
        let slot = Slot {
            segment,
            offset,
            refs,
        };
        if let Some(old) = self.messages.get(number).map(|it| it.segment)
            && let Some(share) = self.shares.get_mut(&old.into())
        {
            share.live = share.live.saturating_sub(1);
        }
        self.messages.insert(number, slot);
        let share = self.shares.entry(segment.into()).or_default();
        share.total += 1;
        share.live += 1;
    }

    fn message(&mut self, place: Place, body: &Body<'_>) {
        self.seen(body.number);
        self.tidy_sets();
        self.hold_id(body.held);
        let known = self.messages.get(body.number).copied();
        if known.is_some_and(|it| it.segment > 0) {
            self.unknown += 1;
            return;
        }
        let mut refs = known.map_or(0, |it| it.refs);
        for it in &body.targets {
            refs += u32::from(self.push(body.number, it, place.segment));
        }
        if body.retained {
            let (topic, publisher) = (body.plain.topic, body.publisher);
            let clears = body.plain.payload.is_empty();
            refs += u32::from(self.replace_retained(body.number, topic, publisher, clears));
        }
        let share = self.shares.entry(place.segment.into()).or_default();
        share.total += 1;
        if refs > 0 {
            share.live += 1;
            let slot = Slot {
                segment: place.segment,
                offset: place.offset,
                refs,
            };
            self.messages.insert(body.number, slot);
        }
    }

    fn hold_id(&mut self, held: Option<(u64, u16)>) {
        if let Some((session, id)) = held
            && let Some(it) = self.session(session)
            && !it.held.contains(&id)
        {
            it.held.push(id);
        }
    }

    /// A message of which only is known what its gist says: it is nowhere.
    fn lost(&mut self, place: Place, body: &LostBody<'_>) {
        self.seen(body.number);
        self.hold_id(body.held);
        let known = self.messages.get(body.number).copied();
        let is_there = known.is_some_and(|it| it.segment > 0);
        if !self.lenient || is_there && !body.carried {
            return self.unknown();
        }
        // Held until all are told, so that it is not let go in between.
        let pinned = known.map_or(nowhere(PINNED), |it| Slot {
            refs: it.refs | PINNED,
            ..it
        });
        self.messages.insert(body.number, pinned);
        if body.carried {
            self.set(body.number, &body.targets, place.segment);
        } else {
            for it in &body.targets {
                self.wait(body.number, it, place.segment);
            }
        }
        if let Some((topic, clears)) = body.retained
            && self.replace_retained(body.number, topic, None, clears)
        {
            self.hold(body.number);
        }
    }

    /// Makes a message the retained one of its topic, or clears that; true if the message is held for it
    /// now, and was not before.
    fn replace_retained(
        &mut self,
        number: u64,
        topic: &str,
        publisher: Option<&str>,
        clears: bool,
    ) -> bool {
        let known = self.retained.get(topic);
        if known.is_some_and(|it| it.0 == number) {
            return false;
        }
        let old = match clears {
            true => self.retained.remove(topic),
            false => {
                let it = (number, publisher.map(Box::from));
                self.retained.insert(topic.into(), it)
            }
        };
        if let Some((number, _)) = old {
            self.release(number);
        }
        !clears
    }

    /// A message that was to be published later is published.
    fn due(
        &mut self,
        place: Place,
        number: u64,
        retained: Option<Replaces<'_>>,
        targets: &[Wanted],
    ) {
        for it in targets {
            self.wait(number, it, place.segment);
        }
        if let Some(it) = retained
            && self.replace_retained(number, it.topic, it.publisher, it.clears)
        {
            self.hold(number);
        }
        let delayed = self.groups.get_mut(&DELAYED);
        match delayed.and_then(|it| it.waiting.take(number)) {
            Some(_) => self.release(number),
            None => self.unknown(),
        }
    }

    /// The numbers of all messages that are no queue's alone: retained ones, and those in flight.
    pub fn at_hand(&self) -> Vec<u64> {
        let in_flight = self.holders.values().flat_map(|it| &it.in_flight);
        let in_flight = in_flight.filter_map(|it| it.number);
        let retained = self.retained.values().map(|it| it.0);
        in_flight.chain(retained).collect()
    }

    /// The queue of an owner; a replay makes one for whoever is not known yet.
    pub fn line(&mut self, owner: u64, group: bool, segment: u32) -> Option<&mut Line> {
        let (lenient, since) = (self.lenient, segment);
        if group {
            if lenient {
                let it = self.groups.entry(owner);
                return Some(
                    &mut it
                        .or_insert_with(|| Group {
                            since,
                            ..Group::default()
                        })
                        .waiting,
                );
            }
            return self.groups.get_mut(&owner).map(|it| &mut it.waiting);
        }
        if lenient {
            let it = self.holders.entry(owner);
            return Some(
                &mut it
                    .or_insert_with(|| Held {
                        since,
                        ..Held::default()
                    })
                    .waiting,
            );
        }
        let it = self
            .holders
            .get_mut(&owner)
            .filter(|it| it.session.is_some());
        it.map(|it| &mut it.waiting)
    }

    fn wait(&mut self, number: u64, it: &Wanted, segment: u32) {
        if !self.hold(number) {
            return self.unknown();
        }
        if !self.push(number, it, segment) {
            self.release(number);
        }
    }

    /// Puts a message that somebody has to hold into a queue; false if there is no such queue.
    fn push(&mut self, number: u64, it: &Wanted, segment: u32) -> bool {
        let ids = self.intern(&it.ids);
        let Some(line) = self.line(it.owner, it.flags.group, segment) else {
            self.unknown();
            return false;
        };
        line.push(Waiting::new(number, it.flags, ids));
        true
    }

    /// Lets a message wait as is said, and not otherwise, with the owners that are named.
    fn set(&mut self, number: u64, targets: &[Wanted], segment: u32) {
        if !self.hold(number) {
            return self.unknown();
        }
        let known = self
            .messages
            .get(number)
            .is_some_and(|it| it.refs & !PINNED > 1);
        for (index, it) in targets.iter().enumerate() {
            let same = |other: &&Wanted| other.owner == it.owner;
            if targets[..index].iter().any(|other| same(&other)) {
                continue;
            }
            let wanted = targets.iter().filter(same).filter(|it| !it.nowhere);
            let wanted: Vec<_> = wanted.collect();
            let new = wanted.iter().map(|it| {
                let ids = self.intern(&it.ids);
                Waiting::new(number, it.flags, ids)
            });
            let new: Vec<_> = new.collect();
            let Some(line) = self.line(it.owner, it.flags.group, segment) else {
                self.unknown();
                continue;
            };
            let old = if known { line.all(number) } else { Vec::new() };
            if old == new {
                continue;
            }
            for _ in &old {
                if let Some(line) = self.line(it.owner, it.flags.group, segment) {
                    line.take(number);
                }
                self.release(number);
            }
            for it in wanted {
                self.wait(number, it, segment);
            }
        }
        self.release(number);
    }

    fn carried(&mut self, place: Place, body: &Body<'_>) {
        self.seen(body.number);
        let pinned = if self.lenient { PINNED } else { 0 };
        let refs = match self.messages.get(body.number) {
            Some(it) => it.refs | pinned,
            None if self.lenient => pinned,
            None => return self.unknown(),
        };
        self.locate(body.number, place, refs);
        self.set(body.number, &body.targets, place.segment);
        let (topic, publisher) = (body.plain.topic, body.publisher);
        if body.retained && self.replace_retained(body.number, topic, publisher, false) {
            self.hold(body.number);
        }
    }

    fn sent(
        &mut self,
        place: Place,
        holder: u64,
        id: u16,
        number: u64,
        group: Option<u64>,
        qos: QoS,
    ) {
        self.seen(holder);
        let taken = match group {
            Some(group) => self
                .groups
                .get_mut(&group)
                .and_then(|it| it.waiting.take(number)),
            None => self
                .holders
                .get_mut(&holder)
                .and_then(|it| it.waiting.take(number)),
        };
        if taken.is_none() && !(self.lenient && self.hold(number)) {
            return self.unknown();
        }
        let flags = taken.map(Waiting::flags);
        let qos = match (group, flags) {
            (None, Some(it)) => it.qos,
            _ => qos,
        };
        let flags = Flags {
            group: group.is_some(),
            qos,
            retain: flags.is_some_and(|it| it.retain),
        };
        let ids = taken.map_or(Vec::new(), |it| self.ids(it.ids()).to_vec());
        let segment = place.segment;
        let held = self.holders.entry(holder).or_insert_with(|| Held {
            since: segment,
            ..Held::default()
        });
        let flight = Flight {
            id,
            number: Some(number),
            group,
            flags,
            ids,
        };
        let old = held.in_flight.iter().position(|it| it.id == id);
        let old = old.and_then(|it| held.in_flight.remove(it));
        held.in_flight.push_back(flight);
        if let Some(number) = old.and_then(|it| it.number) {
            self.release(number);
            self.unknown();
        }
    }

    fn done(&mut self, holder: u64, id: u16) {
        let Some(held) = self.holders.get_mut(&holder) else {
            return self.unknown();
        };
        let Some(index) = held.in_flight.iter().position(|it| it.id == id) else {
            return self.unknown();
        };
        let done = held.in_flight.remove(index);
        if held.in_flight.is_empty() && held.session.is_none() && !self.lenient {
            self.holders.remove(&holder);
        }
        if let Some(number) = done.and_then(|it| it.number) {
            self.release(number);
        }
    }

    /// A message goes back to its group from a holder that stays.
    fn returned(&mut self, number: u64, id: u16) {
        let Some(held) = self.holders.get_mut(&number) else {
            return self.unknown();
        };
        let index = held.in_flight.iter().position(|it| it.id == id);
        let Some(flight) = index.and_then(|it| held.in_flight.remove(it)) else {
            return self.unknown();
        };
        if held.in_flight.is_empty() && held.session.is_none() && !self.lenient {
            self.holders.remove(&number);
        }
        self.wait_again(flight);
    }

    fn holder(&mut self, place: Place, it: Holder) {
        self.seen(it.number);
        let held = self.holders.entry(it.number).or_default();
        held.session = it.session;
        held.since = place.segment;
        let old = std::mem::replace(&mut held.in_flight, it.in_flight.into());
        let new: Vec<_> = held.in_flight.iter().filter_map(|it| it.number).collect();
        for number in new {
            self.hold(number);
        }
        for number in old.into_iter().filter_map(|it| it.number) {
            self.release(number);
        }
    }

    /// Whether a session that is kept has a connection.
    pub fn is_connected(&self) -> bool {
        let mut sessions = self.holders.values().filter_map(|it| it.session.as_ref());
        sessions.any(|it| it.left.is_none())
    }

    fn clock(&mut self, at: u64, next: u64) {
        self.clock = self.clock.max(at);
        self.next = self.next.max(next);
    }

    /// The process ended and another began: all connections are gone.
    fn restart(&mut self, at: u64, next: u64) {
        let mut numbers: Vec<_> = self.holders.keys().copied().collect();
        numbers.sort_unstable();
        // They may have lasted until the time would have been told again, but not longer than now. What
        // spoke of the time may have been given up with the oldest segment: then nobody has been away for
        // longer than since now.
        let last = match self.clock {
            0 => at,
            clock => at.min(clock.saturating_add(CLOCK)),
        };
        for number in numbers {
            self.give_back(number);
            let kept = self.holders.get_mut(&number);
            match kept.and_then(|it| it.session.as_mut()) {
                Some(it) => it.left = it.left.or(Some(last)),
                None if self.lenient => {}
                None => self.ended(number),
            }
        }
        self.clock(at, next);
    }

    /// A number for a set of Subscription Identifiers.
    fn intern(&mut self, ids: &[u32]) -> u32 {
        self.sets.intern(ids)
    }

    /// The set with this number.
    pub fn ids(&self, number: u32) -> &[u32] {
        self.sets.of(number)
    }

    /// Forgets sets of Subscription Identifiers that nobody uses, if it is worth the work.
    fn tidy_sets(&mut self) {
        if self.sets.is_many() {
            let holders = self.holders.values().map(|it| &it.waiting);
            let lines = holders.chain(self.groups.values().map(|it| &it.waiting));
            self.sets
                .keep(lines.flat_map(Line::iter).map(|it| it.ids()));
        }
    }
}
