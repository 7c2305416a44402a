//! What the store cannot keep is not promised: an error in MQTT 5, the end of the connection before.

use postbud::broker::{Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, SubscriptionOptions, Version};
use postbud::store::Failure;
use postbud::store::record::Record;

use crate::house::House;
use crate::received::Got;
use crate::stores::{Failing, Late};

const FULL: ReasonCode = ReasonCode::QuotaExceeded;
const OLD: [Version; 2] = [Version::V31, Version::V311];

#[test]
fn a_message_that_is_not_kept_is_refused_with_0x97() {
    let house = House::with_store(Failing::with_messages());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "one");
    writer.publish2(2, "t", "two");
    assert_eq!(writer.take(), [Got::Puback(1, FULL), Got::Pubrec(2, FULL)]);
    assert_eq!(writer.ending(), None, "the connection goes on");
    assert_eq!(
        reader.payloads(),
        ["one", "two"],
        "who is there has had them"
    );
}

// [MQTT5-4.3.3-9]
#[test]
fn a_refused_qos_2_id_stands_for_a_new_message_afterwards() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish2(2, "t", "refused");
    store.tell(0, Err(Failure::Broken));
    house.run();
    assert_eq!(writer.take(), [Got::Pubrec(2, FULL)]);
    writer.publish2(2, "t", "new");
    store.tell(0, Ok(()));
    house.run();
    assert_eq!(writer.take(), [Got::Pubrec(2, ReasonCode::Success)]);
    assert_eq!(reader.payloads(), ["refused", "new"]);
}

#[test]
fn refusals_take_their_turn_among_acknowledgements() {
    let store = Late::with_messages();
    let house = House::with_store(store.clone());
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for id in 1..=3 {
        writer.publish1(id, "t", "x");
    }
    store.tell(1, Err(Failure::Full));
    store.tell(1, Ok(()));
    house.run();
    assert_eq!(writer.take(), []);
    store.tell(0, Ok(()));
    house.run();
    let ok = ReasonCode::Success;
    let expected = [Got::Puback(1, ok), Got::Puback(2, FULL), Got::Puback(3, ok)];
    assert_eq!(writer.take(), expected);
}

// 3.x has no way to say that a message was not kept but to close without acknowledging it.
#[test]
fn a_message_that_is_not_kept_closes_a_3_x_connection() {
    for version in OLD {
        let store = Late::with_messages();
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").open();
        for id in 1..=3 {
            writer.publish1(id, "t", "x");
        }
        store.tell(0, Ok(()));
        store.tell(0, Err(Failure::Full));
        house.run();
        let kept = Got::Puback(1, ReasonCode::Success);
        assert_eq!(writer.take(), [kept], "{version}");
        assert_eq!(writer.ending(), Some(Ending::Closed(FULL)), "{version}");
        store.tell_all();
        house.run();
        assert_eq!(writer.take(), [], "{version}");
        assert_eq!(house.closed("quota_exceeded"), 1);
    }
}

// A failure that cannot be said frees the id as well: what the next connection repeats is new.
// [MQTT311-4.3.3-2]
#[test]
fn a_qos_2_message_that_closed_a_3_x_connection_may_be_sent_again() {
    for version in OLD {
        let store = Late::with_messages();
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").resume().open();
        writer.publish2(1, "t", "x");
        store.tell(0, Err(Failure::Full));
        house.run();
        writer.assert_closed(FULL);
        let writer = house.hello(version, "writer").resume().open();
        writer.publish2(1, "t", "x");
        assert_eq!(writer.take(), [], "{version}");
        assert_eq!(store.tell_all(), 1, "{version}: the store is asked again");
        house.run();
        assert_eq!(
            writer.take(),
            [Got::Pubrec(1, ReasonCode::Success)],
            "{version}"
        );
    }
}

// The same when the failure comes while nobody is there, or for a connection that has come since.
#[test]
fn a_failure_for_an_earlier_connection_frees_the_id() {
    for back_first in [false, true] {
        let store = Late::with_messages();
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
        let writer = house.v5("writer").expiry(60).open();
        writer.publish2(1, "t", "x");
        writer.hang_up();
        if !back_first {
            store.tell(0, Err(Failure::Full));
        }
        let writer = house.v5("writer").expiry(60).open();
        if back_first {
            writer.publish2(1, "t", "x");
            store.tell(0, Err(Failure::Full));
            house.run();
            assert_eq!(writer.take(), [Got::Pubrec(1, FULL)]);
        }
        writer.publish2(1, "t", "x");
        assert_eq!(writer.take(), [], "new, so it waits");
        assert_eq!(store.tell_all(), 1);
        house.run();
        assert_eq!(writer.take(), [Got::Pubrec(1, ReasonCode::Success)]);
    }
}

// Who waited for it is gone, so there is nobody to be told.
#[test]
fn a_failure_for_an_earlier_connection_does_not_end_the_present_one() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let store = Late::with(|record| match record {
            Record::Message(_) => true,
            Record::Subscribed { filters, .. } => filters[0].0 == "a",
            _ => false,
        });
        let house = House::with_store(store.clone());
        house.keep_all_on("t");
        house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
        let lasting = || {
            let hello = house.hello(version, "c").resume();
            match version {
                Version::V5 => hello.expiry(60),
                Version::V31 | Version::V311 => hello,
            }
        };
        let old = lasting().open();
        old.publish1(1, "t", "x");
        old.send_subscribe(2, &[("a", SubscriptionOptions::v3(QoS::AtLeastOnce))], None);
        let new = lasting().open();
        old.assert_closed(ReasonCode::SessionTakenOver);
        for _ in 0..2 {
            store.tell(0, Err(Failure::Full));
        }
        house.run();
        assert_eq!((new.take(), new.ending()), (vec![], None), "{version}");
        new.publish1(1, "t", "x");
        store.tell_all();
        house.run();
        assert_eq!(
            new.take(),
            [Got::Puback(1, ReasonCode::Success)],
            "{version}"
        );
    }
}

#[test]
fn only_the_record_that_fails_is_refused() {
    // Two records before them make somebody who is to have them.
    let third = |number, _: &Record<'_>| (number == 2 + 3).then_some(Failure::Full);
    let house = House::with_store(Failing::when(third));
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for id in 1..=5 {
        writer.publish1(id, "t", "x");
    }
    let code = |id| if id == 3 { FULL } else { ReasonCode::Success };
    let expected: Vec<_> = (1..=5).map(|id| Got::Puback(id, code(id))).collect();
    assert_eq!(writer.take(), expected);
}

// [MQTT5-3.1.4-2] [MQTT5-3.2.2-7] [MQTT311-3.2.2-5]
#[test]
fn a_session_that_cannot_be_kept_is_not_opened() {
    let opened =
        |_, record: &Record<'_>| matches!(record, Record::Opened { .. }).then_some(Failure::Broken);
    for version in [Version::V31, Version::V311, Version::V5] {
        let house = House::with_store(Failing::when(opened));
        let mut hello = house.hello(version, "c").resume();
        if version == Version::V5 {
            hello = hello.expiry(60);
        }
        let client = hello.send();
        assert_eq!(
            client.welcome().code,
            ReasonCode::ServerUnavailable,
            "{version}"
        );
        assert_eq!(client.take(), []);
        let ending = Ending::Closed(ReasonCode::ServerUnavailable);
        assert_eq!(client.ending(), Some(ending));
        assert_eq!(house.gauge(Gauge::Sessions), 0);
        assert_eq!(
            house.snapshot().refused,
            [(ReasonCode::ServerUnavailable, 1)]
        );
    }
}

fn subscriptions(_: usize, record: &Record<'_>) -> Option<Failure> {
    let broken = matches!(
        record,
        Record::Subscribed { .. } | Record::Unsubscribed { .. }
    );
    broken.then_some(Failure::Full)
}

// What was subscribed to is in force by then, so the connection ends and the client asks again.
// [MQTT5-3.8.4-7]
#[test]
fn a_subscription_that_is_not_kept_is_not_granted() {
    let house = House::with_store(Failing::when(subscriptions));
    let client = house.v5("c").expiry(60).open();
    let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
    client.send_subscribe(1, &[("a", options), ("b", options)], None);
    client.assert_closed(FULL);
}

// UNSUBACK has no 0x97. [MQTT5-3.11.3-2]
#[test]
fn an_unsubscribe_that_is_not_kept_is_not_confirmed() {
    let store = Late::with(|record| matches!(record, Record::Unsubscribed { .. }));
    let house = House::with_store(store.clone());
    let client = house.v5("c").expiry(60).open();
    client.subscribe("a", QoS::AtLeastOnce);
    client.send_unsubscribe(2, &["a"]);
    store.tell(0, Err(Failure::Full));
    house.run();
    client.assert_closed(FULL);
}

#[test]
fn a_3_x_connection_is_closed_when_its_subscription_is_not_kept() {
    for version in OLD {
        let house = House::with_store(Failing::when(subscriptions));
        let client = house.hello(version, "c").resume().open();
        let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
        client.send_subscribe(1, &[("a", options)], None);
        assert_eq!(client.take(), [], "{version}");
        assert_eq!(client.ending(), Some(Ending::Closed(FULL)), "{version}");
    }
}

// PUBCOMP knows 0x00 and 0x92 only, so what is not kept cannot be said with it; that no illegal
// packet is sent is checked by the decoder. [MQTT5-3.7.2-1]
#[test]
fn a_release_that_is_not_kept_is_not_confirmed_with_a_code_that_pubcomp_lacks() {
    let store = Late::with(|record| matches!(record, Record::Released { .. }));
    let house = House::with_store(store.clone());
    let writer = house.v5("writer").expiry(60).open();
    writer.publish2(1, "t", "x");
    assert!(matches!(writer.take()[..], [Got::Pubrec(1, _)]));
    writer.pubrel(1);
    store.tell(0, Err(Failure::Broken));
    house.run();
    writer.assert_closed(FULL);
}

#[test]
fn wills_that_cannot_be_kept_reach_who_is_there() {
    let house = House::with_store(Failing::with_messages());
    house.keep_all_on("t");
    let reader = house.v5("reader").open();
    reader.subscribe("will", QoS::AtMostOnce);
    let client = house.v5("c").will("will", "gone").open();
    client.hang_up();
    assert_eq!(reader.payloads(), ["gone"]);
}
