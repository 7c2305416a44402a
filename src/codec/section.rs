//! Reading the property section of an MQTT 5.0 packet (section 2.2.2) in one pass.
//!
//! ```text
//!   Property Length   id  value     id  value         id  value
//!  +---------------+ +--+-------+  +--+-----------+  +--+-------+
//!  | 1 to 4 bytes  | |1 | by id |  |1 | by id     |  |1 | by id |  ...
//!  +---------------+ +--+-------+  +--+-----------+  +--+-------+
//! ```
//!
//! A packet's decoder loops over [`Section::next_id`] and has one `match` arm per property that
//! the packet may carry; that `match` *is* the table of what is allowed, and its last arm refuses
//! the rest. The section itself refuses what holds for every packet: an unknown identifier, a
//! property given twice, a length that does not add up.

use std::num::{NonZeroU16, NonZeroU32};

use super::error::DecodeError;
use super::property::PropertyId;
use super::reader::Reader;
use super::user_properties::UserProperties;
use crate::topic::name;

const ZERO: DecodeError = DecodeError::protocol("a property that must not be 0 is 0");

/// A property section while it is being read.
pub(super) struct Section<'a> {
    reader: Reader<'a>,
    /// One bit per property identifier that has been met.
    seen: u64,
    /// The identifiers that may come again.
    repeatable: u64,
    users: Stretch<'a>,
    /// What was left when the property being read began.
    start: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads the Property Length and sets the section apart.
    pub(super) fn open(reader: &mut Reader<'a>) -> Result<Section<'a>, DecodeError> {
        let length = reader.variable()?;
        Ok(Section::of(reader.take(length as usize)?))
    }

    /// A section whose length is known otherwise.
    pub(super) fn of(bytes: &'a [u8]) -> Section<'a> {
        Section {
            reader: Reader::new(bytes),
            seen: 0,
            repeatable: PropertyId::UserProperty.bit(),
            users: Stretch::default(),
            start: bytes,
        }
    }

    /// Lets a property besides the User Property come more than once.
    pub(super) fn repeatable(mut self, id: PropertyId) -> Section<'a> {
        self.repeatable |= id.bit();
        self
    }

    /// The identifier of the next property, whose value the caller reads next; `None` at the end.
    pub(super) fn next_id(&mut self) -> Result<Option<PropertyId>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        self.start = self.reader.rest();
        let id = PropertyId::from_byte(self.reader.u8()?)
            .ok_or(const { DecodeError::malformed("an unknown property") })?;
        if self.seen & !self.repeatable & id.bit() != 0 {
            return Err(DecodeError::protocol("a property is given twice"));
        }
        self.seen |= id.bit();
        Ok(Some(id))
    }

    /// The error for an identifier that the packet may not carry. Section 2.2.2.2 calls a packet
    /// with one a Malformed Packet.
    #[cold]
    pub(super) fn not_allowed<T>(&self) -> Result<T, DecodeError> {
        Err(DecodeError::malformed(
            "a property that this packet may not carry",
        ))
    }

    /// What was left of the section when the current property began, identifier included.
    pub(super) fn start(&self) -> &'a [u8] {
        self.start
    }

    /// What is left of the section.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// A byte that must be 0 or 1.
    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::protocol(
                "a property that is 0 or 1 has another value",
            )),
        }
    }

    /// Two bytes that must not be 0: a maximum of nothing is a Protocol Error.
    pub(super) fn nonzero_u16(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.reader.u16()?).ok_or(ZERO)
    }

    /// Four bytes that must not be 0.
    pub(super) fn nonzero_u32(&mut self) -> Result<NonZeroU32, DecodeError> {
        NonZeroU32::new(self.reader.u32()?).ok_or(ZERO)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.reader.u16()
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32()
    }

    pub(super) fn variable(&mut self) -> Result<u32, DecodeError> {
        self.reader.variable()
    }

    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        self.reader.string()
    }

    /// A string that is a Topic Name [MQTT5-3.3.2-13] [MQTT5-3.3.2-14].
    pub(super) fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.reader.unchecked_string()?;
        name::check(text).map_err(DecodeError::topic)?;
        Ok(text)
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        self.reader.binary()
    }

    /// Checks a User Property's two strings [MQTT5-1.5.7-1] and remembers where it stands.
    pub(super) fn user_property(&mut self) -> Result<(), DecodeError> {
        self.reader.string()?;
        self.reader.string()?;
        self.users.extend(self.start, self.reader.rest());
        Ok(())
    }

    /// The User Properties met so far.
    pub(super) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::validated(self.users.bytes())
    }
}

/// Where in a section the properties of one kind lie: from the first to the last of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Stretch<'a> {
    /// The rest of the section where the first one begins, and the rest after the last one: the
    /// stretch is their difference.
    from: &'a [u8],
    after: &'a [u8],
    /// How many there were.
    pub(super) count: u32,
}

impl<'a> Stretch<'a> {
    /// Takes in a property that begins at `start` and has `rest` after it.
    pub(super) fn extend(&mut self, start: &'a [u8], rest: &'a [u8]) {
        if self.count == 0 {
            self.from = start;
        }
        self.after = rest;
        self.count += 1;
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        let length = self.from.len().saturating_sub(self.after.len());
        self.from.get(..length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
