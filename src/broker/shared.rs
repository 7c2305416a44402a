//! One session and one group, shared by all who deal with them.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::cluster::Epoch;
use crate::message::Message;
use crate::pubsub::options::GroupOptions;
use crate::pubsub::{Granted, Group};
use crate::session::{Inbound, NEVER, Outbound, Source, Subscriptions, Terms, Will};
use crate::store::{Ask, Failure, Recalls, Safety, Waits};

use super::person::{Owner, Person};
use super::port::{Port, Signal};
use super::publish::FanOut;
use super::tickets::Tickets;

/// A session of one client, behind its two locks.
///
/// A clean start makes a new session; the number tells it from others that have had the same
/// Client Identifier.
pub(super) struct Session {
    pub number: u64,
    pub client_id: Arc<str>,
    /// Who may have it.
    pub owner: Owner,
    /// What the client's own connection works with; taken for a turn at a time.
    pub inbound: Mutex<InboundSide>,
    /// What everybody works with who delivers to the client; taken for a moment.
    pub outbound: Mutex<OutboundSide>,
    /// Outcomes of the store that have come, by ticket. They belong to the session, not to the
    /// connection on which they were asked for: a QoS 2 message is promised across connections.
    outcomes: Mutex<Vec<Outcome>>,
    /// Whether the store keeps it, for those who have neither lock. Changes under the outbound lock.
    kept: AtomicBool,
    /// The last gate of its outbound side before which everything is safe.
    safe: AtomicU64,
    /// Who its client is. Changes under the inbound lock.
    person: Mutex<Person>,
    /// Whether its deliveries have to be asked about.
    watched: AtomicBool,
}

/// Marks the ticket of a gate.
const GATE: u64 = 1 << 63;

/// An outcome of the store: the tickets, and how it went.
pub(super) type Outcome = (RangeInclusive<u64>, Result<(), Failure>);

impl Session {
    /// Whether the store keeps it: whether it outlives its connection.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }

    /// Says whether it outlives the connection that it has now.
    /// If it does, so many bytes of what waits for its client are held in memory.
    pub(super) fn set_kept(&self, side: &mut OutboundSide, memory: Option<usize>) {
        self.kept.store(memory.is_some(), Ordering::Release);
        side.outbound.keep(memory);
    }

    /// Who its client is.
    pub(super) fn person(&self) -> Person {
        self.person.lock().clone()
    }

    /// Says who its client is, and whether its deliveries have to be asked about; returns whether they had
    /// to be before.
    pub(super) fn introduce(&self, person: Person, watched: bool) -> bool {
        *self.person.lock() = person;
        self.watched.swap(watched, Ordering::SeqCst)
    }

    /// Whether there may be deliveries that it may not have.
    pub(super) fn is_screened(&self) -> bool {
        self.owner.mount.is_some() || self.is_watched()
    }

    /// Whether deliveries have to be asked about.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    pub(super) fn has_outcomes(&self) -> bool {
        !self.outcomes.lock().is_empty()
    }

    pub(super) fn take_outcomes(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes.lock())
    }

    /// The last gate of the outbound side that may be open.
    pub(super) fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }
}

impl Waits for Session {
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        let last = *tickets.end();
        match last & GATE {
            0 => self.outcomes.lock().push((tickets, outcome)),
            // Those who wait at a gate are patient, and only they are.
            _ => _ = self.safe.fetch_max(last & !GATE, Ordering::AcqRel),
        }
        if let Some(port) = &self.outbound.lock().port {
            port.signal(Signal::Mail);
        }
    }
}

impl Recalls for Session {
    fn recalled(&self, found: Vec<(u64, Option<Message>)>) {
        let mut side = self.outbound.lock();
        let lost = side.outbound.supply(found.into_iter());
        side.lost += lost;
        if lost > 0 {
            tracing::error!(client = &*self.client_id, lost, "the store lost messages");
        }
        if let Some(port) = &side.port {
            port.signal(Signal::Draw);
        }
    }
}

/// The inbound side: protocol state, and what the session is.
pub(super) struct InboundSide {
    pub inbound: Inbound,
    pub subscriptions: Subscriptions,
    /// Replies that wait for the store.
    pub tickets: Tickets,
    /// The client's last message, while it has not reached everybody. It is the session's, so that
    /// it comes before what the client publishes on its next connection.
    pub fan_out: Option<FanOut>,
    /// Groups of which it is a member.
    pub groups: Vec<GroupRef>,
    /// The Will of the present connection, or one that waits for its delay to end.
    pub will: Option<Box<Will>>,
    /// Session Expiry Interval in seconds.
    pub expiry: u32,
    /// Of the attachment in force: whoever acts under another one is late.
    pub epoch: Epoch,
    pub state: State,
    /// The generation of permissions under which all that it has was looked at.
    pub reviewed: u64,
}

/// Whether a session has a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has, since then.
    Attached(Instant),
    /// It is between two connections, or before its end, while its inbound lock is held; or before its first
    /// connection.
    Between,
    /// It has not.
    Away(Box<Absence>),
    /// It is over, and whoever still holds it must look for another.
    Ended,
}

/// Since when a session has been away, and what is to happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Absence {
    pub since: Instant,
    /// When its Will is published, if that has a delay.
    pub will: Option<Instant>,
    /// When it ends, if ever.
    pub end: Option<Instant>,
}

/// The outbound side.
pub(super) struct OutboundSide {
    pub outbound: Outbound,
    /// The connection that `outbound` is attached to.
    pub port: Option<Arc<Port>>,
    /// Retained messages still to be sent for new subscriptions.
    pub feeds: Feeds,
    /// A group could not give it a message for want of room: it draws when there is some.
    pub hungry: bool,
    /// Messages that the store could not read back, and that nobody has counted yet.
    pub lost: usize,
    pub ended: bool,
}

/// Retained messages on their way to a new subscription.
#[derive(Debug)]
pub(super) struct Feed {
    pub filter: Box<str>,
    pub granted: Granted,
    /// The last topic that was sent.
    pub after: Option<Box<str>>,
}

/// All that are on their way to one client, in their order. Few have any at a time.
#[derive(Debug, Default)]
pub(super) struct Feeds(Option<Box<Line>>);

#[derive(Debug, Default)]
struct Line(VecDeque<Feed>);

impl Feeds {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Feed> {
        self.0.iter_mut().flat_map(|line| line.0.iter_mut())
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Feed) -> bool) {
        if let Some(line) = &mut self.0 {
            line.0.retain(keep);
        }
        self.give_memory_back();
    }

    pub(super) fn push_back(&mut self, feed: Feed) {
        self.0.get_or_insert_default().0.push_back(feed);
    }

    pub(super) fn push_front(&mut self, feed: Feed) {
        self.0.get_or_insert_default().0.push_front(feed);
    }

    pub(super) fn pop_front(&mut self) -> Option<Feed> {
        let feed = self.0.as_mut()?.0.pop_front();
        self.give_memory_back();
        feed
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    fn give_memory_back(&mut self) {
        self.0.take_if(|line| line.0.is_empty());
    }
}

/// A shared handle to a session, compared by its number.
#[derive(Clone)]
pub(super) struct SessionRef(Arc<Session>);

impl SessionRef {
    pub(super) fn new(number: u64, client_id: Arc<str>, owner: Owner) -> Self {
        let inbound = InboundSide {
            inbound: Inbound::default(),
            subscriptions: Subscriptions::default(),
            tickets: Tickets::default(),
            fan_out: None,
            groups: Vec::new(),
            will: None,
            expiry: 0,
            epoch: Epoch::default(),
            state: State::Between,
            reviewed: 0,
        };
        let outbound = OutboundSide {
            outbound: Outbound::default(),
            port: None,
            feeds: Feeds::default(),
            hungry: false,
            lost: 0,
            ended: false,
        };
        Self(Arc::new(Session {
            number,
            client_id,
            owner,
            inbound: Mutex::new(inbound),
            outbound: Mutex::new(outbound),
            outcomes: Mutex::default(),
            kept: AtomicBool::new(false),
            safe: AtomicU64::new(0),
            person: Mutex::default(),
            watched: AtomicBool::new(false),
        }))
    }
}

impl SessionRef {
    /// Where an outcome of the store is to go. How safe it is to be depends on what is kept.
    pub(super) fn ask(&self, ticket: u64) -> Ask<'_> {
        Ask {
            to: &self.0,
            ticket,
            safety: Safety::Flushed,
            patient: false,
        }
    }

    /// Where messages go that are read back.
    pub(super) fn recalls(&self) -> Arc<dyn Recalls> {
        Arc::clone(&self.0) as _
    }

    /// Where it is to be told that a gate may open.
    pub(super) fn ask_for_gate(&self, gate: NonZeroU64, safety: Safety) -> Ask<'_> {
        Ask {
            to: &self.0,
            ticket: GATE | gate.get(),
            safety,
            patient: true,
        }
    }
}

impl Deref for SessionRef {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl PartialEq for SessionRef {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for SessionRef {}

impl PartialOrd for SessionRef {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionRef {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl Hash for SessionRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session")
            .field(&self.number)
            .field(&self.client_id)
            .finish()
    }
}

impl InboundSide {
    /// Whether the session outlives its connection.
    pub(super) fn is_persistent(&self) -> bool {
        self.expiry > 0
    }

    /// Whether a connection on these terms goes on with the session.
    // [MQTT5-3.1.2-4] [MQTT5-3.1.2-5] [MQTT311-3.1.2-4] [MQTT311-3.1.2-6]
    pub(super) fn is_resumed_by(&self, terms: &Terms) -> bool {
        !terms.clean_start && self.is_persistent()
    }

    /// Whether it ends some time after its connection.
    pub(super) fn expires(&self) -> bool {
        self.expiry != NEVER
    }
}

/// A shared handle to a group.
#[derive(Clone)]
pub(super) struct GroupRef(Arc<SharedGroup>);

/// A group behind its lock.
pub(super) struct SharedGroup {
    /// Marks messages in a member's window that came from this group.
    pub source: Source,
    pub share: Box<str>,
    pub filter: Box<str>,
    /// How it behaves: for those who need not lock it.
    pub options: Arc<GroupOptions>,
    pub group: Mutex<Group<SessionRef>>,
    /// Whether the store keeps its backlog: whether a session that it keeps was ever a member.
    kept: AtomicBool,
    /// Bytes of memory that the backlog took when it was weighed last. Changes under the group's lock.
    weighed: AtomicUsize,
}

impl SharedGroup {
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }

    pub(super) fn set_kept(&self) {
        self.kept.store(true, Ordering::Release);
    }

    /// The backlog takes so much memory now; returns by how much that is more than before, or less.
    pub(super) fn weigh(&self, weight: usize) -> i64 {
        weight as i64 - self.weighed.swap(weight, Ordering::Relaxed) as i64
    }
}

impl Recalls for SharedGroup {
    fn recalled(&self, found: Vec<(u64, Option<Message>)>) {
        let mut group = self.group.lock();
        let lost = group.supply(found.into_iter());
        if lost > 0 {
            let (share, filter) = (&*self.share, &*self.filter);
            tracing::error!(share, filter, lost, "the store lost messages");
        }
        for member in group.members() {
            if let Some(port) = &member.subscriber.outbound.lock().port {
                port.signal(Signal::Draw);
            }
        }
    }
}

impl GroupRef {
    /// Where messages go that are read back.
    pub(super) fn recalls(&self) -> Arc<dyn Recalls> {
        Arc::clone(&self.0) as _
    }

    pub(super) fn new(
        number: NonZeroU64,
        share: &str,
        filter: &str,
        group: Group<SessionRef>,
    ) -> Self {
        Self(Arc::new(SharedGroup {
            source: Source(number),
            share: share.into(),
            filter: filter.into(),
            options: Arc::clone(group.options()),
            group: Mutex::new(group),
            kept: AtomicBool::new(false),
            weighed: AtomicUsize::new(0),
        }))
    }
}

impl fmt::Debug for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group")
            .field(&self.source)
            .field(&self.share)
            .field(&self.filter)
            .finish()
    }
}

impl Deref for GroupRef {
    type Target = SharedGroup;

    fn deref(&self) -> &SharedGroup {
        &self.0
    }
}
