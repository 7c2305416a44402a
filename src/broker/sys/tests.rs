use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::auth::Caller;
use crate::broker::options::Options;
use crate::broker::testing::engines;
use crate::broker::{Connection, Link, Port, Turn};
use crate::codec::{Context, Packet, Sender, Version, decode};
use crate::message::Timestamp;

/// A socket that takes everything.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Vec<u8>>>);

impl Link for Socket {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn wake(&self) {}
}

/// A broker whose time stands still until it is moved.
struct Bench {
    broker: Arc<Broker>,
    sys: Sys,
    batch: Batch,
}

/// A client of it.
struct Client {
    socket: Socket,
    connection: Connection,
}

impl Bench {
    fn new(options: Options) -> Self {
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_millis(1_700_000_000_000),
        };
        Self {
            broker: Arc::new(Broker::new(options, engines())),
            sys: Sys::new(now),
            batch: Batch::new(now),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.batch.now.instant += time;
        self.batch.now.wall = self.batch.now.wall.after(time);
    }

    fn publish(&mut self) {
        self.sys.publish(&self.broker, &mut self.batch);
    }

    /// What is retained below the prefix.
    fn retained(&self) -> BTreeMap<String, String> {
        let mut found = Vec::new();
        let now = self.batch.now.wall;
        let filter = format!("{PREFIX}/#");
        let retained = self.broker.retained.read();
        let next = retained.find(&filter, None, None, 10_000, now, &mut found);
        assert_eq!(next, None, "all in one go");
        let text = |message: &Message| {
            let topic = &message.topic()[PREFIX.len() + 1..];
            let payload = String::from_utf8(message.payload().to_vec()).expect("text");
            (topic.to_owned(), payload)
        };
        found.iter().map(text).collect()
    }

    #[track_caller]
    fn expect(&self, expected: &[(&str, &str)]) {
        let retained = self.retained();
        for (topic, value) in expected {
            let found = retained.get(*topic).map(String::as_str);
            assert_eq!(found, Some(*value), "{topic}");
        }
    }

    /// A 3.1.1 client, whose session stays when it goes unless it starts clean.
    fn connect(&mut self, client_id: &str, clean: bool) -> Client {
        let client = self.attach(client_id, clean);
        assert_eq!(client.taken(), [(String::from("connack"), String::new())]);
        client
    }

    fn attach(&mut self, client_id: &str, clean: bool) -> Client {
        let socket = Socket::default();
        let port = Arc::new(Port::new(Box::new(socket.clone()), Caller::default()));
        let now = self.batch.now.instant;
        let by = now + Duration::from_secs(5);
        self.broker.metrics().opened();
        let connection = Connection::new(Arc::clone(&self.broker), port, by);
        let mut client = Client { socket, connection };
        let mut connect = b"\x10\0\0\x04MQTT\x04\0\0\0\0\0".to_vec();
        connect[1] = u8::try_from(12 + client_id.len()).expect("a short name");
        connect[9] = u8::from(clean) << 1;
        connect[13] = u8::try_from(client_id.len()).expect("a short name");
        connect.extend_from_slice(client_id.as_bytes());
        self.send(&mut client, &connect);
        client
    }

    fn send(&mut self, client: &mut Client, packet: &[u8]) {
        self.batch.received(packet.len());
        let (used, turn) = client.connection.receive(packet, &mut self.batch);
        assert_eq!((used, turn), (packet.len(), Turn::Read));
        self.broker.finish(&mut self.batch);
    }
}

impl Client {
    /// What has been written to it since the last look: topics and payloads of PUBLISH packets,
    /// and the names of others.
    fn taken(&self) -> Vec<(String, String)> {
        let bytes = std::mem::take(&mut *self.socket.0.lock());
        let context = Context::new(Version::V311, Sender::Server);
        let mut taken = Vec::new();
        let mut rest = &*bytes;
        while !rest.is_empty() {
            let decoded = decode(rest, &context).expect("whole packets");
            let (packet, length) = decoded.expect("whole packets");
            taken.push(match packet {
                Packet::Publish(publish) => {
                    let payload = String::from_utf8(publish.payload.to_vec());
                    (publish.topic.to_owned(), payload.expect("text"))
                }
                Packet::Connack(_) => ("connack".into(), String::new()),
                Packet::Suback(_) => ("suback".into(), String::new()),
                other => panic!("not expected: {other:?}"),
            });
            rest = &rest[length..];
        }
        taken
    }
}

/// All that mosquitto 2.0 publishes but `heap/…`, as it was seen to.
const TOPICS: &str = "\
bytes/received bytes/sent clients/active clients/connected clients/disconnected clients/expired \
clients/inactive clients/maximum clients/total messages/received messages/sent messages/stored \
publish/bytes/received publish/bytes/sent publish/messages/dropped publish/messages/received \
publish/messages/sent shared_subscriptions/count store/messages/bytes store/messages/count \
subscriptions/count uptime version";

#[test]
fn everything_is_published_at_first_under_the_names_of_mosquitto() {
    let mut bench = Bench::new(Options::default());
    bench.publish();
    let loads = "messages/received messages/sent publish/dropped publish/received publish/sent \
                 bytes/received bytes/sent sockets connections";
    let periods = ["1min", "5min", "15min"];
    let loads = loads
        .split_whitespace()
        .flat_map(|name| periods.map(|period| format!("load/{name}/{period}")));
    let mut expected: Vec<_> = TOPICS.split_whitespace().map(str::to_owned).collect();
    expected.extend(loads);
    expected.push("retained messages/count".into());
    expected.sort();
    let retained = bench.retained();
    assert_eq!(retained.keys().cloned().collect::<Vec<_>>(), expected);
    for (topic, value) in &retained {
        let zero = match topic.as_str() {
            "version" => concat!("postbud version ", env!("CARGO_PKG_VERSION")),
            "uptime" => "0 seconds",
            _ if topic.starts_with("load/") => "0.00",
            _ => "0",
        };
        assert_eq!(value, zero, "{topic}");
    }
}

#[test]
fn clients_and_what_they_do_are_told() {
    let mut bench = Bench::new(Options::default());
    bench.publish();
    let retained_before = bench.broker.retained();
    let mut client = bench.connect("stays", false);
    let mut other = bench.connect("other", true);
    // SUBSCRIBE to "a" and "$share/g/b", then PUBLISH to "a".
    let subscribe = b"\x82\x13\0\x01\0\x01a\0\0\x0a$share/g/b\0";
    bench.send(&mut client, subscribe);
    bench.send(&mut other, b"\x30\x07\0\x01aword");
    let word = ("a".to_owned(), "word".to_owned());
    assert_eq!(client.taken(), [("suback".into(), String::new()), word]);
    client
        .connection
        .end(crate::broker::Ending::Eof, &mut bench.batch);
    bench.pass(Duration::from_secs(10));
    bench.publish();
    bench.expect(&[
        ("uptime", "10 seconds"),
        ("clients/total", "2"),
        ("clients/maximum", "2"),
        ("clients/connected", "1"),
        ("clients/active", "1"),
        ("clients/disconnected", "1"),
        ("clients/inactive", "1"),
        ("subscriptions/count", "1"),
        ("shared_subscriptions/count", "1"),
        // Two CONNECT, a SUBSCRIBE and a PUBLISH; two CONNACK, a SUBACK and a PUBLISH.
        ("messages/received", "4"),
        ("messages/sent", "4"),
        ("publish/messages/received", "1"),
        ("publish/messages/sent", "1"),
        ("publish/messages/dropped", "0"),
        ("publish/bytes/received", "4"),
        ("publish/bytes/sent", "4"),
        ("bytes/received", "68"),
        ("bytes/sent", "23"),
        // 2 in 10 seconds are 12 in a minute: 12 · (1 - e^(-10/60)).
        ("load/sockets/1min", "1.84"),
        ("load/connections/1min", "1.84"),
        ("load/publish/received/1min", "0.92"),
        ("load/messages/received/15min", "0.27"),
        ("retained messages/count", &retained_before.0.to_string()),
        ("messages/stored", &retained_before.0.to_string()),
        ("store/messages/count", &retained_before.0.to_string()),
        ("store/messages/bytes", &retained_before.1.to_string()),
    ]);
}

#[test]
fn only_what_has_changed_is_published_again() {
    let mut bench = Bench::new(Options::default());
    let mut client = bench.connect("c", true);
    bench.publish();
    // The retained messages of the first publication are counted by the second.
    bench.publish();
    bench.send(&mut client, b"\x82\x12\0\x01\0\x0d$SYS/broker/#\0");
    let signalled = client.connection.signalled(&mut bench.batch);
    assert_eq!(signalled, Turn::Read);
    bench.broker.finish(&mut bench.batch);
    assert_eq!(client.taken().len(), 1 + bench.sys.published.len());
    bench.pass(Duration::from_secs(1));
    bench.publish();
    let taken = client.taken();
    let topics: Vec<_> = taken.iter().map(|(topic, _)| topic.as_str()).collect();
    assert!(topics.contains(&"$SYS/broker/uptime"), "{taken:?}");
    assert!(topics.contains(&"$SYS/broker/messages/sent"), "{taken:?}");
    assert!(!topics.contains(&"$SYS/broker/version"), "{taken:?}");
    assert!(!topics.contains(&"$SYS/broker/clients/total"), "{taken:?}");
}

#[test]
fn everything_is_published_each_time_where_nothing_is_retained() {
    let mut options = Options::default();
    options.pubsub.retained.available = false;
    let mut bench = Bench::new(options);
    bench.publish();
    let mut client = bench.connect("late", true);
    bench.send(&mut client, b"\x82\x12\0\x01\0\x0d$SYS/broker/#\0");
    assert_eq!(client.taken(), [("suback".into(), String::new())]);
    bench.publish();
    assert_eq!(client.taken().len(), bench.sys.published.len());
}

#[test]
fn a_session_that_nobody_comes_back_to_expires_with_what_it_held() {
    let mut options = Options::default();
    options.session.expiry_3x = Duration::from_secs(60);
    let mut bench = Bench::new(options);
    let mut away = bench.connect("away", false);
    let mut client = bench.connect("client", true);
    // To "a" and "$share/g/a", both at QoS 1: two copies wait for it.
    bench.send(&mut away, b"\x82\x13\0\x01\0\x01a\x01\0\x0a$share/g/a\x01");
    away.connection
        .end(crate::broker::Ending::Eof, &mut bench.batch);
    bench.publish();
    let (retained, _) = bench.broker.retained();
    bench.send(&mut client, b"\x32\x06\0\x01a\0\x01w");
    bench.publish();
    let metrics = |bench: &Bench| bench.broker.metrics().read(Gauge::Queued);
    assert_eq!(metrics(&bench), 2);
    let stored = (retained + 2).to_string();
    bench.expect(&[("messages/stored", &stored), ("clients/expired", "0")]);
    bench.pass(Duration::from_secs(60));
    bench.broker.tick(&mut bench.batch);
    bench.publish();
    assert_eq!(metrics(&bench), 0);
    let stored = retained.to_string();
    bench.expect(&[("messages/stored", &stored), ("clients/expired", "1")]);
    bench.expect(&[("clients/total", "1"), ("clients/disconnected", "0")]);
}

#[test]
fn what_is_fetched_waits_no_more() {
    let mut bench = Bench::new(Options::default());
    let mut away = bench.connect("away", false);
    let mut client = bench.connect("client", true);
    bench.send(&mut away, b"\x82\x13\0\x01\0\x01a\x01\0\x0a$share/g/a\x01");
    away.connection
        .end(crate::broker::Ending::Eof, &mut bench.batch);
    bench.send(&mut client, b"\x32\x06\0\x01a\0\x01w");
    let queued = |bench: &Bench| bench.broker.metrics().read(Gauge::Queued);
    assert_eq!(queued(&bench), 2);
    let back = bench.attach("away", false);
    assert_eq!(back.taken().len(), 3, "CONNACK and both messages");
    assert_eq!(queued(&bench), 0);
}

#[test]
fn what_goes_back_to_a_group_waits_again() {
    let mut bench = Bench::new(Options::default());
    let mut member = bench.connect("member", false);
    let mut client = bench.connect("client", true);
    bench.send(&mut member, b"\x82\x0f\0\x01\0\x0a$share/g/a\x01");
    bench.send(&mut client, b"\x32\x06\0\x01a\0\x01w");
    assert_eq!(member.taken().len(), 2, "SUBACK and the message");
    assert_eq!(bench.broker.metrics().read(Gauge::Queued), 0);
    member
        .connection
        .end(crate::broker::Ending::Eof, &mut bench.batch);
    bench.publish();
    assert_eq!(bench.broker.metrics().read(Gauge::Queued), 1);
}

#[test]
fn a_session_that_makes_room_is_counted_for_itself() {
    let options = Options {
        abandoned_sessions_maximum: 0,
        ..Options::default()
    };
    let mut bench = Bench::new(options);
    let mut away = bench.connect("away", false);
    away.connection
        .end(crate::broker::Ending::Eof, &mut bench.batch);
    bench.broker.tick(&mut bench.batch);
    let snapshot = bench.broker.metrics().snapshot();
    let ended = (snapshot.sessions_expired, snapshot.sessions_evicted);
    assert_eq!((ended, snapshot.gauge(Gauge::Sessions)), ((0, 1), 0));
}

#[test]
fn a_number_of_things_is_never_negative() {
    assert_eq!((count(-1), count(0), count(7)), (0, 0, 7));
}
