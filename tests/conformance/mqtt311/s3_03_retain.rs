//! Section 3.3, PUBLISH: RETAIN.

use super::peer::{
    client, connect, expect_message, expect_none_retained, expect_retained, expect_sent, leave,
    persistent, publish, received, resume, retain, start, subscribe, subscriber,
};
use crate::bytes::puback;
use crate::received::expect_alive;

#[test]
// Breaks if: broker/publish.rs `retain` does nothing, or pubsub/retained.rs `set` forgets the QoS.
fn mqtt311_3_3_1_5_a_retained_message_is_stored_with_its_qos() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for qos in 0..3 {
        let topic = format!("state/{qos}");
        retain(&mut publisher, qos, &topic, "kept");
        // Sent at the QoS with which it was published, or what is granted.
        for granted in 0..3 {
            let mut late = subscriber(&broker, "late", &topic, granted);
            expect_retained(&mut late, qos.min(granted), &topic, "kept");
        }
    }
    // A newer one takes its place, whatever the QoS of either.
    for qos in [2, 1, 0, 2] {
        retain(&mut publisher, qos, "state/0", "newer");
        let mut late = subscriber(&broker, "late", "state/0", 2);
        expect_retained(&mut late, qos, "state/0", "newer");
        expect_none_retained(&mut publisher, &mut late, "state/0");
    }
}

#[test]
// Breaks if: pubsub/retained.rs `find` stops at the first match, or broker/subscribe.rs `note_feeds` none.
fn mqtt311_3_3_1_6_a_new_subscription_gets_the_last_retained_message_of_each_topic() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for topic in ["a/1", "a/2", "a/2/b", "b", "a"] {
        retain(&mut publisher, 1, topic, "old");
        retain(&mut publisher, 1, topic, topic);
    }
    let cases: [(&str, &[&str]); 6] = [
        ("a/1", &["a/1"]),
        ("a/+", &["a/1", "a/2"]),
        ("a/#", &["a", "a/1", "a/2", "a/2/b"]),
        ("+", &["a", "b"]),
        ("#", &["a", "a/1", "a/2", "a/2/b", "b"]),
        ("c/#", &[]),
    ];
    for (filter, expected) in cases {
        let mut late = subscriber(&broker, "late", filter, 0);
        let mut topics: Vec<_> = expected
            .iter()
            .map(|_| {
                let message = received(&mut late);
                assert!(message.retain && message.payload == message.topic.as_bytes());
                message.topic
            })
            .collect();
        topics.sort();
        assert_eq!(topics, expected, "{filter}");
        // No other.
        subscribe(&mut late, "marker", 0);
        expect_none_retained(&mut publisher, &mut late, "marker");
    }
}

#[test]
// Breaks if: pubsub/retained.rs `set` keeps the message of a topic when one of QoS 0 comes.
fn mqtt311_3_3_1_7_a_retained_message_of_qos_0_discards_the_former_one() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for former in 0..3 {
        retain(&mut publisher, former, "state", "former");
        retain(&mut publisher, 0, "state", "of QoS 0");
        // The specification allows to keep it or not; here it is kept. Never the former.
        let mut late = client(&broker, "late");
        publish(&mut publisher, 1, "elsewhere", "handled before");
        subscribe(&mut late, "state", 2);
        expect_retained(&mut late, 0, "state", "of QoS 0");
        expect_none_retained(&mut publisher, &mut late, "state");
    }
}

#[test]
// Breaks if: broker/delivery.rs `Feed::delivery` sets `retain: false`.
fn mqtt311_3_3_1_8_retain_is_1_when_sent_for_a_new_subscription() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    retain(&mut publisher, 1, "state", "kept");
    for qos in 0..2 {
        let mut late = subscriber(&broker, "late", "state", qos);
        let message = received(&mut late);
        assert!(message.retain, "{message:?}");
        assert!(!message.dup, "{message:?}");
        // The same if the subscription is made again, and with a wildcard.
        for filter in ["state", "#", "state"] {
            subscribe(&mut late, filter, 0);
            expect_retained(&mut late, 0, "state", "kept");
        }
    }
    // And when it is sent again because the connection broke.
    let mut away = connect(&broker, &persistent("away"));
    subscribe(&mut away, "state", 1);
    let id = received(&mut away).packet_id;
    drop(away);
    let mut away = resume(&broker, &persistent("away"));
    let again = received(&mut away);
    assert_eq!((again.packet_id, again.dup, again.retain), (id, true, true));
    away.send(&puback(id));
    expect_alive(&mut away);
}

#[test]
// Breaks if: broker/delivery.rs `deliver` passes `message.retain()` on without looking at the recipient.
fn mqtt311_3_3_1_9_retain_is_0_when_sent_to_an_established_subscription() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = subscriber(&broker, "subscriber", "state/#", 2);
    let mut away = connect(&broker, &persistent("away"));
    subscribe(&mut away, "state/#", 2);
    leave(away);
    for qos in 0..3 {
        let topic = format!("state/{qos}");
        retain(&mut publisher, qos, &topic, "live");
        expect_message(&mut subscriber, qos, &topic, "live");
    }
    // Having waited in the queue of an established subscription makes no difference.
    let mut away = resume(&broker, &persistent("away"));
    expect_sent(&mut away, 1, "state/1", "live");
    expect_sent(&mut away, 2, "state/2", "live");
    expect_alive(&mut away);
}

#[test]
// Breaks if: pubsub/retained.rs `set` does not `clear` for an empty payload, or broker/packets.rs does not route it.
fn mqtt311_3_3_1_10_an_empty_retained_message_removes_and_is_delivered() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut live = subscriber(&broker, "live", "state", 2);
    for qos in 0..3 {
        retain(&mut publisher, 1, "state", "kept");
        expect_message(&mut live, 1, "state", "kept");
        retain(&mut publisher, qos, "state", "");
        expect_message(&mut live, qos, "state", "");
        let mut late = subscriber(&broker, "late", "state", 2);
        expect_none_retained(&mut publisher, &mut late, "state");
        expect_message(&mut live, 0, "state", "marker, not retained");
    }
    // Only its own topic.
    retain(&mut publisher, 1, "state/1", "kept");
    retain(&mut publisher, 1, "state", "");
    retain(&mut publisher, 1, "state/", "");
    let mut late = subscriber(&broker, "late", "state/#", 1);
    expect_retained(&mut late, 1, "state/1", "kept");
    expect_none_retained(&mut publisher, &mut late, "state");
}

#[test]
// Breaks if: pubsub/retained.rs `set` keeps a message with an empty payload like any other.
fn mqtt311_3_3_1_11_an_empty_retained_message_is_not_stored() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for qos in 0..3 {
        // Where nothing was, and where something was.
        retain(&mut publisher, qos, "never", "");
        retain(&mut publisher, qos, "once", "kept");
        retain(&mut publisher, qos, "once", "");
        let mut late = subscriber(&broker, "late", "#", 2);
        expect_none_retained(&mut publisher, &mut late, "t");
    }
}

#[test]
// Breaks if: broker/publish.rs `retain` stores a message without looking at its flag.
fn mqtt311_3_3_1_12_a_message_without_retain_leaves_the_stored_one_alone() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    retain(&mut publisher, 1, "state", "kept");
    for (qos, payload) in [
        (0, "other"),
        (1, "other"),
        (2, "other"),
        (0, ""),
        (1, ""),
        (2, ""),
    ] {
        publish(&mut publisher, qos, "state", payload);
        publish(&mut publisher, qos, "nothing", payload);
        // An answered message, so that the one of QoS 0 has been handled too.
        publish(&mut publisher, 1, "elsewhere", "");
        let mut late = subscriber(&broker, "late", "#", 1);
        expect_retained(&mut late, 1, "state", "kept");
        expect_none_retained(&mut publisher, &mut late, "state");
    }
}
