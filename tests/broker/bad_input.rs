//! What breaks the protocol ends the connection, with the reason where there is a way to say it.

use postbud::broker::{Ending, Gauge};
use postbud::codec::{Packet, QoS, ReasonCode, Version};

use crate::client::publish;
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
const PROTOCOL: ReasonCode = ReasonCode::ProtocolError;

/// What no version allows, byte by byte, and the reason.
const FOR_ALL: &[(&str, &[u8], ReasonCode)] = &[
    ("packet type 0", &[0x00, 0], MALFORMED),
    ("CONNACK from a client", &[0x20, 2, 0, 0], PROTOCOL),
    ("SUBACK from a client", &[0x90, 3, 0, 1, 0], PROTOCOL),
    ("UNSUBACK from a client", &[0xB0, 2, 0, 1], PROTOCOL),
    ("PINGRESP from a client", &[0xD0, 0], PROTOCOL),
    ("PINGREQ with a body", &[0xC0, 1, 0], MALFORMED),
    ("PINGREQ with flags", &[0xC1, 0], MALFORMED),
    ("PUBREL without its flags", &[0x60, 2, 0, 1], MALFORMED),
    (
        "SUBSCRIBE without its flags",
        &[0x80, 6, 0, 1, 0, 1, b'a', 0],
        MALFORMED,
    ),
    (
        "UNSUBSCRIBE without its flags",
        &[0xA0, 5, 0, 1, 0, 1, b'a'],
        MALFORMED,
    ),
    (
        "a Remaining Length of five bytes",
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
        MALFORMED,
    ),
    ("QoS 3", &[0x36, 2, 0, 0], MALFORMED),
    ("PUBACK of id 0", &[0x40, 2, 0, 0], PROTOCOL),
    ("PUBACK cut short", &[0x40, 1, 0], MALFORMED),
];

const FOR_3_X: &[(&str, &[u8])] = &[
    ("AUTH", &[0xF0, 0]),
    ("PUBLISH with a wildcard", &[0x30, 4, 0, 2, b'a', b'#']),
    ("PUBLISH without a topic", &[0x30, 2, 0, 0]),
    ("PUBLISH with U+0000", &[0x30, 3, 0, 1, 0]),
    ("PUBLISH with bad UTF-8", &[0x30, 3, 0, 1, 0xFF]),
    ("PUBLISH of id 0", &[0x32, 5, 0, 1, b'a', 0, 0]),
    ("SUBSCRIBE without a filter", &[0x82, 2, 0, 1]),
    ("SUBSCRIBE at QoS 3", &[0x82, 6, 0, 1, 0, 1, b'a', 3]),
    (
        "SUBSCRIBE with reserved bits",
        &[0x82, 6, 0, 1, 0, 1, b'a', 4],
    ),
    (
        "SUBSCRIBE with a bad filter",
        &[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0],
    ),
    ("UNSUBSCRIBE without a filter", &[0xA2, 2, 0, 1]),
    ("DISCONNECT with a body", &[0xE0, 1, 0]),
    ("DISCONNECT with flags", &[0xE1, 0]),
];

const FOR_5: &[(&str, &[u8], ReasonCode)] = &[
    (
        "PUBLISH with a wildcard",
        &[0x30, 5, 0, 2, b'a', b'#', 0],
        MALFORMED,
    ),
    (
        "PUBLISH with neither topic nor alias",
        &[0x30, 3, 0, 0, 0],
        PROTOCOL,
    ),
    ("PUBLISH with U+0000", &[0x30, 4, 0, 1, 0, 0], MALFORMED),
    ("PUBLISH of id 0", &[0x32, 6, 0, 1, b'a', 0, 0, 0], PROTOCOL),
    (
        "alias 0",
        &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0],
        ReasonCode::TopicAliasInvalid,
    ),
    (
        "an alias above the maximum",
        &[0x30, 7, 0, 1, b'a', 3, 0x23, 1, 0],
        ReasonCode::TopicAliasInvalid,
    ),
    (
        "an alias that stands for nothing",
        &[0x30, 6, 0, 0, 3, 0x23, 0, 5],
        PROTOCOL,
    ),
    (
        "a Subscription Identifier from a client",
        &[0x30, 6, 0, 1, b'a', 2, 0x0B, 1],
        PROTOCOL,
    ),
    (
        "a property that PUBLISH has not",
        &[0x30, 6, 0, 1, b'a', 2, 0x24, 1],
        MALFORMED,
    ),
    (
        "a property twice",
        &[0x30, 8, 0, 1, b'a', 4, 1, 0, 1, 0],
        PROTOCOL,
    ),
    (
        "a property section that is too long",
        &[0x30, 4, 0, 1, b'a', 9],
        MALFORMED,
    ),
    ("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0], PROTOCOL),
    (
        "SUBSCRIBE with reserved bits",
        &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40],
        MALFORMED,
    ),
    (
        "a Subscription Identifier of 0",
        &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b'a', 0],
        PROTOCOL,
    ),
    (
        "UNSUBSCRIBE without a filter",
        &[0xA2, 3, 0, 1, 0],
        PROTOCOL,
    ),
    (
        "PUBACK with a code of another packet",
        &[0x40, 3, 0, 1, 0x92],
        PROTOCOL,
    ),
    ("DISCONNECT with flags", &[0xE1, 0], MALFORMED),
    (
        "DISCONNECT with a code of the server's",
        &[0xE0, 1, 0x8E],
        PROTOCOL,
    ),
    ("AUTH with flags", &[0xF1, 0], MALFORMED),
    (
        "a length that is not the shortest",
        &[0xC0, 0x80, 0],
        MALFORMED,
    ),
];

/// Sends bytes on an open connection, which must be its end, and of nobody else's.
#[track_caller]
fn ends(version: Version, what: &str, bytes: &[u8], code: Option<ReasonCode>) {
    let house = House::new();
    let witness = house.v5("witness").open();
    witness.subscribe("#", QoS::AtMostOnce);
    let client = house.hello(version, "c").open();
    client.publish("t", "before");
    let mut input = bytes.to_vec();
    // What follows must not be looked at any more.
    input.extend_from_slice(&[0xC0, 0]);
    client.send_bytes(&input);
    let Some(Ending::Closed(ended)) = client.ending() else {
        panic!("{version}: {what} ended with {:?}", client.ending())
    };
    if let Some(code) = code {
        assert_eq!(ended, code, "{version}: {what}");
    }
    let said = match version {
        Version::V5 => vec![Got::Disconnect(ended)],
        Version::V31 | Version::V311 => vec![],
    };
    assert_eq!(client.take(), said, "{version}: {what}");
    assert_eq!(
        house.closed(ended.name()),
        1,
        "{version}: {what} is counted"
    );
    assert_eq!(house.gauge(Gauge::Connected), 1);
    client.send(&Packet::Pingreq);
    assert_eq!(client.take(), [], "{version}: {what}");
    assert_eq!(witness.payloads(), ["before"], "{version}: {what}");
}

// [MQTT5-4.13.1-1] [MQTT311-4.8.0-1] [MQTT5-3.14.4-2]
#[test]
fn what_no_version_allows_ends_the_connection() {
    for version in VERSIONS {
        for (what, bytes, code) in FOR_ALL {
            ends(
                version,
                what,
                bytes,
                (version == Version::V5).then_some(*code),
            );
        }
    }
}

#[test]
fn what_3_x_does_not_allow_ends_the_connection_in_silence() {
    for version in [Version::V31, Version::V311] {
        for (what, bytes) in FOR_3_X {
            ends(version, what, bytes, None);
        }
    }
}

#[test]
fn what_mqtt_5_does_not_allow_ends_the_connection_with_its_reason() {
    for (what, bytes, code) in FOR_5 {
        ends(Version::V5, what, bytes, Some(*code));
    }
}

// [MQTT5-3.1.0-2] [MQTT311-3.1.0-2]
#[test]
fn a_second_connect_ends_the_connection() {
    for version in VERSIONS {
        for again in VERSIONS {
            let house = House::new();
            let client = house.hello(version, "c").open();
            let mut bytes = Vec::new();
            let connect = house.hello(again, "c").connect;
            let packet = Packet::Connect(connect);
            postbud::codec::encode(&packet, again, &mut bytes).expect("a CONNECT");
            client.send_bytes(&bytes);
            client.assert_closed(PROTOCOL);
            assert_eq!(house.gauge(Gauge::Sessions), 0, "{version} {again}");
        }
    }
}

// DISCONNECT has no 0x84; that no illegal packet is sent is checked by the decoder. [MQTT5-3.14.2-1]
#[test]
fn a_second_connect_of_an_unknown_version_is_told_with_a_code_that_disconnect_has() {
    let house = House::new();
    let client = house.v5("c").open();
    client.send_bytes(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 0, 0, 0, 0]);
    assert!(matches!(client.take()[..], [Got::Disconnect(code)] if code.is_error()));
    assert!(client.ending().is_some());
}

// [MQTT5-3.1.0-1] [MQTT311-3.1.0-1] [MQTT5-3.14.0-1]
#[test]
fn before_connect_nothing_is_answered() {
    let first: [&[u8]; 5] = [
        &[0xC0, 0],
        &[0x30, 4, 0, 1, b'a', b'x'],
        &[0x00, 0],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
    ];
    for bytes in first {
        let house = House::new();
        let client = house.accept(Version::V5, true);
        client.send_bytes(bytes);
        assert_eq!(client.take(), [], "{bytes:?}");
        assert!(
            matches!(client.ending(), Some(Ending::Closed(_))),
            "{bytes:?}"
        );
        assert_eq!(house.gauge(Gauge::Connections), 0);
        assert_eq!(house.snapshot().refused.len(), 1, "counted by its reason");
    }
}

// [MQTT5-3.1.2-1] [MQTT5-3.1.2-2] [MQTT5-3.1.2-3] [MQTT311-3.1.2-2] [MQTT5-3.1.4-1]
#[test]
fn a_bad_connect_is_refused_with_a_connack_where_there_is_one() {
    const NAME: [u8; 6] = [0, 4, b'M', b'Q', b'T', b'T'];
    let unknown = ReasonCode::UnsupportedProtocolVersion;
    let cases: [(&str, Version, &[u8], Option<ReasonCode>); 5] = [
        (
            "a later version",
            Version::V5,
            &[6, 2, 0, 0, 0, 0, 0],
            Some(unknown),
        ),
        (
            "an unknown version",
            Version::V311,
            &[2, 2, 0, 0, 0, 0],
            Some(unknown),
        ),
        (
            "a reserved flag in 5.0",
            Version::V5,
            &[5, 3, 0, 0, 0, 0, 0],
            Some(MALFORMED),
        ),
        (
            "a reserved flag in 3.1.1",
            Version::V311,
            &[4, 3, 0, 0, 0, 0],
            None,
        ),
        (
            "nothing after the version",
            Version::V5,
            &[5],
            Some(MALFORMED),
        ),
    ];
    for (what, version, rest, code) in cases {
        let house = House::new();
        let client = house.accept(version, true);
        let body = [&NAME[..], rest].concat();
        client.send_bytes(&[&[0x10, body.len() as u8], &body[..]].concat());
        let told = client.take();
        match (&told[..], code) {
            ([], None) => {}
            ([Got::Connack(welcome)], Some(code)) => assert_eq!(welcome.code, code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(matches!(client.ending(), Some(Ending::Closed(_))), "{what}");
        assert_eq!(house.snapshot().refused.len(), 1, "{what}");
    }
}

// [MQTT5-3.2.2-15]
#[test]
fn a_packet_over_the_limit_ends_the_connection_before_it_has_come() {
    for version in VERSIONS {
        let house = House::with_options(|options| options.session.packet_size_maximum = 1000);
        let client = house.hello(version, "c").open();
        let fits = publish(QoS::AtMostOnce, 0, "t", "x");
        client.send(&Packet::Publish(fits));
        assert_eq!(client.ending(), None);
        // A fixed header that announces 1001 bytes.
        client.send_bytes(&[0x30, 0xE6, 0x07]);
        client.assert_closed(ReasonCode::PacketTooLarge);
    }
}

#[test]
fn half_a_packet_waits_for_the_rest_however_it_is_cut() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let client = house.accept(version, true);
        let mut bytes = Vec::new();
        let connect = Packet::Connect(house.hello(version, "c").connect);
        let messages = [
            publish(QoS::AtMostOnce, 0, "t", "one"),
            publish(QoS::AtLeastOnce, 1, "t", "two"),
        ];
        postbud::codec::encode(&connect, version, &mut bytes).expect("a CONNECT");
        for message in messages {
            postbud::codec::encode(&Packet::Publish(message), version, &mut bytes)
                .expect("a PUBLISH");
        }
        for byte in bytes {
            assert_eq!(client.ending(), None);
            client.send_bytes(&[byte]);
        }
        assert_eq!(reader.payloads(), ["one", "two"], "{version}");
        assert_eq!(client.take().len(), 2, "{version}: CONNACK and PUBACK");
    }
}

#[test]
fn what_came_before_the_fault_is_done_and_answered() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let client = house.v5("c").open();
    client.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "t", "good")));
    client.feed_bytes(&[0x36, 2, 0, 0]);
    house.run();
    assert_eq!(reader.payloads(), ["good"]);
    let expected = [
        Got::Puback(1, ReasonCode::Success),
        Got::Disconnect(MALFORMED),
    ];
    assert_eq!(client.take(), expected);
}

#[test]
fn a_disconnect_is_the_last_packet_that_is_read() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let client = house.hello(version, "c").open();
        let goodbye = postbud::codec::Disconnect::new(ReasonCode::Success);
        client.feed(&Packet::Disconnect(goodbye));
        client.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "t", "after")));
        house.run();
        assert_eq!(
            (client.take(), reader.take()),
            (vec![], vec![]),
            "{version}"
        );
        assert_eq!(client.ending(), Some(Ending::Disconnected));
    }
}

#[test]
fn a_reason_that_the_client_has_no_room_for_is_left_out() {
    for maximum in [15, 20, 40] {
        let house = House::new();
        // CONNACK alone needs most of that; where it does not fit the client is turned away.
        let client = house.v5("c").packet_size_maximum(maximum).send();
        client.send_bytes(&[0x36, 2, 0, 0]);
        let got = client.take();
        assert!(client.ending().is_some(), "{maximum}: {got:?}");
    }
}
