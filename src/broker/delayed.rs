//! Messages that are to be published later: what comes to `$delayed/{seconds}/{topic}`.
//!
//! ```text
//!   PUBLISH, Will ──> $delayed/60/a/b ──> kept, and acknowledged ──(60 s)──> published to a/b
//! ```
//!
//! What is authorised, counted and matched is the topic within. Message Expiry counts from when the
//! message was accepted, so that it may expire before its time comes. Nobody is asked about room when
//! that is: what was accepted is published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{PacketId, QoS, ReasonCode};
use crate::message::{Message, Parts};
use crate::queue::DropReason;
use crate::session::{Fault, Token};
use crate::store::record::{Accepted, DELAYED, Record, Replaces};
use crate::store::state::KeptDelayed;
use crate::store::{Ask, Failure, Progress};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::expiry::DUE_PER_TICK;
use super::keeping::targets;
use super::metrics::Gauge;
use super::open::Open;
use super::publish::FanOut;
use super::routes::SharedRoute;
use super::shared::{InboundSide, SessionRef};
use super::tickets::What;

/// The first level of the topics to which one publishes for later.
const FIRST_LEVEL: &str = "$delayed";

/// How long to wait with what the store has no room for now.
const AGAIN: Duration = Duration::from_secs(1);

/// What waits for its time.
#[derive(Default)]
pub(super) struct Delayed {
    waiting: BTreeMap<(Instant, u64), Waiting>,
    bytes: usize,
}

/// A message that waits, and whose it is.
#[derive(Clone)]
pub(super) struct Waiting {
    message: Message,
    publisher: Option<Arc<str>>,
}

impl Delayed {
    pub(super) fn put(&mut self, at: Instant, number: u64, waiting: Waiting) {
        self.bytes += waiting.message.size();
        self.waiting.insert((at, number), waiting);
    }

    /// Takes the next message whose time has come.
    fn take_due(&mut self, now: Instant) -> Option<(u64, Waiting)> {
        let first = self.waiting.first_entry()?;
        let due = first.key().0 <= now;
        let ((_, number), waiting) = due.then(|| first.remove_entry())?;
        self.bytes -= waiting.message.size();
        Some((number, waiting))
    }

    /// When the next time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }
}

/// Whether what is published to a topic is for later, or names a topic that only looks like it.
pub(super) fn is_for_later(topic: impl AsRef<[u8]>) -> bool {
    let rest = topic.as_ref().strip_prefix(FIRST_LEVEL.as_bytes());
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

/// Takes a topic for later apart: how long to wait, and the topic within.
pub(super) fn parse(topic: &str, longest: Duration) -> Option<(Duration, &str)> {
    let rest = topic.strip_prefix(FIRST_LEVEL)?.strip_prefix('/')?;
    let (seconds, topic) = rest.split_once('/')?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let delay = digits.then(|| seconds.parse().ok()).flatten();
    let delay = delay.map(Duration::from_secs)?;
    let nested = topic == FIRST_LEVEL || topic.starts_with("$delayed/");
    (delay <= longest && !topic.is_empty() && !nested).then_some((delay, topic))
}

/// Splits a topic for later before the topic within, whatever the rest is like.
pub(super) fn split(topic: &str) -> Option<(&str, &str)> {
    let rest = topic.strip_prefix(FIRST_LEVEL)?.strip_prefix('/')?;
    let (_, within) = rest.split_once('/')?;
    let front = &topic[..topic.len() - within.len()];
    (!within.is_empty()).then_some((front, within))
}

/// The same message on another topic.
fn on_topic(topic: &str, message: &Message) -> Message {
    let parts = Parts {
        topic,
        forwarded: message.forwarded(),
        payload: message.payload(),
        qos: message.qos(),
        retain: message.retain(),
        expires: message.expires(),
    };
    Message::new(parts, &mut Vec::new())
}

impl Open {
    /// Takes in a message that is to be published later.
    pub(super) fn publish_later(
        &self,
        broker: &Broker,
        side: &mut InboundSide,
        message: &Message,
        (token, packet_id): (Option<Token>, Option<PacketId>),
        now: Now,
    ) -> Result<(), Fault> {
        // It was looked at before it was taken.
        let longest = broker.options().delayed.longest;
        let Some((delay, topic)) = parse(message.topic(), longest) else {
            return Ok(());
        };
        let message = on_topic(topic, message);
        let holds = message.qos() == QoS::ExactlyOnce && side.is_persistent();
        let held = packet_id.filter(|_| holds);
        let Some(token) = token else {
            let taken = broker.delay(&message, delay, Some(&self.session), held, now, None);
            if matches!(taken, Progress::Refused(_)) {
                broker.metrics.publish_refused(ReasonCode::QuotaExceeded);
            }
            return Ok(());
        };
        let kept = side.tickets.ask(
            &self.session,
            (token, ReasonCode::Success),
            What::Message,
            |ask| {
                let session = Some(&self.session);
                broker.delay(&message, delay, session, held, now, Some(ask))
            },
        );
        match kept {
            Ok(Some(code)) => side.inbound.settle(token, code),
            Ok(None) => {}
            Err(_) => return self.cannot_keep(broker, side, token),
        }
        Ok(())
    }
}

impl Broker {
    /// The topic that has to be allowed to who publishes to this one, or leaves a Will for it; nothing
    /// if it is none.
    pub(super) fn topic_within<'a>(&self, message: &'a Message) -> Option<&'a str> {
        match is_for_later(message.topic()) {
            true => Some(parse(message.topic(), self.options().delayed.longest)?.1),
            false => Some(message.topic()),
        }
    }

    /// Takes a message in that is to be published after a delay: asks the store to keep it, unless there
    /// are too many of its kind.
    fn delay(
        &self,
        message: &Message,
        delay: Duration,
        publisher: Option<&SessionRef>,
        held: Option<PacketId>,
        now: Now,
        ask: Option<Ask<'_>>,
    ) -> Progress {
        let bounds = self.options().delayed;
        let mut schedule = self.schedule.lock();
        let delayed = &schedule.delayed;
        let full = delayed.waiting.len() >= bounds.messages
            || delayed.bytes.saturating_add(message.size()) > bounds.bytes;
        if full {
            return Progress::Refused(Failure::Full);
        }
        let number = self.number();
        let accepted = Accepted {
            number: number.get(),
            message,
            held: publisher.map(|session| session.number).zip(held),
            retained: false,
            publisher: publisher.map(|session| &*session.client_id),
            due: Some(now.wall.after(delay)),
            targets: &[],
        };
        let progress = match self.promise.of_message(message) {
            Some(safety) if self.store.remembers() => {
                message.keep_as(number);
                self.append(Record::Message(accepted), safety, ask)
            }
            _ => Progress::Done,
        };
        if !matches!(progress, Progress::Refused(_)) {
            let waiting = Waiting {
                message: message.clone(),
                publisher: publisher.map(|session| Arc::clone(&session.client_id)),
            };
            schedule.delay(now.instant + delay, number.get(), waiting);
            self.metrics.gauge(Gauge::Delayed, 1);
        }
        progress
    }

    /// Takes a Will in that is to be published later still.
    pub(super) fn delay_will(
        &self,
        message: &Message,
        publisher: Option<&SessionRef>,
        batch: &mut Batch,
    ) {
        // What it says was looked at when the client connected.
        let Some((delay, topic)) = parse(message.topic(), self.options().delayed.longest) else {
            return;
        };
        let message = on_topic(topic, message);
        let taken = self.delay(&message, delay, publisher, None, batch.now, None);
        let dropped = matches!(taken, Progress::Refused(_));
        batch
            .tally
            .drop(DropReason::QueueFull, usize::from(dropped));
    }

    /// Takes up a message that was kept.
    pub(super) fn restore_delayed(&self, kept: KeptDelayed, now: Now) {
        let message = super::restore::numbered(kept.message, kept.number);
        let waiting = Waiting {
            message,
            publisher: kept.publisher.map(Arc::from),
        };
        let at = now.instant + super::restore::until(kept.due, now.wall);
        self.schedule.lock().delay(at, kept.number, waiting);
        self.metrics.gauge(Gauge::Delayed, 1);
    }

    /// Publishes the messages whose time has come.
    pub(super) fn publish_delayed(&self, batch: &mut Batch) {
        for _ in 0..DUE_PER_TICK {
            // Not in the condition of the loop: the lock would be held through its body.
            let due = self.schedule.lock().delayed.take_due(batch.now.instant);
            let Some((number, waiting)) = due else {
                return;
            };
            if self.publish_now(&waiting, batch) {
                self.metrics.gauge(Gauge::Delayed, -1);
            } else {
                let at = batch.now.instant + AGAIN;
                self.schedule.lock().delay(at, number, waiting);
            }
        }
    }

    /// Publishes a message whose time has come; returns false if the store has no room now for what it
    /// is to keep of it.
    fn publish_now(&self, waiting: &Waiting, batch: &mut Batch) -> bool {
        let Waiting { message, publisher } = waiting;
        if message.expired(batch.now.wall) {
            self.tell_undelayed(message);
            batch.tally.drop(DropReason::Expired, 1);
            return true;
        }
        let client_id = publisher.as_deref();
        let session = client_id.and_then(|client_id| self.registry.find(client_id));
        let route = self.look_up(message.topic(), session.as_ref());
        if !self.retains(message) {
            if !self.tell_due(message, None, &route) {
                return false;
            }
        } else {
            // As in `take_in`: under one lock.
            let mut retained = self.retained.write();
            let fits = retained.has_room_for(message);
            let as_retained = fits.then_some(Replaces {
                topic: message.topic(),
                clears: message.payload().is_empty(),
                publisher: client_id,
            });
            if !self.tell_due(message, as_retained, &route) {
                return false;
            }
            // If there is no room it is not retained; that is counted.
            if retained.set(message.clone(), publisher.clone()).is_err() {
                self.metrics.retained_refused();
            }
        }
        self.fan_out_all(&mut FanOut::new(message.clone(), route), batch);
        true
    }

    /// Tells who is to have a message that waits no longer; returns whether that could be kept.
    fn tell_due(
        &self,
        message: &Message,
        retained: Option<Replaces<'_>>,
        route: &SharedRoute,
    ) -> bool {
        let Some(number) = message.number() else {
            return true;
        };
        let targets = targets(message, route);
        if targets.is_empty() && retained.is_none() {
            self.tell_undelayed(message);
            return true;
        }
        let record = Record::Due {
            number: number.get(),
            retained,
            targets: &targets,
        };
        !matches!(self.store.append(record, None), Progress::Refused(_))
    }

    /// Tells that a message is published, or has expired, and nobody is to keep it.
    fn tell_undelayed(&self, message: &Message) {
        if let Some(number) = message.number() {
            let record = Record::Dropped {
                owner: DELAYED,
                number: number.get(),
            };
            self.store.append(record, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a topic that is none is taken, or one is taken for another delay or topic.
    #[test]
    fn topics_for_later_are_taken_apart() {
        let parse = |topic| parse(topic, Duration::from_secs(100));
        let after = |seconds, topic| Some((Duration::from_secs(seconds), topic));
        assert_eq!(parse("$delayed/0/a"), after(0, "a"));
        assert_eq!(parse("$delayed/100/a/b"), after(100, "a/b"));
        assert_eq!(parse("$delayed/007//"), after(7, "/"));
        assert_eq!(parse("$delayed/1/$delayedly"), after(1, "$delayedly"));
        for wrong in [
            "$delayed",
            "$delayed/",
            "$delayed/5",
            "$delayed/5/",
            "$delayed//a",
            "$delayed/-1/a",
            "$delayed/+1/a",
            "$delayed/1.5/a",
            "$delayed/1s/a",
            "$delayed/101/a",
            "$delayed/99999999999999999999999/a",
            "$delayed/1/$delayed",
            "$delayed/1/$delayed/1/a",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    // Breaks if: an ordinary topic is taken for one of these, or a wrong one is ordinary.
    #[test]
    fn only_the_whole_first_level_counts() {
        let is = is_for_later;
        assert!(is("$delayed") && is("$delayed/") && is("$delayed/1/a"));
        assert!(!is("$delayed2/1/a") && !is("delayed/1/a") && !is("$delay") && !is("a"));
    }
}
