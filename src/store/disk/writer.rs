//! The thread that writes.
//!
//! ```text
//!   append ──> pending (a short lock) ──> writer: frames, commit, outcomes, a step of compaction
//! ```
//!
//! There is no fixed delay: an idle store commits at once, and what comes while one commit is under way is
//! the next. So the load decides how many share a flush. Two things make a flush worth more. As long as
//! those who append are at work on this very processor, the writer lets them go first. And what nobody
//! waits for, the progress of deliveries above all, may wait a moment for company.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::compaction::Step;
use super::elide::Elision;
use super::engine::Engine;
use super::format;
use super::mirror::CLOCK;
use super::segments::error::CommitError;
use super::segments::files::Files;
use super::segments::picture::Picture;
use crate::store::contract::{Ask, Failure, Health, Progress, Recalls, Receipt, Safety};
use crate::store::record::Record;

/// How long nothing came before the log is told to rest.
const QUIET: Duration = Duration::from_millis(20);
/// How long a writer sleeps at most: then it says what time it is. Nobody's absence depends on it.
const NAP: Duration = Duration::from_secs(30);
/// The same, while somebody is connected who may be found to have been disconnected by a crash.
const SHORT_NAP: Duration = Duration::from_millis(CLOCK);
/// How long records that nobody waits for may wait for others, and how many bytes they may become.
const LINGER: Duration = Duration::from_millis(2);
const MANY: usize = 64 << 10;
/// How often others go first, at most, while what there is to commit becomes more by that.
const COURTESIES: usize = 8;
/// How many receipts are looked at for one of the same who asks.
const NEAR: usize = 4;
/// How long it waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What is done with a picture of the log, on the writer's thread: it must be quick.
type ForPicture = Box<dyn FnOnce(Result<Picture, CommitError>) + Send>;

/// What is to be written.
#[derive(Default)]
struct Pending {
    records: Vec<u8>,
    rest: Vec<u8>,
    receipts: Vec<Receipt>,
    recalls: VecDeque<(Vec<u64>, Arc<dyn Recalls>)>,
    asks: Vec<ForPicture>,
    count: u64,
    closing: bool,
    sleep: Sleep,
}

/// What the writer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    /// It does not.
    #[default]
    Awake,
    /// Anything to do.
    Idle,
    /// Somebody who waits: there are records already.
    Lingering,
}

impl Pending {
    fn has_work(&self) -> bool {
        !self.records.is_empty() || !self.asks.is_empty() || !self.recalls.is_empty()
    }

    /// Notes who is to be told, by the receipt of what it asked for last if that is near: a batch of a
    /// client's packets comes in a row, among those of a few others.
    fn note(&mut self, ask: Ask<'_>) {
        let mut latest = self.receipts.iter_mut().rev().take(NEAR);
        let last = latest.find(|receipt| ask.is_of(receipt));
        if !last.is_some_and(|receipt| ask.join(receipt)) {
            self.receipts.push(ask.receipt());
        }
    }

    /// Whether nobody waits for what there is to do.
    fn can_linger(&self) -> bool {
        let nobody = self.receipts.is_empty() && self.asks.is_empty() && self.recalls.is_empty();
        nobody && !self.closing && (1..MANY).contains(&self.records.len())
    }

    /// Whether the writer is to be woken for what has just been put here.
    fn wakes(&mut self) -> bool {
        let wakes = match self.sleep {
            Sleep::Awake => false,
            Sleep::Idle => true,
            Sleep::Lingering => !self.can_linger(),
        };
        if wakes {
            self.sleep = Sleep::Awake;
        }
        wakes
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
    pub fn put(&self, record: &Record<'_>, ask: Option<Ask<'_>>, maximum: usize) -> Progress {
        let grows = format::grows(format::kind(record));
        let mut pending = self.pending.lock();
        let failure = match self.failure() {
            None if pending.records.len() > maximum => Some(Failure::Full),
            failure => failure,
        };
        if let Some(failure) = failure.filter(|_| grows) {
            return Progress::Refused(failure);
        }
        let Pending { records, rest, .. } = &mut *pending;
        format::encode(records, rest, record);
        let progress = match ask {
            Some(ask) => {
                pending.note(ask);
                Progress::Later
            }
            None => Progress::Done,
        };
        pending.count += 1;
        let waiting = pending.records.len() as u64;
        self.waiting.store(waiting, Ordering::Relaxed);
        if pending.wakes() {
            drop(pending);
            self.wake.notify_one();
        }
        progress
    }

    /// Asks the writer to read messages back.
    pub fn recall(&self, numbers: Vec<u64>, to: Arc<dyn Recalls>) {
        let mut pending = self.pending.lock();
        pending.recalls.push_back((numbers, to));
        if pending.wakes() {
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
        pending.sleep = Sleep::Awake;
        self.wake.notify_one();
    }

    /// Asks for a picture of the log with all that was put here before. Who asks a writer that ends is
    /// dropped.
    pub fn ask(&self, ask: ForPicture) {
        let mut pending = self.pending.lock();
        if !pending.closing {
            pending.asks.push(ask);
            pending.sleep = Sleep::Awake;
            self.wake.notify_one();
        }
    }

    /// Waits for work, for so long at most; true if there is some.
    fn wait(&self, most: Duration) -> bool {
        let mut pending = self.pending.lock();
        if !pending.has_work() && !pending.closing && !most.is_zero() {
            pending.sleep = Sleep::Idle;
            self.wake.wait_for(&mut pending, most);
        }
        if pending.can_linger() {
            pending.sleep = Sleep::Lingering;
            self.wake.wait_for(&mut pending, LINGER);
        }
        pending.sleep = Sleep::Awake;
        pending.has_work()
    }

    /// Lets others on this processor go first, as long as that makes the next flush worth more. Where
    /// nobody else has something to do it costs next to nothing.
    fn let_others_go_first(&self) {
        let mut before = 0;
        for _ in 0..COURTESIES {
            let now = self.waiting.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
            std::thread::yield_now();
        }
    }
}

/// What the writer has taken from the desk.
#[derive(Default)]
struct Taken {
    records: Vec<u8>,
    receipts: Vec<Receipt>,
    /// Those whose records could not be made safe, and who wait until they are.
    patient: Vec<Receipt>,
    elision: Elision,
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_millis() as u64)
}

/// Writes until it is asked to end.
pub(super) fn run<F: Files>(mut engine: Engine<F>, desk: &Arc<Desk>) {
    let mut taken = Taken::default();
    // Something was committed since the log was last told to rest.
    let mut restless = true;
    let mut step = Step::Rest;
    loop {
        let failing = desk.failure().is_some();
        let most = match (failing, step, restless) {
            (_, Step::More, _) => Duration::ZERO,
            (true, _, _) => AGAIN,
            (_, _, true) => QUIET,
            (_, Step::Later, _) => SHORT_NAP,
            _ if engine.mirror.is_connected() => SHORT_NAP,
            _ => NAP,
        };
        let busy = desk.wait(most);
        let recall = desk.pending.lock().recalls.pop_front();
        // Also before anything is read back: what was appended before that was asked is to be found.
        if busy || failing || recall.is_some() {
            desk.let_others_go_first();
            turn(&mut engine, desk, &mut taken);
            restless = true;
            if failing && desk.failure().is_some() && desk.pending.lock().closing {
                // It was tried once more, and nobody waits for ever.
                break;
            }
        } else if desk.pending.lock().closing {
            break;
        } else if step != Step::More {
            rest(&mut engine, &mut restless);
        }
        if let Some((numbers, to)) = recall {
            // One at a time, so that nobody's flush waits for long.
            to.recalled(engine.recall(&numbers));
        }
        step = match desk.failure() {
            Some(Failure::Broken) => Step::Stuck,
            _ => {
                engine.now = now();
                engine.step(!busy)
            }
        };
        observe(&mut engine, desk);
    }
    // Who asked last is told by that.
    desk.pending.lock().asks.clear();
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
        // Only a power cut could take the time back, and a flush would keep the disk awake.
        let flush = engine.options.flush && !engine.mirror.is_connected();
        let _ = engine.commit(flush);
    }
}

/// Writes all that is pending and tells the outcome.
fn turn<F: Files>(engine: &mut Engine<F>, desk: &Desk, taken: &mut Taken) {
    let asks = {
        let mut pending = desk.pending.lock();
        std::mem::swap(&mut pending.records, &mut taken.records);
        std::mem::swap(&mut pending.receipts, &mut taken.receipts);
        desk.records
            .fetch_add(std::mem::take(&mut pending.count), Ordering::Relaxed);
        std::mem::take(&mut pending.asks)
    };
    engine.tick(now());
    taken.elision.apply(&mut taken.records);
    let refused = engine.append(&taken.records);
    let outcome = commit(engine, taken, refused);
    match outcome {
        Ok(()) => desk.commits.fetch_add(1, Ordering::Relaxed),
        Err(_) => desk.failures.fetch_add(1, Ordering::Relaxed),
    };
    if desk.failure().is_some() && outcome.is_ok() {
        // Tries to get back the room that is kept back.
        let _ = engine.log.idle();
    }
    let failure = match outcome {
        Ok(()) if refused > 0 || !engine.takes() => Some(Failure::Full),
        outcome => outcome.err(),
    };
    desk.set_failure(failure);
    for ask in asks {
        ask(engine.log.picture());
    }
    taken.records.clear();
    taken.records.shrink_to(1 << 20);
    desk.waiting.store(0, Ordering::Relaxed);
}

/// Makes what was appended as safe as those who wait want it, and tells them; `refused` is how many
/// records found no room. Without anybody who waits it is as safe as the options say.
fn commit<F: Files>(
    engine: &mut Engine<F>,
    taken: &mut Taken,
    refused: u64,
) -> Result<(), Failure> {
    let wants = |safety| {
        let mut all = taken.receipts.iter().chain(&taken.patient);
        all.any(|it| it.safety == safety)
    };
    let (written, flushed) = (wants(Safety::Written), wants(Safety::Flushed));
    let mut outcome = Ok(());
    if written {
        outcome = commit_and_tell(engine, taken, Safety::Written, refused);
    }
    if flushed || (!written && engine.options.flush) {
        outcome = commit_and_tell(engine, taken, Safety::Flushed, refused);
    } else if !written {
        outcome = engine.commit(false).map_err(|it| failure(&it));
    }
    outcome
}

fn commit_and_tell<F: Files>(
    engine: &mut Engine<F>,
    taken: &mut Taken,
    safety: Safety,
    refused: u64,
) -> Result<(), Failure> {
    let committed = engine.commit(safety == Safety::Flushed);
    let committed = committed.map_err(|it| failure(&it));
    let outcome = committed.and(match refused {
        0 => Ok(()),
        _ => Err(Failure::Full),
    });
    let whole = committed.is_ok() && !engine.owes();
    if whole {
        for receipt in taken.patient.extract_if(.., |it| it.safety == safety) {
            receipt.tell(Ok(()));
        }
    }
    for receipt in taken.receipts.extract_if(.., |it| it.safety == safety) {
        match (receipt.patient, whole) {
            (true, true) => receipt.tell(Ok(())),
            (true, false) => taken.patient.push(receipt),
            (false, _) => receipt.tell(outcome),
        }
    }
    committed
}

fn failure(error: &CommitError) -> Failure {
    match error {
        CommitError::Full => Failure::Full,
        CommitError::Io(_) => Failure::Broken,
    }
}

fn observe<F: Files>(engine: &mut Engine<F>, desk: &Desk) {
    for it in engine.missing.drain(..) {
        tracing::error!("store: {it}");
    }
    desk.disk.store(engine.log.disk(), Ordering::Relaxed);
    desk.unknown.store(engine.mirror.unknown, Ordering::Relaxed);
    let messages = engine.mirror.messages.len() as u64;
    desk.messages.store(messages, Ordering::Relaxed);
}
