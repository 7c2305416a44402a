//! The changes of state that are kept, one by one.
//!
//! Numbers stand for what would be long: a session, a message and a group each get one from the broker
//! that is never used again, also not after a restart. Records of one session's outbound side are
//! appended under its lock, so they are in the log in the order in which they happened.
//!
//! ```text
//!   Opened ── Subscribed, Unsubscribed, Left, Opened … ──> Ended
//!
//!   Message(targets) ──> Sent ──> [Received] ──> Done         one delivery to one holder
//!        Fed ──────────────^                 └─> Dropped
//! ```
//!
//! A *holder* is the session that a message was sent to. It need not be one that is kept: members of a
//! group that is kept may be any sessions, and what such a holder has not acknowledged goes back to the
//! group when it leaves or the broker restarts.

use crate::codec::{PacketId, QoS, SubscriptionOptions};
use crate::message::{Message, Timestamp};

/// In whose queue messages are that are to be published later. No session or group has this number.
pub const DELAYED: u64 = 0;

/// A change of state to keep.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A session that outlives its connections has one: it is new, or back.
    Opened(Opened<'a>),
    /// Its connection is gone. QoS 1 messages from groups that it held are the groups' again.
    Left {
        /// The session, or another holder.
        session: u64,
        /// When.
        at: Timestamp,
        /// The Session Expiry Interval in force from then on, in seconds.
        expiry: u32,
        /// Whether its Will waits for the end of its delay; it is gone otherwise.
        will: bool,
    },
    /// The Will of a session that is away was published, or forgotten.
    WillDone {
        /// The session.
        session: u64,
    },
    /// A session is over, and all that was its own.
    Ended {
        /// The session, or another holder.
        session: u64,
    },
    /// Subscriptions were granted, or replaced.
    Subscribed {
        /// The session.
        session: u64,
        /// Topic Filters, ShareName included, with the options as granted.
        filters: &'a [(&'a str, SubscriptionOptions)],
        /// Their Subscription Identifier.
        id: Option<u32>,
    },
    /// Subscriptions are no more.
    Unsubscribed {
        /// The session.
        session: u64,
        /// Topic Filters, ShareName included.
        filters: &'a [&'a str],
    },
    /// A group that is kept exists: a session that is kept joined it, or the configuration names it.
    Group {
        /// The group.
        group: u64,
        /// Its ShareName.
        share: &'a str,
        /// Its Topic Filter, without the ShareName.
        filter: &'a str,
    },
    /// A group is no more, and its backlog.
    Dissolved {
        /// The group.
        group: u64,
    },
    /// A message was accepted, for all who are to have it: one record, so that after a crash it is
    /// there for all of them, and its QoS 2 id is held, or for none.
    Message(Accepted<'a>),
    /// The time of a message has come that was accepted to be published later: from now on it is there
    /// for whom it is published to, all of them or none.
    Due {
        /// Its number.
        number: u64,
        /// What becomes of the retained message of its topic, if anything.
        retained: Option<Replaces<'a>>,
        /// Who is to have it.
        targets: &'a [Target<'a>],
    },
    /// The retained message of a topic is no more.
    Cleared {
        /// The topic.
        topic: &'a str,
    },
    /// The QoS 2 id of an inbound message is free again.
    Released {
        /// The publisher's session.
        session: u64,
        /// The id.
        id: PacketId,
    },
    /// A retained message was queued for a new subscription.
    Fed {
        /// The message, which is kept as a retained one.
        number: u64,
        /// For whom.
        target: Target<'a>,
    },
    /// A message was given an id and is about to be sent to `holder`, for the first time.
    Sent {
        /// To whom.
        holder: u64,
        /// With this id.
        id: PacketId,
        /// The message.
        number: u64,
        /// The group whose backlog it came from, if any; it is not in the backlog any more.
        group: Option<u64>,
        /// The QoS of the delivery, for messages that came from a group.
        qos: QoS,
    },
    /// PUBREC came: of this delivery only the id is needed any more.
    Received {
        /// From whom.
        holder: u64,
        /// The id.
        id: PacketId,
    },
    /// A delivery has come to its end.
    Done {
        /// To whom.
        holder: u64,
        /// The id.
        id: PacketId,
    },
    /// A message of a group that was sent to a holder is the group's again, although the holder has its
    /// connection: it did not acknowledge in time. What becomes of the id is not told any more.
    Returned {
        /// To whom it was sent.
        holder: u64,
        /// The id.
        id: PacketId,
    },
    /// A message that was not sent yet will not be: it expired, or gave way, or is too large. The
    /// oldest with this number is meant.
    Dropped {
        /// The session or group in whose queue it was, or [`DELAYED`].
        owner: u64,
        /// The message.
        number: u64,
    },
}

/// A session that was opened.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    /// The session.
    pub session: u64,
    /// Its Client Identifier.
    pub client_id: &'a str,
    /// Whose it is.
    pub owner: Owner<'a>,
    /// Its Session Expiry Interval in seconds.
    pub expiry: u32,
    /// The Will of the new connection.
    pub will: Option<KeptWill<'a>>,
    /// Whether it was there before. Such a one is taken even if there is no room, if its Will is small:
    /// what waits for it may be what takes the room.
    pub back: bool,
}

/// Whose a session is: nobody's in particular, unless something is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The user.
    pub user: Option<&'a str>,
    /// The mount point that its topics are below.
    pub mount: Option<&'a str>,
}

/// A Will to keep.
#[derive(Clone, Copy, Debug)]
pub struct KeptWill<'a> {
    /// What to publish.
    pub message: &'a Message,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// Message Expiry Interval in seconds, from when it is published.
    pub expiry: Option<u32>,
}

/// A message that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// Its number.
    pub number: u64,
    /// The message.
    pub message: &'a Message,
    /// The publisher's session and the QoS 2 id that it holds, if that session is kept.
    pub held: Option<(u64, PacketId)>,
    /// Whether it is the retained message of its topic now.
    pub retained: bool,
    /// The publisher's Client Identifier, for a message that is retained, or is published later.
    pub publisher: Option<&'a str>,
    /// When it is to be published, if not at once. Until then nobody has it.
    pub due: Option<Timestamp>,
    /// Who is to have it.
    pub targets: &'a [Target<'a>],
}

/// What a message does to the retained message of its topic.
#[derive(Clone, Copy, Debug)]
pub struct Replaces<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Whether there is none any more, instead of this one.
    pub clears: bool,
    /// The publisher's Client Identifier.
    pub publisher: Option<&'a str>,
}

/// One who is to have a message.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The session, or the group.
    pub owner: u64,
    /// Whether the owner is a group, which decides the rest when a member takes it.
    pub group: bool,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription Identifiers to send.
    pub subscription_ids: &'a [u32],
}
