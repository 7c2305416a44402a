//! What the store is told, so that it could find everything again.

use std::sync::Arc;
use std::time::Duration;

use postbud::codec::{QoS, ReasonCode};

use crate::house::House;
use crate::stores::Recorder;

fn recorded() -> (Arc<Recorder>, House) {
    let store = Arc::new(Recorder::default());
    (Arc::clone(&store), House::with_store(store))
}

#[test]
fn what_ends_with_its_connection_is_not_the_stores_business() {
    let (store, house) = recorded();
    let (reader, writer) = (house.v5("reader").open(), house.v5("writer").open());
    reader.subscribe("t", QoS::ExactlyOnce);
    reader.subscribe("$share/g/u", QoS::ExactlyOnce);
    for topic in ["t", "u"] {
        writer.publish1(1, topic, "one");
        writer.publish2(2, topic, "two");
        writer.pubrel(2);
    }
    reader.drain();
    reader.unsubscribe("t");
    reader.disconnect();
    assert_eq!(store.take(), Vec::<String>::new());
}

#[test]
fn the_life_of_a_session() {
    let (store, house) = recorded();
    let client = house.v5("c").expiry(60).open();
    assert_eq!(store.take(), ["opened c for 60"]);
    client.subscribe("a", QoS::AtLeastOnce);
    client.unsubscribe("a");
    client.send_unsubscribe(1, &["a"]);
    assert_eq!(store.take(), ["subscribed a", "unsubscribed a"]);
    client.disconnect_with(ReasonCode::Success, Some(30));
    assert_eq!(store.take(), ["left for 30, will false"]);
    let client = house
        .v5("c")
        .resume()
        .expiry(10)
        .will("w", "gone")
        .will_delay(5)
        .open();
    client.hang_up();
    assert_eq!(store.take(), ["opened c for 10", "left for 10, will true"]);
    house.seconds(5);
    assert_eq!(store.take(), ["will done"]);
    house.advance(Duration::from_secs(5));
    assert_eq!(store.take(), ["ended"]);
}

#[test]
fn messages_from_their_acceptance_to_their_end() {
    let (store, house) = recorded();
    let reader = house.v5("reader").expiry(60).receive_maximum(1).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let other = house.v5("other").open();
    other.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").expiry(60).open();
    store.take();
    writer.publish("t", "none");
    assert_eq!(store.take(), Vec::<String>::new());
    writer.publish1(1, "t", "one");
    writer.publish2(2, "t", "two");
    assert_eq!(
        store.take(),
        [
            "message one for 1, held 0, retained false",
            "sent 1, of a group false",
            "message two for 1, held 2, retained false",
        ],
        "the quota is used up, and the other one is not kept"
    );
    writer.pubrel(2);
    reader.puback(1);
    assert_eq!(
        store.take(),
        ["released 2", "done 1", "sent 2, of a group false"]
    );
    reader.pubrec(2);
    reader.pubcomp(2);
    assert_eq!(store.take(), ["received 2", "done 2"]);
}

#[test]
fn groups_are_kept_with_their_first_lasting_member() {
    let (store, house) = recorded();
    let fleeting = house.v5("fleeting").open();
    fleeting.subscribe("$share/g/t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "before");
    assert_eq!(store.take(), Vec::<String>::new());
    let lasting = house.v5("lasting").expiry(60).open();
    lasting.subscribe("$share/g/t", QoS::AtLeastOnce);
    lasting.disconnect();
    let told = store.take();
    assert_eq!(told[1..3], ["group g t", "subscribed $share/g/t"]);
    writer.publish1(2, "t", "after");
    let message = "message after for 1, held 0, retained false";
    assert_eq!(store.take(), [message, "sent 2, of a group true"]);
    fleeting.hang_up();
    let told = store.take();
    assert_eq!(
        told.first().map(String::as_str),
        Some("left for 0, will true")
    );
    assert_eq!(told.last().map(String::as_str), Some("ended"));
}

#[test]
fn what_is_retained_and_what_gives_way() {
    let store = Arc::new(Recorder::default());
    let mut setup = crate::house::Setup::default();
    setup.options.session.queue.messages = 1;
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let writer = house.v5("writer").open();
    writer.retain("t", "kept");
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("q", QoS::AtLeastOnce);
    reader.hang_up();
    writer.publish1(1, "q", "first");
    writer.publish1(2, "q", "second");
    let told = store.take();
    assert_eq!(told[0], "message kept for 0, held 0, retained true");
    assert_eq!(
        told[told.len() - 3..],
        [
            "message first for 1, held 0, retained false",
            "message second for 1, held 0, retained false",
            "dropped",
        ]
    );
}
