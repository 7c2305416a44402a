//! PUBLISH as the broker sends it: the hot path of a delivery.
//!
//! A delivery differs from the message it delivers in a few fields. A [`PublishFrame`] takes those
//! and, for the rest, bytes that were put into wire form once, when the message came in
//! ([`PublishProperties::write_forwarded`](super::publish::PublishProperties::write_forwarded)):
//!
//! ```text
//!  | 0011 flags | Remaining Length |
//!  | topic | Packet Identifier | Property Length | expiry | alias | ids | forwarded | payload |
//!    ^^^^^                                                                ^^^^^^^^^   ^^^^^^^
//!    of the message: copied as they are
//! ```
//!
//! Encoding cannot fail. The caller keeps to the bounds that the parts were accepted with: a topic
//! of at most 65,535 bytes, and [`PublishFrame::encoded_len`] within the receiver's Maximum Packet
//! Size.

use std::num::NonZeroU16;

use super::packet_id::PacketId;
use super::property::PropertyId;
use super::publish::first_byte;
use super::qos::QoS;
use super::sink::{Sink, variable_len};
use super::subscription_ids::write_subscription_id;
use super::version::Version;

/// One PUBLISH to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishFrame<'a> {
    /// Whether it is sent again. Never with QoS 0.
    pub dup: bool,
    /// The QoS of this delivery: the smaller of published and granted.
    pub qos: QoS,
    /// The RETAIN flag as this receiver is to see it.
    pub retain: bool,
    /// `Some` exactly with QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// The Topic Name in UTF-8; empty when the receiver knows `alias` already.
    pub topic: &'a [u8],
    /// The Topic Alias to use or, with a topic, to introduce. Left out in 3.x.
    pub alias: Option<NonZeroU16>,
    /// The seconds the message has left. Left out in 3.x.
    pub message_expiry: Option<u32>,
    /// The identifiers of the subscriptions that matched. Left out in 3.x.
    pub subscription_ids: &'a [u32],
    /// Properties in wire form that are passed on unaltered. Left out in 3.x.
    pub forwarded: &'a [u8],
    /// The payload, as published; may be empty.
    pub payload: &'a [u8],
}

impl PublishFrame<'_> {
    /// How many bytes [`PublishFrame::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        let remaining = self.head_len(version) + self.payload.len();
        1 + variable_len(remaining) + remaining
    }

    /// Appends the packet.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        self.encode_head(version, out);
        out.extend_from_slice(self.payload);
    }

    /// Appends the packet without its payload, for who can write that from where it lies. Room
    /// for the whole is made all the same, so that appending it costs no second allocation.
    pub fn encode_head(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert_eq!(self.packet_id.is_some(), self.qos != QoS::AtMostOnce);
        debug_assert!(!self.topic.is_empty() || (self.alias.is_some() && version == Version::V5));
        let remaining = self.head_len(version) + self.payload.len();
        out.reserve(1 + variable_len(remaining) + remaining);
        out.u8(first_byte(self.dup, self.qos, self.retain));
        out.variable(remaining);
        out.binary(self.topic);
        if let Some(packet_id) = self.packet_id {
            out.u16(packet_id.get());
        }
        if version == Version::V5 {
            self.write_properties(out);
        }
    }

    /// Where in the encoded packet the two bytes of the Packet Identifier stand, so that one
    /// encoding can serve several receivers; `None` with QoS 0.
    pub fn packet_id_offset(&self, version: Version) -> Option<usize> {
        self.packet_id?;
        let remaining = self.head_len(version) + self.payload.len();
        Some(1 + variable_len(remaining) + 2 + self.topic.len())
    }

    /// The variable header's length.
    #[inline]
    fn head_len(&self, version: Version) -> usize {
        let fixed = 2 + self.topic.len() + if self.packet_id.is_some() { 2 } else { 0 };
        match version {
            Version::V5 => {
                let properties = self.properties_len();
                fixed + variable_len(properties) + properties
            }
            Version::V31 | Version::V311 => fixed,
        }
    }

    /// The property section's length, without the field that says it.
    #[inline]
    fn properties_len(&self) -> usize {
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let alias = if self.alias.is_some() { 3 } else { 0 };
        let ids: usize = self
            .subscription_ids
            .iter()
            .map(|&id| 1 + variable_len(id as usize))
            .sum();
        expiry + alias + ids + self.forwarded.len()
    }

    #[inline]
    fn write_properties(&self, out: &mut Vec<u8>) {
        out.variable(self.properties_len());
        out.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry);
        out.u16_property(PropertyId::TopicAlias, self.alias.map(NonZeroU16::get));
        for &id in self.subscription_ids {
            write_subscription_id(id, out);
        }
        out.extend_from_slice(self.forwarded);
    }
}

#[cfg(test)]
mod tests;
