//! 4.12 Enhanced authentication.

use crate::bytes::{Connect, auth_5, prop, text};
use crate::received::{Connack, expect_alive, expect_disconnect, refused_5};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::riddle::{House, METHOD, hello, method, question, right, success};
use super::steps::connect;

/// Of the program, which knows no method, and of a broker that knows another.
// Breaks if: `Connection::connect` in src/broker/handshake.rs goes on to `authenticate` when the method is unknown.
#[test]
fn mqtt5_4_12_0_1_an_unknown_method_is_refused_and_closed() {
    let broker = Broker::start();
    let house = House::start();
    for address in [broker.tcp, house.address] {
        for name in ["unheard of", "Riddle", ""] {
            let name = text(prop::AUTHENTICATION_METHOD, name);
            refused_5(address, &Connect::v5("c").property(name).bytes(), 0x8c);
        }
        RawClient::accepted(address, &Connect::v5("c").bytes());
    }
}

// Breaks if: `Connection::step` in src/broker/handshake.rs sends its AUTH with another code.
#[test]
fn mqtt5_4_12_0_2_the_brokers_auth_has_0x18() {
    let house = House::start();
    let mut client = RawClient::connect(house.address);
    client.send(&hello("c").bytes());
    let auth = client.packet();
    assert_eq!((auth[0], auth[2]), (0xf0, 0x18), "{auth:02x?}");
    // It is all that has come: the answer opens the session.
    client.send(&auth_5(0x18, &right()));
    assert_eq!(Connack::v5(&client.packet()).reason, 0);
    let again = house.asked_again();
    drop(again);
}

/// 0x19 is in the table, but has its place after CONNACK.
// Breaks if: `Connection::auth` in src/broker/handshake.rs does not ask for `ContinueAuthentication`.
#[test]
fn mqtt5_4_12_0_3_the_clients_auth_has_0x18() {
    let house = House::start();
    let mut client = house.asked();
    client.send(&auth_5(0x19, &right()));
    let connack = Connack::v5(&client.packet());
    assert_eq!(connack.reason, 0x82, "{connack:02x?}");
    client.expect_closed();
    house.inside();
}

// Breaks if: `Connection::step` in src/broker/handshake.rs admits on `Step::Refuse`.
#[test]
fn mqtt5_4_12_0_4_who_fails_is_refused_and_closed() {
    let house = House::start();
    let mut client = house.asked();
    client.send(&auth_5(0x18, &method(METHOD, "wrong")));
    let connack = Connack::v5(&client.packet());
    assert_eq!((connack.flags, connack.reason), (0, 0x87));
    client.expect_closed();
    let at_once = Connect::v5("c").property(method(METHOD, "wrong"));
    refused_5(house.address, &at_once.bytes(), 0x87);
}

// Breaks if: `Connection::open` in src/broker/handshake.rs leaves the method out of CONNACK, or `check_method` there
// takes another one.
#[test]
fn mqtt5_4_12_0_5_the_method_is_the_same_throughout() {
    let house = House::start();
    // With and without a question, CONNACK names it, and says what the method gave it to say.
    let at_once = Connect::v5("c").property(right()).bytes();
    let asked = hello("c").bytes();
    for (connect, is_asked) in [(at_once, false), (asked, true)] {
        let mut client = RawClient::connect(house.address);
        client.send(&connect);
        if is_asked {
            client.expect(&question());
            client.send(&auth_5(0x18, &right()));
        }
        let connack = Connack::v5(&client.packet());
        let name = connack.properties.content(prop::AUTHENTICATION_METHOD);
        assert_eq!(name, Some(METHOD.as_bytes()));
        let data = connack.properties.content(prop::AUTHENTICATION_DATA);
        assert_eq!(data, Some(&b"welcome"[..]));
    }
    let data = || text(prop::AUTHENTICATION_DATA, "right");
    for other in [
        method("another", "right"),
        method("Riddle", "right"),
        data(),
    ] {
        let mut client = house.asked();
        client.send(&auth_5(0x18, &other));
        let connack = Connack::v5(&client.packet());
        assert_eq!(connack.reason, 0x82, "{connack:02x?}");
        client.expect_closed();
        let mut client = house.asked_again();
        client.send(&auth_5(0x18, &other));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `Connection::connect` in src/broker/handshake.rs begins an exchange without a method, or `open` there
// names a method that the CONNECT did not.
#[test]
fn mqtt5_4_12_0_6_without_a_method_there_is_no_auth_and_none_in_connack() {
    let broker = Broker::start();
    let house = House::start();
    for address in [broker.tcp, house.address] {
        let mut client = RawClient::connect(address);
        let connect = Connect::v5("c").user_name("me").password("right");
        client.send(&connect.bytes());
        let connack = Connack::v5(&client.packet());
        assert_eq!(connack.reason, 0);
        let of_auth = [prop::AUTHENTICATION_METHOD, prop::AUTHENTICATION_DATA];
        for property in of_auth {
            assert!(
                connack.properties.all(property).is_empty(),
                "{connack:02x?}"
            );
        }
        expect_alive(&mut client);
    }
    // Data without a method are nothing that a CONNECT may have.
    let data = text(prop::AUTHENTICATION_DATA, "right");
    refused_5(broker.tcp, &Connect::v5("c").property(data).bytes(), 0x82);
}

// Breaks if: `check_method` in src/broker/handshake.rs has another code for an AUTH where there is no method, or does
// not refuse it and `Open::auth` in src/broker/packets.rs passes over what was not asked for.
#[test]
fn mqtt5_4_12_0_7_an_auth_without_a_method_in_connect_is_a_protocol_error() {
    let broker = Broker::start();
    let house = House::start();
    let name = text(prop::AUTHENTICATION_METHOD, METHOD);
    let forms = [
        auth_5(0x19, &name),
        auth_5(0x18, &right()),
        auth_5(0x19, &[]),
        vec![0xf0, 0x00],
    ];
    for form in forms {
        let mut client = connect(&broker, "c");
        client.send(&form);
        expect_disconnect(&mut client, 0x82);
        let mut client = RawClient::accepted(house.address, &Connect::v5("c").bytes());
        client.send(&form);
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `Open::auth` in src/broker/packets.rs does not call `check_method`.
#[test]
fn mqtt5_4_12_1_1_re_authentication_keeps_the_method() {
    let house = House::start();
    let mut client = house.asked_again();
    // Other packets go on meanwhile.
    expect_alive(&mut client);
    client.send(&auth_5(0x18, &right()));
    client.expect(&success());
    expect_alive(&mut client);
    for other in ["another", "Riddle", ""] {
        let mut client = house.inside();
        client.send(&auth_5(0x19, &text(prop::AUTHENTICATION_METHOD, other)));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `Open::auth` in src/broker/packets.rs answers `Step::Refuse` and goes on.
#[test]
fn mqtt5_4_12_1_2_a_failed_re_authentication_ends_the_connection() {
    let house = House::start();
    let mut client = house.asked_again();
    client.send(&auth_5(0x18, &method(METHOD, "wrong")));
    expect_disconnect(&mut client, 0x87);
    // It can fail at the first step as well.
    let mut client = house.inside();
    client.send(&auth_5(0x19, &method(METHOD, "wrong")));
    expect_disconnect(&mut client, 0x87);
}
