//! SUBSCRIBE and UNSUBSCRIBE: the trie, groups, and retained messages for new subscriptions.

use crate::codec::{ReasonCode, RetainHandling, Subscribe, Unsubscribe, Version};
use crate::pubsub::{Granted, Subscriptions};
use crate::queue::DropReason;
use crate::session::{Subscribed, cost};
use crate::store::record::Record;
use crate::topic::{filter, name};

use super::batch::Batch;
use super::core::Broker;
use super::metrics::Gauge;
use super::shared::{Feed, GroupRef, InboundSide, SessionRef};

/// A subscription that is granted: its filter, what it is, and what it replaces.
type Accepted<'a> = (&'a str, Subscribed, Option<Subscribed>);

impl Broker {
    /// Carries out a SUBSCRIBE as if each of its filters had come alone, of which some are permitted;
    /// returns a Reason Code for each. Retained messages are only noted: they are drawn afterwards.
    // [MQTT5-3.8.4-5] [MQTT5-3.8.4-6] [MQTT311-3.8.4-4] [MQTT311-3.8.4-5]
    pub(super) fn subscribe(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        permitted: &[bool],
        version: Version,
        packet: &Subscribe<'_>,
    ) -> Vec<u8> {
        let mut codes = Vec::with_capacity(packet.filters.count());
        let mut accepted = Vec::with_capacity(packet.filters.count());
        for (index, (text, options)) in packet.filters.iter().enumerate() {
            let subscribed = Subscribed {
                options,
                id: packet.subscription_id,
            };
            let refused = self.refuse_subscription(session, side, text, subscribed);
            let permitted = permitted.get(index).is_some_and(|it| *it);
            let refused = refused.or((!permitted).then_some(ReasonCode::NotAuthorized));
            if let Some(code) = refused {
                self.metrics.subscription_refused(code);
                // [MQTT311-3.9.3-2] [MQTT5-3.9.3-2]
                codes.push(if version == Version::V5 {
                    code as u8
                } else {
                    0x80
                });
                continue;
            }
            let replaced = side.subscriptions.insert(text, subscribed);
            if replaced.is_none() {
                self.metrics.gauge(Gauge::Subscriptions, 1);
            }
            accepted.push((text, subscribed, replaced));
            codes.push(options.qos as u8);
        }
        self.enter(session, side, &accepted);
        self.note_feeds(session, &accepted);
        codes
    }

    /// Makes accepted subscriptions known to whoever publishes.
    fn enter(&self, session: &SessionRef, side: &mut InboundSide, accepted: &[Accepted<'_>]) {
        // One lock for all filters: a storm of subscribes is a few long writes, not many. What does
        // not change the routes takes none.
        let mut changed = accepted
            .iter()
            .filter(|(_, subscribed, replaced)| *replaced != Some(*subscribed))
            .peekable();
        if changed.peek().is_none() {
            return;
        }
        let mut subscriptions = self.subscriptions.write();
        for (text, subscribed, replaced) in changed {
            let granted = Granted::new(subscribed.options, subscribed.id);
            // The codec has checked every filter.
            let Ok(parsed) = filter::parse(text) else {
                continue;
            };
            match parsed.share {
                Some(share) => {
                    let shared = self.group(&mut subscriptions, share, parsed.filter);
                    if session.is_kept() {
                        self.keep_group(&shared);
                    }
                    let known = replaced.is_some();
                    shared.group.lock().join(session.clone(), granted, known);
                    if !known {
                        side.groups.push(shared);
                    }
                }
                None => subscriptions.subscribe(text, session.clone(), granted),
            }
            self.generations.changed(parsed.filter);
        }
    }

    /// Why a subscription is not granted whoever asks for it, if it is not.
    fn refuse_subscription(
        &self,
        session: &SessionRef,
        side: &InboundSide,
        text: &str,
        subscribed: Subscribed,
    ) -> Option<ReasonCode> {
        // One that is there already needs no room: who is back to make some says what it always says.
        let changes = side.subscriptions.get(text) != Some(subscribed);
        if changes && session.is_kept() && self.store.accepts().is_err() {
            return Some(ReasonCode::QuotaExceeded);
        }
        let options = self.options();
        let limits = &options.session;
        let plain = filter::parse(text).map_or(text, |parsed| parsed.filter);
        let full = side.subscriptions.len() >= limits.subscriptions_maximum
            || side.subscriptions.bytes() + cost(text) > limits.subscription_bytes_maximum;
        if full && !side.subscriptions.contains(text) {
            return Some(ReasonCode::QuotaExceeded);
        }
        let too_deep = name::levels(plain).count() > limits.topic_levels_maximum;
        too_deep.then_some(ReasonCode::TopicFilterInvalid)
    }

    fn note_feeds(&self, session: &SessionRef, accepted: &[Accepted<'_>]) {
        let replaces = accepted.iter().any(|(.., replaced)| replaced.is_some());
        if !replaces && self.retained.read().is_empty() {
            return;
        }
        let mut outbound = session.outbound.lock();
        for (text, subscribed, replaced) in accepted {
            let shared = filter::parse(text).is_ok_and(|parsed| parsed.share.is_some());
            if shared {
                continue;
            }
            let granted = Granted::new(subscribed.options, subscribed.id);
            if !wants_retained(subscribed.options.retain_handling, replaced.is_some()) {
                // What the subscription before this one is still due is not lost, but comes as this
                // one has it: there is no other any more. [MQTT5-3.8.4-3]
                let known = outbound.feeds.iter_mut();
                for feed in known.filter(|known| *known.filter == **text) {
                    feed.granted = granted;
                }
                continue;
            }
            if replaced.is_some() {
                // Subscribing again starts again, so there is never more than one per subscription.
                outbound.feeds.retain(|known| *known.filter != **text);
            }
            outbound.feeds.push_back(Feed {
                filter: (*text).into(),
                granted,
                after: None,
            });
        }
    }

    /// Carries out an UNSUBSCRIBE; returns a Reason Code for each filter.
    // [MQTT5-3.10.4-2] [MQTT5-3.11.3-1] [MQTT5-3.11.3-2] [MQTT311-3.10.4-2]
    pub(super) fn unsubscribe(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        packet: &Unsubscribe<'_>,
        batch: &mut Batch,
    ) -> Vec<u8> {
        let mut codes = Vec::with_capacity(packet.filters.count());
        for text in packet.filters.iter() {
            let removed = side.subscriptions.remove(text).is_some();
            if removed {
                self.forget(session, side, text, batch);
            }
            let code = match removed {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            };
            codes.push(code as u8);
        }
        codes
    }

    /// Removes a subscription, already gone from the session's own list, from trie or group.
    pub(super) fn forget(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        text: &str,
        batch: &mut Batch,
    ) {
        self.metrics.gauge(Gauge::Subscriptions, -1);
        let Ok(parsed) = filter::parse(text) else {
            return;
        };
        match parsed.share {
            Some(share) => self.leave(session, side, share, parsed.filter, batch),
            None => {
                self.subscriptions.write().unsubscribe(text, session);
                session
                    .outbound
                    .lock()
                    .feeds
                    .retain(|feed| *feed.filter != *text);
            }
        }
        self.generations.changed(parsed.filter);
    }

    /// A member leaves a group; with the last one the group ends.
    fn leave(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        share: &str,
        filter: &str,
        batch: &mut Batch,
    ) {
        side.groups
            .retain(|group| *group.share != *share || *group.filter != *filter);
        let mut subscriptions = self.subscriptions.write();
        let Some(shared) = subscriptions.find_group(filter, share).cloned() else {
            return;
        };
        let ended = shared.group.lock().leave(session);
        session.outbound.lock().outbound.disown(shared.source);
        if let Some(dropped) = ended {
            self.group_ended(&mut subscriptions, &shared, dropped, batch);
        } else if shared.options.ordering.is_some() {
            // What waited for this member waits for nobody now.
            drop(subscriptions);
            self.drain_group(&shared, batch);
        }
    }

    /// A group has ended, with so many messages in its backlog.
    pub(super) fn group_ended(
        &self,
        subscriptions: &mut Subscriptions<SessionRef, GroupRef>,
        shared: &GroupRef,
        dropped: usize,
        batch: &mut Batch,
    ) {
        batch.tally.drop(DropReason::Ended, dropped);
        batch.tally.queue_changed(dropped, 0);
        batch.tally.queued_bytes += shared.weigh(0);
        subscriptions.remove_group(&shared.filter, &shared.share);
        if shared.is_kept() {
            let group = shared.source.0.get();
            self.store.append(Record::Dissolved { group }, None);
        }
        self.metrics.gauge(Gauge::Groups, -1);
    }

    /// Makes the subscriptions of a session that was kept known again.
    pub(super) fn resubscribe<'a>(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        kept: impl Iterator<Item = (&'a str, Subscribed)>,
    ) {
        let mut accepted = Vec::new();
        for (filter, subscribed) in kept {
            side.subscriptions.insert(filter, subscribed);
            accepted.push((filter, subscribed, None));
        }
        self.metrics
            .gauge(Gauge::Subscriptions, accepted.len() as i64);
        self.enter(session, side, &accepted);
    }
}

// [MQTT5-3.3.1-9] [MQTT5-3.3.1-10] [MQTT5-3.3.1-11] [MQTT5-3.8.4-4] [MQTT311-3.8.4-3]
fn wants_retained(handling: RetainHandling, replaced: bool) -> bool {
    match handling {
        RetainHandling::Always => true,
        RetainHandling::IfNew => !replaced,
        RetainHandling::Never => false,
    }
}
