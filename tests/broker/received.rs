//! What a client has received: packets of its own, and a book that checks what must hold for every
//! connection whatever the scenario.

use std::collections::{BTreeSet, HashMap};

use postbud::codec::{
    Ack, Connack, Context, Packet, Publish, QoS, ReasonCode, Sender, Version, decode,
};

/// A packet that came from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Connack(Welcome),
    Publish(Delivered),
    Puback(u16, ReasonCode),
    Pubrec(u16, ReasonCode),
    Pubrel(u16, ReasonCode),
    Pubcomp(u16, ReasonCode),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(ReasonCode),
    Auth(ReasonCode, Option<String>, Option<Vec<u8>>),
}

/// What a CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub code: ReasonCode,
    pub present: bool,
    pub expiry: Option<u32>,
    pub keep_alive: Option<u16>,
    pub assigned_id: Option<String>,
    pub method: Option<String>,
    pub data: Option<Vec<u8>>,
}

/// A PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub topic: String,
    pub payload: String,
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    /// 0 without one.
    pub id: u16,
    pub expiry: Option<u32>,
    pub subscriptions: Vec<u32>,
    /// User Properties.
    pub properties: Vec<(String, String)>,
}

/// One connection as its client sees it.
#[derive(Debug)]
pub struct Book {
    pub version: Version,
    pub packet_size_maximum: usize,
    pub receive_maximum: usize,
    bytes: Vec<u8>,
    inbox: Vec<Got>,
    in_flight: BTreeSet<u16>,
    aliases: HashMap<u16, String>,
    welcomed: bool,
    over: bool,
}

impl Book {
    pub fn new(version: Version) -> Self {
        Self {
            version,
            packet_size_maximum: usize::MAX,
            receive_maximum: usize::from(u16::MAX),
            bytes: Vec::new(),
            inbox: Vec::new(),
            in_flight: BTreeSet::new(),
            aliases: HashMap::new(),
            welcomed: false,
            over: false,
        }
    }

    /// Takes bytes off the transport, and decodes and checks every whole packet in them.
    pub fn read(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.bytes);
        let context = Context::new(self.version, Sender::Server);
        let mut rest = &all[..];
        while let Some((packet, length)) =
            decode(rest, &context).expect("the broker sends well-formed packets")
        {
            assert!(!self.over, "{packet:?} after the end");
            // [MQTT5-3.1.2-24]
            let maximum = self.packet_size_maximum;
            assert!(
                length <= maximum,
                "{packet:?} has {length} bytes of {maximum}"
            );
            let got = self.note(&packet);
            self.inbox.push(got);
            rest = &rest[length..];
        }
        self.bytes = rest.to_vec();
    }

    /// Everything received and not yet taken.
    pub fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.inbox)
    }

    /// The first packet that was received and not yet taken.
    pub fn next(&mut self) -> Option<Got> {
        (!self.inbox.is_empty()).then(|| self.inbox.remove(0))
    }

    /// Notes an acknowledgement that the client sends.
    pub fn acknowledged(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                self.in_flight.remove(&ack.packet_id.get());
            }
            Packet::Pubrec(ack) if ack.code.is_error() => {
                self.in_flight.remove(&ack.packet_id.get());
            }
            _ => {}
        }
    }

    fn note(&mut self, packet: &Packet<'_>) -> Got {
        // [MQTT5-3.2.0-1] [MQTT311-3.2.0-1]
        let early = matches!(packet, Packet::Connack(_) | Packet::Auth(_));
        assert!(self.welcomed || early, "{packet:?} before CONNACK");
        let pair = |ack: &Ack<'_>| (ack.packet_id.get(), ack.code);
        match packet {
            Packet::Connack(connack) => self.connack(connack),
            Packet::Publish(publish) => Got::Publish(self.publish(publish)),
            Packet::Puback(ack) => Got::Puback(pair(ack).0, pair(ack).1),
            Packet::Pubrec(ack) => Got::Pubrec(pair(ack).0, pair(ack).1),
            Packet::Pubrel(ack) => Got::Pubrel(pair(ack).0, pair(ack).1),
            Packet::Pubcomp(ack) => Got::Pubcomp(pair(ack).0, pair(ack).1),
            Packet::Suback(suback) => Got::Suback(suback.packet_id.get(), suback.codes.to_vec()),
            Packet::Unsuback(unsuback) => {
                Got::Unsuback(unsuback.packet_id.get(), unsuback.codes.to_vec())
            }
            Packet::Pingresp => Got::Pingresp,
            Packet::Disconnect(disconnect) => {
                // [MQTT5-3.14.4-1]
                self.over = true;
                Got::Disconnect(disconnect.code)
            }
            Packet::Auth(auth) => Got::Auth(
                auth.code,
                auth.method.map(str::to_owned),
                auth.data.map(<[u8]>::to_vec),
            ),
            _ => panic!("{packet:?} from a server"),
        }
    }

    fn connack(&mut self, connack: &Connack<'_>) -> Got {
        // [MQTT5-3.2.0-2]
        assert!(!self.welcomed, "a second CONNACK");
        self.welcomed = true;
        self.over = connack.code.is_error();
        let properties = &connack.properties;
        Got::Connack(Welcome {
            code: connack.code,
            present: connack.session_present,
            expiry: properties.session_expiry,
            keep_alive: properties.server_keep_alive,
            assigned_id: properties.assigned_client_id.map(str::to_owned),
            method: properties.authentication_method.map(str::to_owned),
            data: properties.authentication_data.map(<[u8]>::to_vec),
        })
    }

    fn publish(&mut self, publish: &Publish<'_>) -> Delivered {
        if let Some(id) = publish.packet_id {
            // [MQTT5-2.2.1-4] [MQTT311-2.3.1-4]
            let unused = self.in_flight.insert(id.get());
            assert!(unused, "id {id} is in flight already");
            // [MQTT5-3.3.4-9]
            let (count, maximum) = (self.in_flight.len(), self.receive_maximum);
            assert!(
                count <= maximum,
                "{count} in flight, Receive Maximum {maximum}"
            );
        }
        let topic = match publish.properties.topic_alias {
            None => publish.topic.to_owned(),
            Some(alias) if publish.topic.is_empty() => self.aliases[&alias.get()].clone(),
            Some(alias) => {
                self.aliases.insert(alias.get(), publish.topic.to_owned());
                publish.topic.to_owned()
            }
        };
        Delivered {
            topic,
            payload: String::from_utf8_lossy(publish.payload).into_owned(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            id: publish.packet_id.map_or(0, |id| id.get()),
            expiry: publish.properties.message_expiry,
            subscriptions: publish.properties.subscription_ids.iter().collect(),
            properties: publish
                .properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}
