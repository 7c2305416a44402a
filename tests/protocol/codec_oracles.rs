//! The codec held against two that others wrote: `mqttbytes` and `rmqtt-codec`.
//!
//! A codec that is only held against itself can be wrong twice and agree. So each oracle has a
//! file that says what its packet means in ours, field by field (`read`), and both ways are taken:
//!
//! ```text
//!   ours --encode--> bytes --oracle decodes--> theirs --read--> must be ours
//!                                                |
//!                        bytes <--oracle encodes-+
//!                          +--decode--> must be ours
//! ```
//!
//! Where an oracle is known to be wrong or to lose something, its `understands` leaves the packet
//! out or its `told` says what is left of it; the golden vectors at the end of this file stand in
//! for what they leave out.

use bytes::BytesMut;
use postbud::codec::{
    Context, Packet, ReasonCode, Sender, UserPropertiesBuf, Version, decode, encode,
};
use proptest::prelude::*;

use crate::packets::{Ingredients, ingredients};

mod mqttbytes_v4;
mod mqttbytes_v5;
mod rmqtt_v3;
mod rmqtt_v5;

/// A codec that somebody else wrote.
trait Oracle {
    type Packet: Clone + PartialEq + std::fmt::Debug;

    /// Whether it can be asked about this packet.
    fn understands(packet: &Packet<'_>) -> bool;

    /// What is left of the packet when it has gone through the oracle's model.
    fn told(packet: Packet<'_>) -> Packet<'_> {
        packet
    }

    fn decode(bytes: &mut BytesMut) -> Result<Self::Packet, String>;

    /// `None` when the oracle would write something wrong.
    fn encode(packet: Self::Packet) -> Option<Vec<u8>>;

    /// Says in our model what the oracle's packet says.
    fn read(packet: &Self::Packet, check: impl FnOnce(Packet<'_>));
}

fn users(pairs: &[(String, String)]) -> UserPropertiesBuf {
    let mut buf = UserPropertiesBuf::new();
    for (name, value) in pairs {
        buf.push(name, value).expect("an oracle's strings fit");
    }
    buf
}

fn code(byte: u8) -> ReasonCode {
    ReasonCode::from_byte(byte).expect("an oracle's code is one of ours")
}

/// Takes one packet both ways.
fn both_ways<O: Oracle>(ingredients: &Ingredients) {
    let ours = ingredients.packet();
    if !O::understands(&ours) {
        return;
    }
    let mut bytes = Vec::new();
    encode(&ours, ingredients.version, &mut bytes).expect("it has a form");
    let mut stream = BytesMut::from(&bytes[..]);
    let theirs = O::decode(&mut stream).unwrap_or_else(|error| panic!("{bytes:x?}: {error}"));
    assert!(stream.is_empty(), "the oracle took all of {bytes:x?}");
    O::read(&theirs, |packet| {
        assert_eq!(packet, O::told(ours), "from {bytes:x?}")
    });
    let Some(bytes) = O::encode(theirs) else {
        return;
    };
    match decode(&bytes, &ingredients.context()) {
        Ok(Some((packet, length))) => {
            assert_eq!(O::told(packet), O::told(ours), "from {bytes:x?}");
            assert_eq!(length, bytes.len());
        }
        other => panic!("{bytes:x?} gave {other:?}"),
    }
}

/// What both accept of a damaged packet, both must read alike.
fn damaged<O: Oracle>(ingredients: &Ingredients, damage: &[(prop::sample::Index, u8)]) {
    let mut bytes = Vec::new();
    encode(&ingredients.packet(), ingredients.version, &mut bytes).expect("it has a form");
    for (index, byte) in damage {
        let at = index.index(bytes.len());
        bytes[at] = *byte;
    }
    let Ok(Some((ours, length))) = decode(&bytes, &ingredients.context()) else {
        return;
    };
    let version = match ours {
        Packet::Connect(connect) => connect.version,
        _ => ingredients.version,
    };
    if version != ingredients.version || !O::understands(&ours) {
        return;
    }
    let mut stream = BytesMut::from(&bytes[..length]);
    if let Ok(theirs) = O::decode(&mut stream) {
        O::read(&theirs, |packet| {
            assert_eq!(packet, O::told(ours), "from {bytes:x?}")
        });
    }
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mqttbytes_agrees_on_3_1_1(packet in ingredients(|version| version == Version::V311)) {
        both_ways::<mqttbytes_v4::Codec>(&packet);
    }

    #[test]
    fn mqttbytes_agrees_on_5_0(packet in ingredients(|version| version == Version::V5)) {
        both_ways::<mqttbytes_v5::Codec>(&packet);
    }

    #[test]
    fn rmqtt_agrees_on_3_x(packet in ingredients(|version| version < Version::V5)) {
        both_ways::<rmqtt_v3::Codec>(&packet);
    }

    #[test]
    fn rmqtt_agrees_on_5_0(packet in ingredients(|version| version == Version::V5)) {
        both_ways::<rmqtt_v5::Codec>(&packet);
    }

    #[test]
    fn rmqtt_reads_damaged_3_x_alike(
        packet in ingredients(|version| version < Version::V5),
        damage in damage(),
    ) {
        damaged::<rmqtt_v3::Codec>(&packet, &damage);
    }

    #[test]
    fn rmqtt_reads_damaged_5_0_alike(
        packet in ingredients(|version| version == Version::V5),
        damage in damage(),
    ) {
        damaged::<rmqtt_v5::Codec>(&packet, &damage);
    }
}

/// Packets that at least one of the oracles gets wrong, as bytes by hand. What each version's
/// tables ask for beyond these is tested beside the code.
mod golden {
    use super::*;

    #[track_caller]
    fn client_refused(version: Version, bytes: &[u8], code: ReasonCode) {
        let error = decode(bytes, &Context::new(version, Sender::Client)).expect_err("refused");
        assert_eq!(error.code, code, "{error}");
    }

    #[test]
    fn a_publish_with_three_subscription_identifiers() {
        let bytes = b"\x30\x0D\0\x01t\x07\x0B\x01\x0B\x80\x01\x0B\x03hi";
        let context = Context::new(Version::V5, Sender::Server);
        let Ok(Some((Packet::Publish(publish), 15))) = decode(bytes, &context) else {
            panic!("a PUBLISH of 15 bytes")
        };
        let ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
        assert_eq!((ids, publish.payload), (vec![1, 128, 3], &b"hi"[..]));
        let mut out = Vec::new();
        publish.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, bytes);
    }

    #[test]
    fn disconnects_of_two_and_three_bytes() {
        let context = Context::new(Version::V5, Sender::Client);
        for (bytes, code) in [
            (&b"\xE0\0"[..], ReasonCode::Success),
            (b"\xE0\x01\x04", ReasonCode::DisconnectWithWill),
            (b"\xE0\x02\x81\0", ReasonCode::MalformedPacket),
        ] {
            let Ok(Some((Packet::Disconnect(disconnect), _))) = decode(bytes, &context) else {
                panic!("{bytes:x?} is a DISCONNECT")
            };
            assert_eq!(disconnect.code, code);
        }
    }

    #[test]
    fn a_connack_without_properties_has_a_length_of_none() {
        let context = Context::new(Version::V5, Sender::Server);
        assert!(matches!(
            decode(b"\x20\x03\0\0\0", &context),
            Ok(Some((Packet::Connack(_), 5)))
        ));
        assert!(
            decode(b"\x20\x02\0\0", &context).is_err(),
            "the length byte is missing"
        );
    }

    #[test]
    fn topics_are_names() {
        let malformed = ReasonCode::MalformedPacket;
        client_refused(Version::V311, b"\x30\x05\0\x03a/#", malformed);
        client_refused(Version::V5, b"\x30\x04\0\x01+\0", malformed);
        client_refused(Version::V311, b"\x30\x04\0\x02a\0", malformed);
        client_refused(Version::V311, b"\x82\x08\0\x01\0\x03a#b\0", malformed);
        client_refused(Version::V5, b"\x30\x03\0\0\0", ReasonCode::ProtocolError);
    }

    #[test]
    fn what_only_a_server_may_say() {
        let error = ReasonCode::ProtocolError;
        client_refused(Version::V5, b"\x30\x06\0\x01t\x02\x0B\x01", error);
        client_refused(Version::V5, b"\xE0\x01\x8B", error);
        client_refused(Version::V5, b"\xF0\x06\0\x04\x15\0\x01m", error);
        client_refused(Version::V311, b"\xD0\0", error);
    }

    #[test]
    fn nothing_follows_the_last_field() {
        let malformed = ReasonCode::MalformedPacket;
        client_refused(Version::V311, b"\xC0\x01\0", malformed);
        client_refused(Version::V311, b"\xE0\x01\0", malformed);
        client_refused(Version::V311, b"\x40\x03\0\x01\0", malformed);
        client_refused(
            Version::V311,
            b"\x10\x0F\0\x04MQTT\x04\x02\0\x3C\0\x02c1\0",
            malformed,
        );
    }

    #[test]
    fn properties_come_once_and_in_range() {
        let error = ReasonCode::ProtocolError;
        client_refused(Version::V5, b"\x30\x08\0\x01t\x04\x01\0\x01\0", error);
        client_refused(Version::V5, b"\x30\x06\0\x01t\x02\x01\x02", error);
        client_refused(
            Version::V5,
            b"\x82\x09\0\x01\x02\x0B\0\0\x01a\0",
            ReasonCode::ProtocolError,
        );
        client_refused(
            Version::V5,
            b"\x30\x07\0\x01t\x03\x23\0\0",
            ReasonCode::TopicAliasInvalid,
        );
        client_refused(Version::V5, b"\x82\x10\0\x01\0\0\x0A$share/g/a\x04", error);
    }
}
