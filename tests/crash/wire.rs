//! The least of an MQTT client that keeps its side of a session: packets to bytes and back, for 3.1.1 and 5.0.
//!
//! It is written anew, without the broker's codec, so that both cannot be wrong in the same way. A connection
//! may end at any moment: every way to use it says so instead of failing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::raw::{packet, string};

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

/// What a client says of itself.
#[derive(Clone, Debug)]
pub struct Connect<'a> {
    pub version: Version,
    pub client_id: &'a str,
    /// Whether a session that is there is forgotten.
    pub clean: bool,
    /// Session Expiry Interval; of 3.1.1 only whether it is 0 matters.
    pub expiry: u32,
    /// Receive Maximum, if it is told.
    pub receive_maximum: Option<u16>,
    pub will: Option<Will<'a>>,
}

/// A Will at QoS 1, with a Will Delay Interval where there is one.
#[derive(Clone, Debug)]
pub struct Will<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub delay: u32,
}

impl<'a> Connect<'a> {
    /// A client whose session outlives its connections.
    pub fn lasting(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            client_id,
            clean: false,
            expiry: 3600,
            receive_maximum: None,
            will: None,
        }
    }

    /// A client whose session ends with its connection.
    pub fn passing(version: Version, client_id: &'a str) -> Self {
        Self {
            clean: true,
            expiry: 0,
            ..Self::lasting(version, client_id)
        }
    }

    fn encode(&self) -> Vec<u8> {
        let v5 = self.version == Version::V5;
        let mut flags = u8::from(self.clean) << 1;
        if self.will.is_some() {
            flags |= 0x0c;
        }
        let level = if v5 { 5 } else { 4 };
        // No Keep Alive: the clients of these tests are slow on purpose.
        let mut body = [&string("MQTT")[..], &[level, flags, 0, 0]].concat();
        if v5 {
            let mut properties = vec![0x11];
            properties.extend(self.expiry.to_be_bytes());
            if let Some(maximum) = self.receive_maximum {
                properties.push(0x21);
                properties.extend(maximum.to_be_bytes());
            }
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend(string(self.client_id));
        if let Some(will) = &self.will {
            if v5 {
                body.extend([5, 0x18]);
                body.extend(will.delay.to_be_bytes());
            }
            body.extend(string(will.topic));
            body.extend((will.payload.len() as u16).to_be_bytes());
            body.extend(will.payload);
        }
        packet(0x10, &body)
    }
}

/// An Application Message, from or to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    pub id: u16,
    /// Message Expiry Interval.
    pub expiry: Option<u32>,
    pub payload: Vec<u8>,
}

/// The packets that only carry a Packet Identifier and how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    Puback = 0x40,
    Pubrec = 0x50,
    Pubrel = 0x62,
    Pubcomp = 0x70,
}

/// What the broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Publish(Publish),
    Ack(Ack, u16, u8),
    /// Packet Identifier and Reason Codes.
    Suback(u16, Vec<u8>),
    Unsuback(u16),
    Pingresp,
    /// Reason Code.
    Disconnect(u8),
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// It did not come in time.
    Yet,
    /// The connection has ended.
    Ended,
}

/// A connection with a session.
pub struct Connection {
    version: Version,
    stream: TcpStream,
    received: Vec<u8>,
    /// Whether the broker had a session for it.
    pub session_present: bool,
}

impl Connection {
    /// Connects. None if nobody listens, or the connection ends before the CONNACK, which must be a success.
    pub fn open(address: SocketAddr, connect: &Connect<'_>) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_write_timeout(Some(DEADLINE)).ok()?;
        let mut connection = Self {
            version: connect.version,
            stream,
            received: Vec::new(),
            session_present: false,
        };
        connection.send(&connect.encode());
        let (first, body) = connection.frame(DEADLINE).ok()?;
        assert_eq!(first, 0x20, "{}: no CONNACK", connect.client_id);
        assert_eq!(body[1], 0, "{}: refused", connect.client_id);
        connection.session_present = body[0] == 1;
        Some(connection)
    }

    /// Sends bytes; that the connection has ended is found out when it is read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn publish(&mut self, publish: &Publish) {
        let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
        let mut body = string(&publish.topic);
        if publish.qos > 0 {
            body.extend(publish.id.to_be_bytes());
        }
        if self.version == Version::V5 {
            match publish.expiry {
                None => body.push(0),
                Some(seconds) => {
                    body.extend([5, 0x02]);
                    body.extend(seconds.to_be_bytes());
                }
            }
        }
        body.extend(&publish.payload);
        self.send(&packet(0x30 | flags, &body));
    }

    pub fn ack(&mut self, ack: Ack, id: u16) {
        self.send(&packet(ack as u8, &id.to_be_bytes()));
    }

    /// Asks for one Topic Filter, with the Packet Identifier 1.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        let none: &[u8] = if self.version == Version::V5 {
            &[0]
        } else {
            &[]
        };
        let body = [&[0, 1], none, &string(filter)[..], &[qos]].concat();
        self.send(&packet(0x82, &body));
    }

    /// Takes back one Topic Filter, with the Packet Identifier 1.
    pub fn unsubscribe(&mut self, filter: &str) {
        let none: &[u8] = if self.version == Version::V5 {
            &[0]
        } else {
            &[]
        };
        let body = [&[0, 1], none, &string(filter)[..]].concat();
        self.send(&packet(0xa2, &body));
    }

    /// Says goodbye; the session stays as long as was said at the beginning.
    pub fn disconnect(mut self) {
        self.send(&[0xe0, 0]);
        // The broker closes when it has taken notice.
        while self.receive(DEADLINE).is_ok() {}
    }

    /// The next packet, if one comes within this time.
    pub fn receive(&mut self, within: Duration) -> Result<Packet, Nothing> {
        let (first, body) = self.frame(within)?;
        Ok(decode(self.version, first, &body))
    }

    /// First byte and body of the next packet.
    fn frame(&mut self, within: Duration) -> Result<(u8, Vec<u8>), Nothing> {
        let end = Instant::now() + within;
        loop {
            if let Some((header, length)) = whole(&self.received) {
                let rest = self.received.split_off(header + length);
                let mut frame = std::mem::replace(&mut self.received, rest);
                return Ok((frame[0], frame.split_off(header)));
            }
            let left = end.saturating_duration_since(Instant::now());
            // A timeout of zero would be none at all.
            let left = left.max(Duration::from_micros(1));
            if self.stream.set_read_timeout(Some(left)).is_err() {
                return Err(Nothing::Ended);
            }
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Nothing::Ended),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        if Instant::now() >= end {
                            return Err(Nothing::Yet);
                        }
                    }
                    ErrorKind::Interrupted => {}
                    _ => return Err(Nothing::Ended),
                },
            }
        }
    }
}

/// Lengths of header and body of the packet at the start, if it is there to its end.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let header = 2 + index;
            return (bytes.len() >= header + length).then_some((header, length));
        }
    }
    None
}

fn decode(version: Version, first: u8, body: &[u8]) -> Packet {
    let id = || u16::from_be_bytes([body[0], body[1]]);
    let code = || body.get(2).copied().unwrap_or(0);
    match first >> 4 {
        3 => Packet::Publish(decode_publish(version, first, body)),
        4 => Packet::Ack(Ack::Puback, id(), code()),
        5 => Packet::Ack(Ack::Pubrec, id(), code()),
        6 => Packet::Ack(Ack::Pubrel, id(), code()),
        7 => Packet::Ack(Ack::Pubcomp, id(), code()),
        9 if version == Version::V5 => {
            let skipped = 3 + usize::from(body[2]);
            Packet::Suback(id(), body[skipped..].to_vec())
        }
        9 => Packet::Suback(id(), body[2..].to_vec()),
        11 => Packet::Unsuback(id()),
        13 => Packet::Pingresp,
        14 => Packet::Disconnect(body.first().copied().unwrap_or(0)),
        _ => panic!("not a packet for a client: {first:02x} {body:02x?}"),
    }
}

fn decode_publish(version: Version, first: u8, body: &[u8]) -> Publish {
    let qos = first >> 1 & 3;
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let (topic, mut rest) = body[2..].split_at(length);
    let mut id = 0;
    if qos > 0 {
        id = u16::from_be_bytes([rest[0], rest[1]]);
        rest = &rest[2..];
    }
    let mut expiry = None;
    if version == Version::V5 {
        // Nobody here sends properties beyond the Message Expiry Interval, nor Subscription Identifiers.
        let (properties, payload) = rest[1..].split_at(usize::from(rest[0]));
        if let [0x02, seconds @ ..] = properties {
            expiry = Some(u32::from_be_bytes(seconds.try_into().expect("four bytes")));
        }
        rest = payload;
    }
    Publish {
        dup: first & 8 != 0,
        qos,
        retain: first & 1 != 0,
        topic: String::from_utf8(topic.to_vec()).expect("a Topic Name"),
        id,
        expiry,
        payload: rest.to_vec(),
    }
}
