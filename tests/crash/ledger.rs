//! What was acknowledged, what arrived, and whether the two go together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One message: its Topic Name, the QoS at which it was published, and its place among those.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub topic: String,
    pub qos: u8,
    pub number: u64,
}

impl Key {
    /// The payload that says QoS and number; the topic says the rest.
    pub fn payload(&self) -> Vec<u8> {
        format!("{} {}", self.qos, self.number).into_bytes()
    }

    /// The key of a message that arrived.
    pub fn of(topic: &str, payload: &[u8]) -> Self {
        let text = std::str::from_utf8(payload).expect("the payload is ours");
        let (qos, number) = text.split_once(' ').expect("the payload is ours");
        Self {
            topic: topic.to_owned(),
            qos: qos.parse().expect("the payload is ours"),
            number: number.parse().expect("the payload is ours"),
        }
    }
}

/// What all actors look at while it goes on.
#[derive(Default)]
pub struct Course {
    /// How many messages have been acknowledged.
    pub acknowledged: AtomicU64,
    /// How many readers have been granted their subscription.
    pub granted: AtomicU64,
    /// Nothing new is published any more.
    pub finishing: AtomicBool,
    /// Everything has arrived, or never will: readers leave.
    pub over: AtomicBool,
}

impl Course {
    pub fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// What a publisher knows in the end.
#[derive(Debug, Default)]
pub struct Published {
    /// Messages that were acknowledged: PUBACK or PUBREC came.
    pub acknowledged: Vec<Key>,
    /// The last retained value of each topic.
    pub retained: BTreeMap<String, Vec<u8>>,
}

/// What arrived at one reader, or at the members of one group, in its order.
#[derive(Debug, Default)]
pub struct Arrived {
    log: Vec<Key>,
    seen: HashMap<Key, u32>,
}

impl Arrived {
    pub fn push(&mut self, key: Key) {
        *self.seen.entry(key.clone()).or_default() += 1;
        self.log.push(key);
    }

    /// How many different messages.
    pub fn distinct(&self) -> usize {
        self.seen.len()
    }

    /// What was acknowledged and has not come.
    pub fn missing<'a>(&self, acknowledged: impl Iterator<Item = &'a Key>) -> Vec<&'a Key> {
        acknowledged
            .filter(|key| !self.seen.contains_key(*key))
            .collect()
    }

    /// What came more than once at a QoS that forbids it.
    pub fn repeated(&self) -> Vec<&Key> {
        let seen = self.seen.iter();
        let seen = seen.filter(|(key, count)| key.qos == 2 && **count > 1);
        seen.map(|(key, _)| key).collect()
    }

    /// First occurrences that came after a later message of the same publisher, topic and QoS.
    pub fn out_of_order(&self) -> Vec<&Key> {
        let mut before = HashSet::new();
        let mut last: HashMap<(&str, u8), u64> = HashMap::new();
        let mut wrong = Vec::new();
        for key in &self.log {
            if !before.insert(key) {
                continue;
            }
            let last = last.entry((&key.topic, key.qos)).or_default();
            if key.number <= *last {
                wrong.push(key);
            }
            *last = key.number.max(*last);
        }
        wrong
    }
}

/// A few of these, and how many there are, for a message.
pub fn some(keys: &[&Key]) -> String {
    let mut text = format!("{} in all:", keys.len());
    for key in keys.iter().take(10) {
        let _ = write!(text, " {} qos {} #{},", key.topic, key.qos, key.number);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(of: &[(u8, u64)]) -> Arrived {
        let mut arrived = Arrived::default();
        for (qos, number) in of.iter().copied() {
            let topic = "a".to_owned();
            let key = Key { topic, qos, number };
            assert_eq!(Key::of(&key.topic, &key.payload()), key);
            arrived.push(key);
        }
        arrived
    }

    // Breaks if: the ledger does not notice what it is there to notice.
    #[test]
    fn the_ledger_notices() {
        let good = arrived(&[(1, 1), (2, 1), (1, 2), (1, 1), (1, 2), (2, 2), (1, 3)]);
        assert!(good.repeated().is_empty() && good.out_of_order().is_empty());
        assert_eq!(good.distinct(), 5);
        let twice = arrived(&[(2, 1), (2, 2), (2, 1)]);
        assert_eq!(twice.repeated().len(), 1);
        assert!(twice.out_of_order().is_empty());
        let late = arrived(&[(1, 1), (1, 3), (2, 1), (1, 2)]);
        assert_eq!(late.out_of_order().len(), 1);
        let all: Vec<_> = good.log.iter().collect();
        assert_eq!(late.missing(all.iter().copied()).len(), 1);
        assert!(good.missing(all.into_iter()).is_empty());
    }
}
