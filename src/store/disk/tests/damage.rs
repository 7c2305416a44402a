//! A small store whose files are flipped and cut at every byte, on disks that fail at every call: what is
//! found is what there was, or the report says what is missing and for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;

use super::super::report::{Missing, Owner, Report};
use super::super::segments::error::OpenError;
use super::super::segments::faulty::Fault;
use super::model::{Model, Op, say};
use super::random::Broker;
use super::*;
use crate::codec::QoS::{self, AtLeastOnce, ExactlyOnce};

/// How a small store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was closed.
    Closed,
    /// The process was killed after it had rested.
    Rested,
    /// The process was killed.
    Killed,
}

fn message(number: u64, retained: bool, targets: &[(u64, bool, QoS)]) -> Op {
    Op::Message {
        number,
        topic: (number % 3) as usize,
        held: (number % 4 == 1).then_some((1, number as u16)),
        retained,
        targets: targets.to_vec(),
    }
}

/// A bit of everything.
fn ops() -> Vec<Op> {
    let (one, two, jobs) = (1, 2, 3);
    let mut ops = vec![
        Op::Opened(one, true),
        Op::Subscribed(one, "a", AtLeastOnce),
        Op::Opened(two, false),
        Op::Group(jobs),
        Op::Subscribed(two, "b", ExactlyOnce),
        message(4, true, &[(one, false, AtLeastOnce)]),
        message(
            5,
            false,
            &[(one, false, ExactlyOnce), (two, false, AtLeastOnce)],
        ),
        message(6, false, &[(jobs, true, AtLeastOnce)]),
        message(
            8,
            true,
            &[(jobs, true, AtLeastOnce), (one, false, AtLeastOnce)],
        ),
        Op::Sent(one, 1, 4, None, AtLeastOnce),
        Op::Sent(one, 2, 5, None, AtLeastOnce),
        Op::Received(one, 2),
        Op::Sent(two, 1, 6, Some(jobs), AtLeastOnce),
        Op::Fed(two, 4),
        Op::Done(one, 1),
        Op::Left(one, true),
        Op::Unsubscribed(two, "b"),
        Op::Released(one, 5),
    ];
    for number in 9..26 {
        let owner = 1 + number % 3;
        ops.push(message(
            number,
            number == 20,
            &[(owner, owner == jobs, AtLeastOnce)],
        ));
        if number % 5 == 0 {
            ops.push(Op::Sent(
                50_000,
                number as u16,
                number - 1,
                Some(jobs),
                ExactlyOnce,
            ));
        }
    }
    ops.retain(|it| !matches!(it, Op::Sent(50_000, _, number, ..) if number % 3 != 2));
    ops
}

/// Segments of a few records, and nothing kept back.
fn tiny() -> Options {
    Options {
        segment: 4096 + 2048,
        reserve: 0,
        ..small()
    }
}

/// The store, all states that it went through, and how many of them had been acknowledged before the
/// last time that it could rest.
fn small_store(end: End) -> (Faulty, Vec<Model>) {
    let disk = Faulty::new(1);
    let (mut engine, _) = Engine::open(disk.clone(), tiny(), 1000).expect("opens");
    let mut states = vec![Model::default()];
    for op in ops() {
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        assert_eq!(engine.append(&bytes), 0);
        engine.commit(true).expect("written");
        let mut model = states[states.len() - 1].clone();
        model.apply(&op);
        states.push(model);
    }
    assert_eq!(engine.mirror.unknown, 0);
    match end {
        End::Closed => engine.log.close().expect("closed"),
        End::Rested => engine.log.idle().expect("written"),
        End::Killed => {}
    }
    (disk, states)
}

/// What was found, taken apart: what each session is and has, and numbers by group and for all topics.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    sessions: BTreeMap<String, (Vec<String>, Vec<String>)>,
    groups: BTreeMap<String, Vec<u64>>,
    retained: BTreeSet<u64>,
}

fn numbers(list: &str) -> impl Iterator<Item = u64> {
    let each = list.split(|it: char| !it.is_ascii_digit());
    each.filter_map(|it| it.parse().ok())
}

impl Found {
    fn of(said: &str) -> Self {
        let mut found = Self::default();
        let mut session = String::new();
        for line in said.lines() {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some(list) = line.strip_prefix("retained ") {
                found.retained = numbers(list).collect();
            } else if name.starts_with('g') {
                let list = rest.split_once(' ').map_or("", |it| it.1);
                found
                    .groups
                    .insert(name.to_owned(), numbers(list).collect());
            } else if name.starts_with('c') {
                session = name.to_owned();
                let is = (vec![rest.to_owned()], Vec::new());
                found.sessions.insert(session.clone(), is);
            } else if let Some((is, has)) = found.sessions.get_mut(&session) {
                let message = line.starts_with("  waits") || line.starts_with("  in flight");
                if message { has } else { is }.push(line.to_owned());
            }
        }
        found
    }
}

/// How many of what should be there is not; what is there must be in the same order, and nothing else.
fn missing<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T], what: &str) -> u64 {
    let mut rest = expected.iter();
    for it in found {
        assert!(
            rest.any(|other| other == it),
            "{what}: {it:?} of {found:?} in {expected:?}"
        );
    }
    (expected.len() - found.len()) as u64
}

/// What is found must be what there was, but for those messages that the report names.
fn named(found: &Found, expected: &Found, report: &Report, what: &str) {
    let mut said: BTreeMap<&Owner, u64> = BTreeMap::new();
    for Missing { owner, messages } in &report.missing {
        said.insert(owner, *messages);
    }
    let mut lost = BTreeMap::new();
    let names = |it: &Found| it.sessions.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}: {report:?}");
    for (name, (is, has)) in &expected.sessions {
        let (found_is, found_has) = &found.sessions[name];
        assert_eq!(found_is, is, "{what}: {name}, {report:?}");
        lost.insert(
            Owner::Session(name.as_str().into()),
            missing(found_has, has, what),
        );
    }
    for (name, backlog) in &expected.groups {
        let owner = Owner::Group {
            share: name.as_str().into(),
            filter: "t/#".into(),
        };
        let there = found.groups.get(name);
        let there = there.unwrap_or_else(|| panic!("{what}: {name} is lost"));
        lost.insert(owner, missing(there, backlog, what));
    }
    for number in expected.retained.difference(&found.retained) {
        let topic = super::model::TOPICS[(number % 3) as usize];
        lost.insert(Owner::Retained(topic.into()), 1);
    }
    assert!(found.retained.is_subset(&expected.retained), "{what}");
    lost.retain(|_, count| *count > 0);
    let lost: BTreeMap<&Owner, u64> = lost.iter().map(|it| (it.0, *it.1)).collect();
    assert_eq!(said, lost, "{what}: {report:?}");
}

/// What a store holds, in the words of the model.
fn said(engine: &mut Engine<Faulty>) -> String {
    let (state, unread) = engine.state();
    assert_eq!(unread, 0);
    say(&state, |number| engine.recall(&[number]).pop()?.1)
}

/// Opens, and opens again: then nothing may be found missing, or changed.
fn open_twice(disk: &Faulty, what: &str) -> (Found, String, Report) {
    let (mut engine, report) =
        Engine::open(disk.clone(), tiny(), 1000).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.undecoded, 0, "{what}");
    let before = said(&mut engine);
    drop(engine);
    disk.restart();
    let (mut engine, again) = Engine::open(disk.clone(), tiny(), 1000).expect("opens again");
    assert_eq!(
        (again.log.damage, again.missing),
        (vec![], vec![]),
        "{what}"
    );
    assert_eq!((again.untold, again.log.torn), (vec![], vec![]), "{what}");
    assert_eq!(said(&mut engine), before, "{what}");
    (Found::of(&before), before, report)
}

/// Where something is written that is ever read: headers, records, marks.
fn meant(name: &str, bytes: &[u8]) -> Vec<usize> {
    let copies: [Range<usize>; 2] = [0..64, 2048..2112];
    let written = bytes.iter().rposition(|it| *it != 0).unwrap_or(0) + 32;
    let meant = |at: &usize| match name.ends_with(".log") {
        true => *at >= 4096 && *at < written || copies.iter().any(|it| it.contains(at)),
        false => *at < written,
    };
    (0..bytes.len()).filter(meant).collect()
}

// Breaks if: any record or message is lost by one bad byte without being named, or more than the messages
// of one frame.
#[test]
fn a_flipped_byte_is_made_good_or_named() {
    for end in [End::Closed, End::Rested] {
        let (disk, states) = small_store(end);
        let expected = Found::of(&states[states.len() - 1].found());
        let mut lost = 0;
        for name in disk.names() {
            let bytes = disk.content(&name);
            for at in meant(&name, &bytes) {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                let copy = disk.copy(3);
                copy.put(&name, &bytes);
                let what = format!("{end:?} {name} flipped at {at}");
                let (found, _, report) = open_twice(&copy, &what);
                assert_eq!(report.untold, [], "{what}");
                named(&found, &expected, &report, &what);
                assert!(report.log.left.is_empty(), "{what}");
                lost += report.missing.len();
            }
        }
        assert!(lost > 500, "{end:?}: messages are there to be lost: {lost}");
    }
}

// Breaks if: what had been acknowledged is taken for a torn tail, though a mark had promised it.
#[test]
fn a_flipped_byte_costs_at_most_the_last_commit_that_nothing_promised() {
    let (disk, states) = small_store(End::Killed);
    let last = &states[states.len() - 2..];
    let (before, after) = (Found::of(&last[0].found()), Found::of(&last[1].found()));
    let (mut torn, mut named_ones) = (0, 0);
    for name in disk.names() {
        let bytes = disk.content(&name);
        for at in meant(&name, &bytes) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let copy = disk.copy(3);
            copy.put(&name, &bytes);
            let what = format!("{name} flipped at {at}");
            let (found, said, report) = open_twice(&copy, &what);
            if found == after && report.missing.is_empty() {
                continue;
            }
            if !report.log.torn.is_empty() {
                assert_eq!(found, before, "{what}: {report:?}");
                torn += 1;
            } else if report.untold.is_empty() {
                named(&found, &after, &report, &what);
                named_ones += 1;
            } else {
                // What the last entries said had not been said again.
                let untold = &report.untold[0];
                assert_eq!((untold.file == name, untold.entries), (true, 1), "{said}");
                assert!(untold.bytes.contains(&(at as u64)), "{what}: {untold}");
                assert!(untold.after.is_some(), "{untold}");
            }
        }
    }
    assert!(torn > 10 && named_ones > 500, "{torn} {named_ones}");
}

// Breaks if: what is missing at the end of a file is not told, or taken for more than is missing.
#[test]
fn a_cut_file_is_told() {
    for end in [End::Closed, End::Rested, End::Killed] {
        let (disk, states) = small_store(end);
        let history: Vec<_> = states.iter().map(Model::found).collect();
        let expected = &history[history.len() - 1];
        let mut logs = disk.names();
        logs.retain(|it| it.ends_with(".log") && disk.content(it).iter().any(|it| *it != 0));
        let last = logs.into_iter().max().expect("there are files");
        for name in disk.names() {
            let bytes = disk.content(&name);
            for len in meant(&name, &bytes) {
                let copy = disk.copy(4);
                copy.put(&name, &bytes[..len]);
                let what = format!("{end:?} {name} cut at {len}");
                let (found, said, report) = open_twice(&copy, &what);
                if end == End::Killed && name == last {
                    assert!(
                        history.contains(&said),
                        "{what}: a beginning is there\n{said}"
                    );
                } else if report.untold.is_empty() {
                    named(&found, &Found::of(expected), &report, &what);
                } else {
                    assert!(report.untold.iter().all(|it| it.file == name), "{what}");
                }
            }
        }
    }
}

// Breaks if: `strict` opens a store with damage, changes it, or does not say where it is damaged and why.
#[test]
fn strict_refuses_and_says_where() {
    let (disk, _) = small_store(End::Closed);
    let name = "0000000001.log";
    let mut bytes = disk.content(name);
    bytes[4096 + 70] ^= 1;
    disk.put(name, &bytes);
    let strict = Options {
        strict: true,
        ..small()
    };
    let refused = Engine::open(disk.clone(), strict, 1000).err();
    let refused = refused.expect("it is damaged");
    assert!(matches!(refused, OpenError::Damaged(_)));
    let said = refused.to_string();
    assert!(
        said.contains("0000000001.log is damaged from byte 4"),
        "{said}"
    );
    assert_eq!(disk.content(name), bytes);
    assert!(disk.names().iter().all(|it| !it.starts_with("damaged/")));
}

// Breaks if: bad sectors, more than a few, keep the store from opening or are not named.
#[test]
fn messages_on_bad_sectors_are_named() {
    let disk = Faulty::new(1);
    let options = Options {
        segment: 600 << 10,
        ..small()
    };
    let (mut engine, _) = Engine::open(disk.clone(), options.clone(), 1000).expect("opens");
    let mut bytes = Vec::new();
    Op::Opened(1, false).encode(&mut bytes);
    for number in 2..1500 {
        message(number, false, &[(1, false, AtLeastOnce)]).encode(&mut bytes);
    }
    assert_eq!(engine.append(&bytes), 0);
    engine.commit(true).expect("written");
    engine.log.close().expect("closed");
    let name = "0000000001.log";
    let pages = disk.content(name).len() as u64 / 4096;
    assert!(pages > 50, "{pages}");
    for bad in [2, 20] {
        let disk = disk.copy(2);
        disk.set_unreadable(name, 10 * 4096..(10 + bad) * 4096);
        let opened = Engine::open(disk.clone(), options.clone(), 1000);
        let (mut engine, report) = opened.expect("opens");
        let there = engine.state().0.sessions[0].waiting.len() as u64;
        assert_eq!(report.missing.len(), 1, "{bad}");
        let Missing { owner, messages } = &report.missing[0];
        assert_eq!(*owner, Owner::Session("c1".into()));
        // What was said in short may be on bad sectors as well, if they are many.
        let untold: u64 = report.untold.iter().map(|it| it.entries).sum();
        match bad {
            2 => assert_eq!((*messages, untold), (1498 - there, 0)),
            _ => assert!(*messages < 1498 - there && untold > 0, "{report:?}"),
        }
        assert!(there > 700 && report.log.aside.len() == 1, "{there}");
    }
}

/// Gives up every segment that is there now.
fn compact(engine: &mut Engine<Faulty>) {
    super::random::go_round(engine, 2, 1000);
}

// Breaks if: what stands in the place of damage is taken for damage when its segment is given up, or for
// more than it says.
#[test]
fn what_was_made_good_is_carried_forward() {
    let (disk, _) = small_store(End::Closed);
    for name in ["0000000001.log", "0000000002.log"] {
        let bytes = disk.content(name);
        let written = bytes.iter().rposition(|it| *it != 0).expect("records");
        for at in (4096..written).step_by(23) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let copy = disk.copy(5);
            copy.put(name, &bytes);
            let what = format!("{name} flipped at {at}");
            let (found, ..) = open_twice(&copy, &what);
            let (mut engine, _) = Engine::open(copy.clone(), small(), 1000).expect("opens");
            compact(&mut engine);
            assert_eq!(
                (engine.mirror.unknown, &engine.missing),
                (0, &vec![]),
                "{what}"
            );
            drop(engine);
            let aside = copy.names().into_iter();
            let aside = aside.filter(|it| it.starts_with("damaged/")).count();
            assert!(aside <= 1, "{what}: it is not set aside again");
            let (again, _, report) = open_twice(&copy, &what);
            assert_eq!(
                (again, report.missing, report.log.damage),
                (found, vec![], vec![])
            );
        }
    }
}

// Breaks if: damage that is found when a segment is given up loses messages silently, or twice.
#[test]
fn damage_that_is_found_later_is_named() {
    let mut lost = 0;
    for step in 0..20 {
        let (disk, states) = small_store(End::Closed);
        let expected = Found::of(&states[states.len() - 1].found());
        let (mut engine, report) = Engine::open(disk.clone(), small(), 1000).expect("opens");
        assert_eq!(
            report,
            Report {
                log: report.log.clone(),
                ..Report::default()
            }
        );
        let name = "0000000002.log";
        let mut bytes = disk.content(name);
        bytes[4096 + step * 59] ^= 1;
        disk.put(name, &bytes);
        compact(&mut engine);
        let what = format!("flipped at {}", step * 59);
        let report = Report {
            missing: std::mem::take(&mut engine.missing),
            ..Report::default()
        };
        assert_eq!(engine.mirror.unknown, 0, "{what}");
        drop(engine);
        let (found, _, again) = open_twice(&disk, &what);
        assert_eq!(
            (&again.missing, &again.log.damage),
            (&vec![], &vec![]),
            "{what}"
        );
        named(&found, &expected, &report, &what);
        lost += report.missing.len();
        let aside = disk.names().into_iter();
        let aside = aside.filter(|it| it.starts_with("damaged/")).count();
        assert!(aside == 1 || report.missing.is_empty(), "{what}");
    }
    assert!(lost > 5, "{lost}");
}

/// Appends one by one, on a disk that fails at one call, and then goes on. After the end of the power what
/// was acknowledged is there.
fn fails_at(call: u64, kind: ErrorKind) -> bool {
    let disk = Faulty::new(call);
    let mut broker = Broker::new(7);
    disk.fail(call, Fault::Error(kind));
    let mut opened = Engine::open(disk.clone(), small(), 1000);
    if opened.is_err() {
        disk.restart();
        opened = Engine::open(disk.clone(), small(), 1000);
    }
    let (mut engine, _) = opened.expect("it fails once");
    let mut acknowledged = vec![broker.model.clone()];
    for step in 0..260 {
        let Some(op) = broker.op() else { continue };
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        // What is refused on a full disk has not happened.
        if engine.append(&bytes) == 0 {
            broker.model.apply(&op);
            acknowledged.push(broker.model.clone());
        }
        let files = disk.names();
        match engine.commit(true) {
            Ok(()) if !engine.owes() => acknowledged.drain(..acknowledged.len() - 1),
            Ok(()) => continue,
            Err(_) => {
                // The same again, into another file: nothing is believed of the one that failed.
                engine.commit(true).expect("it fails once");
                assert!(disk.names().iter().any(|it| !files.contains(it)), "{call}");
                acknowledged.drain(..acknowledged.len() - 1)
            }
        };
        if step % 3 == 0 {
            engine.step(true);
        }
        if step % 16 == 0 {
            let _ = engine.log.idle();
        }
    }
    let over = disk.calls() <= call;
    drop(engine);
    disk.restart();
    let (mut engine, report) = Engine::open(disk.clone(), small(), 1000).expect("opens");
    assert_eq!(
        (&report.log.damage, &report.missing),
        (&vec![], &vec![]),
        "{call}"
    );
    let found = said(&mut engine);
    assert!(
        acknowledged.iter().any(|it| it.found() == found),
        "{kind:?} at {call}"
    );
    over
}

// Breaks if: an error of any call, flushes above all, is passed over, or what it was about is believed to be
// there.
#[test]
fn an_error_at_any_call_costs_nothing_that_was_acknowledged() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let last = (0..5000).find(|call| fails_at(*call, kind));
        assert!(last.is_some_and(|it| it > 300), "{kind:?}: {last:?}");
    }
}
