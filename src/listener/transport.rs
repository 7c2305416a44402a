//! What carries the bytes of one Network Connection.
//!
//! A driver works on any [`Transport`]. A [`Direct`] one can be written to by other tasks as well,
//! straight from the one that filled the connection, and so can TLS over a socket (`secured`). A WebSocket
//! keeps state of its own between bytes and socket, so only the driver's task writes to it.

use std::io::{self, IoSlice, Read};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::broker::{Ending, Link};

/// A byte stream, polled by its driver.
pub trait Transport: Send + 'static {
    /// What others may do with it; `alarm` wakes the driver.
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link>;

    /// Reads what is there; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads what has come by now, whether or not its driver would be woken for that. What fails here fails
    /// again in [`Self::poll_read`], and so does an end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing, or if the transport has no way to know.
    fn read_on(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes what is taken.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Moves on what was written but lingers.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes that have left for the peer: those that [`Self::poll_write`] took less those that
    /// linger, or any other number that changes whenever that one does.
    fn moved(&self) -> u64;

    /// How the peer broke the rules of what lies between bytes and socket, if that is why [`Self::poll_read`]
    /// told of an end.
    fn breach(&self) -> Option<Breach> {
        None
    }

    /// Closes the sending half in good order.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// How a peer broke the rules of what lies between bytes and socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// How its connection ends.
    pub ending: Ending,
    /// What it did.
    pub what: &'static str,
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

/// A socket of the system: several tasks may use it at once.
pub trait Socket: AsFd + Send + Sync + 'static {
    /// Waits until something may have come.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until something may leave.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what has come. What fails with `WouldBlock` is not tried again before more comes.
    fn try_read_io(&self, read: impl FnOnce(&Self) -> io::Result<usize>) -> io::Result<usize>;

    /// Reads what is there.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes what is taken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

macro_rules! socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            fn try_read_io(
                &self,
                read: impl FnOnce(&Self) -> io::Result<usize>,
            ) -> io::Result<usize> {
                self.try_io(Interest::READABLE, || read(self))
            }

            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.try_read(buffer)
            }

            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.try_write(bytes)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// Reads what has come, and notes whether that was all.
///
/// A read that leaves room in the buffer has taken all there was. Saying so from within
/// [`Socket::try_read_io`] saves the read that would find nothing: what arrives meanwhile is a new event
/// and is not forgotten, nor is the end of the stream.
pub(super) fn read_once<S: Socket>(socket: &S, buffer: &mut [u8]) -> io::Result<usize> {
    let mut drained = None;
    let read = socket.try_read_io(|socket| {
        let count = socket.try_read(buffer)?;
        if (1..buffer.len()).contains(&count) {
            drained = Some(count);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    });
    drained.map_or(read, Ok)
}

/// A socket with nothing in between: plain TCP, or a Unix domain socket.
#[derive(Debug)]
pub struct Direct<S> {
    socket: Arc<S>,
    moved: u64,
}

impl<S: Socket> Direct<S> {
    /// A connection as accepted.
    pub fn new(socket: S) -> Self {
        Self {
            socket: Arc::new(socket),
            moved: 0,
        }
    }
}

struct DirectLink<S> {
    socket: Arc<S>,
    alarm: Arc<Alarm>,
}

impl<S: Socket> Link for DirectLink<S> {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn wake(&self) {
        self.alarm.ring();
    }
}

impl<S: Socket> Transport for Direct<S> {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(DirectLink {
            socket: Arc::clone(&self.socket),
            alarm,
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match read_once(&*self.socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = socket2::SockRef::from(&*self.socket);
        (&*socket).read(buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.moved += *written.as_ref().unwrap_or(&0) as u64;
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn moved(&self) -> u64 {
        self.moved
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.socket).shutdown(std::net::Shutdown::Write))
    }
}

/// Counts the bytes that a stream takes, so that whoever writes through something that keeps bytes
/// of its own in between (TLS) can see whether they move.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    meter: Meter,
}

/// What a [`Metered`] stream has taken so far.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// How much that is.
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Metered<S> {
    /// A stream, and the meter that is in it.
    pub fn new(stream: S) -> (Self, Meter) {
        let meter = Meter::default();
        let metered = Self {
            stream,
            meter: meter.clone(),
        };
        (metered, meter)
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.meter.0.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The link of what only the driver's own task writes to.
pub(super) struct StreamLink(pub Arc<Alarm>);

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
