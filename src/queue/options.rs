//! The bounds of one queue.

/// How much one queue may hold, and what gives way when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Messages at most. At least 1.
    pub messages: usize,
    /// Bytes at most, counted as topic, payload and forwarded properties of each message. At least
    /// one message is always accepted into an empty queue, whatever its size.
    pub bytes: usize,
    /// What gives way at the bound.
    pub overflow: Overflow,
}

/// What gives way when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest queued message: the receiver finds the newest state when it comes back.
    DropOldest,
    /// The arriving message: what was promised first is kept.
    DropNewest,
}

impl Options {
    /// Takes everything.
    pub const UNBOUNDED: Self = Self {
        messages: usize::MAX,
        bytes: usize::MAX,
        overflow: Overflow::DropNewest,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self {
            messages: 10_000,
            bytes: 16 * 1024 * 1024,
            overflow: Overflow::DropNewest,
        }
    }
}
