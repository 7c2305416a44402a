//! MQTT 5.0, section 3.1: the payload of CONNECT, and what the server does with it.

use std::collections::HashSet;

use crate::bytes::{
    Connect, Publish, Will, byte, four, packet, pair, prop, puback, section, string, subscribe_5,
    text, two,
};
use crate::received::{
    connected, expect_disconnect, leave, online, publish, published, refused_5, subscribe,
};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A session that lasts an hour.
fn lasting(client_id: impl AsRef<[u8]>) -> Connect {
    Connect::v5(client_id).clean(false).expiry(3600)
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` reads the fields in another order.
#[test]
fn mqtt5_3_1_3_1_the_payload_has_its_fields_in_order() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[log]\nlevel = \"debug\"\n");
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 0);
    let fields = [
        string("the-client"),
        section(&pair("will", "property")),
        string("will/topic"),
        string("will payload"),
        string("the-user"),
        string("password"),
    ];
    let header = b"\x00\x04MQTT\x05\xc6\x00\x3c\x00";
    let connect = packet(0x10, &[&header[..], &fields.concat()].concat());
    let mut old = RawClient::accepted(broker.tcp, &connect);
    // Who it says it is, by its log; what it is called, by who can take it over; its Will, by its Will.
    broker.wait_for_log(&["connected", "client=\"the-client\"", "user=\"the-user\""]);
    let new = online(broker.tcp, "the-client");
    expect_disconnect(&mut old, 0x8e);
    witness.expect(
        &Publish::v5("will/topic", "will payload")
            .property(pair("will", "property"))
            .bytes(),
    );
    drop(new);
    // Any two neighbours the other way round are something else, which this broker can tell by the
    // Will Properties: a string is none.
    let mut swapped = fields.clone();
    swapped.swap(0, 1);
    let connect = packet(0x10, &[&header[..], &swapped.concat()].concat());
    refused_5(broker.tcp, &connect, 0x81);
}

/// Breaks if: `find` in `src/broker/registry.rs` takes one Client Identifier for another.
#[test]
fn mqtt5_3_1_3_2_the_client_identifier_names_the_session() {
    let broker = Broker::start();
    let mut publisher = online(broker.tcp, "publisher");
    let ids = [
        "c",
        "C",
        "c ",
        " c",
        "c/1",
        "é",
        "e\u{301}",
        "\u{feff}c",
        "#",
        "$SYS",
        "24-characters-and-a-last",
        "24-characters-and-a-lasT",
        "24-characters-and-a-last-",
    ];
    for (index, id) in ids.into_iter().enumerate() {
        let (mut client, connack) = connected(broker.tcp, &lasting(id));
        assert_eq!(connack.flags, 0, "{id:?} is another client");
        subscribe(&mut client, &format!("of/{index}"), 1);
        leave(client);
    }
    for index in 0..ids.len() {
        publish(&mut publisher, Publish::v5(format!("of/{index}"), "x"));
    }
    for (index, id) in ids.into_iter().enumerate() {
        let (mut client, connack) = connected(broker.tcp, &lasting(id));
        assert_eq!(connack.flags, 1, "{id:?} is the same client");
        assert_eq!(published(&mut client).topic, format!("of/{index}"));
        client.expect_nothing();
    }
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` takes a CONNECT that ends before its Client Identifier.
#[test]
fn mqtt5_3_1_3_3_the_client_identifier_is_there_and_first() {
    let broker = Broker::start();
    let header = b"\x00\x04MQTT\x05\x02\x00\x3c\x00";
    refused_5(broker.tcp, &packet(0x10, header), 0x81);
    refused_5(
        broker.tcp,
        &packet(0x10, &[&header[..], &[0]].concat()),
        0x81,
    );
    refused_5(
        broker.tcp,
        &packet(0x10, &[&header[..], &[0, 2, b'c']].concat()),
        0x81,
    );
    // Will Properties where it should be.
    let will = [&section(&pair("k", "v"))[..], &string("w"), &string("x")].concat();
    let mut header = header.to_vec();
    header[7] = 0x06;
    refused_5(
        broker.tcp,
        &packet(0x10, &[&header[..], &will].concat()),
        0x81,
    );
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` reads the Client Identifier as Binary Data.
#[test]
fn mqtt5_3_1_3_4_the_client_identifier_is_a_string() {
    let broker = Broker::start();
    for bad in [&b"\xff"[..], b"c\0", b"\xed\xa0\x80", b"c\xc3"] {
        refused_5(broker.tcp, &Connect::v5(bad).bytes(), 0x81);
    }
}

/// Breaks if: `Terms::negotiate` in `src/session/terms.rs` refuses such an id.
#[test]
fn mqtt5_3_1_3_5_ids_of_1_to_23_letters_and_digits_are_accepted() {
    const ALL: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let broker = Broker::start();
    for length in 1..=23 {
        let (_client, connack) = connected(broker.tcp, &Connect::v5(&ALL[..length]));
        assert_eq!(
            connack.properties.one(prop::ASSIGNED_CLIENT_IDENTIFIER),
            None
        );
    }
    for window in ALL.windows(23) {
        connected(broker.tcp, &Connect::v5(window));
    }
}

/// Breaks if: `check_empty_id` in `src/session/terms.rs` refuses an empty id of 5.0, or `Terms::negotiate`
/// leaves it empty.
#[test]
fn mqtt5_3_1_3_6_an_empty_client_identifier_is_replaced_by_a_unique_one() {
    let broker = Broker::start();
    let (mut first, _) = connected(broker.tcp, &Connect::v5(""));
    let (mut second, connack) = connected(broker.tcp, &lasting(""));
    assert_eq!(connack.flags, 0);
    first.expect_nothing();
    second.expect_nothing();
    // It is the name of the session as if the client had chosen it.
    let id = connack.properties.content(prop::ASSIGNED_CLIENT_IDENTIFIER);
    let id = id.expect("the name that was assigned").to_vec();
    subscribe(&mut second, "t", 1);
    leave(second);
    let (_client, connack) = connected(broker.tcp, &lasting(id));
    assert_eq!(connack.flags, 1);
}

/// Breaks if: `Terms::connack` in `src/session/terms.rs` does not tell what was assigned.
#[test]
fn mqtt5_3_1_3_7_the_assigned_identifier_is_in_the_connack() {
    let broker = Broker::start();
    for connect in [Connect::v5(""), Connect::v5("").clean(false)] {
        let (_client, connack) = connected(broker.tcp, &connect);
        let id = connack.properties.content(prop::ASSIGNED_CLIENT_IDENTIFIER);
        assert!(id.is_some_and(|id| !id.is_empty()), "{connack:02x?}");
    }
    let (_client, connack) = connected(broker.tcp, &Connect::v5("mine"));
    assert_eq!(
        connack.properties.one(prop::ASSIGNED_CLIENT_IDENTIFIER),
        None
    );
}

/// Breaks if: `Connect::decode` in `src/codec/connect.rs` reads the User Name as Binary Data.
#[test]
fn mqtt5_3_1_3_12_the_user_name_is_a_string() {
    let broker = Broker::start();
    for bad in [&b"\xff"[..], b"user\0", b"\xed\xbf\xbf"] {
        let connect = Connect::v5("c").user_name(bad).password("x");
        refused_5(broker.tcp, &connect.bytes(), 0x81);
    }
}

/// Breaks if: `Section` in `src/codec/section.rs` or `ConnectProperties::read` in `src/codec/connect.rs` lets
/// one of these pass, or gives 0x81 for 0x82 or the other way round.
#[test]
fn mqtt5_3_1_4_1_a_connect_that_breaks_the_format_is_refused() {
    let broker = Broker::start();
    let malformed = [
        byte(0x00, 0),
        byte(0x7f, 0),
        two(prop::TOPIC_ALIAS, 1),
        four(prop::WILL_DELAY_INTERVAL, 1),
        text(prop::REASON_STRING, "no"),
        vec![prop::SESSION_EXPIRY_INTERVAL, 0, 0, 0],
        vec![prop::USER_PROPERTY, 0, 1, b'k', 0, 2, b'v'],
    ];
    for property in malformed {
        refused_5(
            broker.tcp,
            &Connect::v5("c").property(property).bytes(),
            0x81,
        );
    }
    let protocol_errors = [
        two(prop::RECEIVE_MAXIMUM, 0),
        four(prop::MAXIMUM_PACKET_SIZE, 0),
        byte(prop::REQUEST_PROBLEM_INFORMATION, 2),
        byte(prop::REQUEST_RESPONSE_INFORMATION, 2),
        text(prop::AUTHENTICATION_DATA, "without a method"),
        four(prop::SESSION_EXPIRY_INTERVAL, 1).repeat(2),
        two(prop::RECEIVE_MAXIMUM, 9).repeat(2),
        four(prop::MAXIMUM_PACKET_SIZE, 99).repeat(2),
        two(prop::TOPIC_ALIAS_MAXIMUM, 0).repeat(2),
        byte(prop::REQUEST_PROBLEM_INFORMATION, 1).repeat(2),
        byte(prop::REQUEST_RESPONSE_INFORMATION, 0).repeat(2),
        text(prop::AUTHENTICATION_METHOD, "m").repeat(2),
    ];
    for property in protocol_errors {
        refused_5(
            broker.tcp,
            &Connect::v5("c").property(property).bytes(),
            0x82,
        );
    }
    let will_errors = [
        four(prop::WILL_DELAY_INTERVAL, 1).repeat(2),
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 2),
        text(prop::CONTENT_TYPE, "").repeat(2),
    ];
    for property in will_errors {
        let will = Will::new("w", "").property(property);
        refused_5(broker.tcp, &Connect::v5("c").will(will).bytes(), 0x82);
    }
    // Cut off anywhere, with a Remaining Length that agrees, and with a byte too many.
    let whole = Connect::v5("c")
        .user_name("user")
        .password("password")
        .bytes();
    for cut in 9..whole.len() - 2 {
        refused_5(broker.tcp, &packet(0x10, &whole[2..2 + cut]), 0x81);
    }
    refused_5(
        broker.tcp,
        &packet(0x10, &[&whole[2..], &[0]].concat()),
        0x81,
    );
}

/// Breaks if: `authenticate` in `src/auth/anonymous.rs` accepts whatever the configuration says, or
/// `Connection::connect` in `src/broker/handshake.rs` goes on after a refusal.
#[test]
fn mqtt5_3_1_4_2_who_fails_authentication_is_closed() {
    let limits = "[limits]\nconnect_timeout = \"1h\"\n";
    let broker = Broker::configured(&format!("[auth]\nanonymous = false\n{limits}"));
    refused_5(broker.tcp, &Connect::v5("c").bytes(), 0x87);
    let named = Connect::v5("c").user_name("user").password("password");
    refused_5(broker.tcp, &named.bytes(), 0x87);
    let method = text(prop::AUTHENTICATION_METHOD, "there is none");
    refused_5(broker.tcp, &Connect::v5("c").property(method).bytes(), 0x8c);
    // Nothing of a CONNECT that is refused stays: no Will.
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 0);
    let method = text(prop::AUTHENTICATION_METHOD, "there is none");
    let refused = lasting("c").property(method).will(Will::new("will", "no"));
    refused_5(broker.tcp, &refused.bytes(), 0x8c);
    assert_eq!(connected(broker.tcp, &lasting("c")).1.flags, 0);
    witness.expect_nothing();
}

/// Breaks if: `take_line` in `src/broker/sessions.rs` does not say why, or does not close.
#[test]
fn mqtt5_3_1_4_3_the_same_client_on_another_connection_ends_the_old_one() {
    let broker = Broker::start();
    for connect in [lasting("c"), lasting("c").clean(true), Connect::v5("c")] {
        let (mut old, _) = connected(broker.tcp, &connect);
        let (mut new, _) = connected(broker.tcp, &connect);
        expect_disconnect(&mut old, 0x8e);
        new.expect_nothing();
    }
    // A version of MQTT that has no such DISCONNECT takes it over just the same.
    let (mut old, _) = connected(broker.tcp, &lasting("c"));
    let mut new = RawClient::accepted(broker.tcp, &Connect::v311("c").bytes());
    expect_disconnect(&mut old, 0x8e);
    new.expect_nothing();
}

/// Breaks if: `claim` in `src/broker/sessions.rs` does not look at `clean_start` when it takes over.
#[test]
fn mqtt5_3_1_4_4_clean_start_is_carried_out_also_on_a_takeover() {
    let broker = Broker::start();
    let (mut old, _) = connected(broker.tcp, &lasting("c"));
    subscribe(&mut old, "t", 1);
    let (mut resumed, connack) = connected(broker.tcp, &lasting("c"));
    assert_eq!(connack.flags, 1);
    publish(&mut online(broker.tcp, "publisher"), Publish::v5("t", "x"));
    assert_eq!(published(&mut resumed).payload, b"x");
    let (mut fresh, connack) = connected(broker.tcp, &lasting("c").clean(true));
    assert_eq!(connack.flags, 0);
    publish(&mut online(broker.tcp, "publisher"), Publish::v5("t", "y"));
    fresh.expect_nothing();
}

/// Breaks if: `Connection::open` in `src/broker/handshake.rs` sends no CONNACK, or another code.
#[test]
fn mqtt5_3_1_4_5_a_connect_that_is_accepted_is_answered_with_0x00() {
    let broker = Broker::start();
    let mut client = RawClient::connect(broker.tcp);
    // One byte at a time: it is answered when it is whole.
    for byte in Connect::v5("c").bytes() {
        client.send(&[byte]);
    }
    let connack = client.packet();
    assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0x00, 0x00));
    client.expect_nothing();
}

/// Breaks if: `Connection::receive` in `src/broker/connection.rs` goes on with what follows a refused CONNECT.
#[test]
fn mqtt5_3_1_4_6_nothing_is_done_after_a_refusal() {
    let broker = Broker::start();
    let mut witness = online(broker.tcp, "witness");
    subscribe(&mut witness, "#", 0);
    let method = text(prop::AUTHENTICATION_METHOD, "there is none");
    let refused = [
        (Connect::v5("c").property(method).bytes(), 0x8c),
        (Connect::v5("c").flags(0x03).bytes(), 0x81),
        (Connect::version(6, "c").bytes(), 0x84),
    ];
    // A CONNECT that would be accepted comes first, so that nothing but the refusal stops the rest.
    let then = [
        Connect::v5("c").bytes(),
        Publish::v5("t", "no").qos(1, 1).bytes(),
        Publish::v5("kept", "no").retain().bytes(),
        subscribe_5(2, &[], &[("t", 0)]),
    ]
    .concat();
    for (connect, reason) in refused {
        refused_5(broker.tcp, &[&connect[..], &then].concat(), reason);
    }
    witness.expect_nothing();
    subscribe(&mut witness, "kept", 0);
    witness.expect_nothing();
}

/// Section 3.1.4 allows packets behind a CONNECT that has not been answered yet.
/// Breaks if: `Connection::receive` in `src/broker/connection.rs` drops what follows a CONNECT.
#[test]
fn mqtt5_section_3_1_4_what_follows_a_connect_need_not_wait_for_its_connack() {
    let broker = Broker::start();
    let mut client = RawClient::connect(broker.tcp);
    let packets = [
        Connect::v5("c").bytes(),
        subscribe_5(1, &[], &[("t", 0)]),
        Publish::v5("t", "x").qos(1, 2).bytes(),
    ];
    client.send(&packets.concat());
    assert_eq!(client.packet()[0], 0x20);
    // A message may overtake the SUBACK.
    let received = HashSet::from([client.packet(), client.packet(), client.packet()]);
    let suback = b"\x90\x04\x00\x01\x00\x00".to_vec();
    let message = Publish::v5("t", "x").bytes();
    assert_eq!(received, HashSet::from([suback, puback(2), message]));
}
