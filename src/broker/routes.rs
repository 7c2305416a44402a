//! What a connection remembers of the topics it publishes to: where they go, and whether it may.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::{QoS, ReasonCode};
use crate::pubsub::{Route, Stamp};

use super::shared::{GroupRef, SessionRef};

/// A route as the broker uses it.
pub(super) type SharedRoute = Arc<Route<SessionRef, GroupRef>>;

/// What is remembered of topics: their routes and whether the client may publish to them, each with what
/// makes it hold. Small and forgetful: at a bound it forgets everything, for a publisher with more topics
/// than that gains little from memory.
#[derive(Default)]
pub(super) struct Routes {
    entries: Vec<Remembered>,
    /// Where the entry of a topic is, once there is more than one.
    index: Option<Box<Index>>,
    /// The entry of the last message: nearly always that of the next one too.
    last: u32,
    /// Recipients of all entries: what they keep in memory.
    recipients: u32,
}

#[derive(Default)]
struct Index(HashMap<Box<str>, u32>);

struct Remembered {
    topic: Box<str>,
    route: Option<(Holds, SharedRoute)>,
    rulings: Rulings,
}

/// For how long a route holds: until subscriptions, permissions or the time say otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    pub stamp: Stamp,
    /// The generation of permissions.
    pub permissions: u64,
    pub until: Option<Instant>,
}

impl Holds {
    pub(super) fn is_in_time(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// With which QoS, and whether to be retained.
pub(super) type How = (QoS, bool);

/// Whether a client may publish to a topic, for each [`How`].
#[derive(Clone, Copy, Debug, Default)]
struct Rulings {
    /// The generation of permissions under which they were made; there is none with number 0.
    generation: u64,
    until: Option<Instant>,
    /// 0: not known. Otherwise a Reason Code, or [`PERMITTED`].
    codes: [u8; 6],
}

/// No Reason Code that refuses.
const PERMITTED: u8 = 1;

impl Rulings {
    fn index((qos, retain): How) -> usize {
        qos as usize * 2 + usize::from(retain)
    }

    fn hold(&self, generation: u64, now: Instant) -> bool {
        self.generation == generation && self.until.is_none_or(|until| now < until)
    }
}

/// Topics remembered per connection, and the longest worth it.
const TOPICS: usize = 64;
const TOPIC_LENGTH: usize = 512;

/// Recipients of all remembered routes of a connection, above which it starts anew.
const RECIPIENTS: u32 = 16_384;

impl Routes {
    /// The entry of a topic, if there is one.
    fn find(&mut self, topic: &str) -> Option<&mut Remembered> {
        let last = self.entries.get(self.last as usize);
        if last.is_none_or(|entry| *entry.topic != *topic) {
            self.last = *self.index.as_ref()?.0.get(topic)?;
        }
        self.entries.get_mut(self.last as usize)
    }

    /// The entry of a topic, a new one if need be; nothing if it is not worth remembering.
    fn entry(&mut self, topic: &str) -> Option<&mut Remembered> {
        if self.find(topic).is_none() {
            if topic.len() > TOPIC_LENGTH {
                return None;
            }
            if self.entries.len() >= TOPICS {
                *self = Self::default();
            }
            self.last = self.entries.len() as u32;
            self.entries.push(Remembered {
                topic: topic.into(),
                route: None,
                rulings: Rulings::default(),
            });
            self.note_last();
        }
        self.entries.get_mut(self.last as usize)
    }

    /// The entry that was added last can be found from now on.
    fn note_last(&mut self) {
        if let [first, _] = &self.entries[..] {
            let index = self.index.get_or_insert_default();
            index.0.insert(first.topic.clone(), 0);
        }
        if let (Some(index), Some(added)) = (&mut self.index, self.entries.last()) {
            index.0.insert(added.topic.clone(), self.last);
        }
    }

    /// Whether a message may be published to `topic`, if that is remembered: then with what it is refused,
    /// if it is.
    pub(super) fn ruling(
        &mut self,
        topic: &str,
        how: How,
        generation: u64,
        now: Instant,
    ) -> Option<Option<ReasonCode>> {
        let rulings = &self.find(topic)?.rulings;
        let code = rulings.codes[Rulings::index(how)];
        match code {
            0 => None,
            _ if !rulings.hold(generation, now) => None,
            PERMITTED => Some(None),
            code => ReasonCode::from_byte(code).map(Some),
        }
    }

    /// Remembers a ruling that was made under this generation of permissions, now, to hold until then at
    /// most.
    pub(super) fn remember_ruling(
        &mut self,
        topic: &str,
        how: How,
        (generation, now, until): (u64, Instant, Option<Instant>),
        refused: Option<ReasonCode>,
    ) {
        let Some(entry) = self.entry(topic) else {
            return;
        };
        // What is added to others holds no longer than they do.
        if !entry.rulings.hold(generation, now) {
            entry.rulings = Rulings {
                generation,
                until,
                codes: [0; 6],
            };
        }
        entry.rulings.codes[Rulings::index(how)] = refused.map_or(PERMITTED, |code| code as u8);
    }

    /// The route of `topic`, remembered if it still holds, or made by `look_up`.
    pub(super) fn get(
        &mut self,
        topic: &str,
        holds: impl Fn(&Holds) -> bool,
        look_up: impl FnOnce() -> (Holds, SharedRoute),
    ) -> SharedRoute {
        let known = self.find(topic).and_then(|entry| entry.route.as_ref());
        if let Some((_, route)) = known.filter(|(until, _)| holds(until)) {
            return Arc::clone(route);
        }
        let (until, route) = look_up();
        if route.recipients.len() <= RECIPIENTS as usize {
            self.remember(topic, until, &route);
        }
        route
    }

    fn remember(&mut self, topic: &str, until: Holds, route: &SharedRoute) {
        let Some(entry) = self.entry(topic) else {
            return;
        };
        let before = entry.route.replace((until, Arc::clone(route)));
        // A route with more of them is not remembered.
        self.recipients -= before.map_or(0, |(_, route)| route.recipients.len() as u32);
        self.recipients += route.recipients.len() as u32;
        if self.recipients > RECIPIENTS {
            *self = Self::default();
        }
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
            withheld: 0,
        })
    }

    fn holds(generations: &Generations, topic: &str) -> Holds {
        Holds {
            stamp: generations.stamp(topic),
            permissions: 1,
            until: None,
        }
    }

    #[test]
    fn a_route_is_looked_up_once_for_as_long_as_it_holds() {
        let generations = Generations::default();
        let mut routes = Routes::default();
        let mut look_ups = 0;
        let mut get = |topic: &str| {
            routes.get(
                topic,
                |until| generations.holds(until.stamp),
                || {
                    look_ups += 1;
                    (holds(&generations, topic), empty())
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
        let now = Instant::now();
        for n in 0..1000 {
            let topic = format!("t/{n}");
            let look_up = || (holds(&generations, &topic), empty());
            routes.get(&topic, |_| true, look_up);
            let how = (QoS::AtMostOnce, false);
            routes.remember_ruling(&format!("only asked/{n}"), how, (1, now, None), None);
        }
        assert!(routes.entries.len() <= TOPICS);
        let indexed = routes.index.as_ref().map_or(0, |index| index.0.len());
        assert_eq!(routes.entries.len(), indexed);
    }

    // Breaks if: a ruling is taken for one about another topic, QoS or RETAIN flag, or outlives its
    // generation or its time.
    #[test]
    fn a_ruling_is_remembered_for_what_was_asked_and_no_longer_than_it_holds() {
        let mut routes = Routes::default();
        let now = Instant::now();
        let (zero, one) = ((QoS::AtMostOnce, false), (QoS::AtLeastOnce, false));
        let no = ReasonCode::NotAuthorized;
        assert_eq!(routes.ruling("a", zero, 1, now), None);
        routes.remember_ruling("a", zero, (1, now, None), None);
        routes.remember_ruling("a", one, (1, now, None), Some(no));
        assert_eq!(routes.ruling("a", zero, 1, now), Some(None));
        assert_eq!(routes.ruling("a", one, 1, now), Some(Some(no)));
        assert_eq!(routes.ruling("a", (QoS::AtLeastOnce, true), 1, now), None);
        assert_eq!(routes.ruling("b", zero, 1, now), None);
        assert_eq!(routes.ruling("a", zero, 2, now), None);
        let until = now + std::time::Duration::from_secs(5);
        routes.remember_ruling("a", one, (2, now, Some(until)), None);
        assert_eq!(routes.ruling("a", one, 2, now), Some(None));
        assert_eq!(routes.ruling("a", zero, 2, now), None, "of before");
        assert_eq!(routes.ruling("a", one, 2, until), None);
    }
}
