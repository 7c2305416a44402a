//! The broker's end of one Network Connection, without IO.
//!
//! ```text
//!   Fresh ── CONNECT ──> Waiting ── admitted ──> Open ──┐
//!     │                   (verdict, AUTH, store)        │
//!     └──────────┬──────────────┴────────────┬──────────┘
//!                v refused, fault            v DISCONNECT, fault, takeover, time-out, end of stream
//!                          Closed
//! ```
//!
//! Whoever drives it feeds [`Connection::receive`] with bytes, calls [`Connection::signalled`] when
//! its link is woken, [`Connection::timed_out`] when [`Connection::deadline`] has passed, and writes
//! the chunks it is given. A turn does a bounded amount of work.

use std::sync::Arc;
use std::time::Instant;

use crate::codec::{PacketType, ReasonCode, Version, decode};
use crate::session::{Chunk, Fault, Written, silence_allowed};

use super::batch::Batch;
use super::core::Broker;
use super::delivery::put_back_own;
use super::ending::Ending;
use super::handshake::Waiting;
use super::open::Open;
use super::person::PROOF_ENDED;
use super::port::{Mail, Port, Signal};
use super::sessions::Detach;

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Read more: what is left of the input is the beginning of a packet.
    Read,
    /// The turn is used up: finish the batch, let others run, and call again with the rest.
    Again,
    /// Read nothing until the link is woken.
    Pause,
    /// It is over: write what the wire still holds, then close the transport.
    Close,
}

/// Largest packet accepted before the session is open.
const HANDSHAKE_PACKET_MAXIMUM: u32 = 512 * 1024;

/// What the first packet of a connection must be.
pub(super) const NO_CONNECT: Fault = Fault::new(
    ReasonCode::ProtocolError,
    "the first packet is not a CONNECT",
);

/// One Network Connection.
pub struct Connection {
    pub(super) broker: Arc<Broker>,
    pub(super) port: Arc<Port>,
    pub(super) phase: Phase,
    /// Who wants its session and waits until what has reached it is handled.
    successors: Option<Box<Successors>>,
    /// Whether nothing is read from it for now.
    paused: bool,
}

#[derive(Default)]
struct Successors(Vec<Arc<Port>>);

/// How far a connection has got.
pub(super) enum Phase {
    /// A whole CONNECT must have come by then.
    Fresh(Instant),
    Waiting(Box<Waiting>),
    Open(Box<Open>),
    Closed(Ending),
}

impl Connection {
    /// A connection that was just accepted, and has until `connect_by` to send a CONNECT.
    pub fn new(broker: Arc<Broker>, port: Arc<Port>, connect_by: Instant) -> Self {
        Self {
            broker,
            port,
            phase: Phase::Fresh(connect_by),
            successors: None,
            paused: false,
        }
    }

    /// The broker that it is a connection to.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// What others may do to it.
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// What the connection is called in the log.
    pub fn client_id(&self) -> &str {
        match &self.phase {
            Phase::Open(open) => &open.session.client_id,
            Phase::Waiting(waiting) => &waiting.terms.client_id,
            Phase::Fresh(_) | Phase::Closed(_) => "",
        }
    }

    /// Whether its session is open.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Why it is over, if it is.
    pub fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Closed(ending) => Some(ending),
            _ => None,
        }
    }

    /// Handles whole packets at the front of `input`; returns how many bytes they took, and what to
    /// do next.
    pub fn receive(&mut self, input: &[u8], batch: &mut Batch) -> (usize, Turn) {
        let (used, turn) = self.take(input, batch);
        self.paused = turn == Turn::Pause;
        (used, turn)
    }

    /// Writes the client's own replies before the batch ends, if they came last.
    pub fn answer(&self, batch: &mut Batch) {
        let Phase::Open(open) = &self.phase else {
            return;
        };
        if batch.touched.last() == Some(&open.session) {
            batch.touched.pop();
            self.broker().flush(&open.session, batch);
        }
    }

    fn take(&mut self, input: &[u8], batch: &mut Batch) -> (usize, Turn) {
        let mut used = 0;
        loop {
            match &mut self.phase {
                Phase::Closed(_) => return (used, Turn::Close),
                Phase::Open(open) => {
                    let (more, outcome) =
                        open.turn(&self.broker, &self.port, &input[used..], batch);
                    if more > 0 {
                        open.last_heard = batch.now.instant;
                    }
                    used += more;
                    return match outcome {
                        Ok(turn) => (used, turn),
                        Err(ending) => {
                            self.phase = Phase::Closed(ending);
                            (used, Turn::Close)
                        }
                    };
                }
                Phase::Fresh(_) | Phase::Waiting(_) => {
                    match self.handshake(&input[used..], batch) {
                        Ok(0) if self.is_pending() || !self.is_flushed() => {
                            return (used, Turn::Pause);
                        }
                        Ok(0) => return (used, Turn::Read),
                        Ok(more) => used += more,
                        Err(fault) => {
                            self.refuse(&input[used..], fault, batch);
                            return (used, Turn::Close);
                        }
                    }
                }
            }
        }
    }

    /// Handles one packet before the session is open; returns its length, or 0 if it is not whole
    /// yet or must wait.
    fn handshake(&mut self, input: &[u8], batch: &mut Batch) -> Result<usize, Fault> {
        if self.is_pending() || !self.is_flushed() {
            // What the client sends before it can have read our AUTH cannot be an answer to it.
            return Ok(0);
        }
        let (version, maximum) = match &self.phase {
            Phase::Waiting(waiting) => (
                waiting.terms.version,
                waiting.terms.granted.packet_size_maximum,
            ),
            _ => {
                let options = self.broker.options();
                let granted = self.port.entrance().session(&options.session);
                (Version::V5, granted.packet_size_maximum)
            }
        };
        if matches!(self.phase, Phase::Fresh(_)) {
            // [MQTT5-3.1.0-1] [MQTT311-3.1.0-1]: said before more of it is waited for.
            if input
                .first()
                .is_some_and(|byte| *byte >> 4 != PacketType::Connect as u8)
            {
                return Err(NO_CONNECT);
            }
        }
        // Nobody has said yet who it is: no string or Will Payload of a CONNECT is longer than 64 KiB.
        let maximum = maximum.min(HANDSHAKE_PACKET_MAXIMUM);
        let context = self.broker.context(version, maximum);
        let Some((packet, length)) = decode(input, &context)? else {
            return Ok(0);
        };
        batch.tally.packets_received += 1;
        self.before_open(&packet, batch)?;
        Ok(length)
    }

    /// Looks at what others have told this connection.
    pub fn signalled(&mut self, batch: &mut Batch) -> Turn {
        let turn = self.look(batch);
        self.paused = turn == Turn::Pause;
        turn
    }

    fn look(&mut self, batch: &mut Batch) -> Turn {
        let signals = self.port.take_signals();
        if signals.has(Signal::Mail) {
            self.read_mail(batch);
        }
        if signals.has(Signal::Answer) {
            self.permitted(batch);
        }
        match &mut self.phase {
            Phase::Open(open) => {
                open.resume(&self.broker, &self.port, signals.has(Signal::Draw), batch)
            }
            Phase::Closed(_) => Turn::Close,
            Phase::Fresh(_) => Turn::Read,
            Phase::Waiting(waiting) if waiting.is_pending() => Turn::Pause,
            Phase::Waiting(_) => Turn::Read,
        }
    }

    fn read_mail(&mut self, batch: &mut Batch) {
        let Mail {
            close,
            kept,
            verdict,
            heard_out,
            successors,
        } = self.port.take_mail();
        if !successors.is_empty() {
            let waiting = self.successors.get_or_insert_default();
            waiting.0.extend(successors);
        }
        if heard_out {
            self.predecessor_heard_out(batch);
        }
        if let Some(verdict) = verdict {
            self.judged(verdict, batch);
        }
        if let Some(kept) = kept {
            self.stored(kept, batch);
        }
        if let Phase::Open(open) = &mut self.phase
            && let Err(ending) = open.outcomes(&self.broker, &self.port, batch)
        {
            self.phase = Phase::Closed(ending);
        }
        if let Some(code) = close {
            match &mut self.phase {
                Phase::Open(open) => {
                    open.leave(&self.broker, Detach::Say(code, None), batch);
                    self.phase = Phase::Closed(Ending::Closed(code));
                }
                Phase::Closed(_) => {}
                Phase::Fresh(_) | Phase::Waiting(_) => {
                    self.phase = Phase::Closed(Ending::Closed(code));
                }
            }
        }
    }

    /// Whether somebody waits for [`Self::heard_out`].
    pub fn is_awaited(&self) -> bool {
        self.successors.is_some()
    }

    /// What has reached the connection by now has been handled, or is not going to be: whoever is to
    /// take its session over may. To be called after [`Self::signalled`], as soon as there is nothing
    /// more to read.
    ///
    /// A client that says DISCONNECT, or publishes, and is back on another connection at once is
    /// heard in the order in which it spoke, whatever threads serve the two.
    pub fn heard_out(&mut self) {
        // Nearly always nobody: it is asked after every wake, and must not cost an allocation.
        if let Some(waiting) = self.successors.take() {
            waiting.0.iter().for_each(|port| port.heard_out());
        }
    }

    /// When [`Self::timed_out`] is due, if nothing comes before. Who is not listened to is not blamed for
    /// silence; but a handshake that waits for somebody else does not wait for ever.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Fresh(by) => Some(*by),
            Phase::Waiting(waiting) => Some(waiting.connect_by),
            Phase::Open(open) => {
                let silence = silence_allowed(open.keep_alive).filter(|_| !self.paused);
                let silence = silence.map(|silence| open.last_heard + silence);
                let asking = open.asking.iter().chain(&open.reviewing);
                let proof = open.proof_ends().into_iter();
                let others = proof.chain(asking.map(|it| it.by()));
                others.chain(self.held_until()).chain(silence).min()
            }
            Phase::Closed(_) => None,
        }
    }

    /// When reading goes on, if the connection is held back because it sends too fast.
    fn held_until(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Open(open) => open.held_until().map(|it| self.broker.defence.moment(it)),
            _ => None,
        }
    }

    /// The deadline has passed, and nothing has come; or a connection was held back for long enough.
    // [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
    pub fn timed_out(&mut self, batch: &mut Batch) -> Turn {
        if self
            .deadline()
            .is_some_and(|deadline| deadline > batch.now.instant)
        {
            return match self.paused {
                true => Turn::Pause,
                false => Turn::Read,
            };
        }
        let now = batch.now.instant;
        let is_held_no_longer = self.held_until().is_some_and(|until| until <= now);
        match &mut self.phase {
            Phase::Open(open) if open.proof_ends().is_some_and(|ends| ends <= now) => {
                let Fault { code, what } = PROOF_ENDED;
                self.end_as(Ending::Closed(code), Some(what), batch);
            }
            // No answer came in time, which is one.
            Phase::Open(open) if open.is_done_asking(now) => {
                let turn = open.resume(&self.broker, &self.port, false, batch);
                self.paused = turn == Turn::Pause;
                return turn;
            }
            Phase::Open(open) if is_held_no_longer => {
                open.hold_no_longer();
                let turn = open.resume(&self.broker, &self.port, false, batch);
                self.paused = turn == Turn::Pause;
                return turn;
            }
            Phase::Open(_) => self.end(Ending::Closed(ReasonCode::KeepAliveTimeout), batch),
            _ => self.end(Ending::NoConnect, batch),
        }
        Turn::Close
    }

    /// The connection ends for a reason that lies outside the protocol, or by decision of the
    /// broker: an [`Ending::Closed`] is told to the client.
    pub fn end(&mut self, ending: Ending, batch: &mut Batch) {
        self.end_as(ending, None, batch);
    }

    /// As [`Self::end`], with these words for it.
    fn end_as(&mut self, ending: Ending, words: Option<&'static str>, batch: &mut Batch) {
        self.log(ending, words, batch.now.instant);
        if let Phase::Open(open) = &mut self.phase {
            let how = match ending {
                Ending::Closed(code) => Detach::Say(code, words),
                _ => Detach::Silent,
            };
            open.leave(&self.broker, how, batch);
        }
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Closed(match (&self.phase, ending) {
                (Phase::Fresh(_), Ending::Eof) => Ending::NoConnect,
                _ => ending,
            });
        }
        self.heard_out();
        self.port.shut();
    }

    /// Tells of an end that the broker decided on. That clients come and go is not worth a line.
    fn log(&self, ending: Ending, words: Option<&str>, now: Instant) {
        let why = match ending {
            _ if self.ending().is_some() => return,
            Ending::NoConnect => "no CONNECT in time",
            Ending::WriteTimeout => "it takes no bytes",
            Ending::Closed(code) => words.unwrap_or(code.text()),
            _ => return,
        };
        if self.broker.may_tell(&self.port, now) {
            tracing::info!(
                client = self.client_id(),
                peer = self.port.peer().map(tracing::field::display),
                reason = ending.label(),
                "closed: {why}"
            );
        }
    }

    /// The next bytes to write, for the connection's own task; it holds the flush token until it
    /// calls [`Self::put_back`].
    pub fn take_chunk(&mut self) -> Option<Chunk> {
        if let Phase::Open(open) = &self.phase {
            let mut side = open.session.outbound.lock();
            if side
                .port
                .as_ref()
                .is_some_and(|port| Arc::ptr_eq(port, &self.port))
            {
                return side.outbound.line().and_then(|line| line.wire().resume());
            }
        }
        self.port
            .own()
            .lock()
            .as_deref_mut()
            .and_then(|line| line.wire().resume())
    }

    /// Gives a chunk back after `taken` bytes of it were written.
    pub fn put_back(&mut self, chunk: Chunk, taken: usize, batch: &mut Batch) -> Written {
        batch.sent(taken);
        match &self.phase {
            Phase::Open(open) => {
                let session = open.session.clone();
                let mut side = session.outbound.lock();
                self.broker
                    .put_back(&session, &self.port, &mut side, chunk, taken, batch)
            }
            _ => put_back_own(&self.port, chunk, taken, batch),
        }
    }

    /// Whether every byte committed to this connection has been taken by its transport.
    pub fn is_flushed(&self) -> bool {
        self.port
            .own()
            .lock()
            .as_deref_mut()
            .is_none_or(|line| line.wire().is_flushed())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.heard_out();
        self.port.shut();
    }
}
