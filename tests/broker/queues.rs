//! What waits for a client: in order, in bounds, and counted when it is dropped.

use postbud::broker::Ending;
use postbud::codec::{Packet, QoS, Version};
use postbud::queue::DropReason;
use postbud::queue::options::Overflow;

use crate::client::{Client, numbers, publish};
use crate::house::House;

fn fill(writer: Client<'_>, count: u16) {
    for id in 1..=count {
        writer.publish1(id, "t", &id.to_string());
    }
}

#[test]
fn a_queue_is_bounded_in_messages_and_drops_what_it_is_told_to() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        for connected in [true, false] {
            let house = House::with_options(|options| {
                options.session.queue.messages = 3;
                options.session.queue.overflow = overflow;
            });
            let reader = house.v5("reader").expiry(60).receive_maximum(1).open();
            reader.subscribe("t", QoS::AtLeastOnce);
            if !connected {
                reader.hang_up();
            }
            fill(house.v5("writer").open(), 10);
            let sent = u64::from(connected);
            assert_eq!(house.dropped(DropReason::QueueFull), 7 - sent);
            let reader = match connected {
                true => reader,
                false => house.v5("reader").expiry(60).open(),
            };
            let first = usize::from(connected);
            let kept = match overflow {
                Overflow::DropNewest => numbers(1, 3 + first),
                Overflow::DropOldest => [numbers(1, first), numbers(8, 10)].concat(),
            };
            assert_eq!(reader.drain(), kept, "{overflow:?} {connected}");
        }
    }
}

#[test]
fn a_queue_is_bounded_in_bytes() {
    let house = House::with_options(|options| options.session.queue.bytes = 1000);
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    reader.hang_up();
    let writer = house.v5("writer").open();
    for id in 1..=10 {
        writer.publish1(id, "t", &"x".repeat(199));
    }
    assert_eq!(house.dropped(DropReason::QueueFull), 5);
    assert_eq!(house.v5("reader").expiry(60).open().drain().len(), 5);
}

#[test]
fn a_client_that_does_not_read_gets_everything_in_order_when_it_does() {
    for direct in [true, false] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let house = House::with_options(|options| options.session.unsent_maximum = 200);
            let hello = house.v311("reader");
            let reader = if direct { hello } else { hello.indirect() }.open();
            reader.subscribe("t", qos);
            reader.set_room(Some(0));
            let writer = house.v5("writer").open();
            for number in 1..=200 {
                writer.publish1(number, "t", &number.to_string());
            }
            assert_eq!(reader.take(), []);
            let mut seen = Vec::new();
            for _ in 0..400 {
                reader.set_room(Some(13));
                for message in reader.messages() {
                    seen.push(message.payload);
                    if message.id > 0 {
                        reader.puback(message.id);
                    }
                }
            }
            assert_eq!(seen, numbers(1, 200), "{direct} {qos}");
        }
    }
}

#[test]
fn qos_0_for_a_client_that_does_not_read_is_bounded_and_counted() {
    let house = House::with_options(|options| {
        options.session.unsent_maximum = 100;
        options.session.queue.messages = 5;
    });
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    reader.set_room(Some(0));
    let writer = house.v5("writer").open();
    for number in 1..=100 {
        writer.publish("t", &number.to_string());
    }
    reader.set_room(None);
    let seen = reader.payloads();
    assert_eq!(seen, numbers(1, seen.len()));
    assert_eq!(
        house.dropped(DropReason::QueueFull) as usize,
        100 - seen.len()
    );
    assert!((6..30).contains(&seen.len()), "{}", seen.len());
}

#[test]
fn one_client_that_does_not_read_keeps_nobody_waiting() {
    let house = House::new();
    let [stuck, well] = ["stuck", "well"].map(|id| house.v5(id).open());
    for client in [stuck, well] {
        client.subscribe("t", QoS::AtMostOnce);
    }
    stuck.set_room(Some(0));
    let writer = house.v5("writer").open();
    for number in 1..=1000 {
        writer.publish("t", &number.to_string());
    }
    assert_eq!(well.payloads(), numbers(1, 1000));
}

#[test]
fn a_socket_that_breaks_ends_its_own_connection_only() {
    for direct in [true, false] {
        let house = House::new();
        let hello = house.v5("broken").expiry(60).will("t", "gone");
        let broken = if direct { hello } else { hello.indirect() }.open();
        let well = house.v5("well").open();
        for client in [broken, well] {
            client.subscribe("t", QoS::AtLeastOnce);
        }
        let writer = house.v5("writer").open();
        broken.break_down();
        writer.publish1(1, "t", "x");
        assert_eq!(broken.ending(), Some(Ending::TransportError), "{direct}");
        assert_eq!(well.payloads(), ["x", "gone"]);
        assert_eq!(house.closed("transport_error"), 1);
        let back = house.v5("broken").expiry(60).open();
        assert_eq!(back.drain(), ["x"], "{direct}: nothing is lost");
    }
}

// [MQTT311-3.1.2-5]
#[test]
fn qos_0_does_not_wait_for_who_is_away_unless_so_configured() {
    for kept in [false, true] {
        let house = House::with_options(|options| options.session.queue_qos0_offline = kept);
        let reader = house.v311("reader").resume().open();
        reader.subscribe("t", QoS::AtLeastOnce);
        reader.hang_up();
        let writer = house.v5("writer").open();
        writer.publish("t", "light");
        writer.publish1(1, "t", "heavy");
        let mut seen = house.v311("reader").resume().open().drain();
        seen.sort();
        let expected: &[&str] = if kept {
            &["heavy", "light"]
        } else {
            &["heavy"]
        };
        assert_eq!(seen, expected);
        assert_eq!(house.dropped(DropReason::Away), u64::from(!kept));
    }
}

// [MQTT5-3.3.2-5] [MQTT5-3.3.2-6]
#[test]
fn a_message_expires_while_it_waits_and_tells_what_is_left() {
    let house = House::new();
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    reader.hang_up();
    let writer = house.v5("writer").open();
    for (id, seconds) in [(1, 10), (2, 30), (3, 10)] {
        let payload = id.to_string();
        let mut message = publish(QoS::AtLeastOnce, id, "t", &payload);
        message.properties.message_expiry = Some(seconds);
        writer.send(&Packet::Publish(message));
    }
    house.seconds(12);
    let messages = house.v5("reader").expiry(60).open().messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (messages[0].payload.as_str(), messages[0].expiry),
        ("2", Some(18))
    );
    assert_eq!(house.dropped(DropReason::Expired), 2);
}

#[test]
fn a_message_for_a_blocked_quota_expires_too() {
    let house = House::new();
    let reader = house.v5("reader").receive_maximum(1).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "in flight");
    let mut brief = publish(QoS::AtLeastOnce, 2, "t", "brief");
    brief.properties.message_expiry = Some(5);
    writer.send(&Packet::Publish(brief));
    writer.publish1(3, "t", "lasting");
    house.seconds(5);
    assert_eq!(reader.drain(), ["in flight", "lasting"]);
}

// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn a_message_that_is_too_large_for_a_client_is_dropped_as_if_delivered() {
    let house = House::new();
    let small = house
        .v5("small")
        .packet_size_maximum(50)
        .receive_maximum(1)
        .open();
    let large = house.v5("large").open();
    for client in [small, large] {
        client.subscribe("t", QoS::AtLeastOnce);
    }
    let writer = house.v5("writer").open();
    let long = "x".repeat(60);
    writer.publish1(1, "t", &long);
    writer.publish1(2, "t", "short");
    assert_eq!(small.payloads(), ["short"]);
    assert_eq!(large.payloads(), [long.as_str(), "short"]);
    assert_eq!(house.dropped(DropReason::PacketTooLarge), 1);
}

// [MQTT5-3.1.2-24]
#[test]
fn no_answer_is_larger_than_the_client_takes() {
    let house = House::new();
    let client = house.v5("c").packet_size_maximum(20).open();
    let names: Vec<_> = (0..30).map(|number| format!("t/{number}")).collect();
    let options = Default::default();
    let filters: Vec<_> = names.iter().map(|name| (name.as_str(), options)).collect();
    client.send_subscribe(1, &filters, None);
    // The book of the client checks the size; silence or a DISCONNECT are both in order.
    client.take();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    client.send_unsubscribe(2, &names);
    client.take();
}

#[test]
fn messages_of_one_publisher_stay_in_order_whatever_happens_to_the_reader() {
    for version in [Version::V311, Version::V5] {
        let house = House::with_options(|options| options.session.unsent_maximum = 100);
        let connect = || {
            let hello = house.hello(version, "reader").resume();
            match version {
                Version::V5 => hello.expiry(60).receive_maximum(3).open(),
                _ => hello.open(),
            }
        };
        let mut reader = connect();
        reader.subscribe("t", QoS::AtLeastOnce);
        let writer = house.v5("writer").open();
        let mut seen: Vec<usize> = Vec::new();
        for id in 1..=120 {
            writer.publish1(id, "t", &id.to_string());
            match id % 10 {
                2 => reader.set_room(Some(11)),
                5 => reader.set_room(None),
                7 => {
                    reader.hang_up();
                    reader = connect();
                }
                9 => seen.extend(
                    reader
                        .drain()
                        .iter()
                        .map(|n| n.parse::<usize>().unwrap_or(0)),
                ),
                _ => {}
            }
        }
        seen.extend(
            reader
                .drain()
                .iter()
                .map(|n| n.parse::<usize>().unwrap_or(0)),
        );
        assert_eq!(seen, (1..=120).collect::<Vec<_>>(), "{version}");
    }
}
