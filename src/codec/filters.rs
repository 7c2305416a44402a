//! The lists of Topic Filters that SUBSCRIBE and UNSUBSCRIBE carry.
//!
//! Both borrow the packet's payload. It is walked once while decoding, which checks every entry,
//! and again by whoever iterates: nothing is collected.

use std::fmt;

use super::error::{DecodeError, EncodeError};
use super::qos::QoS;
use super::reader::Reader;
use super::reason::ReasonCode;
use super::sink::Sink;
use super::version::Version;
use crate::topic::filter;

/// The most filters that one packet may carry. The specification has no bound; a packet of the
/// largest size would hold 67 million, each of which wants an answer.
pub const MAXIMUM_FILTERS: usize = 65_535;

/// What a subscriber asks for besides the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver at.
    pub qos: QoS,
    /// Do not send back what the subscriber published itself.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages to send when the subscription is made. In 3.x always all of them.
    pub retain_handling: RetainHandling,
}

/// When a subscription is answered with retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE; what 3.x always does.
    #[default]
    Always = 0,
    /// Only when the subscription did not exist.
    IfNew = 1,
    /// Never.
    Never = 2,
}

impl SubscriptionOptions {
    /// The options of 3.x: a QoS.
    pub const fn v3(qos: QoS) -> SubscriptionOptions {
        SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
        }
    }

    const fn to_byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    fn from_byte(byte: u8, version: Version) -> Result<SubscriptionOptions, DecodeError> {
        if version < Version::V5 {
            // [MQTT311-3.8.3-4]
            return QoS::from_bits(byte).map(SubscriptionOptions::v3).ok_or(
                const { DecodeError::malformed("the requested QoS byte is not 0, 1 or 2") },
            );
        }
        if byte & 0b1100_0000 != 0 {
            // [MQTT5-3.8.3-5]
            return Err(DecodeError::malformed(
                "reserved subscription options are set",
            ));
        }
        // Section 3.8.3.1 calls both of these Protocol Errors, not malformed.
        let qos = QoS::from_bits(byte & 0b11)
            .ok_or(const { DecodeError::protocol("a subscription asks for QoS 3") })?;
        let retain_handling = match (byte >> 4) & 0b11 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(DecodeError::protocol("Retain Handling is 3")),
        };
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & 0b0100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }
}

/// The Topic Filters of a SUBSCRIBE, each with its options.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Filters<'a> {
    /// `( length, filter, options )*`, checked.
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Filters<'a> {
    /// Checks all that is left of a SUBSCRIBE.
    pub(super) fn read(
        mut reader: Reader<'a>,
        version: Version,
    ) -> Result<Filters<'a>, DecodeError> {
        let bytes = reader.rest();
        let mut count = 0;
        while !reader.is_empty() {
            let filter = read_filter(&mut reader)?;
            let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
            // [MQTT5-3.8.3-4]
            if options.no_local && filter.starts_with("$share/") {
                return Err(DecodeError::protocol("No Local on a Shared Subscription"));
            }
            count += 1;
        }
        check_count(count)?;
        Ok(Filters { bytes, count })
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The filters with their options, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, SubscriptionOptions)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let filter = reader.string().ok()?;
            // What 3.x allows means the same in 5.0.
            let options = SubscriptionOptions::from_byte(reader.u8().ok()?, Version::V5).ok()?;
            Some((filter, options))
        })
    }

    pub(super) fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.count == 0 {
            sink.fault(EncodeError::NoForm("a SUBSCRIBE without a filter"));
        }
        let plain = |(_, options): (_, SubscriptionOptions)| options.to_byte() <= 2;
        if version < Version::V5 && !self.iter().all(plain) {
            sink.fault(EncodeError::NoForm("a subscription option besides the QoS"));
        }
        sink.bytes(self.bytes);
    }
}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The Topic Filters of an UNSUBSCRIBE.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    /// `( length, filter )*`, checked.
    bytes: &'a [u8],
    count: usize,
}

impl<'a> UnsubscribeFilters<'a> {
    /// Checks all that is left of an UNSUBSCRIBE.
    pub(super) fn read(mut reader: Reader<'a>) -> Result<UnsubscribeFilters<'a>, DecodeError> {
        let bytes = reader.rest();
        let mut count = 0;
        while !reader.is_empty() {
            read_filter(&mut reader)?;
            count += 1;
        }
        check_count(count)?;
        Ok(UnsubscribeFilters { bytes, count })
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The filters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                None
            } else {
                reader.string().ok()
            }
        })
    }

    pub(super) fn write<S: Sink>(&self, sink: &mut S) {
        if self.count == 0 {
            sink.fault(EncodeError::NoForm("an UNSUBSCRIBE without a filter"));
        }
        sink.bytes(self.bytes);
    }
}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A Topic Filter that is valid text [MQTT5-3.8.3-1] [MQTT5-3.10.3-1] [MQTT311-3.8.3-1]
/// [MQTT311-3.10.3-1] and well-formed.
fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let text = reader.unchecked_string()?;
    filter::check(text).map_err(DecodeError::topic)?;
    Ok(text)
}

fn check_count(count: usize) -> Result<(), DecodeError> {
    match count {
        // [MQTT5-3.8.3-2] [MQTT5-3.10.3-2] [MQTT311-3.8.3-3] [MQTT311-3.10.3-2]
        0 => Err(DecodeError::protocol("no Topic Filter")),
        1..=MAXIMUM_FILTERS => Ok(()),
        _ => Err(DecodeError::with(
            ReasonCode::QuotaExceeded,
            "more Topic Filters than are accepted",
        )),
    }
}

/// The filters of a SUBSCRIBE that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FiltersBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl FiltersBuf {
    /// None yet.
    pub const fn new() -> FiltersBuf {
        FiltersBuf {
            bytes: Vec::new(),
            count: 0,
        }
    }

    /// Appends a filter with its options.
    ///
    /// # Errors
    ///
    /// When the filter is not well-formed, or a shared one is to have No Local
    /// `[MQTT5-3.8.3-4]`. Nothing is appended then.
    pub fn push(&mut self, filter: &str, options: SubscriptionOptions) -> Result<(), EncodeError> {
        filter::check(filter).map_err(EncodeError::Topic)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(EncodeError::NoForm("No Local on a Shared Subscription"));
        }
        self.bytes.string(filter);
        self.bytes.u8(options.to_byte());
        self.count += 1;
        Ok(())
    }

    /// The filters, as a packet carries them.
    pub fn as_ref(&self) -> Filters<'_> {
        Filters {
            bytes: &self.bytes,
            count: self.count,
        }
    }
}

/// The filters of an UNSUBSCRIBE that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeFiltersBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl UnsubscribeFiltersBuf {
    /// None yet.
    pub const fn new() -> UnsubscribeFiltersBuf {
        UnsubscribeFiltersBuf {
            bytes: Vec::new(),
            count: 0,
        }
    }

    /// Appends a filter.
    ///
    /// # Errors
    ///
    /// When the filter is not well-formed. Nothing is appended then.
    pub fn push(&mut self, filter: &str) -> Result<(), EncodeError> {
        filter::check(filter).map_err(EncodeError::Topic)?;
        self.bytes.string(filter);
        self.count += 1;
        Ok(())
    }

    /// The filters, as a packet carries them.
    pub fn as_ref(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters {
            bytes: &self.bytes,
            count: self.count,
        }
    }
}

#[cfg(test)]
mod tests;
