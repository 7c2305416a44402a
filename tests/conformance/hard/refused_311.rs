//! MQTT 3.1.1: what is malformed or forbidden, and the close that answers it; a code only in CONNACK.

use crate::bytes::{Connect, Publish, Will, packet, string, subscribe_311, unsubscribe_311, vbi};
use crate::support::broker::Broker;

use super::rows::Answer::{Alive, Silence, Told};
use super::rows::{Answer, Row, Version, run, start};

/// A body with which the packet is well-formed.
fn body(first: u8) -> Vec<u8> {
    match first >> 4 {
        1 => Connect::v311("row").bytes()[2..].to_vec(),
        3 if first & 6 == 0 => [&string("t")[..], b"m"].concat(),
        3 => [&string("t")[..], &[0, 1, b'm']].concat(),
        8 => [&[0, 1], &string("t")[..], &[0]].concat(),
        10 => [&[0, 1], &string("t")[..]].concat(),
        4..=7 => vec![0, 1],
        _ => vec![],
    }
}

#[track_caller]
fn check(rows: &[Row]) {
    run(&start(""), Version::V311, rows);
}

/// All 256 first bytes, after CONNACK and before CONNECT.
// Breaks if: `check_flags`, `check_publish_flags` or `check_sender` in src/codec/header.rs let one more value pass, or the
// exception for MQTT 3.1 holds for 3.1.1.
#[test]
fn every_first_byte() {
    let mut rows = Vec::new();
    for first in 0..=255u8 {
        let bytes = packet(first, &body(first));
        let answer = match (first >> 4, first & 0x0f) {
            (3, flags) if flags & 6 != 6 && flags & 0x0e != 8 => Alive,
            (4 | 5 | 7 | 12, 0) | (6 | 8 | 10, 2) => Alive,
            _ => Silence,
        };
        rows.push(Row::open(format!("{first:#04x}"), answer, bytes.clone()));
        let answer = if first == 0x10 { Alive } else { Silence };
        rows.push(Row::fresh(format!("first {first:#04x}"), answer, bytes));
    }
    check(&rows);
}

/// Five bytes of Remaining Length, and more than the broker takes. That the length is in its shortest form is not
/// asked of MQTT 3.1.1.
// Breaks if: `remaining_length` in src/codec/header.rs takes a fifth byte, or `read_rest` looks at `shortest` in every
// version.
#[test]
fn remaining_lengths() {
    let mut rows = Vec::new();
    for first in [0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0] {
        let body = body(first);
        let overlong: [&[u8]; 3] = [
            &[0x80, 0x80, 0x80, 0x80, 0],
            &[0xff; 5],
            &[0xff, 0xff, 0xff, 0xff, 1],
        ];
        for length in overlong {
            let bytes = [&[first], length, &body].concat();
            rows.push(Row::open(
                format!("{first:#04x} of {length:02x?}"),
                Silence,
                bytes,
            ));
        }
        for length in [(1 << 20) - 3, 2_097_152, 268_435_455] {
            let bytes = [&[first][..], &vbi(length)].concat();
            rows.push(Row::open(
                format!("{first:#04x} of {length}"),
                Silence,
                bytes,
            ));
        }
        let padded = [&[first, body.len() as u8 | 0x80, 0x80, 0][..], &body].concat();
        let answer = if first == 0xe0 { Silence } else { Alive };
        rows.push(Row::open(format!("{first:#04x}, padded"), answer, padded));
    }
    let connect = body(0x10);
    for length in [&[0xff, 0xff, 0xff, 0xff, 1][..], &[0xff, 0xff, 0xff, 0x7f]] {
        let bytes = [&[0x10], length, &connect].concat();
        rows.push(Row::fresh(
            format!("CONNECT of {length:02x?}"),
            Silence,
            bytes,
        ));
    }
    check(&rows);
}

/// Bytes behind the last field, among them a Reason Code and properties of MQTT 5.0; and bodies that are cut.
// Breaks if: `Ack::decode` or `Disconnect::decode` in src/codec reads a Reason Code in every version, or `Reader::take` in
// src/codec/reader.rs gives less than was asked for.
#[test]
fn bodies_too_long_and_too_short() {
    let mut rows = Vec::new();
    for first in [0x40, 0x50, 0x62, 0x70] {
        for bytes in [&[0, 1, 0][..], &[0, 1, 0, 0], &[0], &[]] {
            rows.push(Row::open(
                format!("{first:#04x} {bytes:?}"),
                Silence,
                packet(first, bytes),
            ));
        }
    }
    for first in [0xc0, 0xe0] {
        for bytes in [&[0][..], &[0, 0], b"more"] {
            rows.push(Row::open(
                format!("{first:#04x} {bytes:?}"),
                Silence,
                packet(first, bytes),
            ));
        }
    }
    let mut cut = |first: u8, whole: &[u8], alive: &[usize]| {
        for length in 0..=whole.len() {
            let answer = if alive.contains(&length) {
                Alive
            } else {
                Silence
            };
            rows.push(Row::open(
                format!("{first:#04x} cut to {length}"),
                answer,
                packet(first, &whole[..length]),
            ));
        }
    };
    cut(0x32, b"\0\x01t\0\x01", &[5]);
    cut(0x30, b"\0\x01t", &[3]);
    cut(0x82, b"\0\x01\0\x01t\0\0\x01u\0", &[6, 10]);
    cut(0xa2, b"\0\x01\0\x01t\0\x01u", &[5, 8]);
    let connect = Connect::v311("row")
        .will(Will::new("w", "m"))
        .user_name("u")
        .password("p")
        .bytes();
    for length in 0..connect.len() - 2 {
        let bytes = packet(0x10, &connect[2..2 + length]);
        rows.push(Row::fresh(
            format!("CONNECT cut to {length}"),
            Silence,
            bytes,
        ));
    }
    let longer = packet(0x10, &[&connect[2..], &[0]].concat());
    rows.push(Row::fresh("CONNECT and a byte", Silence, longer));
    check(&rows);
}

/// All 256 flags of CONNECT. A password without a User Name is right in 5.0 only.
// Breaks if: `check_flags` in src/codec/connect.rs does not ask for the version, or lets one more value pass.
#[test]
fn every_connect_flags() {
    let row = |flags: u8| {
        let (will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
        let (name, password) = (flags & 0x80 != 0, flags & 0x40 != 0);
        let alone = flags & 1 != 0 || qos == 3 || (!will && (qos > 0 || retain));
        let mut connect = Connect::v311("row").flags(flags);
        if will {
            connect = connect.will(Will::new("w", "m"));
        }
        if name {
            connect = connect.user_name("u");
        }
        if password {
            connect = connect.password("p");
        }
        let wrong = alone || (password && !name);
        let answer = if wrong { Silence } else { Alive };
        Row::fresh(format!("flags {flags:#010b}"), answer, connect.bytes())
    };
    check(&(0..=255).map(row).collect::<Vec<_>>());
}

/// Return code 1 for every version that is not spoken, 2 for a session that is to be kept without a name.
// Breaks if: `connect_version` or `known_version` in src/codec/connect.rs takes one more version, or `check_empty_id` in
// src/session/terms.rs does not look at Clean Session.
#[test]
fn versions_and_identifiers() {
    // From 6 to 127 it is one that may come, and is answered as 5.0 is. 4 with the highest bit is a bridge's.
    let old = (0..4).chain(128..=255).filter(|version| *version != 0x84);
    let mut rows: Vec<_> = old
        .map(|version| {
            let bytes = packet(
                0x10,
                &[&string("MQTT")[..], &[version, 2, 0, 60], &string("row")].concat(),
            );
            Row::fresh(format!("version {version}"), Told(1), bytes)
        })
        .collect();
    let names: [&[u8]; 7] = [
        b"", b"mqtt", b"MQTT ", b"MQT", b"MQISDP", b"\xff", b"MQTT\0",
    ];
    rows.extend(names.map(|name| {
        let bytes = Connect::v311("row").protocol(name).bytes();
        Row::fresh(format!("name {name:02x?}"), Silence, bytes)
    }));
    rows.extend([
        Row::fresh(
            "nameless, kept",
            Told(2),
            Connect::v311("").clean(false).bytes(),
        ),
        Row::fresh("nameless, not kept", Alive, Connect::v311("").bytes()),
    ]);
    check(&rows);
}

/// 4 or 5 for who may not come in.
// Breaks if: `ReasonCode::connack_v3` in src/codec/reason.rs has no code for a name that is wrong.
#[test]
fn connects_of_nobody() {
    let broker = Broker::configured("[auth]\nanonymous = false\n");
    for connect in [
        Connect::v311("row"),
        Connect::v311("row").user_name("u"),
        Connect::v311("row").user_name("u").password("p"),
        Connect::v311("row").user_name("").password(""),
    ] {
        let mut client = crate::support::raw::RawClient::connect(broker.tcp);
        client.send(&connect.bytes());
        let connack = client.packet();
        assert_eq!(connack[..3], [0x20, 2, 0]);
        assert!(matches!(connack[3], 4 | 5), "{connack:02x?}");
        client.expect_closed();
    }
}

/// 0 as a Packet Identifier, every QoS that is none, and empty lists.
// Breaks if: `QoS::from_bits` in src/codec/qos.rs takes more than two bits of the options, or `check_count` in
// src/codec/filters.rs takes 0.
#[test]
fn fields_with_forbidden_values() {
    let mut rows = Vec::new();
    let mut add =
        |name: String, answer: Answer, bytes: Vec<u8>| rows.push(Row::open(name, answer, bytes));
    for first in [0x40, 0x50, 0x62, 0x70] {
        add(
            format!("{first:#04x} of 0"),
            Silence,
            packet(first, &[0, 0]),
        );
    }
    for qos in [1, 2] {
        add(
            format!("PUBLISH {qos} of 0"),
            Silence,
            Publish::v311("t", "").qos(qos, 0).bytes(),
        );
    }
    add(
        "SUBSCRIBE of 0".into(),
        Silence,
        subscribe_311(0, &[("t", 0)]),
    );
    add(
        "UNSUBSCRIBE of 0".into(),
        Silence,
        unsubscribe_311(0, &["t"]),
    );
    for options in 0..=255 {
        let answer = if options < 3 { Alive } else { Silence };
        add(
            format!("QoS {options}"),
            answer,
            subscribe_311(1, &[("t", options)]),
        );
        add(
            format!("second QoS {options}"),
            answer,
            subscribe_311(1, &[("t", 0), ("t", options)]),
        );
    }
    add(
        "SUBSCRIBE to nothing".into(),
        Silence,
        subscribe_311(1, &[]),
    );
    add(
        "UNSUBSCRIBE of nothing".into(),
        Silence,
        unsubscribe_311(1, &[]),
    );
    check(&rows);
}

/// What no message is published to.
const NO_TOPICS: [&str; 7] = ["", "#", "+", "a/#", "a/+/b", "a+b", "a#"];

/// Topics with wildcards, filters with misplaced ones, and both without a character.
// Breaks if: `name::check` or `filter::parse` in src/topic takes an empty text, or a wildcard that it should not.
#[test]
fn topics_and_filters_that_are_none() {
    let mut rows = Vec::new();
    let mut add =
        |name: String, answer: Answer, bytes: Vec<u8>| rows.push(Row::open(name, answer, bytes));
    for filter in [
        "", "a#", "#a", "#/a", "a/#/b", "##", "a+", "+a", "a/+b", "++", "+#",
    ] {
        add(
            format!("SUBSCRIBE {filter:?}"),
            Silence,
            subscribe_311(1, &[("t", 0), (filter, 0)]),
        );
        add(
            format!("UNSUBSCRIBE {filter:?}"),
            Silence,
            unsubscribe_311(1, &["t", filter]),
        );
    }
    for topic in NO_TOPICS {
        for qos in 0..3 {
            add(
                format!("PUBLISH {topic:?}"),
                Silence,
                Publish::v311(topic, "").qos(qos, 1).bytes(),
            );
        }
    }
    for topic in NO_TOPICS {
        let connect = Connect::v311("row").will(Will::new(topic, "m"));
        rows.push(Row::fresh(
            format!("Will to {topic:?}"),
            Silence,
            connect.bytes(),
        ));
    }
    check(&rows);
}

/// U+0000, surrogates, overlong and broken UTF-8 in each string, and in what is none.
// Breaks if: a decoder reads one of these strings as Binary Data.
#[test]
fn strings_that_are_none() {
    let mut rows = Vec::new();
    let bad: [&[u8]; 14] = [
        b"\0",
        b"a\0b",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xc0\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\x80",
        b"a\xe2\x82",
        b"\xc3(",
    ];
    for bad in bad {
        let connect = || Connect::v311("row");
        let fresh = [
            ("Client Identifier", Silence, Connect::v311(bad)),
            ("Will Topic", Silence, connect().will(Will::new(bad, ""))),
            ("User Name", Silence, connect().user_name(bad)),
            ("Password", Alive, connect().user_name("u").password(bad)),
            ("Will Message", Alive, connect().will(Will::new("w", bad))),
        ];
        rows.extend(fresh.map(|(place, answer, connect)| {
            Row::fresh(format!("{place} {bad:02x?}"), answer, connect.bytes())
        }));
        let open = [
            ("topic", Silence, Publish::v311(bad, "m").bytes()),
            ("payload", Alive, Publish::v311("t", bad).bytes()),
            (
                "filter",
                Silence,
                packet(0x82, &[&[0, 1], &string(bad)[..], &[0]].concat()),
            ),
            (
                "no filter",
                Silence,
                packet(0xa2, &[&[0, 1], &string(bad)[..]].concat()),
            ),
        ];
        rows.extend(
            open.map(|(place, answer, bytes)| {
                Row::open(format!("{place} {bad:02x?}"), answer, bytes)
            }),
        );
    }
    check(&rows);
}
