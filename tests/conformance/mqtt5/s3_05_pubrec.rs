//! 3.5 PUBREC.

use crate::bytes::{Publish, ack_5, prop, pubcomp, pubrel};
use crate::received::{expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;

use super::steps::{
    ACCEPTS_OR_REFUSES, connect, connect_small, expect_reason, expect_small,
    property_beyond_the_brokers_maximum, reason_string, user_property, with_message,
};

// Breaks if: `NotAuthorized` in src/codec/reason.rs gets another value, or loses `Pubrec` from its list.
#[test]
fn mqtt5_3_5_2_1_pubrec_has_a_code_of_its_table() {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "heard", 0);
    let mut writer = connect(&broker, "writer-of-three");
    let cases = [("heard", 0x00), ("unheard", 0x10), ("$SYS/not/yours", 0x87)];
    for (packet_id, (topic, code)) in (7..).zip(cases) {
        writer.send(&Publish::v5(topic, "m").qos(2, packet_id).bytes());
        expect_reason(&mut writer, 0x50, packet_id, |reason| reason == code);
    }
    for code in ACCEPTS_OR_REFUSES {
        let (mut client, packet_id) = with_message(&broker, "client", 2);
        client.send(&ack_5(0x50, packet_id, code, &[]));
        if code < 0x80 {
            client.expect(&pubrel(packet_id));
            client.send(&pubcomp(packet_id));
        }
        expect_alive(&mut client);
    }
    for code in [0x01, 0x04, 0x11, 0x18, 0x81, 0x92, 0xff] {
        let (mut client, packet_id) = with_message(&broker, "client", 2);
        client.send(&ack_5(0x50, packet_id, code, &[]));
        expect_disconnect(&mut client, 0x82);
    }
}

// Breaks if: `encode_ack` in src/codec/ack.rs writes the text of the code as a Reason String.
#[test]
fn mqtt5_3_5_2_2_pubrec_has_no_reason_string_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    client.send(&Publish::v5("$SYS/not/yours", "m").qos(2, 1).bytes());
    let reasons = expect_small(&mut client, 0x50, prop::REASON_STRING);
    assert_eq!(reasons, [0x87]);
    client.send(&Publish::v5("nobody's", "m").qos(2, 2).bytes());
    let reasons = expect_small(&mut client, 0x50, prop::REASON_STRING);
    assert_eq!(reasons, [0x10]);
    property_beyond_the_brokers_maximum(0x50, reason_string);
}

// Breaks if: `encode_ack` in src/codec/ack.rs returns the User Properties of the PUBLISH.
#[test]
fn mqtt5_3_5_2_3_pubrec_has_no_user_property_beyond_the_peers_maximum() {
    let broker = Broker::start();
    let mut client = connect_small(&broker, "small");
    let publish = Publish::v5("unheard", "m").qos(2, 1);
    client.send(&publish.property(user_property(100)).bytes());
    let reasons = expect_small(&mut client, 0x50, prop::USER_PROPERTY);
    assert_eq!(reasons, [0x10]);
    property_beyond_the_brokers_maximum(0x50, user_property);
}
