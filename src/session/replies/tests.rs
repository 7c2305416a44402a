use super::*;
use crate::codec::{Context, Packet, Sender, decode};

const OK: ReasonCode = ReasonCode::Success;
const PINGRESP: &[u8] = &[0xD0, 0];

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

/// What may leave now, as kind, id and code on the wire; a packet that came encoded has id 0.
fn leaving(replies: &mut Replies, version: Version) -> Vec<(PacketType, u16, ReasonCode)> {
    let mut left = Vec::new();
    let mut out = Vec::new();
    while let Some(sent) = replies.pop(version, &mut out) {
        let context = Context::new(version, Sender::Server);
        let (packet, length) = decode(&out, &context).expect("legal").expect("whole");
        assert_eq!(length, out.len(), "one packet at a time");
        let kind = packet.packet_type();
        match packet {
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                let sent = sent.expect("an acknowledgement is told");
                assert_eq!((sent.kind, sent.id), (kind, ack.packet_id));
                left.push((kind, ack.packet_id.get(), ack.code));
            }
            _ => {
                assert_eq!(sent, None);
                left.push((kind, 0, OK));
            }
        }
        out.clear();
    }
    left
}

// [MQTT5-4.6.0-2] [MQTT5-4.6.0-3] [MQTT311-4.6.0-2] [MQTT311-4.6.0-3]
#[test]
fn replies_keep_their_order_whatever_the_order_of_outcomes() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut replies = Replies::default();
        let puback = replies.ack(PacketType::Puback, id(7));
        let pubrec = replies.ack(PacketType::Pubrec, id(8));
        let other = replies.encoded(PINGRESP);
        let pubcomp = replies.ack(PacketType::Pubcomp, id(9));
        for token in [pubcomp, other, pubrec] {
            replies.settle(token, OK);
            assert_eq!(leaving(&mut replies, version), [], "the first one waits");
        }
        assert_eq!(replies.len(), 4);
        replies.settle(puback, OK);
        let expected = [
            (PacketType::Puback, 7, OK),
            (PacketType::Pubrec, 8, OK),
            (PacketType::Pingresp, 0, OK),
            (PacketType::Pubcomp, 9, OK),
        ];
        assert_eq!(leaving(&mut replies, version), expected);
        assert_eq!(replies.len(), 0);
    }
}

#[test]
fn what_is_settled_leaves_as_far_as_the_first_that_is_not() {
    let mut replies = Replies::default();
    let tokens: Vec<_> = (1..=4)
        .map(|n| replies.ack(PacketType::Puback, id(n)))
        .collect();
    for index in [0, 1, 3] {
        replies.settle(tokens[index], OK);
    }
    let puback = |n| (PacketType::Puback, n, OK);
    assert_eq!(leaving(&mut replies, Version::V5), [puback(1), puback(2)]);
    assert_eq!(replies.len(), 2);
    replies.settle(tokens[2], OK);
    assert_eq!(leaving(&mut replies, Version::V5), [puback(3), puback(4)]);
}

#[test]
fn codes_go_on_the_wire_in_5_and_are_told_in_every_version() {
    let refused = ReasonCode::NotAuthorized;
    for version in [Version::V311, Version::V5] {
        let mut replies = Replies::default();
        let token = replies.ack(PacketType::Puback, id(1));
        replies.settle(token, refused);
        let mut out = Vec::new();
        let sent = Sent {
            kind: PacketType::Puback,
            id: id(1),
            code: refused,
        };
        assert_eq!(replies.pop(version, &mut out), Some(Some(sent)));
        let expected: &[u8] = match version {
            Version::V5 => &[0x40, 3, 0, 1, 0x87],
            // [MQTT311-3.3.5-2]
            _ => &[0x40, 2, 0, 1],
        };
        assert_eq!(out, expected);
    }
}

#[test]
fn a_token_that_has_left_settles_nothing() {
    let mut replies = Replies::default();
    let first = replies.ack(PacketType::Puback, id(1));
    replies.settle(first, OK);
    assert_eq!(leaving(&mut replies, Version::V5).len(), 1);
    let second = replies.ack(PacketType::Puback, id(2));
    assert_ne!(first, second);
    replies.settle(first, OK);
    assert_eq!(leaving(&mut replies, Version::V5), []);
    assert_eq!(replies.len(), 1);
}

#[test]
fn a_token_of_a_forgotten_line_settles_nothing_in_the_next() {
    let mut replies = Replies::default();
    let old = [
        replies.ack(PacketType::Puback, id(1)),
        replies.ack(PacketType::Puback, id(2)),
    ];
    replies.forget();
    assert_eq!(replies.len(), 0);
    let new = [
        replies.ack(PacketType::Puback, id(3)),
        replies.ack(PacketType::Puback, id(4)),
    ];
    for token in old {
        replies.settle(token, OK);
    }
    assert_eq!(leaving(&mut replies, Version::V5), []);
    for token in new {
        replies.settle(token, OK);
    }
    assert_eq!(leaving(&mut replies, Version::V5).len(), 2);
}

#[test]
fn an_emptied_line_holds_no_memory() {
    let mut replies = Replies::default();
    for n in 1..=1000 {
        let token = replies.ack(PacketType::Puback, id(n));
        replies.settle(token, OK);
    }
    assert_eq!(leaving(&mut replies, Version::V311).len(), 1000);
    assert_eq!(replies.line.capacity(), 0);
}
