//! An open connection: one Control Packet to one action.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Access, Exchange, Identity, Request, Step};
use crate::cluster::Epoch;
use crate::codec::{
    Ack, Auth, Disconnect, Packet, PacketType, Publish, ReasonCode, Suback, Subscribe, Unsuback,
    Unsubscribe, Version, decode, encode,
};
use crate::message::Message;
use crate::session::{Acked, Arrival, Fault, Inbound, Terms, Token};
use crate::store::{Failure, Progress, Receipt, Record};
use crate::topic::name;

use super::batch::Batch;
use super::connection::Turn;
use super::core::Broker;
use super::delivery::touch;
use super::ending::Ending;
use super::handshake::check_method;
use super::port::{Port, Signal};
use super::publish::FanOut;
use super::routes::Routes;
use super::sessions::{Detach, Opened};
use super::shared::{InboundSide, SessionRef};

/// A connection whose session is open.
pub(super) struct Open {
    pub session: SessionRef,
    epoch: Epoch,
    version: Version,
    pub silence_allowed: Option<Duration>,
    identity: Identity,
    method: Option<Box<str>>,
    /// A re-authentication in progress.
    exchange: Option<Box<dyn Exchange>>,
    routes: Routes,
    /// A message that has not reached all its recipients.
    fan_out: Option<FanOut>,
    tickets: Tickets,
    /// Whether the expiry that CONNECT asked for was 0, which DISCONNECT may not change.
    expires_at_once: bool,
}

/// Replies that wait for the store.
#[derive(Default)]
struct Tickets {
    awaited: Vec<Awaited>,
    next: u64,
}

struct Awaited {
    ticket: u64,
    token: Token,
    code: ReasonCode,
}

impl Tickets {
    /// Asks the store for something on which a reply depends. Returns the code to settle the reply
    /// with at once, or notes that it waits.
    fn ask(
        &mut self,
        port: &Arc<Port>,
        token: Token,
        code: ReasonCode,
        ask: impl FnOnce(&mut dyn FnMut() -> Receipt) -> Progress,
    ) -> Option<ReasonCode> {
        let ticket = self.next;
        let mut receipt = || Receipt {
            to: Arc::clone(port) as _,
            ticket,
        };
        match ask(&mut receipt) {
            Progress::Done => Some(code),
            Progress::Later => {
                self.next += 1;
                self.awaited.push(Awaited {
                    ticket,
                    token,
                    code,
                });
                None
            }
        }
    }

    /// The reply that waited under this ticket, and the code to settle it with if all went well.
    fn redeem(&mut self, ticket: u64) -> Option<(Token, ReasonCode)> {
        let index = self
            .awaited
            .iter()
            .position(|awaited| awaited.ticket == ticket)?;
        let Awaited { token, code, .. } = self.awaited.swap_remove(index);
        Some((token, code))
    }
}

/// Packets that one turn handles at most.
const PACKETS_PER_TURN: usize = 4096;

/// Deliveries and wires that one turn fills at most, so that the flush that follows is bounded too.
const DELIVERIES_PER_TURN: usize = 8192;
const WIRES_PER_TURN: usize = 1024;

const PINGRESP: [u8; 2] = [PacketType::Pingresp as u8 * 16, 0];

/// How an open connection leaves its session.
enum Leave {
    Fault(Fault),
    /// The client said DISCONNECT.
    Disconnect(Detach),
    /// Another connection has the session.
    Late,
}

impl From<Fault> for Leave {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What handling packets has left to do at the end of the turn.
#[derive(Default)]
struct Work {
    packets: usize,
    deliveries: usize,
    /// Quota came back, or a subscription was made: there may be something to draw.
    draw: bool,
}

impl Open {
    pub(super) fn new(
        opened: Opened,
        terms: &Terms,
        identity: Identity,
        method: Option<Box<str>>,
    ) -> Self {
        Self {
            session: opened.session,
            epoch: opened.epoch,
            version: terms.version,
            silence_allowed: terms.silence_allowed(),
            identity,
            method,
            exchange: None,
            routes: Routes::default(),
            fan_out: None,
            tickets: Tickets::default(),
            expires_at_once: terms.expiry == 0,
        }
    }

    /// Handles the packets at the front of `input`. An error is the end of the connection, whose
    /// session is detached already.
    pub(super) fn turn(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        input: &[u8],
        batch: &mut Batch,
    ) -> (usize, Result<Turn, Ending>) {
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        let mut used = 0;
        let mut work = Work::default();
        let handled = self.packets(broker, port, &mut side, input, &mut used, &mut work, batch);
        let handled = handled.map(|turn| self.finish(broker, port, &mut side, turn, &work, batch));
        (
            used,
            handled.map_err(|leave| self.left(broker, port, &mut side, leave, batch)),
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one turn, passed on by one caller"
    )]
    fn packets(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        side: &mut InboundSide,
        input: &[u8],
        used: &mut usize,
        work: &mut Work,
        batch: &mut Batch,
    ) -> Result<Turn, Leave> {
        if side.epoch != self.epoch {
            return Err(Leave::Late);
        }
        let context = broker.context(self.version);
        loop {
            if !self.deliver_rest(broker, work, batch) {
                return Ok(Turn::Again);
            }
            if side.inbound.paused() {
                return Ok(Turn::Pause);
            }
            if work.packets >= PACKETS_PER_TURN
                || work.deliveries >= DELIVERIES_PER_TURN
                || batch.touched.len() >= WIRES_PER_TURN
            {
                return Ok(Turn::Again);
            }
            let Some((packet, length)) =
                decode(&input[*used..], &context).map_err(|error| Leave::Fault(error.into()))?
            else {
                return Ok(Turn::Read);
            };
            *used += length;
            work.packets += 1;
            batch.tally.packets_received += 1;
            self.packet(broker, port, side, &packet, work, batch)?;
        }
    }

    /// Goes on with a message that has more recipients than a turn fills; returns whether it is
    /// done.
    fn deliver_rest(&mut self, broker: &Broker, work: &mut Work, batch: &mut Batch) -> bool {
        let Some(fan_out) = &mut self.fan_out else {
            return true;
        };
        loop {
            work.deliveries += fan_out.remaining().min(super::publish::RECIPIENTS_PER_STEP);
            if broker.fan_out(fan_out, batch) {
                self.fan_out = None;
                return true;
            }
            if batch.touched.len() >= WIRES_PER_TURN || work.deliveries >= DELIVERIES_PER_TURN {
                return false;
            }
        }
    }

    fn packet(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        side: &mut InboundSide,
        packet: &Packet<'_>,
        work: &mut Work,
        batch: &mut Batch,
    ) -> Result<(), Leave> {
        match packet {
            Packet::Publish(publish) => self.publish(broker, port, side, publish, batch)?,
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                work.draw |= self.acknowledged(broker, packet, ack, batch)?;
            }
            Packet::Pubrel(ack) => self.release(broker, port, side, ack),
            Packet::Subscribe(subscribe) => {
                work.draw = true;
                self.subscribe(broker, port, side, subscribe);
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(broker, port, side, unsubscribe, batch);
            }
            Packet::Pingreq => self.pong(broker, batch),
            Packet::Disconnect(disconnect) => return Err(self.disconnect(broker, side, disconnect)),
            Packet::Auth(auth) => self.auth(broker, port, side, auth)?,
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
        port: &Arc<Port>,
        side: &mut InboundSide,
        publish: &Publish<'_>,
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
        if message.retain() && !broker.options.pubsub.retained.available {
            self.retain_unavailable()?;
        }
        let refused = match self.refuse_publish(broker, &message) {
            Some(code) => Some(code),
            None => broker
                .retain(&message)
                .filter(|_| self.version == Version::V5),
        };
        if let Some(code) = refused {
            broker.metrics.publish_refused(code);
            // QoS 0 cannot be answered, and a message that is refused goes nowhere; but for a full
            // retained store, which does not stop a live message that nobody promised to keep.
            match token {
                Some(token) => {
                    side.inbound.settle(token, code);
                    return Ok(());
                }
                None if code != ReasonCode::QuotaExceeded => return Ok(()),
                None => {}
            }
        }
        self.route(broker, port, side, message, token, batch);
        Ok(())
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

    fn route(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        side: &mut InboundSide,
        message: Message,
        token: Option<Token>,
        batch: &mut Batch,
    ) {
        let route = broker.route(message.topic(), &self.session, &mut self.routes);
        if let Some(token) = token {
            let code = match route.is_empty() {
                true => ReasonCode::NoMatchingSubscribers,
                false => ReasonCode::Success,
            };
            let kept = self.tickets.ask(port, token, code, |receipt| {
                broker.keep(&message, &route, receipt)
            });
            if let Some(code) = kept {
                side.inbound.settle(token, code);
            }
        }
        let mut fan_out = FanOut::new(message, route);
        if !broker.fan_out(&mut fan_out, batch) {
            self.fan_out = Some(fan_out);
        }
    }

    /// Why the client may not publish this, if it may not.
    fn refuse_publish(&self, broker: &Broker, message: &Message) -> Option<ReasonCode> {
        let topic = message.topic();
        if name::levels(topic).count() > broker.options.session.topic_levels_maximum {
            return Some(ReasonCode::TopicNameInvalid);
        }
        let access = Access::Publish {
            topic,
            qos: message.qos(),
            retain: message.retain(),
        };
        let allowed = broker.may_publish(&self.session.client_id, &self.identity, access);
        (!allowed).then_some(ReasonCode::NotAuthorized)
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
                let mut cx = batch.context(&broker.options.session);
                side.outbound.pubrec(ack.packet_id, ack.code, &mut cx)?
            }
        };
        if acked == Acked::Onward {
            touch(&self.session, &mut side, batch);
        }
        Ok(acked == Acked::Done)
    }

    fn release(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        ack: &Ack<'_>,
    ) {
        let (token, held) = side.inbound.release(ack.packet_id);
        if !held {
            side.inbound
                .settle(token, ReasonCode::PacketIdentifierNotFound);
            return;
        }
        let record = Record::Released {
            client_id: &self.session.client_id,
            id: ack.packet_id,
        };
        let code = self
            .tickets
            .ask(port, token, ReasonCode::Success, |receipt| {
                broker.store.append(record, receipt)
            });
        if let Some(code) = code {
            side.inbound.settle(token, code);
        }
    }

    // [MQTT5-3.8.4-1] [MQTT5-3.8.4-2] [MQTT311-3.8.4-1] [MQTT311-3.8.4-2]
    fn subscribe(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        packet: &Subscribe<'_>,
    ) {
        let codes = broker.subscribe(&self.session, side, &self.identity, self.version, packet);
        let suback = Packet::Suback(Suback {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: Default::default(),
            codes: &codes,
        });
        let session = self.session.clone();
        let record = Record::Subscribed {
            client_id: &session.client_id,
            filters: packet.filters,
            subscription_id: packet.subscription_id,
        };
        self.reply_when_kept(broker, port, side, &suback, record);
    }

    // [MQTT5-3.10.4-4] [MQTT5-3.10.4-5] [MQTT311-3.10.4-4] [MQTT311-3.10.4-5]
    fn unsubscribe(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        packet: &Unsubscribe<'_>,
        batch: &mut Batch,
    ) {
        let codes = broker.unsubscribe(&self.session, side, packet, batch);
        let unsuback = Packet::Unsuback(Unsuback {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: Default::default(),
            codes: &codes,
        });
        let session = self.session.clone();
        let record = Record::Unsubscribed {
            client_id: &session.client_id,
            filters: packet.filters,
        };
        self.reply_when_kept(broker, port, side, &unsuback, record);
    }

    /// Puts a reply into the line, to leave once what it promises is kept; sessions that end with
    /// their connection promise nothing.
    fn reply_when_kept(
        &mut self,
        broker: &Broker,
        port: &Arc<Port>,
        side: &mut InboundSide,
        packet: &Packet<'_>,
        record: Record<'_>,
    ) {
        let Some(token) = self.enqueue(&mut side.inbound, packet) else {
            return;
        };
        let persistent = side.is_persistent();
        let code = self
            .tickets
            .ask(port, token, ReasonCode::Success, |receipt| {
                if persistent {
                    broker.store.append(record, receipt)
                } else {
                    Progress::Done
                }
            });
        if let Some(code) = code {
            side.inbound.settle(token, code);
        }
    }

    fn reply(&self, inbound: &mut Inbound, packet: &Packet<'_>) {
        if let Some(token) = self.enqueue(inbound, packet) {
            inbound.settle(token, ReasonCode::Success);
        }
    }

    fn enqueue(&self, inbound: &mut Inbound, packet: &Packet<'_>) -> Option<Token> {
        let mut bytes = Vec::new();
        // Nothing that the broker says of itself is too long to encode.
        encode(packet, self.version, &mut bytes).ok()?;
        Some(inbound.reply(&bytes))
    }

    /// Answers a PINGREQ at once: it promises nothing, so it waits behind no promise.
    // [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
    fn pong(&self, broker: &Broker, batch: &mut Batch) {
        let mut outbound = self.session.outbound.lock();
        if let Some(line) = outbound.outbound.line() {
            let mut cx = batch.context(&broker.options.session);
            line.commit_packets(&PINGRESP, 1, &mut cx);
            touch(&self.session, &mut outbound, batch);
        }
    }

    /// The client's DISCONNECT.
    // [MQTT5-3.14.4-3] [MQTT311-3.14.4-3] [MQTT5-3.1.2-10]
    fn disconnect(
        &self,
        broker: &Broker,
        side: &mut InboundSide,
        disconnect: &Disconnect<'_>,
    ) -> Leave {
        if let Some(expiry) = disconnect.session_expiry {
            if self.expires_at_once && expiry > 0 {
                let what = "DISCONNECT may not give an expiry to a session without one";
                return Leave::Fault(Fault::new(ReasonCode::ProtocolError, what));
            }
            let maximum = broker.options.session.expiry_maximum.as_secs();
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
        port: &Port,
        side: &mut InboundSide,
        auth: &Auth<'_>,
    ) -> Result<(), Fault> {
        check_method(self.method.as_deref(), auth)?;
        let method = self.method.as_deref().unwrap_or_default();
        let exchange = match auth.code {
            ReasonCode::ReAuthenticate => {
                let request = Request {
                    client_id: &self.session.client_id,
                    peer: port.peer(),
                    user_name: None,
                    password: None,
                };
                broker.auth.exchange(method, &request)
            }
            _ => self.exchange.take(),
        };
        let Some(mut exchange) = exchange else {
            return Err(Fault::new(
                ReasonCode::ProtocolError,
                "AUTH was not asked for",
            ));
        };
        let (code, data) = match exchange.step(auth.data) {
            Step::Continue(data) => {
                self.exchange = Some(exchange);
                (ReasonCode::ContinueAuthentication, Some(data))
            }
            Step::Accept(identity, data) => {
                self.identity = identity;
                (ReasonCode::Success, data)
            }
            Step::Refuse(code) => return Err(Fault::new(code, "not authenticated")),
        };
        let reply = Packet::Auth(Auth {
            code,
            method: self.method.as_deref(),
            data: data.as_deref(),
            reason_string: None,
            user_properties: Default::default(),
        });
        self.reply(&mut side.inbound, &reply);
        Ok(())
    }

    /// Ends a turn: sends the replies that may leave, and draws what acknowledgements made room
    /// for.
    fn finish(
        &mut self,
        broker: &Broker,
        port: &Port,
        side: &mut InboundSide,
        turn: Turn,
        work: &Work,
        batch: &mut Batch,
    ) -> Turn {
        self.send_replies(broker, side, batch);
        if work.draw && broker.draw(&self.session, side, batch) {
            port.signal(Signal::Draw);
        }
        match turn {
            // Replies that left may have made room.
            Turn::Pause if !side.inbound.paused() => Turn::Again,
            turn => turn,
        }
    }

    fn send_replies(&self, broker: &Broker, side: &mut InboundSide, batch: &mut Batch) {
        let mut replies = std::mem::take(&mut batch.replies);
        replies.clear();
        let packets = side.inbound.drain(&mut replies);
        if packets > 0 {
            let mut outbound = self.session.outbound.lock();
            if let Some(line) = outbound.outbound.line() {
                let mut cx = batch.context(&broker.options.session);
                line.commit_packets(&replies, packets, &mut cx);
                touch(&self.session, &mut outbound, batch);
            }
        }
        batch.replies = replies;
    }

    /// The link was woken: draws, and goes on with what was cut off.
    pub(super) fn resume(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        draw: bool,
        batch: &mut Batch,
    ) -> Result<Turn, Ending> {
        if !draw {
            return Ok(Turn::Read);
        }
        let session = self.session.clone();
        let side = session.inbound.lock();
        if side.epoch == self.epoch && broker.draw(&session, &side, batch) {
            port.signal(Signal::Draw);
        }
        Ok(Turn::Read)
    }

    /// An outcome of the store has come: a reply may leave.
    pub(super) fn outcome(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        ticket: u64,
        outcome: Result<(), Failure>,
        batch: &mut Batch,
    ) -> Result<(), Ending> {
        let Some((token, code)) = self.tickets.redeem(ticket) else {
            return Ok(());
        };
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        if side.epoch != self.epoch {
            return Ok(());
        }
        match outcome {
            Ok(()) => side.inbound.settle(token, code),
            Err(_) if self.version == Version::V5 => {
                side.inbound.settle(token, ReasonCode::QuotaExceeded);
            }
            // 3.x has no way to say that it was not kept but to close.
            Err(_) => {
                let fault = Fault::new(ReasonCode::QuotaExceeded, "the store cannot keep it");
                return Err(self.left(broker, port, &mut side, fault.into(), batch));
            }
        }
        self.send_replies(broker, &mut side, batch);
        Ok(())
    }

    /// Leaves the session for a reason that is not in a packet.
    pub(super) fn leave(&mut self, broker: &Arc<Broker>, how: Detach, batch: &mut Batch) {
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        self.detach(broker, &mut side, how, batch);
    }

    fn detach(&mut self, broker: &Broker, side: &mut InboundSide, how: Detach, batch: &mut Batch) {
        // What was accepted is delivered to everyone, whatever became of the publisher.
        if let Some(mut fan_out) = self.fan_out.take() {
            while !broker.fan_out(&mut fan_out, batch) {}
        }
        if side.epoch == self.epoch {
            broker.detach(&self.session, side, how, batch);
        }
    }

    fn left(
        &mut self,
        broker: &Broker,
        port: &Port,
        side: &mut InboundSide,
        leave: Leave,
        batch: &mut Batch,
    ) -> Ending {
        let (how, ending) = match leave {
            Leave::Late => (Detach::Silent, Ending::Closed(ReasonCode::SessionTakenOver)),
            Leave::Disconnect(how) => (how, Ending::Disconnected),
            Leave::Fault(fault) => {
                tracing::info!(
                    client = &*self.session.client_id,
                    peer = ?port.peer(),
                    reason = fault.code.name(),
                    "closed: {fault}"
                );
                (
                    Detach::Say(fault.code, Some(fault.what)),
                    Ending::Closed(fault.code),
                )
            }
        };
        if !matches!(leave, Leave::Late) {
            // What was answered before the end is sent before the end.
            self.send_replies(broker, side, batch);
        }
        self.detach(broker, side, how, batch);
        ending
    }
}

impl Broker {
    /// Whether a client may publish this. `$SYS` is the broker's own.
    pub(super) fn may_publish(
        &self,
        client_id: &str,
        identity: &Identity,
        access: Access<'_>,
    ) -> bool {
        if let Access::Publish { topic, .. } = access {
            if topic == "$SYS" || topic.starts_with("$SYS/") {
                return false;
            }
        }
        self.auth.allows(client_id, identity, access)
    }
}
