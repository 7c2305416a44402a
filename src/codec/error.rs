//! Why bytes could not be decoded, and why a packet could not be encoded.
//!
//! A decode error always concerns the whole Network Connection: after one, the boundary of the
//! next packet cannot be trusted, and the specification asks for the connection to be closed
//! `[MQTT5-4.13.1-1]`. The Reason Code says what to put into the CONNACK or DISCONNECT before.
//!
//! How a fault gets its code, where the specification does not spell it out:
//!
//! | fault | code |
//! | --- | --- |
//! | it cannot be parsed: a length, a string, a reserved bit, an unknown property, a Topic Name or Topic Filter that is not well-formed | 0x81 Malformed Packet |
//! | it was parsed, but the value is not allowed: a zero Packet Identifier, a Reason Code outside the packet's table, a property given twice, a packet of the wrong direction | 0x82 Protocol Error |
//! | a Protocol Name or version that the broker does not speak | 0x84 Unsupported Protocol Version |
//! | Topic Alias 0 | 0x94 Topic Alias invalid |
//! | longer than the limit | 0x95 Packet too large |
//! | more list entries than the codec takes | 0x97 Quota exceeded |
//!
//! 0x8F and 0x90 (Topic Filter and Topic Name invalid) are not used here: the specification
//! reserves them for names that are "correctly formed" and still not accepted.

use std::fmt;

use super::context::Sender;
use super::packet_type::PacketType;
use super::reason::ReasonCode;
use crate::topic;

/// Bytes that are not the MQTT they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What to tell the peer (see the table above).
    pub code: ReasonCode,
    /// What was wrong, for the log. Never contains anything the peer sent.
    pub what: &'static str,
    /// The packet it was found in, once its type was known.
    pub packet: Option<PacketType>,
}

impl DecodeError {
    /// 0x81: the bytes cannot be parsed according to the specification.
    #[cold]
    pub(super) const fn malformed(what: &'static str) -> DecodeError {
        DecodeError::with(ReasonCode::MalformedPacket, what)
    }

    /// 0x82: the bytes parse, but say something the protocol does not allow.
    #[cold]
    pub(super) const fn protocol(what: &'static str) -> DecodeError {
        DecodeError::with(ReasonCode::ProtocolError, what)
    }

    /// An error with a code of its own.
    #[cold]
    pub(super) const fn with(code: ReasonCode, what: &'static str) -> DecodeError {
        DecodeError {
            code,
            what,
            packet: None,
        }
    }

    /// The error for a Topic Name or Topic Filter that breaks a rule of section 4.7 or 4.8.2.
    #[cold]
    pub(super) const fn topic(error: topic::Error) -> DecodeError {
        DecodeError::malformed(match error {
            topic::Error::Empty => "a topic is empty",
            topic::Error::TooLong => "a topic is longer than 65,535 bytes",
            topic::Error::Null => "a string contains U+0000",
            topic::Error::Wildcard => "a Topic Name contains a wildcard",
            topic::Error::MisplacedHash => "# in a Topic Filter is not its whole last level",
            topic::Error::MisplacedPlus => "+ in a Topic Filter is not a whole level",
            topic::Error::ShareName => "a Shared Subscription's ShareName is not well-formed",
            topic::Error::ShareFilter => "a Shared Subscription has no Topic Filter",
        })
    }

    /// The same error, with the packet it was found in.
    #[cold]
    pub(super) const fn in_packet(mut self, packet: PacketType) -> DecodeError {
        self.packet = Some(packet);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "{} in {packet}: {}", self.code, self.what),
            None => write!(f, "{}: {}", self.code, self.what),
        }
    }
}

impl std::error::Error for DecodeError {}

impl ReasonCode {
    /// Reads the Reason Code of a packet. One that is not in the packet's table, or that the
    /// specification does not know, is a Protocol Error: the packet parses, its length and fields
    /// are in order, and what it says is not allowed.
    pub(super) fn read(
        byte: u8,
        packet: PacketType,
        sender: Sender,
    ) -> Result<ReasonCode, DecodeError> {
        ReasonCode::from_byte(byte)
            .filter(|code| code.may_be_sent_by(packet, sender))
            .ok_or(
                const { DecodeError::protocol("a Reason Code that is not in the packet's table") },
            )
    }
}

/// A packet that has no bytes. Nothing was written when this is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A string or a binary field is longer than the 65,535 bytes its length field can say.
    FieldTooLong,
    /// A string contains U+0000, which no receiver accepts `[MQTT5-1.5.4-2]`.
    NullCharacter,
    /// The packet, or one of its property sections, is over 268,435,455 bytes.
    PacketTooLarge,
    /// A Topic Filter is not well-formed.
    Topic(topic::Error),
    /// The value has no form in this version; the text says which.
    NoForm(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::FieldTooLong => f.write_str("a field is longer than 65,535 bytes"),
            EncodeError::NullCharacter => f.write_str("a string contains U+0000"),
            EncodeError::PacketTooLarge => {
                f.write_str("the packet is longer than 268,435,455 bytes")
            }
            EncodeError::Topic(error) => error.fmt(f),
            EncodeError::NoForm(what) => write!(f, "no form in this version: {what}"),
        }
    }
}

impl std::error::Error for EncodeError {}
