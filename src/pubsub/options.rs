//! Limits and choices of routing, shared subscriptions and retained messages.

use crate::queue::options::Options as QueueOptions;

/// How routing, groups and the retained store behave.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Who of a group gets the next message.
    pub strategy: Strategy,
    /// The backlog of each group, for while no member can take a message.
    pub group_queue: QueueOptions,
    /// Bounds of the retained store.
    pub retained: RetainedOptions,
}

/// Who of the members that can take a message gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any, with equal chances.
    Random,
    /// The same one for as long as it can take messages.
    Sticky,
    /// The one with the fewest unacknowledged messages.
    LeastInflight,
}

/// Bounds of the retained store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedOptions {
    /// Whether messages are retained at all. If not, MQTT 5 clients are told Retain Available 0.
    pub available: bool,
    /// Retained messages at most. At the bound a new topic is refused (0x97 in MQTT 5, counted and
    /// not retained in 3.x); replacing and clearing go on.
    pub messages: usize,
    /// Bytes of topic, payload and properties at most, with the same policy.
    pub bytes: usize,
}

impl Default for RetainedOptions {
    fn default() -> Self {
        Self {
            available: true,
            messages: 1_000_000,
            bytes: 1024 * 1024 * 1024,
        }
    }
}
