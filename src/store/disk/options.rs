//! How a store on the disk is set up.

use std::time::Duration;

/// How a store on the disk is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether a record is safe only when it is on stable storage; otherwise it is when the operating
    /// system has it, which the end of the process does not harm.
    pub flush: bool,
    /// The bound on the disk's use, if any.
    pub bytes_maximum: Option<u64>,
    /// Refuse to open a store with damage.
    pub strict: bool,
    /// The size of a segment.
    pub segment: u32,
    /// Bytes kept back for what makes the store smaller; at least a segment, so that one can be carried
    /// forward when there is no other room.
    pub reserve: u32,
    /// Bytes of records that may wait to be written, before more are refused.
    pub pending_maximum: usize,
    /// Bytes of a segment that are carried forward in one step.
    pub stride: u64,
    /// How long the oldest segment is left alone, although much of the log is garbage, as long as what
    /// lives in it becomes less by itself: a queue that is being emptied need not be carried forward.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flush: true,
            bytes_maximum: None,
            strict: false,
            segment: 16 << 20,
            reserve: 20 << 20,
            pending_maximum: 64 << 20,
            stride: 512 << 10,
            patience: Duration::from_secs(1),
        }
    }
}
