//! Section 6: WebSocket as a network transport.

use crate::bytes::{DISCONNECT, PINGREQ, PINGRESP};
use crate::support::raw::{RawClient, connect_5, connect_311, connect_311_with_will, publish_311};
use crate::websocket::{BINARY, CLOSE, TEXT, Upgraded, ask, start, upgraded};

/// Opens a session, in one frame.
#[track_caller]
fn open(client: &mut Upgraded) {
    client.send(BINARY, &connect_5("client"));
    let (first, connack) = client.frame();
    // What the broker sends is in binary frames, too.
    assert_eq!((first, connack[0], connack[3]), (BINARY, 0x20, 0x00));
}

/// Text ends the connection, whatever is in it, and so abruptly that the Will is published.
// Breaks if: `Inbound::begin` in src/listener/frames.rs takes a text frame for a binary one, or `header` there is
// asked for another opcode by `WebSocket::poll_begin`.
#[test]
fn mqtt5_6_0_0_1_packets_are_in_binary_frames_only() {
    let broker = start();
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("will", 0);
    let mut client = upgraded(&broker);
    client.send(BINARY, &connect_311_with_will("mortal", "will", "gone"));
    client.expect(&[0x20, 0x02, 0x00, 0x00]);
    client.send(TEXT, &PINGREQ);
    // 1003: a type of data that cannot be taken.
    assert_eq!(client.frame(), (CLOSE, vec![0x03, 0xeb]));
    client.expect_end();
    watcher.expect(&publish_311("will", b"gone"));
    // Also before anything else.
    let mut client = upgraded(&broker);
    client.send(TEXT, &connect_5("client"));
    assert_eq!(client.frame(), (CLOSE, vec![0x03, 0xeb]));
    client.expect_end();
}

/// Packets in parts, several in one frame, and a message of several frames, which begins and ends anywhere.
// Breaks if: `Inbound::take` in src/listener/frames.rs begins anew with each frame, or `WebSocket::poll_read` passes
// on only the first payload of what it has read.
#[test]
fn mqtt5_6_0_0_2_packets_need_not_be_aligned_with_frames() {
    let broker = start();
    for cut in 1..connect_5("client").len() {
        let mut client = upgraded(&broker);
        let connect = connect_5("client");
        client.send(BINARY, &connect[..cut]);
        client.send(BINARY, &connect[cut..]);
        assert_eq!(client.frame().1[0], 0x20, "cut at {cut}");
    }
    let mut client = upgraded(&broker);
    open(&mut client);
    client.send(BINARY, &PINGREQ.repeat(3));
    client.expect(&PINGRESP.repeat(3));
    // A message of three frames with one and a half packets, and one with the rest.
    client.send(0x02, &PINGREQ[..1]);
    client.send(0x00, &PINGREQ[1..]);
    client.send(0x80, &PINGREQ[..1]);
    client.send(BINARY, &PINGREQ[1..]);
    client.expect(&PINGRESP.repeat(2));
    client.send(BINARY, &DISCONNECT);
    assert_eq!(client.frame(), (CLOSE, vec![0x03, 0xe8]));
}

/// Who offers no subprotocol of ours may want to speak anything: it gets no WebSocket.
// Breaks if: `judge` in src/listener/upgrade.rs takes any subprotocol, or none.
#[test]
fn mqtt5_6_0_0_3_a_client_that_does_not_offer_mqtt_is_refused() {
    let broker = start();
    for offers in [
        "",
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: MQTT, mqtt5\r\n",
    ] {
        let (mut client, answer) = ask(&broker, offers);
        assert_eq!(answer[0], "HTTP/1.1 400 Bad Request", "{offers}");
        client.expect_end();
    }
    let (mut client, answer) = ask(&broker, "Sec-WebSocket-Protocol: chat, mqtt\r\n");
    assert_eq!(answer[0], "HTTP/1.1 101 Switching Protocols");
    open(&mut client);
}

/// The answer names the subprotocol, once, and nothing that was not offered.
// Breaks if: `judge` in src/listener/upgrade.rs leaves the field out of its answer, or has the whole offer in it.
#[test]
fn mqtt5_6_0_0_4_the_subprotocol_selected_is_mqtt() {
    let broker = start();
    let name = "sec-websocket-protocol:";
    for offers in [
        "mqtt",
        "chat,mqtt",
        "mqtt, mqttv3.1",
        "chat\r\nSec-WebSocket-Protocol: mqtt",
    ] {
        let (mut client, answer) = ask(&broker, &format!("Sec-WebSocket-Protocol: {offers}\r\n"));
        let lines = answer.iter().map(|line| line.to_ascii_lowercase());
        let selected: Vec<_> = lines
            .filter_map(|line| line.strip_prefix(name).map(str::to_owned))
            .collect();
        assert_eq!(selected, [" mqtt"], "{offers}: {answer:?}");
        open(&mut client);
    }
}
