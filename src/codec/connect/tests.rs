use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, decoded, golden, packet, refusal, refused, section};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError, UnsupportedProtocolVersion};

fn minimal(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id: "c1",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn will(topic: &'static str) -> Will<'static> {
    Will {
        qos: QoS::AtLeastOnce,
        retain: true,
        topic,
        payload: b"gone",
        properties: WillProperties::default(),
    }
}

#[test]
fn the_smallest_of_each_version() {
    let bytes = b"\x10\x10\0\x06MQIsdp\x03\x02\0\x3C\0\x02c1";
    golden(
        Version::V31,
        Client,
        bytes,
        Packet::Connect(minimal(Version::V31)),
    );
    let bytes = b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x02c1";
    golden(
        Version::V311,
        Client,
        bytes,
        Packet::Connect(minimal(Version::V311)),
    );
    let bytes = b"\x10\x0F\0\x04MQTT\x05\x02\0\x3C\0\0\x02c1";
    golden(
        Version::V5,
        Client,
        bytes,
        Packet::Connect(minimal(Version::V5)),
    );
}

#[test]
fn the_packets_own_version_counts() {
    let bytes = b"\x10\x0F\0\x04MQTT\x05\x02\0\x3C\0\0\x02c1";
    for context in V3 {
        assert_eq!(
            decoded(context, Client, bytes),
            Packet::Connect(minimal(Version::V5))
        );
    }
}

#[test]
fn all_fields_of_3_1_1() {
    let bytes =
        b"\x10\x23\0\x04MQTT\x04\xEC\0\0\0\x02c1\0\x03a/b\0\x04gone\0\x02me\0\x04\xFF\0\xFE\x01";
    let connect = Connect {
        clean_start: false,
        keep_alive: 0,
        will: Some(will("a/b")),
        user_name: Some("me"),
        password: Some(b"\xFF\0\xFE\x01"),
        ..minimal(Version::V311)
    };
    golden(Version::V311, Client, bytes, Packet::Connect(connect));
}

const PROPERTIES: &[&[u8]] = &[
    b"\x11\0\0\0\x0A",
    b"\x21\0\x14",
    b"\x27\0\0\x10\0",
    b"\x22\0\x07",
    b"\x19\x01",
    b"\x17\0",
    b"\x26\0\x01k\0\x01v",
    b"\x26\0\x01k\0\0",
    b"\x15\0\x05SCRAM",
    b"\x16\0\x02\0\xFF",
];

const WILL_PROPERTIES: &[&[u8]] = &[
    b"\x18\0\0\0\x05",
    b"\x02\0\0\0\x3C",
    b"\x01\x01",
    b"\x03\0\x04text",
    b"\x08\0\x01r",
    b"\x09\0\x02\0\x01",
    b"\x26\0\x01w\0\x01x",
];

#[test]
fn all_fields_of_5_0() {
    let bytes = packet(
        0x10,
        &[
            b"\0\x04MQTT\x05\xEE\0\x3C",
            &section(PROPERTIES),
            b"\0\x02c1",
            &section(WILL_PROPERTIES),
            b"\0\x03a/b\0\x04gone\0\x02me\0\x02pw",
        ],
    );
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    users.push("k", "").unwrap();
    let mut will_users = UserPropertiesBuf::new();
    will_users.push("w", "x").unwrap();
    let will_properties = WillProperties {
        delay: 5,
        payload_format: Some(true),
        message_expiry: Some(60),
        content_type: Some("text"),
        response_topic: Some("r"),
        correlation_data: Some(b"\0\x01"),
        user_properties: will_users.as_ref(),
    };
    let connect = Connect {
        properties: ConnectProperties {
            session_expiry: Some(10),
            receive_maximum: NonZeroU16::new(20),
            maximum_packet_size: NonZeroU32::new(4096),
            topic_alias_maximum: 7,
            request_response_information: true,
            request_problem_information: false,
            user_properties: users.as_ref(),
            authentication_method: Some("SCRAM"),
            authentication_data: Some(b"\0\xFF"),
        },
        will: Some(Will {
            properties: will_properties,
            ..will("a/b")
        }),
        user_name: Some("me"),
        password: Some(b"pw"),
        ..minimal(Version::V5)
    };
    golden(Version::V5, Client, &bytes, Packet::Connect(connect));
    let mut forwarded = Vec::new();
    will_properties.write_forwarded(&mut forwarded);
    assert_eq!(
        forwarded,
        WILL_PROPERTIES[2..].concat(),
        "neither delay nor expiry"
    );
    assert_eq!(will_properties.forwarded_len(), forwarded.len());
}

#[test]
fn a_password_alone_is_for_5_0() {
    let connect = Connect {
        password: Some(b"pw"),
        ..minimal(Version::V5)
    };
    let bytes = b"\x10\x13\0\x04MQTT\x05\x42\0\x3C\0\0\x02c1\0\x02pw";
    golden(Version::V5, Client, bytes, Packet::Connect(connect));
    for version in V3 {
        let mut out = Vec::new();
        let connect = Connect {
            password: Some(b"pw"),
            ..minimal(version)
        };
        let error = EncodeError::NoForm("a password without a user name");
        assert_eq!(connect.encode(&mut out), Err(error));
        assert!(out.is_empty());
    }
}

#[test]
fn bridges_announce_themselves_in_3_x() {
    let connect = Connect {
        bridge: true,
        ..minimal(Version::V311)
    };
    let bytes = b"\x10\x0E\0\x04MQTT\x84\x02\0\x3C\0\x02c1";
    golden(Version::V311, Client, bytes, Packet::Connect(connect));
    let connect = Connect {
        bridge: true,
        ..minimal(Version::V31)
    };
    let bytes = b"\x10\x10\0\x06MQIsdp\x83\x02\0\x3C\0\x02c1";
    golden(Version::V31, Client, bytes, Packet::Connect(connect));
    let bytes = b"\x10\x0F\0\x04MQTT\x85\x02\0\x3C\0\0\x02c1";
    assert_eq!(
        refusal(Version::V5, Client, bytes).code,
        UnsupportedProtocolVersion
    );
}

#[test]
fn an_empty_client_id_is_the_sessions_business() {
    let connect = Connect {
        client_id: "",
        clean_start: false,
        ..minimal(Version::V311)
    };
    let bytes = b"\x10\x0C\0\x04MQTT\x04\0\0\x3C\0\0";
    golden(Version::V311, Client, bytes, Packet::Connect(connect));
}

#[test]
fn a_server_sends_none() {
    let bytes = b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x02c1";
    assert_eq!(refusal(Version::V311, Server, bytes).code, ProtocolError);
}

#[test]
fn other_protocols_are_unsupported() {
    refused(
        Version::V311,
        Client,
        0x10,
        &[
            (
                "level 6",
                b"\0\x04MQTT\x06\x02\0\x3C\0\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "level 0",
                b"\0\x04MQTT\0\x02\0\x3C\0\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "MQTT 3",
                b"\0\x04MQTT\x03\x02\0\x3C\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "MQIsdp 4",
                b"\0\x06MQIsdp\x04\x02\0\x3C\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "lower case",
                b"\0\x04mqtt\x04\x02\0\x3C\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "longer name",
                b"\0\x05MQTT2\x04\x02\0\x3C\0\x02c1",
                UnsupportedProtocolVersion,
            ),
            (
                "no name",
                b"\0\0\x04\x02\0\x3C\0\x02c1",
                UnsupportedProtocolVersion,
            ),
        ],
    );
}

#[test]
fn malformed_in_every_version() {
    // Keep Alive, Client Identifier and so on follow a name, a level and these flags.
    let cases: &[(&str, &[u8])] = &[
        ("nothing after the level", b""),
        ("will QoS 3", b"\x1E\0\x3C.\0\x02c1.\0\x01a\0\0"),
        ("will QoS without a will", b"\x0A\0\x3C.\0\x02c1"),
        ("will retain without a will", b"\x22\0\x3C.\0\x02c1"),
        ("half a keep alive", b"\x02\0"),
        ("no client id", b"\x02\0\x3C."),
        ("a client id that runs out", b"\x02\0\x3C.\0\x05c1"),
        ("a client id that is not UTF-8", b"\x02\0\x3C.\0\x02c\xFF"),
        ("a client id with U+0000", b"\x02\0\x3C.\0\x02c\0"),
        ("bytes after the last field", b"\x02\0\x3C.\0\x02c1\0"),
        ("a missing will", b"\x06\0\x3C.\0\x02c1"),
        ("a missing will payload", b"\x06\0\x3C.\0\x02c1.\0\x01a"),
        ("an empty will topic", b"\x06\0\x3C.\0\x02c1.\0\0\0\0"),
        (
            "a wildcard in the will topic",
            b"\x06\0\x3C.\0\x02c1.\0\x01#\0\0",
        ),
        (
            "a will topic that is not UTF-8",
            b"\x06\0\x3C.\0\x02c1.\0\x01\xC0\0\0",
        ),
        ("a missing user name", b"\x82\0\x3C.\0\x02c1"),
        (
            "a user name with a surrogate",
            b"\x82\0\x3C.\0\x02c1\0\x03\xED\xA0\x80",
        ),
        ("a missing password", b"\xC2\0\x3C.\0\x02c1\0\x02me"),
        (
            "a password that runs out",
            b"\xC2\0\x3C.\0\x02c1\0\x02me\0\x09pw",
        ),
        ("an unannounced user name", b"\x02\0\x3C.\0\x02c1\0\x02me"),
    ];
    for (what, tail) in cases {
        // A dot stands where 5.0 has an empty property section.
        let parts: Vec<&[u8]> = tail.split(|&byte| byte == b'.').collect();
        let without = parts.concat();
        let with = parts.join(&0);
        let bodies = [
            [&b"\0\x06MQIsdp\x03"[..], &without].concat(),
            [&b"\0\x04MQTT\x04"[..], &without].concat(),
            [&b"\0\x04MQTT\x05"[..], &with].concat(),
        ];
        for body in bodies {
            refused(
                Version::V311,
                Client,
                0x10,
                &[(what, &body, MalformedPacket)],
            );
        }
    }
}

#[test]
fn the_reserved_flag_means_nothing_in_3_1() {
    let of = |start: &[u8], tail: &[u8]| [start, tail].concat();
    let v311 = of(b"\0\x04MQTT\x04", b"\x03\0\x3C\0\x02c1");
    let v5 = of(b"\0\x04MQTT\x05", b"\x03\0\x3C\0\0\x02c1");
    for body in [v311, v5] {
        let case = ("the reserved flag", &*body, MalformedPacket);
        refused(Version::V311, Client, 0x10, &[case]);
    }
    let v31 = of(b"\0\x06MQIsdp\x03", b"\x03\0\x3C\0\x02c1");
    let bytes = packet(0x10, &[&v31]);
    let Packet::Connect(connect) = decoded(Version::V311, Client, &bytes) else {
        panic!("a CONNECT")
    };
    assert_eq!((connect.version, connect.client_id), (Version::V31, "c1"));
}

#[test]
fn a_password_alone_is_malformed_in_3_x() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        (
            "3.1.1",
            b"\0\x04MQTT\x04\x42\0\x3C\0\x02c1\0\x02pw",
            MalformedPacket,
        ),
        (
            "3.1",
            b"\0\x06MQIsdp\x03\x42\0\x3C\0\x02c1\0\x02pw",
            MalformedPacket,
        ),
    ];
    refused(Version::V311, Client, 0x10, cases);
}

#[test]
fn properties_that_are_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("receive maximum 0", b"\x21\0\0", ProtocolError),
        ("maximum packet size 0", b"\x27\0\0\0\0", ProtocolError),
        ("request problem information 2", b"\x17\x02", ProtocolError),
        ("request response information 2", b"\x19\x02", ProtocolError),
        ("authentication data alone", b"\x16\0\x01x", ProtocolError),
        (
            "session expiry twice",
            b"\x11\0\0\0\0\x11\0\0\0\0",
            ProtocolError,
        ),
        (
            "receive maximum twice",
            b"\x21\0\x01\x21\0\x01",
            ProtocolError,
        ),
        (
            "maximum packet size twice",
            b"\x27\0\0\0\x01\x27\0\0\0\x01",
            ProtocolError,
        ),
        (
            "alias maximum twice",
            b"\x22\0\x01\x22\0\x01",
            ProtocolError,
        ),
        ("request response twice", b"\x19\x01\x19\x01", ProtocolError),
        ("request problem twice", b"\x17\x01\x17\x01", ProtocolError),
        ("method twice", b"\x15\0\x01a\x15\0\x01a", ProtocolError),
        ("data twice", b"\x15\0\x01a\x16\0\0\x16\0\0", ProtocolError),
        ("a topic alias", b"\x23\0\x01", MalformedPacket),
        ("a will delay", b"\x18\0\0\0\x01", MalformedPacket),
        ("an unknown property", b"\x7F\0", MalformedPacket),
        ("property 0", b"\0", MalformedPacket),
        (
            "an identifier of two bytes",
            b"\x91\0\0\0\0\0",
            MalformedPacket,
        ),
        ("half a property", b"\x11\0\0", MalformedPacket),
        (
            "a user property without a value",
            b"\x26\0\x01k",
            MalformedPacket,
        ),
        (
            "a user property with U+0000",
            b"\x26\0\x01k\0\x01\0",
            MalformedPacket,
        ),
        (
            "a user property that is not UTF-8",
            b"\x26\0\x01\xFF\0\0",
            MalformedPacket,
        ),
    ];
    for (what, properties, code) in cases {
        let body = [
            b"\0\x04MQTT\x05\x02\0\x3C",
            &section(&[properties])[..],
            b"\0\x02c1",
        ]
        .concat();
        refused(Version::V5, Client, 0x10, &[(what, &body, *code)]);
    }
}

#[test]
fn will_properties_that_are_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("delay twice", b"\x18\0\0\0\0\x18\0\0\0\0", ProtocolError),
        ("payload format 2", b"\x01\x02", ProtocolError),
        ("payload format twice", b"\x01\x01\x01\x01", ProtocolError),
        (
            "expiry twice",
            b"\x02\0\0\0\x01\x02\0\0\0\x01",
            ProtocolError,
        ),
        ("content type twice", b"\x03\0\0\x03\0\0", ProtocolError),
        (
            "response topic twice",
            b"\x08\0\x01a\x08\0\x01a",
            ProtocolError,
        ),
        ("correlation data twice", b"\x09\0\0\x09\0\0", ProtocolError),
        (
            "a wildcard in the response topic",
            b"\x08\0\x01+",
            MalformedPacket,
        ),
        ("an empty response topic", b"\x08\0\0", MalformedPacket),
        ("a topic alias", b"\x23\0\x01", MalformedPacket),
        ("a subscription identifier", b"\x0B\x01", MalformedPacket),
        ("a session expiry", b"\x11\0\0\0\0", MalformedPacket),
    ];
    for (what, properties, code) in cases {
        let section = section(&[properties]);
        let body = [
            b"\0\x04MQTT\x05\x06\0\x3C\0\0\x02c1",
            &section[..],
            b"\0\x01a\0\0",
        ]
        .concat();
        refused(Version::V5, Client, 0x10, &[(what, &body, *code)]);
    }
}

#[test]
fn a_section_must_fit() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        (
            "too long",
            b"\0\x04MQTT\x05\x02\0\x3C\x7F\0\x02c1",
            MalformedPacket,
        ),
        (
            "no end",
            b"\0\x04MQTT\x05\x02\0\x3C\xFF\xFF\xFF\xFF\x01",
            MalformedPacket,
        ),
        (
            "not the shortest",
            b"\0\x04MQTT\x05\x02\0\x3C\x80\0\0\x02c1",
            MalformedPacket,
        ),
        (
            "a property over its end",
            b"\0\x04MQTT\x05\x02\0\x3C\x03\x11\0\0\0\0",
            MalformedPacket,
        ),
    ];
    refused(Version::V5, Client, 0x10, cases);
}

#[test]
fn a_padded_remaining_length_is_for_3_x() {
    let bytes = b"\x10\x8E\x80\0\0\x04MQTT\x04\x02\0\x3C\0\x02c1";
    assert_eq!(
        decoded(Version::V5, Client, bytes),
        Packet::Connect(minimal(Version::V311))
    );
    let bytes = b"\x10\x8F\0\0\x04MQTT\x05\x02\0\x3C\0\0\x02c1";
    assert_eq!(refusal(Version::V311, Client, bytes).code, MalformedPacket);
}

#[test]
fn the_claimed_version_is_found_in_bad_packets() {
    let cases: &[(&[u8], Option<Version>)] = &[
        (b"\x10\x0E\0\x04MQTT\x04", Some(Version::V311)),
        (b"\x10\xFF\xFF\x7F\0\x04MQTT\x05\x03", Some(Version::V5)),
        (b"\x1F\x10\0\x06MQIsdp\x03", Some(Version::V31)),
        (b"\x10\x0E\0\x04MQTT\x84", Some(Version::V311)),
        (b"\x10\x0E\0\x04MQTT\x06", Some(Version::V5)),
        (b"\x10\x0E\0\x04MQTT\x02", Some(Version::V311)),
        (b"\x10\x0E\0\x06MQIsdp\x05", Some(Version::V311)),
        (b"\x10\x0E\0\x04MQTT", None),
        (b"\x10\x06\0\x04MQTT\x05\x02", None),
        (b"\x10\x0E\0\x04QTTM\x04", None),
        (b"\x10\xFF\xFF\xFF\xFF\xFF", None),
        (b"\x30\x0E\0\x04MQTT\x04", None),
        (b"\x10", None),
        (b"", None),
    ];
    for (bytes, version) in cases {
        assert_eq!(connect_version(bytes), *version, "{bytes:x?}");
    }
}
