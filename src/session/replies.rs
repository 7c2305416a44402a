//! Replies to the client, in the order of what they answer.
//!
//! A reply may have to wait for an outcome (a message stored, a permission checked elsewhere), and
//! acknowledgements must leave in the order in which their packets came. So every reply takes its
//! place in one line when its packet is handled, is settled whenever its outcome comes, and leaves
//! from the front:
//!
//! ```text
//!   push ──> [PUBACK 7 ready] [PUBACK 8 waiting] [SUBACK 9 ready] ──> drain writes 7 and stops
//! ```

use std::collections::VecDeque;

use crate::codec::{PacketId, PacketType, ReasonCode, Version, encode_ack};

/// Names a reply that waits for its outcome; never given twice in the life of a session. It outlives
/// its connection where a QoS 2 message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// The reply of a message that was accepted by a process before this one. It would take centuries
    /// until another has it.
    pub(super) const PAST: Self = Self(u64::MAX);
}

#[derive(Debug)]
struct Reply {
    what: What,
    outcome: Option<ReasonCode>,
}

#[derive(Debug)]
enum What {
    Ack(PacketType, PacketId),
    /// A packet whose content is known but which may not leave yet.
    Encoded(Box<[u8]>),
}

/// An acknowledgement that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub kind: PacketType,
    pub id: PacketId,
    pub code: ReasonCode,
}

/// The line of replies of one connection.
#[derive(Debug, Default)]
pub(super) struct Replies {
    line: VecDeque<Reply>,
    /// The token of the first reply in the line.
    first: u64,
}

impl Replies {
    /// Replies in the line, ready or not.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// Forgets every reply in the line. No token is ever given twice, so that an outcome that comes
    /// too late never passes for that of another message.
    pub(super) fn forget(&mut self) {
        self.first += self.line.len() as u64;
        self.line = VecDeque::new();
    }

    /// Takes a place for an acknowledgement.
    pub(super) fn ack(&mut self, kind: PacketType, id: PacketId) -> Token {
        self.push(What::Ack(kind, id))
    }

    /// Takes a place for a packet whose bytes are known.
    pub(super) fn encoded(&mut self, packet: &[u8]) -> Token {
        self.push(What::Encoded(packet.into()))
    }

    fn push(&mut self, what: What) -> Token {
        let token = Token(self.first + self.line.len() as u64);
        self.line.push_back(Reply {
            what,
            outcome: None,
        });
        token
    }

    /// Says how it went. A token that is not in the line (any more) is ignored.
    pub(super) fn settle(&mut self, token: Token, code: ReasonCode) {
        let Some(index) = token.0.checked_sub(self.first) else {
            return;
        };
        if let Some(reply) = usize::try_from(index)
            .ok()
            .and_then(|i| self.line.get_mut(i))
        {
            reply.outcome = Some(code);
        }
    }

    /// Whether a reply is still in the line.
    pub(super) fn contains(&self, token: Token) -> bool {
        token.0 >= self.first && token.0 - self.first < self.line.len() as u64
    }

    /// Writes the first reply if it is settled; tells which acknowledgement left.
    pub(super) fn pop(&mut self, version: Version, out: &mut Vec<u8>) -> Option<Option<Sent>> {
        let code = self.line.front()?.outcome?;
        let reply = self.line.pop_front()?;
        self.first += 1;
        if self.line.is_empty() && self.line.capacity() > KEPT_CAPACITY {
            self.line = VecDeque::new();
        }
        Some(match reply.what {
            What::Ack(kind, id) => {
                encode_ack(kind, id, code, version, out);
                Some(Sent { kind, id, code })
            }
            What::Encoded(packet) => {
                out.extend_from_slice(&packet);
                None
            }
        })
    }
}

/// Places for which an empty line keeps room, so that a burst a wake does not allocate each time: clients
/// that say nothing else have 20 messages unanswered.
const KEPT_CAPACITY: usize = 32;

#[cfg(test)]
mod tests;
