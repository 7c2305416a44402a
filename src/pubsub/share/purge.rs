//! Giving up all that waits for the members of a group.

use std::num::NonZeroU64;

use super::{Backlog, Group};
use crate::queue::Gone;

impl<S: Clone + Eq> Group<S> {
    /// Gives the backlog up. `gone` is shown what the store calls each message of it that it keeps.
    /// Returns how many messages that were.
    pub fn purge(&mut self, mut gone: impl FnMut(NonZeroU64)) -> usize {
        let gone = |it: Gone<'_>| _ = it.number.map(&mut gone);
        match &mut self.backlog {
            Backlog::Plain(queue) => queue.purge(gone),
            Backlog::Keyed(lanes) => lanes.purge(gone),
        }
    }
}
