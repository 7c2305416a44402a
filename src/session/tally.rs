//! What happened during one batch, in plain counters.

use crate::codec::QoS;
use crate::queue::DropReason;

/// Counts of one batch of work. Whoever runs the batch adds them to the broker's metrics once at
/// its end, so that a message costs additions to memory that is already at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// PUBLISH packets committed to a connection, by QoS.
    pub sent: [u64; 3],
    /// PUBLISH packets accepted from a connection, by QoS.
    pub received: [u64; 3],
    /// Deliveries dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Control Packets decoded.
    pub packets_received: u64,
    /// Control Packets committed to connections.
    pub packets_sent: u64,
    /// Bytes taken off sockets.
    pub bytes_received: u64,
    /// Bytes put on sockets.
    pub bytes_sent: u64,
    /// Payload bytes of PUBLISH packets received.
    pub payload_received: u64,
    /// Payload bytes of PUBLISH packets sent.
    pub payload_sent: u64,
    /// By how many messages the queues of sessions and groups have grown, or shrunk.
    pub queued: i64,
    /// By how many bytes of memory what waits for clients has grown, or shrunk.
    pub queued_bytes: i64,
}

impl Tally {
    /// Counts deliveries dropped for one reason.
    pub fn drop(&mut self, reason: DropReason, count: usize) {
        self.dropped[reason as usize] += count as u64;
    }

    /// Notes that a queue that held `before` messages holds `after` now.
    pub fn queue_changed(&mut self, before: usize, after: usize) {
        self.queued += after as i64 - before as i64;
    }

    /// Counts a PUBLISH committed to a connection.
    pub fn publish_sent(&mut self, qos: QoS, payload: usize) {
        self.sent[qos as usize] += 1;
        self.packets_sent += 1;
        self.payload_sent += payload as u64;
    }

    /// Counts a PUBLISH accepted from a connection.
    pub fn publish_received(&mut self, qos: QoS, payload: usize) {
        self.received[qos as usize] += 1;
        self.payload_received += payload as u64;
    }
}
