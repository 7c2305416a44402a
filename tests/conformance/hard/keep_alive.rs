//! Keep Alive by the clock on the wall, for both versions.
//!
//! ```text
//!   last packet ────────────── 1.5 × Keep Alive ──────────────> closed, at most a second later
//!                bytes of a packet that is not whole: no packet
//! ```
//!
//! A connection is never closed early, so that bound is exact: time is taken before the last bytes are written. A
//! machine that has other things to do may only add to what is seen here: [`NOISE`]. That the close comes within a
//! second is shown by the broker's own clock instead.

use std::time::{Duration, Instant};

use crate::bytes::{Connect, PINGREQ, PINGRESP, Will, packet, prop, puback};
use crate::mqtt5::steps::{broker_with, seconds_pass};
use crate::received::Connack;
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::either::{BOTH, Client, V5, V311, Watch, expect_no_more, open, reader, tell};

/// How much later than a second after it is due a close may be seen.
const NOISE: Duration = Duration::from_secs(3);

/// Waits for the end by Keep Alive, and checks when it came; silence began after `since`.
#[track_caller]
fn expect_timed_out(client: &mut Client, keep_alive: u16, since: Instant) {
    client.expect_end(0x8d);
    let silent = since.elapsed();
    let due = Duration::from_millis(u64::from(keep_alive) * 1500);
    assert!(silent >= due, "closed after {silent:?} of {due:?}");
    let late = due + Duration::from_secs(1) + NOISE;
    assert!(silent <= late, "closed only after {silent:?} of {due:?}");
}

/// From CONNECT on, if nothing else is sent, and from the last packet on: for 1 s and 2 s, all at once.
// Breaks if: `Terms::silence_allowed` in src/session/terms.rs takes the Keep Alive as it is, or twice of it; or
// `Connection::timed_out` in src/broker/connection.rs ends with another code.
#[test]
fn silence_is_ended_after_one_and_a_half_keep_alives_and_not_before() {
    let broker = Broker::start();
    let mut silent = Vec::new();
    for version in BOTH {
        for keep_alive in [2, 1] {
            for packets in [&[][..], &PINGREQ] {
                let name = format!("{version:?}-{keep_alive}-{}", packets.len());
                let connect = version.passing(&name).keep_alive(keep_alive);
                let mut since = Instant::now();
                let mut client = open(&broker, version, &connect, false);
                if !packets.is_empty() {
                    since = Instant::now();
                    client.send(packets);
                    client.expect(&PINGRESP);
                }
                silent.push((client, keep_alive, since));
            }
        }
    }
    // Those that are due first are looked at first, so that none waits for another.
    silent.sort_by_key(|(_, keep_alive, _)| *keep_alive);
    for (mut client, keep_alive, since) in silent {
        expect_timed_out(&mut client, keep_alive, since);
    }
}

/// By the broker's own clock, on which noise weighs alike on both sides: the Wills have come before another one whose
/// delay ends a second after silence does.
// Breaks if: `Terms::silence_allowed` in src/session/terms.rs allows twice the Keep Alive.
#[test]
fn silence_is_ended_at_most_a_second_late() {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let silent = BOTH.map(|version| {
        let connect = version.watched(&format!("{version:?}")).keep_alive(4);
        open(&broker, version, &connect, false)
    });
    seconds_pass(&broker, 7);
    assert_eq!(watch.all_so_far(&broker), ["V311", "V5"]);
    for mut client in silent {
        client.expect_end(0x8d);
    }
}

/// A packet counts when it is whole: the first byte of one, more bytes of it each second, and all of one but its last
/// bytes are silence. [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
// Breaks if: `Connection::receive` in src/broker/connection.rs takes `last_heard` from bytes that are no whole packet.
#[test]
fn bytes_of_a_packet_that_is_not_whole_are_silence() {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let mut clients = Vec::new();
    for version in BOTH {
        let large = version.publish("t", &"x".repeat(100)).bytes();
        for first in [1, large.len() - 10] {
            let connect = version.watched(&format!("{version:?}-{first}"));
            let mut client = open(&broker, version, &connect.keep_alive(2), false);
            client.send(&large[..first]);
            clients.push((client, large[first..].to_vec()));
        }
    }
    for tick in 0..5 {
        seconds_pass(&broker, 1);
        for (client, rest) in &mut clients {
            // After three of them it is over.
            let _ = client.try_send(&rest[tick..=tick]);
        }
    }
    // The last of these bytes came much less than three seconds ago.
    assert_eq!(watch.all_so_far(&broker).len(), clients.len());
    for (mut client, _) in clients {
        client.expect_end(0x8d);
    }
}

/// What each of several clients sends every second.
type Sends = fn(&mut Client, &Broker);

/// Any packet will do, also one that has no answer, and one that is pieced together from bytes over time. What the
/// broker sends does not count.
// Breaks if: `Connection::receive` in src/broker/connection.rs takes `last_heard` from CONNECT only; or a delivery
// moves it.
#[test]
fn every_packet_of_the_clients_is_heard_and_none_of_the_brokers() {
    let kinds: [(&str, Sends); 5] = [
        ("pings", |client, _| {
            client.send(&PINGREQ);
            client.expect(&PINGRESP);
        }),
        ("publishes", |client, _| {
            let bytes = client.version.publish("nobody", "").bytes();
            client.send(&bytes);
        }),
        ("acknowledges", |client, broker| {
            let topic = format!("to/{:?}", client.version);
            tell(broker, &topic, 1, &["message"]);
            let id = client.expect_sent(false, 1, "message");
            client.send(&puback(id));
        }),
        ("acknowledges nothing", |client, _| {
            client.send(&puback(0xffff));
        }),
        ("in pieces", |client, _| {
            let bytes = client.version.publish("nobody", "").bytes();
            // The rest of one and the beginning of the next.
            client.send(&[&bytes[3..], &bytes[..3]].concat());
        }),
    ];
    let broker = Broker::start();
    let mut clients = Vec::new();
    for version in BOTH {
        for (name, sends) in kinds {
            let connect = version.passing(&format!("{name} {version:?}"));
            let mut client = open(&broker, version, &connect.keep_alive(2), false);
            if name == "acknowledges" {
                client.subscribe(&format!("to/{version:?}"), 1);
            }
            if name == "in pieces" {
                let bytes = version.publish("nobody", "").bytes();
                client.send(&bytes[..3]);
            }
            clients.push((client, sends, name));
        }
    }
    let since = Instant::now();
    let mut only_told = open(&broker, V5, &V5.passing("only told").keep_alive(2), false);
    only_told.subscribe("pace", 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        seconds_pass(&broker, 1);
        tell(&broker, "pace", 0, &["pace"]);
        for (client, sends, _) in &mut clients {
            sends(client, &broker);
        }
    }
    let mut packets = only_told.packets_until_closed();
    let silent = since.elapsed();
    let last = packets.pop().expect("a DISCONNECT");
    assert_eq!((last[0], last[2]), (0xe0, 0x8d), "{last:02x?}");
    assert!(!packets.is_empty() && silent >= Duration::from_secs(3));
    for (client, _, name) in &mut clients {
        if *name == "in pieces" {
            let bytes = client.version.publish("nobody", "").bytes();
            client.send(&bytes[3..]);
        }
        client.expect_alive();
    }
}

/// Another client's Keep Alive tells that time has passed, twice.
// Breaks if: `Terms::silence_allowed` in src/session/terms.rs allows no silence at all for 0.
#[test]
fn a_keep_alive_of_0_is_none() {
    let broker = Broker::start();
    for version in BOTH {
        let mut off = open(
            &broker,
            version,
            &version.passing("off").keep_alive(0),
            false,
        );
        let since = Instant::now();
        let mut on = open(
            &broker,
            version,
            &version.passing("on").keep_alive(1),
            false,
        );
        expect_timed_out(&mut on, 1, since);
        let since = Instant::now();
        let mut on = open(
            &broker,
            version,
            &version.passing("on").keep_alive(1),
            false,
        );
        expect_timed_out(&mut on, 1, since);
        off.expect_alive();
    }
}

/// A client of 5.0 that asks for more, or for none, is told what holds instead; one that asks for less keeps it. One
/// of 3.1.1 cannot be told.
// Breaks if: `negotiate_keep_alive` in src/session/terms.rs does not cut 0, cuts for 3.x as well, or the CONNACK says
// what does not hold.
#[test]
fn the_brokers_own_keep_alive_is_told_and_holds() {
    let broker = broker_with("keep_alive_maximum = 2");
    let mut clients = Vec::new();
    for (wanted, told, holds) in [
        (0, Some(2), 2),
        (60, Some(2), 2),
        (2, None, 2),
        (1, None, 1),
    ] {
        let connect = Connect::v5(format!("wants-{wanted}")).keep_alive(wanted);
        let since = Instant::now();
        let mut raw = RawClient::connect(broker.tcp);
        raw.send(&connect.bytes());
        let connack = Connack::v5(&raw.packet());
        let keep_alive = connack.properties.integer(prop::SERVER_KEEP_ALIVE);
        assert_eq!((connack.reason, keep_alive), (0, told), "{connack:02x?}");
        clients.push((Client::of(raw, V5), holds, since));
    }
    let mut old = [0, 60].map(|wanted| {
        let connect = V311.passing(&format!("old-{wanted}")).keep_alive(wanted);
        open(&broker, V311, &connect, false)
    });
    clients.sort_by_key(|(_, holds, _)| *holds);
    for (mut client, holds, since) in clients {
        expect_timed_out(&mut client, holds, since);
    }
    for old in &mut old {
        old.expect_alive();
    }
}

/// The connection did not end in good order, so the Will is due, and the session goes on.
// Breaks if: `Connection::timed_out` in src/broker/connection.rs ends the session as DISCONNECT does, or
// `Broker::settle_will` in src/broker/sessions.rs forgets the Will.
#[test]
fn a_timed_out_client_leaves_its_will_and_its_session() {
    for version in BOTH {
        let broker = Broker::start();
        let mut witness = reader(&broker, "will");
        let will = Will::new("will", "timed out").qos(2);
        let connect = version.lasting("c").keep_alive(1).will(will);
        let mut client = open(&broker, version, &connect, false);
        client.subscribe("t", 2);
        let message = version.publish("t", "before the end").qos(2, 7);
        client.send(&message.bytes());
        // PUBREC and the message, in any order; neither is acknowledged.
        let mut came = [client.packet()[0] >> 4, client.packet()[0] >> 4];
        came.sort_unstable();
        assert_eq!(came, [3, 5]);
        client.expect_end(0x8d);
        witness.expect_taken("timed out");
        let mut client = open(&broker, version, &version.lasting("c"), true);
        let id = client.expect_sent(true, 2, "before the end");
        client.finish(2, id);
        client.send(&message.dup().bytes());
        client.expect_ack(0x50, 7);
        client.expect_alive();
        expect_no_more(&broker, "will", &mut [&mut witness]);
    }
}

/// A client that was closed for silence is not heard any more, whatever was under way.
// Breaks if: `Driver::linger` in src/listener/driver.rs hands what comes to the connection.
#[test]
fn what_comes_after_the_time_out_is_not_heard() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut reader = reader(&broker, "t");
        let connect = version.watched("c").keep_alive(1);
        let mut client = open(&broker, version, &connect, false);
        let publish = version.publish("t", "too late").qos(1, 1).bytes();
        client.send(&publish[..5]);
        watch.wait("c");
        let _ = client.try_send(&[&publish[5..], &publish, &packet(0xe0, &[])].concat());
        client.expect_end(0x8d);
        expect_no_more(&broker, "t", &mut [&mut reader]);
        let mut again = open(&broker, version, &version.lasting("c"), true);
        again.expect_alive();
    }
}

/// A connection counts its own silence: another one, with another Keep Alive, has taken the session over.
// Breaks if: `Connection::timed_out` in src/broker/connection.rs ends a session that another connection has, or
// `Open::detach` in src/broker/open.rs does not look at the epoch.
#[test]
fn the_keep_alive_is_that_of_the_connection_and_not_of_the_session() {
    for version in BOTH {
        let broker = Broker::start();
        let hurried = version.lasting("c").keep_alive(1);
        let _old = open(&broker, version, &hurried, false);
        let mut patient = open(&broker, version, &version.lasting("c").keep_alive(0), true);
        patient.subscribe("t", 0);
        seconds_pass(&broker, 3);
        patient.expect_alive();
        let since = Instant::now();
        let mut hurried = open(&broker, version, &hurried, true);
        patient.expect_end(0x8e);
        expect_timed_out(&mut hurried, 1, since);
    }
}
