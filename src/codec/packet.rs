//! Any packet of any version: the two entrances of the codec.

use super::ack::Ack;
use super::auth::Auth;
use super::connack::Connack;
use super::connect::Connect;
use super::context::Context;
use super::disconnect::Disconnect;
use super::error::{DecodeError, EncodeError};
use super::header::{self, Header};
use super::packet_type::PacketType;
use super::publish::Publish;
use super::reader::{NOT_SHORTEST, Reader};
use super::subscribe::{Suback, Subscribe};
use super::unsubscribe::{Unsuback, Unsubscribe};
use super::version::Version;

/// An MQTT Control Packet. Borrows everything from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A client asks for a session; the first packet on every connection.
    Connect(Connect<'a>),
    /// The server grants or refuses it.
    Connack(Connack<'a>),
    /// An Application Message, in either direction.
    Publish(Publish<'a>),
    /// A QoS 1 message has been received: the end of its exchange.
    Puback(Ack<'a>),
    /// A QoS 2 message has been received: the second step of its exchange.
    Pubrec(Ack<'a>),
    /// The sender of a QoS 2 message gives its identifier free: the third step.
    Pubrel(Ack<'a>),
    /// The receiver of a QoS 2 message has done so too: the end of the exchange.
    Pubcomp(Ack<'a>),
    /// A client asks for messages.
    Subscribe(Subscribe<'a>),
    /// The server grants or refuses that, filter by filter.
    Suback(Suback<'a>),
    /// A client wants no more of them.
    Unsubscribe(Unsubscribe<'a>),
    /// The server has ended those subscriptions.
    Unsuback(Unsuback<'a>),
    /// A client shows that it is there. Has no body.
    Pingreq,
    /// The server shows the same in answer. Has no body.
    Pingresp,
    /// The last word on a connection: of a client, and in 5.0 of either side.
    Disconnect(Disconnect<'a>),
    /// A step of an enhanced authentication, of either side. 5.0 only.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The packet's kind.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::Connack(_) => PacketType::Connack,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Puback(_) => PacketType::Puback,
            Packet::Pubrec(_) => PacketType::Pubrec,
            Packet::Pubrel(_) => PacketType::Pubrel,
            Packet::Pubcomp(_) => PacketType::Pubcomp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::Suback(_) => PacketType::Suback,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::Unsuback(_) => PacketType::Unsuback,
            Packet::Pingreq => PacketType::Pingreq,
            Packet::Pingresp => PacketType::Pingresp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}

/// Decodes the first packet in `input`: the packet and how many bytes it took, or `None` when not
/// all of it is there yet. Nothing is copied and nothing is allocated.
///
/// # Errors
///
/// As soon as the bytes that are there cannot become a legal packet, which for the fixed header
/// and the size is long before it is complete.
///
/// ```
/// use postbud::codec::{Context, Packet, Sender, Version, decode};
///
/// let context = Context::new(Version::V311, Sender::Client);
/// let bytes = b"\x30\x07\x00\x03a/bhi\xC0\x00";
/// let (packet, length) = decode(bytes, &context).unwrap().unwrap();
/// assert_eq!(length, 9);
/// let Packet::Publish(publish) = packet else { panic!("a PUBLISH") };
/// assert_eq!((publish.topic, publish.payload), ("a/b", &b"hi"[..]));
/// assert_eq!(decode(&bytes[length..], &context), Ok(Some((Packet::Pingreq, 2))));
/// ```
pub fn decode<'a>(
    input: &'a [u8],
    context: &Context,
) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
    let Some(header) = header::read(input, context)? else {
        return Ok(None);
    };
    let Some(body) = input.get(header.body..header.total) else {
        return Ok(None);
    };
    match decode_body(&header, body, context) {
        Ok(packet) => Ok(Some((packet, header.total))),
        Err(error) => Err(error.in_packet(header.packet_type)),
    }
}

#[inline]
fn decode_body<'a>(
    header: &Header,
    body: &'a [u8],
    context: &Context,
) -> Result<Packet<'a>, DecodeError> {
    let version = context.version;
    Ok(match header.packet_type {
        PacketType::Publish => Packet::Publish(Publish::decode(header.flags, body, context)?),
        PacketType::Puback => Packet::Puback(Ack::decode(PacketType::Puback, body, context)?),
        PacketType::Pubrec => Packet::Pubrec(Ack::decode(PacketType::Pubrec, body, context)?),
        PacketType::Pubrel => Packet::Pubrel(Ack::decode(PacketType::Pubrel, body, context)?),
        PacketType::Pubcomp => Packet::Pubcomp(Ack::decode(PacketType::Pubcomp, body, context)?),
        PacketType::Pingreq => {
            Reader::new(body).finish()?;
            Packet::Pingreq
        }
        PacketType::Pingresp => {
            Reader::new(body).finish()?;
            Packet::Pingresp
        }
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(body, version)?),
        PacketType::Suback => Packet::Suback(Suback::decode(body, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(body, version)?),
        PacketType::Unsuback => Packet::Unsuback(Unsuback::decode(body, version)?),
        PacketType::Connect => Packet::Connect(decode_connect(header, body)?),
        PacketType::Connack => Packet::Connack(Connack::decode(body, version)?),
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(body, context)?),
        PacketType::Auth => Packet::Auth(Auth::decode(body, context)?),
    })
}

/// A CONNECT brings its own version, by which its fixed header is judged belatedly.
fn decode_connect<'a>(header: &Header, body: &'a [u8]) -> Result<Connect<'a>, DecodeError> {
    let connect = Connect::decode(body)?;
    // [MQTT5-1.5.5-1]
    if connect.version == Version::V5 && !header.shortest {
        return Err(NOT_SHORTEST);
    }
    Ok(connect)
}

/// Appends a whole packet. A CONNECT is written in its own version, whatever `version` is.
///
/// MQTT 3.x has no property sections: there, properties are left out. What stands outside them
/// and has no form in 3.x is an error, with the exceptions that the packets' own `encode`
/// functions name.
///
/// # Errors
///
/// See [`EncodeError`]. Nothing is appended then.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect.encode(out),
        Packet::Connack(connack) => connack.encode(version, out),
        Packet::Publish(publish) => publish.encode(version, out),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            ack.encode(packet.packet_type(), version, out)
        }
        Packet::Subscribe(subscribe) => subscribe.encode(version, out),
        Packet::Suback(suback) => suback.encode(version, out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
        Packet::Unsuback(unsuback) => unsuback.encode(version, out),
        Packet::Pingreq | Packet::Pingresp => {
            out.extend_from_slice(&[packet.packet_type().first_byte(), 0]);
            Ok(())
        }
        Packet::Disconnect(disconnect) => disconnect.encode(version, out),
        Packet::Auth(auth) => auth.encode(version, out),
    }
}

#[cfg(test)]
mod tests;
