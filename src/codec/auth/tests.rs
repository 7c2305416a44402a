use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::packet::Packet;
use crate::codec::testing::{V3, decoded, golden, refusal, refused};
use crate::codec::user_properties::UserPropertiesBuf;
use ReasonCode::{ContinueAuthentication, MalformedPacket, ProtocolError, ReAuthenticate, Success};

fn auth(code: ReasonCode, method: Option<&str>) -> Auth<'_> {
    Auth {
        code,
        method,
        data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    }
}

#[test]
fn each_code_from_the_side_that_may_send_it() {
    let bytes = |code| [0xF0, 6, code, 4, 0x15, 0, 1, b'm'];
    let both = Packet::Auth(auth(ContinueAuthentication, Some("m")));
    golden(Version::V5, Client, &bytes(0x18), both);
    golden(Version::V5, Server, &bytes(0x18), both);
    let again = Packet::Auth(auth(ReAuthenticate, Some("m")));
    golden(Version::V5, Client, &bytes(0x19), again);
    golden(
        Version::V5,
        Server,
        &bytes(0),
        Packet::Auth(auth(Success, Some("m"))),
    );
    assert_eq!(
        refusal(Version::V5, Server, &bytes(0x19)).code,
        ProtocolError
    );
    assert_eq!(refusal(Version::V5, Client, &bytes(0)).code, ProtocolError);
    assert_eq!(
        refusal(Version::V5, Client, &bytes(0x87)).code,
        ProtocolError
    );
    assert_eq!(
        refusal(Version::V5, Client, &bytes(0x7F)).code,
        ProtocolError
    );
}

#[test]
fn the_empty_form_is_a_servers_success() {
    golden(
        Version::V5,
        Server,
        b"\xF0\0",
        Packet::Auth(auth(Success, None)),
    );
    let long = decoded(Version::V5, Server, b"\xF0\x02\0\0");
    assert_eq!(
        long,
        Packet::Auth(auth(Success, None)),
        "the same, written out"
    );
    assert_eq!(refusal(Version::V5, Client, b"\xF0\0").code, ProtocolError);
}

#[test]
fn all_properties() {
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").unwrap();
    let packet = Auth {
        data: Some(b"\0\xFF"),
        reason_string: Some("r"),
        user_properties: users.as_ref(),
        ..auth(ContinueAuthentication, Some("m"))
    };
    let bytes = b"\xF0\x16\x18\x14\x15\0\x01m\x16\0\x02\0\xFF\x1F\0\x01r\x26\0\x01k\0\x01v";
    golden(Version::V5, Client, bytes, Packet::Auth(packet));
}

#[test]
fn what_is_refused() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("no properties", b"\x18", MalformedPacket),
        ("no method", b"\x18\0", ProtocolError),
        ("data alone", b"\x18\x03\x16\0\0", ProtocolError),
        (
            "the method twice",
            b"\x18\x08\x15\0\x01m\x15\0\x01m",
            ProtocolError,
        ),
        ("another property", b"\x18\x03\x21\0\x01", MalformedPacket),
        (
            "bytes after the section",
            b"\x18\x04\x15\0\x01m\0",
            MalformedPacket,
        ),
    ];
    refused(Version::V5, Client, 0xF0, cases);
    for version in V3 {
        let error = refusal(version, Client, b"\xF0");
        assert_eq!(error.code, MalformedPacket, "the type is reserved in 3.x");
    }
}

#[test]
fn what_has_no_form() {
    let mut out = Vec::new();
    assert!(
        auth(Success, Some("m"))
            .encode(Version::V311, &mut out)
            .is_err()
    );
    assert!(
        auth(ContinueAuthentication, None)
            .encode(Version::V5, &mut out)
            .is_err()
    );
    assert!(out.is_empty());
}
