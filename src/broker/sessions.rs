//! The life of a session: opened, taken over, left behind, ended.
//!
//! ```text
//!            open (clean start, or none there)                    end
//!    ──────────────────────────────────────────> Attached ──────────────────────> Ended
//!                                                 │    ^                            ^
//!            connection ends, expiry > 0: detach  │    │ open (resume, or takeover) │
//!                                                 v    │                            │
//!                                                Away(since) ───────────────────────┘
//!                                                           expiry, clean start, cap
//! ```
//!
//! A takeover is a detach and an open under the inbound lock of the session. The connection that
//! lost it keeps its wire, with a DISCONNECT at its end, and finds by the epoch that it is late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{Identity, Who};
use crate::cluster::Epoch;
use crate::codec::{Disconnect, Packet, PacketType, ReasonCode, Sender, Version, encode};
use crate::queue::{Delivery, DropReason};
use crate::session::{Inbound, Judge, Line, Source, Terms};
use crate::store::record::Record;

use super::asking::Questions;
use super::batch::Batch;
use super::core::Broker;
use super::metrics::Gauge;
use super::person::{Claim, Owner, Person, proved};
use super::port::{Port, Signal};
use super::review::Forbidden;
use super::shared::{Absence, InboundSide, SessionRef, State};
use super::tickets::Tickets;

/// A session attached to a connection.
pub(super) struct Opened {
    pub session: SessionRef,
    pub epoch: Epoch,
    /// What its client has proved.
    pub identity: Option<Arc<Identity>>,
}

/// What a connection wants a session for.
pub(super) struct Wanted<'a> {
    pub terms: &'a Terms,
    /// What the store was asked to keep.
    pub asked: Option<&'a Asked>,
    pub identity: &'a Identity,
    pub owner: &'a Owner,
}

impl Wanted<'_> {
    /// Who wants it.
    pub(super) fn who<'a>(&'a self, port: &'a Port) -> Who<'a> {
        Who {
            client_id: &self.terms.client_id,
            identity: self.identity,
            caller: Some(port.caller()),
        }
    }

    /// What it gets if there is none.
    fn new_session(&self, number: u64) -> SessionRef {
        let client_id = Arc::clone(&self.terms.client_id);
        SessionRef::new(number, client_id, self.owner.clone())
    }

    /// Whether a session that is there may be gone on with, or ended, on these terms.
    fn may_have(&self, session: &SessionRef) -> bool {
        match session.owner.claimed_by(self.owner) {
            Claim::Own => true,
            Claim::Anew => self.terms.clean_start,
            Claim::None => false,
        }
    }
}

/// Which session the store was asked to keep for a connection.
///
/// Until it is opened the store has a session that nobody will ever come back to: if that is what
/// becomes of it, the store is told.
pub(super) struct Asked {
    broker: Arc<Broker>,
    pub number: u64,
    /// Whether there was no such session before.
    pub is_new: bool,
    opened: bool,
}

/// The store has to be asked again.
pub(super) struct AskAgain {
    /// The session that has ended for this connection, if one that was kept has.
    pub ended: Option<u64>,
}

impl Asked {
    pub(super) fn new(broker: &Arc<Broker>, terms: &Terms) -> Self {
        let (number, is_new) = broker.number_for(terms);
        Self {
            broker: Arc::clone(broker),
            number,
            is_new,
            opened: false,
        }
    }

    /// The session is open.
    pub(super) fn settle(&mut self) {
        self.opened = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_new && !self.opened {
            let session = self.number;
            self.broker.store.append(Record::Ended { session }, None);
        }
    }
}

/// How a session loses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detach {
    /// The connection is gone, or must go without a word: the Will is due.
    Silent,
    /// The broker says why, in words too if it likes, and closes: the Will is due.
    Say(ReasonCode, Option<&'static str>),
    /// The client said goodbye: no Will. [MQTT5-3.14.4-3] [MQTT311-3.14.4-3]
    Goodbye,
    /// The same client is back on another connection, and goes on with the session: a Will that
    /// has a delay is forgotten. [MQTT5-3.1.3-9] [MQTT5-3.1.4-3]
    Resumed,
    /// The same client is back on another connection, and wants nothing of the session: it ends
    /// here, and the Will is due with its end. [MQTT5-3.1.4-3]
    Replaced,
}

impl Broker {
    /// Whether the store has to be asked before a connection on these terms goes on: whether it has the
    /// session, or is to have it.
    pub(super) fn is_stores_business(&self, terms: &Terms) -> bool {
        let resumed = || {
            let found = self.registry.find(&terms.client_id);
            found.is_some_and(|session| !terms.clean_start && session.is_kept())
        };
        terms.expiry > 0 || resumed()
    }

    /// The number that the session which `terms` name has, or is to have, and whether it is new.
    pub(super) fn number_for(&self, terms: &Terms) -> (u64, bool) {
        let found = match terms.clean_start {
            true => None,
            false => self.registry.find(&terms.client_id),
        };
        match found {
            Some(session) => (session.number, false),
            None => (self.number().get(), true),
        }
    }

    /// Opens the session that the terms name for the connection behind `port`: a new one, or what is
    /// there. If it outlives the connection, the store was asked to keep it as comes with the terms.
    /// `connack` makes the CONNACK, which is told whether there was a session.
    ///
    /// # Errors
    ///
    /// The store was asked for another session than it would be: one has ended, or another connection
    /// has made one, in the meantime. It has to be asked again. Or so has whoever knows what the client may
    /// have of it.
    pub(super) fn open(
        &self,
        wanted: &Wanted<'_>,
        port: &Arc<Port>,
        connack: impl Fn(bool) -> Vec<u8>,
        batch: &mut Batch,
    ) -> Result<Opened, AskAgain> {
        let Wanted { terms, asked, .. } = *wanted;
        loop {
            let (session, is_new) = match self.registry.find(&terms.client_id) {
                Some(session) => (session, false),
                None => {
                    let number = match asked {
                        Some(asked) if !asked.is_new => return Err(AskAgain { ended: None }),
                        Some(asked) => asked.number,
                        None => self.number().get(),
                    };
                    (wanted.new_session(number), true)
                }
            };
            let mut side = session.inbound.lock();
            let is_there = !is_new && side.state != State::Ended;
            let resumes = is_there && side.is_resumed_by(terms);
            if is_there && !wanted.may_have(&session) {
                return Err(AskAgain { ended: None });
            }
            // Before it is told: what it finds may be less than it left.
            let generation = self.permissions.generation();
            let forbidden = match resumes {
                true => self.forbidden_to(wanted, port, &side, batch.now.instant)?,
                false => Forbidden::default(),
            };
            let was_kept = session.is_kept();
            let knows = asked.is_some_and(|asked| asked.number == session.number);
            if resumes && was_kept && !knows {
                return Err(AskAgain { ended: None });
            }
            if is_new {
                if !self.registry.add(&session) {
                    continue; // Another connection was faster: take it over.
                }
                self.metrics.gauge(Gauge::Sessions, 1);
            } else if !self.claim(&session, &mut side, terms, batch) {
                if was_kept {
                    let ended = Some(session.number);
                    return Err(AskAgain { ended });
                }
                continue;
            }
            let epoch = self.cluster.claim(&terms.client_id);
            // [MQTT5-3.2.2-2] [MQTT5-3.2.2-3] [MQTT311-3.2.2-1] [MQTT311-3.2.2-2] [MQTT311-3.2.2-3]
            let connack = connack(!is_new);
            side.epoch = epoch;
            side.reviewed = generation;
            self.withdraw_all(&session, &mut side, &forbidden, batch);
            let identity = self.attach(&session, &mut side, wanted, port, &connack, batch);
            drop(side);
            // Stopping closes every session that it finds: this one it may have missed.
            if self.is_stopping() {
                port.close(ReasonCode::ServerShuttingDown);
            }
            return Ok(Opened {
                session,
                epoch,
                identity,
            });
        }
    }

    /// What a session has that whoever comes back to it may not have any more.
    ///
    /// # Errors
    ///
    /// Not all of that is known yet.
    fn forbidden_to(
        &self,
        wanted: &Wanted<'_>,
        port: &Arc<Port>,
        side: &InboundSide,
        now: Instant,
    ) -> Result<Forbidden, AskAgain> {
        let mut questions = Questions::new(port, now);
        let forbidden = self.forbidden(side, &wanted.who(port), &mut questions);
        match questions.are_answered(&mut None) {
            true => Ok(forbidden.and_unknown()),
            false => Err(AskAgain { ended: None }),
        }
    }

    /// The connection that a client's session is attached to.
    pub(super) fn connection_of(&self, client_id: &str) -> Option<Arc<Port>> {
        let session = self.registry.find(client_id)?;
        session.outbound.lock().port.clone()
    }

    /// Makes a session that is there ready for a new connection; returns whether it goes on. If it
    /// does not, it has ended, and is no longer in the registry.
    // [MQTT5-3.1.2-4] [MQTT5-3.1.2-5] [MQTT311-3.1.2-4] [MQTT311-3.1.2-6]
    fn claim(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        terms: &Terms,
        batch: &mut Batch,
    ) -> bool {
        let resumed = side.is_resumed_by(terms);
        match &side.state {
            State::Ended => return false,
            State::Attached(_) if resumed => self.detach(session, side, Detach::Resumed, batch),
            State::Attached(_) => self.detach(session, side, Detach::Replaced, batch),
            State::Away(absence) => self.schedule.lock().back(session, **absence),
            State::Between => {}
        }
        if !resumed && side.state != State::Ended {
            self.end_session(session, side, batch);
        }
        resumed
    }

    fn attach(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        wanted: &Wanted<'_>,
        port: &Arc<Port>,
        connack: &[u8],
        batch: &mut Batch,
    ) -> Option<Arc<Identity>> {
        let terms = wanted.terms;
        // Outcomes that came while nobody was there: those who waited for them are gone, but a QoS 2
        // message that could not be kept has its id freed, and one that could has it held.
        let _ = self.settle_outcomes(session, side, terms.version);
        side.state = State::Attached(batch.now.instant);
        side.expiry = terms.expiry;
        side.will = terms.will.clone().map(Box::new);
        side.inbound.attach(
            terms.version,
            terms.granted.receive_maximum,
            terms.granted.topic_alias_maximum,
        );
        self.metrics.gauge(Gauge::Connected, 1);
        let identity = proved(wanted.identity);
        let person = Person {
            identity: identity.clone(),
            port: Some(Arc::clone(port)),
        };
        self.introduce(session, side, person);
        {
            let mut outbound = session.outbound.lock();
            // A wire that carried packets before the session opened (AUTH) is empty by now: they
            // were answered.
            *port.own().lock() = None;
            outbound.port = Some(Arc::clone(port));
            // What the store has of it, it has until the end.
            let kept = self.store.remembers() && (terms.expiry > 0 || session.is_kept());
            let memory = kept.then_some(self.options().queue_memory);
            session.set_kept(&mut outbound, memory);
            self.open_gates(session, &mut outbound, session.safe(), batch);
            let may_have = |topic: &str| self.may_have(session, side, topic);
            let mut cx = batch.context(self);
            cx.judge = Some(Judge(&may_have));
            outbound.outbound.attach(terms, connack, &mut cx);
            super::delivery::touch(session, &mut outbound, batch);
            self.tell_steps(session, &mut outbound, batch);
        }
        if session.has_outcomes() {
            // They came too late to be settled above, and too early to find a port to wake.
            port.signal(Signal::Mail);
        }
        if self.draw(session, side, batch) {
            port.signal(Signal::Draw);
        }
        identity
    }

    /// Takes the connection away from a session: its wire goes back to the port with a last word
    /// if there is one, what was in flight from groups goes to other members, and the Will and the
    /// end of the session are set going.
    pub(super) fn detach(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        how: Detach,
        batch: &mut Batch,
    ) {
        if !matches!(side.state, State::Attached(_)) {
            return;
        }
        // What was accepted is delivered to everyone, whatever becomes of the publisher.
        if let Some(mut fan_out) = side.fan_out.take() {
            self.fan_out_all(&mut fan_out, batch);
        }
        let back = self.take_line(session, how, batch);
        side.inbound.detach();
        side.state = State::Between;
        self.metrics.gauge(Gauge::Connected, -1);
        let lent = back.iter().any(|(_, it)| it.message.number().is_some());
        if lent {
            // Before another member is sent what it gives back.
            self.tell_left(session, side, batch.now.wall, true);
        }
        self.give_back(session, side, back, batch);
        self.settle_will(session, side, how, batch);
        // The epoch moves, so that the connection which lost the session finds out.
        side.epoch = self.cluster.claim(&session.client_id);
        match how {
            Detach::Resumed => {}
            Detach::Replaced => self.end_session(session, side, batch),
            _ if !side.is_persistent() => self.end_session(session, side, batch),
            _ => self.leave_behind(session, side, batch),
        }
    }

    /// A session stays without a connection.
    fn leave_behind(&self, session: &SessionRef, side: &mut InboundSide, batch: &Batch) {
        let since = batch.now.instant;
        let after = |seconds: u32| since + Duration::from_secs(seconds.into());
        let absence = Absence {
            since,
            will: side.will.as_ref().map(|will| after(will.delay)),
            end: side.expires().then(|| after(side.expiry)),
        };
        side.state = State::Away(Box::new(absence));
        let person = Person {
            port: None,
            ..session.person()
        };
        self.introduce(session, side, person);
        self.tell_left(session, side, batch.now.wall, side.will.is_some());
        let maximum = self.options().abandoned_sessions_maximum;
        self.schedule.lock().left(session, absence, maximum);
    }

    /// Separates wire and session; returns what goes back to groups.
    fn take_line(
        &self,
        session: &SessionRef,
        how: Detach,
        batch: &mut Batch,
    ) -> Vec<(Source, Delivery)> {
        let mut outbound = session.outbound.lock();
        outbound.hungry = false;
        let Some(port) = outbound.port.take() else {
            return Vec::new();
        };
        let Some((mut line, back)) = outbound
            .outbound
            .detach(&self.options().session, &mut batch.tally)
        else {
            return Vec::new();
        };
        let word = match how {
            Detach::Say(code, reason) => Some((code, reason)),
            Detach::Resumed | Detach::Replaced => Some((ReasonCode::SessionTakenOver, None)),
            Detach::Silent | Detach::Goodbye => None,
        };
        if let Some((code, reason)) = word {
            self.say_disconnect(&mut line, code, reason, batch);
        }
        *port.own().lock() = Some(line);
        if word.is_some_and(|(code, _)| code == ReasonCode::SessionTakenOver) {
            port.close(ReasonCode::SessionTakenOver);
        }
        back
    }

    /// Commits a DISCONNECT, which only MQTT 5 knows. [MQTT5-3.14.0-1]
    pub(super) fn say_disconnect(
        &self,
        line: &mut Line,
        code: ReasonCode,
        reason: Option<&str>,
        batch: &mut Batch,
    ) {
        if line.version() != Version::V5 {
            return;
        }
        // [MQTT5-3.14.2-1]: some refusals have a code that only CONNACK knows.
        let code = match code.may_be_sent_by(PacketType::Disconnect, Sender::Server) {
            true => code,
            false => ReasonCode::NotAuthorized,
        };
        let mut disconnect = Disconnect::new(code);
        disconnect.reason_string = reason;
        let maximum = line.packet_size_maximum() as usize;
        if disconnect.encoded_len(Version::V5) > maximum {
            // [MQTT5-3.14.2-3]
            disconnect.reason_string = None;
        }
        let mut packet = Vec::new();
        let fits = disconnect.encoded_len(Version::V5) <= maximum;
        if fits && encode(&Packet::Disconnect(disconnect), Version::V5, &mut packet).is_ok() {
            line.commit_packets(&packet, 1, &mut batch.context(self));
        }
    }

    /// Publishes, keeps or forgets the Will of a connection that has ended.
    // [MQTT5-3.1.2-8] [MQTT5-3.1.2-10] [MQTT311-3.1.2-8] [MQTT311-3.1.2-10]
    fn settle_will(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        how: Detach,
        batch: &mut Batch,
    ) {
        let delayed = side.will.as_ref().is_some_and(|will| will.delay > 0);
        match how {
            Detach::Goodbye => side.will = None,
            Detach::Resumed if delayed => side.will = None,
            // The end of the session publishes it.
            Detach::Replaced => {}
            // Due at the end of the session, or of the delay, whichever comes first.
            _ if delayed && side.is_persistent() => {}
            _ => self.publish_will(session, side, batch),
        }
    }

    pub(super) fn publish_will(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        batch: &mut Batch,
    ) {
        if let Some(will) = side.will.take() {
            self.publish_permitted(&will, session, side.reviewed, batch);
            if session.is_kept() {
                let session = session.number;
                self.store.append(Record::WillDone { session }, None);
            }
        }
    }

    /// Ends a session that has no connection: everything that it holds is given up.
    // [MQTT5-4.1.0-2] [MQTT5-4.8.2-5]
    pub(super) fn end_session(
        &self,
        session: &SessionRef,
        side: &mut InboundSide,
        batch: &mut Batch,
    ) {
        let before = std::mem::replace(&mut side.state, State::Ended);
        if let State::Away(absence) = before {
            self.schedule.lock().back(session, *absence);
        }
        self.publish_will(session, side, batch);
        // Whoever still holds the session, as remembered routes do, holds next to nothing.
        session.introduce(Person::default(), false);
        side.inbound = Inbound::default();
        side.tickets = Tickets::default();
        for (filter, _) in std::mem::take(&mut side.subscriptions).iter() {
            self.forget(session, side, filter, batch);
        }
        let dropped = {
            let mut outbound = session.outbound.lock();
            outbound.ended = true;
            outbound.feeds.clear();
            if outbound.outbound.is_known_to_the_store() {
                let session = session.number;
                self.store.append(Record::Ended { session }, None);
            }
            session.set_kept(&mut outbound, None);
            let queued = outbound.outbound.queued();
            batch.tally.queue_changed(queued, 0);
            let dropped = outbound.outbound.end();
            outbound.outbound.weigh(&mut batch.tally);
            dropped
        };
        batch.tally.drop(DropReason::Ended, dropped);
        self.registry.remove(session);
        self.metrics.gauge(Gauge::Sessions, -1);
    }
}
