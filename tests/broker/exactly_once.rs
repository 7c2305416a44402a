//! QoS 2, cut off after each step from either side.

use postbud::codec::{Packet, QoS, ReasonCode, Version};

use crate::client::{Client, Hello, ack, publish};
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const OK: ReasonCode = ReasonCode::Success;

fn lasting<'a>(house: &'a House, version: Version, id: &'a str) -> Hello<'a> {
    let hello = house.hello(version, id).resume();
    match version {
        Version::V5 => hello.expiry(3600),
        Version::V31 | Version::V311 => hello,
    }
}

fn again(client: Client<'_>, id: u16, payload: &str) {
    let mut publish = publish(QoS::ExactlyOnce, id, "t", payload);
    publish.dup = true;
    client.send(&Packet::Publish(publish));
}

// [MQTT5-4.3.3-10] [MQTT5-4.3.3-11] [MQTT5-4.3.3-12] [MQTT311-4.3.3-2]
#[test]
fn inbound_a_message_is_routed_once_wherever_the_connection_is_cut() {
    for version in VERSIONS {
        for cut in 0..4 {
            let house = House::new();
            let reader = house.v5("reader").open();
            reader.subscribe("t", QoS::AtMostOnce);
            let mut writer = lasting(&house, version, "writer").open();
            let reconnect = || lasting(&house, version, "writer").open();
            writer.publish2(7, "t", "once");
            if cut == 0 {
                // PUBREC is lost.
                writer.hang_up();
                writer = reconnect();
                again(writer, 7, "once");
            }
            assert_eq!(writer.take(), [Got::Pubrec(7, OK)], "{version} {cut}");
            if cut == 1 {
                // PUBREL was not sent.
                writer.hang_up();
                writer = reconnect();
            }
            writer.pubrel(7);
            if cut == 2 {
                // PUBCOMP is lost: the id is free, which the client cannot know.
                writer.hang_up();
                writer = reconnect();
                writer.pubrel(7);
                let code = match version {
                    Version::V5 => ReasonCode::PacketIdentifierNotFound,
                    _ => OK,
                };
                assert_eq!(writer.take(), [Got::Pubcomp(7, code)], "{version}");
            } else {
                assert_eq!(writer.take(), [Got::Pubcomp(7, OK)], "{version} {cut}");
            }
            assert_eq!(reader.payloads(), ["once"], "{version} {cut}");
            writer.publish2(7, "t", "new");
            assert_eq!(
                reader.payloads(),
                ["new"],
                "{version} {cut}: the id is free"
            );
        }
    }
}

// [MQTT5-4.3.3-10]
#[test]
fn inbound_a_repeated_publish_is_answered_again_and_routed_once() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").open();
        writer.publish2(7, "t", "once");
        again(writer, 7, "once");
        assert_eq!(
            writer.take(),
            [Got::Pubrec(7, OK), Got::Pubrec(7, OK)],
            "{version}"
        );
        assert_eq!(reader.payloads(), ["once"], "{version}");
    }
}

#[test]
fn inbound_ids_of_a_session_that_has_ended_are_new() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").expiry(60).open();
    writer.publish2(7, "t", "first");
    writer.hang_up();
    let writer = house.v5("writer").open();
    writer.publish2(7, "t", "second");
    assert_eq!(reader.payloads(), ["first", "second"]);
}

// [MQTT5-4.3.3-3] [MQTT5-4.3.3-4] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6] [MQTT5-4.4.0-1] [MQTT311-4.3.3-1]
// [MQTT311-4.4.0-1]
#[test]
fn outbound_each_step_is_taken_up_where_it_was_cut() {
    for version in VERSIONS {
        for cut in 0..4 {
            let house = House::new();
            let mut reader = lasting(&house, version, "reader").open();
            reader.subscribe("t", QoS::ExactlyOnce);
            let reconnect = || lasting(&house, version, "reader").open();
            house.v5("writer").open().publish2(1, "t", "once");
            let id = reader.messages()[0].id;
            if cut == 0 {
                reader.hang_up();
                reader = reconnect();
                let messages = reader.messages();
                assert_eq!((messages[0].id, messages[0].dup), (id, true), "{version}");
            }
            reader.pubrec(id);
            assert_eq!(reader.take(), [Got::Pubrel(id, OK)], "{version} {cut}");
            if cut == 1 || cut == 2 {
                // PUBREL or PUBCOMP is lost: PUBREL again, the message never.
                reader.hang_up();
                reader = reconnect();
                assert_eq!(reader.take(), [Got::Pubrel(id, OK)], "{version} {cut}");
            }
            reader.pubcomp(id);
            reader.hang_up();
            assert_eq!(reconnect().take(), [], "{version} {cut}: it is over");
        }
    }
}

// [MQTT5-4.3.3-13] [MQTT5-4.3.3-7]
#[test]
fn outbound_a_message_whose_sending_began_does_not_expire() {
    let house = House::new();
    let reader = house.v5("reader").expiry(1000).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let mut message = publish(QoS::ExactlyOnce, 1, "t", "brief");
    message.properties.message_expiry = Some(10);
    house.v5("writer").open().send(&Packet::Publish(message));
    let id = reader.messages()[0].id;
    reader.hang_up();
    house.seconds(100);
    let reader = house.v5("reader").expiry(1000).open();
    assert_eq!(reader.messages()[0].id, id);
    reader.pubrec(id);
    assert_eq!(reader.take(), [Got::Pubrel(id, OK)]);
    reader.pubcomp(id);
}

// [MQTT5-4.4.0-2]
#[test]
fn outbound_a_refusal_ends_the_exchange() {
    let house = House::new();
    let reader = house.v5("reader").expiry(1000).receive_maximum(1).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish2(1, "t", "refused");
    writer.publish1(2, "t", "refused too");
    writer.publish1(3, "t", "taken");
    let id = reader.messages()[0].id;
    reader.send(&Packet::Pubrec(ack(id, ReasonCode::UnspecifiedError)));
    let next = reader.messages();
    assert_eq!(
        next[0].payload, "refused too",
        "its quota is free, and no PUBREL comes"
    );
    reader.send(&Packet::Puback(ack(next[0].id, ReasonCode::NotAuthorized)));
    assert_eq!(reader.messages()[0].payload, "taken");
    reader.hang_up();
    let reader = house.v5("reader").expiry(1000).open();
    assert_eq!(
        reader.payloads(),
        ["taken"],
        "what was refused does not come again"
    );
}

#[test]
fn outbound_an_unknown_pubrec_is_released_as_unknown() {
    let house = House::new();
    let new = house.v5("new").open();
    new.pubrec(9);
    let unknown = ReasonCode::PacketIdentifierNotFound;
    assert_eq!(new.take(), [Got::Pubrel(9, unknown)]);
    let old = house.v311("old").open();
    old.pubrec(9);
    assert_eq!(old.take(), [Got::Pubrel(9, OK)]);
    for client in [new, old] {
        client.puback(9);
        client.pubcomp(9);
        assert_eq!((client.take(), client.ending()), (vec![], None));
    }
}

// [MQTT5-4.6.0-4] [MQTT311-4.6.0-4]
#[test]
fn outbound_pubrels_keep_the_order_of_pubrecs() {
    let house = House::new();
    let reader = house.v311("reader").open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    for id in 1..=3 {
        writer.publish2(id, "t", "x");
    }
    let ids: Vec<_> = reader.messages().iter().map(|message| message.id).collect();
    for index in [2, 0, 1] {
        reader.pubrec(ids[index]);
    }
    let expected = [2, 0, 1].map(|index| Got::Pubrel(ids[index], OK));
    assert_eq!(reader.take(), expected);
}

// Both ways at once, every connection cut after every packet: nothing is lost, nothing comes twice.
#[test]
fn a_message_crosses_two_bad_lines_exactly_once() {
    for version in VERSIONS {
        let house = House::new();
        let reader = lasting(&house, version, "reader").open();
        reader.subscribe("t", QoS::ExactlyOnce);
        reader.hang_up();
        let (mut seen, mut released) = (Vec::new(), 0);
        for id in 1..=20 {
            let payload = id.to_string();
            let writer = lasting(&house, version, "writer").open();
            writer.publish2(id, "t", &payload);
            writer.hang_up();
            let writer = lasting(&house, version, "writer").open();
            again(writer, id, &payload);
            writer.hang_up();
            lasting(&house, version, "writer").open().pubrel(id);
            // The reader handles one packet a connection.
            for _ in 0..3 {
                let reader = lasting(&house, version, "reader").open();
                match reader.take().first() {
                    Some(Got::Publish(message)) => {
                        if !seen.contains(&message.payload) {
                            seen.push(message.payload.clone());
                        }
                        reader.pubrec(message.id);
                    }
                    Some(Got::Pubrel(id, _)) => {
                        released += 1;
                        reader.pubcomp(*id);
                    }
                    other => assert_eq!(other, None),
                }
                reader.hang_up();
            }
        }
        assert_eq!(seen, crate::client::numbers(1, 20), "{version}");
        assert_eq!(released, 20, "{version}");
    }
}
