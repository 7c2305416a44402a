//! What comes from the client: messages to route, and the replies they get.
//!
//! A QoS 2 message takes these steps; the id is *held* between them, and a PUBLISH that repeats a
//! held id is answered but not routed again. [MQTT5-4.3.3-10] [MQTT311-4.3.3-2]
//!
//! ```text
//!   PUBLISH ──> hold id, route ──> settle(ok) ──> PUBREC ──> PUBREL ──> free id ──> PUBCOMP
//!                                  settle(error) ──> free id, PUBREC with the error
//! ```
//!
//! Invariants:
//! - `outstanding` counts the QoS 1 and 2 messages of this connection whose last acknowledgement
//!   has not left; in MQTT 5 it never exceeds the Receive Maximum. The PUBCOMP of an id held since
//!   an earlier connection takes it down by one although nothing had taken it up, below 0 even:
//!   that is how a client counts that follows section 4.9 to the letter.
//! - `held` belongs to the session, all else to the connection.

use std::time::Duration;

use crate::codec::{PacketId, PacketType, Publish, QoS, ReasonCode, Version};
use crate::message::{Message, Parts, Timestamp};

use super::aliases::InboundAliases;
use super::fault::Fault;
use super::replies::{Replies, Sent, Token};

/// The inbound side of a session.
#[derive(Debug)]
pub struct Inbound {
    held: Vec<Held>,
    replies: Replies,
    outstanding: i32,
    /// Nothing, before the client uses one.
    aliases: Option<Box<InboundAliases>>,
    version: Version,
    limits: Limits,
}

/// What the broker announced for this connection.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    receive_maximum: u16,
    topic_alias_maximum: u16,
}

/// A QoS 2 id between its PUBLISH and its PUBREL.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: PacketId,
    /// Whether it takes part of the Receive Maximum of the present connection: one held since an
    /// earlier connection does so only once the client has repeated its PUBLISH.
    counted: bool,
    /// The reply that its first PUBLISH gets, perhaps of an earlier connection.
    first: Token,
    /// The reply that a repeated PUBLISH gets, while how the first went is not known.
    again: Option<Token>,
    /// Whether it is known that the message was accepted.
    accepted: bool,
}

/// What a PUBLISH turned out to be.
#[derive(Debug)]
pub enum Arrival {
    /// A message to route. QoS 1 and 2 have a token to settle with how that went.
    New(Message, Option<Token>),
    /// A QoS 2 message that was routed before; its reply is in the line already.
    Repeated,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            replies: Replies::default(),
            outstanding: 0,
            aliases: None,
            version: Version::V311,
            limits: Limits::default(),
        }
    }
}

impl Inbound {
    /// The inbound side of a session that was kept, with the QoS 2 ids that it holds.
    pub fn restored(ids: impl IntoIterator<Item = PacketId>) -> Self {
        let held = ids.into_iter().map(|id| Held {
            id,
            counted: false,
            first: Token::PAST,
            again: None,
            accepted: true,
        });
        Self {
            held: held.collect(),
            ..Self::default()
        }
    }

    /// A new connection takes this side over. QoS 2 ids stay held; replies that had not left are
    /// forgotten, for the client will repeat what they answer.
    pub fn attach(&mut self, version: Version, receive_maximum: u16, topic_alias_maximum: u16) {
        let mut held = std::mem::take(&mut self.held);
        for id in &mut held {
            id.counted = false;
        }
        let limits = Limits {
            receive_maximum,
            topic_alias_maximum,
        };
        let mut replies = std::mem::take(&mut self.replies);
        replies.forget();
        *self = Self {
            held,
            replies,
            version,
            limits,
            ..Self::default()
        };
    }

    /// The connection ended: what belongs to it is given back.
    pub fn detach(&mut self) {
        self.attach(self.version, 0, 0);
    }

    /// Whether the client has so much unanswered that nothing more should be read from it. MQTT 5
    /// clients are told their Receive Maximum and break the protocol beyond it; for others this is
    /// the bound.
    pub fn paused(&self) -> bool {
        let maximum = usize::from(self.limits.receive_maximum.max(1));
        let beside = if self.version == Version::V5 {
            REPLIES_BESIDE
        } else {
            0
        };
        self.replies.len() >= maximum + beside
    }

    /// Takes a PUBLISH. `scratch` is a reused buffer.
    ///
    /// # Errors
    ///
    /// A breach of Receive Maximum or of the rules for Topic Aliases.
    pub fn publish(
        &mut self,
        publish: &Publish<'_>,
        now: Timestamp,
        scratch: &mut Forwarded,
    ) -> Result<Arrival, Fault> {
        let maximum = self.limits.topic_alias_maximum;
        // First of all: a repeated PUBLISH sets an alias like any other, and the id of one that is
        // refused must not be held.
        if let Some(alias) = publish.properties.topic_alias {
            let aliases = self.aliases.get_or_insert_default();
            aliases.resolve(alias, publish.topic, maximum)?;
        }
        let token = match publish.packet_id {
            None => None,
            Some(id) if publish.qos == QoS::ExactlyOnce => {
                if self.repeated(id)? {
                    return Ok(Arrival::Repeated);
                }
                let first = self.replies.ack(PacketType::Pubrec, id);
                self.held.push(Held {
                    id,
                    counted: true,
                    first,
                    again: None,
                    accepted: false,
                });
                Some(first)
            }
            Some(id) => {
                self.count_outstanding()?;
                Some(self.replies.ack(PacketType::Puback, id))
            }
        };
        let topic = match publish.properties.topic_alias {
            None => publish.topic,
            Some(alias) => {
                let aliases = self.aliases.get_or_insert_default();
                aliases.resolve(alias, publish.topic, maximum)?
            }
        };
        scratch.forwarded.clear();
        publish.properties.write_forwarded(&mut scratch.forwarded);
        let expiry = publish.properties.message_expiry;
        let parts = Parts {
            topic,
            forwarded: &scratch.forwarded,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires: expiry.map(|seconds| now.after(Duration::from_secs(seconds.into()))),
        };
        Ok(Arrival::New(
            Message::new(parts, &mut scratch.joined),
            token,
        ))
    }

    /// The Topic Name of a PUBLISH that is not taken yet; nothing if taking it is going to break the rules
    /// for Topic Aliases, or if it repeats a message.
    pub fn topic_of<'a>(&'a self, publish: &Publish<'a>) -> Option<&'a str> {
        let repeats = |id| self.held.iter().any(|held| held.id == id);
        if publish.qos == QoS::ExactlyOnce && publish.packet_id.is_some_and(repeats) {
            return None;
        }
        match publish.properties.topic_alias {
            Some(alias) if publish.topic.is_empty() => self.aliases.as_ref()?.known(alias),
            _ => Some(publish.topic),
        }
    }

    /// Whether this QoS 2 id is held; if so, puts its PUBREC into the line.
    fn repeated(&mut self, id: PacketId) -> Result<bool, Fault> {
        let held = self.held.iter().position(|held| held.id == id);
        let counted = held.is_some_and(|index| self.held[index].counted);
        if !counted {
            self.count_outstanding()?;
        }
        let Some(index) = held else { return Ok(false) };
        let held = &mut self.held[index];
        held.counted = true;
        let token = self.replies.ack(PacketType::Pubrec, id);
        if held.accepted {
            self.replies.settle(token, ReasonCode::Success);
        } else {
            // No promise is made twice before it is known whether it holds.
            held.again = Some(token);
        }
        Ok(true)
    }

    // [MQTT5-3.3.4-7]
    fn count_outstanding(&mut self) -> Result<(), Fault> {
        let full = self.outstanding >= i32::from(self.limits.receive_maximum);
        if full && self.version == Version::V5 {
            return Err(Fault::new(
                ReasonCode::ReceiveMaximumExceeded,
                "more unacknowledged PUBLISH packets than the announced Receive Maximum",
            ));
        }
        self.outstanding += 1;
        Ok(())
    }

    /// Takes a PUBREL: the id is free again. Returns the token of its PUBCOMP, and whether the id
    /// was held; an unknown one is answered all the same, in MQTT 5 with 0x92.
    // [MQTT5-4.3.3-11] [MQTT5-3.6.2-1] [MQTT311-4.3.3-2]
    pub fn release(&mut self, id: PacketId) -> (Token, bool) {
        let held = self.held.iter().position(|held| held.id == id);
        if let Some(index) = held {
            self.held.swap_remove(index);
            self.give_memory_back();
        }
        (self.replies.ack(PacketType::Pubcomp, id), held.is_some())
    }

    fn give_memory_back(&mut self) {
        if self.held.is_empty() && self.held.capacity() > KEPT_CAPACITY {
            self.held = Vec::new();
        }
    }

    /// Takes a place in the line for a packet that answers the client (SUBACK, UNSUBACK) once its
    /// outcome is known.
    pub fn reply(&mut self, packet: &[u8]) -> Token {
        self.replies.encoded(packet)
    }

    /// Says how what a token stands for went. An error on a QoS 2 message frees its id, also when
    /// the connection on which it came is gone.
    pub fn settle(&mut self, token: Token, code: ReasonCode) {
        self.replies.settle(token, code);
        // From the newest: what is settled at once was added last.
        let held = self.held.iter().rposition(|held| held.first == token);
        let Some(held) = held.map(|index| &mut self.held[index]) else {
            return;
        };
        held.accepted |= !code.is_error();
        let again = held.again.take();
        if let Some(again) = again {
            self.replies.settle(again, code);
        }
        if code.is_error() && again.is_none() && !self.replies.contains(token) {
            self.held.retain(|held| held.first != token);
            self.give_memory_back();
        }
    }

    /// What a token stands for cannot be promised, and its reply has no way to say so. Returns
    /// whether the present connection waits for it and so has to end: the reply never leaves, nor
    /// does what stands behind it. The id of a QoS 2 message is free again.
    #[must_use]
    pub fn forsake(&mut self, token: Token) -> bool {
        let repeated = self
            .held
            .iter()
            .any(|held| held.first == token && held.again.is_some());
        self.held.retain(|held| held.first != token);
        self.give_memory_back();
        repeated || self.replies.contains(token)
    }

    /// Appends to `out` every reply that may leave now; returns how many.
    // [MQTT5-4.6.0-2] [MQTT5-4.6.0-3] [MQTT311-4.6.0-2] [MQTT311-4.6.0-3]
    pub fn drain(&mut self, out: &mut Vec<u8>) -> usize {
        let mut packets = 0;
        while let Some(sent) = self.replies.pop(self.version, out) {
            packets += 1;
            if let Some(sent) = sent {
                self.sent(sent);
            }
        }
        packets
    }

    fn sent(&mut self, sent: Sent) {
        let error = sent.kind == PacketType::Pubrec && sent.code.is_error();
        // A repeated PUBLISH is refused by a second PUBREC, but counted once.
        let refused = error && self.held.iter().any(|held| held.id == sent.id);
        if refused {
            // [MQTT5-4.3.3-9]: the same id is a new message from now on.
            self.held.retain(|held| held.id != sent.id);
            self.give_memory_back();
        }
        let last = match sent.kind {
            PacketType::Puback => true,
            PacketType::Pubrec => refused,
            PacketType::Pubcomp => sent.code == ReasonCode::Success,
            _ => false,
        };
        if last {
            self.outstanding -= 1;
        }
    }

    /// Whether the reply line is empty.
    pub fn settled(&self) -> bool {
        self.replies.len() == 0
    }

    /// QoS 2 ids between PUBLISH and PUBREL, in no particular order.
    pub fn held(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.held.iter().map(|held| held.id)
    }
}

/// Reused buffers in which a message is put together.
#[derive(Debug, Default)]
pub struct Forwarded {
    forwarded: Vec<u8>,
    joined: Vec<u8>,
}

/// Ids for which an empty set keeps room.
const KEPT_CAPACITY: usize = 32;

/// Replies that may wait beside those to PUBLISH in MQTT 5: SUBSCRIBE and PUBREL are not part of the
/// Receive Maximum. Waiting for the store never needs the client, so not to read from it is safe.
const REPLIES_BESIDE: usize = 64;

#[cfg(test)]
mod tests;
