//! The few bytes of MQTT 3.1.1 and 5.0 that the generator and the floor speak.
//!
//! Nothing here is shared with the broker's own codec: a bench that encoded with the code it
//! measures would not see that code's mistakes.

use super::traffic::Dialect;

/// First byte of a CONNACK.
pub const CONNACK: u8 = 0x20;
/// First byte of a PUBACK.
pub const PUBACK: u8 = 0x40;
/// First byte of a PUBREC.
pub const PUBREC: u8 = 0x50;
/// First byte of a PUBREL, its reserved flags included.
pub const PUBREL: u8 = 0x62;
/// First byte of a PUBCOMP.
pub const PUBCOMP: u8 = 0x70;
/// First byte of a SUBSCRIBE, its reserved flags included.
pub const SUBSCRIBE: u8 = 0x82;
/// First byte of a SUBACK.
pub const SUBACK: u8 = 0x90;
/// First byte of an UNSUBSCRIBE, its reserved flags included.
pub const UNSUBSCRIBE: u8 = 0xA2;
/// First byte of an UNSUBACK.
pub const UNSUBACK: u8 = 0xB0;
/// First byte of a CONNECT.
pub const CONNECT: u8 = 0x10;
/// First four bits of a PUBLISH.
pub const PUBLISH: u8 = 0x30;
/// First byte of a PINGRESP.
pub const PINGRESP: u8 = 0xD0;
/// A whole PINGREQ.
pub const PINGREQ: [u8; 2] = [0xC0, 0];
/// A whole DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];
/// A whole CONNACK: accepted, no session present.
pub const ACCEPTED: [u8; 4] = [CONNACK, 2, 0, 0];
/// A whole CONNACK of MQTT 5: accepted, no session present, no properties.
pub const ACCEPTED_FIVE: [u8; 5] = [CONNACK, 3, 0, 0, 0];
/// Topic Aliases that a subscriber allows where aliases are spoken.
pub const ALIASES: u16 = 16;

/// Identifiers of the properties that are used here.
mod property {
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const USER_PROPERTY: u8 = 0x26;
}

/// Bytes that are not MQTT, or not the part of it that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// One whole packet at the beginning of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Packet type and flags.
    pub first: u8,
    /// Everything behind the Remaining Length.
    pub body: &'a [u8],
    /// Bytes of the whole packet, fixed header included.
    pub length: usize,
}

impl<'a> Frame<'a> {
    /// The first packet in `bytes`, or `None` while it is not all there.
    #[inline]
    pub fn first_of(bytes: &'a [u8]) -> Result<Option<Frame<'a>>, Malformed> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (mut remaining, mut header) = (0usize, 1usize);
        loop {
            let Some(&byte) = bytes.get(header) else {
                return Ok(None);
            };
            remaining |= usize::from(byte & 0x7F) << (7 * (header - 1));
            header += 1;
            if byte < 0x80 {
                break;
            }
            if header == 5 {
                return Err(Malformed);
            }
        }
        let length = header + remaining;
        Ok(bytes.get(header..length).map(|body| Frame {
            first,
            body,
            length,
        }))
    }

    /// Whether an acknowledgement says that what it is for was refused, which only MQTT 5 can.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.body.get(2).is_some_and(|reason| *reason >= 0x80)
    }

    /// The Packet Identifier at the beginning of an acknowledgement, SUBSCRIBE or SUBACK.
    #[inline]
    pub fn packet_identifier(&self) -> Result<u16, Malformed> {
        match *self.body {
            [high, low, ..] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Malformed),
        }
    }
}

/// The parts of a PUBLISH.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// 0, 1 or 2.
    pub qos: u8,
    /// Topic Name.
    pub topic: &'a [u8],
    /// 0 when the QoS is 0.
    pub packet_identifier: u16,
    /// Properties of MQTT 5, without their length.
    pub properties: &'a [u8],
    /// Application Message.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Takes a PUBLISH apart, of MQTT 3.1.1, or of MQTT 5 if it `is_five`.
    #[inline]
    pub fn of(frame: &Frame<'a>, is_five: bool) -> Result<Publish<'a>, Malformed> {
        let mut publish = Publish::without_properties(frame)?;
        if is_five {
            let (length, rest) = publish.payload.split_first().ok_or(Malformed)?;
            // None here are longer.
            let short = (*length < 0x80).then_some(usize::from(*length));
            let split = rest.split_at_checked(short.ok_or(Malformed)?);
            (publish.properties, publish.payload) = split.ok_or(Malformed)?;
        }
        Ok(publish)
    }

    #[inline]
    fn without_properties(frame: &Frame<'a>) -> Result<Publish<'a>, Malformed> {
        let qos = (frame.first >> 1) & 3;
        let (length, rest) = frame.body.split_first_chunk::<2>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (topic, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        if qos == 0 {
            return Ok(Publish {
                qos,
                topic,
                packet_identifier: 0,
                properties: &[],
                payload: rest,
            });
        }
        let (identifier, payload) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        Ok(Publish {
            qos,
            topic,
            packet_identifier: u16::from_be_bytes(*identifier),
            properties: &[],
            payload,
        })
    }

    /// The Topic Alias among its properties.
    pub fn alias(&self) -> Option<u16> {
        let mut all = properties(self.properties);
        let (_, value) = all.find(|(identifier, _)| *identifier == property::TOPIC_ALIAS)?;
        value.try_into().ok().map(u16::from_be_bytes)
    }

    /// Whether its properties are `others`, in whatever order, but for Topic Aliases. Those of one kind
    /// have an order.
    #[inline]
    pub fn has_properties(&self, others: &[u8]) -> bool {
        self.properties == others || sorted(self.properties) == sorted(others)
    }
}

/// The properties in `bytes`, of the kinds that may be in a PUBLISH here; others end the list.
fn properties(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&identifier, behind) = rest.split_first()?;
        let text = |at: usize| {
            let length = behind.get(at..at + 2)?;
            Some(at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
        };
        let length = match identifier {
            property::TOPIC_ALIAS => 2,
            property::CONTENT_TYPE => text(0)?,
            property::USER_PROPERTY => text(text(0)?)?,
            _ => return None,
        };
        let (value, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some((identifier, value))
    })
}

#[cold]
fn sorted(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let all = properties(bytes).filter(|(identifier, _)| *identifier != property::TOPIC_ALIAS);
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(identifier, _)| *identifier);
    all
}

/// Properties of a PUBLISH: a Content Type and two User Properties.
pub fn content_type_and_two_more() -> Vec<u8> {
    let mut out = vec![property::CONTENT_TYPE];
    string(&mut out, b"application/json");
    for (name, value) in [("source", "meter-17"), ("unit", "kWh")] {
        out.push(property::USER_PROPERTY);
        string(&mut out, name.as_bytes());
        string(&mut out, value.as_bytes());
    }
    out
}

/// Properties of a PUBLISH: that Topic Alias.
pub fn alias(alias: u8) -> Vec<u8> {
    vec![property::TOPIC_ALIAS, 0, alias]
}

/// Appends a CONNECT without will, name or password; `clean` is its Clean Session or Clean Start.
pub fn connect(
    out: &mut Vec<u8>,
    dialect: Dialect,
    client_identifier: &str,
    clean: bool,
    keep_alive_seconds: u16,
) {
    let [high, low] = keep_alive_seconds.to_be_bytes();
    let flags = u8::from(clean) << 1;
    let maximum = ALIASES.to_be_bytes();
    let (level, properties) = match dialect {
        Dialect::Three => (4, &[][..]),
        Dialect::Properties => (5, &[0][..]),
        Dialect::Aliases => (
            5,
            &[3, property::TOPIC_ALIAS_MAXIMUM, maximum[0], maximum[1]][..],
        ),
    };
    out.push(CONNECT);
    remaining_length(out, 10 + properties.len() + 2 + client_identifier.len());
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', level, flags, high, low]);
    out.extend_from_slice(properties);
    string(out, client_identifier.as_bytes());
}

/// Appends a SUBSCRIBE to Topic Filters.
pub fn subscribe(
    out: &mut Vec<u8>,
    dialect: Dialect,
    packet_identifier: u16,
    filters: &[&str],
    qos: u8,
) {
    let none = &[0][..usize::from(dialect.is_five())];
    let length: usize = filters.iter().map(|filter| 2 + filter.len() + 1).sum();
    out.push(SUBSCRIBE);
    remaining_length(out, 2 + none.len() + length);
    out.extend_from_slice(&packet_identifier.to_be_bytes());
    out.extend_from_slice(none);
    for filter in filters {
        string(out, filter.as_bytes());
        out.push(qos);
    }
}

/// Appends an UNSUBSCRIBE from one Topic Filter, of MQTT 3.1.1.
pub fn unsubscribe(out: &mut Vec<u8>, packet_identifier: u16, filter: &str) {
    out.push(UNSUBSCRIBE);
    remaining_length(out, 2 + 2 + filter.len());
    out.extend_from_slice(&packet_identifier.to_be_bytes());
    string(out, filter.as_bytes());
}

/// Appends a PUBLISH with the flags of `first`, and Packet Identifier 1 if those ask for one. With
/// `properties` it is of MQTT 5.
pub fn publish_with(
    out: &mut Vec<u8>,
    first: u8,
    topic: &[u8],
    properties: Option<&[u8]>,
    payload: &[u8],
) {
    let identifier = &[0, 1][..if first & 6 == 0 { 0 } else { 2 }];
    let of_five = properties.map_or(0, |it| 1 + it.len());
    out.push(PUBLISH | first);
    remaining_length(
        out,
        2 + topic.len() + identifier.len() + of_five + payload.len(),
    );
    string(out, topic);
    out.extend_from_slice(identifier);
    if let Some(properties) = properties {
        remaining_length(out, properties.len());
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(payload);
}

/// Appends a PUBLISH, DUP and RETAIN 0.
#[inline]
pub fn publish(out: &mut Vec<u8>, topic: &[u8], qos: u8, packet_identifier: u16, payload: &[u8]) {
    let identifier = if qos == 0 { 0 } else { 2 };
    out.push(PUBLISH | (qos << 1));
    remaining_length(out, 2 + topic.len() + identifier + payload.len());
    string(out, topic);
    if qos > 0 {
        out.extend_from_slice(&packet_identifier.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP, told apart by its `first` byte. They are the same in all
/// versions.
#[inline]
pub fn acknowledge(out: &mut Vec<u8>, first: u8, packet_identifier: u16) {
    let [high, low] = packet_identifier.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// The Packet Identifier after `identifier`: 1 to 65,535, then 1 again, never 0.
#[inline]
pub fn following(identifier: u16) -> u16 {
    identifier.checked_add(1).unwrap_or(1)
}

#[inline]
fn remaining_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let low = (rest & 0x7F) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[inline]
fn string(out: &mut Vec<u8>, text: &[u8]) {
    // Topics and client identifiers here are a few dozen bytes; the cast cannot cut anything off.
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}
