//! From the mirror to the state that the broker finds: messages are read back from the log.

use std::collections::HashMap;

use super::bytes::Reader;
use super::engine::Engine;
use super::entry::{self, Entry, Flags, Flight, Plain, Session};
use super::line::Waiting;
use super::mirror::{Held, Mirror};
use super::segments::files::Files;
use crate::codec::PacketId;
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, SubscriptionIds};
use crate::store::state::{
    KeptGroup, KeptInFlight, KeptRetained, KeptSession, Numbered, OwnedWill, State,
};

impl<F: Files> Engine<F> {
    /// Everything that is kept. Returns also how many messages could not be read, and are left out.
    pub fn state(&mut self) -> (State, u64) {
        let (messages, unread) = self.read_messages();
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
        for (number, group) in &mut mirror.groups {
            let Some((share, filter)) = group.names.clone() else {
                continue;
            };
            let waiting = group.waiting.sorted().map(|it| it.number());
            let backlog = waiting.filter_map(|it| Some((it, messages.get(&it)?.clone())));
            state.groups.push(KeptGroup {
                number: *number,
                share,
                filter,
                backlog: backlog.collect(),
            });
        }
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

    /// All messages, each read once, in the order in which they are in the log.
    fn read_messages(&mut self) -> (HashMap<u64, Message>, u64) {
        let mut places: Vec<_> = self.mirror.messages.iter().collect();
        places.sort_unstable_by_key(|it| (it.1.segment, it.1.offset, it.1.at));
        let mut messages = HashMap::with_capacity(places.len());
        let (mut frame, mut of) = (Vec::new(), (0, 0));
        let (mut scratch, mut unread) = (Vec::new(), 0);
        for (number, slot) in places {
            if of != (slot.segment, slot.offset) {
                of = (slot.segment, slot.offset);
                frame = self.log.read_from(of.0, of.1).unwrap_or_default();
            }
            match plain(&frame, slot.at, number) {
                Some(it) => _ = messages.insert(number, it.to_message(&mut scratch)),
                None => unread += 1,
            }
        }
        (messages, unread)
    }
}

/// The message with this number, if it is at this place of a frame.
fn plain(frame: &[u8], at: u32, number: u64) -> Option<Plain<'_>> {
    let mut reader = Reader(frame.get(at as usize..)?);
    let (kind, rest) = entry::next(&mut reader)?;
    match entry::decode(kind, rest)? {
        Entry::Message(it) | Entry::Carried(it) if it.number == number => Some(it.plain),
        _ => None,
    }
}

fn recall_session(
    mirror: &Mirror,
    messages: &HashMap<u64, Message>,
    number: u64,
    session: &Session,
    held: &mut Held,
) -> KeptSession {
    let ids = |it: &Waiting| SubscriptionIds::new(mirror.ids(it.ids()));
    let waiting = held.waiting.sorted();
    let waiting = waiting.filter_map(|it| deliver(messages, it.number(), it.flags(), ids(it)));
    let waiting = waiting.collect();
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
            attempts: 0,
        },
    })
}
