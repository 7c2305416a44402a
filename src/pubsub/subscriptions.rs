//! Topic Filters to subscribers, and a Topic Name to its route.
//!
//! Nearly every filter has one subscriber, so that case is kept in the trie itself:
//!
//! ```text
//!   trie: filter ──> One(subscriber, granted)
//!                └─> Many ──> plain: subscriber -> granted     (a list, or a map when it is long)
//!                         └─> groups: ShareName -> group
//! ```

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;

use crate::codec::{QoS, SubscriptionOptions};
use crate::queue::SubscriptionIds;
use crate::topic::trie::Trie;

/// What a subscription was granted, as small as a million of them should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its Subscription Identifier, if it has one.
    pub id: Option<NonZeroU32>,
    /// Maximum QoS of its deliveries. [MQTT5-3.8.4-8] [MQTT311-3.8.4-6]
    pub qos: QoS,
    /// Nothing comes back to the publisher itself. [MQTT5-3.8.3-3]
    pub no_local: bool,
    /// RETAIN is passed on as published. [MQTT5-3.3.1-13]
    pub retain_as_published: bool,
}

impl Granted {
    /// What these options, and this identifier, ask for.
    pub fn new(options: SubscriptionOptions, id: Option<u32>) -> Self {
        Self {
            id: id.and_then(NonZeroU32::new),
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
        }
    }
}

/// One session that gets a message, once, whatever the number of its subscriptions that match.
#[derive(Clone, Debug)]
pub struct Recipient<S> {
    /// Who.
    pub subscriber: S,
    /// The highest QoS that a matching subscription grants. [MQTT5-3.3.4-2] [MQTT311-3.3.5-1]
    pub qos: QoS,
    /// Whether a matching subscription wants RETAIN as published.
    pub retain_as_published: bool,
    /// The identifiers of all matching subscriptions. [MQTT5-3.3.4-3] [MQTT5-3.3.4-4]
    pub ids: SubscriptionIds,
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub struct Route<S, G> {
    /// Sessions, each once.
    pub recipients: Vec<Recipient<S>>,
    /// Groups, each of which gives it to one member.
    pub groups: Vec<G>,
    /// How many sessions are left out that have subscribed, but may not have it.
    pub withheld: usize,
}

impl<S, G> Route<S, G> {
    /// Whether nobody gets the message.
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.groups.is_empty()
    }
}

/// All subscriptions of the broker. `S` is a subscriber's handle, `G` a group's.
pub struct Subscriptions<S, G> {
    trie: Trie<Entry<S, G>>,
    count: usize,
}

enum Entry<S, G> {
    One(S, Granted),
    Many(Box<Many<S, G>>),
}

struct Many<S, G> {
    plain: Plain<S>,
    groups: Vec<(Box<str>, G)>,
}

enum Plain<S> {
    List(Vec<(S, Granted)>),
    Map(HashMap<S, Granted>),
}

impl<S: Clone + Ord + Hash, G: Clone> Default for Subscriptions<S, G> {
    fn default() -> Self {
        Self {
            trie: Trie::new(),
            count: 0,
        }
    }
}

impl<S: Clone + Ord + Hash, G: Clone> Subscriptions<S, G> {
    /// Plain subscriptions, and members of groups are not counted: each group is one.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Heap bytes of the trie itself.
    pub fn memory(&self) -> usize {
        self.trie.memory()
    }

    /// Adds a subscription, or replaces the one that `subscriber` has to this filter.
    // [MQTT5-3.8.4-3] [MQTT311-3.8.4-3]
    pub fn subscribe(&mut self, filter: &str, subscriber: S, granted: Granted) {
        let mut added = false;
        let entry = self.trie.entry(filter, || {
            added = true;
            Entry::One(subscriber.clone(), granted)
        });
        if !added {
            added = match entry {
                Entry::One(only, before) if *only == subscriber => {
                    *before = granted;
                    false
                }
                Entry::One(..) => {
                    entry.many().plain.insert(subscriber, granted);
                    true
                }
                Entry::Many(many) => many.plain.insert(subscriber, granted),
            };
        }
        self.count += usize::from(added);
    }

    /// Removes a subscription; returns whether there was one.
    // [MQTT5-3.10.4-1] [MQTT311-3.10.4-1]
    pub fn unsubscribe(&mut self, filter: &str, subscriber: &S) -> bool {
        let Some(entry) = self.trie.get_mut(filter) else {
            return false;
        };
        let removed = match entry {
            Entry::One(only, _) => *only == *subscriber,
            Entry::Many(many) => many.plain.remove(subscriber),
        };
        if removed {
            self.count -= 1;
            self.prune(filter);
        }
        removed
    }

    /// The group of this ShareName and filter, made by `make` if there is none yet.
    pub fn group(&mut self, filter: &str, share: &str, make: impl FnOnce() -> G) -> G {
        let entry = self
            .trie
            .entry(filter, || Entry::Many(Box::new(Many::new())));
        let groups = &mut entry.many().groups;
        if let Some((_, group)) = groups.iter().find(|(name, _)| **name == *share) {
            return group.clone();
        }
        let group = make();
        groups.push((share.into(), group.clone()));
        self.count += 1;
        group
    }

    /// The group of this ShareName and filter, if there is one.
    pub fn find_group(&self, filter: &str, share: &str) -> Option<&G> {
        match self.trie.get(filter)? {
            Entry::One(..) => None,
            Entry::Many(many) => many
                .groups
                .iter()
                .find(|(name, _)| **name == *share)
                .map(|(_, group)| group),
        }
    }

    /// Shows every group, in no order.
    pub fn groups(&self, mut visit: impl FnMut(&G)) {
        self.trie.values(|entry| {
            if let Entry::Many(many) = entry {
                many.groups.iter().for_each(|(_, group)| visit(group));
            }
        });
    }

    /// Removes a group.
    pub fn remove_group(&mut self, filter: &str, share: &str) -> Option<G> {
        let Some(Entry::Many(many)) = self.trie.get_mut(filter) else {
            return None;
        };
        let index = many.groups.iter().position(|(name, _)| **name == *share)?;
        let (_, group) = many.groups.swap_remove(index);
        self.count -= 1;
        self.prune(filter);
        Some(group)
    }

    /// Makes an entry as small as what it holds.
    fn prune(&mut self, filter: &str) {
        let Some(entry) = self.trie.get_mut(filter) else {
            return;
        };
        let only = match entry {
            Entry::One(..) => None,
            Entry::Many(many) if many.groups.is_empty() => match many.plain.len() {
                0 => None,
                1 => many.plain.first(),
                _ => return,
            },
            Entry::Many(_) => return,
        };
        match only {
            Some((subscriber, granted)) => *entry = Entry::One(subscriber, granted),
            None => drop(self.trie.remove(filter)),
        }
    }

    /// Who gets a message on `topic`, published by `publisher`: each session once, at the highest
    /// QoS and with the identifiers of all its subscriptions that match.
    pub fn route(&self, topic: &str, publisher: Option<&S>) -> Route<S, G> {
        let mut matched: Vec<(&S, Granted)> = Vec::new();
        let mut groups = Vec::new();
        let mut filters = 0;
        self.trie.matches(topic, |entry| {
            filters += 1;
            match entry {
                Entry::One(subscriber, granted) => matched.push((subscriber, *granted)),
                Entry::Many(many) => {
                    many.plain
                        .for_each(|subscriber, granted| matched.push((subscriber, granted)));
                    groups.extend(many.groups.iter().map(|(_, group)| group.clone()));
                }
            }
        });
        // [MQTT5-3.8.3-3]
        matched.retain(|(subscriber, granted)| !granted.no_local || publisher != Some(subscriber));
        if filters > 1 {
            // Only several filters can match the same subscriber more than once.
            matched.sort_by_key(|(subscriber, _)| *subscriber);
        }
        Route {
            recipients: merge(&matched),
            groups,
            withheld: 0,
        }
    }
}

/// One recipient for each run of entries of the same subscriber.
fn merge<S: Clone + Ord>(matched: &[(&S, Granted)]) -> Vec<Recipient<S>> {
    let mut recipients = Vec::with_capacity(matched.len());
    let mut ids = Vec::new();
    for run in matched.chunk_by(|(a, _), (b, _)| a == b) {
        ids.clear();
        ids.extend(
            run.iter()
                .filter_map(|(_, granted)| granted.id.map(NonZeroU32::get)),
        );
        let granted = run.iter().map(|(_, granted)| granted);
        recipients.push(Recipient {
            subscriber: run[0].0.clone(),
            qos: granted
                .clone()
                .map(|granted| granted.qos)
                .max()
                .unwrap_or(QoS::AtMostOnce),
            retain_as_published: granted.clone().any(|granted| granted.retain_as_published),
            ids: SubscriptionIds::new(&ids),
        });
    }
    recipients
}

impl<S: Clone + Ord + Hash, G> Entry<S, G> {
    /// The entry in its long form.
    fn many(&mut self) -> &mut Many<S, G> {
        if let Self::One(subscriber, granted) = self {
            let mut many = Box::new(Many::new());
            many.plain.insert(subscriber.clone(), *granted);
            *self = Self::Many(many);
        }
        match self {
            Self::Many(many) => many,
            Self::One(..) => unreachable!("made long above"),
        }
    }
}

impl<S: Clone + Ord + Hash, G> Many<S, G> {
    fn new() -> Self {
        Self {
            plain: Plain::List(Vec::new()),
            groups: Vec::new(),
        }
    }
}

/// Subscribers of one filter from which a map is faster than a list to search.
const LONG: usize = 16;

impl<S: Clone + Ord + Hash> Plain<S> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
        }
    }

    /// Adds or replaces; returns whether it was added.
    fn insert(&mut self, subscriber: S, granted: Granted) -> bool {
        if let Self::List(list) = self {
            if let Some((_, before)) = list.iter_mut().find(|(known, _)| *known == subscriber) {
                *before = granted;
                return false;
            }
            if list.len() < LONG {
                list.push((subscriber, granted));
                return true;
            }
            *self = Self::Map(list.drain(..).collect());
        }
        match self {
            Self::Map(map) => map.insert(subscriber, granted).is_none(),
            Self::List(_) => false,
        }
    }

    fn remove(&mut self, subscriber: &S) -> bool {
        match self {
            Self::List(list) => {
                let index = list.iter().position(|(known, _)| known == subscriber);
                index.map(|index| list.swap_remove(index)).is_some()
            }
            Self::Map(map) => {
                let removed = map.remove(subscriber).is_some();
                if map.len() < LONG / 2 {
                    *self = Self::List(map.drain().collect());
                } else if map.len() < map.capacity() / 4 {
                    map.shrink_to_fit();
                }
                removed
            }
        }
    }

    fn first(&self) -> Option<(S, Granted)> {
        match self {
            Self::List(list) => list.first().cloned(),
            Self::Map(map) => map.iter().next().map(|(s, granted)| (s.clone(), *granted)),
        }
    }

    fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a S, Granted)) {
        match self {
            Self::List(list) => list.iter().for_each(|(s, granted)| visit(s, *granted)),
            Self::Map(map) => map.iter().for_each(|(s, granted)| visit(s, *granted)),
        }
    }
}

#[cfg(test)]
mod tests;
