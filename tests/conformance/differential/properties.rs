//! What only MQTT 5.0 has.

use super::dialect::Dialect;
use super::pair::Pair;
use crate::bytes::{
    Connect, Publish, four, number, pair as user_property, prop, subscribe_5, text, two,
};

const SPEAK: Dialect = Dialect::V5;

/// Both brokers with "pub", and "sub" which subscribed with these properties.
#[track_caller]
fn subscribed(properties: &[u8], filters: &[(&str, u8)]) -> Pair {
    let mut pair = Pair::start();
    SPEAK.publisher(&mut pair);
    pair.open("sub", &Connect::v5("sub"));
    pair.send("sub", subscribe_5(1, properties, filters));
    pair.came("sub", 1);
    pair
}

// Breaks if: `codec/forwarded.rs` loses a property, or changes the order of User Properties.
#[test]
fn properties_are_passed_on() {
    let mut pair = subscribed(&[], &[("a", 1)]);
    let properties = [
        user_property("z", "1"),
        text(prop::CONTENT_TYPE, "text/plain"),
        text(prop::RESPONSE_TOPIC, "re/ply"),
        user_property("a", "2"),
        text(prop::CORRELATION_DATA, [0, 1, 0xff]),
        vec![prop::PAYLOAD_FORMAT_INDICATOR, 1],
        four(prop::MESSAGE_EXPIRY_INTERVAL, 1000),
        user_property("z", "1"),
    ];
    let publish = Publish::v5("a", "m").property(properties.concat());
    for qos in 0..2 {
        SPEAK.tell(&mut pair, &publish, qos);
        pair.came("sub", 1);
    }
    SPEAK.tell(&mut pair, &publish.retain(), 0);
    pair.send("pub", subscribe_5(1, &[], &[("a", 0)]));
    pair.came("pub", 2);
}

// Breaks if: `session/aliases.rs` forgets an alias, or does not let it be replaced.
#[test]
fn topic_aliases_stand_for_topics() {
    let mut pair = subscribed(&[], &[("#", 0)]);
    let alias = |topic: &str, payload: &str| Publish::v5(topic, payload).alias(3).bytes();
    for (topic, payload) in [("a", "1"), ("", "2"), ("b", "3"), ("", "4")] {
        pair.send("pub", alias(topic, payload));
        pair.came("sub", 1);
    }
    pair.saw("sub", &["PUBLISH b q0 \"4\""]);
    // The alias ends with its connection.
    pair.leave("pub");
    SPEAK.publisher(&mut pair);
    pair.breach("pub", alias("", "5"));
    pair.came("sub", 0);
}

// Breaks if: `merge` of `pubsub/subscriptions.rs` gives only the first Subscription Identifier.
#[test]
fn subscription_identifiers_tell_which_subscriptions() {
    let id = |id| number(prop::SUBSCRIPTION_IDENTIFIER, id);
    let mut pair = subscribed(&id(1), &[("a/#", 0)]);
    pair.send("sub", subscribe_5(1, &id(200), &[("a/+", 1)]));
    pair.send("sub", subscribe_5(1, &[], &[("a/b", 0)]));
    for topic in ["a", "a/b", "a/c", "a/b/c"] {
        SPEAK.tell(&mut pair, &Publish::v5(topic, topic), 1);
        pair.came("sub", 1);
    }
    // Another one, and none.
    pair.send("sub", subscribe_5(1, &id(3), &[("a/#", 0)]));
    pair.send("sub", subscribe_5(1, &[], &[("a/+", 0)]));
    for topic in ["a", "a/b"] {
        SPEAK.tell(&mut pair, &Publish::v5(topic, topic), 1);
        pair.came("sub", 1);
    }
}

// Breaks if: `broker/subscribe.rs` sends what is retained without the Subscription Identifier.
#[test]
fn retained_messages_have_the_subscription_identifier() {
    let mut pair = subscribed(&[], &[("other", 0)]);
    SPEAK.tell(&mut pair, &Publish::v5("a", "kept").retain(), 0);
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, 7);
    pair.send("sub", subscribe_5(1, &id, &[("a", 0)]));
    pair.came("sub", 2);
}

// Breaks if: `route` of `pubsub/subscriptions.rs` does not look at No Local.
#[test]
fn no_local_keeps_ones_own_messages_away() {
    let mut pair = subscribed(&[], &[("a", 0x04), ("b", 0x00)]);
    for (client, topic, count) in [("sub", "a", 0), ("sub", "b", 1), ("pub", "a", 1)] {
        pair.send(client, Publish::v5(topic, "m").bytes());
        pair.came("sub", count);
    }
}

// Breaks if: `broker/delivery.rs` does not look at Retain As Published.
#[test]
fn retain_as_published_keeps_the_flag() {
    let mut pair = subscribed(&[], &[("a", 0x08), ("b", 0x00)]);
    for topic in ["a", "b"] {
        pair.send("pub", Publish::v5(topic, "kept").retain().bytes());
        pair.came("sub", 1);
        pair.send("pub", Publish::v5(topic, "not kept").bytes());
        pair.came("sub", 1);
    }
}

// Breaks if: `wants_retained` of `broker/subscribe.rs` does not look at whether the subscription is new.
#[test]
fn retain_handling_decides_what_is_sent() {
    let mut pair = subscribed(&[], &[("other", 0)]);
    SPEAK.tell(&mut pair, &Publish::v5("a", "kept").retain(), 0);
    let subscribe = |options| subscribe_5(1, &[], &[("a", options)]);
    for (options, count) in [(0x20, 1), (0x10, 1), (0x00, 2), (0x10, 1), (0x20, 1)] {
        pair.send("sub", subscribe(options));
        pair.came("sub", count);
    }
    pair.send("sub", SPEAK.unsubscribe(&["a"]));
    pair.send("sub", subscribe(0x10));
    pair.came("sub", 2);
}

// Breaks if: `quota` of `session/outbound.rs` does not count what is in flight.
#[test]
fn receive_maximum_is_a_window() {
    let mut pair = Pair::start();
    SPEAK.publisher(&mut pair);
    let connect = Connect::v5("sub").property(two(prop::RECEIVE_MAXIMUM, 2));
    SPEAK.subscriber(&mut pair, &connect, &[("a", 2)]);
    for (payload, count) in [("1", 1), ("2", 1), ("3", 0)] {
        SPEAK.tell(&mut pair, &Publish::v5("a", payload), 1);
        pair.came("sub", count);
    }
    pair.answer_some("sub", 1);
    pair.saw("sub", &["PUBLISH a q1 new \"3\""]);
    pair.answer("sub");
    for (payload, count) in [("5", 1), ("6", 1), ("7", 0)] {
        SPEAK.tell(&mut pair, &Publish::v5("a", payload), 2);
        pair.came("sub", count);
    }
    // PUBREC makes no room, PUBCOMP does.
    pair.answer("sub");
    pair.came("sub", 2);
    pair.answer_some("sub", 1);
    pair.saw("sub", &["PUBLISH a q2 new \"7\""]);
}

// Breaks if: `naming` of `session/outbound.rs` does not look at the Maximum Packet Size.
#[test]
fn what_is_too_large_is_left_out() {
    let mut pair = Pair::start();
    SPEAK.publisher(&mut pair);
    let connect = Connect::v5("sub").property(four(prop::MAXIMUM_PACKET_SIZE, 60));
    SPEAK.subscriber(&mut pair, &connect, &[("a", 1)]);
    for (length, count) in [(10, 1), (100, 0), (11, 1)] {
        SPEAK.tell(&mut pair, &Publish::v5("a", "x".repeat(length)), 1);
        pair.came("sub", count);
        pair.answer("sub");
    }
}

// Breaks if: `pubrec` of `session/window.rs` takes every Reason Code for an acceptance.
#[test]
fn a_refused_message_is_done() {
    let mut pair = subscribed(&[], &[("a", 2)]);
    SPEAK.tell(&mut pair, &Publish::v5("a", "refused"), 2);
    pair.came("sub", 1);
    pair.refuse("sub", 0x83);
    pair.came("sub", 0);
    assert!(!pair.owes("sub"));
    SPEAK.tell(&mut pair, &Publish::v5("a", "taken"), 2);
    pair.came("sub", 1);
}

// Breaks if: `offer` of `broker/delivery.rs` finds no member.
#[test]
fn a_group_of_one_gets_everything() {
    let mut pair = subscribed(&[], &[("other", 0)]);
    pair.send("sub", subscribe_5(1, &[], &[("$share/group/a/+", 1)]));
    pair.came("sub", 1);
    for topic in ["a/1", "a/2", "a/3"] {
        SPEAK.tell(&mut pair, &Publish::v5(topic, topic), 1);
        pair.came("sub", 1);
        pair.answer("sub");
    }
    pair.send("sub", SPEAK.unsubscribe(&["$share/group/a/+"]));
    pair.came("sub", 1);
    SPEAK.tell(&mut pair, &Publish::v5("a/1", "nobody"), 1);
    pair.came("sub", 0);
}

// Breaks if: `route` of `pubsub/subscriptions.rs` finds only the first group.
#[test]
fn groups_and_plain_subscriptions_do_not_share() {
    let mut pair = subscribed(&[], &[("a", 0)]);
    for (client, filter) in [("one", "$share/one/a"), ("two", "$share/two/#")] {
        pair.open(client, &Connect::v5(client));
        pair.send(client, subscribe_5(1, &[], &[(filter, 1)]));
    }
    SPEAK.tell(&mut pair, &Publish::v5("a", "for all three"), 1);
    for client in ["sub", "one", "two"] {
        pair.came(client, 1);
    }
}

// Breaks if: `session/inbound.rs` does not answer the PUBREL of nothing.
#[test]
fn a_release_of_nothing_is_answered() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::v5("me"));
    pair.send("me", crate::bytes::pubrel(9));
    pair.saw("me", &["PUBCOMP 9 [00]"]);
}
