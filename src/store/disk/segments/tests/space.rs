//! The disk is bounded, fills up, and is given back.

use super::*;

// Breaks if: stale records of a file that is used again are taken for new ones.
#[test]
fn what_a_recycled_file_held_does_not_come_back() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(disk.clone(), options());
    for number in 0..300_u16 {
        log.append(1, &number.to_le_bytes().repeat(20))
            .expect("there is room");
    }
    log.commit(true).expect("written");
    let first = log.segments().next().expect("a segment").segment;
    log.retire(first, Retire::Recycle).expect("retired");
    assert!(disk.names().contains(&"0000000001.spare".to_owned()));
    // The same entries at the same places: only the checksum's seed tells them apart.
    log.seal();
    log.append(1, &[7; 40]).expect("there is room");
    log.commit(true).expect("written");
    assert!(
        !disk.names().contains(&"0000000001.spare".to_owned()),
        "it is used again"
    );
    let next = log.next_sequence();
    drop(log);
    let (log, content, report) = open(disk, options());
    assert_eq!(log.next_sequence(), next);
    assert_eq!(content.keys().last(), Some(&(next - 1)));
    assert_eq!((report.torn, report.damage), (vec![], vec![]));
}

// Breaks if: append checks the bound after it has changed anything, or leaves nothing to shrink with.
#[test]
fn the_bound_is_kept_and_leaves_room_to_shrink() {
    let disk = Faulty::new(1);
    let maximum = 60 << 10;
    let options = Options {
        bytes_maximum: Some(maximum),
        ..options()
    };
    let (mut log, _, _) = open(disk.clone(), options);
    let mut appended = 0;
    let refused = loop {
        match log.append(1, &[1; 200]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        log.commit(true).expect("written");
    };
    assert_eq!(refused, AppendError::Full);
    assert!(appended > 100, "{appended}");
    assert_eq!((log.pending(), log.next_sequence()), (0, appended + 1));
    let files: u64 = log.segments().map(|it| it.disk).sum();
    assert!(files <= maximum, "{files}");
    log.append(SHRINKING, &[1; 200])
        .expect("what shrinks is taken");
    log.commit(true).expect("written");
    let first = log.segments().next().expect("a segment").segment;
    log.retire(first, Retire::Recycle).expect("retired");
    log.append(1, &[1; 200]).expect("there is room again");
}

// Breaks if: the reserve is not used, used for what does not shrink the log, or not made again.
#[test]
fn on_a_full_disk_the_log_can_still_shrink() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(disk.clone(), options());
    for _ in 0..200 {
        log.append(1, &[1; 200]).expect("there is room");
        log.commit(true).expect("written");
    }
    disk.set_room(disk.used());
    let mut appended = 200;
    while log.append(1, &[2; 200]).is_ok() {
        appended += 1;
        log.commit(true)
            .expect("the reserve takes what was accepted");
        assert!(appended < 400);
    }
    assert!(log.is_full());
    for _ in 0..10 {
        log.append(SHRINKING, b"acknowledged")
            .expect("what shrinks is taken");
        appended += 1;
    }
    log.commit(true).expect("the reserve takes it");
    let sealed: Vec<_> = log.segments().filter(|it| it.sealed).collect();
    let before = disk.used();
    for it in &sealed[..2] {
        log.retire(it.segment, Retire::Recycle).expect("retired");
    }
    assert!(disk.used() < before);
    assert!(!log.is_full(), "the reserve is there again");
    log.append(1, b"more").expect("there is room");
    log.commit(true).expect("written");
    drop(log);
    disk.restart();
    let (_, content, report) = open(disk, options());
    assert_eq!(report.damage, []);
    assert_eq!(content.keys().last(), Some(&(appended + 1)));
}

// Breaks if: what was left of the reserve is lost when the process ends on a full disk, so that nothing
// can shrink the log after it.
#[test]
fn on_a_disk_that_was_full_before_the_log_can_still_shrink() {
    let disk = Faulty::new(1);
    let options = Options {
        reserve: 32 << 10,
        segment: 32 << 10,
        ..options()
    };
    let (mut log, _, _) = open(disk.clone(), options.clone());
    for _ in 0..100 {
        log.append(1, &[1; 200]).expect("there is room");
        log.commit(true).expect("written");
    }
    disk.set_room(disk.used());
    let mut appended = 100;
    while log.append(1, &[2; 200]).is_ok() {
        appended += 1;
        log.commit(true).expect("the reserve takes it");
    }
    for _ in 0..3 {
        drop(log);
        disk.restart();
        let content;
        (log, content, _) = open(disk.clone(), options.clone());
        assert_eq!(content.keys().last(), Some(&appended));
        log.append(SHRINKING, b"acknowledged")
            .expect("what shrinks is taken");
        appended += 1;
        log.commit(true).expect("there is room for it");
        let told: u64 = log.segments().map(|it| it.disk).sum();
        let (names, mut are) = (disk.names(), 0);
        for name in names.iter().filter(|it| it.ends_with(".log")) {
            let file = disk.open(name).expect("it is there");
            are += disk.length(&file).expect("it has one");
        }
        assert_eq!(told, are, "bytes of the files");
    }
}

// Breaks if: a commit that fails for want of room forgets what it should have written.
#[test]
fn what_did_not_fit_is_written_when_there_is_room() {
    let disk = Faulty::new(1);
    let (mut log, _, _) = open(
        disk.clone(),
        Options {
            reserve: 0,
            ..options()
        },
    );
    let mut locations = Vec::new();
    disk.set_room(disk.used() + 9000);
    let failed = loop {
        let number = locations.len() as u64;
        locations.push(
            log.append(1, &number.to_le_bytes().repeat(40))
                .expect("it is taken"),
        );
        if let Err(error) = log.commit(true) {
            break error;
        }
    };
    assert!(matches!(failed, CommitError::Full));
    assert!(matches!(log.commit(true), Err(CommitError::Full)));
    assert_eq!(log.append(1, b"more"), Err(AppendError::Full));
    disk.set_room(usize::MAX);
    log.commit(true).expect("there is room now");
    log.idle().expect("the mark is written");
    for (number, location) in (0_u64..).zip(&locations) {
        assert_eq!(
            log.read(*location).expect("read"),
            number.to_le_bytes().repeat(40)
        );
    }
    log.append(1, b"more").expect("there is room");
    drop(log);
    disk.restart();
    let (_, content, _) = open(disk, options());
    assert_eq!(content.len(), locations.len());
}
