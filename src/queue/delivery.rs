//! One message on its way to one recipient.

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
