//! MQTT 5.0: each property in each packet that a client may send, legal and illegal.
//!
//! [`PROPERTIES`] is table 2-4 of the specification, without the packets that only a server sends. All rows
//! come from it: where a property may not stand, twice, out of its range, cut at each byte.

use crate::bytes::{packet, prop, section, string, vbi};

use super::rows::Answer::{Alive, Silence, Told};
use super::rows::{Answer, Row, Version, run, start};

/// A packet, or part of one, that has properties and that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Connect,
    Will,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
}

use Carrier::{
    Auth, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Subscribe, Unsubscribe,
    Will,
};

const CARRIERS: [Carrier; 11] = [
    Connect,
    Will,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
];

impl Carrier {
    /// The packet with these bytes in the place of Property Length and properties.
    fn with(self, section: &[u8]) -> Vec<u8> {
        let connect = |flags: u8| [&string("MQTT")[..], &[5, flags, 0, 60]].concat();
        let client_id = string("row");
        let (first, before, after) = match self {
            Connect => (0x10, connect(0x02), client_id),
            Will => {
                let before = [connect(0x06), vec![0], client_id].concat();
                (0x10, before, [string("will"), string("m")].concat())
            }
            Publish => (0x32, [&string("t")[..], &[0, 1]].concat(), vec![b'm']),
            Puback => (0x40, vec![0, 1, 0], vec![]),
            Pubrec => (0x50, vec![0, 1, 0], vec![]),
            Pubrel => (0x62, vec![0, 1, 0], vec![]),
            Pubcomp => (0x70, vec![0, 1, 0], vec![]),
            Subscribe => (0x82, vec![0, 1], [&string("t")[..], &[0]].concat()),
            Unsubscribe => (0xa2, vec![0, 1], string("t")),
            Disconnect => (0xe0, vec![0], vec![]),
            Auth => (0xf0, vec![0x18], vec![]),
        };
        packet(first, &[&before, section, &after].concat())
    }

    fn row(self, name: String, answer: Answer, properties: &[u8]) -> Row {
        self.row_of(name, answer, &section(properties))
    }

    fn row_of(self, name: String, answer: Answer, section: &[u8]) -> Row {
        let name = format!("{self:?}: {name}");
        match self {
            Connect | Will => Row::fresh(name, answer, self.with(section)),
            _ => Row::open(name, answer, self.with(section)),
        }
    }

    /// What comes of the packet if there is nothing wrong with its properties.
    fn if_legal(self) -> Answer {
        match self {
            Disconnect => Silence,
            // There was no Authentication Method in CONNECT.
            Auth => Told(0x82),
            _ => Alive,
        }
    }
}

/// A row of table 2-4.
struct Property {
    id: u8,
    /// A legal value, as it stands in the packet.
    value: &'static [u8],
    /// Where it may stand.
    carriers: &'static [Carrier],
}

const fn may(id: u8, value: &'static [u8], carriers: &'static [Carrier]) -> Property {
    Property {
        id,
        value,
        carriers,
    }
}

const MESSAGES: &[Carrier] = &[Publish, Will];
const REASONED: &[Carrier] = &[Puback, Pubrec, Pubrel, Pubcomp, Disconnect, Auth];

const PROPERTIES: [Property; 27] = [
    may(prop::PAYLOAD_FORMAT_INDICATOR, &[1], MESSAGES),
    may(prop::MESSAGE_EXPIRY_INTERVAL, &[0, 0, 0, 9], MESSAGES),
    may(prop::CONTENT_TYPE, b"\0\x01c", MESSAGES),
    may(prop::RESPONSE_TOPIC, b"\0\x01r", MESSAGES),
    may(prop::CORRELATION_DATA, b"\0\x02d\0", MESSAGES),
    may(
        prop::SUBSCRIPTION_IDENTIFIER,
        &[0x80, 1],
        &[Publish, Subscribe],
    ),
    may(
        prop::SESSION_EXPIRY_INTERVAL,
        &[0; 4],
        &[Connect, Disconnect],
    ),
    may(prop::ASSIGNED_CLIENT_IDENTIFIER, b"\0\x01i", &[]),
    may(prop::SERVER_KEEP_ALIVE, &[0, 9], &[]),
    may(prop::AUTHENTICATION_METHOD, b"\0\x01m", &[Connect, Auth]),
    may(prop::AUTHENTICATION_DATA, b"\0\x01d", &[Connect, Auth]),
    may(prop::REQUEST_PROBLEM_INFORMATION, &[0], &[Connect]),
    may(prop::WILL_DELAY_INTERVAL, &[0; 4], &[Will]),
    may(prop::REQUEST_RESPONSE_INFORMATION, &[1], &[Connect]),
    may(prop::RESPONSE_INFORMATION, b"\0\x01i", &[]),
    may(prop::SERVER_REFERENCE, b"\0\x01s", &[Disconnect]),
    may(prop::REASON_STRING, b"\0\x01r", REASONED),
    may(prop::RECEIVE_MAXIMUM, &[0, 9], &[Connect]),
    may(prop::TOPIC_ALIAS_MAXIMUM, &[0, 0], &[Connect]),
    may(prop::TOPIC_ALIAS, &[0, 1], &[Publish]),
    may(prop::MAXIMUM_QOS, &[0], &[]),
    may(prop::RETAIN_AVAILABLE, &[1], &[]),
    may(prop::USER_PROPERTY, b"\0\x01n\0\x01v", &CARRIERS),
    may(prop::MAXIMUM_PACKET_SIZE, &[0, 0, 1, 0], &[Connect]),
    may(prop::WILDCARD_SUBSCRIPTION_AVAILABLE, &[1], &[]),
    may(prop::SUBSCRIPTION_IDENTIFIER_AVAILABLE, &[1], &[]),
    may(prop::SHARED_SUBSCRIPTION_AVAILABLE, &[1], &[]),
];

impl Property {
    fn bytes(&self) -> Vec<u8> {
        [&[self.id], self.value].concat()
    }

    /// Whether the packet has this property when a client sends it, and not only when a server does.
    fn is_a_clients(&self, carrier: Carrier) -> bool {
        match (self.id, carrier) {
            (prop::SUBSCRIPTION_IDENTIFIER, Publish) | (prop::SERVER_REFERENCE, Disconnect) => {
                false
            }
            _ => self.carriers.contains(&carrier),
        }
    }
}

/// Each property with each packet that a client sends with it.
fn legal_pairs() -> impl Iterator<Item = (&'static Property, Carrier)> {
    let all = PROPERTIES
        .iter()
        .flat_map(|property| CARRIERS.map(|carrier| (property, carrier)));
    all.filter(|(property, carrier)| property.is_a_clients(*carrier))
}

#[track_caller]
fn check(rows: &[Row]) {
    run(&start(""), Version::V5, rows);
}

/// The property is taken where it may stand. Where table 2-4 does not have it the packet is malformed (section
/// 2.2.2.2), and where only a server may send it it is a Protocol Error.
// Breaks if: `PropertyId::ContentType` joins the arm of `PropertyId::WillDelayInterval` in `ConnectProperties::read`
// of src/codec/connect.rs, or a `_ => return section.not_allowed()` of any decoder skips the property.
#[test]
fn each_property_in_each_packet() {
    let row = |property: &Property, carrier: Carrier| {
        let answer = match (property.id, carrier) {
            (prop::AUTHENTICATION_METHOD, Connect) => Told(0x8c),
            // There is no method.
            (prop::AUTHENTICATION_DATA, Connect) => Told(0x82),
            _ if property.is_a_clients(carrier) => carrier.if_legal(),
            _ if property.carriers.contains(&carrier) => Told(0x82),
            _ => Told(0x81),
        };
        carrier.row(format!("{:#04x}", property.id), answer, &property.bytes())
    };
    let rows = PROPERTIES
        .iter()
        .flat_map(|property| CARRIERS.map(|carrier| row(property, carrier)));
    check(&rows.collect::<Vec<_>>());
}

/// Also those of two and more bytes, and 0x26 in two.
// Breaks if: `Section::next_id` in src/codec/section.rs takes an unknown identifier for a User Property's.
#[test]
fn unknown_properties() {
    let known = |id: &u8| PROPERTIES.iter().any(|property| property.id == *id);
    let one_byte = (0..=0x7f).filter(|id| !known(id)).map(|id| vec![id]);
    let longer: [&[u8]; 5] = [
        &[0x80],
        &[0x81, 0x00],
        &[0xa6, 0x00],
        &[0x80, 0x01],
        &[0xff; 5],
    ];
    let ids: Vec<_> = one_byte.chain(longer.map(Vec::from)).collect();
    let mut rows = Vec::new();
    for carrier in CARRIERS {
        let all = matches!(carrier, Connect | Publish);
        for id in ids
            .iter()
            .filter(|id| all || id.len() > 1 || id[0] % 16 == 0)
        {
            // What would be a value of any form.
            let property = [&id[..], &[0, 1, b'x', 0, 1, b'y']].concat();
            rows.push(carrier.row(format!("{id:02x?}"), Told(0x81), &property));
        }
    }
    check(&rows);
}

/// Only User Properties may come again.
// Breaks if: `Section::next_id` in src/codec/section.rs does not look at `seen`, or `repeatable` begins with more.
#[test]
fn each_property_twice() {
    let mut rows = Vec::new();
    for (property, carrier) in legal_pairs() {
        let once = property.bytes();
        let between = [0x26, 0, 0, 0, 0];
        let answer = match property.id {
            prop::USER_PROPERTY => carrier.if_legal(),
            _ => Told(0x82),
        };
        let id = property.id;
        rows.push(carrier.row(
            format!("{id:#04x} twice"),
            answer,
            &[&once[..], &once].concat(),
        ));
        let apart = [&once[..], &between, &once].concat();
        rows.push(carrier.row(format!("{id:#04x} twice, apart"), answer, &apart));
    }
    check(&rows);
}

/// Values that parse and that the specification calls a Protocol Error, or gives a code of their own.
// Breaks if: `Section::flag`, `nonzero_u16` or `nonzero_u32` in src/codec/section.rs take every value; with a bound of
// 2 in `flag`, the row of 2 alone tells.
#[test]
fn values_out_of_range() {
    let mut rows = Vec::new();
    let flags = [
        (prop::PAYLOAD_FORMAT_INDICATOR, Publish),
        (prop::PAYLOAD_FORMAT_INDICATOR, Will),
        (prop::REQUEST_PROBLEM_INFORMATION, Connect),
        (prop::REQUEST_RESPONSE_INFORMATION, Connect),
    ];
    for (id, carrier) in flags {
        for value in 0..=255 {
            let answer = if value < 2 { Alive } else { Told(0x82) };
            rows.push(carrier.row(format!("{id:#04x} is {value}"), answer, &[id, value]));
        }
    }
    let others: [(Carrier, &[u8], Answer); 14] = [
        (Connect, &[prop::RECEIVE_MAXIMUM, 0, 0], Told(0x82)),
        (Connect, &[prop::RECEIVE_MAXIMUM, 0xff, 0xff], Alive),
        (
            Connect,
            &[prop::MAXIMUM_PACKET_SIZE, 0, 0, 0, 0],
            Told(0x82),
        ),
        (
            Connect,
            &[prop::MAXIMUM_PACKET_SIZE, 0xff, 0xff, 0xff, 0xff],
            Alive,
        ),
        (Connect, &[prop::TOPIC_ALIAS_MAXIMUM, 0xff, 0xff], Alive),
        (
            Connect,
            &[prop::SESSION_EXPIRY_INTERVAL, 0xff, 0xff, 0xff, 0xff],
            Alive,
        ),
        (Publish, &[prop::TOPIC_ALIAS, 0, 0], Told(0x94)),
        (Publish, &[prop::TOPIC_ALIAS, 0, 32], Alive),
        (Publish, &[prop::TOPIC_ALIAS, 0, 33], Told(0x94)),
        (Publish, &[prop::TOPIC_ALIAS, 0xff, 0xff], Told(0x94)),
        (Subscribe, &[prop::SUBSCRIPTION_IDENTIFIER, 0], Told(0x82)),
        (
            Subscribe,
            &[prop::SUBSCRIPTION_IDENTIFIER, 0xff, 0xff, 0xff, 0x7f],
            Alive,
        ),
        (
            Disconnect,
            &[prop::SESSION_EXPIRY_INTERVAL, 0, 0, 0, 1],
            Told(0x82),
        ),
        (
            Will,
            &[prop::WILL_DELAY_INTERVAL, 0xff, 0xff, 0xff, 0xff],
            Alive,
        ),
    ];
    let others =
        others.map(|(carrier, bytes, answer)| carrier.row(format!("{bytes:02x?}"), answer, bytes));
    rows.extend(others);
    check(&rows);
}

/// Values of the right length that cannot be parsed: a Subscription Identifier that is no Variable Byte Integer, a
/// Response Topic that is no Topic Name.
// Breaks if: `Section::topic_name` in src/codec/section.rs does not check, or `Variable::read` in src/codec/reader.rs
// takes a fifth byte.
#[test]
fn values_that_are_malformed() {
    let mut rows = Vec::new();
    let bad: [&[u8]; 4] = [
        &[0x80, 0],
        &[0x81, 0x80, 0],
        &[0xff; 4],
        &[0xff, 0xff, 0xff, 0xff, 1],
    ];
    for value in bad {
        let property = [&[prop::SUBSCRIPTION_IDENTIFIER], value].concat();
        rows.push(Subscribe.row(format!("identifier {value:02x?}"), Told(0x81), &property));
    }
    for topic in ["", "#", "+", "a/#", "a/+/b", "a+", "a#b"] {
        for carrier in [Publish, Will] {
            let property = [&[prop::RESPONSE_TOPIC], &string(topic)[..]].concat();
            rows.push(carrier.row(format!("Response Topic {topic:?}"), Told(0x81), &property));
        }
    }
    check(&rows);
}

/// The section ends in the middle of a property, everything else being as it should.
// Breaks if: `Reader::take` or `array` in src/codec/reader.rs give what is there instead of an error.
#[test]
fn properties_cut_at_each_byte() {
    let mut rows = Vec::new();
    for (property, carrier) in legal_pairs() {
        let whole = property.bytes();
        for length in 1..whole.len() {
            let name = format!("{:#04x} cut to {length}", property.id);
            rows.push(carrier.row(name, Told(0x81), &whole[..length]));
        }
    }
    check(&rows);
}

/// A Property Length beyond its packet, beyond any packet, or not a Variable Byte Integer at all; and one
/// that ends within a property.
// Breaks if: `Section::open` in src/codec/section.rs takes what is there if the length says more, or `Reader::variable`
// in src/codec/reader.rs takes more than the shortest form.
#[test]
fn property_lengths_that_are_wrong() {
    let mut rows = Vec::new();
    for carrier in CARRIERS {
        let mut add = |what: &str, section: &[u8]| {
            rows.push(carrier.row_of(what.to_owned(), Told(0x81), section));
        };
        add("127 of fewer", &[0x7f]);
        add("16,383 of fewer", &vbi(16_383));
        add("268,435,455 of fewer", &vbi(268_435_455));
        add("0 in two bytes", &[0x80, 0]);
        add("0 in four bytes", &[0x80, 0x80, 0x80, 0]);
        add("0 in five bytes", &[0x80, 0x80, 0x80, 0x80, 0]);
        add("0xffffffff", &[0xff, 0xff, 0xff, 0xff]);
        add("0xffffffff01", &[0xff, 0xff, 0xff, 0xff, 1]);
        add("five in two bytes", &[0x85, 0, 0x26, 0, 0, 0, 0]);
        add("one short", &[4, 0x26, 0, 0, 0, 0]);
        // All that is left of the packet, and one byte more.
        let body = carrier.with(&[0x26, 0, 0, 0, 0]);
        let left = match carrier {
            Connect => 5 + 5,
            Will => 5 + 9,
            Publish => 5 + 1,
            Subscribe => 5 + 4,
            Unsubscribe => 5 + 3,
            _ => 5,
        };
        assert!(body.ends_with(&body[body.len() - left..]));
        add("one more than is left", &[left as u8 + 1, 0x26, 0, 0, 0, 0]);
    }
    check(&rows);
}
