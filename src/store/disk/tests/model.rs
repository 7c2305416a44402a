//! What the records mean, said once more and as plainly as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::codec::{PacketId, QoS, RetainHandling, SubscriptionOptions};
use crate::message::{Message, Parts, Timestamp};
use crate::store::record::{Accepted, DELAYED, KeptWill, Opened, Owner, Record, Replaces, Target};
use crate::store::state::State;

/// A record that owns what it says.
#[derive(Clone, Debug)]
pub enum Op {
    Opened(u64, bool),
    Left(u64, bool),
    WillDone(u64),
    Ended(u64),
    Subscribed(u64, &'static str, QoS),
    Unsubscribed(u64, &'static str),
    Group(u64),
    Dissolved(u64),
    Message {
        number: u64,
        topic: usize,
        held: Option<(u64, u16)>,
        retained: bool,
        /// Owner, whether it is a group, QoS.
        targets: Vec<(u64, bool, QoS)>,
    },
    Cleared(usize),
    Released(u64, u16),
    Fed(u64, u64),
    Sent(u64, u16, u64, Option<u64>, QoS),
    Received(u64, u16),
    Done(u64, u16),
    Dropped(u64, u64),
    Returned(u64, u16),
    Delayed {
        number: u64,
        topic: usize,
        held: Option<(u64, u16)>,
    },
    Due {
        number: u64,
        /// Its topic, if it is retained now.
        retained: Option<usize>,
        targets: Vec<(u64, bool, QoS)>,
    },
}

pub const TOPICS: [&str; 3] = ["t/0", "t/1", "t/2"];

fn message_is_empty(number: u64) -> bool {
    number.is_multiple_of(7)
}

/// The message with this number: what it says follows from the number.
pub fn message(number: u64, topic: usize) -> Message {
    let parts = Parts {
        topic: TOPICS[topic],
        forwarded: &[1, 1],
        payload: &vec![number as u8; (number % 7 * 40) as usize],
        qos: QoS::ExactlyOnce,
        retain: number.is_multiple_of(2),
        expires: number
            .is_multiple_of(3)
            .then(|| Timestamp::from_millis(number * 1000)),
    };
    Message::new(parts, &mut Vec::new())
}

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: true,
        retain_as_published: false,
        retain_handling: RetainHandling::Never,
    }
}

fn wanted<'a>(targets: &[(u64, bool, QoS)], ids: &'a [u32]) -> Vec<Target<'a>> {
    let target = |it: &(u64, bool, QoS)| Target {
        owner: it.0,
        group: it.1,
        qos: it.2,
        retain: false,
        subscription_ids: ids,
    };
    targets.iter().map(target).collect()
}

/// When a message is to be published that is delayed.
fn due(number: u64) -> Timestamp {
    Timestamp::from_millis(5000 + number)
}

pub fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

/// Whose a session is: every second one is nobody's.
pub fn owner_of(session: u64) -> Owner<'static> {
    match session % 6 {
        1 => Owner {
            user: Some("ann"),
            mount: None,
        },
        3 => Owner {
            user: Some(""),
            mount: Some("floor/2/"),
        },
        5 => Owner {
            user: None,
            mount: Some("m/"),
        },
        _ => Owner::default(),
    }
}

impl Op {
    /// The record, as bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        self.with(&mut |record| super::super::format::encode(into, &mut Vec::new(), &record));
    }

    /// Calls with the record.
    pub fn with(&self, call: &mut dyn FnMut(Record<'_>)) {
        let at = Timestamp::from_millis(1000);
        match self {
            Self::Opened(session, will) => {
                let name = format!("c{session}");
                let kept = message(*session, 0);
                let kept = KeptWill {
                    message: &kept,
                    delay: 5,
                    expiry: Some(0),
                };
                call(Record::Opened(Opened {
                    session: *session,
                    client_id: &name,
                    owner: owner_of(*session),
                    expiry: 60,
                    will: will.then_some(kept),
                    back: false,
                }));
            }
            Self::Left(session, will) => call(Record::Left {
                session: *session,
                at,
                expiry: 90,
                will: *will,
            }),
            Self::WillDone(session) => call(Record::WillDone { session: *session }),
            Self::Ended(session) => call(Record::Ended { session: *session }),
            Self::Subscribed(session, filter, qos) => call(Record::Subscribed {
                session: *session,
                filters: &[(filter, options(*qos))],
                id: Some(9),
            }),
            Self::Unsubscribed(session, filter) => call(Record::Unsubscribed {
                session: *session,
                filters: &[filter],
            }),
            Self::Group(group) => call(Record::Group {
                group: *group,
                share: &format!("g{group}"),
                filter: "t/#",
            }),
            Self::Dissolved(group) => call(Record::Dissolved { group: *group }),
            Self::Message {
                number,
                topic,
                held,
                retained,
                targets,
            } => {
                let ids = [*number as u32 % 3 + 1];
                let targets = wanted(targets, &ids);
                call(Record::Message(Accepted {
                    number: *number,
                    message: &message(*number, *topic),
                    held: held.map(|it| (it.0, id(it.1))),
                    retained: *retained,
                    publisher: retained.then_some("p"),
                    due: None,
                    targets: &targets,
                }));
            }
            Self::Delayed { .. } | Self::Due { .. } => self.with_later(call),
            other => other.with_more(call),
        }
    }

    fn with_later(&self, call: &mut dyn FnMut(Record<'_>)) {
        match self {
            Self::Delayed {
                number,
                topic,
                held,
            } => call(Record::Message(Accepted {
                number: *number,
                message: &message(*number, *topic),
                held: held.map(|it| (it.0, id(it.1))),
                retained: false,
                publisher: Some("p"),
                due: Some(due(*number)),
                targets: &[],
            })),
            Self::Due {
                number,
                retained,
                targets,
            } => call(Record::Due {
                number: *number,
                retained: retained.map(|topic| Replaces {
                    topic: TOPICS[topic],
                    clears: message_is_empty(*number),
                    publisher: Some("p"),
                }),
                targets: &wanted(targets, &[*number as u32 % 3 + 1]),
            }),
            _ => unreachable!("it is for now"),
        }
    }

    fn with_more(&self, call: &mut dyn FnMut(Record<'_>)) {
        match *self {
            Self::Cleared(topic) => call(Record::Cleared {
                topic: TOPICS[topic],
            }),
            Self::Released(session, it) => call(Record::Released {
                session,
                id: id(it),
            }),
            Self::Fed(session, number) => call(Record::Fed {
                number,
                target: Target {
                    owner: session,
                    group: false,
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    subscription_ids: &[],
                },
            }),
            Self::Sent(holder, it, number, group, qos) => call(Record::Sent {
                holder,
                id: id(it),
                number,
                group,
                qos,
            }),
            Self::Received(holder, it) => call(Record::Received { holder, id: id(it) }),
            Self::Done(holder, it) => call(Record::Done { holder, id: id(it) }),
            Self::Dropped(owner, number) => call(Record::Dropped { owner, number }),
            Self::Returned(holder, it) => call(Record::Returned { holder, id: id(it) }),
            _ => unreachable!("said above"),
        }
    }
}

/// A delivery: QoS, RETAIN, Subscription Identifiers.
type How = (QoS, bool, Vec<u32>);

#[derive(Clone, Debug, Default)]
pub struct Session {
    pub connected: bool,
    pub expiry: u32,
    pub will: bool,
    pub subscriptions: BTreeMap<&'static str, QoS>,
    pub held: BTreeSet<u16>,
    pub waiting: Vec<(u64, How)>,
}

#[derive(Clone, Debug)]
pub struct Flight {
    pub id: u16,
    pub number: Option<u64>,
    pub group: Option<u64>,
    pub how: How,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub sessions: BTreeMap<u64, Session>,
    pub groups: BTreeMap<u64, Vec<(u64, How)>>,
    /// By holder, kept or not.
    pub flights: BTreeMap<u64, Vec<Flight>>,
    pub retained: BTreeMap<usize, u64>,
    pub delayed: BTreeSet<u64>,
    pub topics: BTreeMap<u64, usize>,
}

fn take(line: &mut Vec<(u64, How)>, number: u64) -> Option<How> {
    let index = line.iter().position(|it| it.0 == number)?;
    Some(line.remove(index).1)
}

fn put(line: &mut Vec<(u64, How)>, number: u64, how: How) {
    line.push((number, how));
    line.sort_by_key(|it| it.0);
}

impl Model {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Opened(number, will) => {
                let it = self.sessions.entry(*number).or_default();
                (it.connected, it.expiry, it.will) = (true, 60, *will);
            }
            Op::Left(number, will) => {
                self.give_back(*number);
                match self.sessions.get_mut(number) {
                    Some(it) => {
                        (it.connected, it.expiry) = (false, 90);
                        it.will &= will;
                    }
                    None => _ = self.flights.remove(number),
                }
            }
            Op::WillDone(number) => self.session(*number).will = false,
            Op::Ended(number) => {
                self.give_back(*number);
                self.flights.remove(number);
                self.sessions.remove(number);
            }
            Op::Subscribed(number, filter, qos) => {
                self.session(*number).subscriptions.insert(filter, *qos);
            }
            Op::Unsubscribed(number, filter) => {
                self.session(*number).subscriptions.remove(filter);
            }
            Op::Group(group) => _ = self.groups.entry(*group).or_default(),
            Op::Dissolved(group) => _ = self.groups.remove(group),
            Op::Cleared(topic) => _ = self.retained.remove(topic),
            Op::Released(number, id) => _ = self.session(*number).held.remove(id),
            Op::Fed(number, message) => {
                let how = (QoS::AtLeastOnce, true, vec![]);
                put(&mut self.session(*number).waiting, *message, how);
            }
            Op::Message {
                number,
                topic,
                held,
                retained,
                targets,
            } => self.message(*number, *topic, *held, *retained, targets),
            Op::Delayed {
                number,
                topic,
                held,
            } => {
                self.message(*number, *topic, *held, false, &[]);
                self.delayed.insert(*number);
            }
            Op::Due {
                number,
                retained,
                targets,
            } => {
                assert!(self.delayed.remove(number), "it is delayed");
                let topic = self.topics[number];
                self.message(*number, topic, None, retained.is_some(), targets);
            }
            delivery => self.delivery(delivery),
        }
    }

    fn session(&mut self, number: u64) -> &mut Session {
        self.sessions.get_mut(&number).expect("the session exists")
    }

    fn message(
        &mut self,
        number: u64,
        topic: usize,
        held: Option<(u64, u16)>,
        retained: bool,
        targets: &[(u64, bool, QoS)],
    ) {
        self.topics.insert(number, topic);
        if let Some((session, id)) = held {
            self.session(session).held.insert(id);
        }
        if retained {
            // An empty message clears the topic.
            match message_is_empty(number) {
                true => self.retained.remove(&topic),
                false => self.retained.insert(topic, number),
            };
        }
        for (owner, group, qos) in targets {
            let line = match group {
                true => self.groups.get_mut(owner),
                false => self.sessions.get_mut(owner).map(|it| &mut it.waiting),
            };
            let how = (*qos, false, vec![number as u32 % 3 + 1]);
            if let Some(line) = line {
                put(line, number, how);
            }
        }
    }

    fn delivery(&mut self, op: &Op) {
        match *op {
            Op::Sent(holder, id, number, group, qos) => {
                let line = match group {
                    Some(group) => self.groups.get_mut(&group).expect("it exists"),
                    None => &mut self.session(holder).waiting,
                };
                let mut how = take(line, number).expect("it waits");
                if group.is_some() {
                    // The rest is as the subscription says, which is not of the group.
                    how = (qos, false, vec![]);
                }
                let number = Some(number);
                self.flights.entry(holder).or_default().push(Flight {
                    id,
                    number,
                    group,
                    how,
                });
            }
            Op::Received(holder, id) => {
                let flights = self.flights.get_mut(&holder).expect("it holds");
                let it = flights.iter_mut().find(|it| it.id == id);
                it.expect("it is in flight").number = None;
            }
            Op::Done(holder, id) => {
                let flights = self.flights.get_mut(&holder).expect("it holds");
                flights.retain(|it| it.id != id);
            }
            Op::Dropped(DELAYED, number) => {
                assert!(self.delayed.remove(&number), "it is delayed");
            }
            Op::Returned(holder, id) => {
                let flights = self.flights.get_mut(&holder).expect("it holds");
                let index = flights.iter().position(|it| it.id == id);
                let it = flights.remove(index.expect("it is in flight"));
                let group = it.group.and_then(|group| self.groups.get_mut(&group));
                if let Some(line) = group {
                    put(line, it.number.expect("it is a message"), it.how);
                }
            }
            Op::Dropped(owner, number) => {
                let line = match self.groups.get_mut(&owner) {
                    Some(it) => it,
                    None => &mut self.session(owner).waiting,
                };
                take(line, number).expect("it waits");
            }
            _ => unreachable!("said above"),
        }
    }

    fn give_back(&mut self, holder: u64) {
        for it in self.flights.remove(&holder).unwrap_or_default() {
            match (it.group, it.number) {
                (Some(group), Some(number)) if it.how.0 == QoS::AtLeastOnce => {
                    if let Some(line) = self.groups.get_mut(&group) {
                        put(line, number, it.how);
                    }
                }
                _ => self.flights.entry(holder).or_default().push(it),
            }
        }
    }

    /// The process ends and another begins.
    pub fn restart(&mut self) {
        for holder in self.flights.keys().copied().collect::<Vec<_>>() {
            self.give_back(holder);
            if !self.sessions.contains_key(&holder) {
                self.flights.remove(&holder);
            }
        }
        for it in self.sessions.values_mut() {
            it.connected = false;
        }
    }

    /// What the broker would find now.
    pub fn found(&self) -> String {
        let mut restarted = self.clone();
        restarted.restart();
        restarted.say()
    }

    fn say(&self) -> String {
        let mut said = String::new();
        for (number, it) in &self.sessions {
            let will = it.will.then(|| format!("{:?}", message(*number, 0)));
            let held: Vec<_> = it.held.iter().collect();
            let _ = writeln!(
                said,
                "c{number} {:?} {} {will:?} {held:?}",
                owner_of(*number),
                it.expiry
            );
            for (filter, qos) in &it.subscriptions {
                let _ = writeln!(said, "  {filter} {:?}", options(*qos));
            }
            for it in self.flights.get(number).into_iter().flatten() {
                let sent = it.number.map(|number| self.say_one(number, &it.how));
                let _ = writeln!(said, "  in flight {} {sent:?}", it.id);
            }
            for (number, how) in &it.waiting {
                let _ = writeln!(said, "  waits {}", self.say_one(*number, how));
            }
        }
        for (number, line) in &self.groups {
            let line: Vec<_> = line.iter().map(|it| it.0).collect();
            let _ = writeln!(said, "g{number} t/# {line:?}");
        }
        let retained: BTreeSet<_> = self.retained.values().collect();
        let _ = writeln!(said, "retained {retained:?}");
        for number in &self.delayed {
            let message = message(*number, self.topics[number]);
            let _ = writeln!(
                said,
                "delayed {}",
                say_delayed(*number, &message, due(*number))
            );
        }
        said
    }

    fn say_one(&self, number: u64, how: &How) -> String {
        say_delivery(number, &message(number, self.topics[&number]), how)
    }
}

fn say_delivery(number: u64, it: &Message, how: &How) -> String {
    format!(
        "{number} {it:?} {:?} {:?} {how:?}",
        it.expires(),
        it.payload().first()
    )
}

fn say_delayed(number: u64, it: &Message, due: Timestamp) -> String {
    let how = (it.qos(), it.retain(), Vec::new());
    format!("{} {due:?} by p", say_delivery(number, it, &how))
}

/// The same words for what was found; `read` reads a message back.
pub fn say(state: &State, mut read: impl FnMut(u64) -> Option<Message>) -> String {
    let mut said = String::new();
    for it in &state.sessions {
        assert_eq!(it.left.as_millis(), 1000, "{it:?}");
        let will = it.will.as_ref().map(|it| {
            assert_eq!((it.delay, it.expiry), (5, Some(0)));
            format!("{:?}", it.message)
        });
        let mut held = it.held.clone();
        held.sort_unstable();
        let owner = it.owner.as_recorded();
        let _ = writeln!(
            said,
            "{} {owner:?} {} {will:?} {held:?}",
            it.client_id, it.expiry
        );
        let mut subscriptions = it.subscriptions.clone();
        subscriptions.sort_by(|a, b| a.0.cmp(&b.0));
        for (filter, options, id) in subscriptions {
            assert_eq!(id, Some(9));
            let _ = writeln!(said, "  {filter} {options:?}");
        }
        let say = |it: &crate::store::state::Numbered| {
            let ids = it.delivery.subscription_ids.as_slice().to_vec();
            let how = (it.delivery.qos, it.delivery.retain, ids);
            say_delivery(it.number, &it.delivery.message, &how)
        };
        for it in &it.in_flight {
            let sent = it.publish.as_ref().map(say);
            let _ = writeln!(said, "  in flight {} {sent:?}", it.id);
        }
        for it in it.waiting.iter() {
            let ids = it.subscription_ids.as_slice().to_vec();
            let how = (it.qos, it.retain, ids);
            let number = it.number.get();
            let message = read(number).expect("what waits is there");
            let said_so = say_delivery(number, &message, &how);
            let _ = writeln!(said, "  waits {said_so}");
        }
    }
    for it in &state.groups {
        assert_eq!(*it.share, format!("g{}", it.number));
        let line: Vec<_> = it.backlog.iter().map(|it| it.number.get()).collect();
        let _ = writeln!(said, "{} {} {line:?}", it.share, it.filter);
    }
    let retained: BTreeSet<_> = state.retained.iter().map(|it| it.number).collect();
    let _ = writeln!(said, "retained {retained:?}");
    for it in &state.delayed {
        assert_eq!(it.publisher.as_deref(), Some("p"));
        let _ = writeln!(
            said,
            "delayed {}",
            say_delayed(it.number, &it.message, it.due)
        );
    }
    said
}
