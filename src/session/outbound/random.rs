//! Random conversations with a model of the client, which must come out right whatever happens.
//!
//! The model keeps its side of the protocol as a good client does, except where a step says
//! otherwise, and checks at every packet and every step what must hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Acked;
use super::fixture::{Bench, Got, Published, decode_whole, delivery, id};
use crate::codec::{QoS, ReasonCode, Version};
use crate::session::Source;

/// One step of a conversation.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A message comes for the client.
    Deliver(QoS),
    /// A group offers a message, and gives it if it is taken.
    Offer(QoS),
    Draw,
    /// The socket takes so many bytes.
    Take(usize),
    /// The client answers one of the packets that wait for an answer.
    Answer(usize),
    /// It refuses a QoS 2 message, if that is what waits first.
    Refuse,
    /// It repeats its last answer.
    Repeat,
    /// It acknowledges an id of no message.
    Stray(u16),
    /// It answers with a packet of the wrong kind, and the connection ends.
    Wrong,
    Detach,
    /// A connection with this Receive Maximum comes, after the end of the one there was.
    Attach(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop_oneof![
        2 => Just(QoS::AtMostOnce),
        2 => Just(QoS::AtLeastOnce),
        3 => Just(QoS::ExactlyOnce),
    ];
    let step = prop_oneof![
        8 => qos.clone().prop_map(Step::Deliver),
        3 => qos.prop_map(Step::Offer),
        4 => Just(Step::Draw),
        6 => (0_usize..120).prop_map(Step::Take),
        2 => Just(Step::Take(usize::MAX)),
        10 => prop_oneof![3 => Just(0_usize), 1 => 0_usize..5].prop_map(Step::Answer),
        1 => Just(Step::Refuse),
        2 => Just(Step::Repeat),
        2 => (60_000_u16..).prop_map(Step::Stray),
        1 => Just(Step::Wrong),
        1 => Just(Step::Detach),
        1 => receive_maximum().prop_map(Step::Attach),
    ];
    vec(step, 1..300)
}

fn receive_maximum() -> impl Strategy<Value = u16> {
    prop_oneof![Just(1_u16), 2_u16..5, Just(u16::MAX)]
}

/// An answer that the client owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
}

/// The messages sent with one QoS and what became of them, by number.
#[derive(Default)]
struct Ledger {
    /// Messages that this session owes to the client.
    owed: BTreeSet<u32>,
    /// In the order in which the client took them for new.
    received: Vec<u32>,
    /// The greatest number sent on the present connection.
    last: Option<u32>,
}

struct Model {
    bench: Bench,
    version: Version,
    receive_maximum: usize,
    /// Bytes the client has read that are not a whole packet yet.
    read: Vec<u8>,
    owes: VecDeque<Answer>,
    last_answer: Option<Answer>,
    /// QoS 2 ids that the client has received and not released.
    held: BTreeMap<u16, u32>,
    /// Messages whose exchange has begun and not ended, by id, with their number.
    open: BTreeMap<u16, u32>,
    /// Ids of this connection's PUBLISH that the client has not finally answered.
    processing: BTreeSet<u16>,
    ledgers: [Ledger; 3],
    /// Messages that came from the group: those that may go back to it.
    of_group: BTreeSet<u32>,
    next: u32,
}

impl Model {
    fn new(version: Version, unsent_maximum: usize) -> Self {
        let mut bench = Bench::away();
        bench.options.unsent_maximum = unsent_maximum;
        Self {
            bench,
            version,
            receive_maximum: 0,
            read: Vec::new(),
            owes: VecDeque::new(),
            last_answer: None,
            held: BTreeMap::new(),
            open: BTreeMap::new(),
            processing: BTreeSet::new(),
            ledgers: Default::default(),
            of_group: BTreeSet::new(),
            next: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Deliver(qos) => self.deliver(qos, None),
            Step::Offer(qos) if self.bench.takes_now(qos) => {
                self.deliver(qos, NonZeroU64::new(1).map(Source));
            }
            Step::Offer(_) => {}
            Step::Draw => {
                self.bench.draw();
            }
            Step::Take(count) => self.take(count),
            Step::Answer(index) => self.answer(index),
            Step::Refuse => self.refuse(),
            Step::Repeat => self.repeat(),
            Step::Stray(number) => self.stray(number),
            Step::Wrong => self.wrong(),
            Step::Detach => self.detach(),
            Step::Attach(receive_maximum) => self.attach(receive_maximum),
        }
        assert!(self.processing.len() <= self.receive_maximum || !self.connected());
        let queued = usize::try_from(self.bench.tally.queued);
        assert_eq!(queued, Ok(self.bench.side.queued()), "counted wrong");
    }

    fn connected(&self) -> bool {
        self.bench.side.is_connected()
    }

    fn deliver(&mut self, qos: QoS, source: Option<Source>) {
        let number = self.next;
        self.next += 1;
        if source.is_some() && qos == QoS::AtLeastOnce {
            self.of_group.insert(number);
        }
        if qos != QoS::AtMostOnce {
            self.ledgers[qos as usize].owed.insert(number);
        }
        let topic = ["one", "another/topic"][number as usize % 2];
        let committed = self.bench.takes_now(qos);
        let wrote = self
            .bench
            .give(delivery(qos, topic, &number.to_string(), None), source);
        assert_eq!(wrote, committed, "takes_now tells the truth");
    }

    fn take(&mut self, count: usize) {
        let mut bytes = self.bench.bytes(count);
        self.read.append(&mut bytes);
        for got in decode_whole(&mut self.read, self.version) {
            match got {
                Got::Connack => {}
                Got::Publish(publish) => self.publish(&publish),
                Got::Pubrel(id, ReasonCode::Success) => {
                    self.held.remove(&id);
                    self.owes.push_back(Answer::Pubcomp(id));
                }
                Got::Pubrel(id, code) => {
                    assert_eq!(code, ReasonCode::PacketIdentifierNotFound);
                    assert!(!self.open.contains_key(&id), "#{id} is known");
                }
            }
        }
    }

    fn publish(&mut self, publish: &Published) {
        let number: u32 = publish.payload.parse().expect("a number");
        let ledger = &mut self.ledgers[publish.qos as usize];
        // [MQTT5-4.6.0-1] [MQTT5-4.6.0-5]
        assert!(ledger.last < Some(number), "{number} comes late");
        ledger.last = Some(number);
        let Some(id) = publish.id else {
            ledger.received.push(number);
            return;
        };
        // [MQTT5-2.2.1-4] [MQTT5-3.3.1-1]: whose bytes were lost is first seen with DUP.
        if publish.dup {
            assert!(
                self.open
                    .insert(id, number)
                    .is_none_or(|known| known == number)
            );
        } else {
            assert_eq!(self.open.insert(id, number), None, "#{id} is in use");
        }
        // [MQTT5-3.3.4-9]
        assert!(
            self.processing.insert(id),
            "#{id} comes twice on one connection"
        );
        assert!(
            self.processing.len() <= self.receive_maximum,
            "more than the client takes"
        );
        if publish.qos == QoS::AtLeastOnce {
            if !ledger.received.contains(&number) {
                ledger.received.push(number);
            }
            self.owes.push_back(Answer::Puback(id));
        } else {
            if self.held.insert(id, number) != Some(number) {
                ledger.received.push(number);
            }
            self.owes.push_back(Answer::Pubrec(id));
        }
    }

    fn answer(&mut self, index: usize) {
        if !self.connected() {
            return;
        }
        if let Some(answer) = self.owes.remove(index) {
            self.last_answer = Some(answer);
            let acked = self.send(answer);
            assert!(acked != Acked::Unknown || matches!(answer, Answer::Pubcomp(_)));
        }
    }

    /// Sends an answer without drawing: that is a step of its own.
    fn send(&mut self, answer: Answer) -> Acked {
        let acked = match answer {
            Answer::Puback(number) => self.bench.side.puback(id(number)),
            Answer::Pubcomp(number) => self.bench.side.pubcomp(id(number)),
            Answer::Pubrec(number) => return self.bench.pubrec_only(number, ReasonCode::Success),
        };
        let (Answer::Puback(id) | Answer::Pubrec(id) | Answer::Pubcomp(id)) = answer;
        let acked = acked.expect("in step");
        if acked == Acked::Done {
            self.close(id);
        }
        acked
    }

    /// The exchange of this id is over.
    fn close(&mut self, id: u16) {
        self.processing.remove(&id);
        self.open.remove(&id);
    }

    fn refuse(&mut self) {
        if let Some(&Answer::Pubrec(id)) = self.owes.front()
            && self.connected()
        {
            self.owes.pop_front();
            self.held.remove(&id);
            let acked = self.bench.pubrec_only(id, ReasonCode::QuotaExceeded);
            assert_eq!(acked, Acked::Done);
            self.close(id);
        }
    }

    fn repeat(&mut self) {
        let Some(answer) = self.last_answer.filter(|_| self.connected()) else {
            return;
        };
        // A PUBREC whose exchange is over gets a PUBREL that says so; all else is nothing new.
        let acked = self.send(answer);
        assert!(acked == Acked::Unknown || matches!(answer, Answer::Pubrec(_)));
    }

    fn stray(&mut self, number: u16) {
        if self.connected() {
            assert_eq!(self.bench.side.puback(id(number)), Ok(Acked::Unknown));
            assert_eq!(self.bench.side.pubcomp(id(number)), Ok(Acked::Unknown));
            let refused = self.bench.pubrec_only(number, ReasonCode::QuotaExceeded);
            assert_eq!(refused, Acked::Unknown);
        }
    }

    fn wrong(&mut self) {
        let Some(answer) = self.owes.front().filter(|_| self.connected()) else {
            return;
        };
        let faulty = match *answer {
            Answer::Puback(number) => self.bench.side.pubcomp(id(number)).is_err(),
            Answer::Pubrec(number) => self.bench.side.puback(id(number)).is_err(),
            // Twice the same PUBREL: the exchange may be over already.
            Answer::Pubcomp(number) => {
                !self.open.contains_key(&number) || self.bench.side.puback(id(number)).is_err()
            }
        };
        assert!(faulty, "{answer:?} is due");
        self.detach();
    }

    fn detach(&mut self) {
        if !self.connected() {
            return;
        }
        let back: Vec<u32> = self
            .bench
            .disconnect()
            .into_iter()
            .map(|(_, payload)| payload.parse().expect("a number"))
            .collect();
        assert!(back.is_sorted(), "{back:?} go back in order");
        for number in back {
            assert!(self.of_group.remove(&number), "{number} is of no group");
            self.ledgers[1].owed.remove(&number);
            self.open.retain(|_, open| *open != number);
        }
        self.read.clear();
        self.owes.clear();
        self.processing.clear();
        self.last_answer = None;
        for ledger in &mut self.ledgers {
            ledger.last = None;
        }
    }

    fn attach(&mut self, receive_maximum: u16) {
        self.detach();
        match self.version {
            Version::V5 => self.bench.connect_with(Version::V5, |properties| {
                properties.receive_maximum = Some(id(receive_maximum));
                properties.topic_alias_maximum = 1;
            }),
            version => {
                self.bench.options.inflight_maximum = receive_maximum.min(256);
                self.bench.connect_with(version, |_| {});
            }
        }
        self.receive_maximum = usize::from(receive_maximum.min(256));
    }

    /// Lets everything flow until nothing moves, and checks that all has come.
    fn finish(&mut self) {
        self.attach(2);
        let mut idle = 0;
        while idle < 2 {
            let before = (self.bench.tally.packets_sent, self.owes.len());
            self.bench.draw();
            self.step(Step::Take(usize::MAX));
            self.step(Step::Answer(0));
            let moved = before != (self.bench.tally.packets_sent, self.owes.len());
            idle = if moved { 0 } else { idle + 1 };
        }
        assert_eq!(
            (self.bench.side.in_flight(), self.bench.side.queued()),
            (0, 0),
            "stuck"
        );
        assert!(self.open.is_empty() && self.held.is_empty());
        let [_, once, exactly] = &self.ledgers;
        // What went back to the group may have been seen before.
        let seen: Vec<_> = once
            .received
            .iter()
            .filter(|it| once.owed.contains(it))
            .collect();
        assert_eq!(
            seen,
            once.owed.iter().collect::<Vec<_>>(),
            "QoS 1 lost or reordered"
        );
        assert_eq!(
            exactly.received,
            Vec::from_iter(exactly.owed.iter().copied()),
            "exactly once"
        );
        assert_eq!(self.bench.tally.dropped[..3], [0; 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_repeated_or_reordered(
        version in prop_oneof![Just(Version::V311), Just(Version::V5)],
        unsent_maximum in prop_oneof![Just(1_usize), 20_usize..200, Just(usize::MAX)],
        first in receive_maximum(),
        steps in steps(),
    ) {
        let mut model = Model::new(version, unsent_maximum);
        model.attach(first);
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}
