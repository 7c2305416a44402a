//! What one session has subscribed to.

use crate::codec::SubscriptionOptions;
use crate::topic::filter;

/// One subscription as granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Options as granted.
    pub options: SubscriptionOptions,
    /// Its Subscription Identifier, if it has one.
    pub id: Option<u32>,
}

/// A session's subscriptions, sorted by their Topic Filter (ShareName included), so that a few cost
/// little memory and thousands are still found quickly.
#[derive(Debug, Default)]
pub struct Subscriptions {
    sorted: Vec<(Box<str>, Subscribed)>,
    /// What all of them cost.
    bytes: usize,
}

/// Bytes that a `+` costs in the tree of all filters, where it is a node of its own; literal levels
/// share one. Without this, 64 KiB of `+/+/…` would be let in at a fraction of what they hold.
const WILDCARD_COST: usize = 64;

/// The bytes that a filter counts for, in the bound on those of one session.
pub fn cost(filter: &str) -> usize {
    let wildcards = filter.bytes().filter(|byte| *byte == b'+').count();
    filter.len() + wildcards * WILDCARD_COST
}

impl Subscriptions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The [`cost`] of all filters, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Whether `filter` is subscribed to.
    pub fn contains(&self, filter: &str) -> bool {
        self.find(filter).is_ok()
    }

    /// What `filter` is subscribed with, if it is.
    pub fn get(&self, filter: &str) -> Option<Subscribed> {
        let index = self.find(filter).ok()?;
        Some(self.sorted[index].1)
    }

    /// Adds or replaces; returns what was replaced. [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]
    pub fn insert(&mut self, filter: &str, subscribed: Subscribed) -> Option<Subscribed> {
        match self.find(filter) {
            Ok(index) => Some(std::mem::replace(&mut self.sorted[index].1, subscribed)),
            Err(index) => {
                if self.sorted.len() == self.sorted.capacity() {
                    // Most sessions have very few: doubling from four would waste half of it.
                    self.sorted.reserve_exact(1 + self.sorted.len() / 2);
                }
                self.bytes += cost(filter);
                self.sorted.insert(index, (filter.into(), subscribed));
                None
            }
        }
    }

    /// Removes one; filters are compared byte for byte. [MQTT5-3.10.4-1] [MQTT311-3.10.4-1]
    pub fn remove(&mut self, filter: &str) -> Option<Subscribed> {
        let index = self.find(filter).ok()?;
        let (_, subscribed) = self.sorted.remove(index);
        self.bytes -= cost(filter);
        if self.sorted.len() < self.sorted.capacity() / 4 {
            self.sorted.shrink_to_fit();
        }
        Some(subscribed)
    }

    /// All of them, sorted by filter.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Subscribed)> {
        self.sorted
            .iter()
            .map(|(filter, subscribed)| (&**filter, subscribed))
    }

    /// Whether any of them matches a Topic Name, by itself or for a group.
    pub fn match_any(&self, topic: &str) -> bool {
        self.sorted.iter().any(|(text, _)| {
            let plain = filter::parse(text).map_or(&**text, |parsed| parsed.filter);
            filter::matches(plain, topic)
        })
    }

    fn find(&self, filter: &str) -> Result<usize, usize> {
        self.sorted
            .binary_search_by(|(known, _)| (**known).cmp(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::QoS;

    const SUBSCRIBED: Subscribed = Subscribed {
        options: SubscriptionOptions::v3(QoS::AtMostOnce),
        id: None,
    };

    #[test]
    fn a_filter_costs_its_bytes_and_a_wildcard_level_more() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a/b", SUBSCRIBED);
        assert_eq!(subscriptions.bytes(), 3);
        subscriptions.insert("a/+/+", SUBSCRIBED);
        assert_eq!(subscriptions.bytes(), 3 + 5 + 2 * WILDCARD_COST);
        subscriptions.remove("a/+/+");
        assert_eq!(subscriptions.bytes(), 3);
    }

    #[test]
    fn the_same_filter_replaces_and_another_does_not() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.insert("b", SUBSCRIBED), None);
        assert_eq!(subscriptions.insert("a", SUBSCRIBED), None);
        let with_id = Subscribed {
            id: Some(7),
            ..SUBSCRIBED
        };
        assert_eq!(subscriptions.insert("b", with_id), Some(SUBSCRIBED));
        let all: Vec<_> = subscriptions
            .iter()
            .map(|(filter, s)| (filter, s.id))
            .collect();
        assert_eq!(all, [("a", None), ("b", Some(7))]);
    }

    #[test]
    fn a_topic_is_matched_by_any_of_them() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a/+", SUBSCRIBED);
        subscriptions.insert("$share/g/b/#", SUBSCRIBED);
        assert!(subscriptions.match_any("a/x") && subscriptions.match_any("b"));
        assert!(!subscriptions.match_any("a/x/y") && !subscriptions.match_any("$share/g/b"));
    }

    #[test]
    fn removal_compares_byte_for_byte() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("Aa", SUBSCRIBED);
        assert_eq!(subscriptions.remove("aa"), None);
        assert!(subscriptions.contains("Aa"));
        assert_eq!(subscriptions.remove("Aa"), Some(SUBSCRIBED));
        assert!(subscriptions.is_empty());
    }
}
