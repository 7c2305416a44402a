//! What the codec costs on the hot paths: nanoseconds and allocations per packet.
//!
//! `cargo bench --bench codec`. Each line decodes or encodes one packet over and over, from and
//! into memory that stays in the processor's caches. `mqttbytes` does the same work on the lines
//! that name it, as a measure of the machine.

// The allocator and the clock of `measure` cannot be had without.
#![allow(unsafe_code)]

mod measure;

use std::hint::black_box;
use std::num::NonZeroU16;

use bytes::BytesMut;
use measure::line;
use postbud::codec::{
    Context, FiltersBuf, Packet, PacketId, PacketType, Publish, PublishFrame, PublishProperties,
    QoS, ReasonCode, Sender, SubscriptionOptions, UserPropertiesBuf, Version, decode, encode,
    encode_ack,
};

const OPERATIONS: usize = 100_000;

fn measure(name: &str, mut operation: impl FnMut()) {
    line(name, OPERATIONS, || {
        for _ in 0..OPERATIONS {
            operation();
        }
    });
}

const TOPIC: &str = "site/17/device/4711/temperature";
const PAYLOAD: [u8; 64] = [b'x'; 64];
const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn packet_id() -> PacketId {
    NonZeroU16::MAX
}

fn publish(qos: QoS) -> Publish<'static> {
    Publish {
        qos,
        topic: TOPIC,
        packet_id: (qos != QoS::AtMostOnce).then(packet_id),
        payload: &PAYLOAD,
        ..Publish::default()
    }
}

fn bytes_of(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("the packet has a form");
    bytes
}

fn decoding(name: &str, packet: &Packet<'_>, version: Version) {
    let bytes = bytes_of(packet, version);
    let context = Context::new(version, Sender::Client);
    measure(&format!("decode {name}, {version}"), || {
        let decoded = decode(black_box(&bytes), black_box(&context));
        assert!(matches!(black_box(&decoded), Ok(Some(_))));
    });
}

fn decodings() {
    for version in VERSIONS {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let name = format!("PUBLISH {qos}, 64 B");
            decoding(&name, &Packet::Publish(publish(qos)), version);
        }
    }
    let mut users = UserPropertiesBuf::new();
    users
        .push("trace", "00-4bf92f3577b34da6")
        .expect("short texts");
    let mut rich = publish(QoS::AtLeastOnce);
    rich.properties = PublishProperties {
        payload_format: Some(true),
        message_expiry: Some(3_600),
        content_type: Some("application/json"),
        user_properties: users.as_ref(),
        ..PublishProperties::default()
    };
    decoding(
        "PUBLISH QoS 1, 64 B, 4 properties",
        &Packet::Publish(rich),
        Version::V5,
    );
    let ack = Packet::Puback(postbud::codec::Ack::new(packet_id(), ReasonCode::Success));
    for version in VERSIONS {
        decoding("PUBACK", &ack, version);
        decoding("PINGREQ", &Packet::Pingreq, version);
    }
    let mut filters = FiltersBuf::new();
    for filter in ["site/+/device/#", "$share/workers/jobs/+", "a/b/c", "a/b/d"] {
        filters
            .push(filter, SubscriptionOptions::v3(QoS::AtLeastOnce))
            .expect("well-formed");
    }
    let subscribe = Packet::Subscribe(postbud::codec::Subscribe {
        packet_id: packet_id(),
        subscription_id: None,
        user_properties: Default::default(),
        filters: filters.as_ref(),
    });
    decoding("SUBSCRIBE, 4 filters", &subscribe, Version::V5);
}

fn encodings() {
    let mut out = Vec::with_capacity(1_024);
    for version in VERSIONS {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let frame = PublishFrame {
                qos,
                packet_id: (qos != QoS::AtMostOnce).then(packet_id),
                topic: TOPIC.as_bytes(),
                payload: &PAYLOAD,
                ..PublishFrame::default()
            };
            measure(&format!("encode PUBLISH {qos}, 64 B, {version}"), || {
                out.clear();
                black_box(&frame).encode(black_box(version), &mut out);
                black_box(&out);
            });
        }
        measure(&format!("encode PUBACK, {version}"), || {
            out.clear();
            let id = black_box(packet_id());
            encode_ack(
                PacketType::Puback,
                id,
                ReasonCode::Success,
                version,
                &mut out,
            );
            black_box(&out);
        });
    }
    let packet = Packet::Publish(publish(QoS::AtLeastOnce));
    measure(
        "encode PUBLISH QoS 1, 64 B, 5.0, by the general way",
        || {
            out.clear();
            let encoded = encode(black_box(&packet), Version::V5, &mut out);
            assert!(black_box(encoded).is_ok());
        },
    );
}

fn comparison() {
    let bytes = bytes_of(&Packet::Publish(publish(QoS::AtLeastOnce)), Version::V311);
    measure("mqttbytes: decode PUBLISH QoS 1, 64 B, 3.1.1", || {
        let mut stream = BytesMut::from(black_box(&bytes[..]));
        let decoded = mqttbytes::v4::read(&mut stream, 1_024);
        assert!(matches!(
            black_box(decoded),
            Ok(mqttbytes::v4::Packet::Publish(_))
        ));
    });
}

fn main() {
    decodings();
    encodings();
    comparison();
}
