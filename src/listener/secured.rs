//! TLS over a socket of the system.
//!
//! ```text
//!   driver ─── reads, and writes what a full socket left ──┐
//!                                                          ├──> the session's lock ──> records ──> socket
//!   fillers ── write, at the end of their batches ─────────┘
//! ```
//!
//! Whoever has filled a connection puts the bytes into records and writes these itself, as with a plain socket.
//! The lock keeps records in the order of their numbers. A filler does not wait for it: who has it, if not
//! another filler's flush token, is the driver with what came, and that writes next.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;

use crate::broker::Link;

use super::tls::{Session, TlsStream};
use super::transport::{Alarm, Socket, Transport, read_once};

/// A socket with TLS on it, its handshake done.
pub struct Secured<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    socket: S,
    session: Mutex<Session>,
}

impl<S: Socket> Secured<S> {
    /// A connection after its handshake.
    pub fn new(stream: TlsStream<S>) -> Self {
        let (socket, session) = stream.into_parts();
        Self {
            shared: Arc::new(Shared {
                socket,
                session: Mutex::new(session),
            }),
        }
    }

    /// Does what has to be done to the session until the socket is in the way, and then waits for that.
    fn poll_written<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Session, &S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let Shared { socket, session } = &*self.shared;
        loop {
            match write(&mut session.lock(), socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
            // Ready still, if the socket took a part: the next attempt will tell.
            ready!(socket.poll_write_ready(cx))?;
        }
    }
}

struct SecuredLink<S> {
    shared: Arc<Shared<S>>,
    alarm: Arc<Alarm>,
}

impl<S: Socket> Link for SecuredLink<S> {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Shared { socket, session } = &*self.shared;
        let Some(mut session) = session.try_lock() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        session.write(&[bytes], |records| socket.try_write(records))
    }

    fn wake(&self) {
        self.alarm.ring();
    }
}

impl<S: Socket> Transport for Secured<S> {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(SecuredLink {
            shared: Arc::clone(&self.shared),
            alarm,
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Shared { socket, session } = &*self.shared;
        loop {
            if !session.lock().is_readable() {
                ready!(socket.poll_read_ready(cx))?;
            }
            let mut session = session.lock();
            let read = session.read(buffer, |free| read_once(socket, free));
            // What TLS has to say to that, as far as it goes; what is left goes before the next bytes.
            let said = session.flush(|records| socket.try_write(records));
            match (read, said) {
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {}
                (Ok(_), Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (read, _) => return Poll::Ready(read),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |session, socket| {
            session.write(&[bytes], |records| socket.try_write(records))
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx, |session, socket| {
            session.flush(|records| socket.try_write(records))
        })
    }

    fn moved(&self) -> u64 {
        self.shared.session.lock().moved()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.session.lock().close()?;
        ready!(self.poll_flush(cx))?;
        let socket = socket2::SockRef::from(&self.shared.socket);
        Poll::Ready(socket.shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests;
