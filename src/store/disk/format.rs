//! Version 1 of what the store says to its log.
//!
//! An entry of the log is a *frame*: records one behind the other, each a byte that says which kind it
//! is and how it is laid out, the length of the rest, and the rest. A layout that changes gets a new
//! byte, so the byte is the version too; one that is not known is passed over and counted. Numbers
//! have seven bits a byte; strings stand behind their length.
//!
//! | byte | record | rest |
//! |---|---|---|
//! | 1 | Opened | session, expiry, client id, Will or nothing |
//! | 2 | Left | session, time, expiry, whether the Will waits |
//! | 3 | WillDone | session |
//! | 4 | Ended | session |
//! | 5 | Subscribed | session, id or 0, filters: text, options |
//! | 6 | Unsubscribed | session, filters |
//! | 7 | Group | group, ShareName, Topic Filter |
//! | 8 | Dissolved | group |
//! | 9 | Message | see [`message`] |
//! | 10 | Cleared | topic |
//! | 11 | Released | session, Packet Identifier |
//! | 12 | Fed | number, target |
//! | 13 | Sent | holder, Packet Identifier, number, group or 0, QoS |
//! | 14 | Received | holder, Packet Identifier |
//! | 15 | Done | holder, Packet Identifier |
//! | 16 | Dropped | owner, number |
//! | 17 | *Restart* | time, the next number: the store was opened |
//! | 18 | *Clock* | time, the next number |
//! | 19 | *Carried* | as Message: what is left of it, from a segment that is given up |
//! | 20 | *Again* | number, targets: what is left of Fed |
//! | 21 | *Holder* | see [`super::entry::Holder`] |
//! | 22 | Opened | as 1, of a session that was there before, with a small Will or none |
//! | 23 | *Lost* | what is known of a Message that cannot be read: see [`gist`] |
//! | 24 | *LostCarried* | the same of Carried |
//! | 25 | Due | number, topic, targets; behind a topic that is not empty, whether it is cleared, publisher |
//! | 26 | Returned | holder, Packet Identifier |
//! | 27 | Opened | as 1, of a session that is somebody's: whose behind the client id |
//! | 28 | Opened | as 22, likewise |
//! | 29 | *Holder* | as 21, likewise |
//!
//! Whose: a byte, in which 1 stands for a user and 2 for a mount point, and what there is of the two. A will: delay, expiry plus one or 0, message as bytes. Options: as in SUBSCRIBE.

use super::bytes::{Reader, number, stretch};
use crate::codec::{RetainHandling, SubscriptionOptions};
use crate::message::{Message, Timestamp};
use crate::store::record::{Accepted, DELAYED, KeptWill, Opened, Owner, Record, Replaces, Target};

pub(super) const OPENED: u8 = 1;
pub(super) const LEFT: u8 = 2;
pub(super) const WILL_DONE: u8 = 3;
pub(super) const ENDED: u8 = 4;
pub(super) const SUBSCRIBED: u8 = 5;
pub(super) const UNSUBSCRIBED: u8 = 6;
pub(super) const GROUP: u8 = 7;
pub(super) const DISSOLVED: u8 = 8;
pub(super) const MESSAGE: u8 = 9;
pub(super) const CLEARED: u8 = 10;
pub(super) const RELEASED: u8 = 11;
pub(super) const FED: u8 = 12;
pub(super) const SENT: u8 = 13;
pub(super) const RECEIVED: u8 = 14;
pub(super) const DONE: u8 = 15;
pub(super) const DROPPED: u8 = 16;
pub(super) const RESTART: u8 = 17;
pub(super) const CLOCK: u8 = 18;
pub(super) const CARRIED: u8 = 19;
pub(super) const AGAIN: u8 = 20;
pub(super) const HOLDER: u8 = 21;
pub(super) const BACK: u8 = 22;
pub(super) const LOST: u8 = 23;
pub(super) const LOST_CARRIED: u8 = 24;
pub(super) const DUE: u8 = 25;
pub(super) const RETURNED: u8 = 26;
pub(super) const OPENED_OWNED: u8 = 27;
pub(super) const BACK_OWNED: u8 = 28;
pub(super) const HOLDER_OWNED: u8 = 29;

/// How large the topic and the payload of a small Will may be.
const SMALL_WILL: usize = 1024;

/// Whether a record of this kind makes the store larger, so that it is refused when there is no room.
/// What only the store itself writes never does.
pub(super) fn grows(kind: u8) -> bool {
    let opened = matches!(kind, OPENED | OPENED_OWNED);
    opened || matches!(kind, SUBSCRIBED | GROUP | MESSAGE | FED | DUE)
}

/// The kind that a record is written as.
pub(super) fn kind(record: &Record<'_>) -> u8 {
    match record {
        Record::Opened(it) => {
            let small = it.back && it.will.as_ref().is_none_or(is_small);
            match (small, it.owner == Owner::default()) {
                (true, true) => BACK,
                (false, true) => OPENED,
                (true, false) => BACK_OWNED,
                (false, false) => OPENED_OWNED,
            }
        }
        Record::Left { .. } => LEFT,
        Record::WillDone { .. } => WILL_DONE,
        Record::Ended { .. } => ENDED,
        Record::Subscribed { .. } => SUBSCRIBED,
        Record::Unsubscribed { .. } => UNSUBSCRIBED,
        Record::Group { .. } => GROUP,
        Record::Dissolved { .. } => DISSOLVED,
        Record::Message(_) => MESSAGE,
        Record::Due { .. } => DUE,
        Record::Cleared { .. } => CLEARED,
        Record::Released { .. } => RELEASED,
        Record::Fed { .. } => FED,
        Record::Sent { .. } => SENT,
        Record::Received { .. } => RECEIVED,
        Record::Done { .. } => DONE,
        Record::Returned { .. } => RETURNED,
        Record::Dropped { .. } => DROPPED,
    }
}

fn is_small(will: &KeptWill<'_>) -> bool {
    will.message.topic().len() + will.message.payload().len() <= SMALL_WILL
}

/// Appends a record to a frame. `rest` is a buffer that is used again.
pub(super) fn encode(frame: &mut Vec<u8>, rest: &mut Vec<u8>, record: &Record<'_>) {
    rest.clear();
    let mut payload: &[u8] = &[];
    match record {
        Record::Opened(it) => opened(rest, it),
        Record::Left {
            session,
            at,
            expiry,
            will,
        } => numbers(
            rest,
            &[
                *session,
                at.as_millis(),
                u64::from(*expiry),
                u64::from(*will),
            ],
        ),
        Record::WillDone { session: it }
        | Record::Ended { session: it }
        | Record::Dissolved { group: it } => number(rest, *it),
        Record::Subscribed {
            session,
            filters,
            id,
        } => {
            numbers(rest, &[*session, u64::from(id.unwrap_or(0))]);
            for (filter, options) in *filters {
                stretch(rest, filter.as_bytes());
                rest.push(options_byte(*options));
            }
        }
        Record::Unsubscribed { session, filters } => texts(rest, *session, filters),
        Record::Group {
            group,
            share,
            filter,
        } => texts(rest, *group, &[share, filter]),
        Record::Message(it) => {
            message(rest, it);
            payload = it.message.payload();
        }
        Record::Due {
            number: it,
            retained,
            targets,
        } => due(rest, *it, *retained, targets),
        Record::Cleared { topic } => rest.extend_from_slice(topic.as_bytes()),
        other => delivery(rest, other),
    }
    // A payload is copied once: this is done while others wait for the frame.
    frame.push(kind(record));
    number(frame, (rest.len() + payload.len()) as u64);
    frame.extend_from_slice(rest);
    frame.extend_from_slice(payload);
}

/// What becomes of deliveries.
fn delivery(rest: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Released { session, id } => numbers(rest, &[*session, u64::from(id.get())]),
        Record::Fed { number: it, target } => {
            number(rest, *it);
            push_target(rest, target);
        }
        Record::Sent {
            holder,
            id,
            number,
            group,
            qos,
        } => {
            numbers(rest, &[*holder, u64::from(id.get()), *number]);
            numbers(rest, &[group.unwrap_or(0), *qos as u64]);
        }
        Record::Received { holder, id }
        | Record::Done { holder, id }
        | Record::Returned { holder, id } => {
            numbers(rest, &[*holder, u64::from(id.get())]);
        }
        Record::Dropped { owner, number } => numbers(rest, &[*owner, *number]),
        // All others are above.
        _ => {}
    }
}

fn texts(rest: &mut Vec<u8>, of: u64, texts: &[&str]) {
    number(rest, of);
    for text in texts {
        stretch(rest, text.as_bytes());
    }
}

/// Appends what was made of a record.
pub(super) fn finish(frame: &mut Vec<u8>, kind: u8, rest: &[u8]) {
    frame.push(kind);
    stretch(frame, rest);
}

pub(super) fn numbers(into: &mut Vec<u8>, values: &[u64]) {
    for value in values {
        number(into, *value);
    }
}

fn due(rest: &mut Vec<u8>, of: u64, retained: Option<Replaces<'_>>, targets: &[Target<'_>]) {
    number(rest, of);
    stretch(rest, retained.map_or("", |it| it.topic).as_bytes());
    if let Some(it) = retained {
        rest.push(u8::from(it.clears));
        stretch(rest, it.publisher.unwrap_or_default().as_bytes());
    }
    for target in targets {
        push_target(rest, target);
    }
}

fn opened(rest: &mut Vec<u8>, it: &Opened<'_>) {
    numbers(rest, &[it.session, u64::from(it.expiry)]);
    stretch(rest, it.client_id.as_bytes());
    if it.owner != Owner::default() {
        write_owner(rest, it.owner);
    }
    if let Some(it) = &it.will {
        will(rest, it);
    }
}

/// Whose a session is, that is not nobody's.
pub(super) fn write_owner(into: &mut Vec<u8>, it: Owner<'_>) {
    into.push(u8::from(it.user.is_some()) | u8::from(it.mount.is_some()) << 1);
    for text in [it.user, it.mount].into_iter().flatten() {
        stretch(into, text.as_bytes());
    }
}

pub(super) fn will(rest: &mut Vec<u8>, it: &KeptWill<'_>) {
    let expiry = it.expiry.map_or(0, |it| u64::from(it) + 1);
    numbers(rest, &[u64::from(it.delay), expiry]);
    let header = Written {
        number: 0,
        held: None,
        retained: false,
        publisher: None,
        due: None,
        targets: &[],
    };
    write_body(rest, &header, &plain(it.message));
}

/// What stands before a message.
pub(super) struct Written<'a> {
    pub number: u64,
    pub held: Option<(u64, u16)>,
    pub retained: bool,
    pub publisher: Option<&'a str>,
    pub due: Option<Timestamp>,
    /// Owners, already as bytes.
    pub targets: &'a [u8],
}

const RETAIN: u8 = 4;
const EXPIRES: u8 = 8;
const HELD: u8 = 16;
const RETAINED: u8 = 32;
const PUBLISHER: u8 = 64;
/// It is to be published later.
pub(super) const LATER: u8 = 128;

/// A message: number, flags (QoS, RETAIN, and which of the rest there are), time of expiry, time of its
/// publication, session and id that are held, publisher, length of the targets and they, topic, properties, payload.
/// All but the payload is written here.
fn message(rest: &mut Vec<u8>, it: &Accepted<'_>) {
    let mut targets = Vec::new();
    for target in it.targets {
        push_target(&mut targets, target);
    }
    if it.due.is_some() {
        let target = Target {
            owner: DELAYED,
            group: true,
            qos: it.message.qos(),
            retain: it.message.retain(),
            subscription_ids: &[],
        };
        push_target(&mut targets, &target);
    }
    let header = Written {
        number: it.number,
        held: it.held.map(|(session, id)| (session, id.get())),
        retained: it.retained,
        // Nobody asks for it otherwise.
        publisher: it.publisher.filter(|_| it.retained || it.due.is_some()),
        due: it.due,
        targets: &targets,
    };
    before_payload(rest, &header, &plain(it.message));
}

fn plain(message: &Message) -> super::entry::Plain<'_> {
    super::entry::Plain {
        qos: message.qos(),
        retain: message.retain(),
        expires: message.expires(),
        topic: message.topic(),
        forwarded: message.forwarded(),
        payload: message.payload(),
    }
}

pub(super) fn write_body(
    rest: &mut Vec<u8>,
    header: &Written<'_>,
    message: &super::entry::Plain<'_>,
) {
    before_payload(rest, header, message);
    rest.extend_from_slice(message.payload);
}

fn before_payload(rest: &mut Vec<u8>, header: &Written<'_>, message: &super::entry::Plain<'_>) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    number(rest, header.number);
    rest.push(
        message.qos as u8
            | flag(message.retain, RETAIN)
            | flag(message.expires.is_some(), EXPIRES)
            | flag(header.held.is_some(), HELD)
            | flag(header.retained, RETAINED)
            | flag(header.publisher.is_some(), PUBLISHER)
            | flag(header.due.is_some(), LATER),
    );
    for time in [message.expires, header.due].into_iter().flatten() {
        number(rest, time.as_millis());
    }
    if let Some((session, id)) = header.held {
        numbers(rest, &[session, u64::from(id)]);
    }
    if let Some(publisher) = header.publisher {
        stretch(rest, publisher.as_bytes());
    }
    stretch(rest, header.targets);
    stretch(rest, message.topic.as_bytes());
    stretch(rest, message.forwarded);
}

/// In the gist of a message: it cleared the retained one.
const CLEARS: u8 = EXPIRES;

/// Appends what a frame says in short: all but topics, properties and payloads. So whatever cannot be
/// read one day, only messages are missing, and it is known for whom.
///
/// Of a message: number, flags (QoS, held, retained, whether it clears), session and id that are held,
/// length of the targets and they, and the topic if it is to be retained.
pub(super) fn gist(into: &mut Vec<u8>, frame: &[u8]) {
    let mut reader = Reader(frame);
    let mut short = Vec::new();
    loop {
        let from = reader.0;
        let Some((kind, rest)) = super::entry::next(&mut reader) else {
            return;
        };
        let as_kind = match kind {
            MESSAGE => LOST,
            CARRIED => LOST_CARRIED,
            _ => {
                into.extend_from_slice(&from[..from.len() - reader.0.len()]);
                continue;
            }
        };
        short.clear();
        if message_gist(&mut short, rest).is_some() {
            finish(into, as_kind, &short);
        }
    }
}

fn message_gist(into: &mut Vec<u8>, rest: &[u8]) -> Option<()> {
    let mut r = Reader(rest);
    number(into, r.number()?);
    let flags = r.byte()?;
    let (_, [_, expires, held, retained, publisher]) = body_flags(flags);
    let flags_at = into.len();
    into.push(flags & (3 | HELD | RETAINED));
    let later = flags & LATER != 0;
    for _ in 0..u8::from(expires) + u8::from(later) {
        r.number()?;
    }
    if held {
        numbers(into, &[r.number()?, r.number()?]);
    }
    if publisher {
        r.stretch()?;
    }
    stretch(into, r.stretch()?);
    if retained {
        stretch(into, r.stretch()?);
        r.stretch()?;
        if r.0.is_empty() {
            into[flags_at] |= CLEARS;
        }
    }
    Some(())
}

/// The flags of a message, taken apart: QoS bits, RETAIN, expiry, held, retained, publisher.
pub(super) fn body_flags(flags: u8) -> (u8, [bool; 5]) {
    let is = |flag: u8| flags & flag != 0;
    let each = [
        is(RETAIN),
        is(EXPIRES),
        is(HELD),
        is(RETAINED),
        is(PUBLISHER),
    ];
    (flags & 3, each)
}

fn push_target(into: &mut Vec<u8>, target: &Target<'_>) {
    let flags = super::entry::Flags {
        group: target.group,
        qos: target.qos,
        retain: target.retain,
    };
    write_target(into, target.owner, flags.to_byte(), target.subscription_ids);
}

/// A target: owner, flags, Subscription Identifiers behind their count.
pub(super) fn write_target(into: &mut Vec<u8>, owner: u64, flags: u8, ids: &[u32]) {
    number(into, owner);
    into.push(flags);
    number(into, ids.len() as u64);
    for id in ids {
        number(into, u64::from(*id));
    }
}

pub(super) fn options_byte(options: SubscriptionOptions) -> u8 {
    options.qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

pub(super) fn options_from(byte: u8) -> Option<SubscriptionOptions> {
    Some(SubscriptionOptions {
        qos: crate::codec::QoS::from_bits(byte & 3)?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling: match byte >> 4 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return None,
        },
    })
}
