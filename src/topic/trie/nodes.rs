//! The nodes, kept in pages and named by number.

use std::ops::{Index, IndexMut};

use super::label::Label;

/// The node with no label and no parent. As nobody's child it is never pointed at, so that its
/// number can say "none" wherever a child is named.
pub(super) const ROOT: u32 = 0;

/// No node: the number of the [`ROOT`].
pub(super) const NONE: u32 = 0;

/// Nodes per page. A page is what one insertion may have to allocate: 72 KiB for a value of three
/// words, small enough to be no pause and large enough for the page table to stay in the cache.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 10;

/// More pages than this and a number would not fit 32 bits. It takes some 300 GB of nodes.
const MAX_PAGES: usize = 1 << (32 - PAGE_BITS);

/// What [`Node::children`] is in a slot that holds no node.
const FREE: u32 = u32::MAX;

/// A place where filters divide or end.
pub(super) struct Node<V> {
    /// The levels between the parent and here, at least one except in the root.
    pub(super) label: Label,
    /// The node above; in a free slot, the next free slot.
    pub(super) parent: u32,
    /// The tag of the path down to the first level of the label, under which the table has this
    /// node if that level is no wildcard.
    pub(super) tag: u32,
    /// The child whose first level is `+`.
    pub(super) plus: u32,
    /// The child whose only level is `#`.
    pub(super) hash: u32,
    /// How many children there are, of all three kinds.
    pub(super) children: u32,
    /// The numbers of all children, combined by exclusive or. There is no list of children, which
    /// would cost every node two numbers more; the only question ever asked of it is who is left
    /// when all but one are gone, and to that this is the answer.
    pub(super) children_xor: u32,
    /// What is stored under the filter that ends here.
    pub(super) value: Option<V>,
}

impl<V> Node<V> {
    /// A node that hangs nowhere yet.
    pub(super) fn new(label: Label, tag: u32) -> Self {
        Self {
            label,
            parent: NONE,
            tag,
            plus: NONE,
            hash: NONE,
            children: 0,
            children_xor: 0,
            value: None,
        }
    }

    /// Whether the table has a child of this node; false spares looking for one.
    pub(super) fn has_literal_children(&self) -> bool {
        self.children > u32::from(self.plus != NONE) + u32::from(self.hash != NONE)
    }

    fn is_free(&self) -> bool {
        self.children == FREE
    }
}

/// All nodes of a trie.
///
/// ```text
///   pages --> [ 0 1 2 ... 1023 ] [ 1024 ... 2047 ] [ 2048 ... )
///                 ^ free ----------------^ ---> NONE
/// ```
///
/// Every page but the last has its full capacity, so growing never moves a node and never holds
/// twice the memory. The first page grows from small, for most tries have few filters.
pub(super) struct Nodes<V> {
    pages: Vec<Vec<Node<V>>>,
    /// The first free slot.
    free: u32,
    /// Nodes in use, the root included.
    used: usize,
    /// Heap bytes of all labels.
    labels: usize,
}

impl<V> Nodes<V> {
    /// No node and no memory.
    pub(super) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: NONE,
            used: 0,
            labels: 0,
        }
    }

    /// Takes a node in and says its number. The first one ever becomes the [`ROOT`].
    pub(super) fn insert(&mut self, node: Node<V>) -> u32 {
        self.used += 1;
        self.labels += node.label.memory();
        if self.free != NONE {
            let id = self.free;
            self.free = self[id].parent;
            self[id] = node;
            return id;
        }
        let id = self.slots() as u32;
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(node),
            last => {
                let capacity = if last.is_some() { PAGE } else { 4 };
                // Past it two nodes would share a number, and messages would go astray.
                assert!(
                    self.pages.len() < MAX_PAGES,
                    "more than 2^32 nodes in a topic trie"
                );
                let mut page = Vec::with_capacity(capacity);
                page.push(node);
                self.pages.push(page);
            }
        }
        id
    }

    /// Takes a node out. Nothing points at it any more.
    pub(super) fn remove(&mut self, id: u32) {
        self.used -= 1;
        self.labels -= self[id].label.memory();
        self[id] = Node {
            parent: self.free,
            children: FREE,
            ..Node::new(Label::new(b""), 0)
        };
        self.free = id;
    }

    /// Gives a node another label.
    pub(super) fn relabel(&mut self, id: u32, label: Label) {
        self.labels += label.memory();
        self.labels -= self[id].label.memory();
        self[id].label = label;
    }

    /// Whether there is not even a root.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether so many slots are free that moving the nodes together is worth it: more than half,
    /// so that the work is paid for by the removals that led here.
    pub(super) fn is_sparse(&self) -> bool {
        let slots = self.slots();
        slots >= 64 && self.used < slots / 2
    }

    /// The nodes and their numbers, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Node<V>)> {
        let slots = (0..).zip(self.pages.iter().flatten());
        slots.filter(|(_, node)| !node.is_free())
    }

    /// Numbers the nodes anew without gaps, keeping their order and so the root in its place.
    ///
    /// Links between nodes follow. For whatever else names nodes, says the new number of each,
    /// under the old one.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let mut renumbered = vec![NONE; self.slots()];
        for (new, (old, _)) in (0..).zip(self.iter()) {
            renumbered[old as usize] = new;
        }
        let new_id = |old: u32| renumbered[old as usize];
        let mut dense = Self::new();
        for node in std::mem::replace(self, Self::new())
            .pages
            .into_iter()
            .flatten()
        {
            if node.is_free() {
                continue;
            }
            dense.insert(Node {
                parent: new_id(node.parent),
                plus: new_id(node.plus),
                hash: new_id(node.hash),
                children_xor: 0,
                ..node
            });
        }
        for id in ROOT + 1..dense.used as u32 {
            let parent = dense[id].parent;
            dense[parent].children_xor ^= id;
        }
        *self = dense;
        renumbered
    }

    /// Heap bytes held, the labels' included.
    pub(super) fn memory(&self) -> usize {
        let slots: usize = self.pages.iter().map(Vec::capacity).sum();
        slots * size_of::<Node<V>>()
            + self.pages.capacity() * size_of::<Vec<Node<V>>>()
            + self.labels
    }

    /// Slots in all pages, free or not.
    fn slots(&self) -> usize {
        match self.pages.last() {
            Some(last) => (self.pages.len() - 1) * PAGE + last.len(),
            None => 0,
        }
    }
}

impl<V> Index<u32> for Nodes<V> {
    type Output = Node<V>;

    fn index(&self, id: u32) -> &Node<V> {
        &self.pages[(id >> PAGE_BITS) as usize][id as usize % PAGE]
    }
}

impl<V> IndexMut<u32> for Nodes<V> {
    fn index_mut(&mut self, id: u32) -> &mut Node<V> {
        &mut self.pages[(id >> PAGE_BITS) as usize][id as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u32) -> Nodes<u32> {
        let mut nodes = Nodes::new();
        for value in 0..count {
            let mut node = Node::new(Label::new(&[b'x'; 30]), 0);
            node.value = Some(value);
            assert_eq!(nodes.insert(node), value);
        }
        nodes
    }

    #[test]
    fn numbers_cross_pages_and_are_used_again() {
        let mut nodes = filled(3000);
        assert!((0..3000).all(|id| nodes[id].value == Some(id)));
        for id in [7, 1024, 2999] {
            nodes.remove(id);
        }
        assert_eq!(nodes.iter().count(), 2997);
        let again: Vec<u32> = (0..4)
            .map(|_| nodes.insert(Node::new(Label::new(b"y"), 0)))
            .collect();
        assert_eq!(again, [2999, 1024, 7, 3000]);
    }

    #[test]
    fn memory_follows_the_labels() {
        let mut nodes = filled(10);
        let before = nodes.memory();
        nodes.relabel(3, Label::new(b"short"));
        assert_eq!(nodes.memory(), before - 30);
        nodes.relabel(3, Label::new(&[b'y'; 100]));
        assert_eq!(nodes.memory(), before + 70);
        nodes.remove(3);
        assert_eq!(nodes.memory(), before - 30);
    }

    #[test]
    fn compaction_keeps_nodes_and_links() {
        let mut nodes = filled(5000);
        for id in 1..5000 {
            nodes[id].parent = if id < 10 { ROOT } else { id - id % 10 - 10 };
        }
        for id in (1..5000).filter(|id| id % 10 != 0) {
            nodes.remove(id);
        }
        assert!(nodes.is_sparse());
        let before = nodes.memory();
        nodes.compact();
        assert!(!nodes.is_sparse());
        assert!(
            nodes.memory() < before / 4,
            "{} of {before}",
            nodes.memory()
        );
        assert_eq!(nodes.iter().count(), 500);
        for id in 1..500 {
            assert_eq!(nodes[id].value, Some(id * 10));
            assert_eq!(nodes[id].parent, id - 1);
            assert_eq!(nodes[id - 1].children_xor, id);
        }
        assert_eq!(nodes.insert(Node::new(Label::new(b"y"), 0)), 500);
    }
}
