//! Maximum Packet Size, to the byte, both ways.
//!
//! What is too large for a client is dropped as if it had been delivered: it is counted, and nothing waits behind it.

use crate::bytes::{
    Connect, PINGREQ, PINGRESP, Publish, four, number, packet, prop, puback, pubcomp, pubrec,
    pubrel, string, subscribe_5, two, unsubscribe_5, unsubscribe_311,
};
use crate::mqtt5::steps::{
    SMALL, break_off, breakable, broker_with, connect, connect_small, expect_accepted, leave, open,
    persistent, published, resume, take, take_payloads, tell, tell_all,
};
use crate::mqtt311::peer;
use crate::received::{Ack, Connack, expect_alive, expect_disconnect, refused_5, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// What is counted for each delivery that is left out for its size.
const DROPPED: &str = "postbud_messages_dropped_total{reason=\"packet_too_large\"}";

/// A CONNECT that accepts packets of this size.
fn sized(connect: Connect, maximum: usize) -> Connect {
    connect.property(four(prop::MAXIMUM_PACKET_SIZE, maximum as u32))
}

/// A payload with which a PUBLISH to this topic, at this QoS and with so many bytes of properties, has exactly this
/// size; none if there is no such PUBLISH, as where the Remaining Length takes one byte more.
fn payload_for(size: usize, topic: &str, qos: u8, properties: usize) -> Option<String> {
    let bytes = |length: usize| {
        let publish = Publish::v5(topic, "p".repeat(length)).qos(qos, 1);
        publish.property(vec![0; properties]).bytes().len()
    };
    let length = (0..size).rev().find(|length| bytes(*length) <= size)?;
    (bytes(length) == size).then(|| "p".repeat(length))
}

/// Publishes at QoS 2, so that whoever subscribes gets it at the QoS that was granted.
#[track_caller]
fn tell_qos_2(broker: &Broker, topic: &str, payloads: &[&str]) {
    let mut writer = connect(broker, "writer");
    for payload in payloads {
        tell_all(&mut writer, topic, 2, &[payload]);
    }
    leave(writer);
}

// Breaks if: `Line::naming` in src/session/outbound.rs compares with `<`, or PUBLISH_ADDS is less than what may be added,
// or `PublishFrame::encoded_len` in src/codec/publish_frame.rs miscounts a Remaining Length.
#[test]
fn a_delivery_fits_to_the_byte_and_one_byte_more_is_dropped_and_counted() {
    let broker = Broker::start();
    let mut dropped = 0.0;
    // On both sides of where the Remaining Length takes another byte.
    for maximum in [40, 128, 129, 131, 132, 200, 16_385, 16_386, 16_388] {
        for qos in 0..=2 {
            let connect = sized(Connect::v5("c"), maximum);
            let mut client = open(&broker, &connect);
            subscribe(&mut client, "t", qos);
            let fits = payload_for(maximum, "t", qos, 0).expect("a size that there is");
            let beyond = format!("{fits}p");
            tell_qos_2(&broker, "t", &[&beyond, &fits, &beyond, "next"]);
            assert_eq!(
                take_payloads(&mut client, 2),
                [&*fits, "next"],
                "{maximum}, QoS {qos}"
            );
            expect_alive(&mut client);
            leave(client);
            dropped += 2.0;
        }
    }
    broker.wait_for_samples(&[(DROPPED, dropped)]);
}

// Breaks if: `Line::naming` in src/session/outbound.rs does not count the Subscription Identifiers, or `surely_fits` is
// asked although there are several.
#[test]
fn identifiers_and_expiry_count_too() {
    const MAXIMUM: usize = 120;
    let broker = Broker::start();
    let mut client = open(&broker, &sized(Connect::v5("c"), MAXIMUM));
    // Twenty identifiers of four bytes: 100 bytes with their names.
    for number_of in 0..20 {
        let id = number(prop::SUBSCRIPTION_IDENTIFIER, 2_097_152 + number_of);
        let levels = (0..5).map(|bit| if number_of >> bit & 1 == 1 { "+" } else { "l" });
        let filter = levels.collect::<Vec<_>>().join("/");
        client.send(&subscribe_5(1, &id, &[(&filter, 1)]));
        client.expect(&[0x90, 4, 0, 1, 0, 1]);
    }
    let topic = "l/l/l/l/l";
    tell_qos_2(&broker, topic, &["too long"]);
    expect_alive(&mut client);
    broker.wait_for_samples(&[(DROPPED, 1.0)]);
    // Without most of them there is room, to the byte; the expiry takes five.
    for number_of in 4..20 {
        let levels = (0..5).map(|bit| if number_of >> bit & 1 == 1 { "+" } else { "l" });
        let filter = levels.collect::<Vec<_>>().join("/");
        client.send(&unsubscribe_5(1, &[], &[&filter]));
        client.expect(&[0xb0, 4, 0, 1, 0, 0]);
    }
    let fits = payload_for(MAXIMUM, topic, 1, 20 + 5).expect("a size that there is");
    for payload in [format!("{fits}p"), fits.clone()] {
        let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, 600);
        let mut writer = connect(&broker, "writer");
        let publish = Publish::v5(topic, payload).property(expiry).qos(1, 1);
        writer.send(&publish.bytes());
        expect_accepted(&mut writer, 0x40, 1);
    }
    assert_eq!(take_payloads(&mut client, 1), [fits]);
    expect_alive(&mut client);
    broker.wait_for_samples(&[(DROPPED, 2.0)]);
}

// Breaks if: `Line::naming` in src/session/outbound.rs gives up when the best naming does not fit, or takes a known alias
// for as long as its topic.
#[test]
fn an_alias_is_left_out_where_it_costs_and_used_where_it_saves() {
    let topic = "a/topic/of/some/length";
    let broker = Broker::start();
    let maximum = 100;
    let connect = sized(Connect::v5("c"), maximum).property(two(prop::TOPIC_ALIAS_MAXIMUM, 4));
    let mut client = open(&broker, &connect);
    subscribe(&mut client, "#", 0);
    // So long that the alias, which would have to be set, has no room beside the topic.
    let longest = payload_for(maximum, topic, 0, 0).expect("a size that there is");
    tell(&broker, topic, 0, &longest);
    client.expect(&Publish::v5(topic, &longest).bytes());
    let longest = payload_for(maximum, topic, 0, 3).expect("a size that there is");
    tell(&broker, topic, 0, &longest);
    client.expect(&Publish::v5(topic, &longest).alias(1).bytes());
    // Now that the client knows it, as much fits as without a topic; and no more.
    let longest = payload_for(maximum, "", 0, 3).expect("a size that there is");
    let beyond = format!("{longest}p");
    for payload in [&beyond, &longest] {
        tell(&broker, topic, 0, payload);
    }
    client.expect(&Publish::v5("", &longest).alias(1).bytes());
    // What is dropped sets no alias.
    tell(&broker, "another/topic", 0, &beyond);
    tell(&broker, "another/topic", 0, "m");
    client.expect(&Publish::v5("another/topic", "m").alias(2).bytes());
    broker.wait_for_samples(&[(DROPPED, 2.0)]);
}

// Breaks if: `Outbound::send` in src/session/outbound.rs puts into the window what it does not send, or `draw` ends at the
// first that does not fit.
#[test]
fn what_waits_and_is_too_large_takes_no_quota_and_holds_nothing_up() {
    let broker = Broker::start();
    let few = || persistent("c").property(two(prop::RECEIVE_MAXIMUM, 1));
    let mut client = open(&broker, &few());
    client.send(&subscribe_5(1, &[], &[("one", 1), ("two", 2)]));
    client.expect(&[0x90, 5, 0, 1, 0, 1, 2]);
    leave(client);
    let large = "p".repeat(300);
    for (n, topic) in (0..20).zip(["one", "two"].iter().cycle()) {
        tell_qos_2(&broker, topic, &[&large, &n.to_string(), &large]);
    }
    let mut client = resume(&broker, &sized(few(), 100));
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(take_payloads(&mut client, 20), expected);
    expect_alive(&mut client);
    broker.wait_for_samples(&[(DROPPED, 40.0), ("postbud_messages_queued", 0.0)]);
    // They are gone for good.
    leave(client);
    expect_alive(&mut resume(&broker, &few()));
}

// Breaks if: `Outbound::resend` in src/session/outbound.rs sends again whatever the size, leaves it in the window, or ends
// at it.
#[test]
fn what_was_under_way_and_has_become_too_large_gives_its_quota_back() {
    let broker = Broker::start();
    let few = |connect: Connect| connect.property(two(prop::RECEIVE_MAXIMUM, 2));
    let mut client = open(&broker, &few(breakable("c")));
    client.send(&subscribe_5(1, &[], &[("one", 1), ("two", 2)]));
    client.expect(&[0x90, 5, 0, 1, 0, 1, 2]);
    let large = "p".repeat(300);
    tell_qos_2(&broker, "one", &[&large]);
    tell_qos_2(&broker, "two", &[&large]);
    let [_, second] = [published(&mut client), published(&mut client)];
    assert_eq!(second.qos, 2);
    break_off(&broker, client);
    tell_qos_2(&broker, "one", &["first after", "second after"]);
    let mut client = resume(&broker, &sized(few(persistent("c")), 100));
    // The client may hold the QoS 2 message: it is released. One of the two places is free.
    let mut seen = [client.packet(), client.packet()];
    seen.sort_by_key(|packet| packet[0] != 0x62);
    assert_eq!(seen[0], pubrel(second.packet_id));
    let first = crate::received::Published::v5(&seen[1]);
    assert_eq!(first.payload, b"first after");
    expect_alive(&mut client);
    client.send(&pubcomp(second.packet_id));
    let next = published(&mut client);
    assert_eq!(next.payload, b"second after");
    client.send(&[puback(first.packet_id), puback(next.packet_id)].concat());
    expect_alive(&mut client);
    broker.wait_for_samples(&[(DROPPED, 2.0)]);
    // With room again, neither comes back.
    leave(client);
    expect_alive(&mut resume(&broker, &persistent("c")));
}

// Breaks if: `Broker::give` in src/broker/delivery.rs does not ask `fits`, or keeps in the backlog what nobody can take.
#[test]
fn a_group_gives_what_is_too_large_for_one_to_another() {
    let broker = Broker::start();
    let mut small = open(&broker, &sized(Connect::v5("small"), 100));
    let mut middle = open(&broker, &sized(Connect::v5("middle"), 1000));
    for member in [&mut small, &mut middle] {
        subscribe(member, "$share/g/t", 1);
    }
    let fits = payload_for(100, "t", 1, 0).expect("a size that there is");
    let beyond = format!("{fits}p");
    let hopeless = "p".repeat(1000);
    // Whoever's turn it is.
    for _ in 0..3 {
        tell_qos_2(&broker, "t", &[&beyond]);
        assert_eq!(take_payloads(&mut middle, 1), [&*beyond]);
        tell_qos_2(&broker, "t", &[&hopeless]);
    }
    broker.wait_for_samples(&[(DROPPED, 3.0)]);
    // What fits exactly is for both, in turn.
    tell_qos_2(&broker, "t", &[&fits, &fits]);
    for member in [&mut small, &mut middle] {
        assert_eq!(take_payloads(member, 1), [&*fits]);
        expect_alive(member);
    }
    // With the one gone who could, it is dropped, and what comes after it is not held up.
    leave(middle);
    tell_qos_2(&broker, "t", &[&beyond, "next"]);
    assert_eq!(take_payloads(&mut small, 1), ["next"]);
    broker.wait_for_samples(&[(DROPPED, 4.0), ("postbud_messages_queued", 0.0)]);
}

// Breaks if: `Broker::feed` in src/broker/delivery.rs stops at what does not fit, or `Feed::delivery` goes past `send`.
#[test]
fn a_retained_message_that_is_too_large_is_passed_over() {
    let broker = Broker::start();
    let mut writer = connect(&broker, "writer");
    let large = "p".repeat(300);
    for (topic, payload) in [("k/1", "one"), ("k/2", &large), ("k/3", "three")] {
        writer.send(&Publish::v5(topic, payload).retain().qos(1, 1).bytes());
        expect_accepted(&mut writer, 0x40, 1);
    }
    for qos in 0..=2 {
        let mut client = open(&broker, &sized(persistent("c").clean(true), 100));
        subscribe(&mut client, "k/+", qos);
        assert_eq!(take_payloads(&mut client, 2), ["one", "three"]);
        expect_alive(&mut client);
        leave(client);
        // It is passed over for that connection; a new SUBSCRIBE gets it.
        let mut client = resume(&broker, &persistent("c"));
        expect_alive(&mut client);
        subscribe(&mut client, "k/2", qos);
        assert_eq!(take_payloads(&mut client, 1), [&*large]);
    }
    broker.wait_for_samples(&[(DROPPED, 3.0)]);
}

// Breaks if: `Connection::open` in src/broker/handshake.rs claims the session before it knows that CONNACK fits, or
// `refuse_as` does not compare with the maximum.
#[test]
fn a_client_without_room_for_connack_is_told_in_what_fits_and_takes_nothing_over() {
    let broker = Broker::start();
    let mut present = open(&broker, &persistent("c"));
    subscribe(&mut present, "t", 1);
    refused_5(broker.tcp, &sized(persistent("c"), 0).bytes(), 0x82);
    let mut told = 0;
    let mut least = None;
    for maximum in 1..=40 {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&sized(persistent("other"), maximum).bytes());
        // Whatever comes fits; if nothing can, the connection is closed in silence.
        let packets = match maximum {
            1..=4 => client.packets_until_closed(),
            _ => vec![client.packet()],
        };
        let Some(first) = packets.first() else {
            continue;
        };
        assert!(first.len() <= maximum, "{first:02x?} for {maximum}");
        let connack = Connack::v5(first);
        if connack.reason == 0 {
            least = least.or(Some(first.len()));
        } else {
            assert_eq!((connack.reason, least), (0x95, None), "for {maximum}");
            client.expect_closed();
            refused_5(
                broker.tcp,
                &sized(persistent("c").clean(true), maximum).bytes(),
                0x95,
            );
            told += 1;
        }
    }
    assert!(told > 0, "nobody was told");
    assert_eq!(
        least,
        Some(told + 5),
        "it is accepted as soon as CONNACK fits, which is five bytes at least"
    );
    // The client whose identifier they used has noticed nothing.
    tell(&broker, "t", 1, "still there");
    assert_eq!(take_payloads(&mut present, 1), ["still there"]);
    expect_alive(&mut present);
}

// Breaks if: `Open::enqueue` in src/broker/packets.rs compares with `>=`, or not at all; or an answer is cut short.
#[test]
fn suback_and_unsuback_fit_to_the_byte_or_end_the_connection() {
    let broker = Broker::start();
    // Five bytes before the codes.
    let codes = SMALL as usize - 5;
    let filters: Vec<String> = (0..=codes).map(|n| format!("f/{n}")).collect();
    let names: Vec<&str> = filters.iter().map(|filter| &**filter).collect();
    let wanted: Vec<(&str, u8)> = names.iter().map(|filter| (*filter, 1)).collect();
    let mut client = connect_small(&broker, "c");
    client.send(&subscribe_5(1, &[], &wanted[..codes]));
    let suback = client.packet();
    assert_eq!(suback.len(), SMALL as usize);
    assert_eq!(Ack::v5(&suback).reasons, vec![1; codes]);
    client.send(&unsubscribe_5(2, &[], &names[..codes]));
    let unsuback = client.packet();
    assert_eq!(unsuback.len(), SMALL as usize);
    assert_eq!(Ack::v5(&unsuback).reasons, vec![0; codes]);
    for request in [subscribe_5(3, &[], &wanted), unsubscribe_5(3, &[], &names)] {
        let mut client = connect_small(&broker, "c");
        client.send(&[&PINGREQ[..], &request, &PINGREQ].concat());
        client.expect(&PINGRESP);
        expect_disconnect(&mut client, 0x95);
    }
    // A client of 3.1.1 says no maximum.
    let mut client = peer::client(&broker, "of-311");
    client.send(&unsubscribe_311(3, &names));
    client.expect(&peer::unsuback(3));
}

// Breaks if: `say_disconnect` in src/broker/sessions.rs keeps its words whatever the maximum is, or `pubrel` in
// src/session/outbound.rs writes any.
#[test]
fn whole_exchanges_go_on_within_the_smallest_maximum_that_connack_allows() {
    let broker = Broker::start();
    let least = (5..40).find(|maximum| {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&sized(Connect::v5("probe"), *maximum).bytes());
        Connack::v5(&client.packet()).reason == 0
    });
    let least = least.expect("a size in which CONNACK fits");
    let mut client = open(&broker, &sized(Connect::v5("c"), least));
    subscribe(&mut client, "t", 2);
    client.send(&Publish::v5("$SYS/not/yours", "m").qos(1, 1).bytes());
    let ack = client.packet();
    assert!(ack.len() <= least, "{ack:02x?}");
    assert_eq!(Ack::v5(&ack).reasons, [0x87]);
    client.send(&Publish::v5("t", "m").qos(2, 2).bytes());
    let mut own = None;
    for _ in 0..2 {
        let packet = client.packet();
        assert!(packet.len() <= least, "{packet:02x?}");
        match packet[0] {
            0x34 => own = Some(crate::received::Published::v5(&packet).packet_id),
            _ => assert_eq!(Ack::v5(&packet).packet_id, 2),
        }
    }
    let own = own.expect("its own message");
    client.send(&[pubrel(2), pubrec(own)].concat());
    let mut answers = [client.packet(), client.packet()];
    answers.sort_unstable();
    assert_eq!(answers, [pubrel(own), pubcomp(2)]);
    // PUBREL for something unknown has a code and no words.
    client.send(&pubrec(999));
    client.expect(&packet(0x62, &[3, 231, 0x92]));
    client.send(&packet(0xf0, &[]));
    let word = client.packet();
    assert!(word.len() <= least && word[0] == 0xe0, "{word:02x?}");
    client.expect_closed();
}

// Breaks if: `remaining_length` in src/codec/header.rs compares without the fixed header.
#[test]
fn the_brokers_own_maximum_holds_to_the_byte_for_every_packet() {
    let broker = broker_with("packet_size_maximum = \"256B\"");
    // A filter as long as it takes for a packet of this size.
    let subscribe_of = |size: usize| subscribe_5(1, &[], &[(&"f".repeat(size - 9), 0)]);
    let unsubscribe_of = |size: usize| unsubscribe_5(1, &[], &[&"f".repeat(size - 8)]);
    let publish_of = |size: usize| Publish::v5("t", "p".repeat(size - 9)).qos(1, 1).bytes();
    for of in [
        &subscribe_of as &dyn Fn(usize) -> Vec<u8>,
        &unsubscribe_of,
        &publish_of,
    ] {
        let (fits, beyond) = (of(256), of(257));
        assert_eq!((fits.len(), beyond.len()), (256, 257), "{fits:02x?}");
        let mut client = connect(&broker, "c");
        client.send(&fits);
        let answer = client.packet()[0];
        assert!(matches!(answer, 0x40 | 0x90 | 0xb0), "{answer:02x}");
        expect_alive(&mut client);
        // The fixed header is enough to know.
        client.send(&beyond[..3]);
        expect_disconnect(&mut client, 0x95);
    }
    // 3.1.1 has no words for it.
    let publish = |size: usize| packet(0x30, &[string("t"), vec![0; size - 6]].concat());
    assert_eq!(publish(257).len(), 257);
    let mut client = peer::client(&broker, "of-311");
    client.send(&publish(256));
    expect_alive(&mut client);
    client.send(&publish(257));
    client.expect_closed();
    // A message at the maximum still reaches who takes more, although it is longer there.
    let mut witness = connect(&broker, "witness");
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, 268_435_455);
    witness.send(&subscribe_5(1, &id, &[("t", 0)]));
    witness.expect(&[0x90, 4, 0, 1, 0, 0]);
    let mut client = peer::client(&broker, "of-311");
    client.send(&publish(256));
    assert_eq!(take(&mut witness, 1)[0].payload.len(), 250);
}
