//! TLS of one connection once its socket is somebody else's matter: records in, bytes out, and the other way.
//!
//! ```text
//!   read    socket ──> the thread's buffer: records, opened where they are ──> plain bytes ──> reader
//!                                └──> what has come of a record in part is kept
//!   write   plain bytes ──> the thread's buffer: records of 16 KiB, as many as fit ──> socket, at once
//!                                └──> what the socket does not take is kept
//! ```
//!
//! rustls is used without its buffers: those stay with a connection for ever (4 KiB for reading alone), and have
//! a socket read in pieces of that size. Here a connection holds bytes of its own only while a record has come,
//! or has left, in part.
//!
//! Invariant: `partial` begins where rustls goes on, and is shown to it in whole at every call: it may remember
//! places in there.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, ServerConfig};

/// Bytes read from a socket at once.
const READ_SIZE: usize = 64 * 1024;

/// Bytes kept of what has not come in whole: a handshake message may be that long, a record is shorter.
const PARTIAL_MAXIMUM: usize = 64 * 1024;

/// Bytes put into records at once: four of the longest.
const PIECE: usize = 4 * 16 * 1024;

/// Bytes that four records, and what TLS itself may have to say before them, are longer than what is in them.
const OVERHEAD: usize = 1024;

/// What a thread's connections share, one at a time.
struct Scratch {
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
    /// Bytes that are to go into one record and do not lie side by side.
    gathered: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; PARTIAL_MAXIMUM + READ_SIZE].into(),
        outgoing: vec![0; PIECE + OVERHEAD],
        gathered: Vec::new(),
    });
}

/// TLS of one connection, the broker's side.
pub struct Session {
    tls: UnbufferedServerConnection,
    /// What came and is not a whole record, or not a whole message of a handshake.
    partial: Vec<u8>,
    /// What came in records and has not been taken, from the second on.
    plain: (Vec<u8>, usize),
    /// Records that the socket has not taken, from the second on.
    outgoing: (Vec<u8>, usize),
    /// How many of the first bytes that were offered last are in `outgoing`. They count as taken when that has left,
    /// and until then are offered again.
    owed: usize,
    /// Bytes that the socket has taken.
    moved: u64,
    /// Whether the client has said that nothing more comes.
    heard_end: bool,
    /// Whether it is over, by a breach of the rules or by our own last word.
    over: bool,
}

impl Session {
    /// A session that has not begun.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            plain: (Vec::new(), 0),
            outgoing: (Vec::new(), 0),
            owed: 0,
            moved: 0,
            heard_end: false,
            over: false,
        })
    }

    /// What was agreed with the client.
    pub fn common(&self) -> &CommonState {
        &self.tls
    }

    /// Bytes that the socket has taken.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether everything that was put into records has left.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.0.is_empty()
    }

    /// Whether [`Self::read`] has something to say without the socket.
    pub fn is_readable(&self) -> bool {
        !self.plain.0.is_empty() || self.heard_end
    }

    /// Reads with `from` once, for the handshake.
    ///
    /// # Errors
    ///
    /// Those of `from`, which may be `WouldBlock`; the client has gone, or broken the rules. It is told that if
    /// [`Self::flush`] is called.
    pub fn shake_hands(
        &mut self,
        mut from: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.receive(&mut [], &mut from)?;
        match self.heard_end && !self.is_ready() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }

    /// Whether there is no need of [`Self::shake_hands`] any more.
    pub fn is_ready(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Fills `out` with what comes; 0 is the end. Reads with `from`, once if that brings whole records.
    ///
    /// # Errors
    ///
    /// Those of `from`, which may be `WouldBlock`; the client has gone without a word, or broken the rules.
    pub fn read(
        &mut self,
        out: &mut [u8],
        mut from: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let (bytes, start) = &mut self.plain;
            if !bytes.is_empty() {
                let count = out.len().min(bytes.len() - *start);
                out[..count].copy_from_slice(&bytes[*start..*start + count]);
                *start += count;
                if *start == bytes.len() {
                    self.plain = (Vec::new(), 0);
                }
                return Ok(count);
            }
            if self.heard_end {
                return Ok(0);
            }
            let count = self.receive(out, &mut from)?;
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Reads once, and opens what has come in whole. What does not fit into `out` waits in `plain`.
    fn receive(
        &mut self,
        out: &mut [u8],
        from: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.partial.len();
            // No more than fits into `out`, unless that is next to nothing.
            let room = out.len().clamp(16 * 1024, READ_SIZE);
            let incoming = &mut scratch.incoming[..kept + room];
            let count = from(&mut incoming[kept..])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            incoming[..kept].copy_from_slice(&self.partial);
            let incoming = &mut incoming[..kept + count];
            let (used, taken) = self.open(incoming, out)?;
            self.keep(&incoming[used..])?;
            Ok(taken)
        })
    }

    fn keep(&mut self, rest: &[u8]) -> io::Result<()> {
        match rest.len() {
            0 => self.partial = Vec::new(),
            1..PARTIAL_MAXIMUM => {
                self.partial.clear();
                self.partial.extend_from_slice(rest);
            }
            _ => return Err(invalid("a handshake message is too long")),
        }
        Ok(())
    }

    /// Opens whole records at the front of `input`; returns how many bytes of it are done with, and how many were
    /// put into `out`.
    fn open(&mut self, input: &mut [u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut used, mut taken) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut input[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        let fits = record.payload.len().min(out.len() - taken);
                        let (front, rest) = record.payload.split_at(fits);
                        out[taken..taken + fits].copy_from_slice(front);
                        taken += fits;
                        self.plain.0.extend_from_slice(rest);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing.0, |free| data.encode(free))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    // What comes behind that is nothing to anybody.
                    self.heard_end = true;
                    return Ok((input.len(), taken));
                }
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                    return Ok((used + discard, taken));
                }
                Ok(_) => return Err(invalid("bytes before the end of the handshake")),
                Err(error) => {
                    self.over = true;
                    self.collect_alerts(&mut input[used + discard..]);
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// Takes what is to be said about a breach of the rules. rustls must not look at more input: it would find
    /// the same breach again.
    fn collect_alerts(&mut self, input: &mut [u8]) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(input).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if append(&mut self.outgoing.0, |free| data.encode(free)).is_err() {
                        return;
                    }
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while traffic.next_record().is_some() {}
                }
                _ => return,
            }
        }
    }

    /// Puts bytes into records and those onto the socket; returns how many were taken, which are those of records
    /// that have left in whole. The others are offered again, in front of what comes behind them.
    ///
    /// # Errors
    ///
    /// Those of `to`; `WouldBlock` if nothing is taken.
    pub fn write(
        &mut self,
        parts: &[&[u8]],
        mut to: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.flush(&mut to)?;
        let total = parts.iter().map(|part| part.len()).sum();
        let mut taken = self.take_owed();
        SCRATCH.with_borrow_mut(|scratch| {
            while taken < total {
                let piece = match parts {
                    [whole] => &whole[taken..total.min(taken + PIECE)],
                    _ => gather(parts, taken, &mut scratch.gathered),
                };
                let size = self.seal(piece, &mut scratch.outgoing)?;
                let records = &scratch.outgoing[..size];
                let left = match to(records) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(left) => left,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                self.moved += left as u64;
                if left < size {
                    self.outgoing.0.extend_from_slice(&records[left..]);
                    self.owed = piece.len();
                    break;
                }
                taken += piece.len();
            }
            match taken {
                0 if total > 0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(taken),
            }
        })
    }

    /// How many of the first bytes that were offered last need not be offered again, if the caller sees to
    /// [`Self::flush`].
    pub fn take_owed(&mut self) -> usize {
        std::mem::take(&mut self.owed)
    }

    /// Writes what was put into records and has not left.
    ///
    /// # Errors
    ///
    /// Those of `to`, which may be `WouldBlock`.
    pub fn flush(&mut self, mut to: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.outgoing.0.is_empty() {
            let (records, start) = &mut self.outgoing;
            match to(&records[*start..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                left => {
                    self.moved += left as u64;
                    *start += left;
                    if *start == records.len() {
                        self.outgoing = (Vec::new(), 0);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that nothing more comes, once; [`Self::flush`] sends it.
    ///
    /// # Errors
    ///
    /// It cannot be said any more.
    pub fn close(&mut self) -> io::Result<()> {
        if self.over {
            return Ok(());
        }
        let mut last = Vec::new();
        let size = self.speak(&mut last, |traffic, free| traffic.queue_close_notify(free))?;
        self.outgoing.0.extend_from_slice(&last[..size]);
        self.over = true;
        Ok(())
    }

    /// Puts bytes into records, at the front of `out`; how long these are.
    fn seal(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        self.speak(out, |traffic, free| traffic.encrypt(piece, free))
    }

    /// Has rustls put something into `out`, behind what it has to say itself; how long both are.
    fn speak(
        &mut self,
        out: &mut Vec<u8>,
        mut say: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        if self.over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let (mut used, mut size) = (0, 0);
        let said = loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.partial[used..]);
            let put = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    break fill(out, &mut size, |free| say(&mut traffic, free));
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    fill(out, &mut size, |free| data.encode(free))
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(())
                }
                // Nothing whole is in `partial`.
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            };
            if put.is_err() {
                break put;
            }
            used += discard;
        };
        self.partial.drain(..used);
        said.map(|()| size)
    }
}

type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

/// Up to [`PIECE`] bytes of what is in all parts together, from this one on.
fn gather<'a>(parts: &[&[u8]], mut from: usize, into: &'a mut Vec<u8>) -> &'a [u8] {
    into.clear();
    for part in parts {
        let start = from.min(part.len());
        from -= start;
        let end = part.len().min(start + PIECE - into.len());
        into.extend_from_slice(&part[start..end]);
    }
    into
}

/// Has something encoded behind the first `size` bytes of `out`, which grows if it must.
fn fill<E: Into<Lack>>(
    out: &mut Vec<u8>,
    size: &mut usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    loop {
        match encode(&mut out[*size..]).map_err(Into::into) {
            Ok(more) => {
                *size += more;
                return Ok(());
            }
            Err(Lack::Room(needed)) => out.resize(*size + needed, 0),
            Err(Lack::Other(why)) => return Err(invalid(why)),
        }
    }
}

/// Has something encoded at the end of `to`.
fn append<E: Into<Lack>>(
    to: &mut Vec<u8>,
    encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let mut size = to.len();
    let filled = fill(to, &mut size, encode);
    to.truncate(size);
    filled
}

/// Why something was not encoded.
enum Lack {
    /// It takes so many bytes.
    Room(usize),
    Other(&'static str),
}

impl From<EncodeError> for Lack {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(error) => Self::Room(error.required_size),
            EncodeError::AlreadyEncoded => Self::Other("a record was encoded twice"),
        }
    }
}

impl From<EncryptError> for Lack {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(error) => Self::Room(error.required_size),
            EncryptError::EncryptExhausted => Self::Other("the keys are used up"),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
