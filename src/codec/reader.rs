//! Reading the data representations of section 1.5 from a byte slice.
//!
//! A [`Reader`] is a slice that gets shorter from the front. Every method either returns a whole
//! value, borrowed from the slice, or an error; none panics and none allocates. After an error
//! the reader's position means nothing: the caller gives up on the packet.

use super::context::MAXIMUM_VARIABLE_BYTE_INTEGER;
use super::error::DecodeError;
use super::packet_id::PacketId;

/// The unread rest of a packet, or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// What a slice that may still grow says about the Variable Byte Integer at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// The value and how many bytes it took.
    Whole { value: u32, length: usize },
    /// Its last byte is not there yet.
    Incomplete,
    /// Four bytes and still no end: it can never become one.
    TooLong,
}

impl Variable {
    /// Reads the integer at the start of `bytes` (section 1.5.5): seven bits to a byte, the
    /// lowest first, the top bit says that another byte follows.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Variable {
        let mut value = 0;
        for (index, &byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Variable::Whole {
                    value,
                    length: index + 1,
                };
            }
        }
        if bytes.len() < 4 {
            Variable::Incomplete
        } else {
            Variable::TooLong
        }
    }

    /// How many bytes the shortest form of `value` takes.
    #[inline]
    pub(super) const fn length_of(value: u32) -> usize {
        debug_assert!(value <= MAXIMUM_VARIABLE_BYTE_INTEGER);
        match value {
            0..0x80 => 1,
            0x80..0x4000 => 2,
            0x4000..0x20_0000 => 3,
            _ => 4,
        }
    }
}

const RUNS_OUT: DecodeError = DecodeError::malformed("a field runs past the end of its packet");

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest }
    }

    /// What has not been read yet.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(RUNS_OUT)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(RUNS_OUT)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer in its shortest form.
    #[inline]
    pub(super) fn variable(&mut self) -> Result<u32, DecodeError> {
        match Variable::read(self.rest) {
            Variable::Whole { value, length } => {
                // [MQTT5-1.5.5-1]
                if length != Variable::length_of(value) {
                    return Err(NOT_SHORTEST);
                }
                self.take(length)?;
                Ok(value)
            }
            Variable::Incomplete => Err(RUNS_OUT),
            Variable::TooLong => Err(OVERLONG),
        }
    }

    /// Binary Data: a length of two bytes and that many bytes.
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 Encoded String. EF BB BF is a character like any other, wherever it stands
    /// `[MQTT5-1.5.4-3]` `[MQTT311-1.5.3-3]`. The control characters and non-characters that the
    /// specification only advises against are accepted.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.unchecked_string()?;
        // [MQTT5-1.5.4-2] [MQTT311-1.5.3-2]
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::malformed("a string contains U+0000"));
        }
        Ok(text)
    }

    /// A UTF-8 Encoded String that may contain U+0000: for the topics, whose own check finds it
    /// in the scan it makes anyway.
    #[inline]
    pub(super) fn unchecked_string(&mut self) -> Result<&'a str, DecodeError> {
        // [MQTT5-1.5.4-1] [MQTT311-1.5.3-1] Rust's UTF-8 excludes the surrogates too.
        std::str::from_utf8(self.binary()?)
            .map_err(|_| DecodeError::malformed("a string is not valid UTF-8"))
    }

    /// A Packet Identifier.
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        // [MQTT5-2.2.1-3] [MQTT5-2.2.1-4] [MQTT311-2.3.1-1]
        PacketId::new(self.u16()?)
            .ok_or(const { DecodeError::protocol("the Packet Identifier is 0") })
    }

    /// Refuses bytes that follow the last field.
    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::malformed(
                "bytes follow the packet's last field",
            ))
        }
    }
}

/// A Variable Byte Integer that goes on after its fourth byte.
pub(super) const OVERLONG: DecodeError =
    DecodeError::malformed("a Variable Byte Integer is longer than four bytes");

/// A Variable Byte Integer with superfluous bytes.
pub(super) const NOT_SHORTEST: DecodeError =
    DecodeError::malformed("a Variable Byte Integer is not in its shortest form");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::reason::ReasonCode;

    #[test]
    fn variable_byte_integers_at_the_edges_of_each_length() {
        let cases: [(u32, &[u8]); 8] = [
            (0, &[0x00]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ];
        for (value, bytes) in cases {
            let length = bytes.len();
            assert_eq!(Variable::read(bytes), Variable::Whole { value, length });
            assert_eq!(Variable::length_of(value), length);
            assert_eq!(Reader::new(bytes).variable(), Ok(value));
            assert_eq!(Variable::read(&bytes[..length - 1]), Variable::Incomplete);
        }
    }

    #[test]
    fn variable_byte_integers_that_are_refused() {
        assert_eq!(Variable::read(&[0x80, 0x80, 0x80, 0x80]), Variable::TooLong);
        assert_eq!(Reader::new(&[0x80; 5]).variable(), Err(OVERLONG));
        assert_eq!(Reader::new(&[0x80, 0x00]).variable(), Err(NOT_SHORTEST));
        assert_eq!(
            Reader::new(&[0xFF, 0x80, 0x00]).variable(),
            Err(NOT_SHORTEST)
        );
        assert_eq!(Reader::new(&[0x80]).variable(), Err(RUNS_OUT));
    }

    #[test]
    fn strings_follow_the_rules_of_section_1_5_4() {
        assert_eq!(Reader::new(b"\0\x03\xEF\xBB\xBF").string(), Ok("\u{FEFF}"));
        assert_eq!(
            Reader::new(b"\0\x04\xF0\xAA\x9B\x94").string(),
            Ok("\u{2A6D4}")
        );
        assert_eq!(Reader::new(b"\0\x01\x01").string(), Ok("\u{1}"));
        assert_eq!(Reader::new(b"\0\0").string(), Ok(""));
        let bad: [&[u8]; 8] = [
            b"\0\x01\xFF",         // no UTF-8 at all
            b"\0\x02\xC0\x80",     // U+0000 in two bytes
            b"\0\x03\xED\xA0\x80", // the surrogate U+D800
            b"\0\x03\xED\xBF\xBF", // the surrogate U+DFFF
            b"\0\x02\xC3\x28",     // a broken continuation
            b"\0\x03a\0b",         // U+0000
            b"\0\x02a",            // shorter than it says
            b"\0",                 // half a length
        ];
        for bytes in bad {
            let error = Reader::new(bytes).string().expect_err("refused");
            assert_eq!(error.code, ReasonCode::MalformedPacket, "{bytes:x?}");
        }
    }

    #[test]
    fn nothing_may_follow_the_last_field() {
        let mut reader = Reader::new(&[1, 2]);
        assert_eq!(reader.u8(), Ok(1));
        assert!(reader.finish().is_err());
        assert_eq!(reader.u8(), Ok(2));
        assert!(reader.finish().is_ok());
        assert_eq!(reader.packet_id(), Err(RUNS_OUT));
    }
}
