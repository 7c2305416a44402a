//! DISCONNECT: the last packet of a connection, in 5.0 from either side.
//!
//! ```text
//!  | Reason Code (5.0) | properties (5.0) |
//!    ^ both may be left out when the code is Success and there are none;
//!      the properties alone when there are none
//! ```

use super::context::{Context, Sender};
use super::error::{DecodeError, EncodeError};
use super::packet_type::PacketType;
use super::property::PropertyId;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::section::Section;
use super::sink::{self, Layout, PropertySection, Sink};
use super::user_properties::UserProperties;
use super::version::Version;

/// A farewell, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// `Success` is "Normal disconnection". In 3.x always that.
    pub code: ReasonCode,
    /// Seconds. Only from a client `[MQTT5-3.14.2-2]`.
    pub session_expiry: Option<u32>,
    /// Why, in words for a person who diagnoses. Left out in 3.x.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the sender, in its order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
    /// Only from a server.
    pub server_reference: Option<&'a str>,
}

impl<'a> Disconnect<'a> {
    /// A farewell with this code and nothing else.
    pub fn new(code: ReasonCode) -> Disconnect<'a> {
        Disconnect {
            code,
            session_expiry: None,
            reason_string: None,
            user_properties: UserProperties::default(),
            server_reference: None,
        }
    }

    pub(super) fn decode(body: &'a [u8], context: &Context) -> Result<Disconnect<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        if reader.is_empty() || context.version < Version::V5 {
            return reader
                .finish()
                .map(|()| Disconnect::new(ReasonCode::Success));
        }
        // [MQTT5-3.14.2-1]
        let code = ReasonCode::read(reader.u8()?, PacketType::Disconnect, context.sender)?;
        let mut disconnect = Disconnect::new(code);
        if !reader.is_empty() {
            disconnect.read_properties(Section::open(&mut reader)?, context.sender)?;
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn read_properties(
        &mut self,
        mut section: Section<'a>,
        sender: Sender,
    ) -> Result<(), DecodeError> {
        while let Some(id) = section.next_id()? {
            match (id, sender) {
                (PropertyId::SessionExpiryInterval, Sender::Client) => {
                    self.session_expiry = Some(section.u32()?);
                }
                (PropertyId::ServerReference, Sender::Server) => {
                    self.server_reference = Some(section.string()?);
                }
                (PropertyId::ReasonString, _) => self.reason_string = Some(section.string()?),
                (PropertyId::UserProperty, _) => section.user_property()?,
                // DISCONNECT may carry these, only not from this side [MQTT5-3.14.2-2].
                (PropertyId::SessionExpiryInterval | PropertyId::ServerReference, _) => {
                    return Err(DecodeError::protocol(
                        "a property that the other side sends",
                    ));
                }
                _ => return section.not_allowed(),
            }
        }
        self.user_properties = section.user_properties();
        Ok(())
    }

    /// Appends the packet. In 3.x the properties are left out.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. In 3.x a code other than `Success` has no form.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        sink::encode(self, version, out)
    }

    /// How many bytes [`Disconnect::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        sink::encoded_len(self, version)
    }

    fn has_properties(&self) -> bool {
        self.session_expiry.is_some()
            || self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty()
    }
}

impl Layout for Disconnect<'_> {
    fn first_byte(&self) -> u8 {
        PacketType::Disconnect.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if version < Version::V5 {
            if self.code != ReasonCode::Success {
                sink.fault(EncodeError::NoForm("a DISCONNECT with a reason"));
            }
        } else if self.has_properties() {
            sink.u8(self.code as u8);
            sink.section(self);
        } else if self.code != ReasonCode::Success {
            sink.u8(self.code as u8);
        }
    }
}

impl PropertySection for Disconnect<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry);
        sink.string_property(PropertyId::ReasonString, self.reason_string);
        self.user_properties.write(sink);
        sink.string_property(PropertyId::ServerReference, self.server_reference);
    }
}

#[cfg(test)]
mod tests;
