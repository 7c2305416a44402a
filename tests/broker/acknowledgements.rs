//! An acknowledgement leaves only when what it promises is true, and in its turn.

use postbud::codec::{QoS, ReasonCode, Version};
use postbud::store::Failure;
use postbud::store::record::Record;

use crate::client::numbers;
use crate::house::House;
use crate::received::Got;
use crate::stores::Late;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const OK: ReasonCode = ReasonCode::Success;

// [MQTT5-4.3.2-4] [MQTT311-4.3.2-2]
#[test]
fn a_puback_waits_for_the_store_and_the_delivery_does_not() {
    for version in VERSIONS {
        let store = Late::with_messages();
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").open();
        writer.publish1(1, "t", "one");
        assert_eq!(reader.payloads(), ["one"], "{version}");
        assert_eq!(writer.take(), [], "{version}: nothing is safe yet");
        store.tell(0, Ok(()));
        house.run();
        assert_eq!(writer.take(), [Got::Puback(1, OK)], "{version}");
    }
}

// [MQTT5-4.3.3-8] [MQTT5-4.3.3-11] [MQTT311-4.3.3-2]
#[test]
fn pubrec_and_pubcomp_wait_for_the_store() {
    for version in VERSIONS {
        let store =
            Late::with(|record| matches!(record, Record::Message(_) | Record::Released { .. }));
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").resume();
        let writer = match version {
            Version::V5 => writer.expiry(60).open(),
            Version::V31 | Version::V311 => writer.open(),
        };
        writer.publish2(5, "t", "two");
        assert_eq!(writer.take(), [], "{version}");
        store.tell_all();
        house.run();
        assert_eq!(writer.take(), [Got::Pubrec(5, OK)], "{version}");
        writer.pubrel(5);
        assert_eq!(store.pending(), ["released writer 5"]);
        assert_eq!(writer.take(), [], "{version}");
        store.tell_all();
        house.run();
        assert_eq!(writer.take(), [Got::Pubcomp(5, OK)], "{version}");
        assert_eq!(reader.payloads(), ["two"]);
    }
}

#[test]
fn a_message_for_nobody_has_nothing_to_wait_for() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "lost");
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(writer.take(), [Got::Puback(1, nobody)]);
    assert_eq!(store.pending(), [""; 0]);
}

#[test]
fn a_retained_message_for_nobody_waits_all_the_same() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    let writer = house.v5("writer").open();
    let mut publish = crate::client::publish(QoS::AtLeastOnce, 1, "t", "kept");
    publish.retain = true;
    writer.send(&postbud::codec::Packet::Publish(publish));
    assert_eq!(store.pending(), ["message kept"]);
    assert_eq!(writer.take(), []);
    store.tell_all();
    house.run();
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(writer.take(), [Got::Puback(1, nobody)]);
}

// [MQTT5-4.6.0-2] [MQTT311-4.6.0-2]
#[test]
fn pubacks_keep_the_order_of_their_messages_whatever_the_order_of_outcomes() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for id in 1..=4 {
        writer.publish1(id, "t", &id.to_string());
    }
    assert_eq!(reader.payloads(), numbers(1, 4));
    store.tell(2, Ok(()));
    store.tell(2, Ok(()));
    house.run();
    assert_eq!(writer.take(), [], "3 and 4 wait for 1 and 2");
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(writer.take(), [Got::Puback(1, OK)]);
    store.tell(0, Ok(()));
    house.run();
    let rest = [Got::Puback(2, OK), Got::Puback(3, OK), Got::Puback(4, OK)];
    assert_eq!(writer.take(), rest);
}

// [MQTT5-4.6.0-3] [MQTT311-4.6.0-3]
#[test]
fn pubrecs_keep_the_order_of_their_messages() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish2(9, "t", "first");
    writer.publish2(3, "t", "second");
    store.tell(1, Ok(()));
    house.run();
    assert_eq!(writer.take(), []);
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(writer.take(), [Got::Pubrec(9, OK), Got::Pubrec(3, OK)]);
}

#[test]
fn outcomes_of_different_sessions_may_come_in_any_order() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let (one, two) = (house.v5("one").open(), house.v311("two").open());
    one.publish1(1, "t", "from one");
    two.publish1(1, "t", "from two");
    store.tell(1, Ok(()));
    house.run();
    assert_eq!(one.take(), []);
    assert_eq!(two.take(), [Got::Puback(1, OK)]);
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(one.take(), [Got::Puback(1, OK)]);
}

// [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
#[test]
fn a_ping_is_answered_while_acknowledgements_wait() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v311("writer").open();
    writer.publish1(1, "t", "one");
    writer.send(&postbud::codec::Packet::Pingreq);
    assert_eq!(writer.take(), [Got::Pingresp]);
}

// [MQTT5-3.8.4-1] [MQTT5-3.10.4-4] [MQTT311-3.8.4-1] [MQTT311-3.10.4-4]
#[test]
fn suback_and_unsuback_of_a_persistent_session_wait_for_the_store() {
    let store = Late::with(|record| {
        matches!(
            record,
            Record::Subscribed { .. } | Record::Unsubscribed { .. }
        )
    });
    let house = House::with_store(store.clone());
    let client = house.v5("c").expiry(60).open();
    let options = postbud::codec::SubscriptionOptions::v3(QoS::AtLeastOnce);
    client.send_subscribe(1, &[("a", options), ("b", options)], None);
    assert_eq!(store.pending(), ["subscribed c"]);
    assert_eq!(client.take(), []);
    store.tell_all();
    house.run();
    assert_eq!(client.take(), [Got::Suback(1, vec![1, 1])]);
    client.send_unsubscribe(2, &["a", "x"]);
    assert_eq!(store.pending(), ["unsubscribed c"]);
    assert_eq!(client.take(), []);
    store.tell_all();
    house.run();
    assert_eq!(client.take(), [Got::Unsuback(2, vec![0, 0x11])]);
}

#[test]
fn a_session_that_ends_with_its_connection_promises_nothing_to_the_store() {
    let store = Late::new();
    let house = House::with_store(store.clone());
    let client = house.v311("c").open();
    client.subscribe("a", QoS::AtLeastOnce);
    client.unsubscribe("a");
    assert_eq!(store.pending(), [""; 0]);
}

// [MQTT5-3.1.4-5] [MQTT311-3.1.4-4]
#[test]
fn the_connack_of_a_persistent_session_waits_and_so_does_what_comes_after_connect() {
    for version in VERSIONS {
        let store = Late::with(|record| matches!(record, Record::Opened { .. }));
        let house = House::with_store(store.clone());
        let mut hello = house.hello(version, "c").resume();
        if version == Version::V5 {
            hello.connect.properties.session_expiry = Some(60);
        }
        let client = hello.send();
        client.publish1(1, "t", "early");
        assert_eq!(client.take(), [], "{version}");
        assert!(
            client.is_paused(),
            "{version}: nothing is read while the session is not open"
        );
        store.tell_all();
        house.run();
        assert!(!client.welcome().present);
        assert!(
            matches!(client.take()[..], [Got::Puback(1, _)]),
            "{version}"
        );
    }
}

#[test]
fn a_connection_that_ends_while_outcomes_are_outstanding_harms_nobody() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let [gone, left] = ["gone", "left"].map(|id| house.v5(id).open());
    gone.publish1(1, "t", "from gone");
    left.publish1(1, "t", "from left");
    gone.hang_up();
    let again = house.v5("gone").open();
    again.publish1(1, "t", "again");
    assert_eq!(store.pending().len(), 3);
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(
        again.take(),
        [],
        "the outcome was for the connection before"
    );
    store.tell(0, Err(Failure::Broken));
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(again.take(), [Got::Puback(1, OK)]);
    assert_eq!(left.take(), [Got::Puback(1, ReasonCode::QuotaExceeded)]);
    assert_eq!(reader.payloads(), ["from gone", "from left", "again"]);
}

#[test]
fn a_connect_that_was_given_up_while_the_store_thinks_opens_nothing() {
    let store = Late::new();
    let house = House::with_store(store.clone());
    let client = house.v5("c").expiry(60).send();
    client.hang_up();
    store.tell_all();
    house.run();
    assert_eq!(client.take(), []);
    assert_eq!(house.gauge(postbud::broker::Gauge::Sessions), 0);
}

#[test]
fn an_outcome_after_a_takeover_is_ignored() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let old = house.v5("c").expiry(60).open();
    old.publish1(1, "t", "one");
    let new = house.v5("c").expiry(60).open();
    old.assert_closed(ReasonCode::SessionTakenOver);
    store.tell_all();
    house.run();
    assert_eq!(old.take(), [], "nothing after DISCONNECT");
    assert_eq!(
        new.take(),
        [],
        "the new connection has sent nothing to acknowledge"
    );
    new.publish1(1, "t", "one again");
    assert_eq!(new.take(), []);
    store.tell_all();
    house.run();
    assert_eq!(new.take(), [Got::Puback(1, OK)]);
}

#[test]
fn outcomes_may_come_from_any_thread() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for id in 1..=50 {
        writer.publish1(id, "t", "x");
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..25).for_each(|_| store.tell(0, Ok(()))));
        }
    });
    house.run();
    let expected: Vec<_> = (1..=50).map(|id| Got::Puback(id, OK)).collect();
    assert_eq!(writer.take(), expected);
}

// A QoS 2 id that was met again is the same promise: it is not kept sooner by asking twice.
// [MQTT5-4.3.3-10] [MQTT311-4.3.3-2]
#[test]
fn a_repeated_qos_2_message_waits_for_the_store_as_well() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").expiry(60).open();
    writer.publish2(1, "t", "once");
    writer.hang_up();
    let writer = house.v5("writer").expiry(60).open();
    let mut again = crate::client::publish(QoS::ExactlyOnce, 1, "t", "once");
    again.dup = true;
    writer.send(&postbud::codec::Packet::Publish(again));
    assert_eq!(writer.take(), [], "the store has said nothing yet");
    while store.tell_all() > 0 {
        house.run();
    }
    assert_eq!(writer.take(), [Got::Pubrec(1, OK)]);
    assert_eq!(reader.payloads(), ["once"]);
}
