//! PUBACK, PUBREC, PUBREL and PUBCOMP: four packets of one form.
//!
//! ```text
//!  | Packet Identifier | Reason Code (5.0) | properties (5.0) |
//!                        ^ both may be left out when the code is Success and there are none;
//!                          the properties alone when there are none
//! ```

use super::context::Context;
use super::error::{DecodeError, EncodeError};
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::reason_properties::ReasonProperties;
use super::section::Section;
use super::sink::{self, Layout, Sink};
use super::user_properties::UserProperties;
use super::version::Version;

/// The body of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// That of the PUBLISH `[MQTT5-2.2.1-5]`.
    pub packet_id: PacketId,
    /// In 3.x always `Success`.
    pub code: ReasonCode,
    /// Why, in words for a person who diagnoses. Left out in 3.x.
    pub reason_string: Option<&'a str>,
    /// Pairs of name and value from the sender, in its order. Left out in 3.x.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement with this code and nothing else.
    pub fn new(packet_id: PacketId, code: ReasonCode) -> Ack<'a> {
        Ack {
            packet_id,
            code,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }

    #[inline]
    pub(super) fn decode(
        kind: PacketType,
        body: &'a [u8],
        context: &Context,
    ) -> Result<Ack<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        // Nearly every acknowledgement ends here, and in 3.x all do.
        if reader.is_empty() {
            return Ok(Ack::new(packet_id, ReasonCode::Success));
        }
        if context.version < Version::V5 {
            return reader
                .finish()
                .map(|()| Ack::new(packet_id, ReasonCode::Success));
        }
        Ack::decode_long(kind, packet_id, reader, context)
    }

    fn decode_long(
        kind: PacketType,
        packet_id: PacketId,
        mut reader: Reader<'a>,
        context: &Context,
    ) -> Result<Ack<'a>, DecodeError> {
        // [MQTT5-3.4.2-1] [MQTT5-3.5.2-1] [MQTT5-3.6.2-1] [MQTT5-3.7.2-1]
        let code = ReasonCode::read(reader.u8()?, kind, context.sender)?;
        if reader.is_empty() {
            return Ok(Ack::new(packet_id, code));
        }
        let ReasonProperties {
            reason_string,
            user_properties,
        } = ReasonProperties::read(Section::open(&mut reader)?)?;
        reader.finish()?;
        Ok(Ack {
            packet_id,
            code,
            reason_string,
            user_properties,
        })
    }

    /// Appends the packet as a `kind`: PUBACK, PUBREC, PUBREL or PUBCOMP. In 3.x the code and the
    /// properties are left out; a refusal has no form there and reads as an acceptance
    /// `[MQTT311-3.3.5-2]`.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]. Any other kind has no form.
    pub fn encode(
        &self,
        kind: PacketType,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        sink::encode(&AckLayout { ack: self, kind }, version, out)
    }

    /// How many bytes [`Ack::encode`] appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        sink::encoded_len(
            &AckLayout {
                ack: self,
                kind: PacketType::Puback,
            },
            version,
        )
    }
}

/// Appends the shortest form of an acknowledgement: four bytes, or five when 5.0 has something
/// other than Success to say.
pub fn encode_ack(
    kind: PacketType,
    packet_id: PacketId,
    code: ReasonCode,
    version: Version,
    out: &mut Vec<u8>,
) {
    debug_assert!(is_ack(kind), "{kind} is no acknowledgement of a PUBLISH");
    let [high, low] = packet_id.get().to_be_bytes();
    if version < Version::V5 || code == ReasonCode::Success {
        out.extend_from_slice(&[kind.first_byte(), 2, high, low]);
    } else {
        out.extend_from_slice(&[kind.first_byte(), 3, high, low, code as u8]);
    }
}

const fn is_ack(kind: PacketType) -> bool {
    matches!(
        kind,
        PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp
    )
}

struct AckLayout<'a> {
    ack: &'a Ack<'a>,
    kind: PacketType,
}

impl Layout for AckLayout<'_> {
    fn first_byte(&self) -> u8 {
        self.kind.first_byte()
    }

    fn body<S: Sink>(&self, version: Version, sink: &mut S) {
        if !is_ack(self.kind) {
            sink.fault(EncodeError::NoForm("not an acknowledgement of a PUBLISH"));
        }
        sink.u16(self.ack.packet_id.get());
        if version < Version::V5 {
            return;
        }
        let properties = ReasonProperties {
            reason_string: self.ack.reason_string,
            user_properties: self.ack.user_properties,
        };
        if properties.is_empty() {
            if self.ack.code != ReasonCode::Success {
                sink.u8(self.ack.code as u8);
            }
        } else {
            sink.u8(self.ack.code as u8);
            sink.section(&properties);
        }
    }
}

#[cfg(test)]
mod tests;
