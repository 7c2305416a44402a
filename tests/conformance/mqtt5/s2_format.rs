//! MQTT 5.0, section 2: fixed header, Packet Identifier, properties.

use std::collections::HashSet;

use crate::bytes::{
    Connect, Publish, ack_5, packet, puback, pubcomp, pubrec, pubrel, subscribe_5, unsubscribe_5,
};
use crate::received::{
    Ack, connected, expect_alive, expect_disconnect, online, published, refused_5, subscribe,
};
use crate::support::broker::Broker;

/// Breaks if: `check_flags` in `src/codec/header.rs` lets other flags than the prescribed ones pass.
#[test]
fn mqtt5_2_1_3_1_reserved_flags_have_the_listed_value() {
    let broker = Broker::start();
    let rest: [(u8, &[u8]); 9] = [
        (0x40, b"\0\x01"),
        (0x50, b"\0\x01"),
        (0x62, b"\0\x01"),
        (0x70, b"\0\x01"),
        (0x82, b"\0\x01\0\0\x01t\0"),
        (0xa2, b"\0\x01\0\0\x01t"),
        (0xc0, b""),
        (0xe0, b""),
        (0xf0, b"\x19\0"),
    ];
    for (right, body) in rest {
        for wrong in (0..16).map(|flags| right & 0xf0 | flags) {
            if wrong != right {
                let mut client = online(broker.tcp, "c");
                client.send(&packet(wrong, body));
                expect_disconnect(&mut client, 0x81);
            }
        }
    }
    let connect = Connect::v5("c").bytes();
    for flags in 1..16 {
        refused_5(broker.tcp, &[&[0x10 | flags], &connect[1..]].concat(), 0x81);
    }
}

/// Breaks if: `Publish::decode` in `src/codec/publish.rs` reads an id at QoS 0, or `encode_head` in
/// `src/codec/publish_frame.rs` writes one.
#[test]
fn mqtt5_2_2_1_2_a_qos_0_publish_has_no_packet_identifier() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "t", 2);
    // Whoever reads an id here takes no properties and half of the payload for it.
    let sent = b"\x30\x08\x00\x01t\x00\x00\x01hi";
    client.send(sent);
    client.expect(sent);
    // A higher QoS that was cut to 0 has lost its id on the way.
    subscribe(&mut client, "t", 0);
    client.send(&Publish::v5("t", "hi").qos(1, 7).bytes());
    let mut received = [client.packet(), client.packet()];
    received.sort();
    assert_eq!(received, [Publish::v5("t", "hi").bytes(), puback(7)]);
}

/// Breaks if: `packet_id` in `src/codec/reader.rs` takes 0.
#[test]
fn mqtt5_2_2_1_3_a_client_may_not_use_packet_identifier_0() {
    let broker = Broker::start();
    let packets = [
        Publish::v5("t", "").qos(1, 0).bytes(),
        Publish::v5("t", "").qos(2, 0).bytes(),
        subscribe_5(0, &[], &[("t", 0)]),
        unsubscribe_5(0, &[], &["t"]),
    ];
    for bytes in packets {
        let mut client = online(broker.tcp, "c");
        client.send(&bytes);
        expect_disconnect(&mut client, 0x82);
    }
}

/// Breaks if: `Window::add` in `src/session/window.rs` does not look whether an id is free, or begins at 0.
#[test]
fn mqtt5_2_2_1_4_the_brokers_packet_identifiers_are_not_0_and_not_in_use() {
    const BATCH: u16 = 64;
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let mut client = online(broker.tcp, "client");
    subscribe(&mut client, "#", 2);
    // Two ids stay in use: of a message that is not acknowledged, and of one that is not completed.
    publisher.send(&Publish::v5("t", "").qos(1, 1).bytes());
    publisher.expect(&puback(1));
    publisher.send(&Publish::v5("t", "").qos(2, 1).bytes());
    publisher.expect(&pubrec(1));
    let held = [0, 0].map(|_: u8| published(&mut client).packet_id);
    client.send(&pubrec(held[1]));
    client.expect(&pubrel(held[1]));
    // More messages than there are ids: all of them come by.
    let batch = (1..=BATCH).map(|id| Publish::v5("t", "").qos(1, id).bytes());
    let batch: Vec<u8> = batch.flatten().collect();
    for _ in 0..=u16::MAX / BATCH + 1 {
        publisher.send(&batch);
        let mut in_use = HashSet::from(held);
        for id in 1..=BATCH {
            publisher.expect(&puback(id));
            let id = published(&mut client).packet_id;
            assert!(id != 0 && in_use.insert(id), "{id} of {in_use:?}");
        }
        let acknowledged = in_use.iter().filter(|id| !held.contains(id));
        client.send(&acknowledged.flat_map(|id| puback(*id)).collect::<Vec<u8>>());
    }
}

/// Breaks if: `encode_ack` in `src/codec/ack.rs` writes another id than that of the packet it answers, or
/// `Replies::ack` in `src/session/replies.rs` keeps another.
#[test]
fn mqtt5_2_2_1_5_acknowledgements_echo_the_identifier_of_the_publish() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    for id in [1, 0x0102, 0x8000, 0xffff] {
        client.send(&Publish::v5("t", "").qos(1, id).bytes());
        let ack = Ack::v5(&client.packet());
        assert_eq!((ack.first, ack.packet_id), (0x40, id));
        client.send(&Publish::v5("t", "").qos(2, id).bytes());
        let ack = Ack::v5(&client.packet());
        assert_eq!((ack.first, ack.packet_id), (0x50, id));
        client.send(&pubrel(id));
        client.expect(&pubcomp(id));
    }
    // The broker's own PUBREL names the message that it sent.
    subscribe(&mut client, "t", 2);
    let mut publisher = online(broker.tcp, "publisher");
    let both = [
        Publish::v5("t", "").qos(2, 500),
        Publish::v5("t", "").qos(2, 501),
    ];
    publisher.send(&both.map(|publish| publish.bytes()).concat());
    let (first, second) = (published(&mut client), published(&mut client));
    for id in [second.packet_id, first.packet_id] {
        client.send(&ack_5(0x50, id, 0, &[]));
        client.expect(&pubrel(id));
    }
}

/// Breaks if: `body` in `src/codec/subscribe.rs` or `src/codec/unsubscribe.rs` writes another id into the answer.
#[test]
fn mqtt5_2_2_1_6_suback_and_unsuback_echo_the_identifier() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    for id in [1, 0x0102, 0x8000, 0xffff] {
        let [high, low] = u16::to_be_bytes(id);
        client.send(&subscribe_5(id, &[], &[("t", 1)]));
        client.expect(&[0x90, 4, high, low, 0, 1]);
        client.send(&unsubscribe_5(id, &[], &["t"]));
        client.expect(&[0xb0, 4, high, low, 0, 0]);
    }
}

/// Breaks if: `section` in `src/codec/sink.rs` leaves the length of an empty section out, or
/// `PublishProperties::open` in `src/codec/publish.rs` and `Section::open` do without one.
#[test]
fn mqtt5_2_2_2_1_no_properties_are_a_property_length_of_0() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    client.send(&subscribe_5(1, &[], &[("t", 0)]));
    client.expect(b"\x90\x04\x00\x01\x00\x00");
    client.send(b"\x30\x04\x00\x01t\x00");
    client.expect(b"\x30\x04\x00\x01t\x00");
    client.send(&unsubscribe_5(2, &[], &["t"]));
    client.expect(b"\xb0\x04\x00\x02\x00\x00");
    expect_alive(&mut client);

    let without: [&[u8]; 4] = [
        b"\x30\x03\x00\x01t",
        b"\x32\x05\x00\x01t\x00\x01",
        b"\x82\x02\x00\x01",
        b"\xa2\x02\x00\x01",
    ];
    for bytes in without {
        let (mut client, _) = connected(broker.tcp, &Connect::v5("c"));
        client.send(bytes);
        expect_disconnect(&mut client, 0x81);
    }
    // A CONNECT without the byte: the length of the Client Identifier is taken for it.
    refused_5(
        broker.tcp,
        b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x01c",
        0x81,
    );
}
