//! What does not fit: into the client's packets, its aliases, its queue, its wire.

use std::num::NonZeroU32;

use super::fixture::{Bench, Published, decode_whole, delivery};
use super::*;
use crate::queue::options::{Options as QueueOptions, Overflow};

const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

fn bounded(messages: usize, overflow: Overflow) -> QueueOptions {
    QueueOptions {
        messages,
        overflow,
        ..QueueOptions::default()
    }
}

/// An MQTT 5 bench whose client takes packets of at most `size` bytes and `aliases` aliases.
fn limited(size: u32, aliases: u16) -> Bench {
    let mut bench = Bench::away();
    limit(&mut bench, size, aliases);
    assert_eq!(bench.taken(), ["connack"]);
    bench
}

fn limit(bench: &mut Bench, size: u32, aliases: u16) {
    bench.connect_with(Version::V5, |properties| {
        properties.maximum_packet_size = NonZeroU32::new(size);
        properties.topic_alias_maximum = aliases;
    });
}

// ---- maximum packet size

// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn a_message_too_large_is_dropped_and_the_next_ones_flow() {
    // Two bytes of fixed header, a topic of 3, an id of 2, properties of 1, and the payload.
    for (qos, head) in [(QOS0, 6), (QOS1, 8), (QOS2, 8)] {
        let mut bench = limited(20, 0);
        let fits = "x".repeat(20 - head);
        assert!(bench.deliver(qos, &fits));
        assert!(!bench.deliver(qos, &format!("{fits}x")));
        assert!(bench.deliver(qos, "next"));
        let payloads: Vec<_> = bench.published().into_iter().map(|it| it.payload).collect();
        assert_eq!(payloads, [fits, "next".to_owned()]);
        assert_eq!(bench.dropped(DropReason::PacketTooLarge), 1);
        assert_eq!(bench.side.in_flight(), if qos == QOS0 { 0 } else { 2 });
    }
}

#[test]
fn a_message_too_large_that_waited_holds_nothing_up() {
    let mut bench = Bench::away();
    for payload in ["a", &"x".repeat(100), "b"] {
        bench.deliver(QOS1, payload);
    }
    limit(&mut bench, 50, 0);
    assert_eq!(bench.taken(), ["connack", "qos1 #1 a", "qos1 #2 b"]);
    assert_eq!(bench.dropped(DropReason::PacketTooLarge), 1);
    assert_eq!(bench.side.queued(), 0);
}

/// The client may come back with less room than it had when the message was first sent. A QoS 2
/// message may be held by the client, so its id is freed as after PUBREC.
#[test]
fn what_became_too_large_to_be_sent_again_is_given_up() {
    let mut bench = Bench::connected(10);
    let large = "x".repeat(100);
    for (qos, payload) in [(QOS1, &*large), (QOS1, "a"), (QOS2, &large), (QOS2, "b")] {
        bench.deliver(qos, payload);
    }
    bench.taken();
    assert_eq!(bench.disconnect(), []);
    limit(&mut bench, 50, 0);
    assert_eq!(
        bench.taken(),
        ["connack", "qos1 #2 a dup", "pubrel #3", "qos2 #4 b dup"]
    );
    assert_eq!(bench.dropped(DropReason::PacketTooLarge), 2);
    assert_eq!(bench.puback(1), Acked::Unknown);
    assert_eq!(bench.pubcomp(3), Acked::Done);
    assert_eq!(bench.side.in_flight(), 2);
}

#[test]
fn a_new_alias_is_left_out_where_only_the_name_fits() {
    // A fixed header of 2 bytes, a topic of 12, an id of 2, properties of 1, and an alias of 3.
    let mut bench = limited(20, 5);
    bench.give(delivery(QOS1, "0123456789", "123", None), None);
    assert_eq!(bench.published()[0].alias, None);
    assert_eq!(bench.dropped(DropReason::PacketTooLarge), 0);
    bench.give(delivery(QOS1, "0123456789", "", None), None);
    assert_eq!(bench.published()[0].alias, Some(1));
    // By its alias alone, a message may be longer than by its name.
    bench.give(delivery(QOS1, "0123456789", "123456789", None), None);
    assert_eq!(bench.published()[0].topic, "");
    bench.give(delivery(QOS1, "9876543210", "123456789", None), None);
    assert_eq!(bench.dropped(DropReason::PacketTooLarge), 1);
}

// ---- aliases

fn names(published: &[Published]) -> Vec<(&str, Option<u16>)> {
    published
        .iter()
        .map(|publish| (&*publish.topic, publish.alias))
        .collect()
}

// [MQTT5-3.1.2-26] [MQTT5-3.3.2-11]
#[test]
fn a_topic_is_named_with_its_alias_and_then_by_it() {
    let mut bench = limited(u32::MAX, 2);
    for topic in ["first", "first", "second", "third", "second", "t", "third"] {
        bench.give(delivery(QOS0, topic, "m", None), None);
    }
    let expected = [
        ("first", Some(1)),
        ("", Some(1)),
        ("second", Some(2)),
        ("third", None),
        ("", Some(2)),
        ("t", None),
        ("third", None),
    ];
    assert_eq!(names(&bench.published()), expected);
}

// [MQTT5-3.1.2-27]
#[test]
fn no_alias_is_given_to_a_client_that_takes_none() {
    for version in [Version::V311, Version::V5] {
        let mut bench = Bench::away();
        bench.connect_with(version, |_| {});
        bench.give(delivery(QOS1, "topic", "m", None), None);
        bench.give(delivery(QOS1, "topic", "m", None), None);
        assert_eq!(names(&bench.published()), [("topic", None); 2]);
    }
}

#[test]
fn an_alias_is_given_only_by_what_is_committed() {
    let mut bench = limited(30, 5);
    bench.give(delivery(QOS0, "topic", &"x".repeat(30), None), None);
    let expired = Some(bench.now.as_millis());
    bench.give(delivery(QOS0, "topic", "late", expired), None);
    bench.give(delivery(QOS0, "other", "m", None), None);
    bench.give(delivery(QOS0, "topic", "m", None), None);
    bench.give(delivery(QOS0, "topic", "m", None), None);
    let expected = [("other", Some(1)), ("topic", Some(2)), ("", Some(2))];
    assert_eq!(names(&bench.published()), expected);
}

/// An alias that is given when a message is put into a queue may come before the one that
/// introduces it.
#[test]
fn messages_that_wait_are_named_when_they_leave() {
    let mut bench = limited(u32::MAX, 5);
    bench.options.unsent_maximum = 1;
    bench.give(delivery(QOS1, "topic", "a", None), None);
    bench.give(delivery(QOS1, "topic", "b", None), None);
    bench.give(delivery(QOS0, "topic", "c", None), None);
    let mut published = Vec::new();
    for _ in 0..3 {
        published.append(&mut bench.published());
        bench.draw();
    }
    assert_eq!(
        names(&published),
        [("topic", Some(1)), ("", Some(1)), ("", Some(1))]
    );
}

// [MQTT5-3.3.2-7]
#[test]
fn aliases_end_with_their_connection() {
    let mut bench = limited(u32::MAX, 5);
    bench.give(delivery(QOS1, "topic", "a", None), None);
    bench.give(delivery(QOS1, "topic", "b", None), None);
    bench.taken();
    assert_eq!(bench.disconnect(), []);
    limit(&mut bench, u32::MAX, 5);
    assert_eq!(
        names(&bench.published()),
        [("topic", Some(1)), ("", Some(1))]
    );
}

// ---- queues

// [MQTT5-4.5.0-1] [MQTT311-3.1.2-5]
#[test]
fn qos1_and_2_wait_for_the_client_and_qos0_does_not() {
    let mut bench = Bench::away();
    for (qos, payload) in [(QOS0, "a"), (QOS1, "b"), (QOS2, "c"), (QOS1, "d")] {
        assert!(!bench.takes_now(qos));
        assert!(!bench.deliver(qos, payload));
    }
    assert_eq!(bench.dropped(DropReason::Away), 1);
    assert_eq!((bench.side.queued(), bench.side.in_flight()), (3, 0));
    bench.connect(10);
    assert_eq!(
        bench.taken(),
        ["connack", "qos1 #1 b", "qos2 #2 c", "qos1 #3 d"]
    );
}

// [MQTT5-4.6.0-5] [MQTT5-4.9.0-3]
#[test]
fn qos0_queued_for_an_absence_comes_in_order_and_past_the_quota() {
    let mut bench = Bench::away();
    bench.options.queue_qos0_offline = true;
    bench.options.unsent_maximum = 20;
    for (qos, payload) in [
        (QOS1, "a"),
        (QOS1, "b"),
        (QOS0, "c"),
        (QOS0, "d"),
        (QOS0, "e"),
    ] {
        bench.deliver(qos, payload);
    }
    bench.connect(1);
    assert_eq!(bench.dropped(DropReason::Away), 0);
    bench.deliver(QOS0, "f");
    let mut taken = bench.taken();
    while bench.draw() {
        taken.append(&mut bench.taken());
    }
    let qos0: Vec<_> = taken.iter().filter(|it| it.starts_with("qos0")).collect();
    assert_eq!(qos0, ["qos0 c", "qos0 d", "qos0 e", "qos0 f"]);
    assert_eq!(bench.side.queued(), 1, "b waits for quota");
}

#[test]
fn the_queue_keeps_its_bound_and_counts_what_it_drops() {
    for (overflow, kept) in [
        (Overflow::DropNewest, ["qos1 #1 1", "qos1 #2 2"]),
        (Overflow::DropOldest, ["qos1 #1 4", "qos1 #2 5"]),
    ] {
        let mut bench = Bench::away();
        bench.options.queue = bounded(2, overflow);
        for payload in ["1", "2", "3", "4", "5"] {
            bench.deliver(QOS1, payload);
        }
        assert_eq!(bench.side.queued(), 2);
        assert_eq!(bench.dropped(DropReason::QueueFull), 3);
        bench.connect(10);
        assert_eq!(bench.taken()[1..], kept);
    }
}

/// What a client that is away will never be sent must not keep out what it wants to find.
#[test]
fn expired_messages_make_room_in_a_full_queue() {
    let mut bench = Bench::away();
    bench.options.queue = bounded(2, Overflow::DropNewest);
    let expires = Some(bench.now.as_millis() + 1000);
    bench.give(delivery(QOS1, "t", "late", expires), None);
    bench.give(delivery(QOS1, "t", "late", expires), None);
    bench.later(1);
    bench.deliver(QOS1, "a");
    assert_eq!(bench.dropped(DropReason::Expired), 2);
    assert_eq!(bench.dropped(DropReason::QueueFull), 0);
    bench.connect(10);
    assert_eq!(bench.taken(), ["connack", "qos1 #1 a"]);
}

#[test]
fn qos0_behind_a_full_wire_waits_in_bounds_and_ends_with_the_connection() {
    let mut bench = Bench::connected(10);
    bench.options.unsent_maximum = 1;
    bench.options.queue = bounded(2, Overflow::DropOldest);
    for payload in ["a", "b", "c", "d"] {
        bench.deliver(QOS0, payload);
    }
    assert_eq!(bench.side.queued(), 2);
    assert_eq!(bench.dropped(DropReason::QueueFull), 1);
    assert_eq!(bench.taken(), ["qos0 a"]);
    assert_eq!(bench.disconnect(), []);
    assert_eq!(bench.dropped(DropReason::Away), 2);
    assert_eq!(bench.side.queued(), 0);
}

// ---- the wire

#[test]
fn messages_stay_queued_while_the_wire_is_full() {
    for (qos, first, second) in [
        (QOS0, "qos0 a", "qos0 b"),
        (QOS1, "qos1 #1 a", "qos1 #2 b"),
        (QOS2, "qos2 #1 a", "qos2 #2 b"),
    ] {
        let mut bench = Bench::connected(10);
        bench.options.unsent_maximum = 8;
        bench.deliver(qos, "a");
        // A first message always fits: it is what fills the wire that stops the next.
        let full = bench.side.line().expect("a connection").wire().unsent();
        bench.options.unsent_maximum = full;
        assert!(!bench.takes_now(qos));
        assert!(!bench.deliver(qos, "b"));
        assert!(!bench.draw());
        assert_eq!(bench.side.queued(), 1);
        let part = bench.bytes(1);
        assert_eq!(part.len(), 1);
        assert!(bench.draw(), "a byte has been taken: there is room");
        let mut bytes = part;
        bytes.append(&mut bench.bytes(usize::MAX));
        let got = decode_whole(&mut bytes, Version::V5);
        let brief: Vec<_> = got.iter().map(|it| it.brief()).collect();
        assert_eq!(brief, [first, second]);
    }
}

#[test]
fn messages_of_one_qos_do_not_overtake_each_other() {
    let mut bench = Bench::connected(10);
    bench.options.unsent_maximum = 1;
    for payload in ["a", "b"] {
        bench.deliver(QOS1, payload);
        bench.deliver(QOS0, payload);
    }
    assert_eq!(bench.taken(), ["qos1 #1 a"]);
    // There is room, but others wait already.
    assert!(!bench.deliver(QOS1, "c"));
    assert!(!bench.deliver(QOS0, "c"));
    let mut taken = Vec::new();
    while bench.draw() {
        taken.append(&mut bench.taken());
    }
    let of = |qos: &str| -> Vec<_> {
        taken
            .iter()
            .filter(|it| it.starts_with(qos))
            .cloned()
            .collect()
    };
    assert_eq!(of("qos1"), ["qos1 #2 b", "qos1 #3 c"]);
    assert_eq!(of("qos0"), ["qos0 a", "qos0 b", "qos0 c"]);
}

#[test]
fn sending_again_waits_for_a_full_wire_too() {
    let mut bench = Bench::connected(10);
    for payload in ["a", "b", "c"] {
        bench.deliver(QOS1, payload);
    }
    bench.deliver(QOS2, "d");
    bench.pubrec(4, OK);
    bench.taken();
    bench.options.unsent_maximum = 5;
    // CONNACK alone fills it; PUBREL goes out all the same.
    assert_eq!(bench.reconnect(10), ["connack", "pubrel #4"]);
    bench.deliver(QOS1, "e");
    let mut taken = Vec::new();
    while bench.draw() {
        taken.append(&mut bench.taken());
    }
    assert_eq!(
        taken,
        [
            "qos1 #1 a dup",
            "qos1 #2 b dup",
            "qos1 #3 c dup",
            "qos1 #5 e"
        ]
    );
}
