//! Subscriptions, groups, remembered routes and retained messages against the simplest thing that could
//! be right: lists that are walked from end to end.
//!
//! | step | what it does |
//! |---|---|
//! | `subscribe 3 a/+ qos=1 id=7 local as-published` | client 3 subscribes, or replaces its subscription |
//! | `unsubscribe 3 a/+` | it ends one, which may not be there |
//! | `join g a/+`, `leave g a/+` | a group is made, if it is not there, or removed |
//! | `publish 3 a/b` | the route of a topic, published by client 3 |
//! | `retain a/b size=5 expires=9` | a message is retained; size 0 clears |
//! | `find a/+ turn=2 now=4` | retained messages that match, so many looked at in one turn |
//! | `sweep turn=2 now=4` | expired ones are removed |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;

use postbud::codec::QoS;
use postbud::message::{Message, Parts, Timestamp};
use postbud::pubsub::options::RetainedOptions;
use postbud::pubsub::{Generations, Granted, Retained, Route, Stamp, Subscriptions};
use postbud::topic::{filter, name};

use crate::dice::Dice;
use crate::script::{Script, Words};
use crate::trial::Target;

const LEVELS: &[&str] = &[
    "",
    "a",
    "b",
    "a!",
    "aa",
    "$",
    "$s",
    "a-level-longer-than-a-node-of-it",
];
const WILD: &[&str] = &["", "a", "b", "a!", "aa", "+", "+", "+", "#", "#", "$", "$s"];

/// Few, so that the bounds of the store are reached.
const RETAINED: RetainedOptions = RetainedOptions {
    available: true,
    messages: 12,
    bytes: 200,
};

// Breaks if: `Generations::changed` counts `a/+` under "a/+", or `Retained::set` forgets the old size.
#[test]
fn routes() {
    let target = Target {
        name: "routes",
        cases: 400,
    };
    target.run(generate, |script| World::default().run(script));
}

fn text(dice: &mut Dice, levels: &[&str]) -> String {
    let count = 1 + dice.below(4);
    let levels: Vec<&str> = (0..count).map(|_| *dice.pick(levels)).collect();
    levels.join("/")
}

fn a_filter(dice: &mut Dice, known: &[String]) -> String {
    if !known.is_empty() && dice.once_in(2) {
        return dice.pick(known).clone();
    }
    loop {
        let text = text(dice, WILD);
        let end = text.find('#').map_or(text.len(), |at| at + 1);
        if filter::check(&text[..end]).is_ok() {
            return text[..end].to_owned();
        }
    }
}

/// A topic, most often one that a filter asks for.
fn a_topic(dice: &mut Dice, known: &[String]) -> String {
    loop {
        let mut topic = text(dice, LEVELS);
        if !known.is_empty() && !dice.once_in(3) {
            let (filter, level): (&String, &str) = (dice.pick(known), dice.pick::<&str>(LEVELS));
            topic = filter.replace('+', level).replace('#', &topic);
        }
        if name::check(&topic).is_ok() && !topic.contains(' ') {
            return topic;
        }
    }
}

fn generate(dice: &mut Dice) -> Script {
    let mut known = Vec::new();
    let mut routes: Vec<String> = Vec::new();
    let mut steps = Vec::new();
    let clients = *dice.pick(&[2, 5, 40]);
    for _ in 0..dice.below(160) {
        let filter = a_filter(dice, &known);
        let topic = a_topic(dice, &known);
        let client = dice.below(clients);
        let (turn, now) = (1 + dice.below(6), dice.below(20));
        let share = dice.pick(&["g", "h"]);
        let flags = dice.pick(&["", " local", " as-published", " local as-published"]);
        let step = match dice.below(20) {
            0..=5 => {
                known.push(filter.clone());
                let (qos, id) = (dice.below(3), dice.below(4));
                format!("subscribe {client} {filter} qos={qos} id={id}{flags}")
            }
            6..=8 => format!("unsubscribe {client} {filter}"),
            9 => format!("join {share} {filter}"),
            10 => format!("leave {share} {filter}"),
            // A route that was remembered is asked for again after what has happened meanwhile.
            11..=14 if !routes.is_empty() && !dice.once_in(4) => dice.pick(&routes).clone(),
            11..=14 => {
                routes.push(format!("publish {client} {topic}"));
                routes[routes.len() - 1].clone()
            }
            15 | 16 => {
                let (size, expires) = (dice.below(40), dice.below(20));
                format!("retain {topic} size={size} expires={expires}")
            }
            17 | 18 => format!("find {filter} turn={turn} now={now}"),
            _ => format!("sweep turn={turn} now={now}"),
        };
        steps.push(step);
    }
    Script(steps)
}

/// A route in an order that can be compared: recipients with QoS, flag and identifiers; and groups.
type Plan = (Vec<(u32, QoS, bool, Vec<u32>)>, Vec<String>);

/// What is tested, and the lists beside it.
#[derive(Default)]
struct World {
    table: Subscriptions<u32, String>,
    generations: Generations,
    remembered: HashMap<(u32, String), (Stamp, Plan)>,
    plain: Vec<(u32, String, Granted)>,
    groups: BTreeSet<(String, String)>,
    store: Option<Retained>,
    retained: BTreeMap<String, Message>,
}

impl World {
    fn run(mut self, script: &Script) {
        self.store = Some(Retained::new(RETAINED));
        for step in &script.0 {
            let mut words = Words::of(step);
            match words.word() {
                "subscribe" => self.subscribe(&mut words),
                "unsubscribe" => self.unsubscribe(words.number(), words.word()),
                "join" => self.join(words.word(), words.word()),
                "leave" => self.leave(words.word(), words.word()),
                "publish" => self.publish(words.number(), words.word()),
                "retain" => self.retain(&mut words),
                "find" => self.find(&mut words),
                "sweep" => self.sweep(&words),
                other => panic!("no step `{other}`"),
            }
            assert_eq!(self.table.len(), self.plain.len() + self.groups.len());
        }
        for (client, filter, _) in self.plain.clone() {
            self.unsubscribe(client, &filter);
        }
        for (share, filter) in self.groups.clone() {
            self.leave(&share, &filter);
        }
        assert!(self.table.is_empty());
        assert_eq!(self.table.memory(), 0, "something is left in the trie");
    }

    fn subscribe(&mut self, words: &mut Words<'_>) {
        let (client, filter) = (words.number(), words.word());
        let qos = words.value("qos").unwrap_or(0) as u8;
        let granted = Granted {
            id: words.value("id").and_then(NonZeroU32::new),
            qos: QoS::from_bits(qos).expect("0 to 2"),
            no_local: words.has("local"),
            retain_as_published: words.has("as-published"),
        };
        self.table.subscribe(filter, client, granted);
        self.plain
            .retain(|(who, known, _)| (*who, known.as_str()) != (client, filter));
        self.plain.push((client, filter.to_owned(), granted));
        self.generations.changed(filter);
    }

    fn unsubscribe(&mut self, client: u32, filter: &str) {
        let before = self.plain.len();
        self.plain
            .retain(|(who, known, _)| (*who, known.as_str()) != (client, filter));
        let removed = self.table.unsubscribe(filter, &client);
        assert_eq!(removed, self.plain.len() < before, "{filter}");
        self.generations.changed(filter);
    }

    fn join(&mut self, share: &str, filter: &str) {
        let name = format!("{share} {filter}");
        assert_eq!(self.table.group(filter, share, || name.clone()), name);
        self.groups.insert((share.to_owned(), filter.to_owned()));
        self.generations.changed(filter);
    }

    fn leave(&mut self, share: &str, filter: &str) {
        let removed = self.table.remove_group(filter, share);
        let known = self.groups.remove(&(share.to_owned(), filter.to_owned()));
        assert_eq!(removed, known.then(|| format!("{share} {filter}")));
        assert_eq!(self.table.find_group(filter, share), None);
        self.generations.changed(filter);
    }

    fn publish(&mut self, client: u32, topic: &str) {
        let stamp = self.generations.stamp(topic);
        let found = plan(&self.table.route(topic, Some(&client)));
        assert_eq!(found, self.expected(client, topic), "{topic}");
        let key = (client, topic.to_owned());
        if let Some((stamp, before)) = self.remembered.get(&key)
            && self.generations.holds(*stamp)
        {
            assert_eq!(*before, found, "{topic}: what is remembered has changed");
        }
        self.remembered.insert(key, (stamp, found));
    }

    fn expected(&self, client: u32, topic: &str) -> Plan {
        let mut recipients: BTreeMap<u32, (QoS, bool, Vec<u32>)> = BTreeMap::new();
        for (who, filter, granted) in &self.plain {
            if !matches(filter, topic) || granted.no_local && *who == client {
                continue;
            }
            let entry = recipients.entry(*who).or_default();
            entry.0 = entry.0.max(granted.qos);
            entry.1 |= granted.retain_as_published;
            entry.2.extend(granted.id.map(NonZeroU32::get));
            entry.2.sort_unstable();
        }
        let groups = self.groups.iter();
        let groups = groups.filter(|(_, filter)| matches(filter, topic));
        let mut groups: Vec<_> = groups
            .map(|(share, filter)| format!("{share} {filter}"))
            .collect();
        groups.sort();
        let recipients = recipients.into_iter();
        let recipients = recipients.map(|(who, (qos, flag, ids))| (who, qos, flag, ids));
        (recipients.collect(), groups)
    }

    fn retain(&mut self, words: &mut Words<'_>) {
        let topic = words.word();
        let payload = vec![b'x'; words.value("size").unwrap_or(0) as usize];
        let expires = words.value("expires").filter(|&at| at > 0);
        let parts = Parts {
            topic,
            forwarded: &[],
            payload: &payload,
            qos: QoS::AtMostOnce,
            retain: true,
            expires: expires.map(|at| Timestamp::from_millis(at.into())),
        };
        let message = Message::new(parts, &mut Vec::new());
        let store = self.store.as_mut().expect("made at the start");
        let result = store.set(message.clone(), None);
        let before = self.retained.get(topic).map(Message::size);
        let others: usize = self.retained.values().map(Message::size).sum();
        let bytes = others - before.unwrap_or(0) + message.size();
        if payload.is_empty() {
            assert!(result.is_ok());
            self.retained.remove(topic);
        } else if result.is_ok() {
            assert!(before.is_some() || self.retained.len() < RETAINED.messages);
            assert!(bytes <= RETAINED.bytes || message.size() <= before.unwrap_or(0));
            self.retained.insert(topic.to_owned(), message);
        } else {
            let full = before.is_none() && self.retained.len() == RETAINED.messages;
            assert!(full || bytes > RETAINED.bytes, "refused without need");
        }
        self.same_store();
    }

    fn same_store(&self) {
        let store = self.store.as_ref().expect("made at the start");
        let bytes: usize = self.retained.values().map(Message::size).sum();
        assert_eq!((store.len(), store.bytes()), (self.retained.len(), bytes));
    }

    fn find(&mut self, words: &mut Words<'_>) {
        let filter = words.word();
        let turn = words.value("turn").unwrap_or(1) as usize;
        let now = Timestamp::from_millis(words.value("now").unwrap_or(0).into());
        let store = self.store.as_ref().expect("made at the start");
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..1_000 {
            after = store.find(filter, after.as_deref(), None, turn, now, &mut found);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(after, None, "{filter}: the walk does not end");
        let found: Vec<&str> = found.iter().map(Message::topic).collect();
        let all = self.retained.iter();
        let expected =
            all.filter(|(topic, message)| matches(filter, topic) && !message.expired(now));
        let expected: Vec<&str> = expected.map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(found, expected, "{filter}");
    }

    fn sweep(&mut self, words: &Words<'_>) {
        let turn = words.value("turn").unwrap_or(1) as usize;
        let now = Timestamp::from_millis(words.value("now").unwrap_or(0).into());
        let store = self.store.as_mut().expect("made at the start");
        let (mut after, mut removed) = (None, 0);
        for _ in 0..1_000 {
            let (next, count) = store.sweep(after.as_deref(), turn, now, |_| {});
            removed += count;
            after = next;
            if after.is_none() {
                break;
            }
        }
        let before = self.retained.len();
        self.retained.retain(|_, message| !message.expired(now));
        assert_eq!(removed, before - self.retained.len());
        self.same_store();
    }
}

fn plan(route: &Route<u32, String>) -> Plan {
    let recipient = |it: &postbud::pubsub::Recipient<u32>| {
        let mut ids = it.ids.as_slice().to_vec();
        ids.sort_unstable();
        (it.subscriber, it.qos, it.retain_as_published, ids)
    };
    let mut recipients: Vec<_> = route.recipients.iter().map(recipient).collect();
    recipients.sort_by_key(|it| it.0);
    let mut groups = route.groups.clone();
    groups.sort();
    (recipients, groups)
}

/// Section 4.7 word for word, and nothing of the broker's own.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) => one == other && levels_match(filter, topic),
        (filter, topic) => filter.is_empty() && topic.is_empty(),
    }
}
