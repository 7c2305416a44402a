//! QoS 2 to a session that is kept: nothing leaves before the store has it, so that nothing comes twice
//! after a crash.

use std::sync::Arc;

use postbud::codec::{QoS, ReasonCode};
use postbud::queue::DropReason;
use postbud::store::record::Record;

use crate::client::publish;
use crate::house::House;
use crate::received::Got;
use crate::stores::{Full, Late};

/// Late with what PUBLISH and PUBREL wait for.
fn late() -> (Arc<Late>, House) {
    let store =
        Late::with(|record| matches!(record, Record::Sent { .. } | Record::Received { .. }));
    (Arc::clone(&store), House::with_store(store))
}

// Breaks if: PUBLISH leaves at once, or never; or the PUBREL before its record is safe.
#[test]
fn publish_and_pubrel_wait_for_the_store() {
    let (store, house) = late();
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish2(1, "t", "one");
    writer.publish1(2, "t", "first");
    assert_eq!(reader.payloads(), ["first"], "QoS 1 waits for nobody");
    store.tell_all();
    house.run();
    let got = reader.messages();
    assert_eq!((got[0].payload.as_str(), got[0].dup), ("one", false));
    reader.pubrec(got[0].id);
    assert_eq!(reader.take(), []);
    store.tell_all();
    house.run();
    assert_eq!(reader.take(), [Got::Pubrel(got[0].id, ReasonCode::Success)]);
    reader.pubcomp(got[0].id);
    assert_eq!(store.tell_all(), 0, "the end waits for nothing");
}

// Breaks if: one outcome opens more than what came before it, or not all of that.
#[test]
fn gates_open_in_their_order() {
    let (store, house) = late();
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    for id in 1..=4 {
        writer.publish2(id, "t", &id.to_string());
    }
    assert_eq!(store.pending().len(), 4);
    store.tell(1, Ok(()));
    house.run();
    assert_eq!(reader.payloads(), ["1", "2"]);
    store.tell_all();
    house.run();
    assert_eq!(reader.payloads(), ["3", "4"]);
}

// Breaks if: what waits at a gate is sent on a new connection before the gate is open, or is forgotten.
#[test]
fn a_gate_stays_closed_over_a_reconnect() {
    let (store, house) = late();
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish2(1, "t", "one");
    reader.hang_up();
    let reader = house.v5("reader").expiry(60).open();
    assert_eq!(reader.take(), []);
    writer.publish1(2, "t", "two");
    store.tell_all();
    house.run();
    let got = reader.messages();
    let mut payloads: Vec<_> = got.iter().map(|it| it.payload.as_str()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, ["one", "two"]);

    // Opened while nobody is there.
    let one = got.iter().find(|it| it.payload == "one").expect("came").id;
    reader.pubrec(one);
    reader.hang_up();
    store.tell_all();
    let reader = house.v5("reader").expiry(60).open();
    assert!(
        reader
            .take()
            .contains(&Got::Pubrel(one, ReasonCode::Success))
    );
}

// Breaks if: a message that cannot be kept is delivered, retained, or acknowledged.
#[test]
fn what_cannot_be_kept_is_refused_before_anybody_has_it() {
    let store = Arc::new(Full::default());
    let house = House::with_store(Arc::clone(&store) as _);
    house.keep_all_on("t/#");
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::ExactlyOnce);
    let (new, old) = (house.v5("new").open(), house.v311("old").open());
    store.set(true);
    store.take();
    new.publish1(1, "t/1", "refused");
    new.publish2(2, "t/2", "refused");
    assert_eq!(
        new.take(),
        [
            Got::Puback(1, ReasonCode::QuotaExceeded),
            Got::Pubrec(2, ReasonCode::QuotaExceeded)
        ]
    );
    let mut retained = publish(QoS::AtLeastOnce, 3, "r", "refused");
    retained.retain = true;
    new.send(&postbud::codec::Packet::Publish(retained));
    assert_eq!(new.take(), [Got::Puback(3, ReasonCode::QuotaExceeded)]);
    assert_eq!(house.broker.retained().0, 0);
    assert_eq!(reader.take(), []);
    old.publish1(1, "t/1", "refused");
    old.assert_closed(ReasonCode::QuotaExceeded);
    assert_eq!(reader.take(), []);
    assert_eq!(store.take(), Vec::<String>::new());
    // What nobody keeps goes on.
    new.publish1(4, "u", "live");
    new.publish("t/0", "live too");
    assert_eq!(reader.drain(), ["live", "live too"]);
    assert_eq!(new.take(), [Got::Puback(4, ReasonCode::Success)]);
    // And so does all else, once there is room: the id of a refused message is free.
    store.set(false);
    new.publish2(2, "t/2", "kept");
    assert_eq!(new.take(), [Got::Pubrec(2, ReasonCode::Success)]);
    assert_eq!(reader.drain(), ["kept"]);
    assert_eq!(house.dropped(DropReason::QueueFull), 0);
}

// Breaks if: a full store keeps clean sessions out, or lets a promise be made that cannot be kept.
#[test]
fn sessions_and_subscriptions_that_cannot_be_kept_are_refused() {
    let store = Arc::new(Full::default());
    let house = House::with_store(Arc::clone(&store) as _);
    let kept = house.v5("kept").expiry(60).open();
    store.set(true);
    let options = postbud::codec::SubscriptionOptions::v3(QoS::AtLeastOnce);
    kept.send_subscribe(1, &[("t", options)], None);
    assert_eq!(kept.take(), [Got::Suback(1, vec![0x97])]);
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "nobody has subscribed");
    let unheard = ReasonCode::NoMatchingSubscribers;
    assert_eq!(writer.take(), [Got::Puback(1, unheard)]);
    let refused = house.v5("late").expiry(60).send();
    assert_eq!(refused.welcome().code, ReasonCode::ServerUnavailable);
    let clean = house.v5("clean").open();
    clean.subscribe("t", QoS::AtLeastOnce);
    store.set(false);
    house.v5("late").expiry(60).open();
}
