//! The bytes of one connection between being committed and being taken by its socket.
//!
//! Whoever commits bytes may also write them: a publisher's task flushes the recipients it filled.
//! So that two of them never reorder bytes on a socket, there is one flush token per connection,
//! and the one who holds it writes a chunk at a time without holding the session's lock:
//!
//! ```text
//!              touch                 take                    put_back: all written, no more bytes
//!   Idle ──────────────> Touched ───────────> Flying ───────────────────────────────────> Idle
//!                (someone will flush)            │ put_back: the socket would block
//!                                                v
//!                                            Blocked ── resume (the connection's own task) ─> Flying
//! ```
//!
//! Invariant: `unsent` is the length of `fresh` plus what is left of the chunk in flight or in
//! `rest`.

/// Committed bytes and the flush token.
#[derive(Debug, Default)]
pub struct Wire {
    /// Committed since the last chunk was taken.
    fresh: Vec<u8>,
    /// What a blocked socket left of the last chunk.
    rest: Option<Box<Chunk>>,
    unsent: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Touched,
    Flying,
    Blocked,
}

/// Bytes taken to be written, and how many of them have been.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    written: usize,
}

impl Chunk {
    /// What is still to be written.
    pub fn remaining(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Notes that the socket took `count` bytes more.
    pub fn advance(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
    }
}

/// What the holder of the flush token does next.
#[derive(Debug)]
pub enum Written {
    /// Nothing: everything has been written, the token is back.
    All,
    /// Write this chunk too, which was committed meanwhile.
    More(Chunk),
    /// Wake the connection's own task, which goes on when the socket can be written again.
    Blocked,
}

/// Buffers that wait to be used again, so that an idle connection holds none and a busy one does
/// not allocate.
#[derive(Debug, Default)]
pub struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Capacity of all of them.
    bytes: usize,
}

impl Spare {
    /// Bytes kept at most, enough for a batch that fills a thousand wires, and the largest buffer that is
    /// worth keeping.
    const KEPT: usize = 2 << 20;
    const LARGEST: usize = 128 * 1024;

    fn take(&mut self) -> Vec<u8> {
        let Some(buffer) = self.buffers.pop() else {
            return Vec::with_capacity(2048);
        };
        self.bytes -= buffer.capacity();
        buffer
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if (1..=Self::LARGEST).contains(&size) && self.bytes + size <= Self::KEPT {
            buffer.clear();
            self.bytes += size;
            self.buffers.push(buffer);
        }
    }
}

impl Wire {
    /// Bytes committed but not taken by the socket.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Commits what `write` appends. What is committed is sent, or lost with the connection.
    pub fn commit(&mut self, spare: &mut Spare, write: impl FnOnce(&mut Vec<u8>)) {
        if self.fresh.capacity() == 0 {
            self.fresh = spare.take();
        }
        let before = self.fresh.len();
        write(&mut self.fresh);
        self.unsent += self.fresh.len() - before;
    }

    /// Whether the caller is the one who has to flush what was committed: the first to ask since
    /// the last flush. If not, somebody else will, or the connection's own task when it can.
    #[must_use]
    pub fn touch(&mut self) -> bool {
        let first = self.state == State::Idle;
        if first {
            self.state = State::Touched;
        }
        first
    }

    /// Takes the flush token and a chunk to write, unless someone holds the token or there is
    /// nothing to write.
    pub fn take(&mut self) -> Option<Chunk> {
        match self.state {
            State::Flying | State::Blocked => None,
            State::Idle | State::Touched => self.next(),
        }
    }

    /// As [`Self::take`], for the connection's own task when its socket can be written again.
    pub fn resume(&mut self) -> Option<Chunk> {
        if self.state == State::Flying {
            None
        } else {
            self.next()
        }
    }

    fn next(&mut self) -> Option<Chunk> {
        let chunk = self.rest.take().map(|rest| *rest).or_else(|| {
            let bytes = std::mem::take(&mut self.fresh);
            (!bytes.is_empty()).then_some(Chunk { bytes, written: 0 })
        });
        self.state = if chunk.is_some() {
            State::Flying
        } else {
            State::Idle
        };
        chunk
    }

    /// Gives a chunk back after writing what the socket took.
    pub fn put_back(&mut self, chunk: Chunk, taken: usize, spare: &mut Spare) -> Written {
        self.unsent -= taken.min(self.unsent);
        if !chunk.remaining().is_empty() {
            self.rest = Some(Box::new(chunk));
            self.state = State::Blocked;
            return Written::Blocked;
        }
        spare.keep(chunk.bytes);
        match self.next() {
            Some(more) => Written::More(more),
            None => Written::All,
        }
    }

    /// Whether everything committed has been taken by the socket.
    pub fn is_flushed(&self) -> bool {
        self.unsent == 0
    }

    /// Whether the socket refused bytes and the connection's own task is to go on.
    pub fn is_blocked(&self) -> bool {
        self.state == State::Blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(wire: &mut Wire, spare: &mut Spare, bytes: &[u8]) {
        wire.commit(spare, |out| out.extend_from_slice(bytes));
    }

    #[test]
    fn one_flusher_writes_everything_in_order() {
        let (mut wire, mut spare) = (Wire::default(), Spare::default());
        commit(&mut wire, &mut spare, b"one");
        assert!(wire.touch(), "the first filler flushes");
        assert!(!wire.touch(), "the second leaves it to the first");
        let mut chunk = wire.take().expect("a chunk");
        assert!(wire.take().is_none(), "the token is out");
        commit(&mut wire, &mut spare, b"two");
        assert!(!wire.touch(), "the holder of the token will see it");
        assert_eq!(chunk.remaining(), b"one");
        chunk.advance(3);
        let Written::More(mut chunk) = wire.put_back(chunk, 3, &mut spare) else {
            panic!("more was committed meanwhile")
        };
        assert_eq!(chunk.remaining(), b"two");
        chunk.advance(3);
        assert!(matches!(wire.put_back(chunk, 3, &mut spare), Written::All));
        assert!(wire.is_flushed());
        assert_eq!(wire.fresh.capacity(), 0, "an idle wire holds no buffer");
    }

    // Breaks if: a thread hoards what a storm took, or a batch for many allocates each time.
    #[test]
    fn what_is_kept_for_the_next_batch_is_bounded() {
        let mut spare = Spare::default();
        let kept = Spare::KEPT / 2048;
        (0..kept + 7).for_each(|_| spare.keep(Vec::with_capacity(2048)));
        spare.keep(Vec::with_capacity(Spare::LARGEST + 1));
        spare.keep(Vec::new());
        assert_eq!((spare.buffers.len(), spare.bytes), (kept, Spare::KEPT));
        while !spare.buffers.is_empty() {
            drop(spare.take());
        }
        assert_eq!(spare.bytes, 0);
        spare.keep(Vec::with_capacity(Spare::LARGEST));
        assert_eq!(spare.take().capacity(), Spare::LARGEST);
    }

    #[test]
    fn a_blocked_socket_keeps_its_place() {
        let (mut wire, mut spare) = (Wire::default(), Spare::default());
        commit(&mut wire, &mut spare, b"abc");
        let mut chunk = wire.take().expect("a chunk");
        chunk.advance(1);
        assert!(matches!(
            wire.put_back(chunk, 1, &mut spare),
            Written::Blocked
        ));
        commit(&mut wire, &mut spare, b"def");
        assert!(
            !wire.touch(),
            "fillers leave a blocked wire to its own task"
        );
        assert!(wire.take().is_none());
        assert_eq!(wire.unsent(), 5);
        let mut chunk = wire.resume().expect("the rest");
        assert_eq!(chunk.remaining(), b"bc");
        chunk.advance(2);
        let Written::More(chunk) = wire.put_back(chunk, 2, &mut spare) else {
            panic!("def")
        };
        assert_eq!(chunk.remaining(), b"def");
    }

    #[test]
    fn taking_from_an_empty_wire_returns_the_token() {
        let mut wire = Wire::default();
        assert!(wire.touch());
        assert!(wire.take().is_none());
        assert!(wire.touch(), "idle again");
    }
}
