//! What all connections share.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, RwLock};

use crate::auth::Auth;
use crate::cluster::Cluster;
use crate::codec::ReasonCode;
use crate::pubsub::options::GroupOptions;
use crate::pubsub::{Generations, Retained, Subscriptions};
use crate::store::Store;
use crate::store::options::Promise;

use super::asking::Permissions;
use super::batch::Batch;
use super::defence::Defence;
use super::metrics::{Gauge, Metrics};
use super::options::Options;
use super::registry::Registry;
use super::schedule::Schedule;
use super::shared::{GroupRef, SessionRef};
use super::silence::Silence;

/// The engines behind the contracts, chosen by whoever builds the broker.
pub struct Engines {
    /// Who may connect and do what.
    pub auth: Arc<dyn Auth>,
    /// What keeps state.
    pub store: Arc<dyn Store>,
    /// Who owns which session.
    pub cluster: Arc<dyn Cluster>,
}

/// The broker: sessions, subscriptions and retained messages, and the ways between them. Shared by
/// all connections; everything it does is done by their tasks, in batches.
pub struct Broker {
    options: ArcSwap<Options>,
    /// How safe what is kept is, from the start to the end.
    pub(super) promise: Promise,
    pub(super) auth: Arc<dyn Auth>,
    pub(super) store: Arc<dyn Store>,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) registry: Registry,
    pub(super) subscriptions: RwLock<Subscriptions<SessionRef, GroupRef>>,
    pub(super) generations: Generations,
    pub(super) permissions: Permissions,
    pub(super) retained: RwLock<Retained>,
    pub(super) schedule: Mutex<Schedule>,
    pub(super) silence: Silence,
    pub(super) metrics: Metrics,
    pub(super) defence: Defence,
    /// How groups behave of which the options say nothing.
    pub(super) unnamed_group: ArcSwap<GroupOptions>,
    /// The moment from which acknowledgement timeouts are counted.
    pub(super) epoch: OnceLock<Instant>,
    /// Numbers for sessions, groups and assigned Client Identifiers: never given twice.
    numbers: AtomicU64,
    stopping: AtomicBool,
}

impl Broker {
    /// A broker with these engines.
    pub fn new(options: Options, engines: Engines) -> Self {
        let retained = Retained::new(options.pubsub.retained);
        let unnamed_group = ArcSwap::from_pointee(options.pubsub.unnamed());
        Self {
            auth: engines.auth,
            store: engines.store,
            cluster: engines.cluster,
            registry: Registry::default(),
            subscriptions: RwLock::default(),
            generations: Generations::default(),
            permissions: Permissions::default(),
            retained: RwLock::new(retained),
            schedule: Mutex::default(),
            silence: Silence::default(),
            metrics: Metrics::default(),
            defence: Defence::new(options.defence.clone()),
            unnamed_group,
            epoch: OnceLock::new(),
            numbers: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            promise: options.promise.clone(),
            options: ArcSwap::from_pointee(options),
        }
    }

    /// What is in force now. To be looked at and let go: another look may find others.
    pub fn options(&self) -> Guard<Arc<Options>> {
        self.options.load()
    }

    /// Puts other options in force while the broker runs: at once for what is asked for each time, and for
    /// what a client is granted when it connects, with its next connection. What was promised of the
    /// store stays as it was, and so do groups of which the options say something.
    pub fn replace_options(&self, options: Options) {
        self.retained.write().bound(options.pubsub.retained);
        self.unnamed_group.store(Arc::new(options.pubsub.unnamed()));
        self.defence.replace(options.defence.clone());
        self.options.store(Arc::new(options));
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How it defends itself.
    pub fn defence(&self) -> &Defence {
        &self.defence
    }

    /// Retained messages, and their bytes.
    pub fn retained(&self) -> (usize, usize) {
        let retained = self.retained.read();
        (retained.len(), retained.bytes())
    }

    /// Gives no number below this one any more.
    pub(super) fn number_from(&self, next: u64) {
        self.numbers.fetch_max(next, Ordering::Relaxed);
    }

    /// A number that nothing else in this process has.
    pub(super) fn number(&self) -> NonZeroU64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        // It would take centuries to come around.
        NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Opens no session any more, and closes every connection that has one with 0x8B.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.registry.for_each(|session| {
            if let Some(port) = &session.outbound.lock().port {
                port.close(ReasonCode::ServerShuttingDown);
            }
        });
    }

    /// Ends a batch: flushes the wires it touched, and adds what it counted.
    pub fn finish(&self, batch: &mut Batch) {
        self.publish_letters(batch);
        // The last first: that is the connection whose packets these were, and the sooner it has its
        // acknowledgements, the sooner it goes on.
        while let Some(session) = batch.touched.pop() {
            self.flush(&session, batch);
        }
        let queued_bytes = batch.tally.queued_bytes;
        self.metrics.add(&mut batch.tally);
        if queued_bytes != 0 {
            self.metrics.gauge(Gauge::QueuedBytes, queued_bytes);
            self.defence.queued(self.metrics.read(Gauge::QueuedBytes));
        }
        batch.options = None;
    }
}
