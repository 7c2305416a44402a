//! 3.15 AUTH.

use crate::bytes::{auth_5, four, packet, pair, prop, text};
use crate::received::{Connack, expect_disconnect};
use crate::support::raw::RawClient;

use super::riddle::{House, METHOD, hello, method, question, right, success};
use super::steps::other_flags;

/// Before CONNACK and after it.
// Breaks if: `check_flags` in src/codec/header.rs lets other flags of AUTH pass.
#[test]
fn mqtt5_3_15_1_1_auth_with_reserved_bits_is_malformed() {
    let house = House::start();
    let body = [&[0x18, right().len() as u8], &right()[..]].concat();
    for first in other_flags(0xf0) {
        let mut client = house.asked();
        client.send(&packet(first, &body));
        expect_refusal(&mut client, 0x81);
        let mut client = house.asked_again();
        client.send(&packet(first, &body));
        expect_disconnect(&mut client, 0x81);
    }
    let mut client = house.asked_again();
    client.send(&packet(0xf0, &body));
    client.expect(&success());
}

#[track_caller]
fn expect_refusal(client: &mut RawClient, reason: u8) {
    let connack = Connack::v5(&client.packet());
    assert_eq!(connack.reason, reason, "{connack:02x?}");
    client.expect_closed();
}

/// The broker says 0x18 and, after a re-authentication, 0x00; a client 0x18 and 0x19.
// Breaks if: `ContinueAuthentication` in src/codec/reason.rs gets another value, or `may_be_sent_by` there lets a
// client say `Success` in AUTH.
#[test]
fn mqtt5_3_15_2_1_auth_has_a_code_of_its_table() {
    let house = House::start();
    let mut client = house.inside();
    client.send(&auth_5(0x19, &text(prop::AUTHENTICATION_METHOD, METHOD)));
    client.expect(&question());
    client.send(&auth_5(0x18, &right()));
    client.expect(&success());
    for code in [0x00, 0x01, 0x17, 0x1a, 0x80, 0x87, 0xff] {
        let mut client = house.asked();
        client.send(&auth_5(code, &right()));
        expect_refusal(&mut client, 0x82);
        let mut client = house.asked_again();
        client.send(&auth_5(code, &right()));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `Connection::step` in src/broker/handshake.rs or `Open::auth` in src/broker/packets.rs fills in
// `reason_string`.
#[test]
fn mqtt5_3_15_2_2_auth_has_no_reason_string_beyond_the_peers_maximum() {
    let house = House::start();
    expect_nothing_beside_method_and_data(&house);
    too_large_to_be_taken(&house, text(prop::REASON_STRING, "r".repeat(256)));
}

// Breaks if: `Connection::step` in src/broker/handshake.rs or `Open::auth` in src/broker/packets.rs fills in
// `user_properties`, with those of the client for one.
#[test]
fn mqtt5_3_15_2_3_auth_has_no_user_property_beyond_the_peers_maximum() {
    let house = House::start();
    expect_nothing_beside_method_and_data(&house);
    too_large_to_be_taken(&house, pair("name", "v".repeat(256)));
}

/// There is room for CONNACK and AUTH, and for no word more.
#[track_caller]
fn expect_nothing_beside_method_and_data(house: &House) {
    let mut client = RawClient::connect(house.address);
    let maximum = four(prop::MAXIMUM_PACKET_SIZE, 36);
    let said = [
        text(prop::REASON_STRING, "I should like to come in"),
        pair("a name that is long", "a value that is as long"),
    ]
    .concat();
    let connect = hello("small").property(maximum);
    client.send(&connect.property(pair("a name", "a value")).bytes());
    client.expect(&question());
    client.send(&auth_5(0x18, &[said.clone(), right()].concat()));
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0x00), "{connack:02x?}");
    assert!(connack.len() <= 36, "{connack:02x?}");
    let name = text(prop::AUTHENTICATION_METHOD, METHOD);
    client.send(&auth_5(0x19, &[said.clone(), name].concat()));
    client.expect(&question());
    client.send(&auth_5(0x18, &[said, right()].concat()));
    client.expect(&success());
}

/// The client's side of it: the broker takes no more than 256 bytes.
#[track_caller]
fn too_large_to_be_taken(house: &House, property: Vec<u8>) {
    let large = auth_5(0x18, &[method(METHOD, "right"), property].concat());
    let mut client = house.asked();
    client.send(&large);
    expect_refusal(&mut client, 0x95);
    let mut client = house.asked_again();
    client.send(&large);
    expect_disconnect(&mut client, 0x95);
}
