//! From a message to everybody who gets it.

use std::sync::Arc;

use crate::message::Message;
use crate::pubsub::{Recipient, Route};
use crate::queue::DropReason;
use crate::store::{Ask, Failure, Progress};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::delayed::is_for_later;
use super::keeping::ToKeep;
use super::routes::{Holds, Routes, SharedRoute};
use super::shared::{GroupRef, SessionRef};

/// Recipients that one step fills: a message for more is delivered in several steps, between which
/// the turn may end, so that one publish does not keep a thread from everyone else.
pub(super) const RECIPIENTS_PER_STEP: usize = 256;

/// A message on its way to the recipients of a route, in turns.
pub(super) struct FanOut {
    pub message: Message,
    route: SharedRoute,
    /// Recipients that have been filled, and then groups that have been offered it.
    done: usize,
}

impl FanOut {
    pub(super) fn new(message: Message, route: SharedRoute) -> Self {
        Self {
            message,
            route,
            done: 0,
        }
    }

    /// Whether everybody has been reached.
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.route.recipients.len() + self.route.groups.len()
    }
}

impl Broker {
    /// The route of a topic, as remembered or looked up.
    pub(super) fn route(
        &self,
        topic: &str,
        publisher: &SessionRef,
        routes: &mut Routes,
        now: Now,
    ) -> SharedRoute {
        let permissions = self.permissions.generation();
        routes.get(
            topic,
            |it| {
                it.permissions == permissions
                    && it.is_in_time(now.instant)
                    && self.generations.holds(it.stamp)
            },
            || {
                // The stamp first: a change during the look-up makes the route stale, not wrong.
                let stamp = self.generations.stamp(topic);
                let route = self.subscriptions.read().route(topic, Some(publisher));
                let (route, asked) = self.withhold(topic, route);
                let until = match asked {
                    true => self.remembered_until(now.instant),
                    false => None,
                };
                let holds = Holds {
                    stamp,
                    permissions,
                    until,
                };
                (holds, Arc::new(route))
            },
        )
    }

    pub(super) fn look_up(&self, topic: &str, publisher: Option<&SessionRef>) -> SharedRoute {
        let route = self.subscriptions.read().route(topic, publisher);
        Arc::new(self.withhold(topic, route).0)
    }

    /// Leaves out who may not have what is published to a topic; returns also whether anybody was asked
    /// about.
    fn withhold(
        &self,
        topic: &str,
        mut route: Route<SessionRef, GroupRef>,
    ) -> (Route<SessionRef, GroupRef>, bool) {
        let watched = |it: &Recipient<SessionRef>| it.subscriber.is_screened();
        let asked = route.recipients.iter().any(watched);
        if asked {
            let before = route.recipients.len();
            route
                .recipients
                .retain(|it| self.may_receive(&it.subscriber, topic));
            route.withheld = before - route.recipients.len();
        }
        (route, asked)
    }

    /// Whether a message is to be the retained one of its topic, or to clear it.
    // [MQTT5-3.3.1-5] [MQTT5-3.3.1-8] [MQTT311-3.3.1-5] [MQTT311-3.3.1-12]
    pub(super) fn retains(&self, message: &Message) -> bool {
        message.retain() && self.options().pubsub.retained.available
    }

    /// Takes a message in: asks the store to keep it, and retains it if it is to be. Nothing is done
    /// if the store refuses it; without room among the retained messages `what` says so afterwards.
    ///
    /// Both under one lock: the store hears of retained messages in the order in which they replace
    /// each other.
    pub(super) fn take_in(&self, what: &mut ToKeep<'_>, ask: Option<Ask<'_>>) -> Progress {
        if !what.retained {
            return self.keep(what, ask);
        }
        let mut retained = self.retained.write();
        if !retained.has_room_for(what.message) {
            drop(retained);
            self.metrics.retained_refused();
            what.retained = false;
            if what.must_be_retained {
                return Progress::Refused(Failure::Full);
            }
            return self.keep(what, ask);
        }
        let progress = self.keep(what, ask);
        if !matches!(progress, Progress::Refused(_)) || what.publisher.is_none() {
            let publisher = what.publisher;
            let publisher = publisher.map(|session| Arc::clone(&session.client_id));
            // There is room.
            let _ = retained.set(what.message.clone(), publisher);
        }
        progress
    }

    /// Takes a message one step further: fills some recipients, or offers it to some groups. Returns
    /// how many.
    pub(super) fn fan_out(&self, fan_out: &mut FanOut, batch: &mut Batch) -> usize {
        let FanOut {
            message,
            route,
            done,
        } = fan_out;
        if *done == 0 {
            batch.tally.drop(DropReason::NotPermitted, route.withheld);
        }
        let step = |len: usize, done: usize| done..len.min(done + RECIPIENTS_PER_STEP);
        let recipients = step(route.recipients.len(), *done);
        let count = if recipients.is_empty() {
            let groups = step(route.groups.len(), *done - route.recipients.len());
            for group in &route.groups[groups.clone()] {
                self.offer(group, message, batch);
            }
            groups.len()
        } else {
            for recipient in &route.recipients[recipients.clone()] {
                self.deliver(recipient, message, batch);
            }
            recipients.len()
        };
        *done += count;
        count
    }

    /// Takes a message to everybody who has not had it.
    pub(super) fn fan_out_all(&self, fan_out: &mut FanOut, batch: &mut Batch) {
        loop {
            self.fan_out(fan_out, batch);
            if fan_out.is_done() {
                return;
            }
        }
    }

    /// Publishes a message that no connection waits for: a Will, or the broker's own. `publisher`
    /// is whose Will it is.
    pub(super) fn publish(
        &self,
        message: Message,
        publisher: Option<&SessionRef>,
        batch: &mut Batch,
    ) {
        if is_for_later(message.topic()) {
            return self.delay_will(&message, publisher, batch);
        }
        let route = self.look_up(message.topic(), publisher);
        let mut what = ToKeep {
            message: &message,
            route: &route,
            publisher,
            held: None,
            retained: self.retains(&message),
            must_be_retained: false,
        };
        // Nobody is told how it went, so nothing waits for it, and it goes to whom it can reach.
        self.take_in(&mut what, None);
        self.fan_out_all(&mut FanOut::new(message, route), batch);
    }
}
