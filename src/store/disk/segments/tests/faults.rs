//! The disk fails, or the power goes, at any call.

use std::io::ErrorKind;

use super::super::faulty::Fault;
use super::*;

/// How many times more cases than in an ordinary run: 60 for a long run.
const TIMES: &str = "POSTBUD_FAULT_TIMES";

/// Runs to the end with its seed printed if it fails.
fn seeded(from: u64, count: u64, case: impl Fn(u64)) {
    let times = std::env::var(TIMES).map_or(1, |times| times.parse().expect("a number"));
    for seed in from..from + count * times {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed)));
        if let Err(cause) = outcome {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(cause);
        }
    }
}

// Breaks if: the names of new files are not flushed before their records are acknowledged.
#[test]
fn what_was_flushed_survives_a_power_cut_at_any_call() {
    seeded(0, 1000, |seed| {
        let mut model = Model::new(seed, options());
        assert!(model.try_open());
        for _ in 0..1 + seed % 4 {
            let calls = model.random.below(250);
            model.disk.fail(calls, Fault::Cut);
            for _ in 0..400 {
                if model.disk.is_off() {
                    break;
                }
                if model.log.is_some() {
                    model.step();
                } else {
                    model.try_open();
                }
            }
            model.log = None;
            model.disk.restart();
            // The power may go again while what is left is recovered.
            if model.random.below(3) == 0 {
                let calls = model.random.below(30);
                model.disk.fail(calls, Fault::Cut);
                model.try_open();
                model.log = None;
                model.disk.restart();
            }
            assert!(model.try_open());
        }
    });
}

/// Goes through errors, then through the end of the process or a power cut.
fn errors(seed: u64, kind: ErrorKind) {
    let mut model = Model::new(seed, options());
    assert!(model.try_open());
    for _ in 0..3 {
        let mut calls = 0;
        for _ in 0..1 + model.random.below(3) {
            calls += model.random.below(60);
            model.disk.fail(calls, Fault::Error(kind));
        }
        for _ in 0..60 {
            model.step();
        }
        model.disk.heal();
        if model.random.below(2) == 0 {
            // It goes on by itself once the disk works again.
            model.commit(true).expect("the disk works again");
            model.log().idle().expect("the disk works again");
            model.log().append(1, b"more").expect("there is room");
            let sequence = model.log().next_sequence() - 1;
            let entry = (1, b"more".to_vec());
            model
                .appended
                .entry(sequence)
                .or_default()
                .push(entry.clone());
            model.pending.insert(sequence, entry);
            model.log().commit(true).expect("the disk works");
            model.kept.append(&mut model.pending);
        }
        model.log = None;
        if model.random.below(2) == 0 {
            model.disk.restart();
        }
        if model.random.below(3) == 0 {
            // An opening that fails does no harm.
            let calls = model.random.below(30);
            model.disk.fail(calls, Fault::Error(kind));
            if model.try_open() {
                model.log = None;
            }
            model.disk.heal();
            if model.random.below(2) == 0 {
                model.disk.restart();
            }
        }
        assert!(model.try_open());
    }
}

// Breaks if: a commit after a failed flush goes on in the same file.
#[test]
fn what_was_flushed_survives_errors_at_any_call() {
    seeded(0, 500, |seed| errors(seed, ErrorKind::Other));
}

// Breaks if: only the chunk that did not fit is begun anew, but not from where it was flushed.
#[test]
fn what_was_flushed_survives_a_full_disk_at_any_call() {
    seeded(0, 500, |seed| errors(seed, ErrorKind::StorageFull));
}

// Breaks if: recovery goes on in a file that it has cut.
#[test]
fn what_is_written_but_not_flushed_survives_the_process() {
    seeded(0, 500, |seed| {
        let mut model = Model::new(seed, options());
        for _ in 0..4 {
            assert!(model.try_open());
            for _ in 0..100 {
                model.step();
            }
            model.commit(false).expect("written");
            // Without a power cut the page cache has it.
            model.kept.append(&mut model.pending);
            model.log = None;
        }
        assert!(model.try_open());
    });
}
