//! The store on a real disk, with its thread, held to the contract.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::super::Disk;
use super::super::options::Options;
use super::super::segments::error::OpenError;
use super::model::{Model, Op, say};
use crate::codec::QoS;
use crate::message::Message;
use crate::store::contract::Store;
use crate::store::contract::{Ask, Failure, Progress, Recalls, Safety, Waits};
use crate::store::memory::Memory;

const DEADLINE: Duration = Duration::from_secs(60);

/// A folder that is gone after the test.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("postbud-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Hears outcomes.
pub(super) struct Ear(Sender<(u64, Result<(), Failure>)>);

impl Waits for Ear {
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        for ticket in tickets {
            self.0.send((ticket, outcome)).expect("the test listens");
        }
    }
}

/// Takes what is read back.
struct Taker(Sender<Vec<(u64, Option<Message>)>>);

impl Recalls for Taker {
    fn recalled(&self, found: Vec<(u64, Option<Message>)>) {
        self.0.send(found).expect("the test listens");
    }
}

pub(super) fn recall(store: &dyn Store, number: u64) -> Option<Message> {
    let (sender, receiver) = channel();
    store.recall(vec![number], Arc::new(Taker(sender)));
    let found = receiver.recv_timeout(DEADLINE).expect("told");
    assert_eq!((found.len(), found[0].0), (1, number));
    found.into_iter().next()?.1
}

pub(super) type Heard = Receiver<(u64, Result<(), Failure>)>;

pub(super) fn ear() -> (Arc<Ear>, Heard) {
    let (sender, receiver) = channel();
    (Arc::new(Ear(sender)), receiver)
}

pub(super) fn append(store: &dyn Store, op: &Op, to: Option<(&Arc<Ear>, u64)>) -> Progress {
    let mut progress = Progress::Done;
    op.with(&mut |record| {
        let ask = to.map(|(to, ticket)| Ask {
            to,
            ticket,
            safety: Safety::Flushed,
            patient: false,
        });
        progress = store.append(record, ask);
    });
    progress
}

pub(super) fn message(number: u64, owner: u64) -> Op {
    Op::Message {
        number,
        topic: 0,
        held: None,
        retained: false,
        targets: vec![(owner, false, QoS::AtLeastOnce)],
    }
}

/// Whatever the store: nobody waits for ever, each receipt is told once, and in order.
fn keeps_the_contract(store: &dyn Store) {
    let (to, heard) = ear();
    assert_eq!(store.accepts(), Ok(()));
    assert_eq!(append(store, &Op::Opened(1, false), None), Progress::Done);
    let mut later = Vec::new();
    for number in 2..500 {
        if append(store, &message(number, 1), Some((&to, number))) == Progress::Later {
            later.push(number);
        }
    }
    for number in later {
        assert_eq!(heard.recv_timeout(DEADLINE), Ok((number, Ok(()))));
    }
    assert!(heard.try_recv().is_err(), "nothing is told twice");
    assert_eq!(store.health().failure, None);
}

// Breaks if: a receipt is told twice, out of order, or not at all.
#[test]
fn memory_keeps_the_contract() {
    keeps_the_contract(&Memory);
}

// Breaks if: the writer loses a receipt, or what it told is not found at the next start.
#[test]
fn the_disk_keeps_the_contract() {
    let folder = Folder::new("contract");
    for flush in [true, false] {
        let options = Options {
            flush,
            patience: Duration::ZERO,
            ..Options::default()
        };
        let path = folder.0.join(flush.to_string());
        let (disk, state, _) = Disk::open(&path, options.clone()).expect("opens");
        assert!(state.sessions.is_empty());
        keeps_the_contract(&disk);
        let again = Disk::open(&path, options.clone());
        assert!(matches!(again, Err(OpenError::Locked)), "one at a time");
        assert_eq!(disk.close(), Ok(()));
        let (_disk, state, report) = Disk::open(&path, options).expect("opens");
        assert_eq!(state.sessions[0].waiting.len(), 498);
        assert_eq!((report.unknown, report.log.damage.len()), (0, 0));
        assert_eq!(state.next_number, 500);
    }
}

// Breaks if: the order of records is lost between threads and the log, or idle stores do not commit.
#[test]
fn what_is_appended_one_by_one_is_found() {
    let folder = Folder::new("one");
    let (disk, _, _) = Disk::open(&folder.0, Options::default()).expect("opens");
    let (to, heard) = ear();
    let ops = [
        Op::Opened(1, true),
        Op::Group(2),
        message(3, 1),
        message(4, 1),
        Op::Sent(1, 9, 3, None, QoS::AtLeastOnce),
        Op::Subscribed(1, "a", QoS::ExactlyOnce),
        Op::Left(1, true),
    ];
    let mut model = Model::default();
    for (index, op) in ops.iter().enumerate() {
        model.apply(op);
        assert_eq!(
            append(&disk, op, Some((&to, index as u64))),
            Progress::Later
        );
        assert_eq!(heard.recv_timeout(DEADLINE), Ok((index as u64, Ok(()))));
    }
    drop(disk);
    let (disk, state, _) = Disk::open(&folder.0, Options::default()).expect("opens");
    assert_eq!(say(&state, |number| recall(&disk, number)), model.found());
}

// Breaks if: what was drained is not given up, or too much is written for it.
#[test]
fn a_drained_store_gives_the_disk_back() {
    let folder = Folder::new("drain");
    let options = Options {
        segment: 1 << 20,
        reserve: 2 << 20,
        patience: Duration::ZERO,
        ..Options::default()
    };
    let (disk, _, _) = Disk::open(&folder.0, options.clone()).expect("opens");
    append(&disk, &Op::Opened(1, false), None);
    append(&disk, &message(2, 1), None);
    for number in 3..100_000 {
        append(&disk, &message(number, 1), None);
    }
    let (to, heard) = ear();
    append(
        &disk,
        &Op::Subscribed(1, "a", QoS::AtLeastOnce),
        Some((&to, 0)),
    );
    assert_eq!(heard.recv_timeout(DEADLINE), Ok((0, Ok(()))));
    let until = Instant::now() + DEADLINE;
    while disk.health().disk <= 10 << 20 {
        assert!(Instant::now() < until, "{:?}", disk.health());
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in 3..100_000 {
        let sent = Op::Sent(1, 1, number, None, QoS::AtLeastOnce);
        append(&disk, &sent, None);
        append(&disk, &Op::Done(1, 1), None);
    }
    let until = Instant::now() + DEADLINE;
    while disk.health().disk > 3 << 20 || disk.health().messages > 1 {
        assert!(Instant::now() < until, "{:?}", disk.health());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(disk.health().unknown, 0);
    drop(disk);
    let (_disk, state, _) = Disk::open(&folder.0, options).expect("opens");
    let waiting: Vec<_> = state.sessions[0].waiting.iter().collect();
    assert_eq!(waiting.len(), 1, "the sleeping message is still there");
    assert_eq!(waiting[0].number.get(), 2);
    assert_eq!(state.next_number, 100_000);
}

// Breaks if: a full store goes on to promise, or cannot be drained.
#[test]
fn a_full_store_says_so_and_can_be_drained() {
    let folder = Folder::new("full");
    let options = Options {
        segment: 256 << 10,
        reserve: 512 << 10,
        bytes_maximum: Some(2 << 20),
        patience: Duration::ZERO,
        ..Options::default()
    };
    let (disk, _, _) = Disk::open(&folder.0, options).expect("opens");
    let (to, heard) = ear();
    append(&disk, &Op::Opened(1, false), None);
    let mut number = 2;
    loop {
        if append(&disk, &message(number, 1), Some((&to, number))) != Progress::Later {
            break;
        }
        let (told, outcome) = heard.recv_timeout(DEADLINE).expect("told");
        assert_eq!(told, number);
        assert!(matches!(outcome, Ok(()) | Err(Failure::Full)));
        number += 1;
        assert!(number < 100_000, "there is a bound");
    }
    assert_eq!(disk.accepts(), Err(Failure::Full));
    let more = append(&disk, &message(number, 1), Some((&to, number)));
    assert_eq!(more, Progress::Refused(Failure::Full));
    for kept in 2..number {
        append(&disk, &Op::Dropped(1, kept), None);
    }
    let until = Instant::now() + DEADLINE;
    while disk.accepts().is_err() {
        assert!(Instant::now() < until, "{:?}", disk.health());
        std::thread::sleep(Duration::from_millis(5));
    }
    append(&disk, &message(number + 1, 1), Some((&to, 0)));
    assert_eq!(heard.recv_timeout(DEADLINE), Ok((0, Ok(()))));
}

// Breaks if: a store that cannot store keeps who closes it waiting.
#[test]
fn a_full_store_can_be_closed() {
    let folder = Folder::new("full-close");
    let options = Options {
        segment: 256 << 10,
        reserve: 512 << 10,
        bytes_maximum: Some(2 << 20),
        patience: Duration::ZERO,
        ..Options::default()
    };
    let (disk, _, _) = Disk::open(&folder.0, options).expect("opens");
    append(&disk, &Op::Opened(1, false), None);
    let until = Instant::now() + DEADLINE;
    for number in 2.. {
        if append(&disk, &message(number, 1), None) == Progress::Refused(Failure::Full) {
            break;
        }
        assert!(Instant::now() < until, "there is a bound");
    }
    assert_eq!(disk.close(), Err(Failure::Full));
}
