//! From the mirror to the state that the broker finds: messages are read back from the log.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::engine::Engine;
use super::entry::{self, Body, Flight, Session};
use super::line::Line;
use super::messages::Slot;
use super::mirror::{Held, Mirror};
use super::segments::files::Files;
use super::segments::log::Log;
use crate::codec::PacketId;
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, InStore, Stored, SubscriptionIds};
use crate::store::record::DELAYED;
use crate::store::state::{
    KeptDelayed, KeptGroup, KeptInFlight, KeptRetained, KeptSession, Numbered, OwnedWill, State,
};

/// Bytes of messages that are read back at once, about.
const AT_ONCE: usize = 1 << 20;

impl<F: Files> Engine<F> {
    /// Everything that is kept; of what waits, only the numbers. Returns also how many messages could
    /// not be read, and are left out.
    pub fn state(&mut self) -> (State, u64) {
        let numbers = self.mirror.at_hand();
        let (messages, unread) = self.read_messages(numbers);
        let mut state = State {
            next_number: self.mirror.next,
            ..State::default()
        };
        let mirror = &mut self.mirror;
        let holders = std::mem::take(&mut mirror.holders);
        let mut holders: Vec<_> = holders.into_iter().collect();
        holders.sort_unstable_by_key(|it| it.0);
        for (number, held) in &mut holders {
            if let Some(session) = held.session.clone() {
                let kept = recall_session(mirror, &messages, *number, &session, held);
                state.sessions.push(kept);
            }
        }
        mirror.holders = holders.into_iter().collect();
        let mut groups = std::mem::take(&mut mirror.groups);
        for (number, group) in &mut groups {
            let names = group.names.clone().filter(|_| *number != DELAYED);
            let Some((share, filter)) = names else {
                continue;
            };
            state.groups.push(KeptGroup {
                number: *number,
                share,
                filter,
                backlog: stored(mirror, &mut group.waiting),
            });
        }
        mirror.groups = groups;
        state.groups.sort_unstable_by_key(|it| it.number);
        for (number, publisher) in mirror.retained.values() {
            if let Some(message) = messages.get(number) {
                state.retained.push(KeptRetained {
                    number: *number,
                    message: message.clone(),
                    publisher: publisher.clone(),
                });
            }
        }
        state.retained.sort_unstable_by_key(|it| it.number);
        let unread = unread + self.recall_delayed(&mut state.delayed);
        (state, unread)
    }

    /// All messages that are to be published later. Returns how many could not be read.
    fn recall_delayed(&mut self, delayed: &mut Vec<KeptDelayed>) -> u64 {
        let group = self.mirror.groups.get_mut(&DELAYED);
        let numbers = group.map(|it| it.waiting.sorted().map(|it| it.number()).collect());
        let numbers: Vec<u64> = numbers.unwrap_or_default();
        let (mut frames, mut scratch) = (Frames::default(), Vec::new());
        for number in &numbers {
            let slot = self.mirror.messages.get(*number).copied();
            let body = slot.and_then(|slot| frames.body(&mut self.log, *number, slot));
            let Some((body, due)) = body.and_then(|it| it.due.map(|due| (it, due))) else {
                continue;
            };
            delayed.push(KeptDelayed {
                number: *number,
                message: body.plain.to_message(&mut scratch),
                due,
                publisher: body.publisher.map(Box::from),
            });
        }
        (numbers.len() - delayed.len()) as u64
    }

    /// Messages with these numbers, each read once, in the order in which they are in the log. Returns
    /// also how many could not be read.
    fn read_messages(&mut self, numbers: Vec<u64>) -> (HashMap<u64, Message>, u64) {
        let places = numbers.into_iter();
        let places = places.filter_map(|it| Some((it, *self.mirror.messages.get(it)?)));
        let mut places: Vec<_> = places.collect();
        places.sort_unstable_by_key(|it| (it.1.segment, it.1.offset));
        places.dedup_by_key(|it| it.0);
        let mut messages = HashMap::with_capacity(places.len());
        let mut frames = Frames::default();
        let mut unread = 0;
        for (number, slot) in places {
            match frames.message(&mut self.log, number, slot) {
                Some(it) => _ = messages.insert(number, it),
                None => unread += 1,
            }
        }
        (messages, unread)
    }

    /// The first of these messages, at least one; nothing in place of one that cannot be read.
    pub fn recall(&mut self, numbers: &[u64]) -> Vec<(u64, Option<Message>)> {
        let mut frames = Frames::default();
        let mut found = Vec::with_capacity(numbers.len());
        let mut bytes = 0;
        for number in numbers {
            let slot = self.mirror.messages.get(*number).copied();
            let message = slot.and_then(|slot| frames.message(&mut self.log, *number, slot));
            bytes += message.as_ref().map_or(0, Message::size);
            found.push((*number, message));
            if bytes >= AT_ONCE {
                break;
            }
        }
        found
    }
}

/// Reads messages of the log, and each frame once if they come in its order.
#[derive(Default)]
struct Frames {
    frame: Vec<u8>,
    /// Segment and offset of the frame.
    of: (u32, u32),
    scratch: Vec<u8>,
}

impl Frames {
    fn message<F: Files>(&mut self, log: &mut Log<F>, number: u64, slot: Slot) -> Option<Message> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let body = self.body(log, number, slot);
        let message = body.map(|it| it.plain.to_message(&mut scratch));
        self.scratch = scratch;
        message
    }

    /// The message and what stands before it.
    fn body<F: Files>(&mut self, log: &mut Log<F>, number: u64, slot: Slot) -> Option<Body<'_>> {
        let place = (slot.segment, slot.offset);
        if self.of != place {
            self.of = place;
            self.frame = log.read_from(place.0, place.1).unwrap_or_default();
        }
        entry::message_in(&self.frame, number)
    }
}

/// What waits in a queue.
fn stored(mirror: &Mirror, line: &mut Line) -> InStore {
    let waiting = line.sorted().filter_map(|it| {
        let flags = it.flags();
        Some(Stored {
            number: NonZeroU64::new(it.number())?,
            subscription_ids: SubscriptionIds::new(mirror.ids(it.ids())),
            size: 0,
            qos: flags.qos,
            retain: flags.retain,
        })
    });
    waiting.collect()
}

fn recall_session(
    mirror: &Mirror,
    messages: &HashMap<u64, Message>,
    number: u64,
    session: &Session,
    held: &mut Held,
) -> KeptSession {
    let waiting = stored(mirror, &mut held.waiting);
    let in_flight = held.in_flight.iter();
    KeptSession {
        number,
        client_id: session.client_id.clone(),
        owner: session.owner.clone(),
        expiry: session.expiry,
        left: Timestamp::from_millis(session.left.unwrap_or(mirror.clock)),
        will: recall_will(session),
        subscriptions: session.subscriptions.clone(),
        held: session
            .held
            .iter()
            .filter_map(|it| PacketId::new(*it))
            .collect(),
        in_flight: in_flight
            .filter_map(|it| recall_flight(mirror, session, messages, it))
            .collect(),
        waiting,
    }
}

fn recall_will(session: &Session) -> Option<OwnedWill> {
    match session.will.is_empty() {
        true => None,
        false => entry::will(&session.will),
    }
}

fn recall_flight(
    mirror: &Mirror,
    session: &Session,
    messages: &HashMap<u64, Message>,
    it: &Flight,
) -> Option<KeptInFlight> {
    let publish = match it.number {
        Some(number) => {
            let message = messages.get(&number)?.clone();
            let (retain, subscription_ids) = match it.group {
                Some(group) => as_member(mirror, session, group, &message),
                None => (it.flags.retain, SubscriptionIds::new(&it.ids)),
            };
            Some(Numbered {
                number,
                delivery: Delivery {
                    message,
                    subscription_ids,
                    qos: it.flags.qos,
                    retain,
                    attempts: 0,
                },
            })
        }
        None => None,
    };
    Some(KeptInFlight {
        id: PacketId::new(it.id)?,
        publish,
    })
}

/// How a message of a group is sent to a member: its subscription says so, and no record of the message.
fn as_member(
    mirror: &Mirror,
    session: &Session,
    group: u64,
    message: &Message,
) -> (bool, SubscriptionIds) {
    let names = mirror.groups.get(&group).and_then(|it| it.names.as_ref());
    let names = names.map(|(share, filter)| format!("$share/{share}/{filter}"));
    let mut subscriptions = session.subscriptions.iter();
    let found = subscriptions.find(|it| Some(&*it.0) == names.as_deref());
    match found {
        Some((_, options, id)) => {
            let retain = message.retain() && options.retain_as_published;
            (retain, SubscriptionIds::new(id.as_slice()))
        }
        None => (false, SubscriptionIds::new(&[])),
    }
}
