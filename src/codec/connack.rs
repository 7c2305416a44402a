//! CONNACK: the server's answer to CONNECT.
//!
//! ```text
//!  | flags: 0000000 session present | Reason Code | properties (5.0) |
//! ```
//!
//! The packet model has one [`ReasonCode`]; in 3.x it is translated to and from the return codes
//! 0 to 5. [MQTT5-3.2.2-8]

use std::num::{NonZeroU16, NonZeroU32};

use super::context::Sender;
use super::error::{DecodeError, EncodeError};
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::qos::QoS;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::section::Section;
use super::sink::{self, Layout, PropertySection, Sink};
use super::user_properties::UserProperties;
use super::version::Version;

/// The answer to a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Whether the server resumes a session. Never with an error code `[MQTT5-3.2.2-6]`; not
    /// told to 3.1 clients, whose CONNACK has no such flag.
    pub session_present: bool,
    /// `Success`, or why the client is turned away: an error, after which the server closes.
    pub code: ReasonCode,
    /// In 3.x the default.
    pub properties: ConnackProperties<'a>,
}

/// The properties of a CONNACK: what the server grants and what it cannot do. `None` means the
/// specification's default, which stands beside each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnackProperties<'a> {
    /// Seconds; default: what the client asked for.
    pub session_expiry: Option<u32>,
    /// How many QoS 1 and 2 PUBLISH the server takes unacknowledged; default 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// Default QoS 2. On the wire only 0 or 1.
    pub maximum_qos: Option<QoS>,
    /// Default `true`.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes; default: no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The Client Identifier the server made up; default: the client's own.
    pub assigned_client_id: Option<&'a str>,
    /// The highest Topic Alias the server takes; 0 is none at all.
    pub topic_alias_maximum: u16,
    /// Why, in words for a person who diagnoses; default: nothing is said.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the server, in its order; default: none.
    pub user_properties: UserProperties<'a>,
    /// Default `true`.
    pub wildcard_available: Option<bool>,
    /// Default `true`.
    pub subscription_ids_available: Option<bool>,
    /// Default `true`.
    pub shared_available: Option<bool>,
    /// Seconds; default: what the client asked for.
    pub server_keep_alive: Option<u16>,
    /// What the client should build its response topics from; only for one that asked for it. Default:
    /// the server does not say.
    pub response_information: Option<&'a str>,
    /// Which server to use instead, with `UseAnotherServer` and `ServerMoved`; default: the server does
    /// not say.
    pub server_reference: Option<&'a str>,
    /// The method of an enhanced authentication that has succeeded: that of the CONNECT; default: there
    /// was none.
    pub authentication_method: Option<&'a str>,
    /// The last word of that method, up to 65,535 bytes; only together with a method.
    pub authentication_data: Option<&'a [u8]>,
}

impl<'a> Connack<'a> {
    /// A CONNACK with this code and nothing else: most refusals.
    pub fn refusal(code: ReasonCode) -> Connack<'a> {
        Connack {
            session_present: false,
            code,
            properties: ConnackProperties::default(),
        }
    }

    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Connack<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        // [MQTT5-3.2.2-1]. 3.1 has no flags: all eight bits are reserved.
        let session_present = match (reader.u8()?, version) {
            (0, _) => false,
            (1, Version::V311 | Version::V5) => true,
            _ => {
                return Err(DecodeError::malformed(
                    "reserved flags of a CONNACK are set",
                ));
            }
        };
        let byte = reader.u8()?;
        let (code, properties) = if version == Version::V5 {
            // [MQTT5-3.2.2-8]
            let code = ReasonCode::read(byte, PacketType::Connack, Sender::Server)?;
            (code, ConnackProperties::read(Section::open(&mut reader)?)?)
        } else {
            let code = ReasonCode::from_connack_v3(byte)
                .ok_or(const { DecodeError::protocol("a reserved return code") })?;
            (code, ConnackProperties::default())
        };
        // [MQTT5-3.2.2-6] [MQTT311-3.2.2-4]
        if session_present && code.is_error() {
            return Err(DecodeError::protocol("a refusal with Session Present"));
        }
        reader.finish()?;
        Ok(Connack {
            session_present,
            code,
            properties,
        })
    }

    /// Appends the packet. In 3.x the properties are left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. A code that [`ReasonCode::connack_v3`] has nothing for has no form in
    /// 3.x.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }

    /// How many bytes [`Connack::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        sink::encoded_len(self, version)
    }
}

impl Layout for Connack<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Connack.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        // [MQTT5-3.2.2-6] [MQTT311-3.2.2-4]
        let present = self.session_present && !self.code.is_error() && version > Version::V31;
        sink.u8(u8::from(present));
        if version == Version::V5 {
            sink.u8(self.code as u8);
            sink.section(&self.properties);
        } else {
            // [MQTT311-3.2.2-6]
            let code = self.code.connack_v3();
            if code.is_none() {
                sink.fault(EncodeError::NoForm("a Reason Code without a return code"));
            }
            sink.u8(code.unwrap_or_default());
        }
    }
}

impl<'a> ConnackProperties<'a> {
    fn read(mut section: Section<'a>) -> Result<ConnackProperties<'a>, DecodeError> {
        use PropertyId as Id;
        let mut to = ConnackProperties::default();
        while let Some(id) = section.next_id()? {
            match id {
                Id::SessionExpiryInterval => to.session_expiry = Some(section.u32()?),
                Id::ReceiveMaximum => to.receive_maximum = Some(section.nonzero_u16()?),
                Id::MaximumQos => {
                    let qos = if section.flag()? {
                        QoS::AtLeastOnce
                    } else {
                        QoS::AtMostOnce
                    };
                    to.maximum_qos = Some(qos);
                }
                Id::RetainAvailable => to.retain_available = Some(section.flag()?),
                Id::MaximumPacketSize => to.maximum_packet_size = Some(section.nonzero_u32()?),
                Id::AssignedClientIdentifier => to.assigned_client_id = Some(section.string()?),
                Id::TopicAliasMaximum => to.topic_alias_maximum = section.u16()?,
                Id::ReasonString => to.reason_string = Some(section.string()?),
                Id::UserProperty => section.user_property()?,
                Id::WildcardSubscriptionAvailable => {
                    to.wildcard_available = Some(section.flag()?);
                }
                Id::SubscriptionIdentifierAvailable => {
                    to.subscription_ids_available = Some(section.flag()?);
                }
                Id::SharedSubscriptionAvailable => to.shared_available = Some(section.flag()?),
                Id::ServerKeepAlive => to.server_keep_alive = Some(section.u16()?),
                Id::ResponseInformation => to.response_information = Some(section.string()?),
                Id::ServerReference => to.server_reference = Some(section.string()?),
                Id::AuthenticationMethod => to.authentication_method = Some(section.string()?),
                Id::AuthenticationData => to.authentication_data = Some(section.binary()?),
                _ => return section.not_allowed(),
            }
        }
        to.user_properties = section.user_properties();
        Ok(to)
    }
}

impl PropertySection for ConnackProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        use PropertyId as Id;
        sink.u32_property(Id::SessionExpiryInterval, self.session_expiry);
        sink.u16_property(
            Id::ReceiveMaximum,
            self.receive_maximum.map(NonZeroU16::get),
        );
        let maximum_qos = match self.maximum_qos {
            Some(QoS::AtMostOnce) => Some(false),
            Some(QoS::AtLeastOnce) => Some(true),
            // The default, and the one value that must not be said.
            Some(QoS::ExactlyOnce) | None => None,
        };
        sink.flag_property(Id::MaximumQos, maximum_qos);
        sink.flag_property(Id::RetainAvailable, self.retain_available);
        sink.u32_property(
            Id::MaximumPacketSize,
            self.maximum_packet_size.map(NonZeroU32::get),
        );
        sink.string_property(Id::AssignedClientIdentifier, self.assigned_client_id);
        let alias_maximum = (self.topic_alias_maximum != 0).then_some(self.topic_alias_maximum);
        sink.u16_property(Id::TopicAliasMaximum, alias_maximum);
        sink.string_property(Id::ReasonString, self.reason_string);
        self.user_properties.write(sink);
        sink.flag_property(Id::WildcardSubscriptionAvailable, self.wildcard_available);
        sink.flag_property(
            Id::SubscriptionIdentifierAvailable,
            self.subscription_ids_available,
        );
        sink.flag_property(Id::SharedSubscriptionAvailable, self.shared_available);
        sink.u16_property(Id::ServerKeepAlive, self.server_keep_alive);
        sink.string_property(Id::ResponseInformation, self.response_information);
        sink.string_property(Id::ServerReference, self.server_reference);
        sink.string_property(Id::AuthenticationMethod, self.authentication_method);
        sink.binary_property(Id::AuthenticationData, self.authentication_data);
    }
}

#[cfg(test)]
mod tests;
