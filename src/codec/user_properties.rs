//! User Properties: name and value pairs that the broker carries and does not read.

use std::fmt;

use super::error::EncodeError;
use super::property::PropertyId;
use super::reader::Reader;
use super::sink::{Counter, Sink};

/// The User Properties of one packet, in their order `[MQTT5-3.3.2-18]`.
///
/// It borrows the stretch of the property section from the first User Property to the last.
/// Others may stand between them:
///
/// ```text
///   section:  | Content Type | User a=1 | Topic Alias | User b=2 | Expiry |
///   borrowed:                |<------------------------------->|
/// ```
///
/// Iterating skips those, so that nothing has to be gathered while decoding. The bytes were
/// checked when the packet was decoded, or come from a [`UserPropertiesBuf`].
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    bytes: &'a [u8],
}

impl<'a> UserProperties<'a> {
    /// Wraps bytes that hold whole, checked properties.
    pub(super) const fn validated(bytes: &'a [u8]) -> UserProperties<'a> {
        UserProperties { bytes }
    }

    /// Those in a property section, or in the part of it that a message passes on. They end where the
    /// bytes are no properties.
    pub const fn in_section(bytes: &'a [u8]) -> UserProperties<'a> {
        UserProperties { bytes }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The pairs of name and value. A name may come more than once.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.raw().filter_map(|raw| {
            let mut reader = Reader::new(raw.get(1..)?);
            Some((reader.string().ok()?, reader.string().ok()?))
        })
    }

    /// Each property as it stood on the wire, identifier included.
    fn raw(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            while !reader.is_empty() {
                let before = reader.rest();
                let id = PropertyId::from_byte(reader.u8().ok()?)?;
                id.skip(&mut reader).ok()?;
                if id == PropertyId::UserProperty {
                    return before.get(..before.len() - reader.rest().len());
                }
            }
            None
        })
    }

    /// Writes the properties unaltered [MQTT5-3.3.2-17] and in order [MQTT5-3.3.2-18].
    pub(super) fn write<S: Sink>(&self, sink: &mut S) {
        for raw in self.raw() {
            sink.bytes(raw);
        }
    }

    /// How many bytes the properties take in a property section, their identifiers included. What
    /// an answer saves by leaving them out when it would be over the peer's maximum.
    pub fn encoded_len(&self) -> usize {
        let mut counter = Counter::default();
        self.write(&mut counter);
        counter.length()
    }
}

/// Equal when they say the same, wherever the bytes come from.
impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw().eq(other.raw())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// User Properties that are being put together for sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPropertiesBuf {
    bytes: Vec<u8>,
}

impl UserPropertiesBuf {
    /// None yet.
    pub const fn new() -> UserPropertiesBuf {
        UserPropertiesBuf { bytes: Vec::new() }
    }

    /// Appends a pair.
    ///
    /// # Errors
    ///
    /// When one of the strings is over 65,535 bytes or contains U+0000. Nothing is appended then.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let mut counter = Counter::default();
        counter.string(name);
        counter.string(value);
        counter.finish()?;
        self.bytes.u8(PropertyId::UserProperty as u8);
        self.bytes.string(name);
        self.bytes.string(value);
        Ok(())
    }

    /// The pairs, as they stand in a property section.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pairs, as a packet carries them.
    pub fn as_ref(&self) -> UserProperties<'_> {
        UserProperties::validated(&self.bytes)
    }
}

#[cfg(test)]
mod tests;
