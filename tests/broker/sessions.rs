//! Clean start, resumption and Session Present, in every combination and version.

use postbud::broker::{Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, Version};

use crate::client::{Client, Hello, numbers};
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// A client that asks for its session and leaves one behind.
fn lasting<'a>(house: &'a House, version: Version, id: &'a str) -> Hello<'a> {
    let hello = house.hello(version, id).resume();
    match version {
        Version::V5 => hello.expiry(3600),
        Version::V31 | Version::V311 => hello,
    }
}

/// A client that wants nothing of before and leaves nothing behind.
fn passing<'a>(house: &'a House, version: Version, id: &'a str) -> Hello<'a> {
    house.hello(version, id).clean()
}

fn leave(client: Client<'_>, gracefully: bool) {
    if gracefully {
        client.disconnect();
    } else {
        client.hang_up();
    }
}

// [MQTT5-3.1.2-4] [MQTT5-3.1.2-5] [MQTT5-3.1.2-6] [MQTT5-3.2.2-2] [MQTT5-3.2.2-3] [MQTT311-3.1.2-4]
// [MQTT311-3.1.2-6] [MQTT311-3.2.2-1] [MQTT311-3.2.2-2] [MQTT311-3.2.2-3]
#[test]
fn a_session_is_present_when_it_was_left_and_is_asked_for() {
    for version in VERSIONS {
        for gracefully in [true, false] {
            for (before_lasts, asked_for) in [(true, true), (true, false), (false, true)] {
                let house = House::new();
                let hello = if before_lasts { lasting } else { passing };
                let (before, present) = hello(&house, version, "c").open_present();
                assert!(!present, "{version}: there was none");
                before.subscribe("t", QoS::AtLeastOnce);
                leave(before, gracefully);
                house.v5("writer").open().publish1(1, "t", "meanwhile");
                let hello = if asked_for { lasting } else { passing };
                let (after, present) = hello(&house, version, "c").open_present();
                let resumed = before_lasts && asked_for;
                // 3.1 has no flag for it.
                assert_eq!(present, resumed && version != Version::V31, "{version}");
                let waited = after.payloads();
                assert_eq!(
                    waited,
                    if resumed { vec!["meanwhile"] } else { vec![] },
                    "{version}"
                );
                let kept = i64::from(resumed);
                assert_eq!(house.gauge(Gauge::Subscriptions), kept, "{version}");
            }
        }
    }
}

#[test]
fn versions_may_change_from_one_connection_to_the_next() {
    let house = House::new();
    let client = lasting(&house, Version::V311, "c").open();
    client.subscribe("t", QoS::ExactlyOnce);
    client.disconnect();
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "1");
    writer.publish2(2, "t", "2");
    let (client, present) = lasting(&house, Version::V5, "c").open_present();
    assert!(present);
    assert_eq!(client.drain(), numbers(1, 2));
}

// [MQTT5-3.1.2-23] [MQTT311-3.1.2-5]
#[test]
fn what_comes_while_a_client_is_away_waits_in_order() {
    let house = House::new();
    let client = house.v5("c").expiry(60).open();
    client.subscribe("t", QoS::ExactlyOnce);
    client.hang_up();
    let writer = house.v5("writer").open();
    for id in 1..=20 {
        match id % 2 {
            0 => writer.publish1(id, "t", &id.to_string()),
            _ => writer.publish2(id, "t", &id.to_string()),
        }
    }
    let client = house.v5("c").expiry(60).receive_maximum(3).open();
    assert_eq!(client.drain(), numbers(1, 20));
}

// [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]
#[test]
fn unacknowledged_messages_are_sent_again_with_their_ids_and_dup() {
    for version in VERSIONS {
        let house = House::new();
        let client = lasting(&house, version, "c").open();
        client.subscribe("t", QoS::ExactlyOnce);
        let writer = house.v5("writer").open();
        writer.publish1(1, "t", "a");
        writer.publish2(2, "t", "b");
        writer.publish1(3, "t", "c");
        let first = client.messages();
        client.puback(first[0].id);
        client.hang_up();
        let client = lasting(&house, version, "c").open();
        let again = client.messages();
        assert_eq!(again.len(), 2, "{version}");
        for (again, first) in again.iter().zip(&first[1..]) {
            assert!(again.dup && !first.dup, "{version}");
            assert_eq!((again.id, &again.payload), (first.id, &first.payload));
        }
        writer.publish1(4, "t", "d");
        let new = client.messages();
        assert!(!new[0].dup, "{version}");
    }
}

// [MQTT5-3.1.3-6] [MQTT5-3.1.3-7] [MQTT5-3.2.2-16] [MQTT311-3.1.3-6]
#[test]
fn a_client_without_a_name_is_given_one_that_nobody_has() {
    let house = House::new();
    let names: Vec<_> = (0..3)
        .map(|_| house.v5("").send().welcome().assigned_id.expect("a name"))
        .collect();
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
    let old = house.v311("").open();
    assert_eq!(old.ending(), None);
    assert_eq!(house.gauge(Gauge::Sessions), 4);
}

// [MQTT311-3.1.3-8]
#[test]
fn a_3_1_1_client_without_a_name_cannot_ask_for_a_session() {
    let house = House::new();
    let client = house.v311("").resume().send();
    assert_eq!(client.welcome().code, ReasonCode::ClientIdentifierNotValid);
    let ending = Ending::Closed(ReasonCode::ClientIdentifierNotValid);
    assert_eq!(client.ending(), Some(ending));
    assert_eq!(house.gauge(Gauge::Sessions), 0);
}

// [MQTT5-3.1.3-2]
#[test]
fn sessions_are_told_apart_by_their_client_identifier_byte_for_byte() {
    let house = House::new();
    let [lower, upper] = ["client", "Client"].map(|id| house.v5(id).expiry(60).open());
    lower.subscribe("t", QoS::AtMostOnce);
    house.v5("writer").open().publish("t", "x");
    assert_eq!(lower.payloads(), ["x"]);
    assert_eq!(upper.take(), []);
    assert_eq!(upper.ending(), None);
}

// [MQTT5-3.8.4-3] [MQTT5-3.3.4-2] [MQTT5-3.3.4-3] [MQTT5-3.3.4-4] [MQTT311-3.3.5-1]
#[test]
fn overlapping_subscriptions_give_one_delivery_with_the_highest_qos_and_all_identifiers() {
    let house = House::new();
    let client = house.v5("c").open();
    let options = |qos| postbud::codec::SubscriptionOptions::v3(qos);
    client.subscribe_with("a/#", options(QoS::AtMostOnce), Some(1));
    client.subscribe_with("a/+", options(QoS::AtLeastOnce), Some(2));
    client.subscribe_with("a/b", options(QoS::AtMostOnce), Some(2));
    client.subscribe_with("a/b", options(QoS::AtMostOnce), Some(3));
    house.v5("writer").open().publish2(1, "a/b", "x");
    let messages = client.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].qos, QoS::AtLeastOnce);
    let mut ids = messages[0].subscriptions.clone();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

// [MQTT5-3.8.3-3]
#[test]
fn no_local_keeps_back_what_the_client_published_itself_and_nothing_else() {
    let house = House::new();
    let client = house.v5("c").open();
    let options = postbud::codec::SubscriptionOptions {
        no_local: true,
        ..Default::default()
    };
    client.subscribe_with("t", options, None);
    client.publish("t", "own");
    house.v5("other").open().publish("t", "other");
    assert_eq!(client.payloads(), ["other"]);
    client.subscribe("+", QoS::AtMostOnce);
    client.publish("t", "through the other subscription");
    assert_eq!(client.payloads(), ["through the other subscription"]);
}

// [MQTT5-3.10.4-3] [MQTT5-3.10.4-2] [MQTT311-3.10.4-3]
#[test]
fn unsubscribing_stops_new_messages_and_finishes_what_was_begun() {
    let house = House::new();
    let client = house.v5("c").expiry(60).receive_maximum(1).open();
    client.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish2(1, "t", "begun");
    writer.publish2(2, "t", "queued");
    let begun = client.messages();
    client.unsubscribe("t");
    writer.publish2(3, "t", "new");
    client.hang_up();
    let client = house.v5("c").expiry(60).open();
    let again = client.messages();
    assert_eq!((again[0].id, again[0].dup), (begun[0].id, true));
    assert!(again.iter().all(|message| message.payload != "new"));
    client.pubrec(begun[0].id);
    assert_eq!(
        client.take(),
        [Got::Pubrel(begun[0].id, ReasonCode::Success)]
    );
}
