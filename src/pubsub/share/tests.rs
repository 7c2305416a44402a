use super::*;
use crate::codec::QoS;
use crate::message::Parts;

fn message(payload: &[u8], qos: QoS) -> Message {
    let parts = Parts {
        topic: "t",
        forwarded: &[],
        payload,
        qos,
        retain: false,
        expires: None,
    };
    Message::new(parts, &mut Vec::new())
}

fn group(strategy: Strategy, members: u32) -> Group<u32> {
    let mut group = Group::new(strategy, 7);
    for member in 0..members {
        let granted = Granted {
            id: None,
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
        };
        group.join(member, granted, false);
    }
    group
}

fn picks(group: &mut Group<u32>, count: usize, load: impl Fn(u32) -> Option<usize>) -> Vec<u32> {
    (0..count)
        .map(|_| {
            let index = group
                .choose(|member| load(member.subscriber))
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
        assert_eq!(group(strategy, 2).choose(|_| None), None, "{strategy:?}");
        assert_eq!(group(strategy, 0).choose(|_| Some(0)), None, "{strategy:?}");
    }
}

#[test]
fn the_backlog_waits_in_order_and_goes_with_the_last_member() {
    let mut group = group(Strategy::RoundRobin, 2);
    let options = QueueOptions::default();
    assert_eq!(
        group.wait(message(b"3", QoS::AtLeastOnce), &options, |_| {}),
        0
    );
    group.give_back(
        [b"1", b"2"]
            .map(|p| message(p, QoS::AtLeastOnce))
            .into_iter(),
    );
    let mut given = Vec::new();
    let give = |_: &mut Group<u32>, message: &Message| {
        given.push(message.payload().to_vec());
        given.len() < 3
    };
    group.drain(Timestamp::default(), give, |_| panic!("nothing expires"));
    assert_eq!(given, [b"1", b"2", b"3"]);
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
    let delivery = group.members()[0].delivery(&message(b"", QoS::ExactlyOnce));
    assert_eq!(delivery.qos, QoS::AtLeastOnce);
}
