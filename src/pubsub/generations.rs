//! Tells whether a remembered route still holds.
//!
//! A connection remembers the routes of the topics it publishes to. A change of subscriptions must
//! make it look again, but only where the change can matter. So each Topic Filter belongs to one of
//! a fixed number of counters, chosen by the literal levels it begins with, and each Topic Name
//! depends on the three counters to which a filter that matches it can belong:
//!
//! ```text
//!   filter   #   +/x   $share/g/+/x    -> counter of no level       <── every topic
//!   filter   a   a/#   a/+/c           -> counter of "a"            <── topic a/b/c
//!   filter   a/b   a/b/c   a/b/#       -> counter of "a/b"          <──
//! ```
//!
//! Counters only grow, so their sum is unchanged exactly when none of the three has changed.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that a change of subscriptions moves.
#[derive(Debug)]
pub struct Generations {
    counters: Box<[AtomicU64]>,
    /// Keyed, so that nobody can choose topics that share a counter with someone else's.
    hasher: RandomState,
}

/// Where a topic's counters are and what they were. A route that was looked up after the stamp was
/// taken holds for as long as the stamp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    places: [u16; 2],
    sum: u64,
}

/// Two filters share a counter by chance once in so many pairs; the cost of that is a look-up.
const COUNTERS: usize = 4096;

/// The counter of filters that begin with a wildcard.
const ROOT: usize = 0;

impl Default for Generations {
    fn default() -> Self {
        Self {
            counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Generations {
    /// Notes that subscriptions to `filter` (without `$share/{ShareName}/`) have changed. Called
    /// after the change is visible to look-ups.
    pub fn changed(&self, filter: &str) {
        let mut levels = filter.split('/');
        let first = levels.next().unwrap_or_default();
        let place = match (first, levels.next()) {
            ("#" | "+", _) => ROOT,
            // `a/#` matches the topic `a` as well, which depends on the counter of "a" only.
            (first, None | Some("#" | "+")) => self.place(first),
            (first, Some(second)) => self.place(&filter[..first.len() + 1 + second.len()]),
        };
        self.counters[place].fetch_add(1, Ordering::SeqCst);
    }

    /// The stamp of a topic, to be taken before its route is looked up.
    pub fn stamp(&self, topic: &str) -> Stamp {
        let first = topic.split('/').next().unwrap_or_default();
        let second = topic[first.len()..].strip_prefix('/').map(|rest| {
            let len = rest.split('/').next().unwrap_or_default().len();
            &topic[..first.len() + 1 + len]
        });
        let first = self.place(first);
        let second = second.map_or(first, |prefix| self.place(prefix));
        // COUNTERS fits a u16.
        let places = [first as u16, second as u16];
        Stamp {
            places,
            sum: self.sum(places),
        }
    }

    /// Whether a route looked up after `stamp` was taken still holds.
    pub fn holds(&self, stamp: Stamp) -> bool {
        self.sum(stamp.places) == stamp.sum
    }

    fn sum(&self, places: [u16; 2]) -> u64 {
        let counter = |place: usize| self.counters[place].load(Ordering::Acquire);
        counter(ROOT)
            .wrapping_add(counter(usize::from(places[0])))
            .wrapping_add(counter(usize::from(places[1])))
    }

    fn place(&self, prefix: &str) -> usize {
        // Place 0 is the root's.
        1 + (self.hasher.hash_one(prefix) % (COUNTERS as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_can_matter_is_noticed() {
        let matching = [
            ("a/b/c", "#"),
            ("a/b/c", "+/b/c"),
            ("a/b/c", "a/#"),
            ("a/b/c", "a/+/c"),
            ("a/b/c", "a/b/c"),
            ("a/b/c", "a/b/+"),
            ("a/b", "a/b/#"),
            ("a", "a/#"),
            ("a", "a"),
            ("/", "/"),
            ("/", "/+"),
            ("a//b", "a//b"),
        ];
        let generations = Generations::default();
        for (topic, filter) in matching {
            let stamp = generations.stamp(topic);
            assert!(generations.holds(stamp));
            generations.changed(filter);
            assert!(!generations.holds(stamp), "{filter} matters to {topic}");
        }
    }

    #[test]
    fn a_change_elsewhere_is_not() {
        let generations = Generations::default();
        let kept = (2..102)
            .filter(|site| {
                let stamp = generations.stamp("site/1/temperature");
                generations.changed(&format!("site/{site}/temperature"));
                generations.holds(stamp)
            })
            .count();
        // Each pair shares a counter once in two thousand times.
        assert!(
            kept > 90,
            "{kept} of 100 changes elsewhere left the route alone"
        );
    }
}
