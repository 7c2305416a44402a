//! What is written otherwise than before, and what of it can be put in force while the broker runs.
//!
//! ```text
//!   before ──┐
//!            ├── key by key ──┬─> changes: what, from what, to what, at once or after a restart
//!   now ─────┘                └─> in force: as it is now where that applies at once, as before where not
//! ```
//!
//! So what is in force is a configuration like any other, only that nobody has written it: what has to wait
//! for a restart is in it as it was at the start, and is told again at each reload until then.
//!
//! Tables of an array have no names. Where all their keys apply at once the array is replaced whole, and where
//! one does not it is kept whole. Listeners are known by where they listen: they come and go with a restart, but
//! some of what is said of one applies at once.

use std::fmt;
use std::ops::Range;

use super::assignments::{Assignments, Slot};
use super::keys::{Applies, Array, KEYS};
use super::value::Value;

/// A setting that is written otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one, as it is called in errors.
    pub what: String,
    /// What it was; nothing if it was not written.
    pub before: Option<String>,
    /// What it is now; nothing if it is not written any more.
    pub now: Option<String>,
    /// Whether that is in force.
    pub applies: Applies,
}

/// `session.receive_maximum: 256 -> 100`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or("not given".to_owned());
        let (before, now) = (shown(&self.before), shown(&self.now));
        write!(f, "{}: {before} -> {now}", self.what)
    }
}

/// What of `now` can be in force where `before` is, and what is different.
pub(super) fn compare(before: &Assignments, now: &Assignments) -> (Assignments, Vec<Change>) {
    let mut comparison = Comparison {
        before,
        now,
        in_force: Assignments::default(),
        changes: Vec::new(),
    };
    for key in KEYS {
        let slot = Slot::plain(key.path);
        comparison.setting(slot, slot, key.applies);
    }
    for array in Array::ALL {
        comparison.array(array);
    }
    (comparison.in_force, comparison.changes)
}

struct Comparison<'a> {
    before: &'a Assignments,
    now: &'a Assignments,
    in_force: Assignments,
    changes: Vec<Change>,
}

impl Comparison<'_> {
    /// Compares one setting; of a table, it is in force where it was before.
    fn setting(&mut self, was: Slot, is: Slot, applies: Applies) {
        let (before, now) = (self.before.values.get(&was), self.now.values.get(&is));
        let (old, new) = (before.map(|(value, _)| value), now.map(|(value, _)| value));
        if old != new {
            self.changes.push(Change {
                what: is.to_string(),
                before: old.map(shown),
                now: new.map(shown),
                applies,
            });
        }
        let in_force = match applies {
            // Where nothing has changed, the place is that of today.
            _ if old == new => now,
            Applies::AtOnce => now,
            Applies::AfterRestart => before,
        };
        if let Some(given) = in_force {
            self.in_force.values.insert(was, given.clone());
        }
    }

    fn array(&mut self, array: Array) {
        let settings = array.settings();
        let waits = settings.iter().find(|(_, it)| *it == Applies::AfterRestart);
        match waits {
            _ if !array.identity().is_empty() => self.tables_by_identity(array),
            Some((_, applies)) => self.whole(array, *applies),
            None => self.whole(array, Applies::AtOnce),
        }
    }

    /// Tables that stay where they are: what is said of each is compared, and that some have come or gone is
    /// told.
    fn tables_by_identity(&mut self, array: Array) {
        let pairs = pairs(array, self.before, self.now);
        self.take_tables(array, self.before);
        for (was, is) in &pairs {
            match (was, is) {
                (Some(was), Some(is)) => {
                    for (path, applies) in array.settings() {
                        let applies = match array.identity().contains(&path) {
                            true => Applies::AfterRestart,
                            false => applies,
                        };
                        let (was, is) = (Slot::of(array, *was, path), Slot::of(array, *is, path));
                        self.setting(was, is, applies);
                    }
                }
                (Some(was), None) => {
                    self.keep(array, *was);
                    let gone = identity(array, self.before, *was);
                    self.came_or_went(array, *was, Some(gone), None);
                }
                (None, Some(is)) => {
                    let new = identity(array, self.now, *is);
                    self.came_or_went(array, *is, None, Some(new));
                }
                (None, None) => {}
            }
        }
    }

    fn came_or_went(
        &mut self,
        array: Array,
        index: usize,
        before: Option<Vec<Option<&Value>>>,
        now: Option<Vec<Option<&Value>>>,
    ) {
        let name = |values: Vec<Option<&Value>>| {
            let values: Vec<String> = values.into_iter().flatten().map(shown).collect();
            values.join(" ")
        };
        self.changes.push(Change {
            what: format!("{}.{index}", array.path()),
            before: before.map(name),
            now: now.map(name),
            applies: Applies::AfterRestart,
        });
    }

    /// An array whose tables apply together.
    fn whole(&mut self, array: Array, applies: Applies) {
        let (before, now) = (self.before, self.now);
        let (old, new) = (before.tables(array).len(), now.tables(array).len());
        let source = match applies {
            Applies::AtOnce => now,
            Applies::AfterRestart => before,
        };
        self.take_tables(array, source);
        let differ = different(array, before, now);
        if old == new {
            for index in 0..new {
                for (path, _) in array.settings() {
                    let slot = Slot::of(array, index, path);
                    self.setting(slot, slot, applies);
                }
            }
            return;
        }
        for index in 0..source.tables(array).len() {
            self.copy(array, index, source);
        }
        let (was, is) = differ;
        self.changes.push(Change {
            what: array.path().to_owned(),
            before: Some(tables(&was)),
            now: Some(tables(&is)),
            applies,
        });
    }

    fn take_tables(&mut self, array: Array, from: &Assignments) {
        let tables = from.tables(array).to_vec();
        self.in_force.tables.insert(array, tables);
    }

    fn keep(&mut self, array: Array, index: usize) {
        let before = self.before;
        self.copy(array, index, before);
    }

    fn copy(&mut self, array: Array, index: usize, from: &Assignments) {
        for path in array.keys() {
            let slot = Slot::of(array, index, path);
            if let Some(given) = from.values.get(&slot) {
                self.in_force.values.insert(slot, given.clone());
            }
        }
    }
}

/// Which table of before is which one of now. Every table of either is in exactly one pair.
fn pairs(
    array: Array,
    before: &Assignments,
    now: &Assignments,
) -> Vec<(Option<usize>, Option<usize>)> {
    let (old, new) = (before.tables(array).len(), now.tables(array).len());
    let mut taken = vec![false; new];
    let mut found = vec![None; old];
    for (was, found) in found.iter_mut().enumerate() {
        let known = identity(array, before, was);
        let same = |is: &usize| !taken[*is] && identity(array, now, *is) == known;
        *found = (0..new).find(same);
        if let Some(is) = *found {
            taken[is] = true;
        }
    }
    // One that has moved and stands where it stood is still the same.
    for was in 0..old.min(new) {
        if found[was].is_none() && !taken[was] {
            found[was] = Some(was);
            taken[was] = true;
        }
    }
    let found = found.into_iter().enumerate();
    let found = found.map(|(was, is)| (Some(was), is));
    let new = (0..new).filter(|is| !taken[*is]).map(|is| (None, Some(is)));
    found.chain(new).collect()
}

/// What a table is known by.
fn identity(array: Array, written: &Assignments, index: usize) -> Vec<Option<&Value>> {
    let value = |path: &&'static str| {
        let given = written.values.get(&Slot::of(array, index, path));
        given.map(|(value, _)| value)
    };
    array.identity().iter().map(value).collect()
}

/// The tables that are different, without those at the beginning and at the end that are not.
fn different(
    array: Array,
    before: &Assignments,
    now: &Assignments,
) -> (Range<usize>, Range<usize>) {
    let row = |written: &Assignments, index: usize| -> Vec<Option<Value>> {
        let value = |path| {
            let given = written.values.get(&Slot::of(array, index, path));
            given.map(|(value, _)| value.clone())
        };
        array.keys().into_iter().map(value).collect()
    };
    let rows = |written: &Assignments| -> Vec<_> {
        let indices = 0..written.tables(array).len();
        indices.map(|index| row(written, index)).collect()
    };
    let (old, new) = (rows(before), rows(now));
    let first = old
        .iter()
        .zip(&new)
        .take_while(|(old, new)| old == new)
        .count();
    let (old, new) = (&old[first..], &new[first..]);
    let pairs = old.iter().rev().zip(new.iter().rev());
    let last = pairs.take_while(|(old, new)| old == new).count();
    let range = |rows: &[Vec<Option<Value>>]| first..first + rows.len() - last;
    (range(old), range(new))
}

/// `table 3`, `tables 3 to 5`, as errors count them.
fn tables(range: &Range<usize>) -> String {
    match range.len() {
        0 => "no table".to_owned(),
        1 => format!("table {}", range.start),
        _ => format!("tables {} to {}", range.start, range.end - 1),
    }
}

/// A value as it is written, or nearly.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) | Value::Text(text) => format!("{text:?}"),
        Value::Strings(texts) => format!("{texts:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
