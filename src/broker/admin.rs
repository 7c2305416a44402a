//! What an operator asks of a running broker: what sessions and groups there are, and the few things
//! that are done to them by hand.
//!
//! | asked | what happens |
//! |---|---|
//! | kick | the connection ends with 0x98, its Will is due; the session goes on |
//! | delete | the session ends, with its connection if it has one, and its Will is due |
//! | purge | what waits is given up; what is in flight goes on |
//!
//! What is looked at is as it is at that moment, one session after the other: a list is no snapshot of
//! all of them. The store is told of all that is done, and its outcome is not waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{QoS, ReasonCode, Version};
use crate::queue::DropReason;
use crate::session::{NEVER, Subscribed};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::port::Signal;
use super::sessions::Detach;
use super::shared::{GroupRef, InboundSide, OutboundSide, SessionRef, State};

/// A part of a list, in its order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// Whether more follows.
    pub more: bool,
}

/// A session in a list.
#[derive(Clone, Debug)]
pub struct SessionSummary {
    /// Its Client Identifier.
    pub client_id: Arc<str>,
    /// Whether it has a connection.
    pub connected: bool,
    /// For how long it has had one, or none.
    pub since: Duration,
    /// Its Session Expiry Interval in seconds; nothing if it never ends.
    pub expiry: Option<u32>,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Deliveries in flight.
    pub in_flight: usize,
    /// Messages that wait.
    pub queued: usize,
    /// Bytes of topic, properties and payload of what waits, as far as they are known.
    pub queued_bytes: usize,
}

/// A session by itself.
#[derive(Clone, Debug)]
pub struct SessionDetails {
    /// What a list says of it.
    pub summary: SessionSummary,
    /// The user whose it is, if it is anybody's.
    pub user: Option<Arc<str>>,
    /// The mount point that its topics are below, if there is one.
    pub mount: Option<Arc<str>>,
    /// The protocol version of its connection.
    pub version: Option<Version>,
    /// Where its connection comes from, if its transport has addresses.
    pub peer: Option<SocketAddr>,
    /// Whether the store keeps it.
    pub kept: bool,
    /// When it ends if it has no connection until then.
    pub ends_in: Option<Duration>,
    /// The Will of its connection, or one that waits for its delay.
    pub will: Option<WillSummary>,
    /// Topic Filters, ShareName included, and what was granted.
    pub subscriptions: Vec<(Box<str>, Subscribed)>,
    /// QoS 2 Packet Identifiers of messages that its client has published and not released.
    pub held: usize,
}

/// A Will.
#[derive(Clone, Debug)]
pub struct WillSummary {
    /// The Topic Name.
    pub topic: Box<str>,
    /// The QoS to publish with.
    pub qos: QoS,
    /// The RETAIN flag to publish with.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// Bytes of the payload.
    pub payload: usize,
}

/// A shared group in a list.
#[derive(Clone, Debug)]
pub struct GroupSummary {
    /// Its ShareName.
    pub share: Box<str>,
    /// Its Topic Filter, without the ShareName.
    pub filter: Box<str>,
    /// Its members.
    pub members: usize,
    /// Those that have a connection.
    pub connected: usize,
    /// Messages that wait for a member.
    pub backlog: usize,
    /// Bytes of topic, properties and payload of them, as far as they are known.
    pub backlog_bytes: usize,
}

/// A shared group by itself.
#[derive(Clone, Debug)]
pub struct GroupDetails {
    /// What a list says of it.
    pub summary: GroupSummary,
    /// Whether the store keeps its backlog.
    pub kept: bool,
    /// Its members, in the order in which they joined.
    pub members: Vec<MemberSummary>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct MemberSummary {
    /// Its Client Identifier.
    pub client_id: Arc<str>,
    /// Whether it has a connection.
    pub connected: bool,
    /// The QoS that its subscription was granted.
    pub qos: QoS,
    /// Deliveries in flight to it, from this group and from elsewhere.
    pub in_flight: usize,
}

/// What came of a kick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kicked {
    /// The connection was asked to close.
    Done,
    /// The session has none.
    Away,
    /// There is no such session.
    Unknown,
}

impl Broker {
    /// Sessions by their Client Identifiers, those after `after`, so many at most.
    pub fn sessions(&self, after: Option<&str>, most: usize, now: Now) -> Page<SessionSummary> {
        let mut first: BTreeMap<Arc<str>, SessionRef> = BTreeMap::new();
        let mut more = false;
        self.registry.for_each(|session| {
            if after.is_some_and(|after| &*session.client_id <= after) {
                return;
            }
            first.insert(Arc::clone(&session.client_id), session.clone());
            if first.len() > most {
                more = true;
                first.pop_last();
            }
        });
        let items = first.values().filter_map(|session| {
            let side = session.inbound.lock();
            summary(session, &side, &session.outbound.lock(), now)
        });
        let items = items.collect();
        Page { items, more }
    }

    /// The session of this Client Identifier.
    pub fn session(&self, client_id: &str, now: Now) -> Option<SessionDetails> {
        let session = self.registry.find(client_id)?;
        let side = session.inbound.lock();
        let mut outbound = session.outbound.lock();
        let subscriptions = side.subscriptions.iter();
        let left = |end: Instant| end.saturating_duration_since(now.instant);
        Some(SessionDetails {
            summary: summary(&session, &side, &outbound, now)?,
            user: session.owner.user.clone(),
            mount: session.owner.mount.clone(),
            version: outbound.outbound.line().map(|line| line.version()),
            peer: outbound.port.as_ref().and_then(|port| port.peer()),
            kept: session.is_kept(),
            ends_in: match &side.state {
                State::Away(absence) => absence.end.map(left),
                State::Attached(_) | State::Between | State::Ended => None,
            },
            will: side.will.as_ref().map(|will| WillSummary {
                topic: will.message.topic().into(),
                qos: will.message.qos(),
                retain: will.message.retain(),
                delay: will.delay,
                payload: will.message.payload().len(),
            }),
            subscriptions: subscriptions
                .map(|(filter, it)| (filter.into(), *it))
                .collect(),
            held: side.inbound.held().count(),
        })
    }

    /// Groups by their Topic Filters and ShareNames, those after `after`, so many at most.
    pub fn groups(&self, after: Option<(&str, &str)>, most: usize) -> Page<GroupSummary> {
        let mut all = Vec::new();
        // Only gathered under this lock, as long as it takes to walk what there is.
        self.subscriptions
            .read()
            .groups(|group| all.push(group.clone()));
        fn key(group: &GroupRef) -> (&str, &str) {
            (&group.filter, &group.share)
        }
        all.retain(|group| after.is_none_or(|after| key(group) > after));
        all.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let more = all.len() > most;
        all.truncate(most);
        let items = all.iter().map(|group| group_details(group).summary);
        let items = items.collect();
        Page { items, more }
    }

    /// The group of this ShareName and Topic Filter.
    pub fn group_details(&self, share: &str, filter: &str) -> Option<GroupDetails> {
        let group = self.find_group(share, filter)?;
        Some(group_details(&group))
    }

    fn find_group(&self, share: &str, filter: &str) -> Option<GroupRef> {
        let subscriptions = self.subscriptions.read();
        subscriptions.find_group(filter, share).cloned()
    }

    /// Closes the connection of a session with 0x98, Administrative action. The session stays, if it
    /// outlives its connection, and its Will is due.
    pub fn kick(&self, client_id: &str) -> Kicked {
        let Some(session) = self.registry.find(client_id) else {
            return Kicked::Unknown;
        };
        let port = session.outbound.lock().port.clone();
        match port {
            Some(port) => {
                port.close(ReasonCode::AdministrativeAction);
                Kicked::Done
            }
            None => Kicked::Away,
        }
    }

    /// Ends a session, whether it has a connection or not; returns whether there was one. Its Will is
    /// due, as it is whenever a session ends.
    pub fn delete_session(&self, client_id: &str, batch: &mut Batch) -> bool {
        let Some(session) = self.registry.find(client_id) else {
            return false;
        };
        let mut side = session.inbound.lock();
        if side.state == State::Ended {
            return false;
        }
        let port = session.outbound.lock().port.clone();
        let code = ReasonCode::AdministrativeAction;
        self.detach(&session, &mut side, Detach::Say(code, None), batch);
        if side.state != State::Ended {
            self.end_session(&session, &mut side, batch);
        }
        drop(side);
        if let Some(port) = port {
            // Its word is said already: it finds that its session is gone.
            port.close(code);
        }
        self.finish(batch);
        true
    }

    /// Gives up what waits for a session; returns how many messages that were, or nothing if there is
    /// no such session.
    pub fn purge_session(&self, client_id: &str, batch: &mut Batch) -> Option<usize> {
        let session = self.registry.find(client_id)?;
        let count = {
            let mut side = session.outbound.lock();
            if side.ended {
                return None;
            }
            let count = side.outbound.purge();
            batch.tally.drop(DropReason::Purged, count);
            batch.tally.queue_changed(count, 0);
            side.outbound.weigh(&mut batch.tally);
            self.tell_steps(&session, &mut side, batch);
            if let Some(port) = &side.port {
                // Groups may give it what they could not before.
                port.signal(Signal::Draw);
            }
            count
        };
        self.finish(batch);
        Some(count)
    }

    /// Gives up the backlog of a group; returns how many messages that were, or nothing if there is no
    /// such group.
    pub fn purge_group(&self, share: &str, filter: &str, batch: &mut Batch) -> Option<usize> {
        let shared = self.find_group(share, filter)?;
        let count = {
            let mut group = shared.group.lock();
            if group.is_ended() {
                return None;
            }
            let count = group.purge(|number| {
                if shared.is_kept() {
                    self.tell_lost(&shared, number);
                }
            });
            batch.tally.drop(DropReason::Purged, count);
            batch.tally.queue_changed(count, 0);
            batch.tally.queued_bytes += shared.weigh(group.weight());
            count
        };
        self.finish(batch);
        Some(count)
    }
}

/// Nothing, if the session has ended.
fn summary(
    session: &SessionRef,
    side: &InboundSide,
    outbound: &OutboundSide,
    now: Now,
) -> Option<SessionSummary> {
    let (connected, since) = match &side.state {
        State::Attached(since) => (true, *since),
        State::Between => (false, now.instant),
        State::Away(absence) => (false, absence.since),
        State::Ended => return None,
    };
    let what = &outbound.outbound;
    Some(SessionSummary {
        client_id: Arc::clone(&session.client_id),
        connected,
        since: now.instant.saturating_duration_since(since),
        expiry: (side.expiry != NEVER).then_some(side.expiry),
        subscriptions: side.subscriptions.len(),
        in_flight: what.in_flight(),
        queued: what.queued(),
        queued_bytes: what.queued_bytes(),
    })
}

fn group_details(shared: &GroupRef) -> GroupDetails {
    let group = shared.group.lock();
    let members = group.members().iter().map(|member| {
        let side = member.subscriber.outbound.lock();
        MemberSummary {
            client_id: Arc::clone(&member.subscriber.client_id),
            connected: side.outbound.is_connected(),
            qos: member.granted.qos,
            in_flight: side.outbound.in_flight(),
        }
    });
    let members: Vec<_> = members.collect();
    GroupDetails {
        summary: GroupSummary {
            share: shared.share.clone(),
            filter: shared.filter.clone(),
            members: members.len(),
            connected: members.iter().filter(|it| it.connected).count(),
            backlog: group.backlog(),
            backlog_bytes: group.backlog_bytes(),
        },
        kept: shared.is_kept(),
        members,
    }
}
