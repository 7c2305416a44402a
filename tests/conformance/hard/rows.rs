//! Tables of packets and their answers, and the client nearby that nothing of it may harm.
//!
//! ```text
//!   a new client ── the row's bytes, and behind them a message ──> broker ── the row's answer, close
//!   bystander    ── its own message ────────────────────────────> broker ── that, and nothing before it
//! ```
//!
//! The message behind a refused packet goes to the bystander's topic: it is what arrives if the broker
//! goes on reading from a client that it has refused.

use crate::bytes::{Connect, PINGREQ, PINGRESP, Publish, subscribe_311};
use crate::received::{Connack, Disconnected};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// What the broker does about a row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A CONNACK or DISCONNECT with this code, then the close.
    Told(u8),
    /// The close, and nothing before it.
    Silence,
    /// The connection goes on.
    Alive,
}

/// A packet, and what comes of it.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    /// Whether it is the first of its connection, and not after CONNACK.
    fresh: bool,
    answer: Answer,
    bytes: Vec<u8>,
}

impl Row {
    /// A packet on a connection that was accepted.
    pub fn open(name: impl Into<String>, answer: Answer, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            fresh: false,
            answer,
            bytes,
        }
    }

    /// A packet that is the first of its connection.
    pub fn fresh(name: impl Into<String>, answer: Answer, bytes: Vec<u8>) -> Self {
        Self {
            fresh: true,
            ..Self::open(name, answer, bytes)
        }
    }
}

/// The version that a table's clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

impl Version {
    fn connect(self) -> Vec<u8> {
        match self {
            Self::V311 => Connect::v311("row").bytes(),
            Self::V5 => Connect::v5("row").bytes(),
        }
    }

    fn behind(self) -> Vec<u8> {
        let (topic, payload) = ("bystander", "of somebody who was refused");
        match self {
            Self::V311 => Publish::v311(topic, payload).bytes(),
            Self::V5 => Publish::v5(topic, payload).bytes(),
        }
    }
}

/// A broker that lets anybody in and closes nothing because it takes long, with these lines below `[session]`.
#[track_caller]
pub fn start(session: &str) -> Broker {
    Broker::configured(&format!(
        "[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1h\"\n[session]\n{session}\n"
    ))
}

/// Somebody else on the same broker.
pub struct Bystander {
    client: RawClient,
    round: u32,
}

impl Bystander {
    #[track_caller]
    pub fn new(broker: &Broker) -> Self {
        let connect = Connect::v311("bystander").bytes();
        let mut client = RawClient::accepted(broker.tcp, &connect);
        client.send(&subscribe_311(1, &[("bystander", 0)]));
        client.expect(&[0x90, 3, 0, 1, 0]);
        Self { client, round: 0 }
    }

    /// The broker still routes, and has sent nothing of anybody else's.
    #[track_caller]
    pub fn is_unharmed(&mut self) {
        self.round += 1;
        let message = Publish::v311("bystander", self.round.to_string()).bytes();
        self.client.send(&message);
        self.client.expect(&message);
    }
}

/// Somebody new gets in, and the broker has noted no error of its own.
#[track_caller]
pub fn expect_sound(broker: &Broker) {
    Bystander::new(broker).is_unharmed();
    let alarming = |line: &&String| line.contains("ERROR") || line.contains("panicked");
    assert_eq!(broker.log().iter().find(alarming), None);
}

/// Sends each row on a connection of its own, and tells of all whose answer is another.
#[track_caller]
pub fn run(broker: &Broker, version: Version, rows: &[Row]) {
    assert!(!rows.is_empty(), "no rows");
    let mut bystander = Bystander::new(broker);
    let mut wrong = Vec::new();
    for row in rows {
        // Seen only if the test fails: which row it was.
        let shown = &row.bytes[..row.bytes.len().min(64)];
        println!("{} ({}): {shown:02x?}", row.name, row.bytes.len());
        let got = answer(broker, version, row);
        if got != Ok(row.answer) {
            wrong.push(format!("{}: {:?}, not {got:02x?}", row.name, row.answer));
        }
        bystander.is_unharmed();
    }
    assert!(wrong.is_empty(), "{} rows: {wrong:#?}", wrong.len());
    expect_sound(broker);
}

/// The answer to a row, or the packets that are none.
#[track_caller]
fn answer(broker: &Broker, version: Version, row: &Row) -> Result<Answer, Vec<Vec<u8>>> {
    let mut client = RawClient::connect(broker.tcp);
    if !row.fresh {
        client.open(&version.connect());
    }
    if row.answer == Answer::Alive {
        return going_on(&mut client, row);
    }
    // The broker may have closed already.
    let _ = client.try_send(&[&row.bytes[..], &version.behind()].concat());
    let packets = client.packets_until_closed();
    match &packets[..] {
        [] => Ok(Answer::Silence),
        [only] if only[0] == 0x20 && row.fresh => match version {
            Version::V5 => {
                let connack = Connack::v5(only);
                assert_eq!(connack.flags, 0, "Session Present in {connack:02x?}");
                Ok(Answer::Told(connack.reason))
            }
            Version::V311 => {
                assert_eq!(only[..3], [0x20, 2, 0], "{only:02x?}");
                Ok(Answer::Told(only[3]))
            }
        },
        [only] if only[0] == 0xe0 && !row.fresh && version == Version::V5 => {
            Ok(Answer::Told(Disconnected::v5(only).reason))
        }
        _ => Err(packets),
    }
}

/// Whatever comes, a PINGRESP comes in the end, and until then neither refusal nor close.
#[track_caller]
fn going_on(client: &mut RawClient, row: &Row) -> Result<Answer, Vec<Vec<u8>>> {
    client.send(&row.bytes);
    if row.fresh {
        let connack = client.packet();
        if connack[0] != 0x20 || connack[3] != 0 {
            return Err(vec![connack]);
        }
    }
    // A refused client's PINGREQ may meet a closed door.
    let _ = client.try_send(&PINGREQ);
    loop {
        let packet = client.packet();
        match packet[0] {
            0xd0 if packet == PINGRESP => return Ok(Answer::Alive),
            0xe0 | 0x20 => return Err(vec![packet]),
            _ => {}
        }
    }
}
