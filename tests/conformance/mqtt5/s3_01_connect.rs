//! MQTT 5.0, section 3.1: CONNECT, up to its flags and properties. What is about the Will is in
//! `s3_01_will`, the payload and what the server does with a CONNECT in `s3_01_payload`.

use std::time::{Duration, Instant};

use crate::bytes::{
    Connect, PINGREQ, PINGRESP, Publish, Will, auth_5, byte, disconnect_5, four, pair, prop,
    puback, pubcomp, pubrec, pubrel, string, subscribe_5, text, two, unsubscribe_5,
};
use crate::received::{
    Ack, Connack, connected, expect_alive, expect_disconnect, leave, online, publish, published,
    refused_5, subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

/// A session that lasts.
fn lasting(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// A broker that closes nobody for being silent before its CONNECT.
#[track_caller]
fn patient() -> Broker {
    Broker::configured(&format!("{ANONYMOUS}[limits]\nconnect_timeout = \"1h\"\n"))
}

/// Breaks if: `Connection::handshake` in `src/broker/connection.rs`, which looks at the first byte, and
/// `before_open` in `src/broker/handshake.rs` let another packet than CONNECT pass in the phase `Fresh`.
#[test]
fn mqtt5_3_1_0_1_the_first_packet_is_a_connect() {
    let broker = patient();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 0);
    let others = [
        Publish::v5("t", "smuggled").bytes(),
        Publish::v5("t", "smuggled").qos(1, 1).bytes(),
        puback(1),
        pubrec(1),
        pubrel(1),
        pubcomp(1),
        subscribe_5(1, &[], &[("t", 0)]),
        unsubscribe_5(1, &[], &["t"]),
        PINGREQ.to_vec(),
        disconnect_5(0, &[]),
        auth_5(0x18, &text(prop::AUTHENTICATION_METHOD, "m")),
    ];
    for first in others {
        let mut client = RawClient::connect(broker.tcp);
        // A CONNECT afterwards does not heal it.
        client.send(&[first, Connect::v5("late").bytes()].concat());
        client.expect_closed();
    }
    witness.expect_nothing();
}

/// Breaks if: `Open::packet` in `src/broker/packets.rs` answers a second CONNECT, or passes over it.
#[test]
fn mqtt5_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let broker = Broker::start();
    for second in [Connect::v5("c"), Connect::v5("other"), Connect::v311("c")] {
        let mut client = online(broker.tcp, "c");
        client.send(&second.bytes());
        expect_disconnect(&mut client, 0x82);
    }
    // Also right behind the first.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&Connect::v5("c").bytes().repeat(2));
    assert_eq!(Connack::v5(&client.packet()).reason, 0x00);
    expect_disconnect(&mut client, 0x82);
}

/// Breaks if: `known_version` in `src/codec/connect.rs` does not compare the whole name, letter for letter.
#[test]
fn mqtt5_3_1_2_1_another_protocol_name_gets_no_service() {
    let broker = patient();
    for name in ["", "MQT", "MQTTX", "mqtt", "MQTu", "HTTP", "\u{feff}MQTT"] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&Connect::v5("c").protocol(name).bytes());
        // A CONNACK may be sent to tell the reason; nothing else, and not that all is well.
        let answers = client.packets_until_closed();
        let refusal = |answer: &Vec<u8>| answer[0] == 0x20 && answer[3] == 0x84;
        assert!(
            answers.len() <= 1 && answers.iter().all(refusal),
            "{answers:02x?}"
        );
    }
    // MQTT 3.1's name with a version that 3.1 did not have.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&Connect::v5("c").protocol("MQIsdp").bytes());
    let answers = client.packets_until_closed();
    assert!(
        answers.iter().all(|answer| answer[..4] == [0x20, 2, 0, 1]),
        "{answers:02x?}"
    );
}

/// Breaks if: `known_version` in `src/codec/connect.rs` takes another version for 5, or
/// `connect_version` does not give a later one a CONNACK of 5.0.
#[test]
fn mqtt5_3_1_2_2_another_protocol_version_is_told_0x84() {
    let broker = patient();
    for version in [6, 7, 63, 127] {
        refused_5(broker.tcp, &Connect::version(version, "c").bytes(), 0x84);
    }
    // What is older gets what 3.1.1 has for it, for it would not understand more.
    for version in [0, 1, 2, 3] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&Connect::version(version, "c").bytes());
        client.expect(&[0x20, 2, 0, 1]);
        client.expect_closed();
    }
}

/// Breaks if: `check_flags` in `src/codec/connect.rs` does not look at the reserved flag.
#[test]
fn mqtt5_3_1_2_3_the_reserved_connect_flag_is_0() {
    let broker = Broker::start();
    for flags in [0x01, 0x03] {
        refused_5(broker.tcp, &Connect::v5("c").flags(flags).bytes(), 0x81);
    }
}

/// Breaks if: `claim` in `src/broker/sessions.rs` resumes whatever `clean_start` says.
#[test]
fn mqtt5_3_1_2_4_clean_start_1_drops_the_old_session() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "old", 1);
    publish(&mut publisher, Publish::v5("old", "in flight"));
    assert_eq!(published(&mut client).payload, b"in flight");
    leave(client);
    publish(&mut publisher, Publish::v5("old", "waiting"));

    let (mut client, connack) = connected(broker.tcp, &lasting("c").clean(true));
    assert_eq!(connack.flags, 0);
    subscribe(&mut client, "new", 1);
    publish(&mut publisher, Publish::v5("old", "later"));
    publish(&mut publisher, Publish::v5("new", "marker"));
    assert_eq!(published(&mut client).payload, b"marker");
}

/// Breaks if: `claim` in `src/broker/sessions.rs` ends a session that `clean_start` does not ask to end.
#[test]
fn mqtt5_3_1_2_5_clean_start_0_resumes_the_session() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "t", 1);
    publish(&mut publisher, Publish::v5("t", "in flight"));
    let first = published(&mut client);
    leave(client);
    publish(&mut publisher, Publish::v5("t", "waiting"));

    let (mut client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    let again = published(&mut client);
    assert_eq!(
        (again.packet_id, &*again.payload),
        (first.packet_id, &b"in flight"[..])
    );
    assert_eq!(published(&mut client).payload, b"waiting");
    publish(&mut publisher, Publish::v5("t", "later"));
    assert_eq!(published(&mut client).payload, b"later");
}

/// Breaks if: `Broker::open` in `src/broker/sessions.rs` makes no session that can be used and resumed when
/// none is found.
#[test]
fn mqtt5_3_1_2_6_clean_start_0_without_a_session_makes_one() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 0);
    subscribe(&mut client, "t", 1);
    leave(client);
    publish(&mut publisher, Publish::v5("t", "x"));
    let (mut client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    assert_eq!(published(&mut client).payload, b"x");
}

/// Flags, and a payload of a Client Identifier and these fields.
#[track_caller]
fn refused_with(broker: &Broker, flags: u8, fields: &[&str]) {
    let mut body = b"\x00\x04MQTT\x05".to_vec();
    body.extend([flags, 0, 60, 0]);
    body.extend(string("c"));
    body.extend(fields.iter().flat_map(string));
    refused_5(broker.tcp, &crate::bytes::packet(0x10, &body), 0x81);
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` does not call `finish`.
#[test]
fn mqtt5_3_1_2_16_without_its_flag_there_is_no_user_name() {
    let broker = Broker::start();
    refused_with(&broker, 0x02, &["user"]);
    refused_with(&broker, 0x42, &["user", "password"]);
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` does without a User Name that the flag announces.
#[test]
fn mqtt5_3_1_2_17_with_its_flag_there_is_a_user_name() {
    let broker = Broker::start();
    refused_with(&broker, 0x82, &[]);
    refused_with(&broker, 0xc2, &["the password, or is it?"]);
    // It may be empty, and it may come without a password.
    connected(broker.tcp, &Connect::v5("c").user_name(""));
    connected(broker.tcp, &Connect::v5("c").user_name("user").password(""));
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` does not call `finish`.
#[test]
fn mqtt5_3_1_2_18_without_its_flag_there_is_no_password() {
    let broker = Broker::start();
    refused_with(&broker, 0x82, &["user", "password"]);
    refused_with(&broker, 0x02, &["password"]);
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` does without a Password that the flag announces,
/// reads it as a string, or `check_flags` wants a User Name with it in 5.0.
#[test]
fn mqtt5_3_1_2_19_with_its_flag_there_is_a_password() {
    let broker = Broker::start();
    refused_with(&broker, 0x42, &[]);
    refused_with(&broker, 0xc2, &["user"]);
    // 5.0 lets it come without a User Name; it is bytes, not text.
    connected(
        broker.tcp,
        &Connect::v5("c").password(b"\x00\xff\xed\xa0\x80"),
    );
}

/// Breaks if: `Terms::silence_allowed` in `src/session/terms.rs` gives another time, or
/// `Connection::timed_out` in `src/broker/connection.rs` does not end the connection.
#[test]
fn mqtt5_3_1_2_22_silence_of_one_and_a_half_keep_alives_ends_the_connection() {
    let broker = Broker::start();
    let mut keeper = RawClient::connect(broker.tcp);
    keeper.send(&Connect::v5("c").keep_alive(1).bytes());
    keeper.packet();
    // Any packet begins the time anew: PINGREQ after PINGREQ for longer than silence may last.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2_200) {
        keeper.send(&PINGREQ);
        keeper.expect(&PINGRESP);
    }
    let last = Instant::now();
    keeper.send(&PINGREQ);
    keeper.expect(&PINGRESP);
    expect_disconnect(&mut keeper, 0x8d);
    let silence = last.elapsed();
    assert!(silence >= Duration::from_millis(1_500), "{silence:?}");
    // Not later either, by the broker's own clock: a Will with a delay strikes.
    let mut watch = online(broker.tcp, "watch");
    subscribe(&mut watch, "struck/+", 0);
    let will = |topic| Will::new(topic, "");
    let silent = Connect::v5("silent").keep_alive(2);
    let (silent, _) = connected(broker.tcp, &silent.will(will("struck/3")));
    let clock = lasting("clock").will(will("struck/4").delay(4));
    let (mut clock, _) = connected(broker.tcp, &clock);
    clock.send(&disconnect_5(0x04, &[]));
    clock.expect_closed();
    assert_eq!(published(&mut watch).topic, "struck/3");
    assert_eq!(published(&mut watch).topic, "struck/4");
    drop(silent);
}

/// Breaks if: `detach` in `src/broker/sessions.rs` ends a session whose expiry is above 0, or
/// `Inbound::attach` in `src/session/inbound.rs` forgets the ids that are held.
#[test]
fn mqtt5_3_1_2_23_a_session_with_an_expiry_outlives_its_connection() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "t", 2);
    // One message of each kind in flight, and one that has come in half.
    publisher.send(&Publish::v5("t", "two").qos(2, 9).bytes());
    publisher.expect(&pubrec(9));
    let two = published(&mut client);
    client.send(&pubrec(two.packet_id));
    client.expect(&pubrel(two.packet_id));
    publish(&mut publisher, Publish::v5("t", "one"));
    let one = published(&mut client);
    client.send(&Publish::v5("elsewhere", "").qos(2, 5).bytes());
    client.expect(b"\x50\x03\x00\x05\x10");
    // Not a takeover: the broker knows that nobody is there.
    leave(client);

    let (mut client, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    client.expect(&pubrel(two.packet_id));
    assert_eq!(published(&mut client).packet_id, one.packet_id);
    client.send(&pubrel(5));
    client.expect(&pubcomp(5));
    // Without an expiry nothing is left.
    leave(client);
    leave(connected(broker.tcp, &lasting("c").clean(true)).0);
    leave(connected(broker.tcp, &Connect::v5("c").clean(false)).0);
    assert_eq!(connected(broker.tcp, &lasting("c")).1.flags, 0);
}

/// Breaks if: `Line::naming` in `src/session/outbound.rs` does not compare with the maximum, or `enqueue` in
/// `src/broker/packets.rs` sends an answer of any size.
#[test]
fn mqtt5_3_1_2_24_no_packet_above_the_clients_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let fitting = |qos: u8| Publish::v5("t", vec![b'x'; 40 - 6 - 2 * usize::from(qos.min(1))]);
    assert_eq!(fitting(0).bytes().len(), 40);
    assert_eq!(fitting(1).qos(1, 1).bytes().len(), 40);
    publish(&mut publisher, Publish::v5("t/kept", [b'x'; 40]).retain());
    let maximum = four(prop::MAXIMUM_PACKET_SIZE, 40);
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").property(maximum));
    for qos in [0, 1, 2] {
        subscribe(&mut client, "t/#", qos);
        let large = [
            Publish::v5("t", [b'x'; 35]),
            Publish::v5("t/a/topic/that/takes/all/the/room/there/is", ""),
            Publish::v5("t", "").property(pair("a name", "a value of twenty-four and")),
            Publish::v5("t", vec![b'x'; 300_000]),
        ];
        for large in large {
            publish(&mut publisher, large);
        }
        publisher.send(&fitting(qos).qos(qos, 7).bytes());
        let received = client.packet();
        assert_eq!(received.len(), 40, "{received:02x?}");
        expect_alive_at(&mut publisher, qos);
    }
    // An answer that does not fit cannot be left out: the connection ends, with a word that fits.
    client.send(&subscribe_5(2, &[], &[("f", 0); 40]));
    let disconnect = client.packet();
    assert!(
        disconnect[0] == 0xe0 && disconnect.len() <= 40,
        "{disconnect:02x?}"
    );
    client.expect_closed();
}

/// Takes what answers a PUBLISH with Packet Identifier 7 at this QoS.
#[track_caller]
fn expect_alive_at(publisher: &mut RawClient, qos: u8) {
    match qos {
        0 => expect_alive(publisher),
        1 => publisher.expect(&puback(7)),
        _ => {
            publisher.expect(&pubrec(7));
            publisher.send(&pubrel(7));
            publisher.expect(&pubcomp(7));
        }
    }
}

/// Breaks if: `send` or `resend` in `src/session/outbound.rs` keeps a message that is too large, in the
/// queue or in the window.
#[test]
fn mqtt5_3_1_2_25_what_is_too_large_counts_as_delivered() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let small = lasting("c")
        .property(four(prop::MAXIMUM_PACKET_SIZE, 50))
        .property(two(prop::RECEIVE_MAXIMUM, 1));
    let (mut client, _) = connected(broker.tcp, &small);
    subscribe(&mut client, "t", 2);
    // It takes nothing of a Receive Maximum of 1, for a message that is lost is never acknowledged.
    for _ in 0..3 {
        publish(&mut publisher, Publish::v5("t", [b'x'; 100]));
    }
    publish(&mut publisher, Publish::v5("t", "fits"));
    assert_eq!(published(&mut client).payload, b"fits");
    leave(client);
    // Nor does it come again when the client takes more, from the queue or from what was in flight.
    publish(&mut publisher, Publish::v5("t", [b'y'; 100]));
    let (mut client, _) = connected(broker.tcp, &small);
    let fits = published(&mut client);
    client.send(&puback(fits.packet_id));
    client.expect_nothing();
    leave(client);
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    publish(&mut publisher, Publish::v5("t", "marker"));
    assert_eq!(published(&mut client).payload, b"marker");
}

/// Breaks if: `Terms::negotiate` in `src/session/terms.rs` does not take the smaller of both maxima, or
/// `OutboundAliases::naming` in `src/session/aliases.rs` goes beyond it.
#[test]
fn mqtt5_3_1_2_26_outbound_aliases_stay_within_the_clients_maximum() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let maximum = two(prop::TOPIC_ALIAS_MAXIMUM, 2);
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").property(maximum));
    subscribe(&mut client, "#", 1);
    let mut known = [String::new(), String::new()];
    for _ in 0..3 {
        for topic in ["topic/1", "topic/2", "topic/3", "topic/4"] {
            publish(&mut publisher, Publish::v5(topic, topic));
            let received = published(&mut client);
            client.send(&puback(received.packet_id));
            let Some(alias) = received.properties.integer(prop::TOPIC_ALIAS) else {
                assert_eq!(received.topic, topic);
                continue;
            };
            assert!((1..=2).contains(&alias), "{received:02x?}");
            let known = &mut known[alias as usize - 1];
            if !received.topic.is_empty() {
                known.clone_from(&received.topic);
            }
            assert_eq!(known, topic);
        }
    }
    assert!(
        known.iter().any(|known| !known.is_empty()),
        "no alias at all: nothing was seen"
    );
}

/// Breaks if: `Terms::negotiate` in `src/session/terms.rs` takes the broker's own maximum for the client's.
#[test]
fn mqtt5_3_1_2_27_no_outbound_alias_for_a_client_that_takes_none() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let none = Connect::v5("none");
    let zero = Connect::v5("zero").property(two(prop::TOPIC_ALIAS_MAXIMUM, 0));
    for connect in [none, zero] {
        let (mut client, _) = connected(broker.tcp, &connect);
        subscribe(&mut client, "#", 0);
        for _ in 0..3 {
            publish(&mut publisher, Publish::v5("a/long/topic", "x"));
            client.expect(&Publish::v5("a/long/topic", "x").bytes());
        }
    }
}

/// Breaks if: `Terms::connack` in `src/session/terms.rs` does not ask whether it was asked for.
#[test]
fn mqtt5_3_1_2_28_no_response_information_for_who_does_not_ask() {
    let broker = Broker::configured(&format!(
        "{ANONYMOUS}[session]\nresponse_information = \"answers/%c\"\n"
    ));
    let request = |value| byte(prop::REQUEST_RESPONSE_INFORMATION, value);
    let wants = Connect::v5("c").property(request(1));
    let (_client, connack) = connected(broker.tcp, &wants);
    let information = connack.properties.content(prop::RESPONSE_INFORMATION);
    assert_eq!(information, Some(&b"answers/c"[..]), "nothing to hide");
    for connect in [Connect::v5("c"), Connect::v5("c").property(request(0))] {
        let (_client, connack) = connected(broker.tcp, &connect);
        let information = connack.properties.content(prop::RESPONSE_INFORMATION);
        assert_eq!(information, None);
    }
}

/// Breaks if: `explain` in `src/broker/packets.rs` does not ask for `problem_information`.
#[test]
fn mqtt5_3_1_2_29_no_reasons_in_words_for_who_does_not_want_them() {
    let broker = Broker::configured(&format!("{ANONYMOUS}[session]\ntopic_levels_maximum = 2\n"));
    let request = |value| byte(prop::REQUEST_PROBLEM_INFORMATION, value);
    let refused = subscribe_5(1, &[], &[("a/b/c", 0)]);
    let (mut client, _) = connected(broker.tcp, &Connect::v5("wants").property(request(1)));
    client.send(&refused);
    let suback = Ack::v5(&client.packet());
    assert!(
        suback.properties.one(prop::REASON_STRING).is_some(),
        "nothing to hide"
    );

    let (mut client, _) = connected(broker.tcp, &Connect::v5("c").property(request(0)));
    let packets = [
        refused,
        Publish::v5("a/b/c", "").qos(1, 1).bytes(),
        Publish::v5("a/b/c", "").qos(2, 1).bytes(),
        pubrel(9),
        pubrec(9),
        unsubscribe_5(1, &[], &["not/there"]),
    ];
    for packet in packets {
        client.send(&packet);
        let ack = Ack::v5(&client.packet());
        assert!(ack.reasons[0] >= 0x11, "not a refusal: {ack:02x?}");
        assert!(ack.properties.0.is_empty(), "{ack:02x?} to {packet:02x?}");
    }
    // A PUBLISH and a DISCONNECT may have them all the same, and a message is forwarded whole.
    subscribe(&mut client, "t", 0);
    let mut publisher = online(broker.tcp, "publisher");
    publish(
        &mut publisher,
        Publish::v5("t", "").property(pair("k", "v")),
    );
    client.expect(&Publish::v5("t", "").property(pair("k", "v")).bytes());
}
