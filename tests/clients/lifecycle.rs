//! How the process begins and ends, and what it bears in between.

use std::net::{Shutdown, TcpStream};

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::raw::{RawClient, connect_5, connect_311, publish_311, subscribe_311};

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

#[test]
fn sigterm_and_sigint_end_it_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let broker = Broker::start();
        let client = RawClient::accepted(broker.tcp, &connect_311("client"));
        broker.signal(signal);
        assert_eq!(broker.finish().code, Some(0), "SIG{signal}");
        drop(client);
    }
}

#[test]
fn an_mqtt_5_client_is_told_of_the_shutdown() {
    let broker = Broker::start();
    let mut client = RawClient::accepted(broker.tcp, &connect_5("client"));
    broker.signal("TERM");
    // [MQTT5-4.13.2-1] 0x8B, Server shutting down; a Reason String may follow.
    let disconnect = client.packet();
    assert_eq!(
        (disconnect[0], disconnect[2]),
        (0xe0, 0x8b),
        "{disconnect:02x?}"
    );
    client.expect_closed();
    // The client still has its end open: that must not keep the broker.
    assert_eq!(broker.finish().code, Some(0));
}

#[test]
fn an_mqtt_3_client_is_closed_at_the_shutdown() {
    let broker = Broker::start();
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    let silent = RawClient::connect(broker.tcp);
    broker.signal("TERM");
    client.expect_closed();
    assert_eq!(broker.finish().code, Some(0));
    drop(silent);
}

#[test]
fn whoever_is_silent_does_not_delay_the_stop() {
    // No timeout that could end this test well before the test runner does.
    let limits = "[limits]\nconnect_timeout = \"1h\"\ndrain_timeout = \"1h\"\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{limits}"));
    let silent = [broker.tcp, broker.tls, broker.http].map(RawClient::connect);
    let mut half = RawClient::connect(broker.tcp);
    half.send(&connect_311("half")[..7]);
    let idle = RawClient::accepted(broker.tcp, &connect_311("idle"));
    broker.signal("TERM");
    assert_eq!(broker.finish().code, Some(0));
    drop((silent, half, idle));
}

#[test]
fn the_port_is_bound_again_at_once() {
    let broker = Broker::start();
    let address = broker.tcp.to_string();
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    // The broker closes first, so its side of the connection stays behind in TIME_WAIT.
    broker.stop();
    client.expect_closed();
    drop(client);

    let broker = Broker::start_on(&address, ANONYMOUS);
    let client = RawClient::accepted(broker.tcp, &connect_5("client"));
    // The same after a crash, with a client that has not noticed yet.
    broker.kill();
    let broker = Broker::start_on(&address, ANONYMOUS);
    RawClient::accepted(broker.tcp, &connect_5("client"));
    drop(client);
}

#[test]
fn a_port_in_use_is_said_and_ends_the_start() {
    let broker = Broker::start();
    let address = broker.tcp.to_string();
    let certificates = &broker.certificates;
    let text = format!(
        "[[listener]]\nkind = \"tcp\"\naddress = \"{address}\"\n[http]\naddress = \"127.0.0.1:0\"\n"
    );
    let file = certificates.authority.with_file_name("second.toml");
    std::fs::write(&file, text).expect("the folder is writable");
    let mut command = crate::support::broker::command(broker.folder.path());
    command.arg("--config").arg(file);
    let finished = crate::support::process::Process::start(command).finish();
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.join("\n").contains(&address),
        "{:#?}",
        finished.stderr
    );
}

#[test]
fn connecting_and_closing_is_harmless() {
    let broker = Broker::start();
    let mut witness = RawClient::accepted(broker.tcp, &connect_311("witness"));
    for address in [broker.tcp, broker.tls, broker.http] {
        for how in [Some(Shutdown::Write), Some(Shutdown::Both), None] {
            for _ in 0..20 {
                let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("it listens");
                if let Some(how) = how {
                    // The other side may have been faster.
                    let _ = stream.shutdown(how);
                }
            }
        }
    }
    // Half a CONNECT, and one byte of a TLS handshake, are no worse.
    let mut half = RawClient::connect(broker.tcp);
    half.send(&connect_311("half")[..7]);
    drop(half);
    let mut hello = RawClient::connect(broker.tls);
    hello.send(&[0x16]);
    drop(hello);

    witness.send(&subscribe_311(1, "still/here", 0));
    witness.expect(&[0x90, 0x03, 0x00, 0x01, 0x00]);
    witness.send(&publish_311("still/here", b"yes"));
    witness.expect(&publish_311("still/here", b"yes"));
    witness.expect_nothing();
    let alarming = |line: &&String| line.contains("ERROR") || line.contains("panicked");
    assert_eq!(broker.log().iter().find(alarming), None);
    assert_eq!(broker.stop().code, Some(0));
}
