//! The bounds of HTTP connections: their number, their patience and the size of a request.
//!
//! The HTTP library reads and writes; this module stands between it and the socket and counts.
//!
//! ```text
//!    accept ──► [ first ]  ── bytes of an answer taken ──►  [ idle ] ◄─┐
//!                   │                                          │  └────┘ the next answer
//!                   └───────── deadline, or too many bytes ────┴──► closed
//! ```
//!
//! Only bytes that the peer *takes* win it time, and those exist only after a whole request.
//! Sending a request byte by byte, or none, or not reading the answer, all end at the deadline. So
//! a place cannot be held by dribbling, which a timeout per read would allow.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// What one listener and each of its connections may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time. Further ones wait in the system's backlog until a place is free.
    pub(super) connections: usize,
    /// From accept to the first bytes of an answer.
    pub(super) first: Duration,
    /// From the last bytes of an answer to the first of the next one. Longer than the usual scrape
    /// interval of a minute, so that a scraper keeps its connection.
    pub(super) idle: Duration,
    /// Bytes that may arrive before an answer leaves. May be overrun by one read buffer.
    pub(super) request_bytes: usize,
}

impl Limits {
    /// 64 connections of at most 16 KiB of request each: about 2 MiB with the library's buffers.
    pub(super) const SERVING: Self = Self {
        connections: 64,
        first: Duration::from_secs(10),
        idle: Duration::from_secs(90),
        request_bytes: 16 * 1024,
    };
}

/// A TCP listener that accepts only while there is a free place.
pub(super) struct Listener {
    inner: TcpListener,
    places: Arc<Semaphore>,
    limits: Limits,
}

impl Listener {
    pub(super) fn new(inner: TcpListener, limits: Limits) -> Self {
        Self {
            inner,
            places: Arc::new(Semaphore::new(limits.connections)),
            limits,
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed, so there always is a place in the end.
        let place = self.places.clone().acquire_owned().await.ok();
        // Waits and tries again when the process is out of descriptors.
        let (stream, address) = axum::serve::Listener::accept(&mut self.inner).await;
        let connection = Connection {
            stream,
            deadline: Box::pin(sleep(self.limits.first)),
            unanswered: 0,
            limits: self.limits,
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// One connection within its [`Limits`]. Holds its place until it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// Bytes read since the last byte of an answer was taken.
    unanswered: usize,
    limits: Limits,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Fails once the deadline has passed, and sees to it that the task is woken then.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Notes what became of a write: progress moves the deadline.
    fn written(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.unanswered = 0;
            self.deadline
                .as_mut()
                .reset(Instant::now() + self.limits.idle);
        }
        outcome
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        if self.unanswered >= self.limits.request_bytes {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.unanswered += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
