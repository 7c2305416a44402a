//! How bytes are cut on their way says nothing about packets: one at a time, all at once, and the largest.

use crate::bytes::{
    Connect, DISCONNECT, PINGREQ, PINGRESP, Publish, disconnect_5, four, pair, prop, puback,
    pubcomp, pubrec, pubrel, subscribe_5, subscribe_311, unsubscribe_5, unsubscribe_311, vbi,
};
use crate::received::{Connack, connected, expect_disconnect, online, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::rows::{Bystander, expect_sound, start};

/// A whole conversation of a client with itself: each step's bytes and the packets that answer them.
fn conversation(version: u8) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let v5 = version == 5;
    let publish = |qos, id| match v5 {
        true => Publish::v5("a/b", "message")
            .qos(qos, id)
            .property(pair("n", "v"))
            .bytes(),
        false => Publish::v311("a/b", "message").qos(qos, id).bytes(),
    };
    let subscribe = match v5 {
        true => subscribe_5(1, &pair("n", "v"), &[("a/+", 2), ("$share/g/x", 1)]),
        false => subscribe_311(1, &[("a/+", 2), ("$share/g/x", 1)]),
    };
    let suback: &[u8] = if v5 {
        &[0x90, 5, 0, 1, 0, 2, 1]
    } else {
        &[0x90, 4, 0, 1, 2, 1]
    };
    let unsubscribe = match v5 {
        true => unsubscribe_5(2, &[], &["a/+", "$share/g/x"]),
        false => unsubscribe_311(2, &["a/+", "$share/g/x"]),
    };
    let unsuback: &[u8] = if v5 {
        &[0xb0, 5, 0, 2, 0, 0, 0]
    } else {
        &[0xb0, 2, 0, 2]
    };
    let goodbye = if v5 {
        disconnect_5(0, &pair("n", "v"))
    } else {
        DISCONNECT.to_vec()
    };
    vec![
        (subscribe, vec![suback.to_vec()]),
        (publish(0, 0), vec![publish(0, 0)]),
        (publish(1, 7), vec![puback(7), publish(1, 1)]),
        (puback(1), vec![]),
        (publish(2, 8), vec![pubrec(8), publish(2, 2)]),
        ([pubrel(8), pubrec(2)].concat(), vec![pubcomp(8), pubrel(2)]),
        (pubcomp(2), vec![]),
        (PINGREQ.to_vec(), vec![PINGRESP.to_vec()]),
        (unsubscribe, vec![unsuback.to_vec()]),
        (goodbye, vec![]),
    ]
}

/// The answers to all that was sent, in whatever order those of one step came.
#[track_caller]
fn expect_answers(client: &mut RawClient, answers: &[Vec<u8>]) {
    let mut wanted = answers.to_vec();
    while !wanted.is_empty() {
        let packet = client.packet();
        let place = wanted.iter().position(|answer| *answer == packet);
        let place = place.unwrap_or_else(|| panic!("{packet:02x?}, not one of {wanted:02x?}"));
        wanted.remove(place);
    }
}

fn connect_of(version: u8) -> Vec<u8> {
    let connect = Connect::version(version, "talker")
        .user_name("u")
        .password("p");
    match version {
        5 => connect.property(pair("n", "v")).bytes(),
        _ => connect.bytes(),
    }
}

#[track_caller]
fn expect_connack(client: &mut RawClient) {
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
}

/// Every byte in a write of its own, from CONNECT to DISCONNECT.
// Breaks if: `Connection::receive` in src/broker/connection.rs, or the driver in src/listener, drops the beginning of a
// packet that is not whole.
#[test]
fn a_conversation_byte_by_byte() {
    let broker = start("");
    for version in [4, 5] {
        let mut client = RawClient::connect(broker.tcp);
        let slowly = |client: &mut RawClient, bytes: &[u8]| {
            for byte in bytes {
                client.send(&[*byte]);
            }
        };
        slowly(&mut client, &connect_of(version));
        expect_connack(&mut client);
        for (bytes, answers) in conversation(version) {
            slowly(&mut client, &bytes);
            expect_answers(&mut client, &answers);
        }
        client.expect_closed();
    }
    expect_sound(&broker);
}

/// In two writes, cut after each byte; between them the broker serves somebody else.
// Breaks if: as above; if only one place of a packet is wrong, its cut tells which.
#[test]
fn a_conversation_cut_at_each_byte() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    for version in [4, 5] {
        let steps = conversation(version);
        let sent = [
            connect_of(version),
            steps.iter().flat_map(|(bytes, _)| bytes.clone()).collect(),
        ]
        .concat();
        for cut in 1..sent.len() {
            let mut client = RawClient::connect(broker.tcp);
            client.send(&sent[..cut]);
            bystander.is_unharmed();
            client.send(&sent[cut..]);
            expect_connack(&mut client);
            // What the broker sends of its own accord is numbered from 1, as the client has assumed.
            let answers: Vec<_> = steps
                .iter()
                .flat_map(|(_, answers)| answers.clone())
                .collect();
            expect_answers(&mut client, &answers);
            client.expect_closed();
        }
    }
    expect_sound(&broker);
}

/// CONNECT, SUBSCRIBE and PUBLISH in one write, before CONNACK is read, and the end of the stream behind them.
// Breaks if: `Connection::receive` in src/broker/connection.rs drops what comes behind CONNECT, or ends at the end of the
// stream before it has handled what came.
#[test]
fn everything_before_connack() {
    let broker = start("");
    let mut watch = online(broker.tcp, "watch");
    subscribe(&mut watch, "w", 0);
    for version in [4, 5] {
        let (subscribe, suback, publish, last) = match version {
            4 => (
                subscribe_311(1, &[("t", 0)]),
                vec![0x90, 3, 0, 1, 0],
                Publish::v311("t", "m").bytes(),
                Publish::v311("w", "last").bytes(),
            ),
            _ => (
                subscribe_5(1, &[], &[("t", 0)]),
                vec![0x90, 4, 0, 1, 0, 0],
                Publish::v5("t", "m").bytes(),
                Publish::v5("w", "last").bytes(),
            ),
        };
        let all = [
            &connect_of(version)[..],
            &subscribe,
            &publish,
            &PINGREQ,
            &last,
            &DISCONNECT,
        ]
        .concat();
        for finish in [false, true] {
            let mut client = RawClient::connect(broker.tcp);
            client.send(&all);
            if finish {
                client.finish_sending();
            }
            expect_connack(&mut client);
            client.expect(&suback);
            client.expect(&publish);
            client.expect(&PINGRESP);
            client.expect_closed();
            watch.expect(&Publish::v5("w", "last").bytes());
        }
    }
    expect_sound(&broker);
}

/// In one write: a thousand messages at QoS 0, as many requests, 20,000 PINGREQs, and a thousand messages at QoS 1 in
/// MQTT 3.1.1, which has no Receive Maximum.
// Breaks if: `Open::packets` in src/broker/open.rs ends a turn without saying `Turn::Again`, or `Inbound::paused` in
// src/session/inbound.rs is not asked again when replies have left.
#[test]
fn thousands_of_packets_in_one_write() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    for version in [4, 5] {
        let mut client =
            RawClient::accepted(broker.tcp, &Connect::version(version, "client").bytes());
        let message = |number: u16, qos| match version {
            4 => Publish::v311("t", number.to_string())
                .qos(qos, number)
                .bytes(),
            _ => Publish::v5("t", number.to_string())
                .qos(qos, number)
                .bytes(),
        };
        let subscribe = |id| match version {
            4 => subscribe_311(id, &[("t", 0)]),
            _ => subscribe_5(id, &[], &[("t", 0)]),
        };
        let numbers = 1..=1_000u16;
        client.send(&subscribe(1));
        assert_eq!(client.packet()[0], 0x90);
        client.send(
            &numbers
                .clone()
                .flat_map(|number| message(number, 0))
                .collect::<Vec<_>>(),
        );
        for number in numbers.clone() {
            client.expect(&message(number, 0));
        }
        client.send(&numbers.clone().flat_map(subscribe).collect::<Vec<_>>());
        for number in numbers.clone() {
            let suback = client.packet();
            assert_eq!(
                (suback[0], &suback[2..4]),
                (0x90, &number.to_be_bytes()[..])
            );
        }
        // More than the broker handles before it looks after others.
        client.send(&PINGREQ.repeat(20_000));
        (0..20_000).for_each(|_| client.expect(&PINGRESP));
        if version == 4 {
            client.send(
                &numbers
                    .clone()
                    .flat_map(|number| message(number, 1))
                    .collect::<Vec<_>>(),
            );
            let mut acknowledged = 1..=1_000;
            let mut arrived = 1..=1_000;
            for _ in 0..2_000 {
                let packet = client.packet();
                if packet[0] == 0x40 {
                    assert_eq!(acknowledged.next().map(puback), Some(packet));
                } else {
                    assert_eq!(
                        arrived.next().map(|number| message(number, 0)),
                        Some(packet)
                    );
                }
            }
        }
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// The largest packet that MQTT has may be allowed by both sides; those on either side of each length of the Remaining
/// Length go through, in both versions.
// Breaks if: `Variable::length_of` in src/codec/reader.rs is wrong at one of its bounds, or a Maximum Packet Size of
// 268,435,455 is taken for a negative or a cut number.
#[test]
fn remaining_lengths_at_their_bounds() {
    let broker = start("packet_size_maximum = 268435460");
    let mut bystander = Bystander::new(&broker);
    for maximum in [268_435_455, 268_435_460, u32::MAX] {
        let connect = Connect::v5("client").property(four(prop::MAXIMUM_PACKET_SIZE, maximum));
        let (mut five, connack) = connected(broker.tcp, &connect);
        assert_eq!(
            connack.properties.integer(prop::MAXIMUM_PACKET_SIZE),
            Some(268_435_460)
        );
        subscribe(&mut five, "t", 0);
        let mut old = RawClient::accepted(broker.tcp, &Connect::v311("old").bytes());
        old.subscribe_311("t", 0);
        for remaining in [
            127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152, 2_097_153,
        ] {
            // Topic and Property Length take four bytes in 5.0, of which 3.1.1 has three.
            let payload: Vec<u8> = (0..remaining - 4).map(|index| index as u8).collect();
            let bytes = Publish::v5("t", &payload).bytes();
            assert_eq!(bytes[1..1 + vbi(remaining).len()], vbi(remaining));
            five.send(&bytes);
            five.expect(&bytes);
            old.expect(&Publish::v311("t", &payload).bytes());
        }
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// A packet of exactly the broker's maximum is taken, one byte more is not, however little of it is sent.
// Breaks if: `remaining_length` in src/codec/header.rs compares the Remaining Length and not the packet, or `>=`.
#[test]
fn packets_at_the_brokers_maximum() {
    const MAXIMUM: usize = 3 << 20;
    let broker = start("packet_size_maximum = \"3MiB\"");
    let mut bystander = Bystander::new(&broker);
    let filler = |length: usize| vec![0xa5; length];
    let mut client = online(broker.tcp, "client");
    subscribe(&mut client, "t", 0);
    let largest = Publish::v5("t", filler(MAXIMUM - 9)).bytes();
    assert_eq!(largest.len(), MAXIMUM);
    client.send(&largest);
    let arrived = client.packet();
    assert!(arrived == largest, "{} bytes", arrived.len());
    let mut old = RawClient::accepted(broker.tcp, &Connect::v311("old").bytes());
    old.subscribe_311("t", 0);
    let largest = Publish::v311("t", filler(MAXIMUM - 8)).bytes();
    assert_eq!(largest.len(), MAXIMUM);
    old.send(&largest);
    let arrived = old.packet();
    assert!(arrived == largest, "{} bytes", arrived.len());
    // It takes its own place in the other's stream, too.
    assert_eq!(client.packet().len(), MAXIMUM + 1);
    let header = &Publish::v5("t", filler(MAXIMUM - 8)).bytes()[..5];
    client.send(header);
    expect_disconnect(&mut client, 0x95);
    old.send(header);
    old.expect_closed();
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// Before CONNECT has been accepted the bound is lower: 512 KiB, in which each field of a CONNECT has room at its longest.
// Breaks if: `HANDSHAKE_PACKET_MAXIMUM` in src/broker/connection.rs is less, or is not asked.
#[test]
fn connects_of_the_largest_size() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let long = "x".repeat(65_535);
    let connect = |filler: usize| {
        let connect = Connect::v5(&long).user_name(&long).password(&long);
        let users = [
            pair(&long, &long),
            pair(&long, &long),
            pair("", "v".repeat(filler)),
        ];
        connect.property(users.concat())
    };
    let empty = connect(0).bytes().len();
    // The Property Length takes three bytes with and without it.
    let room = (512 << 10) - empty;
    let largest = connect(room).bytes();
    assert_eq!(largest.len(), 512 << 10);
    let mut client = RawClient::connect(broker.tcp);
    client.send(&largest);
    let connack = Connack::v5(&client.packet());
    assert_eq!(connack.reason, 0, "{connack:02x?}");
    client.expect_nothing();
    let mut beyond = RawClient::connect(broker.tcp);
    beyond.send(&connect(room + 1).bytes()[..64]);
    let connack = Connack::v5(&beyond.packet());
    assert_eq!(connack.reason, 0x95, "{connack:02x?}");
    beyond.expect_closed();
    client.expect_nothing();
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// What is larger than the client's Maximum Packet Size is left out, and what is just as large arrives.
// Breaks if: the client's bound is held against less than the whole packet, or against one byte more.
#[test]
fn a_client_that_takes_little_gets_what_fits() {
    let broker = Broker::start();
    let maximum = four(prop::MAXIMUM_PACKET_SIZE, 30);
    let (mut client, _) = connected(broker.tcp, &Connect::v5("client").property(maximum));
    subscribe(&mut client, "t", 0);
    let fits = Publish::v5("t", "x".repeat(24)).bytes();
    assert_eq!(fits.len(), 30);
    client.send(&Publish::v5("t", "x".repeat(25)).bytes());
    client.send(&fits);
    client.expect(&fits);
    client.expect_nothing();
    expect_sound(&broker);
}
