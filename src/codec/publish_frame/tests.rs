use super::*;
use crate::codec::context::Sender::Server;
use crate::codec::packet::Packet;
use crate::codec::publish::{Publish, PublishProperties};
use crate::codec::subscription_ids::SubscriptionIdsBuf;
use crate::codec::testing::{V3, VERSIONS, decoded};
use crate::codec::user_properties::UserPropertiesBuf;

fn frame() -> PublishFrame<'static> {
    PublishFrame {
        topic: b"a/b",
        payload: b"hi",
        ..PublishFrame::default()
    }
}

#[track_caller]
fn encoded(frame: &PublishFrame<'_>, version: Version) -> Vec<u8> {
    let mut out = b"before".to_vec();
    frame.encode(version, &mut out);
    let frame_bytes = out.split_off(6);
    assert_eq!(frame.encoded_len(version), frame_bytes.len());
    frame_bytes
}

#[test]
fn plain_frames() {
    let qos1 = PublishFrame {
        qos: QoS::AtLeastOnce,
        packet_id: PacketId::new(7),
        ..frame()
    };
    for version in V3 {
        assert_eq!(encoded(&frame(), version), b"\x30\x07\0\x03a/bhi");
        assert_eq!(encoded(&qos1, version), b"\x32\x09\0\x03a/b\0\x07hi");
    }
    assert_eq!(encoded(&frame(), Version::V5), b"\x30\x08\0\x03a/b\0hi");
    let again = PublishFrame {
        dup: true,
        retain: true,
        ..qos1
    };
    assert_eq!(encoded(&again, Version::V5), b"\x3B\x0A\0\x03a/b\0\x07\0hi");
}

#[test]
fn everything_at_once_reads_back() {
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let mut ids = SubscriptionIdsBuf::new();
    ids.push(1).unwrap();
    ids.push(300).unwrap();
    let properties = PublishProperties {
        payload_format: Some(true),
        content_type: Some("text"),
        response_topic: Some("r"),
        correlation_data: Some(b"c"),
        user_properties: users.as_ref(),
        ..PublishProperties::default()
    };
    let mut forwarded = Vec::new();
    properties.write_forwarded(&mut forwarded);
    let frame = PublishFrame {
        qos: QoS::ExactlyOnce,
        packet_id: PacketId::new(0xABCD),
        alias: NonZeroU16::new(3),
        message_expiry: Some(9),
        subscription_ids: &[1, 300],
        forwarded: &forwarded,
        ..frame()
    };
    let publish = Publish {
        qos: QoS::ExactlyOnce,
        topic: "a/b",
        packet_id: PacketId::new(0xABCD),
        properties: PublishProperties {
            message_expiry: Some(9),
            topic_alias: NonZeroU16::new(3),
            subscription_ids: ids.as_ref(),
            ..properties
        },
        payload: b"hi",
        ..Publish::default()
    };
    let bytes = encoded(&frame, Version::V5);
    assert_eq!(
        decoded(Version::V5, Server, &bytes),
        Packet::Publish(publish)
    );
    let mut slow = Vec::new();
    publish.encode(Version::V5, &mut slow).unwrap();
    assert_eq!(bytes, slow, "both encoders agree");
    let plain = Publish {
        properties: PublishProperties::default(),
        ..publish
    };
    for version in V3 {
        let bytes = encoded(&frame, version);
        assert_eq!(
            decoded(version, Server, &bytes),
            Packet::Publish(plain),
            "no properties"
        );
    }
}

#[test]
fn a_known_alias_replaces_the_topic() {
    let frame = PublishFrame {
        topic: b"",
        alias: NonZeroU16::new(2),
        ..frame()
    };
    assert_eq!(
        encoded(&frame, Version::V5),
        b"\x30\x08\0\0\x03\x23\0\x02hi"
    );
}

#[test]
fn dup_needs_a_qos() {
    let frame = PublishFrame {
        dup: true,
        ..frame()
    };
    assert_eq!(encoded(&frame, Version::V311)[0], 0x30);
}

#[test]
fn the_packet_identifier_is_where_it_is_said_to_be() {
    let long = [0; 20_000];
    for payload in [&long[..0], &long[..200], &long] {
        for version in VERSIONS {
            let frame = PublishFrame {
                qos: QoS::AtLeastOnce,
                packet_id: PacketId::new(0xBEEF),
                payload,
                ..frame()
            };
            let at = frame.packet_id_offset(version).unwrap();
            let mut bytes = encoded(&frame, version);
            assert_eq!(bytes[at..at + 2], [0xBE, 0xEF]);
            bytes[at..at + 2].copy_from_slice(&[0, 9]);
            let Packet::Publish(publish) = decoded(version, Server, &bytes) else {
                panic!("a PUBLISH")
            };
            assert_eq!(publish.packet_id, PacketId::new(9));
        }
    }
    assert_eq!(frame().packet_id_offset(Version::V5), None);
}

#[test]
fn the_head_is_all_but_the_payload() {
    let mut head = Vec::new();
    frame().encode_head(Version::V5, &mut head);
    assert_eq!(head, b"\x30\x08\0\x03a/b\0");
    assert!(head.capacity() >= frame().encoded_len(Version::V5));
}
