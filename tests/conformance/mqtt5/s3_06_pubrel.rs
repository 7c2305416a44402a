//! 3.6 PUBREL.

use crate::bytes::{Publish, ack_5, packet, prop, pubcomp, pubrec, pubrel};
use crate::received::{expect_alive, expect_disconnect};
use crate::support::broker::Broker;

use super::steps::{
    connect, connect_small, expect_accepted, expect_reason, expect_small, other_flags,
    property_beyond_the_brokers_maximum, reason_string, user_property, with_message,
};

// Breaks if: `check_flags` in src/codec/header.rs lets other flags of PUBREL pass.
#[test]
fn mqtt5_3_6_1_1_pubrel_has_the_flags_0010() {
    let broker = Broker::start();
    for first in other_flags(0x62) {
        let mut client = connect(&broker, "client");
        client.send(&Publish::v5("unheard", "m").qos(2, 1).bytes());
        expect_accepted(&mut client, 0x50, 1);
        client.send(&packet(first, &[0, 1]));
        expect_disconnect(&mut client, 0x81);
    }
    let (mut client, packet_id) = with_message(&broker, "reader", 2);
    client.send(&pubrec(packet_id));
    // All four bytes, the first of which is 0x62.
    client.expect(&pubrel(packet_id));
}

// Breaks if: `Window::pubrec` in src/session/window.rs answers an unknown id with `Success`.
#[test]
fn mqtt5_3_6_2_1_pubrel_has_a_code_of_its_table() {
    let broker = Broker::start();
    let (mut client, packet_id) = with_message(&broker, "reader", 2);
    client.send(&pubrec(packet_id));
    expect_reason(&mut client, 0x62, packet_id, |reason| reason == 0);
    client.send(&pubrec(4711));
    expect_reason(&mut client, 0x62, 4711, |reason| reason == 0x92);

    let mut client = connect(&broker, "client");
    for code in [0x00, 0x92] {
        client.send(&Publish::v5("unheard", "m").qos(2, 1).bytes());
        expect_accepted(&mut client, 0x50, 1);
        client.send(&ack_5(0x62, 1, code, &[]));
        client.expect(&pubcomp(1));
    }
    expect_alive(&mut client);
    for code in [0x01, 0x10, 0x80, 0x87, 0x91, 0xff] {
        let mut client = connect(&broker, "client");
        client.send(&Publish::v5("unheard", "m").qos(2, 1).bytes());
        expect_accepted(&mut client, 0x50, 1);
        client.send(&ack_5(0x62, 1, code, &[]));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `encode_ack` in src/codec/ack.rs writes the text of the code as a Reason String.
#[test]
fn mqtt5_3_6_2_2_pubrel_has_no_reason_string_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    client.send(&pubrec(4711));
    let reasons = expect_small(&mut client, 0x62, prop::REASON_STRING);
    assert_eq!(reasons, [0x92]);
    property_beyond_the_brokers_maximum(0x62, reason_string);
}

// Breaks if: `Line::pubrel` in src/session/outbound.rs returns the User Properties of the PUBREC.
#[test]
fn mqtt5_3_6_2_3_pubrel_has_no_user_property_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    client.send(&ack_5(0x50, 4711, 0, &user_property(100)));
    let reasons = expect_small(&mut client, 0x62, prop::USER_PROPERTY);
    assert_eq!(reasons, [0x92]);
    property_beyond_the_brokers_maximum(0x62, user_property);
}
