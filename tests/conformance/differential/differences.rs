//! Where mosquitto 2.0.11 is wrong, and by which statement.
//!
//! Each of these fails when mosquitto is right one day: the difference is then to be taken out of here. The one at
//! every takeover, [MQTT5-3.1.4-3], is in [`Pair::take_over`].

use super::dialect::Dialect;
use super::pair::{Difference, Pair};
use crate::bytes::{Connect, Publish, Will, number, prop, subscribe_5, text, two};

/// Postbud closes the connection of a client that sends these bytes, mosquitto answers with `mosquitto`.
#[track_caller]
fn only_postbud_closes(bytes: &[u8], breaks: &'static str, mosquitto: &'static [&'static str]) {
    let mut pair = Pair::start();
    pair.open("me", &Connect::v5("me"));
    pair.expect_difference(Difference {
        breaks,
        client: "me".to_owned(),
        mosquitto,
        postbud: &["closed"],
    });
    pair.send("me", bytes);
}

// [MQTT5-3.3.2-14]
// Breaks if: `codec/publish.rs` accepts a Response Topic with a wildcard.
#[test]
fn mosquitto_accepts_wildcards_in_a_response_topic() {
    let publish = Publish::v5("a", "m").property(text(prop::RESPONSE_TOPIC, "a/#"));
    only_postbud_closes(&publish.bytes(), "MQTT5-3.3.2-14", &[]);
}

// [MQTT5-3.3.4-6]
// Breaks if: `codec/publish.rs` accepts a Subscription Identifier from a client.
#[test]
fn mosquitto_accepts_subscription_identifiers_from_a_client() {
    let publish = Publish::v5("a", "m").property(number(prop::SUBSCRIPTION_IDENTIFIER, 1));
    only_postbud_closes(&publish.bytes(), "MQTT5-3.3.4-6", &[]);
}

// [MQTT5-3.1.2-8], [MQTT311-3.1.2-8]
// Breaks if: `settle_will` of `broker/sessions.rs` forgets the Will at `Detach::Resumed`.
#[test]
fn mosquitto_forgets_the_will_when_the_session_is_taken_over() {
    let speak = Dialect::V311;
    let mut pair = Pair::start();
    speak.subscriber(&mut pair, &speak.connect("sub"), &[("will", 0)]);
    let connect = speak.lasting("me");
    pair.open("me", &connect.clone().will(Will::new("will", "m")));
    pair.expect_difference(Difference {
        breaks: "MQTT311-3.1.2-8",
        client: "sub".to_owned(),
        mosquitto: &[],
        postbud: &["PUBLISH will q0 \"m\""],
    });
    pair.take_over("me", &connect);
}

// [MQTT5-3.8.4-3]
// Breaks if: `insert` of `pubsub/subscriptions.rs` keeps the options of a subscription that is made again.
#[test]
fn mosquitto_does_not_replace_no_local() {
    let mut pair = Pair::start();
    pair.open("sub", &Connect::v5("sub"));
    for options in [0x04, 0x00] {
        pair.send("sub", subscribe_5(1, &[], &[("a", options)]));
    }
    pair.expect_difference(Difference {
        breaks: "MQTT5-3.8.4-3",
        client: "sub".to_owned(),
        mosquitto: &[],
        postbud: &["PUBLISH a q0 \"m\""],
    });
    pair.send("sub", Publish::v5("a", "m").bytes());
}

// [MQTT5-3.8.3-4]
// Breaks if: `codec/filters.rs` accepts a Shared Subscription with No Local.
#[test]
fn mosquitto_accepts_no_local_in_a_group() {
    let subscribe = subscribe_5(1, &[], &[("$share/group/a", 0x04)]);
    only_postbud_closes(&subscribe, "MQTT5-3.8.3-4", &["SUBACK 1 [00]"]);
}

// Section 3.3.1.3 sends what is retained for Non-shared Subscriptions; no numbered statement says so.
// Breaks if: `broker/subscribe.rs` sends what is retained to a group.
#[test]
fn mosquitto_sends_what_is_retained_to_a_group() {
    let mut pair = Pair::start();
    pair.open("sub", &Connect::v5("sub"));
    pair.send("sub", Publish::v5("a", "kept").retain().bytes());
    pair.expect_difference(Difference {
        breaks: "MQTT5, section 3.3.1.3",
        client: "sub".to_owned(),
        mosquitto: &["PUBLISH a q0 retain \"kept\"", "SUBACK 1 [00]"],
        postbud: &["SUBACK 1 [00]"],
    });
    pair.send("sub", subscribe_5(1, &[], &[("$share/group/a", 0)]));
}

// [MQTT5-3.3.4-9]
// Breaks if: `quota` of `session/outbound.rs` is one more than it should be.
#[test]
fn mosquitto_exceeds_receive_maximum_after_an_acknowledgement() {
    let speak = Dialect::V5;
    let mut pair = Pair::start();
    speak.publisher(&mut pair);
    let connect = Connect::v5("sub").property(two(prop::RECEIVE_MAXIMUM, 2));
    speak.subscriber(&mut pair, &connect, &[("a", 2)]);
    for payload in ["1", "2", "3", "4"] {
        speak.tell(&mut pair, &Publish::v5("a", payload), 1);
    }
    pair.expect_difference(Difference {
        breaks: "MQTT5-3.3.4-9",
        client: "sub".to_owned(),
        mosquitto: &["PUBLISH a q1 new \"3\"", "PUBLISH a q1 new \"4\""],
        postbud: &["PUBLISH a q1 new \"3\""],
    });
    pair.answer_some("sub", 1);
}

// [MQTT311-3.3.5-1]
// Breaks if: `merge` of `pubsub/subscriptions.rs` takes the QoS of the first subscription.
#[test]
fn mosquitto_as_it_is_shipped_delivers_at_the_qos_of_the_first_subscription() {
    let speak = Dialect::V311;
    let mut pair = Pair::beside("");
    let filters = [("a/#", 0), ("a/+", 2), ("a/b", 1)];
    speak.subscriber(&mut pair, &speak.connect("sub"), &filters);
    speak.publisher(&mut pair);
    pair.expect_difference(Difference {
        breaks: "MQTT311-3.3.5-1",
        client: "sub".to_owned(),
        mosquitto: &["PUBLISH a/b q1 new \"m\""],
        postbud: &["PUBLISH a/b q2 new \"m\""],
    });
    speak.tell(&mut pair, &speak.publish("a/b", "m"), 2);
}

// [MQTT5-3.8.3-3]
// Breaks if: `Broker::feed` of `broker/delivery.rs` does not leave out what the client published.
#[test]
fn mosquitto_sends_a_client_its_own_retained_message_in_spite_of_no_local() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::v5("me"));
    pair.send("me", Publish::v5("a", "m").retain().qos(1, 1).bytes());
    pair.expect_difference(Difference {
        breaks: "MQTT5-3.8.3-3",
        client: "me".to_owned(),
        mosquitto: &["PUBLISH a q0 retain \"m\"", "SUBACK 2 [00]"],
        postbud: &["SUBACK 2 [00]"],
    });
    pair.send("me", subscribe_5(2, &[], &[("a", 0x04)]));
}
