//! What the store is told.
//!
//! What becomes of a session's deliveries is told under its outbound lock, so that the store hears it
//! in the order in which it happened. Sessions that end with their connection, and what only they are
//! to have, are none of the store's business.

use crate::codec::{PacketId, QoS};
use crate::message::{Message, Timestamp};
use crate::queue::Delivery;
use crate::session::{Source, Step, Terms};
use crate::store::record::{Accepted, KeptWill, Opened, Record, Target};
use crate::store::{Progress, Receipt};

use super::core::Broker;
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
}

impl Broker {
    /// Asks the store to keep a message for those who are to have it and outlive their connections.
    pub(super) fn keep(
        &self,
        what: &ToKeep<'_>,
        receipt: Option<&mut dyn FnMut() -> Receipt>,
    ) -> Progress {
        if !self.store.remembers() {
            return Progress::Done;
        }
        let (message, route) = (what.message, what.route);
        let targets = targets(message, route);
        if targets.is_empty() && what.held.is_none() && !what.retained {
            return Progress::Done;
        }
        let number = self.number();
        message.keep_as(number);
        let publisher = what.publisher;
        let accepted = Accepted {
            number: number.get(),
            message,
            held: publisher.map(|session| session.number).zip(what.held),
            retained: what.retained,
            publisher: publisher.map(|session| &*session.client_id),
            targets: &targets,
        };
        self.store.append(Record::Message(accepted), receipt)
    }

    /// Tells what has become of deliveries to a session.
    pub(super) fn tell_steps(&self, session: &SessionRef, side: &mut OutboundSide) {
        let holder = session.number;
        for step in side.outbound.take_steps().into_iter().flatten() {
            let record = match step {
                Step::Sent {
                    id,
                    number,
                    source,
                    qos,
                } => Record::Sent {
                    holder,
                    id,
                    number: number.get(),
                    group: source.map(|Source(group)| group.get()),
                    qos,
                },
                Step::Received(id) => Record::Received { holder, id },
                Step::Done(id) => Record::Done { holder, id },
                Step::Returned(id) => Record::Returned { holder, id },
                Step::Dropped { number, source } => Record::Dropped {
                    owner: source.map_or(holder, |Source(group)| group.get()),
                    number: number.get(),
                },
            };
            self.store.append(record, None);
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

    /// Asks the store to keep a session that is to be opened under this number.
    pub(super) fn keep_session(
        &self,
        number: u64,
        terms: &Terms,
        receipt: Option<&mut dyn FnMut() -> Receipt>,
    ) -> Progress {
        let opened = Opened {
            session: number,
            client_id: &terms.client_id,
            expiry: terms.expiry,
            will: terms.will.as_ref().map(|will| KeptWill {
                message: &will.message,
                delay: will.delay,
                expiry: will.expiry,
            }),
        };
        self.store.append(Record::Opened(opened), receipt)
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

/// Who outlives its connection, and is promised the message.
fn targets<'a>(message: &Message, route: &'a SharedRoute) -> Vec<Target<'a>> {
    if message.qos() == QoS::AtMostOnce {
        return Vec::new();
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
    sessions.chain(groups).collect()
}
