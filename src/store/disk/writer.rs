//! The thread that writes.
//!
//! ```text
//!   append ──> pending (a short lock) ──> writer: frames, commit, outcomes, a step of compaction
//! ```
//!
//! There is no delay: an idle store commits at once, and what comes while one commit is under way is
//! the next. So the load decides how many share a flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::compaction::Step;
use super::engine::Engine;
use super::format;
use super::segments::error::CommitError;
use super::segments::files::Files;
use crate::store::contract::{Failure, Health, Receipt};
use crate::store::record::Record;

/// How long nothing came before the log is told to rest.
const QUIET: Duration = Duration::from_millis(20);
/// How long a writer sleeps at most: then it says what time it is.
const NAP: Duration = Duration::from_secs(30);
/// How long it waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Default)]
struct Pending {
    records: Vec<u8>,
    rest: Vec<u8>,
    receipts: Vec<Receipt>,
    /// Those whose records were refused: the writer tells them, since they may not be told by `append`.
    refused: Vec<(Receipt, Failure)>,
    count: u64,
    closing: bool,
    asleep: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.refused.is_empty()
    }
}

/// What appenders and the writer share.
#[derive(Default)]
pub(super) struct Desk {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// 0, or why nothing is taken: 1 full, 2 broken.
    failure: AtomicU8,
    waiting: AtomicU64,
    disk: AtomicU64,
    records: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
    unknown: AtomicU64,
    messages: AtomicU64,
}

impl Desk {
    /// Puts a record where the writer finds it.
    pub fn put(&self, record: &Record<'_>, receipt: Option<Receipt>, maximum: usize) {
        let grows = format::grows(format::kind(record));
        let mut pending = self.pending.lock();
        let failure = match self.failure() {
            None if pending.records.len() > maximum => Some(Failure::Full),
            failure => failure,
        };
        match failure.filter(|_| grows || pending.closing) {
            Some(failure) => pending.refused.extend(receipt.map(|it| (it, failure))),
            None => {
                let Pending { records, rest, .. } = &mut *pending;
                format::encode(records, rest, record);
                pending.receipts.extend(receipt);
                pending.count += 1;
                let waiting = pending.records.len() as u64;
                self.waiting.store(waiting, Ordering::Relaxed);
            }
        }
        if std::mem::take(&mut pending.asleep) {
            drop(pending);
            self.wake.notify_one();
        }
    }

    pub fn failure(&self) -> Option<Failure> {
        match self.failure.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Failure::Full),
            _ => Some(Failure::Broken),
        }
    }

    /// Whether what waits is too much to take more.
    pub fn is_behind(&self, maximum: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) > maximum as u64
    }

    fn set_failure(&self, failure: Option<Failure>) {
        let value = match failure {
            None => 0,
            Some(Failure::Full) => 1,
            Some(Failure::Broken) => 2,
        };
        self.failure.store(value, Ordering::Relaxed);
    }

    pub fn health(&self) -> Health {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Health {
            failure: self.failure(),
            disk: get(&self.disk),
            pending: get(&self.waiting),
            records: get(&self.records),
            commits: get(&self.commits),
            failures: get(&self.failures),
            unknown: get(&self.unknown),
            messages: get(&self.messages),
        }
    }

    /// Asks the writer to end once everything is written.
    pub fn close(&self) {
        let mut pending = self.pending.lock();
        pending.closing = true;
        pending.asleep = false;
        self.wake.notify_one();
    }

    /// Waits for work, for so long at most; true if there is some.
    fn wait(&self, most: Duration) -> bool {
        let mut pending = self.pending.lock();
        if pending.is_empty() && !pending.closing && !most.is_zero() {
            pending.asleep = true;
            self.wake.wait_for(&mut pending, most);
            pending.asleep = false;
        }
        !pending.is_empty()
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_millis() as u64)
}

/// Writes until it is asked to end.
pub(super) fn run<F: Files>(mut engine: Engine<F>, desk: &Arc<Desk>) {
    let mut spent = Pending::default();
    // Something was committed since the log was last told to rest.
    let mut restless = true;
    let mut step = Step::Rest;
    loop {
        let failing = desk.failure().is_some();
        let most = match (failing, step, restless) {
            (_, Step::More, _) => Duration::ZERO,
            (true, _, _) => AGAIN,
            (_, _, true) => QUIET,
            _ => NAP,
        };
        let busy = desk.wait(most);
        if busy || failing {
            turn(&mut engine, desk, &mut spent);
            restless = true;
        } else if desk.pending.lock().closing {
            break;
        } else if step != Step::More {
            rest(&mut engine, &mut restless);
        }
        step = match desk.failure() {
            Some(Failure::Broken) => Step::Stuck,
            _ => engine.step(!busy),
        };
        observe(&engine, desk);
    }
    if engine.log.close().is_err() {
        desk.set_failure(Some(Failure::Broken));
    }
}

/// Nothing came for a while.
fn rest<F: Files>(engine: &mut Engine<F>, restless: &mut bool) {
    if *restless {
        // If it fails, the next commit promises what this would have.
        let _ = engine.log.idle();
        *restless = false;
    } else {
        engine.tick(now());
        let _ = engine.commit();
    }
}

/// Writes all that is pending and tells the outcome.
fn turn<F: Files>(engine: &mut Engine<F>, desk: &Desk, spent: &mut Pending) {
    {
        let mut pending = desk.pending.lock();
        std::mem::swap(&mut pending.records, &mut spent.records);
        std::mem::swap(&mut pending.receipts, &mut spent.receipts);
        std::mem::swap(&mut pending.refused, &mut spent.refused);
        desk.records
            .fetch_add(std::mem::take(&mut pending.count), Ordering::Relaxed);
    }
    engine.tick(now());
    let refused = engine.append(&spent.records);
    let committed = engine.commit();
    let outcome = match (&committed, refused) {
        (Ok(()), 0) => Ok(()),
        (Ok(()), _) | (Err(CommitError::Full), _) => Err(Failure::Full),
        (Err(CommitError::Io(_)), _) => Err(Failure::Broken),
    };
    match &committed {
        Ok(()) => desk.commits.fetch_add(1, Ordering::Relaxed),
        Err(_) => desk.failures.fetch_add(1, Ordering::Relaxed),
    };
    if desk.failure().is_some() && committed.is_ok() {
        // Tries to get back the room that is kept back.
        let _ = engine.log.idle();
    }
    let failure = match outcome {
        Ok(()) if !engine.takes() => Some(Failure::Full),
        outcome => outcome.err(),
    };
    desk.set_failure(failure);
    spent.records.clear();
    spent.records.shrink_to(1 << 20);
    desk.waiting.store(0, Ordering::Relaxed);
    for receipt in spent.receipts.drain(..) {
        receipt.tell(outcome);
    }
    for (receipt, failure) in spent.refused.drain(..) {
        receipt.tell(Err(failure));
    }
}

fn observe<F: Files>(engine: &Engine<F>, desk: &Desk) {
    desk.disk.store(engine.log.disk(), Ordering::Relaxed);
    desk.unknown.store(engine.mirror.unknown, Ordering::Relaxed);
    let messages = engine.mirror.messages.len() as u64;
    desk.messages.store(messages, Ordering::Relaxed);
}
