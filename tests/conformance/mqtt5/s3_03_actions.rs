//! MQTT 5.0, section 3.3.4: what follows a PUBLISH: its answer, overlapping subscriptions, Receive Maximum.

use crate::bytes::{
    Connect, PINGREQ, PINGRESP, Publish, ack_5, number, prop, puback, pubcomp, pubrec, pubrel,
    subscribe_5, two,
};
use crate::received::{
    connected, expect_alive, expect_disconnect, leave, online, publish, published, subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Breaks if: `Inbound::publish` in `src/session/inbound.rs` puts another acknowledgement into the line.
#[test]
fn mqtt5_3_3_4_1_the_answer_is_as_the_qos_demands() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    let mut other = online(broker.tcp, "other");
    subscribe(&mut other, "t", 0);
    client.send(&Publish::v5("t", "").bytes());
    client.expect_nothing();
    client.send(&Publish::v5("t", "").qos(1, 7).bytes());
    client.expect(&puback(7));
    client.expect_nothing();
    client.send(&Publish::v5("t", "").qos(2, 8).bytes());
    client.expect(&pubrec(8));
    client.expect_nothing();
    client.send(&pubrel(8));
    client.expect(&pubcomp(8));
    // With nobody to deliver it to, too.
    client.send(&Publish::v5("nobody", "").qos(1, 9).bytes());
    assert_eq!(client.packet()[..4], [0x40, 3, 0, 9]);
    client.send(&Publish::v5("nobody", "").qos(2, 9).bytes());
    assert_eq!(client.packet()[..4], [0x50, 3, 0, 9]);
}

/// Subscribes with a Subscription Identifier.
#[track_caller]
fn subscribe_with(client: &mut RawClient, id: usize, filter: &str, options: u8) {
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, id);
    client.send(&subscribe_5(1, &id, &[(filter, options)]));
    client.expect(&[0x90, 4, 0, 1, 0, options & 3]);
}

/// Breaks if: `merge` in `src/pubsub/subscriptions.rs` takes another QoS than the highest.
#[test]
fn mqtt5_3_3_4_2_overlapping_subscriptions_deliver_at_their_highest_qos() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let grants: [[(&str, u8); 3]; 3] = [
        [("a/b", 0), ("a/+", 1), ("#", 2)],
        [("a/b", 2), ("a/+", 1), ("#", 0)],
        [("a/b", 0), ("+/b", 2), ("a/#", 1)],
    ];
    for filters in grants {
        let mut client = online(broker.tcp, "c");
        client.send(&subscribe_5(1, &[], &filters));
        assert_eq!(client.packet()[0], 0x90);
        for qos in [0, 1, 2] {
            publisher.send(&Publish::v5("a/b", "x").qos(qos, 7).bytes());
            // The highest granted is 2, so it is what the publisher said.
            let received = published(&mut client);
            assert_eq!((received.qos, &*received.topic), (qos, "a/b"));
            client.expect_nothing();
        }
        publisher.expect(&puback(7));
        publisher.expect(&pubrec(7));
        publisher.send(&pubrel(7));
        publisher.expect(&pubcomp(7));
    }
}

/// Breaks if: `frame` in `src/session/outbound.rs` leaves the identifiers out, or `merge` in
/// `src/pubsub/subscriptions.rs` takes those of other subscriptions.
#[test]
fn mqtt5_3_3_4_3_a_message_carries_the_identifier_of_its_subscription() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let mut client = online(broker.tcp, "c");
    subscribe_with(&mut client, 1, "a", 0);
    subscribe_with(&mut client, 268_435_455, "b", 0);
    subscribe(&mut client, "c", 0);
    let mut other = online(broker.tcp, "other");
    subscribe_with(&mut other, 99, "#", 0);
    let identifier = |id| number(prop::SUBSCRIPTION_IDENTIFIER, id);
    let expected = [
        ("a", identifier(1)),
        ("b", identifier(268_435_455)),
        ("c", Vec::new()),
    ];
    for (topic, properties) in expected {
        publish(&mut publisher, Publish::v5(topic, "x"));
        client.expect(&Publish::v5(topic, "x").property(properties).bytes());
        other.expect(&Publish::v5(topic, "x").property(identifier(99)).bytes());
    }
    // A subscription that is replaced has the new one, or none.
    subscribe_with(&mut client, 5, "a", 0);
    publish(&mut publisher, Publish::v5("a", "x"));
    client.expect(&Publish::v5("a", "x").property(identifier(5)).bytes());
    subscribe(&mut client, "a", 0);
    publish(&mut publisher, Publish::v5("a", "x"));
    client.expect(&Publish::v5("a", "x").bytes());
}

/// This broker sends one copy for all subscriptions that match.
/// Breaks if: `merge` in `src/pubsub/subscriptions.rs` keeps only one identifier, or sends several copies.
#[test]
fn mqtt5_3_3_4_4_a_single_copy_carries_all_identifiers() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").clean(false).expiry(3600));
    let filters = ["a/b", "a/+", "+/b", "#", "a/#"];
    for (index, filter) in filters.into_iter().enumerate() {
        subscribe_with(&mut client, 100 + index, filter, 1);
    }
    subscribe(&mut client, "+/+", 1);
    subscribe_with(&mut client, 9, "a/other", 1);
    let expect_all = |client: &mut RawClient| {
        let received = published(client);
        let ids = received.properties.all(prop::SUBSCRIPTION_IDENTIFIER);
        let mut ids: Vec<_> = ids.into_iter().map(<[u8]>::to_vec).collect();
        ids.sort();
        assert_eq!(ids, [[100], [101], [102], [103], [104]]);
        client.send(&puback(received.packet_id));
        client.expect_nothing();
    };
    publish(&mut publisher, Publish::v5("a/b", "x"));
    expect_all(&mut client);
    // The same after waiting for the client.
    leave(client);
    publish(&mut publisher, Publish::v5("a/b", "x"));
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").clean(false));
    expect_all(&mut client);
}

/// Breaks if: `PublishProperties::read` in `src/codec/publish.rs` does not look who sent it.
#[test]
fn mqtt5_3_3_4_6_a_client_may_not_send_a_subscription_identifier() {
    let broker = Broker::start();
    for id in [1, 200, 268_435_455] {
        let mut client = online(broker.tcp, "c");
        let identifier = number(prop::SUBSCRIPTION_IDENTIFIER, id);
        client.send(&Publish::v5("t", "").property(identifier).bytes());
        expect_disconnect(&mut client, 0x82);
    }
}

/// Breaks if: `count_outstanding` in `src/session/inbound.rs` does not compare, or `sent` takes a message off
/// the count before its last acknowledgement.
#[test]
fn mqtt5_3_3_4_7_more_than_the_servers_receive_maximum_is_answered_with_0x93() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[session]\nreceive_maximum = 2\n");
    let mut client = online(broker.tcp, "c");
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "t", 0);
    client.send(&Publish::v5("t", "").qos(2, 1).bytes());
    client.expect(&pubrec(1));
    // What is acknowledged gives its place back at once: any number, one at a time.
    for _ in 0..5 {
        publish_7(&mut client);
    }
    client.send(&Publish::v5("t", "").qos(2, 2).bytes());
    client.expect(&pubrec(2));
    // A repetition of one that is counted is not another, and QoS 0 is not counted.
    client.send(&Publish::v5("t", "").qos(2, 2).dup().bytes());
    client.expect(&pubrec(2));
    client.send(&Publish::v5("t", "").bytes());
    expect_alive(&mut client);
    // The place is held until PUBCOMP, not until PUBREC.
    client.send(&pubrel(1));
    client.expect(&pubcomp(1));
    publish_7(&mut client);
    client.send(&Publish::v5("t", "").qos(2, 1).bytes());
    client.expect(&pubrec(1));
    client.send(&Publish::v5("t", "").qos(1, 9).bytes());
    expect_disconnect(&mut client, 0x93);
}

#[track_caller]
fn publish_7(client: &mut RawClient) {
    client.send(&Publish::v5("t", "").qos(1, 7).bytes());
    client.expect(&puback(7));
}

/// Breaks if: `quota` in `src/session/outbound.rs` does not count what is in flight, or an acknowledgement
/// frees a place too early (`pubrec` in `src/session/window.rs`) or never.
#[test]
fn mqtt5_3_3_4_9_the_broker_keeps_to_the_clients_receive_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let connect = Connect::v5("c").property(two(prop::RECEIVE_MAXIMUM, 2));
    let (mut client, _) = connected(broker.tcp, &connect);
    subscribe(&mut client, "t", 2);
    let two = |number: u8, id| Publish::v5("t", [number]).qos(2, id).bytes();
    publisher.send(&two(0, 1));
    publisher.expect(&pubrec(1));
    publish(&mut publisher, Publish::v5("t", [1]));
    for number in 2..8 {
        publisher.send(&two(number, u16::from(number)));
        publisher.expect(&pubrec(u16::from(number)));
    }
    let (first, second) = (published(&mut client), published(&mut client));
    assert_eq!((first.payload[0], second.payload[0]), (0, 1));
    client.expect_nothing();
    // PUBREC frees nothing, PUBCOMP does, and so does PUBACK.
    client.send(&pubrec(first.packet_id));
    client.expect(&pubrel(first.packet_id));
    client.expect_nothing();
    client.send(&pubcomp(first.packet_id));
    let third = published(&mut client);
    assert_eq!(third.payload[0], 2);
    client.expect_nothing();
    client.send(&puback(second.packet_id));
    assert_eq!(published(&mut client).payload[0], 3);
    client.expect_nothing();
    // A PUBREC with an error ends it, and frees its place.
    client.send(&ack_5(0x50, third.packet_id, 0x80, &[]));
    assert_eq!(published(&mut client).payload[0], 4);
    client.expect_nothing();
    // An acknowledgement of nothing is worth nothing.
    client.send(&puback(60_000));
    client.send(&pubcomp(60_000));
    client.expect_nothing();
}

/// Breaks if: `resend` in `src/session/outbound.rs` does not count what it sends again, or leaves PUBREL out
/// of the count.
#[test]
fn mqtt5_3_3_4_9_also_what_is_sent_again_keeps_to_the_receive_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let connect = |maximum| {
        let property = two(prop::RECEIVE_MAXIMUM, maximum);
        Connect::v5("c")
            .property(property)
            .clean(false)
            .expiry(3600)
    };
    let (mut client, _) = connected(broker.tcp, &connect(3));
    subscribe(&mut client, "t", 2);
    for number in 0..5 {
        publisher.send(
            &Publish::v5("t", [number])
                .qos(2, u16::from(number) + 1)
                .bytes(),
        );
        publisher.expect(&pubrec(u16::from(number) + 1));
    }
    let first = [0, 0, 0].map(|_: u8| published(&mut client));
    client.send(&pubrec(first[0].packet_id));
    client.expect(&pubrel(first[0].packet_id));
    client.expect_nothing();
    drop(client);
    // Three are in flight, one of them half done, to a client that now takes two.
    let (mut client, _) = connected(broker.tcp, &connect(2));
    client.expect(&pubrel(first[0].packet_id));
    assert_eq!(published(&mut client).packet_id, first[1].packet_id);
    client.expect_nothing();
    client.send(&pubcomp(first[0].packet_id));
    assert_eq!(published(&mut client).packet_id, first[2].packet_id);
    client.expect_nothing();
    // And on to what has not been sent yet.
    for (done, next) in [(&first[1], 3), (&first[2], 4)] {
        client.send(&pubrec(done.packet_id));
        client.expect(&pubrel(done.packet_id));
        client.expect_nothing();
        client.send(&pubcomp(done.packet_id));
        assert_eq!(published(&mut client).payload, [next]);
        client.expect_nothing();
    }
}

/// Breaks if: `takes_now` in `src/session/outbound.rs` lets QoS 0 wait for the quota, or
/// `Open::acknowledged` and the replies do.
#[test]
fn mqtt5_3_3_4_10_nothing_else_waits_for_the_receive_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let connect = Connect::v5("c").property(two(prop::RECEIVE_MAXIMUM, 1));
    let (mut client, _) = connected(broker.tcp, &connect);
    subscribe(&mut client, "t", 1);
    publish(&mut publisher, Publish::v5("t", "in flight"));
    publish(&mut publisher, Publish::v5("t", "waiting"));
    let in_flight = published(&mut client);
    // PINGRESP, SUBACK, UNSUBACK, acknowledgements of the client's own messages, and QoS 0.
    client.send(&PINGREQ);
    client.expect(&PINGRESP);
    client.send(&subscribe_5(2, &[], &[("u", 0)]));
    client.expect(b"\x90\x04\x00\x02\x00\x00");
    publisher.send(&Publish::v5("t", "QoS 0").bytes());
    client.expect(&Publish::v5("t", "QoS 0").bytes());
    client.send(&Publish::v5("elsewhere", "").qos(2, 5).bytes());
    client.expect(b"\x50\x03\x00\x05\x10");
    client.send(&pubrel(5));
    client.expect(&pubcomp(5));
    client.send(&crate::bytes::unsubscribe_5(3, &[], &["u"]));
    client.expect(b"\xb0\x04\x00\x03\x00\x00");
    client.send(&puback(in_flight.packet_id));
    assert_eq!(published(&mut client).payload, b"waiting");
}
