//! What the tests from section 3.4 on do over and over: connect, resume, publish, leave, break off.
//!
//! Whatever must not come is looked for behind something that must: an acknowledgement tells that the broker has
//! routed a message, a PINGRESP comes after every message that was sent to the client before. Time passes when the
//! broker says so, by a Will whose delay is over.

use crate::bytes::{
    Connect, DISCONNECT, Publish, Will, ack_5, disconnect_5, four, packet, prop, puback, pubcomp,
    pubrec, pubrel,
};
use crate::received::{Ack, Published, expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A Maximum Packet Size with room for CONNACK, and for no reason in words in anything.
pub const SMALL: u32 = 20;

/// Reason Codes that a PUBACK or PUBREC may have.
pub const ACCEPTS_OR_REFUSES: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// A broker that lets anybody in, with these lines below `[session]`.
#[track_caller]
pub fn broker_with(session: &str) -> Broker {
    let rest = "[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1h\"\n";
    Broker::configured(&format!("{rest}[session]\n{session}\n"))
}

/// A client whose session is new and ends with its connection.
#[track_caller]
pub fn connect(broker: &Broker, client_id: &str) -> RawClient {
    open(broker, &Connect::v5(client_id))
}

/// A client that accepts no packet above [`SMALL`].
#[track_caller]
pub fn connect_small(broker: &Broker, client_id: &str) -> RawClient {
    let maximum = four(prop::MAXIMUM_PACKET_SIZE, SMALL);
    open(broker, &Connect::v5(client_id).property(maximum))
}

/// CONNECT with Clean Start 0, of a session that is kept.
pub fn persistent(client_id: &str) -> Connect {
    Connect::v5(client_id).clean(false).expiry(600)
}

/// Connects, and expects the session to be new.
#[track_caller]
pub fn open(broker: &Broker, connect: &Connect) -> RawClient {
    connected(broker, connect, 0)
}

/// Connects, and expects the session to be there.
#[track_caller]
pub fn resume(broker: &Broker, connect: &Connect) -> RawClient {
    connected(broker, connect, 1)
}

#[track_caller]
fn connected(broker: &Broker, connect: &Connect, session_present: u8) -> RawClient {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect.bytes());
    let connack = client.packet();
    assert_eq!(connack[0], 0x20, "no CONNACK: {connack:02x?}");
    let told = (connack[2], connack[3]);
    assert_eq!(
        told,
        (session_present, 0),
        "flags and reason: {connack:02x?}"
    );
    client
}

/// Says DISCONNECT and waits until the broker has heard it.
#[track_caller]
pub fn leave(mut client: RawClient) {
    client.send(&DISCONNECT);
    client.expect_closed();
}

/// CONNECT of a session that is kept, for a connection that [`break_off`] breaks.
pub fn breakable(client_id: &str) -> Connect {
    persistent(client_id).will(Will::new(format!("broken/{client_id}"), ""))
}

/// Breaks a connection without a word and waits until the broker has noticed, which its Will tells.
#[track_caller]
pub fn break_off(broker: &Broker, client: RawClient) {
    let mut watch = connect(broker, "watch-of-breaks");
    subscribe(&mut watch, "broken/+", 0);
    drop(client);
    assert!(published(&mut watch).topic.starts_with("broken/"));
    leave(watch);
}

/// Waits until so many seconds have passed for the broker.
#[track_caller]
pub fn seconds_pass(broker: &Broker, seconds: u32) {
    let mut watch = connect(broker, "watch-of-time");
    subscribe(&mut watch, "clock/struck", 0);
    let will = Will::new("clock/struck", "").delay(seconds);
    let mut clock = open(
        broker,
        &Connect::v5("clock").expiry(seconds + 60).will(will),
    );
    clock.send(&disconnect_5(0x04, &[]));
    clock.expect_closed();
    assert_eq!(published(&mut watch).topic, "clock/struck");
    leave(watch);
}

/// The next packet, which must be a PUBLISH.
#[track_caller]
pub fn published(client: &mut RawClient) -> Published {
    Published::v5(&client.packet())
}

/// The next packet, which must be a PUBLISH with this DUP flag, QoS and payload; returns its Packet Identifier.
#[track_caller]
pub fn expect_message(client: &mut RawClient, dup: bool, qos: u8, payload: &str) -> u16 {
    let message = published(client);
    let got = (message.dup, message.qos, text_of(&message));
    assert_eq!(got, (dup, qos, payload), "{message:02x?}");
    assert_eq!(message.packet_id != 0, qos > 0, "{message:02x?}");
    message.packet_id
}

/// The payload, as the tests write it.
#[track_caller]
pub fn text_of(message: &Published) -> &str {
    std::str::from_utf8(&message.payload).expect("a payload of these tests")
}

/// A writer's message has been routed when this returns: another connection publishes it and completes the
/// handshake of its QoS.
#[track_caller]
pub fn tell(broker: &Broker, topic: &str, qos: u8, payload: &str) {
    let mut writer = connect(broker, "writer");
    tell_all(&mut writer, topic, qos, &[payload]);
    leave(writer);
}

/// Publishes these payloads in one write, at most 256 of them, and completes their handshakes.
#[track_caller]
pub fn tell_all(writer: &mut RawClient, topic: &str, qos: u8, payloads: &[impl AsRef<str>]) {
    let each = (1..).zip(payloads).map(|(packet_id, payload)| {
        Publish::v5(topic, payload.as_ref())
            .qos(qos, packet_id)
            .bytes()
    });
    writer.send(&each.collect::<Vec<_>>().concat());
    let ids = 1..=payloads.len() as u16;
    match qos {
        0 => expect_alive(writer),
        1 => ids.for_each(|id| expect_accepted(writer, 0x40, id)),
        _ => {
            ids.clone().for_each(|id| expect_accepted(writer, 0x50, id));
            writer.send(&ids.clone().map(pubrel).collect::<Vec<_>>().concat());
            ids.for_each(|id| writer.expect(&pubcomp(id)));
        }
    }
}

/// Expects this acknowledgement, without an error.
#[track_caller]
pub fn expect_accepted(client: &mut RawClient, first: u8, packet_id: u16) {
    expect_reason(client, first, packet_id, |reason| reason < 0x80);
}

/// Expects this acknowledgement with a Reason Code for which `is_right`.
#[track_caller]
pub fn expect_reason(
    client: &mut RawClient,
    first: u8,
    packet_id: u16,
    is_right: impl Fn(u8) -> bool,
) -> Ack {
    let ack = Ack::v5(&client.packet());
    assert_eq!((ack.first, ack.packet_id), (first, packet_id), "{ack:02x?}");
    assert!(
        ack.reasons.iter().all(|reason| is_right(*reason)),
        "{ack:02x?}"
    );
    ack
}

/// A new client to which the broker has sent a message of this QoS; returns its Packet Identifier too.
#[track_caller]
pub fn with_message(broker: &Broker, client_id: &str, qos: u8) -> (RawClient, u16) {
    let mut client = connect(broker, client_id);
    let topic = format!("to/{client_id}");
    subscribe(&mut client, &topic, qos);
    tell(broker, &topic, qos, "message");
    let packet_id = expect_message(&mut client, false, qos, "message");
    (client, packet_id)
}

/// Takes `count` messages and acknowledges each, to the end of its handshake. They are returned in the order in
/// which they came.
#[track_caller]
pub fn take(client: &mut RawClient, count: usize) -> Vec<Published> {
    let mut messages = Vec::new();
    let mut awaiting_pubrel = 0;
    while messages.len() < count || awaiting_pubrel > 0 {
        let packet = client.packet();
        if packet[0] == 0x62 {
            let ack = Ack::v5(&packet);
            assert_eq!(ack.reasons, [0], "{ack:02x?}");
            client.send(&pubcomp(ack.packet_id));
            awaiting_pubrel -= 1;
            continue;
        }
        let message = Published::v5(&packet);
        match message.qos {
            0 => {}
            1 => client.send(&puback(message.packet_id)),
            _ => {
                client.send(&pubrec(message.packet_id));
                awaiting_pubrel += 1;
            }
        }
        messages.push(message);
    }
    messages
}

/// The payloads of [`take`].
#[track_caller]
pub fn take_payloads(client: &mut RawClient, count: usize) -> Vec<String> {
    let messages = take(client, count);
    messages.iter().map(|it| text_of(it).to_owned()).collect()
}

/// Expects DISCONNECT with this reason in answer to `breach`, sent by a new client, and the close.
#[track_caller]
pub fn breach(broker: &Broker, breach: &[u8], reason: u8) {
    let mut client = connect(broker, "breaches");
    client.send(breach);
    let disconnect = client.packet();
    assert_eq!(disconnect[0], 0xe0, "{disconnect:02x?} to {breach:02x?}");
    assert_eq!(disconnect[2], reason, "{disconnect:02x?} to {breach:02x?}");
    client.expect_closed();
}

/// The flags of a first byte that are not these.
pub fn other_flags(first: u8) -> impl Iterator<Item = u8> {
    (0..16)
        .map(move |flags| first & 0xf0 | flags)
        .filter(move |byte| *byte != first)
}

/// The client's side of the rule that no property takes an acknowledgement beyond the receiver's Maximum Packet
/// Size: `property` of 100 bytes is taken, one of 300 ends the connection of a broker that takes 256.
#[track_caller]
pub fn property_beyond_the_brokers_maximum(first: u8, property: fn(usize) -> Vec<u8>) {
    let broker = broker_with("packet_size_maximum = \"256B\"");
    let mut client = connect(&broker, "client");
    client.send(&ack_5(first, 1, 0, &property(100)));
    match first {
        // Nobody has heard of the Packet Identifier.
        0x50 => drop(expect_reason(&mut client, 0x62, 1, |reason| reason == 0x92)),
        0x62 => drop(expect_reason(&mut client, 0x70, 1, |reason| reason == 0x92)),
        _ => expect_alive(&mut client),
    }
    client.send(&ack_5(first, 1, 0, &property(300)));
    expect_disconnect(&mut client, 0x95);
}

/// A Reason String of this length.
pub fn reason_string(length: usize) -> Vec<u8> {
    crate::bytes::text(prop::REASON_STRING, "r".repeat(length))
}

/// A User Property with a value of this length.
pub fn user_property(length: usize) -> Vec<u8> {
    crate::bytes::pair("name", "v".repeat(length))
}

/// Checks that an acknowledgement fits into [`SMALL`] and has no property of this kind, and returns its reasons.
#[track_caller]
pub fn expect_small(client: &mut RawClient, first: u8, property: u8) -> Vec<u8> {
    let bytes = client.packet();
    assert!(bytes.len() <= SMALL as usize, "{bytes:02x?}");
    let ack = Ack::v5(&bytes);
    assert_eq!(ack.first, first, "{ack:02x?}");
    assert!(ack.properties.all(property).is_empty(), "{ack:02x?}");
    ack.reasons
}

/// A SUBSCRIBE, or an UNSUBSCRIBE, with nothing but what is given after its Packet Identifier of 1.
pub fn request(first: u8, rest: &[u8]) -> Vec<u8> {
    packet(first, &[&[0, 1], rest].concat())
}
