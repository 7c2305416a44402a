//! The Packet Identifier.

use std::num::NonZeroU16;

/// Names one exchange (a QoS 1 or 2 delivery, a SUBSCRIBE, an UNSUBSCRIBE) between a client and a
/// server while it lasts. Never zero `[MQTT5-2.2.1-3]` `[MQTT311-2.3.1-1]`.
pub type PacketId = NonZeroU16;
