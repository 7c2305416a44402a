//! CONNECT: the first packet of a connection, and the only one that names its own version.
//!
//! ```text
//!  | name: "MQTT" or "MQIsdp" | level | flags | keep alive | properties (5.0) |
//!  | Client Identifier | will properties (5.0) | Will Topic | Will Payload | User Name | Password |
//!
//!  flags:  7 user name | 6 password | 5 will retain | 4-3 will QoS | 2 will | 1 clean start | 0
//! ```
//!
//! The flags say which of the payload's fields are there. What the fields *mean* (an empty Client
//! Identifier, a password that is wrong) is not the codec's business.

use std::num::{NonZeroU16, NonZeroU32};

use super::error::{DecodeError, EncodeError};
use super::forwarded::Forwarded;
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::qos::QoS;
use super::reader::{Reader, Variable};
use super::reason::ReasonCode;
use super::section::Section;
use super::sink::{self, Layout, PropertySection, Sink};
use super::user_properties::UserProperties;
use super::version::Version;
use crate::topic::name;

/// The request to open a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// The top bit of the level byte in 3.x, by which bridges of other brokers announce
    /// themselves. Always `false` in 5.0, which has subscription options for what it was for.
    pub bridge: bool,
    /// Clean Start; 3.x calls it Clean Session and lets it govern the end of the session too.
    pub clean_start: bool,
    /// Seconds between two packets of the client at most; 0 switches the check off.
    pub keep_alive: u16,
    /// May be empty.
    pub client_id: &'a str,
    /// What to publish in the client's name when it goes without a word, if anything.
    pub will: Option<Will<'a>>,
    /// Who the client says it is, for authentication and authorisation.
    pub user_name: Option<&'a str>,
    /// Proof of that, as bytes: up to 65,535 of anything. In 3.x only together with a user name.
    pub password: Option<&'a [u8]>,
    /// In 3.x the default.
    pub properties: ConnectProperties<'a>,
}

/// The properties of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// Seconds; absent is 0, `u32::MAX` is for ever.
    pub session_expiry: Option<u32>,
    /// How many QoS 1 and 2 PUBLISH the client takes unacknowledged; absent is 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes; absent is no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest Topic Alias the client takes; 0 is none at all.
    pub topic_alias_maximum: u16,
    /// Whether the client would like Response Information in the CONNACK. Default `false`.
    pub request_response_information: bool,
    /// Whether Reason Strings and User Properties may come on every packet. Default `true`.
    pub request_problem_information: bool,
    /// Pairs of name and value for whoever handles the connection, in their order.
    pub user_properties: UserProperties<'a>,
    /// The method of an enhanced authentication; absent: user name and password are all there is.
    pub authentication_method: Option<&'a str>,
    /// Only together with a method.
    pub authentication_data: Option<&'a [u8]>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        ConnectProperties {
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// The message to publish when the connection ends without a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The QoS to publish it at.
    pub qos: QoS,
    /// Whether to publish it as a retained message.
    pub retain: bool,
    /// A well-formed Topic Name.
    pub topic: &'a str,
    /// Up to 65,535 bytes; may be empty.
    pub payload: &'a [u8],
    /// In 3.x the default.
    pub properties: WillProperties<'a>,
}

/// The properties of a will: its delay, and those of the PUBLISH it becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WillProperties<'a> {
    /// Seconds to wait after the connection's end.
    pub delay: u32,
    /// `Some(true)`: the payload is UTF-8 text.
    pub payload_format: Option<bool>,
    /// Seconds, counted from the publication of the will.
    pub message_expiry: Option<u32>,
    /// What the payload is, in words that its sender and receivers agree on (often a MIME type).
    pub content_type: Option<&'a str>,
    /// A well-formed Topic Name.
    pub response_topic: Option<&'a str>,
    /// By which the requester knows the response again; up to 65,535 bytes.
    pub correlation_data: Option<&'a [u8]>,
    /// Pairs of name and value that are published with the will, in their order.
    pub user_properties: UserProperties<'a>,
}

const USER_NAME: u8 = 0b1000_0000;
const PASSWORD: u8 = 0b0100_0000;
const WILL_RETAIN: u8 = 0b0010_0000;
const WILL_QOS: u8 = 0b0001_1000;
const WILL: u8 = 0b0000_0100;
const CLEAN_START: u8 = 0b0000_0010;
const RESERVED: u8 = 0b0000_0001;

/// Set in the level byte of a 3.x CONNECT by a bridge.
const BRIDGE: u8 = 0x80;

/// The version that a CONNECT claims, however bad the rest of it is or how much is missing, so
/// that a refusal can be put into a CONNACK that the client understands. `None`: it is no CONNECT
/// of any MQTT, or too little of it is there; close without an answer.
///
/// A version the broker does not speak gives the nearest that it does: 5.0 for a later one, else
/// 3.1.1.
pub fn connect_version(input: &[u8]) -> Option<Version> {
    let (&first, rest) = input.split_first()?;
    if PacketType::from_first_byte(first) != Some(PacketType::Connect) {
        return None;
    }
    let Variable::Whole { value, length } = Variable::read(rest) else {
        return None;
    };
    // What follows the packet is not its own, however short it is.
    let body = rest.get(length..)?;
    let mut reader = Reader::new(body.get(..value as usize).unwrap_or(body));
    let name = reader.binary().ok()?;
    let level = reader.u8().ok()?;
    match known_version(name, level) {
        Some((version, _)) => Some(version),
        None if name == b"MQTT" && (6..BRIDGE).contains(&level) => Some(Version::V5),
        None if name == b"MQTT" || name == b"MQIsdp" => Some(Version::V311),
        None => None,
    }
}

/// The version of a Protocol Name and level, and whether the level says "bridge".
fn known_version(name: &[u8], level: u8) -> Option<(Version, bool)> {
    let bridge = level & BRIDGE != 0;
    match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Some((Version::V31, bridge)),
        (b"MQTT", 4) => Some((Version::V311, bridge)),
        (b"MQTT", 5) if !bridge => Some((Version::V5, false)),
        _ => None,
    }
}

impl<'a> Connect<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Connect<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        // [MQTT5-3.1.2-1] [MQTT5-3.1.2-2] [MQTT311-3.1.2-1] [MQTT311-3.1.2-2]
        let (version, bridge) = known_version(reader.binary()?, reader.u8()?).ok_or(
            const {
                DecodeError::with(
                    ReasonCode::UnsupportedProtocolVersion,
                    "a protocol name or version that is not spoken here",
                )
            },
        )?;
        let flags = reader.u8()?;
        let will_qos = check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = match version {
            Version::V5 => ConnectProperties::read(Section::open(&mut reader)?)?,
            Version::V31 | Version::V311 => ConnectProperties::default(),
        };
        // [MQTT5-3.1.3-1] [MQTT5-3.1.3-3] [MQTT5-3.1.3-4] [MQTT311-3.1.3-1] [MQTT311-3.1.3-3]
        // [MQTT311-3.1.3-4]
        let client_id = reader.string()?;
        // [MQTT5-3.1.2-9] [MQTT311-3.1.2-9]
        let will = if flags & WILL != 0 {
            Some(Will::read(
                &mut reader,
                version,
                will_qos,
                flags & WILL_RETAIN != 0,
            )?)
        } else {
            None
        };
        // [MQTT5-3.1.2-16] [MQTT5-3.1.2-17] [MQTT311-3.1.2-18] [MQTT311-3.1.2-19]
        // [MQTT5-3.1.3-12] [MQTT311-3.1.3-11]. 3.1 lets a CONNECT end before a field that its
        // flags announce; that is refused, because a cut-off packet looks the same.
        let user_name = if flags & USER_NAME != 0 {
            Some(reader.string()?)
        } else {
            None
        };
        // [MQTT5-3.1.2-18] [MQTT5-3.1.2-19] [MQTT311-3.1.2-20] [MQTT311-3.1.2-21]
        let password = if flags & PASSWORD != 0 {
            Some(reader.binary()?)
        } else {
            None
        };
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Connect {
            version,
            bridge,
            clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Appends the packet in the form of its own version.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. A password without a user name has no form in 3.x.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, self.version, out)
    }

    fn flags(&self) -> u8 {
        let will = self.will.map_or(0, |will| {
            WILL | (will.qos as u8) << 3 | if will.retain { WILL_RETAIN } else { 0 }
        });
        will | if self.user_name.is_some() {
            USER_NAME
        } else {
            0
        } | if self.password.is_some() { PASSWORD } else { 0 }
            | if self.clean_start { CLEAN_START } else { 0 }
    }
}

/// Refuses flags that contradict each other, and returns the will's QoS.
fn check_flags(flags: u8, version: Version) -> Result<QoS, DecodeError> {
    // [MQTT5-3.1.2-3] [MQTT311-3.1.2-3]
    // 3.1 leaves the bit without a meaning.
    if flags & RESERVED != 0 && version != Version::V31 {
        return Err(DecodeError::malformed("the reserved connect flag is set"));
    }
    // [MQTT5-3.1.2-12] [MQTT311-3.1.2-14]
    let will_qos = QoS::from_bits((flags & WILL_QOS) >> 3)
        .ok_or(const { DecodeError::malformed("a will with QoS 3") })?;
    // [MQTT5-3.1.2-11] [MQTT5-3.1.2-13] [MQTT311-3.1.2-11] [MQTT311-3.1.2-13] [MQTT311-3.1.2-15]
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::malformed("will flags without a will"));
    }
    // [MQTT311-3.1.2-22]; 5.0 allows it [MQTT5-3.1.2-19].
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && version < Version::V5 {
        return Err(DecodeError::malformed("a password without a user name"));
    }
    Ok(will_qos)
}

impl Layout for Connect<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Connect.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        let bridge = self.bridge && version < Version::V5;
        sink.string(version.protocol_name());
        sink.u8(version.level() | if bridge { BRIDGE } else { 0 });
        sink.u8(self.flags());
        sink.u16(self.keep_alive);
        if version == Version::V5 {
            sink.section(&self.properties);
        } else if self.password.is_some() && self.user_name.is_none() {
            sink.fault(EncodeError::NoForm("a password without a user name"));
        }
        sink.string(self.client_id);
        if let Some(will) = &self.will {
            if version == Version::V5 {
                sink.section(&will.properties);
            }
            sink.string(will.topic);
            sink.binary(will.payload);
        }
        if let Some(user_name) = self.user_name {
            sink.string(user_name);
        }
        if let Some(password) = self.password {
            sink.binary(password);
        }
    }
}

impl<'a> ConnectProperties<'a> {
    fn read(mut section: Section<'a>) -> Result<ConnectProperties<'a>, DecodeError> {
        let mut properties = ConnectProperties::default();
        while let Some(id) = section.next_id()? {
            match id {
                PropertyId::SessionExpiryInterval => {
                    properties.session_expiry = Some(section.u32()?);
                }
                PropertyId::ReceiveMaximum => {
                    properties.receive_maximum = Some(section.nonzero_u16()?);
                }
                PropertyId::MaximumPacketSize => {
                    properties.maximum_packet_size = Some(section.nonzero_u32()?);
                }
                PropertyId::TopicAliasMaximum => properties.topic_alias_maximum = section.u16()?,
                PropertyId::RequestResponseInformation => {
                    properties.request_response_information = section.flag()?;
                }
                PropertyId::RequestProblemInformation => {
                    properties.request_problem_information = section.flag()?;
                }
                PropertyId::UserProperty => section.user_property()?,
                PropertyId::AuthenticationMethod => {
                    properties.authentication_method = Some(section.string()?);
                }
                PropertyId::AuthenticationData => {
                    properties.authentication_data = Some(section.binary()?);
                }
                _ => return section.not_allowed(),
            }
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::protocol(
                "Authentication Data without a method",
            ));
        }
        properties.user_properties = section.user_properties();
        Ok(properties)
    }
}

impl PropertySection for ConnectProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry);
        sink.u16_property(
            PropertyId::ReceiveMaximum,
            self.receive_maximum.map(NonZeroU16::get),
        );
        sink.u32_property(
            PropertyId::MaximumPacketSize,
            self.maximum_packet_size.map(NonZeroU32::get),
        );
        let alias_maximum = (self.topic_alias_maximum != 0).then_some(self.topic_alias_maximum);
        sink.u16_property(PropertyId::TopicAliasMaximum, alias_maximum);
        let response = self.request_response_information.then_some(true);
        sink.flag_property(PropertyId::RequestResponseInformation, response);
        let problem = (!self.request_problem_information).then_some(false);
        sink.flag_property(PropertyId::RequestProblemInformation, problem);
        self.user_properties.write(sink);
        sink.string_property(PropertyId::AuthenticationMethod, self.authentication_method);
        sink.binary_property(PropertyId::AuthenticationData, self.authentication_data);
    }
}

impl<'a> Will<'a> {
    fn read(
        reader: &mut Reader<'a>,
        version: Version,
        qos: QoS,
        retain: bool,
    ) -> Result<Will<'a>, DecodeError> {
        let properties = match version {
            Version::V5 => WillProperties::read(Section::open(reader)?)?,
            Version::V31 | Version::V311 => WillProperties::default(),
        };
        // [MQTT5-3.1.3-11] [MQTT311-3.1.3-10]
        let topic = reader.unchecked_string()?;
        name::check(topic).map_err(DecodeError::topic)?;
        let payload = reader.binary()?;
        Ok(Will {
            qos,
            retain,
            topic,
            payload,
            properties,
        })
    }
}

impl<'a> WillProperties<'a> {
    fn read(mut section: Section<'a>) -> Result<WillProperties<'a>, DecodeError> {
        let mut properties = WillProperties::default();
        while let Some(id) = section.next_id()? {
            match id {
                PropertyId::WillDelayInterval => properties.delay = section.u32()?,
                PropertyId::PayloadFormatIndicator => {
                    properties.payload_format = Some(section.flag()?);
                }
                PropertyId::MessageExpiryInterval => {
                    properties.message_expiry = Some(section.u32()?);
                }
                PropertyId::ContentType => properties.content_type = Some(section.string()?),
                PropertyId::ResponseTopic => {
                    properties.response_topic = Some(section.topic_name()?);
                }
                PropertyId::CorrelationData => {
                    properties.correlation_data = Some(section.binary()?);
                }
                PropertyId::UserProperty => section.user_property()?,
                _ => return section.not_allowed(),
            }
        }
        properties.user_properties = section.user_properties();
        Ok(properties)
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

    /// As [`PublishProperties::forwarded_len`](super::publish::PublishProperties::forwarded_len),
    /// for the message that the will becomes.
    pub fn forwarded_len(&self) -> usize {
        self.forwarded().len()
    }

    /// As [`PublishProperties::write_forwarded`](super::publish::PublishProperties::write_forwarded),
    /// for the message that the will becomes. The order of the User Properties is kept
    /// `[MQTT5-3.1.3-10]`.
    pub fn write_forwarded(&self, out: &mut Vec<u8>) {
        self.forwarded().write(out);
    }
}

impl PropertySection for WillProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let delay = (self.delay != 0).then_some(self.delay);
        sink.u32_property(PropertyId::WillDelayInterval, delay);
        sink.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry);
        self.forwarded().write(sink);
    }
}

#[cfg(test)]
mod tests;
