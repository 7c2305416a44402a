//! The running broker over sockets: conversations that are nearly right, by many connections at once,
//! while innocent clients go on with theirs.
//!
//! A case is a number of conversations, each on a connection of its own: packets that make sense one
//! after the other, some of them damaged. After every case two innocent clients, one of MQTT 3.1.1 and
//! one of 5.0, have exchanged numbered messages at QoS 1 without a gap or a repetition, the metrics can
//! be read, the process is the same and its memory bounded, and its log knows neither error nor panic.
//!
//! | line | what it does |
//! |---|---|
//! | `open` | a new connection, which the lines after it are about |
//! | `send 10 0c …` | these bytes |
//! | `close` | it ends without a word |

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use postbud::codec::{
    Ack, Connect, ConnectProperties, Disconnect, FiltersBuf, Packet, PacketId, Publish, QoS,
    ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, UnsubscribeFiltersBuf, Version, Will,
    encode,
};

use crate::codec::{from_hex, to_hex};
use crate::dice::Dice;
use crate::mutator::mutate;
use crate::script::Script;
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::http::get;
use crate::support::metrics::sum;
use crate::support::raw::{RawClient, connect_5, connect_311, packet, string};
use crate::trial::Target;

/// Small bounds, so that they are reached, and sessions that go away soon.
const CONFIGURATION: &str = "[auth]\nanonymous = true\n\
    [limits]\nconnect_timeout = \"2s\"\nabandoned_sessions_maximum = 50\n\
    [session]\nreceive_maximum = 8\ninflight_maximum = 8\npacket_size_maximum = \"64KiB\"\n\
    expiry_maximum = \"5s\"\nexpiry_3x = \"5s\"\nsubscriptions_maximum = 20\n\
    [queue]\nmessages = 50\n[shared]\nqueue_messages = 50\n\
    [retained]\nmessages = 100\n[sys]\ninterval = \"1s\"\n";

/// Cases that one broker serves, so that its log stays short enough to be read after each.
const CASES: usize = 200;

/// Resident memory in KiB that is more than all these bounds together can need.
const MEMORY: u64 = 400 * 1024;

const TOPICS: &[&str] = &["a", "a/b", "a/c", "", "$g/1", "/"];
const FILTERS: &[&str] = &["a/+", "a/#", "+", "$share/s/$g/+", "$SYS/#", "a", "/#"];

// Breaks if: `Broker::forget` panics at a Topic Filter of `$SYS`.
#[test]
fn live() {
    let target = Target {
        name: "live",
        cases: 250,
    };
    let street = RefCell::new(Street::new());
    target.run(generate, |script| {
        let mut street = street.borrow_mut();
        if street.cases == CASES {
            std::mem::replace(&mut *street, Street::new()).stop();
        }
        street.run(script);
    });
    street.into_inner().stop();
}

fn generate(dice: &mut Dice) -> Script {
    let mut lines = Vec::new();
    for _ in 0..=dice.below(6) {
        conversation(dice, &mut lines);
    }
    Script(lines)
}

/// A conversation: its packets, a third of them damaged, glued together or cut into pieces.
fn conversation(dice: &mut Dice, lines: &mut Vec<String>) {
    lines.push("open".to_owned());
    let version = *dice.pick(&[Version::V31, Version::V311, Version::V5, Version::V5]);
    let mut other = connect(dice, version);
    let mut bytes = other.clone();
    if dice.once_in(5) {
        mutate(dice, &mut bytes, &other);
    }
    let mut pending = bytes;
    for _ in 0..dice.below(12) {
        if !dice.once_in(3) {
            lines.push(format!("send {}", to_hex(&pending)));
            pending.clear();
        }
        let whole = any_packet(dice, version);
        let mut bytes = whole.clone();
        if dice.once_in(3) {
            mutate(dice, &mut bytes, &other);
        }
        if dice.once_in(8) {
            bytes.truncate(dice.below(bytes.len() + 1));
        }
        pending.extend(bytes);
        other = whole;
    }
    lines.push(format!("send {}", to_hex(&pending)));
    if dice.once_in(2) {
        lines.push("close".to_owned());
    }
}

fn bytes_of(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("it has a form");
    bytes
}

fn connect(dice: &mut Dice, version: Version) -> Vec<u8> {
    let id = *dice.pick(&["", "x", "y", "z"]);
    let v5 = version == Version::V5;
    let mut properties = ConnectProperties::default();
    if v5 {
        properties.session_expiry = Some(dice.below(4) as u32);
        properties.receive_maximum = PacketId::new(1 + dice.below(3) as u16);
        properties.topic_alias_maximum = dice.below(3) as u16;
    }
    let will = dice.once_in(3).then(|| Will {
        qos: qos(dice),
        retain: dice.once_in(2),
        topic: "a/b",
        payload: b"gone",
        properties: Default::default(),
    });
    let connect = Connect {
        version,
        bridge: false,
        clean_start: id.is_empty() || dice.once_in(2),
        keep_alive: *dice.pick(&[0, 1, 60]),
        client_id: if version == Version::V31 && id.is_empty() {
            "w"
        } else {
            id
        },
        will,
        user_name: None,
        password: None,
        properties,
    };
    bytes_of(&Packet::Connect(connect), version)
}

fn qos(dice: &mut Dice) -> QoS {
    *dice.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn any_packet(dice: &mut Dice, version: Version) -> Vec<u8> {
    let packet_id = PacketId::new(1 + dice.below(4) as u16).expect("not 0");
    let ack = Ack::new(packet_id, ReasonCode::Success);
    let mut filters = FiltersBuf::new();
    let mut ended = UnsubscribeFiltersBuf::new();
    for _ in 0..=dice.below(3) {
        let filter = dice.pick(FILTERS);
        let options = SubscriptionOptions::v3(qos(dice));
        filters.push(filter, options).expect("a filter");
        ended.push(filter).expect("a filter");
    }
    let packet = match dice.below(12) {
        0..=3 => return a_publish(dice, version, packet_id),
        4 | 5 => Packet::Subscribe(Subscribe {
            packet_id,
            subscription_id: (version == Version::V5 && dice.once_in(2)).then_some(9),
            user_properties: Default::default(),
            filters: filters.as_ref(),
        }),
        6 => Packet::Unsubscribe(Unsubscribe {
            packet_id,
            user_properties: Default::default(),
            filters: ended.as_ref(),
        }),
        7 => Packet::Puback(ack),
        8 => Packet::Pubrec(ack),
        9 => Packet::Pubrel(ack),
        10 => *dice.pick(&[Packet::Pubcomp(ack), Packet::Pingreq]),
        _ => Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
    };
    bytes_of(&packet, version)
}

fn a_publish(dice: &mut Dice, version: Version, packet_id: PacketId) -> Vec<u8> {
    let qos = qos(dice);
    let payload = vec![b'p'; dice.below(300)];
    let mut publish = Publish {
        qos,
        retain: dice.once_in(4),
        topic: dice.pick::<&str>(TOPICS),
        packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
        payload: &payload,
        ..Publish::default()
    };
    if version == Version::V5 && dice.once_in(3) || publish.topic.is_empty() {
        publish.properties.topic_alias = PacketId::new(1 + dice.below(3) as u16);
    }
    if version != Version::V5 && publish.topic.is_empty() {
        publish.topic = "a";
    }
    if version == Version::V5 && dice.once_in(4) {
        publish.properties.message_expiry = Some(dice.below(3) as u32);
    }
    bytes_of(&Packet::Publish(publish), version)
}

/// A broker and its innocent clients, for all the cases of a run.
struct Street {
    broker: Broker,
    innocents: [Innocent; 2],
    cases: usize,
}

impl Street {
    fn new() -> Self {
        let broker = Broker::configured(CONFIGURATION);
        let innocents = [
            Innocent::new(broker.tcp, &connect_311("innocent-3"), false),
            Innocent::new(broker.tcp, &connect_5("innocent-5"), true),
        ];
        Self {
            broker,
            innocents,
            cases: 0,
        }
    }

    fn run(&mut self, script: &Script) {
        self.cases += 1;
        let mut guilty: Vec<Guilty> = Vec::new();
        for line in &script.0 {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("open", _) => guilty.push(Guilty::new(self.broker.tcp)),
                ("send", digits) => {
                    if let Some(last) = guilty.last_mut() {
                        last.send(&from_hex(digits));
                    }
                }
                ("close", _) => drop(guilty.pop()),
                (other, _) => panic!("no line `{other}`"),
            }
        }
        let [three, five] = &mut self.innocents;
        three.says(five);
        five.says(three);
        for last in guilty {
            last.finish();
        }
        three.says(five);
        five.says(three);
        self.is_well();
    }

    /// A broker that is asked to stop does so in good order.
    fn stop(self) {
        assert_eq!(self.broker.stop().code, Some(0));
    }

    fn is_well(&self) {
        let (status, metrics) = get(self.broker.http, "/metrics");
        assert_eq!(status, 200);
        assert!(sum(&metrics, "postbud_connections") >= 2.0, "{metrics}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.broker.id()));
        let status = status.expect("the process is there");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident
            .expect("it has memory")
            .trim()
            .trim_end_matches(" kB");
        let resident: u64 = resident.parse().expect("a number");
        assert!(resident < MEMORY, "{resident} KiB");
        let log = self.broker.log();
        let alarming = |line: &&String| line.contains("ERROR") || line.contains("panicked");
        assert_eq!(log.iter().find(alarming), None);
    }
}

/// A client whose conversation must stay correct whatever others do.
struct Innocent {
    client: RawClient,
    five: bool,
    topic: &'static str,
    sent: u32,
    received: u32,
}

impl Innocent {
    fn new(address: SocketAddr, connect: &[u8], five: bool) -> Self {
        let mut client = RawClient::accepted(address, connect);
        let (to, from) = match five {
            true => ("innocent/5", "innocent/3"),
            false => ("innocent/3", "innocent/5"),
        };
        let none: &[u8] = if five { &[0] } else { &[] };
        let subscribe = [&[0, 1], none, &string(from)[..], &[1]].concat();
        client.send(&packet(0x82, &subscribe));
        let granted = [&[0, 1], none, &[1]].concat();
        client.expect(&packet(0x90, &granted));
        Self {
            client,
            five,
            topic: to,
            sent: 0,
            received: 0,
        }
    }

    fn publish(&self, id: u16, topic: &str, number: u32) -> Vec<u8> {
        let none: &[u8] = if self.five { &[0] } else { &[] };
        let parts = [&string(topic)[..], &id.to_be_bytes(), none].concat();
        packet(0x32, &[&parts[..], &number.to_be_bytes()].concat())
    }

    /// Sends the next number, which must come to the other one next.
    fn says(&mut self, to: &mut Self) {
        self.sent += 1;
        let publish = self.publish(7, self.topic, self.sent);
        self.client.send(&publish);
        self.client.expect(&[0x40, 0x02, 0x00, 0x07]);
        let came = to.client.packet();
        to.received += 1;
        assert_eq!(to.received, self.sent, "one comes for each that is sent");
        // The broker's own choice of id.
        let id = u16::from_be_bytes([came[2 + 12], came[2 + 13]]);
        assert_eq!(came, to.publish(id, self.topic, to.received));
        let id = id.to_be_bytes();
        to.client.send(&packet(0x40, &id));
    }
}

/// A connection that says what it likes.
struct Guilty(TcpStream);

impl Guilty {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound");
        stream
            .set_nodelay(true)
            .expect("an option every socket has");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("an option every socket has");
        Self(stream)
    }

    /// The broker may have closed it long ago.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Ends its sending half, and reads to the end: the broker closes what has ended.
    fn finish(mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
        let end = Instant::now() + DEADLINE;
        let mut chunk = [0; 4096];
        let patience = Duration::from_millis(500);
        self.0
            .set_read_timeout(Some(patience))
            .expect("an option every socket has");
        loop {
            match self.0.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {}
                    _ => return,
                },
            }
            assert!(Instant::now() < end, "it is not closed");
        }
    }
}
