//! What one batch of work is done with.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::Guard;

use crate::message::Timestamp;
use crate::session::{Context, Forwarded, Spare, Tally};

use super::core::Broker;
use super::groups::Letter;
use super::options::Options;
use super::shared::SessionRef;

/// The time, read once per batch.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what lives in the process: keep alive, time-outs, delays.
    pub instant: Instant,
    /// For what may be stored: expiry.
    pub wall: Timestamp,
}

/// Buffers, counters and the sessions to flush: made once per thread and used for one batch after
/// the other, so that a message costs none of them an allocation.
///
/// A batch ends with [`super::Broker::finish`], which flushes and counts.
#[derive(Debug)]
pub struct Batch {
    /// The time of this batch.
    pub now: Now,
    /// The options that were in force when this batch first asked for them.
    pub(super) options: Option<Guard<Arc<Options>>>,
    pub(super) spare: Spare,
    pub(super) tally: Tally,
    pub(super) forwarded: Forwarded,
    pub(super) replies: Vec<u8>,
    /// Messages that groups have given up, to be published once no lock is held.
    pub(super) letters: Vec<Letter>,
    /// Sessions whose wires this batch is the one to flush.
    pub(super) touched: Vec<SessionRef>,
}

impl Batch {
    /// An empty batch.
    pub fn new(now: Now) -> Self {
        Self {
            now,
            options: None,
            spare: Spare::default(),
            tally: Tally::default(),
            forwarded: Forwarded::default(),
            replies: Vec::new(),
            letters: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// What the outbound side of a session works with.
    pub(super) fn context<'a>(&'a mut self, broker: &Broker) -> Context<'a> {
        let options = self.options.get_or_insert_with(|| broker.options());
        Context {
            now: self.now.wall,
            options: &options.session,
            spare: &mut self.spare,
            tally: &mut self.tally,
            pressed: false,
            judge: None,
        }
    }

    /// How many wires are filled and not written yet.
    pub fn filled(&self) -> usize {
        self.touched.len()
    }

    /// Bytes that came off sockets for this batch.
    pub fn heard(&self) -> u64 {
        self.tally.bytes_received
    }

    /// Counts bytes that came off a socket.
    pub fn received(&mut self, bytes: usize) {
        self.tally.bytes_received += bytes as u64;
    }

    /// Counts bytes that a socket took.
    pub fn sent(&mut self, bytes: usize) {
        self.tally.bytes_sent += bytes as u64;
    }
}
