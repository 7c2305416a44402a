//! Clients that take less than they get.

use std::time::Instant;

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::http::get;
use crate::support::metrics::sample;
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_again, narrow, puback_311, publish_311,
    publish_311_qos1, published_311_qos1,
};
use crate::support::tls;
use crate::support::websocket::{self, WS};

/// Bytes of each message of a flood.
const SIZE: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
enum Over {
    Tcp,
    Tls,
    WebSocket,
}

/// A client whose socket is soon full.
#[track_caller]
fn slow(broker: &Broker, over: Over) -> RawClient {
    match over {
        Over::Tcp => RawClient::over(narrow(broker.tcp)),
        Over::Tls => {
            let authority = &broker.certificates.authority;
            RawClient::over(tls::connect(narrow(broker.tls), authority))
        }
        Over::WebSocket => RawClient::over(websocket::connect(narrow(broker.listening("ws")))),
    }
}

/// A payload that no other number has, at any place.
fn payload(number: u16) -> Vec<u8> {
    let mut payload = number.to_be_bytes().repeat(SIZE / 2);
    payload[SIZE / 2..]
        .iter_mut()
        .for_each(|byte| *byte ^= 0xff);
    payload
}

/// Publishes a message of the flood and waits until it is accepted.
#[track_caller]
fn flood(publisher: &mut RawClient, number: u16) {
    publisher.send(&publish_311_qos1(number + 1, "flood", &payload(number)));
    publisher.expect(&puback_311(number + 1));
}

/// Takes the next message of the flood and acknowledges it.
#[track_caller]
fn take(subscriber: &mut RawClient, number: u16) {
    let (packet_id, received) = published_311_qos1(&subscriber.packet());
    let got = u16::from_be_bytes([received[0], received[1]]);
    assert!(received == payload(number), "{got} for {number}");
    subscriber.send(&puback_311(packet_id));
}

fn lose_nothing_to_backpressure(over: Over) {
    const COUNT: u16 = 384;
    let queue = "[queue]\nbytes = \"32MiB\"\n";
    let broker = Broker::configured(&format!("[auth]\nanonymous = true\n{queue}{WS}"));
    let mut subscriber = slow(&broker, over);
    subscriber.open(&connect_311("subscriber"));
    subscriber.subscribe_311("flood", 1);
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    // 24 MiB, more than all buffers on the way; nothing is read until all of it has been accepted.
    for number in 0..COUNT {
        flood(&mut publisher, number);
    }
    for number in 0..COUNT {
        take(&mut subscriber, number);
    }
    subscriber.expect_nothing();
    let count = f64::from(COUNT);
    broker.wait_for_samples(&[
        (
            "postbud_messages_total{direction=\"sent\",qos=\"1\"}",
            count,
        ),
        ("postbud_sessions_connected", 2.0),
    ]);
}

#[test]
fn backpressure_loses_nothing_over_tcp() {
    lose_nothing_to_backpressure(Over::Tcp);
}

#[test]
fn backpressure_loses_nothing_over_tls() {
    lose_nothing_to_backpressure(Over::Tls);
}

#[test]
fn backpressure_loses_nothing_over_websocket() {
    lose_nothing_to_backpressure(Over::WebSocket);
}

const WRITE_TIMEOUTS: &str = "postbud_connections_closed_total{reason=\"write_timeout\"}";

fn end_whoever_does_not_read(over: Over) {
    const COUNT: u16 = 200;
    let limits = "[auth]\nanonymous = true\n[limits]\nwrite_timeout = \"700ms\"\n";
    let broker = Broker::configured(&format!("{limits}{WS}"));
    let mut stuck = slow(&broker, over);
    stuck.open(&connect_311_again("stuck"));
    stuck.subscribe_311("flood", 1);
    let address = stuck.address().to_string();
    let mut reader = RawClient::accepted(broker.tcp, &connect_311("reader"));
    reader.subscribe_311("#", 1);
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    for number in 0..COUNT {
        flood(&mut publisher, number);
        take(&mut reader, number);
    }
    // It is there, as its Keep Alive sees it; the others go on.
    let end = Instant::now() + DEADLINE;
    let counted = || sample(&get(broker.http, "/metrics").1, WRITE_TIMEOUTS);
    while counted() != Some(1.0) {
        assert!(Instant::now() < end, "not ended");
        // Ended or about to be, then.
        let _ = stuck.try_send(&[0xc0, 0x00]);
        publisher.send(&publish_311("alive", b"yes"));
        reader.expect(&publish_311("alive", b"yes"));
    }
    broker.wait_for_log(&["write_timeout", "stuck", &address]);
    drop(stuck);
    flood(&mut publisher, COUNT);
    take(&mut reader, COUNT);

    // Its session has waited for it. [MQTT311-4.4.0-1] [MQTT311-3.2.2-2]
    let mut stuck = slow(&broker, over);
    stuck.send(&connect_311_again("stuck"));
    stuck.expect(&[0x20, 0x02, 0x01, 0x00]);
    for number in 0..=COUNT {
        take(&mut stuck, number);
    }
    stuck.expect_nothing();
    broker.wait_for_samples(&[(WRITE_TIMEOUTS, 1.0), ("postbud_connections", 3.0)]);
}

#[test]
fn whoever_does_not_read_is_ended_over_tcp() {
    end_whoever_does_not_read(Over::Tcp);
}

#[test]
fn whoever_does_not_read_is_ended_over_tls() {
    end_whoever_does_not_read(Over::Tls);
}

#[test]
fn whoever_does_not_read_is_ended_over_websocket() {
    end_whoever_does_not_read(Over::WebSocket);
}

#[test]
fn whoever_asks_and_does_not_read_is_not_listened_to() {
    let limits = "[auth]\nanonymous = true\n[limits]\nwrite_timeout = \"700ms\"\n";
    let broker = Broker::configured(&format!("{limits}{WS}"));
    for over in [Over::Tcp, Over::Tls, Over::WebSocket] {
        let mut client = slow(&broker, over);
        client.open(&connect_311("client"));
        // Every question has an answer as long as itself, which nobody takes: were they kept, there
        // would be no end to them. A broker that stops to read is what ends this.
        let questions = [0xc0, 0x00].repeat(32 * 1024);
        let end = Instant::now() + DEADLINE;
        while client.try_send(&questions).is_ok() {
            assert!(Instant::now() < end, "still listened to");
        }
        let address = client.address().to_string();
        broker.wait_for_log(&["write_timeout", "client", &address]);
    }
    broker.wait_for_samples(&[(WRITE_TIMEOUTS, 3.0), ("postbud_connections", 0.0)]);
}

#[test]
fn whoever_does_not_read_delays_the_stop_no_longer_than_allowed() {
    let limits = "write_timeout = \"1h\"\ndrain_timeout = \"200ms\"\n";
    let broker = Broker::configured(&format!("[auth]\nanonymous = true\n[limits]\n{limits}{WS}"));
    let stuck = [Over::Tcp, Over::Tls, Over::WebSocket].map(|over| {
        let mut stuck = slow(&broker, over);
        stuck.open(&connect_311(&format!("{over:?}")));
        stuck.subscribe_311("flood", 1);
        stuck
    });
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    for number in 0..200 {
        flood(&mut publisher, number);
    }
    let mut reader = RawClient::accepted(broker.tcp, &connect_5("reader"));
    broker.signal("TERM");
    // Nobody else is worse off. [MQTT5-4.13.2-1]
    let disconnect = reader.packet();
    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x8b));
    reader.expect_closed();
    publisher.expect_closed();
    drop((reader, publisher));
    let finished = broker.finish();
    assert_eq!(finished.code, Some(0));
    // By the broker's own words it was the configured time that ended the drain.
    let told = |line: &String| line.contains("not all connections took their last bytes");
    assert!(finished.stderr.iter().any(told), "{:#?}", finished.stderr);
    drop(stuck);
}
