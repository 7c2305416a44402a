//! From the mirror to the state that the broker finds: messages are read back from the log.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::engine::Engine;
use super::entry::{self, Flags, Flight, Session};
use super::line::Line;
use super::messages::Slot;
use super::mirror::{Held, Mirror};
use super::segments::files::Files;
use super::segments::log::Log;
use crate::codec::PacketId;
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, Stored, SubscriptionIds};
use crate::store::state::{
    KeptGroup, KeptInFlight, KeptRetained, KeptSession, Numbered, OwnedWill, State,
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
            let Some((share, filter)) = group.names.clone() else {
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
        (state, unread)
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
        let place = (slot.segment, slot.offset);
        if self.of != place {
            self.of = place;
            self.frame = log.read_from(place.0, place.1).unwrap_or_default();
        }
        let found = entry::message_in(&self.frame, number)?;
        Some(found.plain.to_message(&mut self.scratch))
    }
}

/// What waits in a queue.
fn stored(mirror: &Mirror, line: &mut Line) -> Vec<Stored> {
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
            .filter_map(|it| recall_flight(messages, it))
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

fn recall_flight(messages: &HashMap<u64, Message>, it: &Flight) -> Option<KeptInFlight> {
    let publish = match it.number {
        Some(number) => Some(deliver(
            messages,
            number,
            it.flags,
            SubscriptionIds::new(&it.ids),
        )?),
        None => None,
    };
    Some(KeptInFlight {
        id: PacketId::new(it.id)?,
        publish,
    })
}

fn deliver(
    messages: &HashMap<u64, Message>,
    number: u64,
    flags: Flags,
    subscription_ids: SubscriptionIds,
) -> Option<Numbered> {
    Some(Numbered {
        number,
        delivery: Delivery {
            message: messages.get(&number)?.clone(),
            subscription_ids,
            qos: flags.qos,
            retain: flags.retain,
        },
    })
}
