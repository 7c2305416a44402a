//! A publisher remembers where its topics lead; a change of subscriptions shows all the same.

use postbud::codec::{QoS, ReasonCode, SubscriptionOptions};

use crate::house::House;
use crate::received::Got;

#[test]
fn a_subscription_is_seen_by_the_very_next_message() {
    let filters = [
        "a/b/c", "a/b/+", "a/+/c", "a/#", "a/b/c/#", "+/b/c", "+/+/+", "#",
    ];
    let house = House::new();
    let writer = house.v5("writer").open();
    for filter in filters {
        let reader = house.v5("reader").open();
        for round in 0..3 {
            writer.publish("a/b/c", "before");
            assert_eq!(reader.take(), [], "{filter} {round}");
            reader.subscribe(filter, QoS::AtMostOnce);
            writer.publish("a/b/c", "during");
            assert_eq!(reader.payloads(), ["during"], "{filter} {round}");
            reader.unsubscribe(filter);
        }
    }
}

#[test]
fn changed_options_are_seen_by_the_very_next_message() {
    let house = House::new();
    let (writer, reader) = (house.v5("writer").open(), house.v5("reader").open());
    for (round, qos) in [0, 2, 1, 2].into_iter().enumerate() {
        let qos = QoS::from_bits(qos).expect("a QoS");
        let id = u32::try_from(round).expect("small") + 1;
        reader.subscribe_with("t", SubscriptionOptions::v3(qos), Some(id));
        writer.publish2(id as u16, "t", "x");
        let messages = reader.messages();
        assert_eq!(
            (messages[0].qos, &messages[0].subscriptions[..]),
            (qos, &[id][..])
        );
    }
}

#[test]
fn the_end_of_a_session_is_seen() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtLeastOnce);
    writer.publish1(1, "t", "x");
    reader.hang_up();
    writer.take();
    writer.publish1(2, "t", "y");
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(writer.take(), [Got::Puback(2, nobody)]);
}

#[test]
fn a_session_that_begins_anew_under_the_same_name_is_another() {
    let house = House::new();
    let writer = house.v5("writer").open();
    for round in 0..5 {
        let reader = house.v5("reader").expiry(60).clean().open();
        writer.publish("t", "not yet");
        assert_eq!(reader.take(), [], "{round}");
        reader.subscribe("t", QoS::AtMostOnce);
        writer.publish("t", "now");
        assert_eq!(reader.payloads(), ["now"], "{round}");
    }
}

#[test]
fn groups_that_come_and_go_are_seen() {
    let house = House::new();
    let writer = house.v5("writer").open();
    for round in 0..5 {
        writer.publish("t", "nobody");
        let reader = house.v5("reader").open();
        reader.subscribe("$share/g/t", QoS::AtMostOnce);
        writer.publish("t", "somebody");
        assert_eq!(reader.payloads(), ["somebody"], "{round}");
        if round % 2 == 0 {
            reader.unsubscribe("$share/g/t");
        } else {
            reader.hang_up();
        }
    }
}

#[test]
fn churn_elsewhere_loses_nothing() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let reader = house.v5("reader").open();
    reader.subscribe("site/1/+", QoS::AtMostOnce);
    let churn = house.v5("churn").open();
    for number in 0..500 {
        let filter = format!("site/{}/x", number + 2);
        churn.subscribe(&filter, QoS::AtMostOnce);
        writer.publish("site/1/x", "x");
        if number % 2 == 0 {
            churn.unsubscribe(&filter);
        }
    }
    assert_eq!(reader.payloads().len(), 500);
    assert_eq!(churn.take(), []);
}

#[test]
fn a_publisher_with_many_topics_forgets_and_finds_them_again() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let reader = house.v5("reader").open();
    reader.subscribe("many/#", QoS::AtMostOnce);
    for _ in 0..3 {
        for number in 0..200 {
            writer.publish(&format!("many/{number}"), &number.to_string());
        }
        let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
        assert_eq!(reader.payloads(), expected);
    }
}

#[test]
fn aliases_of_the_publisher_lead_to_the_same_places() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let readers = ["a", "b"].map(|topic| {
        let reader = house.v5(topic).open();
        reader.subscribe(topic, QoS::AtMostOnce);
        reader
    });
    for (topic, payload) in [("a", "1"), ("", "2"), ("b", "3"), ("", "4")] {
        let mut publish = crate::client::publish(QoS::AtMostOnce, 0, topic, payload);
        publish.properties.topic_alias = std::num::NonZeroU16::new(1);
        writer.send(&postbud::codec::Packet::Publish(publish));
    }
    assert_eq!(readers[0].payloads(), ["1", "2"]);
    assert_eq!(readers[1].payloads(), ["3", "4"]);
}
