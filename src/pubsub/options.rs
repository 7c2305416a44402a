//! Limits and choices of routing, shared subscriptions and retained messages.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::queue::options::Options as QueueOptions;

/// How routing, groups and the retained store behave.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Who of a group gets the next message, where nothing else is said of the group.
    pub strategy: Strategy,
    /// The backlog of each group, for while no member can take a message, likewise.
    pub group_queue: QueueOptions,
    /// Groups of which more is said, each once.
    pub groups: Vec<NamedGroup>,
    /// Bounds of the retained store.
    pub retained: RetainedOptions,
}

/// A group of which something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGroup {
    /// Its ShareName.
    pub share: Box<str>,
    /// Its Topic Filter, without the ShareName.
    pub filter: Box<str>,
    /// Whether it is there from the start and does not end with its last member, so that it collects
    /// while nobody is a member.
    pub declared: bool,
    /// How it behaves.
    pub options: Arc<GroupOptions>,
}

/// How one group behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupOptions {
    /// Who gets the next message.
    pub strategy: Strategy,
    /// The bounds of the backlog.
    pub queue: QueueOptions,
    /// Whether a message for which the backlog has no room is refused, instead of one being dropped.
    pub refuses: bool,
    /// How long a member may take to acknowledge a message at QoS 1 before another one gets it.
    pub acknowledgement_timeout: Option<Duration>,
    /// How often a message is given to a member before it is given up.
    pub delivery_limit: Option<NonZeroU16>,
    /// The topic to which what is given up goes.
    pub dead_letter: Option<Box<str>>,
    /// What the messages have in common that go to the same member.
    pub ordering: Option<OrderingKey>,
}

/// What decides which messages go to the same member. Those that have no such thing go to any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderingKey {
    /// A level of the topic, from 1.
    Level(usize),
    /// The value of the first User Property of this name.
    UserProperty(Box<str>),
}

impl Options {
    /// What is said of this group, if anything is.
    pub fn named(&self, share: &str, filter: &str) -> Option<&NamedGroup> {
        let mut named = self.groups.iter();
        named.find(|it| *it.share == *share && *it.filter == *filter)
    }

    /// How a group behaves of which nothing is said.
    pub fn unnamed(&self) -> GroupOptions {
        GroupOptions {
            strategy: self.strategy,
            queue: self.group_queue,
            ..GroupOptions::default()
        }
    }
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
