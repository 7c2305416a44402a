//! What is counted of proofs and permissions, for the metrics. It lives as long as the process: what is
//! made anew at a reload goes on counting here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Everything that is counted.
#[derive(Debug)]
pub struct Counts {
    /// Tokens, by what became of them.
    pub tokens: Tally,
    /// How often the keys of tokens were fetched, by how that went.
    pub key_fetches: Tally,
    /// When they were last fetched, in seconds since the Unix epoch; 0 is never.
    pub keys_fetched: AtomicU64,
    /// Questions to an HTTP service about who a client is.
    pub authenticate: Questions,
    /// Questions to an HTTP service about what a client may do.
    pub authorize: Questions,
    /// Questions about what a client may do that were answered from memory.
    pub remembered: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            tokens: Tally::of(&[
                "accepted",
                "too_large",
                "malformed",
                "algorithm",
                "unknown_key",
                "signature",
                "expired",
                "not_yet",
                "issuer",
                "audience",
                "claim",
                "no_keys",
            ]),
            key_fetches: Tally::of(&[
                "fetched",
                "timeout",
                "unreachable",
                "too_large",
                "status",
                "malformed",
            ]),
            keys_fetched: AtomicU64::new(0),
            authenticate: Questions::default(),
            authorize: Questions::default(),
            remembered: AtomicU64::new(0),
        }
    }
}

/// Counters that have one name and differ by a label.
#[derive(Debug)]
pub struct Tally {
    labels: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

impl Tally {
    fn of(labels: &'static [&'static str]) -> Self {
        let counts = labels.iter().map(|_| AtomicU64::new(0)).collect();
        Self { labels, counts }
    }

    /// Counts one with this label, which is one of those there are.
    pub fn count(&self, label: &str) {
        let known = self.labels.iter().zip(&self.counts);
        for (_, count) in known.filter(|(known, _)| **known == label) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All labels with their counts.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|it| it.load(Ordering::Relaxed));
        self.labels.iter().copied().zip(counts)
    }
}

/// What is counted of the questions to a service.
#[derive(Debug)]
pub struct Questions {
    /// By what was answered, or why nothing was.
    pub outcomes: Tally,
    /// How long all of them took together, in nanoseconds.
    taken: AtomicU64,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            outcomes: Tally::of(&[
                "allow",
                "deny",
                "ignore",
                "timeout",
                "unreachable",
                "too_large",
                "status",
                "malformed",
                "busy",
            ]),
            taken: AtomicU64::new(0),
        }
    }
}

impl Questions {
    /// Counts a question that was put, and took so long.
    pub fn count(&self, outcome: &str, taken: Duration) {
        self.outcomes.count(outcome);
        let taken = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        self.taken.fetch_add(taken, Ordering::Relaxed);
    }

    /// How long all of them took together.
    pub fn taken(&self) -> Duration {
        Duration::from_nanos(self.taken.load(Ordering::Relaxed))
    }
}
