//! Receive Maximum, both ways, and its stand-in for clients that have none.

use postbud::codec::{Packet, QoS, ReasonCode, Version};

use crate::client::{ack, numbers, publish};
use crate::house::House;
use crate::received::Got;
use crate::stores::Late;

const OK: ReasonCode = ReasonCode::Success;

// [MQTT5-4.9.0-1] [MQTT5-4.9.0-2] [MQTT5-3.3.4-9]
#[test]
fn no_more_is_in_flight_than_the_client_takes() {
    let house = House::new();
    let reader = house.v5("reader").receive_maximum(3).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    for id in 1..=10 {
        writer.publish1(id, "t", &id.to_string());
    }
    assert_eq!(reader.payloads(), numbers(1, 3));
    assert_eq!(reader.drain(), [""; 0]);
    reader.puback(2);
    assert_eq!(reader.payloads(), ["4"]);
    reader.puback(1);
    reader.puback(3);
    assert_eq!(reader.payloads(), ["5", "6"]);
}

// [MQTT5-3.3.4-10] [MQTT5-4.9.0-3]
#[test]
fn qos_0_and_everything_else_passes_a_full_quota() {
    let house = House::new();
    let reader = house.v5("reader").receive_maximum(1).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "in flight");
    writer.publish1(2, "t", "waits");
    writer.publish("t", "passes");
    assert_eq!(reader.payloads(), ["in flight", "passes"]);
    reader.send(&Packet::Pingreq);
    assert_eq!(reader.take(), [Got::Pingresp]);
    reader.publish1(5, "u", "x");
    assert!(matches!(reader.take()[..], [Got::Puback(5, _)]));
}

#[test]
fn a_qos_2_message_holds_its_place_until_pubcomp() {
    let house = House::new();
    let reader = house.v5("reader").receive_maximum(1).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish2(1, "t", "1");
    writer.publish2(2, "t", "2");
    let id = reader.messages()[0].id;
    reader.pubrec(id);
    assert_eq!(reader.take(), [Got::Pubrel(id, OK)]);
    reader.pubcomp(id);
    assert_eq!(reader.payloads(), ["2"]);
}

#[test]
fn the_configured_maximum_bounds_clients_that_name_none() {
    let house = House::with_options(|options| options.session.inflight_maximum = 2);
    for version in [Version::V31, Version::V311, Version::V5] {
        let reader = house.hello(version, "reader").open();
        reader.subscribe("t", QoS::AtLeastOnce);
        let writer = house.v5("writer").open();
        for id in 1..=6 {
            writer.publish1(id, "t", &id.to_string());
        }
        assert_eq!(reader.payloads(), numbers(1, 2), "{version}");
        reader.puback(1);
        reader.puback(2);
        assert_eq!(reader.drain(), numbers(3, 6), "{version}");
    }
}

// [MQTT5-4.9.0-1]: what is sent again takes its part of the new, smaller quota.
#[test]
fn a_smaller_receive_maximum_holds_from_the_first_packet_of_a_resumed_session() {
    let house = House::new();
    let reader = house.v5("reader").expiry(60).receive_maximum(5).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    for id in 1..=8 {
        writer.publish2(id, "t", &id.to_string());
    }
    assert_eq!(reader.payloads(), numbers(1, 5));
    reader.hang_up();
    let reader = house.v5("reader").expiry(60).receive_maximum(2).open();
    let messages = reader.messages();
    assert_eq!(messages.len(), 2);
    reader.pubrec(messages[0].id);
    reader.pubcomp(messages[0].id);
    let got = reader.take();
    assert_eq!(got.len(), 2, "PUBREL and the third message: {got:?}");
    reader.pubrec(messages[1].id);
    reader.take();
    reader.pubcomp(messages[1].id);
    let mut rest = reader.drain();
    rest.sort();
    // The third was taken off above and not acknowledged.
    assert_eq!(rest.first().map(String::as_str), Some("4"));
}

// [MQTT5-3.3.4-7]
#[test]
fn an_overrun_of_receive_maximum_ends_the_connection_with_0x93() {
    let store = Late::with_messages();
    let mut setup = crate::house::Setup::default();
    setup.options.session.receive_maximum = 3;
    setup.store = store.clone();
    let house = setup.build();
    house.keep_all_on("t");
    house.v5("reader").open().subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for id in 1..=3 {
        writer.publish1(id, "t", "x");
    }
    assert_eq!((writer.take(), writer.ending()), (vec![], None));
    writer.publish1(4, "t", "too many");
    writer.assert_closed(ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(house.closed("receive_maximum_exceeded"), 1);
}

#[test]
fn acknowledged_messages_do_not_count_and_qos_2_counts_to_its_end() {
    let house = House::with_options(|options| options.session.receive_maximum = 2);
    let writer = house.v5("writer").open();
    for id in 1..=100 {
        writer.publish1(id, "t", "x");
    }
    writer.publish2(1, "t", "x");
    writer.publish2(2, "t", "x");
    writer.take();
    writer.pubrel(1);
    assert_eq!(writer.take(), [Got::Pubcomp(1, OK)]);
    writer.publish2(3, "t", "x");
    assert_eq!(writer.ending(), None);
    writer.publish2(4, "t", "x");
    assert_eq!(
        writer.take().last(),
        Some(&Got::Disconnect(ReasonCode::ReceiveMaximumExceeded))
    );
}

#[test]
fn refused_messages_give_their_place_back() {
    let doorman = crate::engines::Doorman::that(|it| it.no_publish = Some("forbidden"));
    let mut setup = crate::house::Setup::default();
    setup.options.session.receive_maximum = 1;
    setup.auth = doorman;
    let house = setup.build();
    let writer = house.v5("writer").open();
    let no = ReasonCode::NotAuthorized;
    for id in 1..=20 {
        writer.publish2(id, "forbidden/t", "x");
        assert_eq!(writer.take(), [Got::Pubrec(id, no)]);
        writer.publish1(id, "forbidden/t", "x");
        assert_eq!(writer.take(), [Got::Puback(id, no)]);
    }
}

#[test]
fn a_3_x_client_with_too_much_unacknowledged_is_not_read_and_goes_on_afterwards() {
    for version in [Version::V31, Version::V311] {
        let store = Late::with_messages();
        let mut setup = crate::house::Setup::default();
        setup.options.session.receive_maximum = 3;
        setup.store = store.clone();
        let house = setup.build();
        house.keep_all_on("t");
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").keep_alive(10).open();
        for id in 1..=10 {
            let payload = id.to_string();
            writer.feed(&Packet::Publish(publish(
                QoS::AtLeastOnce,
                id,
                "t",
                &payload,
            )));
        }
        house.run();
        assert_eq!(reader.payloads(), numbers(1, 3), "{version}");
        assert!(writer.is_paused(), "{version}");
        house.seconds(60);
        assert_eq!(
            writer.ending(),
            None,
            "who is not listened to is not blamed for silence"
        );
        let mut acks = Vec::new();
        for _ in 0..10 {
            store.tell_all();
            house.run();
            acks.extend(writer.take());
        }
        let expected: Vec<_> = (1..=10).map(|id| Got::Puback(id, OK)).collect();
        assert_eq!(acks, expected, "{version}");
        assert_eq!(reader.payloads(), numbers(4, 10), "{version}");
        assert!(!writer.is_paused(), "{version}");
    }
}

// What it sends would be answered into a wire that it does not empty.
#[test]
fn a_client_that_sends_and_does_not_read_is_not_read_either() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let house = House::with_options(|options| options.session.unsent_maximum = 1000);
        let client = house.hello(version, "c").open();
        client.set_room(Some(0));
        for _ in 0..20_000 {
            client.feed(&Packet::Pingreq);
        }
        house.run();
        assert!(client.is_paused(), "{version}");
        let answered = house.snapshot().packets[1];
        assert!(answered < 10_000, "{version}: {answered} answers wait");
        client.set_room(Some(500));
        client.set_room(None);
        assert_eq!(client.take().len(), 20_000, "{version}");
        assert!(!client.is_paused(), "{version}");
    }
}

#[test]
fn acknowledgements_of_another_kind_than_their_message_end_the_connection() {
    for kind in [Packet::Pubrec, Packet::Pubcomp] {
        let house = House::new();
        house.keep_all_on("t");
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtLeastOnce);
        house.v5("writer").open().publish1(1, "t", "x");
        let id = reader.messages()[0].id;
        reader.send(&kind(ack(id, OK)));
        reader.assert_closed(ReasonCode::ProtocolError);
    }
}

#[test]
fn packet_ids_go_around_and_none_is_given_twice() {
    let house = House::new();
    let reader = house.v5("reader").receive_maximum(100).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    // The first stays in flight while all other ids go by; the book of the client checks.
    writer.publish1(1, "t", "kept");
    assert_eq!(reader.messages()[0].id, 1);
    for _ in 0..66_000 {
        writer.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 2, "t", "x")));
        writer.step();
        let id = reader.messages()[0].id;
        assert_ne!(id, 1);
        reader.feed(&Packet::Puback(ack(id, OK)));
        reader.step();
    }
}
