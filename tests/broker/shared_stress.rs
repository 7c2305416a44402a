//! Random members that come, go, block, subscribe and acknowledge late: every message is done
//! exactly once by somebody, and nothing is stuck at the end.

use std::collections::{BTreeMap, BTreeSet};

use postbud::codec::{QoS, ReasonCode};
use postbud::pubsub::options::Strategy;
use postbud::queue::DropReason;

use crate::client::Client;
use crate::house::House;
use crate::received::Got;

const JOBS: &str = "$share/crew/jobs";
const IDS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A member and what its session remembers on the client's side.
#[derive(Default)]
struct Member<'h> {
    client: Option<Client<'h>>,
    subscribed: bool,
    /// Packets to answer on the present connection.
    unanswered: Vec<Got>,
    /// QoS 2 ids between PUBLISH and PUBREL.
    held: BTreeSet<u16>,
}

struct Stress<'h> {
    house: &'h House,
    dice: Dice,
    members: Vec<Member<'h>>,
    /// How often each payload was done.
    done: BTreeMap<String, usize>,
    published: u16,
}

impl<'h> Stress<'h> {
    fn new(house: &'h House, seed: u64) -> Self {
        let mut stress = Self {
            house,
            dice: Dice(seed),
            members: (0..IDS.len()).map(|_| Member::default()).collect(),
            done: BTreeMap::new(),
            published: 0,
        };
        // The first never unsubscribes, so that the group does not end.
        stress.connect(0);
        stress.subscribe(0);
        stress
    }

    fn connect(&mut self, index: usize) {
        let maximum = 1 + self.dice.below(6) as u16;
        let hello = self
            .house
            .v5(IDS[index])
            .expiry(1_000_000)
            .receive_maximum(maximum);
        let client = match self.dice.below(3) {
            0 => hello.indirect().open(),
            _ => hello.open(),
        };
        // What the connection before had not answered comes again, or goes to others.
        self.members[index].unanswered.clear();
        self.members[index].client = Some(client);
    }

    fn subscribe(&mut self, index: usize) {
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][self.dice.below(2)];
        if let Some(client) = self.members[index].client {
            let options = postbud::codec::SubscriptionOptions::v3(qos);
            client.send_subscribe(1, &[(JOBS, options)], None);
            self.members[index].subscribed = true;
        }
    }

    fn publish(&mut self, writer: Client<'_>) {
        self.published += 1;
        let payload = self.published.to_string();
        match self.dice.below(2) {
            0 => writer.publish1(1, "jobs", &payload),
            _ => {
                writer.publish2(1, "jobs", &payload);
                writer.pubrel(1);
            }
        }
    }

    /// A member reads what has come.
    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Some(client) = member.client else { return };
        let answered = |got: &Got| matches!(got, Got::Suback(..) | Got::Unsuback(..));
        member
            .unanswered
            .extend(client.take().into_iter().filter(|got| !answered(got)));
    }

    /// A member answers one of the packets that it has read.
    fn answer(&mut self, index: usize) {
        let count = self.members[index].unanswered.len();
        let Some(client) = self.members[index].client.filter(|_| count > 0) else {
            return;
        };
        let pick = self.dice.below(count);
        let member = &mut self.members[index];
        match member.unanswered.remove(pick) {
            Got::Publish(message) if message.qos == QoS::AtLeastOnce => {
                *self.done.entry(message.payload).or_default() += 1;
                client.puback(message.id);
            }
            Got::Publish(message) => {
                if member.held.insert(message.id) {
                    *self.done.entry(message.payload).or_default() += 1;
                }
                client.pubrec(message.id);
            }
            Got::Pubrel(id, ReasonCode::Success) => {
                member.held.remove(&id);
                client.pubcomp(id);
            }
            other => panic!("{other:?}"),
        }
    }

    fn go(&mut self, index: usize) {
        if let Some(client) = self.members[index].client.take() {
            match self.dice.below(2) {
                0 => client.disconnect(),
                _ => client.hang_up(),
            }
        }
    }

    fn block(&mut self, index: usize) {
        let room = [Some(0), Some(30), None][self.dice.below(3)];
        if let Some(client) = self.members[index].client {
            client.set_room(room);
        }
    }

    fn unsubscribe(&mut self, index: usize) {
        let member = &mut self.members[index];
        if let Some(client) = member.client.filter(|_| index > 0 && member.subscribed) {
            client.send_unsubscribe(2, &[JOBS]);
            member.subscribed = false;
        }
    }

    fn step(&mut self, writer: Client<'_>) {
        let index = self.dice.below(IDS.len());
        match self.dice.below(20) {
            0..=5 => self.publish(writer),
            6..=9 => self.read(index),
            10..=13 => self.answer(index),
            14 => self.block(index),
            15 => self.go(index),
            16 | 17 if self.members[index].client.is_none() => self.connect(index),
            // A takeover.
            16 => self.connect(index),
            17 | 18 => self.subscribe(index),
            _ => self.unsubscribe(index),
        }
    }

    /// Everybody is there and does what is to be done, until nothing is left.
    fn finish(&mut self) {
        for index in 0..IDS.len() {
            match self.members[index].client {
                None => self.connect(index),
                Some(client) => client.set_room(None),
            }
        }
        loop {
            let mut idle = true;
            for index in 0..IDS.len() {
                self.read(index);
                while !self.members[index].unanswered.is_empty() {
                    self.answer(index);
                    idle = false;
                }
            }
            if idle {
                return;
            }
        }
    }
}

fn run(strategy: Strategy, seed: u64) {
    let house = House::with_options(|options| {
        options.pubsub.strategy = strategy;
        options.session.unsent_maximum = 150;
    });
    let writer = house.v5("writer").open();
    let mut stress = Stress::new(&house, seed);
    for _ in 0..400 {
        stress.step(writer);
    }
    stress.finish();
    let missing: Vec<_> = (1..=stress.published)
        .filter(|number| stress.done.get(&number.to_string()) != Some(&1))
        .map(|number| (number, stress.done.get(&number.to_string()).copied()))
        .collect();
    assert_eq!(
        missing,
        [],
        "{strategy:?} {seed}: not done, or more than once"
    );
    for reason in DropReason::ALL {
        assert_eq!(house.dropped(reason), 0, "{strategy:?} {seed} {reason:?}");
    }
    stress.publish(writer);
    stress.finish();
    let last = stress.published.to_string();
    assert_eq!(
        stress.done.get(&last),
        Some(&1),
        "{strategy:?} {seed}: still alive"
    );
}

#[test]
fn round_robin() {
    (0..60).for_each(|seed| run(Strategy::RoundRobin, seed));
}

#[test]
fn random() {
    (100..160).for_each(|seed| run(Strategy::Random, seed));
}

#[test]
fn sticky() {
    (200..260).for_each(|seed| run(Strategy::Sticky, seed));
}

#[test]
fn least_inflight() {
    (300..360).for_each(|seed| run(Strategy::LeastInflight, seed));
}
