//! A queue that grows without being copied.

use std::collections::VecDeque;

/// Entries of a chunk.
const CHUNK: usize = 512;

/// A queue of small entries, in chunks.
///
/// ```text
///   pop_front <── [ … 37 ] [ 512 ] [ 512 ] … [ 90 … ] <── push_back
/// ```
///
/// One that grows in one piece leaves behind, each time, a piece as large as it was: of a queue of a
/// million entries those are most of the memory that it ever took.
///
/// Invariant: no chunk is empty, and `len` is the sum of their lengths.
#[derive(Clone, Debug)]
pub struct Chunked<T> {
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Chunked<T> {
    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first.
    pub fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    /// The last.
    pub fn back(&self) -> Option<&T> {
        self.chunks.back()?.back()
    }

    /// Appends one.
    pub fn push_back(&mut self, entry: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(entry),
            before => {
                // The first chunk may be the only one ever: it grows as it must.
                let mut chunk = VecDeque::with_capacity(before.map_or(1, |_| CHUNK));
                chunk.push_back(entry);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Takes the first. A queue that becomes empty gives its memory back.
    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let entry = first.pop_front();
        if first.is_empty() {
            self.chunks.pop_front();
            self.shrink();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All from the first for which `before` does not hold, of entries that are sorted by that.
    pub fn from(&self, before: impl Fn(&T) -> bool) -> impl Iterator<Item = &T> {
        let (chunk, within) = self.place(before);
        let first = self.chunks.get(chunk).map(|it| it.range(within..));
        let rest = self.chunks.range((chunk + 1).min(self.chunks.len())..);
        first.into_iter().flatten().chain(rest.flatten())
    }

    /// Takes out the first for which `before` does not hold, of entries that are sorted by that, if it
    /// `is` the one that is meant.
    pub fn take(&mut self, before: impl Fn(&T) -> bool, is: impl Fn(&T) -> bool) -> Option<T> {
        let (at, within) = self.place(before);
        let chunk = self.chunks.get_mut(at)?;
        if !chunk.get(within).is_some_and(is) {
            return None;
        }
        let entry = chunk.remove(within);
        if chunk.is_empty() {
            self.chunks.remove(at);
            self.shrink();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    /// Drops those for which `keep` does not hold.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for chunk in &mut self.chunks {
            chunk.retain(&mut keep);
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.shrink();
        self.len = self.chunks.iter().map(VecDeque::len).sum();
    }

    /// Sorts by a key; equals stay in their order.
    pub fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K) {
        let mut all: Vec<T> = std::mem::take(self).chunks.into_iter().flatten().collect();
        all.sort_by_key(key);
        all.into_iter().for_each(|entry| self.push_back(entry));
    }

    /// Chunk and place in it of the first for which `before` does not hold.
    fn place(&self, before: impl Fn(&T) -> bool) -> (usize, usize) {
        let ends_before = |chunk: &VecDeque<T>| chunk.back().is_some_and(&before);
        let chunk = self.chunks.partition_point(ends_before);
        let within = self.chunks.get(chunk);
        (chunk, within.map_or(0, |it| it.partition_point(&before)))
    }

    fn shrink(&mut self) {
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u32) -> Chunked<u32> {
        let mut queue = Chunked::default();
        (0..count).for_each(|it| queue.push_back(it));
        queue
    }

    // Breaks if: an entry is lost or changes its place at the border of two chunks.
    #[test]
    fn what_goes_in_comes_out_in_its_order() {
        let count = 3 * CHUNK as u32 + 7;
        let mut queue = filled(count);
        assert_eq!(queue.len(), count as usize);
        assert_eq!(
            (queue.front(), queue.back()),
            (Some(&0), Some(&(count - 1)))
        );
        assert!(queue.iter().copied().eq(0..count));
        for expected in 0..count {
            assert_eq!(queue.pop_front(), Some(expected));
        }
        assert_eq!((queue.pop_front(), queue.len()), (None, 0));
        assert!(queue.chunks.is_empty());
    }

    // Breaks if: a look-up misses where a chunk begins or ends, or the count is wrong afterwards.
    #[test]
    fn entries_are_found_and_taken_out_anywhere() {
        let count = 2 * CHUNK as u32 + 1;
        for wanted in [0, 1, CHUNK as u32 - 1, CHUNK as u32, count - 1] {
            let mut queue = filled(count);
            let found: Vec<u32> = queue.from(|it| *it < wanted).copied().collect();
            assert!(found.into_iter().eq(wanted..count), "from {wanted}");
            let take = |queue: &mut Chunked<u32>| queue.take(|it| *it < wanted, |it| *it == wanted);
            assert_eq!(take(&mut queue), Some(wanted));
            assert_eq!(take(&mut queue), None, "{wanted} is gone");
            let rest = (0..count).filter(|it| *it != wanted);
            assert!(queue.iter().copied().eq(rest), "without {wanted}");
            assert_eq!(queue.len(), count as usize - 1);
        }
        assert_eq!(filled(3).take(|it| *it < 9, |_| true), None);
        assert_eq!(filled(0).from(|_| true).next(), None);
    }

    // Breaks if: sorting is not stable, or what is dropped is still counted.
    #[test]
    fn sorting_is_stable_and_what_is_not_kept_is_gone() {
        let count = 2 * CHUNK as u32;
        let mut queue = filled(count);
        queue.sort_by_key(|it| it % 2);
        let even = (0..count).step_by(2);
        let odd = (1..count).step_by(2);
        assert!(queue.iter().copied().eq(even.clone().chain(odd)));
        queue.retain(|it| it % 2 == 0);
        assert!(queue.iter().copied().eq(even));
        assert_eq!((queue.len(), queue.chunks.len()), (CHUNK, 1));
        queue.retain(|_| false);
        assert!(queue.is_empty() && queue.front().is_none());
    }
}
