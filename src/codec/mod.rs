//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0, in both directions.
//!
//! ```text
//!            fixed header                 the rest, by type
//!  +------+------+------------------+ +-----------------+--------------+-----------+
//!  | type | flags| Remaining Length | | variable header |  properties  |  payload  |
//!  |  4 b |  4 b |  1 to 4 bytes    | |                 |  (5.0 only)  |           |
//!  +------+------+------------------+ +-----------------+--------------+-----------+
//!
//!   &[u8] -- decode(Context) --> Packet<'_> -- encode(Version) --> Vec<u8>
//!                                PublishFrame, encode_ack ------->    (the hot paths)
//! ```
//!
//! There is one [`Packet`] for all three versions. What a version lacks has its default there:
//! a 3.x PUBLISH has [`PublishProperties::default`], a 3.x PUBACK says
//! [`ReasonCode::Success`]. The broker therefore speaks 5.0 throughout and translates here.
//!
//! # Invariants
//!
//! - Decoding allocates nothing and copies nothing. A packet borrows from the bytes it was decoded
//!   from; its lists ([`UserProperties`], [`Filters`] and so on) are stretches of those bytes that
//!   were checked once and are walked again by whoever iterates.
//! - No input makes the codec panic, recurse, or loop longer than the input is.
//! - What [`decode`] accepts is well-formed: strings are UTF-8 without U+0000, Topic Names and
//!   Topic Filters follow their rules, Packet Identifiers are not zero, lists are not empty where
//!   they must not be, and nothing follows the last field. Nobody further up checks that again.
//! - What depends on the state of a connection or a session is not checked here: whether a CONNECT
//!   came first, whether an alias is within the maximum, whether an empty Client Identifier will
//!   do.
//! - A refusal carries the Reason Code that the specification gives the fault; see
//!   [`DecodeError`].
//! - Everything [`encode`] writes, [`decode`] reads back the same, given the same version and the
//!   right sender.
//!
//! # Where things are
//!
//! One file per packet holds its model, its decoder and its layout: [`Connect`], [`Connack`],
//! [`Publish`], [`Ack`], [`Subscribe`] and [`Suback`], [`Unsubscribe`] and [`Unsuback`],
//! [`Disconnect`], [`Auth`]; `packet` puts them together. Beneath are `header` (the fixed header),
//! `reader` and `sink` (the data representations, inbound and outbound), `property` and `section`
//! (the properties of 5.0), and the small types: [`Version`], [`QoS`], [`ReasonCode`],
//! [`PacketType`], [`Context`].

mod ack;
mod auth;
mod connack;
mod connect;
mod context;
mod disconnect;
mod error;
mod filters;
mod forwarded;
mod header;
mod packet;
mod packet_id;
mod packet_type;
mod property;
mod publish;
mod publish_frame;
mod qos;
mod reader;
mod reason;
mod reason_properties;
mod section;
mod sink;
mod subscribe;
mod subscription_ids;
#[cfg(test)]
mod testing;
mod unsubscribe;
mod user_properties;
mod version;

pub use ack::{Ack, encode_ack};
pub use auth::Auth;
pub use connack::{Connack, ConnackProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties, connect_version};
pub use context::{Context, MAXIMUM_PACKET_SIZE, Sender};
pub use disconnect::Disconnect;
pub use error::{DecodeError, EncodeError};
pub use filters::{
    Filters, FiltersBuf, MAXIMUM_FILTERS, RetainHandling, SubscriptionOptions, UnsubscribeFilters,
    UnsubscribeFiltersBuf,
};
pub use header::frame_length;
pub use packet::{Packet, decode, encode};
pub use packet_id::PacketId;
pub use packet_type::PacketType;
pub use publish::{Publish, PublishProperties};
pub use publish_frame::PublishFrame;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use subscribe::{Suback, Subscribe};
pub use subscription_ids::{SubscriptionIds, SubscriptionIdsBuf};
pub use unsubscribe::{Unsuback, Unsubscribe};
pub use user_properties::{UserProperties, UserPropertiesBuf};
pub use version::Version;
