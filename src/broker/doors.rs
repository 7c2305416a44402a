//! What is counted of each listener: how many came in by it, and how many of them are still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

/// The counters of one listener.
#[derive(Debug)]
pub struct Door {
    name: Arc<str>,
    opened: AtomicU64,
    open: AtomicI64,
}

impl Door {
    /// Counts a Network Connection that was accepted.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts one that is closed.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was counted of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorCount {
    /// What it is called.
    pub name: Arc<str>,
    /// Network Connections accepted.
    pub opened: u64,
    /// Those of them that are not closed.
    pub open: i64,
}

/// All listeners, in the order in which they were named. There are as many as the configuration has.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Vec<Arc<Door>>>);

impl Doors {
    /// The counters of the listener with this name.
    pub(super) fn named(&self, name: &Arc<str>) -> Arc<Door> {
        let mut doors = self.0.lock();
        if let Some(door) = doors.iter().find(|door| door.name == *name) {
            return Arc::clone(door);
        }
        let door = Arc::new(Door {
            name: Arc::clone(name),
            opened: AtomicU64::new(0),
            open: AtomicI64::new(0),
        });
        doors.push(Arc::clone(&door));
        door
    }

    pub(super) fn counts(&self) -> Vec<DoorCount> {
        let doors = self.0.lock();
        let count = |door: &Arc<Door>| DoorCount {
            name: Arc::clone(&door.name),
            opened: door.opened.load(Ordering::Relaxed),
            open: door.open.load(Ordering::Relaxed),
        };
        doors.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_counters_of_its_own() {
        let doors = Doors::default();
        let names: [Arc<str>; 2] = ["front".into(), "back".into()];
        let [front, back] = names.each_ref().map(|name| doors.named(name));
        front.opened();
        doors.named(&names[0]).opened();
        back.opened();
        front.closed();
        let counts = doors.counts();
        let counts: Vec<_> = counts
            .iter()
            .map(|it| (&*it.name, it.opened, it.open))
            .collect();
        assert_eq!(counts, [("front", 2, 1), ("back", 1, 1)]);
    }
}
