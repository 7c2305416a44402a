//! The service: how many questions it is asked at once, how long it may take, and what is said if it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::super::counts::{Counts, Questions};
use super::super::web::{Failure, Url, Web};
use super::options::Options;

/// Bytes of an answer at most.
const ANSWER_BYTES: usize = 64 * 1024;

/// A service that can be asked.
pub struct Service {
    web: Web,
    runtime: Handle,
    timeout: Duration,
    /// Places for questions that are put at once.
    places: Semaphore,
    /// Questions of each sort that may still be taken: what clients do that are in keeps nobody out.
    room: [AtomicUsize; 2],
    /// Whether the last question went without an answer; it is told when that changes.
    failing: AtomicBool,
    counts: Arc<Counts>,
}

/// Which of the two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Who a client is.
    Authenticate,
    /// What it may do.
    Authorize,
}

/// Room for one question, given back when this goes.
pub struct Room {
    service: Arc<Service>,
    topic: Topic,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.service.room[self.topic as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Service {
    /// One that is asked on this runtime.
    pub fn new(options: &Options, web: Web, runtime: &Handle, counts: &Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            web,
            runtime: runtime.clone(),
            timeout: options.web.timeout,
            places: Semaphore::new(options.requests_at_once),
            room: [(); 2]
                .map(|()| AtomicUsize::new(options.requests_at_once + options.requests_waiting)),
            failing: AtomicBool::new(false),
            counts: Arc::clone(counts),
        })
    }

    /// Room for one more question, if there is any.
    pub fn room(self: &Arc<Self>, topic: Topic) -> Option<Room> {
        let one_less = |room: usize| room.checked_sub(1);
        let room = &self.room[topic as usize];
        let taken = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.ok().map(|_| Room {
            service: Arc::clone(self),
            topic,
        })
    }

    /// Somebody was refused for want of room.
    pub fn is_busy(&self, topic: Topic) {
        self.counts(topic).outcomes.count("busy");
    }

    fn counts(&self, topic: Topic) -> &Questions {
        match topic {
            Topic::Authenticate => &self.counts.authenticate,
            Topic::Authorize => &self.counts.authorize,
        }
    }

    /// How often a question was answered without it.
    pub fn remembered(&self) {
        self.counts.remembered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Room {
    /// Asks, and hands what `read` makes of the answer to `then`; nothing if there is no answer that can be
    /// read, in time: what waits for its place counts too.
    pub fn ask<T: Send + 'static>(
        self,
        url: &Url,
        question: Vec<u8>,
        read: impl FnOnce(StatusCode, &[u8]) -> Result<(&'static str, T), &'static str> + Send + 'static,
        then: impl FnOnce(Option<T>) + Send + 'static,
    ) {
        let url = url.clone();
        let runtime = self.service.runtime.clone();
        runtime.spawn(async move {
            let service = &self.service;
            let asked = Instant::now();
            let whole = tokio::time::timeout(service.timeout, service.put(&url, question));
            let answer = whole.await.unwrap_or(Err(Failure::Timeout));
            let outcome = match &answer {
                Ok((status, body)) => read(*status, body),
                Err(failure) => Err(failure.label()),
            };
            let label = match &outcome {
                Ok((label, _)) | Err(label) => label,
            };
            service.counts(self.topic).count(label, asked.elapsed());
            service.tell(&url, &answer, outcome.as_ref().err());
            // Whoever is told may ask something else at once.
            drop(self);
            then(outcome.ok().map(|(_, it)| it));
        });
    }
}

impl Service {
    async fn put(&self, url: &Url, question: Vec<u8>) -> Result<(StatusCode, Bytes), Failure> {
        // It is never closed.
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|error| Failure::Unreachable(error.into()))?;
        self.web.post(url, question, ANSWER_BYTES).await
    }

    /// Logs that there are no answers any more, or that there are again; not each of them.
    fn tell(
        &self,
        url: &Url,
        answer: &Result<(StatusCode, Bytes), Failure>,
        wrong: Option<&&'static str>,
    ) {
        let Some(wrong) = wrong else {
            if self.failing.swap(false, Ordering::Relaxed) {
                tracing::info!(%url, "the service answers again");
            }
            return;
        };
        let what = match answer {
            Ok((StatusCode::OK, _)) => "the answer cannot be read".to_owned(),
            Ok((status, _)) => format!("the answer is {status}"),
            Err(failure) => failure.to_string(),
        };
        match self.failing.swap(true, Ordering::Relaxed) {
            false => tracing::warn!(
                %url,
                reason = *wrong,
                "the service fails: {what}; who depends on it is refused"
            ),
            true => tracing::debug!(%url, reason = *wrong, "the service fails: {what}"),
        }
    }
}
