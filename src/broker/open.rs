//! An open connection: a turn of packets, and how it ends.

use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Exchange, Identity, Who};
use crate::cluster::Epoch;
use crate::codec::{ReasonCode, Version, decode};
use crate::session::{Fault, Terms};

use super::asking::Asking;
use super::batch::{Batch, Now};
use super::connection::Turn;
use super::core::Broker;
use super::defence::{Scope, Tick, Toll};
use super::delivery::touch;
use super::ending::Ending;
use super::mounted::Mounted;
use super::pace::{self, Pace};
use super::person::{Person, identity, proof_ends};
use super::port::{Port, Signal};
use super::routes::Routes;
use super::sessions::{Detach, Opened};
use super::shared::{InboundSide, SessionRef};

/// A connection whose session is open.
pub(super) struct Open {
    pub session: SessionRef,
    pub epoch: Epoch,
    pub version: Version,
    /// Whether the client wants reasons in words with every packet.
    pub problem_information: bool,
    /// Whether the expiry that CONNECT asked for was 0, which DISCONNECT may not change.
    pub expires_at_once: bool,
    /// Seconds of Keep Alive in force; 0 is none.
    pub keep_alive: u16,
    pub last_heard: Instant,
    /// What the client has proved, if it has proved anything.
    pub identity: Option<Arc<Identity>>,
    /// Largest packet that the client accepts.
    pub packet_size_maximum: u32,
    /// Largest packet that it may send.
    pub granted_packet_size: u32,
    /// What is known of the client's proof of who it is, if that is not for ever.
    proof: Option<Box<Proof>>,
    pub routes: Routes,
    /// How fast it may send, once there are rates.
    pace: Option<Box<Pace>>,
    /// The answers that the next packet waits for.
    pub asking: Option<Box<Asking>>,
    /// The answers that it waits for to look again at what its session has.
    pub reviewing: Option<Box<Asking>>,
}

/// How a client has proved who it is.
#[derive(Default)]
pub(super) struct Proof {
    pub method: Option<Box<str>>,
    /// A re-authentication in progress.
    pub exchange: Option<Box<dyn Exchange>>,
    /// When what it has proved ends, and the connection with it.
    pub ends: Option<Instant>,
}

/// Packets that one turn handles at most.
const PACKETS_PER_TURN: usize = 4096;

/// Deliveries and wires that one turn fills at most, so that the flush that follows is bounded too.
const DELIVERIES_PER_TURN: usize = 8192;
const WIRES_PER_TURN: usize = 1024;

const TOO_FAST: Fault = Fault::new(
    ReasonCode::MessageRateTooHigh,
    "messages come faster than they may",
);

/// How an open connection leaves its session.
pub(super) enum Leave {
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
pub(super) struct Work {
    packets: usize,
    deliveries: usize,
    /// Quota came back: there may be something to draw.
    pub draw: bool,
}

impl Open {
    pub(super) fn new(opened: Opened, terms: &Terms, method: Option<Box<str>>, now: Now) -> Self {
        let ends = proof_ends(opened.identity.as_deref(), now);
        let proof = Proof {
            method,
            exchange: None,
            ends,
        };
        let is_kept = proof.method.is_some() || ends.is_some();
        Self {
            session: opened.session,
            epoch: opened.epoch,
            version: terms.version,
            problem_information: terms.problem_information,
            expires_at_once: terms.asked_for_no_expiry(),
            keep_alive: terms.keep_alive,
            // Silence is counted from here: a verdict may have taken its time.
            last_heard: now.instant,
            identity: opened.identity,
            packet_size_maximum: terms.packet_size_maximum,
            granted_packet_size: terms.granted.packet_size_maximum,
            proof: is_kept.then(|| Box::new(proof)),
            routes: Routes::default(),
            pace: None,
            asking: None,
            reviewing: None,
        }
    }

    /// The client's proof of who it is.
    pub(super) fn proof(&mut self) -> &mut Proof {
        self.proof.get_or_insert_default()
    }

    /// The Authentication Method of its CONNECT.
    pub(super) fn method(&self) -> Option<&str> {
        self.proof.as_ref()?.method.as_deref()
    }

    /// When what the client has proved ends.
    pub(super) fn proof_ends(&self) -> Option<Instant> {
        self.proof.as_ref()?.ends
    }

    /// Who the client is, for rules.
    pub(super) fn who<'a>(&'a self, port: &'a Port) -> Who<'a> {
        Who {
            client_id: &self.session.client_id,
            identity: identity(&self.identity),
            caller: Some(port.caller()),
        }
    }

    /// Its client, there.
    pub(super) fn person(&self, port: &Arc<Port>) -> Person {
        Person {
            identity: self.identity.clone(),
            port: Some(Arc::clone(port)),
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
        self.review(broker, port, side, batch);
        let context = broker.context(self.version, self.granted_packet_size);
        let toll = broker.defence.toll(batch.now.instant);
        loop {
            if !deliver_rest(broker, side, work, batch) {
                return Ok(Turn::Again);
            }
            if side.inbound.paused() || self.is_asking(batch.now.instant) {
                return Ok(Turn::Pause);
            }
            if work.packets == 0 && self.is_clogged(broker) {
                return Ok(Turn::Pause);
            }
            if work.packets >= PACKETS_PER_TURN
                || work.deliveries >= DELIVERIES_PER_TURN
                || batch.touched.len() >= WIRES_PER_TURN
            {
                return Ok(Turn::Again);
            }
            if let Some(toll) = &toll
                && self.is_held_back(broker, port, toll, input.len() > *used)?
            {
                return Ok(Turn::Pause);
            }
            let Some((packet, length)) =
                decode(&input[*used..], &context).map_err(|error| Leave::Fault(error.into()))?
            else {
                return Ok(Turn::Read);
            };
            let mut mounted = Mounted::default();
            let packet = match &self.session.owner.mount {
                Some(mount) => mounted.put(mount, packet)?,
                None => packet,
            };
            let Some(decided) = self.decide(broker, port, side, &packet, batch.now) else {
                return Ok(Turn::Pause);
            };
            *used += length;
            if let (Some(toll), Some(pace)) = (&toll, &self.pace) {
                pace.pay(toll, &packet, length);
            }
            work.packets += 1;
            batch.tally.packets_received += 1;
            self.packet(broker, port, side, (&packet, decided), work, batch)?;
        }
    }

    /// Whether the next packet has to wait because others came too fast.
    ///
    /// # Errors
    ///
    /// Whoever sends too fast is to be closed.
    fn is_held_back(
        &mut self,
        broker: &Broker,
        port: &Port,
        toll: &Toll,
        has_input: bool,
    ) -> Result<bool, Fault> {
        let pace = self.pace.get_or_insert_with(|| {
            let (user, from) = (identity(&self.identity).user.as_deref(), port.peer());
            Box::new(Pace::new(broker, user, from.map(|it| it.ip()), toll.now))
        });
        // Who has nothing to say is not held back before it has.
        let scope = match has_input {
            true => pace.holds_back(toll),
            false => None,
        };
        let Some(scope) = scope else {
            pace.hold_no_longer();
            return Ok(false);
        };
        broker.defence.held_back(scope);
        if pace::closes(toll) {
            return Err(TOO_FAST);
        }
        let told = std::mem::replace(&mut pace.told, true);
        if !told {
            self.tell_held_back(broker, port, scope, toll.now);
        }
        Ok(true)
    }

    fn tell_held_back(&self, broker: &Broker, port: &Port, scope: Scope, now: Tick) {
        let now = broker.defence.moment(now);
        if broker.defence.may_tell(port.peer().map(|it| it.ip()), now) {
            tracing::info!(
                client = &*self.session.client_id,
                peer = port.peer().map(tracing::field::display),
                reason = scope.label(),
                "held back: it sends faster than it may"
            );
        }
    }

    /// Until when it is held back, if it is.
    pub(super) fn held_until(&self) -> Option<Tick> {
        self.pace.as_ref()?.held_until()
    }

    /// It need not wait any longer, or not before it has been looked at again.
    pub(super) fn hold_no_longer(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.hold_no_longer();
        }
    }

    /// Whether the next packet waits for answers.
    pub(super) fn is_asking(&self, now: Instant) -> bool {
        self.asking.as_ref().is_some_and(|it| !it.is_over(now))
    }

    /// Whether it has waited for answers, and waits no longer.
    pub(super) fn is_done_asking(&self, now: Instant) -> bool {
        let mut asking = self.asking.iter().chain(&self.reviewing);
        asking.any(|it| it.is_over(now))
    }

    /// Whether there is a reason not to go on with packets.
    fn is_held_up(&self, broker: &Broker, side: &InboundSide, now: Instant) -> bool {
        side.inbound.paused()
            || self.is_asking(now)
            || self.held_until().is_some()
            || self.is_clogged(broker)
    }

    /// Whether the client takes so little that nothing more should be read from it: what it sends
    /// would be answered into a wire that it does not empty. The wire's next flush wakes the
    /// connection.
    fn is_clogged(&self, broker: &Broker) -> bool {
        let mut side = self.session.outbound.lock();
        let maximum = broker.options().session.unsent_maximum;
        let clogged = side
            .outbound
            .line()
            .is_some_and(|line| line.wire().unsent() > maximum);
        side.hungry |= clogged;
        clogged
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
            Turn::Pause if !self.is_held_up(broker, side, batch.now.instant) => Turn::Again,
            turn => turn,
        }
    }

    pub(super) fn send_replies(&self, broker: &Broker, side: &mut InboundSide, batch: &mut Batch) {
        let mut replies = std::mem::take(&mut batch.replies);
        replies.clear();
        let packets = side.inbound.drain(&mut replies);
        if packets > 0 {
            self.commit(broker, &replies, packets, batch);
        }
        batch.replies = replies;
    }

    /// Puts whole packets that are not deliveries onto the connection's wire.
    pub(super) fn commit(&self, broker: &Broker, packets: &[u8], count: usize, batch: &mut Batch) {
        let mut outbound = self.session.outbound.lock();
        if let Some(line) = outbound.outbound.line() {
            let mut cx = batch.context(broker);
            line.commit_packets(packets, count, &mut cx);
            touch(&self.session, &mut outbound, batch);
        }
    }

    /// The link was woken: draws, and goes on with what was cut off.
    pub(super) fn resume(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        draw: bool,
        batch: &mut Batch,
    ) -> Turn {
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        if side.epoch != self.epoch {
            // The mail that says so is under way.
            return Turn::Pause;
        }
        self.review(broker, port, &mut side, batch);
        if draw && broker.draw(&session, &side, batch) {
            port.signal(Signal::Draw);
        }
        if side.fan_out.is_some() {
            Turn::Again
        } else if self.is_held_up(broker, &side, batch.now.instant) {
            Turn::Pause
        } else {
            Turn::Read
        }
    }

    /// Outcomes of the store have come: replies may leave.
    pub(super) fn outcomes(
        &mut self,
        broker: &Arc<Broker>,
        port: &Arc<Port>,
        batch: &mut Batch,
    ) -> Result<(), Ending> {
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        if side.epoch != self.epoch {
            return Ok(());
        }
        let settled = broker.settle_outcomes(&session, &mut side, self.version);
        if let Err(fault) = settled {
            return Err(self.left(broker, port, &mut side, fault.into(), batch));
        }
        self.send_replies(broker, &mut side, batch);
        {
            let mut outbound = session.outbound.lock();
            broker.open_gates(&session, &mut outbound, session.safe(), batch);
            broker.tell_steps(&session, &mut outbound, batch);
        }
        Ok(())
    }

    /// Leaves the session for a reason that is not in a packet.
    pub(super) fn leave(&mut self, broker: &Arc<Broker>, how: Detach, batch: &mut Batch) {
        let session = self.session.clone();
        let mut side = session.inbound.lock();
        self.detach(broker, &mut side, how, batch);
    }

    fn detach(&mut self, broker: &Broker, side: &mut InboundSide, how: Detach, batch: &mut Batch) {
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
                broker.blame(port, fault.code, batch.now.instant);
                if broker.may_tell(port, batch.now.instant) {
                    tracing::info!(
                        client = &*self.session.client_id,
                        peer = port.peer().map(tracing::field::display),
                        reason = fault.code.name(),
                        "closed: {fault}"
                    );
                }
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

/// Goes on with a message until all who get it have, or the turn is used up; returns whether it is
/// done.
fn deliver_rest(
    broker: &Broker,
    side: &mut InboundSide,
    work: &mut Work,
    batch: &mut Batch,
) -> bool {
    while let Some(fan_out) = &mut side.fan_out {
        work.deliveries += broker.fan_out(fan_out, batch);
        if fan_out.is_done() {
            side.fan_out = None;
        } else if batch.touched.len() >= WIRES_PER_TURN || work.deliveries >= DELIVERIES_PER_TURN {
            return false;
        }
    }
    true
}
