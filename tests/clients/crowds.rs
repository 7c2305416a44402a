//! Many clients at once.

use crate::support::broker::Broker;
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_with_will, publish_311, subscribe_311,
};

#[test]
fn a_crowd_is_told_of_the_shutdown() {
    // No time-out that could end the drain: everybody is gone when everybody has been told.
    let limits = "[auth]\nanonymous = true\n[limits]\ndrain_timeout = \"1h\"\n";
    let broker = Broker::configured(limits);
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("wills/#", 0);
    let fives = (0..100).map(|number| connect_5(&format!("five{number}")));
    let mut fives: Vec<_> = fives
        .map(|connect| RawClient::accepted(broker.tcp, &connect))
        .collect();
    let threes = (0..100).map(|number| {
        let name = format!("three{number}");
        connect_311_with_will(&name, &format!("wills/{name}"), "gone")
    });
    let mut threes: Vec<_> = threes
        .map(|connect| RawClient::accepted(broker.tcp, &connect))
        .collect();
    broker.wait_for_samples(&[("postbud_sessions_connected", 201.0)]);

    broker.signal("TERM");
    for client in &mut fives {
        let packets = client.packets_until_closed();
        // [MQTT5-4.13.2-1] 0x8B, Server shutting down.
        let told = packets.iter().map(|packet| (packet[0], packet[2]));
        assert_eq!(told.collect::<Vec<_>>(), [(0xe0, 0x8b)]);
    }
    for client in &mut threes {
        client.expect_closed();
    }
    // Whichever Wills were published before it was its own turn, and nothing else.
    for packet in watcher.packets_until_closed() {
        assert_eq!(packet[0], 0x30, "{packet:02x?}");
    }
    let finished = broker.finish();
    assert_eq!(finished.code, Some(0));
    let alarming = |line: &&String| line.contains("WARN") || line.contains("ERROR");
    assert_eq!(finished.stderr.iter().find(alarming), None);
}

#[test]
fn one_message_reaches_two_thousand() {
    const COUNT: usize = 2000;
    // As many sockets on this side as on the broker's.
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit that can be raised");
    assert!(limit > COUNT as u64 + 100, "`ulimit -Hn` is only {limit}");
    let broker = Broker::start();
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    let clients = (0..COUNT).map(|number| {
        let mut client = RawClient::connect(broker.tcp);
        let connect = connect_311(&format!("client{number}"));
        client.send(&[connect, subscribe_311(1, "all", 0)].concat());
        client
    });
    let mut clients: Vec<_> = clients.collect();
    for client in &mut clients {
        client.expect(&[0x20, 0x02, 0x00, 0x00]);
        client.expect(&[0x90, 0x03, 0x00, 0x01, 0x00]);
    }
    let present = (COUNT + 1) as f64;
    broker.wait_for_samples(&[
        ("postbud_connections", present),
        ("postbud_connections_handshaking", 0.0),
        ("postbud_sessions_connected", present),
        ("postbud_subscriptions", COUNT as f64),
    ]);
    publisher.send(&publish_311("all", b"hear"));
    for client in &mut clients {
        client.expect(&publish_311("all", b"hear"));
    }
    let sent = "postbud_messages_total{direction=\"sent\",qos=\"0\"}";
    let received = "postbud_messages_total{direction=\"received\",qos=\"0\"}";
    broker.wait_for_samples(&[(received, 1.0), (sent, COUNT as f64)]);

    drop((clients, publisher));
    broker.wait_for_samples(&[
        ("postbud_connections", 0.0),
        ("postbud_sessions_connected", 0.0),
        ("postbud_sessions", 0.0),
        ("postbud_subscriptions", 0.0),
        ("postbud_connections_opened_total", present),
        ("postbud_connections_closed_total{reason=\"eof\"}", present),
        ("postbud_sessions_connected_peak", present),
    ]);
    assert_eq!(broker.stop().code, Some(0));
}
