//! One message after the other: its exchange, its resumption, its quota, its expiry.

use std::num::NonZeroU64;

use super::fixture::{Bench, Published, delivery, id};
use super::*;
use crate::message::{Message, Parts};

const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;
const REFUSED: ReasonCode = ReasonCode::QuotaExceeded;
const NOTHING: [&str; 0] = [];

fn group(number: u64) -> Source {
    Source(NonZeroU64::new(number).expect("not zero"))
}

// ---- one message after the other

// [MQTT5-4.3.1-1] [MQTT5-4.3.2-1] [MQTT5-4.3.2-2] [MQTT5-4.3.3-1] [MQTT5-4.3.3-2]
// [MQTT311-4.3.1-1] [MQTT311-4.3.2-1] [MQTT311-4.3.3-1]
#[test]
fn every_qos_is_first_sent_without_dup_and_with_an_id_of_its_own() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut bench = Bench::away();
        bench.connect_with(version, |_| {});
        assert!(bench.deliver(QOS0, "a"));
        assert!(bench.deliver(QOS1, "b"));
        assert!(bench.deliver(QOS2, "c"));
        assert_eq!(
            bench.taken(),
            ["connack", "qos0 a", "qos1 #1 b", "qos2 #2 c"]
        );
        assert_eq!(bench.side.in_flight(), 2);
        assert_eq!(bench.tally.sent, [1, 1, 1]);
        assert_eq!((bench.tally.packets_sent, bench.tally.payload_sent), (4, 3));
    }
}

#[test]
fn what_differs_per_recipient_and_what_is_passed_on_goes_into_the_publish() {
    let mut bench = Bench::connected(10);
    let parts = Parts {
        topic: "t",
        // Content Type "x". [MQTT5-3.3.2-20]
        forwarded: &[3, 0, 1, b'x'],
        payload: b"p",
        qos: QOS2,
        retain: false,
        expires: None,
    };
    let delivery = Delivery {
        message: Message::new(parts, &mut Vec::new()),
        subscription_ids: SubscriptionIds::new(&[3, 300]),
        qos: QOS1,
        retain: true,
        attempts: 0,
    };
    bench.give(delivery, None);
    let expected = Published {
        dup: false,
        qos: QOS1,
        retain: true,
        id: Some(1),
        topic: "t".to_owned(),
        alias: None,
        expiry: None,
        // [MQTT5-3.3.4-4]
        subscription_ids: vec![3, 300],
        content_type: Some("x".to_owned()),
        payload: "p".to_owned(),
    };
    assert_eq!(bench.published(), [expected]);
}

// [MQTT5-4.3.3-4] [MQTT5-4.3.3-6]
#[test]
fn qos2_goes_through_pubrec_pubrel_and_pubcomp() {
    for version in [Version::V311, Version::V5] {
        let mut bench = Bench::away();
        bench.connect_with(version, |_| {});
        bench.deliver(QOS2, "a");
        assert_eq!(bench.taken(), ["connack", "qos2 #1 a"]);
        assert_eq!(bench.pubrec(1, OK), Acked::Onward);
        assert_eq!(bench.taken(), ["pubrel #1"]);
        assert_eq!(
            bench.pubrec(1, OK),
            Acked::Onward,
            "every PUBREC is answered"
        );
        assert_eq!(bench.taken(), ["pubrel #1"]);
        assert_eq!(bench.pubcomp(1), Acked::Done);
        assert_eq!(bench.pubcomp(1), Acked::Unknown);
        assert_eq!(bench.side.in_flight(), 0);
    }
}

// [MQTT5-3.6.2-1]
#[test]
fn acknowledgements_of_unknown_ids_harm_nobody() {
    for (version, pubrel) in [
        (Version::V311, "pubrel #9"),
        (Version::V5, "pubrel #9 0x92"),
    ] {
        let mut bench = Bench::away();
        bench.connect_with(version, |_| {});
        assert_eq!(bench.taken(), ["connack"]);
        assert_eq!(bench.puback(9), Acked::Unknown);
        assert_eq!(bench.pubcomp(9), Acked::Unknown);
        assert_eq!(bench.pubrec(9, REFUSED), Acked::Unknown);
        assert_eq!(bench.taken(), NOTHING);
        assert_eq!(bench.pubrec(9, OK), Acked::Onward);
        assert_eq!(bench.taken(), [pubrel]);
    }
}

#[test]
fn acknowledgements_out_of_step_are_protocol_errors() {
    let mut bench = Bench::connected(10);
    bench.deliver(QOS1, "a");
    bench.deliver(QOS2, "b");
    let error = ReasonCode::ProtocolError;
    assert_eq!(bench.pubrec_fault(1, OK), error);
    assert_eq!(bench.pubrec_fault(1, REFUSED), error);
    assert_eq!(
        bench.side.pubcomp(id(1)).expect_err("out of step").code,
        error
    );
    assert_eq!(
        bench.side.puback(id(2)).expect_err("out of step").code,
        error
    );
    assert_eq!(
        bench.side.pubcomp(id(2)).expect_err("out of step").code,
        error
    );
    assert_eq!(bench.side.in_flight(), 2, "nothing is lost by it");
}

// ---- resumption

// [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT5-3.3.1-1] [MQTT5-4.3.3-6]
// [MQTT311-4.4.0-1] [MQTT311-4.6.0-1] [MQTT311-3.3.1-1] [MQTT311-2.3.1-4]
#[test]
fn a_new_connection_gets_everything_in_flight_in_its_order_with_its_ids() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut bench = Bench::away();
        bench.connect_with(version, |_| {});
        for (qos, payload) in [
            (QOS1, "a"),
            (QOS2, "b"),
            (QOS0, "c"),
            (QOS2, "d"),
            (QOS1, "e"),
        ] {
            bench.deliver(qos, payload);
        }
        bench.pubrec(2, OK);
        bench.taken();
        for _ in 0..2 {
            assert_eq!(bench.disconnect(), []);
            bench.connect_with(version, |_| {});
            let again = [
                "connack",
                "qos1 #1 a dup",
                "pubrel #2",
                "qos2 #3 d dup",
                "qos1 #4 e dup",
            ];
            assert_eq!(bench.taken(), again);
        }
        assert_eq!(bench.puback(1), Acked::Done);
        assert_eq!(bench.pubcomp(2), Acked::Done);
        assert_eq!(bench.pubrec(3, OK), Acked::Onward);
        assert_eq!(bench.puback(4), Acked::Done);
        assert_eq!(bench.taken(), ["pubrel #3"]);
        assert_eq!(bench.pubcomp(3), Acked::Done);
        assert_eq!(bench.side.in_flight(), 0);
    }
}

// [MQTT5-4.4.0-1]
#[test]
fn nothing_is_sent_again_on_the_same_connection() {
    let mut bench = Bench::connected(2);
    bench.deliver(QOS1, "a");
    bench.deliver(QOS2, "b");
    bench.pubrec(2, OK);
    bench.taken();
    assert!(!bench.draw());
    bench.later(3600);
    assert!(!bench.draw());
    assert_eq!(bench.taken(), NOTHING);
}

#[test]
fn what_waits_follows_what_is_sent_again() {
    let mut bench = Bench::connected(2);
    for payload in ["a", "b", "c"] {
        bench.deliver(QOS1, payload);
    }
    bench.taken();
    assert_eq!(bench.disconnect(), []);
    bench.deliver(QOS1, "d");
    assert_eq!((bench.side.in_flight(), bench.side.queued()), (2, 2));
    bench.connect(3);
    assert_eq!(
        bench.taken(),
        ["connack", "qos1 #1 a dup", "qos1 #2 b dup", "qos1 #3 c"]
    );
    bench.puback(1);
    assert_eq!(bench.taken(), ["qos1 #4 d"]);
}

#[test]
fn bytes_that_were_never_taken_are_sent_again_as_well() {
    let mut bench = Bench::connected(5);
    bench.deliver(QOS2, "a");
    bench.deliver(QOS1, "b");
    assert_eq!(
        bench.reconnect(5),
        ["connack", "qos2 #1 a dup", "qos1 #2 b dup"]
    );
}

// [MQTT5-4.3.2-3] [MQTT5-4.3.3-3] [MQTT5-4.3.3-5]
#[test]
fn each_step_of_qos2_is_taken_up_where_it_was_left() {
    let mut bench = Bench::connected(1);
    bench.deliver(QOS2, "a");
    bench.taken();
    assert_eq!(
        bench.reconnect(1),
        ["connack", "qos2 #1 a dup"],
        "no PUBREC came"
    );
    bench.pubrec(1, OK);
    assert_eq!(
        bench.reconnect(1),
        ["connack", "pubrel #1"],
        "PUBREL was lost"
    );
    assert_eq!(
        bench.reconnect(1),
        ["connack", "pubrel #1"],
        "no PUBCOMP came"
    );
    assert_eq!(bench.pubcomp(1), Acked::Done);
    assert_eq!(bench.reconnect(1), ["connack"]);
}

// [MQTT5-4.4.0-2]
#[test]
fn an_error_ends_the_exchange_for_good() {
    let mut bench = Bench::connected(2);
    bench.deliver(QOS1, "a");
    bench.deliver(QOS2, "b");
    bench.deliver(QOS1, "c");
    assert_eq!(bench.taken(), ["qos1 #1 a", "qos2 #2 b"]);
    assert_eq!(bench.pubrec(2, REFUSED), Acked::Done);
    assert_eq!(
        bench.taken(),
        ["qos1 #3 c"],
        "no PUBREL, and there is quota again"
    );
    bench.puback(1);
    assert_eq!(bench.reconnect(2), ["connack", "qos1 #3 c dup"]);
}

// [MQTT5-4.9.0-2] [MQTT5-3.3.4-9]
#[test]
fn sending_again_goes_as_far_as_the_quota() {
    let mut bench = Bench::connected(4);
    for (qos, payload) in [(QOS1, "a"), (QOS2, "b"), (QOS2, "c"), (QOS1, "d")] {
        bench.deliver(qos, payload);
    }
    bench.pubrec(3, OK);
    bench.deliver(QOS1, "e");
    bench.taken();
    // PUBREL is no PUBLISH: no quota holds it back. [MQTT5-4.9.0-3]
    assert_eq!(
        bench.reconnect(1),
        ["connack", "qos1 #1 a dup", "pubrel #3"]
    );
    bench.puback(1);
    assert_eq!(
        bench.taken(),
        NOTHING,
        "the exchange of c is still in flight"
    );
    bench.pubcomp(3);
    assert_eq!(bench.taken(), ["qos2 #2 b dup"]);
    bench.pubrec(2, OK);
    assert_eq!(bench.taken(), ["pubrel #2"]);
    bench.pubcomp(2);
    assert_eq!(bench.taken(), ["qos1 #4 d dup"]);
    assert!(!bench.takes_now(QOS1));
    bench.puback(4);
    assert_eq!(bench.taken(), ["qos1 #5 e"]);
}

// ---- quota

// [MQTT5-4.9.0-2] [MQTT5-3.3.4-9]
#[test]
fn with_a_receive_maximum_of_1_messages_go_one_by_one() {
    let mut bench = Bench::connected(1);
    for (qos, payload) in [(QOS1, "a"), (QOS2, "b"), (QOS2, "c"), (QOS1, "d")] {
        bench.deliver(qos, payload);
    }
    assert_eq!(bench.taken(), ["qos1 #1 a"]);
    bench.puback(1);
    assert_eq!(bench.taken(), ["qos2 #2 b"]);
    bench.pubrec(2, OK);
    assert_eq!(bench.taken(), ["pubrel #2"], "not before PUBCOMP");
    bench.pubcomp(2);
    assert_eq!(bench.taken(), ["qos2 #3 c"]);
    bench.pubrec(3, REFUSED);
    assert_eq!(bench.taken(), ["qos1 #4 d"]);
    assert_eq!((bench.side.in_flight(), bench.side.queued()), (1, 0));
}

// [MQTT5-4.9.0-1]
#[test]
fn the_quota_is_the_smaller_of_receive_maximum_and_option() {
    for (receive_maximum, inflight_maximum, expected) in [(3, 100, 3), (100, 3, 3), (5, 5, 5)] {
        let mut bench = Bench::away();
        bench.options.inflight_maximum = inflight_maximum;
        bench.connect(receive_maximum);
        for _ in 0..10 {
            bench.deliver(QOS1, "m");
        }
        assert_eq!(bench.side.in_flight(), expected);
        assert_eq!(bench.published().len(), expected);
    }
}

/// "The send quota is not incremented if it is already equal to the initial send quota", and
/// acknowledgements that end nothing give nothing back either.
#[test]
fn stray_acknowledgements_raise_no_quota() {
    let mut bench = Bench::connected(2);
    let stray = |bench: &mut Bench| {
        for _ in 0..3 {
            assert_eq!(bench.puback(77), Acked::Unknown);
            assert_eq!(bench.pubcomp(77), Acked::Unknown);
            assert_eq!(bench.pubrec(77, REFUSED), Acked::Unknown);
        }
    };
    stray(&mut bench);
    for _ in 0..6 {
        bench.deliver(QOS2, "m");
    }
    assert_eq!(bench.side.in_flight(), 2);
    stray(&mut bench);
    assert_eq!(bench.side.in_flight(), 2);
    assert_eq!(bench.published().len(), 2);
}

/// A client may count the exchange of a PUBREL as one that it processes: with a Receive Maximum of
/// 1, a PUBLISH behind PUBREL must wait, or PUBCOMP would let out a second one.
#[test]
fn resuming_lets_no_more_into_flight_than_the_client_takes() {
    let mut bench = Bench::connected(1);
    bench.deliver(QOS2, "a");
    bench.pubrec(1, OK);
    bench.deliver(QOS1, "b");
    bench.deliver(QOS1, "c");
    bench.taken();
    assert_eq!(bench.reconnect(1), ["connack", "pubrel #1"]);
    bench.pubcomp(1);
    assert_eq!(bench.taken(), ["qos1 #2 b"], "one, not two");
}

/// A client that never sends PUBCOMP and connects again and again would fill the window with ids
/// until none is left.
#[test]
fn the_window_never_outgrows_the_quota_however_often_the_client_connects() {
    let mut bench = Bench::connected(3);
    for _ in 0..5 {
        for _ in 0..3 {
            bench.deliver(QOS2, "m");
        }
        bench.taken();
        for number in 1..=3 {
            assert_eq!(bench.pubrec(number, OK), Acked::Onward);
        }
        assert_eq!(bench.side.in_flight(), 3);
        assert_eq!(
            bench.reconnect(3)[1..],
            ["pubrel #1", "pubrel #2", "pubrel #3"]
        );
    }
    for number in 1..=3 {
        bench.pubcomp(number);
    }
    assert_eq!(bench.taken().len(), 3, "and goes on where it was");
}

#[test]
fn acknowledgements_of_what_was_not_sent_again_yet_give_no_quota() {
    let mut bench = Bench::connected(3);
    for payload in ["a", "b", "c", "d"] {
        bench.deliver(QOS2, payload);
    }
    bench.taken();
    assert_eq!(bench.reconnect(1), ["connack", "qos2 #1 a dup"]);
    // The client received these on the last connection and answers them late.
    assert_eq!(bench.pubrec(2, OK), Acked::Onward);
    assert_eq!(bench.pubrec(3, REFUSED), Acked::Done);
    assert_eq!(bench.taken(), ["pubrel #2"]);
    assert_eq!(bench.pubcomp(2), Acked::Done);
    assert_eq!(bench.taken(), NOTHING, "a is still in flight");
    bench.pubrec(1, OK);
    bench.pubcomp(1);
    assert_eq!(bench.taken(), ["pubrel #1", "qos2 #4 d"]);
}

// [MQTT5-3.3.4-10] [MQTT5-4.9.0-3]
#[test]
fn qos0_passes_by_a_full_quota() {
    let mut bench = Bench::connected(1);
    bench.deliver(QOS1, "a");
    bench.deliver(QOS1, "b");
    assert!(bench.takes_now(QOS0));
    assert!(bench.deliver(QOS0, "c"));
    assert_eq!(bench.taken(), ["qos1 #1 a", "qos0 c"]);
    assert_eq!(bench.reconnect(1), ["connack", "qos1 #1 a dup"]);
    assert!(
        bench.deliver(QOS0, "d"),
        "and by what is still to be sent again"
    );
}

// ---- expiry

// [MQTT5-3.3.2-5]
#[test]
fn a_message_that_expired_while_it_waited_is_not_sent() {
    let mut bench = Bench::connected(1);
    bench.deliver(QOS1, "a");
    for (payload, seconds) in [("b", Some(5)), ("c", None), ("d", Some(60))] {
        let expires = seconds.map(|seconds: u64| bench.now.as_millis() + seconds * 1000);
        bench.give(delivery(QOS1, "t", payload, expires), None);
    }
    bench.taken();
    bench.later(5);
    bench.puback(1);
    assert_eq!(bench.taken(), ["qos1 #2 c"], "the next one takes its place");
    assert_eq!(bench.dropped(DropReason::Expired), 1);
    bench.puback(2);
    let expiry: Vec<_> = bench
        .published()
        .iter()
        .map(|publish| publish.expiry)
        .collect();
    // [MQTT5-3.3.2-6]
    assert_eq!(expiry, [Some(55)]);
}

#[test]
fn a_message_that_has_expired_when_it_comes_takes_neither_id_nor_quota() {
    let mut bench = Bench::connected(1);
    let expired = Some(bench.now.as_millis());
    for qos in [QOS0, QOS1, QOS2] {
        assert!(!bench.give(delivery(qos, "t", "late", expired), None));
    }
    bench.deliver(QOS1, "a");
    assert_eq!(bench.taken(), ["qos1 #1 a"]);
    assert_eq!(bench.dropped(DropReason::Expired), 3);
}

#[test]
fn what_expired_while_the_client_was_away_is_not_sent() {
    let mut bench = Bench::away();
    let expires = Some(bench.now.as_millis() + 1000);
    bench.give(delivery(QOS2, "t", "late", expires), None);
    bench.deliver(QOS1, "a");
    bench.later(1);
    bench.connect(10);
    assert_eq!(bench.taken(), ["connack", "qos1 #1 a"]);
    assert_eq!(bench.dropped(DropReason::Expired), 1);
}

// [MQTT5-4.3.3-7] [MQTT5-4.3.3-13]
#[test]
fn what_was_sent_once_does_not_expire() {
    let mut bench = Bench::connected(10);
    let expires = Some(bench.now.as_millis() + 10_000);
    bench.give(delivery(QOS1, "t", "a", expires), None);
    bench.give(delivery(QOS2, "t", "b", expires), None);
    assert_eq!(bench.published().len(), 2);
    bench.later(4);
    assert_eq!(bench.disconnect(), []);
    bench.connect(10);
    let again = bench.published();
    assert_eq!(
        again.iter().map(|it| it.expiry).collect::<Vec<_>>(),
        [Some(6), Some(6)]
    );
    bench.later(3600);
    assert_eq!(
        bench.reconnect(10),
        ["connack", "qos1 #1 a dup", "qos2 #2 b dup"]
    );
    bench.pubrec(2, OK);
    assert_eq!(bench.taken(), ["pubrel #2"]);
    assert_eq!(bench.dropped(DropReason::Expired), 0);
}

// ---- groups

// [MQTT5-4.8.2-4]
#[test]
fn messages_of_groups_go_back_unless_their_qos2_has_begun() {
    let mut bench = Bench::connected(10);
    let given = [
        (QOS1, "a", Some(1)),
        (QOS2, "begun", Some(1)),
        (QOS1, "own", None),
        (QOS1, "b", Some(2)),
        (QOS1, "acknowledged", Some(1)),
        (QOS1, "c", Some(1)),
    ];
    for (qos, payload, source) in given {
        assert!(bench.takes_now(qos));
        bench.give(delivery(qos, "t", payload, None), source.map(group));
    }
    bench.puback(5);
    let back = bench.disconnect();
    let expected = [(1, "a"), (2, "b"), (1, "c")];
    assert_eq!(
        back,
        expected.map(|(number, payload)| (group(number), payload.to_owned()))
    );
    bench.connect(10);
    assert_eq!(
        bench.taken(),
        ["connack", "qos2 #2 begun dup", "qos1 #3 own dup"]
    );
}

#[test]
fn what_came_back_is_a_first_delivery_to_the_next_member() {
    let mut gone = Bench::connected(10);
    gone.give(delivery(QOS1, "t", "a", None), Some(group(1)));
    let (_, back) = gone
        .side
        .detach(&gone.options, &mut gone.tally)
        .expect("a connection");
    let mut next = Bench::connected(10);
    for (source, delivery) in back {
        next.give(delivery, Some(source));
    }
    assert_eq!(next.taken(), ["qos1 #1 a"]);
}

#[test]
fn a_member_takes_a_message_now_only_with_room_quota_and_nothing_waiting() {
    let mut bench = Bench::away();
    assert!(!bench.takes_now(QOS0) && !bench.takes_now(QOS1), "away");
    bench.connect(2);
    assert!(bench.takes_now(QOS0) && bench.takes_now(QOS1) && bench.takes_now(QOS2));
    bench.deliver(QOS1, "a");
    bench.deliver(QOS2, "b");
    assert!(bench.takes_now(QOS0) && !bench.takes_now(QOS1), "no quota");
    bench.deliver(QOS1, "c");
    assert_eq!(bench.side.puback(id(1)), Ok(Acked::Done));
    assert!(!bench.takes_now(QOS1), "c is before it");
    bench.draw();
    bench.taken();
    bench.reconnect(1);
    assert!(!bench.takes_now(QOS1), "not all is sent again");
    bench.options.unsent_maximum = 0;
    assert!(!bench.takes_now(QOS0), "no room");
}

// ---- beginnings and ends

#[test]
fn a_detached_line_still_has_its_bytes() {
    let mut bench = Bench::connected(10);
    bench.deliver(QOS0, "a");
    let (mut line, _) = bench
        .side
        .detach(&bench.options, &mut bench.tally)
        .expect("a connection");
    assert!(!bench.side.is_connected());
    assert_eq!(line.version(), Version::V5);
    let chunk = line.wire().take().expect("bytes to be flushed");
    assert!(chunk.remaining().ends_with(b"a"));
    assert!(
        bench
            .side
            .detach(&bench.options, &mut bench.tally)
            .is_none(),
        "once"
    );
}

#[test]
fn an_ended_session_has_nothing_left_but_its_connection() {
    let mut bench = Bench::connected(1);
    bench.deliver(QOS2, "a");
    bench.deliver(QOS1, "b");
    bench.options.unsent_maximum = 0;
    bench.deliver(QOS0, "c");
    assert_eq!(bench.side.end(), 3);
    assert_eq!((bench.side.in_flight(), bench.side.queued()), (0, 0));
    assert!(
        bench.side.is_connected(),
        "what was committed may still leave"
    );
    assert_eq!(bench.taken(), ["qos2 #1 a"]);
    assert_eq!(bench.reconnect(10), ["connack"]);
}

#[test]
fn packet_ids_go_on_over_connections() {
    let mut bench = Bench::connected(10);
    bench.deliver(QOS1, "a");
    bench.puback(1);
    bench.taken();
    bench.reconnect(10);
    bench.deliver(QOS1, "b");
    // Not 1 again: a late acknowledgement of the first message names nothing.
    assert_eq!(bench.taken(), ["qos1 #2 b"]);
    assert_eq!(bench.puback(1), Acked::Unknown);
}
