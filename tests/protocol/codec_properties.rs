//! What holds of the codec for every packet and for every sequence of bytes.

use std::num::NonZeroU16;

use postbud::codec::{
    Context, DecodeError, MAXIMUM_PACKET_SIZE, Packet, PacketType, Publish, PublishFrame,
    PublishProperties, ReasonCode, Sender, Version, connect_version, decode, encode, encode_ack,
    frame_length,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets::{Ingredients, ingredients};

const CONTEXTS: [(Version, Sender); 6] = [
    (Version::V31, Sender::Client),
    (Version::V31, Sender::Server),
    (Version::V311, Sender::Client),
    (Version::V311, Sender::Server),
    (Version::V5, Sender::Client),
    (Version::V5, Sender::Server),
];

fn bytes_of(ingredients: &Ingredients) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&ingredients.packet(), ingredients.version, &mut bytes).expect("it has a form");
    bytes
}

/// Walks everything that a packet lends, so that a list that was not checked would show.
fn walk(packet: &Packet<'_>) -> usize {
    let debug = format!("{packet:?}").len();
    let lists = match packet {
        Packet::Publish(publish) => {
            let mut forwarded = Vec::new();
            publish.properties.write_forwarded(&mut forwarded);
            assert_eq!(forwarded.len(), publish.properties.forwarded_len());
            publish.properties.subscription_ids.iter().count()
        }
        Packet::Subscribe(subscribe) => {
            assert_eq!(subscribe.filters.iter().count(), subscribe.filters.count());
            subscribe.filters.count()
        }
        Packet::Unsubscribe(unsubscribe) => {
            assert_eq!(
                unsubscribe.filters.iter().count(),
                unsubscribe.filters.count()
            );
            unsubscribe.filters.count()
        }
        _ => 0,
    };
    debug + lists
}

/// Decodes under every circumstance. What is accepted must be encodable, and mean the same again.
fn decode_everywhere(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = frame_length(bytes, MAXIMUM_PACKET_SIZE);
    let _ = connect_version(bytes);
    for (version, sender) in CONTEXTS {
        let context = Context::new(version, sender);
        let Ok(Some((packet, length))) = decode(bytes, &context) else {
            continue;
        };
        prop_assert!(length <= bytes.len());
        prop_assert!(walk(&packet) > 0);
        let mut again = Vec::new();
        prop_assert_eq!(encode(&packet, version, &mut again), Ok(()));
        prop_assert_eq!(decode(&again, &context), Ok(Some((packet, again.len()))));
        prop_assert!(again.len() <= length, "ours is the shortest form");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_encoded_decodes_to_the_same(ingredients in ingredients(|_| true)) {
        let bytes = bytes_of(&ingredients);
        let decoded = decode(&bytes, &ingredients.context());
        prop_assert_eq!(decoded, Ok(Some((ingredients.packet(), bytes.len()))));
    }

    #[test]
    fn lengths_are_told_before_writing(ingredients in ingredients(|_| true)) {
        let bytes = bytes_of(&ingredients);
        let version = ingredients.version;
        let told = match ingredients.packet() {
            Packet::Connack(connack) => connack.encoded_len(version),
            Packet::Puback(ack) | Packet::Pubrec(ack) => ack.encoded_len(version),
            Packet::Pubrel(ack) | Packet::Pubcomp(ack) => ack.encoded_len(version),
            Packet::Suback(suback) => suback.encoded_len(version),
            Packet::Unsuback(unsuback) => unsuback.encoded_len(version),
            Packet::Disconnect(disconnect) => disconnect.encoded_len(version),
            _ => bytes.len(),
        };
        prop_assert_eq!(told, bytes.len());
        prop_assert_eq!(frame_length(&bytes, MAXIMUM_PACKET_SIZE), Ok(Some(bytes.len())));
    }

    #[test]
    fn no_beginning_of_a_packet_is_a_packet(ingredients in ingredients(|_| true)) {
        let bytes = bytes_of(&ingredients);
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end], &ingredients.context()), Ok(None), "{} bytes", end);
        }
    }

    #[test]
    fn what_follows_a_packet_does_not_matter(
        ingredients in ingredients(|_| true),
        rest in vec(any::<u8>(), 0..20),
    ) {
        let bytes = bytes_of(&ingredients);
        let longer = [&bytes[..], &rest].concat();
        let decoded = decode(&longer, &ingredients.context());
        prop_assert_eq!(decoded, Ok(Some((ingredients.packet(), bytes.len()))));
    }

    #[test]
    fn a_limit_is_kept_to_the_byte(ingredients in ingredients(|_| true)) {
        let bytes = bytes_of(&ingredients);
        let mut context = ingredients.context();
        context.maximum_packet_size = bytes.len() as u32;
        prop_assert!(matches!(decode(&bytes, &context), Ok(Some(_))));
        context.maximum_packet_size -= 1;
        let header = &bytes[..bytes.len().min(5)];
        let too_large = |result: Result<_, DecodeError>| {
            matches!(result, Err(DecodeError { code: ReasonCode::PacketTooLarge, .. }))
        };
        prop_assert!(too_large(decode(header, &context)), "before the body is there");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        decode_everywhere(&bytes)?;
    }

    #[test]
    fn arbitrary_bodies_never_panic(
        first in any::<u8>(),
        body in vec(prop_oneof![any::<u8>(), 0..0x30_u8], 0..100),
    ) {
        decode_everywhere(&[&[first, body.len() as u8], &body[..]].concat())?;
    }

    #[test]
    fn damaged_packets_never_panic(
        ingredients in ingredients(|_| true),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes_of(&ingredients);
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        decode_everywhere(&bytes)?;
    }

    #[test]
    fn cut_packets_with_a_mended_length_are_never_the_whole(
        ingredients in ingredients(|_| true),
        cut in any::<prop::sample::Index>(),
    ) {
        // The same first byte and a Remaining Length that fits: only the body can tell. Where the
        // last field has no length of its own, what is left may be a packet, but a shorter one.
        let bytes = bytes_of(&ingredients);
        let header = 1 + bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
        prop_assume!(bytes.len() > header);
        let body = &bytes[header..header + cut.index(bytes.len() - header)];
        let mut mended = vec![bytes[0]];
        let mut rest = body.len();
        while rest >= 0x80 {
            mended.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        mended.push(rest as u8);
        mended.extend(body);
        if let Ok(found) = decode(&mended, &ingredients.context()) {
            let (packet, length) = found.expect("all its bytes are there");
            prop_assert_eq!(length, mended.len());
            prop_assert_ne!(packet, ingredients.packet());
        }
    }

    #[test]
    fn both_encoders_of_a_publish_agree(ingredients in ingredients(|_| true)) {
        let Packet::Publish(publish) = ingredients.packet() else { return Ok(()) };
        let mut forwarded = Vec::new();
        publish.properties.write_forwarded(&mut forwarded);
        let ids: Vec<u32> = publish.properties.subscription_ids.iter().collect();
        let frame = PublishFrame {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            packet_id: publish.packet_id,
            topic: publish.topic.as_bytes(),
            alias: publish.properties.topic_alias,
            message_expiry: publish.properties.message_expiry,
            subscription_ids: &ids,
            forwarded: &forwarded,
            payload: publish.payload,
        };
        let mut bytes = Vec::new();
        frame.encode(ingredients.version, &mut bytes);
        prop_assert_eq!(&bytes, &bytes_of(&ingredients));
        prop_assert_eq!(bytes.len(), frame.encoded_len(ingredients.version));
        let read = PublishProperties::parse_forwarded(&forwarded);
        prop_assert_eq!(read.map(|read| read.forwarded_len()), Ok(forwarded.len()));
    }

    #[test]
    fn short_acknowledgements_decode(
        kind in prop::sample::select(vec![
            PacketType::Puback, PacketType::Pubrec, PacketType::Pubrel, PacketType::Pubcomp,
        ]),
        id in 1..=u16::MAX,
        index in any::<prop::sample::Index>(),
    ) {
        let codes: Vec<_> = ReasonCode::ALL.iter().filter(|code| code.allowed_in(kind)).collect();
        let code = **index.get(&codes);
        let id = NonZeroU16::new(id).expect("from 1 on");
        for (version, sender) in CONTEXTS {
            let mut bytes = Vec::new();
            encode_ack(kind, id, code, version, &mut bytes);
            let expected = if version == Version::V5 { code } else { ReasonCode::Success };
            let context = Context::new(version, sender);
            let (packet, length) = decode(&bytes, &context).unwrap().unwrap();
            prop_assert_eq!((packet.packet_type(), length), (kind, bytes.len()));
            let (Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack)
                | Packet::Pubcomp(ack)) = packet else { panic!("an acknowledgement") };
            prop_assert_eq!((ack.packet_id, ack.code), (id, expected));
        }
    }
}

/// The generator is of use only if it reaches every packet of every version and direction.
#[test]
fn every_packet_is_generated() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let strategy = ingredients(|_| true);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3_000 {
        let ingredients = strategy
            .new_tree(&mut runner)
            .expect("nothing is filtered")
            .current();
        seen.insert((ingredients.kind, ingredients.version, ingredients.sender));
    }
    let all = CONTEXTS.iter().flat_map(|&(version, sender)| {
        PacketType::ALL
            .into_iter()
            .map(move |kind| (kind, version, sender))
    });
    for (kind, version, sender) in all {
        let possible = kind.may_be_sent_by(sender, version);
        assert_eq!(
            seen.contains(&(kind, version, sender)),
            possible,
            "{kind} {version}"
        );
    }
}

/// A large payload is neither walked nor copied: its place is inside the input.
#[test]
fn payloads_are_borrowed() {
    let mut bytes = Vec::new();
    let payload = vec![0x55; 1 << 20];
    let publish = Publish {
        topic: "t",
        payload: &payload,
        ..Publish::default()
    };
    publish
        .encode(Version::V5, &mut bytes)
        .expect("it has a form");
    let context = Context::new(Version::V5, Sender::Client);
    let Ok(Some((Packet::Publish(read), _))) = decode(&bytes, &context) else {
        panic!("a PUBLISH")
    };
    assert_eq!(bytes.as_ptr_range().end, read.payload.as_ptr_range().end);
    assert_eq!(read.payload.len(), payload.len());
}
