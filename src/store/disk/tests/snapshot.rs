//! Copies of a store that goes on.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::Disk;
use super::super::options::Options;
use super::super::snapshot::SnapshotError;
use super::contract::{Folder, append, ear, message};
use super::model::Op;
use super::small;
use crate::store::archive::{export, verify};
use crate::store::contract::{Ask, Failure, Progress, Safety, Store, Waits};

const DEADLINE: Duration = Duration::from_secs(60);

/// Segments that are small, and large enough to be used again.
fn options() -> Options {
    Options {
        segment: 64 << 10,
        reserve: 128 << 10,
        patience: Duration::ZERO,
        ..Options::default()
    }
}

/// Session 1, and a message for it that nobody acknowledges.
fn begin(disk: &Disk) {
    append(disk, &Op::Opened(1, false), None);
    append(disk, &message(2, 1), None);
}

/// Messages that come and go, until so much was written that all segments before are given up.
fn churn(disk: &Disk, from: u64) -> u64 {
    let (to, heard) = ear();
    for number in from..from + 8_000 {
        append(disk, &message(number, 1), None);
        append(disk, &Op::Dropped(1, number), None);
        if number % 500 == 0 {
            append(disk, &Op::Released(1, 1), Some((&to, number)));
            assert_eq!(heard.recv_timeout(DEADLINE), Ok((number, Ok(()))));
        }
    }
    from + 8_000
}

fn exported(folder: &Path) -> String {
    let mut text = Vec::new();
    assert_eq!(
        export(folder, &mut text).expect("exported"),
        Vec::<String>::new()
    );
    String::from_utf8(text).expect("lines of text")
}

fn whole(folder: &Path) {
    let found = verify(folder).expect("verified");
    assert_eq!((found.damage, found.notes), (vec![], vec![]));
}

/// Remembers the largest number that was acknowledged.
#[derive(Default)]
struct Acknowledged(AtomicU64);

impl Waits for Acknowledged {
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        assert_eq!(outcome, Ok(()));
        self.0.fetch_max(*tickets.end(), Ordering::SeqCst);
    }
}

/// How many messages may wait for their acknowledgement.
const WINDOW: u64 = 1000;

/// Which of each 64 numbers does not stay, so that segments are given up meanwhile.
const GOES: u64 = 24;

/// Appends until it is told to stop.
fn load(disk: &Disk, safety: Safety, acknowledged: &Arc<Acknowledged>, over: &AtomicBool) {
    for number in 3.. {
        while number > acknowledged.0.load(Ordering::SeqCst) + WINDOW {
            if over.load(Ordering::SeqCst) {
                return;
            }
            std::thread::yield_now();
        }
        message(number, 1).with(&mut |record| {
            let ask = Ask {
                to: acknowledged,
                ticket: number,
                safety,
                patient: false,
            };
            assert_eq!(disk.append(record, Some(ask)), Progress::Later);
        });
        if number % 64 == GOES {
            append(disk, &Op::Dropped(1, number), None);
        }
    }
}

// Breaks if: the snapshot is taken before what waits is committed, or misses a file, or what was written
// and not flushed.
#[test]
fn what_was_acknowledged_before_a_snapshot_is_in_it() {
    let home = Folder::new("snapshot-load");
    for safety in [Safety::Flushed, Safety::Written] {
        snapshots_under_load(&home.0.join(format!("{safety:?}")), safety);
    }
}

fn snapshots_under_load(home: &Path, safety: Safety) {
    let options = Options {
        flush: safety == Safety::Flushed,
        ..options()
    };
    let (disk, ..) = Disk::open(&home.join("store"), options.clone()).expect("opens");
    begin(&disk);
    let (acknowledged, over) = (Arc::new(Acknowledged::default()), AtomicBool::new(false));
    let taken: Mutex<Vec<(PathBuf, u64)>> = Mutex::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load(&disk, safety, &acknowledged, &over));
        for index in 0..6 {
            let until = acknowledged.0.load(Ordering::SeqCst) + 500;
            let started = Instant::now();
            while acknowledged.0.load(Ordering::SeqCst) < until {
                if started.elapsed() > DEADLINE {
                    over.store(true, Ordering::SeqCst);
                    panic!("nothing is acknowledged any more");
                }
                std::thread::yield_now();
            }
            let (to, least) = (
                home.join(index.to_string()),
                acknowledged.0.load(Ordering::SeqCst),
            );
            let outcome = disk.snapshot(&to);
            taken.lock().expect("no panic").push((to, least));
            if index == 5 || outcome.is_err() {
                over.store(true, Ordering::SeqCst);
            }
            let snapshot = outcome.expect("taken");
            assert!(snapshot.files > 0 && snapshot.bytes > 0);
        }
    });
    for (folder, least) in taken.into_inner().expect("no panic") {
        whole(&folder);
        let (_disk, state, report) = Disk::open(&folder, options.clone()).expect("opens");
        assert_eq!((report.log.damage.len(), report.missing.len()), (0, 0));
        let found: Vec<_> = state.sessions[0]
            .waiting
            .iter()
            .map(|it| it.number.get())
            .collect();
        for number in (2..=least).filter(|it| it % 64 != GOES) {
            assert!(
                found.binary_search(&number).is_ok(),
                "{number} of {least} in {folder:?}"
            );
        }
    }
}

// Breaks if: a file that a snapshot shares is written to again, by the store or by who opens the snapshot.
#[test]
fn what_is_shared_is_not_used_again() {
    let home = Folder::new("snapshot-shared");
    let (store, copy) = (home.0.join("store"), home.0.join("copy"));
    let (disk, ..) = Disk::open(&store, options()).expect("opens");
    begin(&disk);
    for number in 3..2000 {
        append(&disk, &message(number, 1), None);
    }
    let snapshot = disk.snapshot(&copy).expect("taken");
    assert!(
        snapshot.files > 2 && snapshot.copied < snapshot.bytes,
        "{snapshot:?}"
    );
    let before = exported(&copy);
    for number in 3..2000 {
        append(&disk, &Op::Dropped(1, number), None);
    }
    let next = churn(&disk, 2000);
    assert_eq!(disk.health().messages, 1);
    assert!(
        exported(&copy) == before,
        "the store has changed its snapshot"
    );
    let again = home.0.join("again");
    disk.snapshot(&again).expect("taken");
    disk.close().expect("written");
    let before = exported(&store);
    let (other, ..) = Disk::open(&again, options()).expect("opens");
    churn(&other, next);
    other.close().expect("written");
    assert!(
        exported(&store) == before,
        "the snapshot has changed its store"
    );
    whole(&store);
}

// Breaks if: files are removed while they are being copied, or stay for ever after that.
#[test]
fn files_stay_while_somebody_has_a_picture() {
    let disk = super::super::segments::faulty::Faulty::new(5);
    let mut engine = super::open(&disk);
    let mut bytes = Vec::new();
    Op::Opened(1, false).encode(&mut bytes);
    assert_eq!(engine.append(&bytes), 0);
    let picture = engine.log.picture().expect("taken");
    super::random::go_round(&mut engine, 1, 10);
    let names = || {
        use super::super::segments::files::Files;
        disk.list().expect("a list")
    };
    assert!(picture.files.iter().all(|it| names().contains(&it.name)));
    let old = picture.files.clone();
    drop(picture);
    super::random::go_round(&mut engine, 1, 1000);
    assert!(old.iter().all(|it| !names().contains(&it.name)));
}

// Breaks if: a snapshot is put over something, or one that failed leaves something behind.
#[test]
fn a_snapshot_is_whole_or_not_there() {
    let home = Folder::new("snapshot-fail");
    let (store, copy) = (home.0.join("store"), home.0.join("copy"));
    let (disk, ..) = Disk::open(&store, small()).expect("opens");
    begin(&disk);
    assert!(matches!(
        disk.snapshot(&store),
        Err(SnapshotError::NotEmpty)
    ));
    std::fs::create_dir(&copy).expect("a folder");
    disk.snapshot(&copy).expect("an empty folder will do");
    assert!(matches!(disk.snapshot(&copy), Err(SnapshotError::NotEmpty)));
    whole(&copy);
    let mut marks = std::fs::read_dir(&copy).expect("a folder");
    let mark = marks.find_map(|it| {
        let path = it.expect("an entry").path();
        path.to_string_lossy().contains("mark-").then_some(path)
    });
    std::fs::remove_file(mark.expect("a mark")).expect("removed");
    let found = verify(&copy).expect("verified");
    assert!(
        found.damage[0].contains("no mark can be read"),
        "{:?}",
        found.damage
    );
    disk.close().expect("written");
    let late = home.0.join("late");
    assert!(matches!(disk.snapshot(&late), Err(SnapshotError::Gone)));
    assert!(!late.exists());
}
