//! What a session has to tell the store of its deliveries.

use std::num::NonZeroU64;

use crate::codec::{PacketId, QoS};
use crate::message::Message;
use crate::queue::Delivery;

use super::window::Source;

/// What has become of the delivery of a message that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has an id and is on its way to the client, for the first time.
    Sent {
        /// The id.
        id: PacketId,
        /// The message's number.
        number: NonZeroU64,
        /// The group it came from.
        source: Option<Source>,
        /// The QoS of the delivery.
        qos: QoS,
    },
    /// PUBREC came: only the id is needed any more.
    Received(PacketId),
    /// It has come to its end.
    Done(PacketId),
    /// It was taken back while its client has it, for another member of its group.
    Returned(PacketId),
    /// It will not be sent, for it expired, or gave way, or is too large.
    Dropped {
        /// The message's number.
        number: NonZeroU64,
        /// The group it came from.
        source: Option<Source>,
    },
}

/// Steps that have not been told yet, in their order.
///
/// Invariant: a step follows from what the store keeps; without messages that it keeps, or a session
/// that it keeps, there is none.
#[derive(Debug, Default)]
pub(super) struct Journal {
    steps: Vec<Step>,
    /// Whether the session is kept. Messages that came from a group are the group's matter.
    kept: bool,
    /// Whether anything was ever told of what is in the window.
    followed: bool,
}

impl Journal {
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    pub(super) fn keep(&mut self, kept: bool) {
        self.kept = kept;
    }

    /// Whether an entry of the window may be one that the store follows.
    pub(super) fn is_followed(&self) -> bool {
        self.followed
    }

    /// The number under which the store follows this delivery, if it does.
    pub(super) fn number(
        &self,
        message: &Message,
        qos: QoS,
        source: Option<Source>,
    ) -> Option<NonZeroU64> {
        let followed = qos != QoS::AtMostOnce && (self.kept || source.is_some());
        followed.then(|| message.number()).flatten()
    }

    pub(super) fn sent(
        &mut self,
        id: PacketId,
        delivery: (NonZeroU64, QoS),
        source: Option<Source>,
    ) {
        let (number, qos) = delivery;
        self.followed = true;
        self.steps.push(Step::Sent {
            id,
            number,
            source,
            qos,
        });
    }

    pub(super) fn dropped(&mut self, delivery: &Delivery, source: Option<Source>) {
        if let Some(number) = self.number(&delivery.message, delivery.qos, source) {
            self.steps.push(Step::Dropped { number, source });
        }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Takes what has not been told.
    pub(super) fn take(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    pub(super) fn has_news(&self) -> bool {
        !self.steps.is_empty()
    }
}
