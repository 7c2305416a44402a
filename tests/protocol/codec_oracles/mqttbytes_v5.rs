//! `mqttbytes` 0.6, MQTT 5.0.
//!
//! Not asked: AUTH, which it does not have; a PUBLISH with more than two Subscription Identifiers
//! and a DISCONNECT of less than four bytes, which it does not read right; a DISCONNECT that says Bad
//! authentication method, a code that only section 2.4 of the specification gives it. Not made to write: a
//! CONNACK without properties, whose length byte it forgets.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;
use mqttbytes::v5::{self, Packet as Theirs, RetainForwardRule};
use postbud::codec::{
    Ack, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, FiltersBuf, Packet,
    PacketId, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Suback, Subscribe,
    SubscriptionIdsBuf, SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFiltersBuf, Version,
    Will, WillProperties,
};

use super::mqttbytes_v4::{id, login_survives, qos};
use super::{Oracle, code, users};

pub struct Codec;

impl Oracle for Codec {
    type Packet = Theirs;

    fn understands(packet: &Packet<'_>) -> bool {
        match packet {
            Packet::Connect(connect) => login_survives(connect),
            Packet::Publish(publish) => {
                // It counts a byte too many for each identifier, and so believes the section to end
                // that much earlier: two go well while the last property is longer than that.
                let most = if publish.properties.payload_format.is_some() {
                    1
                } else {
                    2
                };
                publish.properties.subscription_ids.iter().count() <= most
            }
            Packet::Disconnect(disconnect) => {
                let known = disconnect.code != ReasonCode::BadAuthenticationMethod;
                known && disconnect.encoded_len(Version::V5) >= 4
            }
            Packet::Auth(_) => false,
            _ => true,
        }
    }

    fn decode(bytes: &mut BytesMut) -> Result<Theirs, String> {
        v5::read(bytes, 1 << 20).map_err(|error| format!("{error:?}"))
    }

    fn encode(packet: Theirs) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        match packet {
            Theirs::Connect(packet) => packet.write(&mut out),
            Theirs::ConnAck(v5::ConnAck {
                properties: None, ..
            }) => return None,
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
            Theirs::PingReq => v5::PingReq.write(&mut out),
            Theirs::PingResp => v5::PingResp.write(&mut out),
            Theirs::Disconnect(packet) => packet.write(&mut out),
        }
        .expect("it encodes what it decoded");
        Some(out.to_vec())
    }

    fn read(packet: &Theirs, check: impl FnOnce(Packet<'_>)) {
        macro_rules! ack {
            ($ours:ident, $ack:expr) => {{
                let properties = $ack.properties.as_ref();
                let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
                check(Packet::$ours(Ack {
                    packet_id: id($ack.pkid),
                    code: code($ack.reason as u8),
                    reason_string: properties.and_then(|p| p.reason_string.as_deref()),
                    user_properties: users.as_ref(),
                }));
            }};
        }
        match packet {
            Theirs::Connect(connect) => read_connect(connect, check),
            Theirs::ConnAck(connack) => read_connack(connack, check),
            Theirs::Publish(publish) => read_publish(publish, check),
            Theirs::PubAck(ack) => ack!(Puback, ack),
            Theirs::PubRec(ack) => ack!(Pubrec, ack),
            Theirs::PubRel(ack) => ack!(Pubrel, ack),
            Theirs::PubComp(ack) => ack!(Pubcomp, ack),
            Theirs::Subscribe(subscribe) => read_subscribe(subscribe, check),
            Theirs::SubAck(suback) => read_suback(suback, check),
            Theirs::Unsubscribe(unsubscribe) => read_unsubscribe(unsubscribe, check),
            Theirs::UnsubAck(unsuback) => read_unsuback(unsuback, check),
            Theirs::PingReq => check(Packet::Pingreq),
            Theirs::PingResp => check(Packet::Pingresp),
            Theirs::Disconnect(disconnect) => read_disconnect(disconnect, check),
        }
    }
}

fn flag(byte: u8) -> bool {
    assert!(byte <= 1, "a flag is 0 or 1");
    byte == 1
}

fn read_connect(connect: &v5::Connect, check: impl FnOnce(Packet<'_>)) {
    let properties = connect.properties.as_ref();
    let user_properties = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let will_properties = connect
        .last_will
        .as_ref()
        .and_then(|will| will.properties.as_ref());
    let will_users = users(will_properties.map_or(&[], |p| &p.user_properties[..]));
    let login = connect.login.as_ref();
    check(Packet::Connect(Connect {
        version: Version::V5,
        bridge: false,
        clean_start: connect.clean_session,
        keep_alive: connect.keep_alive,
        client_id: &connect.client_id,
        will: connect.last_will.as_ref().map(|will| Will {
            qos: qos(will.qos),
            retain: will.retain,
            topic: &will.topic,
            payload: &will.message,
            properties: will_properties.map_or_else(WillProperties::default, |p| WillProperties {
                delay: p.delay_interval.unwrap_or(0),
                payload_format: p.payload_format_indicator.map(flag),
                message_expiry: p.message_expiry_interval,
                content_type: p.content_type.as_deref(),
                response_topic: p.response_topic.as_deref(),
                correlation_data: p.correlation_data.as_deref(),
                user_properties: will_users.as_ref(),
            }),
        }),
        user_name: login
            .map(|login| &login.username[..])
            .filter(|name| !name.is_empty()),
        password: login
            .map(|login| login.password.as_bytes())
            .filter(|word| !word.is_empty()),
        properties: properties.map_or_else(ConnectProperties::default, |p| ConnectProperties {
            session_expiry: p.session_expiry_interval,
            receive_maximum: p.receive_maximum.and_then(NonZeroU16::new),
            maximum_packet_size: p.max_packet_size.and_then(NonZeroU32::new),
            topic_alias_maximum: p.topic_alias_max.unwrap_or(0),
            request_response_information: p.request_response_info.is_some_and(flag),
            request_problem_information: p.request_problem_info.is_none_or(flag),
            user_properties: user_properties.as_ref(),
            authentication_method: p.authentication_method.as_deref(),
            authentication_data: p.authentication_data.as_deref(),
        }),
    }));
}

fn read_connack(connack: &v5::ConnAck, check: impl FnOnce(Packet<'_>)) {
    let properties = connack.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    check(Packet::Connack(Connack {
        session_present: connack.session_present,
        code: code(connack.code as u8),
        properties: properties.map_or_else(ConnackProperties::default, |p| ConnackProperties {
            session_expiry: p.session_expiry_interval,
            receive_maximum: p.receive_max.and_then(NonZeroU16::new),
            maximum_qos: p.max_qos.and_then(QoS::from_bits),
            retain_available: p.retain_available.map(flag),
            maximum_packet_size: p.max_packet_size.and_then(NonZeroU32::new),
            assigned_client_id: p.assigned_client_identifier.as_deref(),
            topic_alias_maximum: p.topic_alias_max.unwrap_or(0),
            reason_string: p.reason_string.as_deref(),
            user_properties: users.as_ref(),
            wildcard_available: p.wildcard_subscription_available.map(flag),
            subscription_ids_available: p.subscription_identifiers_available.map(flag),
            shared_available: p.shared_subscription_available.map(flag),
            server_keep_alive: p.server_keep_alive,
            response_information: p.response_information.as_deref(),
            server_reference: p.server_reference.as_deref(),
            authentication_method: p.authentication_method.as_deref(),
            authentication_data: p.authentication_data.as_deref(),
        }),
    }));
}

fn read_publish(publish: &v5::Publish, check: impl FnOnce(Packet<'_>)) {
    let properties = publish.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let mut ids = SubscriptionIdsBuf::new();
    for &id in properties.map_or(&[][..], |p| &p.subscription_identifiers) {
        ids.push(id as u32).expect("an identifier in range");
    }
    check(Packet::Publish(Publish {
        dup: publish.dup,
        qos: qos(publish.qos),
        retain: publish.retain,
        topic: &publish.topic,
        packet_id: PacketId::new(publish.pkid),
        properties: properties.map_or_else(PublishProperties::default, |p| PublishProperties {
            payload_format: p.payload_format_indicator.map(flag),
            message_expiry: p.message_expiry_interval,
            topic_alias: p.topic_alias.and_then(NonZeroU16::new),
            response_topic: p.response_topic.as_deref(),
            correlation_data: p.correlation_data.as_deref(),
            content_type: p.content_type.as_deref(),
            subscription_ids: ids.as_ref(),
            user_properties: users.as_ref(),
        }),
        payload: &publish.payload,
    }));
}

fn read_subscribe(subscribe: &v5::Subscribe, check: impl FnOnce(Packet<'_>)) {
    let properties = subscribe.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let mut filters = FiltersBuf::new();
    for filter in &subscribe.filters {
        let options = SubscriptionOptions {
            qos: qos(filter.qos),
            no_local: filter.nolocal,
            retain_as_published: filter.preserve_retain,
            retain_handling: match filter.retain_forward_rule {
                RetainForwardRule::OnEverySubscribe => RetainHandling::Always,
                RetainForwardRule::OnNewSubscribe => RetainHandling::IfNew,
                RetainForwardRule::Never => RetainHandling::Never,
            },
        };
        filters
            .push(&filter.path, options)
            .expect("an accepted filter");
    }
    check(Packet::Subscribe(Subscribe {
        packet_id: id(subscribe.pkid),
        subscription_id: properties.and_then(|p| p.id).map(|id| id as u32),
        user_properties: users.as_ref(),
        filters: filters.as_ref(),
    }));
}

fn read_suback(suback: &v5::SubAck, check: impl FnOnce(Packet<'_>)) {
    let properties = suback.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let codes: Vec<u8> = suback.return_codes.iter().map(|&code| code as u8).collect();
    check(Packet::Suback(Suback {
        packet_id: id(suback.pkid),
        reason_string: properties.and_then(|p| p.reason_string.as_deref()),
        user_properties: users.as_ref(),
        codes: &codes,
    }));
}

fn read_unsubscribe(unsubscribe: &v5::Unsubscribe, check: impl FnOnce(Packet<'_>)) {
    let properties = unsubscribe.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let mut filters = UnsubscribeFiltersBuf::new();
    for filter in &unsubscribe.filters {
        filters.push(filter).expect("an accepted filter");
    }
    check(Packet::Unsubscribe(Unsubscribe {
        packet_id: id(unsubscribe.pkid),
        user_properties: users.as_ref(),
        filters: filters.as_ref(),
    }));
}

fn read_unsuback(unsuback: &v5::UnsubAck, check: impl FnOnce(Packet<'_>)) {
    let properties = unsuback.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    let codes: Vec<u8> = unsuback.reasons.iter().map(|&code| code as u8).collect();
    check(Packet::Unsuback(Unsuback {
        packet_id: id(unsuback.pkid),
        reason_string: properties.and_then(|p| p.reason_string.as_deref()),
        user_properties: users.as_ref(),
        codes: &codes,
    }));
}

fn read_disconnect(disconnect: &v5::Disconnect, check: impl FnOnce(Packet<'_>)) {
    let properties = disconnect.properties.as_ref();
    let users = users(properties.map_or(&[], |p| &p.user_properties[..]));
    check(Packet::Disconnect(Disconnect {
        code: code(disconnect.reason_code as u8),
        session_expiry: properties.and_then(|p| p.session_expiry_interval),
        reason_string: properties.and_then(|p| p.reason_string.as_deref()),
        user_properties: users.as_ref(),
        server_reference: properties.and_then(|p| p.server_reference.as_deref()),
    }));
}
