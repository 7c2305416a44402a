//! Reads the configuration again, with everything that it names, and puts it in force: all of it or nothing.
//!
//! ```text
//!   SIGHUP ──────────────┐      ┌─ read, check, compare ─┐      ┌─ make what can fail ─┐
//!   `postbud ctl reload` ┴─> one│ the configuration      ├─────>│ who may connect, TLS ├──> put in force
//!                       at a time└──────────┬─────────────┘      └──────────┬───────────┘
//!                                           └───────────── wrong ───────────┴──> told; nothing has changed
//! ```
//!
//! Invariants:
//! - nothing is put in force before everything that can fail has been made;
//! - what is in force is right as a whole, and so is what the next start would find;
//! - what needs a restart is in force as it was, and told at each reload until then.

use std::error::Error;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, watch};

use crate::auth::gate::{Gate, Parts};
use crate::broker::Broker;
use crate::config::{Applies, Change, Config, Level};
use crate::control::protocol::Reloaded;
use crate::listener::driver::now;
use crate::listener::options::Options as ListenerOptions;

use super::gate::{self, Lasting};

/// How another level is put in force in the log; without it, something goes before the configuration.
pub type SetLevel = Box<dyn Fn(Level) + Send + Sync>;

/// Everything that can be replaced while it is in use.
pub(super) struct Reloader {
    /// Who gets in, and what they may do.
    pub gate: Arc<Gate>,
    /// What those who say so keep over a reload.
    pub lasting: Lasting,
    /// The broker, with its options.
    pub broker: Arc<Broker>,
    /// The limits of connections.
    pub listener: Arc<ArcSwap<ListenerOptions>>,
    /// How much is logged, unless something goes before the configuration.
    pub set_level: Option<SetLevel>,
    /// Told when options have been replaced.
    pub replaced: Notify,
    /// The configuration that is in force. Held for as long as a reload takes.
    pub in_force: Mutex<Config>,
}

/// What was made and found right, and is not in force yet.
struct Made {
    config: Config,
    parts: Parts,
}

impl Reloader {
    /// Reads all of it again. Returns what has come of it, or everything that is wrong, a line each. Waits for the
    /// disk, and for another reload that is under way.
    pub fn reload(&self) -> Result<Reloaded, String> {
        let mut in_force = self.in_force.lock();
        let made = in_force.read_again().map_err(|error| error.to_string());
        let made = made.and_then(|(config, changes)| Ok((self.make(config)?, changes)));
        match made {
            Ok((made, changes)) => {
                let before = in_force.log.level;
                let after = made.config.log.level;
                // The lines about it are written at the level that tells more.
                if after > before {
                    self.set_level(after);
                }
                self.put_in_force(&made.config, made.parts);
                *in_force = made.config;
                let reloaded = self.tell(&changes);
                if after < before {
                    self.set_level(after);
                }
                self.broker.metrics().reloaded(Some(now().wall));
                Ok(reloaded)
            }
            Err(wrong) => {
                for line in wrong.lines() {
                    tracing::error!("reload: {line}");
                }
                tracing::error!("reload: nothing was changed");
                self.broker.metrics().reloaded(None);
                Err(wrong)
            }
        }
    }

    /// Makes everything that can fail.
    fn make(&self, config: Config) -> Result<Made, String> {
        let parts = gate::parts(&config.auth, &self.lasting);
        let parts = parts.map_err(|error| with_causes(&error))?;
        Ok(Made { config, parts })
    }

    /// Nothing in here can fail.
    fn put_in_force(&self, config: &Config, parts: Parts) {
        self.broker.replace_options(config.broker.clone());
        self.listener.store(Arc::new(config.listener.clone()));
        self.gate.replace(parts);
        self.broker.permissions_changed();
        self.replaced.notify_one();
    }

    fn set_level(&self, level: Level) {
        if let Some(set_level) = &self.set_level {
            set_level(level);
        }
    }

    /// A line for each change, and one for all.
    fn tell(&self, changes: &[Change]) -> Reloaded {
        let mut reloaded = Reloaded::default();
        for change in changes {
            let overruled = change.what == "log.level" && self.set_level.is_none();
            match change.applies {
                Applies::AtOnce if overruled => {
                    tracing::warn!("reload: {change}, but RUST_LOG goes before it");
                    reloaded
                        .changed
                        .push(format!("{change}, but RUST_LOG goes before it"));
                }
                Applies::AtOnce => {
                    tracing::info!("reload: {change}");
                    reloaded.changed.push(change.to_string());
                }
                Applies::AfterRestart => {
                    tracing::warn!("reload: {change} needs a restart");
                    reloaded.restart.push(change.to_string());
                }
            }
        }
        tracing::info!(
            changed = reloaded.changed.len(),
            restart = reloaded.restart.len(),
            "reloaded"
        );
        reloaded
    }
}

/// An error and what caused it.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Reloads at each SIGHUP, one after the other, until the broker stops. Those that come during a reload are one
/// more. After that they are taken and nothing is done.
pub(super) async fn obey(
    mut hangups: Signal,
    reloader: Arc<Reloader>,
    stopped: watch::Receiver<bool>,
) {
    while hangups.recv().await.is_some() {
        if *stopped.borrow() {
            tracing::info!("SIGHUP: too late, the broker is stopping");
            continue;
        }
        tracing::info!("SIGHUP: reloading");
        let reloader = Arc::clone(&reloader);
        // What is wrong has been told.
        let reload = tokio::task::spawn_blocking(move || reloader.reload().map(drop));
        if let Err(error) = reload.await {
            tracing::error!("reload: {error}");
        }
    }
}
