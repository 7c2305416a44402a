//! MQTT 5.0, section 3.2: CONNACK.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::bytes::{
    Connect, PINGREQ, PINGRESP, Publish, Will, byte, four, pair, prop, pubrec, subscribe_5, text,
    two,
};
use crate::received::{
    connected, expect_alive, expect_disconnect, leave, online, publish, published, refused_5,
    subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A session that lasts an hour.
fn lasting(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// A broker that lets anybody in, with these settings.
fn configured(settings: &str) -> Broker {
    Broker::configured(&format!("[auth]\nanonymous = true\n{settings}"))
}

/// A CONNECT that is refused with 0x8C once all of it has been read: no method is configured.
fn unknown_method(client_id: &str) -> Connect {
    Connect::v5(client_id).property(text(prop::AUTHENTICATION_METHOD, "there is none"))
}

/// Breaks if: `Outbound::attach` in `src/session/outbound.rs` draws before it commits the CONNACK.
#[test]
fn mqtt5_3_2_0_1_the_connack_comes_before_anything_else() {
    let broker = Broker::start();
    let (mut client, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut client, "t", 1);
    let mut publisher = online(broker.tcp, "publisher");
    publish(&mut publisher, Publish::v5("t", "in flight"));
    published(&mut client);
    leave(client);
    publish(&mut publisher, Publish::v5("t", "waiting"));
    // What is in flight, what waits, and what answers packets behind the CONNECT.
    let mut client = RawClient::connect(broker.tcp);
    client.send(
        &[
            lasting("c").bytes(),
            subscribe_5(3, &[], &[("u", 0)]),
            PINGREQ.into(),
        ]
        .concat(),
    );
    let connack = client.packet();
    assert_eq!((connack[0], connack[2], connack[3]), (0x20, 1, 0));
    let types: HashSet<u8> = (0..4).map(|_| client.packet()[0] & 0xf0).collect();
    assert_eq!(types, HashSet::from([0x30, 0x90, 0xd0]));
}

/// Breaks if: `Connection::open` in `src/broker/handshake.rs` commits it twice, or `Open::packet` in
/// `src/broker/packets.rs` answers a CONNECT.
#[test]
fn mqtt5_3_2_0_2_there_is_only_one_connack() {
    let broker = Broker::start();
    let (mut client, _) = connected(broker.tcp, &Connect::v5("c"));
    expect_alive(&mut client);
    client.send(&Connect::v5("c").bytes());
    expect_disconnect(&mut client, 0x82);
    // Nor after one that refuses: `refused_5` expects the close behind it.
    refused_5(
        broker.tcp,
        &Connect::v5("c").flags(0x03).bytes().repeat(2),
        0x81,
    );
}

/// Breaks if: `Connack::body` in `src/codec/connack.rs` puts anything else into the flags.
#[test]
fn mqtt5_3_2_2_1_the_flags_are_session_present_and_seven_zeros() {
    let broker = Broker::start();
    let whole = lasting("c")
        .user_name("u")
        .password("p")
        .will(Will::new("w", "").qos(2).retain());
    for expected in [0x00, 0x01] {
        let (client, connack) = connected(broker.tcp, &whole);
        assert_eq!(connack.flags, expected);
        leave(client);
    }
    refused_5(broker.tcp, &unknown_method("c").bytes(), 0x8c);
}

/// Breaks if: `Broker::open` in `src/broker/sessions.rs` tells a session that it has just ended.
#[test]
fn mqtt5_3_2_2_2_clean_start_1_means_session_present_0() {
    let broker = Broker::start();
    leave(connected(broker.tcp, &lasting("c")).0);
    let clean = lasting("c").clean(true);
    let (_old, connack) = connected(broker.tcp, &clean);
    assert_eq!(connack.flags, 0);
    // The session that is dropped may be open.
    let (_new, connack) = connected(broker.tcp, &clean);
    assert_eq!(connack.flags, 0);
}

/// Breaks if: `Broker::open` in `src/broker/sessions.rs` tells it by anything else than what it found, or
/// the session does not end with its expiry (`happen` in `src/broker/expiry.rs`).
#[test]
fn mqtt5_3_2_2_3_clean_start_0_tells_whether_there_was_a_session() {
    let broker = Broker::start();
    let present = |connect: &Connect| {
        let (client, connack) = connected(broker.tcp, connect);
        leave(client);
        connack.flags
    };
    assert_eq!(present(&lasting("c")), 0);
    assert_eq!(present(&lasting("c")), 1);
    // This time it ends with its connection.
    assert_eq!(present(&Connect::v5("c").clean(false)), 1);
    assert_eq!(present(&lasting("c")), 0);
}

/// As [`mqtt5_3_2_2_3_clean_start_0_tells_whether_there_was_a_session`], for each way a session can end.
/// Breaks if: `disconnect` in `src/broker/packets.rs` does not take the expiry of a DISCONNECT, or
/// `end_session` in `src/broker/sessions.rs` leaves it in the registry.
#[test]
fn mqtt5_3_2_2_3_there_is_no_session_after_its_end() {
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 0);
    // With the connection.
    leave(connected(broker.tcp, &Connect::v5("a").clean(false)).0);
    assert_eq!(
        connected(broker.tcp, &Connect::v5("a").clean(false))
            .1
            .flags,
        0
    );
    // By its DISCONNECT.
    let (mut client, _) = connected(broker.tcp, &lasting("b"));
    client.send(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00");
    client.expect_closed();
    assert_eq!(connected(broker.tcp, &lasting("b")).1.flags, 0);
    // By its expiry, which its Will tells of.
    let will = Will::new("end", "").delay(3600);
    drop(connected(broker.tcp, &lasting("c").will(will.clone())).0);
    drop(connected(broker.tcp, &Connect::v5("d").expiry(1).will(will)).0);
    assert_eq!(published(&mut witness).topic, "end");
    assert_eq!(
        connected(broker.tcp, &Connect::v5("d").clean(false))
            .1
            .flags,
        0
    );
    assert_eq!(connected(broker.tcp, &lasting("c")).1.flags, 1);
    // A client of MQTT 3.1.1 that wants none kept.
    drop(RawClient::accepted(broker.tcp, &Connect::v311("c").bytes()));
    assert_eq!(connected(broker.tcp, &lasting("c")).1.flags, 0);
}

/// Breaks if: `Connack::body` in `src/codec/connack.rs` does not look at the code, and `refuse_as` in
/// `src/broker/handshake.rs` tells whether there is a session.
#[test]
fn mqtt5_3_2_2_6_an_error_means_session_present_0() {
    let broker = Broker::start();
    leave(connected(broker.tcp, &lasting("c")).0);
    let refused = [
        (unknown_method("c").clean(false), 0x8c),
        (
            Connect::v5("c").clean(false).will(Will::new("$SYS/w", "")),
            0x87,
        ),
        (
            Connect::v5("c")
                .clean(false)
                .property(two(prop::RECEIVE_MAXIMUM, 0)),
            0x82,
        ),
    ];
    for (connect, reason) in refused {
        // It fails unless the flags are 0.
        refused_5(broker.tcp, &connect.bytes(), reason);
    }
    // The session is still there.
    assert_eq!(connected(broker.tcp, &lasting("c")).1.flags, 1);
}

/// Breaks if: `refuse_as` in `src/broker/handshake.rs` leaves the phase as it was, and `Connection::receive` in
/// `src/broker/connection.rs` reads on after it.
#[test]
fn mqtt5_3_2_2_7_a_code_of_0x80_or_more_is_followed_by_the_close() {
    // Not because the client is silent.
    let broker = configured("[limits]\nconnect_timeout = \"1h\"\n");
    for connect in [
        unknown_method("c"),
        Connect::version(6, "c"),
        Connect::v5("c").flags(1),
    ] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&connect.bytes());
        assert!(client.packet()[3] >= 0x80);
        client.expect_closed();
    }
}

/// Breaks if: `refuse_as` in `src/broker/handshake.rs` is given a code of another packet, such as 0x92 or 0x94.
#[test]
fn mqtt5_3_2_2_8_only_codes_of_the_list() {
    const LISTED: [u8; 22] = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95,
        0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ];
    let broker =
        configured("[session]\npacket_size_maximum = 16384\n[retained]\navailable = false\n");
    let many = pair("k", "v").repeat(1_500);
    let will = || Will::new("w", "");
    let connects = [
        Connect::v5("c"),
        Connect::v5(""),
        Connect::v5("\0"),
        Connect::v5("c").flags(1),
        Connect::version(9, "c"),
        unknown_method("c"),
        Connect::v5("c").property(many.clone()),
        Connect::v5("c").will(will().property(many)),
        Connect::v5("c").property(vec![0x26; 20_000]),
        Connect::v5("c").property(byte(prop::REQUEST_PROBLEM_INFORMATION, 9)),
        Connect::v5("c").will(will().retain()),
        Connect::v5("c").will(Will::new("$SYS/w", "")),
        Connect::v5("c").will(Will::new("w/#", "")),
        Connect::v5("c").will(Will::new("/".repeat(1_000), "")),
        Connect::v5("c").will(will().qos(3)),
        Connect::v5("c").will(will().property(text(prop::RESPONSE_TOPIC, "+"))),
        Connect::v5("c").will(will().property(two(prop::TOPIC_ALIAS, 0))),
    ];
    let mut seen = HashSet::new();
    for connect in connects {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&connect.bytes());
        let connack = client.packet();
        assert!(
            connack[0] == 0x20 && LISTED.contains(&connack[3]),
            "{connack:02x?}"
        );
        seen.insert(connack[3]);
    }
    assert!(seen.len() >= 7, "too few to say anything: {seen:02x?}");
}

/// Breaks if: `Terms::connack` in `src/session/terms.rs` names a Maximum QoS although 2 is fine, or
/// `Open::publish` refuses QoS 2 without one.
#[test]
fn mqtt5_3_2_2_9_no_maximum_qos_means_that_qos_2_is_taken() {
    let broker = Broker::start();
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
    // The only values are 0 and 1, each of which would be a lie.
    assert_eq!(connack.properties.one(prop::MAXIMUM_QOS), None);
    subscribe(&mut client, "t", 2);
    client.send(&Publish::v5("t", "x").qos(2, 7).bytes());
    let mut received = [client.packet(), client.packet()];
    received.sort();
    assert_eq!(received[0][0], 0x34);
    assert_eq!(received[1], pubrec(7));
}

/// Breaks if: `refuse_subscription` in `src/broker/subscribe.rs` refuses a QoS.
#[test]
fn mqtt5_3_2_2_10_a_subscribe_of_any_qos_is_accepted() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    client.send(&subscribe_5(1, &[], &[("a", 0), ("b", 1), ("c", 2)]));
    client.expect(b"\x90\x06\x00\x01\x00\x00\x01\x02");
}

/// Breaks if: `Connection::connect` in `src/broker/handshake.rs` does not look at Will Retain.
#[test]
fn mqtt5_3_2_2_13_a_retained_will_needs_a_server_that_retains() {
    let broker = configured("[retained]\navailable = false\n");
    let will = Will::new("w", "x");
    let refused = Connect::v5("c").will(will.clone().retain());
    refused_5(broker.tcp, &refused.bytes(), 0x9a);
    connected(broker.tcp, &Connect::v5("c").will(will));
}

/// Breaks if: `retain_unavailable` in `src/broker/packets.rs` lets it pass, or `Terms::connack` in
/// `src/session/terms.rs` does not say that retain is not available.
#[test]
fn mqtt5_3_2_2_14_retain_without_retain_available_is_answered_with_0x9a() {
    let broker = configured("[retained]\navailable = false\n");
    for qos in [0, 1, 2] {
        let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
        assert_eq!(connack.properties.integer(prop::RETAIN_AVAILABLE), Some(0));
        publish(&mut client, Publish::v5("t", "live"));
        client.send(&Publish::v5("t", "kept").qos(qos, 7).retain().bytes());
        expect_disconnect(&mut client, 0x9a);
    }
    let broker = Broker::start();
    let (_client, connack) = connected(broker.tcp, &Connect::v5("c"));
    assert_ne!(connack.properties.integer(prop::RETAIN_AVAILABLE), Some(0));
}

/// Breaks if: `remaining_length` in `src/codec/header.rs` does not compare with the maximum, or counts
/// without the fixed header, or `Terms::connack` announces another.
#[test]
fn mqtt5_3_2_2_15_a_packet_above_the_servers_maximum_is_answered_with_0x95() {
    let broker = configured("[session]\npacket_size_maximum = 256\n");
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
    assert_eq!(
        connack.properties.integer(prop::MAXIMUM_PACKET_SIZE),
        Some(256)
    );
    subscribe(&mut client, "t", 0);
    let of = |size: usize| {
        let publish = Publish::v5("t", vec![b'x'; size - 7]).bytes();
        assert_eq!(publish.len(), size);
        publish
    };
    client.send(&of(256));
    client.expect(&of(256));
    client.send(&of(257));
    expect_disconnect(&mut client, 0x95);
    // It is known from the header: nobody has to send the rest first.
    let mut client = online(broker.tcp, "c");
    client.send(b"\x30\xff\xff\xff\x7f");
    expect_disconnect(&mut client, 0x95);
}

/// Breaks if: `assign_client_id` in `src/broker/handshake.rs` makes the same twice, or does not look whether
/// it is taken.
#[test]
fn mqtt5_3_2_2_16_an_assigned_identifier_is_no_other_clients() {
    let broker = Broker::start();
    let mut clients = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let (client, connack) = connected(broker.tcp, &Connect::v5(""));
        let id = connack.properties.content(prop::ASSIGNED_CLIENT_IDENTIFIER);
        let id = id.expect("a name").to_vec();
        assert!(seen.insert(id.clone()), "{id:02x?} twice");
        clients.push(client);
    }
    // Each has a session of its own: none was taken over.
    clients.iter_mut().for_each(expect_alive);
}

/// Breaks if: `InboundAliases::resolve` in `src/session/aliases.rs` does not compare with the maximum.
#[test]
fn mqtt5_3_2_2_17_an_alias_above_the_servers_maximum_is_answered_with_0x94() {
    let broker = configured("[session]\ntopic_alias_maximum = 5\n");
    for qos in [0, 1, 2] {
        let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
        assert_eq!(
            connack.properties.integer(prop::TOPIC_ALIAS_MAXIMUM),
            Some(5)
        );
        publish(&mut client, Publish::v5("t", "").alias(5));
        client.send(&Publish::v5("t", "").qos(qos, 7).alias(6).bytes());
        expect_disconnect(&mut client, 0x94);
    }
}

/// Breaks if: `InboundAliases::resolve` in `src/session/aliases.rs` takes a maximum of 0 for none.
#[test]
fn mqtt5_3_2_2_18_without_an_alias_maximum_no_alias_is_taken() {
    let broker = configured("[session]\ntopic_alias_maximum = 0\n");
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
    let maximum = connack.properties.integer(prop::TOPIC_ALIAS_MAXIMUM);
    assert!(matches!(maximum, None | Some(0)), "{maximum:?}");
    client.send(&Publish::v5("t", "").alias(1).bytes());
    expect_disconnect(&mut client, 0x94);
}

/// Breaks if: `refuse_as` in `src/broker/handshake.rs` keeps the Reason String whatever the maximum is.
#[test]
fn mqtt5_3_2_2_19_no_reason_string_beyond_the_clients_maximum() {
    let broker = Broker::start();
    let of = |maximum: u32| unknown_method("c").property(four(prop::MAXIMUM_PACKET_SIZE, maximum));
    let long = refused_5(broker.tcp, &of(1_000).bytes(), 0x8c);
    let reason = long.properties.content(prop::REASON_STRING);
    let length = 5 + 3 + reason.expect("nothing to leave out").len();
    // With the string, to the byte; a byte less, without it; and not even that.
    let fits = refused_5(broker.tcp, &of(length as u32).bytes(), 0x8c);
    assert_eq!(fits.properties, long.properties);
    for maximum in [length as u32 - 1, 5] {
        let cut = refused_5(broker.tcp, &of(maximum).bytes(), 0x8c);
        assert!(cut.properties.0.is_empty(), "{cut:02x?}");
    }
    let mut client = RawClient::connect(broker.tcp);
    client.send(&of(4).bytes());
    client.expect_closed();
}

/// Breaks if: `encode_connack` in `src/broker/handshake.rs` does not compare with the maximum: this broker
/// has no User Properties for a CONNACK, and what it can leave out is its Response Information.
#[test]
fn mqtt5_3_2_2_20_no_user_properties_beyond_the_clients_maximum() {
    let information = "x".repeat(500);
    let broker = configured(&format!(
        "[session]\nresponse_information = \"{information}\"\n"
    ));
    let of = |maximum: u32| {
        Connect::v5("c")
            .property(byte(prop::REQUEST_RESPONSE_INFORMATION, 1))
            .property(four(prop::MAXIMUM_PACKET_SIZE, maximum))
    };
    let (_whole, connack) = connected(broker.tcp, &of(1_000));
    assert!(
        connack.properties.one(prop::RESPONSE_INFORMATION).is_some(),
        "nothing to leave out"
    );
    let mut client = RawClient::connect(broker.tcp);
    client.send(&of(100).bytes());
    let connack = client.packet();
    assert!(connack[3] == 0 && connack.len() <= 100, "{connack:02x?}");
    assert!(
        connack.len() < 40,
        "something else that could be left out: {connack:02x?}"
    );
    // Where not even the rest fits, there is no CONNACK, and no session.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&of(9).bytes());
    for packet in client.packets_until_closed() {
        assert!(
            packet[0] == 0x20 && packet[3] == 0x95 && packet.len() <= 9,
            "{packet:02x?}"
        );
    }
}

/// Breaks if: `negotiate_keep_alive` in `src/session/terms.rs` uses another value than it tells.
#[test]
fn mqtt5_3_2_2_22_without_a_server_keep_alive_the_clients_value_holds() {
    let broker = configured("[session]\nkeep_alive_maximum = \"1m\"\n");
    let connect = |keep_alive| connected(broker.tcp, &Connect::v5("c").keep_alive(keep_alive));
    let begun = Instant::now();
    let (mut client, connack) = connect(1);
    assert_eq!(connack.properties.one(prop::SERVER_KEEP_ALIVE), None);
    client.send(&PINGREQ);
    client.expect(&PINGRESP);
    expect_disconnect(&mut client, 0x8d);
    let silence = begun.elapsed();
    let right = Duration::from_millis(1_500)..Duration::from_secs(10);
    assert!(right.contains(&silence), "{silence:?}");
    // Where the server has another, it says so.
    for wish in [0, 61, 65_535] {
        let (_client, connack) = connect(wish);
        assert_eq!(
            connack.properties.integer(prop::SERVER_KEEP_ALIVE),
            Some(60)
        );
    }
    assert_eq!(connect(60).1.properties.one(prop::SERVER_KEEP_ALIVE), None);
}

/// Section 3.2.2.3: what the CONNACK announces is what holds.
/// Breaks if: `Terms::connack` in `src/session/terms.rs` announces other maxima than those that are kept.
#[test]
fn mqtt5_section_3_2_2_3_the_receive_maximum_announced_is_the_one_that_holds() {
    let broker = configured("[session]\nreceive_maximum = 3\n");
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("c"));
    assert_eq!(connack.properties.integer(prop::RECEIVE_MAXIMUM), Some(3));
    for id in 1..=3 {
        client.send(&Publish::v5("t", "").qos(2, id).bytes());
        assert_eq!(client.packet()[..4], [0x50, 3, 0, id as u8]);
    }
    expect_alive(&mut client);
    client.send(&Publish::v5("t", "").qos(2, 4).bytes());
    expect_disconnect(&mut client, 0x93);
}
