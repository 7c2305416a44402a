//! PUBLISH: an Application Message on its way.
//!
//! ```text
//!   first byte: 0011 DUP QoS QoS RETAIN
//!  | Topic Name | Packet Identifier (QoS 1, 2) | properties (5.0) | payload, to the end |
//! ```
//!
//! This is the packet that matters for speed. The payload is never looked at, the topic once.

use std::num::NonZeroU16;

use super::context::{Context, Sender};
use super::error::{DecodeError, EncodeError};
use super::forwarded::Forwarded;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::qos::QoS;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::section::{Section, Stretch};
use super::sink::{self, Layout, PropertySection, Sink};
use super::subscription_ids::{SubscriptionIds, check_subscription_id};
use super::user_properties::UserProperties;
use super::version::Version;
use crate::topic::name;

/// An Application Message with its delivery flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a repetition. Never with QoS 0 `[MQTT5-3.3.1-2]`.
    pub dup: bool,
    /// The QoS of this one delivery, from this sender to this receiver.
    pub qos: QoS,
    /// From a client: whether the server is to keep the message for its topic. From a server: whether
    /// it was kept, or as published for a subscription that asks for that.
    pub retain: bool,
    /// A well-formed Topic Name; empty (5.0 only) when a Topic Alias stands for it.
    pub topic: &'a str,
    /// `Some` exactly with QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// In 3.x the default.
    pub properties: PublishProperties<'a>,
    /// Whatever the application sends; may be empty. Only the size of the packet bounds it.
    pub payload: &'a [u8],
}

/// The properties of a PUBLISH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// `Some(true)`: the payload is UTF-8 text.
    pub payload_format: Option<bool>,
    /// The message's lifetime in seconds.
    pub message_expiry: Option<u32>,
    /// Names the topic on this connection. Whether it is within the maximum is for the session.
    pub topic_alias: Option<NonZeroU16>,
    /// A well-formed Topic Name.
    pub response_topic: Option<&'a str>,
    /// By which the requester knows the response again; up to 65,535 bytes.
    pub correlation_data: Option<&'a [u8]>,
    /// What the payload is, in words that its sender and receivers agree on (often a MIME type).
    pub content_type: Option<&'a str>,
    /// Only from a server `[MQTT5-3.3.4-6]`.
    pub subscription_ids: SubscriptionIds<'a>,
    /// Pairs of name and value that travel with the message, in their order `[MQTT5-3.3.2-18]`.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Publish<'a> {
    #[inline]
    pub(super) fn decode(
        flags: u8,
        body: &'a [u8],
        context: &Context,
    ) -> Result<Publish<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        // The fixed header was checked: QoS 3 does not get here [MQTT5-3.3.1-4].
        let qos = QoS::from_bits((flags >> 1) & 0b11).unwrap_or_default();
        // [MQTT5-3.3.2-1] [MQTT311-3.3.2-1]
        let topic = reader.unchecked_string()?;
        // [MQTT5-2.2.1-2] [MQTT311-2.3.1-5]
        let packet_id = if qos == QoS::AtMostOnce {
            None
        } else {
            Some(reader.packet_id()?)
        };
        let properties = match context.version {
            Version::V5 => PublishProperties::open(&mut reader, context.sender)?,
            Version::V31 | Version::V311 => PublishProperties::default(),
        };
        // [MQTT5-3.3.2-2] [MQTT311-3.3.2-2]
        if !topic.is_empty() || context.version < Version::V5 {
            name::check(topic).map_err(DecodeError::topic)?;
        } else if properties.topic_alias.is_none() {
            // Section 3.3.2.1.
            return Err(DecodeError::protocol(
                "neither a Topic Name nor a Topic Alias",
            ));
        }
        Ok(Publish {
            dup: flags & 0b1000 != 0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags & 0b0001 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Appends the packet. In 3.x the properties are left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. No form has: a Packet Identifier with QoS 0 or none with QoS 1 and 2,
    /// and an empty topic in 3.x or without an alias.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }
}

impl Layout for Publish<'_> {
    fn first_byte(&self) -> u8 {
        first_byte(self.dup, self.qos, self.retain)
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.packet_id.is_some() != (self.qos != QoS::AtMostOnce) {
            sink.fault(EncodeError::NoForm(
                "a Packet Identifier belongs to QoS 1 and 2",
            ));
        }
        let alias = version == Version::V5 && self.properties.topic_alias.is_some();
        if self.topic.is_empty() && !alias {
            sink.fault(EncodeError::NoForm("a PUBLISH without a topic"));
        }
        sink.string(self.topic);
        if let Some(packet_id) = self.packet_id {
            sink.u16(packet_id.get());
        }
        if version == Version::V5 {
            sink.section(&self.properties);
        }
        sink.bytes(self.payload);
    }
}

/// The first byte of a PUBLISH. DUP is left out with QoS 0 [MQTT5-3.3.1-2] [MQTT311-3.3.1-2].
#[inline]
pub(super) const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    let dup = dup && !matches!(qos, QoS::AtMostOnce);
    PacketType::Publish.first_byte() | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
}

impl<'a> PublishProperties<'a> {
    /// Reads a section with its length. Nearly all are empty, which costs one comparison.
    #[inline]
    fn open(reader: &mut Reader<'a>, sender: Sender) -> Result<PublishProperties<'a>, DecodeError> {
        if reader.rest().first() == Some(&0) {
            reader.take(1)?;
            return Ok(PublishProperties::default());
        }
        PublishProperties::read(Section::open(reader)?, sender)
    }

    fn read(section: Section<'a>, sender: Sender) -> Result<PublishProperties<'a>, DecodeError> {
        let mut section = section.repeatable(PropertyId::SubscriptionIdentifier);
        let mut properties = PublishProperties::default();
        let mut subscription_ids = Stretch::default();
        while let Some(id) = section.next_id()? {
            match id {
                PropertyId::PayloadFormatIndicator => {
                    properties.payload_format = Some(section.flag()?);
                }
                PropertyId::MessageExpiryInterval => {
                    properties.message_expiry = Some(section.u32()?);
                }
                PropertyId::TopicAlias => {
                    properties.topic_alias = Some(read_alias(section.u16()?)?);
                }
                PropertyId::ResponseTopic => {
                    properties.response_topic = Some(section.topic_name()?);
                }
                PropertyId::CorrelationData => {
                    properties.correlation_data = Some(section.binary()?);
                }
                PropertyId::ContentType => {
                    // [MQTT5-3.3.2-19]
                    properties.content_type = Some(section.string()?);
                }
                PropertyId::SubscriptionIdentifier => {
                    let id = section.variable()?;
                    // [MQTT5-3.3.4-6]
                    if sender == Sender::Client {
                        return Err(DecodeError::protocol("a client's Subscription Identifier"));
                    }
                    check_subscription_id(id)?;
                    subscription_ids.extend(section.start(), section.rest());
                }
                PropertyId::UserProperty => section.user_property()?,
                _ => return section.not_allowed(),
            }
        }
        properties.subscription_ids = SubscriptionIds::validated(subscription_ids.bytes());
        properties.user_properties = section.user_properties();
        Ok(properties)
    }

    /// Reads what [`PublishProperties::write_forwarded`] wrote, or any property section without
    /// its length that a server may send in a PUBLISH.
    ///
    /// # Errors
    ///
    /// When the bytes are something else.
    pub fn parse_forwarded(bytes: &'a [u8]) -> Result<PublishProperties<'a>, DecodeError> {
        PublishProperties::read(Section::of(bytes), Sender::Server)
    }

    const fn forwarded(&self) -> Forwarded<'a> {
        Forwarded {
            payload_format: self.payload_format,
            content_type: self.content_type,
            response_topic: self.response_topic,
            correlation_data: self.correlation_data,
            user_properties: self.user_properties,
        }
    }

    /// How many bytes [`PublishProperties::write_forwarded`] appends.
    pub fn forwarded_len(&self) -> usize {
        self.forwarded().len()
    }

    /// Appends, in wire form and always in the same order, the properties that a server passes on
    /// unaltered: payload format, content type, response topic, correlation data and the User
    /// Properties in their own order. Not the expiry, the alias and the Subscription Identifiers,
    /// which are of one hop. The result is what
    /// [`PublishFrame::forwarded`](super::publish_frame::PublishFrame::forwarded) takes.
    pub fn write_forwarded(&self, out: &mut Vec<u8>) {
        self.forwarded().write(out);
    }
}

fn read_alias(value: u16) -> Result<NonZeroU16, DecodeError> {
    // [MQTT5-3.3.2-8]
    NonZeroU16::new(value)
        .ok_or(const { DecodeError::with(ReasonCode::TopicAliasInvalid, "the Topic Alias is 0") })
}

impl PropertySection for PublishProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry);
        sink.u16_property(
            PropertyId::TopicAlias,
            self.topic_alias.map(NonZeroU16::get),
        );
        self.subscription_ids.write(sink);
        self.forwarded().write(sink);
    }
}

#[cfg(test)]
mod tests;
