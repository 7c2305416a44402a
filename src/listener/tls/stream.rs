//! TLS over any byte stream: handshakes, and connections in which something else lies above TLS.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::Session;

/// A byte stream inside TLS.
pub struct TlsStream<S> {
    below: S,
    session: Session,
}

impl<S> TlsStream<S> {
    /// The stream below, and what is to be known of TLS to go on.
    pub fn into_parts(self) -> (S, Session) {
        (self.below, self.session)
    }

    /// What was agreed with the client.
    pub fn common(&self) -> &CommonState {
        self.session.common()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake with a client. If it fails, the client has been told why, and the stream is given back.
    pub(super) async fn accept(
        config: Arc<ServerConfig>,
        below: S,
    ) -> Result<Self, (io::Error, S)> {
        let session = match Session::new(config) {
            Ok(session) => session,
            Err(error) => return Err((io::Error::other(error), below)),
        };
        let mut stream = Self { below, session };
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(stream),
            Err(error) => Err((error, stream.below)),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let records = self.poll_records(cx)?;
            if self.session.is_ready() {
                ready!(records);
                return Pin::new(&mut self.below).poll_flush(cx);
            }
            // Even if they have not left: the client may have something to say before it reads on.
            let below = &mut self.below;
            match self.session.shake_hands(|buffer| read(below, cx, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => {
                    // As far as that goes: it was the client's fault, or it is not there any more.
                    let _ = self.poll_records(cx);
                    return Poll::Ready(Err(error));
                }
                Ok(()) => {}
            }
        }
    }

    /// Writes records that have not left.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let below = &mut self.below;
        until_pending(self.session.flush(|records| write(below, cx, records)))
    }

    fn poll_parts(&mut self, cx: &mut Context<'_>, parts: &[&[u8]]) -> Poll<io::Result<usize>> {
        let below = &mut self.below;
        let written = self
            .session
            .write(parts, |records| write(below, cx, records));
        // What is in records counts as taken here: whatever is above may offer other bytes next.
        let owed = self.session.take_owed();
        match written {
            Ok(taken) => Poll::Ready(Ok(taken + owed)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && owed > 0 => {
                Poll::Ready(Ok(owed))
            }
            failed => until_pending(failed),
        }
    }
}

fn read(
    below: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    match Pin::new(below).poll_read(cx, &mut buffer) {
        Poll::Ready(read) => read.map(|()| buffer.filled().len()),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn write(
    below: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<usize> {
    match Pin::new(below).poll_write(cx, bytes) {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn until_pending<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { below, session } = self.get_mut();
        let read = session.read(buffer.initialize_unfilled(), |free| read(below, cx, free));
        // What TLS has to answer to that; who does not take it now is given it with what is written next.
        if let Err(error) = session.flush(|records| write(below, cx, records))
            && error.kind() != io::ErrorKind::WouldBlock
            && read.is_ok()
        {
            return Poll::Ready(Err(error));
        }
        let count = ready!(until_pending(read))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_parts(cx, &[bytes])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [first, second] => self.get_mut().poll_parts(cx, &[first, second]),
            _ => {
                let first = parts.iter().find(|part| !part.is_empty());
                self.poll_write(cx, first.map_or(&[], |part| part))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_records(cx))?;
        Pin::new(&mut stream.below).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.session.close()?;
        ready!(stream.poll_records(cx))?;
        match ready!(Pin::new(&mut stream.below).poll_shutdown(cx)) {
            // Whoever is gone already has been told nothing less.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}
