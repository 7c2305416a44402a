//! Session Present after every way in which a session can be left, and that what it says is true: the session's
//! subscription, a message that waited, and an exchange under way are there, or are not.

use std::net::TcpStream;

use socket2::SockRef;

use crate::bytes::{
    Connect, DISCONNECT, Will, disconnect_5, four, packet, prop, pubrec, pubrel, string,
};
use crate::mqtt5::steps::{broker_with, seconds_pass};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::either::{BOTH, Client, V5, V311, Version, Watch, accepted, open, passing, tell};

/// A QoS 2 id of the client's own that is held by the session.
const HELD: u16 = 0x0102;

/// Gives a session what can be found again: a subscription, an unacknowledged message, an id that is held.
#[track_caller]
fn fill(broker: &Broker, client: &mut Client) -> u16 {
    client.subscribe("t", 2);
    tell(broker, "t", 2, &["under way"]);
    let id = client.expect_sent(false, 2, "under way");
    let held = client.version.publish("held", "").qos(2, HELD);
    client.send(&held.bytes());
    client.expect_ack(0x50, HELD);
    id
}

/// A client that is back finds all of it, and what was published meanwhile.
#[track_caller]
fn expect_there(broker: &Broker, version: Version, id: u16) {
    tell(broker, "t", 1, &["meanwhile"]);
    let mut client = open(broker, version, &version.lasting("c"), true);
    assert_eq!(client.expect_sent(true, 2, "under way"), id);
    client.expect_taken("meanwhile");
    client.finish(2, id);
    tell(broker, "t", 1, &["now"]);
    client.expect_taken("now");
    client.send(&pubrel(HELD));
    client.expect_reason(0x70, HELD, 0x00);
    client.expect_alive();
}

/// A client that is back finds nothing.
#[track_caller]
fn expect_gone(broker: &Broker, version: Version, id: u16) {
    tell(broker, "t", 1, &["meanwhile"]);
    let mut client = open(broker, version, &version.lasting("c"), false);
    tell(broker, "t", 1, &["now"]);
    client.send(&pubrel(HELD));
    client.expect_reason(0x70, HELD, 0x92);
    client.send(&pubrec(id));
    client.expect_reason(0x62, id, 0x92);
    client.expect_alive();
}

/// How a connection ends; each waits until the broker knows.
type End = fn(&Broker, &mut Watch, Client, TcpStream);

/// Says DISCONNECT, or anything else after which the broker closes.
#[track_caller]
fn say(mut client: Client, bytes: &[u8]) {
    client.send(bytes);
    client.packets_until_closed();
}

/// A session that is kept, left in this way.
#[track_caller]
fn left(broker: &Broker, version: Version, connect: &Connect, end: End) -> u16 {
    let mut watch = Watch::new(broker);
    let stream = TcpStream::connect(broker.tcp).expect("the port is bound");
    let raw = RawClient::over(stream.try_clone().expect("a socket"));
    let mut client = accepted(raw, version, connect, false);
    let id = fill(broker, &mut client);
    end(broker, &mut watch, client, stream);
    id
}

/// Ends for both versions that leave the session where it is.
const KEPT: [(&str, End); 6] = [
    ("DISCONNECT", |_, _, client, _| say(client, &DISCONNECT)),
    ("close", |_, watch, client, stream| {
        drop(stream);
        watch.cut(client, "c");
    }),
    ("reset", |_, watch, client, stream| {
        let socket = SockRef::from(&stream);
        socket
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option every socket has");
        drop(stream);
        watch.cut(client, "c");
    }),
    ("half close", |_, watch, mut client, _| {
        client.finish_sending();
        client.expect_closed();
        watch.wait("c");
    }),
    ("protocol error", |_, watch, client, _| {
        say(client, &packet(0x00, &[]));
        watch.wait("c");
    }),
    (
        "end in the midst of a packet",
        |_, watch, mut client, stream| {
            client.send(&packet(0x32, &[0; 100])[..50]);
            drop(stream);
            watch.cut(client, "c");
        },
    ),
];

// Breaks if: `Broker::detach` in src/broker/sessions.rs ends a session that is persistent, or `Broker::end_session`
// there is called for one that has been left behind.
#[test]
fn a_session_is_there_after_every_end_that_keeps_it() {
    for version in BOTH {
        for (name, end) in KEPT {
            println!("{version:?}: {name}");
            let broker = Broker::start();
            let id = left(&broker, version, &version.watched("c"), end);
            expect_there(&broker, version, id);
        }
    }
}

// Breaks if: `Connection::timed_out` in src/broker/connection.rs ends the session.
#[test]
fn a_session_is_there_after_a_keep_alive_timeout() {
    for version in BOTH {
        let broker = Broker::start();
        let connect = version.watched("c").keep_alive(1);
        let id = left(&broker, version, &connect, |_, watch, _client, _stream| {
            watch.wait("c");
        });
        expect_there(&broker, version, id);
    }
}

/// By a connection that wants to go on with it, and leaves in its turn.
// Breaks if: `Broker::claim` in src/broker/sessions.rs ends what it takes over.
#[test]
fn a_session_is_there_after_a_takeover() {
    for version in BOTH {
        let broker = Broker::start();
        let id = left(
            &broker,
            version,
            &version.lasting("c"),
            |broker, watch, old, _stream| {
                let version = old.version;
                let new = open(broker, version, &version.watched("c"), true);
                let mut old = old;
                old.expect_end(0x8e);
                watch.cut(new, "c");
            },
        );
        expect_there(&broker, version, id);
    }
}

/// Reason Codes of DISCONNECT, with and without words about the Session Expiry Interval.
// Breaks if: `Open::disconnect` in src/broker/packets.rs sets the expiry to 0 when DISCONNECT does not name it, or for
// any Reason Code.
#[test]
fn a_session_is_there_after_any_disconnect_of_5_0() {
    let again = four(prop::SESSION_EXPIRY_INTERVAL, 60);
    for reason in [0x00, 0x04, 0x80, 0x83, 0x93] {
        for properties in [&[][..], &again] {
            let broker = Broker::start();
            let mut client = open(&broker, V5, &V5.lasting("c"), false);
            let id = fill(&broker, &mut client);
            say(client, &disconnect_5(reason, properties));
            expect_there(&broker, V5, id);
        }
    }
}

// Breaks if: `Open::disconnect` in src/broker/packets.rs does not take over a Session Expiry Interval of 0.
#[test]
fn a_session_is_gone_after_a_disconnect_with_an_expiry_of_0() {
    let at_once = four(prop::SESSION_EXPIRY_INTERVAL, 0);
    for reason in [0x00, 0x04] {
        let broker = Broker::start();
        let mut client = open(&broker, V5, &V5.lasting("c"), false);
        let id = fill(&broker, &mut client);
        say(client, &disconnect_5(reason, &at_once));
        expect_gone(&broker, V5, id);
    }
}

/// Its time counts from the end of the connection; an interval that DISCONNECT names replaces that of CONNECT, in
/// both directions.
// Breaks if: `Broker::leave_behind` in src/broker/sessions.rs takes no end from `expiry`, or `Open::disconnect` in
// src/broker/packets.rs does not set it.
#[test]
fn a_session_is_gone_when_its_time_has_passed_and_not_before() {
    let expiry = |seconds| four(prop::SESSION_EXPIRY_INTERVAL, seconds);
    for (of_connect, of_disconnect, stays) in [
        (1, None, false),
        (600, Some(1), false),
        (1, Some(600), true),
        (5, None, true),
    ] {
        let broker = Broker::start();
        let connect = Connect::v5("c").clean(false).expiry(of_connect);
        let mut client = open(&broker, V5, &connect, false);
        let id = fill(&broker, &mut client);
        // While the connection is there, its time does not pass.
        seconds_pass(&broker, 2);
        client.expect_alive();
        let properties = of_disconnect.map_or(Vec::new(), expiry);
        say(client, &disconnect_5(0, &properties));
        seconds_pass(&broker, 2);
        if stays {
            expect_there(&broker, V5, id);
        } else {
            expect_gone(&broker, V5, id);
        }
    }
}

/// The broker's word on how long sessions of 3.1.1 last.
// Breaks if: `negotiate_expiry` in src/session/terms.rs keeps a session of 3.x for ever.
#[test]
fn a_session_of_3_1_1_is_gone_when_the_brokers_time_has_passed() {
    let broker = broker_with("expiry_3x = \"1s\"");
    let mut client = open(&broker, V311, &V311.lasting("c"), false);
    let id = fill(&broker, &mut client);
    client.leave();
    seconds_pass(&broker, 2);
    expect_gone(&broker, V311, id);
}

/// Clean Start drops what is there, whether its client is away or connected.
// Breaks if: `Broker::claim` in src/broker/sessions.rs goes on with a session in spite of Clean Start.
#[test]
fn a_session_is_gone_after_a_clean_start() {
    for version in BOTH {
        for leaves in [false, true] {
            let broker = Broker::start();
            let mut old = open(&broker, version, &version.lasting("c"), false);
            let id = fill(&broker, &mut old);
            if leaves {
                old.leave();
            }
            let clean = version.lasting("c").clean(true);
            open(&broker, version, &clean, false).leave();
            // A session of 3.1.1 that began clean ends with its connection; of 5.0 it is a new one that is kept.
            if version == V5 {
                let mut new = open(&broker, V5, &V5.lasting("c"), true);
                new.expect_alive();
                say(
                    new,
                    &disconnect_5(0, &four(prop::SESSION_EXPIRY_INTERVAL, 0)),
                );
            }
            expect_gone(&broker, version, id);
        }
    }
}

/// CONNECTs for the session of `c` that are refused, or closed without an answer.
fn bad_connects(version: Version) -> Vec<Vec<u8>> {
    let good = version.lasting("c");
    let will = |topic: &str| Will::new(topic, "").qos(1);
    let mut bad = vec![
        // The reserved flag; flags of a Will that is not there; a Will QoS of 3.
        good.clone().flags(0x01).bytes(),
        good.clone().flags(0x08).bytes(),
        good.clone().flags(0x1c).bytes(),
        good.clone().protocol("MQTX").bytes(),
        good.clone().will(will("a/#")).bytes(),
        good.clone().will(will("$SYS/x")).bytes(),
        Connect::version(9, "c").clean(false).bytes(),
        // Cut short, and with something behind its end.
        packet(0x10, &good.bytes()[2..good.bytes().len() - 1]),
        packet(0x10, &[&good.bytes()[2..], &string("more")].concat()),
        packet(0x11, &good.bytes()[2..]),
    ];
    // Clean Session 1 in a CONNECT that is refused cleans nothing.
    bad.push(good.clone().clean(true).flags(0x03).bytes());
    if version == V5 {
        let with = |property| good.clone().property(property).bytes();
        bad.extend([
            with(vec![0x7f, 0]),
            with(four(prop::SESSION_EXPIRY_INTERVAL, 1)),
            with(crate::bytes::two(prop::RECEIVE_MAXIMUM, 0)),
            with(four(prop::MAXIMUM_PACKET_SIZE, 0)),
            with(four(prop::MAXIMUM_PACKET_SIZE, 3)),
            with(crate::bytes::text(prop::AUTHENTICATION_METHOD, "unknown")),
            with(crate::bytes::text(prop::AUTHENTICATION_DATA, "no method")),
            with(crate::bytes::byte(prop::REQUEST_PROBLEM_INFORMATION, 2)),
            with(crate::bytes::byte(prop::PAYLOAD_FORMAT_INDICATOR, 1)),
        ]);
    }
    bad
}

/// Whoever is not let in does nothing to the session of whose Client Identifier it speaks, be its client away or
/// connected.
// Breaks if: `Connection::connect` in src/broker/handshake.rs opens the session before the CONNECT has been judged to
// its end.
#[test]
fn a_session_is_there_after_a_connect_that_was_refused() {
    for version in BOTH {
        let broker = Broker::start();
        let mut client = open(&broker, version, &version.lasting("c"), false);
        let id = fill(&broker, &mut client);
        let refused = |bytes: &[u8]| {
            let mut stranger = RawClient::connect(broker.tcp);
            stranger.send(bytes);
            let answer = stranger.packets_until_closed();
            let accepted = |packet: &Vec<u8>| packet[0] == 0x20 && packet[3] == 0;
            assert!(
                !answer.iter().any(accepted),
                "{answer:02x?} to {bytes:02x?}"
            );
        };
        for bytes in bad_connects(version) {
            refused(&bytes);
            client.expect_alive();
        }
        client.leave();
        for bytes in bad_connects(version) {
            refused(&bytes);
        }
        expect_there(&broker, version, id);
    }
}

/// Clean Session of 3.1.1 in all orders of three connections: a session is present only between two that both want
/// one. [MQTT311-3.1.2-4] [MQTT311-3.1.2-6] [MQTT311-3.2.2-2]
// Breaks if: `negotiate_expiry` in src/session/terms.rs keeps a session with Clean Session 1, or
// `Broker::claim` in src/broker/sessions.rs does not look at `clean_start`.
#[test]
fn clean_session_of_3_1_1_in_all_orders() {
    let broker = Broker::start();
    for order in 0..8 {
        for by_takeover in [false, true] {
            let name = format!("c-{order}-{by_takeover}");
            let mut before: Option<(bool, Client)> = None;
            for n in 0..3 {
                let clean = order >> n & 1 == 1;
                let present = before.as_ref().is_some_and(|(was, _)| !was && !clean);
                if !by_takeover && let Some((_, client)) = before.take() {
                    client.leave();
                }
                let connect = Connect::v311(&name).clean(clean);
                println!("order {order:03b}, connection {n}");
                let mut client = open(&broker, V311, &connect, present);
                client.expect_alive();
                before = Some((clean, client));
            }
        }
    }
}

/// Each version resumes what the other has left: the same ids in the same steps, in both directions.
// Breaks if: `Broker::claim` in src/broker/sessions.rs resumes only what is of the same version, or
// `Outbound::attach` in src/session/outbound.rs keeps the version of the old line.
#[test]
fn versions_take_turns_on_one_session() {
    for versions in [[V311, V5, V311, V5], [V5, V311, V5, V5]] {
        let broker = Broker::start();
        let mut client = open(&broker, versions[0], &versions[0].lasting("c"), false);
        let id = fill(&broker, &mut client);
        for (n, version) in versions.into_iter().enumerate().skip(1) {
            client.leave();
            let meanwhile = format!("meanwhile-{n}");
            tell(&broker, "t", 1, &[&meanwhile]);
            client = open(&broker, version, &version.lasting("c"), true);
            if n == 1 {
                assert_eq!(client.expect_sent(true, 2, "under way"), id);
                client.expect_taken(&meanwhile);
                client.send(&pubrec(id));
            }
            client.expect(&pubrel(id));
            if n > 1 {
                client.expect_taken(&meanwhile);
            }
            let held = version.publish("held", "").qos(2, HELD).dup();
            client.send(&held.bytes());
            client.expect_ack(0x50, HELD);
            client.expect_alive();
        }
    }
}

/// One version ends what the other would have kept: by its own terms, as they are when it leaves.
// Breaks if: `Broker::attach` in src/broker/sessions.rs keeps the expiry of the connection before.
#[test]
fn the_terms_of_the_last_connection_hold_whatever_its_version() {
    for (last, clean) in [
        (Connect::v5("c").clean(false), false),
        (V5.passing("c"), true),
        (V311.passing("c"), true),
    ] {
        for version in BOTH {
            let broker = Broker::start();
            let mut client = open(&broker, version, &version.lasting("c"), false);
            let id = fill(&broker, &mut client);
            client.leave();
            // CONNACK of 3.1.1 has no properties; no more is looked at.
            let mut raw = RawClient::connect(broker.tcp);
            raw.send(&last.bytes());
            let connack = raw.packet();
            assert_eq!((connack[2], connack[3]), (u8::from(!clean), 0));
            raw.send(&DISCONNECT);
            raw.packets_until_closed();
            expect_gone(&broker, version, id);
        }
    }
}

/// Clients with other names have nothing to do with it.
// Breaks if: `Registry::find` in src/broker/registry.rs compares only a part of the Client Identifier.
#[test]
fn sessions_of_similar_names_are_not_present() {
    for version in BOTH {
        let broker = Broker::start();
        open(&broker, version, &version.lasting("c"), false).leave();
        for name in ["C", "c ", " c", "cc", "\u{441}", "c\u{301}"] {
            open(&broker, version, &version.lasting(name), false).leave();
        }
        let unnamed = passing(&broker, version, "");
        unnamed.leave();
        open(&broker, version, &version.lasting("c"), true).leave();
    }
}
