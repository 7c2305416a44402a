//! Proxies in front of a listener: who is believed, and reading what they say.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::options::ProxyOptions;
use super::proxy_protocol::{self, Header, LONGEST, Malformed};

impl ProxyOptions {
    /// Whether whoever connects from this address is believed.
    pub fn trusts(&self, peer: SocketAddr) -> bool {
        let mut trusted = self.trusted.iter();
        trusted.any(|network| network.contains(peer.ip()))
    }
}

/// Why there is no header.
#[derive(Debug)]
pub enum Error {
    /// It is malformed, or something else came.
    Malformed(Malformed),
    /// The connection ended, or failed, before it was whole.
    Cut(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Cut(error) => write!(f, "no whole PROXY header: {error}"),
        }
    }
}

/// Reads the header that a connection begins with, and nothing that comes behind it.
///
/// What has come is looked at before it is taken: it is the header's up to its end, and all of it if there is
/// no end yet.
///
/// # Errors
///
/// See [`Error`].
pub async fn read(stream: &mut TcpStream) -> Result<Header, Error> {
    let mut bytes = vec![0; FIRST];
    let mut taken = 0;
    loop {
        if bytes.len() == taken {
            // `parse` refuses what is longer.
            bytes.resize(LONGEST, 0);
        }
        let come = stream.peek(&mut bytes[taken..]).await.map_err(Error::Cut)?;
        if come == 0 {
            return Err(Error::Cut(io::ErrorKind::UnexpectedEof.into()));
        }
        let seen = taken + come;
        let header = proxy_protocol::parse(&bytes[..seen]).map_err(Error::Malformed)?;
        let end = header.as_ref().map_or(seen, |(_, end)| *end);
        let rest = &mut bytes[taken..end];
        stream.read_exact(rest).await.map_err(Error::Cut)?;
        taken = end;
        if let Some((header, _)) = header {
            return Ok(header);
        }
    }
}

/// Bytes looked at first: room for what proxies usually say.
const FIRST: usize = 512;
