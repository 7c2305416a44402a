//! What came and went between two commits is not written, and nothing else is left out.

use super::super::elide::Elision;
use super::super::segments::faulty::Random;
use super::model::{Model, Op, say};
use super::*;
use crate::codec::QoS::{self, AtLeastOnce, ExactlyOnce};

fn message(number: u64, targets: &[(u64, bool, QoS)]) -> Op {
    Op::Message {
        number,
        topic: 0,
        held: None,
        retained: false,
        targets: targets.to_vec(),
    }
}

fn sent(holder: u64, id: u16, number: u64) -> Op {
    Op::Sent(holder, id, number, None, AtLeastOnce)
}

fn encoded(ops: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ops.iter().for_each(|op| op.encode(&mut bytes));
    bytes
}

/// What is left of these records; and how many messages are gone.
fn elided(ops: &[Op]) -> (Vec<u8>, usize) {
    let mut bytes = encoded(ops);
    let count = Elision::default().apply(&mut bytes);
    (bytes, count)
}

#[test]
fn a_message_that_was_acknowledged_before_it_was_written_is_not() {
    let ops = [
        Op::Opened(1, false),
        message(7, &[(1, false, AtLeastOnce)]),
        message(8, &[(1, false, AtLeastOnce)]),
        sent(1, 3, 7),
        sent(1, 4, 8),
        Op::Done(1, 3),
        Op::Opened(2, true),
    ];
    let left = [
        ops[0].clone(),
        ops[2].clone(),
        ops[4].clone(),
        ops[6].clone(),
    ];
    assert_eq!(elided(&ops), (encoded(&left), 1));
    assert_eq!(elided(&[]), (Vec::new(), 0));
    let all = [ops[1].clone(), ops[3].clone(), ops[5].clone()];
    assert_eq!(elided(&all), (Vec::new(), 1));
}

// Breaks if: something is left out of which more is needed than that one client had it.
#[test]
fn whatever_else_there_is_to_a_message_is_written() {
    let one = [(1, false, AtLeastOnce)];
    let with = |held, retained| Op::Message {
        number: 7,
        topic: 0,
        held,
        retained,
        targets: one.to_vec(),
    };
    let delayed = Op::Delayed {
        number: 7,
        topic: 0,
        held: None,
    };
    let kept = [
        message(7, &[(1, false, ExactlyOnce)]),
        message(7, &[(1, true, AtLeastOnce)]),
        message(7, &[(1, false, AtLeastOnce), (2, false, AtLeastOnce)]),
        message(7, &[(2, false, AtLeastOnce)]),
        message(7, &[]),
        with(Some((2, 5)), false),
        with(None, true),
        delayed,
    ];
    for first in kept {
        let ops = [first.clone(), sent(1, 3, 7), Op::Done(1, 3)];
        assert_eq!(elided(&ops), (encoded(&ops), 0), "{first:?}");
    }
    let first = message(7, &one);
    let others = [
        [Op::Sent(1, 3, 7, Some(9), AtLeastOnce), Op::Done(1, 3)],
        [sent(1, 3, 7), Op::Done(1, 4)],
        [sent(1, 3, 7), Op::Done(2, 3)],
        [sent(1, 3, 7), Op::Received(1, 3)],
        [sent(2, 3, 7), Op::Done(2, 3)],
        [Op::Done(1, 3), sent(1, 3, 7)],
    ];
    for [second, third] in others {
        let ops = [first.clone(), second, third];
        assert_eq!(elided(&ops), (encoded(&ops), 0), "{ops:?}");
    }
}

/// Sessions that are sent messages and acknowledge them, most of them at once.
struct Traffic {
    random: Random,
    next: u64,
    model: Model,
    /// What may be sent, and what was: session, number or id.
    waits: Vec<(u64, u64)>,
    sent: Vec<(u64, u16)>,
}

impl Traffic {
    fn op(&mut self) -> Op {
        let below = |random: &mut Random, len: usize| random.below(len as u64) as usize;
        match self.random.below(3) {
            0 if !self.waits.is_empty() => {
                let (session, number) = self.waits.remove(0);
                let taken = |id: &u16| self.sent.contains(&(session, *id));
                let id = (1..).find(|id| !taken(id)).expect("an id is free");
                self.sent.push((session, id));
                sent(session, id, number)
            }
            1 if !self.sent.is_empty() => {
                let at = below(&mut self.random, self.sent.len());
                let (session, id) = self.sent.swap_remove(at);
                Op::Done(session, id)
            }
            _ => {
                self.next += 1;
                let to: &[u64] = match self.random.below(4) {
                    0 => &[1, 2],
                    1 => &[2],
                    _ => &[1],
                };
                self.waits.extend(to.iter().map(|it| (*it, self.next)));
                let targets: Vec<_> = to.iter().map(|it| (*it, false, AtLeastOnce)).collect();
                message(self.next, &targets)
            }
        }
    }
}

// Breaks if: what is left adds up to something else than all of it did.
#[test]
fn what_is_left_says_the_same() {
    let mut gone = 0;
    for seed in 0..40 {
        let disk = Faulty::new(seed);
        let mut engine = open(&disk);
        let mut traffic = Traffic {
            random: Random::new(seed),
            next: 10,
            model: Model::default(),
            waits: Vec::new(),
            sent: Vec::new(),
        };
        let mut elision = Elision::default();
        let mut bytes = Vec::new();
        for session in [1, 2] {
            let op = Op::Opened(session, false);
            op.encode(&mut bytes);
            traffic.model.apply(&op);
        }
        for _ in 0..20 {
            for _ in 0..traffic.random.below(60) {
                let op = traffic.op();
                op.encode(&mut bytes);
                traffic.model.apply(&op);
            }
            gone += elision.apply(&mut bytes);
            assert_eq!(engine.append(&bytes), 0);
            bytes.clear();
            engine.commit(true).expect("written");
            engine.step(true);
            assert_eq!(engine.mirror.unknown, 0, "seed {seed}");
        }
        drop(engine);
        disk.restart();
        let mut engine = open(&disk);
        let (state, unread) = engine.state();
        assert_eq!(unread, 0);
        let found = say(&state, |number| engine.recall(&[number]).pop()?.1);
        assert_eq!(found, traffic.model.found(), "seed {seed}");
    }
    assert!(gone > 200, "only {gone} were left out");
}
