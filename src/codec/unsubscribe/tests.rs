use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::filters::UnsubscribeFiltersBuf;
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, VERSIONS, golden, refusal, refused};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

#[test]
fn unsubscribe_forms() {
    let mut filters = UnsubscribeFiltersBuf::new();
    filters.push("a/#").unwrap();
    filters.push("$share/g/b").unwrap();
    let plain = Unsubscribe {
        packet_id: id(10),
        user_properties: UserProperties::default(),
        filters: filters.as_ref(),
    };
    for version in V3 {
        let bytes = b"\xA2\x13\0\x0A\0\x03a/#\0\x0A$share/g/b";
        golden(version, Client, bytes, Packet::Unsubscribe(plain));
    }
    let bytes = b"\xA2\x14\0\x0A\0\0\x03a/#\0\x0A$share/g/b";
    golden(Version::V5, Client, bytes, Packet::Unsubscribe(plain));
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let long = Unsubscribe {
        user_properties: users.as_ref(),
        ..plain
    };
    let bytes = b"\xA2\x1B\0\x0A\x07\x26\0\x01k\0\x01v\0\x03a/#\0\x0A$share/g/b";
    golden(Version::V5, Client, bytes, Packet::Unsubscribe(long));
}

#[test]
fn unsubscribes_that_are_refused() {
    for version in VERSIONS {
        let cases: &[(&str, &[u8], ReasonCode)] = &[
            ("nothing", b"", MalformedPacket),
            ("id 0", b"\0\0.\0\x01a", ProtocolError),
            ("no filter", b"\0\x01.", ProtocolError),
            ("an empty filter", b"\0\x01.\0\0", MalformedPacket),
            ("a filter that runs out", b"\0\x01.\0\x09a", MalformedPacket),
            ("a malformed filter", b"\0\x01.\0\x02##", MalformedPacket),
            ("not UTF-8", b"\0\x01.\0\x01\xFF", MalformedPacket),
        ];
        for (what, template, code) in cases {
            // A dot stands where 5.0 has an empty property section.
            let parts: Vec<&[u8]> = template.split(|&byte| byte == b'.').collect();
            let body = if version == Version::V5 {
                parts.join(&0)
            } else {
                parts.concat()
            };
            refused(version, Client, 0xA2, &[(what, &body, *code)]);
        }
    }
    let cases: &[(&str, &[u8], ReasonCode)] = &[(
        "a subscription id",
        b"\0\x01\x02\x0B\x01\0\x01a",
        MalformedPacket,
    )];
    refused(Version::V5, Client, 0xA2, cases);
}

#[test]
fn unsuback_forms() {
    let plain = Unsuback {
        packet_id: id(10),
        reason_string: None,
        user_properties: UserProperties::default(),
        codes: &[],
    };
    for version in V3 {
        golden(version, Server, b"\xB0\x02\0\x0A", Packet::Unsuback(plain));
    }
    let codes = Unsuback {
        codes: &[0, 0x11, 0x87],
        ..plain
    };
    golden(
        Version::V5,
        Server,
        b"\xB0\x06\0\x0A\0\0\x11\x87",
        Packet::Unsuback(codes),
    );
    let long = Unsuback {
        reason_string: Some("r"),
        ..codes
    };
    let bytes = b"\xB0\x0A\0\x0A\x04\x1F\0\x01r\0\x11\x87";
    golden(Version::V5, Server, bytes, Packet::Unsuback(long));
    assert_eq!(long.encoded_len(Version::V5), bytes.len());
    assert_eq!(long.encoded_len(Version::V311), 4);
    assert!(
        plain.encode(Version::V5, &mut Vec::new()).is_err(),
        "5.0 needs codes"
    );
}

#[test]
fn unsubacks_that_are_refused() {
    for byte in 0..=u8::MAX {
        let listed =
            ReasonCode::from_byte(byte).is_some_and(|code| code.allowed_in(PacketType::Unsuback));
        let bytes = [0xB0, 4, 0, 1, 0, byte];
        if !listed {
            assert_eq!(
                refusal(Version::V5, Server, &bytes).code,
                ProtocolError,
                "{byte:#x}"
            );
        }
    }
    refused(
        Version::V311,
        Server,
        0xB0,
        &[("a code", b"\0\x01\0", MalformedPacket)],
    );
    refused(
        Version::V5,
        Server,
        0xB0,
        &[("no code", b"\0\x01\0", ProtocolError)],
    );
    assert_eq!(
        refusal(Version::V5, Client, b"\xB0\x04\0\x01\0\0").code,
        ProtocolError
    );
}
