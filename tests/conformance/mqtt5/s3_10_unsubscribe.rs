//! 3.10 UNSUBSCRIBE.

use crate::bytes::{
    DISCONNECT, packet, puback, pubcomp, pubrec, pubrel, string, subscribe_5, unsubscribe_5,
};
use crate::received::{Ack, expect_alive, subscribe};
use crate::support::broker::Broker;

use super::steps::{
    breach, connect, expect_message, leave, open, other_flags, persistent, request, resume, tell,
};

// Breaks if: `check_flags` in src/codec/header.rs lets other flags of UNSUBSCRIBE pass.
#[test]
fn mqtt5_3_10_1_1_unsubscribe_has_the_flags_0010() {
    let broker = Broker::start();
    let right = unsubscribe_5(1, &[], &["a"]);
    for first in other_flags(0xa2) {
        breach(&broker, &packet(first, &right[2..]), 0x81);
    }
    let mut client = connect(&broker, "client");
    client.send(&right);
    assert_eq!(client.packet()[0], 0xb0);
}

// Breaks if: `read_filter` in src/codec/filters.rs replaces what is no UTF-8 instead of refusing it.
#[test]
fn mqtt5_3_10_3_1_topic_filters_are_valid_strings() {
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
        let rest = [&[0], &string(filter)[..]].concat();
        breach(&broker, &request(0xa2, &rest), 0x81);
    }
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "\u{feff}/é", 0);
    client.send(&unsubscribe_5(1, &[], &["\u{feff}/é"]));
    client.expect(&[0xb0, 0x04, 0x00, 0x01, 0x00, 0x00]);
}

// Breaks if: `check_count` in src/codec/filters.rs takes a count of 0.
#[test]
fn mqtt5_3_10_3_2_unsubscribe_has_at_least_one_filter() {
    let broker = Broker::start();
    breach(&broker, &request(0xa2, &[0]), 0x82);
}

/// What matches is not what is equal.
// Breaks if: `Subscriptions::find` in src/session/subscriptions.rs compares without regard to case, or by whether
// one filter covers the other.
#[test]
fn mqtt5_3_10_4_1_filters_are_compared_byte_by_byte() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let kept = ["a/b", "c/+", "$share/g/d/e"];
    client.send(&subscribe_5(1, &[], &kept.map(|filter| (filter, 0))));
    assert_eq!(client.packet()[0], 0x90);
    let others = [
        "a/B",
        "A/b",
        "a/b/",
        "/a/b",
        "a/+",
        "a/#",
        "#",
        "+/b",
        "c/#",
        "c/x",
        "c",
        "d/e",
        "$share/h/d/e",
        "$share/g/d/+",
        "$share/G/d/e",
    ];
    client.send(&unsubscribe_5(2, &[], &others));
    assert_eq!(Ack::v5(&client.packet()).reasons, [0x11; 15]);
    for topic in ["a/b", "c/x", "d/e"] {
        tell(&broker, topic, 0, topic);
        expect_message(&mut client, false, 0, topic);
    }
    client.send(&unsubscribe_5(3, &[], &kept));
    assert_eq!(Ack::v5(&client.packet()).reasons, [0; 3]);
    for topic in ["a/b", "c/x", "d/e"] {
        tell(&broker, topic, 0, topic);
    }
    expect_alive(&mut client);
}

// Breaks if: `Broker::forget` in src/broker/subscribe.rs does not call `Generations::changed`.
#[test]
fn mqtt5_3_10_4_2_nothing_new_comes_after_unsubscribe() {
    let broker = Broker::start();
    let mut writer = connect(&broker, "steady");
    let mut client = connect(&broker, "client");
    client.send(&subscribe_5(1, &[], &[("t", 0), ("t/+", 0)]));
    assert_eq!(client.packet()[0], 0x90);
    // The same connection writes throughout, so that its route is a remembered one.
    let mut say = |topic, payload: &str| {
        super::steps::tell_all(&mut writer, topic, 1, &[payload]);
    };
    say("t", "before");
    expect_message(&mut client, false, 0, "before");
    client.send(&unsubscribe_5(2, &[], &["t"]));
    client.expect(&[0xb0, 0x04, 0x00, 0x02, 0x00, 0x00]);
    say("t", "after");
    say("t/1", "of the other subscription");
    expect_message(&mut client, false, 0, "of the other subscription");
    // Nor is anything queued for a session whose client is away.
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", 1);
    away.send(&unsubscribe_5(2, &[], &["t"]));
    assert_eq!(away.packet()[0], 0xb0);
    leave(away);
    say("t", "after");
    expect_alive(&mut resume(&broker, &persistent("away")));
}

// Breaks if: `Open::unsubscribe` in src/broker/packets.rs clears the session's window.
#[test]
fn mqtt5_3_10_4_3_deliveries_begun_are_completed() {
    let broker = Broker::start();
    for filter in ["t", "$share/g/t"] {
        let mut client = open(&broker, &persistent(filter));
        subscribe(&mut client, filter, 2);
        tell(&broker, "t", 1, "one");
        tell(&broker, "t", 2, "two");
        let one = expect_message(&mut client, false, 1, "one");
        let two = expect_message(&mut client, false, 2, "two");
        client.send(&unsubscribe_5(2, &[], &[filter]));
        client.expect(&[0xb0, 0x04, 0x00, 0x02, 0x00, 0x00]);
        client.send(&DISCONNECT);
        client.expect_closed();
        let mut client = resume(&broker, &persistent(filter));
        assert_eq!(expect_message(&mut client, true, 1, "one"), one);
        assert_eq!(expect_message(&mut client, true, 2, "two"), two);
        client.send(&[puback(one), pubrec(two)].concat());
        client.expect(&pubrel(two));
        client.send(&pubcomp(two));
        expect_alive(&mut client);
    }
}

// Breaks if: `Open::unsubscribe` in src/broker/packets.rs does not call `reply_when_kept`.
#[test]
fn mqtt5_3_10_4_4_unsubscribe_is_answered_with_unsuback() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "a", 0);
    client.send(&unsubscribe_5(1, &[], &["a"]));
    client.expect(&[0xb0, 0x04, 0x00, 0x01, 0x00, 0x00]);
}

// Breaks if: `Broker::unsubscribe` in src/broker/subscribe.rs gives no code for a filter that was not there.
#[test]
fn mqtt5_3_10_4_5_unsuback_has_the_packet_identifier_even_if_nothing_was_removed() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "a", 0);
    let cases = [(1, "a", 0x00), (0x1234, "a", 0x11), (0xffff, "none", 0x11)];
    for (id, filter, code) in cases {
        client.send(&unsubscribe_5(id, &[], &[filter]));
        let [high, low] = id.to_be_bytes();
        client.expect(&[0xb0, 0x04, high, low, 0x00, code]);
    }
}

// Breaks if: the loop of `Broker::unsubscribe` in src/broker/subscribe.rs ends after the first filter.
#[test]
fn mqtt5_3_10_4_6_several_filters_are_several_unsubscribes_with_one_unsuback() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let filters = ["a", "b/+", "c/#", "d"].map(|filter| (filter, 0));
    client.send(&subscribe_5(1, &[], &filters));
    assert_eq!(client.packet()[0], 0x90);
    client.send(&unsubscribe_5(2, &[], &["a", "c/#", "a", "b/+"]));
    client.expect(&[0xb0, 0x07, 0x00, 0x02, 0x00, 0x00, 0x00, 0x11, 0x00]);
    for topic in ["a", "b/b", "c", "d"] {
        tell(&broker, topic, 0, topic);
    }
    expect_message(&mut client, false, 0, "d");
    expect_alive(&mut client);
}
