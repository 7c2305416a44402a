//! What a session has to tell the store of its deliveries.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use crate::codec::{PacketId, QoS};
use crate::queue::Gone;

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
        /// Of a QoS 2 message: its PUBLISH waits behind this gate.
        gate: Option<NonZeroU64>,
    },
    /// PUBREC came: only the id is needed any more.
    Received {
        /// The id.
        id: PacketId,
        /// The PUBREL waits behind it.
        gate: NonZeroU64,
    },
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

impl Step {
    /// The gate that opens once this is safe.
    pub fn gate(&self) -> Option<NonZeroU64> {
        match *self {
            Self::Sent { gate, .. } => gate,
            Self::Received { gate, .. } => Some(gate),
            Self::Done(_) | Self::Returned(_) | Self::Dropped { .. } => None,
        }
    }
}

/// Steps that have not been told yet, in their order.
///
/// PUBLISH and PUBREL of QoS 2 leave only when the store has made the step before them safe, for else a
/// message could come twice after a crash: each waits behind a *gate*, and the gates of a session open
/// in their order.
///
/// Invariant: a step follows from what the store keeps; without messages that it keeps, or a session
/// that it keeps, there is none.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Whether the session is kept. Messages that came from a group are the group's matter.
    kept: bool,
    /// Whether anything was ever told of what is in the window.
    followed: bool,
    /// Nothing, before the first step.
    written: Option<Box<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    steps: Vec<Step>,
    /// Gates that are closed, in their order, and whose way they bar.
    gates: VecDeque<(NonZeroU64, PacketId)>,
    /// The last gate that was made.
    last_gate: u64,
}

impl Journal {
    /// Of a session that was kept; `followed` is whether anything is in its window.
    pub(super) fn restored(followed: bool) -> Self {
        Self {
            kept: true,
            followed,
            ..Self::default()
        }
    }

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

    /// The number under which the store follows a delivery, if it does.
    pub(super) fn followed(&self, it: Gone<'_>, source: Option<Source>) -> Option<NonZeroU64> {
        let followed = it.qos != QoS::AtMostOnce && (self.kept || source.is_some());
        it.number.filter(|_| followed)
    }

    /// Notes that a message has an id; returns the gate that its PUBLISH waits behind, if it does.
    pub(super) fn sent(
        &mut self,
        id: PacketId,
        delivery: (NonZeroU64, QoS),
        source: Option<Source>,
    ) -> Option<NonZeroU64> {
        let (number, qos) = delivery;
        self.followed = true;
        let written = self.written();
        let gate = (qos == QoS::ExactlyOnce).then(|| written.gate(id));
        written.steps.push(Step::Sent {
            id,
            number,
            source,
            qos,
            gate,
        });
        gate
    }

    /// Notes that PUBREC came; returns the gate that the PUBREL waits behind.
    pub(super) fn received(&mut self, id: PacketId) -> NonZeroU64 {
        let written = self.written();
        let gate = written.gate(id);
        written.steps.push(Step::Received { id, gate });
        gate
    }

    fn written(&mut self) -> &mut Written {
        self.written.get_or_insert_default()
    }

    /// Takes the next gate that opens if all up to `safe` do.
    pub(super) fn open(&mut self, safe: u64) -> Option<(NonZeroU64, PacketId)> {
        let gates = &mut self.written.as_mut()?.gates;
        let opens = gates.front().is_some_and(|(gate, _)| gate.get() <= safe);
        let gate = opens.then(|| gates.pop_front()).flatten();
        if gates.is_empty() && gates.capacity() > KEPT_CAPACITY {
            *gates = VecDeque::new();
        }
        gate
    }

    pub(super) fn dropped(&mut self, gone: Gone<'_>, source: Option<Source>) {
        if let Some(number) = self.followed(gone, source) {
            self.push(Step::Dropped { number, source });
        }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.written().steps.push(step);
    }

    /// Takes what has not been told.
    pub(super) fn take(&mut self) -> Vec<Step> {
        let written = self.written.as_mut();
        written.map_or_else(Vec::new, |it| std::mem::take(&mut it.steps))
    }

    /// Uses the room of steps that were taken again, so that a message costs no allocation for each of its
    /// own; not that of a burst.
    pub(super) fn reuse(&mut self, mut steps: Vec<Step>) {
        if let Some(written) = &mut self.written
            && written.steps.capacity() == 0
            && steps.capacity() <= KEPT_STEPS
        {
            steps.clear();
            written.steps = steps;
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.written.as_ref().is_some_and(|it| !it.steps.is_empty())
    }
}

impl Written {
    fn gate(&mut self, id: PacketId) -> NonZeroU64 {
        self.last_gate += 1;
        let gate = NonZeroU64::new(self.last_gate).unwrap_or(NonZeroU64::MIN);
        self.gates.push_back((gate, id));
        gate
    }
}

/// Gates, and steps, for which an empty line keeps room.
const KEPT_CAPACITY: usize = 16;
const KEPT_STEPS: usize = 4;
