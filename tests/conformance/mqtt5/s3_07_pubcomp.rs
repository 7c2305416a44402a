//! 3.7 PUBCOMP.

use crate::bytes::{Publish, ack_5, prop, pubrec, pubrel};
use crate::received::{expect_alive, expect_disconnect};
use crate::support::broker::Broker;

use super::steps::{
    connect, connect_small, expect_accepted, expect_reason, expect_small,
    property_beyond_the_brokers_maximum, reason_string, user_property, with_message,
};

// Breaks if: `Open::release` in src/broker/packets.rs settles an id that is not held with `Success`.
#[test]
fn mqtt5_3_7_2_1_pubcomp_has_a_code_of_its_table() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    client.send(&Publish::v5("unheard", "m").qos(2, 1).bytes());
    expect_accepted(&mut client, 0x50, 1);
    client.send(&pubrel(1));
    expect_reason(&mut client, 0x70, 1, |reason| reason == 0);
    client.send(&pubrel(4711));
    expect_reason(&mut client, 0x70, 4711, |reason| reason == 0x92);

    let released = || {
        let (mut client, packet_id) = with_message(&broker, "reader", 2);
        client.send(&pubrec(packet_id));
        client.expect(&pubrel(packet_id));
        (client, packet_id)
    };
    for code in [0x00, 0x92] {
        let (mut client, packet_id) = released();
        client.send(&ack_5(0x70, packet_id, code, &[]));
        expect_alive(&mut client);
    }
    for code in [0x01, 0x10, 0x80, 0x87, 0x91, 0xff] {
        let (mut client, packet_id) = released();
        client.send(&ack_5(0x70, packet_id, code, &[]));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `encode_ack` in src/codec/ack.rs writes the text of the code as a Reason String.
#[test]
fn mqtt5_3_7_2_2_pubcomp_has_no_reason_string_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    client.send(&pubrel(4711));
    let reasons = expect_small(&mut client, 0x70, prop::REASON_STRING);
    assert_eq!(reasons, [0x92]);
    property_beyond_the_brokers_maximum(0x70, reason_string);
}

// Breaks if: `encode_ack` in src/codec/ack.rs returns the User Properties of the PUBREL.
#[test]
fn mqtt5_3_7_2_3_pubcomp_has_no_user_property_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    client.send(&ack_5(0x62, 4711, 0, &user_property(100)));
    let reasons = expect_small(&mut client, 0x70, prop::USER_PROPERTY);
    assert_eq!(reasons, [0x92]);
    property_beyond_the_brokers_maximum(0x70, user_property);
}
