//! What one subscriber has seen of one publisher's messages.
//!
//! Messages carry sequence numbers from 0. `expected` is one more than the highest seen, `missing`
//! holds the numbers below it that have not arrived:
//!
//! ```text
//!   arrived: 0 1 2 5 3      expected = 6, missing = {4}, out of order = 1 (the 3)
//! ```
//!
//! Invariant: every number below `expected` has arrived or is in `missing` (or was beyond the bound
//! of `missing` and counts as lost for good).

use std::collections::BTreeSet;

/// Most gaps remembered per ledger; further ones are lost for good even if they come late.
const GAPS: usize = 100_000;

/// One ledger, for one publisher and one subscriber.
#[derive(Default)]
pub struct Ledger {
    expected: u64,
    missing: BTreeSet<u64>,
    given_up: u64,
    twice: u64,
    out_of_order: u64,
}

/// The sum of ledgers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Discrepancies {
    /// Sent and never arrived.
    pub lost: u64,
    /// Arrived again.
    pub twice: u64,
    /// Arrived after a later one.
    pub out_of_order: u64,
    /// Arrived where it was not subscribed to, or damaged on the way.
    pub misrouted: u64,
    /// Acknowledgements to the publisher that were not those awaited next.
    pub wrong_acknowledgements: u64,
}

impl Discrepancies {
    /// Whether there are none.
    pub fn none(&self) -> bool {
        *self == Discrepancies::default()
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Discrepancies) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.out_of_order += other.out_of_order;
        self.misrouted += other.misrouted;
        self.wrong_acknowledgements += other.wrong_acknowledgements;
    }
}

impl Ledger {
    /// The message numbered `sequence` arrived. True if for the first time.
    #[inline]
    pub fn record(&mut self, sequence: u64) -> bool {
        if sequence == self.expected {
            self.expected += 1;
            return true;
        }
        self.record_out_of_turn(sequence)
    }

    #[cold]
    fn record_out_of_turn(&mut self, sequence: u64) -> bool {
        if sequence > self.expected {
            let gap = self.expected..sequence;
            let room = (GAPS - self.missing.len()) as u64;
            let remembered = gap.end.min(gap.start + room);
            self.given_up += gap.end - remembered;
            self.missing.extend(gap.start..remembered);
            self.expected = sequence + 1;
            true
        } else if self.missing.remove(&sequence) {
            self.out_of_order += 1;
            true
        } else {
            self.twice += 1;
            false
        }
    }

    /// What is wrong if `sent` messages were published and no more will arrive.
    pub fn discrepancies(&self, sent: u64) -> Discrepancies {
        let unseen = sent.saturating_sub(self.expected);
        Discrepancies {
            lost: self.missing.len() as u64 + self.given_up + unseen,
            twice: self.twice,
            out_of_order: self.out_of_order,
            ..Discrepancies::default()
        }
    }
}
