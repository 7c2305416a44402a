use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::filters::{FiltersBuf, RetainHandling, SubscriptionOptions};
use crate::codec::packet::Packet;
use crate::codec::qos::QoS;
use crate::codec::testing::{V3, VERSIONS, golden, refusal, refused, section};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn two_filters() -> FiltersBuf {
    let mut filters = FiltersBuf::new();
    filters
        .push("a/#", SubscriptionOptions::v3(QoS::AtLeastOnce))
        .unwrap();
    filters
        .push("+", SubscriptionOptions::v3(QoS::ExactlyOnce))
        .unwrap();
    filters
}

fn subscribe<'a>(filters: &'a FiltersBuf) -> Subscribe<'a> {
    Subscribe {
        packet_id: id(10),
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: filters.as_ref(),
    }
}

#[test]
fn the_plain_form() {
    let filters = two_filters();
    for version in V3 {
        let bytes = b"\x82\x0C\0\x0A\0\x03a/#\x01\0\x01+\x02";
        golden(
            version,
            Client,
            bytes,
            Packet::Subscribe(subscribe(&filters)),
        );
    }
    let bytes = b"\x82\x0D\0\x0A\0\0\x03a/#\x01\0\x01+\x02";
    golden(
        Version::V5,
        Client,
        bytes,
        Packet::Subscribe(subscribe(&filters)),
    );
}

#[test]
fn options_and_properties_of_5_0() {
    let mut filters = FiltersBuf::new();
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
    };
    filters.push("a", options).unwrap();
    let shared = SubscriptionOptions {
        retain_handling: RetainHandling::IfNew,
        ..SubscriptionOptions::default()
    };
    filters.push("$share/g/a", shared).unwrap();
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let packet = Subscribe {
        subscription_id: Some(300),
        user_properties: users.as_ref(),
        ..subscribe(&filters)
    };
    let bytes = b"\x82\x1E\0\x0A\x0A\x0B\xAC\x02\x26\0\x01k\0\x01v\0\x01a\x2E\0\x0A$share/g/a\x10";
    golden(Version::V5, Client, bytes, Packet::Subscribe(packet));
}

#[test]
fn refused_in_every_version() {
    for version in VERSIONS {
        let cases: &[(&str, &[u8], ReasonCode)] = &[
            ("nothing", b"", MalformedPacket),
            ("id 0", b"\0\0.\0\x01a\0", ProtocolError),
            ("no filter", b"\0\x01.", ProtocolError),
            ("half a length", b"\0\x01.\0", MalformedPacket),
            (
                "a filter that runs out",
                b"\0\x01.\0\x09a\0",
                MalformedPacket,
            ),
            ("no options", b"\0\x01.\0\x01a", MalformedPacket),
            (
                "no options at the second",
                b"\0\x01.\0\x01a\0\0\x01b",
                MalformedPacket,
            ),
            ("an empty filter", b"\0\x01.\0\0\0", MalformedPacket),
            ("a misplaced #", b"\0\x01.\0\x03#/a\0", MalformedPacket),
            ("a misplaced +", b"\0\x01.\0\x02a+\0", MalformedPacket),
            ("U+0000", b"\0\x01.\0\x02a\0\0", MalformedPacket),
            ("not UTF-8", b"\0\x01.\0\x01\xFF\0", MalformedPacket),
            ("no ShareName", b"\0\x01.\0\x09$share//a\0", MalformedPacket),
            (
                "no shared filter",
                b"\0\x01.\0\x08$share/g\0",
                MalformedPacket,
            ),
            (
                "an empty shared filter",
                b"\0\x01.\0\x09$share/g/\0",
                MalformedPacket,
            ),
            (
                "a wildcard ShareName",
                b"\0\x01.\0\x0A$share/+/a\0",
                MalformedPacket,
            ),
        ];
        for (what, template, code) in cases {
            // A dot stands where 5.0 has an empty property section.
            let parts: Vec<&[u8]> = template.split(|&byte| byte == b'.').collect();
            let body = if version == Version::V5 {
                parts.join(&0)
            } else {
                parts.concat()
            };
            refused(version, Client, 0x82, &[(what, &body, *code)]);
        }
    }
}

#[test]
fn options_that_are_refused() {
    for version in V3 {
        for byte in 3..=u8::MAX {
            let bytes = [0x82, 6, 0, 1, 0, 1, b'a', byte];
            assert_eq!(
                refusal(version, Client, &bytes).code,
                MalformedPacket,
                "{byte:#x}"
            );
        }
    }
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("QoS 3", b"\0\x01\0\0\x01a\x03", ProtocolError),
        ("retain handling 3", b"\0\x01\0\0\x01a\x30", ProtocolError),
        ("reserved bit 6", b"\0\x01\0\0\x01a\x40", MalformedPacket),
        ("reserved bit 7", b"\0\x01\0\0\x01a\x80", MalformedPacket),
        (
            "No Local, shared",
            b"\0\x01\0\0\x0A$share/g/a\x04",
            ProtocolError,
        ),
    ];
    refused(Version::V5, Client, 0x82, cases);
}

#[test]
fn properties_that_are_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("subscription id 0", b"\x0B\0", ProtocolError),
        ("subscription id twice", b"\x0B\x01\x0B\x02", ProtocolError),
        (
            "subscription id too long",
            b"\x0B\xFF\xFF\xFF\xFF\x01",
            MalformedPacket,
        ),
        ("a reason string", b"\x1F\0\0", MalformedPacket),
    ];
    for (what, properties, code) in cases {
        let body = [b"\0\x01", &section(&[properties])[..], b"\0\x01a\0"].concat();
        refused(Version::V5, Client, 0x82, &[(what, &body, *code)]);
    }
}

#[test]
fn what_has_no_form() {
    let mut filters = FiltersBuf::new();
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    filters.push("a", options).unwrap();
    let mut out = Vec::new();
    assert!(
        subscribe(&filters).encode(Version::V311, &mut out).is_err(),
        "No Local in 3.1.1"
    );
    assert!(
        subscribe(&FiltersBuf::new())
            .encode(Version::V5, &mut out)
            .is_err(),
        "no filter"
    );
    let two = two_filters();
    for bad in [0, 268_435_456] {
        let subscribe = Subscribe {
            subscription_id: Some(bad),
            ..subscribe(&two)
        };
        assert!(
            subscribe.encode(Version::V5, &mut out).is_err(),
            "subscription id {bad}"
        );
    }
    assert!(out.is_empty());
}

fn suback(codes: &[u8]) -> Suback<'_> {
    Suback {
        packet_id: id(10),
        reason_string: None,
        user_properties: UserProperties::default(),
        codes,
    }
}

#[test]
fn suback_forms() {
    let answer = suback(&[0, 1, 2, 0x80]);
    for version in V3 {
        let bytes = b"\x90\x06\0\x0A\0\x01\x02\x80";
        golden(version, Server, bytes, Packet::Suback(answer));
    }
    let bytes = b"\x90\x07\0\x0A\0\0\x01\x02\x80";
    golden(Version::V5, Server, bytes, Packet::Suback(answer));
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let long = Suback {
        reason_string: Some("r"),
        user_properties: users.as_ref(),
        ..answer
    };
    let bytes = b"\x90\x12\0\x0A\x0B\x1F\0\x01r\x26\0\x01k\0\x01v\0\x01\x02\x80";
    golden(Version::V5, Server, bytes, Packet::Suback(long));
    assert_eq!(long.encoded_len(Version::V5), bytes.len());
    assert_eq!(long.encoded_len(Version::V311), 8);
}

#[test]
fn suback_errors_become_0x80_in_3_x() {
    let mut out = Vec::new();
    suback(&[0x87, 2, 0x9E])
        .encode(Version::V311, &mut out)
        .unwrap();
    assert_eq!(out, b"\x90\x05\0\x0A\x80\x02\x80");
}

#[test]
fn subacks_that_are_refused() {
    for byte in 0..=u8::MAX {
        let listed =
            ReasonCode::from_byte(byte).is_some_and(|code| code.allowed_in(PacketType::Suback));
        let bytes = [0x90, 4, 0, 1, 0, byte];
        if !listed {
            assert_eq!(
                refusal(Version::V5, Server, &bytes).code,
                ProtocolError,
                "{byte:#x}"
            );
        }
        if !matches!(byte, 0 | 1 | 2 | 0x80) {
            let bytes = [0x90, 3, 0, 1, byte];
            assert_eq!(
                refusal(Version::V311, Server, &bytes).code,
                ProtocolError,
                "{byte:#x}"
            );
        }
    }
    refused(
        Version::V311,
        Server,
        0x90,
        &[("no code", b"\0\x01", ProtocolError)],
    );
    refused(
        Version::V5,
        Server,
        0x90,
        &[("no code", b"\0\x01\0", ProtocolError)],
    );
    assert_eq!(
        refusal(Version::V5, Client, b"\x90\x04\0\x01\0\0").code,
        ProtocolError
    );
    assert!(suback(&[]).encode(Version::V5, &mut Vec::new()).is_err());
}
