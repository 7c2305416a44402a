//! 4.3.3: QoS 2, from both sides.
//!
//! ```text
//!   writer ── PUBLISH ──> broker ── PUBLISH ──> client
//!          <── PUBREC ──        <── PUBREC ──
//!          ── PUBREL ──>        ── PUBREL ──>
//!          <── PUBCOMP ─        <── PUBCOMP ─
//! ```

use std::collections::HashSet;

use crate::bytes::{Publish, ack_5, four, prop, pubcomp, pubrec, pubrel, two};
use crate::received::{expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    break_off, breakable, connect, expect_accepted, expect_message, expect_reason, leave, open,
    persistent, resume, seconds_pass, tell,
};

/// A broker, and a client of a session that is kept, to which it has sent a QoS 2 message with this id.
fn begun() -> (Broker, RawClient, u16) {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("client"));
    subscribe(&mut client, "t", 2);
    tell(&broker, "t", 2, "message");
    let packet_id = expect_message(&mut client, false, 2, "message");
    (broker, client, packet_id)
}

/// Breaks the client's connection and resumes its session.
#[track_caller]
fn again(broker: &Broker, client: RawClient) -> RawClient {
    break_off(broker, client);
    resume(broker, &breakable("client"))
}

/// Also one that has got as far as PUBREL is in use.
// Breaks if: `Window::add` in src/session/window.rs gives every message the same id, or `Window::pubrec` there
// removes the entry.
#[test]
fn mqtt5_4_3_3_1_each_new_message_has_an_unused_packet_identifier() {
    let (broker, mut client, first) = begun();
    let mut in_use = HashSet::from([first]);
    for n in 0..100 {
        tell(&broker, "t", 2, "more");
        let packet_id = expect_message(&mut client, false, 2, "more");
        assert!(in_use.insert(packet_id), "{packet_id} is in use");
        if n % 3 == 0 {
            client.send(&pubrec(packet_id));
            client.expect(&pubrel(packet_id));
        }
        if n % 6 == 0 {
            client.send(&pubcomp(packet_id));
            in_use.remove(&packet_id);
        }
    }
}

// Breaks if: `Outbound::send` in src/session/outbound.rs publishes with `dup`.
#[test]
fn mqtt5_4_3_3_2_qos_2_is_first_sent_with_dup_0() {
    let broker = Broker::start();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", 2);
    leave(away);
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 2);
    let mut writer = connect(&broker, "again");
    writer.send(&Publish::v5("t", "m").qos(2, 1).dup().bytes());
    writer.expect(&pubrec(1));
    expect_message(&mut reader, false, 2, "m");
    let mut away = resume(&broker, &persistent("away"));
    expect_message(&mut away, false, 2, "m");
}

// Breaks if: `Window::detach` in src/session/window.rs lets QoS 2 go.
#[test]
fn mqtt5_4_3_3_3_publish_is_unacknowledged_until_pubrec() {
    let (broker, mut client, packet_id) = begun();
    for _ in 0..2 {
        client = again(&broker, client);
        assert_eq!(expect_message(&mut client, true, 2, "message"), packet_id);
    }
    client.send(&pubrec(packet_id));
    client.expect(&pubrel(packet_id));
    let mut client = again(&broker, client);
    client.expect(&pubrel(packet_id));
    expect_alive(&mut client);
}

// Breaks if: `Outbound::pubrec` in src/session/outbound.rs commits no PUBREL.
#[test]
fn mqtt5_4_3_3_4_pubrec_is_answered_with_pubrel_and_its_id() {
    let (broker, mut client, first) = begun();
    tell(&broker, "t", 2, "another");
    let second = expect_message(&mut client, false, 2, "another");
    // Both codes below 0x80, each twice: the client may not have got the answer.
    for (packet_id, code) in [(second, 0x10), (first, 0x00), (second, 0x00), (first, 0x10)] {
        client.send(&ack_5(0x50, packet_id, code, &[]));
        client.expect(&pubrel(packet_id));
    }
    tell(&broker, "t", 2, "refused");
    let third = expect_message(&mut client, false, 2, "refused");
    client.send(&ack_5(0x50, third, 0x80, &[]));
    expect_alive(&mut client);
}

// Breaks if: `Window::resend` in src/session/window.rs skips `Stage::Release`, or `Window::pubcomp` keeps the entry.
#[test]
fn mqtt5_4_3_3_5_pubrel_is_unacknowledged_until_pubcomp() {
    let (broker, mut client, packet_id) = begun();
    client.send(&pubrec(packet_id));
    client.expect(&pubrel(packet_id));
    for _ in 0..2 {
        client = again(&broker, client);
        client.expect(&pubrel(packet_id));
    }
    client.send(&pubcomp(packet_id));
    expect_alive(&mut client);
    expect_alive(&mut again(&broker, client));
}

// Breaks if: `Window::pubrec` in src/session/window.rs leaves the stage at `Publish`.
#[test]
fn mqtt5_4_3_3_6_no_publish_again_after_pubrel() {
    let (broker, mut client, packet_id) = begun();
    client.send(&pubrec(packet_id));
    client.expect(&pubrel(packet_id));
    for _ in 0..2 {
        client = again(&broker, client);
        // A PUBLISH would have to come before, in its original order, or after.
        client.expect(&pubrel(packet_id));
        expect_alive(&mut client);
    }
}

/// The same message that was not sent yet is not sent any more.
// Breaks if: `Outbound::resend` in src/session/outbound.rs forgets a message that has expired.
#[test]
fn mqtt5_4_3_3_7_no_expiry_once_publish_was_sent() {
    let broker = Broker::start();
    let one_at_a_time = persistent("client").property(two(prop::RECEIVE_MAXIMUM, 1));
    let mut client = open(&broker, &one_at_a_time);
    subscribe(&mut client, "t", 2);
    let mut writer = connect(&broker, "hasty");
    for (packet_id, payload) in [(1, "sent"), (2, "not sent")] {
        let publish = Publish::v5("t", payload).qos(2, packet_id);
        let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, 1);
        writer.send(&publish.property(expiry).bytes());
        expect_accepted(&mut writer, 0x50, packet_id);
    }
    let packet_id = expect_message(&mut client, false, 2, "sent");
    seconds_pass(&broker, 2);
    let mut client = resume(&broker, &one_at_a_time);
    assert_eq!(expect_message(&mut client, true, 2, "sent"), packet_id);
    client.send(&pubrec(packet_id));
    client.expect(&pubrel(packet_id));
    client.send(&pubcomp(packet_id));
    expect_alive(&mut client);
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs answers QoS 2 with a PUBACK.
#[test]
fn mqtt5_4_3_3_8_qos_2_is_answered_with_pubrec_and_its_id() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = connect(&broker, "writer-of-ids");
    for packet_id in [1, 0x00ff, 0x0100, 0x1234, 0xffff] {
        writer.send(&Publish::v5("t", "m").qos(2, packet_id).bytes());
        writer.expect(&pubrec(packet_id));
        expect_message(&mut reader, false, 0, "m");
    }
}

/// The broker has refused the message, so the id is free without a PUBREL.
// Breaks if: `Inbound::sent` in src/session/inbound.rs keeps an id held after a PUBREC with an error.
#[test]
fn mqtt5_4_3_3_9_after_pubrec_with_an_error_the_same_id_is_new() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = connect(&broker, "refused");
    for dup in [false, true] {
        writer.send(&Publish::v5("$SYS/not/yours", "m").qos(2, 7).bytes());
        expect_reason(&mut writer, 0x50, 7, |reason| reason == 0x87);
        let publish = Publish::v5("t", "new").qos(2, 7);
        let publish = if dup { publish.dup() } else { publish };
        writer.send(&publish.bytes());
        writer.expect(&pubrec(7));
        expect_message(&mut reader, false, 0, "new");
        writer.send(&pubrel(7));
        writer.expect(&pubcomp(7));
    }
}

/// On the same connection, and on the next one.
// Breaks if: `Inbound::repeated` in src/session/inbound.rs does not find the id, or `Inbound::attach` there does not
// keep `held`.
#[test]
fn mqtt5_4_3_3_10_until_pubrel_a_repeated_publish_is_answered_and_not_delivered_twice() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = open(&broker, &breakable("client"));
    let publish = Publish::v5("t", "once").qos(2, 7);
    writer.send(&publish.bytes());
    writer.expect(&pubrec(7));
    expect_message(&mut reader, false, 0, "once");
    for _ in 0..2 {
        for publish in [publish.clone().dup(), publish.clone()] {
            writer.send(&publish.bytes());
            writer.expect(&pubrec(7));
        }
        writer = again(&broker, writer);
    }
    expect_alive(&mut reader);
    writer.send(&pubrel(7));
    writer.expect(&pubcomp(7));
    tell(&broker, "t", 0, "marker");
    expect_message(&mut reader, false, 0, "marker");
}

/// Again and again: the client may not have got the answer.
// Breaks if: `Open::release` in src/broker/packets.rs does not answer, or `Inbound::release` in
// src/session/inbound.rs answers with another id.
#[test]
fn mqtt5_4_3_3_11_pubrel_is_answered_with_pubcomp_and_its_id() {
    let broker = Broker::start();
    let mut writer = open(&broker, &breakable("client"));
    for packet_id in [1, 0x00ff, 0x0100, 0xffff] {
        writer.send(&Publish::v5("t", "m").qos(2, packet_id).bytes());
        expect_accepted(&mut writer, 0x50, packet_id);
    }
    writer.send(&pubrel(0x0100));
    writer.expect(&pubcomp(0x0100));
    writer.send(&[pubrel(0xffff), pubrel(1)].concat());
    writer.expect(&pubcomp(0xffff));
    writer.expect(&pubcomp(1));
    let mut writer = again(&broker, writer);
    writer.send(&pubrel(0x00ff));
    writer.expect(&pubcomp(0x00ff));
    writer.send(&pubrel(0x00ff));
    expect_reason(&mut writer, 0x70, 0x00ff, |reason| reason == 0x92);
}

// Breaks if: `Inbound::release` in src/session/inbound.rs keeps the id held.
#[test]
fn mqtt5_4_3_3_12_after_pubcomp_the_same_id_is_new() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "t", 0);
    let mut writer = connect(&broker, "writer-of-one");
    for dup in [false, true, false, true] {
        let publish = Publish::v5("t", "the same").qos(2, 7);
        let publish = if dup { publish.dup() } else { publish };
        writer.send(&publish.bytes());
        writer.expect(&pubrec(7));
        writer.send(&pubrel(7));
        writer.expect(&pubcomp(7));
        expect_message(&mut reader, false, 0, "the same");
    }
    expect_alive(&mut reader);
}

/// From either side, and the message is gone for whoever has not got it.
// Breaks if: `Outbound::resend` in src/session/outbound.rs forgets the PUBREL of a message that has expired.
#[test]
fn mqtt5_4_3_3_13_the_handshake_goes_on_after_expiry() {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("client"));
    subscribe(&mut client, "t", 2);
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", 2);
    leave(away);
    let mut writer = connect(&broker, "hasty");
    let publish = Publish::v5("t", "brief").qos(2, 7);
    let publish = publish.property(four(prop::MESSAGE_EXPIRY_INTERVAL, 1));
    writer.send(&publish.bytes());
    writer.expect(&pubrec(7));
    let packet_id = expect_message(&mut client, false, 2, "brief");
    client.send(&pubrec(packet_id));
    client.expect(&pubrel(packet_id));
    seconds_pass(&broker, 2);
    expect_alive(&mut resume(&broker, &persistent("away")));
    let mut client = again(&broker, client);
    client.expect(&pubrel(packet_id));
    client.send(&pubcomp(packet_id));
    expect_alive(&mut client);
    writer.send(&publish.dup().bytes());
    writer.expect(&pubrec(7));
    writer.send(&pubrel(7));
    writer.expect(&pubcomp(7));
    expect_alive(&mut client);
}
