//! Coming and going: CONNECT in its variants, Client Identifiers, takeover.

use super::dialect::{Dialect, in_both};
use super::pair::Pair;
use crate::bytes::{Connect, DISCONNECT, prop, text};

// Breaks if: `broker/handshake.rs` answers a CONNECT with another Session Present.
#[test]
fn a_client_comes_and_leaves() {
    in_both(|pair, speak| {
        pair.open("me", &speak.connect("me"));
        pair.saw("me", &["CONNACK 0 0x00"]);
        pair.leave("me");
        pair.saw("me", &["closed"]);
    });
}

// Breaks if: `session/terms.rs` refuses an empty Client Identifier, or does not tell the assigned one.
#[test]
fn an_empty_client_identifier_is_replaced() {
    in_both(|pair, speak| {
        pair.open("me", &speak.connect(""));
        let assigned = speak.is_5();
        pair.saw(
            "me",
            &[if assigned {
                "CONNACK 0 0x00 assigned"
            } else {
                "CONNACK 0 0x00"
            }],
        );
    });
}

// Breaks if: `check_empty_id` of `session/terms.rs` allows it with Clean Session 0.
#[test]
fn an_empty_client_identifier_needs_a_clean_session() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::v311("").clean(false));
    pair.saw("me", &["CONNACK 0 0x02", "closed"]);
}

// Breaks if: `codec/connect.rs` takes a Client Identifier of more than 23 bytes for an error.
#[test]
fn long_and_odd_client_identifiers_are_accepted() {
    in_both(|pair, speak| {
        for client_id in ["a/b+c#d", "\u{fc}\u{2603}", &"x".repeat(200)] {
            pair.open("me", &speak.connect(client_id));
            pair.saw("me", &["CONNACK 0 0x00"]);
            pair.leave("me");
        }
    });
}

// Breaks if: `codec/connect.rs` does not know the Protocol Name of MQTT 3.1.
#[test]
fn mqtt_3_1_is_spoken() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::version(3, "me").protocol("MQIsdp"));
    pair.saw("me", &["CONNACK 0 0x00"]);
    pair.send("me", Dialect::V311.subscribe(&[("a", 1)]));
    pair.send("me", Dialect::V311.publish("a", "m").qos(1, 9).bytes());
    pair.came("me", 2);
    pair.answer("me");
    pair.came("me", 0);
}

// Breaks if: `broker/handshake.rs` refuses a user name from whom it lets in anonymously.
#[test]
fn user_name_and_password_are_taken() {
    in_both(|pair, speak| {
        let connect = speak.connect("me").user_name("name");
        pair.open("me", &connect);
        pair.saw("me", &["CONNACK 0 0x00"]);
        pair.open(
            "other",
            &speak.connect("other").user_name("name").password("word"),
        );
        pair.saw("other", &["CONNACK 0 0x00"]);
    });
}

// Breaks if: `broker/handshake.rs` accepts an Authentication Method that nobody knows.
#[test]
fn an_unknown_authentication_method_is_refused() {
    let mut pair = Pair::start();
    let method = text(prop::AUTHENTICATION_METHOD, "nobody-knows-it");
    pair.open("me", &Connect::v5("me").property(method));
    pair.saw("me", &["CONNACK 0 0x8c", "closed"]);
}

// Breaks if: `broker/sessions.rs` leaves the first connection open when another comes with its Client Identifier.
#[test]
fn the_second_connection_takes_over() {
    in_both(|pair, speak| {
        pair.open("me", &speak.connect("me"));
        pair.take_over("me", &speak.connect("me"));
        let end = if speak.is_5() {
            "closed: taken over"
        } else {
            "closed"
        };
        pair.saw("me'", &[end]);
        pair.saw("me", &["CONNACK 0 0x00"]);
    });
}

// Breaks if: `broker/sessions.rs` drops the subscriptions of a kept session at a takeover.
#[test]
fn a_takeover_keeps_the_session() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.lasting("sub"), &[("a", 2)]);
        pair.take_over("sub", &speak.lasting("sub"));
        pair.saw("sub", &["CONNACK 1 0x00"]);
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a", "m"), 2);
        pair.saw("sub", &["PUBLISH a q2 new \"m\""]);
        pair.take_over("sub", &speak.lasting("sub"));
        pair.saw("sub", &["CONNACK 1 0x00", "PUBLISH a q2 dup again \"m\""]);
        pair.answer("sub");
        pair.saw("sub", &["PUBREL of \"m\""]);
        pair.take_over("sub", &speak.lasting("sub"));
        pair.saw("sub", &["CONNACK 1 0x00", "PUBREL of \"m\""]);
        pair.answer("sub");
        pair.came("sub", 0);
    });
}

// Breaks if: `broker/sessions.rs` keeps the state of the session at a takeover with Clean Start 1.
#[test]
fn a_clean_takeover_forgets_the_session() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.lasting("sub"), &[("a", 1)]);
        pair.take_over("sub", &speak.connect("sub"));
        pair.saw("sub", &["CONNACK 0 0x00"]);
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a", "m"), 1);
        pair.came("sub", 0);
    });
}

// Breaks if: `broker/open.rs` reads on after DISCONNECT.
#[test]
fn nothing_counts_after_disconnect() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 0)]);
        speak.publisher(pair);
        let after = speak.publish("a", "after").bytes();
        pair.breach("pub", [&DISCONNECT[..], &after].concat());
        pair.came("sub", 0);
        pair.send("sub", speak.publish("a", "marker").bytes());
        pair.came("sub", 1);
    });
}
