//! What a decoder has to know beyond the bytes: the version, the sender and the size limit.

use super::version::Version;

/// The side of the Network Connection that sent the bytes.
///
/// The direction decides what is legal: a client never sends a CONNACK, a server's PUBLISH may
/// carry Subscription Identifiers and a client's may not, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The bytes come from a client: the broker's ordinary case.
    Client,
    /// The bytes come from a server: bridges and tests.
    Server,
}

/// The circumstances under which bytes are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The version that the connection agreed on. A CONNECT is decoded by its own version field
    /// whatever stands here, so before the first packet any value does.
    pub version: Version,
    /// Who sent the bytes.
    pub sender: Sender,
    /// The largest whole packet that is accepted, in bytes, fixed header included.
    /// [`MAXIMUM_PACKET_SIZE`] or more means that only the protocol's own bound holds.
    pub maximum_packet_size: u32,
}

/// The largest packet that MQTT can express, in bytes: one byte of type and flags, four of
/// Remaining Length, and 268,435,455 remaining.
pub const MAXIMUM_PACKET_SIZE: u32 = 1 + 4 + MAXIMUM_VARIABLE_BYTE_INTEGER;

/// The largest value of a Variable Byte Integer (four groups of seven bits).
pub const MAXIMUM_VARIABLE_BYTE_INTEGER: u32 = (1 << 28) - 1;

impl Context {
    /// A context without a size limit of its own.
    pub const fn new(version: Version, sender: Sender) -> Context {
        Context {
            version,
            sender,
            maximum_packet_size: MAXIMUM_PACKET_SIZE,
        }
    }
}
