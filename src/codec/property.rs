//! The properties of MQTT 5.0 (section 2.2.2.2): their identifiers and the form of their values.

use super::error::DecodeError;
use super::reader::Reader;

/// The identifier of a property. Formally a Variable Byte Integer; all that are assigned fit one
/// byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PropertyId {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0B,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1A,
    ServerReference = 0x1C,
    ReasonString = 0x1F,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQos = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifierAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2A,
}

use PropertyId as Id;

impl PropertyId {
    pub(super) const fn from_byte(byte: u8) -> Option<PropertyId> {
        Some(match byte {
            0x01 => Id::PayloadFormatIndicator,
            0x02 => Id::MessageExpiryInterval,
            0x03 => Id::ContentType,
            0x08 => Id::ResponseTopic,
            0x09 => Id::CorrelationData,
            0x0B => Id::SubscriptionIdentifier,
            0x11 => Id::SessionExpiryInterval,
            0x12 => Id::AssignedClientIdentifier,
            0x13 => Id::ServerKeepAlive,
            0x15 => Id::AuthenticationMethod,
            0x16 => Id::AuthenticationData,
            0x17 => Id::RequestProblemInformation,
            0x18 => Id::WillDelayInterval,
            0x19 => Id::RequestResponseInformation,
            0x1A => Id::ResponseInformation,
            0x1C => Id::ServerReference,
            0x1F => Id::ReasonString,
            0x21 => Id::ReceiveMaximum,
            0x22 => Id::TopicAliasMaximum,
            0x23 => Id::TopicAlias,
            0x24 => Id::MaximumQos,
            0x25 => Id::RetainAvailable,
            0x26 => Id::UserProperty,
            0x27 => Id::MaximumPacketSize,
            0x28 => Id::WildcardSubscriptionAvailable,
            0x29 => Id::SubscriptionIdentifierAvailable,
            0x2A => Id::SharedSubscriptionAvailable,
            _ => return None,
        })
    }

    /// Moves the reader past a value of this property, looking no closer than needed for that.
    pub(super) fn skip(self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self {
            Id::PayloadFormatIndicator
            | Id::RequestProblemInformation
            | Id::RequestResponseInformation
            | Id::MaximumQos
            | Id::RetainAvailable
            | Id::WildcardSubscriptionAvailable
            | Id::SubscriptionIdentifierAvailable
            | Id::SharedSubscriptionAvailable => reader.take(1).map(drop),
            Id::ServerKeepAlive | Id::ReceiveMaximum | Id::TopicAliasMaximum | Id::TopicAlias => {
                reader.take(2).map(drop)
            }
            Id::MessageExpiryInterval
            | Id::SessionExpiryInterval
            | Id::WillDelayInterval
            | Id::MaximumPacketSize => reader.take(4).map(drop),
            Id::SubscriptionIdentifier => reader.variable().map(drop),
            Id::ContentType
            | Id::ResponseTopic
            | Id::CorrelationData
            | Id::AssignedClientIdentifier
            | Id::AuthenticationMethod
            | Id::AuthenticationData
            | Id::ResponseInformation
            | Id::ServerReference
            | Id::ReasonString => reader.binary().map(drop),
            Id::UserProperty => {
                reader.binary()?;
                reader.binary().map(drop)
            }
        }
    }

    /// The property's place in a set of properties.
    pub(super) const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}
