//! Random legal conversations of two or three clients, from a seed.
//!
//! The command that runs all tests holds [`CONVERSATIONS`] of them. `DIFFERENTIAL_CONVERSATIONS=3000` holds more,
//! `DIFFERENTIAL_SEED=17` begins with that seed; a failure names its own. Clients speak either version; they come,
//! resume, leave and are cut off with a Will, take over their own session, subscribe, publish at each QoS, and
//! acknowledge when it suits them.
//!
//! Left out is what the specifications leave open and what the answers cannot be cleared of ([`super::answers`]):
//!
//! - Retain As Published and the Subscription Identifier are the same for all subscriptions of one client, as its copies
//!   for overlapping subscriptions are merged. So is No Local, which mosquitto does not replace
//!   ([`super::differences`]).
//! - One message of QoS 2 at a time, from PUBLISH to PUBCOMP: it may be routed, and retained, with either PUBLISH or
//!   PUBREL.
//! - A client with several Topic Filters, or one that matches several topics, acknowledges all or nothing: which of
//!   what is retained comes first is open.
//! - No client leaves more than [`OPEN_MAXIMUM`] messages unacknowledged: copies must not fill mosquitto's window
//!   of 20.

use super::dialect::Dialect;
use super::pair::Pair;
use crate::bytes::{
    Connect, Publish, Will, four, number, pair as user_property, prop, pubrel, subscribe_5,
    subscribe_311, text, unsubscribe_5, unsubscribe_311,
};

/// How many conversations are held unless the environment says otherwise.
const CONVERSATIONS: u64 = 200;

/// Messages that may wait for acknowledgements.
const OPEN_MAXIMUM: usize = 5;
/// Topic Filters that a client may have.
const FILTERS_MAXIMUM: usize = 3;

const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "b", "b/c", "/a"];
const FILTERS: [&str; 12] = [
    "a", "a/b", "b", "b/c", "#", "+", "a/#", "a/+", "+/b", "+/+/c", "/+", "will/+",
];

/// A sequence that a seed determines: splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// One client of a conversation.
struct Actor {
    name: String,
    dialect: Dialect,
    lasting: bool,
    retain_as_published: bool,
    no_local: bool,
    subscription_id: Option<usize>,
    /// The Will of the present connection is there.
    has_will: bool,
    /// Topic Filters that the session has had.
    filters: Vec<String>,
    /// Messages published since the last acknowledgement.
    open: usize,
}

impl Actor {
    /// Mosquitto does not keep from a client what it retained itself ([`super::differences`]).
    fn may_retain(&self) -> bool {
        !(self.no_local && self.dialect.is_5())
    }
}

struct Conversation<'a> {
    pair: &'a mut Pair,
    random: Random,
    prefix: String,
    watch: String,
    actors: Vec<Actor>,
    /// Messages so far, which names them.
    messages: usize,
}

impl<'a> Conversation<'a> {
    fn new(pair: &'a mut Pair, seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 2 + random.below(2);
        let actors = (0..count).map(|index| Actor {
            name: format!("r{seed}-{index}"),
            dialect: random.of(&[Dialect::V311, Dialect::V5]),
            lasting: !random.one_in(3),
            retain_as_published: random.one_in(3),
            no_local: random.one_in(4),
            subscription_id: random.one_in(2).then_some(index + 1),
            has_will: false,
            filters: Vec::new(),
            open: 0,
        });
        Self {
            pair,
            actors: actors.collect(),
            random,
            prefix: format!("r{seed}"),
            watch: format!("r{seed}-watch"),
            messages: 0,
        }
    }

    fn hold(&mut self) {
        let connect = Connect::v311(&self.watch);
        self.pair.open(&self.watch, &connect);
        let filter = format!("{}/will/+", self.prefix);
        let subscribe = subscribe_311(1, &[(&filter, 0)]);
        self.pair.send(&self.watch, subscribe);
        let steps = 15 + self.random.below(20);
        for _ in 0..steps {
            let actor = self.random.below(self.actors.len());
            self.step(actor);
            self.relieve();
        }
        for actor in 0..self.actors.len() {
            self.finish(actor);
        }
    }

    fn step(&mut self, actor: usize) {
        if !self.pair.is_open(&self.actors[actor].name) {
            self.open(actor);
            return;
        }
        match self.random.below(32) {
            0..=6 => self.subscribe(actor),
            7..=8 => self.unsubscribe(actor),
            9..=19 => self.publish(actor),
            20 => self.publish_many(actor),
            21..=26 => self.answer(actor),
            27..=28 => self.pair.leave(&self.actors[actor].name),
            29..=30 => self.cut(actor),
            _ => self.take_over(actor),
        }
    }

    /// Lets nobody have more open than is compared well.
    fn relieve(&mut self) {
        for actor in 0..self.actors.len() {
            if self.actors[actor].open >= OPEN_MAXIMUM {
                self.finish(actor);
            }
        }
    }

    /// The client comes if it is away, and acknowledges all there is.
    fn finish(&mut self, actor: usize) {
        if !self.pair.is_open(&self.actors[actor].name) {
            self.open(actor);
        }
        while self.pair.owes(&self.actors[actor].name) {
            self.pair.answer(&self.actors[actor].name);
        }
        self.actors[actor].open = 0;
    }

    fn connect(&mut self, actor: usize) -> Connect {
        let clean = !self.actors[actor].lasting || self.random.one_in(6);
        let wants_will = self.random.one_in(2);
        let topic = format!("{}/will/{actor}", self.prefix);
        let payload = self.payload();
        let (qos, retain) = (self.random.below(3) as u8, self.random.one_in(3));
        let actor = &mut self.actors[actor];
        let mut connect = match (actor.dialect, actor.lasting) {
            (Dialect::V5, true) => Connect::v5(&actor.name).expiry(600),
            (Dialect::V5, false) => Connect::v5(&actor.name),
            (Dialect::V311, _) => Connect::v311(&actor.name),
        };
        connect = connect.clean(clean);
        if clean {
            actor.filters.clear();
            actor.open = 0;
        }
        actor.has_will = wants_will;
        if wants_will {
            let will = Will::new(topic, payload).qos(qos);
            let retain = retain && actor.may_retain();
            connect = connect.will(if retain { will.retain() } else { will });
        }
        connect
    }

    fn open(&mut self, actor: usize) {
        let connect = self.connect(actor);
        self.pair.open(&self.actors[actor].name, &connect);
    }

    /// The Will goes to the watch, which tells that the broker has noticed; who has none says goodbye.
    fn cut(&mut self, actor: usize) {
        let name = self.actors[actor].name.clone();
        if !self.actors[actor].has_will {
            self.pair.leave(&name);
            return;
        }
        self.pair.cut(&name, &self.watch);
        self.count_message();
    }

    /// Only without a Will: mosquitto forgets that of a session which goes on ([`super::differences`]).
    fn take_over(&mut self, actor: usize) {
        if !self.actors[actor].has_will {
            let connect = self.connect(actor);
            self.pair.take_over(&self.actors[actor].name, &connect);
        }
    }

    fn subscribe(&mut self, actor: usize) {
        let mut filters = Vec::new();
        for _ in 0..=self.random.below(2) {
            let actor = &self.actors[actor];
            let filter = if actor.filters.len() + filters.len() < FILTERS_MAXIMUM {
                format!("{}/{}", self.prefix, self.random.of(&FILTERS))
            } else if let Some(known) = actor.filters.first() {
                known.clone()
            } else {
                continue;
            };
            if filters.iter().any(|(known, _)| *known == filter) {
                continue;
            }
            let mut options = self.random.below(3) as u8;
            if actor.dialect.is_5() {
                options |= u8::from(actor.no_local) << 2;
                options |= u8::from(actor.retain_as_published) << 3;
                options |= self.random.of(&[0x00, 0x00, 0x10, 0x20]);
            }
            filters.push((filter, options));
        }
        let entries = filters.iter().map(|(it, options)| (it.as_str(), *options));
        let entries: Vec<_> = entries.collect();
        let actor = &mut self.actors[actor];
        let bytes = if actor.dialect.is_5() {
            let id = actor.subscription_id;
            let id = id.map(|id| number(prop::SUBSCRIPTION_IDENTIFIER, id));
            subscribe_5(1, &id.unwrap_or_default(), &entries)
        } else {
            subscribe_311(1, &entries)
        };
        self.pair.send(&actor.name, bytes);
        // What is retained came with it.
        actor.open += 1;
        for (filter, _) in filters {
            if !actor.filters.contains(&filter) {
                actor.filters.push(filter);
            }
        }
    }

    fn unsubscribe(&mut self, actor: usize) {
        let actor = &self.actors[actor];
        let unknown = format!("{}/{}", self.prefix, self.random.of(&FILTERS));
        let filter = if actor.filters.is_empty() || self.random.one_in(3) {
            &unknown
        } else {
            &actor.filters[self.random.below(actor.filters.len())]
        };
        let bytes = if actor.dialect.is_5() {
            unsubscribe_5(2, &[], &[filter])
        } else {
            unsubscribe_311(2, &[filter])
        };
        self.pair.send(&actor.name, bytes);
    }

    fn payload(&mut self) -> String {
        self.messages += 1;
        format!("m{}", self.messages)
    }

    fn count_message(&mut self) {
        self.actors.iter_mut().for_each(|actor| actor.open += 1);
    }

    fn message(&mut self, actor: usize) -> Publish {
        let dialect = self.actors[actor].dialect;
        let may_retain = self.actors[actor].may_retain();
        let topic = format!("{}/{}", self.prefix, self.random.of(&TOPICS));
        let payload = self.payload();
        let mut publish = match (self.random.below(12), dialect) {
            (0, _) if may_retain => return dialect.publish(&topic, "").retain(),
            (1..=2, _) if may_retain => dialect.publish(&topic, payload).retain(),
            _ => dialect.publish(&topic, payload),
        };
        if dialect.is_5() {
            publish = match self.random.below(8) {
                0 => publish
                    .property(user_property("k", "1"))
                    .property(user_property("k", "2")),
                1 => publish.property(text(prop::CONTENT_TYPE, "text/plain")),
                2 => publish
                    .property(text(prop::RESPONSE_TOPIC, "re/ply"))
                    .property(text(prop::CORRELATION_DATA, "\u{1}")),
                3 => publish.property(vec![prop::PAYLOAD_FORMAT_INDICATOR, 1]),
                4 => publish.property(four(prop::MESSAGE_EXPIRY_INTERVAL, 1000)),
                _ => publish,
            };
        }
        publish
    }

    fn publish(&mut self, actor: usize) {
        let qos = self.random.below(3) as u8;
        let bytes = self.message(actor).qos(qos, 7).bytes();
        let name = &self.actors[actor].name;
        let text = String::from_utf8_lossy(&bytes);
        self.pair
            .together(&format!("{name} publishes {text:?}"), |side| {
                side.send(name, &bytes);
                if qos == 2 {
                    side.send(name, &pubrel(7));
                }
            });
        self.count_message();
    }

    /// Two messages in one write.
    fn publish_many(&mut self, actor: usize) {
        let mut bytes = Vec::new();
        for packet_id in [3, 4] {
            let qos = self.random.below(2) as u8;
            bytes.extend(self.message(actor).qos(qos, packet_id).bytes());
            self.count_message();
        }
        self.pair.send(&self.actors[actor].name, bytes);
    }

    fn answer(&mut self, actor: usize) {
        let actor = &mut self.actors[actor];
        let one_topic = actor.filters.len() < 2
            && actor
                .filters
                .iter()
                .all(|filter| !filter.contains(['+', '#']));
        if one_topic && self.random.one_in(2) {
            self.pair.answer_some(&actor.name, 1);
        } else {
            self.pair.answer(&actor.name);
        }
    }
}

/// A number that the environment gives.
pub fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

// Breaks if: `merge` of `pubsub/subscriptions.rs` takes the lowest QoS of overlapping subscriptions, or `resend` of
// `session/outbound.rs` sends without DUP.
#[test]
fn random_conversations_go_as_with_mosquitto() {
    let first = from_environment("DIFFERENTIAL_SEED").unwrap_or(1);
    let count = from_environment("DIFFERENTIAL_CONVERSATIONS").unwrap_or(CONVERSATIONS);
    let mut pair = Pair::start();
    for seed in first..first + count {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Conversation::new(&mut pair, seed).hold();
            pair.next_conversation();
        }));
        if let Err(panic) = held {
            eprintln!("again with DIFFERENTIAL_SEED={seed} DIFFERENTIAL_CONVERSATIONS=1");
            std::panic::resume_unwind(panic);
        }
    }
    // Or the conversations are about nothing.
    let (messages, least) = (pair.messages() as u64, 4 * count);
    assert!(
        messages >= least || count < 50,
        "{messages} messages in {count} conversations"
    );
}
