//! Every byte of a small log is flipped, and every file cut at every length.

use std::io::ErrorKind;

use super::super::error::OpenError;
use super::super::faulty::Fault;
use super::super::types::Defect;
use super::*;

/// A log of several segments, one of them retired, closed properly or not. What each entry says in short
/// is its first byte.
fn small(closed: bool) -> (Faulty, Content) {
    let disk = Faulty::new(1);
    let options = Options {
        segment: 4096 + 800,
        step: 512,
        reserve: 0,
        ..options()
    };
    let (mut log, _, _) = open(disk.clone(), options);
    let mut content = Content::new();
    let append = |log: &mut Log<Faulty>, content: &mut Content, number: u8, bytes: Vec<u8>| {
        log.append(number, &bytes).expect("there is room");
        let sequence = log.next_sequence() - 1;
        log.tell(number, &bytes[..bytes.len().min(1)]);
        content.insert(sequence, (number, bytes));
    };
    for number in 1..=40_u8 {
        let bytes = vec![number; usize::from(number) * 3 % 50];
        append(&mut log, &mut content, number, bytes);
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
        append(&mut log, &mut content, number, vec![number; 20]);
        log.commit(true).expect("written");
    }
    if closed {
        log.close().expect("closed");
    }
    (disk, content)
}

/// Where the header's second copy is, and how long each is.
const COPIES: [std::ops::Range<usize>; 2] = [0..64, 2048..2112];

/// Which bytes to flip together: each alone, but those that mean nothing all at once.
fn flips(name: &str, bytes: &[u8]) -> Vec<Vec<usize>> {
    let meant = |at: &usize| match name.starts_with("mark") {
        true => *at < 512,
        false => *at >= 4096 || COPIES.iter().any(|it| it.contains(at)),
    };
    let (meant, rest): (Vec<_>, Vec<_>) = (0..bytes.len()).partition(meant);
    let each = meant.into_iter().map(|at| vec![at]);
    each.chain((!rest.is_empty()).then_some(rest)).collect()
}

/// Opens a damaged copy; all that is missing must be named, unless it was never promised. The next start
/// must find nothing more to tell. Returns how many entries are not whole.
fn check(disk: &Faulty, content: &Content, what: &str, unpromised: u64) -> usize {
    let (log, found, report) = open(disk.clone(), options());
    let named = |sequence: &u64| {
        let mut damage = report.damage.iter();
        damage.any(|it| it.sequences.contains(sequence))
    };
    for (sequence, entry) in &found {
        let (kind, bytes) = &content[sequence];
        let gist = (*kind, bytes[..bytes.len().min(1)].to_vec());
        let whole = content[sequence] == *entry;
        assert!(
            whole || named(sequence) && gist == *entry,
            "{what}: {sequence} was not there"
        );
    }
    for sequence in content.keys().filter(|it| !found.contains_key(it)) {
        let cut = *sequence >= unpromised && !report.torn.is_empty();
        assert!(
            named(sequence) || cut,
            "{what}: {sequence} is lost silently: {report:?}"
        );
    }
    let told: u64 = report.damage.iter().map(|it| it.told).sum();
    let unlike = content.iter().filter(|it| found.get(it.0) != Some(it.1));
    let unlike = unlike.count();
    assert!(told <= report.lost(), "{what}: {report:?}");
    drop(log);
    disk.restart();
    let (_, again, report) = open(disk.clone(), options());
    assert_eq!(
        (&report.damage[..], &report.torn[..]),
        (&[][..], &[][..]),
        "{what}"
    );
    assert_eq!(again, found, "{what}");
    unlike
}

fn flip_all(closed: bool, unpromised: u64) {
    let (disk, content) = small(closed);
    for name in disk.names() {
        let bytes = disk.content(&name);
        for places in flips(&name, &bytes) {
            let mut bytes = bytes.clone();
            for at in &places {
                bytes[*at] ^= 1 << (at % 8);
            }
            let copy = disk.copy(3);
            copy.put(&name, &bytes);
            let what = format!("{name} flipped at {}", places[0]);
            let lost = check(&copy, &content, &what, unpromised);
            assert!(lost <= 1, "{lost} entries are lost: {what}");
            let aside = copy.names().iter().any(|it| it.starts_with("damaged/"));
            assert!(lost == 0 || aside || unpromised < u64::MAX, "{what}");
        }
    }
}

// Breaks if: recovery stops at a bad record instead of looking for the next good one, or a file with
// damage is found again.
#[test]
fn a_flipped_byte_costs_one_entry_and_is_named() {
    flip_all(true, u64::MAX);
}

// Breaks if: the durable mark in front of each commit is not believed.
#[test]
fn a_flipped_byte_without_a_mark_may_cost_only_the_last_commit() {
    flip_all(false, 50);
}

/// Lengths to cut a file at: all, but for what means nothing.
fn cuts(name: &str, bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mark = name.starts_with("mark");
    let meant = move |len: &usize| {
        let copy = |it: &std::ops::Range<usize>| it.contains(len) || it.end == *len;
        let meant = match mark {
            true => *len <= 512,
            false => *len >= 4096 || COPIES.iter().any(copy),
        };
        meant || len.is_multiple_of(61)
    };
    (0..bytes.len()).filter(meant)
}

// Breaks if: a part of a file that is missing at its end is taken for a torn tail.
#[test]
fn a_cut_file_loses_what_was_cut_and_names_it() {
    for closed in [true, false] {
        let unpromised = if closed { u64::MAX } else { 50 };
        let (disk, content) = small(closed);
        let last = disk.names().into_iter().filter(|it| it.ends_with(".log"));
        let last = last.max().expect("there are files");
        for name in disk.names() {
            let bytes = disk.content(&name);
            for len in cuts(&name, &bytes) {
                let copy = disk.copy(4);
                copy.put(&name, &bytes[..len]);
                let what = format!("{name} cut at {len}");
                if !closed && name == last {
                    // What promised the entries of the last file was in that file.
                    let (_, found, report) = open(copy, options());
                    let from = found.len();
                    let expected = content.iter().take(from).map(|it| (*it.0, it.1.clone()));
                    assert_eq!(found, expected.collect(), "{what}: a beginning is there");
                    assert!(report.next > 30, "{what}: {report:?}");
                } else {
                    check(&copy, &content, &what, unpromised);
                }
            }
        }
    }
}

// Breaks if: gists are not looked for behind the damage, or not put in its place.
#[test]
fn what_a_damaged_entry_said_in_short_is_still_known() {
    let (disk, content) = small(true);
    let (mut told, mut lost) = (0, 0);
    for name in disk.names().iter().filter(|it| it.ends_with(".log")) {
        let bytes = disk.content(name);
        for at in (4096..bytes.len()).step_by(7) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let copy = disk.copy(6);
            copy.put(name, &bytes);
            let (_, found, report) = open(copy, options());
            assert_eq!(found.len(), content.len(), "{name} flipped at {at}");
            told += report.damage.iter().map(|it| it.told).sum::<u64>();
            lost += report.lost();
        }
    }
    assert_eq!(told, lost);
    assert!(told > 50, "{told}");
}

// Breaks if: a header that cannot be read costs the file, though the mark knows what it said.
#[test]
fn a_file_without_its_header_is_read() {
    let (disk, content) = small(true);
    for name in disk.names().iter().filter(|it| it.ends_with(".log")) {
        let mut bytes = disk.content(name);
        bytes[..4096].fill(0xee);
        let copy = disk.copy(7);
        copy.put(name, &bytes);
        let (_, found, report) = open(copy.clone(), options());
        assert_eq!(found, content, "{name}");
        assert_eq!((report.damage.len(), report.lost()), (1, 0), "{name}");
        assert_eq!(report.damage[0].defect, Defect::Header);
        assert_eq!(copy.content(&report.aside[0]), bytes);
        assert_eq!(check(&copy, &content, name, u64::MAX), 0);
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
        let lost = check(&copy, &content, name, u64::MAX);
        assert!(lost > 0, "{name} held something");
    }
}

// Breaks if: a damaged file is not kept for who may want to look at it, or opened again.
#[test]
fn a_damaged_file_is_set_aside_and_a_whole_one_takes_its_place() {
    let (disk, _) = small(true);
    let name = "0000000003.log";
    let mut bytes = disk.content(name);
    bytes[4096 + 60] ^= 1;
    disk.put(name, &bytes);
    let strict = Options {
        strict: true,
        ..options()
    };
    let refused = Log::open(disk.clone(), strict, &mut |_| ()).err();
    let Some(OpenError::Damaged(report)) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(report.damage[0].file, name);
    let said = refused.as_ref().map_or(String::new(), ToString::to_string);
    let place = report.damage[0].bytes.start;
    assert!(
        said.contains(&format!("{name} is damaged from byte {place}")),
        "{said}"
    );
    assert!(disk.names().iter().all(|it| !it.starts_with("damaged/")));
    for again in 0..2 {
        let (_, found, report) = open(disk.clone(), options());
        assert_eq!(report.damage[0].defect, Defect::Record);
        assert_eq!((report.aside.len(), report.left.len()), (1, 0), "{again}");
        assert_eq!(report.lost(), 1);
        let (_, unlike, report) = open(disk.clone(), options());
        assert_eq!((unlike, report.damage), (found, vec![]));
        // What is in its place now may be damaged as well.
        bytes = disk.content(name);
        bytes[4096 + 200] ^= 1;
        disk.put(name, &bytes);
    }
    let aside = disk.names().into_iter();
    assert_eq!(aside.filter(|it| it.starts_with("damaged/")).count(), 2);
}

// Breaks if: a full disk or a failing call while a file is repaired costs more than the repair.
#[test]
fn a_repair_may_end_at_any_call() {
    for fault in [
        Fault::Cut,
        Fault::Error(ErrorKind::StorageFull),
        Fault::Error(ErrorKind::Other),
    ] {
        let mut repaired = false;
        for calls in 0..200 {
            let (disk, content) = small(true);
            let name = "0000000003.log";
            let mut bytes = disk.content(name);
            bytes[4096 + 60] ^= 1;
            disk.put(name, &bytes);
            disk.fail(calls, fault);
            let before = disk.calls();
            let opened = Log::open(disk.clone(), options(), &mut |_| ());
            if let Ok((_, report)) = &opened {
                assert_eq!(report.damage.len(), 1, "{calls}");
                repaired |= report.left.is_empty();
            }
            drop(opened);
            let over = disk.calls() - before < calls;
            disk.heal();
            disk.restart();
            let (_, found, _) = open(disk.clone(), options());
            assert_eq!(found.len(), content.len(), "{calls}");
            assert_eq!(check(&disk, &found, "again", u64::MAX), 0);
            if over {
                break;
            }
        }
        assert!(repaired, "{fault:?}");
    }
}

// Breaks if: bad sectors, however many, cost more than what is on them, or a disk that cannot be read is
// taken for one with damage.
#[test]
fn pages_that_cannot_be_read_cost_what_is_on_them() {
    for bad in [1, 12, 40] {
        let disk = Faulty::new(1);
        let options = Options {
            segment: 400 << 10,
            ..options()
        };
        let (mut log, _, _) = open(disk.clone(), options.clone());
        for number in 0..360_u16 {
            let bytes = number.to_le_bytes().repeat(500);
            log.append(1, &bytes).expect("there is room");
            log.tell(1, &bytes[..2]);
        }
        log.close().expect("closed");
        let length = disk.content("0000000001.log").len() as u64;
        assert!(length > 80 * 4096, "{length}");
        disk.set_unreadable("0000000001.log", 8192..8192 + bad * 4096);
        let (log, found, report) = open(disk.clone(), options.clone());
        assert_eq!((report.damage.len(), found.len()), (1, 360));
        let short = found.values().filter(|it| it.1.len() == 2).count() as u64;
        assert_eq!(short, report.lost());
        assert!(short * 1000 < (bad + 2) * 4096, "{short} of {bad}");
        drop(log);
        let (_, again, report) = open(disk.clone(), options.clone());
        assert_eq!((again, report.damage), (found, vec![]));
        disk.set_unreadable("0000000001.log", 8192..length);
        let refused = Log::open(disk.clone(), options, &mut |_| ()).err();
        assert!(matches!(refused, Some(OpenError::Io(_))), "{refused:?}");
    }
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
