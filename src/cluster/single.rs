//! One node, which owns everything.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cluster, Epoch};

/// The only node there is.
#[derive(Debug, Default)]
pub struct Single {
    last: AtomicU64,
}

impl Cluster for Single {
    fn claim(&self, _: &str) -> Epoch {
        // Only uniqueness and growth matter; what the epoch guards has its own lock.
        Epoch(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_is_later_than_the_one_before() {
        let single = Single::default();
        let (first, second) = (single.claim("a"), single.claim("a"));
        assert!(first > Epoch::default());
        assert!(second > first);
    }
}
