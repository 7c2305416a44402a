//! Keys that are fetched from the issuer, and fetched again: now and then, and when a token names a key that
//! is not among them.
//!
//! ```text
//!           ┌───────────────── every `refresh`, or sooner after a failure ────────────────┐
//!           v                                                                             │
//!   fetch ──┬── a set with a key that can be used ──> in force from now on ──┬──> waiting ┘
//!           └── anything else ──> what is in force stays, a log line ────────┘    clients are
//!                                                                                 asked again
//! ```
//!
//! Until the first set has come, nobody gets in. A token with an unknown key makes for one fetch per
//! [`Pace::least`], however many of them come: so a stranger cannot have the issuer asked more often. Whoever
//! comes while keys are being fetched waits for the end of it, [`WAITING_MAXIMUM`] clients at most.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use hyper::StatusCode;
use hyper::body::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::counts::Counts;
use super::super::web::{Url, Web};
use super::keys::{self, Keys};
use super::options::Algorithm;

/// Clients that wait for keys at most; one more is refused.
pub const WAITING_MAXIMUM: usize = 256;
/// Bytes of a set of keys at most.
const SET_BYTES: usize = 256 * 1024;

/// The last set that was fetched, with where it was. It outlives a reload, so that nobody is refused until
/// the keys have been fetched again.
#[derive(Debug, Default)]
pub struct LastGood(Mutex<Option<(Url, Bytes)>>);

/// How often keys are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After a success.
    pub refresh: Duration,
    /// After a failure.
    pub retry: Duration,
    /// The least time between two fetches, whoever wants them.
    pub least: Duration,
}

impl Pace {
    /// A pace of fetching anew after so long, if all is well.
    pub fn of(refresh: Duration) -> Self {
        let brief = Duration::from_secs(10);
        Self {
            refresh,
            retry: refresh.min(brief),
            least: refresh.min(brief),
        }
    }
}

/// Called when a fetch has ended, well or not.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// Keys that are fetched for as long as this is there.
pub struct Remote {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    keys: ArcSwapOption<Keys>,
    state: Mutex<State>,
    wanted: Notify,
}

struct State {
    /// A fetch is under way, or about to be.
    fetching: bool,
    /// Before that, nobody can have another one.
    next: Instant,
    waiting: Vec<Waiter>,
}

/// What is fetched, and by whom it is counted.
pub struct Source {
    /// Where it is.
    pub url: Url,
    /// Who fetches it.
    pub web: Web,
    /// What the keys may be used for.
    pub algorithms: Vec<Algorithm>,
    /// How often.
    pub pace: Pace,
    /// Where that is counted.
    pub counts: Arc<Counts>,
    /// What is known from before.
    pub last: Arc<LastGood>,
}

impl Remote {
    /// Begins to fetch.
    pub fn new(source: Source, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            keys: ArcSwapOption::empty(),
            state: Mutex::new(State {
                fetching: true,
                next: Instant::now(),
                waiting: Vec::new(),
            }),
            wanted: Notify::new(),
        });
        if let Some((url, json)) = &*source.last.0.lock()
            && *url == source.url
            && let Ok((keys, _)) = keys::of_set(json, &source.algorithms, false)
        {
            shared.keys.store(Some(Arc::new(keys)));
        }
        let task = runtime.spawn(keep(Arc::clone(&shared), source));
        Self {
            shared,
            task: task.abort_handle(),
        }
    }

    /// The keys in force, if there are any yet.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.shared.keys.load_full()
    }

    /// Has keys fetched, if it may be done again already, and `waiter` called after that. Says whether it
    /// will be; it makes one only then.
    pub fn after_fetch(&self, now: Instant, waiter: impl FnOnce() -> Waiter) -> bool {
        let mut state = self.shared.state.lock();
        if !state.fetching && now < state.next || state.waiting.len() >= WAITING_MAXIMUM {
            return false;
        }
        state.waiting.push(waiter());
        if !mem::replace(&mut state.fetching, true) {
            self.shared.wanted.notify_one();
        }
        true
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.task.abort();
        // Those who wait are refused.
        let waiting = mem::take(&mut self.shared.state.lock().waiting);
        drop(waiting);
    }
}

async fn keep(shared: Arc<Shared>, source: Source) {
    let mut well = true;
    loop {
        let outcome = fetch(&source).await;
        let pause = match &outcome {
            Ok(_) => source.pace.refresh,
            Err(_) => source.pace.retry,
        };
        match outcome {
            Ok((keys, json)) => {
                tracing::debug!(keys = keys.len(), url = %source.url, "keys of tokens fetched");
                if !mem::replace(&mut well, true) {
                    tracing::info!(url = %source.url, "keys of tokens can be fetched again");
                }
                *source.last.0.lock() = Some((source.url.clone(), json));
                shared.keys.store(Some(Arc::new(keys)));
                source.counts.key_fetches.count("fetched");
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                source
                    .counts
                    .keys_fetched
                    .store(now.as_secs(), Ordering::Relaxed);
            }
            Err((label, text)) => {
                source.counts.key_fetches.count(label);
                let there = match shared.keys.load().is_some() {
                    true => "those that are known stay in force",
                    false => "there are none: no token is accepted",
                };
                tracing::warn!(url = %source.url, "cannot fetch the keys of tokens: {text}; {there}");
                well = false;
            }
        }
        let waiting = {
            let mut state = shared.state.lock();
            state.fetching = false;
            state.next = Instant::now() + source.pace.least;
            mem::take(&mut state.waiting)
        };
        for waiter in waiting {
            waiter();
        }
        due(&shared, pause).await;
    }
}

/// Waits until it is time, or somebody wants keys.
async fn due(shared: &Shared, pause: Duration) {
    let mut time = pin!(tokio::time::sleep(pause));
    loop {
        tokio::select! {
            () = &mut time => {
                shared.state.lock().fetching = true;
                return;
            }
            // Unless that was before the last fetch, for which it came too late.
            () = shared.wanted.notified() => if shared.state.lock().fetching {
                return;
            },
        }
    }
}

/// A set of keys with what it was read from, or why there is none, as a label and in words.
async fn fetch(source: &Source) -> Result<(Keys, Bytes), (&'static str, String)> {
    let answer = source.web.get(&source.url, SET_BYTES).await;
    let (status, json) = answer.map_err(|failure| (failure.label(), failure.to_string()))?;
    if status != StatusCode::OK {
        return Err(("status", format!("the answer is {status}")));
    }
    let keys = keys::of_set(&json, &source.algorithms, false);
    let (keys, _) = keys.map_err(|error| ("malformed", error.to_string()))?;
    Ok((keys, json))
}

#[cfg(test)]
mod tests;
