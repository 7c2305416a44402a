//! One crash at one place of an exchange, and how it goes on there.

use crate::house::House;
use crate::support::DEADLINE;
use crate::wire::{Ack, Connect, Connection, Packet, Publish, Version};

pub const STORE: &str = "[store]\npath = \"{data}\"\n";

const BOTH: [Version; 2] = [Version::V311, Version::V5];

pub fn open(house: &House, connect: &Connect<'_>) -> Connection {
    Connection::open(house.tcp(), connect).expect("the broker is there")
}

/// A message at this QoS, with its text for a payload.
pub fn message(topic: &str, qos: u8, id: u16, payload: &str) -> Publish {
    Publish {
        qos,
        topic: topic.to_owned(),
        id,
        payload: payload.as_bytes().to_vec(),
        ..Publish::default()
    }
}

#[track_caller]
pub fn next(connection: &mut Connection) -> Packet {
    match connection.receive(DEADLINE) {
        Ok(packet) => packet,
        Err(why) => panic!("no packet: {why:?}"),
    }
}

#[track_caller]
pub fn next_message(connection: &mut Connection) -> Publish {
    match next(connection) {
        Packet::Publish(publish) => publish,
        other => panic!("not a PUBLISH: {other:?}"),
    }
}

/// Nothing comes before the answer to a PINGREQ.
#[track_caller]
pub fn nothing(connection: &mut Connection) {
    connection.send(&[0xc0, 0]);
    assert_eq!(next(connection), Packet::Pingresp);
}

/// Subscribes, and waits until that is granted.
#[track_caller]
pub fn subscribe(connection: &mut Connection, filter: &str, qos: u8) {
    connection.subscribe(filter, qos);
    assert_eq!(next(connection), Packet::Suback(1, vec![qos]));
}

/// Publishes and goes through the whole exchange.
#[track_caller]
pub fn publish(connection: &mut Connection, publish: &Publish) {
    connection.publish(publish);
    let id = publish.id;
    match publish.qos {
        0 => {}
        1 => match next(connection) {
            // 0x10: nobody has asked for it.
            Packet::Ack(Ack::Puback, for_id, 0 | 0x10) => assert_eq!(for_id, id),
            other => panic!("no PUBACK: {other:?}"),
        },
        _ => {
            assert_eq!(next(connection), Packet::Ack(Ack::Pubrec, id, 0));
            connection.ack(Ack::Pubrel, id);
            assert_eq!(next(connection), Packet::Ack(Ack::Pubcomp, id, 0));
        }
    }
}

// Breaks if: a delivery in flight is found again with another Packet Identifier, without DUP, in another
// order, or as a PUBLISH although PUBREC had come.
#[test]
fn deliveries_in_flight_come_again_with_their_ids() {
    for version in BOTH {
        let mut house = House::new(STORE);
        house.start();
        let lasting = Connect::lasting(version, "reader");
        let mut reader = open(&house, &lasting);
        subscribe(&mut reader, "r/#", 2);
        let mut writer = open(&house, &Connect::passing(version, "writer"));
        for (id, qos) in [(1, 1), (2, 2), (3, 2), (4, 1), (5, 2)] {
            publish(&mut writer, &message("r/1", qos, id, &id.to_string()));
        }
        let came: Vec<_> = (0..5).map(|_| next_message(&mut reader)).collect();
        assert!(came.iter().all(|it| !it.dup), "{came:?}");
        // The second of QoS 2 is received, and its PUBREL on the way.
        let received = came.iter().filter(|it| it.qos == 2).nth(1);
        let received = received.expect("there are three").id;
        reader.ack(Ack::Pubrec, received);
        assert_eq!(next(&mut reader), Packet::Ack(Ack::Pubrel, received, 0));
        house.settle();
        house.kill();

        house.start();
        let mut reader = open(&house, &lasting);
        assert!(reader.session_present);
        let again: Vec<_> = (0..5).map(|_| next(&mut reader)).collect();
        // Each QoS has an order of its own.
        for qos in [1, 2] {
            let expected = came.iter().filter(|it| it.qos == qos).cloned();
            let expected: Vec<_> = expected
                .map(|it| match it.id == received {
                    true => Packet::Ack(Ack::Pubrel, received, 0),
                    false => Packet::Publish(Publish { dup: true, ..it }),
                })
                .collect();
            let of_qos = |it: &&Packet| match it {
                Packet::Publish(publish) => publish.qos == qos,
                _ => qos == 2,
            };
            let again: Vec<_> = again.iter().filter(of_qos).cloned().collect();
            assert_eq!(again, expected, "{version:?}");
        }
        reader.ack(Ack::Pubcomp, received);
        for before in came.iter().filter(|it| it.id != received) {
            match before.qos {
                1 => reader.ack(Ack::Puback, before.id),
                _ => {
                    reader.ack(Ack::Pubrec, before.id);
                    assert_eq!(next(&mut reader), Packet::Ack(Ack::Pubrel, before.id, 0));
                    reader.ack(Ack::Pubcomp, before.id);
                }
            }
        }
        nothing(&mut reader);
        // What is over stays over.
        house.settle();
        house.kill();
        house.start();
        nothing(&mut open(&house, &lasting));
    }
}

// Breaks if: the broker forgets the Packet Identifiers of QoS 2 messages that it has accepted, or does not
// forget those that were released.
#[test]
fn a_publisher_goes_on_where_it_was() {
    for version in BOTH {
        let mut house = House::new(STORE);
        house.start();
        let lasting = Connect::lasting(version, "writer");
        let mut writer = open(&house, &lasting);
        let mut reader = open(&house, &Connect::lasting(version, "reader"));
        subscribe(&mut reader, "r/#", 1);
        let mut first = message("r/1", 2, 7, "first");
        writer.publish(&first);
        assert_eq!(next(&mut writer), Packet::Ack(Ack::Pubrec, 7, 0));
        house.kill();

        house.start();
        let mut writer = open(&house, &lasting);
        assert!(writer.session_present);
        first.dup = true;
        publish(&mut writer, &first);
        house.kill();

        house.start();
        let mut writer = open(&house, &lasting);
        publish(&mut writer, &message("r/1", 2, 7, "second"));
        let mut reader = open(&house, &Connect::lasting(version, "reader"));
        assert!(reader.session_present);
        for text in ["first", "second"] {
            let came = next_message(&mut reader);
            assert_eq!(came.payload, text.as_bytes(), "{version:?}");
            reader.ack(Ack::Puback, came.id);
        }
        nothing(&mut reader);
    }
}

// Breaks if: SUBACK, UNSUBACK or the CONNACK of a Clean Start leave before they are true after a crash.
#[test]
fn subscriptions_and_their_end_are_found_again() {
    let mut house = House::new(STORE);
    house.start();
    let lasting = Connect::lasting(Version::V5, "reader");
    let mut reader = open(&house, &lasting);
    subscribe(&mut reader, "r/1", 1);
    subscribe(&mut reader, "r/2", 1);
    reader.unsubscribe("r/1");
    assert_eq!(next(&mut reader), Packet::Unsuback(1));
    house.kill();

    house.start();
    let mut writer = open(&house, &Connect::passing(Version::V5, "writer"));
    publish(&mut writer, &message("r/1", 1, 1, "no more"));
    publish(&mut writer, &message("r/2", 1, 2, "still"));
    let mut reader = open(&house, &lasting);
    assert!(reader.session_present);
    let came = next_message(&mut reader);
    assert_eq!(came.payload, b"still");
    let anew = Connect {
        clean: true,
        ..lasting.clone()
    };
    assert!(!open(&house, &anew).session_present);
    house.kill();

    house.start();
    let mut reader = open(&house, &lasting);
    // The session that began with the Clean Start is there, and the old one is not.
    assert!(reader.session_present);
    let mut writer = open(&house, &Connect::passing(Version::V5, "writer"));
    publish(&mut writer, &message("r/2", 1, 1, "to nobody"));
    nothing(&mut reader);
}

// Breaks if: what waits for a group, or was in flight at QoS 1 to a member that is gone, is lost.
#[test]
fn the_backlog_of_a_group_is_found_again() {
    let mut house = House::new(STORE);
    house.start();
    let members = ["a", "b"].map(|name| Connect::lasting(Version::V5, name));
    for member in &members {
        let mut member = open(&house, member);
        subscribe(&mut member, "$share/crew/jobs", 1);
        member.disconnect();
    }
    let mut taker = open(&house, &members[0]);
    let mut writer = open(&house, &Connect::passing(Version::V5, "writer"));
    publish(&mut writer, &message("jobs", 1, 1, "in flight"));
    assert_eq!(next_message(&mut taker).payload, b"in flight");
    drop(taker);
    house.wait_for_sample("postbud_messages_queued", 1.0);
    publish(&mut writer, &message("jobs", 1, 2, "waiting"));
    house.kill();

    house.start();
    let mut other = open(&house, &members[1]);
    for text in ["in flight", "waiting"] {
        let came = next_message(&mut other);
        assert_eq!(came.payload, text.as_bytes());
        other.ack(Ack::Puback, came.id);
    }
    nothing(&mut other);
}

// Breaks if: anything is written for those who asked for nothing to be kept.
#[test]
fn clean_sessions_cost_no_record() {
    let mut house = House::new(STORE);
    house.start();
    for version in BOTH {
        let mut reader = open(&house, &Connect::passing(version, "reader"));
        subscribe(&mut reader, "r/#", 2);
        let mut writer = open(&house, &Connect::passing(version, "writer"));
        for qos in 0..=2 {
            publish(&mut writer, &message("r/1", qos, 1, "x"));
            let came = next_message(&mut reader);
            assert_eq!(came.qos, qos);
            match qos {
                0 => {}
                1 => reader.ack(Ack::Puback, came.id),
                _ => {
                    reader.ack(Ack::Pubrec, came.id);
                    assert_eq!(next(&mut reader), Packet::Ack(Ack::Pubrel, came.id, 0));
                    reader.ack(Ack::Pubcomp, came.id);
                }
            }
        }
        reader.disconnect();
        writer.disconnect();
    }
    assert_eq!(house.sample("postbud_store_records_total"), 0.0);
    // And the counter counts.
    open(&house, &Connect::lasting(Version::V5, "other"));
    assert!(house.sample("postbud_store_records_total") > 0.0);
}

// Breaks if: durability does not follow the topic, or memory costs a record.
#[test]
fn durability_follows_the_topic() {
    let mut house = House::new(
        "[store]\npath = \"{data}\"\n[[store.topics]]\nfilter = \"r/memory/#\"\ndurability = \"memory\"\n",
    );
    house.start();
    let lasting = Connect::lasting(Version::V5, "reader");
    let mut reader = open(&house, &lasting);
    subscribe(&mut reader, "r/#", 1);
    reader.disconnect();
    let mut writer = open(&house, &Connect::passing(Version::V5, "writer"));
    publish(&mut writer, &message("r/memory/1", 1, 1, "forgotten"));
    publish(&mut writer, &message("r/1", 1, 2, "kept"));
    publish(&mut writer, &message("r/memory/2", 1, 3, "forgotten"));
    house.kill();
    house.start();
    let mut reader = open(&house, &lasting);
    assert!(reader.session_present);
    let came = next_message(&mut reader);
    assert_eq!(came.payload, b"kept");
    reader.ack(Ack::Puback, came.id);
    nothing(&mut reader);
}
