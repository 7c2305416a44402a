//! Section 3.3, PUBLISH: its flags, its topic, and its answers. RETAIN has a file of its own.

use super::peer::{
    breach, client, connect, expect_message, expect_sent, no_breach, persistent, publish, received,
    resume, start, suback, subscribe, subscriber,
};
use crate::bytes::{
    DISCONNECT, Publish, packet, puback, pubcomp, pubrec, pubrel, string, subscribe_311,
};
use crate::received::expect_alive;
use crate::support::broker::Broker;

#[test]
// Breaks if: session/outbound.rs `resend` publishes with DUP `false`.
fn mqtt311_3_3_1_1_dup_is_1_when_a_message_is_sent_again() {
    let broker = start();
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 2);
    let mut publisher = client(&broker, "publisher");
    publish(&mut publisher, 1, "t", "one");
    publish(&mut publisher, 2, "t", "two");
    let one = expect_sent(&mut subscriber, 1, "t", "one");
    let two = expect_sent(&mut subscriber, 2, "t", "two");
    // As often as it happens.
    for _ in 0..3 {
        drop(subscriber);
        subscriber = resume(&broker, &persistent("subscriber"));
        subscriber.expect(&Publish::v311("t", "one").qos(1, one).dup().bytes());
        subscriber.expect(&Publish::v311("t", "two").qos(2, two).dup().bytes());
    }
    // What is sent for the first time has none, also when it comes after repetitions.
    publish(&mut publisher, 1, "t", "three");
    expect_sent(&mut subscriber, 1, "t", "three");
}

#[test]
// Breaks if: codec/header.rs `check_publish_flags` lets DUP pass with QoS 0, or codec/publish.rs `first_byte` sets it.
fn mqtt311_3_3_1_2_dup_is_0_with_qos_0() {
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 0);
    breach(&broker, &Publish::v311("t", "bad").dup().bytes());
    breach(&broker, &Publish::v311("t", "bad").dup().retain().bytes());
    // A repetition that is delivered at QoS 0 has none.
    let mut publisher = client(&broker, "publisher");
    publisher.send(&Publish::v311("t", "good").qos(1, 7).dup().bytes());
    publisher.expect(&puback(7));
    subscriber.expect(&Publish::v311("t", "good").bytes());
}

#[test]
// Breaks if: session/outbound.rs `send` publishes with DUP `true`.
fn mqtt311_3_3_1_3_dup_of_the_publisher_is_not_passed_on() {
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 2);
    let mut publisher = client(&broker, "publisher");
    publisher.send(&Publish::v311("t", "one").qos(1, 7).dup().bytes());
    publisher.expect(&puback(7));
    expect_sent(&mut subscriber, 1, "t", "one");
    publisher.send(&Publish::v311("t", "two").qos(2, 8).dup().bytes());
    publisher.expect(&pubrec(8));
    // Nor is a repetition within an exchange passed on at all.
    publisher.send(&Publish::v311("t", "two").qos(2, 8).dup().bytes());
    publisher.expect(&pubrec(8));
    publisher.send(&pubrel(8));
    publisher.expect(&pubcomp(8));
    expect_sent(&mut subscriber, 2, "t", "two");
    publish(&mut publisher, 2, "t", "three");
    expect_sent(&mut subscriber, 2, "t", "three");
}

#[test]
// Breaks if: codec/header.rs `check_publish_flags` takes QoS bits 11 for any QoS (`unwrap_or_default`).
fn mqtt311_3_3_1_4_qos_3_closes_the_connection() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 2);
    for other in [0, 0x01, 0x08, 0x09] {
        let body = [&string("t")[..], &[0, 7], b"bad"].concat();
        breach(&broker, &packet(0x36 | other, &body));
    }
    publish(&mut client(&broker, "publisher"), 2, "t", "good");
    expect_sent(&mut witness, 2, "t", "good");
}

#[test]
// Breaks if: codec/publish.rs `decode` reads the id before the topic, or the topic with loss.
fn mqtt311_3_3_2_1_the_topic_name_is_the_first_field_and_valid() {
    let broker = start();
    // None, half a length, more length than text, no text.
    for body in [&b""[..], b"\x00", b"\x00\x02t", b"\x00\x01", b"\xff\xfft"] {
        for first in [0x30, 0x31, 0x32, 0x34] {
            breach(&broker, &packet(first, body));
        }
    }
    for topic in [&b"\xff"[..], b"t\xc3", b"\xed\xa0\x80", b"t\0"] {
        breach(&broker, &Publish::v311(topic, "bad").bytes());
        breach(&broker, &Publish::v311(topic, "bad").qos(1, 7).bytes());
    }
    // First the topic, then the id: the other way around these would be something else.
    let mut subscriber = subscriber(&broker, "subscriber", "\u{1}\u{2}", 1);
    let mut publisher = client(&broker, "publisher");
    publisher.send(b"\x32\x08\x00\x02\x01\x02\x00\x01hi");
    publisher.expect(&puback(1));
    expect_sent(&mut subscriber, 1, "\u{1}\u{2}", "hi");
}

#[test]
// Breaks if: codec/publish.rs `decode` does not call `name::check`.
fn mqtt311_3_3_2_2_a_topic_name_with_a_wildcard_closes_the_connection() {
    let broker = start();
    for topic in [
        "#", "+", "a/#", "a/+", "+/a", "a/+/b", "a#", "a+b", "#a", "/+",
    ] {
        for qos in 0..3 {
            breach(&broker, &Publish::v311(topic, "bad").qos(qos, 7).bytes());
        }
    }
    no_breach(&broker, &Publish::v311("a/*/b", "good").bytes());
}

/// Whoever has a filter gets the message of a topic that matches it, under the name by which it was published, and
/// no other.
#[test]
// Breaks if: topic/trie/mod.rs `leave` visits `#` only when there is a level left, or takes `+` for several.
fn mqtt311_3_3_2_3_the_topic_of_a_delivery_matches_the_filter() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let topics = [
        "a", "a/b", "a/b/c", "/a", "a/", "/", "//", "a//b", "b/a", "a/c/b",
    ];
    let cases: [(&str, &[&str]); 12] = [
        ("a", &["a"]),
        ("a/b", &["a/b"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/", "a//b", "a/c/b"]),
        ("a/+", &["a/b", "a/"]),
        ("+", &["a"]),
        ("+/+", &["a/b", "/a", "a/", "/", "b/a"]),
        ("/+", &["/a", "/"]),
        ("/#", &["/a", "/", "//"]),
        ("a/+/b", &["a//b", "a/c/b"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("//", &["//"]),
        ("#", &topics),
    ];
    // Somebody has all of them at once: no filter is alone in the broker.
    let mut crowd = client(&broker, "crowd");
    for (filter, _) in cases {
        subscribe(&mut crowd, filter, 0);
    }
    for (filter, matching) in cases {
        let mut subscriber = subscriber(&broker, "subscriber", filter, 0);
        subscribe(&mut subscriber, "marker", 0);
        for topic in topics {
            publish(&mut publisher, 0, topic, topic);
        }
        publish(&mut publisher, 0, "marker", "end");
        for topic in matching {
            expect_message(&mut subscriber, 0, topic, topic);
        }
        expect_message(&mut subscriber, 0, "marker", "end");
        super::peer::leave(subscriber);
    }
}

#[test]
// Breaks if: session/inbound.rs `publish` puts a PUBACK into the line for QoS 2, or nothing for QoS 1.
fn mqtt311_3_3_4_1_the_answer_depends_on_the_qos() {
    let broker = start();
    for topic in ["heard", "unheard"] {
        let _subscriber = subscriber(&broker, "subscriber", "heard", 2);
        let mut publisher = client(&broker, "publisher");
        // Nothing, PUBACK, PUBREC: that nothing comes for the first shows in what comes next.
        publisher.send(&Publish::v311(topic, "0").bytes());
        publisher.send(&Publish::v311(topic, "1").qos(1, 11).bytes());
        publisher.expect(&puback(11));
        publisher.send(&Publish::v311(topic, "2").qos(2, 12).bytes());
        publisher.expect(&pubrec(12));
        publisher.send(&Publish::v311(topic, "0").retain().bytes());
        publisher.send(&pubrel(12));
        publisher.expect(&pubcomp(12));
        expect_alive(&mut publisher);
    }
}

/// However many subscriptions of a client match, it gets the message with the highest QoS that they grant, and no
/// higher than it was published with. (That it comes once is this broker's choice; the specification leaves it
/// open.)
#[test]
// Breaks if: pubsub/subscriptions.rs `merge` takes the QoS of the first match, or the lowest (`min`).
fn mqtt311_3_3_5_1_overlapping_subscriptions_get_the_highest_qos() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let filters = ["a/b", "a/+", "a/#", "+/b", "#"];
    for highest in 0..3 {
        for at in 0..filters.len() {
            let granted = |index| if index == at { highest } else { 0 };
            let all: Vec<_> = filters
                .iter()
                .enumerate()
                .map(|(index, filter)| (*filter, granted(index)))
                .collect();
            let mut subscriber = client(&broker, "subscriber");
            subscriber.send(&subscribe_311(1, &all));
            let codes: Vec<_> = all.iter().map(|(_, qos)| *qos).collect();
            subscriber.expect(&suback(1, &codes));
            for published in 0..3 {
                publish(&mut publisher, published, "a/b", "once");
                let qos = published.min(highest);
                expect_message(&mut subscriber, qos, "a/b", "once");
            }
            publish(&mut publisher, 0, "x", "marker");
            let qos = 0;
            expect_message(&mut subscriber, qos, "x", "marker");
        }
    }
}

/// `$SYS` is the broker's own: nobody else's message gets there, and who tries is not left without an answer.
#[test]
// Breaks if: broker/packets.rs `publish` returns without settling the token of a refused message, or
// `refuse_publish` allows `$SYS`.
fn mqtt311_3_3_5_2_a_publish_that_is_not_allowed_is_answered_all_the_same() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = 0\n");
    let mut witness = subscriber(&broker, "witness", "$SYS/forged/#", 2);
    let mut publisher = client(&broker, "publisher");
    let forged = |qos, id| Publish::v311("$SYS/forged", "bad").qos(qos, id).bytes();
    publisher.send(&forged(0, 0));
    publisher.send(&forged(1, 7));
    publisher.expect(&puback(7));
    publisher.send(&forged(2, 8));
    publisher.expect(&pubrec(8));
    publisher.send(&pubrel(8));
    publisher.expect(&pubcomp(8));
    let retained = Publish::v311("$SYS/forged", "bad").qos(1, 9).retain();
    publisher.send(&retained.bytes());
    publisher.expect(&puback(9));
    // The connection goes on, and nobody has got anything.
    subscribe(&mut witness, "$SYS/forged/#", 2);
    subscribe(&mut witness, "t", 2);
    publish(&mut publisher, 2, "t", "good");
    let marker = received(&mut witness);
    assert_eq!(marker.topic, "t");
    publisher.send(&DISCONNECT);
    publisher.expect_closed();
}
