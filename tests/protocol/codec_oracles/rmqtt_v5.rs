//! `rmqtt-codec` 0.3, MQTT 5.0.
//!
//! Its model has no difference between a property that is absent and one that says the default;
//! `told` takes our packets down to that. It refuses an empty Client Identifier without Clean Start
//! and a message expiry of 0.

use std::num::NonZeroU16;

use bytes::BytesMut;
use postbud::codec::{
    Ack, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, FiltersBuf,
    Packet, Publish, PublishProperties, QoS, RetainHandling, Suback, Subscribe, SubscriptionIdsBuf,
    SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFiltersBuf, UserPropertiesBuf, Version,
    Will, WillProperties,
};
use rmqtt_codec::v5::{self, Packet as Theirs};
use tokio_util::codec::{Decoder, Encoder};

use super::rmqtt_v3::qos;
use super::{Oracle, code};

pub struct Codec;

fn users(pairs: &v5::UserProperties) -> UserPropertiesBuf {
    let mut buf = UserPropertiesBuf::new();
    for (name, value) in pairs {
        buf.push(name, value).expect("an oracle's strings fit");
    }
    buf
}

impl Oracle for Codec {
    type Packet = Theirs;

    fn understands(packet: &Packet<'_>) -> bool {
        match packet {
            Packet::Connect(connect) => {
                let expiry = connect.will.map(|will| will.properties.message_expiry);
                expiry != Some(Some(0)) && (connect.clean_start || !connect.client_id.is_empty())
            }
            Packet::Publish(publish) => publish.properties.message_expiry != Some(0),
            _ => true,
        }
    }

    fn told(packet: Packet<'_>) -> Packet<'_> {
        match packet {
            Packet::Connect(mut connect) => {
                let expiry = connect.properties.session_expiry.unwrap_or(0);
                connect.properties.session_expiry = Some(expiry);
                Packet::Connect(connect)
            }
            Packet::Connack(mut connack) => {
                let p = &mut connack.properties;
                p.receive_maximum = p.receive_maximum.or(Some(NonZeroU16::MAX));
                p.maximum_qos = p.maximum_qos.or(Some(QoS::ExactlyOnce));
                for flag in [
                    &mut p.retain_available,
                    &mut p.wildcard_available,
                    &mut p.subscription_ids_available,
                    &mut p.shared_available,
                ] {
                    *flag = flag.or(Some(true));
                }
                Packet::Connack(connack)
            }
            Packet::Publish(mut publish) => {
                let format = publish.properties.payload_format.unwrap_or(false);
                publish.properties.payload_format = Some(format);
                Packet::Publish(publish)
            }
            other => other,
        }
    }

    fn decode(bytes: &mut BytesMut) -> Result<Theirs, String> {
        let found = v5::Codec::default()
            .decode(bytes)
            .map_err(|error| error.to_string())?;
        found
            .map(|(packet, _)| packet)
            .ok_or_else(|| "incomplete".to_owned())
    }

    fn encode(packet: Theirs) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        v5::Codec::default()
            .encode(packet, &mut out)
            .expect("it encodes what it decoded");
        Some(out.to_vec())
    }

    fn read(packet: &Theirs, check: impl FnOnce(Packet<'_>)) {
        macro_rules! ack {
            ($ours:ident, $ack:expr) => {{
                let users = users(&$ack.properties);
                check(Packet::$ours(Ack {
                    packet_id: $ack.packet_id,
                    code: code($ack.reason_code as u8),
                    reason_string: $ack.reason_string.as_deref(),
                    user_properties: users.as_ref(),
                }));
            }};
        }
        match packet {
            Theirs::Connect(connect) => read_connect(connect, check),
            Theirs::ConnectAck(connack) => read_connack(connack, check),
            Theirs::Publish(publish) => {
                let properties = publish.properties.as_ref().expect("5.0 has properties");
                read_publish(publish, properties, check);
            }
            Theirs::PublishAck(ack) => ack!(Puback, ack),
            Theirs::PublishReceived(ack) => ack!(Pubrec, ack),
            Theirs::PublishRelease(ack) => ack!(Pubrel, ack),
            Theirs::PublishComplete(ack) => ack!(Pubcomp, ack),
            Theirs::Subscribe(subscribe) => read_subscribe(subscribe, check),
            Theirs::SubscribeAck(suback) => {
                let users = users(&suback.properties);
                let codes: Vec<u8> = suback.status.iter().map(|&code| code as u8).collect();
                check(Packet::Suback(Suback {
                    packet_id: suback.packet_id,
                    reason_string: suback.reason_string.as_deref(),
                    user_properties: users.as_ref(),
                    codes: &codes,
                }));
            }
            Theirs::Unsubscribe(unsubscribe) => read_unsubscribe(unsubscribe, check),
            Theirs::UnsubscribeAck(unsuback) => {
                let users = users(&unsuback.properties);
                let codes: Vec<u8> = unsuback.status.iter().map(|&code| code as u8).collect();
                check(Packet::Unsuback(Unsuback {
                    packet_id: unsuback.packet_id,
                    reason_string: unsuback.reason_string.as_deref(),
                    user_properties: users.as_ref(),
                    codes: &codes,
                }));
            }
            Theirs::PingRequest => check(Packet::Pingreq),
            Theirs::PingResponse => check(Packet::Pingresp),
            Theirs::Disconnect(disconnect) => {
                let users = users(&disconnect.user_properties);
                check(Packet::Disconnect(Disconnect {
                    code: code(disconnect.reason_code as u8),
                    session_expiry: disconnect.session_expiry_interval_secs,
                    reason_string: disconnect.reason_string.as_deref(),
                    user_properties: users.as_ref(),
                    server_reference: disconnect.server_reference.as_deref(),
                }));
            }
            Theirs::Auth(auth) => {
                let users = users(&auth.user_properties);
                check(Packet::Auth(Auth {
                    code: code(auth.reason_code as u8),
                    method: auth.auth_method.as_deref(),
                    data: auth.auth_data.as_deref(),
                    reason_string: auth.reason_string.as_deref(),
                    user_properties: users.as_ref(),
                }));
            }
        }
    }
}

fn read_connect(connect: &v5::Connect, check: impl FnOnce(Packet<'_>)) {
    let user_properties = users(&connect.user_properties);
    let none = Vec::new();
    let will_users = users(
        connect
            .last_will
            .as_ref()
            .map_or(&none, |will| &will.user_properties),
    );
    check(Packet::Connect(Connect {
        version: Version::V5,
        bridge: false,
        clean_start: connect.clean_start,
        keep_alive: connect.keep_alive,
        client_id: &connect.client_id,
        will: connect.last_will.as_ref().map(|will| Will {
            qos: qos(will.qos),
            retain: will.retain,
            topic: &will.topic,
            payload: &will.message,
            properties: WillProperties {
                delay: will.will_delay_interval_sec.unwrap_or(0),
                payload_format: will.is_utf8_payload,
                message_expiry: will.message_expiry_interval.map(Into::into),
                content_type: will.content_type.as_deref(),
                response_topic: will.response_topic.as_deref(),
                correlation_data: will.correlation_data.as_deref(),
                user_properties: will_users.as_ref(),
            },
        }),
        user_name: connect.username.as_deref(),
        password: connect.password.as_deref(),
        properties: ConnectProperties {
            session_expiry: Some(connect.session_expiry_interval_secs),
            receive_maximum: connect.receive_max,
            maximum_packet_size: connect.max_packet_size,
            topic_alias_maximum: connect.topic_alias_max,
            request_response_information: connect.request_response_info,
            request_problem_information: connect.request_problem_info,
            user_properties: user_properties.as_ref(),
            authentication_method: connect.auth_method.as_deref(),
            authentication_data: connect.auth_data.as_deref(),
        },
    }));
}

fn read_connack(connack: &v5::ConnectAck, check: impl FnOnce(Packet<'_>)) {
    let users = users(&connack.user_properties);
    check(Packet::Connack(Connack {
        session_present: connack.session_present,
        code: code(connack.reason_code as u8),
        properties: ConnackProperties {
            session_expiry: connack.session_expiry_interval_secs,
            receive_maximum: Some(connack.receive_max),
            maximum_qos: Some(qos(connack.max_qos)),
            retain_available: Some(connack.retain_available),
            maximum_packet_size: connack.max_packet_size.and_then(std::num::NonZeroU32::new),
            assigned_client_id: connack.assigned_client_id.as_deref(),
            topic_alias_maximum: connack.topic_alias_max,
            reason_string: connack.reason_string.as_deref(),
            user_properties: users.as_ref(),
            wildcard_available: Some(connack.wildcard_subscription_available),
            subscription_ids_available: Some(connack.subscription_identifiers_available),
            shared_available: Some(connack.shared_subscription_available),
            server_keep_alive: connack.server_keepalive_sec,
            response_information: connack.response_info.as_deref(),
            server_reference: connack.server_reference.as_deref(),
            authentication_method: connack.auth_method.as_deref(),
            authentication_data: connack.auth_data.as_deref(),
        },
    }));
}

fn read_publish(
    publish: &rmqtt_codec::types::Publish,
    properties: &v5::PublishProperties,
    check: impl FnOnce(Packet<'_>),
) {
    let users = users(&properties.user_properties);
    let mut ids = SubscriptionIdsBuf::new();
    for id in &properties.subscription_ids {
        ids.push(id.get()).expect("an identifier in range");
    }
    check(Packet::Publish(Publish {
        dup: publish.dup,
        qos: qos(publish.qos),
        retain: publish.retain,
        topic: &publish.topic,
        packet_id: publish.packet_id,
        properties: PublishProperties {
            payload_format: Some(properties.is_utf8_payload),
            message_expiry: properties.message_expiry_interval.map(Into::into),
            topic_alias: properties.topic_alias,
            response_topic: properties.response_topic.as_deref(),
            correlation_data: properties.correlation_data.as_deref(),
            content_type: properties.content_type.as_deref(),
            subscription_ids: ids.as_ref(),
            user_properties: users.as_ref(),
        },
        payload: &publish.payload,
    }));
}

fn read_subscribe(subscribe: &v5::Subscribe, check: impl FnOnce(Packet<'_>)) {
    let users = users(&subscribe.user_properties);
    let mut filters = FiltersBuf::new();
    for (filter, options) in &subscribe.topic_filters {
        let options = SubscriptionOptions {
            qos: qos(options.qos),
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: match options.retain_handling {
                v5::RetainHandling::AtSubscribe => RetainHandling::Always,
                v5::RetainHandling::AtSubscribeNew => RetainHandling::IfNew,
                v5::RetainHandling::NoAtSubscribe => RetainHandling::Never,
            },
        };
        filters.push(filter, options).expect("an accepted filter");
    }
    check(Packet::Subscribe(Subscribe {
        packet_id: subscribe.packet_id,
        subscription_id: subscribe.id.map(Into::into),
        user_properties: users.as_ref(),
        filters: filters.as_ref(),
    }));
}

fn read_unsubscribe(unsubscribe: &v5::Unsubscribe, check: impl FnOnce(Packet<'_>)) {
    let users = users(&unsubscribe.user_properties);
    let mut filters = UnsubscribeFiltersBuf::new();
    for filter in &unsubscribe.topic_filters {
        filters.push(filter).expect("an accepted filter");
    }
    check(Packet::Unsubscribe(Unsubscribe {
        packet_id: unsubscribe.packet_id,
        user_properties: users.as_ref(),
        filters: filters.as_ref(),
    }));
}
