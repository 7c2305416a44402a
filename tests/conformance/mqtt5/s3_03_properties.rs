//! MQTT 5.0, section 3.3.2: Topic Name and properties of PUBLISH.

use std::collections::HashMap;

use crate::bytes::{
    Connect, Publish, byte, four, pair, prop, puback, string, subscribe_5, text, two,
};
use crate::received::{
    connected, expect_alive, expect_disconnect, leave, online, publish, published, subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A session that lasts an hour.
fn lasting(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// A client that has subscribed to everything at QoS 1.
fn with_witness(broker: &Broker) -> RawClient {
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 1);
    witness
}

/// Publishes this, and expects the very same bytes to arrive: nothing altered, added or left out.
#[track_caller]
fn expect_unaltered(broker: &Broker, witness: &mut RawClient, message: Publish) {
    online(broker.tcp, "publisher").send(&message.bytes());
    witness.expect(&message.bytes());
}

/// The broker closes for each of these, with this reason, and delivers none.
#[track_caller]
fn expect_refused(messages: impl IntoIterator<Item = Publish>, reason: u8) {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    for message in messages {
        let mut client = online(broker.tcp, "c");
        client.send(&message.bytes());
        expect_disconnect(&mut client, reason);
    }
    witness.expect_nothing();
}

/// Waits for something that the broker does after one and a half seconds by its own clock: it closes a
/// client that is silent. What lives for a second is dead then.
#[track_caller]
fn wait_for_the_brokers_clock(broker: &Broker) {
    let (mut silent, _) = connected(broker.tcp, &Connect::v5("silent").keep_alive(1));
    expect_disconnect(&mut silent, 0x8d);
}

/// Breaks if: `Publish::decode` in `src/codec/publish.rs` does not begin with the topic or does not check it.
#[test]
fn mqtt5_3_3_2_1_the_topic_name_comes_first_and_is_a_string() {
    let bad = [&b"\xff"[..], b"t/\xed\xa0\x80", b"t\0", b"\xf4\x90\x80\x80"];
    expect_refused(bad.map(|topic| Publish::v5(topic, "")), 0x81);
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    for bytes in [
        &b"\x30\x00"[..],
        b"\x30\x01\x00",
        b"\x30\x03\x00\x02t",
        b"\x32\x04\x00\x02\x00t",
    ] {
        let mut client = online(broker.tcp, "c");
        client.send(bytes);
        expect_disconnect(&mut client, 0x81);
    }
    expect_unaltered(
        &broker,
        &mut witness,
        Publish::v5("é/\u{10ffff}/ /\u{1}", "x"),
    );
    let long = "x".repeat(65_535);
    expect_unaltered(&broker, &mut witness, Publish::v5(long, "x"));
    // Empty and without an alias it names nothing.
    expect_refused([Publish::v5("", "x")], 0x82);
}

/// Breaks if: `check` in `src/topic/name.rs` does not look for wildcards.
#[test]
fn mqtt5_3_3_2_2_a_topic_name_has_no_wildcards() {
    let bad = ["#", "+", "a/#", "a/+/b", "a+", "#a", "a/b#", "+/a"];
    expect_refused(bad.map(|topic| Publish::v5(topic, "")), 0x81);
    expect_refused(bad.map(|topic| Publish::v5(topic, "").alias(1)), 0x81);
}

/// Breaks if: the trie in `src/topic/trie` gives a filter that does not match, or the alias in
/// `src/session/outbound.rs` stands for another topic.
#[test]
fn mqtt5_3_3_2_3_what_is_delivered_matches_the_filter() {
    const TOPICS: [&str; 12] = [
        "a", "/a", "a/", "a/b", "A/b", "a//b", "a/b/c", "b", "ab", "é", "/", "$x/a",
    ];
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let expected: [(&str, &[&str]); 10] = [
        ("a", &["a"]),
        ("+", &["a", "b", "ab", "é"]),
        ("/+", &["/a", "/"]),
        ("+/+", &["/a", "a/", "a/b", "A/b", "/"]),
        ("a/+", &["a/", "a/b"]),
        ("a/#", &["a", "a/", "a/b", "a//b", "a/b/c"]),
        ("+/b", &["a/b", "A/b"]),
        ("a/+/b", &["a//b"]),
        ("$x/#", &["$x/a"]),
        ("#", &TOPICS[..11]),
    ];
    for (filter, matching) in expected {
        for aliases in [0, 8] {
            let maximum = two(prop::TOPIC_ALIAS_MAXIMUM, aliases);
            let (mut client, _) = connected(broker.tcp, &Connect::v5("c").property(maximum));
            subscribe(&mut client, filter, 0);
            let mut known = HashMap::new();
            // The second time, an alias stands for some of them.
            for _ in 0..2 {
                for topic in TOPICS {
                    publish(&mut publisher, Publish::v5(topic, topic));
                }
                for topic in matching {
                    let received = published(&mut client);
                    let alias = received.properties.integer(prop::TOPIC_ALIAS);
                    if !received.topic.is_empty() {
                        known.insert(alias.unwrap_or(0), received.topic);
                    }
                    assert_eq!(received.payload, topic.as_bytes(), "for {filter}");
                    assert_eq!(known[&alias.unwrap_or(0)], *topic, "for {filter}");
                }
            }
            client.expect_nothing();
        }
    }
}

/// Breaks if: `Forwarded` in `src/codec/forwarded.rs` leaves it out, or adds one.
#[test]
fn mqtt5_3_3_2_4_the_payload_format_indicator_is_unaltered() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let indicator = |value| byte(prop::PAYLOAD_FORMAT_INDICATOR, value);
    expect_unaltered(&broker, &mut witness, Publish::v5("t", "x"));
    expect_unaltered(
        &broker,
        &mut witness,
        Publish::v5("t", "é").property(indicator(1)),
    );
    let unspecified = Publish::v5("t", b"\xff").property(indicator(0));
    expect_unaltered(&broker, &mut witness, unspecified);
}

/// Breaks if: `send` in `src/session/outbound.rs` does not ask whether the message has expired.
#[test]
fn mqtt5_3_3_2_5_a_message_that_expired_before_its_delivery_began_is_not_delivered() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    subscribe(&mut away, "#", 1);
    leave(away);
    // One is full: a message in flight keeps the others from being sent.
    let full = Connect::v5("full").property(two(prop::RECEIVE_MAXIMUM, 1));
    let (mut full, _) = connected(broker.tcp, &full);
    subscribe(&mut full, "#", 1);
    publish(&mut publisher, Publish::v5("t", "first"));
    let first = published(&mut full);
    let short = || four(prop::MESSAGE_EXPIRY_INTERVAL, 1);
    publish(&mut publisher, Publish::v5("t", "short").property(short()));
    publish(
        &mut publisher,
        Publish::v5("kept", "short").retain().property(short()),
    );
    publish(&mut publisher, Publish::v5("t", "lasts"));
    wait_for_the_brokers_clock(&broker);

    full.send(&puback(first.packet_id));
    assert_eq!(published(&mut full).payload, b"lasts");
    full.expect_nothing();
    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    assert_eq!(published(&mut away).payload, b"first");
    assert_eq!(published(&mut away).payload, b"lasts");
    away.expect_nothing();
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "kept", 1);
    late.expect_nothing();
}

/// Breaks if: `remaining_expiry` in `src/message.rs` does not take the waiting off, or `frame` in
/// `src/session/outbound.rs` forwards what was received.
#[test]
fn mqtt5_3_3_2_6_the_expiry_that_is_forwarded_is_what_is_left() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    subscribe(&mut away, "t", 1);
    leave(away);
    let expiry = || four(prop::MESSAGE_EXPIRY_INTERVAL, 100);
    publish(
        &mut publisher,
        Publish::v5("t", "x").retain().property(expiry()),
    );
    wait_for_the_brokers_clock(&broker);

    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "t", 1);
    for client in [&mut away, &mut late] {
        let left = published(client)
            .properties
            .integer(prop::MESSAGE_EXPIRY_INTERVAL);
        let left = left.expect("an expiry");
        // It waited for a second and a half; the rest is for a machine that is slow.
        assert!((70..=99).contains(&left), "{left} of 100");
    }
    // Without waiting, it is what was published, but for the part of a second that it took; without
    // an expiry there is none.
    publish(&mut publisher, Publish::v5("t", "x").property(expiry()));
    let left = published(&mut late)
        .properties
        .integer(prop::MESSAGE_EXPIRY_INTERVAL);
    assert!(
        left.is_some_and(|left| (70..=100).contains(&left)),
        "{left:?} of 100"
    );
    publish(&mut publisher, Publish::v5("t", "x"));
    assert_eq!(
        published(&mut late)
            .properties
            .one(prop::MESSAGE_EXPIRY_INTERVAL),
        None
    );
}

/// Breaks if: `Inbound::attach` in `src/session/inbound.rs` keeps the aliases, or `Outbound::attach` those
/// of the last connection.
#[test]
fn mqtt5_3_3_2_7_aliases_end_with_the_connection() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let connect = lasting("c").property(two(prop::TOPIC_ALIAS_MAXIMUM, 1));
    let (mut client, _) = connected(broker.tcp, &connect);
    client.send(&Publish::v5("a/topic", "by name").alias(1).bytes());
    client.send(&Publish::v5("", "by alias").alias(1).bytes());
    for payload in ["by name", "by alias"] {
        witness.expect(&Publish::v5("a/topic", payload).bytes());
    }
    // The broker's own, on the same connection.
    subscribe(&mut client, "a/topic", 1);
    let mut publisher = online(broker.tcp, "publisher");
    for topic in ["a/topic", ""] {
        publish(&mut publisher, Publish::v5("a/topic", "x"));
        let received = published(&mut client);
        assert_eq!(received.topic, topic, "{received:02x?}");
        assert_eq!(received.properties.integer(prop::TOPIC_ALIAS), Some(1));
        client.send(&puback(received.packet_id));
        witness.packet();
    }
    // Everything is acknowledged and read; then it is cut in the middle of a PUBLISH.
    expect_alive(&mut client);
    client.send(&Publish::v5("a/topic", "x").alias(1).bytes()[..5]);
    drop(client);
    let (mut client, connack) = connected(broker.tcp, &connect);
    assert_eq!(connack.flags, 1);
    client.send(&Publish::v5("", "no").alias(1).bytes());
    expect_disconnect(&mut client, 0x82);
    let (mut client, _) = connected(broker.tcp, &connect);
    publish(&mut publisher, Publish::v5("a/topic", "x"));
    assert_eq!(published(&mut client).topic, "a/topic");
    // Only this came to the witness, not what had no topic.
    assert_eq!(published(&mut witness).payload, b"x");
    witness.expect_nothing();
    // Nor does one connection know the aliases of another.
    let mut other = online(broker.tcp, "other");
    other.send(&Publish::v5("", "no").alias(1).bytes());
    expect_disconnect(&mut other, 0x82);
}

/// Breaks if: `read_alias` in `src/codec/publish.rs` takes 0, or gives another reason.
#[test]
fn mqtt5_3_3_2_8_alias_0_is_answered_with_0x94() {
    expect_refused(
        [Publish::v5("t", "").alias(0), Publish::v5("", "").alias(0)],
        0x94,
    );
}

/// Breaks if: `InboundAliases::resolve` in `src/session/aliases.rs` does not compare with the maximum.
#[test]
fn mqtt5_3_3_2_9_an_alias_above_the_maximum_is_answered_with_0x94() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let (_, connack) = connected(broker.tcp, &Connect::v5("c"));
    let maximum = connack
        .properties
        .integer(prop::TOPIC_ALIAS_MAXIMUM)
        .unwrap_or(0) as u16;
    for (topic, alias) in [("t", maximum + 1), ("", maximum + 1), ("t", 65_535)] {
        let mut client = online(broker.tcp, "c");
        client.send(&Publish::v5(topic, "").alias(alias).bytes());
        expect_disconnect(&mut client, 0x94);
    }
    witness.expect_nothing();
}

/// Breaks if: `OutboundAliases::naming` in `src/session/aliases.rs` goes beyond the maximum.
#[test]
fn mqtt5_3_3_2_11_the_brokers_aliases_are_1_up_to_the_clients_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    for maximum in [1, 3, 65_535] {
        let connect = Connect::v5("c").property(two(prop::TOPIC_ALIAS_MAXIMUM, maximum));
        let (mut client, _) = connected(broker.tcp, &connect);
        subscribe(&mut client, "#", 0);
        let mut aliases = 0;
        for number in 0..40 {
            let topic = format!("a/topic/{number}");
            publish(&mut publisher, Publish::v5(&topic, ""));
            let received = published(&mut client);
            if let Some(alias) = received.properties.integer(prop::TOPIC_ALIAS) {
                assert!((1..=u32::from(maximum)).contains(&alias), "{received:02x?}");
                aliases += 1;
            }
            assert_eq!(received.topic, topic, "a topic that has not come before");
        }
        assert!(aliases > 0, "nothing was seen");
    }
}

/// Breaks if: `InboundAliases::resolve` in `src/session/aliases.rs` refuses one of them, or mixes them up.
#[test]
fn mqtt5_3_3_2_12_the_broker_takes_every_alias_up_to_its_maximum() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
    let maximum = connack.properties.integer(prop::TOPIC_ALIAS_MAXIMUM);
    let maximum = maximum.expect("this broker takes aliases") as u16;
    let topic = |alias: u16| format!("topic/of/{alias}");
    for alias in (1..=maximum).rev() {
        client.send(&Publish::v5(topic(alias), "set").alias(alias).bytes());
        witness.expect(&Publish::v5(topic(alias), "set").bytes());
    }
    for alias in 1..=maximum {
        client.send(&Publish::v5("", "used").alias(alias).bytes());
        witness.expect(&Publish::v5(topic(alias), "used").bytes());
    }
    // An alias may be moved, also between two packets of one write.
    let moved = [("x", "1"), ("", "2"), ("y", "3"), ("", "4")];
    let bytes = moved.map(|(topic, payload)| Publish::v5(topic, payload).alias(1).bytes());
    client.send(&bytes.concat());
    for (topic, payload) in [("x", "1"), ("x", "2"), ("y", "3"), ("y", "4")] {
        witness.expect(&Publish::v5(topic, payload).bytes());
    }
}

/// Breaks if: `Section::topic_name` in `src/codec/section.rs` reads Binary Data.
#[test]
fn mqtt5_3_3_2_13_the_response_topic_is_a_string() {
    let with = |topic: &[u8]| Publish::v5("t", "").property(text(prop::RESPONSE_TOPIC, topic));
    let bad = [&b"\xff"[..], b"r\0", b"r/\xed\xa0\x80", b"\xc0\xaf"];
    expect_refused(bad.map(with), 0x81);
}

/// Breaks if: `Section::topic_name` in `src/codec/section.rs` does not check for wildcards.
#[test]
fn mqtt5_3_3_2_14_the_response_topic_has_no_wildcards() {
    let with = |topic: &str| Publish::v5("t", "").property(text(prop::RESPONSE_TOPIC, topic));
    expect_refused(["#", "+", "r/#", "r/+/s", "r+", "r#"].map(with), 0x81);
}

/// Breaks if: `Forwarded` in `src/codec/forwarded.rs` leaves it out.
#[test]
fn mqtt5_3_3_2_15_the_response_topic_is_unaltered() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    for topic in [
        "r",
        "/",
        "an/answer/\u{feff}é",
        "$share/g/t",
        &"x".repeat(65_535),
    ] {
        let message = Publish::v5("t", "x").property(text(prop::RESPONSE_TOPIC, topic));
        expect_unaltered(&broker, &mut witness, message);
    }
}

/// Breaks if: `Forwarded` in `src/codec/forwarded.rs` leaves it out.
#[test]
fn mqtt5_3_3_2_16_the_correlation_data_is_unaltered() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    for data in [&b""[..], b"\0", b"\xff\xed\xa0\x80", &[0x26; 65_535]] {
        let message = Publish::v5("t", "x").property(text(prop::CORRELATION_DATA, data));
        expect_unaltered(&broker, &mut witness, message);
    }
}

/// Breaks if: `UserProperties` in `src/codec/user_properties.rs` drops any of them, such as the second of a name.
#[test]
fn mqtt5_3_3_2_17_user_properties_are_all_passed_on() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let message = Publish::v5("t", "x")
        .property(pair("name", "value"))
        .property(pair("name", "value"))
        .property(pair("name", "another"))
        .property(pair("", ""))
        .property(pair("\u{feff}", "é\u{1}"));
    expect_unaltered(&broker, &mut witness, message.clone());
    // The same after they have waited for a client that was away, and with the retained message.
    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    subscribe(&mut away, "t", 1);
    leave(away);
    publish(
        &mut online(broker.tcp, "publisher"),
        message.clone().retain(),
    );
    let (mut away, _) = connected(broker.tcp, &lasting("away"));
    let waited = published(&mut away).properties;
    let mut late = online(broker.tcp, "late");
    subscribe(&mut late, "t", 0);
    late.expect(&message.retain().bytes());
    assert_eq!(waited.pairs().len(), 5, "{waited:02x?}");
    assert_eq!(waited.0.len(), 5, "{waited:02x?}");
}

/// Breaks if: `UserProperties::raw` in `src/codec/user_properties.rs` gives another order, for instance because
/// other properties stand between them.
#[test]
fn mqtt5_3_3_2_18_user_properties_keep_their_order() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    let pairs: Vec<_> = (0..100_u32)
        .map(|n| (format!("{}", n * 37 % 100), n.to_string()))
        .collect();
    let between = [
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 1),
        text(prop::CONTENT_TYPE, "type"),
        text(prop::RESPONSE_TOPIC, "answers"),
        text(prop::CORRELATION_DATA, "data"),
        two(prop::TOPIC_ALIAS, 1),
        four(prop::MESSAGE_EXPIRY_INTERVAL, 1_000),
    ];
    let mut message = Publish::v5("t", "x");
    for (index, (name, value)) in pairs.iter().enumerate() {
        message = message.property(pair(name, value));
        if index % 16 == 15 {
            message = message.property(between[index / 16].clone());
        }
    }
    online(broker.tcp, "publisher").send(&message.bytes());
    assert_eq!(published(&mut witness).properties.pairs(), pairs);
}

/// Breaks if: `PublishProperties::read` in `src/codec/publish.rs` reads it as Binary Data.
#[test]
fn mqtt5_3_3_2_19_the_content_type_is_a_string() {
    let with = |content: &[u8]| Publish::v5("t", "").property(text(prop::CONTENT_TYPE, content));
    let bad = [&b"\xff"[..], b"c\0", b"c\xed\xbf\xbf", b"\xe2\x82"];
    expect_refused(bad.map(with), 0x81);
}

/// Breaks if: `Forwarded` in `src/codec/forwarded.rs` leaves it out.
#[test]
fn mqtt5_3_3_2_20_the_content_type_is_unaltered() {
    let broker = Broker::start();
    let mut witness = with_witness(&broker);
    for content in ["", "text/plain", "\u{feff}é", &"x".repeat(65_535)] {
        let message = Publish::v5("t", "x").property(text(prop::CONTENT_TYPE, content));
        expect_unaltered(&broker, &mut witness, message);
    }
}

/// Section 2.2.2.2 and 3.3.2.3: properties that a PUBLISH may not have, or not twice, or not with this value.
/// Breaks if: `next_id` or `flag` in `src/codec/section.rs` lets one pass, or gives 0x81 for 0x82 or the
/// other way round.
#[test]
fn mqtt5_section_3_3_2_3_properties_that_a_publish_may_not_have() {
    let with = |property: Vec<u8>| Publish::v5("t", "").property(property);
    let malformed = [
        byte(prop::MAXIMUM_QOS, 1),
        four(prop::SESSION_EXPIRY_INTERVAL, 1),
        text(prop::REASON_STRING, "x"),
        vec![0x00],
        vec![0x7f, 0],
        vec![prop::MESSAGE_EXPIRY_INTERVAL, 0, 0, 1],
        [&[prop::CONTENT_TYPE], &string("x")[..2]].concat(),
    ];
    expect_refused(malformed.map(with), 0x81);
    let errors = [
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 0).repeat(2),
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 2),
        four(prop::MESSAGE_EXPIRY_INTERVAL, 1).repeat(2),
        two(prop::TOPIC_ALIAS, 1).repeat(2),
        text(prop::RESPONSE_TOPIC, "r").repeat(2),
        text(prop::CORRELATION_DATA, "d").repeat(2),
        text(prop::CONTENT_TYPE, "c").repeat(2),
    ];
    expect_refused(errors.map(with), 0x82);
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    client.send(&subscribe_5(1, &[], &[("t", 0)]));
    client.expect(b"\x90\x04\x00\x01\x00\x00");
    // A Property Length beyond the packet.
    client.send(b"\x30\x05\x00\x01t\x05\x01");
    expect_disconnect(&mut client, 0x81);
}
