//! A service that is asked by HTTP who clients are and what they may do.
//!
//! ```text
//!   CONNECT ──> Asks ────── question ──> Service ──POST──> authenticate_url
//!   access  ──> Asks ─┬──── question ──> Service ──POST──> authorize_url
//!                     └─ Cache: what it said a while ago
//! ```
//!
//! The connection's own task never waits: it is told later. So many questions are put at once, so many wait;
//! one more is refused, and so is whoever gets no answer in time, or one that cannot be read. A service that
//! is slow or dead harms nobody but those who depend on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::codec::ReasonCode;

use super::counts::Counts;
use super::gate::{Answer, Opinion, Way};
use super::web::{Error, Url, Web};
use super::{Access, AskAgain, Request, Rules, Ruling, Who};

pub mod answer;
pub mod cache;
pub mod options;
pub mod question;
pub mod service;

use answer::Verdict;
use cache::{Cache, Key, Known};
use options::Options;
use service::{Service, Topic};

/// How long an answer is kept, whatever the configuration says, beyond the time that another one may take:
/// whoever waited for both has to find both.
const KEPT_BEYOND: Duration = Duration::from_secs(2);
/// The part of all questions about permissions that may be about one client.
const SHARE: usize = 4;

/// A service, as a way to prove who one is, and as rules.
pub struct Callback {
    /// Asks who a client is.
    pub way: Option<Box<dyn Way>>,
    /// Asks what a client may do.
    pub rules: Option<Arc<dyn Rules>>,
}

impl Callback {
    /// Makes ready to ask; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// Says which file is wrong.
    pub fn new(options: &Options, runtime: &Handle, counts: &Arc<Counts>) -> Result<Self, Error> {
        let urls = [&options.authenticate, &options.authorize];
        let urls: Vec<&Url> = urls.into_iter().flatten().collect();
        let web = Web::new(&options.web, &urls, options.requests_at_once)?;
        let service = Service::new(options, web, runtime, counts);
        let way = options.authenticate.clone().map(|url| Proofs {
            service: Arc::clone(&service),
            url,
        });
        let kept = options.web.timeout + KEPT_BEYOND;
        let share = options.requests_at_once + options.requests_waiting / SHARE;
        let rules = options.authorize.clone().map(|url| Permissions {
            service,
            url,
            cache: Arc::new(Mutex::new(Cache::new(options.cache_size))),
            share,
            cache_time: options.cache_time,
            holds: options.cache_time.max(kept),
            kept,
        });
        Ok(Self {
            way: way.map(|it| Box::new(it) as _),
            rules: rules.map(|it| Arc::new(it) as _),
        })
    }
}

struct Proofs {
    service: Arc<Service>,
    url: Url,
}

impl Way for Proofs {
    fn opinion(&self, request: &Request<'_>, answer: &mut dyn FnMut() -> Answer) -> Opinion {
        let topic = Topic::Authenticate;
        let Some(room) = self.service.room(topic) else {
            self.service.is_busy(topic);
            return Opinion::Refuse(ReasonCode::ServerBusy);
        };
        let user_name: Option<Box<str>> = request.user_name.map(Box::from);
        let answer = answer();
        room.ask(
            &self.url,
            question::who_is(request),
            move |status, body| {
                let (verdict, identity) = answer::identity(status, body, user_name.as_deref())?;
                Ok((verdict.label(), (verdict, identity)))
            },
            |said| {
                answer(match said {
                    Some((Verdict::Allow, identity)) => Opinion::Accept(identity),
                    Some((Verdict::Deny, _)) => Opinion::Refuse(ReasonCode::BadUserNameOrPassword),
                    Some((Verdict::Ignore, _)) => Opinion::Next,
                    None => Opinion::Refuse(ReasonCode::ServerUnavailable),
                });
            },
        );
        Opinion::Later
    }
}

struct Permissions {
    service: Arc<Service>,
    url: Url,
    cache: Arc<Mutex<Cache>>,
    /// How many questions about one client are asked at once: it does not take all the room there is, and
    /// what is beyond waits for its own.
    share: usize,
    cache_time: Duration,
    /// How long an answer is kept, and how long that there was none.
    holds: Duration,
    kept: Duration,
}

impl Permissions {
    /// What is done when the service has answered, or not.
    fn answered(
        &self,
        key: Key,
        client: Box<str>,
    ) -> impl FnOnce(Option<Verdict>) + Send + 'static {
        let (cache, holds, kept) = (Arc::clone(&self.cache), self.holds, self.kept);
        move |said| {
            let (ruling, holds) = match said {
                Some(Verdict::Allow) => (Ruling::Allow, holds),
                Some(Verdict::Deny) => (Ruling::Deny, holds),
                Some(Verdict::Ignore) => (Ruling::Silent, holds),
                None => (Ruling::Unknown, kept),
            };
            let until = Instant::now() + holds;
            let waiting = cache.lock().answered((key, &client), ruling, until);
            for again in waiting {
                again();
            }
        }
    }
}

impl Rules for Permissions {
    fn ruling(
        &self,
        who: &Who<'_>,
        access: Access<'_>,
        again: &mut dyn FnMut() -> AskAgain,
    ) -> Ruling {
        let Some(question) = question::may_do(who, access) else {
            return Ruling::Silent;
        };
        let (key, topic) = (question::key(&question), Topic::Authorize);
        let mut cache = self.cache.lock();
        match cache.known(&key, Instant::now()) {
            Known::Said(ruling) => {
                self.service.remembered();
                return ruling;
            }
            Known::Asked => {
                cache.wait(key, again());
                return Ruling::Later;
            }
            Known::Nothing => {}
        }
        let own = cache.asked_about(who.client_id);
        let room = (own < self.share).then(|| self.service.room(topic));
        let Some(room) = room.flatten() else {
            if own > 0 {
                cache.wait_for_any(who.client_id, again());
                return Ruling::Later;
            }
            self.service.is_busy(topic);
            return Ruling::Unknown;
        };
        cache.asks(key, who.client_id);
        cache.wait(key, again());
        drop(cache);
        let answered = self.answered(key, who.client_id.into());
        room.ask(
            &self.url,
            question,
            |status, body| {
                let verdict = answer::verdict(status, body)?;
                Ok((verdict.label(), verdict))
            },
            answered,
        );
        Ruling::Later
    }

    fn remembered_for(&self) -> Option<Duration> {
        Some(self.cache_time)
    }
}

#[cfg(test)]
mod tests;
