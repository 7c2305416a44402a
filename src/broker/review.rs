//! Whether a session may still have what it has.
//!
//! Asked when a client comes back to its session, on all that it finds there, and on each connection when
//! permissions have changed, or who the client is. What is not allowed any more goes: subscriptions as if
//! they had been given up, with what waits because of them; and the Will. The client is not told, for MQTT
//! has no words for it but to close the connection, on which all else goes on.
//!
//! Where nobody can say ([`Permission::Unknown`]), subscriptions stay.
//!
//! A session that is away keeps what it has until then: nobody is sent it, and when its client is back, this
//! comes before the first message.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Access, Permission, Who};
use crate::codec::ReasonCode;
use crate::message::Message;
use crate::session::Will;
use crate::store::record::Record;

use super::asking::{Questions, subscription};
use super::batch::Batch;
use super::core::Broker;
use super::expiry::DUE_PER_TICK;
use super::open::Open;
use super::person::Person;
use super::port::{Port, Signal};
use super::shared::{InboundSide, SessionRef};

/// What a session has that it may not have.
#[derive(Debug, Default)]
pub(super) struct Forbidden {
    /// Filters that are subscribed to, ShareNames included.
    filters: Vec<Box<str>>,
    /// The Will.
    will: bool,
    /// Filters of which nobody knows yet, and whether that is so of the Will.
    unknown: Vec<Box<str>>,
    unknown_will: bool,
}

/// A Will that is due, of which nobody knows yet whether it is still allowed.
pub(super) struct Doubtful {
    message: Message,
    session: SessionRef,
    person: Person,
    rounds: u8,
}

/// How long to wait before it is asked again, and how often.
const AGAIN: Duration = Duration::from_millis(500);
const ROUNDS: u8 = 60;

impl Forbidden {
    /// What is not known is forbidden.
    pub(super) fn and_unknown(mut self) -> Self {
        self.filters.append(&mut self.unknown);
        self.will |= self.unknown_will;
        self
    }
}

impl Broker {
    /// Takes notice that what is allowed has changed: nothing that was decided before holds any more, and
    /// every connection looks again at what its session has, before it takes the next packet.
    pub fn permissions_changed(&self) {
        self.permissions.changed();
        self.registry.for_each(|session| {
            if let Some(port) = &session.outbound.lock().port {
                port.signal(Signal::Answer);
            }
        });
    }

    /// Finds the subscriptions of a session that are not allowed.
    pub(super) fn forbidden(
        &self,
        side: &InboundSide,
        who: &Who<'_>,
        questions: &mut Questions<'_>,
    ) -> Forbidden {
        let mut forbidden = Forbidden::default();
        for (text, subscribed) in side.subscriptions.iter() {
            let access = subscription(text, subscribed.options.qos);
            match questions.put(|again| self.auth.allows(who, access, again)) {
                // It was granted when somebody could say.
                Permission::Allowed | Permission::Unknown => {}
                Permission::Denied => forbidden.filters.push(text.into()),
                Permission::Later => forbidden.unknown.push(text.into()),
            }
        }
        forbidden
    }

    fn is_will_forbidden(
        &self,
        side: &InboundSide,
        who: &Who<'_>,
        questions: &mut Questions<'_>,
    ) -> Permission {
        let Some(will) = &side.will else {
            return Permission::Allowed;
        };
        self.is_allowed(&will.message, who, |who, access| {
            questions.put(|again| self.auth.allows(who, access, again))
        })
    }

    /// Takes from a session what it may not have. What waits for it is judged before it is sent.
    pub(super) fn withdraw_all(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        forbidden: &Forbidden,
        batch: &mut Batch,
    ) {
        if forbidden.will {
            self.withdraw_will(session, side);
        }
        let filters = &forbidden.filters;
        if filters.is_empty() {
            return;
        }
        for filter in filters {
            if side.subscriptions.remove(filter).is_some() {
                self.forget(session, side, filter, batch);
            }
        }
        if session.is_kept() {
            let filters: Vec<&str> = filters.iter().map(|it| &**it).collect();
            let record = Record::Unsubscribed {
                session: session.number,
                filters: &filters,
            };
            self.store.append(record, None);
        }
        session.outbound.lock().outbound.doubt();
        self.metrics.subscriptions_withdrawn(filters.len());
        tracing::info!(
            client = &*session.client_id,
            user = session.owner.user.as_deref(),
            subscriptions = filters.len(),
            first = &*filters[0],
            "withdrawn: not permitted any more"
        );
    }

    /// Publishes a Will, unless permissions have changed since it was looked at, and it is not allowed any
    /// more.
    pub(super) fn publish_permitted(
        &self,
        will: &Will,
        session: &SessionRef,
        reviewed: u64,
        batch: &mut Batch,
    ) {
        let message = will.publish(batch.now.wall);
        let generation = self.permissions.generation();
        if reviewed == generation {
            return self.publish(message, Some(session), batch);
        }
        let will = Doubtful {
            message,
            session: session.clone(),
            person: session.person(),
            rounds: 0,
        };
        self.publish_doubtful(will, batch);
    }

    fn publish_doubtful(&self, will: Doubtful, batch: &mut Batch) {
        let session = &will.session;
        let who = will.person.who(&session.client_id);
        let mut later = false;
        let again = &mut || Box::new(|| ()) as _;
        let permission = self.is_allowed(&will.message, &who, |who, access| {
            let permission = self.auth.allows(who, access, again);
            later = permission == Permission::Later;
            permission
        });
        if later && will.rounds < ROUNDS {
            let at = batch.now.instant + AGAIN;
            let will = Doubtful {
                rounds: will.rounds + 1,
                ..will
            };
            return self.schedule.lock().doubt(at, will);
        }
        if permission == Permission::Allowed {
            return self.publish(will.message.clone(), Some(session), batch);
        }
        self.metrics.publish_refused(ReasonCode::NotAuthorized);
        tracing::info!(
            client = &*session.client_id,
            user = session.owner.user.as_deref(),
            "the Will is not published: not permitted any more"
        );
    }

    /// Publishes the Wills about which it is known now whether they are allowed.
    pub(super) fn publish_doubtful_wills(&self, batch: &mut Batch) {
        for _ in 0..DUE_PER_TICK {
            let due = self.schedule.lock().take_doubtful(batch.now.instant);
            let Some(will) = due else {
                return;
            };
            self.publish_doubtful(will, batch);
        }
    }

    /// Asks whether somebody may leave this message as a Will.
    fn is_allowed(
        &self,
        message: &Message,
        who: &Who<'_>,
        ask: impl FnOnce(&Who<'_>, Access<'_>) -> Permission,
    ) -> Permission {
        let topic = self.topic_within(message);
        let Some(topic) = topic.filter(|topic| self.refuse_topic(topic).is_none()) else {
            return Permission::Denied;
        };
        let access = Access::Publish {
            topic,
            qos: message.qos(),
            retain: message.retain(),
        };
        ask(who, access)
    }

    fn withdraw_will(&self, session: &SessionRef, side: &mut InboundSide) {
        side.will = None;
        if session.is_kept() {
            let session = session.number;
            self.store.append(Record::WillDone { session }, None);
        }
        tracing::info!(
            client = &*session.client_id,
            user = session.owner.user.as_deref(),
            "the Will is withdrawn: not permitted any more"
        );
    }
}

impl Open {
    /// Looks again at what the session has, if something has changed since that was done last.
    pub(super) fn review(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        batch: &mut Batch,
    ) {
        let generation = broker.permissions.generation();
        if side.reviewed == generation {
            return;
        }
        let now = batch.now.instant;
        if self.reviewing.as_ref().is_some_and(|it| !it.is_over(now)) {
            return;
        }
        // Whether deliveries are watched may have changed as well.
        broker.introduce(&self.session, side, self.person(port));
        let who = self.who(port);
        let mut questions = Questions::new(port, now);
        let mut forbidden = broker.forbidden(side, &who, &mut questions);
        match broker.is_will_forbidden(side, &who, &mut questions) {
            Permission::Allowed => {}
            // It would be published without anybody having said so.
            Permission::Denied | Permission::Unknown => forbidden.will = true,
            Permission::Later => forbidden.unknown_will = true,
        }
        if questions.are_answered(&mut self.reviewing) {
            side.reviewed = generation;
            forbidden = forbidden.and_unknown();
        }
        broker.withdraw_all(&self.session, side, &forbidden, batch);
    }
}
