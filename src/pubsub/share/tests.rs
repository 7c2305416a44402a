use std::num::NonZeroU16;
use std::time::Duration;

use super::*;
use crate::codec::QoS;
use crate::message::Parts;
use crate::pubsub::options::OrderingKey;

fn message(payload: &[u8], qos: QoS) -> Message {
    on("t", payload, qos)
}

fn on(topic: &str, payload: &[u8], qos: QoS) -> Message {
    let parts = Parts {
        topic,
        forwarded: &[],
        payload,
        qos,
        retain: false,
        expires: None,
    };
    Message::new(parts, &mut Vec::new())
}

fn group(strategy: Strategy, members: u32) -> Group<u32> {
    with_members(members, |options| options.strategy = strategy)
}

fn with_members(members: u32, change: impl FnOnce(&mut GroupOptions)) -> Group<u32> {
    let mut options = GroupOptions::default();
    change(&mut options);
    let mut group = Group::new(Arc::new(options), 7);
    for member in 0..members {
        group.join(member, GRANTED, false);
    }
    group
}

const GRANTED: Granted = Granted {
    id: None,
    qos: QoS::AtLeastOnce,
    no_local: false,
    retain_as_published: false,
};

fn loaded(load: Option<usize>) -> Load {
    load.map_or(Load::Busy, Load::Free)
}

fn picks(group: &mut Group<u32>, count: usize, load: impl Fn(u32) -> Option<usize>) -> Vec<u32> {
    let any = message(b"", QoS::AtLeastOnce);
    (0..count)
        .map(|_| {
            let index = group
                .choose(&any, |member| loaded(load(member.subscriber)))
                .expect("someone can");
            group.members()[index].subscriber
        })
        .collect()
}

#[test]
fn round_robin_takes_turns_and_passes_over_who_cannot() {
    let mut group = group(Strategy::RoundRobin, 3);
    assert_eq!(picks(&mut group, 4, |_| Some(0)), [0, 1, 2, 0]);
    assert_eq!(
        picks(&mut group, 3, |member| (member != 1).then_some(0)),
        [2, 0, 2]
    );
}

#[test]
fn sticky_stays_until_it_cannot() {
    let mut group = group(Strategy::Sticky, 3);
    assert_eq!(picks(&mut group, 2, |_| Some(0)), [0, 0]);
    assert_eq!(
        picks(&mut group, 2, |member| (member != 0).then_some(0)),
        [1, 1]
    );
    assert_eq!(
        picks(&mut group, 1, |_| Some(0)),
        [1],
        "it sticks to the new one"
    );
}

#[test]
fn least_inflight_takes_the_least_and_equals_in_turn() {
    let mut group = group(Strategy::LeastInflight, 3);
    assert_eq!(picks(&mut group, 3, |_| Some(5)), [0, 1, 2]);
    assert_eq!(
        picks(&mut group, 1, |member| Some(10 - member as usize)),
        [2]
    );
}

#[test]
fn random_reaches_everyone_who_can() {
    let mut group = group(Strategy::Random, 4);
    let picks = picks(&mut group, 400, |member| (member != 3).then_some(0));
    for member in 0..3 {
        let share = picks.iter().filter(|pick| **pick == member).count();
        assert!(share > 60, "member {member} got {share} of 400");
    }
    assert!(!picks.contains(&3));
}

#[test]
fn nobody_able_means_nobody_chosen() {
    for strategy in [
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::Sticky,
        Strategy::LeastInflight,
    ] {
        let any = message(b"", QoS::AtLeastOnce);
        let two = group(strategy, 2).choose(&any, |_| Load::Busy);
        assert_eq!(two, None, "{strategy:?}");
        let none = group(strategy, 0).choose(&any, |_| Load::Free(0));
        assert_eq!(none, None, "{strategy:?}");
    }
}

#[test]
fn the_backlog_waits_in_order_and_goes_with_the_last_member() {
    let mut group = group(Strategy::RoundRobin, 2);
    assert_eq!(group.wait(message(b"3", QoS::AtLeastOnce), |_| {}), 0);
    let back = [b"1", b"2"].map(|p| waiting(message(p, QoS::AtLeastOnce), 1));
    group.give_back(back.into_iter());
    let mut given = Vec::new();
    let give = |_: &mut Group<u32>, message: &Message, attempts| {
        given.push((message.payload().to_vec(), attempts));
        given.len() < 3
    };
    group.drain(Timestamp::default(), give, |_| panic!("nothing expires"));
    let expected = [(b"1", 1), (b"2", 1), (b"3", 0)];
    assert_eq!(given, expected.map(|(payload, n)| (payload.to_vec(), n)));
    assert_eq!(
        group.backlog(),
        1,
        "the third was not taken and still waits"
    );
    assert_eq!(group.leave(&0), None);
    assert_eq!(group.leave(&1), Some(1));
    assert!(group.is_ended());
}

#[test]
fn a_member_gets_its_own_granted_qos() {
    let group = group(Strategy::RoundRobin, 1);
    let delivery = group.members()[0].delivery(&message(b"", QoS::ExactlyOnce), 2);
    assert_eq!(delivery.qos, QoS::AtLeastOnce);
    assert_eq!(delivery.attempts, 3);
}

// Breaks if: a declared group ends with its last member, or one that is not declared outlives it.
#[test]
fn a_declared_group_outlives_its_members() {
    for declared in [false, true] {
        let mut group = group(Strategy::RoundRobin, 1);
        if declared {
            group.declare();
        }
        assert_eq!(group.wait(message(b"1", QoS::AtLeastOnce), |_| {}), 0);
        assert_eq!(group.leave(&0), (!declared).then_some(1));
        assert_eq!(group.backlog(), usize::from(declared));
        assert_eq!(group.end_if_empty(), None, "it is over or it is declared");
    }
}

// Breaks if: the limit counts from 0, or is there without being asked for.
#[test]
fn a_delivery_is_exhausted_at_its_limit() {
    let limited = with_members(1, |options| options.delivery_limit = NonZeroU16::new(2));
    let exhausted = |group: &Group<u32>, attempts| {
        group.is_exhausted(&waiting(message(b"", QoS::AtLeastOnce), attempts))
    };
    assert!(!exhausted(&limited, 1));
    assert!(exhausted(&limited, 2));
    assert!(!exhausted(&with_members(1, |_| {}), u16::MAX));
}

// Breaks if: what was not refused has no room after all, in either kind of backlog.
#[test]
fn a_group_that_refuses_drops_nothing() {
    for ordering in [None, Some(OrderingKey::Level(1))] {
        let mut group = with_members(0, |options| {
            options.refuses = true;
            options.queue.messages = 1;
            options.ordering = ordering;
        });
        assert!(group.has_room_for(1_000_000_000), "an empty one always has");
        for _ in 0..2 {
            let gone = |_: Gone<'_>| panic!("nothing gives way");
            assert_eq!(group.wait(message(b"1", QoS::AtLeastOnce), gone), 0);
            assert!(!group.has_room_for(1));
        }
        assert_eq!(group.backlog(), 2);
    }
}

// Breaks if: arming twice makes two timers, or a group without a timeout one.
#[test]
fn a_group_is_armed_once_and_only_with_a_timeout() {
    let timeout = Some(Duration::from_secs(1));
    let mut watched = with_members(1, |options| options.acknowledgement_timeout = timeout);
    assert_eq!(
        [true, true, false, true].map(|it| watched.arm(it)),
        [true, false, true, true]
    );
    assert!(!with_members(1, |_| {}).arm(true));
}

mod ordered;
