//! What finding a route costs, among few and among very many subscriptions: nanoseconds and
//! allocations for a message at QoS 0 from one connection to one other.
//!
//! `cargo bench --bench routes [-- SUBSCRIPTIONS]`, 1,000,000 unless said otherwise. A whole broker
//! with connections and links that take everything, without sockets. A connection remembers the
//! routes of the topics it publishes to: what a line costs beyond the first is the look-up. The goal
//! is that none costs more than 1.2 times as much among 1,000,000 subscriptions, of others to other
//! topics, as among 1,000.

// The allocator and the clock of `measure` cannot be had without.
#![allow(unsafe_code)]

mod measure;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::{Figure, line, line_after};
use postbud::auth::Caller;
use postbud::auth::gate::{Gate, Parts};
use postbud::broker::options::Options;
use postbud::broker::{Batch, Broker, Connection, Engines, Link, Now, Port};
use postbud::cluster::single::Single;
use postbud::codec::{
    Connect, ConnectProperties, FiltersBuf, Packet, PacketId, Publish, QoS, Subscribe,
    SubscriptionOptions, Unsubscribe, UnsubscribeFiltersBuf, Version, encode,
};
use postbud::message::Timestamp;
use postbud::store::memory::Memory;

/// Topics that are published to in turn: fewer than a connection remembers.
const TOPICS: usize = 50;

/// Takes everything.
struct Sink;

impl Link for Sink {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn wake(&self) {}
}

struct Client {
    connection: Connection,
    port: Arc<Port>,
}

struct House {
    broker: Arc<Broker>,
    batch: Batch,
    writer: Client,
    /// Subscribes to other things, and unsubscribes.
    other: Client,
    /// Stays, with what it has subscribed to.
    _crowd: Vec<Client>,
    /// What is published in the next round.
    packets: Vec<u8>,
    /// How often something has changed.
    changes: usize,
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, Version::V5, &mut bytes).expect("a packet that has a form");
    bytes
}

impl Client {
    fn connect(broker: &Arc<Broker>, client_id: &str, batch: &mut Batch) -> Self {
        let port = Arc::new(Port::new(Box::new(Sink), Caller::default()));
        let by = batch.now.instant + Duration::from_secs(60);
        let connection = Connection::new(Arc::clone(broker), Arc::clone(&port), by);
        let mut client = Self { connection, port };
        let connect = Packet::Connect(Connect {
            version: Version::V5,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        });
        client.send(broker, &bytes(&connect), batch);
        assert!(client.connection.is_open(), "{client_id} is let in");
        client
    }

    /// All of it is handled, as a driver would.
    fn send(&mut self, broker: &Broker, bytes: &[u8], batch: &mut Batch) {
        let mut used = 0;
        while used < bytes.len() {
            used += self.connection.receive(&bytes[used..], batch).0;
            if self.port.is_signalled() {
                self.connection.signalled(batch);
            }
            broker.finish(batch);
        }
    }
}

impl House {
    /// A broker on which one client listens to all topics that are going to be published to, and others
    /// have so many other subscriptions, a thousand each.
    fn new(others: usize) -> Self {
        let engines = Engines {
            auth: Arc::new(Gate::new(Parts {
                anonymous: true,
                ..Parts::default()
            })),
            store: Arc::new(Memory),
            cluster: Arc::new(Single::default()),
        };
        let broker = Arc::new(Broker::new(Options::default(), engines));
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_millis(1_000_000_000_000),
        };
        let mut batch = Batch::new(now);
        let mut reader = Client::connect(&broker, "reader", &mut batch);
        let filters = ["a/+/x".to_owned()];
        reader.send(&broker, &subscribe(filters.into_iter()), &mut batch);
        let mut crowd = vec![reader];
        for first in (0..others).step_by(1_000) {
            let mut client = Client::connect(&broker, &format!("crowd {first}"), &mut batch);
            let numbers = first..others.min(first + 1_000);
            let filters = numbers.map(|n| format!("site/{}/device/{n}/+/temperature", n / 100));
            client.send(&broker, &subscribe(filters), &mut batch);
            crowd.push(client);
        }
        let writer = Client::connect(&broker, "writer", &mut batch);
        let other = Client::connect(&broker, "other", &mut batch);
        Self {
            broker,
            batch,
            writer,
            other,
            _crowd: crowd,
            packets: publish((0..TOPICS).map(|number| format!("a/{number}/x"))),
            changes: 0,
        }
    }

    fn publish(&mut self) {
        self.writer
            .send(&self.broker, &self.packets, &mut self.batch);
    }

    /// Another client subscribes and unsubscribes.
    fn change(&mut self, filter: &str) {
        let mut packets = subscribe(std::iter::once(filter.to_owned()));
        packets.extend(unsubscribe(filter));
        self.other.send(&self.broker, &packets, &mut self.batch);
        self.changes += 1;
    }
}

fn publish(topics: impl Iterator<Item = String>) -> Vec<u8> {
    let mut packets = Vec::new();
    for topic in topics {
        packets.extend(bytes(&Packet::Publish(Publish {
            qos: QoS::AtMostOnce,
            topic: &topic,
            payload: &[b'x'; 64],
            ..Publish::default()
        })));
    }
    packets
}

fn subscribe(filters: impl Iterator<Item = String>) -> Vec<u8> {
    let mut list = FiltersBuf::new();
    for filter in filters {
        let options = SubscriptionOptions::v3(QoS::AtMostOnce);
        list.push(&filter, options).expect("a filter");
    }
    bytes(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: Default::default(),
        filters: list.as_ref(),
    }))
}

fn unsubscribe(filter: &str) -> Vec<u8> {
    let mut list = UnsubscribeFiltersBuf::new();
    list.push(filter).expect("a filter");
    bytes(&Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: Default::default(),
        filters: list.as_ref(),
    }))
}

/// The lines of one number of subscriptions.
fn lines(others: usize) -> Vec<(&'static str, Figure)> {
    println!("{others} subscriptions to other topics");
    let mut house = House::new(others);
    let mut figures = Vec::new();
    let topic = |_| "a/1/x".to_owned();
    let all = std::mem::replace(&mut house.packets, publish((0..TOPICS).map(topic)));
    let name = "warm, the same topic again";
    figures.push((name, line(name, TOPICS, || house.publish())));
    house.packets = all;
    let name = "warm, 50 topics in turn";
    figures.push((name, line(name, TOPICS, || house.publish())));
    let unrelated = |house: &mut House| house.change(&format!("other/{}/x", house.changes));
    let name = "after a change elsewhere";
    let figure = line_after(name, TOPICS, &mut house, unrelated, House::publish);
    figures.push((name, figure));
    // What it changes could matter to each of the topics, and does to none.
    let related = |house: &mut House| house.change("a/+/never");
    let name = "after a change that could matter";
    let figure = line_after(name, TOPICS, &mut house, related, House::publish);
    figures.push((name, figure));
    let cold = |house: &mut House| {
        house.changes += TOPICS;
        let numbers = house.changes..house.changes + TOPICS;
        house.packets = publish(numbers.map(|number| format!("a/{number}/x")));
    };
    let name = "cold, topics that were never published to";
    let figure = line_after(name, TOPICS, &mut house, cold, House::publish);
    figures.push((name, figure));
    figures
}

fn main() {
    // Cargo passes `--bench`; the only argument of ours is a number.
    let many = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1_000_000);
    let few = lines(1_000);
    let many = lines(many);
    println!("Times as much among many as among few (goal: 1.2)");
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        println!("{name:<58} {:>8.2}", many.nanoseconds / few.nanoseconds);
    }
}
