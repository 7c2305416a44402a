use super::*;

#[test]
fn bytes_and_codes_are_each_others() {
    for byte in 0..=u8::MAX {
        if let Some(code) = ReasonCode::from_byte(byte) {
            assert_eq!(code as u8, byte);
            assert_eq!(code.is_error(), byte >= 0x80);
        }
    }
    assert_eq!(ReasonCode::ALL.len(), 43, "section 2.4 lists 43 values");
    for &code in ReasonCode::ALL {
        assert_eq!(ReasonCode::from_byte(code as u8), Some(code));
    }
    let gaps = (0x80..=0xA2).filter(|&byte| ReasonCode::from_byte(byte).is_none());
    assert_eq!(gaps.count(), 0, "the errors are contiguous");
}

#[test]
fn names_are_labels_and_unique() {
    let mut names: Vec<_> = ReasonCode::ALL.iter().map(|code| code.name()).collect();
    for name in &names {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(plain), "{name}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ReasonCode::ALL.len());
    assert_eq!(ReasonCode::MalformedPacket.to_string(), "Malformed Packet");
}

/// The sections' own tables, as bytes.
#[test]
fn each_packet_has_its_table() {
    let tables: [(PacketType, &[u8]); 9] = [
        (
            PacketType::Connack,
            &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
                0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
            ],
        ),
        (
            PacketType::Puback,
            &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        ),
        (
            PacketType::Pubrec,
            &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        ),
        (PacketType::Pubrel, &[0x00, 0x92]),
        (PacketType::Pubcomp, &[0x00, 0x92]),
        (
            PacketType::Suback,
            &[
                0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
            ],
        ),
        (
            PacketType::Unsuback,
            &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        ),
        (
            PacketType::Disconnect,
            &[
                0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90,
                0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0,
                0xA1, 0xA2,
            ],
        ),
        (PacketType::Auth, &[0x00, 0x18, 0x19]),
    ];
    for packet in PacketType::ALL {
        let listed = tables.iter().find(|(kind, _)| *kind == packet);
        let listed = listed.map_or(&[][..], |(_, codes)| codes);
        let allowed: Vec<u8> = ReasonCode::ALL
            .iter()
            .filter(|code| code.allowed_in(packet))
            .map(|&code| code as u8)
            .collect();
        assert_eq!(allowed, listed, "{packet}");
    }
}

#[test]
fn direction_narrows_two_tables() {
    let by_client: Vec<u8> = ReasonCode::ALL
        .iter()
        .filter(|code| code.may_be_sent_by(PacketType::Disconnect, Sender::Client))
        .map(|&code| code as u8)
        .collect();
    let table = [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    ];
    assert_eq!(by_client, table);
    for &code in ReasonCode::ALL {
        let server = code.may_be_sent_by(PacketType::Disconnect, Sender::Server);
        let expected =
            code.allowed_in(PacketType::Disconnect) && code != ReasonCode::DisconnectWithWill;
        assert_eq!(server, expected, "{code}");
    }
}

#[test]
fn return_codes_of_3_x_come_back_as_they_went() {
    for byte in 0..=5 {
        let code = ReasonCode::from_connack_v3(byte).unwrap();
        assert_eq!(code.connack_v3(), Some(byte));
    }
    for byte in 6..=u8::MAX {
        assert_eq!(ReasonCode::from_connack_v3(byte), None);
    }
    assert_eq!(ReasonCode::ProtocolError.connack_v3(), None);
}
