//! What a client must not do: both brokers have to close the connection.
//!
//! Which reason a broker gives is its choice in most of these; that it closes is not.

use super::dialect::{Dialect, in_both};
use super::pair::Pair;
use crate::bytes::{
    Connect, Publish, disconnect_5, four, number, packet, pair as user_property, prop, string,
    subscribe_5,
};

/// Each of these packets, sent by a new client, ends its connection.
#[track_caller]
fn all_end(pair: &mut Pair, speak: Dialect, breaches: &[Vec<u8>]) {
    for breach in breaches {
        pair.open("me", &speak.connect("me"));
        pair.came("me", 1);
        pair.breach("me", breach);
        pair.saw("me", &["closed"]);
    }
}

// Breaks if: `broker/open.rs` lets a connection begin with anything but CONNECT.
#[test]
fn the_first_packet_is_connect() {
    in_both(|pair, speak| {
        for first in [
            speak.publish("a", "m").bytes(),
            vec![0xc0, 0],
            vec![0xe0, 0],
        ] {
            pair.open_with("me", &first);
            pair.saw("me", &["closed"]);
        }
    });
}

// Breaks if: `broker/packets.rs` takes a second CONNECT for a takeover.
#[test]
fn a_second_connect_is_an_error() {
    in_both(|pair, speak| all_end(pair, speak, &[speak.connect("me").bytes()]));
}

// Breaks if: `codec/connect.rs` does not check the reserved flag, or a Will QoS of 3.
#[test]
fn connect_flags_are_checked() {
    let mut pair = Pair::start();
    for flags in [0x03, 0x1e, 0x0a, 0x22] {
        pair.open("me", &Connect::v311("me").flags(flags));
        pair.saw("me", &["closed"]);
    }
    pair.open("me", &Connect::v311("me").password("but no name"));
    pair.saw("me", &["closed"]);
}

// Breaks if: `broker/handshake.rs` serves a protocol level that it does not know.
#[test]
fn an_unknown_level_is_refused_as_3_1_1_says() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::version(2, "me"));
    pair.saw("me", &["CONNACK 0 0x01", "closed"]);
}

// Breaks if: `codec/header.rs` accepts any flags in packets that have fixed ones.
#[test]
fn reserved_flags_are_checked() {
    in_both(|pair, speak| {
        let mut subscribe = speak.subscribe(&[("a", 0)]);
        let mut unsubscribe = speak.unsubscribe(&["a"]);
        subscribe[0] = 0x80;
        unsubscribe[0] = 0xa0;
        let release = packet(0x60, &[0, 1]);
        all_end(pair, speak, &[subscribe, unsubscribe, release]);
    });
}

// Breaks if: `codec/publish.rs` accepts QoS 3, or DUP with QoS 0.
#[test]
fn publish_flags_are_checked() {
    in_both(|pair, speak| {
        all_end(pair, speak, &[speak.publish("a", "m").qos(3, 1).bytes()]);
    });
}

// Breaks if: `topic/name.rs` accepts wildcards, nothing, or U+0000.
#[test]
fn topic_names_are_checked() {
    in_both(|pair, speak| {
        let names = ["a/+", "#", "", "a\0b"];
        let breaches = names.map(|name| speak.publish(name, "m").qos(1, 1).bytes());
        all_end(pair, speak, &breaches);
        let surrogate = [&b"a"[..], &[0xed, 0xa0, 0x80]].concat();
        let mut body = string(surrogate);
        body.extend(speak.is_5().then_some(0));
        all_end(pair, speak, &[packet(0x30, &body)]);
    });
}

// Breaks if: `topic/filter.rs` accepts a wildcard beside other characters of a level.
#[test]
fn topic_filters_are_checked() {
    in_both(|pair, speak| {
        for filter in ["a/#/b", "a#", "a+/b", "", "+a", "##"] {
            all_end(pair, speak, &[speak.subscribe(&[(filter, 0)])]);
        }
    });
}

// Breaks if: `codec/filters.rs` accepts QoS 3, reserved bits, or no Topic Filter.
#[test]
fn subscribe_is_checked() {
    in_both(|pair, speak| {
        let breaches = [("a", 3), ("a", 0xc0)].map(|entry| speak.subscribe(&[entry]));
        all_end(pair, speak, &breaches);
        all_end(pair, speak, &[speak.subscribe(&[]), speak.unsubscribe(&[])]);
    });
}

// Breaks if: `codec/reader.rs` accepts a Packet Identifier of 0.
#[test]
fn a_packet_identifier_of_0_is_an_error() {
    in_both(|pair, speak| {
        let publish = speak.publish("a", "m").qos(1, 0).bytes();
        let mut subscribe = speak.subscribe(&[("a", 0)]);
        subscribe[3] = 0;
        all_end(pair, speak, &[publish, subscribe]);
    });
}

// Breaks if: `codec/section.rs` accepts a property twice, of another packet, or an unknown one.
#[test]
fn properties_are_checked() {
    let mut pair = Pair::start();
    let with = |property: Vec<u8>| Publish::v5("a", "m").property(property).bytes();
    let twice = [1, 2]
        .map(|seconds| four(prop::MESSAGE_EXPIRY_INTERVAL, seconds))
        .concat();
    all_end(
        &mut pair,
        Dialect::V5,
        &[
            with(twice),
            with(four(prop::SESSION_EXPIRY_INTERVAL, 1)),
            with(vec![0x7f, 0]),
            with(user_property("a\0", "b")),
        ],
    );
}

// Breaks if: `resolve` of `session/aliases.rs` accepts alias 0, one beyond the maximum, or one that stands for nothing.
#[test]
fn topic_aliases_are_checked() {
    let mut pair = Pair::start();
    let alias = |topic: &str, alias| Publish::v5(topic, "m").alias(alias).bytes();
    let breaches = [alias("a", 0), alias("a", 1000), alias("", 1)];
    all_end(&mut pair, Dialect::V5, &breaches);
}

// Breaks if: `codec/filters.rs` accepts reserved bits or Retain Handling 3, or `codec/subscribe.rs` a Subscription Identifier of 0.
#[test]
fn subscription_options_are_checked() {
    let mut pair = Pair::start();
    let zero = number(prop::SUBSCRIPTION_IDENTIFIER, 0);
    all_end(
        &mut pair,
        Dialect::V5,
        &[
            subscribe_5(1, &zero, &[("a", 0)]),
            subscribe_5(1, &[], &[("a", 0x30)]),
            subscribe_5(1, &[], &[("a", 0x40)]),
        ],
    );
}

// Breaks if: `broker/packets.rs` lets DISCONNECT raise a Session Expiry Interval of 0.
#[test]
fn disconnect_cannot_make_a_session_last() {
    let mut pair = Pair::start();
    let raised = disconnect_5(0x00, &four(prop::SESSION_EXPIRY_INTERVAL, 60));
    all_end(&mut pair, Dialect::V5, &[raised]);
    pair.open("me", &Connect::v5("me").clean(false));
    pair.saw("me", &["CONNACK 0 0x00"]);
}

// Breaks if: `codec/connect.rs` accepts a Receive Maximum or Maximum Packet Size of 0.
#[test]
fn connect_properties_are_checked() {
    let mut pair = Pair::start();
    let zeros = [
        vec![prop::RECEIVE_MAXIMUM, 0, 0],
        four(prop::MAXIMUM_PACKET_SIZE, 0),
    ];
    for zero in zeros {
        pair.open("me", &Connect::v5("me").property(zero));
        pair.saw("me", &["closed"]);
    }
}
