//! Wills: who gets them, and when there is none.

use super::dialect::in_both;
use super::pair::Pair;
use crate::bytes::{Connect, Will, disconnect_5, packet, prop, text};

/// Connects "sub", which sees every Will.
#[track_caller]
fn watched(pair: &mut Pair, speak: super::dialect::Dialect) {
    speak.subscriber(pair, &speak.connect("sub"), &[("will/#", 2)]);
}

// Breaks if: `settle_will` of `broker/sessions.rs` forgets every Will.
#[test]
fn a_broken_connection_leaves_its_will() {
    in_both(|pair, speak| {
        watched(pair, speak);
        for qos in 0..3 {
            let will = Will::new("will/a", format!("at {qos}")).qos(qos);
            pair.open("me", &speak.with_will("me", will));
            pair.cut("me", "sub");
            pair.came("sub", 1);
            pair.answer("sub");
            pair.answer("sub");
        }
    });
}

// Breaks if: `settle_will` of `broker/sessions.rs` has no case for `Detach::Goodbye`.
#[test]
fn who_says_goodbye_leaves_no_will() {
    in_both(|pair, speak| {
        watched(pair, speak);
        pair.open("me", &speak.with_will("me", Will::new("will/a", "m")));
        pair.leave("me");
        pair.came("sub", 0);
        pair.send("sub", speak.publish("will/marker", "marker").bytes());
        pair.saw("sub", &["PUBLISH will/marker q0 \"marker\""]);
    });
}

// Breaks if: `broker/open.rs` detaches after an error of the protocol as after a goodbye.
#[test]
fn an_error_of_the_client_leaves_its_will() {
    in_both(|pair, speak| {
        watched(pair, speak);
        pair.open(
            "me",
            &speak.with_will("me", Will::new("will/a", "m").qos(1)),
        );
        pair.breach("me", packet(0x60, &[0, 1]));
        pair.saw("sub", &["PUBLISH will/a q1 new \"m\""]);
    });
}

// Breaks if: `will` of `session/terms.rs` loses the Will Retain flag, or sets it always.
#[test]
fn a_will_can_be_retained() {
    in_both(|pair, speak| {
        watched(pair, speak);
        for (topic, retain) in [("will/kept", true), ("will/lost", false)] {
            let will = Will::new(topic, "m").qos(1);
            let will = if retain { will.retain() } else { will };
            pair.open("me", &speak.with_will("me", will));
            pair.breach("me", packet(0x60, &[0, 1]));
            pair.came("sub", 1);
            pair.answer("sub");
        }
        pair.send("sub", speak.subscribe(&[("will/+", 0)]));
        pair.came("sub", 2);
    });
}

// Breaks if: `publish_will` of `broker/sessions.rs` leaves the Will in its place, and `attach` one that is there.
#[test]
fn a_will_belongs_to_its_connection() {
    in_both(|pair, speak| {
        watched(pair, speak);
        pair.open(
            "me",
            &speak.lasting("me").will(Will::new("will/a", "first")),
        );
        pair.breach("me", packet(0x60, &[0, 1]));
        pair.saw("sub", &["PUBLISH will/a q0 \"first\""]);
        pair.open("me", &speak.lasting("me"));
        pair.breach("me", packet(0x60, &[0, 1]));
        pair.came("sub", 0);
    });
}

// Breaks if: `broker/packets.rs` takes DISCONNECT 0x04 for a goodbye.
#[test]
fn disconnect_can_ask_for_the_will() {
    let mut pair = Pair::start();
    watched(&mut pair, super::dialect::Dialect::V5);
    let connect = Connect::v5("me").will(Will::new("will/a", "m"));
    for (reason, count) in [(0x04, 1), (0x00, 0)] {
        pair.open("me", &connect);
        pair.breach("me", disconnect_5(reason, &[]));
        pair.came("sub", count);
    }
}

// Breaks if: `will` of `session/terms.rs` loses a property of the Will.
#[test]
fn the_properties_of_a_will_arrive() {
    let mut pair = Pair::start();
    watched(&mut pair, super::dialect::Dialect::V5);
    let will = Will::new("will/a", "m")
        .property(text(prop::CONTENT_TYPE, "text"))
        .property(text(prop::RESPONSE_TOPIC, "answers"))
        .property(text(prop::CORRELATION_DATA, [1, 2]))
        .property(vec![prop::PAYLOAD_FORMAT_INDICATOR, 1])
        .property(crate::bytes::pair("b", "2"))
        .property(crate::bytes::pair("a", "1"));
    pair.open("me", &Connect::v5("me").will(will));
    pair.breach("me", disconnect_5(0x04, &[]));
    pair.came("sub", 1);
}

// Breaks if: `settle_will` of `broker/sessions.rs` does not look at the delay.
#[test]
fn a_will_waits_for_its_delay() {
    let mut pair = Pair::start();
    let speak = super::dialect::Dialect::V5;
    watched(&mut pair, speak);
    let will = |payload: &str, seconds| Will::new("will/a", payload).delay(seconds);
    let connect = |seconds| speak.lasting("me").will(will("delayed", seconds));
    pair.open("me", &connect(600));
    pair.breach("me", disconnect_5(0x04, &[]));
    pair.came("sub", 0);
    // Back in time.
    pair.open("me", &connect(1));
    pair.saw("me", &["CONNACK 1 0x00"]);
    pair.came("sub", 0);
    pair.breach("me", disconnect_5(0x04, &[]));
    pair.came("sub", 0);
    pair.wait("sub");
    pair.saw("sub", &["PUBLISH will/a q0 \"delayed\""]);
}

// Breaks if: `settle_will` of `broker/sessions.rs` forgets the Will at `Detach::Replaced`.
#[test]
fn a_connection_that_is_taken_over_leaves_its_will() {
    in_both(|pair, speak| {
        watched(pair, speak);
        pair.open("me", &speak.with_will("me", Will::new("will/a", "m")));
        pair.take_over("me", &speak.connect("me"));
        pair.saw("sub", &["PUBLISH will/a q0 \"m\""]);
    });
}
