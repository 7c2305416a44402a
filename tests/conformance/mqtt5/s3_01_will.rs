//! MQTT 5.0, section 3.1: the Will, from the CONNECT that leaves it to its publication.
//!
//! A Will that must not be published is followed by a marker that the same client publishes later.

use std::time::{Duration, Instant};

use crate::bytes::{
    Connect, PINGREQ, Publish, Will, byte, disconnect_5, four, packet, pair, prop, section, string,
    text,
};
use crate::received::{
    Published, connected, expect_disconnect, leave, online, publish, published, refused_5,
    subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A session that lasts an hour.
fn lasting(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// A broker, and a client that has subscribed to every Will.
fn with_witness() -> (Broker, RawClient) {
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "will/#", 0x08 | 2);
    (broker, witness)
}

/// Connects, and is gone without a word.
#[track_caller]
fn cut(broker: &Broker, connect: &Connect) {
    drop(connected(broker.tcp, connect).0);
}

/// Ends a connection without a DISCONNECT; the broker has noticed when this returns.
#[track_caller]
fn broken(mut client: RawClient) {
    client.finish_sending();
    client.expect_closed();
}

/// The payload of the next PUBLISH.
#[track_caller]
fn payload(client: &mut RawClient) -> String {
    String::from_utf8(published(client).payload).expect("the payloads here are text")
}

/// Publishes a marker to the witness, which must be the next that it gets.
#[track_caller]
fn expect_marker_next(broker: &Broker, witness: &mut RawClient) {
    publish(
        &mut online(broker.tcp, "marker"),
        Publish::v5("will/marker", "marker"),
    );
    assert_eq!(payload(witness), "marker");
}

/// Breaks if: `Terms::negotiate` in `src/session/terms.rs` or `attach` in `src/broker/sessions.rs` does
/// not keep the Will.
#[test]
fn mqtt5_3_1_2_7_the_will_is_kept_with_the_session() {
    let (broker, mut witness) = with_witness();
    let (first, _) = connected(broker.tcp, &lasting("c").will(Will::new("will/1", "first")));
    leave(first);
    // Each CONNECT leaves its own, or none.
    let (second, _) = connected(
        broker.tcp,
        &lasting("c").will(Will::new("will/2", "second")),
    );
    // It is kept while the connection is open, and whatever the client does with it.
    let mut second = second;
    subscribe(&mut second, "t", 1);
    second.expect_nothing();
    expect_marker_next(&broker, &mut witness);
    drop(second);
    assert_eq!(published(&mut witness).topic, "will/2");
    // One that waits for its delay is replaced by that of the client that is back.
    let waits = lasting("c").will(Will::new("will/3", "third").delay(3600));
    cut(&broker, &waits);
    cut(&broker, &lasting("c").will(Will::new("will/4", "fourth")));
    assert_eq!(published(&mut witness).topic, "will/4");
    leave(connected(broker.tcp, &lasting("c").clean(true)).0);
    expect_marker_next(&broker, &mut witness);
}

/// Breaks if: `settle_will` in `src/broker/sessions.rs` publishes only for some ends of a connection.
#[test]
fn mqtt5_3_1_2_8_the_will_is_published_when_the_connection_closes() {
    let (broker, mut witness) = with_witness();
    let connect = Connect::v5("c").will(Will::new("will/c", "gone").qos(1));
    // The client vanishes; breaks the protocol; says so itself; is silent.
    let (client, _) = connected(broker.tcp, &connect);
    drop(client);
    assert_eq!(payload(&mut witness), "gone");
    let (mut client, _) = connected(broker.tcp, &connect);
    client.send(&Connect::v5("c").bytes());
    expect_disconnect(&mut client, 0x82);
    assert_eq!(payload(&mut witness), "gone");
    let (mut client, _) = connected(broker.tcp, &connect);
    client.send(&disconnect_5(0x04, &[]));
    client.expect_closed();
    assert_eq!(payload(&mut witness), "gone");
    let (mut client, _) = connected(broker.tcp, &connect.clone().keep_alive(1));
    expect_disconnect(&mut client, 0x8d);
    assert_eq!(payload(&mut witness), "gone");
    // Another connection takes the session: it is the end of this one.
    let (mut old, _) = connected(broker.tcp, &connect);
    let (new, _) = connected(broker.tcp, &Connect::v5("c"));
    expect_disconnect(&mut old, 0x8e);
    assert_eq!(payload(&mut witness), "gone");
    leave(new);
    expect_marker_next(&broker, &mut witness);
}

/// Breaks if: `leave_behind` in `src/broker/sessions.rs` gives it another time, or `settle_will` publishes at
/// once although there is a delay.
#[test]
fn mqtt5_3_1_2_8_the_will_is_published_when_its_delay_has_passed() {
    let (broker, mut witness) = with_witness();
    let will = Will::new("will/c", "late").delay(1);
    let (client, _) = connected(broker.tcp, &lasting("c").will(will));
    let cut = Instant::now();
    drop(client);
    expect_marker_next(&broker, &mut witness);
    assert_eq!(payload(&mut witness), "late");
    assert!(cut.elapsed() >= Duration::from_secs(1));
}

/// Breaks if: `end_session` in `src/broker/sessions.rs` does not publish a Will whose delay has not passed.
#[test]
fn mqtt5_3_1_2_8_the_will_is_published_when_the_session_ends_before_its_delay() {
    let (broker, mut witness) = with_witness();
    let will = || Will::new("will/c", "at the end").delay(3600);
    // With the connection; a second later; because the client wants a new one.
    let (client, _) = connected(broker.tcp, &Connect::v5("c").will(will()));
    drop(client);
    assert_eq!(payload(&mut witness), "at the end");
    let (client, _) = connected(broker.tcp, &Connect::v5("c").expiry(1).will(will()));
    drop(client);
    assert_eq!(payload(&mut witness), "at the end");
    let (client, _) = connected(broker.tcp, &lasting("c").will(will()));
    drop(client);
    leave(connected(broker.tcp, &lasting("c").clean(true)).0);
    assert_eq!(payload(&mut witness), "at the end");
    expect_marker_next(&broker, &mut witness);
}

/// A CONNECT with these flags, and exactly this after the Client Identifier.
fn connect_with(flags: u8, rest: &[u8]) -> Vec<u8> {
    let start = &b"\x00\x04MQTT\x05"[..];
    packet(
        0x10,
        &[start, &[flags, 0, 60, 0], &string("c")[..], rest].concat(),
    )
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` does without a field of the Will, or takes fields
/// that the flags do not announce.
#[test]
fn mqtt5_3_1_2_9_with_the_will_flag_come_properties_topic_and_payload() {
    let broker = Broker::start();
    let (none, topic, payload) = (section(&[]), string("w"), string("x"));
    let whole = [&none[..], &topic, &payload].concat();
    let mut client = RawClient::accepted(broker.tcp, &connect_with(0x06, &whole));
    client.expect_nothing();
    // Each of the three left out, from behind and from the middle.
    let lacking = [
        vec![],
        none.clone(),
        [&none[..], &topic].concat(),
        [topic, payload].concat(),
    ];
    for rest in lacking {
        refused_5(broker.tcp, &connect_with(0x06, &rest), 0x81);
    }
    refused_5(broker.tcp, &connect_with(0x02, &whole), 0x81);
    // The QoS of the flags is that of the publication.
    let (broker, mut witness) = with_witness();
    for qos in 0..3 {
        cut(
            &broker,
            &Connect::v5("c").will(Will::new("will/c", "x").qos(qos)),
        );
        assert_eq!(published(&mut witness).qos, qos);
    }
}

/// Breaks if: `settle_will` in `src/broker/sessions.rs` keeps the Will after DISCONNECT 0x00, or
/// `publish_will` after it was published.
#[test]
fn mqtt5_3_1_2_10_the_will_is_forgotten_once_published_or_after_disconnect() {
    let (broker, mut witness) = with_witness();
    let connect = lasting("c").will(Will::new("will/c", "gone"));
    for goodbye in [&b"\xe0\x00"[..], b"\xe0\x01\x00", b"\xe0\x02\x00\x00"] {
        let (mut client, _) = connected(broker.tcp, &connect);
        client.send(goodbye);
        client.expect_closed();
        expect_marker_next(&broker, &mut witness);
    }
    // Nor does a goodbye leave one behind for the end of the session.
    let delayed = lasting("c").will(Will::new("will/c", "gone").delay(3600));
    leave(connected(broker.tcp, &delayed).0);
    leave(connected(broker.tcp, &lasting("c").clean(true)).0);
    expect_marker_next(&broker, &mut witness);
    // Published, it does not come again when the session goes on and ends without another.
    let (client, _) = connected(broker.tcp, &connect);
    drop(client);
    assert_eq!(payload(&mut witness), "gone");
    let (client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    drop(client);
    leave(connected(broker.tcp, &Connect::v5("c")).0);
    expect_marker_next(&broker, &mut witness);
}

/// Breaks if: `check_flags` in `src/codec/connect.rs` does not look at the Will QoS without a Will.
#[test]
fn mqtt5_3_1_2_11_without_the_will_flag_the_will_qos_is_0() {
    let broker = Broker::start();
    for flags in [0x0a, 0x12] {
        refused_5(broker.tcp, &Connect::v5("c").flags(flags).bytes(), 0x81);
    }
}

/// Breaks if: `check_flags` in `src/codec/connect.rs` takes a Will QoS of 3 for another.
#[test]
fn mqtt5_3_1_2_12_a_will_qos_of_3_is_malformed() {
    let (broker, mut witness) = with_witness();
    let will = |qos| Connect::v5("c").will(Will::new("will/c", "x").qos(qos));
    refused_5(broker.tcp, &will(3).bytes(), 0x81);
    refused_5(broker.tcp, &Connect::v5("c").flags(0x1a).bytes(), 0x81);
    // The others are what they say.
    for qos in [0, 1, 2] {
        cut(&broker, &will(qos));
        assert_eq!(published(&mut witness).qos, qos);
    }
}

/// Breaks if: `check_flags` in `src/codec/connect.rs` does not look at Will Retain without a Will.
#[test]
fn mqtt5_3_1_2_13_without_the_will_flag_will_retain_is_0() {
    let broker = Broker::start();
    refused_5(broker.tcp, &Connect::v5("c").flags(0x22).bytes(), 0x81);
}

/// Breaks if: `will` in `src/session/terms.rs` always retains.
#[test]
fn mqtt5_3_1_2_14_a_will_without_will_retain_is_not_retained() {
    let (broker, mut witness) = with_witness();
    cut(&broker, &Connect::v5("c").will(Will::new("will/c", "x")));
    assert!(!published(&mut witness).retain);
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "will/#", 0);
    late.expect_nothing();
}

/// Breaks if: `will` in `src/session/terms.rs` never retains, or `Broker::publish` in
/// `src/broker/publish.rs` does not call `retain`.
#[test]
fn mqtt5_3_1_2_15_a_will_with_will_retain_is_retained() {
    let (broker, mut witness) = with_witness();
    cut(
        &broker,
        &Connect::v5("c").will(Will::new("will/c", "x").retain()),
    );
    // The witness takes RETAIN as published.
    assert!(published(&mut witness).retain);
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "will/#", 0);
    late.expect(&Publish::v5("will/c", "x").retain().bytes());
}

/// Breaks if: `settle_will` in `src/broker/sessions.rs` publishes a delayed Will on `Detach::Resumed`, `attach`
/// keeps the Will of the connection before, or `claim` leaves who is back on the schedule and `happen` in
/// `src/broker/expiry.rs` does not notice.
#[test]
fn mqtt5_3_1_3_9_a_client_that_is_back_before_the_delay_has_passed_has_no_will() {
    let (broker, mut witness) = with_witness();
    let will = |delay| Will::new("will/c", "gone").delay(delay);
    let (client, _) = connected(broker.tcp, &lasting("c").will(will(1)));
    broken(client);
    let (client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    // A second client, cut later, whose Will is due later than that of the first would have been.
    cut(
        &broker,
        &lasting("other").will(Will::new("will/o", "other").delay(2)),
    );
    assert_eq!(payload(&mut witness), "other");

    // The same when the new connection comes while the old one is open.
    let (mut old, _) = connected(broker.tcp, &lasting("d").will(will(1)));
    let (new, _) = connected(broker.tcp, &lasting("d"));
    expect_disconnect(&mut old, 0x8e);
    cut(
        &broker,
        &lasting("other").will(Will::new("will/o", "other").delay(2)),
    );
    assert_eq!(payload(&mut witness), "other");
    // It does not only wait: the end of the connection that had none, and of the session, brings none.
    drop((client, new));
    for id in ["c", "d"] {
        leave(connected(broker.tcp, &lasting(id).clean(true)).0);
    }
    expect_marker_next(&broker, &mut witness);
}

/// Breaks if: `UserProperties::raw` in `src/codec/user_properties.rs` gives another order, or
/// `write_forwarded` of the Will in `src/codec/connect.rs` leaves any out.
#[test]
fn mqtt5_3_1_3_10_the_user_properties_of_a_will_keep_their_order() {
    let (broker, mut witness) = with_witness();
    let pairs = [
        ("b", "1"),
        ("a", "2"),
        ("b", "0"),
        ("", ""),
        ("b", "1"),
        ("a", "é"),
    ];
    let mut will = Will::new("will/c", "x").property(text(prop::CONTENT_TYPE, "between"));
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index == 3 {
            will = will.property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 1));
        }
        will = will.property(pair(name, value));
    }
    cut(&broker, &Connect::v5("c").will(will));
    let received = published(&mut witness).properties.pairs();
    assert_eq!(
        received,
        pairs.map(|(name, value)| (name.into(), value.into()))
    );
}

/// Breaks if: `Will::read` in `src/codec/connect.rs` does not check the Will Topic.
#[test]
fn mqtt5_3_1_3_11_the_will_topic_is_a_string_and_a_topic_name() {
    let (broker, mut witness) = with_witness();
    for topic in [
        &b"\xff"[..],
        b"will/\xed\xa0\x80",
        b"will/\0",
        b"will/#",
        b"+",
        b"",
    ] {
        let will = Will::new(topic, "x");
        refused_5(broker.tcp, &Connect::v5("c").will(will).bytes(), 0x81);
    }
    cut(
        &broker,
        &Connect::v5("c").will(Will::new("will/\u{feff}é", "x")),
    );
    assert_eq!(published(&mut witness).topic, "will/\u{feff}é");
}

/// Not a statement of its own: a Will is an Application Message with all its properties (3.1.3.2), and its
/// expiry counts from publication.
/// Breaks if: `Will::publish` or `will` in `src/session/terms.rs` leaves a property out.
#[test]
fn mqtt5_section_3_1_3_2_a_will_is_published_with_its_properties() {
    let (broker, mut witness) = with_witness();
    let properties = [
        four(prop::MESSAGE_EXPIRY_INTERVAL, 100),
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 1),
        text(prop::CONTENT_TYPE, "type"),
        text(prop::RESPONSE_TOPIC, "answers"),
        text(prop::CORRELATION_DATA, b"\x00\xff"),
        pair("k", "v"),
    ];
    let mut will = Will::new("will/c", b"\x00\xff").qos(1).delay(0);
    for property in &properties {
        will = will.property(property.clone());
    }
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").will(will).keep_alive(1));
    // Its life does not begin before it is published, a second and a half from now.
    client.send(&PINGREQ);
    client.packet();
    expect_disconnect(&mut client, 0x8d);
    let mut received: Published = published(&mut witness);
    assert_eq!(received.payload, b"\x00\xff");
    let mut expected: Vec<_> = properties.map(|mut all| (all.remove(0), all)).into();
    received.properties.0.sort();
    expected.sort();
    assert_eq!(received.properties.0, expected);
}
