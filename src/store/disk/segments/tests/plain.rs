//! A log on a disk that does what it should.

use super::super::error::{OpenError, ReadError};
use super::super::files::Disk;
use super::super::format;
use super::*;

// Breaks if: an entry is found elsewhere than append said, before or after rotation.
#[test]
fn a_model_agrees_at_random() {
    for seed in 0..300 {
        let mut model = Model::new(seed, options());
        for _ in 0..4 {
            assert!(model.try_open(), "seed {seed}");
            for _ in 0..150 {
                assert!(model.step(), "seed {seed}");
            }
            assert!(model.commit(true).is_ok(), "seed {seed}");
        }
    }
}

// Breaks if: a commit writes or flushes more than once.
#[test]
fn a_commit_is_one_write_and_one_flush() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(
        disk.clone(),
        Options {
            segment: 1 << 20,
            ..options()
        },
    );
    log.append(1, b"first").expect("there is room");
    log.commit(true).expect("written");
    let before = (disk.writes(), disk.flushes(), disk.calls());
    for number in 0..50_u8 {
        log.append(1, &[number; 100]).expect("there is room");
    }
    log.commit(true).expect("written");
    let after = (disk.writes(), disk.flushes(), disk.calls());
    assert_eq!(after, (before.0 + 1, before.1 + 1, before.2 + 2));
    log.commit(true).expect("nothing to write");
    assert_eq!(disk.calls(), after.2);
}

// Breaks if: changing over to the next segment flushes more than one file more.
#[test]
fn rotation_costs_one_flush_more() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(disk.clone(), options());
    let mut most = 0;
    for number in 0..400_u16 {
        log.append(1, &number.to_le_bytes().repeat(60))
            .expect("there is room");
        let before = disk.flushes();
        log.commit(true).expect("written");
        if number > 0 {
            most = most.max(disk.flushes() - before);
        }
    }
    assert!(log.segments().count() > 3);
    assert_eq!(most, 2);
}

// Breaks if: a clean end leaves something to be cut or written anew.
#[test]
fn a_closed_log_opens_without_a_write() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(disk.clone(), options());
    log.append(1, b"kept").expect("there is room");
    log.close().expect("closed");
    open(disk.clone(), options()).0.close().expect("closed");
    let before = (disk.writes(), disk.flushes());
    let (_, content, report) = open(disk.clone(), options());
    assert_eq!((disk.writes(), disk.flushes()), before);
    assert_eq!(content[&1], (1, b"kept".to_vec()));
    assert_eq!((report.promised, report.next), (2, 2));
    assert_eq!((report.torn, report.damage), (vec![], vec![]));
}

// Breaks if: kinds of the log itself are taken, or an unknown place is read.
#[test]
fn what_cannot_be_is_refused() {
    let (mut log, _, _) = open(Faulty::new(1), options());
    assert_eq!(log.append(0, b""), Err(AppendError::Kind));
    assert_eq!(log.append(253, b""), Err(AppendError::Kind));
    let location = log.append(252, b"").expect("an empty entry is one");
    assert_eq!(log.read(location).expect("it is in memory"), b"");
    let wrong = Location {
        offset: location.offset + 16,
        ..location
    };
    assert!(matches!(
        log.read(wrong),
        Err(ReadError::Unknown | ReadError::Damaged)
    ));
    let wrong = Location {
        segment: 77,
        ..location
    };
    assert!(matches!(log.read(wrong), Err(ReadError::Unknown)));
    log.commit(true).expect("written");
    let wrong = Location { len: 1, ..location };
    assert!(log.read(wrong).is_err());
    let far = Location {
        offset: u32::MAX,
        ..location
    };
    assert!(matches!(log.read(far), Err(ReadError::Unknown)));
}

// Breaks if: the folder is not locked, or the lock outlives the log.
#[test]
fn a_second_log_on_the_folder_is_refused() {
    let folder = std::env::temp_dir().join(format!("log-lock-{}", std::process::id()));
    let disk = || Disk::new(&folder).expect("the folder is made");
    let (mut log, _, _) = open(disk(), options());
    log.append(1, b"kept").expect("there is room");
    log.commit(true).expect("written");
    let second = Log::open(disk(), options(), &mut |_| ()).err();
    assert!(matches!(second, Some(OpenError::Locked)), "{second:?}");
    drop(log);
    let (log, content, _) = open(disk(), options());
    assert_eq!(content[&1], (1, b"kept".to_vec()));
    drop(log);
    std::fs::remove_dir_all(&folder).expect("the folder is removed");
}

// Breaks if: a file of a later version is read as if it were of this one, or called damaged.
#[test]
fn a_newer_version_is_refused() {
    for (name, header) in [("0000000001.log", 64), ("mark-b", 56)] {
        let disk = Faulty::new(1);
        let (mut log, _, _) = open(disk.clone(), options());
        log.append(1, b"kept").expect("there is room");
        log.commit(true).expect("written");
        drop(log);
        let mut bytes = disk.content(name);
        let (block, _) = bytes.split_at_mut(header);
        format::seal(block);
        block[8] = 2;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..]);
        block[12..16].copy_from_slice(&sum.to_le_bytes());
        disk.put(name, &bytes);
        match Log::open(disk, options(), &mut |_| ()).err() {
            Some(OpenError::Newer { file, version: 2 }) => assert_eq!(file, name),
            other => panic!("{other:?}"),
        }
    }
}

/// A log of two entries, a mark and a footer, as files in hexadecimal, without trailing zeros.
fn golden(disk: &Faulty) -> String {
    let mut text = String::new();
    for name in disk.names() {
        let bytes = disk.content(&name);
        text += &format!("{name} {}\n", bytes.len());
        for (index, line) in bytes.chunks(32).enumerate() {
            if line.iter().any(|it| *it != 0) {
                let hex: String = line.iter().map(|it| format!("{it:02x}")).collect();
                text += &format!("{:06x} {hex}\n", index * 32);
            }
        }
    }
    text
}

fn from_golden(text: &str) -> Faulty {
    let disk = Faulty::new(2);
    let mut file: Option<(&str, Vec<u8>)> = None;
    for line in text.lines() {
        let (left, right) = line.split_once(' ').expect("two fields");
        if left.len() != 6 || left.contains('-') {
            if let Some((name, bytes)) = file.take() {
                disk.put(name, &bytes);
            }
            file = Some((left, vec![0; right.parse().expect("a length")]));
        } else if let Some((_, bytes)) = &mut file {
            let at = usize::from_str_radix(left, 16).expect("a position");
            for (index, pair) in right.as_bytes().chunks(2).enumerate() {
                let pair = std::str::from_utf8(pair).expect("digits");
                bytes[at + index] = u8::from_str_radix(pair, 16).expect("digits");
            }
        }
    }
    let (name, bytes) = file.expect("a file");
    disk.put(name, &bytes);
    disk
}

const GOLDEN: &str = include_str!("golden-1.txt");

// Breaks if: anything of the format changes.
#[test]
fn version_1_is_written_as_it_always_was() {
    let disk = Faulty::new(1);
    let options = Options {
        reserve: 0,
        ..options()
    };
    let (mut log, _, _) = open(disk.clone(), options);
    log.append(1, b"one").expect("there is room");
    log.commit(true).expect("written");
    log.append(200, b"the second entry").expect("there is room");
    log.tell(200, b"second");
    log.seal();
    log.close().expect("closed");
    let written = golden(&disk);
    assert_eq!(written, GOLDEN, "\n{written}");
}

// Breaks if: what an older program wrote is no longer read.
#[test]
fn version_1_is_read() {
    let (_, content, report) = open(from_golden(GOLDEN), options());
    assert_eq!(content[&1], (1, b"one".to_vec()));
    assert_eq!(content[&2], (200, b"the second entry".to_vec()));
    assert_eq!((content.len(), report.promised), (2, 3));
    assert_eq!((report.torn, report.damage), (vec![], vec![]));
}
