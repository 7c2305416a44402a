//! From a Topic Name to everybody who subscribed to it: Topic Filters, each with a value, in a
//! trie by levels.
//!
//! # The structure
//!
//! A node is a place where filters divide or end. The levels in between are its label, so a filter
//! that shares its tail with no other is one node, however many levels it has:
//!
//! ```text
//!   site/1/#               root
//!   site/1/door/+/state      |
//!   site/1/door/front      "site"
//!   site/2/door/+/state      |
//!                  +---------+-------------+
//!                 "1"            "2/door/+/state" = V
//!                  |
//!          +-------+--------+
//!      hash: "#" = V      "door"
//!                           |
//!               +-----------+------------+
//!       plus: "+/state" = V       "front" = V
//! ```
//!
//! A child is found by its first level. `+` and `#` are two fields of the node, because every
//! match asks for them; all other children of all nodes are in one hash table, under the path from
//! the root to their first level. A map in every node would cost more than the node.
//!
//! ```text
//!   nodes   [ label | parent | tag | plus | hash | children | value ]   by number, in pages
//!   table   [ tag | child ]                 tag = hash(path down to the child's first level)
//! ```
//!
//! # Invariants
//!
//! - A node other than the root has a value or at least two children. So there are fewer than two
//!   nodes per filter, and a chain of levels with nothing to decide costs no nodes.
//! - The table has exactly the children that are not under `plus` or `hash`.
//! - An empty trie holds no memory. Otherwise, after a removal, at most about half of the node
//!   slots are free (but for a few dozen), and a fifth of the table is in use (but for 8 slots).
//!
//! # What a filter takes
//!
//! A node is 48 bytes and the value, and keeps up to 22 bytes of label without an allocation. A
//! literal child takes 11 to 40 bytes of table. A filter adds one node, or two if it forks off
//! inside a label. Most filters share their first levels, the text of which is then stored once;
//! `benches/trie.rs` counts what is left of that in the worst shape.
//!
//! # What a match costs
//!
//! A place is a node together with the topic's levels that led to it. From a place one goes on to
//! at most three others: the child under the topic's next level, the one under `+`, and the one
//! under `#`, which ends there. So:
//!
//! - Only nodes are visited whose filters, as far as their parent's text goes, match the topic.
//! - No place is visited twice, for its text is a filter's beginning and says how many levels
//!   there are. The work is thus bounded by the text of the filters that match as far as the topic
//!   was followed, and never more than that of all filters stored. `+/+/+` against `a/+/+` and the
//!   like double the places at every level only if somebody stored all of these filters.
//! - Places still to visit are at most one per level of the topic: before going down the child
//!   under the next level, the one under `+` is put aside.
//!
//! The longest pauses are those of a removal that finds more than half of the slots free and moves
//! the nodes together, and of an insertion that enlarges the table. Both take a time in proportion
//! to the filters stored and happen only after as many changes, in proportion, went before.

mod hash;
mod label;
mod nodes;
mod table;
mod walk;

use std::fmt;

use hash::{Key, ROOT_PATH};
use label::{Label, level_end, shared_levels};
use nodes::{NONE, Node, Nodes, ROOT};
use table::Table;
use walk::{Levels, Stack};

/// Topic Filters, each with one value, to be found by the Topic Names that they match.
///
/// Filters are bare, without `$share/{ShareName}/`, and passed
/// [`filter::check`](super::filter::check). With other text nothing panics, but what it matches is
/// not said.
///
/// ```
/// let mut trie = postbud::topic::Trie::new();
/// trie.entry("site/+/door", Vec::new).push("anna");
/// trie.entry("site/#", Vec::new).push("bo");
///
/// let mut found = Vec::new();
/// trie.matches("site/7/door", |subscribers| found.extend_from_slice(subscribers));
/// found.sort();
/// assert_eq!(found, ["anna", "bo"]);
/// ```
pub struct Trie<V> {
    nodes: Nodes<V>,
    /// The literal children of all nodes.
    table: Table,
    key: Key,
    /// Filters, that is, nodes with a value.
    len: usize,
}

/// Where a filter is, or where it would be.
enum Place {
    /// It ends at this node, which may or may not have a value.
    At(u32),
    /// It goes on from this node, whose path is given, where no child goes on. Its remaining text
    /// begins at `from`.
    Below { parent: u32, path: u64, from: usize },
    /// It leaves the label of this child after `shared` bytes. The label begins at `from` in the
    /// filter, and the path is that of the child's parent.
    Inside {
        child: u32,
        path: u64,
        from: usize,
        shared: usize,
    },
}

impl<V> Trie<V> {
    /// A trie without filters and without memory.
    pub fn new() -> Self {
        Self {
            nodes: Nodes::new(),
            table: Table::new(),
            key: Key::random(),
            len: 0,
        }
    }

    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no filter.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value under exactly this filter.
    pub fn get(&self, filter: &str) -> Option<&V> {
        match self.locate(filter.as_bytes()) {
            Place::At(node) => self.nodes[node].value.as_ref(),
            _ => None,
        }
    }

    /// The value under exactly this filter, to be changed.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        match self.locate(filter.as_bytes()) {
            Place::At(node) => self.nodes[node].value.as_mut(),
            _ => None,
        }
    }

    /// The value under exactly this filter, which is made and inserted if it is absent.
    pub fn entry(&mut self, filter: &str, make: impl FnOnce() -> V) -> &mut V {
        let place = self.locate(filter.as_bytes());
        if let Place::At(node) = place
            && self.nodes[node].value.is_some()
        {
            return self.nodes[node].value.get_or_insert_with(make);
        }
        // Before anything changes: should it panic, the trie is as it was.
        let value = make();
        let node = self.make_room(filter.as_bytes(), place);
        self.len += 1;
        self.nodes[node].value.insert(value)
    }

    /// Takes a filter out, and gives back the memory it took.
    pub fn remove(&mut self, filter: &str) -> Option<V> {
        let Place::At(node) = self.locate(filter.as_bytes()) else {
            return None;
        };
        let value = self.nodes[node].value.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.nodes = Nodes::new();
            self.table = Table::new();
            return Some(value);
        }
        self.prune(node);
        if self.nodes.is_sparse() {
            self.compact();
        }
        Some(value)
    }

    /// Calls `visit` once with the value of every filter that matches a Topic Name, in no order.
    ///
    /// It agrees with [`filter::matches`](super::filter::matches). It takes no memory for topics
    /// of up to 16 levels.
    pub fn matches<'t>(&'t self, topic: &str, mut visit: impl FnMut(&'t V)) {
        if self.is_empty() {
            return;
        }
        let root = Reached {
            node: ROOT,
            depth: 0,
            path: ROOT_PATH,
        };
        let mut search = Search {
            trie: self,
            levels: Levels::new(topic),
            places: Stack::new(root),
            visit: &mut visit,
        };
        // Only a wildcard in the first level is affected: `$SYS/#` is a filter like any other.
        let hidden = topic.starts_with('$'); // [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
        search.leave(root, !hidden);
        while let Some(reached) = search.places.pop() {
            search.leave(reached, true);
        }
    }

    /// Calls `visit` once with every value, in no order.
    pub fn values(&self, visit: impl FnMut(&V)) {
        let nodes = self.nodes.iter();
        nodes
            .filter_map(|(_, node)| node.value.as_ref())
            .for_each(visit);
    }

    /// Calls `visit` once with every filter and its value, in no order. For administration: it
    /// walks everything, and puts every filter's text together again.
    pub fn iter(&self, mut visit: impl FnMut(&str, &V)) {
        let mut path = Vec::new();
        let mut text = Vec::new();
        for (id, node) in self.nodes.iter() {
            let Some(value) = &node.value else { continue };
            path.clear();
            text.clear();
            let mut at = id;
            while at != ROOT {
                path.push(at);
                at = self.nodes[at].parent;
            }
            for (level, &id) in path.iter().rev().enumerate() {
                if level > 0 {
                    text.push(b'/');
                }
                text.extend_from_slice(self.nodes[id].label.bytes());
            }
            // Nothing is lost: filters were text, and were cut at slashes only.
            visit(&String::from_utf8_lossy(&text), value);
        }
    }

    /// Heap bytes held, without what the values themselves hold.
    pub fn memory(&self) -> usize {
        self.nodes.memory() + self.table.memory()
    }
}

/// The way down.
impl<V> Trie<V> {
    /// Follows a filter as far as it goes.
    fn locate(&self, filter: &[u8]) -> Place {
        let (mut parent, mut path, mut from) = (ROOT, ROOT_PATH, 0);
        if self.nodes.is_empty() {
            return Place::Below { parent, path, from };
        }
        // After the last level `from` is one more than the length; an empty level may be at it.
        while from <= filter.len() {
            let level = &filter[from..level_end(filter, from)];
            let child = match level {
                b"+" => self.nodes[parent].plus,
                b"#" => self.nodes[parent].hash,
                _ => self.literal_child(parent, level, self.key.join_all(path, level)),
            };
            if child == NONE {
                return Place::Below { parent, path, from };
            }
            let label = self.nodes[child].label.bytes();
            let shared = shared_levels(label, &filter[from..]);
            if shared < label.len() {
                return Place::Inside {
                    child,
                    path,
                    from,
                    shared,
                };
            }
            parent = child;
            path = self.key.join_all(path, label);
            from += shared + 1;
        }
        Place::At(parent)
    }

    /// The child of a node under a first level that is no wildcard, or [`NONE`]. The path is that
    /// of the child as far as this level.
    fn literal_child(&self, parent: u32, level: &[u8], path: u64) -> u32 {
        let wanted = |id: u32| {
            let child = &self.nodes[id];
            child.parent == parent && child.label.begins_with(level)
        };
        self.table.find(self.key.tag(path), wanted).unwrap_or(NONE)
    }
}

/// A node that the topic led to.
#[derive(Clone, Copy)]
struct Reached {
    node: u32,
    /// How many levels of the topic led there.
    depth: u32,
    /// The node's path; not kept for a node without children.
    path: u64,
}

/// A match on its way through the trie.
struct Search<'t, 'a, V, F> {
    trie: &'t Trie<V>,
    levels: Levels<'a>,
    /// Where to go on from.
    places: Stack<Reached>,
    visit: F,
}

impl<'t, V, F: FnMut(&'t V)> Search<'t, '_, V, F> {
    /// Goes from a node to all children that match.
    fn leave(&mut self, from: Reached, wildcards: bool) {
        let trie = self.trie;
        let node = &trie.nodes[from.node];
        if node.hash != NONE && wildcards {
            // Also if the topic ends here: "sport/#" matches "sport".
            self.visit(&trie.nodes[node.hash]);
        }
        let Some(level) = self.levels.text(from.depth) else {
            self.visit(node);
            return;
        };
        let depth = from.depth + 1;
        if node.plus != NONE && wildcards {
            let path = trie.key.join(from.path, trie.key.plus());
            self.enter(
                Reached {
                    node: node.plus,
                    depth,
                    path,
                },
                "+".len(),
            );
        }
        if node.has_literal_children() {
            let hash = self.levels.hash(from.depth, level, &trie.key);
            let path = trie.key.join(from.path, hash);
            let node = trie.literal_child(from.node, level, path);
            if node != NONE {
                self.enter(Reached { node, depth, path }, level.len());
            }
        }
    }

    /// Goes on through the label of a child, the first level of which, ending at `end`, matched.
    fn enter(&mut self, mut child: Reached, mut end: usize) {
        let node = &self.trie.nodes[child.node];
        let key = &self.trie.key;
        let label = node.label.bytes();
        while end < label.len() {
            let start = end + 1;
            end = level_end(label, start);
            let wanted = &label[start..end];
            if wanted == b"#" {
                // It matches whatever is left, be it nothing, and there is nothing below it.
                self.visit(node);
                return;
            }
            let Some(level) = self.levels.text(child.depth) else {
                return;
            };
            let hash = if wanted == b"+" {
                key.plus()
            } else if wanted == level && node.children > 0 {
                self.levels.hash(child.depth, level, key)
            } else if wanted == level {
                0 // nobody will ask for the path
            } else {
                return;
            };
            child.path = key.join(child.path, hash);
            child.depth += 1;
        }
        self.places.push(child);
    }

    fn visit(&mut self, node: &'t Node<V>) {
        if let Some(value) = &node.value {
            (self.visit)(value);
        }
    }
}

/// Changes of the structure.
impl<V> Trie<V> {
    /// Makes the node that ends a filter, whose place was just looked up, and says which it is.
    fn make_room(&mut self, filter: &[u8], place: Place) -> u32 {
        if self.nodes.is_empty() {
            self.nodes.insert(Node::new(Label::new(b""), 0));
        }
        match place {
            Place::At(node) => node,
            Place::Below { parent, path, from } => self.add_leaf(parent, path, &filter[from..]),
            Place::Inside {
                child,
                path,
                from,
                shared,
            } => {
                let (middle, path) = self.split(child, path, shared);
                match filter.get(from + shared + 1..) {
                    Some(rest) => self.add_leaf(middle, path, rest),
                    None => middle, // it ends where the label was split
                }
            }
        }
    }

    fn add_leaf(&mut self, parent: u32, path: u64, text: &[u8]) -> u32 {
        let label = Label::new(text);
        let tag = self.tag_below(path, &label);
        let leaf = self.nodes.insert(Node::new(label, tag));
        self.link(parent, leaf);
        leaf
    }

    /// The tag of a node with this label under a parent with this path.
    fn tag_below(&self, path: u64, label: &Label) -> u32 {
        self.key.tag(self.key.join_all(path, label.first()))
    }

    /// Puts a node between a child and its parent, with the first `at` bytes of the child's label.
    ///
    /// ```text
    ///   parent -- "a/b/c" child        parent -- "a" middle -- "b/c" child
    /// ```
    ///
    /// The child keeps its number, by which its own children know it. Takes the path of the parent
    /// and says that of the new node.
    fn split(&mut self, child: u32, path: u64, at: usize) -> (u32, u64) {
        self.unlink(child);
        let Node {
            parent,
            tag,
            ref label,
            ..
        } = self.nodes[child];
        let (head, tail) = (
            Label::new(&label.bytes()[..at]),
            Label::new(&label.bytes()[at + 1..]),
        );
        let path = self.key.join_all(path, head.bytes());
        self.nodes[child].tag = self.tag_below(path, &tail);
        self.nodes.relabel(child, tail);
        let middle = self.nodes.insert(Node::new(head, tag));
        self.link(parent, middle);
        self.link(middle, child);
        (middle, path)
    }

    /// Restores the first invariant around a node that lost its value.
    fn prune(&mut self, mut node: u32) {
        if self.nodes[node].children == 0 {
            let parent = self.nodes[node].parent;
            self.unlink(node);
            self.nodes.remove(node);
            // It had a value or two children: one child at least is left, or the value.
            node = parent;
        }
        let Node {
            value, children, ..
        } = &self.nodes[node];
        if node != ROOT && value.is_none() && *children == 1 {
            self.merge(node);
        }
    }

    /// Joins a node without a value and its only child: the reverse of [`split`](Self::split).
    fn merge(&mut self, middle: u32) {
        let child = self.nodes[middle].children_xor;
        self.unlink(child);
        self.unlink(middle);
        let Node {
            parent,
            tag,
            ref label,
            ..
        } = self.nodes[middle];
        let label = Label::join(label, &self.nodes[child].label);
        self.nodes[child].tag = tag;
        self.nodes.relabel(child, label);
        self.nodes.remove(middle);
        self.link(parent, child);
    }

    /// Hangs a node under a parent that has no child with its first level.
    fn link(&mut self, parent: u32, child: u32) {
        let Node { tag, ref label, .. } = self.nodes[child];
        match label.first() {
            b"+" => self.nodes[parent].plus = child,
            b"#" => self.nodes[parent].hash = child,
            _ => self.table.insert(tag, child),
        }
        self.nodes[child].parent = parent;
        self.nodes[parent].children += 1;
        self.nodes[parent].children_xor ^= child;
    }

    /// Takes a node from under its parent.
    fn unlink(&mut self, child: u32) {
        let Node {
            parent,
            tag,
            ref label,
            ..
        } = self.nodes[child];
        match label.first() {
            b"+" => self.nodes[parent].plus = NONE,
            b"#" => self.nodes[parent].hash = NONE,
            _ => self.table.remove(tag, child),
        }
        self.nodes[parent].children -= 1;
        self.nodes[parent].children_xor ^= child;
    }

    /// Moves the nodes together, and has the table follow.
    fn compact(&mut self) {
        let renumbered = self.nodes.compact();
        self.table.renumber(|child| renumbered[child as usize]);
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// The size only: the filters are for [`iter`](Trie::iter), and may be millions.
impl<V> fmt::Debug for Trie<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Trie");
        debug
            .field("len", &self.len)
            .field("memory", &self.memory());
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
