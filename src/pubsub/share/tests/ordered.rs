//! Groups with an ordering key: same value, same member, and its order, whoever is slow.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::queue::Stored;
use crate::queue::options::Overflow;

fn ordered(members: u32, change: impl FnOnce(&mut GroupOptions)) -> Group<u32> {
    with_members(members, |options| {
        options.ordering = Some(OrderingKey::Level(2));
        change(options);
    })
}

fn job(key: &str, payload: &str) -> Message {
    on(&format!("jobs/{key}"), payload.as_bytes(), QoS::AtLeastOnce)
}

/// A world around a group: who can take how much, and what everybody got.
struct World {
    group: Group<u32>,
    room: HashMap<u32, usize>,
    got: BTreeMap<u32, Vec<String>>,
}

impl World {
    fn new(members: u32, change: impl FnOnce(&mut GroupOptions)) -> Self {
        Self {
            group: ordered(members, change),
            room: HashMap::new(),
            got: BTreeMap::new(),
        }
    }

    fn load(room: &HashMap<u32, usize>, member: &Member<u32>) -> Load {
        match room.get(&member.subscriber).copied().unwrap_or(0) {
            0 => Load::Busy,
            room => Load::Free(100 - room),
        }
    }

    fn give(&mut self, group: &mut Group<u32>, message: &Message) -> bool {
        let Some(index) = group.choose(message, |it| Self::load(&self.room, it)) else {
            return false;
        };
        let member = group.members()[index].subscriber;
        *self.room.entry(member).or_default() -= 1;
        let payload = String::from_utf8_lossy(message.payload()).into_owned();
        self.got.entry(member).or_default().push(payload);
        true
    }

    fn with_group(&mut self, work: impl FnOnce(&mut Self, &mut Group<u32>)) {
        let mut group = std::mem::replace(&mut self.group, ordered(0, |_| {}));
        work(self, &mut group);
        self.group = group;
    }

    /// As the broker offers a message; returns how many gave way.
    fn offer(&mut self, key: &str, payload: &str) -> usize {
        let (message, mut dropped) = (job(key, payload), 0);
        self.with_group(|world, group| {
            if !(group.may_pass(&message) && world.give(group, &message)) {
                dropped = group.wait(message, |_| {});
            }
        });
        dropped
    }

    /// A member can take so many more.
    fn make_room(&mut self, member: u32, room: usize) {
        *self.room.entry(member).or_default() += room;
        self.drain();
    }

    fn drain(&mut self) {
        self.with_group(|world, group| {
            let give = |group: &mut Group<u32>, message: &Message, _| world.give(group, message);
            group.drain(Timestamp::default(), give, |_| panic!("nothing expires"));
        });
    }

    fn got(&mut self, member: u32) -> Vec<String> {
        self.got.remove(&member).unwrap_or_default()
    }
}

// Breaks if: a value moves while its member is there, or a new member takes what has one.
#[test]
fn a_value_stays_with_its_member_until_that_leaves() {
    let mut world = World::new(2, |_| {});
    world.make_room(0, 99);
    world.make_room(1, 99);
    for round in 0..3 {
        for key in ["a", "b"] {
            world.offer(key, &format!("{key}{round}"));
        }
    }
    assert_eq!(world.got(0), ["a0", "a1", "a2"]);
    assert_eq!(world.got(1), ["b0", "b1", "b2"]);
    world.group.join(2, GRANTED, false);
    world.make_room(2, 99);
    for key in ["a", "b", "c"] {
        world.offer(key, key);
    }
    assert_eq!(
        (world.got(0), world.got(1)),
        (vec!["a".into()], vec!["b".into()])
    );
    assert_eq!(world.got(2), ["c"], "what nobody had is anybody's");
    assert_eq!(world.group.leave(&0), None);
    for round in ["1", "2"] {
        world.offer("a", round);
        world.offer("b", round);
    }
    assert_eq!(world.got(1), ["1", "2"], "it kept its own");
    assert_eq!(world.got(2), ["1", "2"], "and the other has what is left");
}

// Breaks if: one member that is slow keeps what is another one's waiting, or something passes what
// came before it under the same value.
#[test]
fn a_slow_member_keeps_waiting_only_what_is_its_own() {
    let mut world = World::new(2, |_| {});
    world.make_room(0, 1);
    world.make_room(1, 1);
    world.offer("a", "a0");
    world.offer("b", "b0");
    for round in 1..4 {
        world.offer("a", &format!("a{round}"));
        world.offer("b", &format!("b{round}"));
    }
    world.make_room(1, 3);
    assert_eq!(world.got(1), ["b0", "b1", "b2", "b3"]);
    assert_eq!(world.got(0), ["a0"]);
    world.room.insert(0, 1);
    world.offer("a", "a4");
    assert_eq!(world.got(0), Vec::<String>::new(), "three are before it");
    world.make_room(0, 9);
    assert_eq!(world.got(0), ["a1", "a2", "a3", "a4"]);
    assert_eq!(world.group.backlog(), 0);
}

// Breaks if: what waited while nobody could take anything loses its order when values find members.
#[test]
fn what_nobody_had_finds_members_in_its_order() {
    let mut world = World::new(2, |_| {});
    for number in 0..6 {
        let key = ["a", "b", "c"][number % 3];
        world.offer(key, &format!("{key}{number}"));
    }
    world.make_room(0, 1);
    assert_eq!(world.got(0), ["a0"]);
    world.make_room(1, 9);
    assert_eq!(world.got(1), ["b1", "c2", "b4", "c5"]);
    world.make_room(0, 9);
    assert_eq!(world.got(0), ["a3"]);
}

// Breaks if: what waits for a member that has gone, or was given back by it, is passed by what comes
// later, or is lost.
#[test]
fn a_member_that_goes_leaves_its_values_to_others() {
    for leaves in [false, true] {
        let mut world = World::new(2, |_| {});
        world.make_room(0, 1);
        for round in 0..3 {
            world.offer("a", &format!("a{round}"));
        }
        assert_eq!(world.got(0), ["a0"]);
        match leaves {
            true => assert_eq!(world.group.leave(&0), None),
            false => world.group.release(&0),
        }
        let back = waiting(job("a", "a0"), 1);
        world.group.give_back(std::iter::once(back));
        world.offer("a", "a3");
        world.make_room(1, 9);
        assert_eq!(world.got(1), ["a0", "a1", "a2", "a3"]);
    }
}

// Breaks if: a message without the value waits for anybody in particular.
#[test]
fn what_has_no_value_goes_to_anybody() {
    let mut world = World::new(2, |_| {});
    world.make_room(0, 9);
    world.make_room(1, 9);
    for payload in ["1", "2"] {
        let message = on("jobs", payload.as_bytes(), QoS::AtLeastOnce);
        world.with_group(|world, group| assert!(world.give(group, &message)));
    }
    assert_eq!(
        (world.got(0), world.got(1)),
        (vec!["1".into()], vec!["2".into()])
    );
}

// Breaks if: the bounds count one lane only, or another than the oldest of all gives way.
#[test]
fn the_oldest_of_all_gives_way() {
    let mut world = World::new(2, |options| {
        options.queue.messages = 3;
        options.queue.overflow = Overflow::DropOldest;
    });
    world.make_room(0, 1);
    world.make_room(1, 1);
    world.offer("a", "a0");
    world.offer("b", "b0");
    let dropped = ["b", "a", "a", "b", "a"].map(|key| world.offer(key, key));
    assert_eq!(dropped, [0, 0, 0, 1, 1]);
    assert_eq!(world.group.backlog(), 3);
    world.make_room(0, 9);
    world.make_room(1, 9);
    assert_eq!((world.got(0).len(), world.got(1).len()), (1 + 2, 1 + 1));
    assert_eq!(world.group.backlog_bytes(), 0);
}

// Breaks if: any order of arrivals, room, and comings and goings changes the order within one value or
// loses something.
#[test]
fn whatever_happens_the_order_of_a_value_stays() {
    let mut state = 7_u64;
    let mut dice = move |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % sides
    };
    for _ in 0..200 {
        let mut world = World::new(3, |_| {});
        let (mut sent, mut members, mut all) = ([0_u32; 5], vec![0, 1, 2], 0);
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in 0..120 {
            match dice(8) {
                0 if members.len() > 1 => {
                    let gone = members.remove(dice(members.len() as u64) as usize);
                    world.room.insert(gone, 0);
                    world.group.leave(&gone);
                    world.drain();
                }
                1 => {
                    members.push(100 + step);
                    world.group.join(100 + step, GRANTED, false);
                }
                2 | 3 => {
                    let member = members[dice(members.len() as u64) as usize];
                    world.make_room(member, dice(4) as usize);
                }
                _ => {
                    let key = dice(5) as usize;
                    world.offer(&key.to_string(), &format!("{key} {:04}", sent[key]));
                    (sent[key], all) = (sent[key] + 1, all + 1);
                }
            }
            for (_, got) in std::mem::take(&mut world.got) {
                for it in got {
                    seen.entry(it[..1].to_owned()).or_default().push(it);
                }
            }
        }
        let count: usize = seen.values().map(Vec::len).sum();
        assert_eq!(count + world.group.backlog(), all, "nothing is lost");
        for got in seen.values() {
            assert!(got.is_sorted(), "{got:?}");
        }
    }
}

// Breaks if: what was kept over a restart is passed by what comes, or loses its order when it is read
// back.
#[test]
fn what_is_in_the_store_comes_before_all_else() {
    let mut world = World::new(2, |_| {});
    let stored = (1..=4).map(|number| Stored {
        number: NonZeroU64::new(number).expect("not 0"),
        subscription_ids: SubscriptionIds::default(),
        size: 8,
        qos: QoS::AtLeastOnce,
        retain: false,
    });
    world.group.restore(stored.collect(), 1024);
    world.make_room(0, 9);
    world.make_room(1, 9);
    world.offer("a", "a5");
    assert_eq!((world.group.backlog(), world.got.len()), (5, 0));
    assert_eq!(world.group.wanted(), Some(vec![1, 2, 3, 4]));
    let read = [(1, "a"), (2, "b"), (4, "a")];
    let read = read.map(|(number, key)| (number, Some(job(key, &format!("{key}{number}")))));
    let read = [read[0].clone(), read[1].clone(), (3, None), read[2].clone()];
    assert_eq!(world.group.supply(read.into_iter()), 1);
    assert_eq!(world.group.take_lost().len(), 1);
    world.drain();
    assert_eq!(world.got(0), ["a1", "a4", "a5"]);
    assert_eq!(world.got(1), ["b2"]);
    assert_eq!((world.group.backlog(), world.group.backlog_bytes()), (0, 0));
}
