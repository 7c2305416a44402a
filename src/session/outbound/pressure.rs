//! What a session takes of the memory, and what it gives up when there is too little.

use crate::queue::DropReason;

use super::Outbound;
use crate::session::journal::Step;
use crate::session::tally::Tally;

/// Bytes that wait for a socket from which on a connection counts as one that is behind.
const HEAVY: usize = 16 * 1024;

impl Outbound {
    /// Tells the tally by how much it has become heavier or lighter: by what waits in its queues, and by what
    /// its socket has not taken.
    pub fn weigh(&mut self, tally: &mut Tally) {
        let unsent = self.line.as_ref().map_or(0, |line| line.wire.unsent());
        let weight = self.waiting.weight() + self.unsent.weight() + unsent;
        tally.queued_bytes += weight as i64 - self.weighed as i64;
        self.weighed = weight;
    }

    /// As [`Self::weigh`], where only what has become lighter matters.
    pub fn weigh_if_any(&mut self, tally: &mut Tally) {
        if self.weighed > 0 {
            self.weigh(tally);
        }
    }

    /// Whether its socket takes less than it is given.
    pub(super) fn is_heavy(&self) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.wire.unsent() >= HEAVY)
    }

    /// The store has been told of all these steps: the room they took is used again, if that is little.
    pub fn told(&mut self, steps: Vec<Step>) {
        self.journal.reuse(steps);
    }

    /// Gives up what waits at QoS 0.
    pub fn shed(&mut self, tally: &mut Tally) {
        let dropped = self.unsent.clear();
        tally.drop(DropReason::Overload, dropped);
        tally.queue_changed(dropped, 0);
        self.weigh(tally);
    }
}
