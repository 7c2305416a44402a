//! What comes to a port by mistake or by malice, and what it does to others: nothing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use crate::limits::{Witness, read_to_close};
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::http::get;
use crate::support::metrics::{sample, sum};
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_with_will, narrow, publish_311,
};
use crate::support::tls;

const PATIENCE: &str = "[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1s\"\n";

const HTTP: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: broker.example\r\nUpgrade: websocket\r\n\r\n";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2p1\r\n";

/// Bytes as good as random, the same in every run.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some((state >> 32) as u8)
    });
    byte.take(300).collect()
}

/// Sends what is no MQTT, or no TLS, and waits for the close; returns where it came from, and what
/// came back.
#[track_caller]
fn offend(address: SocketAddr, bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let stream = TcpStream::connect_timeout(&address, DEADLINE);
    let mut stream = stream.expect("the port is bound");
    stream.write_all(bytes).expect("the connection is open");
    let received = read_to_close(&mut stream);
    (stream.local_addr().expect("it is bound"), received)
}

#[test]
fn what_is_no_mqtt_is_closed_and_told() {
    let broker = Broker::configured(PATIENCE);
    let mut witness = Witness::new(broker.tcp);
    let hello = tls::client_hello(&broker.certificates.authority);
    let mut offences = vec![HTTP.to_vec(), SSH.to_vec(), hello];
    offences.extend([vec![0x00; 64], vec![0xff; 64]]);
    // A length of five bytes; a PINGREQ, and a DISCONNECT, before any CONNECT.
    offences.push(vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x01]);
    offences.extend([vec![0xc0, 0x00], vec![0xe0, 0x00]]);
    let known = offences.len();
    offences.extend((0..40).map(noise));
    for (index, offence) in offences.iter().enumerate() {
        let (peer, received) = offend(broker.tcp, offence);
        assert_eq!(received, [0; 0], "{offence:02x?}");
        // Random bytes may look like the beginning of a CONNECT.
        let word = if index < known { "refused" } else { "" };
        broker.wait_for_log(&[&peer.to_string(), word]);
        witness.is_unharmed();
    }
    broker.wait_for_samples(&[("postbud_connections", 1.0)]);
    let (_, metrics) = get(broker.http, "/metrics");
    let all = offences.len() as f64;
    assert_eq!(sum(&metrics, "postbud_connections_closed_total"), all);
    let silent = "postbud_connections_closed_total{reason=\"no_connect\"}";
    let silent = sample(&metrics, silent).expect("it is there from the start");
    let refused = sum(&metrics, "postbud_connects_refused_total");
    assert_eq!(refused + silent, all, "{metrics}");
    quiet(&broker);
}

#[test]
fn what_is_no_tls_is_closed_and_told() {
    let broker = Broker::configured(PATIENCE);
    let mut witness = Witness::new(broker.tcp);
    let mut offences = vec![HTTP.to_vec(), SSH.to_vec()];
    offences.extend([connect_311("plain"), connect_5("plain")]);
    offences.extend([vec![0x00; 64], vec![0xff; 64]]);
    let failed = offences.len();
    offences.extend((0..40).map(noise));
    for (index, offence) in offences.iter().enumerate() {
        let (peer, _) = offend(broker.tls, offence);
        let word = if index < failed {
            "TLS handshake failed"
        } else {
            // Random bytes may look like the beginning of a record.
            ""
        };
        broker.wait_for_log(&[&peer.to_string(), word]);
        witness.is_unharmed();
    }
    let all = offences.len() as f64;
    let errors = "postbud_connections_closed_total{reason=\"tls_error\"}";
    broker.wait_for_samples(&[("postbud_connections", 1.0), (errors, all)]);
    quiet(&broker);
}

#[test]
fn garbage_after_connect_names_the_client() {
    let broker = Broker::configured(PATIENCE);
    let mut witness = Witness::new(broker.tcp);
    let authority = &broker.certificates.authority;
    for (client_id, connect) in [("five", connect_5("five")), ("three", connect_311("three"))] {
        for garbage in [HTTP, &[0x00, 0x00], &[0xff; 64]] {
            let secure = tls::connect(narrow(broker.tls), authority);
            for mut client in [RawClient::connect(broker.tcp), RawClient::over(secure)] {
                client.open(&connect);
                client.send(garbage);
                if client_id == "five" {
                    // [MQTT5-4.13.1-1] 0x81, Malformed Packet.
                    let disconnect = client.packet();
                    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x81));
                }
                client.expect_closed();
                let address = client.address().to_string();
                broker.wait_for_log(&["malformed_packet", client_id, &address]);
                witness.is_unharmed();
            }
        }
    }
    let counted = "postbud_connections_closed_total{reason=\"malformed_packet\"}";
    broker.wait_for_samples(&[(counted, 12.0), ("postbud_connections", 1.0)]);
    quiet(&broker);
}

#[test]
fn garbage_inside_a_tls_session_ends_it() {
    let broker = Broker::configured(PATIENCE);
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("wills", 0);
    let stream = narrow(broker.tls);
    let mut below = stream.try_clone().expect("a second handle");
    let secure = tls::connect(stream, &broker.certificates.authority);
    let mut client = RawClient::over(secure);
    client.open(&connect_311_with_will("client", "wills", "gone"));
    below.write_all(HTTP).expect("the connection is open");
    // Not the client's farewell: its Will is published. [MQTT311-3.1.2-8]
    watcher.expect(&publish_311("wills", b"gone"));
    read_to_close(&mut below);
    let counted = "postbud_connections_closed_total{reason=\"transport_error\"}";
    broker.wait_for_samples(&[(counted, 1.0), ("postbud_connections", 1.0)]);
    quiet(&broker);
}

/// Nothing of this was an error of the broker's.
#[track_caller]
fn quiet(broker: &Broker) {
    let alarming = |line: &&String| line.contains("ERROR") || line.contains("panicked");
    assert_eq!(broker.log().iter().find(alarming), None);
}
