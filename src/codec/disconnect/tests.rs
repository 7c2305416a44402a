use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, decoded, golden, refusal, refused};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError, Success};

#[test]
fn the_shortest_form() {
    let plain = Packet::Disconnect(Disconnect::new(Success));
    for version in V3 {
        golden(version, Client, b"\xE0\0", plain);
        assert_eq!(
            refusal(version, Server, b"\xE0\0").code,
            ProtocolError,
            "3.x servers close"
        );
    }
    golden(Version::V5, Client, b"\xE0\0", plain);
    golden(Version::V5, Server, b"\xE0\0", plain);
    // The longer ways to say the same.
    assert_eq!(decoded(Version::V5, Client, b"\xE0\x01\0"), plain);
    assert_eq!(decoded(Version::V5, Client, b"\xE0\x02\0\0"), plain);
}

#[test]
fn every_code_from_the_side_that_may_send_it() {
    for sender in [Client, Server] {
        for byte in 1..=u8::MAX {
            let bytes = [0xE0, 1, byte];
            let code = ReasonCode::from_byte(byte)
                .filter(|code| code.may_be_sent_by(PacketType::Disconnect, sender));
            match code {
                Some(code) => {
                    let packet = Packet::Disconnect(Disconnect::new(code));
                    golden(Version::V5, sender, &bytes, packet);
                }
                None => assert_eq!(refusal(Version::V5, sender, &bytes).code, ProtocolError),
            }
        }
    }
}

#[test]
fn properties_of_each_side() {
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let client = Disconnect {
        session_expiry: Some(10),
        reason_string: Some("r"),
        user_properties: users.as_ref(),
        ..Disconnect::new(ReasonCode::DisconnectWithWill)
    };
    let bytes = b"\xE0\x12\x04\x10\x11\0\0\0\x0A\x1F\0\x01r\x26\0\x01k\0\x01v";
    golden(Version::V5, Client, bytes, Packet::Disconnect(client));
    assert_eq!(client.encoded_len(Version::V5), bytes.len());
    let server = Disconnect {
        server_reference: Some("s"),
        ..Disconnect::new(ReasonCode::UseAnotherServer)
    };
    let bytes = b"\xE0\x06\x9C\x04\x1C\0\x01s";
    golden(Version::V5, Server, bytes, Packet::Disconnect(server));
}

#[test]
fn what_is_refused() {
    for version in V3 {
        refused(version, Client, 0xE0, &[("a body", b"\0", MalformedPacket)]);
    }
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("a server's property", b"\0\x04\x1C\0\x01s", ProtocolError),
        (
            "expiry twice",
            b"\0\x0A\x11\0\0\0\0\x11\0\0\0\0",
            ProtocolError,
        ),
        ("another property", b"\0\x03\x23\0\x01", MalformedPacket),
        ("a section that runs out", b"\0\x05\x11", MalformedPacket),
        ("bytes after the section", b"\0\0\0", MalformedPacket),
    ];
    refused(Version::V5, Client, 0xE0, cases);
    let cases: &[(&str, &[u8], ReasonCode)] =
        &[("a client's property", b"\0\x05\x11\0\0\0\0", ProtocolError)];
    refused(Version::V5, Server, 0xE0, cases);
}

#[test]
fn a_reason_has_no_form_in_3_x() {
    let mut out = Vec::new();
    let with_will = Disconnect::new(ReasonCode::DisconnectWithWill);
    assert!(with_will.encode(Version::V311, &mut out).is_err());
    assert!(out.is_empty());
}
