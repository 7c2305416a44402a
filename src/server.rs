//! Builds the house, supervises it, and takes it down in good order.
//!
//! ```text
//!   certificates ─> store opened ─> broker ─> listeners bound ─> tasks: accept per listener, HTTP,
//!                                                                tick, $SYS
//!   SIGHUP, `postbud ctl reload` ─> all is read again ─> right: put in force      wrong: told, and no more
//!   SIGTERM, SIGINT ─> not ready, no more accepting ─> DISCONNECT 0x8B to all ─> drained
//!                   ─> store closed ─> exit 0
//! ```
//!
//! The only room that names engines: which store, which cluster, who authenticates.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::auth::counts::Counts;
use crate::auth::gate::{Gate, Parts};
use crate::broker::defence::Level;
use crate::broker::{Batch, Broker, Engines, Gauge, Restored};
use crate::cluster::single::Single;
use crate::config::Config;
use crate::control;
use crate::http;
use crate::listener::accept::{self, Bound};
use crate::listener::certificates::{self, Generated};
use crate::listener::driver::now;
use crate::listener::options::{Options as ListenerOptions, TcpOptions};
use crate::listener::{tcp, unix};
use crate::store::Failure;
use crate::store::disk::segments::error::OpenError;
use crate::store::state::State;

mod gate;
mod load;
mod reload;
mod store;
mod tls;
mod welcome;

pub use reload::SetLevel;

use gate::Lasting;
use reload::Reloader;
use store::Kept;
use tls::Keepers;

/// Why the broker cannot start, or stopped by itself.
#[derive(Debug)]
pub enum Error {
    /// The development certificates cannot be made.
    Certificates(certificates::Error),
    /// The store in this directory cannot be opened.
    Store(PathBuf, OpenError),
    /// The last records could not be written to the store in this directory.
    Close(PathBuf, Failure),
    /// Who may connect cannot be known.
    Auth(gate::Error),
    /// The runtime cannot be had.
    Runtime(io::Error),
    /// A listener for MQTT cannot be had.
    Listener(accept::Error),
    /// The HTTP listener cannot be had.
    Http(SocketAddr, io::Error),
    /// The metrics cannot be set up.
    Metrics(http::MetricsError),
    /// The control socket cannot be had.
    Control(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificates(_) => f.write_str("cannot make development certificates"),
            Self::Store(path, _) => write!(f, "cannot use {} as the store", path.display()),
            Self::Close(path, _) => {
                write!(f, "cannot write all to the store in {}", path.display())
            }
            Self::Auth(error) => error.fmt(f),
            Self::Runtime(_) => f.write_str("cannot start the runtime"),
            Self::Listener(error) => error.fmt(f),
            Self::Http(address, _) => write!(f, "cannot serve HTTP on {address}"),
            Self::Metrics(_) => f.write_str("cannot set up metrics"),
            Self::Control(path, _) => {
                write!(f, "cannot use {} as the control socket", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Certificates(error) => Some(error),
            Self::Store(_, error) => Some(error),
            Self::Close(_, failure) => Some(failure),
            Self::Auth(error) => error.source(),
            Self::Runtime(error) | Self::Http(_, error) | Self::Control(_, error) => Some(error),
            Self::Listener(error) => error.source(),
            Self::Metrics(error) => Some(error),
        }
    }
}

/// What the house is built on.
pub struct Ground {
    runtime: tokio::runtime::Runtime,
    /// From here on SIGHUP does not end the process. One that comes before the house stands is obeyed then.
    hangups: Signal,
}

impl Ground {
    /// To be called as early as possible.
    ///
    /// # Errors
    ///
    /// The runtime cannot be had.
    pub fn new() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let inside = runtime.enter();
        let hangups = signal(SignalKind::hangup()).map_err(Error::Runtime)?;
        drop(inside);
        Ok(Self { runtime, hangups })
    }
}

/// Runs the broker until SIGTERM or SIGINT.
///
/// # Errors
///
/// It cannot start, or what was to be stored could not be until the end.
pub fn serve(ground: Ground, config: Config, set_level: Option<SetLevel>) -> Result<(), Error> {
    raise_descriptor_limit();
    let generated = match config.development_certificates() {
        Some(directory) => certificates::development(directory).map_err(Error::Certificates)?,
        None => Generated::Nothing,
    };
    let Ground { runtime, hangups } = ground;
    let lasting = Lasting::on(runtime.handle());
    let parts = gate::parts(&config.auth, &lasting).map_err(Error::Auth)?;
    let path = config.store.path.clone();
    let (kept, state) =
        Kept::open(&config.store).map_err(|error| Error::Store(path.clone(), error))?;
    let house = House::build((config, generated), (parts, lasting), kept.clone(), state);
    let result = runtime.block_on(house.run(hangups, set_level));
    // Whoever still has not closed after the drain is not waited for.
    runtime.shutdown_background();
    let closed = kept.close().map_err(|failure| Error::Close(path, failure));
    result.and(closed)
}

/// Makes everything that would say who may connect and do what, and gives it up again. Nobody is asked
/// anything.
///
/// # Errors
///
/// Something of it cannot be had; most likely a file that the configuration names is wrong.
pub fn check(config: &Config) -> Result<(), Error> {
    // Nothing that begins on it goes on, as it is never run.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let lasting = Lasting::on(runtime.map_err(Error::Runtime)?.handle());
    gate::parts(&config.auth, &lasting)
        .map(drop)
        .map_err(Error::Auth)
}

/// Every connection is a descriptor: what the hard limit allows is used.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "descriptors"),
        Err(error) => tracing::warn!("cannot raise the limit of descriptors: {error}"),
    }
}

/// The broker and everything around it, built and not yet running.
struct House {
    config: Config,
    generated: Generated,
    kept: Kept,
    restored: Restored,
    gate: Arc<Gate>,
    broker: Arc<Broker>,
    lasting: Lasting,
}

/// How often the drain looks whether everybody has gone.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);

/// How often the metrics' recorder is kept in order when nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

impl House {
    fn build(
        (config, generated): (Config, Generated),
        (parts, lasting): (Parts, Lasting),
        kept: Kept,
        state: State,
    ) -> Self {
        let gate = Arc::new(Gate::new(parts));
        let engines = Engines {
            auth: Arc::clone(&gate) as _,
            store: kept.engine(),
            cluster: Arc::new(Single::default()),
        };
        let broker = Arc::new(Broker::new(config.broker.clone(), engines));
        let restored = broker.restore(state, &mut Batch::new(now()));
        Self {
            config,
            generated,
            kept,
            restored,
            gate,
            broker,
            lasting,
        }
    }

    async fn run(self, hangups: Signal, set_level: Option<SetLevel>) -> Result<(), Error> {
        let Self {
            config,
            generated,
            kept,
            restored,
            gate,
            broker,
            lasting,
        } = self;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let listeners = config.listener.listeners.iter().map(Bound::new);
        let bound = listeners
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::Listener)?;
        let (stop, stopped) = watch::channel(false);
        // HTTP goes on while the broker drains: it is then that probes ask.
        let (close, closed) = watch::channel(false);
        let ready = Arc::new(AtomicBool::new(false));
        let keepers: Keepers = bound.iter().map(|it| it.tls().cloned()).collect();
        let numbers = (&broker, &lasting.counts);
        let http = serve_http(&config, numbers, &kept, &keepers, &ready, closed)?;
        let options = Arc::new(ArcSwap::from_pointee(config.listener.clone()));
        let reloader = Arc::new(Reloader {
            gate,
            lasting,
            broker: Arc::clone(&broker),
            listener: Arc::clone(&options),
            set_level,
            keepers: Arc::clone(&keepers),
            replaced: Notify::new(),
            in_force: Mutex::new(config.clone()),
        });
        // Its file is gone when this is.
        let _control = serve_control(&config, &broker, &kept, &reloader)?;
        let doors: Vec<_> = bound.iter().map(welcome::Door::of).collect();
        let accepting = accept(bound, &broker, &options, &stopped);
        tls::watch(&keepers);
        tokio::spawn(tick(Arc::clone(&broker)));
        tokio::spawn(publish_sys(Arc::clone(&broker), Arc::clone(&reloader)));
        tokio::spawn(reload::obey(hangups, reloader, stopped));
        tokio::spawn(load::watch(Arc::clone(&broker)));
        ready.store(true, Ordering::Release);
        tokio::spawn(store::watch(kept.engine()));
        welcome::say(&config, generated, &kept, restored, &doors, http);
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        ready.store(false, Ordering::Release);
        // Whoever is left to be told is gone with the receivers.
        let _ = stop.send(true);
        for task in accepting {
            // A task that panicked is not accepting any more either.
            let _ = task.await;
        }
        let patience = options.load().drain_timeout;
        drain(&broker, patience).await;
        let _ = close.send(true);
        tracing::info!("stopped");
        Ok(())
    }
}

/// Starts a task for each listener. Each looks for its options in the place that it had at the start: adding
/// one, or taking one away, needs a restart.
fn accept(
    bound: Vec<Bound>,
    broker: &Arc<Broker>,
    options: &Arc<ArcSwap<ListenerOptions>>,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let serve = |(index, listener): (usize, Bound)| {
        let (broker, options) = (Arc::clone(broker), Arc::clone(options));
        tokio::spawn(listener.serve(index, broker, options, stopped.clone()))
    };
    bound.into_iter().enumerate().map(serve).collect()
}

/// Serves metrics and health, if the configuration names an address; returns where.
fn serve_http(
    config: &Config,
    (broker, counts): (&Arc<Broker>, &Arc<Counts>),
    kept: &Kept,
    keepers: &Keepers,
    ready: &Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) -> Result<Option<SocketAddr>, Error> {
    let Some(address) = config.http.address else {
        return Ok(None);
    };
    let listener =
        tcp::bind(address, &TcpOptions::default()).map_err(|error| Error::Http(address, error))?;
    let bound = listener
        .local_addr()
        .map_err(|error| Error::Http(address, error))?;
    let store = kept.engine();
    let keepers = Arc::clone(keepers);
    let tls = Box::new(move || tls::shown(&keepers));
    let (served, counts) = (Arc::clone(broker), Arc::clone(counts));
    let exporter = http::Exporter::new(served, Arc::clone(&store), counts, tls);
    let exporter = Arc::new(exporter.map_err(Error::Metrics)?);
    let upkeep = Arc::clone(&exporter);
    let busy = Arc::clone(broker);
    let state = http::State {
        render: Arc::new(move || exporter.render()),
        ready: Arc::clone(ready),
        failure: Arc::new(move || {
            let failure = store.health().failure.map(|it| it.to_string());
            let is_busy = busy.defence().level() >= Level::Busy;
            failure.or_else(|| is_busy.then(|| "there is too much to do".to_owned()))
        }),
    };
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            interval.tick().await;
            upkeep.run_upkeep();
        }
    });
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the house is gone, which is a stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = http::serve(listener, state, stop).await {
            tracing::error!("HTTP ended: {error}");
        }
    });
    Ok(Some(bound))
}

/// Serves the control socket, if the configuration names one.
fn serve_control(
    config: &Config,
    broker: &Arc<Broker>,
    kept: &Kept,
    reloader: &Arc<Reloader>,
) -> Result<Option<unix::File>, Error> {
    let Some(path) = &config.control.socket else {
        return Ok(None);
    };
    let bound = unix::bind(path, CONTROL_MODE, CONTROL_BACKLOG);
    let (listener, file) = bound.map_err(|error| Error::Control(path.clone(), error))?;
    let reloader = Arc::clone(reloader);
    let house = control::House {
        broker: Arc::clone(broker),
        now,
        snapshots: kept.snapshots(),
        reload: Arc::new(move || reloader.reload()),
    };
    tokio::spawn(control::serve(listener, house));
    tracing::info!("listening kind=control path={}", path.display());
    Ok(Some(file))
}

/// Nobody but the owner may ask: there is no other authentication.
const CONTROL_MODE: u32 = 0o600;
/// How many may wait to ask.
const CONTROL_BACKLOG: i32 = 16;

/// Lets happen what is due: Wills, the end of sessions, the sweep of retained messages.
async fn tick(broker: Arc<Broker>) {
    let earlier = Arc::new(Notify::new());
    let notify = Arc::clone(&earlier);
    broker.on_earlier(Box::new(move || notify.notify_one()));
    let mut batch = Batch::new(now());
    loop {
        batch.now = now();
        broker.tick(&mut batch);
        // What is left over is due at once: others come first all the same.
        tokio::task::yield_now().await;
        let next = broker.next_tick(Instant::now());
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = earlier.notified() => {}
        }
    }
}

/// Publishes `$SYS/broker/…`, as often as the configuration wants it.
async fn publish_sys(broker: Arc<Broker>, reloader: Arc<Reloader>) {
    let mut sys = crate::broker::Sys::new(now());
    let mut batch = Batch::new(now());
    let mut last: Option<Instant> = None;
    loop {
        let period = broker.options().sys_interval;
        if period.is_zero() {
            reloader.replaced.notified().await;
            continue;
        }
        let due = last.map_or(Instant::now(), |last| last + period);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {
                last = Some(Instant::now());
                batch.now = now();
                sys.publish(&broker, &mut batch);
            }
            () = reloader.replaced.notified() => {}
        }
    }
}

/// Closes every session's connection and waits until they have gone, or for as long as they are
/// given.
async fn drain(broker: &Broker, timeout: Duration) {
    broker.stop();
    let by = Instant::now() + timeout;
    loop {
        let metrics = broker.metrics();
        // Who has not said CONNECT has nothing to be told.
        let left = metrics.read(Gauge::Connections) - metrics.read(Gauge::Handshaking);
        if left <= 0 && metrics.read(Gauge::Connected) <= 0 {
            return;
        }
        if Instant::now() >= by {
            tracing::warn!(
                connections = left,
                "not all connections took their last bytes"
            );
            return;
        }
        tokio::time::sleep(DRAIN_INTERVAL).await;
    }
}
