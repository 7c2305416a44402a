//! What the broker counts.
//!
//! Plain atomic numbers: a batch adds its [`Tally`] once, at its end, so nothing is looked up and
//! nothing is shared while messages move. Whoever shows them (the metrics page, `$SYS`) takes a
//! [`Snapshot`].
//!
//! ```text
//!   message ──> Tally ──(end of the batch)──> Metrics ──(on demand)──> Snapshot ──> /metrics, $SYS
//!   connection opened, refused, closed ─────────^
//! ```
//!
//! Counters never go down for as long as the process lives; a [`Gauge`] is moved by whoever makes
//! or ends what it counts, so it holds what there is now.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::codec::ReasonCode;
use crate::message::Timestamp;
use crate::queue::DropReason;
use crate::session::Tally;

use super::doors::{Door, DoorCount, Doors};
use super::ending::Ending;

/// Everything the broker counts.
#[derive(Debug)]
pub struct Metrics {
    messages_received: [AtomicU64; 3],
    messages_sent: [AtomicU64; 3],
    dropped: [AtomicU64; DropReason::ALL.len()],
    packets: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
    payload: [AtomicU64; 2],
    connections_opened: AtomicU64,
    accepts_failed: AtomicU64,
    connects_accepted: AtomicU64,
    connections_closed: [AtomicU64; Ending::COUNT],
    refused: [AtomicU64; 256],
    publishes_refused: [AtomicU64; 256],
    subscriptions_refused: [AtomicU64; 256],
    retained_refused: AtomicU64,
    sessions_expired: AtomicU64,
    sessions_evicted: AtomicU64,
    sessions_refused: AtomicU64,
    subscriptions_withdrawn: AtomicU64,
    gauges: [AtomicI64; Gauge::ALL.len()],
    connected_maximum: AtomicI64,
    doors: Doors,
    reloads: Mutex<Reloads>,
}

/// How often the configuration was read again, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// How often it was put in force.
    pub succeeded: u64,
    /// How often something was wrong.
    pub failed: u64,
    /// Whether it was the last time.
    pub failing: bool,
    /// When it was last put in force, if it ever was.
    pub last_success: Option<Timestamp>,
}

/// Numbers that go up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Gauge {
    /// Network Connections, accepted and not yet closed.
    Connections,
    /// Those of them that have not come so far as to open a session or be turned away.
    Handshaking,
    /// Sessions with a connection.
    Connected,
    /// Sessions, with or without a connection.
    Sessions,
    /// Sessions' subscriptions, members of groups included.
    Subscriptions,
    /// Shared groups.
    Groups,
    /// Messages that wait in the queues of sessions and groups.
    Queued,
    /// Bytes of memory that they take, about, and what sockets have not taken.
    QueuedBytes,
    /// Messages that wait for the time at which they are to be published.
    Delayed,
}

impl Snapshot {
    /// The value of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.gauges[gauge as usize]
    }
}

impl Gauge {
    /// Every gauge, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Connections,
        Self::Handshaking,
        Self::Connected,
        Self::Sessions,
        Self::Subscriptions,
        Self::Groups,
        Self::Queued,
        Self::QueuedBytes,
        Self::Delayed,
    ];
}

/// All numbers at one moment (or nearly: they are read one after the other).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// PUBLISH packets accepted from clients, by QoS.
    pub messages_received: [u64; 3],
    /// PUBLISH packets committed to connections, by QoS.
    pub messages_sent: [u64; 3],
    /// Deliveries dropped, with their reason.
    pub dropped: [(DropReason, u64); DropReason::ALL.len()],
    /// Control Packets received and sent.
    pub packets: [u64; 2],
    /// Bytes taken off sockets, and put on them.
    pub bytes: [u64; 2],
    /// Payload bytes of PUBLISH packets received and sent.
    pub payload: [u64; 2],
    /// Network Connections accepted.
    pub connections_opened: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accepts_failed: u64,
    /// CONNECTs accepted: how often a session got a connection.
    pub connects_accepted: u64,
    /// Network Connections closed, by why: each [`Ending`] that has no Reason Code, and of those
    /// that have one only what has happened.
    pub connections_closed: Vec<(&'static str, u64)>,
    /// CONNECTs refused, by Reason Code; only what has happened.
    pub refused: Vec<(ReasonCode, u64)>,
    /// PUBLISH packets refused, by Reason Code; only what has happened.
    pub publishes_refused: Vec<(ReasonCode, u64)>,
    /// Subscriptions refused, by Reason Code; only what has happened.
    pub subscriptions_refused: Vec<(ReasonCode, u64)>,
    /// Messages not retained because the store was full.
    pub retained_refused: u64,
    /// Sessions that ended because their Session Expiry Interval had passed.
    pub sessions_expired: u64,
    /// Sessions that ended because too many were without a connection.
    pub sessions_evicted: u64,
    /// CONNECTs refused because the session of their Client Identifier is another user's.
    pub sessions_refused: u64,
    /// Subscriptions removed because they are not permitted any more.
    pub subscriptions_withdrawn: u64,
    /// Gauges, in the order of [`Gauge::ALL`].
    pub gauges: [i64; Gauge::ALL.len()],
    /// The most sessions that were connected at once.
    pub connected_maximum: i64,
    /// The configuration, read again.
    pub reloads: Reloads,
    /// Each listener.
    pub doors: Vec<DoorCount>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            messages_received: zeros(),
            messages_sent: zeros(),
            dropped: zeros(),
            packets: zeros(),
            bytes: zeros(),
            payload: zeros(),
            connections_opened: AtomicU64::new(0),
            accepts_failed: AtomicU64::new(0),
            connects_accepted: AtomicU64::new(0),
            connections_closed: zeros(),
            refused: zeros(),
            publishes_refused: zeros(),
            subscriptions_refused: zeros(),
            retained_refused: AtomicU64::new(0),
            sessions_expired: AtomicU64::new(0),
            sessions_evicted: AtomicU64::new(0),
            sessions_refused: AtomicU64::new(0),
            subscriptions_withdrawn: AtomicU64::new(0),
            gauges: std::array::from_fn(|_| AtomicI64::new(0)),
            connected_maximum: AtomicI64::new(0),
            reloads: Mutex::default(),
            doors: Doors::default(),
        }
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

fn load<const N: usize>(counters: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|index| counters[index].load(Ordering::Relaxed))
}

fn by_code(counters: &[AtomicU64; 256]) -> Vec<(ReasonCode, u64)> {
    let code = |index: usize| ReasonCode::from_byte(u8::try_from(index).ok()?);
    let counts = counters
        .iter()
        .map(|counter| counter.load(Ordering::Relaxed))
        .enumerate();
    counts
        .filter(|(_, count)| *count > 0)
        .filter_map(|(i, n)| Some((code(i)?, n)))
        .collect()
}

fn by_ending(counters: &[AtomicU64; Ending::COUNT]) -> Vec<(&'static str, u64)> {
    let counts = load(counters).into_iter().enumerate();
    counts
        .filter_map(|(index, count)| Some((Ending::from_index(index)?, count)))
        .filter(|(ending, count)| *count > 0 || !matches!(ending, Ending::Closed(_)))
        .map(|(ending, count)| (ending.label(), count))
        .collect()
}

impl Metrics {
    /// Adds what a batch counted, and starts its tally anew.
    pub(super) fn add(&self, tally: &mut Tally) {
        let tally = std::mem::take(tally);
        for qos in 0..3 {
            add(&self.messages_received[qos], tally.received[qos]);
            add(&self.messages_sent[qos], tally.sent[qos]);
        }
        for (counter, count) in self.dropped.iter().zip(tally.dropped) {
            add(counter, count);
        }
        add(&self.packets[0], tally.packets_received);
        add(&self.packets[1], tally.packets_sent);
        add(&self.bytes[0], tally.bytes_received);
        add(&self.bytes[1], tally.bytes_sent);
        add(&self.payload[0], tally.payload_received);
        add(&self.payload[1], tally.payload_sent);
        if tally.queued != 0 {
            self.gauge(Gauge::Queued, tally.queued);
        }
    }

    /// The counters of the listener with this name.
    pub fn door(&self, name: &Arc<str>) -> Arc<Door> {
        self.doors.named(name)
    }

    /// Counts a Network Connection that was accepted.
    pub fn opened(&self) {
        add(&self.connections_opened, 1);
        self.gauge(Gauge::Connections, 1);
    }

    /// Counts an accept that failed for want of descriptors or memory.
    pub fn accept_failed(&self) {
        add(&self.accepts_failed, 1);
    }

    /// Counts a Network Connection that is closed.
    pub fn closed(&self, ending: Ending) {
        add(&self.connections_closed[ending.index()], 1);
        self.gauge(Gauge::Connections, -1);
    }

    pub(super) fn refused(&self, code: ReasonCode) {
        add(&self.refused[code as usize], 1);
    }

    pub(super) fn publish_refused(&self, code: ReasonCode) {
        add(&self.publishes_refused[code as usize], 1);
    }

    pub(super) fn subscription_refused(&self, code: ReasonCode) {
        add(&self.subscriptions_refused[code as usize], 1);
    }

    pub(super) fn retained_refused(&self) {
        add(&self.retained_refused, 1);
    }

    pub(super) fn session_expired(&self) {
        add(&self.sessions_expired, 1);
    }

    pub(super) fn session_evicted(&self) {
        add(&self.sessions_evicted, 1);
    }

    /// Counts that the configuration was read again, and put in force then if nothing was wrong.
    pub fn reloaded(&self, then: Option<Timestamp>) {
        let mut reloads = self.reloads.lock();
        match then {
            Some(_) => reloads.succeeded += 1,
            None => reloads.failed += 1,
        }
        reloads.failing = then.is_none();
        reloads.last_success = then.or(reloads.last_success);
    }

    pub(super) fn session_refused(&self) {
        add(&self.sessions_refused, 1);
    }

    pub(super) fn subscriptions_withdrawn(&self, count: usize) {
        add(&self.subscriptions_withdrawn, count as u64);
    }

    /// Moves a gauge. [`Gauge::Connected`] going up is a CONNECT accepted, and may be a new
    /// maximum.
    pub fn gauge(&self, gauge: Gauge, change: i64) {
        let value = self.gauges[gauge as usize].fetch_add(change, Ordering::Relaxed) + change;
        if gauge == Gauge::Connected && change > 0 {
            add(&self.connects_accepted, change.unsigned_abs());
            self.connected_maximum.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The present value of a gauge.
    pub fn read(&self, gauge: Gauge) -> i64 {
        self.gauges[gauge as usize].load(Ordering::Relaxed)
    }

    /// Reads everything.
    pub fn snapshot(&self) -> Snapshot {
        let dropped = load(&self.dropped);
        Snapshot {
            messages_received: load(&self.messages_received),
            messages_sent: load(&self.messages_sent),
            dropped: std::array::from_fn(|index| (DropReason::ALL[index], dropped[index])),
            packets: load(&self.packets),
            bytes: load(&self.bytes),
            payload: load(&self.payload),
            connections_opened: self.connections_opened.load(Ordering::Relaxed),
            accepts_failed: self.accepts_failed.load(Ordering::Relaxed),
            connects_accepted: self.connects_accepted.load(Ordering::Relaxed),
            connections_closed: by_ending(&self.connections_closed),
            refused: by_code(&self.refused),
            publishes_refused: by_code(&self.publishes_refused),
            subscriptions_refused: by_code(&self.subscriptions_refused),
            retained_refused: self.retained_refused.load(Ordering::Relaxed),
            sessions_expired: self.sessions_expired.load(Ordering::Relaxed),
            sessions_evicted: self.sessions_evicted.load(Ordering::Relaxed),
            sessions_refused: self.sessions_refused.load(Ordering::Relaxed),
            subscriptions_withdrawn: self.subscriptions_withdrawn.load(Ordering::Relaxed),
            gauges: std::array::from_fn(|i| self.gauges[i].load(Ordering::Relaxed)),
            connected_maximum: self.connected_maximum.load(Ordering::Relaxed),
            reloads: *self.reloads.lock(),
            doors: self.doors.counts(),
        }
    }
}

#[cfg(test)]
mod tests;
