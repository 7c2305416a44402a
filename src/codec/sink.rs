//! Writing the data representations of section 1.5, and measuring them first.
//!
//! The layout of a packet is written down once, as a function over any [`Sink`]. It runs twice:
//!
//! ```text
//!   body(&mut Counter)  ->  the Remaining Length, or why the packet has no bytes
//!   body(&mut Vec<u8>)  ->  the bytes
//! ```
//!
//! So a length can never disagree with what it measures, and once the first pass is content the
//! second cannot fail. Property sections, whose length stands before them too, do the same inside.

use super::context::MAXIMUM_VARIABLE_BYTE_INTEGER;
use super::error::EncodeError;
use super::property::PropertyId;
use super::reader::Variable;
use super::version::Version;

/// A packet that knows its layout.
pub(super) trait Layout {
    /// Type and flags.
    fn first_byte(&self) -> u8;

    /// Everything that follows the Remaining Length.
    fn body<S: Sink>(&self, version: Version, sink: &mut S);
}

/// The properties of a packet, without the length before them.
pub(super) trait PropertySection {
    fn write<S: Sink>(&self, sink: &mut S);
}

/// How many bytes the whole packet takes.
pub(super) fn encoded_len<L: Layout>(packet: &L, version: Version) -> usize {
    let mut counter = Counter::default();
    packet.body(version, &mut counter);
    1 + variable_len(counter.length) + counter.length
}

/// Appends the whole packet, or nothing and the reason.
pub(super) fn encode<L: Layout>(
    packet: &L,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut counter = Counter::default();
    packet.body(version, &mut counter);
    let remaining = counter.finish()?;
    out.reserve(1 + variable_len(remaining) + remaining);
    out.u8(packet.first_byte());
    out.variable(remaining);
    let start = out.len();
    packet.body(version, out);
    debug_assert_eq!(out.len() - start, remaining, "the two passes agree");
    Ok(())
}

/// The length of a Variable Byte Integer; for values over the maximum, that of the maximum.
#[inline]
pub(super) fn variable_len(value: usize) -> usize {
    Variable::length_of(bounded(value))
}

fn bounded(value: usize) -> u32 {
    u32::try_from(value)
        .unwrap_or(MAXIMUM_VARIABLE_BYTE_INTEGER)
        .min(MAXIMUM_VARIABLE_BYTE_INTEGER)
}

/// Where a packet's bytes go.
pub(super) trait Sink: Sized {
    /// Appends bytes as they are.
    fn bytes(&mut self, bytes: &[u8]);

    /// Notes that the packet cannot be written. The first note wins.
    fn fault(&mut self, error: EncodeError);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A Variable Byte Integer, in its shortest form [MQTT5-1.5.5-1].
    fn variable(&mut self, value: usize) {
        if value > MAXIMUM_VARIABLE_BYTE_INTEGER as usize {
            self.fault(EncodeError::PacketTooLarge);
        }
        let mut rest = bounded(value);
        while rest >= 0x80 {
            self.u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.u8(rest as u8);
    }

    /// Binary Data. What does not fit the length field is a fault, and cut off so that the rest
    /// would still parse.
    fn binary(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or_else(|_| {
            self.fault(EncodeError::FieldTooLong);
            u16::MAX
        });
        self.u16(length);
        self.bytes(&bytes[..usize::from(length)]);
    }

    /// A UTF-8 Encoded String.
    fn string(&mut self, text: &str) {
        // [MQTT5-1.5.4-2] [MQTT311-1.5.3-2]
        if text.as_bytes().contains(&0) {
            self.fault(EncodeError::NullCharacter);
        }
        self.binary(text.as_bytes());
    }

    /// A property section with its length. An empty one is the single byte 0 [MQTT5-2.2.2-1].
    fn section<P: PropertySection>(&mut self, properties: &P) {
        let mut counter = Counter::default();
        properties.write(&mut counter);
        self.variable(counter.length);
        properties.write(self);
    }

    fn flag_property(&mut self, id: PropertyId, value: Option<bool>) {
        if let Some(value) = value {
            self.bytes(&[id as u8, u8::from(value)]);
        }
    }

    fn u16_property(&mut self, id: PropertyId, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u16(value);
        }
    }

    fn u32_property(&mut self, id: PropertyId, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u32(value);
        }
    }

    fn string_property(&mut self, id: PropertyId, value: Option<&str>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.string(value);
        }
    }

    fn binary_property(&mut self, id: PropertyId, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.binary(value);
        }
    }
}

/// The sink of the first pass: adds up lengths and keeps the first fault.
#[derive(Debug, Default)]
pub(super) struct Counter {
    length: usize,
    fault: Option<EncodeError>,
}

impl Counter {
    /// The length counted, unless something was wrong or it is more than a packet can hold.
    pub(super) fn finish(self) -> Result<usize, EncodeError> {
        match self.fault {
            Some(error) => Err(error),
            None if self.length > MAXIMUM_VARIABLE_BYTE_INTEGER as usize => {
                Err(EncodeError::PacketTooLarge)
            }
            None => Ok(self.length),
        }
    }

    /// The bytes counted so far.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

impl Sink for Counter {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
    }

    fn fault(&mut self, error: EncodeError) {
        self.fault.get_or_insert(error);
    }
}

/// The sink of the second pass. Faults were found by the first.
impl Sink for Vec<u8> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn fault(&mut self, _: EncodeError) {}
}

#[cfg(test)]
mod tests;
