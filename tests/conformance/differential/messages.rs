//! Publishing and subscribing while everybody is there.

use super::dialect::{Dialect, in_both};
use super::pair::Pair;
use crate::bytes::{Connect, puback, pubcomp, pubrel};

// Breaks if: `deliver` of `broker/delivery.rs` takes the publisher's QoS instead of the lower of both.
#[test]
fn every_qos_meets_every_qos() {
    in_both(|pair, speak| {
        speak.publisher(pair);
        for granted in 0..3 {
            pair.open("sub", &speak.connect("sub"));
            pair.send("sub", speak.subscribe(&[("a", granted)]));
            for sent in 0..3 {
                speak.tell(
                    pair,
                    &speak.publish("a", format!("{sent} to {granted}")),
                    sent,
                );
                pair.came("sub", 1);
                pair.answer("sub");
                pair.answer("sub");
                assert!(!pair.owes("sub"));
            }
            pair.leave("sub");
        }
    });
}

// Breaks if: `session/inbound.rs` routes a repeated PUBLISH of QoS 2 again.
#[test]
fn a_repeated_qos_2_message_is_delivered_once() {
    let mut pair = Pair::start();
    let speak = Dialect::V311;
    speak.subscriber(&mut pair, &speak.connect("sub"), &[("a", 0)]);
    speak.publisher(&mut pair);
    let publish = speak.publish("a", "once").qos(2, 5);
    pair.together("pub repeats", |side| {
        side.send("pub", &publish.bytes());
        side.send("pub", &publish.clone().dup().bytes());
        side.send("pub", &pubrel(5));
    });
    pair.saw("sub", &["PUBLISH a q0 \"once\""]);
    pair.came("pub", 3);
    pair.send("pub", pubrel(5));
    pair.came("pub", 1);
}

// Breaks if: `broker/publish.rs` passes on the DUP flag of the publisher.
#[test]
fn dup_is_not_passed_on() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 1)]);
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a", "m").dup(), 1);
        pair.saw("sub", &["PUBLISH a q1 new \"m\""]);
    });
}

// Breaks if: `topic/trie/walk.rs` lets `+` match no level or two, or `#` not its parent.
#[test]
fn filters_match_as_they_should() {
    in_both(|pair, speak| {
        speak.publisher(pair);
        let topics = [
            "a", "a/b", "a/b/c", "a/", "/a", "/", "a//c", "A", "$x", "$x/a", " ",
        ];
        let filters = [
            "a", "#", "+", "a/#", "a/+", "+/+", "/+", "+/", "a/+/c", "/#", "$x/#", "$x/+", "+/a",
            "+/#", "a//c", "+/b/#",
        ];
        let mut all = 0;
        for filter in filters {
            speak.subscriber(pair, &speak.connect("sub"), &[(filter, 0)]);
            let each = topics
                .iter()
                .map(|topic| speak.publish(topic, *topic).bytes());
            pair.send("pub", each.collect::<Vec<_>>().concat());
            all += pair.count("sub");
            pair.leave("sub");
        }
        assert_eq!(all, 48, "deliveries");
    });
}

// Breaks if: `topic/name.rs` strips U+FEFF.
#[test]
fn names_are_taken_as_they_are() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("\u{feff}a/#", 0)]);
        speak.publisher(pair);
        for topic in ["\u{feff}a", "a", "\u{feff}a/\u{1f600}", "\u{feff}a/ b "] {
            pair.send("pub", speak.publish(topic, "m").bytes());
        }
        pair.came("sub", 1);
    });
}

// Breaks if: `merge` of `pubsub/subscriptions.rs` takes the lowest QoS.
#[test]
fn overlapping_filters_give_the_highest_qos() {
    in_both(|pair, speak| {
        let filters = [("a/#", 0), ("a/+", 2), ("a/b", 1)];
        speak.subscriber(pair, &speak.connect("sub"), &filters);
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a/b", "all three"), 2);
        pair.saw("sub", &["PUBLISH a/b q2 new \"all three\""]);
        speak.tell(pair, &speak.publish("a/b/c", "one"), 2);
        pair.saw("sub", &["PUBLISH a/b/c q0 \"one\""]);
        pair.answer("sub");
        pair.answer("sub");
        assert!(!pair.owes("sub"));
    });
}

// Breaks if: `insert` of `pubsub/subscriptions.rs` keeps the old QoS of a subscription that is made again.
#[test]
fn a_subscription_is_replaced_by_the_same_filter() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a/+", 2)]);
        pair.send("sub", speak.subscribe(&[("a/+", 0)]));
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a/b", "m"), 2);
        pair.saw("sub", &["PUBLISH a/b q0 \"m\""]);
    });
}

// Breaks if: `broker/subscribe.rs` answers with one code for all Topic Filters, or in another order.
#[test]
fn suback_has_a_code_for_each_filter() {
    in_both(|pair, speak| {
        pair.open("sub", &speak.connect("sub"));
        let filters = [("a", 2), ("b/#", 0), ("+/c", 1), ("a", 0)];
        pair.send("sub", speak.subscribe(&filters));
        pair.came("sub", 1);
        pair.send("sub", speak.publish("a", "m").qos(1, 9).bytes());
        pair.came("sub", 2);
    });
}

// Breaks if: `unsubscribe` of `broker/subscribe.rs` answers 0x00 for each Topic Filter, or removes more than its own.
#[test]
fn unsubscribe_takes_the_very_filter() {
    in_both(|pair, speak| {
        let filters = [("a/b", 0), ("a/+", 0), ("c", 0)];
        speak.subscriber(pair, &speak.connect("sub"), &filters);
        speak.publisher(pair);
        pair.send("sub", speak.unsubscribe(&["a/+", "a/#", "d"]));
        pair.came("sub", 1);
        pair.send("pub", speak.publish("a/x", "gone").bytes());
        pair.came("sub", 0);
        pair.send("pub", speak.publish("a/b", "still").bytes());
        pair.came("sub", 1);
        pair.send("sub", speak.unsubscribe(&["a/b", "c"]));
        pair.send("pub", speak.publish("a/b", "gone").bytes());
        pair.came("sub", 0);
    });
}

// Breaks if: `broker/delivery.rs` sends what is retained without the flag, or `pubsub/retained.rs` keeps an empty message.
#[test]
fn retained_messages_are_kept_replaced_and_cleared() {
    in_both(|pair, speak| {
        speak.publisher(pair);
        for (topic, payload) in [
            ("a/b", "1"),
            ("a/b", "2"),
            ("a/c", "3"),
            ("d", "4"),
            ("e", "5"),
        ] {
            speak.tell(pair, &speak.publish(topic, payload).retain(), 1);
        }
        speak.tell(pair, &speak.publish("e", "").retain(), 1);
        speak.tell(pair, &speak.publish("d", "not kept"), 1);
        pair.open("sub", &speak.connect("sub"));
        pair.send("sub", speak.subscribe(&[("a/+", 1), ("d", 0), ("e", 2)]));
        pair.saw(
            "sub",
            &[
                "PUBLISH a/b q1 retain new \"2\"",
                "PUBLISH a/c q1 retain new \"3\"",
                "PUBLISH d q0 retain \"4\"",
                if speak.is_5() {
                    "SUBACK 1 [01, 00, 02]"
                } else {
                    "SUBACK [00, 01, 01, 00, 02]"
                },
            ],
        );
        pair.answer("sub");
        speak.tell(pair, &speak.publish("a/b", "live").retain(), 1);
        pair.saw("sub", &["PUBLISH a/b q1 new \"live\""]);
        speak.tell(pair, &speak.publish("a/b", "").retain(), 1);
        pair.saw("sub", &["PUBLISH a/b q1 new \"\""]);
        pair.answer("sub");
    });
}

// Breaks if: `wants_retained` of `broker/subscribe.rs` sends only for new subscriptions.
#[test]
fn retained_messages_come_again_with_a_repeated_subscription() {
    in_both(|pair, speak| {
        speak.publisher(pair);
        speak.tell(pair, &speak.publish("a", "kept").retain(), 2);
        pair.open("sub", &speak.connect("sub"));
        for qos in [0, 1, 2] {
            pair.send("sub", speak.subscribe(&[("a", qos)]));
            pair.came("sub", 2);
        }
        pair.answer("sub");
        pair.answer("sub");
        assert!(!pair.owes("sub"));
    });
}

// Breaks if: `session/outbound.rs` lets QoS 1 messages overtake each other.
#[test]
fn many_messages_keep_their_order() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 1)]);
        speak.publisher(pair);
        let each = (1..=18).map(|number| speak.publish("a", format!("{number}")).qos(1, number));
        let all: Vec<_> = each.map(|publish| publish.bytes()).collect();
        pair.send("pub", all.concat());
        pair.came("pub", 18);
        pair.came("sub", 18);
        pair.answer("sub");
    });
}

// Breaks if: `codec/publish_frame.rs` loses the end of a large payload.
#[test]
fn payloads_of_all_sizes_arrive() {
    in_both(|pair, speak| {
        speak.subscriber(pair, &speak.connect("sub"), &[("a", 2)]);
        speak.publisher(pair);
        for (qos, length) in [(0, 0), (1, 0), (0, 127), (1, 128), (2, 16_384), (1, 70_000)] {
            let payload: Vec<_> = (0..length).map(|index| index as u8).collect();
            speak.tell(pair, &speak.publish("a", payload), qos);
            pair.came("sub", 1);
            pair.answer("sub");
        }
    });
}

// Breaks if: `puback` of `session/window.rs` takes an unknown Packet Identifier for an error.
#[test]
fn acknowledgements_of_nothing_are_ignored() {
    let mut pair = Pair::start();
    pair.open("me", &Connect::v311("me"));
    pair.send("me", [puback(77), pubcomp(78)].concat());
    pair.came("me", 0);
    pair.send("me", pubrel(79));
    pair.saw("me", &["PUBCOMP [00, 4f]"]);
}

// Breaks if: `codec/forwarded.rs` writes properties to a client of 3.1.1.
#[test]
fn the_versions_hear_each_other() {
    let mut pair = Pair::start();
    for (client, speak) in [("old", Dialect::V311), ("new", Dialect::V5)] {
        pair.open(client, &speak.connect(client));
        pair.send(client, speak.subscribe(&[("a", 2)]));
        pair.came(client, 1);
    }
    for (client, speak) in [("old", Dialect::V311), ("new", Dialect::V5)] {
        for qos in [0, 1] {
            let publish = speak.publish("a", format!("{qos} of {client}")).qos(qos, 9);
            pair.send(client, publish.bytes());
            pair.answer("old");
            pair.answer("new");
        }
    }
    pair.send(
        "new",
        Dialect::V5.publish("a", "end").property(vec![1, 1]).bytes(),
    );
    pair.saw("old", &["PUBLISH a q0 \"end\""]);
    pair.saw("new", &["PUBLISH a q0 0x01:[01] \"end\""]);
}
