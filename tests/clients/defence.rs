//! Attacks and crowds on a public port: those who mean ill are shut out, those who ask too much wait, and
//! nobody else notices. Every address of 127.0.0.0/8 is this machine, so that clients can come from many.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{Witness, read_to_close};
use crate::support::DEADLINE;
use crate::support::broker::{Broker, command};
use crate::support::http::get;
use crate::support::metrics::sample;
use crate::support::process::{Finished, Process};
use crate::support::raw::{
    RawClient, connect_5, connect_311, puback_311, publish_311, publish_311_qos1,
};
use crate::support::tls;

/// Nobody is exempt: all clients of a test are on loopback.
const OPEN: &str = "[auth]\nanonymous = true\n[control]\nsocket = \"control\"\n\
                    [limits]\nexempt = []\nconnect_timeout = \"1h\"\n";

#[track_caller]
fn broker(rest: &str) -> Broker {
    Broker::configured(&format!("{OPEN}{rest}"))
}

/// A socket that comes from 127.0.0.`from`.
#[track_caller]
fn come(from: u8, to: SocketAddr) -> TcpStream {
    come_with(from, to, None)
}

/// As [`come`], which can hold so many bytes that were not read.
#[track_caller]
fn come_with(from: u8, to: SocketAddr, received: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    if let Some(bytes) = received {
        let set = socket.set_recv_buffer_size(bytes);
        set.expect("an option every socket has");
    }
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, from));
    let bound = socket.bind(&SocketAddr::new(address, 0).into());
    bound.expect("an address of this machine");
    let connected = socket.connect_timeout(&to.into(), DEADLINE);
    connected.expect("the port is bound");
    socket.into()
}

/// Sends bytes from there and waits for the close; returns what came back. A broker that closes at once may
/// do so before anything can be sent.
#[track_caller]
fn offend(from: u8, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = come(from, to);
    match stream.write_all(bytes) {
        Err(error) if !is_end(&error) => panic!("not closed: {error}"),
        _ => read_to_close(&mut stream),
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

#[track_caller]
fn ctl(broker: &Broker, words: &[&str]) -> Finished {
    let mut command = command(broker.folder.path());
    command.args(["ctl", "--socket", "control"]);
    command.args(words).stdin(Stdio::null());
    Process::start(command).finish()
}

#[track_caller]
fn accepted(from: u8, to: SocketAddr, name: &str) -> RawClient {
    let mut client = RawClient::over(come(from, to));
    client.open(&connect_311(name));
    client
}

const BAN: &str = "[limits.ban]\nfailures = 3\nwithin = \"1h\"\nfor = \"1h\"\n";

const BANNED: &str = "postbud_banned{what=\"address\"}";

// Breaks if: garbage before and inside TLS does not count, the neighbour is banned too, or a ban cannot be
// seen and lifted.
#[test]
fn failures_ban_an_address_until_it_is_unbanned() {
    let broker = broker(BAN);
    let mut witness = Witness::new(broker.tcp);
    for _ in 0..2 {
        offend(2, broker.tcp, b"GET / HTTP/1.1\r\n\r\n");
    }
    drop(accepted(2, broker.tcp, "still"));
    offend(2, broker.tls, b"GET / HTTP/1.1\r\n\r\n");
    let line = broker.wait_for_log(&["WARN", "banned: too many failures", "127.0.0.2"]);
    assert!(line.contains("seconds=3600"), "{line}");
    for to in [broker.tcp, broker.tls] {
        assert_eq!(offend(2, to, &connect_5("again")), [0; 0]);
    }
    broker.wait_for_log(&[
        "refused: its address is banned",
        "banned_address",
        "127.0.0.2:",
    ]);
    // Inside TLS it is the MQTT that is broken.
    for _ in 0..3 {
        let secure = tls::connect(come(3, broker.tls), &broker.certificates.authority);
        let mut client = RawClient::over(secure);
        client.send(&[0xff; 64]);
        client.expect_closed();
    }
    broker.wait_for_samples(&[
        (BANNED, 2.0),
        ("postbud_bans_total{what=\"address\"}", 2.0),
        (
            "postbud_connections_closed_total{reason=\"banned_address\"}",
            2.0,
        ),
    ]);
    drop(accepted(4, broker.tcp, "neighbour"));
    witness.is_unharmed();

    let listed = ctl(&broker, &["bans"]).stdout;
    assert!(
        listed[0].starts_with("banned     user  why       left"),
        "{listed:?}"
    );
    assert!(
        listed[1].starts_with("127.0.0.2        failures  59m"),
        "{listed:?}"
    );
    assert!(listed[1].ends_with(" 2"), "{listed:?}");
    assert!(
        listed[2].starts_with("127.0.0.3        failures  59m"),
        "{listed:?}"
    );
    assert_eq!(ctl(&broker, &["unban", "127.0.0.2"]).stdout, ["done"]);
    let again = ctl(&broker, &["unban", "127.0.0.2"]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.stderr[0].contains("127.0.0.2 is not banned"),
        "{:?}",
        again.stderr
    );
    drop(accepted(2, broker.tcp, "forgiven"));
    broker.wait_for_samples(&[(BANNED, 1.0)]);
}

// Breaks if: somebody may try passwords for ever, or learns from the answer what was wrong.
#[test]
fn refused_clients_ban_their_address() {
    let broker = Broker::configured(&format!("[limits]\nexempt = []\n{BAN}"));
    // MQTT 3.1.1 with and without a User Name, and MQTT 5.
    let with_user = b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x04root\x00\x02pw";
    assert_eq!(offend(2, broker.tcp, with_user), [0x20, 2, 0, 5]);
    assert_eq!(offend(2, broker.tcp, &connect_311("c")), [0x20, 2, 0, 5]);
    let connack = offend(2, broker.tcp, &connect_5("c"));
    assert_eq!((connack[0], connack[3]), (0x20, 0x87), "{connack:02x?}");
    assert_eq!(offend(2, broker.tcp, &connect_5("c")), [0; 0]);
    broker.wait_for_samples(&[(BANNED, 1.0)]);
    assert_eq!(offend(3, broker.tcp, &connect_311("c")), [0x20, 2, 0, 5]);
}

// Breaks if: a proxy is banned for what its clients do, or its clients are not.
#[test]
fn behind_a_proxy_its_clients_are_banned() {
    let broker = broker(&format!(
        "{BAN}[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\nname = \"front\"\n\
         proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]\n"
    ));
    let front = broker.named("front");
    let come = |client: &str, bytes: &[u8]| {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 56324 1883\r\n");
        offend(2, front, &[header.as_bytes(), bytes].concat())
    };
    for _ in 0..3 {
        assert_eq!(come("192.0.2.1", b"GET / HTTP/1.1\r\n\r\n"), [0; 0]);
    }
    assert_eq!(come("192.0.2.1", &connect_311("c")), [0; 0]);
    broker.wait_for_log(&["its address is banned", "banned_address", "192.0.2.1:"]);
    let mut neighbour = RawClient::over(self::come(2, front));
    neighbour.send(b"PROXY TCP4 192.0.2.2 198.51.100.1 56324 1883\r\n");
    neighbour.open(&connect_311("neighbour"));
    neighbour.expect_nothing();
    broker.wait_for_samples(&[(BANNED, 1.0)]);
}

// Breaks if: who is slow to connect, by the thousand, takes the places of others.
#[test]
fn slow_handshakes_by_the_thousand_harm_nobody() {
    const COUNT: usize = 1500;
    const PLACES: usize = 300;
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit that can be raised");
    assert!(limit > COUNT as u64 + 100, "`ulimit -Hn` is only {limit}");
    let broker = broker(&format!(
        "[limits.address]\nhandshakes_maximum = {PLACES}\n"
    ));
    let mut witness = Witness::new(broker.tcp);
    let hello = tls::client_hello(&broker.certificates.authority);
    let connect = connect_311("slow");
    let slow = (0..COUNT).map(|number| {
        let (to, start) = match number % 2 {
            0 => (broker.tcp, &connect[..connect.len() - 1]),
            _ => (broker.tls, &hello[..hello.len() - 1]),
        };
        let mut stream = come(2, to);
        // It may be closed already.
        let _ = stream.write_all(start);
        stream
    });
    let slow: Vec<_> = slow.collect();
    let refused = (COUNT - PLACES) as f64;
    broker.wait_for_samples(&[
        ("postbud_connections_handshaking", PLACES as f64),
        (
            "postbud_connections_closed_total{reason=\"too_many_handshakes\"}",
            refused,
        ),
    ]);
    witness.is_unharmed();
    accepted(3, broker.tcp, "plain").expect_nothing();
    let secure = tls::connect(come(3, broker.tls), &broker.certificates.authority);
    let mut secure = RawClient::over(secure);
    secure.open(&connect_5("secure"));
    secure.expect_nothing();
    drop(slow);
    broker.wait_for_samples(&[("postbud_connections_handshaking", 0.0)]);
    drop(accepted(2, broker.tcp, "in time"));
    witness.is_unharmed();
}

// Breaks if: one address can have all connections.
#[test]
fn an_address_has_so_many_connections() {
    let broker = broker("[limits.address]\nconnections_maximum = 2\n");
    let first = accepted(2, broker.tcp, "first");
    let mut second = accepted(2, broker.tcp, "second");
    assert_eq!(offend(2, broker.tls, &[]), [0; 0]);
    broker.wait_for_log(&["too many connections from its address", "127.0.0.2:"]);
    accepted(3, broker.tcp, "third").expect_nothing();
    drop(first);
    broker.wait_for_samples(&[
        (
            "postbud_connections_closed_total{reason=\"too_many_from_address\"}",
            1.0,
        ),
        ("postbud_connections", 1.0),
    ]);
    drop(accepted(2, broker.tcp, "fourth"));
    second.expect_nothing();
}

// Breaks if: a client that flaps goes on, is not told, or cannot be let in again.
#[test]
fn a_client_that_flaps_is_told_and_let_in_again() {
    let broker = broker("[limits.flapping]\nconnects = 5\nwithin = \"1h\"\nfor = \"1h\"\n");
    for _ in 0..5 {
        drop(RawClient::accepted(broker.tcp, &connect_5("flap")));
    }
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_5("flap"));
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0x8a), "{connack:02x?}");
    client.expect_closed();
    broker.wait_for_log(&["banned: it flaps", "flap"]);
    drop(RawClient::accepted(broker.tcp, &connect_5("calm")));
    let listed = ctl(&broker, &["bans", "--json"]).stdout.concat();
    assert!(
        listed.contains(r#""name":"flap","user":null,"reason":"flapping""#),
        "{listed}"
    );
    assert_eq!(
        ctl(&broker, &["unban", "--client", "flap"]).stdout,
        ["done"]
    );
    drop(RawClient::accepted(broker.tcp, &connect_5("flap")));
    broker.wait_for_samples(&[
        ("postbud_connects_refused_total{reason=\"banned\"}", 1.0),
        ("postbud_banned{what=\"client\"}", 0.0),
    ]);
}

// Breaks if: whoever sends faster than it may is read from all the same, or others wait with it.
#[test]
fn a_flood_keeps_nobody_waiting() {
    let broker = broker("[limits.connection]\nmessages_per_second = 100\n");
    let mut witness = Witness::new(broker.tcp);
    let mut other = accepted(3, broker.tcp, "other");
    let mut flooder = accepted(2, broker.tcp, "flooder");
    let done = AtomicBool::new(false);
    let held = "postbud_held_back_total{reason=\"connection_messages\"}";
    thread::scope(|scope| {
        scope.spawn(|| {
            let flood = publish_311("flood", &[0; 1000]).repeat(60);
            while !done.load(Ordering::Acquire) {
                if flooder.try_send(&flood).is_err() {
                    return;
                }
            }
        });
        broker.wait_for_log(&["held back", "connection_messages", "flooder", "127.0.0.2:"]);
        for _ in 0..20 {
            other.expect_nothing();
            witness.is_unharmed();
        }
        done.store(true, Ordering::Release);
        // Whoever is held back is closed as ever, and its last write fails.
        let kicked = ctl(&broker, &["kick", "flooder"]);
        assert_eq!(kicked.stdout, ["done"]);
    });
    let (_, metrics) = get(broker.http, "/metrics");
    assert!(
        sample(&metrics, held).is_some_and(|it| it >= 1.0),
        "{metrics}"
    );
    witness.is_unharmed();
}

// Breaks if: whoever is over its rate and is to be closed is not told, or not closed.
#[test]
fn over_its_rate_a_connection_may_be_closed() {
    let broker = Broker::configured(
        "[auth]\nanonymous = true\n[limits]\nover_rate = \"close\"\n\
         [limits.connection]\nmessages_per_second = 10\n",
    );
    let mut client = RawClient::accepted(broker.tcp, &connect_5("fast"));
    client.send(&[0xc0, 0].repeat(1000));
    let packets = client.packets_until_closed();
    let last = packets.last().expect("a DISCONNECT");
    assert_eq!((last[0], last[2]), (0xe0, 0x96), "{last:02x?}");
    assert!((10..20).contains(&(packets.len() - 1)), "{}", packets.len());
    broker.wait_for_log(&["message_rate_too_high", "fast"]);
}

// Breaks if: a flood of refusals is a flood in the log, or is not told at all.
#[test]
fn a_flood_of_refusals_is_a_number_in_the_log() {
    const COUNT: usize = 1000;
    let broker = broker("");
    for _ in 0..COUNT {
        offend(2, broker.tcp, b"GET / HTTP/1.1\r\n\r\n");
    }
    let told = |line: &&String| line.contains("refused: ") && line.contains("127.0.0.2:");
    broker.wait_for_log(&["lines like these left out", "127.0.0.2"]);
    let count = broker.log().iter().filter(told).count();
    assert!((100..500).contains(&count), "{count}");
    let closed = "postbud_connections_closed_total{reason=\"protocol_error\"}";
    broker.wait_for_samples(&[(closed, COUNT as f64)]);
    offend(3, broker.tcp, b"SSH-2.0-OpenSSH_9.2p1\r\n");
    broker.wait_for_log(&["refused: ", "127.0.0.3:"]);
}

// Breaks if: a broker without memory to spare goes on taking clients, harms those it has, says nothing, or
// stays so when there is memory again.
#[test]
fn a_broker_that_is_overloaded_says_so_until_it_is_over() {
    let broker = broker("[overload]\nmemory_maximum = \"96MiB\"\nlag_maximum = 0\n");
    let mut witness = Witness::new(broker.tcp);
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    let mut retain = |number: u16, payload: &[u8]| {
        let mut publish = publish_311_qos1(number, &format!("r/{number}"), payload);
        publish[0] |= 1;
        publisher.send(&publish);
        publisher.expect(&puback_311(number));
    };
    (1..=120).for_each(|number| retain(number, &[1; 900_000]));
    broker.wait_for_log(&["WARN", "overload: nobody is accepted", "level=\"pressed\""]);
    let (status, text) = get(broker.http, "/ready");
    assert_eq!(
        (status, &*text),
        (503, "not ready: there is too much to do\n")
    );
    assert_eq!(offend(2, broker.tcp, &connect_5("new")), [0; 0]);
    broker.wait_for_log(&["refused: too much to do", "overloaded", "127.0.0.2:"]);
    witness.is_unharmed();
    (1..=120).for_each(|number| retain(number, &[]));
    broker.wait_for_log(&["overload is over"]);
    accepted(2, broker.tcp, "new").expect_nothing();
    broker.wait_for_samples(&[("postbud_overload_level", 0.0)]);
    assert_eq!(get(broker.http, "/ready").0, 200);
}

/// How many subscribers stop reading, if not 500: `SOAK_SUBSCRIBERS=10000 cargo test --test clients soak`, with
/// as many descriptors, and some memory for the kernel's buffers.
const SOAK: &str = "SOAK_SUBSCRIBERS";

/// Resident memory of the broker, in bytes.
fn resident(broker: &Broker) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.id()));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(0, |it: usize| it * 1024)
}

// Breaks if: subscribers that stop reading make the broker grow without a bound, or harm those who read.
#[test]
fn a_soak_with_subscribers_that_stop_reading_is_survived() {
    const SIZE: usize = 16 * 1024;
    const MEBIBYTE: usize = 1 << 20;
    let count = std::env::var(SOAK).ok().and_then(|it| it.parse().ok());
    let count: usize = count.unwrap_or(500);
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit that can be raised");
    assert!(limit > count as u64 + 100, "`ulimit -Hn` is only {limit}");
    // What waits in all queues may have 64 MiB, and each connection a little until it counts as slow.
    let most = 192 * MEBIBYTE + count * 64 * 1024;
    let broker = broker(&format!(
        "write_timeout = \"1h\"\nhandshakes_maximum = 0\n[limits.address]\nhandshakes_maximum = 0\n\
         [queue]\ntotal_bytes = \"64MiB\"\n[overload]\nmemory_maximum = {most}\nlag_maximum = 0\n"
    ));
    let mut witness = Witness::new(broker.tcp);
    let mut stuck: Vec<_> = (0..count)
        .map(|number| {
            // Of many addresses, for each has only so many ports.
            let from = 2 + (number / 5000) as u8;
            let mut client = RawClient::over(come_with(from, broker.tcp, Some(4096)));
            client.open(&connect_311(&format!("stuck{number}")));
            client.subscribe_311("flood", u8::from(number % 2 == 1));
            client
        })
        .collect();
    let mut publisher = RawClient::accepted(broker.tcp, &connect_311("publisher"));
    let mut highest = 0;
    for number in 1..=300_u16 {
        publisher.send(&publish_311("flood", &[number as u8; SIZE]));
        publisher.send(&publish_311_qos1(number, "flood", &[number as u8; SIZE]));
        publisher.expect(&puback_311(number));
        if number % 10 == 0 {
            highest = highest.max(resident(&broker));
            witness.is_unharmed();
        }
    }
    assert!(highest < most, "{} MiB", highest / MEBIBYTE);
    let (_, metrics) = get(broker.http, "/metrics");
    let dropped = "postbud_messages_dropped_total{reason=\"overload\"}";
    assert!(
        sample(&metrics, dropped).is_some_and(|it| it > 0.0),
        "{metrics}"
    );
    let connected = sample(&metrics, "postbud_sessions_connected");
    assert_eq!(
        connected,
        Some(count as f64 + 2.0),
        "nobody was ended for it"
    );
    for client in stuck.iter_mut().take(3) {
        assert_eq!(client.packet()[0] & 0xf0, 0x30, "what was sent can be read");
    }
    drop(stuck);
    broker.wait_for_samples(&[("postbud_sessions_connected", 2.0)]);
    witness.is_unharmed();
}
