//! 4.3.1 and 4.3.2: QoS 0 and QoS 1.

use std::collections::HashSet;

use crate::bytes::{Connect, prop};
use crate::bytes::{Publish, packet, puback, string, two};
use crate::received::{expect_alive, subscribe};
use crate::support::broker::Broker;

use super::steps::{
    breach, connect, expect_accepted, expect_message, leave, open, persistent, published, resume,
    tell, tell_all,
};

// Breaks if: `first_byte` in src/codec/publish.rs sets DUP with QoS 0, or `Broker::deliver` in
// src/broker/delivery.rs passes the publisher's DUP on; the client's side if `check_publish_flags` in
// src/codec/header.rs lets DUP with QoS 0 pass.
#[test]
fn mqtt5_4_3_1_1_qos_0_is_sent_with_dup_0() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = connect(&broker, "again");
    writer.send(&Publish::v5("t", "m").qos(1, 1).dup().bytes());
    writer.expect(&puback(1));
    reader.expect(&Publish::v5("t", "m").bytes());
    let body = [&string("t")[..], &[0], b"m"].concat();
    breach(&broker, &packet(0x38, &body), 0x81);
    expect_alive(&mut reader);
}

/// All ids are given before one comes again, and never one that is in use: 65,600 messages pass one that is not
/// acknowledged.
// Breaks if: `Window::free` in src/session/window.rs says yes to an id in use.
#[test]
fn mqtt5_4_3_2_1_each_new_message_has_an_unused_packet_identifier() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 1);
    let mut writer = connect(&broker, "many");
    tell(&broker, "t", 1, "held");
    let held = expect_message(&mut reader, false, 1, "held");
    let payloads = vec![""; 250];
    let mut ever = HashSet::new();
    for _ in 0..263 {
        tell_all(&mut writer, "t", 1, &payloads);
        let ids: Vec<u16> = payloads
            .iter()
            .map(|payload| expect_message(&mut reader, false, 1, payload))
            .collect();
        let distinct: HashSet<u16> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "twice at the same time");
        assert!(!distinct.contains(&held), "{held} is in use");
        ever.extend(distinct);
        let acks: Vec<_> = ids.into_iter().map(puback).collect();
        reader.send(&acks.concat());
    }
    // Or this has not gone around, and proves little.
    assert!(ever.len() < 263 * 250);
    reader.send(&puback(held));
    expect_alive(&mut reader);
}

// Breaks if: `Outbound::send` in src/session/outbound.rs publishes with `dup`.
#[test]
fn mqtt5_4_3_2_2_qos_1_is_first_sent_with_dup_0() {
    let broker = Broker::start();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", 1);
    leave(away);
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 1);
    let mut writer = connect(&broker, "again");
    for dup in [true, false] {
        let publish = Publish::v5("t", "m").qos(1, 1);
        let publish = if dup { publish.dup() } else { publish };
        writer.send(&publish.bytes());
        writer.expect(&puback(1));
        expect_message(&mut reader, false, 1, "m");
    }
    // From the queue it is sent for the first time as well.
    let mut away = resume(&broker, &persistent("away"));
    for _ in 0..2 {
        expect_message(&mut away, false, 1, "m");
    }
}

// Breaks if: `Window::detach` in src/session/window.rs lets QoS 1 go, or `Outbound::quota` in
// src/session/outbound.rs does not count what was sent.
#[test]
fn mqtt5_4_3_2_3_qos_1_is_unacknowledged_until_puback() {
    let broker = Broker::start();
    let one_at_a_time = persistent("client").property(two(prop::RECEIVE_MAXIMUM, 1));
    let mut client = open(&broker, &one_at_a_time);
    subscribe(&mut client, "t", 1);
    tell(&broker, "t", 1, "first");
    tell(&broker, "t", 1, "second");
    let first = expect_message(&mut client, false, 1, "first");
    for _ in 0..2 {
        expect_alive(&mut client);
        client = resume(&broker, &one_at_a_time);
        assert_eq!(expect_message(&mut client, true, 1, "first"), first);
    }
    client.send(&puback(first));
    let second = expect_message(&mut client, false, 1, "second");
    let mut client = resume(&broker, &one_at_a_time);
    assert_eq!(expect_message(&mut client, true, 1, "second"), second);
    client.send(&puback(second));
    expect_alive(&mut client);
    expect_alive(&mut resume(&broker, &one_at_a_time));
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs takes no place in the line of replies for QoS 1.
#[test]
fn mqtt5_4_3_2_4_qos_1_is_answered_with_puback_and_its_id() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = connect(&broker, "writer-of-ids");
    for packet_id in [1, 0x00ff, 0x0100, 0x1234, 0xffff] {
        writer.send(&Publish::v5("t", "m").qos(1, packet_id).bytes());
        writer.expect(&puback(packet_id));
        expect_message(&mut reader, false, 0, "m");
        writer.send(&Publish::v5("unheard", "m").qos(1, packet_id).bytes());
        expect_accepted(&mut writer, 0x40, packet_id);
    }
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs remembers QoS 1 ids as it does those of QoS 2.
#[test]
fn mqtt5_4_3_2_5_after_puback_the_same_id_is_a_new_message() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 1);
    let mut writer = open(&broker, &Connect::v5("writer-of-one").expiry(60));
    for payload in ["first", "second", "second", "third"] {
        let publish = Publish::v5("t", payload).qos(1, 7);
        for publish in [publish.clone(), publish.dup()] {
            writer.send(&publish.bytes());
            writer.expect(&puback(7));
            let message = published(&mut reader);
            assert_eq!((message.payload, message.dup), (payload.into(), false));
        }
    }
    expect_alive(&mut reader);
}
