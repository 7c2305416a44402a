//! What a store that outlives the process has kept, as the broker finds it when it starts.

use crate::codec::{PacketId, SubscriptionOptions};
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, InStore};

use super::record::Owner;

/// Everything that was kept.
#[derive(Debug, Default)]
pub struct State {
    /// Sessions, sorted by their number.
    pub sessions: Vec<KeptSession>,
    /// Groups, sorted by their number.
    pub groups: Vec<KeptGroup>,
    /// Retained messages.
    pub retained: Vec<KeptRetained>,
    /// Messages that are to be published later, or should have been, sorted by their number.
    pub delayed: Vec<KeptDelayed>,
    /// Larger than every number in use.
    pub next_number: u64,
}

/// A session that was kept.
#[derive(Debug)]
pub struct KeptSession {
    /// Its number.
    pub number: u64,
    /// Its Client Identifier.
    pub client_id: Box<str>,
    /// Whose it is.
    pub owner: KeptOwner,
    /// Its Session Expiry Interval in seconds.
    pub expiry: u32,
    /// Since when it has been away; for one that was connected, when the store last heard of anything.
    pub left: Timestamp,
    /// The Will that is due.
    pub will: Option<OwnedWill>,
    /// Topic Filters, ShareName included, with options and Subscription Identifier.
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions, Option<u32>)>,
    /// QoS 2 ids of inbound messages.
    pub held: Vec<PacketId>,
    /// What was in flight to its client, in the order of its first sending.
    pub in_flight: Vec<KeptInFlight>,
    /// What waited, in its order.
    pub waiting: InStore,
}

/// Whose a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptOwner {
    /// The user, if it is anybody's.
    pub user: Option<Box<str>>,
    /// The mount point that its topics are below, if there is one.
    pub mount: Option<Box<str>>,
}

impl KeptOwner {
    /// As it is recorded.
    pub fn as_recorded(&self) -> Owner<'_> {
        Owner {
            user: self.user.as_deref(),
            mount: self.mount.as_deref(),
        }
    }
}

impl From<Owner<'_>> for KeptOwner {
    fn from(owner: Owner<'_>) -> Self {
        Self {
            user: owner.user.map(Box::from),
            mount: owner.mount.map(Box::from),
        }
    }
}

/// A delivery and the number of its message.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The message's number.
    pub number: u64,
    /// The delivery.
    pub delivery: Delivery,
}

/// One delivery in flight.
#[derive(Debug)]
pub struct KeptInFlight {
    /// Its Packet Identifier.
    pub id: PacketId,
    /// What was sent; `None` once PUBREC had come.
    pub publish: Option<Numbered>,
}

/// A Will that was kept.
#[derive(Clone, Debug)]
pub struct OwnedWill {
    /// What to publish.
    pub message: Message,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// Message Expiry Interval in seconds, from when it is published.
    pub expiry: Option<u32>,
}

/// A group that was kept.
#[derive(Debug)]
pub struct KeptGroup {
    /// Its number.
    pub number: u64,
    /// Its ShareName.
    pub share: Box<str>,
    /// Its Topic Filter, without the ShareName.
    pub filter: Box<str>,
    /// Its backlog, in its order; what was in flight to members at QoS 1 is back in it, in front.
    pub backlog: InStore,
}

/// A retained message that was kept.
#[derive(Debug)]
pub struct KeptRetained {
    /// Its number.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// The publisher's Client Identifier, unless the broker was the publisher.
    pub publisher: Option<Box<str>>,
}

/// A message that is to be published later.
#[derive(Debug)]
pub struct KeptDelayed {
    /// Its number.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// When it is to be published.
    pub due: Timestamp,
    /// The publisher's Client Identifier.
    pub publisher: Option<Box<str>>,
}
