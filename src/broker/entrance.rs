//! What holds for all who come in by one listener, in place of what holds for all others.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Version;
use crate::session::options::Options;

/// One way into the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// The protocol versions that are spoken there.
    pub versions: Vec<Version>,
    /// What all topics of its clients are below, without their knowing: a prefix that ends with `/`.
    pub mount: Option<Arc<str>>,
    /// What its clients are granted, where that is not what all others are.
    pub limits: Limits,
}

/// What clients are granted: nothing is said of what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// See [`Options::receive_maximum`].
    pub receive_maximum: Option<u16>,
    /// See [`Options::packet_size_maximum`].
    pub packet_size_maximum: Option<u32>,
    /// See [`Options::topic_alias_maximum`].
    pub topic_alias_maximum: Option<u16>,
    /// See [`Options::keep_alive_maximum`].
    pub keep_alive_maximum: Option<u16>,
    /// See [`Options::expiry_maximum`].
    pub expiry_maximum: Option<Duration>,
}

impl Default for Entrance {
    fn default() -> Self {
        Self {
            versions: vec![Version::V31, Version::V311, Version::V5],
            mount: None,
            limits: Limits::default(),
        }
    }
}

impl Entrance {
    /// Whether this version is spoken.
    pub(super) fn speaks(&self, version: Version) -> bool {
        self.versions.contains(&version)
    }

    /// What a client is granted that comes in here.
    pub(super) fn session<'a>(&self, options: &'a Options) -> Cow<'a, Options> {
        let Limits {
            receive_maximum,
            packet_size_maximum,
            topic_alias_maximum,
            keep_alive_maximum,
            expiry_maximum,
        } = self.limits;
        if self.limits == Limits::default() {
            return Cow::Borrowed(options);
        }
        let expiry_maximum = expiry_maximum.unwrap_or(options.expiry_maximum);
        Cow::Owned(Options {
            receive_maximum: receive_maximum.unwrap_or(options.receive_maximum),
            packet_size_maximum: packet_size_maximum.unwrap_or(options.packet_size_maximum),
            topic_alias_maximum: topic_alias_maximum.unwrap_or(options.topic_alias_maximum),
            keep_alive_maximum: keep_alive_maximum.unwrap_or(options.keep_alive_maximum),
            expiry_maximum,
            expiry_3x: options.expiry_3x.min(expiry_maximum),
            ..options.clone()
        })
    }
}
