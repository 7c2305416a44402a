//! Subscription Identifiers: which of a client's subscriptions a delivery answers.

use std::fmt;

use super::context::MAXIMUM_VARIABLE_BYTE_INTEGER;
use super::error::{DecodeError, EncodeError};
use super::property::PropertyId;
use super::reader::Reader;
use super::sink::Sink;

/// The Subscription Identifiers of a server's PUBLISH, each from 1 to 268,435,455. Borrows the
/// property section the way [`UserProperties`](super::user_properties::UserProperties) does.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIds<'a> {
    bytes: &'a [u8],
}

impl<'a> SubscriptionIds<'a> {
    /// Wraps bytes that hold whole, checked properties.
    pub(super) const fn validated(bytes: &'a [u8]) -> SubscriptionIds<'a> {
        SubscriptionIds { bytes }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The identifiers, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            while !reader.is_empty() {
                let id = PropertyId::from_byte(reader.u8().ok()?)?;
                if id == PropertyId::SubscriptionIdentifier {
                    return reader.variable().ok();
                }
                id.skip(&mut reader).ok()?;
            }
            None
        })
    }

    pub(super) fn write<S: Sink>(&self, sink: &mut S) {
        for id in self.iter() {
            write_subscription_id(id, sink);
        }
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Writes one identifier as a property.
pub(super) fn write_subscription_id<S: Sink>(id: u32, sink: &mut S) {
    sink.u8(PropertyId::SubscriptionIdentifier as u8);
    sink.variable(id as usize);
}

/// Checks the value of a Subscription Identifier that was read.
pub(super) fn check_subscription_id(id: u32) -> Result<u32, DecodeError> {
    if id == 0 {
        return Err(DecodeError::protocol("the Subscription Identifier is 0"));
    }
    Ok(id)
}

/// Subscription Identifiers that are being put together for sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionIdsBuf {
    bytes: Vec<u8>,
}

impl SubscriptionIdsBuf {
    /// None yet.
    pub const fn new() -> SubscriptionIdsBuf {
        SubscriptionIdsBuf { bytes: Vec::new() }
    }

    /// Appends an identifier.
    ///
    /// # Errors
    ///
    /// When it is not from 1 to 268,435,455. Nothing is appended then.
    pub fn push(&mut self, id: u32) -> Result<(), EncodeError> {
        if id == 0 || id > MAXIMUM_VARIABLE_BYTE_INTEGER {
            return Err(EncodeError::NoForm(
                "a Subscription Identifier is 1 to 268,435,455",
            ));
        }
        write_subscription_id(id, &mut self.bytes);
        Ok(())
    }

    /// The identifiers, as a packet carries them.
    pub fn as_ref(&self) -> SubscriptionIds<'_> {
        SubscriptionIds::validated(&self.bytes)
    }
}

#[cfg(test)]
mod tests;
