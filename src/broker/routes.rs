//! The routes that a connection remembers of the topics it publishes to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pubsub::{Route, Stamp};

use super::shared::{GroupRef, SessionRef};

/// A route as the broker uses it.
pub(super) type SharedRoute = Arc<Route<SessionRef, GroupRef>>;

/// Remembered routes, each with the stamp under which it holds. Small and forgetful: at a bound it
/// forgets everything, for a publisher with more topics than that gains little from memory.
#[derive(Default)]
pub(super) struct Routes {
    entries: Vec<Remembered>,
    index: HashMap<Box<str>, usize>,
    /// The entry of the last message: nearly always that of the next one too.
    last: usize,
    /// Recipients of all entries: what they keep in memory.
    recipients: usize,
}

struct Remembered {
    topic: Box<str>,
    stamp: Stamp,
    route: SharedRoute,
}

/// Topics remembered per connection, and the longest worth it.
const TOPICS: usize = 64;
const TOPIC_LENGTH: usize = 512;

/// Recipients of all remembered routes of a connection, above which it starts anew.
const RECIPIENTS: usize = 16_384;

impl Routes {
    /// The route of `topic`, remembered if it still holds, or made by `look_up`.
    pub(super) fn get(
        &mut self,
        topic: &str,
        holds: impl Fn(Stamp) -> bool,
        look_up: impl FnOnce() -> (Stamp, SharedRoute),
    ) -> SharedRoute {
        let last = self
            .entries
            .get(self.last)
            .filter(|entry| *entry.topic == *topic);
        if last.is_none() {
            match self.index.get(topic) {
                Some(index) => self.last = *index,
                None => return self.remember(topic, look_up()),
            }
        }
        let entry = &mut self.entries[self.last];
        if !holds(entry.stamp) {
            self.recipients -= entry.route.recipients.len();
            (entry.stamp, entry.route) = look_up();
            self.recipients += entry.route.recipients.len();
        }
        let route = Arc::clone(&entry.route);
        if self.recipients > RECIPIENTS {
            *self = Self::default();
        }
        route
    }

    fn remember(&mut self, topic: &str, (stamp, route): (Stamp, SharedRoute)) -> SharedRoute {
        if topic.len() > TOPIC_LENGTH || route.recipients.len() > RECIPIENTS {
            return route;
        }
        if self.entries.len() >= TOPICS || self.recipients + route.recipients.len() > RECIPIENTS {
            *self = Self::default();
        }
        self.recipients += route.recipients.len();
        self.last = self.entries.len();
        self.index.insert(topic.into(), self.last);
        self.entries.push(Remembered {
            topic: topic.into(),
            stamp,
            route: Arc::clone(&route),
        });
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Generations;

    fn empty() -> SharedRoute {
        Arc::new(Route {
            recipients: Vec::new(),
            groups: Vec::new(),
        })
    }

    #[test]
    fn a_route_is_looked_up_once_for_as_long_as_it_holds() {
        let generations = Generations::default();
        let mut routes = Routes::default();
        let mut look_ups = 0;
        let mut get = |topic: &str| {
            routes.get(
                topic,
                |stamp| generations.holds(stamp),
                || {
                    look_ups += 1;
                    (generations.stamp(topic), empty())
                },
            );
            look_ups
        };
        assert_eq!(
            (get("a"), get("a"), get("b"), get("a"), get("b")),
            (1, 1, 2, 2, 2)
        );
        generations.changed("#");
        assert_eq!((get("a"), get("a"), get("b")), (3, 3, 4));
    }

    #[test]
    fn memory_of_routes_is_bounded() {
        let generations = Generations::default();
        let mut routes = Routes::default();
        for n in 0..1000 {
            let topic = format!("t/{n}");
            routes.get(&topic, |_| true, || (generations.stamp(&topic), empty()));
        }
        assert!(routes.entries.len() <= TOPICS);
        assert_eq!(routes.entries.len(), routes.index.len());
    }
}
