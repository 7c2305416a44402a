//! Limits of the whole broker, and the options of the rooms below it.

use std::time::Duration;

use crate::pubsub::options::Options as PubsubOptions;
use crate::session::options::Options as SessionOptions;
use crate::store::options::Promise;

/// What the broker as a whole allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Sessions whose client is away, at most. At the bound the one that has been away longest
    /// ends for each further one that is left behind.
    pub abandoned_sessions_maximum: usize,
    /// How often `$SYS/broker/…` is published; zero never.
    pub sys_interval: Duration,
    /// Limits and defaults of each session.
    pub session: SessionOptions,
    /// Routing, groups and retained messages.
    pub pubsub: PubsubOptions,
    /// How safe what must be stored is before it is acknowledged.
    pub promise: Promise,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            abandoned_sessions_maximum: 100_000,
            sys_interval: Duration::from_secs(10),
            session: SessionOptions::default(),
            pubsub: PubsubOptions::default(),
            promise: Promise::default(),
        }
    }
}
