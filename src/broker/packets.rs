//! One Control Packet of an open connection to one action.

use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Request, Step};
use crate::codec::{
    Ack, Auth, Disconnect, Packet, PacketId, PacketType, Publish, QoS, ReasonCode, Suback,
    Subscribe, Unsuback, Unsubscribe, Version, encode,
};
use crate::message::Message;
use crate::session::{Acked, Arrival, Fault, Inbound, Subscribed, Token};
use crate::store::Progress;
use crate::store::record::Record;
use crate::topic::name;

use super::asking::Decided;
use super::batch::{Batch, Now};
use super::core::Broker;
use super::delayed::is_for_later;
use super::delivery::touch;
use super::handshake::check_method;
use super::keeping::ToKeep;
use super::open::{Leave, Open, Work};
use super::person::{PROOF_ENDED, proof_ends, proved, stands};
use super::port::{Port, Signal};
use super::publish::FanOut;
use super::routes::Routes;
use super::sessions::Detach;
use super::shared::{InboundSide, SessionRef};
use super::tickets::What;

/// What was asked for cannot be kept, and its answer has no way to say so.
const CANNOT_KEEP: Fault = Fault::new(ReasonCode::QuotaExceeded, "there is no room to keep it");

const PINGRESP: [u8; 2] = [PacketType::Pingresp as u8 * 16, 0];

impl Open {
    pub(super) fn packet(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        side: &mut InboundSide,
        (packet, decided): (&Packet<'_>, Decided),
        work: &mut Work,
        batch: &mut Batch,
    ) -> Result<(), Leave> {
        match packet {
            Packet::Publish(publish) => {
                let refused = match decided {
                    Decided::Publish(refused) => refused,
                    _ => None,
                };
                self.publish(broker, side, publish, refused, batch)?;
            }
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                work.draw |= self.acknowledged(broker, packet, ack, batch)?;
            }
            Packet::Pubrel(ack) => self.release(broker, side, ack),
            Packet::Subscribe(subscribe) => {
                let permitted = match decided {
                    Decided::Subscribe(permitted) => permitted,
                    _ => Vec::new(),
                };
                self.subscribe(broker, side, subscribe, &permitted, batch.now.instant)?;
                // At once, SUBACK first: a SUBSCRIBE that follows and replaces this one gets its
                // retained messages again, not instead. [MQTT5-3.8.4-4] [MQTT311-3.8.4-3]
                self.send_replies(broker, side, batch);
                if broker.draw(&self.session, side, batch) {
                    port.signal(Signal::Draw);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(broker, side, unsubscribe, batch)?;
            }
            Packet::Pingreq => {
                // After the replies that may leave, but behind no promise, for it is none.
                // [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
                self.send_replies(broker, side, batch);
                self.commit(broker, &PINGRESP, 1, batch);
            }
            Packet::Disconnect(disconnect) => {
                return Err(self.disconnect(broker, port, side, disconnect));
            }
            Packet::Auth(auth) => self.auth(broker, port, side, auth, batch.now)?,
            // [MQTT5-3.1.0-2] [MQTT311-3.1.0-2]; the codec lets no other packet of a client pass.
            _ => {
                let what = "a second CONNECT";
                return Err(Fault::new(ReasonCode::ProtocolError, what).into());
            }
        }
        Ok(())
    }

    fn publish(
        &mut self,
        broker: &Arc<Broker>,
        side: &mut InboundSide,
        publish: &Publish<'_>,
        refused: Option<ReasonCode>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let arrival = side
            .inbound
            .publish(publish, batch.now.wall, &mut batch.forwarded)?;
        batch
            .tally
            .publish_received(publish.qos, publish.payload.len());
        // [MQTT5-4.3.3-10] [MQTT311-4.3.3-2]
        let Arrival::New(message, token) = arrival else {
            return Ok(());
        };
        if message.retain() && !broker.options().pubsub.retained.available {
            self.retain_unavailable()?;
        }
        if let Some(code) = refused {
            broker.metrics.publish_refused(code);
            let now = batch.now.instant;
            self.tell_refused(broker, "PUBLISH", message.topic(), code, now);
            // QoS 0 cannot be answered.
            if let Some(token) = token {
                side.inbound.settle(token, code);
            }
            return Ok(());
        }
        let asked = (token, publish.packet_id);
        if is_for_later(message.topic_bytes()) {
            return self.publish_later(broker, side, &message, asked, batch.now);
        }
        self.route(broker, side, message, asked, batch)
    }

    /// Tells of a topic or a filter that was refused.
    fn tell_refused(
        &self,
        broker: &Broker,
        what: &str,
        topic: &str,
        code: ReasonCode,
        now: Instant,
    ) {
        let person = self.session.person();
        let peer = person.port.and_then(|port| port.peer());
        if broker.defence.may_tell(peer.map(|it| it.ip()), now) {
            tracing::info!(
                client = &*self.session.client_id,
                peer = peer.map(tracing::field::display),
                reason = code.name(),
                topic,
                "refused: {what}"
            );
        }
    }

    // [MQTT5-3.2.2-14]
    fn retain_unavailable(&self) -> Result<(), Fault> {
        match self.version {
            Version::V5 => Err(Fault::new(
                ReasonCode::RetainNotSupported,
                "retain is not available",
            )),
            Version::V31 | Version::V311 => Ok(()),
        }
    }

    /// Takes a message in, to be delivered before the next packet; what cannot be kept although it is
    /// promised goes nowhere.
    fn route(
        &mut self,
        broker: &Arc<Broker>,
        side: &mut InboundSide,
        message: Message,
        (token, packet_id): (Option<Token>, Option<PacketId>),
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let route = broker.route(message.topic(), &self.session, &mut self.routes, batch.now);
        if let Some(token) = token
            && broker.is_refused_by_group(&route, &message, batch)
        {
            return self.cannot_keep(broker, side, token);
        }
        let holds = message.qos() == QoS::ExactlyOnce && side.is_persistent();
        let mut what = ToKeep {
            message: &message,
            route: &route,
            publisher: Some(&self.session),
            held: packet_id.filter(|_| holds),
            retained: broker.retains(&message),
            must_be_retained: self.version == Version::V5 && token.is_some(),
        };
        if let Some(token) = token {
            let code = match route.is_empty() {
                true => ReasonCode::NoMatchingSubscribers,
                false => ReasonCode::Success,
            };
            let kept = side
                .tickets
                .ask(&self.session, (token, code), What::Message, |ask| {
                    broker.take_in(&mut what, Some(ask))
                });
            match kept {
                Ok(Some(code)) => side.inbound.settle(token, code),
                Ok(None) => {}
                Err(_) => return self.cannot_keep(broker, side, token),
            }
        } else {
            // Nobody is told how it went.
            broker.take_in(&mut what, None);
        }
        side.fan_out = Some(FanOut::new(message, route));
        Ok(())
    }

    /// Refuses a message that cannot be kept.
    pub(super) fn cannot_keep(
        &self,
        broker: &Broker,
        side: &mut InboundSide,
        token: Token,
    ) -> Result<(), Fault> {
        broker.metrics.publish_refused(ReasonCode::QuotaExceeded);
        if self.version == Version::V5 {
            side.inbound.settle(token, ReasonCode::QuotaExceeded);
            return Ok(());
        }
        // Whether somebody waits does not matter: the connection is going to end.
        let _ = side.inbound.forsake(token);
        Err(CANNOT_KEEP)
    }

    /// Takes an acknowledgement of a delivery; returns whether there may be something to draw.
    fn acknowledged(
        &self,
        broker: &Broker,
        packet: &Packet<'_>,
        ack: &Ack<'_>,
        batch: &mut Batch,
    ) -> Result<bool, Fault> {
        let mut side = self.session.outbound.lock();
        let acked = match packet {
            Packet::Puback(_) => side.outbound.puback(ack.packet_id)?,
            Packet::Pubcomp(_) => side.outbound.pubcomp(ack.packet_id)?,
            _ => {
                let mut cx = batch.context(broker);
                side.outbound.pubrec(ack.packet_id, ack.code, &mut cx)?
            }
        };
        if acked == Acked::Onward {
            touch(&self.session, &mut side, batch);
        }
        broker.tell_steps(&self.session, &mut side, batch);
        Ok(acked == Acked::Done)
    }

    fn release(&mut self, broker: &Broker, side: &mut InboundSide, ack: &Ack<'_>) {
        let (token, held) = side.inbound.release(ack.packet_id);
        if !held {
            side.inbound
                .settle(token, ReasonCode::PacketIdentifierNotFound);
            return;
        }
        let record = Record::Released {
            session: self.session.number,
            id: ack.packet_id,
        };
        let reply = (token, ReasonCode::Success);
        let persistent = side.is_persistent();
        let code = side
            .tickets
            .ask(&self.session, reply, What::State, |ask| match persistent {
                true => broker.keep_state(record, ask),
                false => Progress::Done,
            });
        // It needs no room, and is not refused.
        if let Ok(Some(code)) = code {
            side.inbound.settle(token, code);
        }
    }

    // [MQTT5-3.8.4-1] [MQTT5-3.8.4-2] [MQTT311-3.8.4-1] [MQTT311-3.8.4-2]
    fn subscribe(
        &mut self,
        broker: &Broker,
        side: &mut InboundSide,
        packet: &Subscribe<'_>,
        permitted: &[bool],
        now: Instant,
    ) -> Result<(), Fault> {
        let filters = packet.filters.iter();
        let unchanged = filters.map(|(filter, options)| {
            let id = packet.subscription_id;
            side.subscriptions.get(filter) == Some(Subscribed { options, id })
        });
        let unchanged: Vec<_> = unchanged.collect();
        let codes = broker.subscribe(&self.session, side, permitted, self.version, packet);
        for ((filter, _), code) in packet.filters.iter().zip(&codes) {
            // In 3.x it is the same for whatever was wrong.
            if let Some(code) = ReasonCode::from_byte(*code).filter(|it| it.is_error()) {
                self.tell_refused(broker, "SUBSCRIBE", filter, code, now);
            }
        }
        let mut suback = Suback {
            packet_id: packet.packet_id,
            reason_string: self.explain(&codes),
            user_properties: Default::default(),
            codes: &codes,
        };
        if suback.encoded_len(self.version) as u64 > u64::from(self.packet_size_maximum) {
            // [MQTT5-3.9.2-1]
            suback.reason_string = None;
        }
        let suback = Packet::Suback(suback);
        let granted = packet.filters.iter().zip(codes.iter().zip(&unchanged));
        // The store knows the others. If they are not safe yet, no answer is before theirs.
        let granted = granted.filter(|(_, (code, unchanged))| **code < 0x80 && !**unchanged);
        let granted: Vec<_> = granted.map(|(filter, _)| filter).collect();
        let record = (!granted.is_empty()).then_some(Record::Subscribed {
            session: self.session.number,
            filters: &granted,
            id: packet.subscription_id,
        });
        self.reply_when_kept(broker, side, &suback, record)
    }

    /// Words for the first refusal among these codes, if the client wants to be told.
    // [MQTT5-3.1.2-29]
    fn explain(&self, codes: &[u8]) -> Option<&'static str> {
        let code = codes.iter().filter_map(|code| ReasonCode::from_byte(*code));
        let refused = code.into_iter().find(|code| code.is_error())?;
        self.problem_information.then(|| refused.text())
    }

    // [MQTT5-3.10.4-4] [MQTT5-3.10.4-5] [MQTT311-3.10.4-4] [MQTT311-3.10.4-5]
    fn unsubscribe(
        &mut self,
        broker: &Broker,
        side: &mut InboundSide,
        packet: &Unsubscribe<'_>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let codes = broker.unsubscribe(&self.session, side, packet, batch);
        let unsuback = Packet::Unsuback(Unsuback {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: Default::default(),
            codes: &codes,
        });
        let removed = packet.filters.iter().zip(&codes);
        let removed = removed.filter(|(_, code)| **code == ReasonCode::Success as u8);
        let removed: Vec<_> = removed.map(|(filter, _)| filter).collect();
        let record = (!removed.is_empty()).then_some(Record::Unsubscribed {
            session: self.session.number,
            filters: &removed,
        });
        self.reply_when_kept(broker, side, &unsuback, record)
    }

    /// Puts a reply into the line, to leave once what it promises is kept; sessions that end with
    /// their connection promise nothing.
    fn reply_when_kept(
        &mut self,
        broker: &Broker,
        side: &mut InboundSide,
        packet: &Packet<'_>,
        record: Option<Record<'_>>,
    ) -> Result<(), Fault> {
        let token = self.enqueue(&mut side.inbound, packet)?;
        let persistent = side.is_persistent();
        let reply = (token, ReasonCode::Success);
        let code = side.tickets.ask(&self.session, reply, What::State, |ask| {
            match record.filter(|_| persistent) {
                Some(record) => broker.keep_state(record, ask),
                None => Progress::Done,
            }
        });
        if let Some(code) = code.map_err(|_| CANNOT_KEEP)? {
            side.inbound.settle(token, code);
        }
        Ok(())
    }

    /// Puts a packet into the line of replies, to leave in its turn.
    ///
    /// # Errors
    ///
    /// The client does not accept packets of this size. [MQTT5-3.1.2-24]
    fn enqueue(&self, inbound: &mut Inbound, packet: &Packet<'_>) -> Result<Token, Fault> {
        let too_large = Fault::new(
            ReasonCode::PacketTooLarge,
            "the answer is larger than the client's Maximum Packet Size",
        );
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).map_err(|_| too_large)?;
        if bytes.len() as u64 > u64::from(self.packet_size_maximum) {
            return Err(too_large);
        }
        Ok(inbound.reply(&bytes))
    }

    /// The client's DISCONNECT.
    // [MQTT5-3.14.4-3] [MQTT311-3.14.4-3] [MQTT5-3.1.2-10]
    fn disconnect(
        &self,
        broker: &Broker,
        port: &Port,
        side: &mut InboundSide,
        disconnect: &Disconnect<'_>,
    ) -> Leave {
        if let Some(expiry) = disconnect.session_expiry {
            if self.expires_at_once && expiry > 0 {
                let what = "DISCONNECT may not give an expiry to a session without one";
                return Leave::Fault(Fault::new(ReasonCode::ProtocolError, what));
            }
            let options = broker.options();
            let granted = port.entrance().session(&options.session);
            let maximum = granted.expiry_maximum.as_secs();
            side.expiry = expiry.min(u32::try_from(maximum).unwrap_or(u32::MAX));
        }
        Leave::Disconnect(match disconnect.code {
            ReasonCode::Success => Detach::Goodbye,
            _ => Detach::Silent,
        })
    }

    /// Re-authentication. [MQTT5-4.12.1-1] [MQTT5-4.12.1-2]
    fn auth(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        auth: &Auth<'_>,
        now: Now,
    ) -> Result<(), Fault> {
        check_method(self.method(), auth)?;
        let method = self.method().unwrap_or_default();
        let exchange = match auth.code {
            ReasonCode::ReAuthenticate => {
                let request = Request {
                    client_id: &self.session.client_id,
                    caller: port.caller(),
                    user_name: None,
                    password: None,
                };
                let unknown = Fault::new(
                    ReasonCode::BadAuthenticationMethod,
                    "the Authentication Method is not known any more",
                );
                Some(broker.auth.exchange(method, &request).ok_or(unknown)?)
            }
            _ => self.proof().exchange.take(),
        };
        let Some(mut exchange) = exchange else {
            return Err(Fault::new(
                ReasonCode::ProtocolError,
                "AUTH was not asked for",
            ));
        };
        let (code, data) = match exchange.step(auth.data) {
            Step::Continue(data) => {
                self.proof().exchange = Some(exchange);
                (ReasonCode::ContinueAuthentication, Some(data))
            }
            Step::Accept(identity, data) => {
                if self.session.owner.user != identity.user {
                    let what = "a re-authentication as another user";
                    return Err(Fault::new(ReasonCode::NotAuthorized, what));
                }
                if !stands(&identity, now.wall) {
                    return Err(PROOF_ENDED);
                }
                self.identity = proved(&identity);
                broker.introduce(&self.session, side, self.person(port));
                // What was decided was decided about another.
                self.routes = Routes::default();
                side.reviewed = 0;
                self.proof().ends = proof_ends(self.identity.as_deref(), now);
                (ReasonCode::Success, data)
            }
            Step::Refuse(code) => return Err(Fault::new(code, "not authenticated")),
        };
        let reply = Packet::Auth(Auth {
            code,
            method: self.method(),
            data: data.as_deref(),
            reason_string: None,
            user_properties: Default::default(),
        });
        let token = self.enqueue(&mut side.inbound, &reply)?;
        side.inbound.settle(token, ReasonCode::Success);
        Ok(())
    }
}

impl Broker {
    /// Why no client may publish to this topic, if none may. `$SYS` is the broker's own.
    pub(super) fn refuse_topic(&self, topic: &str) -> Option<ReasonCode> {
        if topic == "$SYS" || topic.starts_with("$SYS/") {
            return Some(ReasonCode::NotAuthorized);
        }
        let levels = name::levels(topic).count();
        let too_deep = levels > self.options().session.topic_levels_maximum;
        too_deep.then_some(ReasonCode::TopicNameInvalid)
    }

    /// Settles the replies whose outcomes the store has told.
    ///
    /// # Errors
    ///
    /// Something could not be kept, and its reply has no way to say so.
    pub(super) fn settle_outcomes(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        version: Version,
    ) -> Result<(), Fault> {
        let mut result = Ok(());
        for (tickets, outcome) in session.take_outcomes() {
            for awaited in side.tickets.redeem(tickets) {
                match outcome {
                    Ok(()) => side.inbound.settle(awaited.token, awaited.code),
                    Err(_) if version == Version::V5 && awaited.what == What::Message => {
                        side.inbound
                            .settle(awaited.token, ReasonCode::QuotaExceeded);
                    }
                    Err(_) => {
                        if side.inbound.forsake(awaited.token) {
                            result = Err(CANNOT_KEEP);
                        }
                    }
                }
            }
        }
        result
    }
}
