//! The same Client Identifier on another connection, while messages are under way in either direction.
//!
//! ```text
//!   writer ── 1, 2, 3 … ──> broker ── 1, 2 ──> old connection: read in part, acknowledged in part
//!                              │ ╳ DISCONNECT 0x8E
//!                              └── 2, 3 … ──> new connection
//! ```
//!
//! Where the takeover falls is left to chance, as it is to clients: what is checked holds wherever it does.

use std::collections::BTreeSet;
use std::thread;

use crate::bytes::{Connect, DISCONNECT, PINGREQ, PINGRESP, Will, puback, pubcomp, pubrec, pubrel};
use crate::received::Ack;
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::either::{
    BOTH, Client, V5, V311, Version, expect_no_more, open, passing, reader, tell, text,
};

/// A client's memory of what it has got, over all its connections.
#[derive(Default)]
struct Memory {
    /// Payloads in the order in which they came for the first time.
    got: Vec<String>,
    seen: BTreeSet<String>,
    /// QoS 2 ids between PUBLISH and PUBREL.
    held: BTreeSet<u16>,
}

impl Memory {
    /// Handles a PUBLISH or PUBREL as a client does that forgets nothing.
    #[track_caller]
    fn handle(&mut self, client: &mut Client, packet: &[u8]) {
        if packet[0] & 0xf0 != 0x30 {
            let ack = Ack::v5(packet);
            assert_eq!((ack.first, ack.reasons[0]), (0x62, 0), "{ack:02x?}");
            self.held.remove(&ack.packet_id);
            return client.send(&pubcomp(ack.packet_id));
        }
        let message = client.parse(packet);
        let (payload, id) = (text(&message), message.packet_id);
        if message.qos == 1 {
            assert!(
                self.seen.insert(payload.clone()) || message.dup,
                "again without DUP: {payload}"
            );
            if self.got.last().is_none_or(|last| *last < payload) {
                self.got.push(payload);
            }
            return client.send(&puback(id));
        }
        if self.held.insert(id) {
            assert!(self.seen.insert(payload.clone()), "twice: {payload}");
            self.got.push(payload);
        } else {
            assert!(
                message.dup && self.seen.contains(&payload),
                "{message:02x?}"
            );
        }
        client.send(&pubrec(id));
    }

    /// Whether all of these have come, and every exchange is over.
    fn is_complete(&self, all: usize) -> bool {
        self.got.len() == all && self.held.is_empty()
    }
}

/// Payloads whose order as text is that of their numbers.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:05}")).collect()
}

/// Expects a connection to end because its session was taken over, after whatever was under way.
#[track_caller]
fn expect_taken_over(mut old: Client) -> Vec<Vec<u8>> {
    let mut packets = old.packets_until_closed();
    if old.version == V5 {
        let last = packets.pop().expect("a DISCONNECT");
        assert_eq!((last[0], last[2]), (0xe0, 0x8e), "{last:02x?}");
    }
    assert!(packets.iter().all(|packet| packet[0] != 0xe0));
    packets
}

/// The reader is taken over again and again while a writer goes on: each connection reads some packets, more each
/// time, and the next comes while more are under way.
// Breaks if: `Outbound::detach` in src/session/outbound.rs drops the window or what waits, `Window::detach` in
// src/session/window.rs changes the order, or `Outbound::resend` publishes without DUP.
#[test]
fn a_reader_loses_nothing_by_takeovers_in_the_midst_of_a_flood() {
    for version in BOTH {
        for qos in [1, 2] {
            reader_of_a_flood(version, qos);
        }
    }
}

fn reader_of_a_flood(version: Version, qos: u8) {
    const COUNT: usize = 1200;
    let broker = Broker::start();
    let connect = version.lasting("r");
    let mut client = open(&broker, version, &connect, false);
    client.subscribe("t", qos);
    let mut memory = Memory::default();
    thread::scope(|scope| {
        scope.spawn(|| tell(&broker, "t", qos, &numbered(COUNT)));
        for n in 0..12 {
            for _ in 0..n * 7 {
                let packet = client.packet();
                memory.handle(&mut client, &packet);
            }
            let next = open(&broker, version, &connect, true);
            expect_taken_over(std::mem::replace(&mut client, next));
        }
        while !memory.is_complete(COUNT) {
            let packet = client.packet();
            memory.handle(&mut client, &packet);
        }
    });
    assert_eq!(memory.got, numbered(COUNT));
    // Acknowledgements that were under way have reached the broker by now.
    client.expect_alive();
    let mut last = open(&broker, version, &connect, true);
    last.expect_alive();
    assert!(expect_taken_over(client).is_empty());
}

/// A new session has nothing of the old one, whose messages go nowhere.
// Breaks if: `Broker::claim` in src/broker/sessions.rs does not look at `clean_start`, or `Broker::end_session` there
// leaves the subscriptions.
#[test]
fn a_clean_takeover_of_a_reader_begins_with_nothing() {
    for version in BOTH {
        for old in [version.passing("r"), version.lasting("r")] {
            let broker = Broker::start();
            let mut client = open(&broker, version, &old, false);
            client.subscribe("t", 2);
            tell(&broker, "t", 2, &numbered(400));
            let id = client.expect_sent(false, 2, "00000");
            client.send(&pubrec(id));
            let mut new = passing(&broker, version, "r");
            expect_taken_over(client);
            // Neither message nor PUBREL, and the id is nobody's.
            new.expect_alive();
            new.send(&pubrec(id));
            new.expect_reason(0x62, id, 0x92);
            new.send(&pubcomp(id));
            new.subscribe("u", 2);
            tell(&broker, "t", 2, &["for the old one"]);
            tell(&broker, "u", 2, &["for the new one"]);
            new.expect_taken("for the new one");
            new.expect_alive();
        }
    }
}

/// A thousand messages of a kilobyte: more than the broker reads at once.
const WRITTEN: usize = 1000;

fn large(payload: &str) -> String {
    format!("{payload}{}", ".".repeat(1000))
}

/// A broker that takes all of them before the first is acknowledged, and a reader that leaves nothing for later.
fn generous() -> Broker {
    Broker::configured("[auth]\nanonymous = true\n[session]\nreceive_maximum = 2000\n")
}

/// What the old connection of a writer got: ids that have PUBACK or PUBREC, which are the first ones, in order.
#[track_caller]
fn acknowledged(packets: &[Vec<u8>], first: u8) -> u16 {
    let acks = packets.iter().map(|packet| Ack::v5(packet));
    let ids: Vec<u16> = acks
        .map(|ack| {
            assert_eq!((ack.first, ack.reasons[0]), (first, 0), "{ack:02x?}");
            ack.packet_id
        })
        .collect();
    let count = ids.len() as u16;
    assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "out of order");
    count
}

/// Whatever the reader gets while this goes on, in the order in which each came first.
#[track_caller]
fn read_all(reader: &mut Client) -> Vec<String> {
    let mut got: Vec<String> = Vec::new();
    loop {
        let packet = reader.packet();
        if packet[0] == 0x62 {
            reader.send(&pubcomp(Ack::v5(&packet).packet_id));
            continue;
        }
        let message = reader.parse(&packet);
        match message.qos {
            1 => reader.send(&puback(message.packet_id)),
            _ => reader.send(&pubrec(message.packet_id)),
        }
        let payload = text(&message);
        if payload == "marker" {
            return got;
        }
        got.push(payload.trim_end_matches('.').to_owned());
    }
}

/// The old connection has written all its messages in one go, and the new one comes while the broker is reading
/// them; it repeats, as it has to, what was not acknowledged. Four times, with more of them written before it comes.
// Breaks if: `Inbound::attach` in src/session/inbound.rs does not keep `held`; `Broker::detach` in
// src/broker/sessions.rs drops a fan-out that is under way; or `Broker::take_line` there throws away what is on the
// wire.
#[test]
fn a_writer_loses_nothing_by_a_takeover_in_the_midst_of_a_write() {
    for version in BOTH {
        for qos in [1, 2] {
            let broker = generous();
            let mut reader = reader(&broker, "t");
            thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    let all: Vec<_> = (0..4).map(|_| read_all(&mut reader)).collect();
                    all
                });
                for round in 0..4 {
                    writer_of_a_flood(&broker, version, qos, round);
                    tell(&broker, "t", 1, &["marker"]);
                }
                for mut got in reading.join().expect("a reader") {
                    if qos == 1 {
                        // Sent again as what it may be: known already.
                        first_of_each(&mut got);
                    }
                    assert_eq!(got, numbered(WRITTEN), "{version:?}, QoS {qos}");
                }
            });
        }
    }
}

/// Leaves the first of each, and checks that what came again came in order too: what the new connection repeats is
/// one run.
#[track_caller]
fn first_of_each(got: &mut Vec<String>) {
    let falls = got.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert!(falls <= 1, "out of order");
    got.sort();
    got.dedup();
}

fn writer_of_a_flood(broker: &Broker, version: Version, qos: u8, round: usize) {
    let name = format!("w{round}");
    let connect = version.lasting(&name);
    let mut old = open(broker, version, &connect, false);
    let publishes: Vec<_> = (1..)
        .zip(numbered(WRITTEN))
        .map(|(id, payload)| version.publish("t", &large(&payload)).qos(qos, id))
        .collect();
    let bytes: Vec<_> = publishes.iter().flat_map(|it| it.bytes()).collect();
    let first = if qos == 1 { 0x40 } else { 0x50 };
    // The rest is written while, or after, the broker hears of the new connection.
    let (before, after) = bytes.split_at(bytes.len() * round / 3);
    old.send(before);
    let mut new = RawClient::connect(broker.tcp);
    new.send(&connect.bytes());
    let _ = old.try_send(after);
    let mut new = Client::of(new, version);
    new.expect_connack(true);
    let known = acknowledged(&expect_taken_over(old), first);
    let rest = &publishes[usize::from(known)..];
    let again: Vec<_> = rest
        .iter()
        .flat_map(|it| it.clone().dup().bytes())
        .collect();
    new.send(&again);
    for id in known + 1..=WRITTEN as u16 {
        new.expect_ack(first, id);
    }
    if qos == 2 {
        let ids = 1..=WRITTEN as u16;
        new.send(&ids.clone().map(pubrel).collect::<Vec<_>>().concat());
        ids.for_each(|id| new.expect(&pubcomp(id)));
    }
    new.expect_alive();
    new.leave();
}

/// What was acknowledged has been delivered; and the ids of the old session mean nothing to the new one, so that
/// the same id is another message.
// Breaks if: `Broker::end_session` in src/broker/sessions.rs keeps `inbound`, or `Broker::claim` there does not look
// at `clean_start`.
#[test]
fn a_clean_takeover_of_a_writer_keeps_what_was_acknowledged_and_forgets_its_ids() {
    for version in BOTH {
        let broker = generous();
        let mut reader = reader(&broker, "t");
        let mut old = open(&broker, version, &version.lasting("w"), false);
        let publishes: Vec<_> = (1..)
            .zip(numbered(200))
            .map(|(id, payload)| version.publish("t", &payload).qos(2, id).bytes())
            .collect();
        old.send(&publishes.concat());
        old.expect(&pubrec(1));
        let mut new = passing(&broker, version, "w");
        let known = 1 + expect_taken_over(old).len();
        new.send(&pubrel(1));
        new.expect_reason(0x70, 1, 0x92);
        new.publish_all("t", 2, 1, &["another"]);
        tell(&broker, "t", 1, &["marker"]);
        let got = read_all(&mut reader);
        assert_eq!(got.last().map(String::as_str), Some("another"));
        assert!(got.len() > known, "{} of {known}", got.len() - 1);
        assert_eq!(got[..got.len() - 1], numbered(200)[..got.len() - 1]);
    }
}

/// Many connections one upon another, none of which reads its CONNACK; some are cut, some stay. Whoever is last has
/// the session, whole.
// Breaks if: `Outbound::attach` in src/session/outbound.rs drops what is to be sent again, or `Broker::open` in
// src/broker/sessions.rs gives up when it finds a session that has ended.
#[test]
fn the_last_of_many_hasty_connections_has_everything() {
    for version in BOTH {
        let broker = Broker::start();
        let connect = version.lasting("r");
        let mut first = open(&broker, version, &connect, false);
        first.subscribe("t", 2);
        tell(&broker, "t", 2, &numbered(300));
        let mut memory = Memory::default();
        for _ in 0..20 {
            let packet = first.packet();
            memory.handle(&mut first, &packet);
        }
        let mut open_still = vec![first];
        for n in 0..40 {
            let mut hasty = RawClient::connect(broker.tcp);
            hasty.send(&connect.bytes());
            if n % 3 != 0 {
                open_still.push(Client::of(hasty, version));
            }
        }
        // None of the hasty ones can come after the last one any more: one connection was for the client so far, one
        // for whoever published.
        broker.wait_for_samples(&[
            ("postbud_connects_accepted_total", 42.0),
            ("postbud_connections_handshaking", 0.0),
        ]);
        let mut last = open(&broker, version, &connect, true);
        for old in open_still {
            expect_taken_over(old);
        }
        while !memory.is_complete(300) {
            let packet = last.packet();
            memory.handle(&mut last, &packet);
        }
        assert_eq!(memory.got, numbered(300));
        last.expect_alive();
    }
}

/// An old and a new client of different versions: each is told, or not, as its own version wants it.
// Breaks if: `Broker::say_disconnect` in src/broker/sessions.rs does not ask the version of the line.
#[test]
fn a_takeover_by_another_version_is_told_in_the_version_of_the_old() {
    let broker = Broker::start();
    let mut old = open(&broker, V311, &V311.lasting("c"), false);
    old.subscribe("t", 2);
    for version in [V5, V311, V5, V5, V311, V311] {
        tell(&broker, "t", 2, &["message"]);
        let id = old.expect_sent(false, 2, "message");
        let mut new = open(&broker, version, &version.lasting("c"), true);
        assert_eq!(new.expect_sent(true, 2, "message"), id);
        new.finish(2, id);
        new.expect_alive();
        assert!(expect_taken_over(old).is_empty());
        old = new;
    }
}

/// The old one's last packets do nothing any more, in the midst of one as well.
// Breaks if: `Open::detach` in src/broker/open.rs does not look at the epoch.
#[test]
fn what_the_old_connection_sends_after_the_takeover_does_nothing() {
    for version in BOTH {
        let broker = Broker::start();
        let mut reader = reader(&broker, "t");
        let mut old = open(&broker, version, &version.lasting("c"), false);
        let late = version.publish("t", "late").qos(1, 1).bytes();
        let (head, tail) = late.split_at(late.len() / 2);
        old.send(&PINGREQ);
        old.expect(&PINGRESP);
        old.send(head);
        let mut new = open(&broker, version, &version.lasting("c"), true);
        let more: [&[u8]; 3] = [tail, &late, &DISCONNECT];
        for bytes in more {
            let _ = old.try_send(bytes);
        }
        assert!(expect_taken_over(old).is_empty());
        new.expect_alive();
        expect_no_more(&broker, "t", &mut [&mut reader]);
        // The session was not ended by the old one's DISCONNECT either.
        new.subscribe("u", 1);
        tell(&broker, "u", 1, &["message"]);
        new.expect_taken("message");
    }
}

/// Whether a Will comes on a takeover: by the new connection, and by the old one's Will Delay and Session Expiry.
// Breaks if: `Broker::settle_will` in src/broker/sessions.rs publishes the delayed Will of a session that goes on, or
// forgets one that has no delay.
#[test]
fn a_takeover_is_the_end_of_a_connection_for_its_will() {
    let will = |delay| Will::new("will", "will").delay(delay);
    let plain = Will::new("will", "will");
    let (v5, v311) = (V5.lasting("c"), V311.lasting("c"));
    let brief = Connect::v5("c").clean(false);
    let cases: [(Version, Connect, bool); 6] = [
        (V311, v311.clone().will(plain.clone()), true),
        (V311, V311.passing("c").will(plain.clone()), true),
        (V5, v5.clone().will(plain), true),
        (V5, v5.clone().will(will(0)), true),
        (V5, v5.clone().will(will(600)), false),
        // This session ends with its connection, whatever the new one wants, and the delay with it.
        (V5, brief.will(will(600)), true),
    ];
    for (n, (version, connect, on_resumption)) in cases.into_iter().enumerate() {
        for (new_version, new, clean) in [
            (V5, v5.clone(), false),
            (V5, V5.passing("c"), true),
            (V311, v311.clone(), false),
            (V311, V311.passing("c"), true),
        ] {
            println!("case {n}, {new_version:?}, clean {clean}");
            let broker = Broker::start();
            let mut witness = reader(&broker, "will");
            let old = open(&broker, version, &connect, false);
            // Of a session that ends with its connection nothing is resumed.
            let kept = n != 1 && n != 5;
            let new = open(&broker, new_version, &new, kept && !clean);
            expect_taken_over(old);
            if on_resumption || clean {
                witness.expect_taken("will");
            }
            expect_no_more(&broker, "will", &mut [&mut witness]);
            drop(new);
        }
    }
}
