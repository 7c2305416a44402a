//! What is carried forward, and what is left to become less by itself.

use super::super::compaction::Step;
use super::super::format;
use super::model::Op;
use super::*;
use crate::codec::QoS::ExactlyOnce;

const SESSION: u64 = 1;
const FIRST: u64 = 2;
const COUNT: u64 = 400;

/// A store with many messages for a session that is away, in several segments.
fn filled(disk: &Faulty) -> Engine<Faulty> {
    let options = Options {
        patience: Duration::from_secs(1),
        segment: 16 << 10,
        reserve: 20 << 10,
        ..small()
    };
    let (mut engine, _) = Engine::open(disk.clone(), options, 1000).expect("opens");
    append(&mut engine, &Op::Opened(SESSION, false));
    for number in FIRST..FIRST + COUNT {
        append(
            &mut engine,
            &Op::Message {
                number,
                topic: 0,
                held: None,
                retained: false,
                targets: vec![(SESSION, false, ExactlyOnce)],
            },
        );
    }
    engine.commit(true).expect("written");
    assert!(engine.log.segments().count() > 3);
    engine
}

fn append(engine: &mut Engine<Faulty>, op: &Op) {
    let mut bytes = Vec::new();
    op.with(&mut |record| format::encode(&mut bytes, &mut Vec::new(), &record));
    assert_eq!(engine.append(&bytes), 0);
}

/// Delivers one message, from the first sending to the last acknowledgement.
fn deliver(engine: &mut Engine<Faulty>, number: u64) {
    append(engine, &Op::Sent(SESSION, 7, number, None, ExactlyOnce));
    append(engine, &Op::Done(SESSION, 7));
    // Many share a flush, each of which takes room as well.
    if number.is_multiple_of(20) {
        engine.commit(true).expect("written");
    }
}

/// Does all that is due.
fn settle(engine: &mut Engine<Faulty>) -> Step {
    for _ in 0..10_000 {
        match engine.step(false) {
            Step::More => {}
            step => return step,
        }
    }
    panic!("it never comes to an end");
}

fn segment_of(engine: &mut Engine<Faulty>, number: u64) -> u32 {
    let slot = engine.mirror.messages.get(number);
    slot.expect("it waits").segment
}

// Breaks if: messages that are about to be delivered are written once more for every segment that the
// records of their deliveries fill.
#[test]
fn a_queue_that_is_emptied_is_not_carried_forward() {
    let disk = Faulty::new(1);
    let mut engine = filled(&disk);
    let numbers = FIRST..FIRST + COUNT;
    let before: Vec<u32> = numbers
        .clone()
        .map(|it| segment_of(&mut engine, it))
        .collect();
    for number in numbers {
        for waits in [number, FIRST + COUNT - 1] {
            let expected = before[(waits - FIRST) as usize];
            assert_eq!(segment_of(&mut engine, waits), expected, "at {number}");
        }
        deliver(&mut engine, number);
        settle(&mut engine);
    }
    let last = before[before.len() - 1];
    let oldest = engine.log.segments().next().map(|it| it.segment);
    assert!(oldest > Some(last - 2), "what nothing lives in is given up");
}

// Breaks if: one sleeping session keeps all that was written after its messages on the disk.
#[test]
fn what_does_not_move_is_carried_in_its_time() {
    let disk = Faulty::new(1);
    let mut engine = filled(&disk);
    // The first stays, and others go.
    for number in FIRST + 1..FIRST + COUNT / 2 {
        deliver(&mut engine, number);
    }
    let before = segment_of(&mut engine, FIRST);
    assert_eq!(settle(&mut engine), Step::Later);
    assert_eq!(segment_of(&mut engine, FIRST), before);
    engine.now += 999;
    assert_eq!(settle(&mut engine), Step::Later);
    engine.now += 1;
    settle(&mut engine);
    assert!(segment_of(&mut engine, FIRST) > before);
    let oldest = engine.log.segments().next().map(|it| it.segment);
    assert!(oldest > Some(before));
}
