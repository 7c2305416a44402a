//! What a broker answered in one step, written so that two brokers that are both right write the same.
//!
//! Only what the specifications leave open is taken away. Each line of this table is a choice that they leave:
//!
//! | taken away | because |
//! |---|---|
//! | the properties of CONNACK, but for whether a Client Identifier was assigned | they tell the server's own limits |
//! | Reason Strings and User Properties of acknowledgements | a server may send them or not |
//! | 0x10 in PUBACK and PUBREC is 0x00 | a server that knows of no subscriber may say so |
//! | 0x92 in PUBCOMP is 0x00 | the PUBREL of nothing has to be answered [MQTT5-4.3.3-11], with either |
//! | a CONNACK that tells of a malformed packet or an error of the protocol before the close | a server may close without it [MQTT5-3.1.4-1] |
//! | the short and the long form of an acknowledgement | the Reason Code 0x00 may be left out |
//! | the order of properties, but for User Properties | it has no meaning; that of User Properties has [MQTT5-3.3.2-17] |
//! | the values of the server's Packet Identifiers | any that is not in use; what is compared is whether it is a new one |
//! | outbound Topic Aliases | whether a server uses them is its choice: they are resolved |
//! | up to five seconds of a Message Expiry Interval above 100 | it is lowered by the time that passed [MQTT5-3.3.2-6] |
//! | DISCONNECT before the close, but for 0x8E | whether a server says why, and which of several fitting reasons |
//! | order between different topics, between different QoS, and between messages and acknowledgements | [MQTT5-4.6.0-6] binds each topic and QoS alone |
//! | order of PUBRELs | it follows that of the PUBRECs [MQTT5-4.6.0-4], and so the order in which the messages came; each broker's own is checked |
//! | copies for overlapping subscriptions | one message or one for each: merged to the highest QoS and all Subscription Identifiers |
//!
//! Copies are merged only for a session that has had more than one Topic Filter, and no more of them than it has had.

use std::collections::BTreeSet;

use crate::bytes::prop;
use crate::received::{Ack, Connack, Disconnected, Properties, Published};

/// One packet, or the end of a connection.
#[derive(Clone, Debug)]
pub enum Answer {
    Message(Message),
    /// PUBREL of the message with this payload.
    Release(String),
    /// Whatever else, by what keeps its order, and as it is compared.
    Other(&'static str, String),
}

/// A PUBLISH without what the specifications leave open.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    dup: bool,
    retain: bool,
    /// What is to be said of the Packet Identifier: whether it is new, and whether it may be.
    pub packet_id: &'static str,
    subscriptions: BTreeSet<Vec<u8>>,
    properties: Vec<String>,
}

impl Message {
    /// From a PUBLISH whose alias is resolved.
    pub fn new(packet: &Published, packet_id: &'static str) -> Self {
        let Properties(properties) = &packet.properties;
        let subscriptions = properties.iter();
        let subscriptions = subscriptions.filter(|(id, _)| *id == prop::SUBSCRIPTION_IDENTIFIER);
        let kept = |id: u8| id != prop::SUBSCRIPTION_IDENTIFIER && id != prop::TOPIC_ALIAS;
        let mut rest: Vec<_> = properties.iter().filter(|(id, _)| kept(*id)).collect();
        // Stable: User Properties stay as they are.
        rest.sort_by_key(|(id, _)| *id);
        Self {
            topic: packet.topic.clone(),
            payload: name(&packet.payload),
            qos: packet.qos,
            dup: packet.dup,
            retain: packet.retain,
            packet_id,
            subscriptions: subscriptions.map(|(_, value)| value.clone()).collect(),
            properties: rest
                .into_iter()
                .map(|(id, value)| property(*id, value))
                .collect(),
        }
    }

    /// Takes over a copy of the same message that another subscription of the same client was sent.
    fn merges(&mut self, copy: &Self) -> bool {
        let same = self.topic == copy.topic
            && self.payload == copy.payload
            && self.retain == copy.retain
            && self.properties == copy.properties
            && (self.qos != copy.qos || self.dup == copy.dup);
        if same {
            if copy.qos > self.qos {
                (self.qos, self.dup, self.packet_id) = (copy.qos, copy.dup, copy.packet_id);
            }
            self.subscriptions
                .extend(copy.subscriptions.iter().cloned());
        }
        same
    }

    fn line(&self) -> String {
        let mut line = format!("PUBLISH {} q{}", self.topic, self.qos);
        line.push_str(if self.dup { " dup" } else { "" });
        line.push_str(if self.retain { " retain" } else { "" });
        line.push_str(self.packet_id);
        for each in &self.subscriptions {
            line.push_str(&format!(" subscription {each:02x?}"));
        }
        for each in &self.properties {
            line.push_str(&format!(" {each}"));
        }
        format!("{line} {}", self.payload)
    }
}

fn property(id: u8, value: &[u8]) -> String {
    if id == prop::MESSAGE_EXPIRY_INTERVAL {
        let seconds = value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        if seconds > 100 {
            return format!("expiry ~{}", seconds.div_ceil(5) * 5);
        }
    }
    format!("{id:#04x}:{value:02x?}")
}

/// A payload as a name for its message: short ones as they are, long ones by what they begin with.
pub fn name(payload: &[u8]) -> String {
    let begin = String::from_utf8_lossy(&payload[..payload.len().min(24)]);
    if payload.len() > 24 {
        let sum = payload.iter().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
        });
        return format!("{begin:?}… of {} bytes, sum {sum:08x}", payload.len());
    }
    format!("{begin:?}")
}

/// CONNACK of either version, unless it only tells what is wrong with the packet.
pub fn connack(packet: &[u8], v5: bool) -> Option<Answer> {
    let line = if v5 {
        let connack = Connack::v5(packet);
        if matches!(connack.reason, 0x81 | 0x82) {
            return None;
        }
        let assigned = connack.properties.one(prop::ASSIGNED_CLIENT_IDENTIFIER);
        let assigned = assigned.map_or("", |_| " assigned");
        format!(
            "CONNACK {} {:#04x}{assigned}",
            connack.flags, connack.reason
        )
    } else {
        assert_eq!(packet.len(), 4, "a CONNACK of 3.1.1: {packet:02x?}");
        format!("CONNACK {} {:#04x}", packet[2], packet[3])
    };
    Some(Answer::Other("CONNACK", line))
}

/// PUBACK, PUBREC, PUBCOMP, SUBACK or UNSUBACK, for what the client has sent.
pub fn acknowledgement(packet: &[u8], v5: bool) -> Answer {
    let kind = match packet[0] {
        0x40 => "PUBACK",
        0x50 => "PUBREC",
        0x70 => "PUBCOMP",
        0x90 => "SUBACK",
        0xb0 => "UNSUBACK",
        _ => return Answer::Other("unexpected", format!("unexpected {packet:02x?}")),
    };
    if !v5 {
        return Answer::Other(kind, format!("{kind} {:02x?}", &packet[2..]));
    }
    let mut ack = Ack::v5(packet);
    if matches!(
        (packet[0], &ack.reasons[..]),
        (0x40 | 0x50, [0x10]) | (0x70, [0x92])
    ) {
        ack.reasons = vec![0];
    }
    Answer::Other(
        kind,
        format!("{kind} {} {:02x?}", ack.packet_id, ack.reasons),
    )
}

/// The end of a connection, with the DISCONNECT that came before.
pub fn end(disconnect: Option<&[u8]>) -> Answer {
    let taken_over = disconnect.is_some_and(|packet| Disconnected::v5(packet).reason == 0x8e);
    let line = if taken_over {
        "closed: taken over"
    } else {
        "closed"
    };
    Answer::Other("~", line.to_owned())
}

/// The lines of one client, for a session that has had so many Topic Filters.
pub fn lines(answers: &[Answer], filters: usize) -> Vec<String> {
    let mut merged: Vec<(Answer, usize)> = Vec::new();
    for answer in answers {
        let taken = merged.iter_mut().find_map(|(before, copies)| {
            let same = *copies < filters && is_copy(before, answer);
            same.then(|| *copies += 1)
        });
        if taken.is_none() {
            merged.push((answer.clone(), 1));
        }
    }
    let mut lines: Vec<_> = merged.iter().map(|(answer, _)| keyed(answer)).collect();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.into_iter().map(|(_, line)| line).collect()
}

fn is_copy(before: &mut Answer, answer: &Answer) -> bool {
    match (before, answer) {
        (Answer::Message(before), Answer::Message(copy)) => before.merges(copy),
        (Answer::Release(before), Answer::Release(copy)) => before == copy,
        _ => false,
    }
}

/// What keeps its order with what, and the line.
fn keyed(answer: &Answer) -> (String, String) {
    match answer {
        Answer::Message(message) => {
            let key = format!("PUBLISH {} {}", message.topic, message.qos);
            (key, message.line())
        }
        Answer::Release(payload) => {
            let line = format!("PUBREL of {payload}");
            (line.clone(), line)
        }
        Answer::Other(kind, line) => ((*kind).to_owned(), line.clone()),
    }
}
