//! The broker's numbers in the Prometheus text format.
//!
//! The broker counts in numbers of its own ([`Snapshot`]); a scrape copies them into the series of
//! a recorder that belongs to this page alone, and renders those:
//!
//! ```text
//!   broker::Metrics ──snapshot──> Series ──handles──> recorder ──render──> text
//!   Store ───────────health───────────^
//!   Defence ─────────figures──────────^
//!   auth::Counts ─────────────────────^
//! ```
//!
//! Names follow the Prometheus conventions: `postbud_` first, base units, `_total` at the end of
//! what only goes up. Every series whose labels are known beforehand is there from the first scrape,
//! at zero, so that a rate over it misses nothing; its handle is made once. Labels have few values:
//! a direction, a QoS, a reason, a listener; never a client or a topic.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::auth::counts::Counts;
use crate::broker::{self, Broker, Reloads, Snapshot};
use crate::codec::{PacketType, ReasonCode};
use crate::store::{Failure, Health, Store};

use super::defence::OfDefence;

mod proofs;

use proofs::OfProofs;

/// Renders the broker's numbers.
pub struct Exporter {
    broker: Arc<Broker>,
    store: Arc<dyn Store>,
    proofs: Arc<Counts>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    series: Series,
}

/// Why metrics cannot be set up.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Exporter {
    /// An exporter of the numbers of this broker, its store, and of proofs, made when the process starts: the present moment is
    /// told as the process's start.
    ///
    /// # Errors
    ///
    /// The system's clock stands before 1970.
    pub fn new(
        broker: Arc<Broker>,
        store: Arc<dyn Store>,
        proofs: Arc<Counts>,
    ) -> Result<Self, Error> {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|error| Error(format!("the system's clock is wrong: {error}")))?;
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let snapshot = broker.metrics().snapshot();
        let series = metrics::with_local_recorder(&recorder, || {
            register_process(started.as_secs_f64());
            Series::register(&snapshot, &proofs)
        });
        Ok(Self {
            broker,
            store,
            proofs,
            recorder,
            handle,
            series,
        })
    }

    /// Every metric, at this moment.
    pub fn render(&self) -> String {
        let snapshot = self.broker.metrics().snapshot();
        let retained = self.broker.retained();
        let health = self.store.health();
        let figures = self.broker.defence().figures(Instant::now());
        // A reason that nobody expected makes a new series.
        metrics::with_local_recorder(&self.recorder, || {
            self.series.set(&snapshot, retained);
            self.series.store.set(&health);
            self.series.defence.set(&figures);
            self.series.proofs.set(&self.proofs);
        });
        self.handle.render()
    }

    /// Keeps the recorder in order.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// What never changes while the process runs.
fn register_process(started: f64) {
    let help = "Start of the process, in seconds since the Unix epoch.";
    new_gauge("process_start_time_seconds", help).set(started);
    let name = "postbud_build_info";
    describe_gauge!(name, "Always 1; the labels say which build this is.");
    gauge!(name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// The handles of all series.
struct Series {
    connections_opened: Counter,
    accepts_failed: Counter,
    connections_closed: ByReason,
    connects_accepted: Counter,
    refusals: Refusals,
    packets: [Counter; 2],
    bytes: [Counter; 2],
    messages: [[Counter; 3]; 2],
    payload: [Counter; 2],
    dropped: ByReason,
    sessions_expired: Counter,
    sessions_evicted: Counter,
    gauges: [Gauge; broker::Gauge::ALL.len()],
    connected_maximum: Gauge,
    retained_messages: Gauge,
    retained_bytes: Gauge,
    reloads: OfReloads,
    store: OfStore,
    defence: OfDefence,
    proofs: OfProofs,
}

/// The values of the label `direction`, as the broker sees it and in the order of a [`Snapshot`].
const DIRECTIONS: [&str; 2] = ["received", "sent"];

impl Series {
    /// Registers every family with its help text, and every series that can be known.
    fn register(snapshot: &Snapshot, proofs: &Counts) -> Self {
        describe_listeners();
        let closed = snapshot.connections_closed.iter().map(|(label, _)| *label);
        let disconnect = errors_in(PacketType::Disconnect);
        let dropped = snapshot.dropped.iter().map(|(reason, _)| reason.label());
        Self {
            connections_opened: new_counter(
                "postbud_connections_opened_total",
                "Network Connections accepted by a listener.",
            ),
            accepts_failed: new_counter(
                "postbud_accept_failures_total",
                "Accepts that failed, mostly for want of file descriptors.",
            ),
            connections_closed: ByReason::register(
                "postbud_connections_closed_total",
                "Network Connections closed, by why: who went, or the Reason Code of the broker.",
                closed.chain(disconnect),
            ),
            connects_accepted: new_counter(
                "postbud_connects_accepted_total",
                "CONNECT packets accepted: how often a session got a connection.",
            ),
            refusals: Refusals::register(),
            packets: by_direction(
                "postbud_packets_total",
                "MQTT Control Packets of any kind, from (received) and to (sent) clients.",
            ),
            bytes: by_direction(
                "postbud_network_bytes_total",
                "MQTT bytes taken off (received) and put on (sent) connections; TLS not included.",
            ),
            messages: by_direction_and_qos(
                "postbud_messages_total",
                "PUBLISH packets accepted from clients (received) and sent to them, by their QoS.",
            ),
            payload: by_direction(
                "postbud_payload_bytes_total",
                "Payload bytes of PUBLISH packets accepted from clients (received) and sent to them.",
            ),
            dropped: ByReason::register(
                "postbud_messages_dropped_total",
                "Messages dropped on their way to one recipient, by why.",
                dropped,
            ),
            sessions_expired: new_counter(
                "postbud_sessions_expired_total",
                "Sessions that ended because their Session Expiry Interval had passed.",
            ),
            sessions_evicted: new_counter(
                "postbud_sessions_evicted_total",
                "Sessions that ended because too many were without a connection.",
            ),
            gauges: broker::Gauge::ALL.map(of_broker),
            connected_maximum: new_gauge(
                "postbud_sessions_connected_peak",
                "The most sessions that have been connected at once since the start.",
            ),
            retained_messages: new_gauge("postbud_retained_messages", "Retained messages kept."),
            retained_bytes: new_gauge(
                "postbud_retained_bytes",
                "Bytes of topic, payload and properties of the retained messages kept.",
            ),
            reloads: OfReloads::register(),
            store: OfStore::register(),
            defence: OfDefence::register(),
            proofs: OfProofs::register(proofs),
        }
    }

    /// Brings every series to the present numbers.
    fn set(&self, now: &Snapshot, retained: (usize, usize)) {
        self.connections_opened.absolute(now.connections_opened);
        self.accepts_failed.absolute(now.accepts_failed);
        self.connects_accepted.absolute(now.connects_accepted);
        for direction in 0..DIRECTIONS.len() {
            self.packets[direction].absolute(now.packets[direction]);
            self.bytes[direction].absolute(now.bytes[direction]);
            self.payload[direction].absolute(now.payload[direction]);
        }
        let messages = [now.messages_received, now.messages_sent];
        for (series, count) in self.messages.iter().flatten().zip(messages.concat()) {
            series.absolute(count);
        }
        self.sessions_expired.absolute(now.sessions_expired);
        self.sessions_evicted.absolute(now.sessions_evicted);
        self.refusals.set(now);
        self.connections_closed
            .set(now.connections_closed.iter().copied());
        let dropped = now.dropped.iter();
        self.dropped
            .set(dropped.map(|(reason, count)| (reason.label(), *count)));
        for (series, value) in self.gauges.iter().zip(now.gauges) {
            series.set(value as f64);
        }
        self.connected_maximum.set(now.connected_maximum as f64);
        self.retained_messages.set(retained.0 as f64);
        self.retained_bytes.set(retained.1 as f64);
        self.reloads.set(&now.reloads);
        for door in &now.doors {
            let listener = door.name.to_string();
            counter!(OPENED_BY_LISTENER, "listener" => listener.clone()).absolute(door.opened);
            gauge!(OPEN_BY_LISTENER, "listener" => listener).set(door.open as f64);
        }
    }
}

/// What came of reading the configuration again.
struct OfReloads {
    succeeded: Counter,
    failed: Counter,
    failing: Gauge,
    last_success: Gauge,
}

impl OfReloads {
    fn register() -> Self {
        let name = "postbud_reloads_total";
        describe_counter!(
            name,
            "How often the configuration was read again, by whether it was right and put in force."
        );
        Self {
            succeeded: counter!(name, "result" => "success"),
            failed: counter!(name, "result" => "failure"),
            failing: new_gauge(
                "postbud_reload_failing",
                "1 while what was in force stays because the last reload found something wrong.",
            ),
            last_success: new_gauge(
                "postbud_reload_last_success_timestamp_seconds",
                "The last reload that was put in force, in seconds since the Unix epoch; 0 if none was.",
            ),
        }
    }

    fn set(&self, now: &Reloads) {
        self.succeeded.absolute(now.succeeded);
        self.failed.absolute(now.failed);
        self.failing.set(f64::from(u8::from(now.failing)));
        let seconds = now
            .last_success
            .map_or(0.0, |it| it.as_millis() as f64 / 1e3);
        self.last_success.set(seconds);
    }
}

/// The families with a series for each listener. Their names are those of the configuration.
const OPENED_BY_LISTENER: &str = "postbud_listener_connections_opened_total";
const OPEN_BY_LISTENER: &str = "postbud_listener_connections";

fn describe_listeners() {
    let opened = "Network Connections accepted, by listener.";
    describe_counter!(OPENED_BY_LISTENER, opened);
    let open = "Network Connections, with or without a session, by listener.";
    describe_gauge!(OPEN_BY_LISTENER, open);
}

/// How the store is. All zero where nothing is stored.
struct OfStore {
    disk: Gauge,
    pending: Gauge,
    messages: Gauge,
    records: Counter,
    commits: Counter,
    failures: Counter,
    failing: [(Failure, Gauge); 2],
}

impl OfStore {
    fn register() -> Self {
        let failing = "postbud_store_failure";
        describe_gauge!(
            failing,
            "1 while what would have to be stored is refused, by why."
        );
        let reason = |failure, reason| (failure, gauge!(failing, "reason" => reason));
        Self {
            disk: new_gauge("postbud_store_disk_bytes", "Bytes of the store's files."),
            pending: new_gauge(
                "postbud_store_pending_bytes",
                "Bytes that the store has taken and not made safe yet.",
            ),
            messages: new_gauge("postbud_store_messages", "Messages in the store."),
            records: new_counter(
                "postbud_store_records_total",
                "Changes of state that the store has taken.",
            ),
            commits: new_counter(
                "postbud_store_commits_total",
                "Commits: how often the store made safe what it had taken.",
            ),
            failures: new_counter(
                "postbud_store_failures_total",
                "Commits that failed, and were tried again.",
            ),
            failing: [
                reason(Failure::Full, "full"),
                reason(Failure::Broken, "broken"),
            ],
        }
    }

    fn set(&self, now: &Health) {
        self.disk.set(now.disk as f64);
        self.pending.set(now.pending as f64);
        self.messages.set(now.messages as f64);
        self.records.absolute(now.records);
        self.commits.absolute(now.commits);
        self.failures.absolute(now.failures);
        for (failure, series) in &self.failing {
            series.set(f64::from(u8::from(now.failure == Some(*failure))));
        }
    }
}

/// What was refused, and why.
struct Refusals {
    connects: ByReason,
    publishes: ByReason,
    subscriptions: ByReason,
    retained: Counter,
    sessions: Counter,
    withdrawn: Counter,
}

impl Refusals {
    fn register() -> Self {
        Self {
            connects: ByReason::register(
                "postbud_connects_refused_total",
                "Connections turned away before their session opened, by Reason Code.",
                errors_in(PacketType::Connack),
            ),
            publishes: ByReason::register(
                "postbud_publishes_refused_total",
                "PUBLISH packets refused, by Reason Code.",
                errors_in(PacketType::Puback),
            ),
            subscriptions: ByReason::register(
                "postbud_subscriptions_refused_total",
                "Topic Filters of SUBSCRIBE packets refused, by Reason Code.",
                errors_in(PacketType::Suback),
            ),
            retained: new_counter(
                "postbud_retained_refused_total",
                "Messages not retained because the store of retained messages was full.",
            ),
            sessions: new_counter(
                "postbud_sessions_refused_total",
                "CONNECTs refused because the session of their Client Identifier is another user's.",
            ),
            withdrawn: new_counter(
                "postbud_subscriptions_withdrawn_total",
                "Subscriptions removed because they are not permitted any more.",
            ),
        }
    }

    fn set(&self, now: &Snapshot) {
        let by_code = |(code, count): &(ReasonCode, u64)| (code.name(), *count);
        self.connects.set(now.refused.iter().map(by_code));
        self.publishes
            .set(now.publishes_refused.iter().map(by_code));
        self.subscriptions
            .set(now.subscriptions_refused.iter().map(by_code));
        self.retained.absolute(now.retained_refused);
        self.sessions.absolute(now.sessions_refused);
        self.withdrawn.absolute(now.subscriptions_withdrawn);
    }
}

/// The gauge that shows one of the broker's.
fn of_broker(gauge: broker::Gauge) -> Gauge {
    let (name, help) = match gauge {
        broker::Gauge::Connections => (
            "postbud_connections",
            "Network Connections, with or without a session.",
        ),
        broker::Gauge::Handshaking => (
            "postbud_connections_handshaking",
            "Network Connections that have not come as far as CONNACK.",
        ),
        broker::Gauge::Connected => (
            "postbud_sessions_connected",
            "Sessions that have a connection.",
        ),
        broker::Gauge::Sessions => (
            "postbud_sessions",
            "Sessions, with or without a connection.",
        ),
        broker::Gauge::Subscriptions => (
            "postbud_subscriptions",
            "Subscriptions of all sessions, those to shared groups included.",
        ),
        broker::Gauge::Groups => (
            "postbud_shared_groups",
            "Groups of Shared Subscriptions: ShareNames, each with its Topic Filter.",
        ),
        broker::Gauge::Queued => (
            "postbud_messages_queued",
            "Messages that wait in the queues of sessions and of shared groups.",
        ),
        broker::Gauge::QueuedBytes => (
            "postbud_queued_bytes",
            "Bytes of memory, about, of messages that wait in queues or for a slow socket.",
        ),
        broker::Gauge::Delayed => (
            "postbud_messages_delayed",
            "Messages that wait for the time at which they are to be published.",
        ),
    };
    new_gauge(name, help)
}

fn new_counter(name: &'static str, help: &'static str) -> Counter {
    describe_counter!(name, help);
    counter!(name)
}

fn new_gauge(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}

fn by_direction(name: &'static str, help: &'static str) -> [Counter; 2] {
    describe_counter!(name, help);
    DIRECTIONS.map(|direction| counter!(name, "direction" => direction))
}

fn by_direction_and_qos(name: &'static str, help: &'static str) -> [[Counter; 3]; 2] {
    describe_counter!(name, help);
    let series = |direction, qos| counter!(name, "direction" => direction, "qos" => qos);
    DIRECTIONS.map(|direction| ["0", "1", "2"].map(|qos| series(direction, qos)))
}

/// The Reason Codes by which a packet of this type refuses something, as labels.
fn errors_in(packet: PacketType) -> impl Iterator<Item = &'static str> {
    let errors = ReasonCode::ALL.iter().filter(|code| code.is_error());
    let in_packet = errors.filter(move |code| code.allowed_in(packet));
    in_packet.map(|code| code.name())
}

/// A family of counters with the label `reason`. The reasons that can be expected have their series
/// from the start; another one, if it happens, gets its own then.
struct ByReason {
    name: &'static str,
    expected: Vec<(&'static str, Counter)>,
}

impl ByReason {
    fn register(
        name: &'static str,
        help: &'static str,
        reasons: impl Iterator<Item = &'static str>,
    ) -> Self {
        describe_counter!(name, help);
        let series = |reason| (reason, counter!(name, "reason" => reason));
        Self {
            name,
            expected: reasons.map(series).collect(),
        }
    }

    fn set(&self, counts: impl Iterator<Item = (&'static str, u64)>) {
        for (reason, count) in counts {
            match self.expected.iter().find(|(known, _)| *known == reason) {
                Some((_, series)) => series.absolute(count),
                None => counter!(self.name, "reason" => reason).absolute(count),
            }
        }
    }
}

#[cfg(test)]
mod tests;
