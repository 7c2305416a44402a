//! MQTT in the binary frames of a WebSocket.
//!
//! ```text
//!   poll_read   socket ──> frames::Inbound: payloads, one stream of bytes ──> driver
//!                              └──> ping: an answer waits
//!   poll_write  driver: a whole batch ──> one frame: header and payload in one write ──> socket
//!                                            └──> between two frames: pong, Close
//! ```
//!
//! Nothing is copied and nothing is kept on the way: a connection holds bytes of its own only while an answer
//! to a ping, or a header in part, waits for its socket.
//!
//! Either side says Close, the other one answers, and the broker ends the connection below:
//!
//! ```text
//!              the client's Close, or its breach          the driver has written everything
//!   Open ─────────────────────────────────────> Heard ────────────────────────────────────┐
//!    │ the driver has written everything: our Close is sent                               │
//!    └────────────> wait for the client's ────> our Close is sent, the sending half shut <┘
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::broker::{Ending, Link};

use super::frames::{self, End, Inbound, Opcode};
use super::transport::{Alarm, Breach, Meter, StreamLink, Transport};

/// Reads that may come to nothing, being pings, before others on the same thread get their turn.
const READS_PER_POLL: usize = 16;

/// The status code of an end in good order.
const NORMAL: u16 = 1000;

/// A WebSocket whose opening handshake is done.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    /// In what is below the stream.
    meter: Meter,
    inbound: Inbound,
    /// Why nothing comes any more.
    end: Option<End>,
    /// Whether the driver has been told of that.
    told: bool,
    /// What leaves before anything else: the rest of a header, or a control frame.
    urgent: Vec<u8>,
    /// Bytes of payload that the frame which is leaving still lacks.
    ///
    /// Invariant: the driver offers the same bytes again until they are taken, so that these are always the
    /// first of what it offers.
    lacking: usize,
    /// The answer to the last ping.
    pong: Option<Vec<u8>>,
    /// Whether our Close has been said.
    closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket over a stream; the meter is in what is below it.
    pub fn new(stream: S, meter: Meter) -> Self {
        Self {
            stream,
            meter,
            inbound: Inbound::default(),
            end: None,
            told: false,
            urgent: Vec::new(),
            lacking: 0,
            pong: None,
            closed: false,
        }
    }

    /// Writes what leaves before anything else.
    fn poll_urgent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lacking == 0
            && self.urgent.is_empty()
            && let Some(payload) = self.pong.take()
        {
            self.put_control(Opcode::Pong, &payload);
        }
        while !self.urgent.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let taken = ready!(stream.poll_write(cx, &self.urgent))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.urgent.drain(..taken);
        }
        // An idle connection holds nothing.
        self.urgent = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn put_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let (header, size) = frames::header(opcode, payload.len());
        self.urgent.extend_from_slice(&header[..size]);
        self.urgent.extend_from_slice(payload);
    }

    /// Sends the answer to a ping, as far as the socket takes it. A frame that is leaving comes first, and
    /// its writer goes on with the answer.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.lacking > 0 || self.closed || (self.pong.is_none() && self.urgent.is_empty()) {
            return Ok(());
        }
        match self.poll_urgent(cx) {
            Poll::Ready(Ok(())) => match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => flushed,
                Poll::Pending => Ok(()),
            },
            Poll::Ready(failed) => failed,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_read_raw(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Nothing comes any more. The driver is told once; after that it only waits for the end of the
    /// connection below.
    fn poll_end(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.told {
            self.told = true;
            if self.closed {
                // Ours was first and this is the answer: the connection below is ours to end.
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            }
            return Poll::Ready(Ok(0));
        }
        self.poll_read_raw(cx, buffer)
    }

    /// Begins a frame of these bytes; the number of them that were taken with its header.
    fn poll_begin(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (header, size) = frames::header(Opcode::Binary, bytes.len());
        let parts = [IoSlice::new(&header[..size]), IoSlice::new(bytes)];
        let taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &parts))?;
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.urgent
            .extend_from_slice(&header[taken.min(size)..size]);
        let taken = taken.saturating_sub(size);
        self.lacking = bytes.len() - taken;
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for WebSocket<S> {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(StreamLink(alarm))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..READS_PER_POLL {
            self.answer(cx)?;
            if self.end.is_some() {
                return self.poll_end(cx, buffer);
            }
            let count = ready!(self.poll_read_raw(cx, buffer))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            let taken = self.inbound.take(&mut buffer[..count]);
            self.end = taken.end;
            if taken.ping.is_some() {
                self.pong = taken.ping;
            }
            if taken.data > 0 {
                return Poll::Ready(Ok(taken.data));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let over = self.closed || matches!(self.end, Some(End::Close(_)));
        if over && self.lacking == 0 {
            // Either the client has said that it reads no more, or we that nothing more comes.
            return Poll::Ready(Ok(bytes.len()));
        }
        loop {
            ready!(self.poll_urgent(cx))?;
            if self.lacking == 0 {
                let taken = ready!(self.poll_begin(cx, bytes))?;
                if taken > 0 {
                    return Poll::Ready(Ok(taken));
                }
                continue;
            }
            let part = &bytes[..bytes.len().min(self.lacking)];
            let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
            self.lacking -= taken;
            return Poll::Ready(Ok(taken));
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lacking == 0 {
            ready!(self.poll_urgent(cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn moved(&self) -> u64 {
        self.meter.read()
    }

    fn breach(&self) -> Option<Breach> {
        match self.end {
            Some(End::Breach(breach)) => Some(Breach {
                ending: Ending::WebSocketError,
                what: breach.what,
            }),
            _ => None,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed && self.lacking == 0 {
            let code = match self.end {
                Some(End::Breach(breach)) => breach.code,
                Some(End::Close(Some(code))) => code,
                Some(End::Close(None)) | None => NORMAL,
            };
            // Nothing may follow.
            self.pong = None;
            self.put_control(Opcode::Close, &code.to_be_bytes());
        }
        self.closed = true;
        ready!(self.poll_urgent(cx))?;
        let mut stream = Pin::new(&mut self.stream);
        ready!(stream.as_mut().poll_flush(cx))?;
        match self.end {
            // The client's Close is still to come.
            None if self.lacking == 0 => Poll::Ready(Ok(())),
            _ => stream.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
