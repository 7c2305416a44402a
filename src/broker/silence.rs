//! Connections that may be silent for long: they are looked at when that time is over, without a timer each.
//!
//! A timer of the runtime takes more than a hundred bytes; a connection here takes a word in the list of the
//! second in which it is looked at. Like a timer, it is not moved by packets: when the second comes the
//! connection's own task is woken, and has itself put into the list of a later one if there was something
//! meanwhile.
//!
//! Invariant: a port is in one list at most, at its `place`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::core::Broker;
use super::defence::Tick;
use super::port::{Port, Signal};

/// From here on a second more or less does not matter.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// Connections that one tick wakes at most.
const WOKEN_PER_TICK: usize = 8192;

const SECOND: u64 = 1_000_000_000;

/// A second since the broker was made, counted from 1.
pub(super) type Second = u32;

/// Who is looked at, by the second.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<BTreeMap<Second, Vec<Arc<Port>>>>);

impl Silence {
    fn put(&self, second: Second, port: &Arc<Port>) {
        let mut lists = self.0.lock();
        let list = lists.entry(second).or_default();
        port.set_place(list.len());
        list.push(Arc::clone(port));
    }

    fn remove(&self, second: Second, port: &Arc<Port>) {
        let mut lists = self.0.lock();
        let Some(list) = lists.get_mut(&second) else {
            return;
        };
        let place = port.place();
        if !list.get(place).is_some_and(|it| Arc::ptr_eq(it, port)) {
            return;
        }
        let removed = list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.set_place(place);
        }
        match list.len() {
            0 => _ = lists.remove(&second),
            length if length < list.capacity() / 4 => list.shrink_to(length * 2),
            _ => {}
        }
        drop(lists);
        drop(removed);
    }

    /// Takes out up to so many whose second has begun.
    fn take(&self, now: Second, most: usize) -> Vec<Arc<Port>> {
        let mut lists = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(mut first) = lists.first_entry().filter(|it| *it.key() <= now)
        {
            let list = first.get_mut();
            let rest = list.len().saturating_sub(most - taken.len());
            taken.extend(list.drain(rest..));
            if list.is_empty() {
                first.remove();
            }
        }
        taken
    }

    fn next(&self) -> Option<Second> {
        self.0.lock().first_key_value().map(|(second, _)| *second)
    }
}

impl Broker {
    /// Has a connection woken once it may have been silent for too long: in the second that begins after
    /// `due`, which is returned.
    pub(super) fn watch_silence(&self, due: Tick, port: &Arc<Port>) -> Second {
        let second = due.0 / SECOND + 1;
        let second = Second::try_from(second).unwrap_or(Second::MAX);
        self.silence.put(second, port);
        second
    }

    /// A connection need not be woken in that second.
    pub(super) fn forget_silence(&self, second: Second, port: &Arc<Port>) {
        self.silence.remove(second, port);
    }

    /// When somebody is to be woken next.
    pub(super) fn next_silence(&self) -> Option<Instant> {
        let second = self.silence.next()?;
        Some(self.defence.moment(Tick(u64::from(second) * SECOND)))
    }

    /// Wakes those who may have been silent for too long.
    pub(super) fn wake_silent(&self, now: Instant) {
        let second = self.defence.tick(now).0 / SECOND;
        let second = Second::try_from(second).unwrap_or(Second::MAX);
        for port in self.silence.take(second, WOKEN_PER_TICK) {
            port.signal(Signal::Silence);
        }
    }
}

#[cfg(test)]
mod tests;
