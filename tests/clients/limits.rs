//! What the broker allows itself and others: descriptors, connections, time to connect, packet sizes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::http::get;
use crate::support::metrics::{sample, sum};
use crate::support::raw::{RawClient, connect_5, connect_311, narrow, packet, publish_311, string};
use crate::support::tls;

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

/// Everything until the connection is closed, or reset.
#[track_caller]
pub fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}; received {received:02x?}"),
    }
    received
}

/// A client that hears what it publishes.
pub struct Witness(RawClient);

impl Witness {
    #[track_caller]
    pub fn new(address: SocketAddr) -> Self {
        let mut client = RawClient::accepted(address, &connect_311("witness"));
        client.subscribe_311("witness/only", 0);
        Self(client)
    }

    /// It is still served, and nothing else has come to it.
    #[track_caller]
    pub fn is_unharmed(&mut self) {
        let message = publish_311("witness/only", b"still here");
        self.0.send(&message);
        self.0.expect(&message);
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let broker = Broker::start_after("ulimit -Sn 256", ANONYMOUS);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.id()));
    let limits = limits.expect("the process is there");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let words: Vec<_> = line.expect("the limit").split_whitespace().collect();
    assert_eq!(words[0], words[1], "soft and hard");
    assert_ne!(words[0], "256", "the machine allows no more than the test");
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let began = Instant::now();
    let broker = Broker::start_after("ulimit -n 64", ANONYMOUS);
    let mut witness = Witness::new(broker.tcp);
    // The system takes all of them into the listener's queue; the broker cannot take as many.
    let clients = (0..100).map(|number| {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&connect_311(&format!("client{number}")));
        client
    });
    let mut clients: Vec<_> = clients.collect();
    let complaint = ["WARN", "cannot accept", &broker.tcp.to_string()].map(str::to_owned);
    let complaint = complaint.each_ref().map(String::as_str);
    broker.wait_for_log(&complaint);
    witness.is_unharmed();

    // It rests after each failure, 200 ms, instead of trying for ever.
    let is_complaint = |line: &&String| complaint.iter().all(|word| line.contains(word));
    let (end, mut failures) = (Instant::now() + DEADLINE, 0);
    while failures < 3 {
        assert!(Instant::now() < end, "it does not try again");
        witness.is_unharmed();
        failures = broker.log().iter().filter(is_complaint).count();
    }
    let most = began.elapsed().as_millis() / 200 + 2;
    assert!(failures as u128 <= most, "{failures} instead of {most}");

    // Whoever was first goes, and makes room for those who wait.
    drop(clients.drain(..70));
    for client in &mut clients {
        client.expect(&[0x20, 0x02, 0x00, 0x00]);
    }
    witness.is_unharmed();
    broker.wait_for_samples(&[
        ("postbud_connections", 31.0),
        ("postbud_connections_opened_total", 101.0),
    ]);
    let (_, metrics) = get(broker.http, "/metrics");
    let counted = sample(&metrics, "postbud_accept_failures_total");
    assert!(counted.is_some_and(|count| count >= 3.0), "{metrics}");
    assert_eq!(broker.stop().code, Some(0));
}

/// Sends a CONNECT a byte at a time until the broker has had enough.
#[track_caller]
fn drip(address: SocketAddr) {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound");
    let pause = Some(Duration::from_millis(20));
    stream
        .set_read_timeout(pause)
        .expect("an option every socket has");
    let name = string(&"x".repeat(60_000));
    let connect = packet(0x10, &[b"\x00\x04MQTT\x04\x02\x00\x3c", &name[..]].concat());
    let end = Instant::now() + DEADLINE;
    for byte in connect {
        assert!(Instant::now() < end, "not closed");
        // The read paces the drops, and sees the end.
        match stream
            .write_all(&[byte])
            .and_then(|()| stream.read(&mut [0]))
        {
            Ok(0) => return,
            Ok(_) => panic!("an answer to a part of a CONNECT"),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return,
                _ => panic!("the connection failed: {error}"),
            },
        }
    }
    panic!("the whole CONNECT was taken");
}

#[test]
fn whoever_does_not_connect_in_time_is_closed() {
    const ALLOWED: Duration = Duration::from_millis(400);
    let limits = "[limits]\nconnect_timeout = \"400ms\"\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{limits}"));
    let mut witness = Witness::new(broker.tcp);
    let began = Instant::now();
    let authority = &broker.certificates.authority;
    let hello = tls::client_hello(authority);
    // What each sends: the rest, it never does.
    let starts: [(SocketAddr, &[u8]); 6] = [
        (broker.tcp, &[]),
        (broker.tcp, &[0x10]),
        (broker.tcp, &connect_311("half")[..11]),
        (broker.tls, &[]),
        (broker.tls, &hello[..hello.len() / 2]),
        (broker.tls, &hello),
    ];
    let open = starts.map(|(address, start)| {
        let stream = TcpStream::connect_timeout(&address, DEADLINE);
        let mut stream = stream.expect("the port is bound");
        stream.write_all(start).expect("the connection is open");
        stream
    });
    let mut shaken = RawClient::over(tls::connect(narrow(broker.tls), authority));
    drip(broker.tcp);
    for (mut stream, (address, start)) in open.into_iter().zip(starts) {
        let received = read_to_close(&mut stream);
        assert!(
            address == broker.tls || received.is_empty(),
            "{received:02x?} to {start:02x?}"
        );
        let peer = stream.local_addr().expect("it is bound").to_string();
        broker.wait_for_log(&["no_connect", &peer]);
    }
    shaken.expect_closed();
    assert!(began.elapsed() >= ALLOWED, "closed before its time");
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "closed by the default"
    );
    broker.wait_for_samples(&[
        (
            "postbud_connections_closed_total{reason=\"no_connect\"}",
            8.0,
        ),
        ("postbud_connections", 1.0),
        ("postbud_connections_handshaking", 0.0),
    ]);
    // Who has connected has no such deadline.
    witness.is_unharmed();
}

#[test]
fn one_connection_too_many_is_closed() {
    let limits = "[limits]\nconnections_maximum = 3\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{limits}"));
    let mut witness = Witness::new(broker.tcp);
    let second = RawClient::accepted(broker.tcp, &connect_311("second"));
    // Without a session it is a connection all the same.
    let silent = RawClient::connect(broker.tls);
    broker.wait_for_samples(&[("postbud_connections", 3.0)]);

    for address in [broker.tcp, broker.tls] {
        let stream = TcpStream::connect_timeout(&address, DEADLINE);
        let mut stream = stream.expect("the port is bound");
        assert_eq!(read_to_close(&mut stream), [0; 0]);
        let peer = stream.local_addr().expect("it is bound").to_string();
        broker.wait_for_log(&["too many connections", &peer]);
    }
    let closed = "postbud_connections_closed_total{reason=\"too_many_connections\"}";
    broker.wait_for_samples(&[(closed, 2.0), ("postbud_connections", 3.0)]);
    witness.is_unharmed();

    drop(second);
    broker.wait_for_samples(&[("postbud_connections", 2.0)]);
    let mut third = RawClient::accepted(broker.tcp, &connect_5("third"));
    third.expect_nothing();
    drop(silent);
    broker.wait_for_samples(&[(closed, 2.0), ("postbud_connections", 2.0)]);
}

/// A QoS 0 PUBLISH to `a/b` that is so long, with its header of one and two bytes.
fn publish_of(length: usize, properties: &[u8]) -> Vec<u8> {
    let topic = [&string("a/b"), properties].concat();
    let payload = vec![b'x'; length - 3 - topic.len()];
    let publish = packet(0x30, &[topic, payload].concat());
    assert_eq!(publish.len(), length);
    publish
}

#[test]
fn a_packet_over_the_limit_ends_the_connection() {
    let session = "[session]\npacket_size_maximum = 1024\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{session}"));
    let mut witness = Witness::new(broker.tcp);

    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_5("five"));
    let connack = client.packet();
    // [MQTT5-3.2.2-15] 0x27 Maximum Packet Size.
    let told = [0x27, 0x00, 0x00, 0x04, 0x00];
    assert!(
        connack.windows(5).any(|part| part == told),
        "{connack:02x?}"
    );
    client.send(&packet(0x82, b"\x00\x01\x00\x00\x03a/b\x00"));
    assert_eq!(client.packet()[0], 0x90);
    client.send(&publish_of(1024, &[0]));
    client.expect(&publish_of(1024, &[0]));
    // The header says enough: the rest is not waited for. [MQTT5-4.13.2-1]
    client.send(&publish_of(1025, &[0])[..3]);
    let disconnect = client.packet();
    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x95));
    client.expect_closed();

    let mut client = RawClient::accepted(broker.tcp, &connect_311("three"));
    client.subscribe_311("a/b", 0);
    client.send(&publish_of(1024, &[]));
    client.expect(&publish_of(1024, &[]));
    let address = client.address().to_string();
    client.send(&publish_of(1025, &[]));
    client.expect_closed();
    broker.wait_for_log(&["three", &address, "packet_too_large"]);

    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311(&"x".repeat(1024)));
    client.expect_closed();
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_5(&"x".repeat(1024)));
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0x95), "{connack:02x?}");
    client.expect_closed();

    let counted = "postbud_connections_closed_total{reason=\"packet_too_large\"}";
    let refused = "postbud_connects_refused_total{reason=\"packet_too_large\"}";
    broker.wait_for_samples(&[(counted, 4.0), (refused, 2.0)]);
    let (_, metrics) = get(broker.http, "/metrics");
    assert_eq!(sum(&metrics, "postbud_connections_closed_total"), 4.0);
    witness.is_unharmed();
}
