//! What entries say, in short, and apart from them: so that one that is damaged is still known.
//!
//! A gist is whatever the caller wants to know of an entry that cannot be read. Gists of consecutive
//! entries are gathered until they fill a *window*, and are written as one record when the next window
//! is full as well: so no bad sector hides an entry and its gist. Those that are not written yet are in
//! the mark, and a segment that is sealed has all of its own.
//!
//! A block of gists:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 8 | sequence of the first entry |
//! | 8 | 3 | length of its gist |
//! | 11 | 1 | its kind, or 0 if nothing is said of it |
//! | 12 | | its gist; the next entry's length, kind and gist follow |

use super::format::{self, RECORD, u32_at, u64_at};

/// How many bytes of gists are a window.
const WINDOW: usize = 2 << 10;
/// The longest gist; of an entry that needs more, nothing is said.
const LONGEST: usize = (1 << 24) - 1;
const FIXED: usize = 8;
const EACH: usize = 4;

/// Gists of consecutive entries.
#[derive(Debug, Default)]
struct Window {
    first: u64,
    next: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn push(&mut self, sequence: u64, kind: u8, gist: &[u8]) {
        if self.bytes.is_empty() {
            (self.first, self.next) = (sequence, sequence);
        }
        for _ in self.next..sequence {
            self.push_one(0, &[]);
        }
        match gist.len() <= LONGEST {
            true => self.push_one(kind, gist),
            false => self.push_one(0, &[]),
        }
        self.next = sequence + 1;
    }

    fn push_one(&mut self, kind: u8, gist: &[u8]) {
        let head = gist.len() as u32 | u32::from(kind) << 24;
        self.bytes.extend_from_slice(&head.to_le_bytes());
        self.bytes.extend_from_slice(gist);
    }
}

/// Gists that are not written yet: the window that fills up, and the one before it.
#[derive(Debug, Default)]
pub(super) struct Gists {
    older: Window,
    newer: Window,
}

impl Gists {
    /// Remembers the gist of an entry; the entries must come in their order.
    pub fn tell(&mut self, sequence: u64, kind: u8, gist: &[u8]) {
        self.newer.push(sequence, kind, gist);
    }

    /// What is to be written now, if anything is.
    pub fn due(&mut self) -> Option<Vec<u8>> {
        if self.newer.bytes.len() < WINDOW {
            return None;
        }
        let due = std::mem::replace(&mut self.older, std::mem::take(&mut self.newer));
        block([&due, &Window::default()])
    }

    /// All that is not written yet, as a block.
    pub fn rest(&self) -> Option<Vec<u8>> {
        block([&self.older, &self.newer])
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What records of all that is not written yet would take.
    pub fn room(&self) -> u64 {
        let len = self.older.bytes.len() + self.newer.bytes.len();
        match len {
            0 => 0,
            len => (format::size(FIXED + len) + RECORD) as u64,
        }
    }
}

/// Two windows as one block, if there is anything in them.
fn block(windows: [&Window; 2]) -> Option<Vec<u8>> {
    let mut all = Window::default();
    for window in windows.into_iter().filter(|it| !it.bytes.is_empty()) {
        if all.bytes.is_empty() {
            all.bytes.extend_from_slice(&window.first.to_le_bytes());
            all.next = window.first;
        }
        for _ in all.next..window.first {
            all.push_one(0, &[]);
        }
        all.bytes.extend_from_slice(&window.bytes);
        all.next = window.next;
    }
    (!all.bytes.is_empty()).then_some(all.bytes)
}

/// The gists in a block, with sequence and kind; what is no block has none.
pub(super) fn read(block: &[u8]) -> impl Iterator<Item = (u64, u8, &[u8])> {
    let mut sequence = match block.len() {
        0..FIXED => 0,
        _ => u64_at(block, 0),
    };
    let mut rest = block.get(FIXED..).unwrap_or_default();
    let each = std::iter::from_fn(move || {
        let head = u32_at(rest.get(..EACH)?, 0);
        let end = EACH + (head & LONGEST as u32) as usize;
        let gist = rest.get(EACH..end)?;
        rest = &rest[end..];
        sequence += 1;
        Some((sequence - 1, (head >> 24) as u8, gist))
    });
    each.filter(|it| it.1 != 0)
}

/// The sequence after the last entry that a block says something of.
pub(super) fn end(block: &[u8]) -> u64 {
    read(block).last().map_or(0, |it| it.0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: gists are told of other entries than those that they were of.
    #[test]
    fn gists_come_back_by_sequence() {
        let mut gists = Gists::default();
        assert_eq!((gists.rest(), gists.room()), (None, 0));
        gists.tell(5, 1, b"five");
        gists.tell(8, 2, b"");
        let rest = gists.rest().expect("something is said");
        let said: Vec<_> = read(&rest).collect();
        assert_eq!(said, [(5, 1, &b"five"[..]), (8, 2, b"")]);
        assert_eq!(end(&rest), 9);
        for len in 0..rest.len() {
            assert!(read(&rest[..len]).count() < 2);
        }
    }

    // Breaks if: a window is written at once, where the sector of its last entry may go with it.
    #[test]
    fn a_window_is_written_when_the_next_is_full() {
        let mut gists = Gists::default();
        let mut written = Vec::new();
        for sequence in 1..200 {
            gists.tell(sequence, 1, &[7; 100]);
            if let Some(block) = gists.due() {
                let last = end(&block) - 1;
                assert!(sequence - last > 15, "{last} is told of at {sequence}");
                written.extend(read(&block).map(|it| it.0).collect::<Vec<_>>());
            }
        }
        let rest = gists.rest().expect("something is left");
        written.extend(read(&rest).map(|it| it.0));
        assert_eq!(written, (1..200).collect::<Vec<_>>());
    }
}
