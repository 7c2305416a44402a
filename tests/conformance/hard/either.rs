//! A client of either version, for what MQTT 3.1.1 and 5.0 have in common, and a watch that tells when the broker
//! has noticed the end of a connection.

use std::ops::{Deref, DerefMut};

use crate::bytes::{
    Connect, DISCONNECT, Publish, Will, puback, pubcomp, pubrec, pubrel, subscribe_5, subscribe_311,
};
use crate::received::{Ack, Disconnected, Published, expect_alive};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

pub use Version::{V5, V311};

pub const BOTH: [Version; 2] = [V311, V5];

impl Version {
    /// CONNECT of a session that is new and ends with its connection.
    pub fn passing(self, client_id: &str) -> Connect {
        match self {
            V311 => Connect::v311(client_id),
            V5 => Connect::v5(client_id),
        }
    }

    /// CONNECT of a session that is resumed and kept.
    pub fn lasting(self, client_id: &str) -> Connect {
        match self {
            V311 => Connect::v311(client_id).clean(false),
            V5 => Connect::v5(client_id).clean(false).expiry(600),
        }
    }

    /// As [`Self::lasting`], with a Will by which [`Watch`] sees the end of the connection.
    pub fn watched(self, client_id: &str) -> Connect {
        let will = Will::new(format!("broken/{client_id}"), "");
        self.lasting(client_id).will(will)
    }

    pub fn publish(self, topic: &str, payload: &str) -> Publish {
        match self {
            V311 => Publish::v311(topic, payload),
            V5 => Publish::v5(topic, payload),
        }
    }
}

/// A connection whose CONNACK has accepted it.
pub struct Client {
    raw: RawClient,
    pub version: Version,
}

impl Deref for Client {
    type Target = RawClient;

    fn deref(&self) -> &RawClient {
        &self.raw
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut RawClient {
        &mut self.raw
    }
}

/// Connects and expects this Session Present.
#[track_caller]
pub fn open(broker: &Broker, version: Version, connect: &Connect, present: bool) -> Client {
    accepted(RawClient::connect(broker.tcp), version, connect, present)
}

/// As [`open`], on a connection that is there.
#[track_caller]
pub fn accepted(raw: RawClient, version: Version, connect: &Connect, present: bool) -> Client {
    let mut client = Client::of(raw, version);
    client.send(&connect.bytes());
    client.expect_connack(present);
    client
}

/// A client whose session is new and ends with its connection.
#[track_caller]
pub fn passing(broker: &Broker, version: Version, client_id: &str) -> Client {
    open(broker, version, &version.passing(client_id), false)
}

/// A new client of 5.0 that is subscribed to this at QoS 2.
#[track_caller]
pub fn reader(broker: &Broker, filter: &str) -> Client {
    let mut reader = passing(broker, V5, "reader");
    reader.subscribe(filter, 2);
    reader
}

impl Client {
    /// A client whose CONNACK has not been read.
    pub fn of(raw: RawClient, version: Version) -> Self {
        Self { raw, version }
    }

    /// Expects CONNACK, with this Session Present.
    #[track_caller]
    pub fn expect_connack(&mut self, present: bool) {
        let connack = self.packet();
        assert_eq!(connack[0], 0x20, "no CONNACK: {connack:02x?}");
        let told = (connack[2], connack[3]);
        assert_eq!(
            told,
            (u8::from(present), 0),
            "flags and code: {connack:02x?}"
        );
    }

    /// Subscribes and expects the QoS to be granted.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        let suback = match self.version {
            V311 => {
                self.send(&subscribe_311(1, &[(filter, qos)]));
                vec![0x90, 3, 0, 1, qos]
            }
            V5 => {
                self.send(&subscribe_5(1, &[], &[(filter, qos)]));
                vec![0x90, 4, 0, 1, 0, qos]
            }
        };
        self.expect(&suback);
    }

    /// The next packet, which must be a PUBLISH.
    #[track_caller]
    pub fn message(&mut self) -> Published {
        let packet = self.packet();
        self.parse(&packet)
    }

    /// Takes a PUBLISH apart.
    #[track_caller]
    pub fn parse(&self, packet: &[u8]) -> Published {
        match self.version {
            V311 => Published::v311(packet),
            V5 => Published::v5(packet),
        }
    }

    /// The next packet, which must be this PUBLISH; returns its Packet Identifier and acknowledges nothing.
    #[track_caller]
    pub fn expect_sent(&mut self, dup: bool, qos: u8, payload: &str) -> u16 {
        let message = self.message();
        let got = (message.dup, message.qos, text(&message));
        assert_eq!(got, (dup, qos, payload.to_owned()), "{message:02x?}");
        message.packet_id
    }

    /// Takes so many messages, and goes through their exchanges as they come.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        let mut releases = 0;
        while payloads.len() < count || releases > 0 {
            let packet = self.packet();
            if packet[0] == 0x62 {
                self.send(&pubcomp(Ack::v5(&packet).packet_id));
                releases -= 1;
                continue;
            }
            let message = self.parse(&packet);
            match message.qos {
                0 => {}
                1 => self.send(&puback(message.packet_id)),
                _ => {
                    self.send(&pubrec(message.packet_id));
                    releases += 1;
                }
            }
            payloads.push(text(&message));
        }
        payloads
    }

    #[track_caller]
    fn take_one(&mut self) -> String {
        let message = self.message();
        self.finish(message.qos, message.packet_id);
        text(&message)
    }

    /// Takes the next message, which must be this one, to the end of its exchange.
    #[track_caller]
    pub fn expect_taken(&mut self, payload: &str) {
        assert_eq!(self.take_one(), payload);
    }

    /// Acknowledges a message to the end of its exchange; PUBREL must be the next that comes.
    #[track_caller]
    pub fn finish(&mut self, qos: u8, packet_id: u16) {
        match qos {
            0 => {}
            1 => self.send(&puback(packet_id)),
            _ => {
                self.send(&pubrec(packet_id));
                self.expect(&pubrel(packet_id));
                self.send(&pubcomp(packet_id));
            }
        }
    }

    /// Publishes with these Packet Identifiers, from `first` on, in one write, and goes through all exchanges.
    #[track_caller]
    pub fn publish_all(&mut self, topic: &str, qos: u8, first: u16, payloads: &[impl AsRef<str>]) {
        let version = self.version;
        let ids = first..first + payloads.len() as u16;
        let each = ids.clone().zip(payloads).map(|(id, payload)| {
            let publish = version.publish(topic, payload.as_ref());
            publish.qos(qos, id).bytes()
        });
        self.send(&each.collect::<Vec<_>>().concat());
        match qos {
            0 => self.expect_alive(),
            1 => ids.for_each(|id| self.expect_ack(0x40, id)),
            _ => {
                ids.clone().for_each(|id| self.expect_ack(0x50, id));
                self.send(&ids.clone().map(pubrel).collect::<Vec<_>>().concat());
                ids.for_each(|id| self.expect(&pubcomp(id)));
            }
        }
    }

    /// Publishes this message with Packet Identifier 1, to the end of its exchange.
    #[track_caller]
    pub fn publish(&mut self, topic: &str, qos: u8, payload: &str) {
        self.publish_all(topic, qos, 1, &[payload]);
    }

    /// Expects this acknowledgement, without an error.
    #[track_caller]
    pub fn expect_ack(&mut self, first: u8, packet_id: u16) {
        let ack = Ack::v5(&self.packet());
        let got = (ack.first, ack.packet_id, ack.reasons[0] < 0x80);
        assert_eq!(got, (first, packet_id, true), "{ack:02x?}");
    }

    /// Expects this acknowledgement, with this Reason Code if the version has one.
    #[track_caller]
    pub fn expect_reason(&mut self, first: u8, packet_id: u16, reason: u8) {
        let ack = Ack::v5(&self.packet());
        let reason = if self.version == V5 { reason } else { 0 };
        let got = (ack.first, ack.packet_id, &ack.reasons[..]);
        assert_eq!(got, (first, packet_id, &[reason][..]), "{ack:02x?}");
    }

    /// Expects the connection to be there, and nothing to have come before the answer to a PINGREQ.
    #[track_caller]
    pub fn expect_alive(&mut self) {
        expect_alive(self);
    }

    /// Expects the end: DISCONNECT with this Reason Code if the version has it, and the close.
    #[track_caller]
    pub fn expect_end(&mut self, reason: u8) {
        if self.version == V5 {
            let disconnect = Disconnected::v5(&self.packet());
            assert_eq!(disconnect.reason, reason, "{disconnect:02x?}");
        }
        self.expect_closed();
    }

    /// Says DISCONNECT and waits until the broker has heard it.
    #[track_caller]
    pub fn leave(mut self) {
        self.send(&DISCONNECT);
        self.expect_closed();
    }
}

/// The payload as text.
#[track_caller]
pub fn text(message: &Published) -> String {
    String::from_utf8(message.payload.clone()).expect("a payload of these tests")
}

/// Publishes through a client of its own; the broker has routed the messages when this returns.
#[track_caller]
pub fn tell(broker: &Broker, topic: &str, qos: u8, payloads: &[impl AsRef<str>]) {
    let mut teller = passing(broker, V311, "teller");
    for some in payloads.chunks(200) {
        teller.publish_all(topic, qos, 1, some);
    }
    teller.leave();
}

/// Expects nothing more for these subscribers: a marker comes next.
#[track_caller]
pub fn expect_no_more(broker: &Broker, topic: &str, readers: &mut [&mut Client]) {
    tell(broker, topic, 0, &["marker"]);
    for reader in readers {
        reader.expect_taken("marker");
    }
}

/// Sees connections break, by the Wills of [`Version::watched`].
pub struct Watch(Client);

impl Watch {
    #[track_caller]
    pub fn new(broker: &Broker) -> Self {
        let mut client = passing(broker, V5, "watch");
        client.subscribe("broken/+", 0);
        Self(client)
    }

    /// Waits until the broker has noticed that the connection of this client broke.
    #[track_caller]
    pub fn wait(&mut self, client_id: &str) {
        assert_eq!(self.noticed(), client_id);
    }

    /// The next client of which the broker has noticed it.
    #[track_caller]
    pub fn noticed(&mut self) -> String {
        let topic = self.0.message().topic;
        let client_id = topic.strip_prefix("broken/");
        client_id.expect("nothing else was subscribed").to_owned()
    }

    /// The clients of which the broker has noticed it by now, in the order of their names.
    #[track_caller]
    pub fn all_so_far(&mut self, broker: &Broker) -> Vec<String> {
        tell(broker, "broken/marker", 0, &[""]);
        let mut all: Vec<_> = std::iter::from_fn(|| Some(self.noticed()))
            .take_while(|client_id| client_id != "marker")
            .collect();
        all.sort();
        all
    }

    /// Breaks a connection without a word and waits until the broker has noticed.
    #[track_caller]
    pub fn cut(&mut self, client: Client, client_id: &str) {
        drop(client);
        self.wait(client_id);
    }
}
