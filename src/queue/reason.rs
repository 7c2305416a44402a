//! Why a message was not delivered to somebody.

/// Why a message to deliver was dropped: the label under which it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// The recipient's queue, or its group's backlog, was at its bound.
    QueueFull,
    /// Its Message Expiry Interval passed before it was sent.
    Expired,
    /// Larger than the client's Maximum Packet Size. [MQTT5-3.1.2-25]
    PacketTooLarge,
    /// QoS 0, and its recipient (or every member of its group) was away.
    Away,
    /// Its session, or its group, ended.
    Ended,
    /// It was given to as many members of its group as that allows. It may be a dead letter now.
    DeliveryLimit,
    /// The store has lost it.
    Unreadable,
    /// An operator gave it up.
    Purged,
    /// It would have had to wait while the broker had too much to do, or too much waited already.
    Overload,
    /// Its recipient, or every member of its group, may not have it.
    NotPermitted,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::QueueFull,
        Self::Expired,
        Self::PacketTooLarge,
        Self::Away,
        Self::Ended,
        Self::DeliveryLimit,
        Self::Unreadable,
        Self::Purged,
        Self::Overload,
        Self::NotPermitted,
    ];

    /// The reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::PacketTooLarge => "packet_too_large",
            Self::Away => "away",
            Self::Ended => "ended",
            Self::DeliveryLimit => "delivery_limit",
            Self::Unreadable => "unreadable",
            Self::Purged => "purged",
            Self::Overload => "overload",
            Self::NotPermitted => "not_permitted",
        }
    }
}
