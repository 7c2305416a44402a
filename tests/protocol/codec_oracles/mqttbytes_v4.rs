//! `mqttbytes` 0.6, MQTT 3.1.1. It has user name and password together or not at all, as text.

use bytes::BytesMut;
use mqttbytes::QoS as TheirQoS;
use mqttbytes::v4::{self, Packet as Theirs};
use postbud::codec::{
    Ack, Connack, Connect, ConnectProperties, Disconnect, FiltersBuf, Packet, PacketId, Publish,
    QoS, ReasonCode, Suback, Subscribe, SubscriptionOptions, Unsuback, Unsubscribe,
    UnsubscribeFiltersBuf, UserProperties, Version, Will, WillProperties,
};

use super::Oracle;

pub struct Codec;

pub fn qos(theirs: TheirQoS) -> QoS {
    QoS::from_bits(theirs as u8).expect("an oracle's QoS is one of ours")
}

pub fn id(pkid: u16) -> PacketId {
    PacketId::new(pkid).expect("an identifier is not zero")
}

/// Whether a login survives: an empty field is none to it.
pub fn login_survives(connect: &Connect<'_>) -> bool {
    let user_name = connect.user_name != Some("");
    let password = connect
        .password
        .is_none_or(|password| !password.is_empty() && std::str::from_utf8(password).is_ok());
    user_name && password
}

impl Oracle for Codec {
    type Packet = Theirs;

    fn understands(packet: &Packet<'_>) -> bool {
        match packet {
            Packet::Connect(connect) => login_survives(connect) && !connect.bridge,
            _ => true,
        }
    }

    fn decode(bytes: &mut BytesMut) -> Result<Theirs, String> {
        v4::read(bytes, 1 << 20).map_err(|error| format!("{error:?}"))
    }

    fn encode(packet: Theirs) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        match packet {
            Theirs::Connect(packet) => packet.write(&mut out),
            Theirs::ConnAck(packet) => packet.write(&mut out),
            Theirs::Publish(packet) => packet.write(&mut out),
            Theirs::PubAck(packet) => packet.write(&mut out),
            Theirs::PubRec(packet) => packet.write(&mut out),
            Theirs::PubRel(packet) => packet.write(&mut out),
            Theirs::PubComp(packet) => packet.write(&mut out),
            Theirs::Subscribe(packet) => packet.write(&mut out),
            Theirs::SubAck(packet) => packet.write(&mut out),
            Theirs::Unsubscribe(packet) => packet.write(&mut out),
            Theirs::UnsubAck(packet) => packet.write(&mut out),
            Theirs::PingReq => v4::PingReq.write(&mut out),
            Theirs::PingResp => v4::PingResp.write(&mut out),
            Theirs::Disconnect => v4::Disconnect.write(&mut out),
        }
        .expect("it encodes what it decoded");
        Some(out.to_vec())
    }

    fn read(packet: &Theirs, check: impl FnOnce(Packet<'_>)) {
        let ack = |pkid| Ack::new(id(pkid), ReasonCode::Success);
        match packet {
            Theirs::Connect(connect) => check(Packet::Connect(read_connect(connect))),
            Theirs::ConnAck(connack) => check(Packet::Connack(Connack {
                session_present: connack.session_present,
                ..Connack::refusal(ReasonCode::from_connack_v3(connack.code as u8).expect("0 to 5"))
            })),
            Theirs::Publish(publish) => check(Packet::Publish(Publish {
                dup: publish.dup,
                qos: qos(publish.qos),
                retain: publish.retain,
                topic: &publish.topic,
                packet_id: PacketId::new(publish.pkid),
                payload: &publish.payload,
                ..Publish::default()
            })),
            Theirs::PubAck(packet) => check(Packet::Puback(ack(packet.pkid))),
            Theirs::PubRec(packet) => check(Packet::Pubrec(ack(packet.pkid))),
            Theirs::PubRel(packet) => check(Packet::Pubrel(ack(packet.pkid))),
            Theirs::PubComp(packet) => check(Packet::Pubcomp(ack(packet.pkid))),
            Theirs::Subscribe(subscribe) => read_subscribe(subscribe, check),
            Theirs::SubAck(suback) => read_suback(suback, check),
            Theirs::Unsubscribe(unsubscribe) => read_unsubscribe(unsubscribe, check),
            Theirs::UnsubAck(unsuback) => check(Packet::Unsuback(Unsuback {
                packet_id: id(unsuback.pkid),
                reason_string: None,
                user_properties: UserProperties::default(),
                codes: &[],
            })),
            Theirs::PingReq => check(Packet::Pingreq),
            Theirs::PingResp => check(Packet::Pingresp),
            Theirs::Disconnect => check(Packet::Disconnect(Disconnect::new(ReasonCode::Success))),
        }
    }
}

fn read_connect(connect: &v4::Connect) -> Connect<'_> {
    let login = connect.login.as_ref();
    Connect {
        version: Version::V311,
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
        user_name: login
            .map(|login| &login.username[..])
            .filter(|name| !name.is_empty()),
        password: login
            .map(|login| login.password.as_bytes())
            .filter(|word| !word.is_empty()),
        properties: ConnectProperties::default(),
    }
}

fn read_subscribe(subscribe: &v4::Subscribe, check: impl FnOnce(Packet<'_>)) {
    let mut filters = FiltersBuf::new();
    for filter in &subscribe.filters {
        let options = SubscriptionOptions::v3(qos(filter.qos));
        filters
            .push(&filter.path, options)
            .expect("an accepted filter");
    }
    check(Packet::Subscribe(Subscribe {
        packet_id: id(subscribe.pkid),
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: filters.as_ref(),
    }));
}

fn read_suback(suback: &v4::SubAck, check: impl FnOnce(Packet<'_>)) {
    let code = |code: &v4::SubscribeReasonCode| match code {
        v4::SubscribeReasonCode::Success(qos) => *qos as u8,
        v4::SubscribeReasonCode::Failure => 0x80,
    };
    let codes: Vec<u8> = suback.return_codes.iter().map(code).collect();
    check(Packet::Suback(Suback {
        packet_id: id(suback.pkid),
        reason_string: None,
        user_properties: UserProperties::default(),
        codes: &codes,
    }));
}

fn read_unsubscribe(unsubscribe: &v4::Unsubscribe, check: impl FnOnce(Packet<'_>)) {
    let mut filters = UnsubscribeFiltersBuf::new();
    for filter in &unsubscribe.topics {
        filters.push(filter).expect("an accepted filter");
    }
    check(Packet::Unsubscribe(Unsubscribe {
        packet_id: id(unsubscribe.pkid),
        user_properties: UserProperties::default(),
        filters: filters.as_ref(),
    }));
}
