//! `$SYS/broker/…`: the broker's numbers as retained messages, under mosquitto's names.
//!
//! Dashboards and exporters for mosquitto read these topics, so names, units and form of the
//! values are mosquitto's, and so is the habit of publishing a value only when it has changed:
//!
//! ```text
//!   Metrics, stores ──> Reading ──┬──> VALUES: topic, how it is read ────────┐
//!                                 └──> LOADS: topic, counter ──> averages ───┴─> changed? ──> publish
//! ```
//!
//! What they mean here where mosquitto leaves it open: *messages* are Control Packets of any kind,
//! *publish messages* are PUBLISH packets; *dropped* are messages that a full queue had no room
//! for; *store* is what is retained and, in the count but not in the bytes, what is queued;
//! *clients* are sessions. There is no `heap/…`: the metrics of
//! the process are for its supervisor to tell.

use std::time::{Duration, Instant};

use crate::codec::QoS;
use crate::message::{Message, Parts};
use crate::queue::DropReason;

use super::batch::{Batch, Now};
use super::core::Broker;
use super::metrics::{Gauge, Snapshot};

mod load;

use load::{Load, PERIODS};

/// What stands before every topic of this page.
const PREFIX: &str = "$SYS/broker";

/// How a number is read, and shown.
type Value = fn(&Reading) -> String;

/// How a counter is read whose rate is shown.
type Counter = fn(&Reading) -> u64;

/// Topics below [`PREFIX`], and what is published there.
const VALUES: &[(&str, Value)] = &[
    ("version", |_| VERSION.to_owned()),
    ("uptime", |r| format!("{} seconds", r.uptime.as_secs())),
    ("clients/total", |r| r.gauge(Gauge::Sessions)),
    ("clients/maximum", |r| {
        r.snapshot.connected_maximum.to_string()
    }),
    ("clients/connected", |r| r.gauge(Gauge::Connected)),
    ("clients/disconnected", Reading::away),
    // The older names of those two, which mosquitto still publishes.
    ("clients/active", |r| r.gauge(Gauge::Connected)),
    ("clients/inactive", Reading::away),
    ("clients/expired", |r| {
        r.snapshot.sessions_expired.to_string()
    }),
    ("messages/received", |r| r.snapshot.packets[0].to_string()),
    ("messages/sent", |r| r.snapshot.packets[1].to_string()),
    // The older name of store/messages/count.
    ("messages/stored", |r| r.stored().to_string()),
    ("store/messages/count", |r| r.stored().to_string()),
    ("store/messages/bytes", |r| r.retained.1.to_string()),
    ("retained messages/count", |r| r.retained.0.to_string()),
    ("subscriptions/count", |r| r.plain.to_string()),
    ("shared_subscriptions/count", |r| r.shared.to_string()),
    ("publish/messages/dropped", |r| r.dropped().to_string()),
    ("publish/messages/received", |r| r.received().to_string()),
    ("publish/messages/sent", |r| r.sent().to_string()),
    ("publish/bytes/received", |r| {
        r.snapshot.payload[0].to_string()
    }),
    ("publish/bytes/sent", |r| r.snapshot.payload[1].to_string()),
    ("bytes/received", |r| r.snapshot.bytes[0].to_string()),
    ("bytes/sent", |r| r.snapshot.bytes[1].to_string()),
];

/// Topics below `$SYS/broker/load`, and the counters whose load averages are published below them.
const LOADS: [(&str, Counter); 9] = [
    ("messages/received", |r| r.snapshot.packets[0]),
    ("messages/sent", |r| r.snapshot.packets[1]),
    ("publish/dropped", Reading::dropped),
    ("publish/received", Reading::received),
    ("publish/sent", Reading::sent),
    ("bytes/received", |r| r.snapshot.bytes[0]),
    ("bytes/sent", |r| r.snapshot.bytes[1]),
    ("sockets", |r| r.snapshot.connections_opened),
    ("connections", Reading::connects),
];

const VERSION: &str = concat!("postbud version ", env!("CARGO_PKG_VERSION"));

/// Publishes the broker's numbers, and remembers what it needs for averages and to tell what has
/// changed.
#[derive(Debug)]
pub struct Sys {
    started: Instant,
    /// When the loads were last brought up to date; never before the first publication, which
    /// shows them all as zero.
    last: Option<Instant>,
    loads: [Load; LOADS.len()],
    /// What was published last, by topic: [`VALUES`] first, then the averages of [`LOADS`].
    published: Vec<(String, Option<String>)>,
}

/// What there is to show at one moment.
struct Reading {
    snapshot: Snapshot,
    uptime: Duration,
    /// Retained messages, and their bytes.
    retained: (usize, usize),
    /// Subscriptions that are not shared.
    plain: usize,
    /// Subscriptions that are: members of groups.
    shared: usize,
}

impl Sys {
    /// Begins to count the uptime from `now`.
    pub fn new(now: Now) -> Self {
        let values = VALUES.iter().map(|(topic, _)| format!("{PREFIX}/{topic}"));
        let loads = LOADS.iter().flat_map(|(counter, _)| {
            let topic = move |(period, _)| format!("{PREFIX}/load/{counter}/{period}");
            PERIODS.into_iter().map(topic)
        });
        Self {
            started: now.instant,
            last: None,
            loads: Default::default(),
            published: values.chain(loads).map(|topic| (topic, None)).collect(),
        }
    }

    /// Publishes every number that has changed since the last call, retained and with QoS 0, and
    /// finishes the batch. The first call publishes all.
    ///
    /// The publications are counted like any others, as mosquitto counts its own: who subscribes
    /// to `$SYS/#` sees numbers that never rest.
    pub fn publish(&mut self, broker: &Broker, batch: &mut Batch) {
        let now = batch.now.instant;
        let reading = Reading::take(broker, now.saturating_duration_since(self.started));
        let values = self.values(&reading, now);
        // What is not retained has to be told again for those who have come since.
        let all = !broker.options().pubsub.retained.available;
        let mut scratch = Vec::new();
        for ((topic, before), value) in self.published.iter_mut().zip(values) {
            if !all && before.as_ref() == Some(&value) {
                continue;
            }
            let parts = Parts {
                topic,
                forwarded: &[],
                payload: value.as_bytes(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires: None,
            };
            broker.publish(Message::new(parts, &mut scratch), None, batch);
            *before = Some(value);
        }
        broker.finish(batch);
    }

    /// Every value in the order of `published`; brings the loads up to date.
    fn values(&mut self, reading: &Reading, now: Instant) -> Vec<String> {
        let last = self.last.replace(now);
        let mut values: Vec<_> = VALUES.iter().map(|(_, value)| value(reading)).collect();
        for (load, (_, counter)) in self.loads.iter_mut().zip(LOADS) {
            match last {
                Some(last) => load.update(counter(reading), now.saturating_duration_since(last)),
                // What came before is nothing that a rate can be told of.
                None => *load = Load::starting(counter(reading)),
            }
            values.extend(load.averages().map(|average| format!("{average:.2}")));
        }
        values
    }
}

impl Reading {
    fn take(broker: &Broker, uptime: Duration) -> Self {
        let snapshot = broker.metrics().snapshot();
        // The trie counts each group as one, the gauge each of its members.
        let in_trie = broker.subscriptions.read().len();
        let groups = count(snapshot.gauge(Gauge::Groups));
        let plain = in_trie.saturating_sub(groups);
        let shared = count(snapshot.gauge(Gauge::Subscriptions)).saturating_sub(plain);
        Self {
            uptime,
            retained: broker.retained(),
            plain,
            shared,
            snapshot,
        }
    }

    fn gauge(&self, gauge: Gauge) -> String {
        count(self.snapshot.gauge(gauge)).to_string()
    }

    /// Sessions without a connection.
    fn away(&self) -> String {
        let sessions = count(self.snapshot.gauge(Gauge::Sessions));
        let connected = count(self.snapshot.gauge(Gauge::Connected));
        sessions.saturating_sub(connected).to_string()
    }

    /// Messages kept: retained, or queued for somebody.
    fn stored(&self) -> usize {
        self.retained.0 + count(self.snapshot.gauge(Gauge::Queued))
    }

    fn received(&self) -> u64 {
        self.snapshot.messages_received.iter().sum()
    }

    fn sent(&self) -> u64 {
        self.snapshot.messages_sent.iter().sum()
    }

    fn dropped(&self) -> u64 {
        let of_full_queues = |(reason, _): &&(DropReason, u64)| {
            matches!(reason, DropReason::QueueFull | DropReason::Overload)
        };
        let dropped = self.snapshot.dropped.iter().filter(of_full_queues);
        dropped.map(|(_, count)| count).sum()
    }

    /// CONNECTs, accepted and refused.
    fn connects(&self) -> u64 {
        let refused: u64 = self.snapshot.refused.iter().map(|(_, count)| count).sum();
        self.snapshot.connects_accepted + refused
    }
}

/// A gauge as a number of things. Its parts are moved one after the other, so that it may be below
/// zero for a moment.
fn count(gauge: i64) -> usize {
    usize::try_from(gauge).unwrap_or(0)
}

#[cfg(test)]
mod tests;
