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
//! A wake reads once and writes once for a whole batch of packets; only a batch for very many recipients
//! reads on as long as more comes. The read buffer belongs to the thread: a connection holds bytes of its
//! own only while a packet has come in part, and an idle one holds none.

use std::cell::RefCell;
use std::future::Future;
use std::io;
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

/// Wires in a batch from which on more is read into it, how often at most, and how many bytes are enough:
/// each wire holds a copy of them, and writing many costs what many cost.
const MANY_WIRES: usize = 64;
const MORE_READS: usize = 3;
const MUCH: u64 = 16 * 1024;

/// Steps before others on the same thread get theirs.
const STEPS_PER_POLL: usize = 4;

/// Reads before another connection of the same client is let in, although this one has more to say.
const READS_FOR_SUCCESSOR: u8 = 16;

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

/// Drives one connection from accept to close: a future whose outcome is how it ended.
///
/// There is one in each connection's task, for as long as that is there: so it is a future itself, of which
/// there is only one copy in the task, and what few connections need at a time is in a box.
pub struct Driver<T> {
    transport: T,
    connection: Connection,
    alarm: Arc<Alarm>,
    /// What came and has not been handled.
    partial: Option<Box<Partial>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Where bytes got stuck on their way to the peer.
    blocked: Option<Box<Blocked>>,
    /// Milliseconds that a pending write may make no progress.
    write_timeout: u32,
    state: State,
    /// When what is left at the end is given up.
    over_by: Option<Instant>,
    /// Reads since another connection has been waiting for its session.
    reads_awaited: u8,
    /// Its place among all connections.
    permit: Permit,
}

/// The beginning of a packet, or whole ones; never empty.
#[derive(Default)]
struct Partial(Vec<u8>);

/// Nothing in it is pinned.
impl<T> Unpin for Driver<T> {}

/// Bytes that the peer does not take.
#[derive(Debug)]
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
    /// The connection is over: what is left is written, until `over_by` at the latest.
    Closing,
    /// The end is sent: what the peer still sends is thrown away until it closes too, for a socket
    /// that is closed with unread input destroys the last words that are under way to the peer. Until `over_by`.
    Lingering,
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
        let connection = Connection::new(broker, port, patience.connect_by);
        Self {
            transport,
            connection,
            alarm,
            partial: None,
            timer: None,
            blocked: None,
            write_timeout: u32::try_from(patience.write.as_millis()).unwrap_or(u32::MAX),
            state: State::Reading,
            over_by: None,
            reads_awaited: 0,
            permit,
        }
    }

    /// Goes on until the connection is over, or there is nothing to do.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.register(cx);
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..STEPS_PER_POLL {
                scratch.batch.now = now();
                let step = self.step(cx, scratch);
                self.gather(scratch);
                self.count_handshake();
                // Who was filled in this step does not wait for the next.
                self.connection.broker().finish(&mut scratch.batch);
                if self.state == State::Closed {
                    return Poll::Ready(());
                }
                if step == Step::Wait && !self.connection.port().is_signalled() {
                    self.arm(cx);
                    return Poll::Pending;
                }
            }
            // Others on this thread have their turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Reads more into a batch that has filled many wires: writing them takes longer than all before it,
    /// and costs the same however much they hold. What the client has been waiting for goes first, so that
    /// it has more to say meanwhile.
    fn gather(&mut self, scratch: &mut Scratch) {
        for _ in 0..MORE_READS {
            let is_wide = scratch.batch.filled() >= MANY_WIRES;
            if !is_wide || scratch.batch.heard() > MUCH || self.state != State::Reading {
                return;
            }
            self.connection.answer(&mut scratch.batch);
            // Whatever else there is about the stream is met by the next read.
            let read = |transport: &mut T, buffer: &mut [u8]| match transport.read_on(buffer) {
                Ok(count) if count > 0 => Poll::Ready(Ok(count)),
                _ => Poll::Pending,
            };
            if self.read(read, scratch) == Step::Wait {
                return;
            }
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Step {
        if !self.connection.is_open() && self.is_due(scratch.batch.now.instant) {
            // However busy it is: a handshake has one deadline for all of it.
            return self.check_deadlines(&mut scratch.batch);
        }
        let signalled = self.connection.port().is_signalled();
        if signalled {
            let turn = self.connection.signalled(&mut scratch.batch);
            self.follow(turn, &scratch.batch);
        }
        if signalled || self.blocked.is_some() || self.is_over() {
            self.write(cx, &mut scratch.batch);
        }
        match self.state {
            State::Reading => {
                let read = |transport: &mut T, buffer: &mut [u8]| transport.poll_read(cx, buffer);
                if self.read(read, scratch) == Step::Again {
                    self.bound_the_wait();
                    return Step::Again;
                }
            }
            State::Handling => {
                self.handle_partial(&mut scratch.batch);
                return Step::Again;
            }
            State::Paused => {}
            State::Closing => {
                self.say_end(cx, &scratch.batch);
                if self.state != State::Closing {
                    return Step::Again;
                }
            }
            State::Lingering => self.linger(cx, scratch),
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
            State::Closing | State::Lingering | State::Closed
        )
    }

    /// Follows what the broker said at the end of a turn.
    fn follow(&mut self, turn: Turn, batch: &Batch) {
        if self.is_over() {
            return;
        }
        self.state = match turn {
            Turn::Close => return self.close(batch),
            Turn::Pause => State::Paused,
            Turn::Again => State::Handling,
            Turn::Read if self.state == State::Reading => State::Reading,
            // Something is left from before: it may be whole packets.
            Turn::Read if self.partial.is_none() => State::Reading,
            Turn::Read => State::Handling,
        };
    }

    /// Reads once and handles what came.
    fn read(
        &mut self,
        read: impl FnOnce(&mut T, &mut [u8]) -> Poll<io::Result<usize>>,
        scratch: &mut Scratch,
    ) -> Step {
        let Scratch { buffer, batch } = scratch;
        // A packet larger than the thread's buffer is put together in a buffer of its own.
        let partial = self.partial.as_ref().map_or(&[][..], |it| &it.0);
        let large = partial.len() >= READ_SIZE / 2;
        let kept = if large { 0 } else { partial.len() };
        buffer[..kept].copy_from_slice(&partial[..kept]);
        let count = match read(&mut self.transport, &mut buffer[kept..]) {
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
            let partial = self.partial.get_or_insert_default();
            partial.0.extend_from_slice(&buffer[..count]);
            self.handle_partial(batch);
            return Step::Again;
        }
        let input = &buffer[..kept + count];
        let (used, turn) = self.connection.receive(input, batch);
        match &input[used..] {
            // A connection without a packet in part holds no buffer.
            [] => self.partial = None,
            rest => {
                let partial = self.partial.get_or_insert_default();
                partial.0.clear();
                partial.0.extend_from_slice(rest);
            }
        }
        self.follow_input(turn, batch);
        Step::Again
    }

    /// Handles what the connection holds of its own.
    fn handle_partial(&mut self, batch: &mut Batch) {
        let mut partial = self.partial.take();
        let input = partial.as_ref().map_or(&[][..], |it| &it.0);
        let (used, turn) = self.connection.receive(input, batch);
        if let Some(partial) = &mut partial {
            partial.0.drain(..used);
        }
        self.partial = partial.filter(|it| !it.0.is_empty());
        self.follow_input(turn, batch);
    }

    fn follow_input(&mut self, turn: Turn, batch: &Batch) {
        if !self.is_over() {
            self.state = State::Reading;
        }
        self.follow(turn, batch);
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
        let since = batch.now.instant;
        match &mut self.blocked {
            Some(blocked) if blocked.moved == moved => {}
            Some(blocked) => **blocked = Blocked { since, moved },
            None => self.blocked = Some(Box::new(Blocked { since, moved })),
        }
    }

    /// The peer sends nothing more. It may still read: it gets what was committed to it, and the
    /// end in good order, which TLS demands of both sides (RFC 8446, section 6.1).
    fn heard_out(&mut self, batch: &mut Batch) {
        let ending = match self.transport.breach() {
            None => Ending::Eof,
            Some(Breach { ending, what }) => {
                let peer = self.connection.port().peer();
                let defence = self.connection.broker().defence();
                if defence.may_tell(peer.map(|it| it.ip()), batch.now.instant) {
                    let peer = peer.map(tracing::field::display);
                    let listener = &*self.connection.port().caller().listener;
                    tracing::info!(peer, listener, reason = ending.label(), "closed: {what}");
                }
                ending
            }
        };
        self.connection.end(ending, batch);
        self.close(batch);
    }

    /// The connection is over, and what it holds is still to be written.
    fn close(&mut self, batch: &Batch) {
        self.state = State::Closing;
        self.over_by = Some(batch.now.instant + LINGER);
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
            Poll::Ready(Ok(())) => {
                self.state = State::Lingering;
                self.over_by = Some(batch.now.instant + LINGER);
            }
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
            State::Closing | State::Lingering => self.state = State::Closed,
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
        let patience = Duration::from_millis(self.write_timeout.into());
        let blocked = self.blocked.as_ref();
        blocked.map(|blocked| blocked.since + patience)
    }

    /// When something is to be done though nothing comes.
    fn due(&self) -> Option<Instant> {
        let own = match self.state {
            State::Closing | State::Lingering => return self.over_by,
            State::Closed => None,
            State::Paused | State::Reading | State::Handling => self.connection.deadline(),
        };
        own.into_iter().chain(self.write_due()).min()
    }

    /// Sets the timer. It is not moved to a later time before it fires: a busy connection's
    /// deadline moves with every packet, its timer once in a deadline.
    fn arm(&mut self, cx: &mut Context<'_>) {
        self.connection.rest();
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

impl<T: Transport> Future for Driver<T> {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let driver = self.get_mut();
        std::task::ready!(driver.go_on(cx));
        let ending = driver.connection.ending();
        let ending = ending.unwrap_or(Ending::TransportError);
        driver.permit.ended(ending);
        let peer = driver.connection.port().peer();
        tracing::debug!(peer = peer.map(tracing::field::display), "closed: {ending}");
        Poll::Ready(ending)
    }
}

impl<T> Drop for Driver<T> {
    /// A task that ends before its connection does, by a panic or with its runtime, leaves no
    /// session behind that seems to be connected.
    fn drop(&mut self) {
        if self.connection.ending().is_none() {
            let mut batch = Batch::new(now());
            self.connection.end(Ending::TransportError, &mut batch);
            self.connection.broker().finish(&mut batch);
        }
    }
}

#[cfg(test)]
mod tests;
