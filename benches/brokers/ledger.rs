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

use std::collections::{BTreeSet, VecDeque};

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

    /// The message numbered `sequence` arrived at this member of a group. True if for the first time at
    /// any of them. Members share nothing but what each gets is in order.
    #[inline]
    pub fn record_in(&mut self, group: &mut Group, sequence: u64) -> bool {
        let is_first = group.record(sequence);
        if sequence >= self.expected {
            self.expected = sequence + 1;
        } else if is_first {
            self.out_of_order += 1;
        }
        is_first
    }

    /// What is wrong if this is the ledger of a group's member: what is lost or came twice is for the
    /// group to say.
    pub fn discrepancies_in_group(&self) -> Discrepancies {
        Discrepancies {
            out_of_order: self.out_of_order,
            ..Discrepancies::default()
        }
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

/// What a group, or one subscriber who gets things in any order, has seen of one publisher's messages:
/// each is to come to one of its members, once.
///
/// ```text
///   words:  0b…11101011   bit n: whether number `base + n` has arrived; all below `base` have
/// ```
#[derive(Default)]
pub struct Group {
    base: u64,
    words: VecDeque<u64>,
    arrived: u64,
    twice: u64,
}

impl Group {
    /// The message numbered `sequence`, which was sent, arrived at a member. True if for the first time.
    #[inline]
    pub fn record(&mut self, sequence: u64) -> bool {
        let Some(above) = sequence.checked_sub(self.base) else {
            self.twice += 1;
            return false;
        };
        let (word, bit) = ((above / 64) as usize, 1 << (above % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if self.words[word] & bit != 0 {
            self.twice += 1;
            return false;
        }
        self.words[word] |= bit;
        self.arrived += 1;
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.base += 64;
        }
        true
    }

    /// What is wrong if `sent` messages were published and no more will arrive.
    pub fn discrepancies(&self, sent: u64) -> Discrepancies {
        Discrepancies {
            lost: sent.saturating_sub(self.arrived),
            twice: self.twice,
            ..Discrepancies::default()
        }
    }
}
