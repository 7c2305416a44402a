//! The fifteen kinds of MQTT Control Packet and who may send them.

use std::fmt;

use super::context::Sender;
use super::version::Version;

/// The kind of an MQTT Control Packet: the high nibble of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// From a client: the request to open a session.
    Connect = 1,
    /// From a server: the answer to CONNECT.
    Connack = 2,
    /// From either: an Application Message. The only kind whose flags vary.
    Publish = 3,
    /// From either: a QoS 1 PUBLISH has been received.
    Puback = 4,
    /// From either: a QoS 2 PUBLISH has been received.
    Pubrec = 5,
    /// From either: the answer to PUBREC.
    Pubrel = 6,
    /// From either: the answer to PUBREL.
    Pubcomp = 7,
    /// From a client: the request to receive messages.
    Subscribe = 8,
    /// From a server: the answer to SUBSCRIBE.
    Suback = 9,
    /// From a client: the request to end subscriptions.
    Unsubscribe = 10,
    /// From a server: the answer to UNSUBSCRIBE.
    Unsuback = 11,
    /// From a client: a sign of life.
    Pingreq = 12,
    /// From a server: the answer to PINGREQ.
    Pingresp = 13,
    /// From a client, and in 5.0 from either: a farewell.
    Disconnect = 14,
    /// From either, in 5.0 only: a step of an enhanced authentication.
    Auth = 15,
}

impl PacketType {
    /// All kinds, in the order of their numbers.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::Connack,
        PacketType::Publish,
        PacketType::Puback,
        PacketType::Pubrec,
        PacketType::Pubrel,
        PacketType::Pubcomp,
        PacketType::Subscribe,
        PacketType::Suback,
        PacketType::Unsubscribe,
        PacketType::Unsuback,
        PacketType::Pingreq,
        PacketType::Pingresp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The kind that a packet's first byte announces; `None` for the forbidden kind 0.
    pub const fn from_first_byte(byte: u8) -> Option<PacketType> {
        match byte >> 4 {
            1 => Some(PacketType::Connect),
            2 => Some(PacketType::Connack),
            3 => Some(PacketType::Publish),
            4 => Some(PacketType::Puback),
            5 => Some(PacketType::Pubrec),
            6 => Some(PacketType::Pubrel),
            7 => Some(PacketType::Pubcomp),
            8 => Some(PacketType::Subscribe),
            9 => Some(PacketType::Suback),
            10 => Some(PacketType::Unsubscribe),
            11 => Some(PacketType::Unsuback),
            12 => Some(PacketType::Pingreq),
            13 => Some(PacketType::Pingresp),
            14 => Some(PacketType::Disconnect),
            15 => Some(PacketType::Auth),
            _ => None,
        }
    }

    /// The first byte of such a packet with the flags the specification prescribes.
    /// A PUBLISH adds DUP, QoS and RETAIN to it.
    pub const fn first_byte(self) -> u8 {
        let flags = match self {
            // [MQTT5-3.6.1-1] [MQTT5-3.8.1-1] [MQTT5-3.10.1-1]
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        };
        ((self as u8) << 4) | flags
    }

    /// Whether `sender` can ever send such a packet in `version`.
    pub const fn may_be_sent_by(self, sender: Sender, version: Version) -> bool {
        match self {
            PacketType::Publish
            | PacketType::Puback
            | PacketType::Pubrec
            | PacketType::Pubrel
            | PacketType::Pubcomp => true,
            PacketType::Connect
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Pingreq => matches!(sender, Sender::Client),
            PacketType::Connack
            | PacketType::Suback
            | PacketType::Unsuback
            | PacketType::Pingresp => matches!(sender, Sender::Server),
            // In 3.x only the client takes its leave; a server just closes.
            PacketType::Disconnect => {
                matches!(sender, Sender::Client) || matches!(version, Version::V5)
            }
            PacketType::Auth => matches!(version, Version::V5),
        }
    }

    /// The specification's name in capitals, for messages to people.
    pub const fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::Connack => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::Puback => "PUBACK",
            PacketType::Pubrec => "PUBREC",
            PacketType::Pubrel => "PUBREL",
            PacketType::Pubcomp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::Suback => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::Unsuback => "UNSUBACK",
            PacketType::Pingreq => "PINGREQ",
            PacketType::Pingresp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
