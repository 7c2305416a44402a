//! Packets of MQTT 5.0 and 3.1.1 as bytes, built by hand.
//!
//! The broker's own codec is not used here: it would be its own judge. Each builder writes what it is told,
//! right or wrong, so that a breach is as easy to write as the right thing:
//!
//! ```text
//! Connect::v5("me").clean(false).property(four(prop::SESSION_EXPIRY_INTERVAL, 60)).bytes()
//! Connect::v5("me").flags(0x03).bytes()                        reserved flag set
//! Publish::v5("a/b", b"hi").qos(1, 7).property(pair("k", "v")).bytes()
//! packet(0x36, &[&string("a")[..], &[0, 1, 0]].concat())        anything at all
//! ```
//!
//! What the broker sends is taken apart in [`crate::received`].

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0x00];
/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xd0, 0x00];
/// DISCONNECT in its shortest form, which both versions have.
pub const DISCONNECT: [u8; 2] = [0xe0, 0x00];

/// Property identifiers of MQTT 5.0, section 2.2.2.2.
#[allow(dead_code, reason = "the table of the specification, as a whole")]
pub mod prop {
    pub const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
    pub const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1a;
    pub const SERVER_REFERENCE: u8 = 0x1c;
    pub const REASON_STRING: u8 = 0x1f;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
    pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2a;
}

/// A Variable Byte Integer in its shortest form.
pub fn vbi(value: usize) -> Vec<u8> {
    assert!(value <= 268_435_455, "beyond a Variable Byte Integer");
    let mut rest = value;
    let mut bytes = Vec::new();
    loop {
        let more = if rest >= 128 { 0x80 } else { 0 };
        bytes.push((rest % 128) as u8 | more);
        rest /= 128;
        if rest == 0 {
            return bytes;
        }
    }
}

/// A UTF-8 Encoded String or Binary Data: two bytes of length, then exactly these bytes, valid or not.
pub fn string(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).expect("at most 65,535 bytes");
    [&length.to_be_bytes(), content].concat()
}

/// A packet from its first byte and all that follows the Remaining Length.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], &vbi(body.len())[..], body].concat()
}

/// A property of one byte.
pub fn byte(id: u8, value: u8) -> Vec<u8> {
    vec![id, value]
}

/// A property of a Two Byte Integer.
pub fn two(id: u8, value: u16) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

/// A property of a Four Byte Integer.
pub fn four(id: u8, value: u32) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

/// A property of a Variable Byte Integer.
pub fn number(id: u8, value: usize) -> Vec<u8> {
    [&[id], &vbi(value)[..]].concat()
}

/// A property of a string or of Binary Data.
pub fn text(id: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id], &string(content)[..]].concat()
}

/// A User Property.
pub fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[prop::USER_PROPERTY], &string(name)[..], &string(value)].concat()
}

/// Properties with their length before them, as they stand in every packet that has them.
pub fn section(properties: &[u8]) -> Vec<u8> {
    [&vbi(properties.len())[..], properties].concat()
}

/// A CONNECT, at first with Clean Start (Clean Session) 1 and a Keep Alive of 60 s.
#[derive(Clone)]
pub struct Connect {
    protocol: Vec<u8>,
    version: u8,
    /// The flags, if not to be derived from what else is there.
    flags: Option<u8>,
    clean: bool,
    keep_alive: u16,
    properties: Vec<u8>,
    client_id: Vec<u8>,
    will: Option<Will>,
    user_name: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

impl Connect {
    pub fn v5(client_id: impl AsRef<[u8]>) -> Self {
        Self::version(5, client_id)
    }

    pub fn v311(client_id: impl AsRef<[u8]>) -> Self {
        Self::version(4, client_id)
    }

    /// With this byte as the Protocol Version. From 5 on there are properties.
    pub fn version(version: u8, client_id: impl AsRef<[u8]>) -> Self {
        Self {
            protocol: b"MQTT".to_vec(),
            version,
            flags: None,
            clean: true,
            keep_alive: 60,
            properties: Vec::new(),
            client_id: client_id.as_ref().to_vec(),
            will: None,
            user_name: None,
            password: None,
        }
    }

    /// The Protocol Name, instead of `MQTT`.
    pub fn protocol(mut self, name: impl AsRef<[u8]>) -> Self {
        self.protocol = name.as_ref().to_vec();
        self
    }

    /// The Connect Flags, whatever else is there: what is in the payload does not change with them.
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = Some(flags);
        self
    }

    /// Clean Start of MQTT 5.0, Clean Session of 3.1.1.
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// Seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// One more property.
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The Session Expiry Interval, in seconds, as a property.
    pub fn expiry(self, seconds: u32) -> Self {
        self.property(four(prop::SESSION_EXPIRY_INTERVAL, seconds))
    }

    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub fn user_name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.user_name = Some(name.as_ref().to_vec());
        self
    }

    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let will = self.will.as_ref();
        let derived = u8::from(self.clean) << 1
            | will.map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5)
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.user_name.is_some()) << 7;
        let mut body = string(&self.protocol);
        body.extend([self.version, self.flags.unwrap_or(derived)]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.version >= 5 {
            body.extend(section(&self.properties));
        }
        body.extend(string(&self.client_id));
        if let Some(will) = will {
            if self.version >= 5 {
                body.extend(section(&will.properties));
            }
            body.extend(string(&will.topic));
            body.extend(string(&will.payload));
        }
        for field in [&self.user_name, &self.password].into_iter().flatten() {
            body.extend(string(field));
        }
        packet(0x10, &body)
    }
}

/// The Will of a [`Connect`].
#[derive(Clone)]
pub struct Will {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Vec<u8>,
}

impl Will {
    /// At QoS 0, not retained.
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            properties: Vec::new(),
        }
    }

    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// One more Will Property.
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The Will Delay Interval, in seconds, as a property.
    pub fn delay(self, seconds: u32) -> Self {
        self.property(four(prop::WILL_DELAY_INTERVAL, seconds))
    }
}

/// A PUBLISH, at first with QoS 0 and neither DUP nor RETAIN.
#[derive(Clone)]
pub struct Publish {
    version: u8,
    topic: Vec<u8>,
    qos: u8,
    packet_id: u16,
    dup: bool,
    retain: bool,
    properties: Vec<u8>,
    payload: Vec<u8>,
}

impl Publish {
    pub fn v5(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            version: 5,
            topic: topic.as_ref().to_vec(),
            qos: 0,
            packet_id: 0,
            dup: false,
            retain: false,
            properties: Vec::new(),
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn v311(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            version: 4,
            ..Self::v5(topic, payload)
        }
    }

    /// The QoS, and the Packet Identifier, which is there unless the QoS is 0.
    pub fn qos(mut self, qos: u8, packet_id: u16) -> Self {
        self.qos = qos;
        self.packet_id = packet_id;
        self
    }

    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// One more property.
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The Topic Alias, as a property.
    pub fn alias(self, alias: u16) -> Self {
        self.property(two(prop::TOPIC_ALIAS, alias))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = string(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        if self.version >= 5 {
            body.extend(section(&self.properties));
        }
        body.extend(&self.payload);
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        packet(0x30 | flags, &body)
    }
}

/// SUBSCRIBE of MQTT 5.0: each Topic Filter with its Subscription Options.
pub fn subscribe_5(packet_id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(section(properties));
    body.extend(with_options(filters));
    packet(0x82, &body)
}

/// SUBSCRIBE of MQTT 3.1.1: each Topic Filter with its requested QoS.
pub fn subscribe_311(packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    packet(
        0x82,
        &[&packet_id.to_be_bytes(), &with_options(filters)[..]].concat(),
    )
}

fn with_options(filters: &[(&str, u8)]) -> Vec<u8> {
    let entries = filters
        .iter()
        .flat_map(|(filter, options)| [string(filter), vec![*options]]);
    entries.flatten().collect()
}

/// UNSUBSCRIBE of MQTT 5.0.
pub fn unsubscribe_5(packet_id: u16, properties: &[u8], filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(section(properties));
    body.extend(filters.iter().flat_map(string));
    packet(0xa2, &body)
}

/// UNSUBSCRIBE of MQTT 3.1.1.
pub fn unsubscribe_311(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(filters.iter().flat_map(string));
    packet(0xa2, &body)
}

/// PUBACK in the form that both versions have: in MQTT 5.0, without a Reason Code it is 0x00.
pub fn puback(packet_id: u16) -> Vec<u8> {
    packet(0x40, &packet_id.to_be_bytes())
}

/// PUBREC in the form that both versions have.
pub fn pubrec(packet_id: u16) -> Vec<u8> {
    packet(0x50, &packet_id.to_be_bytes())
}

/// PUBREL in the form that both versions have.
pub fn pubrel(packet_id: u16) -> Vec<u8> {
    packet(0x62, &packet_id.to_be_bytes())
}

/// PUBCOMP in the form that both versions have.
pub fn pubcomp(packet_id: u16) -> Vec<u8> {
    packet(0x70, &packet_id.to_be_bytes())
}

/// An acknowledgement of MQTT 5.0 (by its first byte: 0x40, 0x50, 0x62, 0x70) in its long form.
pub fn ack_5(first: u8, packet_id: u16, reason: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.push(reason);
    body.extend(section(properties));
    packet(first, &body)
}

/// DISCONNECT of MQTT 5.0 in its long form.
pub fn disconnect_5(reason: u8, properties: &[u8]) -> Vec<u8> {
    packet(0xe0, &[&[reason], &section(properties)[..]].concat())
}

/// AUTH in its long form.
pub fn auth_5(reason: u8, properties: &[u8]) -> Vec<u8> {
    packet(0xf0, &[&[reason], &section(properties)[..]].concat())
}
