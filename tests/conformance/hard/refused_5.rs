//! MQTT 5.0: what is malformed or forbidden outside of properties, each with its Reason Code and the close.

use crate::bytes::{
    Connect, Publish, Will, ack_5, auth_5, disconnect_5, packet, pair, prop, string, text, vbi,
};

use super::rows::Answer::{Alive, Silence, Told};
use super::rows::{Answer, Row, Version, run, start};

/// The packets of a client's that may come after CONNACK, with the flags they have.
const CLIENTS: [(&str, u8); 10] = [
    ("PUBLISH", 0x30),
    ("PUBACK", 0x40),
    ("PUBREC", 0x50),
    ("PUBREL", 0x62),
    ("PUBCOMP", 0x70),
    ("SUBSCRIBE", 0x82),
    ("UNSUBSCRIBE", 0xa2),
    ("PINGREQ", 0xc0),
    ("DISCONNECT", 0xe0),
    ("AUTH", 0xf0),
];

/// A body with which the packet is well-formed.
fn body(first: u8) -> Vec<u8> {
    match first >> 4 {
        1 => Connect::v5("row").bytes()[2..].to_vec(),
        3 if first & 6 == 0 => [&string("t")[..], &[0, b'm']].concat(),
        3 => [&string("t")[..], &[0, 1, 0, b'm']].concat(),
        8 => [&[0, 1, 0], &string("t")[..], &[0]].concat(),
        10 => [&[0, 1, 0], &string("t")[..]].concat(),
        4..=7 => vec![0, 1],
        _ => vec![],
    }
}

#[track_caller]
fn check(rows: &[Row]) {
    run(&start(""), Version::V5, rows);
}

/// All 256 first bytes.
// Breaks if: `check_flags` or `check_publish_flags` in src/codec/header.rs let one more value pass, or `check_sender`
// one packet of a server's.
#[test]
fn every_first_byte() {
    let row = |first: u8| {
        let answer = match (first >> 4, first & 0x0f) {
            // One that is none, or the second one.
            (1, 0) | (2 | 9 | 11 | 13, _) => Told(0x82),
            // No method was agreed on.
            (15, 0) => Told(0x82),
            (14, 0) => Silence,
            (3, flags) if flags & 6 != 6 && flags & 0x0e != 8 => Alive,
            (4 | 5 | 7 | 12, 0) | (6 | 8 | 10, 2) => Alive,
            _ => Told(0x81),
        };
        Row::open(
            format!("first byte {first:#04x}"),
            answer,
            packet(first, &body(first)),
        )
    };
    let mut rows: Vec<_> = (0..=255).map(row).collect();
    for flags in 1..16 {
        let first = 0x10 | flags;
        let bytes = packet(first, &body(first));
        rows.push(Row::fresh(
            format!("CONNECT as {first:#04x}"),
            Told(0x81),
            bytes,
        ));
    }
    check(&rows);
}

/// Nothing but a CONNECT may come first, and nobody is told why it may not: no version has been said.
// Breaks if: `Connection::handshake` in src/broker/connection.rs does not look at the first byte, and `before_open` in
// src/broker/handshake.rs takes a PINGREQ.
#[test]
fn first_packets_that_are_no_connect() {
    let row = |first: u8| {
        let name = format!("first of all {first:#04x}");
        Row::fresh(name, Silence, packet(first, &body(first)))
    };
    let others = (0..=255u8).filter(|first| first >> 4 != 1);
    check(&others.map(row).collect::<Vec<_>>());
}

/// The Remaining Length not in its shortest form, of five bytes, or beyond what the broker takes.
// Breaks if: `read_rest` in src/codec/header.rs does not look at `shortest`, or `remaining_length` takes five bytes or
// does not look at `maximum`.
#[test]
fn remaining_lengths() {
    let mut rows = Vec::new();
    for (name, first) in CLIENTS {
        let body = body(first);
        let length = body.len() as u8;
        for zeros in 1..=3 {
            let mut bytes = vec![first, length | 0x80];
            bytes.extend(vec![0x80; zeros - 1]);
            bytes.extend([&[0], &body[..]].concat());
            rows.push(Row::open(
                format!("{name}, {zeros} zeros"),
                Told(0x81),
                bytes,
            ));
        }
        let overlong: [&[u8]; 3] = [
            &[0x80, 0x80, 0x80, 0x80, 0],
            &[0xff; 5],
            &[0xff, 0xff, 0xff, 0xff, 1],
        ];
        for length in overlong {
            let bytes = [&[first], length, &body].concat();
            rows.push(Row::open(
                format!("{name} of {length:02x?}"),
                Told(0x81),
                bytes,
            ));
        }
        // The default maximum is 1 MiB, header included.
        for length in [(1 << 20) - 3, 2_097_151, 2_097_152, 268_435_455] {
            let bytes = [&[first][..], &vbi(length)].concat();
            rows.push(Row::open(format!("{name} of {length}"), Told(0x95), bytes));
        }
    }
    let connect = body(0x10);
    let padded = [&[0x10, connect.len() as u8 | 0x80, 0][..], &connect].concat();
    rows.push(Row::fresh("CONNECT, a zero", Told(0x81), padded));
    let overlong = [&[0x10, 0xff, 0xff, 0xff, 0xff, 1][..], &connect].concat();
    rows.push(Row::fresh("CONNECT of five bytes", Silence, overlong));
    let huge = [&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &connect].concat();
    rows.push(Row::fresh("CONNECT of 268,435,455", Told(0x95), huge));
    check(&rows);
}

/// Bytes behind the last field.
// Breaks if: `Reader::finish` in src/codec/reader.rs is left out of a decoder.
#[test]
fn trailing_bytes() {
    let reason = |first: u8| packet(first, &[0, 1, 0, 0, 0]);
    let mut connect = body(0x10);
    connect.push(0);
    let with_will = Connect::v5("row")
        .will(Will::new("t", "m"))
        .user_name("u")
        .password("p");
    let mut full = with_will.bytes()[2..].to_vec();
    full.push(0);
    let mut rows = vec![
        Row::fresh("CONNECT", Told(0x81), packet(0x10, &connect)),
        Row::fresh("CONNECT with all fields", Told(0x81), packet(0x10, &full)),
        Row::open("PINGREQ", Told(0x81), packet(0xc0, &[0])),
        Row::open("DISCONNECT", Told(0x81), packet(0xe0, &[0, 0, 0])),
        Row::open("AUTH", Told(0x81), packet(0xf0, &[0x18, 3, 0x15, 0, 0, 0])),
        Row::open(
            "SUBSCRIBE",
            Told(0x81),
            packet(0x82, b"\0\x01\0\0\x01t\0\0"),
        ),
        Row::open(
            "UNSUBSCRIBE",
            Told(0x81),
            packet(0xa2, b"\0\x01\0\0\x01t\0"),
        ),
    ];
    rows.extend(
        [0x40, 0x50, 0x62, 0x70]
            .map(|first| Row::open(format!("{first:#04x}"), Told(0x81), reason(first))),
    );
    check(&rows);
}

/// Each packet, whole but for its last bytes: its Remaining Length is right, its fields are not there.
// Breaks if: `Ack::decode` in src/codec/ack.rs takes one byte, `Filters::read` in src/codec/filters.rs no options byte,
// or any other decoder a field that ends early.
#[test]
fn bodies_cut_at_each_byte() {
    let name_value = pair("n", "v");
    let will = Will::new("w", "m").property(pair("n", "v"));
    let connect = Connect::v5("row")
        .will(will)
        .property(name_value.clone())
        .user_name("u")
        .password("p");
    let bytes = connect.bytes();
    let mut rows = Vec::new();
    for length in 0..bytes.len() - 2 {
        // Before the version is there, nobody can be told.
        let answer = if length < 7 { Silence } else { Told(0x81) };
        rows.push(Row::fresh(
            format!("CONNECT of {length}"),
            answer,
            packet(0x10, &bytes[2..2 + length]),
        ));
    }
    let topic = string("t");
    let section = [&[7], &name_value[..]].concat();
    assert_eq!(section.len(), 8);
    let publish = [&topic, &[0, 1][..], &section].concat();
    let acknowledgement = [&[0, 1, 0], &section[..]].concat();
    let subscribe = [&[0, 1], &section[..], &topic, &[0], &topic, &[0]].concat();
    let unsubscribe = [&[0, 1], &section[..], &topic, &topic].concat();
    let mut cut = |first: u8, whole: &[u8], answers: &[(usize, Answer)]| {
        for length in 0..=whole.len() {
            let answer = answers.iter().find(|(at, _)| *at == length);
            let answer = answer.map_or(Told(0x81), |(_, answer)| *answer);
            let name = format!("{first:#04x} of {length}");
            rows.push(Row::open(name, answer, packet(first, &whole[..length])));
        }
    };
    cut(0x32, &publish, &[(publish.len(), Alive)]);
    for first in [0x40, 0x50, 0x62, 0x70] {
        cut(
            first,
            &acknowledgement,
            &[(2, Alive), (3, Alive), (11, Alive)],
        );
    }
    // No Topic Filter is a Protocol Error.
    cut(
        0x82,
        &subscribe,
        &[(10, Told(0x82)), (14, Alive), (18, Alive)],
    );
    cut(
        0xa2,
        &unsubscribe,
        &[(10, Told(0x82)), (13, Alive), (16, Alive)],
    );
    cut(
        0xe0,
        &acknowledgement[2..],
        &[(0, Silence), (1, Silence), (9, Silence)],
    );
    // Without a method it is never right.
    let auth = [&[0x18], &section[..]].concat();
    cut(0xf0, &auth, &[(0, Told(0x82)), (9, Told(0x82))]);
    check(&rows);
}

/// What no string may be.
const BAD_STRINGS: [&[u8]; 22] = [
    b"\0",
    b"a\0",
    b"\0a",
    b"a\0b",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xbf\xbf",
    b"a\xed\xa0\xbd\xed\xb8\x80",
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"a\xff",
    b"\x80",
    b"a\xe2\x82",
    b"\xc3",
    b"\xc3(",
];

/// A string of a packet, and the packet with these bytes in it.
type Place = (&'static str, fn(&[u8]) -> Vec<u8>);

const IN_CONNECT: [Place; 10] = [
    ("Client Identifier", |bad| Connect::v5(bad).bytes()),
    ("Will Topic", |bad| {
        Connect::v5("row").will(Will::new(bad, "")).bytes()
    }),
    ("User Name", |bad| Connect::v5("row").user_name(bad).bytes()),
    ("User Name and Password", |bad| {
        Connect::v5("row").user_name(bad).password("p").bytes()
    }),
    ("name", |bad| {
        Connect::v5("row").property(pair(bad, "v")).bytes()
    }),
    ("value", |bad| {
        Connect::v5("row").property(pair("n", bad)).bytes()
    }),
    ("Authentication Method", |bad| {
        Connect::v5("row")
            .property(text(prop::AUTHENTICATION_METHOD, bad))
            .bytes()
    }),
    ("Will's Content Type", |bad| {
        with_will(text(prop::CONTENT_TYPE, bad))
    }),
    ("Will's Response Topic", |bad| {
        with_will(text(prop::RESPONSE_TOPIC, bad))
    }),
    ("Will's value", |bad| with_will(pair("n", bad))),
];

const BEHIND_CONNACK: [Place; 16] = [
    ("Topic Name", |bad| Publish::v5(bad, "m").bytes()),
    ("Topic Name, with alias", |bad| {
        Publish::v5(bad, "m").alias(1).bytes()
    }),
    ("Response Topic", |bad| {
        publish(text(prop::RESPONSE_TOPIC, bad))
    }),
    ("Content Type", |bad| publish(text(prop::CONTENT_TYPE, bad))),
    ("PUBLISH name", |bad| publish(pair(bad, "v"))),
    ("PUBLISH value", |bad| publish(pair("n", bad))),
    ("Topic Filter", |bad| {
        packet(0x82, &[&[0, 1, 0], &string(bad)[..], &[0]].concat())
    }),
    ("second Topic Filter", |bad| {
        packet(
            0x82,
            &[b"\0\x01\0\0\x01a\0", &string(bad)[..], &[0]].concat(),
        )
    }),
    ("UNSUBSCRIBE", |bad| {
        packet(0xa2, &[&[0, 1, 0], &string(bad)[..]].concat())
    }),
    ("PUBACK reason", |bad| {
        ack_5(0x40, 1, 0, &text(prop::REASON_STRING, bad))
    }),
    ("PUBREC reason", |bad| {
        ack_5(0x50, 1, 0, &text(prop::REASON_STRING, bad))
    }),
    ("PUBREL name", |bad| ack_5(0x62, 1, 0, &pair(bad, ""))),
    ("PUBCOMP value", |bad| ack_5(0x70, 1, 0, &pair("", bad))),
    ("DISCONNECT reason", |bad| {
        disconnect_5(0, &text(prop::REASON_STRING, bad))
    }),
    ("AUTH method", |bad| {
        auth_5(0x18, &text(prop::AUTHENTICATION_METHOD, bad))
    }),
    ("ShareName", |bad| {
        let filter = [b"$share/", bad, b"/t"].concat();
        packet(0x82, &[&[0, 1, 0], &string(filter)[..], &[0]].concat())
    }),
];

/// U+0000, surrogates, overlong and broken UTF-8, in each field that is a string; and none of them does any harm
/// in what is not one.
// Breaks if: any of `string`, `topic_name`, `user_property` in src/codec/section.rs or a decoder reads the string as
// Binary Data.
#[test]
fn strings_that_are_none() {
    let mut rows = Vec::new();
    for bad in BAD_STRINGS {
        let name = |place: &str| format!("{place} {bad:02x?}");
        rows.extend(
            IN_CONNECT.map(|(place, bytes)| Row::fresh(name(place), Told(0x81), bytes(bad))),
        );
        rows.extend(
            BEHIND_CONNACK.map(|(place, bytes)| Row::open(name(place), Told(0x81), bytes(bad))),
        );
        let payloads = Connect::v5("row")
            .will(Will::new("w", bad))
            .user_name("u")
            .password(bad);
        rows.push(Row::fresh(
            name("Will Payload and Password"),
            Alive,
            payloads.bytes(),
        ));
        let payload = Publish::v5("t", bad).property(text(prop::CORRELATION_DATA, bad));
        rows.push(Row::open(
            name("payload and Correlation Data"),
            Alive,
            payload.bytes(),
        ));
    }
    check(&rows);
}

fn publish(property: Vec<u8>) -> Vec<u8> {
    Publish::v5("t", "m").property(property).bytes()
}

fn with_will(property: Vec<u8>) -> Vec<u8> {
    Connect::v5("row")
        .will(Will::new("w", "").property(property))
        .bytes()
}
