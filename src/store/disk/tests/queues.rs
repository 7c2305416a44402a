//! In which order messages wait, and how they come back.

use super::super::format;
use super::model::{Op, id, message};
use super::*;
use crate::codec::QoS::{self, AtLeastOnce, ExactlyOnce};
use crate::codec::{RetainHandling, SubscriptionOptions};
use crate::store::record::{Accepted, Record, Target};
use crate::store::state::State;

fn append(engine: &mut Engine<Faulty>, record: Record<'_>) {
    let mut bytes = Vec::new();
    format::encode(&mut bytes, &mut Vec::new(), &record);
    assert_eq!(engine.append(&bytes), 0);
}

fn append_all(engine: &mut Engine<Faulty>, ops: &[Op]) {
    for op in ops {
        op.with(&mut |record| append(engine, record));
    }
    engine.commit(true).expect("written");
    assert_eq!(engine.mirror.unknown, 0);
}

fn for_owner(number: u64, owner: u64, group: bool) -> Op {
    Op::Message {
        number,
        topic: 0,
        held: None,
        retained: false,
        targets: vec![(owner, group, ExactlyOnce)],
    }
}

/// What is found after the power was gone.
fn found(disk: &Faulty, engine: Engine<Faulty>) -> State {
    drop(engine);
    disk.restart();
    let (state, unread) = open(disk).state();
    assert_eq!(unread, 0);
    state
}

fn backlog(state: &State) -> Vec<u64> {
    let backlog = state.groups[0].backlog.iter();
    backlog.map(|it| it.number.get()).collect()
}

fn in_group(ops: &[Op]) -> State {
    let disk = Faulty::new(1);
    let mut engine = open(&disk);
    let (a, b, group) = (1, 2, 3);
    append_all(
        &mut engine,
        &[
            Op::Opened(a, false),
            Op::Opened(b, false),
            Op::Group(group),
            for_owner(4, group, true),
            for_owner(5, group, true),
            for_owner(6, group, true),
            for_owner(7, group, true),
        ],
    );
    append_all(&mut engine, ops);
    found(&disk, engine)
}

fn sent(holder: u64, number: u64, qos: QoS) -> Op {
    Op::Sent(holder, number as u16, number, Some(3), qos)
}

// Breaks if: what a member leaves is put behind what came later.
#[test]
fn what_a_member_leaves_is_in_front_again() {
    let state = in_group(&[
        sent(1, 4, AtLeastOnce),
        sent(2, 5, AtLeastOnce),
        sent(1, 6, AtLeastOnce),
        Op::Left(1, false),
        for_owner(8, 3, true),
        Op::Left(2, false),
    ]);
    assert_eq!(backlog(&state), [4, 5, 6, 7, 8]);
}

// Breaks if: a message that went from one member to another is with both, or with none.
#[test]
fn what_a_member_leaves_goes_to_another() {
    let state = in_group(&[
        sent(1, 4, AtLeastOnce),
        sent(1, 5, ExactlyOnce),
        Op::Left(1, false),
        sent(2, 4, ExactlyOnce),
    ]);
    assert_eq!(backlog(&state), [6, 7]);
    let in_flight = |at: usize| {
        let flights = state.sessions[at].in_flight.iter();
        let numbers = flights.filter_map(|it| Some(it.publish.as_ref()?.number));
        numbers.collect::<Vec<_>>()
    };
    assert_eq!((in_flight(0), in_flight(1)), (vec![5], vec![4]));
}

// Breaks if: a delivery of a group is sent again with a RETAIN flag or Subscription Identifiers that are not
// those of the member's subscription.
#[test]
fn what_is_in_flight_from_a_group_is_as_the_subscription_says() {
    for (as_published, ids) in [(true, Some(9)), (false, None)] {
        let disk = Faulty::new(1);
        let mut engine = open(&disk);
        append_all(&mut engine, &[Op::Opened(1, false), Op::Group(3)]);
        let options = SubscriptionOptions {
            qos: ExactlyOnce,
            no_local: false,
            retain_as_published: as_published,
            retain_handling: RetainHandling::Always,
        };
        let subscribed = Record::Subscribed {
            session: 1,
            filters: &[("t/#", options), ("$share/g3/t/#", options)],
            id: ids,
        };
        append(&mut engine, subscribed);
        let group = Target {
            owner: 3,
            group: true,
            qos: ExactlyOnce,
            retain: true,
            subscription_ids: &[],
        };
        append(
            &mut engine,
            Record::Message(Accepted {
                number: 4,
                message: &message(4, 0),
                held: None,
                retained: false,
                publisher: None,
                due: None,
                targets: &[group],
            }),
        );
        append_all(&mut engine, &[sent(1, 4, ExactlyOnce)]);
        let state = found(&disk, engine);
        let in_flight = &state.sessions[0].in_flight[0];
        let delivery = &in_flight.publish.as_ref().expect("it was sent").delivery;
        assert_eq!((in_flight.id, delivery.retain), (id(4), as_published));
        assert_eq!(delivery.subscription_ids.as_slice(), ids.as_slice());
    }
}

// Breaks if: a retained message that is fed to a subscription stands behind what was accepted after it, or
// the order depends on what was carried forward.
#[test]
fn the_order_is_that_in_which_messages_were_accepted() {
    for carried in [false, true] {
        let disk = Faulty::new(1);
        let mut engine = open(&disk);
        let mut retained = for_owner(4, 1, false);
        if let Op::Message { retained, .. } = &mut retained {
            *retained = true;
        }
        append_all(
            &mut engine,
            &[
                Op::Opened(1, false),
                Op::Opened(2, false),
                retained,
                for_owner(5, 1, false),
                Op::Fed(1, 4),
            ],
        );
        if carried {
            super::random::go_round(&mut engine, 2, 10);
        }
        append_all(&mut engine, &[for_owner(6, 1, false)]);
        let state = found(&disk, engine);
        let waiting = state.sessions[0].waiting.iter();
        let waiting: Vec<_> = waiting.map(|it| (it.number.get(), it.retain)).collect();
        let expected = [(4, false), (4, true), (5, false), (6, false)];
        assert_eq!(waiting, expected, "{carried}");
    }
}

// Breaks if: a retained message that was cleared comes back, or stays in the store.
#[test]
fn a_cleared_topic_is_empty() {
    for clears in [Op::Cleared(0), for_owner(7, 1, false)] {
        let disk = Faulty::new(1);
        let mut engine = open(&disk);
        let retain = |mut op: Op| {
            if let Op::Message { retained, .. } = &mut op {
                *retained = true;
            }
            op
        };
        let retained = retain(for_owner(4, 99, false));
        let bytes = |op: &Op| {
            let mut bytes = Vec::new();
            op.encode(&mut bytes);
            bytes
        };
        append_all(&mut engine, &[Op::Opened(1, false)]);
        assert_eq!(engine.append(&bytes(&retained)), 0);
        assert_eq!(engine.mirror.messages.len(), 1);
        // An empty message, as the last of the two, is itself for whoever subscribed before.
        let waits = usize::from(matches!(clears, Op::Message { .. }));
        assert_eq!(engine.append(&bytes(&retain(clears))), 0);
        engine.commit(true).expect("written");
        assert_eq!(engine.mirror.messages.len(), waits);
        let state = found(&disk, engine);
        assert_eq!(
            (state.retained.len(), state.sessions[0].waiting.len()),
            (0, waits)
        );
    }
}
