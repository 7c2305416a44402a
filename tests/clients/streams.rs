//! However packets are cut into reads, and however a connection ends: the same bytes mean the same.

use std::net::TcpStream;
use std::time::Instant;

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_with_will, packet, puback_311, publish_311,
    publish_311_qos1, string, subscribe_311,
};
use crate::support::tls;

/// A client on a TCP and one on a TLS connection, which have sent nothing yet.
#[track_caller]
fn both(broker: &Broker) -> [RawClient; 2] {
    [RawClient::connect(broker.tcp), secure(broker)]
}

#[track_caller]
fn secure(broker: &Broker) -> RawClient {
    let socket = TcpStream::connect_timeout(&broker.tls, DEADLINE).expect("the port is bound");
    RawClient::over(tls::connect(socket, &broker.certificates.authority))
}

#[test]
fn a_thousand_packets_come_in_one_write() {
    let broker = Broker::start();
    for mut client in both(&broker) {
        client.open(&connect_311("client"));
        client.subscribe_311("numbers", 0);
        let publish = |number: u32| publish_311("numbers", number.to_string().as_bytes());
        client.send(&(0..1000).flat_map(publish).collect::<Vec<_>>());
        for number in 0..1000 {
            client.expect(&publish(number));
        }
        // More than the Receive Maximum, which a 3.1.1 client cannot know.
        let publish = |number: u16| publish_311_qos1(number, "nobody/listens", b"");
        client.send(&(1..=1000).flat_map(publish).collect::<Vec<_>>());
        for number in 1..=1000 {
            client.expect(&puback_311(number));
        }
        client.expect_nothing();
    }
}

/// A conversation of every shape of packet, and what comes of it.
fn conversation() -> (Vec<u8>, Vec<Vec<u8>>) {
    let sent = [
        connect_311("client"),
        subscribe_311(1, "a/b", 0),
        publish_311("a/b", b""),
        publish_311_qos1(0x0102, "nobody/listens", b"\x30\x00"),
        publish_311("a/b", &[0xc0; 130]),
        packet(0xc0, &[]),
        packet(0xe0, &[]),
    ];
    let received = vec![
        packet(0x20, &[0x00, 0x00]),
        packet(0x90, &[0x00, 0x01, 0x00]),
        publish_311("a/b", b""),
        puback_311(0x0102),
        publish_311("a/b", &[0xc0; 130]),
        packet(0xd0, &[]),
    ];
    (sent.concat(), received)
}

/// What is received, CONNACK first, and then the close.
#[track_caller]
fn expect_all(client: &mut RawClient, expected: &[Vec<u8>], what: &str) {
    let mut received = client.packets_until_closed();
    let mut expected = expected.to_vec();
    // Answers may wait for the store, and messages do not wait for answers: the order is fixed only
    // within each type of packet.
    assert_eq!(received.first(), expected.first(), "{what}");
    for packets in [&mut received, &mut expected] {
        packets.sort_by_key(|packet| packet[0]);
    }
    assert!(
        received == expected,
        "{what}: received {received:02x?}, not {expected:02x?}"
    );
}

#[test]
fn packets_come_a_byte_at_a_time() {
    let broker = Broker::start();
    let (bytes, expected) = conversation();
    for mut client in both(&broker) {
        for byte in &bytes {
            client.send(&[*byte]);
        }
        expect_all(&mut client, &expected, "byte by byte");
    }
}

#[test]
fn packets_are_cut_at_every_byte() {
    let broker = Broker::start();
    let mut witness = RawClient::accepted(broker.tcp, &connect_311("witness"));
    let (bytes, expected) = conversation();
    for cut in 1..bytes.len() {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&bytes[..cut]);
        // Time enough for the broker to have read the first part, most probably.
        witness.expect_nothing();
        client.send(&bytes[cut..]);
        expect_all(&mut client, &expected, &format!("cut at {cut}"));
    }
}

/// Sizes around those of length fields, TLS records and the broker's own buffer, up to the limit.
fn payload_sizes() -> Vec<usize> {
    // One byte of type, three of length, two of the topic's length, and the topic.
    let most = 1024 * 1024 - 1 - 3 - 2 - "sizes".len();
    let mut sizes = vec![1, 2, 119, 120, 121, 16_376, 16_377, 100_000, 500_000];
    for around in [16_384, 32_768, 65_536] {
        sizes.extend(around - 10..around + 2);
    }
    sizes.extend([most - 1, most]);
    sizes
}

#[test]
fn payloads_of_all_sizes_arrive_byte_for_byte() {
    let broker = Broker::start();
    let mut publishers = both(&broker);
    let mut subscribers = both(&broker);
    for (client, name) in publishers.iter_mut().zip(["from tcp", "from tls"]) {
        client.open(&connect_311(name));
    }
    for (client, name) in subscribers.iter_mut().zip(["to tcp", "to tls"]) {
        client.open(&connect_311(name));
        client.subscribe_311("sizes", 0);
    }
    for size in payload_sizes() {
        for publisher in &mut publishers {
            // No period that is one of a power of two, which a misplaced block would go unseen in.
            let payload: Vec<_> = (0..size).map(|at| (at % 251) as u8).collect();
            let message = publish_311("sizes", &payload);
            publisher.send(&message);
            for subscriber in &mut subscribers {
                assert!(subscriber.packet() == message, "{size} bytes");
            }
        }
    }
    // One more is too many.
    for publisher in &mut publishers {
        let most = payload_sizes().into_iter().max().expect("some");
        publisher.send(&publish_311("sizes", &vec![0; most + 1]));
        publisher.expect_closed();
    }
}

#[test]
fn who_closes_its_sending_half_is_heard_to_the_end() {
    let broker = Broker::start();
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("#", 0);
    for mut client in both(&broker) {
        let connect = connect_311_with_will("client", "will", "gone");
        let message = publish_311_qos1(7, "news", b"the last");
        client.send(&[connect, message].concat());
        client.finish_sending();
        watcher.expect(&publish_311("news", b"the last"));
        // Not a DISCONNECT: the Will is published. [MQTT311-3.1.2-8]
        watcher.expect(&publish_311("will", b"gone"));
        client.expect(&[0x20, 0x02, 0x00, 0x00]);
        client.expect(&puback_311(7));
        client.expect_closed();
    }
    broker.wait_for_samples(&[
        ("postbud_connections_closed_total{reason=\"eof\"}", 2.0),
        ("postbud_connections", 1.0),
    ]);
}

#[test]
fn after_disconnect_nothing_is_sent_or_heard() {
    let broker = Broker::start();
    let mut witness = RawClient::accepted(broker.tcp, &connect_311("witness"));
    witness.subscribe_311("#", 0);
    let connects = [connect_311("client"), connect_5("client")];
    let subscribes = [
        subscribe_311(1, "news", 0),
        packet(0x82, &[b"\x00\x01\x00", &string("news")[..], &[0]].concat()),
    ];
    for (connect, subscribe) in connects.into_iter().zip(subscribes) {
        for mut client in both(&broker) {
            client.open(&connect);
            let after = [&[0xe0, 0x00, 0xc0, 0x00][..], &publish_311("news", b"late")].concat();
            client.send(&[&subscribe[..], &after].concat());
            assert_eq!(client.packet()[0], 0x90);
            // [MQTT311-3.14.4-2] [MQTT5-3.14.4-2]: and the broker does not wait for the client.
            witness.send(&publish_311("news", b"for who is there"));
            witness.expect(&publish_311("news", b"for who is there"));
            client.expect_closed();
        }
    }
    broker.wait_for_samples(&[(
        "postbud_connections_closed_total{reason=\"disconnected\"}",
        4.0,
    )]);
}

#[test]
fn the_last_words_arrive_though_the_client_talks_on() {
    let broker = Broker::start();
    for mut client in both(&broker) {
        client.open(&connect_5("client"));
        // A SUBSCRIBE with the wrong flags, and then a MiB that nobody will look at. A socket that was
        // closed with it unread would reset the connection, and take the answer away.
        let mut talk = packet(0x80, b"\x00\x01\x00\x00\x01a\x00");
        talk.resize(1024 * 1024, 0xc0);
        client.send(&talk);
        // [MQTT5-4.13.1-1] 0x81, Malformed Packet.
        let disconnect = client.packet();
        assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x81));
        client.expect_closed();
    }
}

#[test]
fn who_talks_on_for_ever_is_cut_off() {
    let broker = Broker::start();
    for mut client in both(&broker) {
        client.open(&connect_311("client"));
        let end = Instant::now() + DEADLINE;
        let talk = [0x00; 4096];
        while client.try_send(&talk).is_ok() {
            assert!(Instant::now() < end, "still listened to");
        }
    }
    broker.wait_for_samples(&[("postbud_connections", 0.0)]);
}

/// What a client said last counts, though it is back before anybody has looked: all that it published is delivered,
/// in order, and its goodbye is a goodbye.
// Breaks if: `Connection::open_in_turn` in src/broker/handshake.rs opens at once.
#[test]
fn who_says_goodbye_and_is_back_at_once_is_heard_in_order() {
    let broker = Broker::start();
    let mut reader = RawClient::accepted(broker.tcp, &connect_311("reader"));
    reader.subscribe_311("numbers", 0);
    reader.subscribe_311("will", 0);
    let publish = |number: u32| publish_311("numbers", number.to_string().as_bytes());
    for round in 0..200 {
        let mut client = RawClient::connect(broker.tcp);
        client.open(&connect_311_with_will("client", "will", "must not be said"));
        let said = (round * 10..round * 10 + 10).flat_map(publish);
        client.send(&said.chain(packet(0xe0, &[])).collect::<Vec<_>>());
    }
    for number in 0..2000 {
        reader.expect(&publish(number));
    }
}
