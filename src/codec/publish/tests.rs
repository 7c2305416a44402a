use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::{Packet, decode};
use crate::codec::subscription_ids::SubscriptionIdsBuf;
use crate::codec::testing::{V3, VERSIONS, decoded, golden, packet, refusal, refused, section};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid};

fn publish(topic: &'static str, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        topic,
        payload,
        ..Publish::default()
    }
}

#[test]
fn each_qos_and_flag() {
    let plain = publish("a/b", b"hi");
    let id = PacketId::new(0x1234);
    let qos1 = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: id,
        ..plain
    };
    let qos2 = Publish {
        qos: QoS::ExactlyOnce,
        packet_id: id,
        dup: true,
        retain: true,
        ..plain
    };
    for version in V3 {
        let bytes = b"\x30\x07\0\x03a/bhi";
        golden(version, Client, bytes, Packet::Publish(plain));
        let bytes = b"\x31\x07\0\x03a/bhi";
        golden(
            version,
            Client,
            bytes,
            Packet::Publish(Publish {
                retain: true,
                ..plain
            }),
        );
        golden(
            version,
            Client,
            b"\x32\x09\0\x03a/b\x12\x34hi",
            Packet::Publish(qos1),
        );
        golden(
            version,
            Client,
            b"\x3D\x09\0\x03a/b\x12\x34hi",
            Packet::Publish(qos2),
        );
    }
    golden(
        Version::V5,
        Client,
        b"\x30\x08\0\x03a/b\0hi",
        Packet::Publish(plain),
    );
    golden(
        Version::V5,
        Client,
        b"\x32\x0A\0\x03a/b\x12\x34\0hi",
        Packet::Publish(qos1),
    );
    golden(
        Version::V5,
        Client,
        b"\x3D\x0A\0\x03a/b\x12\x34\0hi",
        Packet::Publish(qos2),
    );
}

#[test]
fn an_empty_payload_and_a_dollar_topic_are_fine() {
    let bytes = b"\x31\x08\0\x06$SYS/x";
    let packet = Packet::Publish(Publish {
        retain: true,
        ..publish("$SYS/x", b"")
    });
    golden(Version::V311, Client, bytes, packet);
}

#[test]
fn a_payload_over_127_bytes_takes_a_longer_header() {
    let payload = [0xAA; 300];
    let bytes = packet(0x30, &[b"\0\x01t", &payload]);
    assert_eq!(&bytes[..3], b"\x30\xAF\x02");
    let publish = Publish {
        topic: "t",
        payload: &payload,
        ..Publish::default()
    };
    golden(Version::V311, Client, &bytes, Packet::Publish(publish));
}

#[test]
fn all_properties_a_client_may_send() {
    let properties: &[&[u8]] = &[
        b"\x02\0\0\0\x3C",
        b"\x23\0\x05",
        b"\x01\x01",
        b"\x03\0\x04text",
        b"\x08\0\x03r/t",
        b"\x09\0\x03\0\xFF\x01",
        b"\x26\0\x01a\0\x011",
        b"\x26\0\x01a\0\x012",
    ];
    let bytes = packet(0x30, &[b"\0\x01t", &section(properties), b"hi"]);
    let mut users = UserPropertiesBuf::new();
    users.push("a", "1").unwrap();
    users.push("a", "2").unwrap();
    let properties_read = PublishProperties {
        payload_format: Some(true),
        message_expiry: Some(60),
        topic_alias: NonZeroU16::new(5),
        response_topic: Some("r/t"),
        correlation_data: Some(b"\0\xFF\x01"),
        content_type: Some("text"),
        subscription_ids: SubscriptionIds::default(),
        user_properties: users.as_ref(),
    };
    let publish = Publish {
        properties: properties_read,
        ..publish("t", b"hi")
    };
    for sender in [Client, Server] {
        golden(Version::V5, sender, &bytes, Packet::Publish(publish));
    }
    let mut forwarded = Vec::new();
    properties_read.write_forwarded(&mut forwarded);
    assert_eq!(
        forwarded,
        properties[2..].concat(),
        "neither expiry nor alias"
    );
    assert_eq!(properties_read.forwarded_len(), forwarded.len());
    let again = PublishProperties::parse_forwarded(&forwarded).unwrap();
    let expected = PublishProperties {
        message_expiry: None,
        topic_alias: None,
        ..properties_read
    };
    assert_eq!(again, expected);
}

#[test]
fn subscription_identifiers_come_from_servers_only() {
    let mut ids = SubscriptionIdsBuf::new();
    for id in [1, 128, 268_435_455] {
        ids.push(id).unwrap();
    }
    let properties = PublishProperties {
        subscription_ids: ids.as_ref(),
        ..PublishProperties::default()
    };
    let bytes = b"\x30\x0F\0\x01t\x0A\x0B\x01\x0B\x80\x01\x0B\xFF\xFF\xFF\x7Fx";
    let publish = Publish {
        properties,
        ..publish("t", b"x")
    };
    golden(Version::V5, Server, bytes, Packet::Publish(publish));
    assert_eq!(refusal(Version::V5, Client, bytes).code, ProtocolError);
    assert_eq!(properties.forwarded_len(), 0, "they are of one hop");
}

#[test]
fn scattered_properties_are_found_in_order() {
    let properties: &[&[u8]] = &[
        b"\x01\0",
        b"\x26\0\x01a\0\x011",
        b"\x0B\x07",
        b"\x09\0\x02\x26\x26",
        b"\x26\0\x01b\0\x012",
        b"\x0B\x09",
        b"\x26\0\x01a\0\x013",
        b"\x02\0\0\0\x01",
    ];
    let bytes = packet(0x30, &[b"\0\x01t", &section(properties)]);
    let Packet::Publish(publish) = decoded(Version::V5, Server, &bytes) else {
        panic!("a PUBLISH")
    };
    let users: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(users, [("a", "1"), ("b", "2"), ("a", "3")]);
    let ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
    assert_eq!(ids, [7, 9]);
    let mut forwarded = Vec::new();
    publish.properties.write_forwarded(&mut forwarded);
    let expected = [
        properties[0],
        properties[3],
        properties[1],
        properties[4],
        properties[6],
    ]
    .concat();
    assert_eq!(forwarded, expected);
}

#[test]
fn an_alias_may_stand_for_the_topic() {
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(1),
        ..PublishProperties::default()
    };
    let publish = Publish {
        properties,
        ..publish("", b"x")
    };
    golden(
        Version::V5,
        Client,
        b"\x30\x07\0\0\x03\x23\0\x01x",
        Packet::Publish(publish),
    );
}

#[test]
fn malformed_in_every_version() {
    for version in VERSIONS {
        let cases: &[(&str, &[u8], ReasonCode)] = &[
            ("nothing", b"", MalformedPacket),
            ("half a length", b"\0", MalformedPacket),
            ("a topic that runs out", b"\0\x09abc", MalformedPacket),
            ("#", b"\0\x03a/#\0", MalformedPacket),
            ("+", b"\0\x01+\0", MalformedPacket),
            ("U+0000", b"\0\x02a\0\0", MalformedPacket),
            ("not UTF-8", b"\0\x02a\xFF\0", MalformedPacket),
            ("a surrogate", b"\0\x03\xED\xA0\x80\0", MalformedPacket),
        ];
        refused(version, Client, 0x30, cases);
        let cases: &[(&str, &[u8], ReasonCode)] = &[
            ("no packet id", b"\0\x01a", MalformedPacket),
            ("half a packet id", b"\0\x01a\0", MalformedPacket),
            ("packet id 0", b"\0\x01a\0\0\0", ProtocolError),
        ];
        for first_byte in [0x32, 0x34] {
            refused(version, Client, first_byte, cases);
        }
    }
}

#[test]
fn an_empty_topic_needs_an_alias() {
    for version in V3 {
        refused(
            version,
            Client,
            0x30,
            &[("an empty topic", b"\0\0x", MalformedPacket)],
        );
    }
    refused(
        Version::V5,
        Client,
        0x30,
        &[("an empty topic", b"\0\0\0x", ProtocolError)],
    );
}

#[test]
fn properties_that_are_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("alias 0", b"\x23\0\0", TopicAliasInvalid),
        ("alias twice", b"\x23\0\x01\x23\0\x01", ProtocolError),
        ("payload format 2", b"\x01\x02", ProtocolError),
        ("payload format twice", b"\x01\0\x01\0", ProtocolError),
        (
            "expiry twice",
            b"\x02\0\0\0\x01\x02\0\0\0\x01",
            ProtocolError,
        ),
        ("content type twice", b"\x03\0\0\x03\0\0", ProtocolError),
        (
            "response topic twice",
            b"\x08\0\x01a\x08\0\x01a",
            ProtocolError,
        ),
        ("correlation data twice", b"\x09\0\0\x09\0\0", ProtocolError),
        ("# in the response topic", b"\x08\0\x03a/#", MalformedPacket),
        ("an empty response topic", b"\x08\0\0", MalformedPacket),
        ("content type with U+0000", b"\x03\0\x01\0", MalformedPacket),
        ("content type not UTF-8", b"\x03\0\x01\xFF", MalformedPacket),
        ("a reason string", b"\x1F\0\0", MalformedPacket),
        ("a will delay", b"\x18\0\0\0\0", MalformedPacket),
        ("an unknown property", b"\x04", MalformedPacket),
    ];
    for (what, properties, code) in cases {
        let body = [b"\0\x01t", &section(&[properties])[..]].concat();
        for sender in [Client, Server] {
            refused(Version::V5, sender, 0x30, &[(what, &body, *code)]);
        }
    }
    let zero: (&str, &[u8], _) = ("subscription id 0", b"\0\x01t\x02\x0B\0", ProtocolError);
    let padded: (&str, &[u8], _) = ("padded id", b"\0\x01t\x03\x0B\x81\0", MalformedPacket);
    refused(Version::V5, Server, 0x30, &[zero, padded]);
}

#[test]
fn user_properties_have_no_bound_but_the_packet() {
    let users = b"\x26\0\x01k\0\x01v".repeat(50_000);
    let bytes = packet(0x30, &[b"\0\x01t", &section(&[&users])]);
    let Packet::Publish(publish) = decoded(Version::V5, Client, &bytes) else {
        panic!("a PUBLISH")
    };
    assert_eq!(publish.properties.user_properties.iter().count(), 50_000);
}

#[test]
fn what_has_no_bytes() {
    let plain = publish("t", b"");
    let id = PacketId::new(1);
    let alias = PublishProperties {
        topic_alias: NonZeroU16::new(1),
        ..PublishProperties::default()
    };
    let long = "x".repeat(65_536);
    let no_id = Publish {
        qos: QoS::AtLeastOnce,
        ..plain
    };
    let cases = [
        (
            "an id with QoS 0",
            Publish {
                packet_id: id,
                ..plain
            },
            Version::V5,
        ),
        ("no id with QoS 1", no_id, Version::V311),
        ("an empty topic", publish("", b""), Version::V5),
        (
            "an alias in 3.1.1",
            Publish {
                topic: "",
                properties: alias,
                ..plain
            },
            Version::V311,
        ),
        ("U+0000", publish("a\0", b""), Version::V311),
        (
            "a long topic",
            Publish {
                topic: &long,
                ..plain
            },
            Version::V311,
        ),
    ];
    for (what, publish, version) in cases {
        let mut out = Vec::new();
        assert!(publish.encode(version, &mut out).is_err(), "{what}");
        assert!(out.is_empty(), "{what}: nothing was written");
    }
}

#[test]
fn dup_with_qos_0_is_dropped_or_refused() {
    // 3.1 gives DUP no meaning there; the later versions forbid it.
    let bytes = b"\x38\x03\0\x01t";
    let context = Context::new(Version::V31, Client);
    assert_eq!(
        decode(bytes, &context),
        Ok(Some((Packet::Publish(publish("t", b"")), 5)))
    );
    assert_eq!(refusal(Version::V311, Client, bytes).code, MalformedPacket);
    assert_eq!(refusal(Version::V5, Client, bytes).code, MalformedPacket);
    let mut out = Vec::new();
    Publish {
        dup: true,
        ..publish("t", b"")
    }
    .encode(Version::V311, &mut out)
    .unwrap();
    assert_eq!(out, b"\x30\x03\0\x01t");
}
