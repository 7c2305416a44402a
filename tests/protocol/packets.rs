//! Arbitrary packets: every type, in every version and direction that has it.
//!
//! A [`Packet`] borrows, so what is generated is what it borrows from: the [`Ingredients`]. Which
//! of the optional fields are there is decided by bits, one per field, which shrink to "absent".

use std::num::{NonZeroU16, NonZeroU32};

use postbud::codec::{
    Ack, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Context, Disconnect,
    FiltersBuf, Packet, PacketId, PacketType, Publish, PublishProperties, QoS, ReasonCode,
    RetainHandling, Sender, Suback, Subscribe, SubscriptionIds, SubscriptionIdsBuf,
    SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFiltersBuf, UserProperties,
    UserPropertiesBuf, Version, Will, WillProperties,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What an arbitrary packet is made of.
#[derive(Clone, Debug)]
pub struct Ingredients {
    pub kind: PacketType,
    pub version: Version,
    pub sender: Sender,
    bits: u32,
    numbers: [u32; 4],
    texts: Vec<String>,
    topics: Vec<String>,
    data: Vec<Vec<u8>>,
    users: UserPropertiesBuf,
    will_users: UserPropertiesBuf,
    ids: SubscriptionIdsBuf,
    filters: FiltersBuf,
    unsubscribe: UnsubscribeFiltersBuf,
    codes: Vec<u8>,
}

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Any packet of the versions that `wanted` lets through.
pub fn ingredients(
    wanted: impl Fn(Version) -> bool + 'static,
) -> impl Strategy<Value = Ingredients> {
    let mut kinds = Vec::new();
    for version in VERSIONS.into_iter().filter(|&version| wanted(version)) {
        for sender in [Sender::Client, Sender::Server] {
            for kind in PacketType::ALL {
                if kind.may_be_sent_by(sender, version) {
                    kinds.push((kind, version, sender));
                }
            }
        }
    }
    let shape = (prop::sample::select(kinds), any::<u32>(), any::<[u32; 4]>());
    let pieces = (
        vec(text(), 5),
        vec(topic(), 2),
        vec(vec(any::<u8>(), 0..200), 2),
    );
    let lists = (
        vec((text(), text()), 0..4),
        vec((text(), text()), 0..2),
        vec(1..=268_435_455_u32, 0..3),
        vec((filter(), 0..3_u8, 0..3_u8, any::<[bool; 2]>()), 1..5),
        vec(any::<prop::sample::Index>(), 1..6),
    );
    (shape, pieces, lists).prop_map(|(shape, pieces, lists)| {
        let ((kind, version, sender), bits, numbers) = shape;
        let (texts, topics, data) = pieces;
        let (users, will_users, ids, filters, codes) = lists;
        let mut unsubscribe = UnsubscribeFiltersBuf::new();
        for (filter, ..) in &filters {
            unsubscribe
                .push(filter)
                .expect("generated filters are well-formed");
        }
        Ingredients {
            kind,
            version,
            sender,
            bits,
            numbers,
            texts,
            topics,
            data,
            users: user_properties(users),
            will_users: user_properties(will_users),
            ids: subscription_ids(ids),
            filters: subscriptions(filters, version),
            unsubscribe,
            codes: codes
                .iter()
                .map(|index| *index.get(&codes_of(kind, version)))
                .collect(),
        }
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{1,12}",
        "[a-z\u{1}ø€𐍈\u{feff}]{0,12}"
    ]
}

fn topic() -> impl Strategy<Value = String> {
    "[a-z/$ ø€𐍈]{1,40}"
}

fn filter() -> impl Strategy<Value = String> {
    "([$]share/[a-z]{1,3}/)?(x[a-zø]{0,3}|[+])(/([a-z]{0,3}|[+])){0,4}(/#)?"
}

fn user_properties(pairs: Vec<(String, String)>) -> UserPropertiesBuf {
    let mut buf = UserPropertiesBuf::new();
    for (name, value) in pairs {
        buf.push(&name, &value).expect("generated texts are valid");
    }
    buf
}

fn subscription_ids(ids: Vec<u32>) -> SubscriptionIdsBuf {
    let mut buf = SubscriptionIdsBuf::new();
    for id in ids {
        buf.push(id).expect("generated identifiers are in range");
    }
    buf
}

fn subscriptions(filters: Vec<(String, u8, u8, [bool; 2])>, version: Version) -> FiltersBuf {
    let mut buf = FiltersBuf::new();
    for (filter, qos, handling, [no_local, retain_as_published]) in filters {
        let mut options = SubscriptionOptions::v3(qos_of(qos.into()));
        if version == Version::V5 {
            options.no_local = no_local && !filter.starts_with("$share/");
            options.retain_as_published = retain_as_published;
            options.retain_handling = match handling {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                _ => RetainHandling::Never,
            };
        }
        buf.push(&filter, options)
            .expect("generated filters are well-formed");
    }
    buf
}

/// The codes that a list of them may hold.
fn codes_of(kind: PacketType, version: Version) -> Vec<u8> {
    if version < Version::V5 {
        return vec![0, 1, 2, 0x80];
    }
    let allowed = ReasonCode::ALL.iter().filter(|code| code.allowed_in(kind));
    let codes: Vec<u8> = allowed.map(|&code| code as u8).collect();
    if codes.is_empty() { vec![0] } else { codes }
}

fn qos_of(number: u32) -> QoS {
    QoS::from_bits((number % 3) as u8).unwrap_or_default()
}

impl Ingredients {
    /// The circumstances under which the packet decodes.
    pub fn context(&self) -> Context {
        Context::new(self.version, self.sender)
    }

    /// The packet.
    pub fn packet(&self) -> Packet<'_> {
        match self.kind {
            PacketType::Connect => Packet::Connect(self.connect()),
            PacketType::Connack => Packet::Connack(self.connack()),
            PacketType::Publish => Packet::Publish(self.publish()),
            PacketType::Puback => Packet::Puback(self.ack()),
            PacketType::Pubrec => Packet::Pubrec(self.ack()),
            PacketType::Pubrel => Packet::Pubrel(self.ack()),
            PacketType::Pubcomp => Packet::Pubcomp(self.ack()),
            PacketType::Subscribe => Packet::Subscribe(Subscribe {
                packet_id: self.packet_id(),
                subscription_id: self.property(0, self.numbers[1] % 268_435_455 + 1),
                user_properties: self.user_properties(),
                filters: self.filters.as_ref(),
            }),
            PacketType::Suback => Packet::Suback(Suback {
                packet_id: self.packet_id(),
                reason_string: self.property(0, self.text(0)),
                user_properties: self.user_properties(),
                codes: &self.codes,
            }),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe {
                packet_id: self.packet_id(),
                user_properties: self.user_properties(),
                filters: self.unsubscribe.as_ref(),
            }),
            PacketType::Unsuback => Packet::Unsuback(Unsuback {
                packet_id: self.packet_id(),
                reason_string: self.property(0, self.text(0)),
                user_properties: self.user_properties(),
                codes: if self.version == Version::V5 {
                    &self.codes
                } else {
                    &[]
                },
            }),
            PacketType::Pingreq => Packet::Pingreq,
            PacketType::Pingresp => Packet::Pingresp,
            PacketType::Disconnect => Packet::Disconnect(self.disconnect()),
            PacketType::Auth => Packet::Auth(self.auth()),
        }
    }

    fn connect(&self) -> Connect<'_> {
        let v5 = self.version == Version::V5;
        let user_name = self.option(1, self.text(1));
        let method = self.property(10, self.text(2));
        let properties = if v5 {
            ConnectProperties {
                session_expiry: self.option(4, self.numbers[1]),
                receive_maximum: self.option(5, self.nonzero_u16(2)),
                maximum_packet_size: self.option(6, self.nonzero_u32(3)),
                topic_alias_maximum: self.option(7, self.numbers[3] as u16).unwrap_or(0),
                request_response_information: self.bit(8),
                request_problem_information: self.bit(9),
                user_properties: self.user_properties(),
                authentication_method: method,
                authentication_data: method.and(self.option(11, self.data(1))),
            }
        } else {
            ConnectProperties::default()
        };
        Connect {
            version: self.version,
            bridge: !v5 && self.bit(12),
            clean_start: self.bit(13),
            keep_alive: self.numbers[0] as u16,
            client_id: self.text(0),
            will: self.option(14, self.will()),
            user_name,
            password: if v5 || user_name.is_some() {
                self.option(2, self.data(0))
            } else {
                None
            },
            properties,
        }
    }

    fn will(&self) -> Will<'_> {
        let properties = if self.version == Version::V5 {
            WillProperties {
                delay: self.option(16, self.numbers[2]).unwrap_or(0),
                payload_format: self.option(17, self.bit(18)),
                message_expiry: self.option(19, self.numbers[3]),
                content_type: self.option(20, self.text(3)),
                response_topic: self.option(21, self.topic(1)),
                correlation_data: self.option(22, self.data(1)),
                user_properties: self.will_users.as_ref(),
            }
        } else {
            WillProperties::default()
        };
        Will {
            qos: qos_of(self.numbers[0]),
            retain: self.bit(15),
            topic: self.topic(0),
            payload: self.data(0),
            properties,
        }
    }

    fn connack(&self) -> Connack<'_> {
        let code = self.code();
        let mut connack = Connack::refusal(code);
        connack.session_present =
            code == ReasonCode::Success && self.version > Version::V31 && self.bit(0);
        if self.version == Version::V5 {
            let maximum_qos = if self.bit(1) {
                QoS::AtLeastOnce
            } else {
                QoS::AtMostOnce
            };
            connack.properties = ConnackProperties {
                session_expiry: self.option(2, self.numbers[1]),
                receive_maximum: self.option(3, self.nonzero_u16(2)),
                maximum_qos: self.option(4, maximum_qos),
                retain_available: self.option(5, self.bit(6)),
                maximum_packet_size: self.option(7, self.nonzero_u32(3)),
                assigned_client_id: self.option(8, self.text(0)),
                topic_alias_maximum: self.option(9, self.numbers[2] as u16).unwrap_or(0),
                reason_string: self.option(10, self.text(1)),
                user_properties: self.user_properties(),
                wildcard_available: self.option(11, self.bit(12)),
                subscription_ids_available: self.option(13, self.bit(14)),
                shared_available: self.option(15, self.bit(16)),
                server_keep_alive: self.option(17, self.numbers[3] as u16),
                response_information: self.option(18, self.text(2)),
                server_reference: self.option(19, self.text(3)),
                authentication_method: self.option(20, self.text(4)),
                authentication_data: self.option(21, self.data(1)),
            };
        }
        connack
    }

    fn publish(&self) -> Publish<'_> {
        let qos = qos_of(self.numbers[0]);
        let some_qos = qos != QoS::AtMostOnce;
        let properties = if self.version == Version::V5 {
            PublishProperties {
                payload_format: self.option(3, self.bit(4)),
                message_expiry: self.option(5, self.numbers[2]),
                topic_alias: self.option(6, self.nonzero_u16(3)),
                response_topic: self.option(7, self.topic(1)),
                correlation_data: self.option(8, self.data(1)),
                content_type: self.option(9, self.text(0)),
                subscription_ids: match self.sender {
                    Sender::Client => SubscriptionIds::default(),
                    Sender::Server => self.ids.as_ref(),
                },
                user_properties: self.user_properties(),
            }
        } else {
            PublishProperties::default()
        };
        Publish {
            dup: some_qos && self.bit(0),
            qos,
            retain: self.bit(1),
            topic: if properties.topic_alias.is_some() && self.bit(2) {
                ""
            } else {
                self.topic(0)
            },
            packet_id: some_qos.then(|| self.packet_id()),
            properties,
            payload: self.data(0),
        }
    }

    fn ack(&self) -> Ack<'_> {
        Ack {
            reason_string: self.property(0, self.text(0)),
            user_properties: self.user_properties(),
            ..Ack::new(self.packet_id(), self.code())
        }
    }

    fn disconnect(&self) -> Disconnect<'_> {
        let client = self.sender == Sender::Client;
        let mut disconnect = Disconnect::new(self.code());
        disconnect.session_expiry = self.property(0, self.numbers[1]).filter(|_| client);
        disconnect.server_reference = self.property(1, self.text(1)).filter(|_| !client);
        disconnect.reason_string = self.property(2, self.text(0));
        disconnect.user_properties = self.user_properties();
        disconnect
    }

    fn auth(&self) -> Auth<'_> {
        let code = self.code();
        let bare = code == ReasonCode::Success && self.bit(0);
        Auth {
            code,
            method: (!bare).then(|| self.text(0)),
            data: self.option(1, self.data(1)).filter(|_| !bare),
            reason_string: self.option(2, self.text(1)).filter(|_| !bare),
            user_properties: if bare {
                UserProperties::default()
            } else {
                self.user_properties()
            },
        }
    }

    /// A code that this packet may carry in this version from this side.
    fn code(&self) -> ReasonCode {
        let number = self.numbers[3] as usize;
        if self.version < Version::V5 {
            return match self.kind {
                PacketType::Connack => {
                    ReasonCode::from_connack_v3((number % 6) as u8).expect("0 to 5 are assigned")
                }
                _ => ReasonCode::Success,
            };
        }
        let sent = |code: &&ReasonCode| code.may_be_sent_by(self.kind, self.sender);
        let codes: Vec<_> = ReasonCode::ALL.iter().filter(sent).collect();
        *codes[number % codes.len()]
    }

    fn bit(&self, index: u32) -> bool {
        self.bits >> index & 1 == 1
    }

    fn option<T>(&self, index: u32, value: T) -> Option<T> {
        self.bit(index).then_some(value)
    }

    /// An option that only 5.0 has.
    fn property<T>(&self, index: u32, value: T) -> Option<T> {
        self.option(index, value)
            .filter(|_| self.version == Version::V5)
    }

    fn user_properties(&self) -> UserProperties<'_> {
        if self.version == Version::V5 {
            self.users.as_ref()
        } else {
            UserProperties::default()
        }
    }

    fn packet_id(&self) -> PacketId {
        self.nonzero_u16(1)
    }

    fn nonzero_u16(&self, index: usize) -> NonZeroU16 {
        NonZeroU16::new(self.numbers[index] as u16).unwrap_or(NonZeroU16::MAX)
    }

    fn nonzero_u32(&self, index: usize) -> NonZeroU32 {
        NonZeroU32::new(self.numbers[index]).unwrap_or(NonZeroU32::MAX)
    }

    fn text(&self, index: usize) -> &str {
        &self.texts[index]
    }

    fn topic(&self, index: usize) -> &str {
        &self.topics[index]
    }

    fn data(&self, index: usize) -> &[u8] {
        &self.data[index]
    }
}
