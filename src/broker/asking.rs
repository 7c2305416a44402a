//! Whether a client may do what it wants to: asked of the engine before anything of it is done,
//! remembered, and waited for.
//!
//! ```text
//!   packet ──> remembered? ── yes ─────────────────────────────> done or refused
//!                 └─ no ──> Auth::allows ── allowed, denied ───> remembered ──^
//!                               └─ later ──> the packet stays where it is, nothing behind it is read,
//!                                            and all of this begins anew once the answer is there
//! ```
//!
//! Whoever answers later has a time-out of its own, and forgetting the callback is as good as calling it.
//! Beyond that an answer is waited for so long and so often at most; then it is no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::auth::{Access, AskAgain, Permission};
use crate::codec::{Packet, Publish, ReasonCode, Subscribe};
use crate::topic::filter;

use super::batch::Now;
use super::core::Broker;
use super::delayed;
use super::open::Open;
use super::port::{Port, Signal};
use super::shared::InboundSide;

/// How long a packet waits for answers, all rounds together.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How often the same packet is asked about: each of the rules behind one another may take its time.
const ROUNDS: u8 = 16;

/// Counts how often permissions have changed: what was decided before that is not known any more.
#[derive(Debug)]
pub(super) struct Permissions(AtomicU64);

impl Default for Permissions {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Permissions {
    /// The present generation, to be taken before anybody is asked. Never 0.
    pub(super) fn generation(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Called after the change is visible to whoever asks.
    pub(super) fn changed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What something wants to be told that waits for answers: nothing has been done of it.
#[derive(Debug)]
pub(super) struct Asking {
    answered: Arc<AtomicBool>,
    by: Instant,
    rounds: u8,
}

impl Asking {
    /// Whether there is something to go on with: answers, or the end of patience.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.answered.load(Ordering::Acquire) || self.by <= now
    }

    /// When patience ends.
    pub(super) fn by(&self) -> Instant {
        self.by
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        self.by <= now || self.rounds >= ROUNDS
    }
}

/// All that is asked at once for one purpose. It is told that the answers are there once all are.
pub(super) struct Questions<'a> {
    port: &'a Arc<Port>,
    now: Instant,
    answers: Option<Arc<Answers>>,
    /// Whether an answer was put off. Nobody need ever be told of it, if no callback was made for it.
    later: bool,
}

/// Held by every callback: when the last of them has been called, or forgotten, the answers are there.
struct Answers {
    port: Arc<Port>,
    there: Arc<AtomicBool>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.there.store(true, Ordering::Release);
        self.port.signal(Signal::Answer);
    }
}

impl<'a> Questions<'a> {
    pub(super) fn new(port: &'a Arc<Port>, now: Instant) -> Self {
        Self {
            port,
            now,
            answers: None,
            later: false,
        }
    }

    /// Makes a callback.
    fn again(&mut self) -> AskAgain {
        let port = self.port;
        let answers = self.answers.get_or_insert_with(|| {
            Arc::new(Answers {
                port: Arc::clone(port),
                there: Arc::default(),
            })
        });
        let answers = Arc::clone(answers);
        Box::new(move || drop(answers))
    }

    /// Asks, and notes the answer.
    pub(super) fn put(
        &mut self,
        ask: impl FnOnce(&mut dyn FnMut() -> AskAgain) -> Permission,
    ) -> Permission {
        let permission = ask(&mut || self.again());
        self.later |= permission == Permission::Later;
        permission
    }

    /// As [`Self::put`]; whether it is yes, as far as is known.
    pub(super) fn ask(
        &mut self,
        ask: impl FnOnce(&mut dyn FnMut() -> AskAgain) -> Permission,
    ) -> bool {
        self.put(ask) == Permission::Allowed
    }

    /// Whether all has been answered: if not, what asked has to wait as `asking` says. What nobody is going
    /// to answer is answered, with no.
    pub(super) fn are_answered(self, asking: &mut Option<Box<Asking>>) -> bool {
        let before = asking.take();
        let hopeless = before.as_ref().is_some_and(|it| it.is_hopeless(self.now));
        let Some(answers) = self.answers.filter(|_| self.later && !hopeless) else {
            return true;
        };
        *asking = Some(Box::new(Asking {
            answered: Arc::clone(&answers.there),
            by: before.as_ref().map_or(self.now + ANSWER_WITHIN, |it| it.by),
            rounds: before.map_or(0, |it| it.rounds) + 1,
        }));
        false
    }
}

/// What is known about a packet before it is handled.
pub(super) enum Decided {
    /// There is nothing to ask.
    Nothing,
    /// Why a PUBLISH is refused, if it is.
    Publish(Option<ReasonCode>),
    /// Which filters of a SUBSCRIBE are permitted.
    Subscribe(Vec<bool>),
}

impl Open {
    /// Decides what is to be decided about a packet before anything of it is done. Nothing, if it has to
    /// wait for that.
    pub(super) fn decide(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &InboundSide,
        packet: &Packet<'_>,
        now: Now,
    ) -> Option<Decided> {
        match packet {
            Packet::Publish(it) => {
                let refused = self.decide_publish(broker, port, side, it, now)?;
                Some(Decided::Publish(refused))
            }
            Packet::Subscribe(it) => {
                let permitted = self.decide_subscribe(broker, port, it, now)?;
                Some(Decided::Subscribe(permitted))
            }
            _ => Some(Decided::Nothing),
        }
    }

    fn decide_publish(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &InboundSide,
        publish: &Publish<'_>,
        now: Now,
    ) -> Option<Option<ReasonCode>> {
        let Some(topic) = side.inbound.topic_of(publish) else {
            // It breaks the protocol, which is found next, or repeats what was decided before.
            return Some(None);
        };
        let generation = broker.permissions.generation();
        let how = (publish.qos, publish.retain);
        if self.asking.is_none()
            && let Some(known) = self.routes.ruling(topic, how, generation, now.instant)
        {
            return Some(known);
        }
        let longest = broker.options().delayed.longest;
        let within = match delayed::is_for_later(topic) {
            true => delayed::parse(topic, longest).map(|(_, topic)| topic),
            false => Some(topic),
        };
        let Some(within) = within else {
            return Some(Some(ReasonCode::TopicNameInvalid));
        };
        let mut questions = Questions::new(port, now.instant);
        let mut known = true;
        let refused = broker.refuse_topic(within).or_else(|| {
            let access = Access::Publish {
                topic: within,
                qos: publish.qos,
                retain: publish.retain,
            };
            let who = self.who(port);
            let permission = questions.put(|again| broker.auth.allows(&who, access, again));
            known = !matches!(permission, Permission::Later | Permission::Unknown);
            (permission != Permission::Allowed).then_some(ReasonCode::NotAuthorized)
        });
        if !questions.are_answered(&mut self.asking) {
            return None;
        }
        if known {
            let until = broker.remembered_until(now.instant);
            self.routes
                .remember_ruling(topic, how, (generation, now.instant, until), refused);
        }
        Some(refused)
    }

    fn decide_subscribe(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        subscribe: &Subscribe<'_>,
        now: Now,
    ) -> Option<Vec<bool>> {
        let who = self.who(port);
        let mut questions = Questions::new(port, now.instant);
        let permitted = subscribe.filters.iter().map(|(text, options)| {
            let access = subscription(text, options.qos);
            questions.ask(|again| broker.auth.allows(&who, access, again))
        });
        let permitted = permitted.collect();
        questions
            .are_answered(&mut self.asking)
            .then_some(permitted)
    }
}

/// What it takes to subscribe to a filter, ShareName included.
pub(super) fn subscription(text: &str, qos: crate::codec::QoS) -> Access<'_> {
    let (filter, share) = match filter::parse(text) {
        Ok(parsed) => (parsed.filter, parsed.share),
        Err(_) => (text, None),
    };
    Access::Subscribe { filter, share, qos }
}

impl Broker {
    /// Until when an answer may be remembered, if not until permissions change.
    pub(super) fn remembered_until(&self, now: Instant) -> Option<Instant> {
        self.auth.remembered_for().map(|it| now + it)
    }
}
