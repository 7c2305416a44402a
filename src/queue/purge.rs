//! Giving up all that waits.

use super::bounded::Queue;
use super::deep::Oldest;
use super::delivery::Gone;

impl Queue {
    /// Gives up everything that waits, and shows each to `gone`; returns how many messages that were.
    pub fn purge(&mut self, mut gone: impl FnMut(Gone<'_>)) -> usize {
        let mut count = 0;
        while let Some(oldest) = self.take_oldest() {
            match oldest {
                Oldest::Here(delivery) => gone(Gone::from(&delivery)),
                Oldest::Stored(stored) => gone(stored.gone()),
            }
            count += 1;
        }
        count
    }
}
