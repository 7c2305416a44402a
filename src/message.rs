//! The Application Message: what travels between rooms.
//!
//! A message is built once, when its PUBLISH (or Will) is accepted, in a single allocation that does
//! not depend on the read buffer, and is then shared by every recipient:
//!
//! ```text
//!  ThinArc ──> count | Header ............... | topic | forwarded | payload
//!              8 B   | expiry, lengths, flags |<------- one slice --------->|
//! ```
//!
//! *forwarded* holds the properties that a server passes on unaltered, already in wire form
//! (payload format, content type, response topic, correlation data, user properties in their
//! order); what differs per recipient (alias, remaining expiry, subscription identifiers, retain,
//! DUP, QoS) is not in it.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use triomphe::ThinArc;

use crate::codec::QoS;

/// Wall-clock time in milliseconds since the Unix epoch, for what may outlive the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `milliseconds` after the Unix epoch.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or the last one that can be told.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// What a message is made from. Everything is copied once.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// A valid Topic Name.
    pub topic: &'a str,
    /// Properties to pass on unaltered, in wire form without their length.
    pub forwarded: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// The QoS it was published with.
    pub qos: QoS,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// When it expires, if ever.
    pub expires: Option<Timestamp>,
}

struct Header {
    expires: Option<Timestamp>,
    /// What the store calls it; 0 if it does not keep it.
    number: AtomicU64,
    topic_len: u32,
    forwarded_len: u32,
    qos: QoS,
    retain: bool,
}

/// An Application Message. Cloning it shares it.
#[derive(Clone)]
pub struct Message(ThinArc<Header, u8>);

impl Message {
    /// Builds a message. `scratch` is a reused buffer in which the parts are joined; its content
    /// does not matter.
    pub fn new(parts: Parts<'_>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(parts.topic.as_bytes());
        scratch.extend_from_slice(parts.forwarded);
        scratch.extend_from_slice(parts.payload);
        let header = Header {
            expires: parts.expires,
            number: AtomicU64::new(0),
            // Both come out of one Control Packet, which is shorter than 2^28 bytes.
            topic_len: parts.topic.len() as u32,
            forwarded_len: parts.forwarded.len() as u32,
            qos: parts.qos,
            retain: parts.retain,
        };
        Self(ThinArc::from_header_and_slice(header, scratch))
    }

    fn header(&self) -> &Header {
        &self.0.header.header
    }

    fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// The Topic Name.
    pub fn topic(&self) -> &str {
        // The bytes were copied from a `str` of exactly this length, so the check never fails; it
        // costs a few nanoseconds for the usual short topic.
        std::str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    /// The Topic Name as bytes.
    pub fn topic_bytes(&self) -> &[u8] {
        &self.bytes()[..self.header().topic_len as usize]
    }

    /// Properties to pass on, in wire form without their length.
    pub fn forwarded(&self) -> &[u8] {
        let start = self.header().topic_len as usize;
        &self.bytes()[start..start + self.header().forwarded_len as usize]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes()[(self.header().topic_len + self.header().forwarded_len) as usize..]
    }

    /// Whether this is the same message: a clone, and not another one that says the same.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.bytes(), other.bytes())
    }

    /// What the store calls it, if it keeps it.
    pub fn number(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.header().number.load(Ordering::Relaxed))
    }

    /// Gives it the number under which the store keeps it. To be called before it is shared with
    /// those who deliver it.
    pub fn keep_as(&self, number: NonZeroU64) {
        self.header().number.store(number.get(), Ordering::Relaxed);
    }

    /// The QoS it was published with.
    pub fn qos(&self) -> QoS {
        self.header().qos
    }

    /// The RETAIN flag it was published with.
    pub fn retain(&self) -> bool {
        self.header().retain
    }

    /// Bytes of topic, properties and payload: what queues and the retained store count.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }

    /// When it expires, if ever.
    pub fn expires(&self) -> Option<Timestamp> {
        self.header().expires
    }

    /// Whether its Message Expiry Interval has passed.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.header().expires.is_some_and(|expires| expires <= now)
    }

    /// The Message Expiry Interval to forward: what is left of it, in seconds, rounded up so that
    /// a message sent before its expiry never carries 0.
    // [MQTT5-3.3.2-6]
    pub fn remaining_expiry(&self, now: Timestamp) -> Option<u32> {
        self.header().expires.map(|expires| {
            let left = expires
                .as_millis()
                .saturating_sub(now.as_millis())
                .div_ceil(1000);
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos())
            .field("retain", &self.retain())
            .field("payload", &self.payload().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(expires: Option<Timestamp>) -> Message {
        let parts = Parts {
            topic: "a/ø",
            forwarded: &[1, 1],
            payload: b"payload",
            qos: QoS::AtLeastOnce,
            retain: true,
            expires,
        };
        Message::new(parts, &mut Vec::from([9; 3]))
    }

    #[test]
    fn parts_come_back_as_they_went_in() {
        let message = message(None);
        assert_eq!(message.topic(), "a/ø");
        assert_eq!(message.forwarded(), [1, 1]);
        assert_eq!(message.payload(), b"payload");
        assert_eq!(message.qos(), QoS::AtLeastOnce);
        assert!(message.retain());
        assert_eq!(message.size(), 4 + 2 + 7);
        assert_eq!(message.remaining_expiry(Timestamp::from_millis(5)), None);
        assert!(!message.expired(Timestamp::from_millis(u64::MAX)));
    }

    #[test]
    fn expiry_counts_down_and_is_never_forwarded_as_zero() {
        let message = message(Some(Timestamp::from_millis(10_000)));
        let at = |millis| message.remaining_expiry(Timestamp::from_millis(millis));
        assert_eq!(at(0), Some(10));
        assert_eq!(at(1), Some(10));
        assert_eq!(at(9_999), Some(1));
        assert!(!message.expired(Timestamp::from_millis(9_999)));
        assert!(message.expired(Timestamp::from_millis(10_000)));
    }

    #[test]
    fn a_clone_shares_the_allocation() {
        let first = message(None);
        let second = first.clone();
        assert_eq!(first.payload().as_ptr(), second.payload().as_ptr());
        assert!(first.is_same(&second));
        assert!(!first.is_same(&message(None)));
    }
}
