//! The fixed header: type, flags and Remaining Length.
//!
//! ```text
//!   byte 1               bytes 2 to 5
//!  +---------+--------+ +--------------------------------+
//!  | type: 4 | flags:4| | Remaining Length: 7 bits each  |
//!  +---------+--------+ +--------------------------------+
//! ```
//!
//! What is wrong with the bytes that are there is said at once, not when the packet is complete:
//! who sends garbage is not asked for more of it, and a packet over the limit is refused before
//! room is made for it.

use super::context::{Context, MAXIMUM_PACKET_SIZE};
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::qos::QoS;
use super::reader::{NOT_SHORTEST, OVERLONG, Variable};
use super::reason::ReasonCode;
use super::version::Version;

/// A whole fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) packet_type: PacketType,
    /// The low nibble of the first byte, already checked.
    pub(super) flags: u8,
    /// Where the variable header begins.
    pub(super) body: usize,
    /// The length of the whole packet.
    pub(super) total: usize,
    /// Whether the Remaining Length is in its shortest form.
    pub(super) shortest: bool,
}

/// The length of the first packet in `input`, fixed header included; `None` while too little of
/// it is there to tell. For sizing a buffer: only what needs no knowledge of the version is
/// checked.
///
/// # Errors
///
/// The forbidden packet type 0 and a Remaining Length of more than four bytes are malformed; a
/// packet of more than `maximum` bytes is too large (0x95).
///
/// ```
/// use postbud::codec::frame_length;
///
/// assert_eq!(frame_length(b"\xC0\x00", 1024), Ok(Some(2)));
/// assert_eq!(frame_length(b"\x30\x80", 1024), Ok(None));
/// assert!(frame_length(b"\x30\x80\x10", 1024).is_err());
/// ```
pub fn frame_length(input: &[u8], maximum: u32) -> Result<Option<usize>, DecodeError> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let packet_type = packet_type_of(first)?;
    match remaining_length(input, maximum) {
        Ok(found) => Ok(found.map(|(remaining, length)| 1 + length + remaining as usize)),
        Err(error) => Err(error.in_packet(packet_type)),
    }
}

/// Reads the fixed header; `None` while it is incomplete and nothing wrong with it so far.
#[inline]
pub(super) fn read(input: &[u8], context: &Context) -> Result<Option<Header>, DecodeError> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let packet_type = packet_type_of(first)?;
    read_rest(input, packet_type, first & 0x0F, context)
        .map_err(|error| error.in_packet(packet_type))
}

#[inline]
fn read_rest(
    input: &[u8],
    packet_type: PacketType,
    flags: u8,
    context: &Context,
) -> Result<Option<Header>, DecodeError> {
    check_sender(packet_type, context)?;
    check_flags(packet_type, flags, context.version)?;
    let Some((remaining, length)) = remaining_length(input, context.maximum_packet_size)? else {
        return Ok(None);
    };
    let shortest = length == Variable::length_of(remaining);
    // [MQTT5-1.5.5-1] 3.x has no such rule, and clients for small devices are known to fill the
    // field up to a fixed width. A CONNECT is judged when its version has been read.
    if !shortest && context.version == Version::V5 && packet_type != PacketType::Connect {
        return Err(NOT_SHORTEST);
    }
    let body = 1 + length;
    Ok(Some(Header {
        packet_type,
        flags,
        body,
        total: body + remaining as usize,
        shortest,
    }))
}

fn packet_type_of(first: u8) -> Result<PacketType, DecodeError> {
    PacketType::from_first_byte(first)
        .ok_or(const { DecodeError::malformed("packet type 0 is reserved") })
}

/// The Remaining Length and how many bytes it took; `None` while it is incomplete.
#[inline]
fn remaining_length(input: &[u8], maximum: u32) -> Result<Option<(u32, usize)>, DecodeError> {
    match Variable::read(input.get(1..).unwrap_or_default()) {
        Variable::Whole { value, length } => {
            let total = 1 + length as u32 + value;
            if total > maximum.min(MAXIMUM_PACKET_SIZE) {
                return Err(DecodeError::with(
                    ReasonCode::PacketTooLarge,
                    "the packet is larger than the limit",
                ));
            }
            Ok(Some((value, length)))
        }
        Variable::Incomplete => Ok(None),
        Variable::TooLong => Err(OVERLONG),
    }
}

#[inline]
fn check_sender(packet_type: PacketType, context: &Context) -> Result<(), DecodeError> {
    if packet_type.may_be_sent_by(context.sender, context.version) {
        return Ok(());
    }
    if packet_type == PacketType::Auth {
        return Err(DecodeError::malformed(
            "packet type 15 is reserved in MQTT 3.x",
        ));
    }
    Err(DecodeError::protocol("a packet that the other side sends"))
}

#[inline]
fn check_flags(packet_type: PacketType, flags: u8, version: Version) -> Result<(), DecodeError> {
    if packet_type == PacketType::Publish {
        return check_publish_flags(flags, version);
    }
    // [MQTT5-2.1.3-1] [MQTT311-2.2.2-1] [MQTT311-2.2.2-2], and one packet at a time:
    // PUBREL [MQTT5-3.6.1-1] [MQTT311-3.6.1-1], SUBSCRIBE [MQTT5-3.8.1-1] [MQTT311-3.8.1-1],
    // UNSUBSCRIBE [MQTT5-3.10.1-1] [MQTT311-3.10.1-1], DISCONNECT [MQTT5-3.14.1-1]
    // [MQTT311-3.14.1-1], AUTH [MQTT5-3.15.1-1].
    let prescribed = packet_type.first_byte() & 0x0F;
    if flags == prescribed {
        return Ok(());
    }
    // In 3.1 these three are messages of QoS 1 (hence the 0010), and DUP marks a repetition.
    let repeats = version == Version::V31 && prescribed == 0b0010;
    if repeats && flags == 0b1010 {
        return Ok(());
    }
    Err(DecodeError::malformed(
        "the flags of the fixed header are not those prescribed",
    ))
}

#[inline]
fn check_publish_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    match QoS::from_bits((flags >> 1) & 0b11) {
        // [MQTT5-3.3.1-4] [MQTT311-3.3.1-4]
        None => Err(DecodeError::malformed("a PUBLISH with QoS 3")),
        // [MQTT5-3.3.1-2] [MQTT311-3.3.1-2]; 3.1 leaves the flag without a meaning there.
        Some(QoS::AtMostOnce) if flags & 0b1000 != 0 && version != Version::V31 => {
            Err(DecodeError::malformed("a PUBLISH with DUP and QoS 0"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
