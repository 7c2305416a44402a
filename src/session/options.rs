//! Limits and defaults of a session, whatever its protocol version.

use std::time::Duration;

use crate::queue::options::Options as QueueOptions;

/// What the broker grants to each client. Values of 0 mean what the field says, never "unset".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Inbound QoS 1 and 2 messages a client may leave unacknowledged. Announced as Receive Maximum
    /// in MQTT 5, where overrunning it is an error; a 3.x client's socket is not read while it is
    /// at this bound. 1 to 65,535.
    pub receive_maximum: u16,
    /// Outbound QoS 1 and 2 messages in flight to one client at most; a client's own, smaller
    /// Receive Maximum goes before it. 1 to 65,535.
    pub inflight_maximum: u16,
    /// Largest Control Packet accepted, in bytes, fixed header included. Announced as Maximum
    /// Packet Size in MQTT 5. 256 to 268,435,460.
    pub packet_size_maximum: u32,
    /// Inbound Topic Aliases per connection; 0 forbids them. Announced as Topic Alias Maximum.
    pub topic_alias_maximum: u16,
    /// Outbound Topic Aliases assigned per connection at most, if the client allows any; 0 assigns
    /// none.
    pub outbound_alias_maximum: u16,
    /// Longest Keep Alive accepted, in seconds; 0 is no bound. A longer or absent one is replaced
    /// and told as Server Keep Alive in MQTT 5; 3.x clients have no way to be told and keep theirs.
    pub keep_alive_maximum: u16,
    /// Longest Session Expiry Interval granted. A longer wish is cut and told in CONNACK.
    /// `u32::MAX` seconds is "never expires".
    pub expiry_maximum: Duration,
    /// Session Expiry of 3.x clients that connect with clean session 0: they cannot name one.
    pub expiry_3x: Duration,
    /// Subscriptions per session at most; one more is refused with 0x97 (0x80 in 3.x).
    pub subscriptions_maximum: usize,
    /// Bytes of the Topic Filters of all subscriptions of a session at most, with the same policy.
    pub subscription_bytes_maximum: usize,
    /// Levels in a Topic Name or Topic Filter at most.
    pub topic_levels_maximum: usize,
    /// Bytes written to a connection but not yet taken by its socket, above which messages stay in
    /// the queue.
    pub unsent_maximum: usize,
    /// Whether QoS 0 messages are queued for a session while its client is away.
    pub queue_qos0_offline: bool,
    /// What a client that asks for Response Information in MQTT 5 is told, `%c` standing for its
    /// Client Identifier; empty tells nothing.
    pub response_information: String,
    /// The session's own queue of messages to deliver.
    pub queue: QueueOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_maximum: 256,
            inflight_maximum: 256,
            packet_size_maximum: 1024 * 1024,
            topic_alias_maximum: 32,
            outbound_alias_maximum: 16,
            keep_alive_maximum: 0,
            expiry_maximum: Duration::from_secs(30 * 24 * 3600),
            expiry_3x: Duration::from_secs(7 * 24 * 3600),
            subscriptions_maximum: 10_000,
            subscription_bytes_maximum: 4 * 1024 * 1024,
            topic_levels_maximum: 65_536,
            unsent_maximum: 128 * 1024,
            queue_qos0_offline: false,
            response_information: String::new(),
            queue: QueueOptions::default(),
        }
    }
}
