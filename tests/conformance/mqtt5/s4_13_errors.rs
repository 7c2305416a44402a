//! 4.13 Handling errors.

use crate::bytes::{
    Connect, PINGREQ, Publish, ack_5, byte, disconnect_5, four, packet, prop, string, subscribe_5,
    text, two,
};
use crate::received::{Connack, expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{breach, broker_with, connect, request};

/// Each with the code that the specification gives, and no harm to anybody else.
// Breaks if: `Open::packets` in src/broker/open.rs skips a packet that cannot be decoded and goes on; the codes if
// `DecodeError::malformed` and `protocol` in src/codec/error.rs give the same.
#[test]
fn mqtt5_4_13_1_1_a_malformed_packet_or_protocol_error_ends_the_connection() {
    let broker = broker_with("packet_size_maximum = \"256B\"\ntopic_alias_maximum = 5");
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "t", 0);
    let publish = || Publish::v5("t", "m");
    let malformed = [
        vec![0x00, 0x00],
        vec![0xc0, 0xff, 0xff, 0xff, 0xff, 0x7f],
        vec![0xc0, 0x80, 0x00],
        packet(0x36, &[&string("t")[..], &[0, 1, 0]].concat()),
        packet(0x30, &[0, 9, b't']),
        packet(0x32, &[&string("t")[..], &[0]].concat()),
        packet(0x30, &[&string("t")[..], &[5, 1]].concat()),
        packet(0x40, &[0]),
        packet(0x40, &[0, 1, 0, 0, 0]),
        packet(0xc0, &[0]),
        request(0x82, &[]),
        publish().property(vec![0x7f, 0]).bytes(),
        publish().property(byte(prop::MAXIMUM_QOS, 1)).bytes(),
        publish()
            .property(text(prop::CONTENT_TYPE, b"\xff"))
            .bytes(),
    ];
    let protocol_errors = [
        Connect::v5("again").bytes(),
        packet(0x20, &[0, 0, 0]),
        request(0x90, &[0, 0]),
        request(0xb0, &[0, 0]),
        vec![0xd0, 0x00],
        publish().qos(1, 0).bytes(),
        subscribe_5(0, &[], &[("t", 0)]),
        subscribe_5(1, &[], &[("t", 3)]),
        subscribe_5(1, &[], &[("t", 0x30)]),
        subscribe_5(1, &[prop::SUBSCRIPTION_IDENTIFIER, 0], &[("t", 0)]),
        publish()
            .property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 2))
            .bytes(),
        publish().alias(1).alias(1).bytes(),
        Publish::v5("", "m").alias(2).bytes(),
        publish()
            .property(vec![prop::SUBSCRIPTION_IDENTIFIER, 1])
            .bytes(),
        disconnect_5(0, &four(prop::SESSION_EXPIRY_INTERVAL, 1)),
    ];
    let others = [
        (0x94, publish().alias(0).bytes()),
        (0x94, publish().alias(6).bytes()),
        (0x95, Publish::v5("t", "m".repeat(300)).bytes()),
        (0x95, vec![0x30, 0xff, 0xff, 0x7f]),
    ];
    let malformed = malformed.into_iter().map(|bytes| (0x81, bytes));
    let protocol_errors = protocol_errors.into_iter().map(|bytes| (0x82, bytes));
    for (code, bytes) in malformed.chain(protocol_errors).chain(others) {
        // What comes behind it is not handled any more.
        let behind = Publish::v5("t", "of somebody who was closed").bytes();
        let mut client = connect(&broker, "breaches");
        client.send(&[&bytes[..], &behind].concat());
        let last = client.packets_until_closed().pop().unwrap_or_default();
        let said = (last.first(), last.get(2));
        assert_eq!(said, (Some(&0xe0), Some(&code)), "to {bytes:02x?}");
    }
    expect_alive(&mut witness);
}

/// Whether the code is sent, cannot be, or comes from the client.
// Breaks if: `Connection::receive` in src/broker/connection.rs returns `Turn::Read` after it has refused a client.
#[test]
fn mqtt5_4_13_2_1_a_code_of_0x80_or_more_closes_the_connection() {
    let broker = Broker::start();
    // In CONNACK.
    let mut client = RawClient::connect(broker.tcp);
    let unknown = text(prop::AUTHENTICATION_METHOD, "unheard of");
    let refused = Connect::v5("client").property(unknown);
    client.send(&[refused.bytes(), PINGREQ.to_vec()].concat());
    let connack = Connack::v5(&client.packet());
    assert!(connack.reason >= 0x80, "{connack:02x?}");
    client.expect_closed();
    // In a CONNACK for which the client has no room.
    for maximum in [1, 2, 4] {
        let mut client = RawClient::connect(broker.tcp);
        let no_room = four(prop::MAXIMUM_PACKET_SIZE, maximum);
        client.send(&refused.clone().property(no_room).bytes());
        client.expect_closed();
    }
    // In DISCONNECT.
    breach(&broker, &Connect::v5("again").bytes(), 0x82);
    let mut first = connect(&broker, "taken");
    let mut second = connect(&broker, "taken");
    expect_disconnect(&mut first, 0x8e);
    expect_alive(&mut second);
    // In the client's DISCONNECT, and not in other packets.
    let mut client = connect(&broker, "client");
    client.send(&ack_5(0x40, 1, 0x80, &[]));
    client.send(&ack_5(0x50, 1, 0x80, &[]));
    expect_alive(&mut client);
    client.send(&disconnect_5(0x80, &[]));
    client.expect_closed();
    let mut client = connect(&broker, "client");
    client.send(&Publish::v5("$SYS/not/yours", "m").qos(1, 1).bytes());
    client.expect(&packet(0x40, &[0, 1, 0x87]));
    expect_alive(&mut client);
    client.send(
        &Publish::v5("t", "m")
            .property(two(prop::TOPIC_ALIAS, 0))
            .bytes(),
    );
    expect_disconnect(&mut client, 0x94);
}
