//! One publisher's stream of messages: numbered, stamped, and held to its window.
//!
//! A message's payload begins with
//!
//! ```text
//!  0        4                12                20
//!  ├─ flow ─┼──── sequence ───┼─── written at ──┤ filler …
//! ```
//!
//! little endian: which flow, the number within it from 0, and nanoseconds since the load began. The rest of the frame never changes, so a message costs one copy
//! of a template and four patches.

use super::traffic::{Dialect, Pace, Traffic};
use super::wire::{self, Publish};

/// Bytes that the numbers in a payload need.
pub const SMALLEST_PAYLOAD: usize = 20;

/// What a payload says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Index of the flow it belongs to.
    pub flow: usize,
    /// Its number in the flow.
    pub sequence: u64,
    /// When it was written.
    pub written_at: u64,
}

impl Label {
    /// Reads the label of a payload; `None` if it is too short to have one.
    #[inline]
    pub fn of(payload: &[u8]) -> Option<Label> {
        let (flow, rest) = payload.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (written_at, _) = rest.split_first_chunk::<8>()?;
        Some(Label {
            flow: u32::from_le_bytes(*flow) as usize,
            sequence: u64::from_le_bytes(*sequence),
            written_at: u64::from_le_bytes(*written_at),
        })
    }
}

/// A publisher's stream.
pub struct Flow {
    /// Index of the publisher's connection.
    pub connection: usize,
    /// Topic Name.
    pub topic: String,
    /// Messages written or waiting to be written to the socket.
    pub sent: u64,
    /// Messages received, over all subscribers.
    pub received: u64,
    /// QoS 1 and 2: messages whose handshake with the publisher is not complete.
    pub unacknowledged: u64,
    /// Acknowledgements that were not those awaited next.
    pub wrong_acknowledgements: u64,
    /// Whether the flow waits to be looked at in this round.
    pub touched: bool,
    qos: u8,
    copies: u64,
    pace: Pace,
    /// A whole PUBLISH frame: the first one, which sets a Topic Alias, and all others.
    first: Vec<u8>,
    template: Vec<u8>,
    /// Bytes of the payload, and of what is between it and the Packet Identifier.
    payload: usize,
    between: usize,
    /// Whether it is of MQTT 5, and with which properties.
    dialect: Dialect,
    properties: Vec<u8>,
    next_identifier: u16,
    /// Packet Identifiers that the next PUBREC and the next PUBACK or PUBCOMP must have: a receiver
    /// answers in the order of the publications.
    next_received: u16,
    next_complete: u16,
}

impl Flow {
    /// A flow numbered `index`, published on `connection`.
    pub fn new(index: usize, connection: usize, topic: String, traffic: &Traffic) -> Flow {
        let length = traffic.payload.max(SMALLEST_PAYLOAD);
        // A filler that is neither constant nor random: `a` to `z` again and again.
        let mut payload: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
        payload[..4].copy_from_slice(&(index as u32).to_le_bytes());
        let properties = match traffic.dialect {
            Dialect::Three => Vec::new(),
            Dialect::Properties => wire::content_type_and_two_more(),
            Dialect::Aliases => wire::alias(1),
        };
        let of_five = traffic.dialect.is_five().then_some(properties.as_slice());
        let frame = |topic: &str| {
            let mut frame = Vec::new();
            let flags = traffic.qos << 1;
            wire::publish_with(&mut frame, flags, topic.as_bytes(), of_five, &payload);
            frame
        };
        let (first, mut template) = (frame(&topic), frame(&topic));
        if traffic.dialect == Dialect::Aliases {
            template = frame("");
        }
        let between = of_five.map_or(0, |properties| 1 + properties.len());
        Flow {
            connection,
            topic,
            sent: 0,
            received: 0,
            unacknowledged: 0,
            wrong_acknowledgements: 0,
            touched: false,
            qos: traffic.qos,
            copies: traffic.shape.copies() as u64,
            pace: traffic.pace,
            first,
            template,
            payload: length,
            between,
            dialect: traffic.dialect,
            properties,
            next_identifier: 1,
            next_received: 1,
            next_complete: 1,
        }
    }

    /// How many messages the window has room for: a whole number of bursts.
    #[inline]
    pub fn credit(&self) -> u64 {
        let Pace::Window {
            outstanding,
            burst,
            ahead,
        } = self.pace
        else {
            return 0;
        };
        let unreceived = self.sent * self.copies - self.received;
        let on_their_way = unreceived.div_ceil(self.copies.max(1));
        let room = if self.qos == 0 {
            outstanding.saturating_sub(on_their_way)
        } else {
            outstanding
                .saturating_sub(self.unacknowledged)
                .min(ahead.saturating_sub(on_their_way))
        };
        room / burst * burst
    }

    /// Appends the next `count` messages to `out`, stamped with `now`.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, count: u64, now: u64) {
        for _ in 0..count {
            out.extend_from_slice(match self.sent {
                0 => &self.first,
                _ => &self.template,
            });
            let payload = out.len() - self.payload;
            out[payload + 4..payload + 12].copy_from_slice(&self.sent.to_le_bytes());
            out[payload + 12..payload + 20].copy_from_slice(&now.to_le_bytes());
            if self.qos > 0 {
                let identifier = self.next_identifier.to_be_bytes();
                let end = payload - self.between;
                out[end - 2..end].copy_from_slice(&identifier);
                self.next_identifier = wire::following(self.next_identifier);
                self.unacknowledged += 1;
            }
            self.sent += 1;
        }
    }

    /// A PUBREC for `identifier` came.
    #[inline]
    pub fn received_by_broker(&mut self, identifier: u16) {
        if identifier != self.next_received {
            self.wrong_acknowledgements += 1;
        }
        self.next_received = wire::following(identifier);
    }

    /// A PUBACK or PUBCOMP for `identifier` came.
    #[inline]
    pub fn complete(&mut self, identifier: u16) {
        if identifier != self.next_complete {
            self.wrong_acknowledgements += 1;
        }
        self.next_complete = wire::following(identifier);
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.touched = true;
    }

    /// Whether everything sent has been received by everyone and acknowledged.
    pub fn settled(&self) -> bool {
        self.received >= self.sent * self.copies && self.unacknowledged == 0
    }

    /// Whether `topic`, and all of `publish` but its numbers, are what this flow sends.
    #[inline]
    pub fn recognises(&self, topic: &[u8], publish: &Publish<'_>) -> bool {
        let sent = &self.template[self.template.len() - self.payload..];
        let payload = publish.payload;
        topic == self.topic.as_bytes()
            && (self.dialect != Dialect::Properties || publish.has_properties(&self.properties))
            && payload.len() == sent.len()
            && payload[SMALLEST_PAYLOAD..] == sent[SMALLEST_PAYLOAD..]
    }
}
