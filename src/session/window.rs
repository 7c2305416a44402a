//! What is in flight to one client: packet ids, and what was sent but not acknowledged.
//!
//! ```text
//!             QoS 1                                   QoS 2
//!   Publish ── PUBACK ──> gone        Publish ── PUBREC ──> Release ── PUBCOMP ──> gone
//!                                        └─ PUBREC with an error ──> gone
//! ```
//!
//! Entries stand in the order in which their PUBLISH was first sent; they are sent again in that
//! order on the next connection, and at no other time. [MQTT5-4.4.0-1] [MQTT5-4.6.0-1]
//! [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]
//!
//! Invariants:
//! - no two entries have the same id [MQTT5-2.2.1-4] [MQTT311-2.3.1-4];
//! - entries that were not sent on the present connection come after those that were, PUBREL aside.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use crate::codec::{PacketId, QoS, ReasonCode};
use crate::queue::Delivery;

/// The shared group that a message came from, as a number that only the group's owner understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub NonZeroU64);

/// One message in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub id: PacketId,
    pub stage: Stage,
    pub source: Option<Source>,
    /// Whether it was sent on the present connection.
    pub sent: bool,
    /// Whether the store follows it.
    pub kept: bool,
    /// Since when it is in flight, by the clock of whoever looks after its acknowledgement.
    pub since: u32,
    /// What has to be safe before the packet that is due leaves: see [`super::journal`].
    pub gate: Option<NonZeroU64>,
}

/// How far it got.
#[derive(Debug)]
pub(super) enum Stage {
    /// PUBLISH is sent, or is to be sent again.
    Publish(Delivery),
    /// PUBREC came: only the id is needed any more. [MQTT5-4.3.3-5] [MQTT5-4.3.3-6]
    Release,
    /// Another member of the group has it now: the id is taken until this client acknowledges it all
    /// the same, or goes.
    Withdrawn,
}

/// An acknowledgement that names an id in a state that does not go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// What a PUBREC did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// PUBREL is due, with this code.
    Release(ReasonCode),
    /// The client refused the message, which ended the exchange if there was one.
    /// [MQTT5-4.4.0-2]
    Refused(bool),
}

/// What became of an entry that was offered to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resend {
    /// It is sent.
    Sent,
    /// It has to wait.
    Later,
    /// It is given up.
    Forget,
}

/// Messages in flight, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<InFlight>,
    /// The last id given.
    last_id: u16,
    /// Whether ids have gone all the way around while the oldest entry was in flight, so that any
    /// id may be in use; until the window is empty once.
    lapped: bool,
    /// Entries that were not sent on the present connection: no more than there are ids.
    unsent: u32,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            last_id: 0,
            lapped: false,
            unsent: 0,
        }
    }

    /// A window as it was kept, oldest first: ids, and the deliveries of those that no PUBREC had come
    /// for.
    pub(super) fn restored(kept: impl Iterator<Item = (PacketId, Option<Delivery>)>) -> Self {
        let entries: VecDeque<_> = kept
            .map(|(id, delivery)| InFlight {
                id,
                stage: delivery.map_or(Stage::Release, Stage::Publish),
                source: None,
                sent: false,
                kept: true,
                since: 0,
                gate: None,
            })
            .collect();
        Self {
            last_id: entries.back().map_or(0, |newest| newest.id.get()),
            // Ids may have gone around before.
            lapped: !entries.is_empty(),
            unsent: entries.len() as u32,
            entries,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries that were sent on the present connection.
    pub(super) fn sent(&self) -> usize {
        self.entries.len() - self.unsent as usize
    }

    /// Adds a message about to be sent for the first time, and gives it an id; hands it back if
    /// every id is taken.
    // [MQTT5-4.3.2-1] [MQTT5-4.3.3-1]
    pub(super) fn add(
        &mut self,
        delivery: Delivery,
        source: Option<Source>,
    ) -> Result<PacketId, Delivery> {
        if self.entries.len() >= usize::from(u16::MAX) {
            return Err(delivery);
        }
        let mut id = self.last_id;
        loop {
            id = id.wrapping_add(1);
            if let Some(candidate) = PacketId::new(id).filter(|candidate| self.free(*candidate)) {
                self.last_id = id;
                let stage = Stage::Publish(delivery);
                self.entries.push_back(InFlight {
                    id: candidate,
                    stage,
                    source,
                    sent: true,
                    kept: false,
                    since: 0,
                    gate: None,
                });
                return Ok(candidate);
            }
        }
    }

    /// The store follows the message added last, which leaves once `gate` is open, if there is one.
    pub(super) fn keep_newest(&mut self, gate: Option<NonZeroU64>) {
        if let Some(entry) = self.entries.back_mut() {
            entry.kept = true;
            entry.gate = gate;
        }
    }

    /// What is due for this id leaves once `gate` is open.
    pub(super) fn close_gate(&mut self, id: PacketId, gate: NonZeroU64) {
        if let Some(index) = self.position(id) {
            self.entries[index].gate = Some(gate);
        }
    }

    /// Whether what is due for this id has to wait.
    pub(super) fn is_gated(&self, id: PacketId) -> bool {
        self.position(id)
            .is_some_and(|index| self.entries[index].gate.is_some())
    }

    /// Opens a gate. Returns what may leave now, unless that is something to be sent again.
    pub(super) fn open_gate(&mut self, id: PacketId, gate: NonZeroU64) -> Option<&Stage> {
        let index = self.position(id)?;
        let entry = &mut self.entries[index];
        if entry.gate != Some(gate) {
            return None;
        }
        entry.gate = None;
        entry.sent.then_some(&entry.stage)
    }

    /// Whether the store follows the message with this id.
    pub(super) fn is_kept(&self, id: PacketId) -> bool {
        self.position(id)
            .is_some_and(|index| self.entries[index].kept)
    }

    /// The message added last, if its PUBLISH is in flight.
    pub(super) fn newest(&self) -> Option<&Delivery> {
        match &self.entries.back()?.stage {
            Stage::Publish(delivery) => Some(delivery),
            Stage::Release | Stage::Withdrawn => None,
        }
    }

    /// Whether an id, the next in turn, is not in use. Ids go up and wrap around, so the first one
    /// in use that they can meet is that of the oldest entry; no search is needed before that.
    fn free(&mut self, id: PacketId) -> bool {
        self.lapped |= self.entries.front().is_some_and(|front| front.id == id);
        !self.lapped || self.position(id).is_none()
    }

    fn position(&self, id: PacketId) -> Option<usize> {
        // Clients acknowledge in order, so this is nearly always the first.
        self.entries.iter().position(|entry| entry.id == id)
    }

    /// Takes a PUBACK. Returns the message that it ended.
    pub(super) fn puback(&mut self, id: PacketId) -> Result<Option<InFlight>, OutOfStep> {
        let Some(index) = self.position(id) else {
            return Ok(None);
        };
        match &self.entries[index].stage {
            Stage::Publish(delivery) if delivery.qos == QoS::AtLeastOnce => Ok(self.remove(index)),
            Stage::Withdrawn => Ok(self.remove(index)),
            _ => Err(OutOfStep),
        }
    }

    /// Takes a PUBREC. An unknown id gets a PUBREL that says so.
    // [MQTT5-4.3.3-4] [MQTT5-3.6.2-1] [MQTT311-4.3.3-1]
    pub(super) fn pubrec(&mut self, id: PacketId, code: ReasonCode) -> Result<Received, OutOfStep> {
        let Some(index) = self.position(id) else {
            let unknown = ReasonCode::PacketIdentifierNotFound;
            return Ok(if code.is_error() {
                Received::Refused(false)
            } else {
                Received::Release(unknown)
            });
        };
        let entry = &mut self.entries[index];
        match &entry.stage {
            Stage::Publish(delivery) if delivery.qos != QoS::ExactlyOnce => Err(OutOfStep),
            Stage::Withdrawn => Err(OutOfStep),
            _ if code.is_error() => {
                self.remove(index);
                Ok(Received::Refused(true))
            }
            _ => {
                entry.stage = Stage::Release;
                entry.source = None;
                self.unsent -= u32::from(!std::mem::replace(&mut entry.sent, true));
                Ok(Received::Release(ReasonCode::Success))
            }
        }
    }

    /// Takes a PUBCOMP. Returns whether it ended an exchange.
    pub(super) fn pubcomp(&mut self, id: PacketId) -> Result<bool, OutOfStep> {
        let Some(index) = self.position(id) else {
            return Ok(false);
        };
        match self.entries[index].stage {
            Stage::Release => Ok(self.remove(index).is_some()),
            Stage::Publish(_) | Stage::Withdrawn => Err(OutOfStep),
        }
    }

    fn remove(&mut self, index: usize) -> Option<InFlight> {
        let entry = self.entries.remove(index)?;
        self.unsent -= u32::from(!entry.sent);
        self.rest_if_empty();
        Some(entry)
    }

    fn rest_if_empty(&mut self) {
        if self.entries.is_empty() {
            self.lapped = false;
            if self.entries.capacity() > KEPT_CAPACITY {
                self.entries = VecDeque::new();
            } else {
                // The next entries go where the last ones were, which the processor still has at hand.
                self.entries.clear();
            }
        }
    }

    /// The connection ended: QoS 1 messages that came from a group go back to it, in order, for
    /// another member; QoS 2 messages whose sending began stay. The rest waits to be sent again.
    // [MQTT5-4.8.2-4]
    pub(super) fn detach(&mut self) -> Vec<(Source, Delivery)> {
        let mut back = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            match (entry.source, entry.stage) {
                (Some(source), Stage::Publish(delivery)) if delivery.qos == QoS::AtLeastOnce => {
                    back.push((source, delivery));
                }
                // Another member has it.
                (_, Stage::Withdrawn) => {}
                (source, stage) => {
                    self.entries.push_back(InFlight {
                        id: entry.id,
                        stage,
                        source,
                        sent: false,
                        kept: entry.kept,
                        since: entry.since,
                        gate: entry.gate,
                    });
                }
            }
        }
        self.unsent = self.entries.len() as u32;
        self.rest_if_empty();
        back
    }

    /// The session has left a group: what is in flight from it is the session's own now.
    // [MQTT5-3.10.4-3] [MQTT311-3.10.4-3]
    pub(super) fn disown(&mut self, source: Source) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.source == Some(source))
        {
            entry.source = None;
        }
    }

    /// Whether anything has to be sent again before new messages.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Offers each entry that was not sent on this connection to `send`, oldest first, and does what it
    /// says.
    pub(super) fn resend(&mut self, mut send: impl FnMut(&mut InFlight) -> Resend) {
        if self.unsent == 0 {
            return;
        }
        let unsent = &mut self.unsent;
        self.entries.retain_mut(|entry| {
            let outcome = if entry.sent {
                Resend::Later
            } else {
                send(entry)
            };
            if outcome != Resend::Later {
                *unsent -= 1;
                entry.sent = true;
            }
            outcome != Resend::Forget
        });
        self.rest_if_empty();
    }
}

/// Entries for which an empty window keeps room.
const KEPT_CAPACITY: usize = 32;

mod withdrawal;

#[cfg(test)]
mod tests;
