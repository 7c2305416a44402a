//! Retained messages: kept, found, sent completely, cleared.

use postbud::codec::{Packet, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};

use crate::client::{Client, publish};
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions {
        retain_handling,
        ..Default::default()
    }
}

fn retain_many(house: &House, count: usize) -> Vec<String> {
    let writer = house.v5("writer").open();
    let names: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
    for name in &names {
        let topic = format!("many/{name}");
        let mut publish = publish(QoS::AtMostOnce, 0, &topic, name);
        publish.retain = true;
        writer.feed(&Packet::Publish(publish));
    }
    house.run();
    assert_eq!(house.broker.retained().0, count);
    names
}

// [MQTT5-3.8.4-3] [MQTT5-3.8.4-8] [MQTT5-3.3.4-3]
// Breaks if: a replaced subscription's feed keeps what the old one was granted.
#[test]
fn what_is_still_due_to_a_replaced_subscription_comes_as_the_new_one_has_it() {
    let house = House::with_options(|options| options.session.inflight_maximum = 1);
    let writer = house.v5("writer").open();
    for (id, topic) in [(1, "t/1"), (2, "t/2")] {
        let mut publish = publish(QoS::AtLeastOnce, id, topic, topic);
        publish.retain = true;
        writer.send(&Packet::Publish(publish));
    }
    let reader = house.v5("reader").open();
    reader.subscribe_with("t/#", SubscriptionOptions::v3(QoS::AtLeastOnce), Some(7));
    let first = reader.messages();
    assert_eq!(first.len(), 1, "one at a time");
    assert_eq!(
        (first[0].qos, &first[0].subscriptions[..]),
        (QoS::AtLeastOnce, &[7][..])
    );
    let fewer = handling(RetainHandling::Never);
    reader.subscribe_with("t/#", fewer, Some(8));
    reader.puback(first[0].id);
    let second = reader.messages();
    assert_eq!(second.len(), 1, "nothing is lost with the replacement");
    assert_eq!((second[0].topic.as_str(), second[0].retain), ("t/2", true));
    assert_eq!(
        (second[0].qos, &second[0].subscriptions[..]),
        (QoS::AtMostOnce, &[8][..])
    );
}

// [MQTT5-3.3.1-5] [MQTT5-3.3.1-8] [MQTT5-3.3.1-12] [MQTT311-3.3.1-6] [MQTT311-3.3.1-8]
// [MQTT311-3.3.1-9] [MQTT311-3.3.1-12]
#[test]
fn the_last_retained_message_of_a_topic_is_sent_for_a_new_subscription() {
    for version in VERSIONS {
        let house = House::new();
        let writer = house.hello(version, "writer").open();
        let early = house.hello(version, "early").open();
        early.subscribe("t", QoS::AtMostOnce);
        writer.retain("t", "first");
        writer.retain("t", "second");
        writer.publish("t", "not retained");
        let live = early.messages();
        assert!(
            live.iter().all(|message| !message.retain),
            "{version}: live"
        );
        assert_eq!(live.len(), 3);
        let late = house.hello(version, "late").open();
        late.subscribe("+", QoS::AtMostOnce);
        let messages = late.messages();
        assert_eq!(messages.len(), 1, "{version}");
        assert_eq!(
            (messages[0].payload.as_str(), messages[0].retain),
            ("second", true)
        );
    }
}

// [MQTT5-3.3.1-9] [MQTT5-3.3.1-10] [MQTT5-3.3.1-11] [MQTT5-3.8.4-4]
#[test]
fn retain_handling_says_when_they_are_sent() {
    let house = House::new();
    house.v5("writer").open().retain("t", "x");
    let cases = [
        (RetainHandling::Always, [1, 1]),
        (RetainHandling::IfNew, [1, 0]),
        (RetainHandling::Never, [0, 0]),
    ];
    for (wanted, expected) in cases {
        let client = house.v5("c").open();
        for count in expected {
            client.subscribe_with("t", handling(wanted), None);
            assert_eq!(client.messages().len(), count, "{wanted:?}");
        }
        client.unsubscribe("t");
        client.subscribe_with("t", handling(wanted), None);
        assert_eq!(
            client.messages().len(),
            expected[0],
            "{wanted:?}: new again"
        );
    }
}

#[test]
fn a_session_that_is_resumed_gets_none_for_its_old_subscriptions() {
    let house = House::new();
    house.v5("writer").open().retain("t", "x");
    let client = house.v5("c").expiry(60).open();
    client.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(client.payloads(), ["x"]);
    client.hang_up();
    let client = house.v5("c").expiry(60).open();
    assert_eq!(client.take(), []);
    client.subscribe_with("t", handling(RetainHandling::IfNew), None);
    assert_eq!(client.take(), [], "it did exist");
}

// [MQTT5-3.3.1-13] [MQTT5-3.8.4-8]
#[test]
fn they_come_with_the_qos_and_identifier_of_the_subscription() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let mut message = publish(QoS::ExactlyOnce, 1, "t", "x");
    message.retain = true;
    writer.send(&Packet::Publish(message));
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let client = house.v5("c").open();
        client.subscribe_with("t", SubscriptionOptions::v3(qos), Some(9));
        let messages = client.messages();
        assert_eq!(
            (messages[0].qos, &messages[0].subscriptions[..]),
            (qos, &[9][..])
        );
        assert!(messages[0].retain && !messages[0].dup);
    }
}

// [MQTT5-3.3.1-13]
#[test]
fn retain_as_published_passes_the_flag_on() {
    let house = House::new();
    let client = house.v5("c").open();
    let options = SubscriptionOptions {
        retain_as_published: true,
        ..Default::default()
    };
    client.subscribe_with("t", options, None);
    let writer = house.v5("writer").open();
    writer.retain("t", "x");
    writer.publish("t", "y");
    let flags: Vec<_> = client
        .messages()
        .iter()
        .map(|message| message.retain)
        .collect();
    assert_eq!(flags, [true, false]);
}

// [MQTT5-3.3.1-6] [MQTT5-3.3.1-7] [MQTT311-3.3.1-10] [MQTT311-3.3.1-11]
#[test]
fn an_empty_payload_clears_a_topic_and_is_delivered_live() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.hello(version, "reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").open();
        writer.retain("t", "x");
        writer.retain("t", "");
        assert_eq!(reader.payloads(), ["x", ""], "{version}");
        assert_eq!(house.broker.retained(), (0, 0), "{version}");
        let late = house.hello(version, "late").open();
        late.subscribe("t", QoS::AtMostOnce);
        assert_eq!(late.take(), [], "{version}");
    }
}

fn read_all(client: Client<'_>, qos: QoS) -> Vec<String> {
    client.send_subscribe(1, &[("many/#", SubscriptionOptions::v3(qos))], None);
    assert_eq!(client.next(), Some(Got::Suback(1, vec![qos as u8])));
    client.drain()
}

#[test]
fn more_than_the_window_takes_come_completely_as_the_client_acknowledges() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let mut names = Vec::new();
    for number in 0..700 {
        let name = format!("{number:05}");
        let topic = format!("many/{name}");
        let mut publish = publish(QoS::ExactlyOnce, 1, &topic, &name);
        publish.retain = true;
        writer.send(&Packet::Publish(publish));
        writer.pubrel(1);
        names.push(name);
    }
    house.run();
    for (version, qos) in [
        (Version::V5, QoS::AtLeastOnce),
        (Version::V311, QoS::ExactlyOnce),
        (Version::V5, QoS::AtMostOnce),
    ] {
        let client = house.hello(version, "c").receive_maximum(5).open();
        assert_eq!(read_all(client, qos), names, "{version} {qos}");
    }
}

#[test]
fn more_than_the_socket_takes_come_completely_as_the_client_reads() {
    for direct in [true, false] {
        let house = House::with_options(|options| options.session.unsent_maximum = 300);
        let names = retain_many(&house, 1000);
        let hello = house.v5("c");
        let client = if direct { hello } else { hello.indirect() }.open();
        client.set_room(Some(100));
        let options = SubscriptionOptions::default();
        client.send_subscribe(1, &[("many/#", options)], None);
        let mut got = Vec::new();
        for _ in 0..1000 {
            client.set_room(Some(77));
            got.extend(client.take());
        }
        assert_eq!(got.remove(0), Got::Suback(1, vec![0]));
        let payload = |got: &Got| match got {
            Got::Publish(message) => message.payload.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(got.iter().map(payload).collect::<Vec<_>>(), names);
    }
}

#[test]
fn they_go_on_coming_after_a_reconnect() {
    let house = House::new();
    let writer = house.v5("writer").open();
    for number in 0..20 {
        let topic = format!("many/{number:02}");
        let payload = format!("{number:02}");
        let mut publish = publish(QoS::AtLeastOnce, 1, &topic, &payload);
        publish.retain = true;
        writer.send(&Packet::Publish(publish));
    }
    let client = house.v5("c").expiry(60).receive_maximum(4).open();
    client.subscribe("many/+", QoS::AtLeastOnce);
    assert_eq!(client.messages().len(), 4);
    client.hang_up();
    let client = house.v5("c").expiry(60).receive_maximum(4).open();
    let payloads = client.drain();
    assert_eq!(payloads.len(), 20);
    assert_eq!((payloads[0].as_str(), payloads[19].as_str()), ("00", "19"));
}

#[test]
fn subscribing_again_starts_again() {
    let house = House::new();
    let names = retain_many(&house, 50);
    let client = house.v5("c").open();
    let options = SubscriptionOptions::default();
    client.subscribe_with("many/#", options, Some(1));
    assert_eq!(client.payloads(), names);
    client.subscribe_with("many/#", options, Some(2));
    let messages = client.messages();
    assert_eq!(messages.len(), 50);
    assert!(messages.iter().all(|message| message.subscriptions == [2]));
}

#[test]
fn unsubscribing_stops_what_has_not_come_yet() {
    let house = House::with_options(|options| options.session.unsent_maximum = 300);
    retain_many(&house, 100);
    let client = house.v5("c").open();
    client.set_room(Some(0));
    let options = SubscriptionOptions::default();
    client.send_subscribe(1, &[("many/#", options)], None);
    client.send_unsubscribe(2, &["many/#"]);
    client.set_room(None);
    let got = client.take();
    // Two wires full: a client that reads nothing is not read either until it does.
    assert!(got.len() < 40, "{} packets", got.len());
    assert_eq!(got.last(), Some(&Got::Unsuback(2, vec![0])));
}

#[test]
fn a_full_store_refuses_new_topics_and_goes_on_with_known_ones() {
    let house = House::with_options(|options| options.pubsub.retained.messages = 2);
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let [new, old] = [house.v5("new").open(), house.v311("old").open()];
    for topic in ["a", "b"] {
        new.retain(topic, "x");
    }
    assert_eq!(reader.payloads(), ["x", "x"]);
    let retained1 = |client: Client<'_>, id, topic: &str| {
        let mut publish = publish(QoS::AtLeastOnce, id, topic, "y");
        publish.retain = true;
        client.send(&Packet::Publish(publish));
        client.take()
    };
    let full = ReasonCode::QuotaExceeded;
    assert_eq!(retained1(new, 1, "c"), [Got::Puback(1, full)]);
    assert_eq!(reader.take(), [], "refused is refused");
    assert_eq!(
        retained1(old, 1, "c"),
        [Got::Puback(1, ReasonCode::Success)]
    );
    assert_eq!(
        reader.payloads(),
        ["y"],
        "3.x cannot be told: delivered, not kept"
    );
    new.retain("c", "at QoS 0");
    assert_eq!(
        reader.payloads(),
        ["at QoS 0"],
        "a live message promises nothing"
    );
    assert_eq!(house.snapshot().retained_refused, 3);
    assert_eq!(
        retained1(new, 2, "a"),
        [Got::Puback(2, ReasonCode::Success)]
    );
    new.retain("b", "");
    assert_eq!(
        retained1(new, 3, "c"),
        [Got::Puback(3, ReasonCode::Success)]
    );
    assert_eq!(house.broker.retained().0, 2);
}

#[test]
fn bytes_are_bounded_too() {
    let house = House::with_options(|options| options.pubsub.retained.bytes = 100);
    let writer = house.v5("writer").open();
    writer.retain("a", &"x".repeat(60));
    writer.retain("b", &"x".repeat(60));
    assert_eq!(house.broker.retained(), (1, 61));
    writer.retain("a", "small");
    writer.retain("b", &"x".repeat(60));
    assert_eq!(house.broker.retained(), (2, 67));
}

// [MQTT5-3.3.2-5] [MQTT5-3.3.2-6]
#[test]
fn they_expire_and_tell_what_is_left_until_then() {
    let house = House::new();
    let writer = house.v5("writer").open();
    let mut brief = publish(QoS::AtMostOnce, 0, "t", "brief");
    brief.retain = true;
    brief.properties.message_expiry = Some(10);
    writer.send(&Packet::Publish(brief));
    house.seconds(4);
    let client = house.v5("c").open();
    client.subscribe("t", QoS::AtMostOnce);
    assert_eq!(client.messages()[0].expiry, Some(6));
    house.seconds(6);
    client.subscribe("t", QoS::AtMostOnce);
    assert_eq!(client.take(), []);
    house.seconds(1);
    assert_eq!(house.broker.retained(), (0, 0), "and make room");
}

// [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
#[test]
fn a_leading_wildcard_finds_no_topic_that_begins_with_a_dollar() {
    let house = House::new();
    let writer = house.v5("writer").open();
    writer.retain("$house/door", "open");
    writer.retain("house/door", "shut");
    let client = house.v5("c").open();
    for filter in ["#", "+/door"] {
        client.subscribe(filter, QoS::AtMostOnce);
        assert_eq!(client.payloads(), ["shut"], "{filter}");
    }
    client.subscribe("$house/#", QoS::AtMostOnce);
    assert_eq!(client.payloads(), ["open"]);
}

// [MQTT5-3.2.2-14] [MQTT5-3.2.2-13]
#[test]
fn where_retain_is_not_available_it_is_refused_in_mqtt_5_and_ignored_before() {
    let house = House::with_options(|options| options.pubsub.retained.available = false);
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let new = house.v5("new").open();
    new.retain("t", "x");
    new.assert_closed(ReasonCode::RetainNotSupported);
    let old = house.v311("old").open();
    old.retain("t", "y");
    assert_eq!(reader.payloads(), ["y"]);
    assert_eq!(house.broker.retained().0, 0);
    let hello = house
        .v5("will")
        .will("t", "x")
        .will_with(|will| will.retain = true);
    assert_eq!(hello.send().welcome().code, ReasonCode::RetainNotSupported);
}

#[test]
fn retained_messages_outlive_their_publisher() {
    let house = House::new();
    let writer = house.v5("writer").open();
    writer.retain("t", "x");
    writer.hang_up();
    house.seconds(3600);
    let client = house.v311("c").open();
    client.subscribe("t", QoS::AtMostOnce);
    assert_eq!(client.payloads(), ["x"]);
}
