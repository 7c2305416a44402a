//! The store against a model that knows nothing of logs; formats; what a real disk holds.

mod acknowledged;
mod archive;
mod contract;
mod damage;
mod elided;
mod formats;
mod model;
mod patience;
mod queues;
mod random;
mod snapshot;

use super::engine::Engine;
use super::options::Options;
use super::segments::faulty::Faulty;
use std::time::Duration;

/// Small enough that everything happens within a few hundred records.
fn small() -> Options {
    Options {
        segment: 12 << 10,
        reserve: 16 << 10,
        stride: 1500,
        patience: Duration::ZERO,
        ..Options::default()
    }
}

fn open(disk: &Faulty) -> Engine<Faulty> {
    let (engine, report) = Engine::open(disk.clone(), small(), 1000).expect("opens");
    assert_eq!(report.undecoded, 0);
    assert_eq!(report.missing, []);
    assert_eq!(report.log.damage, []);
    engine
}
