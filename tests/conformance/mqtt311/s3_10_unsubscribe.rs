//! Section 3.10: UNSUBSCRIBE.

use super::peer::{
    breach, client, connect, expect_message, expect_sent, no_breach, persistent, publish, resume,
    start, subscribe, subscriber, unsuback, unsubscribe,
};
use crate::bytes::{
    Publish, packet, puback, pubcomp, pubrec, pubrel, string, subscribe_311, unsubscribe_311,
};
use crate::received::expect_alive;

#[test]
// Breaks if: codec/header.rs `check_flags` lets any flags pass.
fn mqtt311_3_10_1_1_unsubscribe_has_the_flags_0010() {
    let broker = start();
    let good = unsubscribe_311(7, &["t"]);
    no_breach(&broker, &good);
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let mut bad = good.clone();
        bad[0] = 0xa0 | flags;
        breach(&broker, &bad);
    }
}

#[test]
// Breaks if: codec/filters.rs `UnsubscribeFilters::read` reads the filters as `binary`.
fn mqtt311_3_10_3_1_a_topic_filter_is_a_valid_string() {
    let broker = start();
    for filter in [
        &b"\xff"[..],
        b"t\xc3",
        b"\xed\xa0\x80",
        b"t\0",
        b"\xc0\x80/#",
    ] {
        breach(
            &broker,
            &packet(0xa2, &[&[0, 7], &string(filter)[..]].concat()),
        );
        let among = [&[0, 7], &string("a")[..], &string(filter), &string("b")].concat();
        breach(&broker, &packet(0xa2, &among));
    }
    // Packed contiguously: no byte may be missing or left over.
    for body in [
        &b"\0\x07\0"[..],
        b"\0\x07\0\x02t",
        b"\0\x07\0\x01t\0",
        b"\0\x07\0\x01t\x01",
    ] {
        breach(&broker, &packet(0xa2, body));
    }
    no_breach(&broker, &unsubscribe_311(7, &["bl\u{e5}/\u{1f4ee}/#", "+"]));
}

#[test]
// Breaks if: codec/filters.rs `check_count` accepts 0.
fn mqtt311_3_10_3_2_an_unsubscribe_without_a_filter_closes_the_connection() {
    let broker = start();
    breach(&broker, &packet(0xa2, &[0, 7]));
    breach(&broker, &packet(0xa2, &[]));
    breach(&broker, &packet(0xa2, &[0]));
    no_breach(&broker, &unsubscribe_311(7, &["t"]));
}

/// Character by character: a filter that matches more, or the same, is another filter.
#[test]
// Breaks if: session/subscriptions.rs `remove` finds by what the filter matches, or without regard to case.
fn mqtt311_3_10_4_1_filters_are_compared_character_by_character() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = subscriber(&broker, "subscriber", "a/b", 0);
    let others = [
        "#",
        "a/#",
        "a/+",
        "+/b",
        "+/+",
        "a/b/#",
        "A/b",
        "a/B",
        "a/b/",
        "/a/b",
        "a//b",
        "a",
        "a/b ",
        "a/b\u{301}",
        "$share/g/a/b",
    ];
    for other in others {
        unsubscribe(&mut subscriber, other);
        publish(&mut publisher, 0, "a/b", other);
        expect_message(&mut subscriber, 0, "a/b", other);
    }
    // The same the other way around: a filter with wildcards is not removed by a topic that it matches.
    unsubscribe(&mut subscriber, "a/b");
    subscribe(&mut subscriber, "a/+", 0);
    unsubscribe(&mut subscriber, "a/b");
    unsubscribe(&mut subscriber, "a/#");
    publish(&mut publisher, 0, "a/b", "still there");
    expect_message(&mut subscriber, 0, "a/b", "still there");
    unsubscribe(&mut subscriber, "a/+");
    publish(&mut publisher, 0, "a/b", "gone");
    subscribe(&mut subscriber, "marker", 0);
    publish(&mut publisher, 0, "marker", "marker");
    expect_message(&mut subscriber, 0, "marker", "marker");
}

#[test]
// Breaks if: broker/subscribe.rs `forget` does not take the filter out of `subscriptions`, or forgets to call
// `generations.changed`.
fn mqtt311_3_10_4_2_no_new_messages_after_unsubscribe() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = subscriber(&broker, "subscriber", "marker", 1);
    for filter in ["t", "+", "t/#", "#"] {
        for qos in 0..3 {
            subscribe(&mut subscriber, filter, qos);
            // The publisher has been there before: it may remember where "t" goes.
            publish(&mut publisher, qos, "t", "wanted");
            expect_message(&mut subscriber, qos, "t", "wanted");
            unsubscribe(&mut subscriber, filter);
            publish(&mut publisher, qos, "t", "not wanted any more");
            publish(&mut publisher, qos, "marker", "marker");
            expect_message(&mut subscriber, qos.min(1), "marker", "marker");
        }
    }
}

#[test]
// Breaks if: broker/subscribe.rs `forget` clears the window (`outbound.end()`).
fn mqtt311_3_10_4_3_what_was_begun_is_finished_after_unsubscribe() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 2);
    for (qos, payload) in [(1, "one"), (2, "two"), (2, "three")] {
        publish(&mut publisher, qos, "t", payload);
    }
    let one = expect_sent(&mut subscriber, 1, "t", "one");
    let two = expect_sent(&mut subscriber, 2, "t", "two");
    let three = expect_sent(&mut subscriber, 2, "t", "three");
    subscriber.send(&pubrec(two));
    subscriber.expect(&pubrel(two));
    unsubscribe(&mut subscriber, "t");
    // Goes on where it was...
    subscriber.send(&pubrec(three));
    subscriber.expect(&pubrel(three));
    drop(subscriber);
    // ...also on another connection: the first is sent again, of the others the PUBREL.
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    let mut again = [(); 3].map(|()| subscriber.packet());
    again.sort();
    let one_again = Publish::v311("t", "one").qos(1, one).dup().bytes();
    assert_eq!(again, [one_again, pubrel(two), pubrel(three)]);
    subscriber.send(&[puback(one), pubcomp(two), pubcomp(three)].concat());
    expect_alive(&mut subscriber);
    drop(subscriber);
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    expect_alive(&mut subscriber);
}

#[test]
// Breaks if: broker/packets.rs `unsubscribe` puts no UNSUBACK into the line, or one with another id.
fn mqtt311_3_10_4_4_unsubscribe_is_answered_with_an_unsuback_of_its_identifier() {
    let broker = start();
    let mut client = client(&broker, "client");
    for (id, bytes) in [(1_u16, [0, 1]), (0x0102, [1, 2]), (0xffff, [0xff; 2])] {
        subscribe(&mut client, "t", 1);
        client.send(&unsubscribe_311(id, &["t"]));
        // Four bytes: there are no return codes in it.
        client.expect(&[0xb0, 2, bytes[0], bytes[1]]);
        expect_alive(&mut client);
    }
}

#[test]
// Breaks if: broker/packets.rs `unsubscribe` answers only if a code says success.
fn mqtt311_3_10_4_5_unsuback_comes_even_if_nothing_was_removed() {
    let broker = start();
    let mut client = client(&broker, "client");
    for filter in ["never", "never/#", "+", "$share/g/never", "$SYS/#"] {
        client.send(&unsubscribe_311(7, &[filter]));
        client.expect(&unsuback(7));
    }
    subscribe(&mut client, "t", 0);
    // Twice: the second finds nothing.
    client.send(&unsubscribe_311(8, &["t"]).repeat(2));
    client.expect(&unsuback(8));
    client.expect(&unsuback(8));
}

#[test]
// Breaks if: broker/subscribe.rs `unsubscribe` handles the first filter alone.
fn mqtt311_3_10_4_6_many_filters_get_one_unsuback() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = client(&broker, "subscriber");
    subscriber.send(&subscribe_311(
        1,
        &[("a", 0), ("b/+", 0), ("c/#", 0), ("stays", 0)],
    ));
    subscriber.packet();
    subscriber.send(&unsubscribe_311(7, &["a", "never", "b/+", "c/#", "a"]));
    subscriber.expect(&unsuback(7));
    expect_alive(&mut subscriber);
    for topic in ["a", "b/1", "c", "c/1/2", "stays"] {
        publish(&mut publisher, 0, topic, topic);
    }
    expect_message(&mut subscriber, 0, "stays", "stays");
}
