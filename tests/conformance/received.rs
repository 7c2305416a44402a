//! What the broker sends, taken apart: the counterpart of [`crate::bytes`].
//!
//! Packets come whole from [`RawClient::packet`]. Whatever is not as the specification says (a length beyond
//! the packet, an unknown property) fails the test at once. Where the exact bytes are known, compare those
//! instead: `client.expect(&puback(7))`.

use std::net::SocketAddr;

use crate::bytes::{Connect, DISCONNECT, PINGREQ, PINGRESP, Publish, packet, subscribe_5};
use crate::support::raw::RawClient;

/// The properties of a packet, in their order: identifier and the bytes of the value as sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Properties(pub Vec<(u8, Vec<u8>)>);

impl Properties {
    /// The values of all properties with this identifier.
    pub fn all(&self, id: u8) -> Vec<&[u8]> {
        let these = self.0.iter().filter(|(each, _)| *each == id);
        these.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of the property with this identifier, which must not be there twice.
    #[track_caller]
    pub fn one(&self, id: u8) -> Option<&[u8]> {
        let all = self.all(id);
        assert!(all.len() <= 1, "twice {id:#04x}: {self:02x?}");
        all.first().copied()
    }

    /// The value of an integer property of one, two or four bytes.
    #[track_caller]
    pub fn integer(&self, id: u8) -> Option<u32> {
        let value = self.one(id)?;
        Some(
            value
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
        )
    }

    /// The content of a property that is a string or Binary Data.
    #[track_caller]
    pub fn content(&self, id: u8) -> Option<&[u8]> {
        self.one(id).map(|value| &value[2..])
    }

    /// The User Properties in their order.
    #[track_caller]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let each = self.all(crate::bytes::prop::USER_PROPERTY).into_iter();
        each.map(|value| {
            let mut rest = Rest(value);
            (rest.text(), rest.text())
        })
        .collect()
    }
}

/// A CONNACK of MQTT 5.0.
#[derive(Debug)]
pub struct Connack {
    /// Connect Acknowledge Flags, as sent.
    pub flags: u8,
    pub reason: u8,
    pub properties: Properties,
}

impl Connack {
    #[track_caller]
    pub fn v5(packet: &[u8]) -> Self {
        let (first, mut rest) = open(packet);
        assert_eq!(first, 0x20, "no CONNACK: {packet:02x?}");
        let connack = Self {
            flags: rest.byte(),
            reason: rest.byte(),
            properties: rest.properties(),
        };
        rest.end();
        connack
    }
}

/// A PUBLISH of either version.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    /// Zero at QoS 0.
    pub packet_id: u16,
    /// None in MQTT 3.1.1.
    pub properties: Properties,
    pub payload: Vec<u8>,
}

impl Published {
    #[track_caller]
    pub fn v5(packet: &[u8]) -> Self {
        Self::parse(packet, true)
    }

    #[track_caller]
    pub fn v311(packet: &[u8]) -> Self {
        Self::parse(packet, false)
    }

    #[track_caller]
    fn parse(packet: &[u8], v5: bool) -> Self {
        let (first, mut rest) = open(packet);
        assert_eq!(first & 0xf0, 0x30, "no PUBLISH: {packet:02x?}");
        let qos = first >> 1 & 3;
        Self {
            dup: first & 8 != 0,
            qos,
            retain: first & 1 != 0,
            topic: rest.text(),
            packet_id: if qos > 0 { rest.two() } else { 0 },
            properties: if v5 {
                rest.properties()
            } else {
                Properties(Vec::new())
            },
            payload: rest.0.to_vec(),
        }
    }
}

/// A PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK or UNSUBACK of MQTT 5.0.
#[derive(Debug)]
pub struct Ack {
    /// Packet type and flags, as sent.
    pub first: u8,
    pub packet_id: u16,
    pub properties: Properties,
    /// One, 0x00 if it was left out; in SUBACK and UNSUBACK one for each Topic Filter.
    pub reasons: Vec<u8>,
}

impl Ack {
    #[track_caller]
    pub fn v5(packet: &[u8]) -> Self {
        let (first, mut rest) = open(packet);
        let packet_id = rest.two();
        let (reasons, properties) = match first {
            0x90 | 0xb0 => {
                let properties = rest.properties();
                (rest.0.to_vec(), properties)
            }
            0x40 | 0x50 | 0x62 | 0x70 => {
                let reason = if rest.0.is_empty() { 0 } else { rest.byte() };
                let properties = rest.properties_if_any();
                rest.end();
                (vec![reason], properties)
            }
            _ => panic!("no acknowledgement: {packet:02x?}"),
        };
        Self {
            first,
            packet_id,
            properties,
            reasons,
        }
    }
}

/// A DISCONNECT of MQTT 5.0.
#[derive(Debug)]
pub struct Disconnected {
    pub reason: u8,
    pub properties: Properties,
}

impl Disconnected {
    #[track_caller]
    pub fn v5(packet: &[u8]) -> Self {
        let (first, mut rest) = open(packet);
        assert_eq!(first, 0xe0, "no DISCONNECT: {packet:02x?}");
        let reason = if rest.0.is_empty() { 0 } else { rest.byte() };
        let properties = rest.properties_if_any();
        rest.end();
        Self { reason, properties }
    }
}

/// Connects and expects CONNACK 0x00.
#[track_caller]
pub fn connected(address: SocketAddr, connect: &Connect) -> (RawClient, Connack) {
    let mut client = RawClient::connect(address);
    client.send(&connect.bytes());
    let connack = Connack::v5(&client.packet());
    assert_eq!(connack.reason, 0x00, "{connack:02x?}");
    (client, connack)
}

/// An MQTT 5.0 client with a session that ends with its connection.
#[track_caller]
pub fn online(address: SocketAddr, client_id: &str) -> RawClient {
    connected(address, &Connect::v5(client_id)).0
}

/// Says DISCONNECT and waits until the broker has closed: it knows then that the client is away.
#[track_caller]
pub fn leave(mut client: RawClient) {
    client.send(&DISCONNECT);
    client.expect_closed();
}

/// The next packet, which must be a PUBLISH of MQTT 5.0.
#[track_caller]
pub fn published(client: &mut RawClient) -> Published {
    Published::v5(&client.packet())
}

/// Publishes at QoS 1 with Packet Identifier 1 and expects the PUBACK, after which whoever subscribed has
/// the message under way or waiting. Nothing else may come to this client.
#[track_caller]
pub fn publish(client: &mut RawClient, publish: Publish) {
    client.send(&publish.qos(1, 1).bytes());
    let ack = Ack::v5(&client.packet());
    assert_eq!((ack.first, ack.packet_id), (0x40, 1), "{ack:02x?}");
    assert!(matches!(ack.reasons[0], 0x00 | 0x10), "{ack:02x?}");
}

/// Connects and expects to be refused with this reason in a CONNACK, and then closed.
#[track_caller]
pub fn refused_5(address: SocketAddr, connect: &[u8], reason: u8) -> Connack {
    let mut client = RawClient::connect(address);
    client.send(connect);
    let connack = Connack::v5(&client.packet());
    assert_eq!(
        (connack.flags, connack.reason),
        (0, reason),
        "{connack:02x?} to {connect:02x?}"
    );
    client.expect_closed();
    connack
}

/// Expects a DISCONNECT of MQTT 5.0 with this reason, and then the close.
#[track_caller]
pub fn expect_disconnect(client: &mut RawClient, reason: u8) -> Disconnected {
    let disconnect = Disconnected::v5(&client.packet());
    assert_eq!(disconnect.reason, reason, "{disconnect:02x?}");
    client.expect_closed();
    disconnect
}

/// Subscribes an MQTT 5.0 client with Packet Identifier 1 and expects the QoS to be granted. What is retained
/// comes after it.
#[track_caller]
pub fn subscribe(client: &mut RawClient, filter: &str, options: u8) {
    client.send(&subscribe_5(1, &[], &[(filter, options)]));
    let ack = Ack::v5(&client.packet());
    assert_eq!(
        (ack.first, ack.packet_id, &ack.reasons[..]),
        (0x90, 1, &[options & 3][..]),
        "{ack:02x?}"
    );
}

/// Expects the connection to be there still, and nothing to have come before the answer to a PINGREQ.
#[track_caller]
pub fn expect_alive(client: &mut RawClient) {
    client.send(&PINGREQ);
    client.expect(&PINGRESP);
}

/// First byte of a packet and what follows its Remaining Length, which must be in its shortest form.
#[track_caller]
fn open(whole: &[u8]) -> (u8, Rest<'_>) {
    let mut rest = Rest(&whole[1..]);
    let length = rest.number();
    assert_eq!(length, rest.0.len(), "cut wrongly: {whole:02x?}");
    assert_eq!(whole, packet(whole[0], rest.0), "not in its shortest form");
    (whole[0], rest)
}

/// What is left of a packet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    #[track_caller]
    fn take(&mut self, length: usize) -> &'a [u8] {
        let split = self.0.split_at_checked(length);
        let (taken, rest) = split.unwrap_or_else(|| panic!("no {length} bytes in {:02x?}", self.0));
        self.0 = rest;
        taken
    }

    #[track_caller]
    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    #[track_caller]
    fn two(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    #[track_caller]
    fn number(&mut self) -> usize {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte();
            value |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return value;
            }
        }
        panic!("a Variable Byte Integer of more than four bytes");
    }

    /// The bytes of a string or of Binary Data, with the length before them.
    #[track_caller]
    fn string(&mut self) -> &'a [u8] {
        let all = self.0;
        let length = usize::from(self.two());
        self.take(length);
        &all[..2 + length]
    }

    #[track_caller]
    fn text(&mut self) -> String {
        let text = String::from_utf8(self.string()[2..].to_vec()).expect("a string in UTF-8");
        assert!(!text.contains('\0'), "U+0000 in {text:?}");
        text
    }

    #[track_caller]
    fn properties_if_any(&mut self) -> Properties {
        if self.0.is_empty() {
            Properties(Vec::new())
        } else {
            self.properties()
        }
    }

    #[track_caller]
    fn properties(&mut self) -> Properties {
        let length = self.number();
        let mut rest = Rest(self.take(length));
        let mut properties = Vec::new();
        while !rest.0.is_empty() {
            let id = rest.byte();
            let all = rest.0;
            match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => {
                    rest.byte();
                }
                0x13 | 0x21..=0x23 => {
                    rest.two();
                }
                0x02 | 0x11 | 0x18 | 0x27 => {
                    rest.take(4);
                }
                0x0b => {
                    rest.number();
                }
                0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => {
                    rest.text();
                }
                0x09 | 0x16 => {
                    rest.string();
                }
                0x26 => {
                    rest.text();
                    rest.text();
                }
                _ => panic!("an unknown property {id:#04x}"),
            }
            properties.push((id, all[..all.len() - rest.0.len()].to_vec()));
        }
        Properties(properties)
    }

    #[track_caller]
    fn end(&self) {
        assert!(self.0.is_empty(), "more than there may be: {:02x?}", self.0);
    }
}
