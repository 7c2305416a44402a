//! Steps that the tests of MQTT 3.1.1 share: a client that behaves, and what is expected of the broker.
//!
//! That something does *not* happen is never concluded from waiting. Either the broker closes the connection
//! on which it would have happened, or a marker goes the same way afterwards and must be what arrives
//! next:
//!
//! ```text
//!   publisher ── "must not arrive" ──> broker ─╳
//!   publisher ── "marker" ───────────> broker ── "marker" ──> subscriber: expect_message
//! ```

use crate::bytes::{
    Connect, DISCONNECT, PINGREQ, PINGRESP, Publish, Will, packet, puback, pubcomp, pubrec, pubrel,
    subscribe_311, unsubscribe_311,
};
use crate::received::{Published, expect_alive};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Starts a broker that lets anybody in, and does not close a connection because its CONNECT takes long: whatever is
/// closed here is closed for what was sent.
#[track_caller]
pub fn start() -> Broker {
    Broker::configured("[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1h\"\n")
}

/// CONNACK of MQTT 3.1.1.
pub fn connack(session_present: bool, return_code: u8) -> Vec<u8> {
    packet(0x20, &[u8::from(session_present), return_code])
}

/// SUBACK of MQTT 3.1.1.
pub fn suback(packet_id: u16, return_codes: &[u8]) -> Vec<u8> {
    packet(0x90, &[&packet_id.to_be_bytes()[..], return_codes].concat())
}

/// UNSUBACK of MQTT 3.1.1.
pub fn unsuback(packet_id: u16) -> Vec<u8> {
    packet(0xb0, &packet_id.to_be_bytes())
}

/// Connects and expects a CONNACK that accepts, with Session Present 0.
#[track_caller]
pub fn connect(broker: &Broker, connect: &Connect) -> RawClient {
    answered(broker, connect, false)
}

/// Connects and expects a CONNACK that accepts, with Session Present 1.
#[track_caller]
pub fn resume(broker: &Broker, connect: &Connect) -> RawClient {
    answered(broker, connect, true)
}

#[track_caller]
fn answered(broker: &Broker, connect: &Connect, session_present: bool) -> RawClient {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect.bytes());
    client.expect(&connack(session_present, 0));
    client
}

/// A client with Clean Session 1.
#[track_caller]
pub fn client(broker: &Broker, client_id: &str) -> RawClient {
    connect(broker, &Connect::v311(client_id))
}

/// CONNECT with Clean Session 0.
pub fn persistent(client_id: &str) -> Connect {
    Connect::v311(client_id).clean(false)
}

/// A subscriber with Clean Session 1.
#[track_caller]
pub fn subscriber(broker: &Broker, client_id: &str, filter: &str, qos: u8) -> RawClient {
    let mut subscriber = client(broker, client_id);
    subscribe(&mut subscriber, filter, qos);
    subscriber
}

/// Subscribes and expects the QoS to be granted. What is retained comes after it.
#[track_caller]
pub fn subscribe(client: &mut RawClient, filter: &str, qos: u8) {
    client.send(&subscribe_311(1, &[(filter, qos)]));
    client.expect(&suback(1, &[qos]));
}

/// Unsubscribes and expects the confirmation.
#[track_caller]
pub fn unsubscribe(client: &mut RawClient, filter: &str) {
    client.send(&unsubscribe_311(1, &[filter]));
    client.expect(&unsuback(1));
}

/// Publishes, and goes through the whole exchange of the QoS. The broker has handled the message when this
/// returns.
#[track_caller]
pub fn publish(client: &mut RawClient, qos: u8, topic: &str, payload: &str) {
    deliver(client, qos, &Publish::v311(topic, payload));
}

/// As [`publish`], with RETAIN 1.
#[track_caller]
pub fn retain(client: &mut RawClient, qos: u8, topic: &str, payload: &str) {
    deliver(client, qos, &Publish::v311(topic, payload).retain());
}

#[track_caller]
fn deliver(client: &mut RawClient, qos: u8, message: &Publish) {
    client.send(&message.clone().qos(qos, 1).bytes());
    match qos {
        // Nothing answers it, but the broker handles one packet after the other.
        0 => expect_alive(client),
        1 => client.expect(&puback(1)),
        _ => {
            client.expect(&pubrec(1));
            client.send(&pubrel(1));
            client.expect(&pubcomp(1));
        }
    }
}

/// The next packet, which must be a PUBLISH.
#[track_caller]
pub fn received(client: &mut RawClient) -> Published {
    Published::v311(&client.packet())
}

/// The next message, with the whole exchange of its QoS.
#[track_caller]
pub fn take(client: &mut RawClient) -> Published {
    let message = received(client);
    let id = message.packet_id;
    match message.qos {
        0 => {}
        1 => client.send(&puback(id)),
        _ => {
            client.send(&pubrec(id));
            client.expect(&pubrel(id));
            client.send(&pubcomp(id));
        }
    }
    message
}

/// Takes the next message, which must be this one, sent live and for the first time.
#[track_caller]
pub fn expect_message(client: &mut RawClient, qos: u8, topic: &str, payload: &str) {
    check(&take(client), false, qos, topic, payload);
}

/// Takes the next message, which must be this one, sent because it is retained.
#[track_caller]
pub fn expect_retained(client: &mut RawClient, qos: u8, topic: &str, payload: &str) {
    check(&take(client), true, qos, topic, payload);
}

/// The next packet must be this message, sent live and for the first time. Returns its Packet Identifier, and
/// acknowledges nothing: for several messages under way at once.
#[track_caller]
pub fn expect_sent(client: &mut RawClient, qos: u8, topic: &str, payload: &str) -> u16 {
    let message = received(client);
    check(&message, false, qos, topic, payload);
    message.packet_id
}

#[track_caller]
fn check(message: &Published, retain: bool, qos: u8, topic: &str, payload: &str) {
    let got = (
        message.dup,
        message.retain,
        message.qos,
        &message.topic[..],
        String::from_utf8_lossy(&message.payload),
    );
    assert_eq!(got, (false, retain, qos, topic, payload.into()));
}

/// Expects no retained message for the subscription that was just made: a marker comes first.
#[track_caller]
pub fn expect_none_retained(publisher: &mut RawClient, subscriber: &mut RawClient, topic: &str) {
    publish(publisher, 0, topic, "marker, not retained");
    expect_message(subscriber, 0, topic, "marker, not retained");
}

/// Leaves with a DISCONNECT. The broker has handled it when this returns: it has closed the connection.
#[track_caller]
pub fn leave(mut client: RawClient) {
    client.send(&DISCONNECT);
    client.expect_closed();
}

/// Breaks the protocol. The broker has handled the end of the connection when this returns, and the Will, if
/// there is one, is published.
#[track_caller]
pub fn fail(mut client: RawClient) {
    client.send(&packet(0xf0, &[]));
    client.expect_closed();
}

/// Sends these bytes on a new connection and expects it to be closed without a word.
#[track_caller]
pub fn not_connected(broker: &Broker, bytes: &[u8]) {
    println!("on a new connection: {bytes:02x?}");
    let mut client = RawClient::connect(broker.tcp);
    client.send(bytes);
    client.expect_closed();
}

/// Sends this CONNECT and expects a refusal with this return code, then the close.
#[track_caller]
pub fn refused(broker: &Broker, connect: &Connect, return_code: u8) {
    let bytes = connect.bytes();
    println!("to be refused: {bytes:02x?}");
    let mut client = RawClient::connect(broker.tcp);
    client.send(&bytes);
    client.expect(&connack(false, return_code));
    client.expect_closed();
}

/// Sends these bytes on a connection that was accepted, and expects it to be closed without a word.
#[track_caller]
pub fn breach(broker: &Broker, bytes: &[u8]) {
    println!("after CONNACK: {bytes:02x?}");
    let mut client = client(broker, "breach");
    client.send(bytes);
    client.expect_closed();
}

/// Sends these bytes on a connection that was accepted, and expects it to stay open; for what only looks like
/// a breach.
#[track_caller]
pub fn no_breach(broker: &Broker, bytes: &[u8]) {
    println!("after CONNACK: {bytes:02x?}");
    let mut client = client(broker, "no-breach");
    client.send(bytes);
    client.send(&PINGREQ);
    while client.packet() != PINGRESP {}
}

/// CONNECT of a client that leaves this Will, not retained.
pub fn with_will(client_id: &str, qos: u8, topic: &str, payload: &str) -> Connect {
    Connect::v311(client_id).will(Will::new(topic, payload).qos(qos))
}
