//! `rmqtt-codec` 0.3, MQTT 3.1 and 3.1.1. It refuses an empty Client Identifier without a clean
//! session, which is not a codec's business here. It is not made to write a 3.1 CONNECT, because it
//! misspells the Protocol Name.

use bytes::BytesMut;
use postbud::codec::{
    Ack, Connack, Connect, ConnectProperties, Disconnect, FiltersBuf, Packet, Publish, QoS,
    ReasonCode, Suback, Subscribe, SubscriptionOptions, Unsuback, Unsubscribe,
    UnsubscribeFiltersBuf, UserProperties, Version, Will, WillProperties,
};
use rmqtt_codec::types::QoS as TheirQoS;
use rmqtt_codec::v3::{self, Packet as Theirs, SubscribeReturnCode};
use tokio_util::codec::{Decoder, Encoder};

use super::Oracle;

pub struct Codec;

pub fn qos(theirs: TheirQoS) -> QoS {
    QoS::from_bits(theirs.into()).expect("an oracle's QoS is one of ours")
}

impl Oracle for Codec {
    type Packet = Theirs;

    fn understands(packet: &Packet<'_>) -> bool {
        match packet {
            Packet::Connect(connect) => {
                !connect.bridge && (connect.clean_start || !connect.client_id.is_empty())
            }
            _ => true,
        }
    }

    fn decode(bytes: &mut BytesMut) -> Result<Theirs, String> {
        let found = v3::Codec::default()
            .decode(bytes)
            .map_err(|error| error.to_string())?;
        found
            .map(|(packet, _)| packet)
            .ok_or_else(|| "incomplete".to_owned())
    }

    fn encode(packet: Theirs) -> Option<Vec<u8>> {
        if matches!(&packet, Theirs::Connect(connect) if connect.protocol.level() == 3) {
            return None;
        }
        let mut out = BytesMut::new();
        v3::Codec::default()
            .encode(packet, &mut out)
            .expect("it encodes what it decoded");
        Some(out.to_vec())
    }

    fn read(packet: &Theirs, check: impl FnOnce(Packet<'_>)) {
        let ack = |packet_id: &_| Ack::new(*packet_id, ReasonCode::Success);
        match packet {
            Theirs::Connect(connect) => check(Packet::Connect(read_connect(connect))),
            Theirs::ConnectAck(connack) => {
                let code = u8::from(connack.return_code);
                check(Packet::Connack(Connack {
                    session_present: connack.session_present,
                    ..Connack::refusal(ReasonCode::from_connack_v3(code).expect("0 to 5"))
                }));
            }
            Theirs::Publish(publish) => check(Packet::Publish(Publish {
                dup: publish.dup,
                qos: qos(publish.qos),
                retain: publish.retain,
                topic: &publish.topic,
                packet_id: publish.packet_id,
                payload: &publish.payload,
                ..Publish::default()
            })),
            Theirs::PublishAck { packet_id } => check(Packet::Puback(ack(packet_id))),
            Theirs::PublishReceived { packet_id } => check(Packet::Pubrec(ack(packet_id))),
            Theirs::PublishRelease { packet_id } => check(Packet::Pubrel(ack(packet_id))),
            Theirs::PublishComplete { packet_id } => check(Packet::Pubcomp(ack(packet_id))),
            Theirs::Subscribe { .. } | Theirs::Unsubscribe { .. } => read_filters(packet, check),
            Theirs::SubscribeAck { packet_id, status } => {
                let code = |code: &SubscribeReturnCode| match code {
                    SubscribeReturnCode::Success(granted) => granted.value(),
                    SubscribeReturnCode::Failure => 0x80,
                };
                let codes: Vec<u8> = status.iter().map(code).collect();
                check(Packet::Suback(Suback {
                    packet_id: *packet_id,
                    reason_string: None,
                    user_properties: UserProperties::default(),
                    codes: &codes,
                }));
            }
            Theirs::UnsubscribeAck { packet_id } => check(Packet::Unsuback(Unsuback {
                packet_id: *packet_id,
                reason_string: None,
                user_properties: UserProperties::default(),
                codes: &[],
            })),
            Theirs::PingRequest => check(Packet::Pingreq),
            Theirs::PingResponse => check(Packet::Pingresp),
            Theirs::Disconnect => check(Packet::Disconnect(Disconnect::new(ReasonCode::Success))),
        }
    }
}

fn read_connect(connect: &v3::Connect) -> Connect<'_> {
    Connect {
        version: if connect.protocol.level() == 3 {
            Version::V31
        } else {
            Version::V311
        },
        bridge: false,
        clean_start: connect.clean_session,
        keep_alive: connect.keep_alive,
        client_id: &connect.client_id,
        will: connect.last_will.as_ref().map(|will| Will {
            qos: qos(will.qos),
            retain: will.retain,
            topic: &will.topic,
            payload: &will.message,
            properties: WillProperties::default(),
        }),
        user_name: connect.username.as_deref(),
        password: connect.password.as_deref(),
        properties: ConnectProperties::default(),
    }
}

fn read_filters(packet: &Theirs, check: impl FnOnce(Packet<'_>)) {
    match packet {
        Theirs::Subscribe {
            packet_id,
            topic_filters,
        } => {
            let mut filters = FiltersBuf::new();
            for (filter, granted) in topic_filters {
                let options = SubscriptionOptions::v3(qos(*granted));
                filters.push(filter, options).expect("an accepted filter");
            }
            check(Packet::Subscribe(Subscribe {
                packet_id: *packet_id,
                subscription_id: None,
                user_properties: UserProperties::default(),
                filters: filters.as_ref(),
            }));
        }
        Theirs::Unsubscribe {
            packet_id,
            topic_filters,
        } => {
            let mut filters = UnsubscribeFiltersBuf::new();
            for filter in topic_filters {
                filters.push(filter).expect("an accepted filter");
            }
            check(Packet::Unsubscribe(Unsubscribe {
                packet_id: *packet_id,
                user_properties: UserProperties::default(),
                filters: filters.as_ref(),
            }));
        }
        other => panic!("{other:?} has no filters"),
    }
}
