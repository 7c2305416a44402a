//! What a match remembers on its way: the topic's levels, and the places still to visit.
//!
//! Both are bounded by the topic's levels, of which a hostile client sends 65,536. Both therefore
//! live on the machine stack for as long as they are small, as they nearly always are, and move to
//! the heap when they are not; nothing here or in the trie recurses.

use super::hash::Key;
use super::label::level_end;

/// How many levels, or places, take no allocation.
const INLINE: usize = 16;

/// What stands for "not yet computed": no hash has that many bits.
const UNHASHED: u64 = u64::MAX;

/// A stack whose first items lie on the machine stack.
pub(super) struct Stack<T> {
    inline: [T; INLINE],
    /// What did not fit `inline`.
    rest: Vec<T>,
    len: usize,
}

impl<T: Copy> Stack<T> {
    /// An empty stack; `filler` is never seen.
    pub(super) fn new(filler: T) -> Self {
        Self {
            inline: [filler; INLINE],
            rest: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        match self.inline.get_mut(self.len) {
            Some(slot) => *slot = item,
            None => self.rest.push(item),
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        match self.inline.get(self.len) {
            Some(item) => Some(*item),
            None => self.rest.pop(),
        }
    }

    /// The item at `index`, counted from the bottom; there must be one.
    fn at(&mut self, index: usize) -> &mut T {
        match self.inline.get_mut(index) {
            Some(item) => item,
            None => &mut self.rest[index - INLINE],
        }
    }
}

/// A level of the topic.
#[derive(Clone, Copy)]
struct Level {
    /// Where it ends in the topic.
    end: usize,
    hash: u64,
}

/// The levels of a topic, found no further than somebody asked.
///
/// Several places of the trie may ask about the same level. Each level is hashed at most once all
/// the same, so that a long one in a topic does not cost its length times the places.
pub(super) struct Levels<'a> {
    topic: &'a [u8],
    found: Stack<Level>,
}

impl<'a> Levels<'a> {
    pub(super) fn new(topic: &'a str) -> Self {
        let filler = Level {
            end: 0,
            hash: UNHASHED,
        };
        Self {
            topic: topic.as_bytes(),
            found: Stack::new(filler),
        }
    }

    /// The text of a level, counted from 0; `None` if the topic has no more.
    pub(super) fn text(&mut self, depth: u32) -> Option<&'a [u8]> {
        let depth = depth as usize;
        while self.found.len <= depth {
            let start = self.start(self.found.len);
            // The last level ends at `len`, so another one would begin after it.
            if start > self.topic.len() {
                return None;
            }
            self.found.push(Level {
                end: level_end(self.topic, start),
                hash: UNHASHED,
            });
        }
        Some(&self.topic[self.start(depth)..self.found.at(depth).end])
    }

    /// The hash of a level whose `text` was asked for before.
    pub(super) fn hash(&mut self, depth: u32, text: &[u8], key: &Key) -> u64 {
        let hash = &mut self.found.at(depth as usize).hash;
        if *hash == UNHASHED {
            *hash = key.level(text);
        }
        *hash
    }

    /// Where a level begins, given that the one before it was found.
    fn start(&mut self, depth: usize) -> usize {
        match depth {
            0 => 0,
            _ => self.found.at(depth - 1).end + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_gives_back_in_reverse_whatever_its_size() {
        for size in [0, 1, INLINE - 1, INLINE, INLINE + 1, 5 * INLINE] {
            let mut stack = Stack::new(0);
            // Twice, and down to the middle first, to cross the border in both directions.
            for item in 0..size {
                stack.push(item);
            }
            for item in (size / 2..size).rev() {
                assert_eq!(stack.pop(), Some(item));
            }
            for item in size / 2..size {
                stack.push(item);
            }
            assert!((0..size).all(|index| *stack.at(index) == index));
            for item in (0..size).rev() {
                assert_eq!(stack.pop(), Some(item));
            }
            assert_eq!(stack.pop(), None);
        }
    }

    #[test]
    fn levels_are_those_of_the_name() {
        let deep = "/x".repeat(3 * INLINE);
        for topic in ["", "a", "/", "a//b/", "some/topic/of/four", deep.as_str()] {
            let mut levels = Levels::new(topic);
            let expected: Vec<&[u8]> = topic.split('/').map(str::as_bytes).collect();
            for (depth, level) in (0..).zip(&expected) {
                assert_eq!(levels.text(depth), Some(*level));
            }
            assert_eq!(levels.text(expected.len() as u32), None);
            assert_eq!(levels.text(0), Some(expected[0]));
        }
    }

    #[test]
    fn a_level_is_hashed_by_its_text() {
        let key = Key::random();
        let mut levels = Levels::new("a/b/a");
        for (depth, text) in (0..).zip([b"a", b"b", b"a"]) {
            assert_eq!(levels.text(depth), Some(&text[..]));
            assert_eq!(levels.hash(depth, text, &key), key.level(text));
            assert_eq!(levels.hash(depth, text, &key), key.level(text));
        }
    }
}
