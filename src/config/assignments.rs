//! What has been written, where, before anybody judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::error::Place;
use super::keys::Array;
use super::value::Value;

/// Names one setting: a path of [`super::keys::KEYS`], or one of an [`Array`] with the number of its
/// table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Which table of which array, from 0; `None` for what is not in an array.
    pub within: Option<(Array, usize)>,
    /// The path in the list of keys, such as `session.receive_maximum` or `tls.key`.
    pub path: &'static str,
}

impl Slot {
    /// A setting that is not in an array.
    pub fn plain(path: &'static str) -> Self {
        Self { within: None, path }
    }

    /// A setting in one table of an array.
    pub fn of(array: Array, index: usize, path: &'static str) -> Self {
        Self {
            within: Some((array, index)),
            path,
        }
    }

    /// A setting of one listener.
    pub fn of_listener(index: usize, path: &'static str) -> Self {
        Self::of(Array::Listener, index, path)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            None => f.write_str(self.path),
            Some((array, index)) => write!(f, "{}.{index}.{}", array.path(), self.path),
        }
    }
}

/// Everything that has been written. Every number of a table in `values` is an index of `tables`.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    /// Where each table of each array begins.
    pub tables: BTreeMap<Array, Vec<Place>>,
    /// Arrays that were written in a way that hides how many tables they have.
    pub malformed: BTreeSet<Array>,
    /// What each setting was given last, and where.
    pub values: BTreeMap<Slot, (Value, Place)>,
}

impl Assignments {
    /// Where each table of an array begins.
    pub fn tables(&self, array: Array) -> &[Place] {
        self.tables.get(&array).map_or(&[], Vec::as_slice)
    }

    /// Where a setting was given, if it was.
    pub fn place(&self, slot: Slot) -> Option<&Place> {
        self.values.get(&slot).map(|(_, place)| place)
    }
}
