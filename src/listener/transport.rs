//! What carries the bytes of one Network Connection.
//!
//! A driver works on any [`Transport`]. [`Tcp`] can be written to by other tasks as well, straight
//! from the one that filled the connection; a [`Stream`] (TLS, or a pipe in memory) keeps state of
//! its own between bytes and socket, so only the driver's task writes to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::broker::Link;

/// A byte stream, polled by its driver.
pub trait Transport: Send + 'static {
    /// What others may do with it; `alarm` wakes the driver.
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link>;

    /// Reads what is there; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes what is taken.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Moves on what was written but lingers.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes the sending half in good order.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Wakes a driver from anywhere.
#[derive(Debug, Default)]
pub struct Alarm(Mutex<Option<Waker>>);

impl Alarm {
    /// Notes whom to wake.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.0.lock();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the driver, if it sleeps.
    pub fn ring(&self) {
        // Cloned, not taken: the driver registers its waker once.
        let waker = self.0.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Plain TCP.
#[derive(Debug)]
pub struct Tcp(Arc<TcpStream>);

impl Tcp {
    /// A connection as accepted.
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }
}

struct TcpLink {
    stream: Arc<TcpStream>,
    alarm: Arc<Alarm>,
}

impl Link for TcpLink {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    fn wake(&self) {
        self.alarm.ring();
    }
}

impl Transport for Tcp {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(TcpLink {
            stream: Arc::clone(&self.0),
            alarm,
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            // A read that leaves room in the buffer has taken all there was. Saying so from within
            // `try_io` saves the read that would find nothing: what arrives meanwhile is a new event
            // and is not forgotten, nor is the end of the stream.
            let mut drained = None;
            let read = self.0.try_io(Interest::READABLE, || {
                let count = self.0.try_read(buffer)?;
                if (1..buffer.len()).contains(&count) {
                    drained = Some(count);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(count)
            });
            if let Some(count) = drained {
                return Poll::Ready(Ok(count));
            }
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

/// Any other byte stream.
#[derive(Debug)]
pub struct Stream<S>(S);

impl<S> Stream<S> {
    /// A connection as accepted, its handshake done.
    pub fn new(stream: S) -> Self {
        Self(stream)
    }
}

struct StreamLink(Arc<Alarm>);

impl Link for StreamLink {
    fn is_direct(&self) -> bool {
        false
    }

    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wake(&self) {
        self.0.ring();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for Stream<S> {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(StreamLink(alarm))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
