//! What a message costs in a session: nanoseconds and allocations, without broker and sockets.
//!
//! `cargo bench --bench session`. Outbound is from a message that is there to bytes that a socket
//! could take, and back by the acknowledgements; inbound is from a decoded PUBLISH to a message and
//! the acknowledgement of it. A batch is flushed once, as a turn does.

// The allocator and the clock of `measure` cannot be had without.
#![allow(unsafe_code)]

mod measure;

use std::hint::black_box;
use std::num::NonZeroU16;

use measure::{Figure, line};
use postbud::codec::{
    Connect, ConnectProperties, PacketId, Publish, QoS, ReasonCode, UserPropertiesBuf, Version,
};
use postbud::message::{Message, Parts, Timestamp};
use postbud::queue::{Delivery, SubscriptionIds};
use postbud::session::options::Options;
use postbud::session::{Arrival, Context, Forwarded, Inbound, Outbound, Spare, Tally, Terms};

const TOPIC: &str = "site/17/device/4711/temperature";
const PAYLOAD: [u8; 64] = [b'x'; 64];
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

/// Messages of a batch, and batches of a round.
const BATCH: usize = 50;
const BATCHES: usize = 100;

fn message(qos: QoS) -> Message {
    let parts = Parts {
        topic: TOPIC,
        forwarded: &[],
        payload: &PAYLOAD,
        qos,
        retain: false,
        expires: None,
    };
    Message::new(parts, &mut Vec::new())
}

fn delivery(message: &Message) -> Delivery {
    Delivery {
        message: message.clone(),
        subscription_ids: SubscriptionIds::default(),
        qos: message.qos(),
        retain: false,
        attempts: 0,
    }
}

/// An outbound side with a client, and what its calls want.
struct Client {
    side: Outbound,
    options: Options,
    spare: Spare,
    tally: Tally,
}

impl Client {
    fn new(version: Version, aliases: u16, in_flight: u16) -> Self {
        let connect = Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: "client",
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                topic_alias_maximum: aliases,
                ..ConnectProperties::default()
            },
        };
        let options = Options {
            inflight_maximum: in_flight,
            ..Options::default()
        };
        let terms = Terms::negotiate(&connect, &options, || "".into()).expect("terms");
        let mut client = Self {
            side: Outbound::default(),
            options,
            spare: Spare::default(),
            tally: Tally::default(),
        };
        client.with(|side, cx| side.attach(&terms, &[0x20, 2, 0, 0], cx));
        client.flush();
        client
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Outbound, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now: NOW,
            options: &self.options,
            spare: &mut self.spare,
            tally: &mut self.tally,
            pressed: false,
            judge: None,
        };
        work(&mut self.side, &mut cx)
    }

    fn deliver(&mut self, message: &Message) {
        let delivery = delivery(black_box(message));
        self.with(|side, cx| side.deliver(delivery, None, cx));
    }

    /// A socket takes everything.
    fn flush(&mut self) {
        let Some(line) = self.side.line() else { return };
        let wire = line.wire();
        let _ = wire.touch();
        while let Some(mut chunk) = wire.take() {
            let count = black_box(chunk.remaining()).len();
            chunk.advance(count);
            let _ = wire.put_back(chunk, count, &mut self.spare);
        }
    }
}

/// The Packet Identifiers that follow one another, from the first that a session gives.
fn ids() -> impl Iterator<Item = PacketId> {
    (1..=u16::MAX).cycle().filter_map(NonZeroU16::new)
}

fn outbound(version: Version) {
    let mut client = Client::new(version, 0, 256);
    let zero = message(QoS::AtMostOnce);
    line(
        &format!("deliver QoS 0, {version}"),
        BATCH * BATCHES,
        || {
            for _ in 0..BATCHES {
                (0..BATCH).for_each(|_| client.deliver(&zero));
                client.flush();
            }
        },
    );
    for (qos, name) in [
        (
            QoS::AtLeastOnce,
            "deliver QoS 1, acknowledged batch by batch",
        ),
        (
            QoS::ExactlyOnce,
            "deliver QoS 2, acknowledged batch by batch",
        ),
    ] {
        let mut client = Client::new(version, 0, 256);
        let message = message(qos);
        let mut ids = ids();
        line(&format!("{name}, {version}"), BATCH * BATCHES, || {
            for _ in 0..BATCHES {
                (0..BATCH).for_each(|_| client.deliver(&message));
                client.flush();
                for id in ids.by_ref().take(BATCH) {
                    acknowledge(&mut client, id, qos);
                }
                client.flush();
            }
        });
    }
}

fn acknowledge(client: &mut Client, id: PacketId, qos: QoS) {
    if qos == QoS::ExactlyOnce {
        let received = client.with(|side, cx| side.pubrec(id, ReasonCode::Success, cx));
        assert!(received.is_ok());
        assert!(client.side.pubcomp(id).is_ok());
    } else {
        assert!(client.side.puback(id).is_ok());
    }
}

/// A window that is always full: each acknowledgement draws a message that waits.
fn window(size: u16) -> Figure {
    let mut client = Client::new(Version::V5, 0, size);
    let message = message(QoS::AtLeastOnce);
    let mut ids = ids();
    (0..size).for_each(|_| client.deliver(&message));
    client.flush();
    let name = format!("a full window of {size}: wait, be acknowledged, be drawn");
    line(&name, BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            (0..BATCH).for_each(|_| client.deliver(&message));
            for id in ids.by_ref().take(BATCH) {
                acknowledge(&mut client, id, QoS::AtLeastOnce);
                client.with(|side, cx| side.draw(cx));
            }
            client.flush();
        }
        assert_eq!(client.side.queued(), 0);
    })
}

fn alias_outbound() {
    let mut client = Client::new(Version::V5, 16, 256);
    let zero = message(QoS::AtMostOnce);
    line(
        "deliver QoS 0 with a Topic Alias, 5.0",
        BATCH * BATCHES,
        || {
            for _ in 0..BATCHES {
                (0..BATCH).for_each(|_| client.deliver(&zero));
                client.flush();
            }
        },
    );
}

/// One batch of PUBLISH packets, accepted and answered.
fn inbound(name: &str, version: Version, qos: QoS, change: impl Fn(&mut Publish<'_>)) -> Figure {
    let mut side = Inbound::default();
    side.attach(version, 256, 32);
    let mut scratch = Forwarded::default();
    let mut replies = Vec::new();
    let mut first = Publish {
        qos,
        topic: TOPIC,
        packet_id: None,
        payload: &PAYLOAD,
        ..Publish::default()
    };
    change(&mut first);
    let mut publish = first;
    let name = format!("accept {name}, {version}");
    line(&name, BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for number in 1..=BATCH as u16 {
                publish.packet_id = NonZeroU16::new(number).filter(|_| qos != QoS::AtMostOnce);
                let arrival = side.publish(black_box(&publish), NOW, &mut scratch);
                let Ok(Arrival::New(message, token)) = arrival else {
                    panic!("it is in order")
                };
                black_box(message);
                if let Some(token) = token {
                    side.settle(token, ReasonCode::Success);
                }
                if publish.properties.topic_alias.is_some() {
                    publish.topic = "";
                }
            }
            replies.clear();
            side.drain(&mut replies);
            if qos == QoS::ExactlyOnce {
                for id in (1..=BATCH as u16).filter_map(NonZeroU16::new) {
                    let (token, held) = side.release(id);
                    assert!(held);
                    side.settle(token, ReasonCode::Success);
                }
                side.drain(&mut replies);
            }
            black_box(&replies);
        }
    })
}

fn main() {
    println!(
        "Outbound: {} B of payload, batches of {BATCH}",
        PAYLOAD.len()
    );
    for version in [Version::V311, Version::V5] {
        outbound(version);
    }
    alias_outbound();
    let (small, large) = (window(16), window(1024));
    let ratio = large.nanoseconds / small.nanoseconds;
    println!("  a large window costs {ratio:.2} times a small one");

    println!("\nInbound");
    for version in [Version::V311, Version::V5] {
        inbound("PUBLISH QoS 0", version, QoS::AtMostOnce, |_| {});
        inbound("PUBLISH QoS 1", version, QoS::AtLeastOnce, |_| {});
        inbound(
            "PUBLISH QoS 2, to PUBCOMP",
            version,
            QoS::ExactlyOnce,
            |_| {},
        );
    }
    for (qos, name) in [
        (QoS::AtMostOnce, "PUBLISH QoS 0 with a Topic Alias"),
        (QoS::AtLeastOnce, "PUBLISH QoS 1 with a Topic Alias"),
    ] {
        inbound(name, Version::V5, qos, |publish| {
            publish.properties.topic_alias = NonZeroU16::new(1);
        });
    }
    let mut users = UserPropertiesBuf::new();
    for (name, value) in [("trace", "00-4bf92f3577b34da6"), ("unit", "degrees")] {
        users.push(name, value).expect("short texts");
    }
    let name = "PUBLISH QoS 0 with two User Properties";
    let mut side = Inbound::default();
    side.attach(Version::V5, 256, 32);
    let mut publish = Publish {
        topic: TOPIC,
        payload: &PAYLOAD,
        ..Publish::default()
    };
    publish.properties.user_properties = users.as_ref();
    let mut scratch = Forwarded::default();
    line(&format!("accept {name}, 5.0"), BATCH * BATCHES, || {
        for _ in 0..BATCH * BATCHES {
            let arrival = side.publish(black_box(&publish), NOW, &mut scratch);
            assert!(black_box(arrival).is_ok());
        }
    });
}
