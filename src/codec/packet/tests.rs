use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::reason::ReasonCode;
use crate::codec::testing::{VERSIONS, golden, refused};

#[test]
fn pings() {
    for version in VERSIONS {
        golden(version, Client, b"\xC0\0", Packet::Pingreq);
        golden(version, Server, b"\xD0\0", Packet::Pingresp);
        let cases: &[(&str, &[u8], ReasonCode)] = &[("a body", b"\0", ReasonCode::MalformedPacket)];
        refused(version, Client, 0xC0, cases);
        refused(version, Server, 0xD0, cases);
    }
}

#[test]
fn packets_follow_each_other() {
    let bytes = b"\xC0\0\x40\x02\0\x01\xE0\0\x30";
    let context = Context::new(Version::V5, Client);
    let mut rest = &bytes[..];
    let mut kinds = Vec::new();
    while let Some((packet, length)) = decode(rest, &context).unwrap() {
        kinds.push(packet.packet_type());
        rest = &rest[length..];
    }
    assert_eq!(
        kinds,
        [
            PacketType::Pingreq,
            PacketType::Puback,
            PacketType::Disconnect
        ]
    );
    assert_eq!(rest, [0x30]);
}

#[test]
fn a_client_of_another_protocol_is_recognised_at_once() {
    let context = Context::new(Version::V311, Client);
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0",
        b"SSH-2.0-x",
        b"\0",
    ] {
        assert!(decode(&bytes[..1], &context).is_err(), "{bytes:x?}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let error = decode(b"\x30\x03\0\x01#", &Context::new(Version::V311, Client)).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "Malformed Packet in PUBLISH: a Topic Name contains a wildcard"
    );
    let error = decode(b"\0", &Context::new(Version::V311, Client)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Malformed Packet: packet type 0 is reserved"
    );
    assert!(std::mem::size_of::<DecodeError>() <= 24);
}
