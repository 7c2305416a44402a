//! SUBSCRIBE and SUBACK.
//!
//! ```text
//!  SUBSCRIBE  | Packet Identifier | properties (5.0) | ( Topic Filter | options )+ |
//!  SUBACK     | Packet Identifier | properties (5.0) | ( Reason Code )+ |
//!
//!  options:  7-6 reserved | 5-4 Retain Handling | 3 Retain As Published | 2 No Local | 1-0 QoS
//!            (3.x: all but the QoS are reserved)
//! ```

use super::error::{DecodeError, EncodeError};
use super::filters::Filters;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::reason_properties::ReasonProperties;
use super::section::Section;
use super::sink::{self, Layout, PropertySection, Sink};
use super::subscription_ids::{check_subscription_id, write_subscription_id};
use super::user_properties::UserProperties;
use super::version::Version;

/// The request to receive messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Which the SUBACK names again; not that of anything else under way from this client.
    pub packet_id: PacketId,
    /// From 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// Pairs of name and value for whoever handles the request, in their order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
    /// At least one.
    pub filters: Filters<'a>,
}

/// The answer to a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    /// That of the SUBSCRIBE `[MQTT5-2.2.1-6]`.
    pub packet_id: PacketId,
    /// Why, in words for a person who diagnoses. Left out in 3.x.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the sender, in its order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
    /// One Reason Code per filter, in the filters' order `[MQTT5-3.9.3-1]`. Encoding for 3.x
    /// turns every error into 0x80, the only one there `[MQTT311-3.9.3-2]`.
    pub codes: &'a [u8],
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Subscribe<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let (subscription_id, user_properties) = match version {
            Version::V5 => read_properties(Section::open(&mut reader)?)?,
            Version::V31 | Version::V311 => Default::default(),
        };
        let filters = Filters::read(reader, version)?;
        Ok(Subscribe {
            packet_id,
            subscription_id,
            user_properties,
            filters,
        })
    }

    /// Appends the packet. In 3.x the properties are left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. No form has: an empty list of filters, a Subscription Identifier that
    /// is not from 1 to 268,435,455, and in 3.x options other than the QoS.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }
}

fn read_properties<'a>(
    mut section: Section<'a>,
) -> Result<(Option<u32>, UserProperties<'a>), DecodeError> {
    let mut subscription_id = None;
    while let Some(id) = section.next_id()? {
        match id {
            PropertyId::SubscriptionIdentifier => {
                subscription_id = Some(check_subscription_id(section.variable()?)?);
            }
            PropertyId::UserProperty => section.user_property()?,
            _ => return section.not_allowed(),
        }
    }
    Ok((subscription_id, section.user_properties()))
}

impl Layout for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Subscribe.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if matches!(self.subscription_id, Some(0)) {
            sink.fault(EncodeError::NoForm("a Subscription Identifier of 0"));
        }
        sink.u16(self.packet_id.get());
        if version == Version::V5 {
            sink.section(self);
        }
        self.filters.write(version, sink);
    }
}

impl PropertySection for Subscribe<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        if let Some(id) = self.subscription_id {
            write_subscription_id(id, sink);
        }
        self.user_properties.write(sink);
    }
}

impl<'a> Suback<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Suback<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let ReasonProperties {
            reason_string,
            user_properties,
        } = match version {
            Version::V5 => ReasonProperties::read(Section::open(&mut reader)?)?,
            Version::V31 | Version::V311 => ReasonProperties::default(),
        };
        let codes = reader.rest();
        let in_table = |&code: &u8| match version {
            // [MQTT5-3.9.3-2]
            Version::V5 => {
                ReasonCode::from_byte(code).is_some_and(|code| code.allowed_in(PacketType::Suback))
            }
            // [MQTT311-3.9.3-2]
            Version::V31 | Version::V311 => matches!(code, 0 | 1 | 2 | 0x80),
        };
        if codes.is_empty() || !codes.iter().all(in_table) {
            return Err(DecodeError::protocol(
                "no Reason Code, or one that is not in the table",
            ));
        }
        Ok(Suback {
            packet_id,
            reason_string,
            user_properties,
            codes,
        })
    }

    /// Appends the packet. In 3.x the properties are left out and every error becomes 0x80.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. An empty list of codes has no form.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }

    /// How many bytes [`Suback::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        sink::encoded_len(self, version)
    }
}

impl Layout for Suback<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Suback.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.codes.is_empty() {
            sink.fault(EncodeError::NoForm("a SUBACK without a Reason Code"));
        }
        sink.u16(self.packet_id.get());
        if version == Version::V5 {
            sink.section(&ReasonProperties {
                reason_string: self.reason_string,
                user_properties: self.user_properties,
            });
            sink.bytes(self.codes);
        } else {
            // [MQTT311-3.9.3-2]
            for &code in self.codes {
                sink.u8(code.min(0x80));
            }
        }
    }
}

#[cfg(test)]
mod tests;
