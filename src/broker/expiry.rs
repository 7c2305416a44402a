//! What happens later: Wills after their delay, the end of sessions, retained messages that expire.

use std::time::{Duration, Instant};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::schedule::What;
use super::shared::{Absence, SessionRef, State};

/// Retained messages looked at in one sweep, and how often there is one.
const SWEEP_STEPS: usize = 10_000;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What one tick lets happen before others have their turn; what is left is due at once.
pub(super) const DUE_PER_TICK: usize = 256;

impl Broker {
    /// Calls `notify` whenever [`Self::tick`] becomes due earlier than it was. `notify` must not
    /// call the broker.
    pub fn on_earlier(&self, notify: Box<dyn Fn() + Send>) {
        self.schedule.lock().notify = Some(notify);
    }

    /// When [`Self::tick`] is to be called next.
    pub fn next_tick(&self, now: Instant) -> Instant {
        let schedule = self.schedule.lock();
        let sweep = now + SWEEP_INTERVAL;
        schedule.next().map_or(sweep, |at| sweep.min(at))
    }

    /// Does what is due.
    pub fn tick(&self, batch: &mut Batch) {
        let now = batch.now;
        for _ in 0..DUE_PER_TICK {
            // Not in the condition of a loop: the lock would be held through its body.
            let due = self.schedule.lock().take_due(now.instant);
            let Some((what, session, absence)) = due else {
                break;
            };
            self.happen(what, &session, absence, batch);
        }
        self.look_at_groups(batch);
        self.publish_delayed(batch);
        self.publish_doubtful_wills(batch);
        self.sweep(now);
        self.finish(batch);
    }

    fn happen(&self, what: What, session: &SessionRef, absence: Absence, batch: &mut Batch) {
        let mut side = session.inbound.lock();
        // It may have come back, and even left again, since the schedule was asked.
        if !matches!(&side.state, State::Away(present) if **present == absence) {
            return;
        }
        match what {
            What::Will => self.publish_will(session, &mut side, batch),
            What::End => {
                self.metrics.session_expired();
                self.end_session(session, &mut side, batch);
            }
            What::Evict => {
                self.metrics.session_evicted();
                self.end_session(session, &mut side, batch);
            }
        }
    }

    fn sweep(&self, now: Now) {
        let from = {
            let mut schedule = self.schedule.lock();
            // Clients decide how often there is a tick, but not how often there is a sweep.
            if schedule
                .swept
                .is_some_and(|last| now.instant < last + SWEEP_INTERVAL)
            {
                return;
            }
            schedule.swept = Some(now.instant);
            schedule.sweep.take()
        };
        let (next, _) =
            self.retained
                .write()
                .sweep(from.as_deref(), SWEEP_STEPS, now.wall, |message| {
                    self.tell_cleared(message);
                });
        self.schedule.lock().sweep = next;
    }
}
