//! One message on its way to one recipient, wherever it is.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

use triomphe::ThinArc;

use crate::codec::QoS;
use crate::message::Message;

/// A message and what differs per recipient.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message, shared with the other recipients.
    pub message: Message,
    /// Identifiers of all subscriptions that matched. [MQTT5-3.3.4-4]
    pub subscription_ids: SubscriptionIds,
    /// The smaller of published and granted QoS. [MQTT5-3.8.4-8] [MQTT311-3.8.4-6]
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// How often it was given to a member of a group: 0 for what came from none.
    pub attempts: u16,
}

/// Subscription Identifiers of one recipient, shared by all deliveries on the same route.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionIds(Option<ThinArc<(), u32>>);

impl PartialEq for SubscriptionIds {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SubscriptionIds {}

impl Hash for SubscriptionIds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl SubscriptionIds {
    /// Identifiers in the given order; none costs nothing.
    pub fn new(ids: &[u32]) -> Self {
        Self((!ids.is_empty()).then(|| ThinArc::from_header_and_slice((), ids)))
    }

    /// The identifiers.
    pub fn as_slice(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |ids| &ids.slice)
    }
}

/// A message that is in the store only, and what differs per recipient.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What the store calls it.
    pub number: NonZeroU64,
    /// Identifiers of all subscriptions that matched.
    pub subscription_ids: SubscriptionIds,
    /// Bytes of topic, properties and payload; 0 if they are not known.
    pub size: u32,
    /// The QoS of the delivery; of a message in a group's backlog the one it was published with.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
}

impl Stored {
    pub(super) fn gone(&self) -> Gone<'static> {
        Gone {
            number: Some(self.number),
            qos: self.qos,
            message: None,
        }
    }
}

/// A message that left a queue without being taken from it.
#[derive(Clone, Copy, Debug)]
pub struct Gone<'a> {
    /// What the store calls it, if it keeps it.
    pub number: Option<NonZeroU64>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The message, if it was in memory.
    pub message: Option<&'a Message>,
}

impl<'a> From<&'a Delivery> for Gone<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            number: delivery.message.number(),
            qos: delivery.qos,
            message: Some(&delivery.message),
        }
    }
}
