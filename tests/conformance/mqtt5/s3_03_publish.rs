//! MQTT 5.0, section 3.3.1: the fixed header of PUBLISH: DUP, QoS, RETAIN.
//!
//! Subscription Options in these tests: 0x08 is Retain As Published, 0x10 and 0x20 are Retain Handling 1 and 2.

use crate::bytes::{Connect, Publish, number, prop, puback, pubcomp, pubrec, pubrel, subscribe_5};
use crate::received::{connected, expect_disconnect, leave, online, publish, published, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A session that lasts an hour.
fn lasting(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// A retained message of this topic, as a new subscription at QoS 0 gets it.
fn retained(topic: &str, payload: &str) -> Vec<u8> {
    Publish::v5(topic, payload).retain().bytes()
}

/// Retains a message.
#[track_caller]
fn keep(client: &mut RawClient, topic: &str, payload: &str) {
    publish(client, Publish::v5(topic, payload).retain());
}

/// Breaks if: `resend` in `src/session/outbound.rs` sends without DUP, or `deliver` with it.
#[test]
fn mqtt5_3_3_1_1_dup_is_1_when_a_publish_is_sent_again() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    for qos in [1, 2] {
        let (mut client, _) = connected(broker.tcp, &lasting("c").clean(true));
        subscribe(&mut client, "t", qos);
        publisher.send(&Publish::v5("t", "x").qos(2, 1).bytes());
        publisher.expect(&pubrec(1));
        publisher.send(&pubrel(1));
        publisher.expect(&pubcomp(1));
        let first = published(&mut client);
        assert!(!first.dup && first.qos == qos, "{first:02x?}");
        for _ in 0..2 {
            drop(client);
            client = connected(broker.tcp, &lasting("c")).0;
            let again = published(&mut client);
            assert!(again.dup, "{again:02x?}");
            assert_eq!((again.qos, again.packet_id), (qos, first.packet_id));
            assert_eq!(again.payload, b"x");
        }
        // What waits for a client that is away is sent for the first time when it is back.
        let acknowledge = if qos == 1 {
            puback(first.packet_id)
        } else {
            pubrec(first.packet_id)
        };
        client.send(&acknowledge);
        if qos == 2 {
            client.expect(&pubrel(first.packet_id));
            client.send(&pubcomp(first.packet_id));
        }
        leave(client);
        publish(&mut publisher, Publish::v5("t", "waiting"));
        let waiting = published(&mut connected(broker.tcp, &lasting("c")).0);
        assert!(
            !waiting.dup && waiting.payload == b"waiting",
            "{waiting:02x?}"
        );
    }
}

/// Breaks if: `check_publish_flags` in `src/codec/header.rs` lets it pass, or `first_byte` in
/// `src/codec/publish.rs` copies DUP to a PUBLISH of QoS 0.
#[test]
fn mqtt5_3_3_1_2_dup_is_0_at_qos_0() {
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "t", 0);
    let mut client = online(broker.tcp, "c");
    client.send(&Publish::v5("t", "wrong").dup().bytes());
    expect_disconnect(&mut client, 0x81);
    // A repetition whose QoS is cut to 0 on the way has no DUP any more.
    let mut client = online(broker.tcp, "c");
    publish(&mut client, Publish::v5("t", "x").dup());
    witness.expect(&Publish::v5("t", "x").bytes());
}

/// Breaks if: `Message` or `Delivery` carries DUP to `frame` in `src/session/outbound.rs`.
#[test]
fn mqtt5_3_3_1_3_dup_is_not_passed_on() {
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "t", 2);
    let mut client = online(broker.tcp, "c");
    publish(&mut client, Publish::v5("t", "one").dup());
    let one = published(&mut witness);
    assert!(!one.dup && one.qos == 1, "{one:02x?}");
    // Of an id that is not held, this is a first PUBLISH to the broker, whatever the flag says.
    client.send(&Publish::v5("t", "two").qos(2, 9).dup().bytes());
    client.expect(&pubrec(9));
    let two = published(&mut witness);
    assert!(!two.dup && two.qos == 2, "{two:02x?}");
}

/// Breaks if: `check_publish_flags` in `src/codec/header.rs` takes both bits for some QoS.
#[test]
fn mqtt5_3_3_1_4_qos_3_is_malformed() {
    let broker = Broker::start();
    for first in [0x36, 0x37, 0x3e, 0x3f] {
        let mut client = online(broker.tcp, "c");
        client.send(&[first, 6, 0, 1, b't', 0, 1, 0]);
        expect_disconnect(&mut client, 0x81);
    }
}

/// Breaks if: `Retained::set` in `src/pubsub/retained.rs` keeps the older message, or `Open::publish` in
/// `src/broker/packets.rs` does not call `retain`.
#[test]
fn mqtt5_3_3_1_5_retain_1_replaces_the_stored_message() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    for (index, payload) in ["one", "two", "a longer three", "4"]
        .into_iter()
        .enumerate()
    {
        // Every QoS is kept.
        let message = Publish::v5("t", payload).retain();
        match index % 2 {
            0 => publish(&mut publisher, message),
            _ => publisher.send(&message.bytes()),
        }
        publisher.expect_nothing();
        let mut late = online(broker.tcp, "late");
        subscribe(&mut late, "t", 0);
        late.expect(&retained("t", payload));
        late.expect_nothing();
    }
    // It is the whole message, QoS included.
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, 7);
    publish(
        &mut publisher,
        Publish::v5("t", "whole")
            .retain()
            .property(b"\x03\0\x01x".to_vec()),
    );
    let mut late = online(broker.tcp, "late");
    late.send(&subscribe_5(1, &id, &[("t", 2)]));
    late.expect(b"\x90\x04\x00\x01\x00\x02");
    let whole = published(&mut late);
    assert_eq!(
        (whole.qos, whole.retain, &whole.payload[..]),
        (1, true, &b"whole"[..])
    );
    assert_eq!(
        whole.properties.content(prop::CONTENT_TYPE),
        Some(&b"x"[..])
    );
    assert_eq!(
        whole.properties.one(prop::SUBSCRIPTION_IDENTIFIER),
        Some(&[7][..])
    );
}

/// Breaks if: `Retained::set` in `src/pubsub/retained.rs` does not clear, or `Open::publish` in
/// `src/broker/packets.rs` does not route what clears.
#[test]
fn mqtt5_3_3_1_6_an_empty_retained_message_clears_and_is_delivered() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    keep(&mut publisher, "t", "x");
    keep(&mut publisher, "t/below", "stays");
    let mut live = online(broker.tcp, "live");
    subscribe(&mut live, "t", 0);
    live.expect(&retained("t", "x"));
    keep(&mut publisher, "t", "");
    live.expect(&Publish::v5("t", "").bytes());
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "t/#", 0);
    late.expect(&retained("t/below", "stays"));
    late.expect_nothing();
}

/// Breaks if: `Retained::set` in `src/pubsub/retained.rs` stores a message without a payload.
#[test]
fn mqtt5_3_3_1_7_an_empty_message_is_never_stored() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    // With properties it is just as empty.
    let property = || b"\x03\0\x01x".to_vec();
    publish(&mut publisher, Publish::v5("a", "").retain());
    publish(
        &mut publisher,
        Publish::v5("b", "").retain().property(property()),
    );
    publisher.send(&Publish::v5("c", "").retain().bytes());
    keep(&mut publisher, "z", "marker");
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "#", 0);
    late.expect(&retained("z", "marker"));
    late.expect_nothing();
}

/// Breaks if: `Broker::retain` in `src/broker/publish.rs` does not look at RETAIN.
#[test]
fn mqtt5_3_3_1_8_retain_0_leaves_the_stored_message_alone() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    keep(&mut publisher, "kept", "x");
    for payload in ["y", ""] {
        publish(&mut publisher, Publish::v5("kept", payload));
        publish(&mut publisher, Publish::v5("not/kept", payload));
    }
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "#", 0);
    late.expect(&retained("kept", "x"));
    late.expect_nothing();
}

/// Breaks if: `wants_retained` in `src/broker/subscribe.rs` says no for Retain Handling 0.
#[test]
fn mqtt5_3_3_1_9_retain_handling_0_sends_what_is_retained_each_time() {
    let broker = Broker::start();
    keep(&mut online(broker.tcp, "publisher"), "a/b", "x");
    let mut client = online(broker.tcp, "c");
    for filter in ["a/b", "a/b", "a/+", "#", "#"] {
        subscribe(&mut client, filter, 0);
        client.expect(&retained("a/b", "x"));
        client.expect_nothing();
    }
    // Each filter of a SUBSCRIBE for itself.
    client.send(&subscribe_5(2, &[], &[("a/b", 0), ("b", 0), ("+/b", 0)]));
    client.expect(b"\x90\x06\x00\x02\x00\x00\x00\x00");
    client.expect(&retained("a/b", "x"));
    client.expect(&retained("a/b", "x"));
    client.expect_nothing();
    // All that match.
    let mut publisher = online(broker.tcp, "publisher");
    let others = ["a/c", "a/c/d", "b"].map(|topic| {
        keep(&mut publisher, topic, "x");
        retained(topic, "x")
    });
    let mut client = online(broker.tcp, "late");
    subscribe(&mut client, "a/#", 0);
    let mut came = [(); 3].map(|()| client.packet());
    came.sort();
    let mut wanted = [&retained("a/b", "x"), &others[0], &others[1]].map(Clone::clone);
    wanted.sort();
    assert_eq!(came, wanted);
    client.expect_nothing();
}

/// Breaks if: `wants_retained` in `src/broker/subscribe.rs` does not ask whether the subscription is new.
#[test]
fn mqtt5_3_3_1_10_retain_handling_1_sends_it_for_a_new_subscription_only() {
    let broker = Broker::start();
    keep(&mut online(broker.tcp, "publisher"), "t", "x");
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "t", 0x10);
    client.expect(&retained("t", "x"));
    subscribe(&mut client, "t", 0x10);
    client.expect_nothing();
    // In the next connection too it exists, and one with other options is still the same.
    leave(client);
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "t", 0x10 | 0x08 | 1);
    client.expect_nothing();
    // After UNSUBSCRIBE it is new.
    client.send(&crate::bytes::unsubscribe_5(2, &[], &["t"]));
    client.expect(b"\xb0\x04\x00\x02\x00\x00");
    subscribe(&mut client, "t", 0x10);
    client.expect(&retained("t", "x"));
    // And another filter is another subscription.
    subscribe(&mut client, "+", 0x10);
    client.expect(&retained("t", "x"));
}

/// Breaks if: `wants_retained` in `src/broker/subscribe.rs` says yes for Retain Handling 2.
#[test]
fn mqtt5_3_3_1_11_retain_handling_2_sends_nothing_that_is_retained() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    keep(&mut publisher, "t", "x");
    let mut client = online(broker.tcp, "c");
    for filter in ["t", "t", "#"] {
        subscribe(&mut client, filter, 0x20);
        client.expect_nothing();
    }
    // It is a subscription all the same.
    keep(&mut publisher, "t", "y");
    client.expect(&Publish::v5("t", "y").bytes());
}

/// Breaks if: `deliver` in `src/broker/delivery.rs` does not ask for `retain_as_published`.
#[test]
fn mqtt5_3_3_1_12_without_retain_as_published_messages_come_with_retain_0() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "t", 0);
    for message in [Publish::v5("t", "x").retain(), Publish::v5("t", "x")] {
        publish(&mut publisher, message);
        client.expect(&Publish::v5("t", "x").bytes());
    }
    // Also what waited for the client.
    let (mut client, _) = connected(broker.tcp, &lasting("away"));
    subscribe(&mut client, "t", 0x20 | 1);
    leave(client);
    keep(&mut publisher, "t", "y");
    let (mut client, _) = connected(broker.tcp, &lasting("away"));
    assert!(!published(&mut client).retain);
}

/// Breaks if: `deliver` in `src/broker/delivery.rs` never passes RETAIN on, or always.
#[test]
fn mqtt5_3_3_1_13_with_retain_as_published_messages_keep_the_flag() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "t", 0x08);
    for message in [
        Publish::v5("t", "x").retain(),
        Publish::v5("t", "y"),
        Publish::v5("t", "").retain(),
    ] {
        publish(&mut publisher, message.clone());
        client.expect(&message.bytes());
    }
}
