//! A connection's bytes, plain or inside TLS, blocking during the handshakes and nonblocking under load.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::{ClientConfig, ClientConnection};

use super::certificate::NAME;
use super::failure::Failure;

/// Bytes of TLS taken from the socket at once.
const RECORDS: usize = 16 * 1024;

/// A connection to a broker.
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<Tls>>,
}

struct Tls {
    connection: ClientConnection,
    /// What has been decrypted and not been read yet: from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// Whether the other side has ended the stream.
    ended: bool,
}

impl Stream {
    /// Connects, inside TLS if a configuration is given; blocking, with `patience` for each read. The
    /// TLS handshake is made with what is read and written first.
    pub fn connect(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        patience: Duration,
    ) -> io::Result<Stream> {
        let socket = TcpStream::connect_timeout(&address, patience)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        let tls = tls.map(|tls| Tls::new(Arc::clone(tls))).transpose()?;
        Ok(Stream { socket, tls })
    }

    /// Comes back when the TLS handshake is over, if there is one.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.connection.is_handshaking() && !tls.ended {
                tls.fetch(&mut self.socket)?;
            }
        }
        Ok(())
    }

    /// Makes the stream nonblocking and has its events told with `token`.
    pub fn register(&self, registry: &Registry, token: Token) -> Result<(), Failure> {
        self.socket.set_nonblocking(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, interest)?;
        Ok(())
    }

    /// Whether bytes that were written have not reached the socket.
    pub fn unwritten(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.connection.wants_write())
    }
}

impl Tls {
    fn new(configuration: Arc<ClientConfig>) -> io::Result<Box<Tls>> {
        let name = rustls::pki_types::ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(configuration, name).map_err(io::Error::other)?;
        Ok(Box::new(Tls {
            connection,
            plain: Vec::new(),
            taken: 0,
            ended: false,
        }))
    }

    /// Takes what has been decrypted.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.plain.len() - self.taken);
        out[..count].copy_from_slice(&self.plain[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        count
    }

    /// Reads the socket once and decrypts it. Returns whether there may be more in the socket.
    fn fetch(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        let mut records = [0; RECORDS];
        let count = socket.read(&mut records)?;
        self.ended |= count == 0;
        let mut rest = &records[..count];
        while !rest.is_empty() {
            self.connection.read_tls(&mut rest)?;
            let state = self.connection.process_new_packets();
            let mut plain = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
            let mut end = self.plain.len();
            self.plain.resize(end + plain, 0);
            while plain > 0 {
                let count = self.connection.reader().read(&mut self.plain[end..])?;
                (end, plain) = (end + count, plain - count);
            }
        }
        // The handshake's answers, and what was written before it was over.
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count == RECORDS),
        }
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(socket)?;
        }
        Ok(())
    }
}

impl Read for Stream {
    /// As of a socket: a read that does not fill `out` has drained it.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(out);
        };
        let mut filled = tls.take(out);
        let mut more = true;
        while filled < out.len() && !tls.ended && (more || filled == 0) {
            match tls.fetch(&mut self.socket) {
                Ok(maybe) => more = maybe,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read before is told first.
                Err(_) if filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
            filled += tls.take(&mut out[filled..]);
        }
        Ok(filled)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        // Before the handshake is over, and when the socket is full, it holds so much and no more.
        let count = tls.connection.writer().write(bytes)?;
        match tls.flush(&mut self.socket) {
            Err(error) if count == 0 || error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => Ok(()),
        }
    }
}
