use super::*;
use crate::codec::context::Sender::{Client, Server};
use crate::codec::testing::VERSIONS;

fn first_byte_only(byte: u8, context: &Context) -> Result<Option<Header>, ReasonCode> {
    read(&[byte], context).map_err(|error| error.code)
}

#[test]
fn the_first_byte_alone_is_judged() {
    // What a client may send in 3.1.1 and 5.0, written out.
    let legal = [
        0x10, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B, 0x3C, 0x3D, 0x40, 0x50, 0x62, 0x70,
        0x82, 0xA2, 0xC0, 0xE0,
    ];
    for byte in 0..=u8::MAX {
        let v311 = first_byte_only(byte, &Context::new(Version::V311, Client));
        let v5 = first_byte_only(byte, &Context::new(Version::V5, Client));
        assert_eq!(v311.is_ok(), legal.contains(&byte), "{byte:#x} in 3.1.1");
        assert_eq!(
            v5.is_ok(),
            legal.contains(&byte) || byte == 0xF0,
            "{byte:#x} in 5.0"
        );
    }
}

#[test]
fn wrong_flags_are_malformed_and_wrong_directions_protocol_errors() {
    for version in VERSIONS {
        let client = Context::new(version, Client);
        let server = Context::new(version, Server);
        for byte in [0x00, 0x0F, 0x11, 0x36, 0x41, 0x60, 0x80, 0xA0, 0xC1, 0xE1] {
            assert_eq!(
                first_byte_only(byte, &client),
                Err(ReasonCode::MalformedPacket)
            );
        }
        for byte in [0x20, 0x90, 0xB0, 0xD0] {
            assert_eq!(
                first_byte_only(byte, &client),
                Err(ReasonCode::ProtocolError)
            );
            assert_eq!(first_byte_only(byte, &server), Ok(None));
        }
        for byte in [0x10, 0x82, 0xA2, 0xC0] {
            assert_eq!(
                first_byte_only(byte, &server),
                Err(ReasonCode::ProtocolError)
            );
        }
    }
}

#[test]
fn repetitions_of_3_1_carry_dup() {
    for byte in [0x6A, 0x8A, 0xAA] {
        assert_eq!(
            first_byte_only(byte, &Context::new(Version::V31, Client)),
            Ok(None)
        );
        for version in [Version::V311, Version::V5] {
            let error = first_byte_only(byte, &Context::new(version, Client));
            assert_eq!(error, Err(ReasonCode::MalformedPacket));
        }
    }
    let retained = first_byte_only(0x83, &Context::new(Version::V31, Client));
    assert_eq!(retained, Err(ReasonCode::MalformedPacket));
}

#[test]
fn an_endless_length_is_refused_at_its_fourth_byte() {
    for version in VERSIONS {
        let context = Context::new(version, Client);
        let bytes = b"\x30\xFF\xFF\xFF\xFF";
        assert_eq!(read(&bytes[..4], &context), Ok(None));
        let error = read(bytes, &context).expect_err("four bytes that all continue");
        assert_eq!(error, OVERLONG.in_packet(PacketType::Publish));
        assert!(frame_length(bytes, u32::MAX).is_err());
    }
}

#[test]
fn padding_is_for_3_x() {
    for version in [Version::V31, Version::V311] {
        let context = Context::new(version, Client);
        let header = read(b"\xC0\x80\x80\x80\0", &context).unwrap().unwrap();
        assert_eq!((header.body, header.total, header.shortest), (5, 5, false));
    }
    let error = read(b"\xC0\x80\0", &Context::new(Version::V5, Client)).unwrap_err();
    assert_eq!(error.code, ReasonCode::MalformedPacket);
}

#[test]
fn the_size_is_judged_before_the_body_is_there() {
    let limited = |maximum_packet_size| Context {
        maximum_packet_size,
        ..Context::new(Version::V5, Client)
    };
    // 2 bytes of header and 98 of body; 3 and 200.
    for (bytes, total) in [(&b"\x30\x62"[..], 100), (b"\x30\xC8\x01", 203)] {
        let found = read(bytes, &limited(total)).unwrap().unwrap();
        assert_eq!(found.total, total as usize);
        assert_eq!(frame_length(bytes, total), Ok(Some(total as usize)));
        let error = read(bytes, &limited(total - 1)).unwrap_err();
        assert_eq!(error.code, ReasonCode::PacketTooLarge);
        assert_eq!(frame_length(bytes, total - 1), Err(error));
    }
    let largest = b"\x30\xFF\xFF\xFF\x7F";
    assert_eq!(frame_length(largest, u32::MAX), Ok(Some(268_435_460)));
    assert_eq!(
        frame_length(largest, 268_435_459).unwrap_err().code,
        ReasonCode::PacketTooLarge
    );
}

#[test]
fn frame_length_waits_for_the_whole_length() {
    assert_eq!(frame_length(b"", 100), Ok(None));
    assert_eq!(frame_length(b"\x30", 100), Ok(None));
    assert_eq!(frame_length(b"\x30\x80", 100), Ok(None));
    assert_eq!(
        frame_length(b"\x00", 100).unwrap_err().code,
        ReasonCode::MalformedPacket
    );
}
