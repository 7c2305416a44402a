//! An outbound side with a socket and a client that reads what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::codec::{
    Connack, Connect, ConnectProperties, Context as Decoding, Packet, PacketId, QoS, ReasonCode,
    Sender, Version, decode,
};
use crate::message::{Message, Parts, Timestamp};
use crate::queue::{Delivery, DropReason, SubscriptionIds};
use crate::session::options::Options;
use crate::session::tally::Tally;
use crate::session::terms::Terms;
use crate::session::window::Source;
use crate::session::wire::{Spare, Written};

use super::{Acked, Context, Outbound};

/// The side under test and all that its calls want.
pub(super) struct Bench {
    pub side: Outbound,
    pub options: Options,
    pub now: Timestamp,
    pub tally: Tally,
    spare: Spare,
    version: Version,
}

/// A PUBLISH as the client decoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    pub id: Option<u16>,
    pub topic: String,
    pub alias: Option<u16>,
    pub expiry: Option<u32>,
    pub subscription_ids: Vec<u32>,
    pub content_type: Option<String>,
    pub payload: String,
}

/// A packet as the client decoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Connack,
    Publish(Published),
    Pubrel(u16, ReasonCode),
}

impl Got {
    /// In short: `qos1 #7 payload`, with ` dup` where it is set.
    pub(super) fn brief(&self) -> String {
        match self {
            Got::Connack => "connack".to_owned(),
            Got::Pubrel(id, ReasonCode::Success) => format!("pubrel #{id}"),
            Got::Pubrel(id, code) => format!("pubrel #{id} {:#04x}", *code as u8),
            Got::Publish(publish) => {
                let id = publish.id.map_or(String::new(), |id| format!(" #{id}"));
                let dup = if publish.dup { " dup" } else { "" };
                format!("qos{}{id} {}{dup}", publish.qos as u8, publish.payload)
            }
        }
    }
}

/// Decodes the packets that are whole, and takes them out of `bytes`.
pub(super) fn decode_whole(bytes: &mut Vec<u8>, version: Version) -> Vec<Got> {
    let context = Decoding::new(version, Sender::Server);
    let mut got = Vec::new();
    let mut at = 0;
    while let Some((packet, length)) = decode(&bytes[at..], &context).expect("a legal packet") {
        at += length;
        got.push(match packet {
            Packet::Connack(_) => Got::Connack,
            Packet::Pubrel(ack) => Got::Pubrel(ack.packet_id.get(), ack.code),
            Packet::Publish(publish) => Got::Publish(Published {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                id: publish.packet_id.map(PacketId::get),
                topic: publish.topic.to_owned(),
                alias: publish.properties.topic_alias.map(|alias| alias.get()),
                expiry: publish.properties.message_expiry,
                subscription_ids: publish.properties.subscription_ids.iter().collect(),
                content_type: publish.properties.content_type.map(str::to_owned),
                payload: String::from_utf8_lossy(publish.payload).into_owned(),
            }),
            other => panic!("an outbound side does not send {other:?}"),
        });
    }
    bytes.drain(..at);
    got
}

/// The terms of a connection whose CONNECT has these properties.
pub(super) fn terms(
    version: Version,
    options: &Options,
    change: impl FnOnce(&mut ConnectProperties<'_>),
) -> Terms {
    let mut connect = Connect {
        version,
        bridge: false,
        clean_start: false,
        keep_alive: 0,
        client_id: "client",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    change(&mut connect.properties);
    Terms::negotiate(&connect, options, || Arc::from("assigned")).expect("fair terms")
}

/// A message to topic `topic`, of this payload, with no property.
pub(super) fn delivery(qos: QoS, topic: &str, payload: &str, expires: Option<u64>) -> Delivery {
    let parts = Parts {
        topic,
        forwarded: &[],
        payload: payload.as_bytes(),
        qos,
        retain: false,
        expires: expires.map(Timestamp::from_millis),
    };
    Delivery {
        message: Message::new(parts, &mut Vec::new()),
        subscription_ids: SubscriptionIds::default(),
        qos,
        retain: false,
        attempts: 0,
    }
}

pub(super) fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

/// A context made of a bench's fields, so that its side stays free to be called.
macro_rules! context {
    ($bench:expr) => {
        Context {
            pressed: false,
            now: $bench.now,
            options: &$bench.options,
            spare: &mut $bench.spare,
            tally: &mut $bench.tally,
            judge: None,
        }
    };
}

impl Bench {
    /// A side without a connection.
    pub(super) fn away() -> Self {
        Self {
            side: Outbound::default(),
            options: Options::default(),
            now: Timestamp::from_millis(1_000_000),
            tally: Tally::default(),
            spare: Spare::default(),
            version: Version::V5,
        }
    }

    /// A side with a connection of a client that has this Receive Maximum, CONNACK taken.
    pub(super) fn connected(receive_maximum: u16) -> Self {
        let mut bench = Self::away();
        bench.connect(receive_maximum);
        assert_eq!(bench.taken(), ["connack"]);
        bench
    }

    /// Attaches an MQTT 5 connection with this Receive Maximum.
    pub(super) fn connect(&mut self, receive_maximum: u16) {
        self.connect_with(Version::V5, |properties| {
            properties.receive_maximum = PacketId::new(receive_maximum);
        });
    }

    pub(super) fn connect_with(
        &mut self,
        version: Version,
        change: impl FnOnce(&mut ConnectProperties<'_>),
    ) {
        self.version = version;
        let terms = terms(version, &self.options, change);
        let mut first = Vec::new();
        let connack = Connack::refusal(ReasonCode::Success);
        connack
            .encode(version, &mut first)
            .expect("a CONNACK has a form in every version");
        self.side.attach(&terms, &first, &mut context!(self));
    }

    /// The connection ends, what was not taken is lost. Returns payloads that go back to groups.
    pub(super) fn disconnect(&mut self) -> Vec<(Source, String)> {
        let (_, back) = self
            .side
            .detach(&self.options, &mut self.tally)
            .expect("a connection");
        back.into_iter()
            .map(|(source, delivery)| (source, text(&delivery)))
            .collect()
    }

    /// Ends the connection, starts another one with this Receive Maximum, and returns what it sent.
    pub(super) fn reconnect(&mut self, receive_maximum: u16) -> Vec<String> {
        assert_eq!(self.disconnect(), []);
        self.connect(receive_maximum);
        self.taken()
    }

    /// Delivers to topic `t`.
    pub(super) fn deliver(&mut self, qos: QoS, payload: &str) -> bool {
        self.give(delivery(qos, "t", payload, None), None)
    }

    pub(super) fn give(&mut self, delivery: Delivery, source: Option<Source>) -> bool {
        self.side.deliver(delivery, source, &mut context!(self))
    }

    pub(super) fn takes_now(&self, qos: QoS) -> bool {
        self.side.takes_now(qos, &self.options)
    }

    /// As after anything that frees room.
    pub(super) fn draw(&mut self) -> bool {
        self.side.draw(&mut context!(self))
    }

    /// Deliveries dropped for this reason.
    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.tally.dropped[reason as usize]
    }

    pub(super) fn later(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// The bytes that the socket takes: at most `limit`.
    pub(super) fn bytes(&mut self, limit: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(line) = self.side.line() else {
            return out;
        };
        let wire = line.wire();
        let mut next = if wire.is_blocked() {
            wire.resume()
        } else {
            wire.take()
        };
        while let Some(mut chunk) = next {
            let count = chunk.remaining().len().min(limit - out.len());
            out.extend_from_slice(&chunk.remaining()[..count]);
            chunk.advance(count);
            next = match wire.put_back(chunk, count, &mut self.spare) {
                Written::More(chunk) => Some(chunk),
                Written::All | Written::Blocked => None,
            };
        }
        out
    }

    /// Every packet on the wire, taken by the socket.
    pub(super) fn packets(&mut self) -> Vec<Got> {
        let mut bytes = self.bytes(usize::MAX);
        let got = decode_whole(&mut bytes, self.version);
        assert!(bytes.is_empty(), "half a packet: {bytes:?}");
        got
    }

    /// The PUBLISH packets on the wire, taken by the socket.
    pub(super) fn published(&mut self) -> Vec<Published> {
        let publish = |got| match got {
            Got::Publish(publish) => Some(publish),
            Got::Connack | Got::Pubrel(..) => None,
        };
        self.packets().into_iter().filter_map(publish).collect()
    }

    /// In short, every packet on the wire, taken by the socket.
    pub(super) fn taken(&mut self) -> Vec<String> {
        self.packets().iter().map(Got::brief).collect()
    }

    /// Takes a PUBACK that has to be in step, and draws.
    pub(super) fn puback(&mut self, packet_id: u16) -> Acked {
        let acked = self.side.puback(id(packet_id)).expect("in step");
        self.draw();
        acked
    }

    pub(super) fn pubrec(&mut self, packet_id: u16, code: ReasonCode) -> Acked {
        let acked = self.pubrec_only(packet_id, code);
        self.draw();
        acked
    }

    /// Takes a PUBREC without drawing.
    pub(super) fn pubrec_only(&mut self, packet_id: u16, code: ReasonCode) -> Acked {
        self.side
            .pubrec(id(packet_id), code, &mut context!(self))
            .expect("in step")
    }

    /// The code with which an out of step PUBREC ends the connection.
    pub(super) fn pubrec_fault(&mut self, packet_id: u16, code: ReasonCode) -> ReasonCode {
        let acked = self.side.pubrec(id(packet_id), code, &mut context!(self));
        acked.expect_err("out of step").code
    }

    pub(super) fn pubcomp(&mut self, packet_id: u16) -> Acked {
        let acked = self.side.pubcomp(id(packet_id)).expect("in step");
        self.draw();
        acked
    }
}

/// The payload as text.
pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.message.payload()).into_owned()
}
