use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, golden, packet, refusal, refused, section};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{MalformedPacket, ProtocolError};

fn accepted(session_present: bool) -> Connack<'static> {
    Connack {
        session_present,
        ..Connack::refusal(ReasonCode::Success)
    }
}

#[test]
fn acceptance() {
    golden(
        Version::V31,
        Server,
        b"\x20\x02\0\0",
        Packet::Connack(accepted(false)),
    );
    golden(
        Version::V311,
        Server,
        b"\x20\x02\x01\0",
        Packet::Connack(accepted(true)),
    );
    golden(
        Version::V5,
        Server,
        b"\x20\x03\x01\0\0",
        Packet::Connack(accepted(true)),
    );
}

#[test]
fn refusals_of_3_x() {
    for (byte, code) in [
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ] {
        for version in V3 {
            let connack = Packet::Connack(Connack::refusal(code));
            golden(version, Server, &[0x20, 2, 0, byte], connack);
        }
    }
    let mut out = Vec::new();
    let busy = Connack::refusal(ReasonCode::ServerBusy);
    assert_eq!(busy.encode(Version::V311, &mut out), Ok(()));
    assert_eq!(out, [0x20, 2, 0, 3], "the nearest code");
    let malformed = Connack::refusal(ReasonCode::MalformedPacket);
    assert!(
        malformed.encode(Version::V311, &mut out).is_err(),
        "close without a CONNACK"
    );
    assert_eq!(out.len(), 4);
}

#[test]
fn refusals_of_5_0() {
    for &code in ReasonCode::ALL {
        let bytes = [0x20, 3, 0, code as u8, 0];
        if code.allowed_in(PacketType::Connack) {
            let connack = Packet::Connack(Connack::refusal(code));
            golden(Version::V5, Server, &bytes, connack);
        } else {
            assert_eq!(
                refusal(Version::V5, Server, &bytes).code,
                ProtocolError,
                "{code}"
            );
        }
    }
}

#[test]
fn all_properties() {
    let properties: &[&[u8]] = &[
        b"\x11\0\0\0\x0A",
        b"\x21\0\x14",
        b"\x24\x01",
        b"\x25\0",
        b"\x27\0\0\x10\0",
        b"\x12\0\x02id",
        b"\x22\0\x07",
        b"\x1F\0\x03why",
        b"\x26\0\x01k\0\x01v",
        b"\x28\0",
        b"\x29\x01",
        b"\x2A\0",
        b"\x13\0\x1E",
        b"\x1A\0\x02ri",
        b"\x1C\0\x02sr",
        b"\x15\0\x01m",
        b"\x16\0\x01\xFF",
    ];
    let bytes = packet(0x20, &[b"\0\0", &section(properties)]);
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let properties = ConnackProperties {
        session_expiry: Some(10),
        receive_maximum: NonZeroU16::new(20),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: NonZeroU32::new(4096),
        assigned_client_id: Some("id"),
        topic_alias_maximum: 7,
        reason_string: Some("why"),
        user_properties: users.as_ref(),
        wildcard_available: Some(false),
        subscription_ids_available: Some(true),
        shared_available: Some(false),
        server_keep_alive: Some(30),
        response_information: Some("ri"),
        server_reference: Some("sr"),
        authentication_method: Some("m"),
        authentication_data: Some(b"\xFF"),
    };
    let connack = Connack {
        properties,
        ..accepted(false)
    };
    golden(Version::V5, Server, &bytes, Packet::Connack(connack));
    assert_eq!(connack.encoded_len(Version::V5), bytes.len());
    assert_eq!(connack.encoded_len(Version::V311), 4);
}

#[test]
fn the_default_maximum_qos_is_not_said() {
    let properties = ConnackProperties {
        maximum_qos: Some(QoS::ExactlyOnce),
        ..Default::default()
    };
    let mut out = Vec::new();
    Connack {
        properties,
        ..accepted(false)
    }
    .encode(Version::V5, &mut out)
    .unwrap();
    assert_eq!(out, b"\x20\x03\0\0\0");
}

#[test]
fn session_present_is_never_said_with_an_error_nor_in_3_1() {
    let mut out = Vec::new();
    let refusal = Connack {
        session_present: true,
        ..Connack::refusal(ReasonCode::NotAuthorized)
    };
    refusal.encode(Version::V5, &mut out).unwrap();
    assert_eq!(out, b"\x20\x03\0\x87\0");
    out.clear();
    accepted(true).encode(Version::V31, &mut out).unwrap();
    assert_eq!(out, b"\x20\x02\0\0");
}

#[test]
fn what_is_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("nothing", b"", MalformedPacket),
        ("no code", b"\0", MalformedPacket),
        ("reserved flags", b"\x02\0", MalformedPacket),
        ("a reserved return code", b"\0\x06", ProtocolError),
        ("a code of 5.0", b"\0\x87", ProtocolError),
        ("bytes after the code", b"\0\0\0", MalformedPacket),
    ];
    for version in V3 {
        refused(version, Server, 0x20, cases);
    }
    refused(
        Version::V31,
        Server,
        0x20,
        &[("session present", b"\x01\0", MalformedPacket)],
    );
    refused(
        Version::V311,
        Server,
        0x20,
        &[("present, refused", b"\x01\x05", ProtocolError)],
    );
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("no properties", b"\0\0", MalformedPacket),
        ("reserved flags", b"\x80\0\0", MalformedPacket),
        ("an unknown code", b"\0\x7F\0", ProtocolError),
        ("present, refused", b"\x01\x87\0", ProtocolError),
        ("bytes after the properties", b"\0\0\0\0", MalformedPacket),
        ("maximum QoS 2", b"\0\0\x02\x24\x02", ProtocolError),
        ("retain available 2", b"\0\0\x02\x25\x02", ProtocolError),
        ("receive maximum 0", b"\0\0\x03\x21\0\0", ProtocolError),
        (
            "maximum packet size 0",
            b"\0\0\x05\x27\0\0\0\0",
            ProtocolError,
        ),
        ("a property twice", b"\0\0\x04\x25\0\x25\0", ProtocolError),
        ("a topic alias", b"\0\0\x03\x23\0\x01", MalformedPacket),
    ];
    refused(Version::V5, Server, 0x20, cases);
}

#[test]
fn a_client_sends_none() {
    for version in crate::codec::testing::VERSIONS {
        let error = refusal(version, Client, b"\x20\x02\0\0");
        assert_eq!(
            (error.code, error.packet),
            (ProtocolError, Some(PacketType::Connack))
        );
    }
}
