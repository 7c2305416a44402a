//! 3.8 SUBSCRIBE.

use crate::bytes::{
    Connect, Publish, number, packet, prop, puback, string, subscribe_5, unsubscribe_5,
};
use crate::received::{Ack, Published, expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    breach, broker_with, connect, expect_message, leave, open, other_flags, persistent, published,
    request, resume, take, tell, text_of,
};

/// Options beside the QoS.
const NO_LOCAL: u8 = 0x04;
const SEND_RETAINED_IF_NEW: u8 = 0x10;

// Breaks if: `check_flags` in src/codec/header.rs lets other flags of SUBSCRIBE pass.
#[test]
fn mqtt5_3_8_1_1_subscribe_has_the_flags_0010() {
    let broker = Broker::start();
    let right = subscribe_5(1, &[], &[("a", 0)]);
    for first in other_flags(0x82) {
        breach(&broker, &packet(first, &right[2..]), 0x81);
    }
    let mut client = connect(&broker, "client");
    client.send(&right);
    assert_eq!(client.packet()[0], 0x90);
}

// Breaks if: `read_filter` in src/codec/filters.rs replaces what is no UTF-8 instead of refusing it.
#[test]
fn mqtt5_3_8_3_1_topic_filters_are_valid_strings() {
    let broker = Broker::start();
    let cases: [&[u8]; 6] = [
        b"a\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"a\0b",
    ];
    for filter in cases {
        let rest = [&[0], &string(filter)[..], &[0]].concat();
        breach(&broker, &request(0x82, &rest), 0x81);
    }
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "\u{feff}\u{10ffff}/é", 0);
    tell(&broker, "\u{feff}\u{10ffff}/é", 0, "m");
    expect_message(&mut client, false, 0, "m");
}

// Breaks if: `check_count` in src/codec/filters.rs takes a count of 0.
#[test]
fn mqtt5_3_8_3_2_subscribe_has_at_least_one_filter_with_options() {
    let broker = Broker::start();
    breach(&broker, &request(0x82, &[0]), 0x82);
    // A filter without its options cannot be parsed.
    let rest = [&[0], &string("a")[..]].concat();
    breach(&broker, &request(0x82, &rest), 0x81);
    let rest = [&[0], &string("a")[..], &[0], &string("b")].concat();
    breach(&broker, &request(0x82, &rest), 0x81);
}

/// What counts is the Client Identifier, not the connection.
// Breaks if: `Subscriptions::route` in src/pubsub/subscriptions.rs does not look at `no_local`.
#[test]
fn mqtt5_3_8_3_3_no_local_sends_nothing_back_to_its_client_identifier() {
    let broker = Broker::start();
    let mut other = connect(&broker, "other");
    subscribe(&mut other, "t", 0);
    let mut client = open(&broker, &persistent("client"));
    subscribe(&mut client, "t", 1 | NO_LOCAL);
    for round in 0..2 {
        client.send(&Publish::v5("t", "own").qos(1, 1).bytes());
        client.expect(&puback(1));
        expect_alive(&mut client);
        expect_message(&mut other, false, 0, "own");
        other.send(&Publish::v5("t", "of the other").bytes());
        expect_message(&mut other, false, 0, "of the other");
        expect_message(&mut client, false, 0, "of the other");
        if round == 0 {
            leave(client);
            client = resume(&broker, &persistent("client"));
        }
    }
    // Nor when it has several subscriptions that match, each with the option.
    subscribe(&mut client, "+", 1 | NO_LOCAL);
    client.send(&Publish::v5("t", "own").qos(1, 2).bytes());
    client.expect(&puback(2));
    expect_alive(&mut client);
    expect_message(&mut other, false, 0, "own");
    // Without the option there is an echo.
    subscribe(&mut client, "t", 0);
    client.send(&Publish::v5("t", "own").bytes());
    expect_message(&mut client, false, 0, "own");
}

// Breaks if: `Filters::read` in src/codec/filters.rs does not look for `$share/` together with No Local.
#[test]
fn mqtt5_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = Broker::start();
    for qos in 0..=2 {
        let filters = [("a", 0), ("$share/g/t", qos | NO_LOCAL)];
        breach(&broker, &subscribe_5(1, &[], &filters), 0x82);
    }
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "$share/g/t", 0);
}

// Breaks if: `SubscriptionOptions::from_byte` in src/codec/filters.rs does not check the two highest bits.
#[test]
fn mqtt5_3_8_3_5_reserved_bits_of_the_options_are_malformed() {
    let broker = Broker::start();
    for options in [0x40, 0x80, 0xc0, 0x41, 0x82, 0xff] {
        breach(&broker, &subscribe_5(1, &[], &[("a", options)]), 0x81);
    }
    let mut client = connect(&broker, "client");
    // Every option in use at once: QoS 2, No Local, Retain As Published, Retain Handling 2.
    client.send(&subscribe_5(1, &[], &[("a", 0x2e)]));
    client.expect(&[0x90, 0x04, 0x00, 0x01, 0x00, 0x02]);
}

// Breaks if: `Open::subscribe` in src/broker/packets.rs does not call `reply_when_kept`.
#[test]
fn mqtt5_3_8_4_1_subscribe_is_answered_with_suback() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    for _ in 0..2 {
        client.send(&subscribe_5(1, &[], &[("a", 1)]));
        client.expect(&[0x90, 0x04, 0x00, 0x01, 0x00, 0x01]);
    }
    // Also when it comes in one piece with CONNECT.
    let mut hasty = RawClient::connect(broker.tcp);
    let subscribe = subscribe_5(2, &[], &[("a", 0)]);
    hasty.send(&[Connect::v5("hasty").bytes(), subscribe].concat());
    assert_eq!(hasty.packet()[0], 0x20);
    hasty.expect(&[0x90, 0x04, 0x00, 0x02, 0x00, 0x00]);
}

// Breaks if: `Open::subscribe` in src/broker/packets.rs puts another `packet_id` into the SUBACK.
#[test]
fn mqtt5_3_8_4_2_suback_has_the_packet_identifier_of_its_subscribe() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let ids = [1, 0x00ff, 0x0100, 0x1234, 0xffff];
    let requests = ids.map(|id| subscribe_5(id, &[], &[("a", 0)]));
    client.send(&requests.concat());
    for id in ids {
        let ack = Ack::v5(&client.packet());
        assert_eq!((ack.first, ack.packet_id), (0x90, id));
    }
}

// Breaks if: `Subscriptions::subscribe` in src/pubsub/subscriptions.rs keeps what the subscriber had before.
#[test]
fn mqtt5_3_8_4_3_an_identical_filter_replaces_the_subscription() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let identifier = |value| number(prop::SUBSCRIPTION_IDENTIFIER, value);
    for filter in ["t", "+"] {
        client.send(&subscribe_5(1, &identifier(5), &[(filter, 2)]));
        assert_eq!(client.packet()[0], 0x90);
        client.send(&subscribe_5(1, &identifier(6), &[(filter, 0)]));
        assert_eq!(client.packet()[0], 0x90);
        tell(&broker, "t", 2, "once");
        let message = published(&mut client);
        assert_eq!((message.qos, text_of(&message)), (0, "once"));
        let ids = message.properties.all(prop::SUBSCRIPTION_IDENTIFIER);
        assert_eq!(ids, [[6]]);
        expect_alive(&mut client);
        // There was one, and it is gone.
        for code in [0x00, 0x11] {
            client.send(&unsubscribe_5(2, &[], &[filter]));
            client.expect(&[0xb0, 0x04, 0x00, 0x02, 0x00, code]);
        }
    }
    tell(&broker, "t", 0, "to nobody");
    expect_alive(&mut client);
}

/// A stream of messages goes on while the subscription is replaced again and again.
// Breaks if: `Broker::subscribe` in src/broker/subscribe.rs unsubscribes first, outside the lock; or if
// `wants_retained` there says no to `RetainHandling::Always` when `replaced`.
#[test]
fn mqtt5_3_8_4_4_replacing_resends_retained_and_loses_nothing() {
    const ROUNDS: usize = 20;
    const EACH: usize = 10;
    let broker = Broker::start();
    let mut writer = connect(&broker, "stream");
    writer.send(&Publish::v5("t", "kept").retain().bytes());
    expect_alive(&mut writer);
    let mut client = connect(&broker, "client");
    for round in 0..ROUNDS {
        client.send(&subscribe_5(9, &[], &[("t", 1)]));
        if round == 0 {
            // The stream begins when there is a subscription to replace.
            assert_eq!(client.packet()[0], 0x90);
        }
        let stream = (round * EACH..(round + 1) * EACH).map(|n| {
            let publish = Publish::v5("t", n.to_string());
            publish.qos(1, n as u16 + 1).bytes()
        });
        writer.send(&stream.collect::<Vec<_>>().concat());
    }
    let (mut subacks, mut live) = (1, Vec::new());
    while subacks < ROUNDS || live.len() < ROUNDS * EACH {
        let packet = client.packet();
        if packet[0] == 0x90 {
            subacks += 1;
            continue;
        }
        let message = Published::v5(&packet);
        if !message.retain {
            live.push(text_of(&message).to_owned());
        }
    }
    let all: Vec<_> = (0..ROUNDS * EACH).map(|n| n.to_string()).collect();
    assert_eq!(live, all);
    expect_retained_for_each_subscribe(&broker);
}

/// For each SUBSCRIBE alone, and for two in one write.
fn expect_retained_for_each_subscribe(broker: &Broker) {
    let mut client = connect(broker, "anew");
    let subscribe = subscribe_5(9, &[], &[("t", 1)]);
    for at_once in [1, 1, 2] {
        client.send(&subscribe.repeat(at_once));
        let mut kinds: Vec<_> = (0..2 * at_once).map(|_| client.packet()[0]).collect();
        kinds.sort_unstable();
        let expected = [vec![0x31; at_once], vec![0x90; at_once]].concat();
        assert_eq!(kinds, expected, "{at_once} at once");
    }
    expect_alive(&mut client);
}

/// As if each had come alone, but for the one SUBACK.
// Breaks if: the loop of `Broker::subscribe` in src/broker/subscribe.rs ends after the first filter.
#[test]
fn mqtt5_3_8_4_5_several_filters_are_several_subscribes_with_one_suback() {
    let broker = Broker::start();
    tell_retained(&broker, "kept/1");
    tell_retained(&broker, "kept/2");
    let mut client = connect(&broker, "client");
    let filters = [
        ("a", 0),
        ("b/+", 1),
        ("kept/1", 0),
        ("a", 2),
        ("kept/2", 1 | SEND_RETAINED_IF_NEW),
    ];
    let identifier = number(prop::SUBSCRIPTION_IDENTIFIER, 300);
    client.send(&subscribe_5(1, &identifier, &filters));
    client.expect(&[0x90, 0x08, 0x00, 0x01, 0x00, 0, 1, 0, 2, 1]);
    let mut retained = take(&mut client, 2);
    retained.sort_by(|a, b| a.topic.cmp(&b.topic));
    let topics = retained.iter().map(|it| (&*it.topic, it.retain));
    assert_eq!(
        topics.collect::<Vec<_>>(),
        [("kept/1", true), ("kept/2", true)]
    );
    // The later `a` has replaced the earlier one.
    for (topic, qos) in [("a", 2), ("b/c", 1), ("kept/1", 0), ("kept/2", 1)] {
        tell(&broker, topic, 2, topic);
        let message = &take(&mut client, 1)[0];
        assert_eq!((&*message.topic, message.qos), (topic, qos));
        let ids = message.properties.all(prop::SUBSCRIPTION_IDENTIFIER);
        assert_eq!(ids, [[0xac, 0x02]]);
    }
    expect_alive(&mut client);
}

fn tell_retained(broker: &Broker, topic: &str) {
    let mut writer = connect(broker, "writer");
    writer.send(&Publish::v5(topic, "kept").qos(1, 1).retain().bytes());
    assert_eq!(writer.packet()[0], 0x40);
    leave(writer);
}

// Breaks if: `Broker::subscribe` in src/broker/subscribe.rs leaves out the code of a filter that it refuses.
#[test]
fn mqtt5_3_8_4_6_suback_has_a_code_for_each_filter() {
    let broker = broker_with("topic_levels_maximum = 2");
    let mut client = connect(&broker, "client");
    let many: Vec<String> = (0..300).map(|n| format!("many/{n}")).collect();
    let many: Vec<_> = many.iter().map(|filter| (&**filter, 0)).collect();
    let cases: [&[(&str, u8)]; 4] = [
        &[("a", 0)],
        &[("a", 0), ("a", 0), ("a", 0)],
        &[("a/b/c", 0), ("a", 1), ("a/b/c", 0), ("$share/g/a", 1)],
        &many,
    ];
    for filters in cases {
        client.send(&subscribe_5(1, &[], filters));
        let ack = Ack::v5(&client.packet());
        assert_eq!(ack.reasons.len(), filters.len(), "{ack:02x?}");
    }
}

// Breaks if: `Broker::subscribe` in src/broker/subscribe.rs pushes 0 instead of `options.qos`.
#[test]
fn mqtt5_3_8_4_7_the_code_is_the_granted_qos_or_an_error() {
    let broker = broker_with("topic_levels_maximum = 2");
    let mut client = connect(&broker, "client");
    let filters = [("q/0", 0), ("q/1", 1), ("q/2", 2), ("q/3/4", 2)];
    client.send(&subscribe_5(1, &[], &filters));
    let ack = Ack::v5(&client.packet());
    assert_eq!(ack.reasons, [0, 1, 2, 0x8f]);
    // What was granted is what is done, what was refused is not.
    for granted in 0..=2 {
        tell(&broker, &format!("q/{granted}"), 2, "m");
        assert_eq!(take(&mut client, 1)[0].qos, granted);
    }
    tell(&broker, "q/3", 2, "m");
    expect_alive(&mut client);
}

// Breaks if: `Broker::deliver` in src/broker/delivery.rs takes `recipient.qos` without `min`.
#[test]
fn mqtt5_3_8_4_8_the_delivered_qos_is_the_lower_of_published_and_granted() {
    let broker = Broker::start();
    for granted in 0..=2 {
        let mut client = connect(&broker, "client");
        subscribe(&mut client, "t", granted);
        for sent in 0..=2 {
            tell(&broker, "t", sent, "m");
            let message = &take(&mut client, 1)[0];
            assert_eq!(message.qos, sent.min(granted), "{sent} to {granted}");
        }
        expect_alive(&mut client);
    }
}
