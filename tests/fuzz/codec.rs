//! The codec, of all versions and in both directions: whatever the bytes, it decides without a panic,
//! takes no more than the frame, and what it accepts means the same when it is written again.

use std::fmt::Write as _;

use postbud::codec::{
    Context, DecodeError, MAXIMUM_PACKET_SIZE, Packet, PacketType, Publish, PublishFrame, QoS,
    ReasonCode, Sender, UserPropertiesBuf, Version, connect_version, decode, encode, frame_length,
};
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::dice::Dice;
use crate::mutator::mutate;
use crate::packets::{Ingredients, ingredients};
use crate::trial::{Case, Target};

const CONTEXTS: [(&str, Version, Sender); 6] = [
    ("3.1-client", Version::V31, Sender::Client),
    ("3.1-server", Version::V31, Sender::Server),
    ("3.1.1-client", Version::V311, Sender::Client),
    ("3.1.1-server", Version::V311, Sender::Server),
    ("5.0-client", Version::V5, Sender::Client),
    ("5.0-server", Version::V5, Sender::Server),
];

/// Bytes that come from a peer of a version and side: an index into [`CONTEXTS`].
#[derive(Clone)]
struct Input {
    from: usize,
    bytes: Vec<u8>,
}

impl Case for Input {
    fn read(text: &str) -> Self {
        let (name, digits) = text.split_once(' ').expect("a sender and bytes");
        let from = CONTEXTS.iter().position(|context| context.0 == name);
        Self {
            from: from.unwrap_or_else(|| panic!("no sender `{name}`")),
            bytes: from_hex(digits),
        }
    }

    fn write(&self) -> String {
        format!("{} {}", CONTEXTS[self.from].0, to_hex(&self.bytes))
    }

    fn pieces(&self) -> usize {
        self.bytes.len()
    }

    fn without(&self, from: usize, to: usize) -> Self {
        let mut less = self.clone();
        less.bytes.drain(from..to);
        less
    }
}

/// Bytes from pairs of digits, with any white space between.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16);
    let bytes = (0..digits.len()).step_by(2).map(byte);
    bytes.map(|byte| byte.expect("two digits")).collect()
}

/// Bytes as pairs of digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The generator of valid packets.
struct Generator(BoxedStrategy<Ingredients>);

impl Generator {
    fn new() -> Self {
        Self(ingredients(|_| true).boxed())
    }

    fn packet(&self, dice: &mut Dice) -> (usize, Vec<u8>) {
        let mut seed = [0; 32];
        seed.fill_with(|| dice.byte());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = self.0.new_tree(&mut runner).expect("nothing is filtered");
        let made = tree.current();
        let mut bytes = Vec::new();
        encode(&made.packet(), made.version, &mut bytes).expect("it has a form");
        let from = CONTEXTS
            .iter()
            .position(|(_, version, sender)| Context::new(*version, *sender) == made.context());
        (from.expect("all are there"), bytes)
    }

    fn input(&self, dice: &mut Dice) -> Input {
        if dice.once_in(8) {
            return noise(dice);
        }
        let (mut from, mut bytes) = self.packet(dice);
        let (_, other) = self.packet(dice);
        if !dice.once_in(16) {
            mutate(dice, &mut bytes, &other);
        }
        if dice.once_in(8) {
            from = dice.below(CONTEXTS.len());
        }
        Input { from, bytes }
    }
}

/// Bytes of no packet; in most of them the fixed header is in order.
fn noise(dice: &mut Dice) -> Input {
    let length = dice.below(120);
    let mut bytes: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
    if dice.once_in(2) {
        for byte in &mut bytes {
            *byte %= 0x30;
        }
    }
    if !dice.once_in(4) {
        bytes.splice(0..0, [dice.byte(), length as u8]);
    }
    let from = dice.below(CONTEXTS.len());
    Input { from, bytes }
}

// Breaks if: `Section::user_property` takes a value that is no string.
#[test]
fn codec() {
    let generator = Generator::new();
    let target = Target {
        name: "codec",
        cases: 1_000,
    };
    target.run(|dice| generator.input(dice), check);
}

fn check(input: &Input) {
    let (_, version, sender) = CONTEXTS[input.from];
    let context = Context::new(version, sender);
    let bytes = &input.bytes[..];
    let result = decode(bytes, &context);
    in_pieces(bytes, &context, &result);
    claims(bytes);
    match result {
        Ok(None) => {}
        Ok(Some((packet, length))) => accepted(&bytes[..length], &packet, &context),
        Err(error) => refused(bytes, &error),
    }
    for (_, version, sender) in CONTEXTS {
        let context = Context::new(version, sender);
        if let Ok(Some((packet, length))) = decode(bytes, &context) {
            accepted(&bytes[..length], &packet, &context);
        }
    }
}

/// What was decided of the whole is decided of each beginning, or not yet.
fn in_pieces(
    bytes: &[u8],
    context: &Context,
    whole: &Result<Option<(Packet<'_>, usize)>, DecodeError>,
) {
    for end in 0..bytes.len() {
        let part = decode(&bytes[..end], context);
        match (&part, whole) {
            (Ok(None), Ok(Some((_, length)))) => assert!(end < *length, "{end} bytes are enough"),
            (Ok(None), _) => {}
            _ => assert_eq!(&part, whole, "after {end} bytes"),
        }
    }
    if let Ok(Some((_, length))) = whole {
        let told = frame_length(bytes, MAXIMUM_PACKET_SIZE);
        assert_eq!(told, Ok(Some(*length)), "two lengths of one frame");
        let header = 1 + bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
        let remaining = bytes[1..header]
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
        assert_eq!(*length, header + remaining);
    }
}

/// What a CONNECT claims to be is not taken back when more of it comes.
fn claims(bytes: &[u8]) {
    let mut claimed = None;
    for end in 0..=bytes.len() {
        let version = connect_version(&bytes[..end]);
        assert!(claimed.is_none() || version == claimed, "{end} bytes");
        claimed = version;
    }
}

fn refused(bytes: &[u8], error: &DecodeError) {
    let kind = error.packet;
    let fits = match error.code {
        ReasonCode::MalformedPacket | ReasonCode::ProtocolError | ReasonCode::PacketTooLarge => {
            true
        }
        ReasonCode::UnsupportedProtocolVersion => kind == Some(PacketType::Connect),
        ReasonCode::TopicAliasInvalid => kind == Some(PacketType::Publish),
        ReasonCode::QuotaExceeded => bytes.len() > 1_024,
        _ => false,
    };
    assert!(fits && !error.what.is_empty(), "{error:?}");
    let named = PacketType::from_first_byte(bytes[0]);
    assert!(kind.is_none() || kind == named, "{kind:?} is not {named:?}");
}

fn accepted(frame: &[u8], packet: &Packet<'_>, context: &Context) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => context.version,
    };
    let mut again = Vec::new();
    encode(packet, version, &mut again).expect("what was read can be written");
    assert!(again.len() <= frame.len(), "ours is the shortest form");
    let read = decode(&again, context).expect("ours is in order");
    assert_eq!(read, Some((*packet, again.len())), "it means the same");
    let (read, _) = read.expect("it is whole");
    let mut third = Vec::new();
    encode(&read, version, &mut third).expect("what was read can be written");
    assert_eq!(again, third, "one meaning has one form of ours");
    bounded(frame, context);
    lawful(packet, context);
    users(packet);
}

/// The limit on the size of packets holds to the byte.
fn bounded(frame: &[u8], context: &Context) {
    let limited = |maximum: usize| {
        let mut limited = *context;
        limited.maximum_packet_size = maximum as u32;
        limited
    };
    assert!(matches!(decode(frame, &limited(frame.len())), Ok(Some(_))));
    let error = decode(frame, &limited(frame.len() - 1)).expect_err("it is too large");
    assert_eq!(error.code, ReasonCode::PacketTooLarge);
}

/// Both texts of every User Property are texts: put together again, they are the same bytes.
fn users(packet: &Packet<'_>) {
    let users = match packet {
        Packet::Connect(it) => it.properties.user_properties,
        Packet::Connack(it) => it.properties.user_properties,
        Packet::Publish(it) => it.properties.user_properties,
        Packet::Puback(it) | Packet::Pubrec(it) | Packet::Pubrel(it) | Packet::Pubcomp(it) => {
            it.user_properties
        }
        Packet::Subscribe(it) => it.user_properties,
        Packet::Suback(it) => it.user_properties,
        Packet::Unsubscribe(it) => it.user_properties,
        Packet::Unsuback(it) => it.user_properties,
        Packet::Disconnect(it) => it.user_properties,
        Packet::Auth(it) => it.user_properties,
        Packet::Pingreq | Packet::Pingresp => return,
    };
    let mut again = UserPropertiesBuf::new();
    for (name, value) in users.iter() {
        again.push(name, value).expect("two texts");
    }
    assert_eq!(again.as_ref(), users);
}

/// What the specification says of the fields, read off the packet instead of the bytes.
fn lawful(packet: &Packet<'_>, context: &Context) {
    let old = context.version != Version::V5;
    match packet {
        Packet::Publish(publish) => {
            let alias = publish.properties.topic_alias;
            assert!(is_name(publish.topic) || publish.topic.is_empty() && alias.is_some());
            let promised = publish.qos != QoS::AtMostOnce;
            assert_eq!(publish.packet_id.is_some(), promised);
            assert!(!publish.dup || promised || context.version == Version::V31);
            assert!(publish.properties.response_topic.is_none_or(is_name));
            if context.sender == Sender::Client {
                assert_eq!(publish.properties.subscription_ids.iter().count(), 0);
            }
            onward(publish, context);
        }
        Packet::Subscribe(subscribe) => {
            assert!(subscribe.filters.count() > 0);
            assert!(!old || subscribe.subscription_id.is_none());
            for (filter, options) in subscribe.filters.iter() {
                assert!(is_filter(filter), "{filter}");
                assert!(!options.no_local || !filter.starts_with("$share/"));
                assert!(!old || !options.no_local && !options.retain_as_published);
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            assert!(unsubscribe.filters.count() > 0);
            assert!(unsubscribe.filters.iter().all(is_filter));
        }
        Packet::Connect(connect) => {
            assert!(!connect.client_id.contains('\0'));
            assert!(connect.will.is_none_or(|will| is_name(will.topic)));
            if connect.version != Version::V5 {
                assert!(connect.password.is_none() || connect.user_name.is_some());
            }
        }
        Packet::Connack(connack) => {
            assert!(!connack.session_present || connack.code == ReasonCode::Success);
        }
        Packet::Suback(suback) => assert!(!suback.codes.is_empty()),
        _ => {}
    }
}

fn is_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['\0', '+', '#'])
}

fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let (last, before) = levels.split_last().expect("there is one at least");
    let plain = |level: &&str| *level == "+" || !level.contains(['+', '#', '\0']);
    let well = !filter.is_empty() && before.iter().all(plain) && (*last == "#" || plain(last));
    let named = levels.get(1).is_some_and(|name| {
        !name.is_empty()
            && !name.contains(['+', '#'])
            && levels[2..].concat().len() + levels.len() > 3
    });
    well && (levels[0] != "$share" || named)
}

/// The way of a message through the broker: what is forwarded of it is a packet in every version.
fn onward(publish: &Publish<'_>, context: &Context) {
    let mut forwarded = Vec::new();
    publish.properties.write_forwarded(&mut forwarded);
    let topic = if publish.topic.is_empty() {
        "t"
    } else {
        publish.topic
    };
    for version in [Version::V31, Version::V311, Version::V5] {
        let frame = PublishFrame {
            dup: false,
            qos: publish.qos,
            retain: publish.retain,
            packet_id: publish.packet_id,
            topic: topic.as_bytes(),
            alias: None,
            message_expiry: publish.properties.message_expiry,
            subscription_ids: &[],
            forwarded: &forwarded,
            payload: publish.payload,
        };
        let mut bytes = Vec::new();
        frame.encode(version, &mut bytes);
        assert_eq!(bytes.len(), frame.encoded_len(version));
        let read = decode(&bytes, &Context::new(version, Sender::Server));
        let Ok(Some((Packet::Publish(read), length))) = read else {
            panic!("{read:?} of what is forwarded")
        };
        assert_eq!(length, bytes.len());
        assert_eq!((read.topic, read.payload), (topic, publish.payload));
        if version == Version::V5 && context.version == Version::V5 {
            let (sent, came) = (publish.properties, read.properties);
            assert_eq!(sent.user_properties, came.user_properties);
            assert_eq!(sent.correlation_data, came.correlation_data);
            assert_eq!(sent.response_topic, came.response_topic);
            assert_eq!(sent.content_type, came.content_type);
            assert_eq!(sent.payload_format, came.payload_format);
        }
    }
}
