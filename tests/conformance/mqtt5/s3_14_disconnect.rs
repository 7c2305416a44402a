//! 3.14 DISCONNECT.

use crate::bytes::{
    Connect, DISCONNECT, Publish, Will, disconnect_5, four, packet, prop, section, subscribe_5,
    text,
};
use crate::received::{Connack, Disconnected, expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    SMALL, breach, broker_with, connect, connect_small, expect_message, leave, open, other_flags,
    persistent, reason_string, resume, tell, tell_all, user_property,
};

/// Whatever is wrong before, there is a CONNACK with the reason, or nothing.
// Breaks if: `Connection::refuse_as` in src/broker/handshake.rs commits a DISCONNECT instead of a CONNACK.
#[test]
fn mqtt5_3_14_0_1_no_disconnect_before_a_successful_connack() {
    let broker = Broker::start();
    let mut silent = RawClient::connect(broker.tcp);
    let connect = || Connect::v5("client");
    let method = text(prop::AUTHENTICATION_METHOD, "unheard of");
    let cases = [
        connect().flags(0x03).bytes(),
        connect().flags(0x1e).bytes(),
        Connect::version(6, "client").bytes(),
        connect().protocol("MQTX").bytes(),
        Connect::v5(b"\xff").bytes(),
        connect()
            .property(vec![prop::RECEIVE_MAXIMUM, 0, 0])
            .bytes(),
        connect().property(method).bytes(),
        connect().will(Will::new("$SYS/not/yours", "")).bytes(),
        connect().will(Will::new("a/#", "")).bytes(),
        packet(0x10, &[]),
        Publish::v5("t", "m").bytes(),
        DISCONNECT.to_vec(),
        subscribe_5(1, &[], &[("t", 0)]),
        vec![0xc0, 0x00],
        vec![0xf0, 0x00],
        vec![0x00, 0x00],
        vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ];
    for case in cases {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&case);
        let said = client.packets_until_closed();
        assert!(said.len() <= 1, "{said:02x?} to {case:02x?}");
        for packet in said {
            assert!(Connack::v5(&packet).reason >= 0x80, "{packet:02x?}");
        }
    }
    broker.signal("TERM");
    silent.expect_closed();
}

// Breaks if: `check_flags` in src/codec/header.rs lets other flags of DISCONNECT pass.
#[test]
fn mqtt5_3_14_1_1_reserved_bits_are_answered_with_0x81() {
    let broker = Broker::start();
    for first in other_flags(0xe0) {
        breach(&broker, &packet(first, &[]), 0x81);
        breach(&broker, &packet(first, &[0x00, 0x00]), 0x81);
    }
    leave(connect(&broker, "client"));
}

// Breaks if: `may_be_sent_by` in src/codec/reason.rs does not look at DISCONNECT's table, or `ReasonCode::read` in
// src/codec/error.rs does not ask it; the broker's own if `SessionTakenOver` gets another value.
#[test]
fn mqtt5_3_14_2_1_the_code_is_one_of_its_table() {
    let broker = broker_with("receive_maximum = 1\npacket_size_maximum = \"256B\"");
    let qos2 = |id| Publish::v5("t", "m").qos(2, id).bytes();
    let cases = [
        (0x81, packet(0x36, &[0, 1])),
        (0x82, Connect::v5("again").bytes()),
        (0x93, [qos2(1), qos2(2)].concat()),
        (0x94, Publish::v5("t", "m").alias(0xffff).bytes()),
        (0x95, Publish::v5("t", "m".repeat(300)).bytes()),
    ];
    for (code, bytes) in cases {
        let mut client = connect(&broker, "client");
        client.send(&bytes);
        let said = client.packets_until_closed();
        let last = said.last().expect("a word before the close");
        assert_eq!(Disconnected::v5(last).reason, code, "to {bytes:02x?}");
    }
    let mut first = connect(&broker, "taken");
    let mut second = connect(&broker, "taken");
    expect_disconnect(&mut first, 0x8e);
    let from_clients = [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    ];
    for code in from_clients {
        let mut client = connect(&broker, "client");
        client.send(&disconnect_5(code, &[]));
        client.expect_closed();
    }
    // The last ones are a server's, the first ones nobody's.
    for code in [
        0x01, 0x10, 0x84, 0x86, 0x91, 0xff, 0x87, 0x8b, 0x8d, 0x8e, 0xa2,
    ] {
        breach(&broker, &disconnect_5(code, &[]), 0x82);
    }
    broker.signal("TERM");
    expect_disconnect(&mut second, 0x8b);
}

/// Only a client sends it; the broker's table of reasons has no use for it.
// Breaks if: `Broker::say_disconnect` in src/broker/sessions.rs fills in `session_expiry`.
#[test]
fn mqtt5_3_14_2_2_the_broker_sends_no_session_expiry() {
    let broker = Broker::start();
    let expect_none = |client: &mut RawClient, reason| {
        let disconnect = expect_disconnect(client, reason);
        let expiry = disconnect.properties.all(prop::SESSION_EXPIRY_INTERVAL);
        assert!(expiry.is_empty(), "{disconnect:02x?}");
    };
    let mut first = open(&broker, &persistent("taken"));
    let mut second = resume(&broker, &persistent("taken"));
    expect_none(&mut first, 0x8e);
    let mut wrong = open(&broker, &persistent("wrong"));
    wrong.send(&packet(0x36, &[0, 1]));
    expect_none(&mut wrong, 0x81);
    broker.signal("TERM");
    expect_none(&mut second, 0x8b);
}

/// What is wrong is explained, but not to a client that has no room for it.
// Breaks if: `Broker::say_disconnect` in src/broker/sessions.rs keeps the Reason String whatever the maximum is.
#[test]
fn mqtt5_3_14_2_3_no_reason_string_beyond_the_peers_maximum() {
    let broker = broker_with("packet_size_maximum = \"256B\"");
    let wrong = packet(0x36, &[0, 1]);
    let mut large = connect(&broker, "large");
    large.send(&wrong);
    let disconnect = expect_disconnect(&mut large, 0x81);
    let explained = disconnect.properties.one(prop::REASON_STRING);
    assert!(explained.is_some(), "nothing to leave out");
    let mut small = connect_small(&broker, "small");
    small.send(&wrong);
    expect_small_disconnect(&mut small, 0x81, prop::REASON_STRING);
    breach_by_size(&broker, reason_string);
}

// Breaks if: `Broker::say_disconnect` in src/broker/sessions.rs returns User Properties of the CONNECT.
#[test]
fn mqtt5_3_14_2_4_no_user_property_beyond_the_peers_maximum() {
    let broker = broker_with("packet_size_maximum = \"256B\"");
    let maximum = four(prop::MAXIMUM_PACKET_SIZE, SMALL);
    let connect = Connect::v5("small").property(maximum);
    let mut small = open(&broker, &connect.property(user_property(100)));
    let properties = section(&user_property(100));
    let unknown_code = [&[0x01], &properties[..]].concat();
    small.send(&packet(0xe0, &unknown_code));
    expect_small_disconnect(&mut small, 0x82, prop::USER_PROPERTY);
    breach_by_size(&broker, user_property);
}

#[track_caller]
fn expect_small_disconnect(client: &mut RawClient, reason: u8, property: u8) {
    let bytes = client.packet();
    assert!(bytes.len() <= SMALL as usize, "{bytes:02x?}");
    let disconnect = Disconnected::v5(&bytes);
    assert_eq!(disconnect.reason, reason, "{disconnect:02x?}");
    assert!(disconnect.properties.all(property).is_empty());
    client.expect_closed();
}

/// The client's side of it: a farewell that is too large is not taken for one.
#[track_caller]
fn breach_by_size(broker: &Broker, property: fn(usize) -> Vec<u8>) {
    let mut client = connect(broker, "wordy");
    client.send(&disconnect_5(0x00, &property(100)));
    client.expect_closed();
    breach(broker, &disconnect_5(0x00, &property(300)), 0x95);
}

/// Messages keep coming for a client that breaks the protocol, and for one that is taken over.
// Breaks if: `Broker::take_line` in src/broker/sessions.rs says DISCONNECT without taking the line from the session.
#[test]
fn mqtt5_3_14_4_1_nothing_is_sent_after_disconnect() {
    let broker = Broker::start();
    let payloads: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for taken_over in [false, true] {
        let mut writer = connect(&broker, "flood");
        let mut client = connect(&broker, "client");
        subscribe(&mut client, "t", 1);
        tell_all(&mut writer, "t", 0, &payloads);
        let flood = (1..=200).map(|id| Publish::v5("t", "m").qos(1, id).bytes());
        writer.send(&flood.collect::<Vec<_>>().concat());
        let other = if taken_over {
            Some(connect(&broker, "client"))
        } else {
            client.send(&Connect::v5("client").bytes());
            None
        };
        let mut packet = client.packet();
        while packet[0] != 0xe0 {
            assert_eq!(packet[0] & 0xf0, 0x30, "{packet:02x?}");
            packet = client.packet();
        }
        let reason = Disconnected::v5(&packet).reason;
        assert_eq!(reason, if taken_over { 0x8e } else { 0x82 });
        tell(&broker, "t", 1, "after the end");
        client.expect_closed();
        drop(other);
    }
}

/// After its own, and after the client's.
// Breaks if: `Connection::receive` in src/broker/connection.rs returns `Turn::Read` when an open connection has ended.
#[test]
fn mqtt5_3_14_4_2_the_connection_is_closed_after_disconnect() {
    let broker = Broker::start();
    breach(&broker, &packet(0x36, &[0, 1]), 0x81);
    breach(&broker, &Connect::v5("again").bytes(), 0x82);
    let mut first = connect(&broker, "taken");
    let mut second = connect(&broker, "taken");
    expect_disconnect(&mut first, 0x8e);
    expect_alive(&mut second);
    let forms = [
        DISCONNECT.to_vec(),
        packet(0xe0, &[0x04]),
        disconnect_5(0x82, &text(prop::REASON_STRING, "you")),
    ];
    for form in forms {
        let mut client = connect(&broker, "client");
        // What comes behind it is not answered.
        client.send(&[form, vec![0xc0, 0x00]].concat());
        client.expect_closed();
    }
}

// Breaks if: `Open::disconnect` in src/broker/packets.rs leaves with `Detach::Silent` for `Success`.
#[test]
fn mqtt5_3_14_4_3_disconnect_0x00_discards_the_will() {
    let broker = Broker::start();
    let mut watch = connect(&broker, "watch");
    subscribe(&mut watch, "will/#", 0);
    let normal = [
        DISCONNECT.to_vec(),
        packet(0xe0, &[0x00]),
        disconnect_5(0, &[]),
    ];
    let with_will = [packet(0xe0, &[0x04]), disconnect_5(0x80, &[])];
    let with_expiry = [
        disconnect_5(0, &four(prop::SESSION_EXPIRY_INTERVAL, 0)),
        disconnect_5(0, &four(prop::SESSION_EXPIRY_INTERVAL, 60)),
    ];
    for farewell in normal.iter().chain(&with_expiry) {
        let will = Will::new("will/normal", "no").qos(1).retain();
        let mut client = open(&broker, &Connect::v5("client").expiry(60).will(will));
        client.send(farewell);
        client.expect_closed();
    }
    for farewell in with_will {
        let will = Will::new("will/other", "yes");
        let mut client = open(&broker, &Connect::v5("client").will(will));
        client.send(&farewell);
        client.expect_closed();
        // Nothing of the normal ones came before.
        expect_message(&mut watch, false, 0, "yes");
    }
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "will/#", 0);
    expect_alive(&mut late);
    // The sessions left behind end without a Will as well.
    connect(&broker, "client");
    expect_alive(&mut watch);
}
