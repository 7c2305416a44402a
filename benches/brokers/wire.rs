//! The few bytes of MQTT 3.1.1 that the generator and the floor speak.
//!
//! Nothing here is shared with the broker's own codec: a bench that encoded with the code it
//! measures would not see that code's mistakes.

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
/// First byte of a CONNECT.
pub const CONNECT: u8 = 0x10;
/// First four bits of a PUBLISH.
pub const PUBLISH: u8 = 0x30;
/// A whole DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];
/// A whole CONNACK: accepted, no session present.
pub const ACCEPTED: [u8; 4] = [CONNACK, 2, 0, 0];
/// A whole CONNACK: accepted, and the session that was left is there.
pub const PRESENT: [u8; 4] = [CONNACK, 2, 1, 0];

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
    /// Application Message.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Takes a PUBLISH apart.
    #[inline]
    pub fn of(frame: &Frame<'a>) -> Result<Publish<'a>, Malformed> {
        let qos = (frame.first >> 1) & 3;
        let (length, rest) = frame.body.split_first_chunk::<2>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (topic, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        if qos == 0 {
            return Ok(Publish {
                qos,
                topic,
                packet_identifier: 0,
                payload: rest,
            });
        }
        let (identifier, payload) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        Ok(Publish {
            qos,
            topic,
            packet_identifier: u16::from_be_bytes(*identifier),
            payload,
        })
    }
}

/// Appends a CONNECT without will, name or password; `clean` is its Clean Session.
pub fn connect(out: &mut Vec<u8>, client_identifier: &str, clean: bool, keep_alive_seconds: u16) {
    let [high, low] = keep_alive_seconds.to_be_bytes();
    let flags = u8::from(clean) << 1;
    out.push(CONNECT);
    remaining_length(out, 10 + 2 + client_identifier.len());
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, flags, high, low]);
    string(out, client_identifier.as_bytes());
}

/// Appends a SUBSCRIBE to one Topic Filter.
pub fn subscribe(out: &mut Vec<u8>, packet_identifier: u16, filter: &str, qos: u8) {
    out.push(SUBSCRIBE);
    remaining_length(out, 2 + 2 + filter.len() + 1);
    out.extend_from_slice(&packet_identifier.to_be_bytes());
    string(out, filter.as_bytes());
    out.push(qos);
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

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP, told apart by its `first` byte.
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
