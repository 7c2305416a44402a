//! Section 3.1, CONNECT: its place, its variable header, and what Clean Session and Keep Alive do. The Will
//! has a file of its own.

use std::time::{Duration, Instant};

use super::peer::{
    breach, client, connack, connect, expect_message, expect_retained, expect_sent, fail, leave,
    not_connected, persistent, publish, refused, resume, retain, start, subscribe, subscriber,
    with_will,
};
use crate::bytes::{
    Connect, DISCONNECT, PINGREQ, Publish, Will, disconnect_5, packet, puback, pubcomp, pubrec,
    pubrel, string, subscribe_311, unsubscribe_311,
};
use crate::received::{connected, expect_alive};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

#[test]
// Breaks if: broker/connection.rs `handshake` passes over what is no CONNECT instead of `Err(NO_CONNECT)`.
fn mqtt311_3_1_0_1_the_first_packet_must_be_a_connect() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 0);
    let others = [
        Publish::v311("t", "unconnected").bytes(),
        Publish::v311("t", "unconnected").qos(1, 1).bytes(),
        puback(1),
        pubrec(1),
        pubrel(1),
        pubcomp(1),
        subscribe_311(1, &[("t", 0)]),
        unsubscribe_311(1, &["t"]),
        PINGREQ.to_vec(),
        DISCONNECT.to_vec(),
        connack(false, 0),
    ];
    for other in others {
        not_connected(&broker, &other);
        // A CONNECT afterwards comes too late.
        not_connected(&broker, &[other, Connect::v311("late").bytes()].concat());
    }
    publish(&mut client(&broker, "publisher"), 0, "t", "connected");
    expect_message(&mut witness, 0, "t", "connected");
}

#[test]
// Breaks if: broker/packets.rs `packet` ignores a CONNECT of an open connection.
fn mqtt311_3_1_0_2_a_second_connect_closes_the_connection() {
    let broker = start();
    breach(&broker, &Connect::v311("breach").bytes());
    breach(&broker, &Connect::v311("somebody else").bytes());
    breach(&broker, &persistent("breach").bytes());
    // Both in one write: the first is answered.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&Connect::v311("twice").bytes().repeat(2));
    client.expect(&connack(false, 0));
    client.expect_closed();
}

#[test]
// Breaks if: codec/connect.rs `known_version` does not look at the name.
fn mqtt311_3_1_2_1_a_wrong_protocol_name_is_not_served() {
    let broker = start();
    let names: [&[u8]; 9] = [
        b"",
        b"MQTX",
        b"mqtt",
        b"Mqtt",
        b"MQT",
        b"MQTTT",
        b"MQTT\0",
        b"\xff\xfe\xfd\xfc",
        b"HTTP",
    ];
    for name in names {
        not_connected(&broker, &Connect::v311("me").protocol(name).bytes());
    }
    connect(&broker, &Connect::v311("me").protocol("MQTT"));
}

/// From 6 on the version is a later one: such a client hears of it in the form of MQTT 5.0, the nearest that is
/// spoken here, and of that version alone.
#[test]
// Breaks if: codec/connect.rs `decode` refuses an unknown level as malformed, or takes it.
fn mqtt311_3_1_2_2_a_protocol_level_that_is_not_spoken_gets_return_code_1() {
    let broker = start();
    for level in 0..4 {
        refused(&broker, &Connect::version(level, "me"), 1);
    }
    for level in [6, 7, 0x40, 0x7f] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&Connect::version(level, "me").bytes());
        let connack = client.packet();
        assert!(
            connack[0] == 0x20 && matches!(connack[3], 1 | 0x84),
            "{connack:02x?}"
        );
        client.expect_closed();
    }
    connect(&broker, &Connect::version(4, "me"));
}

#[test]
// Breaks if: codec/connect.rs `check_flags` does not look at RESERVED.
fn mqtt311_3_1_2_3_the_reserved_connect_flag_closes_the_connection() {
    let broker = start();
    not_connected(&broker, &Connect::v311("me").flags(0x03).bytes());
    not_connected(&broker, &Connect::v311("me").flags(0x01).bytes());
    connect(&broker, &Connect::v311("me").flags(0x02));
    connect(&broker, &Connect::v311("me").flags(0x00));
}

#[test]
// Breaks if: broker/sessions.rs `claim` never resumes, or `detach` ends a persistent session too.
fn mqtt311_3_1_2_4_clean_session_0_creates_then_resumes_the_session() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t/+", 1);
    // However the connection ends, the session stays: three ways.
    leave(subscriber);
    let subscriber = resume(&broker, &persistent("subscriber"));
    fail(subscriber);
    let subscriber = resume(&broker, &persistent("subscriber"));
    drop(subscriber);
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    publish(&mut publisher, 1, "t/1", "no SUBSCRIBE since");
    expect_message(&mut subscriber, 1, "t/1", "no SUBSCRIBE since");
}

#[test]
// Breaks if: session/outbound.rs `deliver` drops QoS 1 and 2 while there is no line, as it does QoS 0.
fn mqtt311_3_1_2_5_messages_of_qos_1_and_2_wait_for_the_session() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "a/+", 2);
    subscriber.send(&subscribe_311(2, &[("b", 1)]));
    subscriber.packet();
    leave(subscriber);
    publish(&mut publisher, 1, "a/1", "one");
    publish(&mut publisher, 2, "a/2", "two");
    publish(&mut publisher, 2, "b", "as granted");
    publish(&mut publisher, 1, "c", "not subscribed to");
    publish(&mut publisher, 2, "a/1", "the last");

    let mut subscriber = resume(&broker, &persistent("subscriber"));
    expect_sent(&mut subscriber, 1, "a/1", "one");
    expect_sent(&mut subscriber, 2, "a/2", "two");
    expect_sent(&mut subscriber, 1, "b", "as granted");
    expect_sent(&mut subscriber, 2, "a/1", "the last");
    expect_alive(&mut subscriber);
}

#[test]
// Breaks if: broker/sessions.rs `claim` resumes whatever `clean_start` says.
fn mqtt311_3_1_2_6_clean_session_1_discards_and_is_never_resumed() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 1);
    leave(subscriber);
    publish(&mut publisher, 1, "t", "queued, then discarded");

    // The old state is gone, messages and subscription...
    let mut subscriber = client(&broker, "subscriber");
    publish(&mut publisher, 1, "t", "subscription discarded");
    subscribe(&mut subscriber, "u", 1);
    publish(&mut publisher, 1, "u", "marker");
    expect_message(&mut subscriber, 1, "u", "marker");
    leave(subscriber);
    // ...and the state of the clean session goes with its connection, however that ends.
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    publish(&mut publisher, 1, "u", "subscription not kept");
    subscribe(&mut subscriber, "v", 1);
    publish(&mut publisher, 1, "v", "marker");
    expect_message(&mut subscriber, 1, "v", "marker");
    fail(client(&broker, "other"));
    leave(connect(&broker, &persistent("other")));
}

#[test]
// Breaks if: broker/sessions.rs `end_session` clears what the client has retained (`retained.write().clear`).
fn mqtt311_3_1_2_7_retained_messages_outlive_the_session() {
    let broker = start();
    for (qos, end) in [leave, fail].into_iter().enumerate() {
        let mut publisher = client(&broker, "publisher");
        let qos = u8::try_from(qos).expect("0 or 1");
        retain(&mut publisher, qos, "state", "stays");
        end(publisher);
        // The session has ended: there is nothing to resume, and another clean one begins.
        leave(client(&broker, "publisher"));
        let mut subscriber = subscriber(&broker, "subscriber", "state", 1);
        expect_retained(&mut subscriber, qos, "state", "stays");
    }
}

/// A user name is there exactly when its flag says so; what else follows is no CONNECT.
#[test]
// Breaks if: codec/connect.rs `decode` does not call `reader.finish()`.
fn mqtt311_3_1_2_18_no_user_name_without_its_flag() {
    let broker = start();
    let named = Connect::v311("me").user_name("name");
    not_connected(&broker, &named.clone().flags(0x02).bytes());
    not_connected(&broker, &named.clone().flags(0x00).bytes());
    connect(&broker, &named.flags(0x82));
    connect(&broker, &Connect::v311("me").user_name("").flags(0x82));
}

#[test]
// Breaks if: codec/connect.rs `decode` takes the end of the packet for an absent user name (as 3.1 would).
fn mqtt311_3_1_2_19_the_user_name_flag_needs_a_user_name() {
    let broker = start();
    not_connected(&broker, &Connect::v311("me").flags(0x82).bytes());
    // A length alone, or more length than text, is none either.
    let header = b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x02me";
    for cut in [&b"\x00"[..], b"\x00\x05", b"\x00\x05name"] {
        not_connected(&broker, &packet(0x10, &[&header[..], cut].concat()));
    }
    connect(&broker, &Connect::v311("me").user_name("name"));
}

#[test]
// Breaks if: codec/connect.rs `decode` does not call `reader.finish()`.
fn mqtt311_3_1_2_20_no_password_without_its_flag() {
    let broker = start();
    let secret = Connect::v311("me").user_name("name").password("secret");
    not_connected(&broker, &secret.clone().flags(0x82).bytes());
    connect(&broker, &secret.flags(0xc2));
}

#[test]
// Breaks if: codec/connect.rs `decode` takes the end of the packet for an absent password.
fn mqtt311_3_1_2_21_the_password_flag_needs_a_password() {
    let broker = start();
    let named = Connect::v311("me").user_name("name");
    not_connected(&broker, &named.clone().flags(0xc2).bytes());
    let header = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02me\x00\x04name";
    for cut in [&b"\x00"[..], b"\x00\x07", b"\x00\x07secret"] {
        not_connected(&broker, &packet(0x10, &[&header[..], cut].concat()));
    }
    // An empty one is one.
    connect(&broker, &named.password(""));
}

#[test]
// Breaks if: codec/connect.rs `check_flags` allows a password without a user name below version 5 too.
fn mqtt311_3_1_2_22_a_password_needs_a_user_name() {
    let broker = start();
    not_connected(&broker, &Connect::v311("me").password("secret").bytes());
    let body = [&b"\x00\x04MQTT\x04\x42\x00\x3c"[..], &string("me")].concat();
    not_connected(&broker, &packet(0x10, &body));
    connect(
        &broker,
        &Connect::v311("me").user_name("").password("secret"),
    );
}

/// One and a half times the Keep Alive of silence, not less; and not at all with a Keep Alive of 0.
#[test]
// Breaks if: session/terms.rs `silence_allowed` multiplies by 1000 instead of 1500, or gives none;
// broker/connection.rs `receive` does not move `last_heard`.
fn mqtt311_3_1_2_24_silence_beyond_one_and_a_half_keep_alives_is_closed() {
    let broker = start();
    let mut never = connect(&broker, &Connect::v311("never").keep_alive(0));
    let started = Instant::now();
    let mut second = connect(&broker, &Connect::v311("second").keep_alive(1));
    let mut busy = connect(&broker, &Connect::v311("busy").keep_alive(3));

    second.expect_closed();
    let silent = started.elapsed();
    assert!(silent >= Duration::from_millis(1500), "after {silent:?}");
    // An order of magnitude for a busy machine; the broker itself is far more exact.
    assert!(silent < Duration::from_secs(10), "after {silent:?}");

    // Any packet begins the count anew: a third of the other's time is over already.
    let started = Instant::now();
    busy.send(&Publish::v311("t", "I am here").bytes());
    busy.expect_closed();
    let silent = started.elapsed();
    assert!(silent >= Duration::from_millis(4500), "after {silent:?}");
    assert!(silent < Duration::from_secs(15), "after {silent:?}");
    expect_alive(&mut never);
    strikes_in_time(&broker);
}

/// By the broker's own clock, which is a Will with a delay: after a Keep Alive of 2 s the connection is closed
/// before 4 s are over.
#[track_caller]
fn strikes_in_time(broker: &Broker) {
    let mut watch = subscriber(broker, "watch", "struck/+", 0);
    let silent = with_will("silent", 0, "struck/3", "").keep_alive(2);
    let silent = connect(broker, &silent);
    let will = Will::new("struck/4", "").delay(4);
    let clock = Connect::v5("clock").expiry(600).will(will);
    let (mut clock, _) = connected(broker.tcp, &clock);
    clock.send(&disconnect_5(0x04, &[]));
    clock.expect_closed();
    expect_message(&mut watch, 0, "struck/3", "");
    expect_message(&mut watch, 0, "struck/4", "");
    drop(silent);
}
