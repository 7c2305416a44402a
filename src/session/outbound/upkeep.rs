//! What an operator asks of what waits for a client.

use super::Outbound;

impl Outbound {
    /// Bytes of topic, properties and payload of all that waits, as far as they are known.
    pub fn queued_bytes(&self) -> usize {
        self.waiting.bytes() + self.unsent.bytes()
    }

    /// What the client may have has changed: what waits is judged before it is sent.
    pub fn doubt(&mut self) {
        self.doubtful = self.queued() > 0;
    }

    /// Whether what waits has to be judged.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Gives up all that waits, and notes what the store has to be told; what is in flight goes on.
    /// Returns how many messages that were.
    pub fn purge(&mut self) -> usize {
        let journal = &mut self.journal;
        let waiting = self.waiting.purge(|gone| journal.dropped(gone, None));
        waiting + self.unsent.clear()
    }
}
