//! What the store is told.
//!
//! What becomes of a session's deliveries is told under its outbound lock, so that the store hears it
//! in the order in which it happened. Sessions that end with their connection, and what only they are
//! to have, are none of the store's business.

use std::num::NonZeroU64;
use std::ops::Deref;

use crate::codec::{PacketId, QoS};
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, DropReason};
use crate::session::{Source, Step, Terms};
use crate::store::record::{self, Accepted, KeptWill, Opened, Record, Target};
use crate::store::{Ask, Progress, Safety};

use super::batch::Batch;
use super::core::Broker;
use super::delivery::touch;
use super::person::Owner;
use super::routes::SharedRoute;
use super::shared::{InboundSide, OutboundSide, SessionRef, SharedGroup};

/// A message that is to be kept for whoever it is routed to.
pub(super) struct ToKeep<'a> {
    pub message: &'a Message,
    pub route: &'a SharedRoute,
    /// Whose message it is.
    pub publisher: Option<&'a SessionRef>,
    /// The QoS 2 id that the publisher's session holds, if that is kept.
    pub held: Option<PacketId>,
    /// Whether it is the retained message of its topic now, or clears it.
    pub retained: bool,
    /// Whether it is refused if it is to be retained and there is no room.
    pub must_be_retained: bool,
}

impl Broker {
    /// Asks the store to keep a message for those who are to have it and outlive their connections.
    pub(super) fn keep(&self, what: &ToKeep<'_>, ask: Option<Ask<'_>>) -> Progress {
        if !self.store.remembers() {
            return Progress::Done;
        }
        let (message, route) = (what.message, what.route);
        let Some(safety) = self.promise.of_message(message) else {
            return Progress::Done;
        };
        let targets = targets(message, route);
        // What the broker says of itself is told anew when it starts.
        let retained = what.retained && what.publisher.is_some();
        if targets.is_empty() && what.held.is_none() && !retained {
            return Progress::Done;
        }
        let number = self.number();
        message.keep_as(number);
        let publisher = what.publisher;
        let accepted = Accepted {
            number: number.get(),
            message,
            held: publisher.map(|session| session.number).zip(what.held),
            retained,
            publisher: publisher.map(|session| &*session.client_id),
            due: None,
            targets: &targets,
        };
        self.append(Record::Message(accepted), safety, ask)
    }

    /// Appends a record that is to be so safe.
    pub(super) fn append(
        &self,
        record: Record<'_>,
        safety: Safety,
        ask: Option<Ask<'_>>,
    ) -> Progress {
        self.store
            .append(record, ask.map(|ask| Ask { safety, ..ask }))
    }

    /// Asks the store to keep a change of a session's state.
    pub(super) fn keep_state(&self, record: Record<'_>, ask: Ask<'_>) -> Progress {
        match self.promise.of_sessions() {
            Some(safety) => self.append(record, safety, Some(ask)),
            None => Progress::Done,
        }
    }

    /// Tells that the retained message of a topic is no more.
    pub(super) fn tell_cleared(&self, message: &Message) {
        if message.number().is_some() {
            let topic = message.topic();
            self.store.append(Record::Cleared { topic }, None);
        }
    }

    /// Tells what has become of deliveries to a session, and opens the gates that need not wait.
    pub(super) fn tell_steps(
        &self,
        session: &SessionRef,
        side: &mut OutboundSide,
        batch: &mut Batch,
    ) {
        if let Some(numbers) = side.outbound.wanted() {
            self.store.recall(numbers, session.recalls());
        }
        let lost = std::mem::take(&mut side.lost) as usize;
        batch.tally.drop(DropReason::Unreadable, lost);
        batch.tally.queue_changed(lost, 0);
        // What opens a gate may be followed by further steps.
        while let Some(steps) = side.outbound.take_steps() {
            // The outcome of one covers all before it.
            let gate = steps.iter().rev().find_map(Step::gate);
            for step in &steps {
                let last = gate.filter(|_| step.gate() == gate);
                let record = step_record(session.number, step);
                let Some(gate) = last else {
                    self.store.append(record, None);
                    continue;
                };
                let safety = self.promise.of_sessions();
                let safety = safety.unwrap_or(Safety::Written);
                let ask = session.ask_for_gate(gate, safety);
                if self.store.append(record, Some(ask)) != Progress::Later {
                    self.open_gates(session, side, gate.get(), batch);
                }
            }
            side.outbound.told(steps);
        }
    }

    /// Lets what has become safe up to this gate go its way.
    pub(super) fn open_gates(
        &self,
        session: &SessionRef,
        side: &mut OutboundSide,
        safe: u64,
        batch: &mut Batch,
    ) {
        let mut cx = batch.context(self);
        if side.outbound.open_gates(safe, &mut cx) {
            touch(session, side, batch);
        }
    }

    /// Tells that a retained message is to be sent for a new subscription.
    pub(super) fn keep_feed(&self, session: &SessionRef, delivery: &Delivery) {
        let followed = delivery.qos != QoS::AtMostOnce && session.is_kept();
        let Some(number) = delivery.message.number().filter(|_| followed) else {
            return;
        };
        let target = Target {
            owner: session.number,
            group: false,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: delivery.subscription_ids.as_slice(),
        };
        let record = Record::Fed {
            number: number.get(),
            target,
        };
        self.store.append(record, None);
    }

    /// Tells that a message of a group's backlog is given up.
    pub(super) fn tell_dropped(&self, group: &SharedGroup, message: &Message) {
        if let Some(number) = message.number().filter(|_| group.is_kept()) {
            self.store.append(
                Record::Dropped {
                    owner: group.source.0.get(),
                    number: number.get(),
                },
                None,
            );
        }
    }

    /// Tells that a message of a group's backlog could not be read back.
    pub(super) fn tell_lost(&self, group: &SharedGroup, number: NonZeroU64) {
        let record = Record::Dropped {
            owner: group.source.0.get(),
            number: number.get(),
        };
        self.store.append(record, None);
    }

    /// Asks the store to keep a session that is to be opened under this number; `back` if it was there
    /// before.
    pub(super) fn keep_session(
        &self,
        (number, back): (u64, bool),
        terms: &Terms,
        owner: &Owner,
        ask: Option<Ask<'_>>,
    ) -> Progress {
        let opened = Opened {
            session: number,
            back,
            client_id: &terms.client_id,
            owner: record::Owner {
                user: owner.user.as_deref(),
                mount: owner.mount.as_deref(),
            },
            expiry: terms.expiry,
            will: terms.will.as_ref().map(|will| KeptWill {
                message: &will.message,
                delay: will.delay,
                expiry: will.expiry,
            }),
        };
        let record = Record::Opened(opened);
        match ask {
            Some(ask) => self.keep_state(record, ask),
            None => self.store.append(record, None),
        }
    }

    /// A kept session has joined a group, which is kept from now on, if it was not before.
    pub(super) fn keep_group(&self, group: &SharedGroup) {
        if group.is_kept() {
            return;
        }
        let record = Record::Group {
            group: group.source.0.get(),
            share: &group.share,
            filter: &group.filter,
        };
        self.store.append(record, None);
        group.group.lock().spill(self.options().queue_memory);
        group.set_kept();
    }

    /// A session has lost its connection, or another holder has; `will` is whether its Will is due.
    pub(super) fn tell_left(
        &self,
        session: &SessionRef,
        side: &InboundSide,
        at: Timestamp,
        will: bool,
    ) {
        let record = Record::Left {
            session: session.number,
            at,
            expiry: side.expiry,
            will,
        };
        self.store.append(record, None);
    }
}

fn step_record(holder: u64, step: &Step) -> Record<'static> {
    match *step {
        Step::Sent {
            id,
            number,
            source,
            qos,
            ..
        } => Record::Sent {
            holder,
            id,
            number: number.get(),
            group: source.map(|Source(group)| group.get()),
            qos,
        },
        Step::Received { id, .. } => Record::Received { holder, id },
        Step::Done(id) => Record::Done { holder, id },
        Step::Returned(id) => Record::Returned { holder, id },
        Step::Dropped { number, source } => Record::Dropped {
            owner: source.map_or(holder, |Source(group)| group.get()),
            number: number.get(),
        },
    }
}

/// Who is to have a message: nobody or one nearly always, which takes no allocation.
pub(super) enum Targets<'a> {
    Few(Option<Target<'a>>),
    Many(Vec<Target<'a>>),
}

impl<'a> Deref for Targets<'a> {
    type Target = [Target<'a>];

    fn deref(&self) -> &[Target<'a>] {
        match self {
            Self::Few(targets) => targets.as_slice(),
            Self::Many(targets) => targets,
        }
    }
}

/// Who outlives its connection, and is promised the message.
pub(super) fn targets<'a>(message: &Message, route: &'a SharedRoute) -> Targets<'a> {
    if message.qos() == QoS::AtMostOnce {
        return Targets::Few(None);
    }
    let sessions = route.recipients.iter().filter_map(|recipient| {
        let qos = message.qos().min(recipient.qos);
        let promised = qos != QoS::AtMostOnce && recipient.subscriber.is_kept();
        promised.then(|| Target {
            owner: recipient.subscriber.number,
            group: false,
            qos,
            retain: message.retain() && recipient.retain_as_published,
            subscription_ids: recipient.ids.as_slice(),
        })
    });
    let groups = route.groups.iter().filter(|group| group.is_kept());
    let groups = groups.map(|group| Target {
        owner: group.source.0.get(),
        group: true,
        qos: message.qos(),
        retain: message.retain(),
        subscription_ids: &[],
    });
    let mut all = sessions.chain(groups);
    let first = all.next();
    match all.next() {
        None => Targets::Few(first),
        second => Targets::Many(first.into_iter().chain(second).chain(all).collect()),
    }
}
