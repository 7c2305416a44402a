//! Giving up all that waits for the members of a group.

use std::num::NonZeroU64;

use super::Group;

impl<S: Clone + Eq> Group<S> {
    /// Bytes of topic, properties and payload of the backlog, as far as they are known.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.bytes()
    }

    /// Gives the backlog up. `gone` is shown what the store calls each message of it that it keeps.
    /// Returns how many messages that were.
    pub fn purge(&mut self, mut gone: impl FnMut(NonZeroU64)) -> usize {
        self.backlog.purge(|it| _ = it.number.map(&mut gone))
    }
}
