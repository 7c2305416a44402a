//! Limits of the whole broker, and the options of the rooms below it.

use std::time::Duration;

use crate::pubsub::options::Options as PubsubOptions;
use crate::session::options::Options as SessionOptions;
use crate::store::options::Promise;

use super::defence::options::Options as DefenceOptions;

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
    /// Messages that are to be published later.
    pub delayed: DelayedOptions,
    /// Bytes of what waits for one client, or for the members of one group, that are held in memory,
    /// about; beyond that what the store keeps is read back from it when its turn comes.
    pub queue_memory: usize,
    /// How safe what must be stored is before it is acknowledged.
    pub promise: Promise,
    /// How much is let in, how fast, and what shuts somebody out.
    pub defence: DefenceOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            abandoned_sessions_maximum: 100_000,
            sys_interval: Duration::from_secs(10),
            session: SessionOptions::default(),
            pubsub: PubsubOptions::default(),
            delayed: DelayedOptions::default(),
            queue_memory: 256 * 1024,
            promise: Promise::default(),
            defence: DefenceOptions::default(),
        }
    }
}

/// Bounds of what is published to `$delayed/{seconds}/{topic}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayedOptions {
    /// Messages that wait at most. One more is refused.
    pub messages: usize,
    /// Bytes of topic, payload and properties that wait at most, with the same policy.
    pub bytes: usize,
    /// The longest delay.
    pub longest: Duration,
}

impl Default for DelayedOptions {
    fn default() -> Self {
        Self {
            messages: 100_000,
            bytes: 256 * 1024 * 1024,
            longest: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
