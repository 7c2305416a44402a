//! What has been written, where, before anybody judges it.

use std::collections::BTreeMap;
use std::fmt;

use super::error::Place;
use super::value::Value;

/// Names one setting: a path of [`super::keys::KEYS`], or one of [`super::keys::LISTENER_KEYS`]
/// with the number of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Which listener, from 0; `None` for what is not in a listener.
    pub listener: Option<usize>,
    /// The path in the list of keys, such as `session.receive_maximum` or `tls.key`.
    pub path: &'static str,
}

impl Slot {
    /// A setting that is not in a listener.
    pub fn plain(path: &'static str) -> Self {
        Self {
            listener: None,
            path,
        }
    }

    /// A setting of one listener.
    pub fn of_listener(index: usize, path: &'static str) -> Self {
        Self {
            listener: Some(index),
            path,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listener {
            None => f.write_str(self.path),
            Some(index) => write!(f, "listener.{index}.{}", self.path),
        }
    }
}

/// Everything that has been written. Every listener number in `values` is an index of `listeners`.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    /// Where each listener begins.
    pub listeners: Vec<Place>,
    /// Whether listeners were written in a way that hides how many there are.
    pub listeners_malformed: bool,
    /// What each setting was given last, and where.
    pub values: BTreeMap<Slot, (Value, Place)>,
}

impl Assignments {
    /// Where a setting was given, if it was.
    pub fn place(&self, slot: Slot) -> Option<&Place> {
        self.values.get(&slot).map(|(_, place)| place)
    }
}
