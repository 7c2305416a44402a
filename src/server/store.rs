//! Opens the store, says in plain words what was found, and watches whether it can store.

use std::sync::Arc;
use std::time::Duration;

use crate::control::Snapshots;
use crate::control::protocol::Snapshot;
use crate::store::disk::report::Report;
use crate::store::disk::segments::error::OpenError;
use crate::store::disk::segments::types::Torn;
use crate::store::disk::{Disk, options};
use crate::store::memory::Memory;
use crate::store::options::{Durability, Options};
use crate::store::state::State;
use crate::store::{Failure, Store};

/// How often it is looked whether the store can store.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How many lines are told of what is wrong; the rest are counted.
const NAMED: usize = 100;

/// The store that the configuration asks for.
#[derive(Clone)]
pub(super) enum Kept {
    /// Nothing outlives the process.
    InMemory(Arc<Memory>),
    /// It is kept in a directory.
    OnDisk(Arc<Disk>),
}

impl Kept {
    /// Opens the store, and tells what was not as it should be.
    pub(super) fn open(options: &Options) -> Result<(Self, State), OpenError> {
        if options.promise.of_sessions().is_none() {
            return Ok((Self::InMemory(Arc::new(Memory)), State::default()));
        }
        match Disk::open(&options.path, for_the_disk(options)) {
            Ok((disk, state, report)) => {
                tell(&report);
                Ok((Self::OnDisk(Arc::new(disk)), state))
            }
            Err(error) => {
                if let OpenError::Damaged(found) = &error {
                    for damage in &found.damage {
                        tracing::error!("store: {damage}");
                    }
                    tracing::error!("with store.strict = false it starts with what can be read");
                }
                Err(error)
            }
        }
    }

    /// The store as others see it.
    pub(super) fn engine(&self) -> Arc<dyn Store> {
        match self {
            Self::InMemory(memory) => Arc::clone(memory) as _,
            Self::OnDisk(disk) => Arc::clone(disk) as _,
        }
    }

    /// What copies the store, if there is one.
    pub(super) fn snapshots(&self) -> Option<Snapshots> {
        let Self::OnDisk(disk) = self else {
            return None;
        };
        let disk = Arc::clone(disk);
        Some(Arc::new(move |to| match disk.snapshot(to) {
            Ok(it) => Ok(Snapshot {
                files: it.files,
                bytes: it.bytes,
                copied: it.copied,
            }),
            Err(error) => Err(error.to_string()),
        }))
    }

    /// Writes what is still to be written.
    pub(super) fn close(&self) -> Result<(), Failure> {
        match self {
            Self::InMemory(_) => Ok(()),
            Self::OnDisk(disk) => disk.close(),
        }
    }
}

/// What the store on the disk is to do. Where there is a bound, segments are small enough to leave
/// room for some, and for one that is carried forward.
fn for_the_disk(options: &Options) -> options::Options {
    let usual = options::Options::default();
    let segment = match options.bytes_maximum {
        Some(bytes) => (bytes / 8).clamp(1 << 20, u64::from(usual.segment)) as u32,
        None => usual.segment,
    };
    let promise = &options.promise;
    let mut promised = promise.topics.iter().map(|it| it.1);
    options::Options {
        flush: promise.default == Durability::Flush || promised.any(|it| it == Durability::Flush),
        bytes_maximum: options.bytes_maximum,
        strict: options.strict,
        segment,
        reserve: segment + segment / 4,
        ..usual
    }
}

/// Tells what opening found, if it was not as it should be.
fn tell(report: &Report) {
    for Torn { file, bytes } in &report.log.torn {
        let length = bytes.end - bytes.start;
        tracing::warn!(
            "store: {length} bytes at the end of {file} were cut: nobody relied on them"
        );
    }
    if report.unknown > 0 {
        tracing::error!("store: {} records name what is not kept", report.unknown);
    }
    let lines = report.lines();
    for line in lines.iter().take(NAMED) {
        tracing::error!("store: {line}");
    }
    if lines.len() > NAMED {
        let others = lines.len() - NAMED;
        tracing::error!("store: and {others} more of this kind");
    }
}

/// Says in the log when the store cannot store any more, and when it can again.
pub(super) async fn watch(store: Arc<dyn Store>) {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    let mut before = None;
    loop {
        interval.tick().await;
        let now = store.health().failure;
        match now {
            Some(failure) if before != now => {
                tracing::error!("{failure}: what would have to be stored is refused");
            }
            None if before.is_some() => tracing::info!("the store takes what comes again"),
            _ => {}
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::options::Promise;

    // Breaks if: the disk is opened where nothing is promised, or not where one topic is.
    #[test]
    fn a_directory_is_made_only_if_anything_is_to_be_kept() {
        let missing = std::env::temp_dir().join(format!("postbud-kept-{}", std::process::id()));
        let memory = Options {
            path: missing.clone(),
            promise: Promise::memory(),
            ..Options::default()
        };
        let (kept, _) = Kept::open(&memory).expect("nothing can go wrong");
        assert!(matches!(kept, Kept::InMemory(_)) && !missing.exists());
        let mut one = memory;
        one.promise.topics.push(("a".into(), Durability::Write));
        let (kept, state) = Kept::open(&one).expect("a writable directory");
        assert!(matches!(kept, Kept::OnDisk(_)) && missing.is_dir());
        assert!(state.sessions.is_empty());
        kept.close().expect("it is written");
        std::fs::remove_dir_all(&missing).expect("it is ours");
    }

    // Breaks if: the flush is left out although a topic is promised one, or a bound leaves no room for
    // several segments beside what is kept back.
    #[test]
    fn the_disk_does_what_the_promise_and_the_bound_ask_for() {
        let mut options = Options::default();
        options.promise.default = Durability::Write;
        assert!(!for_the_disk(&options).flush);
        options.promise.topics.push(("a".into(), Durability::Flush));
        assert!(for_the_disk(&options).flush);
        let usual = for_the_disk(&options);
        assert_eq!(
            usual,
            options::Options {
                flush: true,
                ..Default::default()
            }
        );
        for bound in [16 << 20, 64 << 20, 1 << 40] {
            options.bytes_maximum = Some(bound);
            let disk = for_the_disk(&options);
            assert!(disk.reserve >= disk.segment);
            assert!(u64::from(disk.reserve) + 4 * u64::from(disk.segment) <= bound);
            assert!(disk.segment <= usual.segment);
        }
    }
}
