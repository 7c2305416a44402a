use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, VERSIONS, decoded, golden, refusal, refused};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError, QuotaExceeded, Success};

const KINDS: [(PacketType, u8); 4] = [
    (PacketType::Puback, 0x40),
    (PacketType::Pubrec, 0x50),
    (PacketType::Pubrel, 0x62),
    (PacketType::Pubcomp, 0x70),
];

fn as_packet(kind: PacketType, ack: Ack<'_>) -> Packet<'_> {
    match kind {
        PacketType::Puback => Packet::Puback(ack),
        PacketType::Pubrec => Packet::Pubrec(ack),
        PacketType::Pubrel => Packet::Pubrel(ack),
        _ => Packet::Pubcomp(ack),
    }
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

#[test]
fn the_short_form() {
    for (kind, first) in KINDS {
        for version in VERSIONS {
            for sender in [Client, Server] {
                let ack = as_packet(kind, Ack::new(id(0x0102), Success));
                golden(version, sender, &[first, 2, 1, 2], ack);
            }
            let mut out = Vec::new();
            encode_ack(kind, id(0x0102), Success, version, &mut out);
            assert_eq!(out, [first, 2, 1, 2]);
        }
    }
}

#[test]
fn every_code_in_its_packet() {
    for (kind, first) in KINDS {
        for byte in 0..=u8::MAX {
            let bytes = [first, 3, 0, 1, byte];
            match ReasonCode::from_byte(byte).filter(|code| code.allowed_in(kind)) {
                Some(code) => {
                    let ack = as_packet(kind, Ack::new(id(1), code));
                    assert_eq!(decoded(Version::V5, Client, &bytes), ack);
                    let mut out = Vec::new();
                    encode_ack(kind, id(1), code, Version::V5, &mut out);
                    assert_eq!(decoded(Version::V5, Server, &out), ack);
                    if code != Success {
                        assert_eq!(out, bytes);
                    }
                }
                None => assert_eq!(refusal(Version::V5, Client, &bytes).code, ProtocolError),
            }
        }
    }
}

#[test]
fn reason_string_and_user_properties() {
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    for (kind, first) in KINDS {
        let ack = Ack {
            reason_string: Some("why"),
            user_properties: users.as_ref(),
            ..Ack::new(id(1), Success)
        };
        let mut bytes = vec![first, 17];
        bytes.extend(b"\0\x01\0\x0D\x1F\0\x03why\x26\0\x01k\0\x01v");
        golden(Version::V5, Client, &bytes, as_packet(kind, ack));
        assert_eq!(ack.encoded_len(Version::V5), bytes.len());
        assert_eq!(ack.encoded_len(Version::V311), 4);
        // An empty property section may be written out too.
        let bytes = [first, 4, 0, 1, 0, 0];
        let ack = Ack::new(id(1), Success);
        assert_eq!(decoded(Version::V5, Client, &bytes), as_packet(kind, ack));
    }
}

#[test]
fn what_3_x_cannot_say_is_left_out() {
    let ack = Ack {
        reason_string: Some("full"),
        ..Ack::new(id(1), QuotaExceeded)
    };
    for version in V3 {
        let mut out = Vec::new();
        ack.encode(PacketType::Puback, version, &mut out).unwrap();
        encode_ack(PacketType::Puback, id(1), QuotaExceeded, version, &mut out);
        assert_eq!(out, b"\x40\x02\0\x01\x40\x02\0\x01");
    }
}

#[test]
fn what_is_refused() {
    for (_, first) in KINDS {
        for version in VERSIONS {
            let cases: &[(&str, &[u8], ReasonCode)] = &[
                ("nothing", b"", MalformedPacket),
                ("half an id", b"\0", MalformedPacket),
                ("id 0", b"\0\0", ProtocolError),
            ];
            refused(version, Client, first, cases);
        }
        for version in V3 {
            refused(
                version,
                Client,
                first,
                &[("a code", b"\0\x01\0", MalformedPacket)],
            );
        }
        let cases: &[(&str, &[u8], ReasonCode)] = &[
            ("a section that runs out", b"\0\x01\0\x09", MalformedPacket),
            ("bytes after the section", b"\0\x01\0\0\0", MalformedPacket),
            (
                "the reason twice",
                b"\0\x01\0\x06\x1F\0\0\x1F\0\0",
                ProtocolError,
            ),
            ("another property", b"\0\x01\0\x02\x01\0", MalformedPacket),
        ];
        refused(Version::V5, Client, first, cases);
    }
}

#[test]
fn only_four_packets_are_acknowledgements() {
    let mut out = Vec::new();
    let ack = Ack::new(id(1), Success);
    assert!(
        ack.encode(PacketType::Suback, Version::V5, &mut out)
            .is_err()
    );
    assert!(out.is_empty());
}
