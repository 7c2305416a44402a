//! AUTH: a step of an enhanced authentication. MQTT 5.0 only.
//!
//! ```text
//!  | Reason Code | properties |     or nothing at all, which means Success
//! ```

use super::context::Context;
use super::error::{DecodeError, EncodeError};
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::section::Section;
use super::sink::{self, Layout, PropertySection, Sink};
use super::user_properties::UserProperties;
use super::version::Version;

/// A step of an enhanced authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Whether to go on (0x18), to begin again (0x19, from a client), or that it has succeeded (from
    /// a server).
    pub code: ReasonCode,
    /// The Authentication Method. `None` only when a server says `Success` and nothing else, which
    /// the specification allows although it calls an AUTH without a method a Protocol Error.
    pub method: Option<&'a str>,
    /// Whatever the method exchanges; up to 65,535 bytes that only the method understands.
    pub data: Option<&'a [u8]>,
    /// Why, in words for a person who diagnoses.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the sender, in its order.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(body: &'a [u8], context: &Context) -> Result<Auth<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let byte = if reader.is_empty() {
            ReasonCode::Success as u8
        } else {
            reader.u8()?
        };
        // [MQTT5-3.15.2-1] [MQTT5-4.12.0-2] [MQTT5-4.12.0-3]
        let code = ReasonCode::read(byte, PacketType::Auth, context.sender)?;
        let mut auth = Auth {
            code,
            method: None,
            data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        if !body.is_empty() {
            auth.read_properties(Section::open(&mut reader)?)?;
        }
        reader.finish()?;
        Ok(auth)
    }

    fn read_properties(&mut self, mut section: Section<'a>) -> Result<(), DecodeError> {
        while let Some(id) = section.next_id()? {
            match id {
                PropertyId::AuthenticationMethod => self.method = Some(section.string()?),
                PropertyId::AuthenticationData => self.data = Some(section.binary()?),
                PropertyId::ReasonString => self.reason_string = Some(section.string()?),
                PropertyId::UserProperty => section.user_property()?,
                _ => return section.not_allowed(),
            }
        }
        self.user_properties = section.user_properties();
        // Section 3.15.2.2.2, and section 3.15.2.1 for the exception.
        if self.method.is_none() && !self.is_bare() {
            return Err(DecodeError::protocol(
                "an AUTH without an Authentication Method",
            ));
        }
        Ok(())
    }

    /// Appends the packet.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. There is no AUTH in 3.x, and none without a method unless it says
    /// `Success` and nothing else.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }

    fn is_bare(&self) -> bool {
        self.code == ReasonCode::Success
            && self.method.is_none()
            && self.data.is_none()
            && self.reason_string.is_none()
            && self.user_properties.is_empty()
    }
}

impl Layout for Auth<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Auth.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if version < Version::V5 {
            sink.fault(EncodeError::NoForm("an AUTH"));
        }
        if self.is_bare() {
            return;
        }
        if self.method.is_none() {
            sink.fault(EncodeError::NoForm(
                "an AUTH without an Authentication Method",
            ));
        }
        sink.u8(self.code as u8);
        sink.section(self);
    }
}

impl PropertySection for Auth<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.string_property(PropertyId::AuthenticationMethod, self.method);
        sink.binary_property(PropertyId::AuthenticationData, self.data);
        sink.string_property(PropertyId::ReasonString, self.reason_string);
        self.user_properties.write(sink);
    }
}

#[cfg(test)]
mod tests;
