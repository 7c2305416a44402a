//! What is kept, and how safely.

use std::path::PathBuf;

use super::contract::Safety;
use crate::message::Message;
use crate::topic::filter;

/// Where state is kept and what an acknowledgement promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Directory of the store. Not touched if everything is only held in memory.
    pub path: PathBuf,
    /// What must have happened to a message before it is acknowledged.
    pub promise: Promise,
    /// The bound on the use of the disk, in bytes, if there is one.
    pub bytes_maximum: Option<u64>,
    /// Whether to refuse a store that is damaged, instead of keeping what can be read.
    pub strict: bool,
}

/// How safe a message is when its acknowledgement leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// Held in memory: it outlives the connection, not the process.
    Memory,
    /// Written to the operating system: it outlives the process, not a power cut.
    Write,
    /// On stable storage: it outlives a power cut.
    #[default]
    Flush,
}

/// What is promised for which topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// For all that is not named.
    pub default: Durability,
    /// For topics that match a Topic Filter; the first one that does decides.
    pub topics: Vec<(Box<str>, Durability)>,
}

impl Promise {
    /// Promises nothing beyond the process.
    pub fn memory() -> Self {
        Self {
            default: Durability::Memory,
            topics: Vec::new(),
        }
    }

    /// How safe messages on this topic are to be; `None` if they are only held in memory.
    pub fn of(&self, topic: &str) -> Option<Safety> {
        let named = self.topics.iter();
        let mut named = named.filter(|(filter, _)| filter::matches(filter, topic));
        named.next().map_or(self.default, |it| it.1).safety()
    }

    /// The same for the topic of a message, which is not looked at where one rule holds for all.
    pub fn of_message(&self, message: &Message) -> Option<Safety> {
        match self.topics.is_empty() {
            true => self.default.safety(),
            false => self.of(message.topic()),
        }
    }

    /// How safe sessions and subscriptions are to be: as safe as the safest message. `None` if nothing
    /// is ever to be kept.
    pub fn of_sessions(&self) -> Option<Safety> {
        let topics = self.topics.iter().map(|it| it.1);
        topics.fold(self.default, Durability::max).safety()
    }
}

impl Durability {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Write => "write",
            Self::Flush => "flush",
        }
    }

    fn safety(self) -> Option<Safety> {
        match self {
            Self::Memory => None,
            Self::Write => Some(Safety::Written),
            Self::Flush => Some(Safety::Flushed),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data"),
            promise: Promise::default(),
            bytes_maximum: None,
            strict: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filter_that_matches_decides() {
        let promise = Promise {
            default: Durability::Memory,
            topics: vec![
                ("a/b".into(), Durability::Write),
                ("a/#".into(), Durability::Flush),
                ("c".into(), Durability::Memory),
            ],
        };
        assert_eq!(promise.of("a/b"), Some(Safety::Written));
        assert_eq!(promise.of("a/c"), Some(Safety::Flushed));
        assert_eq!(promise.of("c"), None);
        assert_eq!(promise.of("d"), None);
        assert_eq!(promise.of_sessions(), Some(Safety::Flushed));
        assert_eq!(Promise::memory().of_sessions(), None);
    }
}
