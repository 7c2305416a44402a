//! Sessions that outlive their connections.

use super::dialect::in_both;
use super::pair::Pair;
use crate::bytes::{Connect, DISCONNECT, disconnect_5, four, prop, pubrel};

// Breaks if: `broker/sessions.rs` keeps the session of a client that asked for none.
#[test]
fn session_present_tells_what_is_there() {
    in_both(|pair, speak| {
        let steps = [
            (speak.connect("me"), "CONNACK 0 0x00"),
            (speak.lasting("me"), "CONNACK 0 0x00"),
            (speak.lasting("me"), "CONNACK 1 0x00"),
            (speak.connect("me"), "CONNACK 0 0x00"),
            (speak.lasting("me"), "CONNACK 0 0x00"),
        ];
        for (connect, connack) in steps {
            pair.open("me", &connect);
            pair.saw("me", &[connack]);
            pair.leave("me");
        }
    });
}

// Breaks if: `session/outbound.rs` drops what comes while the client is away.
#[test]
fn messages_wait_for_who_is_away() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.lasting("sub"), &[("a/#", 2)]);
        pair.leave("sub");
        speak.publisher(pair);
        for (payload, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 0)] {
            speak.tell(pair, &speak.publish("a", payload), qos);
        }
        pair.open("sub", &speak.lasting("sub"));
        pair.saw(
            "sub",
            &[
                "CONNACK 1 0x00",
                "PUBLISH a q1 new \"1\"",
                "PUBLISH a q1 new \"3\"",
                "PUBLISH a q2 new \"2\"",
            ],
        );
        pair.answer("sub");
        pair.answer("sub");
        pair.leave("sub");
        pair.open("sub", &speak.lasting("sub"));
        pair.saw("sub", &["CONNACK 1 0x00"]);
    });
}

// Breaks if: `resend` of `session/outbound.rs` sends without DUP, or `pubrec` of `session/window.rs` does not note the PUBREC.
#[test]
fn what_was_not_acknowledged_comes_again() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.lasting("sub"), &[("a", 2)]);
        speak.publisher(pair);
        for (payload, qos) in [("1", 1), ("2", 1), ("3", 2), ("4", 2), ("5", 2)] {
            speak.tell(pair, &speak.publish("a", payload), qos);
            pair.came("sub", 1);
        }
        // The first is done, the third is received.
        pair.answer_some("sub", 1);
        pair.leave("sub");
        pair.open("sub", &speak.lasting("sub"));
        pair.came("sub", 5);
        pair.answer_some("sub", 2);
        pair.saw("sub", &["PUBREL of \"3\""]);
        pair.leave("sub");
        pair.open("sub", &speak.lasting("sub"));
        pair.saw(
            "sub",
            &[
                "CONNACK 1 0x00",
                "PUBLISH a q2 dup again \"4\"",
                "PUBLISH a q2 dup again \"5\"",
                "PUBREL of \"3\"",
            ],
        );
        pair.answer("sub");
        pair.answer("sub");
        assert!(!pair.owes("sub"));
    });
}

// Breaks if: `detach` of `session/inbound.rs` forgets the Packet Identifiers of QoS 2.
#[test]
fn a_publisher_goes_on_where_it_was() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 1)]);
        let connect = speak.lasting("pub").bytes();
        pair.open_with("pub", &connect);
        let publish = speak.publish("a", "once").qos(2, 6);
        pair.together("pub is interrupted at each step", |side| {
            side.send("pub", &publish.bytes());
            side.send_to_end("pub", &DISCONNECT);
            side.open("pub", &connect);
            side.send("pub", &publish.clone().dup().bytes());
            side.send_to_end("pub", &DISCONNECT);
            side.open("pub", &connect);
            side.send("pub", &pubrel(6));
        });
        pair.saw("sub", &["PUBLISH a q1 new \"once\""]);
        pair.came("pub", 7);
        pair.answer("sub");
        // The Packet Identifier is free again.
        pair.together("pub takes it anew", |side| {
            side.send("pub", &speak.publish("a", "another").qos(2, 6).bytes());
            side.send("pub", &pubrel(6));
        });
        pair.saw("sub", &["PUBLISH a q1 new \"another\""]);
    });
}

// Breaks if: `broker/sessions.rs` carries a QoS 2 message over into a new session.
#[test]
fn a_new_session_knows_no_packet_identifier() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 0)]);
        let publish = speak.publish("a", "m").qos(2, 6).bytes();
        pair.open("pub", &speak.connect("pub"));
        pair.together("pub publishes and releases", |side| {
            side.send("pub", &publish);
            side.send("pub", &pubrel(6));
        });
        pair.came("sub", 1);
        pair.leave("pub");
        pair.open("pub", &speak.connect("pub"));
        pair.together("pub does so again", |side| {
            side.send("pub", &publish);
            side.send("pub", &pubrel(6));
        });
        pair.came("sub", 1);
    });
}

// Breaks if: `session/subscriptions.rs` forgets the subscriptions of a client that is away.
#[test]
fn subscriptions_are_part_of_the_session() {
    in_both(|pair, speak| {
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a/kept", "kept").retain(), 1);
        speak.subscriber(pair, &speak.lasting("sub"), &[("b", 1)]);
        pair.send("sub", speak.subscribe(&[("c", 1)]));
        pair.send("sub", speak.unsubscribe(&["b"]));
        pair.leave("sub");
        speak.tell(pair, &speak.publish("b", "gone"), 1);
        pair.open("sub", &speak.lasting("sub"));
        pair.saw("sub", &["CONNACK 1 0x00"]);
        speak.tell(pair, &speak.publish("c", "still"), 1);
        pair.saw("sub", &["PUBLISH c q1 new \"still\""]);
    });
}

// Breaks if: `broker/packets.rs` does not take over the Session Expiry Interval of a DISCONNECT.
#[test]
fn the_session_expiry_interval_decides() {
    let mut pair = Pair::start();
    let expiring = |seconds| four(prop::SESSION_EXPIRY_INTERVAL, seconds);
    let resume = Connect::v5("me").clean(false);
    pair.open("me", &resume.clone().expiry(0));
    pair.leave("me");
    pair.open("me", &resume.clone().expiry(60));
    pair.saw("me", &["CONNACK 0 0x00"]);
    pair.leave("me");
    pair.open("me", &resume.clone().expiry(60));
    pair.saw("me", &["CONNACK 1 0x00"]);
    pair.breach("me", disconnect_5(0x00, &expiring(0)));
    pair.open("me", &resume.clone().expiry(60));
    pair.saw("me", &["CONNACK 0 0x00"]);
    pair.breach("me", disconnect_5(0x00, &expiring(90)));
    pair.open("me", &resume.expiry(60));
    pair.saw("me", &["CONNACK 1 0x00"]);
}

// Breaks if: `broker/handshake.rs` ends the old session only when the connection of a Clean Start 1 ends.
#[test]
fn clean_start_drops_the_old_session_and_keeps_the_new() {
    let mut pair = Pair::start();
    let speak = super::dialect::Dialect::V5;
    speak.subscriber(&mut pair, &speak.lasting("sub"), &[("a", 1)]);
    pair.leave("sub");
    speak.publisher(&mut pair);
    speak.tell(&mut pair, &speak.publish("a", "lost"), 1);
    pair.open("sub", &speak.lasting("sub").clean(true));
    pair.saw("sub", &["CONNACK 0 0x00"]);
    speak.tell(&mut pair, &speak.publish("a", "unheard"), 1);
    pair.came("sub", 0);
    pair.leave("sub");
    pair.open("sub", &speak.lasting("sub"));
    pair.saw("sub", &["CONNACK 1 0x00"]);
}
