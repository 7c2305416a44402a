//! 3.9 SUBACK.

use crate::bytes::{prop, subscribe_5};
use crate::received::Ack;
use crate::support::broker::Broker;

use super::steps::{broker_with, connect, connect_small, expect_small, user_property};

/// A refusal is explained, but not to a client that has no room for it.
// Breaks if: `Open::subscribe` in src/broker/packets.rs keeps the Reason String whatever `packet_size_maximum` is.
#[test]
fn mqtt5_3_9_2_1_suback_has_no_reason_string_beyond_the_clients_maximum() {
    let broker = broker_with("topic_levels_maximum = 2");
    let refused = subscribe_5(1, &[], &[("a/b/c", 0)]);
    let mut large = connect(&broker, "large");
    large.send(&refused);
    let ack = Ack::v5(&large.packet());
    assert_eq!(ack.reasons, [0x8f]);
    let explained = ack.properties.one(prop::REASON_STRING);
    assert!(explained.is_some(), "nothing to leave out: {ack:02x?}");
    let mut small = connect_small(&broker, "small");
    small.send(&refused);
    let reasons = expect_small(&mut small, 0x90, prop::REASON_STRING);
    assert_eq!(reasons, [0x8f]);
}

// Breaks if: `Open::subscribe` in src/broker/packets.rs returns the User Properties of the SUBSCRIBE.
#[test]
fn mqtt5_3_9_2_2_suback_has_no_user_property_beyond_the_clients_maximum() {
    let broker = Broker::start();
    let mut small = connect_small(&broker, "small");
    small.send(&subscribe_5(1, &user_property(100), &[("a", 2)]));
    let reasons = expect_small(&mut small, 0x90, prop::USER_PROPERTY);
    assert_eq!(reasons, [2]);
}

// Breaks if: `Broker::subscribe` in src/broker/subscribe.rs puts refusals first, or last.
#[test]
fn mqtt5_3_9_3_1_suback_has_its_codes_in_the_order_of_the_filters() {
    let broker = broker_with("topic_levels_maximum = 2");
    let mut client = connect(&broker, "client");
    let filters = [
        ("z", 2),
        ("a/b/c", 1),
        ("b", 0),
        ("a", 1),
        ("z/#", 0),
        ("b/c/d", 2),
        ("$share/g/y", 1),
    ];
    client.send(&subscribe_5(1, &[], &filters));
    let ack = Ack::v5(&client.packet());
    // Not the same backwards.
    assert_eq!(ack.reasons, [2, 0x8f, 0, 1, 0, 0x8f, 1]);
}

// Breaks if: `QuotaExceeded` or `TopicFilterInvalid` in src/codec/reason.rs gets another value.
#[test]
fn mqtt5_3_9_3_2_suback_has_codes_of_its_table() {
    let broker = broker_with("topic_levels_maximum = 2\nsubscriptions_maximum = 3");
    let mut client = connect(&broker, "client");
    let filters = [("a", 0), ("b", 1), ("1/2/3", 2), ("c", 2), ("d", 0)];
    client.send(&subscribe_5(1, &[], &filters));
    let ack = Ack::v5(&client.packet());
    // Granted QoS 0, 1 and 2, Topic Filter invalid, Quota exceeded.
    assert_eq!(ack.reasons, [0, 1, 0x8f, 2, 0x97]);
}
