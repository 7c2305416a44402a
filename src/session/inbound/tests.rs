use std::num::NonZeroU16;

use super::*;
use crate::codec::{Context, Packet, PublishProperties, Sender, decode};

const OK: ReasonCode = ReasonCode::Success;
const REFUSED: ReasonCode = ReasonCode::NotAuthorized;
const UNKNOWN: ReasonCode = ReasonCode::PacketIdentifierNotFound;
const NOW: Timestamp = Timestamp::from_millis(5_000);

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

fn attached(version: Version, receive_maximum: u16) -> Inbound {
    let mut side = Inbound::default();
    side.attach(version, receive_maximum, 8);
    side
}

fn publish(qos: QoS, number: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "t",
        packet_id: (qos != QoS::AtMostOnce).then(|| id(number)),
        properties: PublishProperties::default(),
        payload: b"payload",
    }
}

fn with_alias(qos: QoS, number: u16, topic: &'static str, alias: u16) -> Publish<'static> {
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(alias),
        ..Default::default()
    };
    Publish {
        topic,
        properties,
        ..publish(qos, number)
    }
}

fn take(side: &mut Inbound, publish: &Publish<'_>) -> Result<Arrival, Fault> {
    side.publish(publish, NOW, &mut Forwarded::default())
}

/// Takes a message that has to be new, and returns its token.
fn token(side: &mut Inbound, qos: QoS, number: u16) -> Token {
    match take(side, &publish(qos, number)).expect("no fault") {
        Arrival::New(_, Some(token)) => token,
        other => panic!("a new message with a token, not {other:?}"),
    }
}

/// Takes a message, settles it and lets its acknowledgement leave.
fn accept(side: &mut Inbound, qos: QoS, number: u16) -> Vec<String> {
    let token = token(side, qos, number);
    side.settle(token, OK);
    drained(side)
}

/// Takes a PUBREL as its caller does.
fn release(side: &mut Inbound, number: u16) -> Vec<String> {
    let (token, known) = side.release(id(number));
    side.settle(token, if known { OK } else { UNKNOWN });
    drained(side)
}

fn fault(result: Result<Arrival, Fault>) -> ReasonCode {
    result.expect_err("a fault").code
}

/// In short, what leaves now.
fn drained(side: &mut Inbound) -> Vec<String> {
    let mut out = Vec::new();
    let count = side.drain(&mut out);
    let context = Context::new(side.version, Sender::Server);
    let mut left = Vec::new();
    let mut rest = &out[..];
    while let Some((packet, length)) = decode(rest, &context).expect("a legal packet") {
        rest = &rest[length..];
        let (Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack)) = packet else {
            left.push(format!("{}", packet.packet_type()));
            continue;
        };
        let code = if ack.code == OK {
            String::new()
        } else {
            format!(" {:#04x}", ack.code as u8)
        };
        left.push(format!("{} #{}{code}", packet.packet_type(), ack.packet_id));
    }
    assert_eq!((rest, left.len()), (&[][..], count));
    left
}

fn held(side: &Inbound) -> Vec<u16> {
    let mut held: Vec<u16> = side.held().map(PacketId::get).collect();
    held.sort_unstable();
    held
}

#[test]
fn a_message_is_put_together_from_its_publish() {
    let mut side = attached(Version::V5, 10);
    let properties = PublishProperties {
        message_expiry: Some(3),
        content_type: Some("text/plain"),
        ..Default::default()
    };
    let publish = Publish {
        retain: true,
        properties,
        ..publish(QoS::AtLeastOnce, 1)
    };
    let Ok(Arrival::New(message, Some(_))) = take(&mut side, &publish) else {
        panic!("new")
    };
    assert_eq!((message.topic(), message.payload()), ("t", &b"payload"[..]));
    assert_eq!((message.qos(), message.retain()), (QoS::AtLeastOnce, true));
    assert_eq!(message.expires(), Some(Timestamp::from_millis(8_000)));
    let forwarded = PublishProperties::parse_forwarded(message.forwarded()).expect("legal");
    assert_eq!(
        (forwarded.content_type, forwarded.message_expiry),
        (Some("text/plain"), None)
    );
}

// [MQTT5-3.3.4-1] [MQTT311-3.3.4-1]
#[test]
fn each_qos_has_its_answer() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut side = attached(version, 10);
        let arrival = take(&mut side, &publish(QoS::AtMostOnce, 0));
        assert!(matches!(arrival, Ok(Arrival::New(_, None))));
        assert!(side.settled());
        assert_eq!(accept(&mut side, QoS::AtLeastOnce, 1), ["PUBACK #1"]);
        assert_eq!(accept(&mut side, QoS::ExactlyOnce, 2), ["PUBREC #2"]);
        assert_eq!(held(&side), [2]);
        assert_eq!(release(&mut side, 2), ["PUBCOMP #2"]);
        assert_eq!(held(&side), [0; 0]);
    }
}

// [MQTT5-4.3.2-5]
#[test]
fn after_puback_an_id_names_a_new_message_dup_or_not() {
    let mut side = attached(Version::V5, 10);
    for dup in [false, true] {
        let publish = Publish {
            dup,
            ..publish(QoS::AtLeastOnce, 1)
        };
        let Ok(Arrival::New(_, Some(token))) = take(&mut side, &publish) else {
            panic!("new")
        };
        side.settle(token, OK);
        assert_eq!(drained(&mut side), ["PUBACK #1"]);
    }
}

// [MQTT5-4.3.3-10] [MQTT5-4.3.3-12] [MQTT311-4.3.3-2]
#[test]
fn a_held_id_is_answered_again_but_its_message_is_not_new() {
    for version in [Version::V311, Version::V5] {
        let mut side = attached(version, 1);
        assert_eq!(accept(&mut side, QoS::ExactlyOnce, 1), ["PUBREC #1"]);
        for dup in [true, false] {
            let publish = Publish {
                dup,
                ..publish(QoS::ExactlyOnce, 1)
            };
            assert!(matches!(take(&mut side, &publish), Ok(Arrival::Repeated)));
            assert_eq!(drained(&mut side), ["PUBREC #1"]);
        }
        assert_eq!(release(&mut side, 1), ["PUBCOMP #1"]);
        assert_eq!(
            accept(&mut side, QoS::ExactlyOnce, 1),
            ["PUBREC #1"],
            "a new message"
        );
    }
}

// [MQTT5-3.6.2-1] [MQTT5-4.3.3-11]
#[test]
fn a_pubrel_of_an_unknown_id_is_answered_and_says_so_in_5() {
    let mut side = attached(Version::V5, 1);
    assert_eq!(release(&mut side, 9), ["PUBCOMP #9 0x92"]);
    let mut old = attached(Version::V311, 1);
    assert_eq!(release(&mut old, 9), ["PUBCOMP #9"]);
}

// [MQTT5-4.3.3-9]
#[test]
fn a_refused_qos2_message_frees_its_id() {
    let mut side = attached(Version::V5, 1);
    for _ in 0..3 {
        let token = token(&mut side, QoS::ExactlyOnce, 1);
        assert_eq!(held(&side), [1]);
        side.settle(token, REFUSED);
        assert_eq!(drained(&mut side), ["PUBREC #1 0x87"]);
        assert_eq!(held(&side), [0; 0]);
    }
    assert_eq!(release(&mut side, 1), ["PUBCOMP #1 0x92"]);
    assert_eq!(
        accept(&mut side, QoS::ExactlyOnce, 1),
        ["PUBREC #1"],
        "there is quota again"
    );
}

// [MQTT311-3.3.5-2]
#[test]
fn a_refusal_reads_as_an_acceptance_in_3x() {
    let mut side = attached(Version::V311, 1);
    let first = token(&mut side, QoS::ExactlyOnce, 1);
    let second = token(&mut side, QoS::AtLeastOnce, 2);
    side.settle(first, REFUSED);
    side.settle(second, REFUSED);
    assert_eq!(drained(&mut side), ["PUBREC #1", "PUBACK #2"]);
    assert_eq!(
        release(&mut side, 1),
        ["PUBCOMP #1"],
        "the client goes on as after any PUBREC"
    );
}

// [MQTT5-4.6.0-2] [MQTT5-4.6.0-3] [MQTT311-4.6.0-2] [MQTT311-4.6.0-3]
#[test]
fn replies_leave_in_the_order_of_their_packets() {
    let mut side = attached(Version::V5, 10);
    let first = token(&mut side, QoS::AtLeastOnce, 1);
    let second = token(&mut side, QoS::ExactlyOnce, 2);
    let ping = side.reply(&[0xD0, 0]);
    let third = token(&mut side, QoS::AtLeastOnce, 3);
    for token in [third, ping, second] {
        side.settle(token, OK);
        assert_eq!(drained(&mut side), [""; 0]);
    }
    assert!(!side.settled());
    side.settle(first, ReasonCode::NoMatchingSubscribers);
    assert_eq!(
        drained(&mut side),
        ["PUBACK #1 0x10", "PUBREC #2", "PINGRESP", "PUBACK #3"]
    );
    assert!(side.settled());
}

#[test]
fn a_repeated_publish_is_answered_behind_what_came_before_it() {
    let mut side = attached(Version::V5, 10);
    accept(&mut side, QoS::ExactlyOnce, 1);
    let waits = token(&mut side, QoS::AtLeastOnce, 2);
    assert!(matches!(
        take(&mut side, &publish(QoS::ExactlyOnce, 1)),
        Ok(Arrival::Repeated)
    ));
    assert_eq!(drained(&mut side), [""; 0]);
    side.settle(waits, OK);
    assert_eq!(drained(&mut side), ["PUBACK #2", "PUBREC #1"]);
}

// [MQTT5-3.3.4-7]
#[test]
fn more_than_the_receive_maximum_is_a_fault_in_5() {
    let mut side = attached(Version::V5, 2);
    let first = token(&mut side, QoS::AtLeastOnce, 1);
    token(&mut side, QoS::ExactlyOnce, 2);
    let exceeded = ReasonCode::ReceiveMaximumExceeded;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(fault(take(&mut side, &publish(qos, 3))), exceeded);
    }
    assert_eq!(held(&side), [2], "what was refused is not held");
    let unbounded = take(&mut side, &publish(QoS::AtMostOnce, 0));
    assert!(unbounded.is_ok(), "QoS 0 takes no part of it");
    side.settle(first, OK);
    assert_eq!(
        fault(take(&mut side, &publish(QoS::AtLeastOnce, 3))),
        exceeded,
        "not left yet"
    );
    assert_eq!(drained(&mut side), ["PUBACK #1"]);
    token(&mut side, QoS::AtLeastOnce, 3);
}

// [MQTT5-3.3.4-7]
#[test]
fn a_qos2_message_takes_its_part_until_pubcomp() {
    let mut side = attached(Version::V5, 1);
    accept(&mut side, QoS::ExactlyOnce, 1);
    let exceeded = ReasonCode::ReceiveMaximumExceeded;
    assert_eq!(
        fault(take(&mut side, &publish(QoS::AtLeastOnce, 2))),
        exceeded
    );
    let repeated = take(&mut side, &publish(QoS::ExactlyOnce, 1));
    assert!(repeated.is_ok(), "a repetition takes no second part");
    assert_eq!(drained(&mut side), ["PUBREC #1"]);
    assert_eq!(release(&mut side, 7), ["PUBCOMP #7 0x92"]);
    let still = take(&mut side, &publish(QoS::AtLeastOnce, 2));
    assert_eq!(
        fault(still),
        exceeded,
        "an unknown PUBREL gives nothing back"
    );
    assert_eq!(release(&mut side, 1), ["PUBCOMP #1"]);
    token(&mut side, QoS::AtLeastOnce, 2);
}

#[test]
fn clients_of_3x_are_not_read_at_the_bound_and_make_no_fault() {
    for version in [Version::V31, Version::V311] {
        let mut side = attached(version, 2);
        let first = token(&mut side, QoS::AtLeastOnce, 1);
        assert!(!side.paused());
        token(&mut side, QoS::ExactlyOnce, 2);
        assert!(side.paused());
        // What was read already is taken all the same.
        token(&mut side, QoS::AtLeastOnce, 3);
        side.settle(first, OK);
        assert_eq!(drained(&mut side), ["PUBACK #1"]);
        assert!(side.paused(), "two still wait");
        side.detach();
        side.attach(version, 2, 0);
        assert!(!side.paused(), "a new connection starts afresh");
    }
}

#[test]
fn clients_of_5_are_paused_only_by_what_no_quota_bounds() {
    let mut side = attached(Version::V5, 1);
    token(&mut side, QoS::AtLeastOnce, 1);
    assert!(!side.paused());
    for _ in 0..REPLIES_BESIDE {
        side.reply(&[0xD0, 0]);
    }
    assert!(side.paused());
}

// [MQTT5-4.1.0-1] [MQTT5-4.3.3-10] [MQTT311-4.1.0-1]
#[test]
fn held_ids_outlive_the_connection_and_replies_do_not() {
    for version in [Version::V311, Version::V5] {
        let mut side = attached(version, 10);
        accept(&mut side, QoS::ExactlyOnce, 1);
        let token = token(&mut side, QoS::ExactlyOnce, 2);
        side.settle(token, OK);
        side.detach();
        assert_eq!(held(&side), [1, 2]);
        assert!(side.settled(), "what had not left is forgotten");
        side.attach(version, 10, 0);
        assert_eq!(drained(&mut side), [""; 0]);
        let again = Publish {
            dup: true,
            ..publish(QoS::ExactlyOnce, 2)
        };
        assert!(matches!(take(&mut side, &again), Ok(Arrival::Repeated)));
        assert_eq!(drained(&mut side), ["PUBREC #2"]);
        assert_eq!(release(&mut side, 1), ["PUBCOMP #1"]);
        assert_eq!(release(&mut side, 2), ["PUBCOMP #2"]);
        assert_eq!(held(&side), [0; 0]);
    }
}

#[test]
fn an_outcome_of_an_earlier_connection_settles_nothing_on_this_one() {
    let mut side = attached(Version::V5, 10);
    let old = token(&mut side, QoS::AtLeastOnce, 1);
    side.attach(Version::V5, 10, 0);
    let new = token(&mut side, QoS::AtLeastOnce, 2);
    side.settle(old, OK);
    assert_eq!(
        drained(&mut side),
        [""; 0],
        "its own message may not be stored yet"
    );
    side.settle(new, OK);
    assert_eq!(drained(&mut side), ["PUBACK #2"]);
}

#[test]
fn a_new_connection_counts_from_nothing() {
    let mut side = attached(Version::V5, 1);
    token(&mut side, QoS::AtLeastOnce, 1);
    side.detach();
    side.attach(Version::V5, 1, 0);
    token(&mut side, QoS::AtLeastOnce, 1);
}

// [MQTT5-3.3.4-7]
#[test]
fn a_held_id_takes_its_part_once_it_is_repeated() {
    let mut side = attached(Version::V5, 1);
    accept(&mut side, QoS::ExactlyOnce, 1);
    side.detach();
    side.attach(Version::V5, 1, 0);
    for _ in 0..2 {
        assert!(matches!(
            take(&mut side, &publish(QoS::ExactlyOnce, 1)),
            Ok(Arrival::Repeated)
        ));
    }
    let more = take(&mut side, &publish(QoS::AtLeastOnce, 2));
    assert_eq!(fault(more), ReasonCode::ReceiveMaximumExceeded);
    drained(&mut side);
    assert_eq!(release(&mut side, 1), ["PUBCOMP #1"]);
    token(&mut side, QoS::AtLeastOnce, 2);
    let more = take(&mut side, &publish(QoS::AtLeastOnce, 3));
    assert_eq!(fault(more), ReasonCode::ReceiveMaximumExceeded);
}

/// A PUBREL that is sent again takes nothing of the client's quota, so the client may send as many
/// PUBLISH behind it as on any new connection, before the PUBCOMP has left.
#[test]
fn a_resumed_pubrel_leaves_the_whole_quota_to_the_client() {
    let mut side = attached(Version::V5, 1);
    accept(&mut side, QoS::ExactlyOnce, 1);
    side.detach();
    side.attach(Version::V5, 1, 0);
    let (pubcomp, known) = side.release(id(1));
    assert!(known);
    let puback = token(&mut side, QoS::AtLeastOnce, 2);
    side.settle(pubcomp, OK);
    assert_eq!(drained(&mut side), ["PUBCOMP #1"]);
    side.settle(puback, OK);
    assert_eq!(drained(&mut side), ["PUBACK #2"]);
}

/// Section 4.9 lets a client add one to its quota at every PUBCOMP, so it may have one more in
/// flight than its quota began with, for each PUBREL that it sent again.
#[test]
fn the_pubcomp_of_a_resumed_pubrel_counts_as_the_client_counts() {
    let mut side = attached(Version::V5, 1);
    accept(&mut side, QoS::ExactlyOnce, 1);
    side.detach();
    side.attach(Version::V5, 1, 0);
    assert_eq!(release(&mut side, 1), ["PUBCOMP #1"]);
    token(&mut side, QoS::AtLeastOnce, 2);
    token(&mut side, QoS::AtLeastOnce, 3);
    let more = take(&mut side, &publish(QoS::AtLeastOnce, 4));
    assert_eq!(
        fault(more),
        ReasonCode::ReceiveMaximumExceeded,
        "but not two"
    );
}

// [MQTT5-3.3.2-7]
#[test]
fn aliases_end_with_their_connection() {
    let mut side = attached(Version::V5, 10);
    let topic = |side: &mut Inbound, publish: &Publish<'_>| match take(side, publish) {
        Ok(Arrival::New(message, None)) => Ok(message.topic().to_owned()),
        Ok(other) => panic!("a new message of QoS 0, not {other:?}"),
        Err(fault) => Err(fault.code),
    };
    let set = with_alias(QoS::AtMostOnce, 0, "long/topic", 3);
    let used = with_alias(QoS::AtMostOnce, 0, "", 3);
    assert_eq!(topic(&mut side, &set).as_deref(), Ok("long/topic"));
    assert_eq!(topic(&mut side, &used).as_deref(), Ok("long/topic"));
    side.detach();
    side.attach(Version::V5, 10, 8);
    assert_eq!(topic(&mut side, &used), Err(ReasonCode::ProtocolError));
}

// [MQTT5-3.3.2-9] [MQTT5-3.2.2-17]
#[test]
fn an_alias_above_what_was_announced_is_a_fault() {
    let mut side = attached(Version::V5, 10);
    let beyond = with_alias(QoS::AtMostOnce, 0, "topic", 9);
    assert_eq!(
        fault(take(&mut side, &beyond)),
        ReasonCode::TopicAliasInvalid
    );
    // [MQTT5-3.3.2-12]
    assert!(take(&mut side, &with_alias(QoS::AtMostOnce, 0, "topic", 8)).is_ok());
}

/// What had not been routed must not be held: on the next connection it would be taken for a
/// repetition, acknowledged, and lost.
#[test]
fn a_message_refused_for_its_alias_is_not_held() {
    let mut side = attached(Version::V5, 10);
    let unset = with_alias(QoS::ExactlyOnce, 1, "", 1);
    assert_eq!(fault(take(&mut side, &unset)), ReasonCode::ProtocolError);
    assert_eq!(held(&side), [0; 0]);
    assert!(side.settled());
}

/// A client that resumes repeats its PUBLISH with the aliases of the new connection.
#[test]
fn a_repeated_publish_sets_its_alias() {
    let mut side = attached(Version::V5, 10);
    accept(&mut side, QoS::ExactlyOnce, 1);
    side.detach();
    side.attach(Version::V5, 10, 8);
    let again = with_alias(QoS::ExactlyOnce, 1, "topic", 2);
    assert!(matches!(take(&mut side, &again), Ok(Arrival::Repeated)));
    let Ok(Arrival::New(message, _)) = take(&mut side, &with_alias(QoS::AtMostOnce, 0, "", 2))
    else {
        panic!("the alias is known")
    };
    assert_eq!(message.topic(), "topic");
}

#[test]
fn a_side_without_held_ids_keeps_no_memory_for_them() {
    let mut side = attached(Version::V311, u16::MAX);
    for number in 1..=1000 {
        accept(&mut side, QoS::ExactlyOnce, number);
    }
    for number in 1..=1000 {
        release(&mut side, number);
    }
    assert_eq!(side.held.capacity(), 0);
}
