//! Records as they are read back. Nothing here panics, whatever the bytes.

use super::bytes::{Reader, number, stretch};
use super::format::{self, LATER, body_flags, numbers, options_byte, options_from};
use crate::codec::{PacketId, QoS, SubscriptionOptions};
use crate::message::{Message, Parts, Timestamp};
use crate::store::record::{Owner, Replaces};
use crate::store::state::{KeptOwner, OwnedWill};

/// A record, borrowed from its frame.
#[derive(Clone, Debug)]
pub(super) enum Entry<'a> {
    Opened {
        session: u64,
        expiry: u32,
        client_id: &'a str,
        owner: Owner<'a>,
        /// Empty if there is none.
        will: &'a [u8],
    },
    Left {
        session: u64,
        at: u64,
        expiry: u32,
        will: bool,
    },
    WillDone(u64),
    Ended(u64),
    Subscribed(u64, Option<u32>, Vec<(&'a str, SubscriptionOptions)>),
    Unsubscribed(u64, Vec<&'a str>),
    Group(u64, &'a str, &'a str),
    Dissolved(u64),
    Message(Body<'a>),
    Due(u64, Option<Replaces<'a>>, Vec<Wanted>),
    Lost(LostBody<'a>),
    Cleared(&'a str),
    Released(u64, u16),
    Fed(u64, Vec<Wanted>),
    Sent {
        holder: u64,
        id: u16,
        number: u64,
        group: Option<u64>,
        qos: QoS,
    },
    Received(u64, u16),
    Done(u64, u16),
    Returned(u64, u16),
    Dropped(u64, u64),
    Restart(u64, u64),
    Clock(u64, u64),
    Carried(Body<'a>),
    Again(u64, Vec<Wanted>),
    Holder(Holder),
}

/// A message without what stands before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub expires: Option<Timestamp>,
    pub topic: &'a str,
    pub forwarded: &'a [u8],
    pub payload: &'a [u8],
}

impl Plain<'_> {
    pub fn to_message(self, scratch: &mut Vec<u8>) -> Message {
        let parts = Parts {
            topic: self.topic,
            forwarded: self.forwarded,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            expires: self.expires,
        };
        Message::new(parts, scratch)
    }
}

/// A message and who is to have it.
#[derive(Clone, Debug)]
pub(super) struct Body<'a> {
    pub number: u64,
    pub held: Option<(u64, u16)>,
    pub retained: bool,
    pub publisher: Option<&'a str>,
    pub due: Option<Timestamp>,
    pub targets: Vec<Wanted>,
    pub plain: Plain<'a>,
}

/// What the gist of a message says: who was to have it.
#[derive(Clone, Debug)]
pub(super) struct LostBody<'a> {
    pub number: u64,
    /// It had been carried: so the targets are those that were left.
    pub carried: bool,
    pub held: Option<(u64, u16)>,
    /// Its topic, if it was to be retained, and whether it cleared that instead.
    pub retained: Option<(&'a str, bool)>,
    pub targets: Vec<Wanted>,
}

/// What decides how a delivery is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub group: bool,
    pub qos: QoS,
    pub retain: bool,
}

/// A bit beside those of [`Flags`]: see [`Wanted::nowhere`].
const NOWHERE: u8 = 16;

impl Wanted {
    /// The byte that stands behind the owner.
    pub fn to_byte(&self) -> u8 {
        let nowhere = if self.nowhere { NOWHERE } else { 0 };
        self.flags.to_byte() | nowhere
    }
}

impl Flags {
    pub fn to_byte(self) -> u8 {
        self.qos as u8 | u8::from(self.retain) << 2 | u8::from(self.group) << 3
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(Self {
            qos: QoS::from_bits(byte & 3)?,
            retain: byte & 4 != 0,
            group: byte & 8 != 0,
        })
    }
}

/// One who is to have a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub owner: u64,
    /// The message does not wait there now: all that is said is that it might come back.
    pub nowhere: bool,
    pub flags: Flags,
    pub ids: Vec<u32>,
}

/// All that is small about a holder: what it was before counts no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    pub number: u64,
    /// Nothing if it is not kept: it only holds messages of groups.
    pub session: Option<Session>,
    pub in_flight: Vec<Flight>,
}

/// A session without its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub client_id: Box<str>,
    pub owner: KeptOwner,
    pub expiry: u32,
    /// Since when it is away, unless it is connected.
    pub left: Option<u64>,
    /// Empty if there is none.
    pub will: Box<[u8]>,
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions, Option<u32>)>,
    pub held: Vec<u16>,
}

/// A delivery in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub id: u16,
    /// The message; nothing once PUBREC had come.
    pub number: Option<u64>,
    pub group: Option<u64>,
    pub flags: Flags,
    pub ids: Vec<u32>,
}

/// The next record of a frame: its kind, what is in it, and where it begins.
pub(super) fn next<'a>(frame: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let kind = frame.byte()?;
    Some((kind, frame.stretch()?))
}

/// The message with this number in a frame.
pub(super) fn message_in(frame: &[u8], number: u64) -> Option<Body<'_>> {
    let mut reader = Reader(frame);
    loop {
        let (kind, rest) = next(&mut reader)?;
        let is_message = matches!(kind, format::MESSAGE | format::CARRIED);
        if is_message && Reader(rest).number() == Some(number) {
            return body(&mut Reader(rest));
        }
    }
}

/// Takes a record apart; nothing if it is no record of this version.
pub(super) fn decode(kind: u8, rest: &[u8]) -> Option<Entry<'_>> {
    let mut r = Reader(rest);
    let entry = match kind {
        format::OPENED | format::BACK | format::OPENED_OWNED | format::BACK_OWNED => {
            Entry::Opened {
                session: r.number()?,
                expiry: r.small()?,
                client_id: r.text()?,
                owner: match kind {
                    format::OPENED | format::BACK => Owner::default(),
                    _ => owner(&mut r)?,
                },
                will: r.rest(),
            }
        }
        format::LEFT => Entry::Left {
            session: r.number()?,
            at: r.number()?,
            expiry: r.small()?,
            will: r.number()? != 0,
        },
        format::WILL_DONE => Entry::WillDone(r.number()?),
        format::ENDED => Entry::Ended(r.number()?),
        format::SUBSCRIBED => {
            let (session, id) = (r.number()?, r.small()?);
            let mut filters = Vec::new();
            while !r.0.is_empty() {
                filters.push((r.text()?, options_from(r.byte()?)?));
            }
            Entry::Subscribed(session, (id > 0).then_some(id), filters)
        }
        format::UNSUBSCRIBED => {
            let session = r.number()?;
            let mut filters = Vec::new();
            while !r.0.is_empty() {
                filters.push(r.text()?);
            }
            Entry::Unsubscribed(session, filters)
        }
        format::GROUP => Entry::Group(r.number()?, r.text()?, r.text()?),
        format::DISSOLVED => Entry::Dissolved(r.number()?),
        format::MESSAGE => Entry::Message(body(&mut r)?),
        format::CLEARED => Entry::Cleared(std::str::from_utf8(r.rest()).ok()?),
        format::RELEASED => Entry::Released(r.number()?, id(&mut r)?),
        format::FED => Entry::Fed(r.number()?, targets(r.rest())?),
        _ => return decode_more(kind, r),
    };
    Some(entry)
}

fn decode_more(kind: u8, mut r: Reader<'_>) -> Option<Entry<'_>> {
    let entry = match kind {
        format::SENT => Entry::Sent {
            holder: r.number()?,
            id: id(&mut r)?,
            number: r.number()?,
            group: Some(r.number()?).filter(|it| *it > 0),
            qos: QoS::from_bits(r.byte()?)?,
        },
        format::RECEIVED => Entry::Received(r.number()?, id(&mut r)?),
        format::DONE => Entry::Done(r.number()?, id(&mut r)?),
        format::DUE => {
            let (number, topic) = (r.number()?, r.text()?);
            let retained = match topic.is_empty() {
                true => None,
                false => Some(Replaces {
                    topic,
                    clears: r.byte()? != 0,
                    publisher: Some(r.text()?).filter(|it| !it.is_empty()),
                }),
            };
            Entry::Due(number, retained, targets(r.rest())?)
        }
        format::RETURNED => Entry::Returned(r.number()?, id(&mut r)?),
        format::DROPPED => Entry::Dropped(r.number()?, r.number()?),
        format::RESTART => Entry::Restart(r.number()?, r.number()?),
        format::CLOCK => Entry::Clock(r.number()?, r.number()?),
        format::CARRIED => Entry::Carried(body(&mut r)?),
        format::AGAIN => Entry::Again(r.number()?, targets(r.rest())?),
        format::HOLDER => Entry::Holder(holder(false, &mut r)?),
        format::HOLDER_OWNED => Entry::Holder(holder(true, &mut r)?),
        format::LOST | format::LOST_CARRIED => {
            Entry::Lost(lost(kind == format::LOST_CARRIED, &mut r)?)
        }
        _ => return None,
    };
    Some(entry)
}

fn id(r: &mut Reader<'_>) -> Option<u16> {
    let id = u16::try_from(r.number()?).ok()?;
    PacketId::new(id).map(PacketId::get)
}

/// A message and what stands before it.
pub(super) fn body<'a>(r: &mut Reader<'a>) -> Option<Body<'a>> {
    let number = r.number()?;
    let flags = r.byte()?;
    let (qos, [retain, expires, held, retained, publisher]) = body_flags(flags);
    let mut time = |there: bool| match there {
        true => r.number().map(|it| Some(Timestamp::from_millis(it))),
        false => Some(None),
    };
    let (expires, due) = (time(expires)?, time(flags & LATER != 0)?);
    let held = if held {
        Some((r.number()?, id(r)?))
    } else {
        None
    };
    let publisher = if publisher { Some(r.text()?) } else { None };
    Some(Body {
        number,
        held,
        retained,
        publisher,
        due,
        targets: targets(r.stretch()?)?,
        plain: Plain {
            qos: QoS::from_bits(qos)?,
            retain,
            expires,
            topic: r.text()?,
            forwarded: r.stretch()?,
            payload: r.rest(),
        },
    })
}

fn lost<'a>(carried: bool, r: &mut Reader<'a>) -> Option<LostBody<'a>> {
    let number = r.number()?;
    let (_, [_, clears, held, retained, _]) = body_flags(r.byte()?);
    Some(LostBody {
        number,
        carried,
        held: match held {
            true => Some((r.number()?, id(r)?)),
            false => None,
        },
        targets: targets(r.stretch()?)?,
        retained: match retained {
            true => Some((r.text()?, clears)),
            false => None,
        },
    })
}

fn targets(bytes: &[u8]) -> Option<Vec<Wanted>> {
    let mut r = Reader(bytes);
    let mut targets = Vec::new();
    while !r.0.is_empty() {
        let (owner, byte) = (r.number()?, r.byte()?);
        let flags = Flags::from_byte(byte)?;
        targets.push(Wanted {
            owner,
            nowhere: byte & NOWHERE != 0,
            flags,
            ids: ids(&mut r)?,
        });
    }
    Some(targets)
}

fn ids(r: &mut Reader<'_>) -> Option<Vec<u32>> {
    match r.number()? {
        0 => Some(Vec::new()),
        count => (0..count).map(|_| r.small()).collect(),
    }
}

/// The Will of an Opened record.
pub(super) fn will(bytes: &[u8]) -> Option<OwnedWill> {
    let mut r = Reader(bytes);
    let (delay, expiry) = (r.small()?, r.number()?);
    Some(OwnedWill {
        delay,
        expiry: expiry.checked_sub(1).map(u32::try_from).transpose().ok()?,
        message: body(&mut r)?.plain.to_message(&mut Vec::new()),
    })
}

fn owner<'a>(r: &mut Reader<'a>) -> Option<Owner<'a>> {
    let flags = r.byte()?;
    let mut text = |flag: u8| match flags & flag {
        0 => Some(None),
        _ => r.text().map(Some),
    };
    Some(Owner {
        user: text(1)?,
        mount: text(2)?,
    })
}

/// Appends a holder, and says as which kind of record.
///
/// A holder: number, 1 and the session or 0, and what is in flight: id, number plus one or 0, group or
/// 0, flags, Subscription Identifiers behind their count. A session: client id, whose it is if that is said, expiry, time plus one or 0, will, count of subscriptions and they,
/// count of ids that are held and they.
pub(super) fn write_holder(into: &mut Vec<u8>, holder: &Holder) -> u8 {
    let session = holder.session.as_ref();
    let owner = session.map(|it| it.owner.as_recorded());
    let owner = owner.filter(|it| *it != Owner::default());
    number(into, holder.number);
    into.push(u8::from(holder.session.is_some()));
    if let Some(it) = &holder.session {
        stretch(into, it.client_id.as_bytes());
        if let Some(owner) = owner {
            format::write_owner(into, owner);
        }
        let left = it.left.map_or(0, |it| it.saturating_add(1));
        numbers(into, &[u64::from(it.expiry), left]);
        stretch(into, &it.will);
        number(into, it.subscriptions.len() as u64);
        for (filter, options, id) in &it.subscriptions {
            stretch(into, filter.as_bytes());
            into.push(options_byte(*options));
            number(into, u64::from(id.unwrap_or(0)));
        }
        number(into, it.held.len() as u64);
        for id in &it.held {
            number(into, u64::from(*id));
        }
    }
    for it in &holder.in_flight {
        let message = it.number.map_or(0, |it| it.saturating_add(1));
        numbers(into, &[u64::from(it.id), message, it.group.unwrap_or(0)]);
        into.push(it.flags.to_byte());
        number(into, it.ids.len() as u64);
        for id in &it.ids {
            number(into, u64::from(*id));
        }
    }
    match owner {
        Some(_) => format::HOLDER_OWNED,
        None => format::HOLDER,
    }
}

fn holder(owned: bool, r: &mut Reader<'_>) -> Option<Holder> {
    let mut holder = Holder {
        number: r.number()?,
        ..Holder::default()
    };
    if r.byte()? != 0 {
        let mut it = Session {
            client_id: r.text()?.into(),
            owner: match owned {
                true => owner(r)?.into(),
                false => KeptOwner::default(),
            },
            expiry: r.small()?,
            left: r.number()?.checked_sub(1),
            will: r.stretch()?.into(),
            ..Session::default()
        };
        for _ in 0..r.number()? {
            let (filter, options, id) = (r.text()?, options_from(r.byte()?)?, r.small()?);
            it.subscriptions
                .push((filter.into(), options, (id > 0).then_some(id)));
        }
        for _ in 0..r.number()? {
            it.held.push(id(r)?);
        }
        holder.session = Some(it);
    }
    while !r.0.is_empty() {
        holder.in_flight.push(Flight {
            id: id(r)?,
            number: r.number()?.checked_sub(1),
            group: Some(r.number()?).filter(|it| *it > 0),
            flags: Flags::from_byte(r.byte()?)?,
            ids: ids(r)?,
        });
    }
    Some(holder)
}
