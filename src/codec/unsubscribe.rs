//! UNSUBSCRIBE and UNSUBACK.
//!
//! ```text
//!  UNSUBSCRIBE  | Packet Identifier | properties (5.0) | ( Topic Filter )+ |
//!  UNSUBACK     | Packet Identifier | properties (5.0) | ( Reason Code )+ (5.0) |
//! ```

use super::error::{DecodeError, EncodeError};
use super::filters::UnsubscribeFilters;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::reason_properties::ReasonProperties;
use super::section::Section;
use super::sink::{self, Layout, Sink};
use super::user_properties::UserProperties;
use super::version::Version;

/// The request to end subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Which the UNSUBACK names again; not that of anything else under way from this client.
    pub packet_id: PacketId,
    /// Pairs of name and value for whoever handles the request, in their order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
    /// At least one.
    pub filters: UnsubscribeFilters<'a>,
}

/// The answer to an UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// That of the UNSUBSCRIBE `[MQTT5-2.2.1-6]`.
    pub packet_id: PacketId,
    /// Why, in words for a person who diagnoses. Left out in 3.x.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the sender, in its order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
    /// One Reason Code per filter, in the filters' order `[MQTT5-3.11.3-1]`. Empty in 3.x, whose
    /// UNSUBACK has none.
    pub codes: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Unsubscribe<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let user_properties = match version {
            Version::V5 => read_properties(Section::open(&mut reader)?)?,
            Version::V31 | Version::V311 => UserProperties::default(),
        };
        let filters = UnsubscribeFilters::read(reader)?;
        Ok(Unsubscribe {
            packet_id,
            user_properties,
            filters,
        })
    }

    /// Appends the packet. In 3.x the properties are left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. An empty list of filters has no form.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }
}

fn read_properties<'a>(mut section: Section<'a>) -> Result<UserProperties<'a>, DecodeError> {
    while let Some(id) = section.next_id()? {
        match id {
            PropertyId::UserProperty => section.user_property()?,
            _ => return section.not_allowed(),
        }
    }
    Ok(section.user_properties())
}

impl Layout for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Unsubscribe.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        if version == Version::V5 {
            sink.section(&ReasonProperties {
                reason_string: None,
                user_properties: self.user_properties,
            });
        }
        self.filters.write(sink);
    }
}

impl<'a> Unsuback<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Unsuback<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        if version < Version::V5 {
            reader.finish()?;
            let ReasonProperties {
                reason_string,
                user_properties,
            } = ReasonProperties::default();
            return Ok(Unsuback {
                packet_id,
                reason_string,
                user_properties,
                codes: &[],
            });
        }
        let ReasonProperties {
            reason_string,
            user_properties,
        } = ReasonProperties::read(Section::open(&mut reader)?)?;
        let codes = reader.rest();
        // [MQTT5-3.11.3-2]
        let in_table = |&code: &u8| {
            ReasonCode::from_byte(code).is_some_and(|code| code.allowed_in(PacketType::Unsuback))
        };
        if codes.is_empty() || !codes.iter().all(in_table) {
            return Err(DecodeError::protocol(
                "no Reason Code, or one that is not in the table",
            ));
        }
        Ok(Unsuback {
            packet_id,
            reason_string,
            user_properties,
            codes,
        })
    }

    /// Appends the packet. In 3.x everything but the Packet Identifier is left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. An empty list of codes has no form in 5.0.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }

    /// How many bytes [`Unsuback::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        sink::encoded_len(self, version)
    }
}

impl Layout for Unsuback<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Unsuback.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        if version < Version::V5 {
            return;
        }
        if self.codes.is_empty() {
            sink.fault(EncodeError::NoForm("an UNSUBACK without a Reason Code"));
        }
        sink.section(&ReasonProperties {
            reason_string: self.reason_string,
            user_properties: self.user_properties,
        });
        sink.bytes(self.codes);
    }
}

#[cfg(test)]
mod tests;
