//! The writer on a disk that fails: who is told that a record is safe finds it after the end of the power.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::segments::faulty::Fault;
use super::super::writer::{Desk, run};
use super::model::{Model, Op, say};
use super::random::Broker;
use super::*;
use crate::message::Timestamp;
use crate::store::contract::{Ask, Failure, Progress, Safety, Waits};
use crate::store::record::Record;

/// How many records there are.
const RECORDS: usize = 60;

/// Appends the next record when it is told of the last one, so that each has a commit of its own.
struct Chain {
    desk: Arc<Desk>,
    ops: Vec<Op>,
    /// Outcomes by ticket; the ticket is the index of the record.
    told: Mutex<Vec<(u64, Result<(), Failure>)>>,
    /// A record was refused, because the store had not noticed yet that it can store again.
    refused: Mutex<bool>,
}

/// Every third waits until its record is safe, however long that takes.
fn is_patient(ticket: u64) -> bool {
    ticket.is_multiple_of(3)
}

impl Chain {
    fn put(self: &Arc<Self>, index: usize) {
        let Some(op) = self.ops.get(index) else {
            return;
        };
        op.with(&mut |record| {
            let ask = Ask {
                to: &Arc::new(Link(Arc::clone(self))),
                ticket: index as u64,
                safety: Safety::Flushed,
                patient: is_patient(index as u64),
            };
            let progress = self.desk.put(&record, Some(ask), 1 << 20);
            *self.refused.lock() |= matches!(progress, Progress::Refused(_));
        });
    }
}

struct Link(Arc<Chain>);

impl Waits for Link {
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        let ticket = *tickets.start();
        assert_eq!(tickets, ticket..=ticket, "each link is one of its own");
        self.0.told.lock().push((ticket, outcome));
        self.0.put(ticket as usize + 1);
    }
}

fn ops() -> Vec<Op> {
    let mut broker = Broker::new(11);
    let mut ops = Vec::new();
    while ops.len() < RECORDS {
        if let Some(op) = broker.op() {
            broker.model.apply(&op);
            ops.push(op);
        }
    }
    ops
}

/// Returns whether anybody was told of the error, or nothing if the call is behind the last.
fn fails_at(call: u64, ops: &[Op]) -> Option<bool> {
    let disk = Faulty::new(call);
    let engine = open(&disk);
    let before = disk.calls();
    disk.fail(call, Fault::Error(ErrorKind::Other));
    let chain = Arc::new(Chain {
        desk: Arc::default(),
        ops: ops.to_vec(),
        told: Mutex::default(),
        refused: Mutex::default(),
    });
    chain.put(0);
    // So that nobody waits for the clock: the writer ends when it has nothing to do.
    chain.desk.close();
    run(engine, &chain.desk);
    let calls = disk.calls() - before;
    let told = std::mem::take(&mut *chain.told.lock());
    let tickets = told.iter().map(|it| it.0);
    assert!(
        tickets.eq(0..told.len() as u64),
        "{call}: each is told once, in order: {told:?}"
    );
    assert!(told.len() == RECORDS || *chain.refused.lock(), "{call}");
    let patient = |it: &&(u64, Result<(), Failure>)| is_patient(it.0);
    assert!(told.iter().filter(patient).all(|it| it.1.is_ok()), "{call}");
    let is_safe = told
        .iter()
        .rposition(|it| it.1.is_ok())
        .map_or(0, |it| it + 1);
    disk.restart();
    let (mut engine, report) = Engine::open(disk, small(), 1000).expect("opens");
    assert_eq!(
        (report.log.damage, report.missing),
        (vec![], vec![]),
        "{call}"
    );
    let (mut state, _) = engine.state();
    for it in &mut state.sessions {
        // The writer knows what time it really is.
        it.left = Timestamp::from_millis(1000);
    }
    let found = say(&state, |number| engine.recall(&[number]).pop()?.1);
    let mut model = Model::default();
    ops[..is_safe].iter().for_each(|it| model.apply(it));
    let mut rest = ops[is_safe..].iter();
    while model.found() != found {
        let next = rest.next();
        model.apply(next.unwrap_or_else(|| panic!("{call}: {is_safe} were safe\n{found}")));
    }
    let over = told.len() == RECORDS && call >= calls;
    (!over).then(|| told.iter().any(|it| it.1.is_err()))
}

// Breaks if: a failed write or flush is acknowledged, or what follows is acknowledged before what failed was
// written again.
#[test]
fn who_is_told_that_it_is_safe_finds_it() {
    let ops = ops();
    let mut failures = 0;
    for call in 0.. {
        match fails_at(call, &ops) {
            Some(told) => failures += u64::from(told),
            None => break,
        }
    }
    assert!(failures > 60, "{failures} errors were told");
}

/// Hears outcomes as they are told.
#[derive(Default)]
struct Whole(Mutex<Vec<Told>>);

type Told = (RangeInclusive<u64>, Result<(), Failure>);

impl Waits for Whole {
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        self.0.lock().push((tickets, outcome));
    }
}

// Breaks if: what one asks for in a row is told one by one, or is told with what is less safe, or as
// somebody else's.
#[test]
fn what_is_asked_for_in_a_row_is_told_at_once() {
    let desk: Arc<Desk> = Arc::default();
    let (one, other): (Arc<Whole>, Arc<Whole>) = Default::default();
    let put = |to: &Arc<Whole>, ticket, safety| {
        let ask = Ask {
            to,
            ticket,
            safety,
            patient: false,
        };
        let record = Record::Ended { session: ticket };
        assert_eq!(desk.put(&record, Some(ask), 1 << 20), Progress::Later);
    };
    for ticket in 1..=3 {
        put(&one, ticket, Safety::Flushed);
        put(&other, ticket, Safety::Flushed);
    }
    put(&one, 4, Safety::Written);
    put(&one, 5, Safety::Flushed);
    put(&one, 6, Safety::Flushed);
    desk.close();
    run(open(&Faulty::new(0)), &desk);
    // Who needs less hears of it first, and nobody of more than was made as safe.
    let told = |tickets| (tickets, Ok(()));
    let expected = [told(4..=4), told(1..=3), told(5..=6)];
    assert_eq!(*one.0.lock(), expected);
    assert_eq!(*other.0.lock(), [told(1..=3)]);
}
