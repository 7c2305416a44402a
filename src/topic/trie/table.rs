//! The one table that knows all literal children of all nodes.

use super::nodes::NONE;

/// What a table that holds anything has at least.
const MIN_SLOTS: usize = 8;

/// An entry, or room for one.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    /// The child, or [`NONE`] in an empty slot.
    child: u32,
}

const EMPTY: Slot = Slot {
    tag: 0,
    child: NONE,
};

/// From tags to the children that have them: open addressing, linear probing.
///
/// ```text
///   home(tag) = tag * slots / 2^32
///
///   ... | tag 41.. node 7 | tag 40.. node 2 | tag 41.. node 9 |  empty  | ...
///           ^ both 41.. begin their search at home and go right until the empty slot
/// ```
///
/// What a key is, only the caller knows: `find` asks it about every child that has the right tag,
/// which, with 32 bits, is nearly always the right one. The table never needs the key itself, as
/// the tag says all about where an entry may be; growing reads the old slots from left to right
/// and fills the new ones from left to right, and looks at no node.
///
/// # Invariants
///
/// - `4 * len <= 3 * slots.len()`, so a search always comes to an empty slot, and soon.
/// - Between an entry and its home there is no empty slot. Hence no tombstones: removing moves
///   later entries back.
pub(super) struct Table {
    slots: Vec<Slot>,
    len: usize,
}

impl Table {
    /// An empty table without memory.
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
        }
    }

    /// An empty table with room for `len` entries, and half as many more.
    fn with_room(len: usize) -> Self {
        let slots = (len * 2).max(MIN_SLOTS);
        Self {
            slots: vec![EMPTY; slots],
            len: 0,
        }
    }

    /// The child with this tag that is the wanted one.
    pub(super) fn find(&self, tag: u32, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        self.position(tag, wanted).map(|at| self.slots[at].child)
    }

    /// Adds a child that is not in the table.
    pub(super) fn insert(&mut self, tag: u32, child: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.resize();
        }
        self.place(Slot { tag, child });
        self.len += 1;
    }

    /// Takes a child out.
    pub(super) fn remove(&mut self, tag: u32, child: u32) {
        let Some(mut hole) = self.position(tag, |id| id == child) else {
            return;
        };
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot.child == NONE {
                break;
            }
            // It may move back to the hole if that is not before its home.
            let home = self.home(slot.tag);
            if self.distance(home, at) >= self.distance(hole, at) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
        // Half of what is held after resizing must go before this happens again.
        if self.len * 5 < self.slots.len() && self.slots.len() > MIN_SLOTS {
            self.resize();
        }
    }

    /// Gives every child another number.
    pub(super) fn renumber(&mut self, new_id: impl Fn(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| slot.child != NONE) {
            slot.child = new_id(slot.child);
        }
    }

    /// Heap bytes held.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Moves to a table of twice the slots that the entries need, larger or smaller.
    fn resize(&mut self) {
        let mut resized = Self::with_room(self.len);
        for &slot in self.slots.iter().filter(|slot| slot.child != NONE) {
            resized.place(slot);
        }
        resized.len = self.len;
        *self = resized;
    }

    /// Puts an entry into the first empty slot from its home on. There is one.
    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag);
        while self.slots[at].child != NONE {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    fn position(&self, tag: u32, wanted: impl Fn(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            let slot = self.slots[at];
            if slot.child == NONE {
                return None;
            }
            if slot.tag == tag && wanted(slot.child) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// Steps to the right from one slot to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.slots.len() - from
        }
    }
}

#[cfg(test)]
impl Table {
    /// How many children there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The longest search that any tag could lead to.
    pub(super) fn longest_run(&self) -> usize {
        let runs = self.slots.split(|slot| slot.child == NONE);
        runs.map(<[Slot]>::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number with all bits well mixed, the same in every run.
    fn mixed(n: u32) -> u32 {
        (u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }

    fn assert_holds(table: &Table, entries: impl Iterator<Item = (u32, u32)>) {
        let mut count = 0;
        for (tag, child) in entries {
            assert_eq!(table.find(tag, |id| id == child), Some(child));
            count += 1;
        }
        assert_eq!(table.len, count);
        assert_eq!(
            table.slots.iter().filter(|slot| slot.child != NONE).count(),
            count
        );
        assert!(table.len * 4 <= table.slots.len() * 3);
    }

    /// Crowded tags, in the middle and at the end, where the search wraps around.
    fn tag_of(child: u32) -> u32 {
        match child % 3 {
            0 => mixed(child),
            1 => u32::MAX - child % 5,
            _ => (1 << 31) + child % 7,
        }
    }

    #[test]
    fn entries_stay_findable_through_growth_and_shrinking() {
        let mut table = Table::new();
        for child in 1..=600 {
            table.insert(tag_of(child), child);
            assert_holds(&table, (1..=child).map(|id| (tag_of(id), id)));
        }
        let high = table.memory();
        let order: Vec<u32> = (0..600).map(|i| i * 7 % 600 + 1).collect();
        for (gone, &child) in order.iter().enumerate() {
            table.remove(tag_of(child), child);
            assert_eq!(table.find(tag_of(child), |id| id == child), None);
            assert_holds(&table, order[gone + 1..].iter().map(|&id| (tag_of(id), id)));
        }
        assert!(table.memory() * 20 < high);
    }

    #[test]
    fn an_unknown_child_is_not_found_and_not_removed() {
        let mut table = Table::new();
        assert_eq!(table.find(1, |_| true), None);
        table.remove(1, 1);
        table.insert(1, 5);
        table.remove(1, 6);
        table.remove(2, 5);
        assert_eq!(table.find(1, |_| false), None);
        assert_holds(&table, [(1, 5)].into_iter());
    }
}
