//! One task per Network Connection: between its transport and the broker.
//!
//! ```text
//!          ┌──────────────── poll ────────────────┐
//!   alarm ─┤ signals ─> Connection::signalled     │
//!   timer ─┤ deadline ─> Connection::timed_out    ├─> finish the batch: flush everyone it filled
//!   socket ┤ bytes ─> Connection::receive         │
//!          └ writable ─> chunks, if a write was cut short
//! ```
//!
//! A wake reads once and writes once for a whole batch of packets. The read buffer belongs to the
//! thread: a connection holds bytes of its own only while a packet has come in part, and an idle
//! one holds none.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::Sleep;

use crate::auth::Caller;
use crate::broker::{Batch, Broker, Connection, Ending, Entrance, Now, Permit, Port, Turn};
use crate::message::Timestamp;
use crate::session::Written;

use super::transport::{Alarm, Breach, Transport};

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;

/// Steps before others on the same thread get theirs.
const STEPS_PER_POLL: usize = 4;

/// Reads before another connection of the same client is let in, although this one has more to say.
const READS_FOR_SUCCESSOR: u32 = 16;

/// What a thread's drivers share, one at a time.
struct Scratch {
    buffer: Box<[u8]>,
    batch: Batch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        buffer: vec![0; READ_SIZE].into(),
        batch: Batch::new(now()),
    });
}

/// The time, for a batch.
pub fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        wall: Timestamp::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// How patient a driver is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When a whole CONNECT must have come.
    pub connect_by: Instant,
    /// How long a pending write may make no progress.
    pub write: Duration,
}

/// Drives one connection from accept to close; its outcome is how it ended.
pub struct Driver<T> {
    transport: T,
    connection: Connection,
    broker: Arc<Broker>,
    port: Arc<Port>,
    alarm: Arc<Alarm>,
    /// What came and has not been handled: the beginning of a packet, or whole ones.
    partial: Vec<u8>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Where bytes got stuck on their way to the peer.
    blocked: Option<Blocked>,
    write_timeout: Duration,
    state: State,
    /// Its place among all connections.
    permit: Permit,
    /// Reads since another connection has been waiting for its session.
    reads_awaited: u32,
}

/// Bytes that the peer does not take.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    since: Instant,
    /// How much the transport had moved by then.
    moved: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Packets are read as they come.
    Reading,
    /// `partial` may hold whole packets: they are handled before more is read.
    Handling,
    /// The broker wants nothing more for now.
    Paused,
    /// The connection is over: what is left is written, until then at the latest.
    Closing(Instant),
    /// The end is sent: what the peer still sends is thrown away until it closes too, for a socket
    /// that is closed with unread input destroys the last words that are under way to the peer.
    Lingering(Instant),
    Closed,
}

/// How long the peer has to take the last words, and then to close.
const LINGER: Duration = Duration::from_secs(2);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is more to do at once.
    Again,
    /// Nothing, until woken.
    Wait,
}

impl<T: Transport> Driver<T> {
    /// A driver for a transport that was just accepted from `caller`, who came in by `entrance`.
    pub fn new(
        transport: T,
        permit: Permit,
        broker: Arc<Broker>,
        (caller, entrance): (Caller, Arc<Entrance>),
        patience: Patience,
    ) -> Self {
        let alarm = Arc::new(Alarm::default());
        let port = Port::new(transport.link(Arc::clone(&alarm)), caller);
        let port = Arc::new(port.by(entrance));
        let now = Instant::now();
        let connection = Connection::new(
            Arc::clone(&broker),
            Arc::clone(&port),
            now,
            patience.connect_by,
        );
        Self {
            transport,
            connection,
            broker,
            port,
            alarm,
            partial: Vec::new(),
            timer: None,
            blocked: None,
            write_timeout: patience.write,
            state: State::Reading,
            permit,
            reads_awaited: 0,
        }
    }

    /// Runs the connection to its end.
    pub async fn run(mut self) -> Ending {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        let ending = self.connection.ending().unwrap_or(Ending::TransportError);
        self.permit.ended(ending);
        tracing::debug!(
            peer = self.port.peer().map(tracing::field::display),
            "closed: {ending}"
        );
        ending
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.register(cx);
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..STEPS_PER_POLL {
                scratch.batch.now = now();
                let step = self.step(cx, scratch);
                self.count_handshake();
                // Who was filled in this step does not wait for the next.
                self.broker.finish(&mut scratch.batch);
                if self.state == State::Closed {
                    return Poll::Ready(());
                }
                if step == Step::Wait && !self.port.is_signalled() {
                    self.arm(cx);
                    return Poll::Pending;
                }
            }
            // Others on this thread have their turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn step(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Step {
        if !self.connection.is_open() && self.is_due(scratch.batch.now.instant) {
            // However busy it is: a handshake has one deadline for all of it.
            return self.check_deadlines(&mut scratch.batch);
        }
        let signalled = self.port.is_signalled();
        if signalled {
            let turn = self.connection.signalled(&mut scratch.batch);
            self.follow(turn, &scratch.batch);
        }
        if signalled || self.blocked.is_some() || self.is_over() {
            self.write(cx, &mut scratch.batch);
        }
        match self.state {
            State::Reading => {
                if self.read(cx, scratch) == Step::Again {
                    self.bound_the_wait();
                    return Step::Again;
                }
            }
            State::Handling => {
                self.handle_partial(&mut scratch.batch);
                return Step::Again;
            }
            State::Paused => {}
            State::Closing(_) => {
                self.say_end(cx, &scratch.batch);
                if !matches!(self.state, State::Closing(_)) {
                    return Step::Again;
                }
            }
            State::Lingering(_) => self.linger(cx, scratch),
            State::Closed => return Step::Again,
        }
        self.connection.heard_out();
        // Deadlines last: what has come in time counts, however late it is looked at.
        self.check_deadlines(&mut scratch.batch)
    }

    /// Lets a successor have the session, however much there is to read.
    fn bound_the_wait(&mut self) {
        if !self.connection.is_awaited() {
            self.reads_awaited = 0;
            return;
        }
        self.reads_awaited += 1;
        if self.reads_awaited >= READS_FOR_SUCCESSOR {
            self.connection.heard_out();
        }
    }

    fn count_handshake(&mut self) {
        if self.is_over() || self.connection.is_open() {
            self.permit.handshake_over();
        }
    }

    fn is_over(&self) -> bool {
        matches!(
            self.state,
            State::Closing(_) | State::Lingering(_) | State::Closed
        )
    }

    /// Follows what the broker said at the end of a turn.
    fn follow(&mut self, turn: Turn, batch: &Batch) {
        if self.is_over() {
            return;
        }
        self.state = match turn {
            Turn::Close => State::Closing(batch.now.instant + LINGER),
            Turn::Pause => State::Paused,
            Turn::Again => State::Handling,
            Turn::Read if self.state == State::Reading => State::Reading,
            // Something is left from before: it may be whole packets.
            Turn::Read if self.partial.is_empty() => State::Reading,
            Turn::Read => State::Handling,
        };
    }

    /// Reads once and handles what came.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Step {
        let Scratch { buffer, batch } = scratch;
        // A packet larger than the thread's buffer is put together in a buffer of its own.
        let large = self.partial.len() >= READ_SIZE / 2;
        let kept = if large { 0 } else { self.partial.len() };
        buffer[..kept].copy_from_slice(&self.partial[..kept]);
        let count = match self.transport.poll_read(cx, &mut buffer[kept..]) {
            Poll::Pending => return Step::Wait,
            Poll::Ready(Ok(count)) if count > 0 => count,
            Poll::Ready(Ok(_)) => {
                self.heard_out(batch);
                return Step::Again;
            }
            Poll::Ready(Err(_)) => {
                self.lost(Ending::TransportError, batch);
                return Step::Again;
            }
        };
        batch.received(count);
        if large {
            self.partial.extend_from_slice(&buffer[..count]);
            self.handle_partial(batch);
            return Step::Again;
        }
        let input = &buffer[..kept + count];
        let (used, turn) = self.connection.receive(input, batch);
        self.partial.clear();
        self.partial.extend_from_slice(&input[used..]);
        self.shrink();
        self.follow_input(turn, batch);
        Step::Again
    }

    /// Handles what the connection holds of its own.
    fn handle_partial(&mut self, batch: &mut Batch) {
        let mut partial = std::mem::take(&mut self.partial);
        let (used, turn) = self.connection.receive(&partial, batch);
        partial.drain(..used);
        self.partial = partial;
        self.shrink();
        self.follow_input(turn, batch);
    }

    fn follow_input(&mut self, turn: Turn, batch: &Batch) {
        if !self.is_over() {
            self.state = State::Reading;
        }
        self.follow(turn, batch);
    }

    /// A connection without a packet in part holds no buffer.
    fn shrink(&mut self) {
        if self.partial.is_empty() && self.partial.capacity() > 0 {
            self.partial = Vec::new();
        }
    }

    /// Writes what the connection holds, as far as the transport takes it.
    fn write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut next = self.connection.take_chunk();
        while let Some(mut chunk) = next {
            let taken = match self.transport.poll_write(cx, chunk.remaining()) {
                Poll::Pending => 0,
                Poll::Ready(Ok(taken)) if taken > 0 => taken,
                Poll::Ready(_) => {
                    self.connection.put_back(chunk, 0, batch);
                    self.lost(Ending::TransportError, batch);
                    return;
                }
            };
            chunk.advance(taken);
            let written = self.connection.put_back(chunk, taken, batch);
            next = match written {
                Written::All => None,
                Written::More(chunk) => Some(chunk),
                Written::Blocked if taken > 0 => self.connection.take_chunk(),
                Written::Blocked => return self.note_blocked(batch),
            };
        }
        match self.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.blocked = None,
            Poll::Ready(Err(_)) => self.lost(Ending::TransportError, batch),
            Poll::Pending => self.note_blocked(batch),
        }
    }

    /// The patience with a blocked peer begins anew only when something has moved. That the
    /// transport took bytes is not enough: it may have put them on a heap of its own.
    fn note_blocked(&mut self, batch: &Batch) {
        let moved = self.transport.moved();
        if self.blocked.is_none_or(|blocked| blocked.moved != moved) {
            let since = batch.now.instant;
            self.blocked = Some(Blocked { since, moved });
        }
    }

    /// The peer sends nothing more. It may still read: it gets what was committed to it, and the
    /// end in good order, which TLS demands of both sides (RFC 8446, section 6.1).
    fn heard_out(&mut self, batch: &mut Batch) {
        let ending = match self.transport.breach() {
            None => Ending::Eof,
            Some(Breach { ending, what }) => {
                let peer = self.port.peer();
                let defence = self.broker.defence();
                if defence.may_tell(peer.map(|it| it.ip()), batch.now.instant) {
                    let peer = peer.map(tracing::field::display);
                    let listener = &*self.port.caller().listener;
                    tracing::info!(peer, listener, reason = ending.label(), "closed: {what}");
                }
                ending
            }
        };
        self.connection.end(ending, batch);
        self.state = State::Closing(batch.now.instant + LINGER);
    }

    /// The transport is gone: nothing more can be read or written.
    fn lost(&mut self, ending: Ending, batch: &mut Batch) {
        self.connection.end(ending, batch);
        self.state = State::Closed;
    }

    /// Everything has been written: sends the end.
    fn say_end(&mut self, cx: &mut Context<'_>, batch: &Batch) {
        if self.blocked.is_some() || !self.connection.is_flushed() {
            return;
        }
        match self.transport.poll_close(cx) {
            Poll::Ready(Ok(())) => self.state = State::Lingering(batch.now.instant + LINGER),
            Poll::Ready(Err(_)) => self.state = State::Closed,
            Poll::Pending => {}
        }
    }

    fn linger(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) {
        // A bounded number of reads for each wake; a peer that goes on sending meets the deadline.
        for _ in 0..STEPS_PER_POLL {
            match self.transport.poll_read(cx, &mut scratch.buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => {
                    self.state = State::Closed;
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    fn check_deadlines(&mut self, batch: &mut Batch) -> Step {
        if !self.is_due(batch.now.instant) {
            return if self.state == State::Closed {
                Step::Again
            } else {
                Step::Wait
            };
        }
        match self.state {
            State::Closing(_) | State::Lingering(_) => self.state = State::Closed,
            _ if self.write_due().is_some_and(|due| due <= batch.now.instant) => {
                self.lost(Ending::WriteTimeout, batch);
            }
            _ => {
                let turn = self.connection.timed_out(batch);
                self.follow(turn, batch);
            }
        }
        Step::Again
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    fn write_due(&self) -> Option<Instant> {
        self.blocked
            .map(|blocked| blocked.since + self.write_timeout)
    }

    /// When something is to be done though nothing comes.
    fn due(&self) -> Option<Instant> {
        let own = match self.state {
            State::Closing(by) | State::Lingering(by) => return Some(by),
            State::Closed => None,
            State::Paused | State::Reading | State::Handling => self.connection.deadline(),
        };
        own.into_iter().chain(self.write_due()).min()
    }

    /// Sets the timer. It is not moved to a later time before it fires: a busy connection's
    /// deadline moves with every packet, its timer once in a deadline.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let Some(due) = self.due().map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return;
        };
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.is_elapsed() || timer.deadline() > due {
                    timer.as_mut().reset(due);
                }
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(due))),
        };
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl<T> Drop for Driver<T> {
    /// A task that ends before its connection does, by a panic or with its runtime, leaves no
    /// session behind that seems to be connected.
    fn drop(&mut self) {
        if self.connection.ending().is_none() {
            let mut batch = Batch::new(now());
            self.connection.end(Ending::TransportError, &mut batch);
            self.broker.finish(&mut batch);
        }
    }
}

#[cfg(test)]
mod tests;
