//! One of the two brokers, with its connections and what is known of its sessions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::answers::{self, Answer, Message};
use crate::bytes::{DISCONNECT, PINGREQ, PINGRESP, prop, puback, pubcomp, pubrec};
use crate::received::{Ack, Published};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// A broker and the clients of a conversation, by their names in it.
pub struct Side {
    broker: Broker,
    connections: BTreeMap<String, Connection>,
    sessions: BTreeMap<String, Session>,
    answers: BTreeMap<String, Vec<Answer>>,
}

struct Connection {
    socket: RawClient,
    v5: bool,
    aliases: BTreeMap<Vec<u8>, String>,
    /// What the client has to send to acknowledge what it received, oldest first.
    owed: VecDeque<Vec<u8>>,
    /// The Packet Identifiers of the PUBRECs that were sent and no PUBREL has answered.
    received: VecDeque<u16>,
}

/// What outlives a connection.
#[derive(Default)]
struct Session {
    /// The payload of the message of each Packet Identifier that the broker has in use.
    exchanges: BTreeMap<u16, String>,
    /// Every Topic Filter that was subscribed to.
    filters: BTreeSet<Vec<u8>>,
}

impl Side {
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    /// A new connection, whose first bytes are these. There is an answer when this returns.
    pub fn open(&mut self, client: &str, first: &[u8]) {
        // A connection of that name that is still there is its predecessor, which the broker may have to close.
        if let Some(before) = self.connections.remove(client) {
            self.connections.insert(format!("{client}'"), before);
        }
        let mut socket = RawClient::connect(self.broker.tcp);
        socket.send(first);
        let connection = Connection {
            socket,
            v5: protocol_version(first) >= 5,
            aliases: BTreeMap::new(),
            owed: VecDeque::new(),
            received: VecDeque::new(),
        };
        self.connections.insert(client.to_owned(), connection);
        if self.read(client).is_some_and(|packet| !accepts(&packet)) {
            self.read_to_end(client);
        }
    }

    /// Sends these bytes, and waits until the broker has worked on them.
    pub fn send(&mut self, client: &str, bytes: &[u8]) {
        self.learn(client, bytes);
        self.write(client, bytes);
        self.ping(client);
    }

    /// Sends these bytes, after which the broker has to close.
    pub fn send_to_end(&mut self, client: &str, bytes: &[u8]) {
        self.write(client, bytes);
        self.read_to_end(client);
    }

    /// Waits for the broker to close this connection.
    pub fn read_to_end(&mut self, client: &str) {
        while self.read(client).is_some() {}
    }

    /// Waits for one packet.
    pub fn wait(&mut self, client: &str) {
        self.read(client);
    }

    /// Sends the `count` oldest acknowledgements that are owed.
    pub fn answer(&mut self, client: &str, count: usize) {
        let Some(connection) = self.connections.get_mut(client) else {
            return;
        };
        let count = count.min(connection.owed.len());
        let owed: Vec<_> = connection.owed.drain(..count).collect();
        let session = self.sessions.entry(client.to_owned()).or_default();
        for packet in &owed {
            let id = u16::from_be_bytes([packet[2], packet[3]]);
            if packet[0] == 0x50 {
                connection.received.push_back(id);
            } else {
                session.exchanges.remove(&id);
            }
        }
        self.send(client, &owed.concat());
    }

    /// Refuses the oldest QoS 2 message that is owed a PUBREC, with this reason.
    pub fn refuse(&mut self, client: &str, reason: u8) {
        let connection = self
            .connections
            .get_mut(client)
            .expect("an open connection");
        let pubrec = connection.owed.pop_front().expect("a PUBREC is owed");
        assert_eq!(pubrec[0], 0x50, "a PUBREC is owed");
        let refusal = [&[0x50, 0x03][..], &pubrec[2..], &[reason]].concat();
        let id = u16::from_be_bytes([pubrec[2], pubrec[3]]);
        let session = self.sessions.entry(client.to_owned()).or_default();
        session.exchanges.remove(&id);
        self.send(client, &refusal);
    }

    /// Closes the connection without a word.
    pub fn cut(&mut self, client: &str) {
        self.connections.remove(client);
    }

    /// Whether there is an open connection.
    pub fn is_open(&self, client: &str) -> bool {
        self.connections.contains_key(client)
    }

    /// Whether there is an open connection of MQTT 5.0.
    pub fn is_of_5(&self, client: &str) -> bool {
        self.connections.get(client).is_some_and(|it| it.v5)
    }

    /// Whether the client has anything to acknowledge.
    pub fn owes(&self, client: &str) -> bool {
        let connection = self.connections.get(client);
        connection.is_some_and(|connection| !connection.owed.is_empty())
    }

    /// Says DISCONNECT on every connection, for the next conversation.
    pub fn leave_all(&mut self) {
        let names: Vec<_> = self.connections.keys().cloned().collect();
        names
            .iter()
            .for_each(|name| self.send_to_end(name, &DISCONNECT));
        self.sessions.clear();
        self.answers.clear();
    }

    /// Reads all that the broker has for each client.
    pub fn settle(&mut self) {
        let names: Vec<_> = self.connections.keys().cloned().collect();
        names.iter().for_each(|name| self.ping(name));
    }

    /// What came since the last step, as it is compared.
    pub fn lines(&self) -> BTreeMap<String, Vec<String>> {
        let each = self.answers.iter().map(|(client, answers)| {
            let session = self.sessions.get(client.trim_end_matches('\''));
            let filters = session.map_or(0, |session| session.filters.len());
            (client.clone(), answers::lines(answers, filters.max(1)))
        });
        each.collect()
    }

    /// The step is compared: what comes from now on belongs to the next.
    pub fn next_step(&mut self) {
        self.answers.clear();
    }

    fn write(&mut self, client: &str, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(client) {
            // Whether it is over shows at the next read.
            let _ = connection.socket.try_send(bytes);
        }
    }

    /// Reads up to the answer to a PINGREQ, or to the end.
    fn ping(&mut self, client: &str) {
        self.write(client, &PINGREQ);
        while self.read(client).is_some_and(|packet| packet != PINGRESP) {}
    }

    /// The next packet, which is taken down, or none after the end.
    fn read(&mut self, client: &str) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(client)?;
        let packet = connection.socket.packet_or_end();
        let disconnect = packet.clone().filter(|packet| packet[0] == 0xe0);
        let answer = match (&packet, &disconnect) {
            (Some(packet), None) if *packet == PINGRESP => return Some(packet.clone()),
            (Some(packet), None) => {
                let session = self.sessions.entry(client.to_owned()).or_default();
                connection.takes(packet, session)
            }
            _ => {
                if disconnect.is_some() {
                    connection.socket.expect_closed();
                }
                self.connections.remove(client);
                Some(answers::end(disconnect.as_deref()))
            }
        };
        let answers = self.answers.entry(client.to_owned()).or_default();
        answers.extend(answer);
        packet.filter(|_| disconnect.is_none())
    }

    /// Remembers the Topic Filters of a SUBSCRIBE among these packets.
    fn learn(&mut self, client: &str, packets: &[u8]) {
        let v5 = self.connections.get(client).is_some_and(|it| it.v5);
        if packets.first() != Some(&0x82) || packets[1] >= 0x80 {
            return;
        }
        let properties = if v5 { 1 + usize::from(packets[4]) } else { 0 };
        let mut rest = packets
            .get(4 + properties..2 + usize::from(packets[1]))
            .unwrap_or_default();
        let session = self.sessions.entry(client.to_owned()).or_default();
        while let [high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            session.filters.insert(after[..length].to_vec());
            rest = after.get(length + 1..).unwrap_or_default();
        }
    }
}

impl Connection {
    /// What a packet is, and what the client owes for it.
    fn takes(&mut self, packet: &[u8], session: &mut Session) -> Option<Answer> {
        let answer = match packet[0] & 0xf0 {
            0x20 => {
                if packet[2] & 1 == 0 {
                    *session = Session::default();
                }
                return answers::connack(packet, self.v5);
            }
            0x30 => self.takes_message(packet, session),
            0x60 => {
                let id = if self.v5 {
                    let ack = Ack::v5(packet);
                    assert_eq!(
                        (ack.first, &ack.reasons[..]),
                        (0x62, &[0][..]),
                        "{ack:02x?}"
                    );
                    ack.packet_id
                } else {
                    assert_eq!((packet[0], packet.len()), (0x62, 4), "{packet:02x?}");
                    u16::from_be_bytes([packet[2], packet[3]])
                };
                self.owed.push_back(pubcomp(id));
                let of = session.exchanges.get(&id).map_or("nothing", String::as_str);
                // Which message comes first may be the broker's choice, the order after that is not.
                let position = self.received.iter().position(|each| *each == id);
                if let Some(position) = position {
                    self.received.remove(position);
                }
                let order = match position {
                    Some(1..) => " before its turn",
                    _ => "",
                };
                Answer::Release(format!("{of}{order}"))
            }
            _ => answers::acknowledgement(packet, self.v5),
        };
        Some(answer)
    }

    fn takes_message(&mut self, packet: &[u8], session: &mut Session) -> Answer {
        let mut message = if self.v5 {
            Published::v5(packet)
        } else {
            Published::v311(packet)
        };
        if let Some(alias) = message.properties.one(prop::TOPIC_ALIAS) {
            if message.topic.is_empty() {
                message.topic = self.aliases.get(alias).expect("a known alias").clone();
            } else {
                self.aliases.insert(alias.to_vec(), message.topic.clone());
            }
        }
        let id = message.packet_id;
        match message.qos {
            0 => return Answer::Message(Message::new(&message, "")),
            1 => self.owed.push_back(puback(id)),
            _ => self.owed.push_back(pubrec(id)),
        }
        let name = answers::name(&message.payload);
        let known = session.exchanges.insert(id, name.clone());
        let packet_id = match known {
            None => " new",
            Some(before) if before == name => " again",
            Some(_) => " OF ANOTHER",
        };
        Answer::Message(Message::new(&message, packet_id))
    }
}

fn accepts(packet: &[u8]) -> bool {
    packet.len() >= 4 && packet[0] == 0x20 && packet[3] == 0
}

/// The Protocol Version of a CONNECT, or 4 of something else.
fn protocol_version(connect: &[u8]) -> u8 {
    let header = 1
        + connect
            .iter()
            .skip(1)
            .take_while(|byte| **byte >= 0x80)
            .count()
        + 1;
    let version = |rest: &[u8]| {
        let name = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        rest.get(2 + name).copied()
    };
    let version = connect.get(header..).and_then(version);
    version.filter(|_| connect[0] == 0x10).unwrap_or(4)
}
