//! Section 2: the format of Control Packets.

use std::collections::HashSet;

use super::peer::{
    breach, client, connect, expect_message, no_breach, not_connected, persistent, publish,
    received, resume, start, suback, subscribe, subscriber, unsuback,
};
use crate::bytes::{
    Connect, PINGREQ, Publish, puback, pubcomp, pubrec, pubrel, subscribe_311, unsubscribe_311,
};
use crate::received::expect_alive;
use crate::support::raw::RawClient;

/// Every kind of packet that a broker sends, with the flags of its fixed header.
#[test]
// Breaks if: codec/packet_type.rs `first_byte` gives PUBREL no 0b0010, or another packet any flag.
fn mqtt311_2_2_2_1_reserved_flags_are_sent_as_listed() {
    let broker = start();
    let mut client = RawClient::connect(broker.tcp);
    let mut first_bytes = Vec::new();
    let mut exchange = |bytes: &[u8], answers: usize| {
        client.send(bytes);
        for _ in 0..answers {
            first_bytes.push(client.packet()[0]);
        }
    };
    exchange(&Connect::v311("all").bytes(), 1);
    exchange(&subscribe_311(1, &[("t", 2)]), 1);
    exchange(&PINGREQ, 1);
    exchange(&Publish::v311("other", "").qos(1, 2).bytes(), 1);
    exchange(&Publish::v311("other", "").qos(2, 3).bytes(), 1);
    exchange(&pubrel(3), 1);
    exchange(&Publish::v311("t", "").bytes(), 1);
    let mut publisher = super::peer::client(&broker, "publisher");
    publish(&mut publisher, 2, "t", "");
    // The first that the broker sends on this session has id 1 or whatever it likes: read it.
    let delivery = received(&mut client);
    client.send(&pubrec(delivery.packet_id));
    first_bytes.push(client.packet()[0]);
    client.send(&pubcomp(delivery.packet_id));
    client.send(&unsubscribe_311(4, &["t"]));
    first_bytes.push(client.packet()[0]);
    let listed = [0x20, 0x90, 0xd0, 0x40, 0x50, 0x70, 0x30, 0x62, 0xb0];
    assert_eq!(first_bytes, listed, "{first_bytes:02x?}");
}

#[test]
// Breaks if: codec/header.rs `check_flags` returns Ok(()) whatever the flags.
fn mqtt311_2_2_2_2_invalid_flags_close_the_connection() {
    let broker = start();
    let packets = [
        (0x4, puback(7)),
        (0x5, pubrec(7)),
        (0x6, pubrel(7)),
        (0x7, pubcomp(7)),
        (0x8, subscribe_311(7, &[("t", 0)])),
        (0xa, unsubscribe_311(7, &["t"])),
        (0xc, PINGREQ.to_vec()),
    ];
    for (packet_type, good) in packets {
        no_breach(&broker, &good);
        let prescribed = good[0] & 0x0f;
        for flags in (0..16).filter(|flags| *flags != prescribed) {
            let mut bad = good.clone();
            bad[0] = packet_type << 4 | flags;
            breach(&broker, &bad);
        }
    }
    for flags in 1..16 {
        let mut bad = Connect::v311("flags").bytes();
        bad[0] |= flags;
        not_connected(&broker, &bad);
    }
}

#[test]
// Breaks if: codec/reader.rs `packet_id` lets 0 through.
fn mqtt311_2_3_1_1_a_packet_identifier_of_zero_closes_the_connection() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 0);
    for id in [1, 0x7fff, 0xffff] {
        no_breach(&broker, &subscribe_311(id, &[("u", 0)]));
        no_breach(&broker, &unsubscribe_311(id, &["u"]));
    }
    breach(&broker, &subscribe_311(0, &[("u", 0)]));
    breach(&broker, &unsubscribe_311(0, &["u"]));
    breach(&broker, &Publish::v311("t", "bad").qos(1, 0).bytes());
    breach(&broker, &Publish::v311("t", "bad").qos(2, 0).bytes());
    // And nothing of it was published.
    publish(&mut client(&broker, "publisher"), 0, "t", "good");
    expect_message(&mut witness, 0, "t", "good");
}

/// More messages are sent than there are identifiers, while one message stays unacknowledged: its identifier is
/// not given to another, and none is zero.
#[test]
// Breaks if: session/window.rs `free` says true for an id in use, or `add` takes 0 (`PacketId::new`).
fn mqtt311_2_3_1_4_the_brokers_identifiers_are_nonzero_and_unused() {
    const BATCH: usize = 200;
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 1);
    let mut publisher = client(&broker, "publisher");
    publish(&mut publisher, 1, "t", "stays");
    let stays = received(&mut subscriber).packet_id;
    assert_ne!(stays, 0);

    let burst = Publish::v311("t", "").qos(1, 9).bytes().repeat(BATCH);
    for _ in 0..=usize::from(u16::MAX) / BATCH {
        publisher.send(&burst);
        let mut acks = Vec::new();
        let mut unacknowledged = HashSet::from([stays]);
        for _ in 0..BATCH {
            let id = received(&mut subscriber).packet_id;
            assert_ne!(id, 0);
            assert!(unacknowledged.insert(id), "{id} is in use");
            acks.extend(puback(id));
        }
        subscriber.send(&acks);
        for _ in 0..BATCH {
            publisher.expect(&puback(9));
        }
    }
    subscriber.send(&puback(stays));
    expect_alive(&mut subscriber);
}

/// The second half of the same statement: a repetition has the identifier of the first sending, and the
/// acknowledgement frees it.
#[test]
// Breaks if: session/outbound.rs `resend` gives a new id instead of the entry's.
fn mqtt311_2_3_1_4_a_repetition_keeps_its_identifier_until_acknowledged() {
    let broker = start();
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 2);
    let mut publisher = client(&broker, "publisher");
    for (qos, payload) in [(1, "one"), (2, "two"), (1, "three")] {
        publish(&mut publisher, qos, "t", payload);
    }
    let first = [(); 3].map(|()| received(&mut subscriber));
    let ids = first.each_ref().map(|message| message.packet_id);
    assert_eq!(HashSet::from(ids).len(), 3, "{ids:?}");
    drop(subscriber);

    let mut subscriber = resume(&broker, &persistent("subscriber"));
    for message in &first {
        let again = received(&mut subscriber);
        assert_eq!(
            (again.packet_id, &again.payload, again.dup),
            (message.packet_id, &message.payload, true)
        );
    }
    subscriber.send(&puback(ids[0]));
    expect_alive(&mut subscriber);
    drop(subscriber);
    // The first is free now, and not sent again.
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    assert_eq!(received(&mut subscriber).packet_id, ids[1]);
    assert_eq!(received(&mut subscriber).packet_id, ids[2]);
    expect_alive(&mut subscriber);
}

#[test]
// Breaks if: codec/publish.rs `decode` reads an id whatever the QoS, or codec/publish_frame.rs writes one at QoS 0.
fn mqtt311_2_3_1_5_a_publish_at_qos_0_has_no_identifier() {
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 2);
    let mut publisher = client(&broker, "publisher");
    // What would be an id is the beginning of the payload, and comes out as that.
    publisher.send(b"\x30\x07\x00\x01t\x00\x09hi");
    subscriber.expect(b"\x30\x07\x00\x01t\x00\x09hi");
    publisher.send(b"\x30\x03\x00\x01t");
    subscriber.expect(b"\x30\x03\x00\x01t");
    // Nor has what is delivered at QoS 0 because no more was granted.
    subscribe(&mut subscriber, "t", 0);
    publish(&mut publisher, 2, "t", "hi");
    subscriber.expect(b"\x30\x05\x00\x01thi");
}

#[test]
// Breaks if: codec/ack.rs `encode_ack` writes another id (`swap_bytes`), or session/inbound.rs answers with it.
fn mqtt311_2_3_1_6_acknowledgements_carry_the_identifier_of_the_publish() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = subscriber(&broker, "subscriber", "t", 2);
    for id in [1, 2, 0x0100, 0x1234, 0x7fff, 0xffff] {
        publisher.send(&Publish::v311("t", "1").qos(1, id).bytes());
        publisher.expect(&puback(id));
        publisher.send(&Publish::v311("t", "2").qos(2, id).bytes());
        publisher.expect(&pubrec(id));
        publisher.send(&pubrel(id));
        publisher.expect(&pubcomp(id));

        let delivery = received(&mut subscriber);
        subscriber.send(&puback(delivery.packet_id));
        let delivery = received(&mut subscriber);
        subscriber.send(&pubrec(delivery.packet_id));
        subscriber.expect(&pubrel(delivery.packet_id));
        subscriber.send(&pubcomp(delivery.packet_id));
    }
}

#[test]
// Breaks if: broker/packets.rs `subscribe` or `unsubscribe` answers with another id than the packet's.
fn mqtt311_2_3_1_7_suback_and_unsuback_carry_the_identifier_of_the_request() {
    let broker = start();
    let mut client = client(&broker, "client");
    for id in [1, 2, 0x0100, 0x1234, 0x7fff, 0xffff] {
        client.send(&subscribe_311(id, &[("t", 1)]));
        client.expect(&suback(id, &[1]));
        client.send(&unsubscribe_311(id, &["t"]));
        client.expect(&unsuback(id));
    }
    // Also when several are under way, with the same id even.
    client.send(
        &[
            subscribe_311(5, &[("t", 0)]),
            unsubscribe_311(5, &["t"]),
            subscribe_311(4, &[("t", 2)]),
        ]
        .concat(),
    );
    client.expect(&suback(5, &[0]));
    client.expect(&unsuback(5));
    client.expect(&suback(4, &[2]));
}
