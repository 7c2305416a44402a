//! Every byte of a small log is flipped, and every file cut at every length.

use super::super::types::Defect;
use super::*;

/// The last file of the small log, and its first sequence.
const LAST: &str = "0000000005.log";
const LAST_FIRST: u64 = 48;

/// A log of several segments, one of them retired, closed properly or not.
fn small(closed: bool) -> (Faulty, Content) {
    let disk = Faulty::new(1);
    let options = Options {
        segment: 4096 + 700,
        step: 512,
        reserve: 0,
        ..options()
    };
    let (mut log, _, _) = open(disk.clone(), options);
    let mut content = Content::new();
    for number in 1..=40_u8 {
        let bytes = vec![number; usize::from(number) * 3 % 50];
        log.append(number, &bytes).expect("there is room");
        content.insert(u64::from(number), (number, bytes));
        if number % 3 == 0 {
            log.commit(true).expect("written");
        }
    }
    log.commit(true).expect("written");
    let mut gone = Vec::new();
    log.scan(2, &mut |it| gone.push(it.sequence))
        .expect("sealed");
    assert!(gone.len() > 3, "{gone:?}");
    log.retire(2, Retire::Recycle).expect("retired");
    for sequence in gone {
        content.remove(&sequence);
    }
    for number in 41..=50_u8 {
        log.append(number, &[number; 20]).expect("there is room");
        content.insert(u64::from(number), (number, vec![number; 20]));
        log.commit(true).expect("written");
    }
    if closed {
        log.close().expect("closed");
    }
    (disk, content)
}

/// Opens a damaged copy; all that is missing must be named, unless it was never promised.
fn check(disk: Faulty, content: &Content, what: &str, unpromised: u64) -> usize {
    let (_, found, report) = open(disk, options());
    for (sequence, entry) in &found {
        assert_eq!(
            content.get(sequence),
            Some(entry),
            "{what}: {sequence} was not there"
        );
    }
    let missing: Vec<_> = content
        .keys()
        .filter(|it| !found.contains_key(it))
        .collect();
    for sequence in &missing {
        let named = report
            .damage
            .iter()
            .any(|it| it.sequences.contains(sequence));
        let cut = **sequence >= unpromised && !report.torn.is_empty();
        assert!(
            named || cut,
            "{what}: {sequence} is lost silently: {report:?}"
        );
    }
    missing.len()
}

fn flip_all(closed: bool, unpromised: u64) {
    let (disk, content) = small(closed);
    for name in disk.names() {
        let bytes = disk.content(&name);
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let copy = disk.copy(3);
            copy.put(&name, &bytes);
            let lost = check(
                copy,
                &content,
                &format!("{name} flipped at {at}"),
                unpromised,
            );
            assert!(
                lost <= 1,
                "{lost} entries are lost for one byte at {at} of {name}"
            );
        }
    }
}

// Breaks if: recovery stops at a bad record instead of looking for the next good one.
#[test]
fn a_flipped_byte_costs_one_entry_and_is_named() {
    flip_all(true, u64::MAX);
}

// Breaks if: the durable mark in front of each commit is not believed.
#[test]
fn a_flipped_byte_without_a_mark_may_cost_only_the_last_commit() {
    flip_all(false, 50);
}

// Breaks if: a part of a file that is missing at its end is taken for a torn tail.
#[test]
fn a_cut_file_loses_what_was_cut_and_names_it() {
    for closed in [true, false] {
        let unpromised = if closed { u64::MAX } else { 50 };
        let (disk, content) = small(closed);
        for name in disk.names() {
            let bytes = disk.content(&name);
            for len in 0..bytes.len() {
                let copy = disk.copy(4);
                copy.put(&name, &bytes[..len]);
                let what = format!("{name} cut at {len}");
                if !closed && name == LAST {
                    // What promised the entries of the last file was in that file.
                    let (_, found, report) = open(copy, options());
                    let from = found.len();
                    let expected = content.iter().take(from).map(|it| (*it.0, it.1.clone()));
                    assert_eq!(found, expected.collect(), "{what}: a beginning is there");
                    assert!(report.next >= LAST_FIRST, "{what}: {report:?}");
                } else {
                    check(copy, &content, &what, unpromised);
                }
            }
        }
    }
}

// Breaks if: the mark does not list the files that must exist.
#[test]
fn a_missing_file_is_named_and_a_retired_one_is_not() {
    let (disk, content) = small(true);
    let (_, _, report) = open(disk.copy(5), options());
    assert_eq!((&report.damage[..], &report.torn[..]), (&[][..], &[][..]));
    for name in disk.names().iter().filter(|it| it.ends_with(".log")) {
        let copy = disk.copy(5);
        copy.take(name);
        let lost = check(copy.clone(), &content, name, u64::MAX);
        assert!(lost > 0, "{name} held something");
    }
}

// Breaks if: damaged segments cannot be scanned, or setting aside removes the only copy.
#[test]
fn a_damaged_segment_is_carried_forward_and_set_aside() {
    let (disk, content) = small(true);
    let name = "0000000003.log";
    let mut bytes = disk.content(name);
    bytes[4096 + 60] ^= 1;
    disk.put(name, &bytes);
    let strict = Options {
        strict: true,
        ..options()
    };
    let refused = Log::open(disk.clone(), strict, &mut |_| ()).err();
    assert!(matches!(
        refused,
        Some(super::super::error::OpenError::Damaged(_))
    ));
    let (mut log, found, report) = open(disk.clone(), options());
    assert_eq!((report.damage.len(), report.lost()), (1, 1));
    assert_eq!(report.damage[0].defect, Defect::Record);
    let segment = report.damage[0].segment.expect("the segment is known");
    let mut carried = Vec::new();
    let damage = log.scan(segment, &mut |it| {
        carried.push((it.kind, it.bytes.to_vec()))
    });
    assert_eq!(damage.expect("it can be scanned"), report.damage);
    for (kind, bytes) in &carried {
        log.append(*kind, bytes).expect("there is room");
    }
    assert!(
        log.retire(segment, Retire::SetAside).is_err(),
        "not committed yet"
    );
    log.commit(true).expect("written");
    log.retire(segment, Retire::SetAside).expect("set aside");
    drop(log);
    disk.restart();
    assert_eq!(disk.content(&format!("damaged/{name}")), bytes);
    let (_, again, report) = open(disk, options());
    assert_eq!(report.damage, []);
    let values = |it: &Content| {
        let mut values: Vec<_> = it.values().cloned().collect();
        values.sort();
        values
    };
    assert_eq!(values(&again), values(&found));
    assert_eq!(found.len() + 1, content.len());
}

// Breaks if: anything that is read is used unchecked.
#[test]
fn garbage_is_no_reason_to_panic() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (disk, _) = small(seed % 2 == 0);
        for name in disk.names() {
            let mut bytes = disk.content(&name);
            for _ in 0..random.below(30) {
                let at = random.below(bytes.len() as u64) as usize;
                let len = random.below(64) as usize;
                let end = (at + len).min(bytes.len());
                bytes[at..end].fill_with(|| random.next() as u8);
            }
            disk.put(&name, &bytes);
        }
        let opened = Log::open(disk, options(), &mut |_| ());
        if let Ok((mut log, _)) = opened {
            log.append(1, b"after").expect("there is room");
            log.commit(true).expect("written");
        }
    }
}
