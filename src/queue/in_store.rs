//! Numbers of messages that are in the store only.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::chunked::Chunked;
use super::delivery::{Stored, SubscriptionIds};
use crate::codec::QoS;

/// Messages that are in the store only, in their order: sixteen bytes for each, however many there are.
///
/// ```text
///   number: 64 │ Subscription Identifiers, by place: 32 │ RETAIN: 1 │ QoS: 2 │ size: 29
/// ```
#[derive(Clone, Debug, Default)]
pub struct InStore {
    entries: Chunked<Entry>,
    /// What entries mean by places above 0, in which all are different.
    ids: Vec<SubscriptionIds>,
    places: HashMap<SubscriptionIds, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// 0 stands for a message that is not in the store: see [`InStore::push_gap`].
    number: u64,
    ids: u32,
    rest: u32,
}

/// A Control Packet is shorter than 2^28 bytes, and what a message adds to that fits into the other half.
const SIZE: u32 = (1 << 29) - 1;
const QOS: u32 = 29;
const RETAIN: u32 = 31;

/// What is at the front.
pub(super) enum Front {
    Stored(Stored),
    Gap,
}

impl Entry {
    const GAP: Self = Self {
        number: 0,
        ids: 0,
        rest: 0,
    };

    fn size(self) -> usize {
        (self.rest & SIZE) as usize
    }
}

impl InStore {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends one.
    pub fn push(&mut self, stored: Stored) {
        let ids = self.place(stored.subscription_ids);
        let retain = u32::from(stored.retain) << RETAIN;
        self.entries.push_back(Entry {
            number: stored.number.get(),
            ids,
            rest: stored.size.min(SIZE) | (stored.qos as u32) << QOS | retain,
        });
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Stored> + '_ {
        self.entries.iter().map_while(|it| self.stored(*it))
    }

    /// The sum of their sizes, as far as they are known.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|it| it.size()).sum()
    }

    /// Leaves the place of one message to somebody else.
    pub(super) fn push_gap(&mut self) {
        self.entries.push_back(Entry::GAP);
    }

    pub(super) fn front(&self) -> Option<Front> {
        let front = *self.entries.front()?;
        Some(self.stored(front).map_or(Front::Gap, Front::Stored))
    }

    pub(super) fn pop(&mut self) -> Option<Front> {
        let front = self.front()?;
        self.entries.pop_front();
        Some(front)
    }

    fn place(&mut self, ids: SubscriptionIds) -> u32 {
        if ids.as_slice().is_empty() {
            return 0;
        }
        let next = self.ids.len() as u32 + 1;
        let place = *self.places.entry(ids.clone()).or_insert(next);
        if place == next {
            self.ids.push(ids);
        }
        place
    }

    fn stored(&self, entry: Entry) -> Option<Stored> {
        let ids = entry.ids.checked_sub(1);
        let ids = ids.and_then(|place| self.ids.get(place as usize));
        let qos = (entry.rest >> QOS) as u8 & 3;
        Some(Stored {
            number: NonZeroU64::new(entry.number)?,
            subscription_ids: ids.cloned().unwrap_or_default(),
            size: entry.rest & SIZE,
            // It was one when it was pushed.
            qos: QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce),
            retain: entry.rest >> RETAIN != 0,
        })
    }
}

impl FromIterator<Stored> for InStore {
    fn from_iter<I: IntoIterator<Item = Stored>>(all: I) -> Self {
        let mut stored = Self::default();
        all.into_iter().for_each(|it| stored.push(it));
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a field runs into its neighbour, or identifiers are mixed up.
    #[test]
    fn what_is_packed_is_what_comes_out() {
        let ids = [vec![], vec![1], vec![1, 268_435_455], vec![1], vec![]];
        let sizes = [0, 1, 1 << 28, SIZE, 77];
        let qos = [
            QoS::AtLeastOnce,
            QoS::ExactlyOnce,
            QoS::AtMostOnce,
            QoS::ExactlyOnce,
            QoS::AtLeastOnce,
        ];
        let made = |at: usize| Stored {
            number: NonZeroU64::new(u64::MAX - at as u64).expect("not 0"),
            subscription_ids: SubscriptionIds::new(&ids[at]),
            size: sizes[at],
            qos: qos[at],
            retain: at % 2 == 1,
        };
        let mut packed: InStore = (0..5).map(made).collect();
        assert_eq!((packed.len(), packed.ids.len()), (5, 2), "none twice");
        let plain = |it: Stored| {
            let ids = it.subscription_ids.as_slice().to_vec();
            (it.number, ids, it.size, it.qos, it.retain)
        };
        let all: Vec<_> = packed.iter().map(plain).collect();
        assert_eq!(all, (0..5).map(|at| plain(made(at))).collect::<Vec<_>>());
        packed.push_gap();
        for at in 0..5 {
            match packed.pop() {
                Some(Front::Stored(it)) => assert_eq!(plain(it), plain(made(at))),
                _ => panic!("number {at} is stored"),
            }
        }
        assert!(matches!(packed.pop(), Some(Front::Gap)));
        assert!(packed.is_empty());
    }
}
