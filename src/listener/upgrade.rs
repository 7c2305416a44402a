//! The request with which a WebSocket begins, and the answer to it (RFC 6455, section 4.2).
//!
//! | the request | the answer |
//! |---|---|
//! | is no HTTP/1.1, too long, without Host or a sound key, or goes on behind its end | 400 |
//! | is for another path | 404 |
//! | does not ask for a WebSocket, or for another version of it | 426 |
//! | comes from a page whose origin is not listed | 403 |
//! | offers no subprotocol of ours | 400 |
//! | is in order | 101, with the first subprotocol of ours that it offers |
//!
//! The origin is what keeps a page that a user happens to look at from using what only the user may reach: a
//! browser tells it and lets no page change it. Who is no browser tells none, and needs none: it could say
//! anything.

use std::fmt;
use std::io;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::{Header, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::options::WebSocketOptions;

/// Bytes of the longest request. Browsers send cookies of the same host along.
const REQUEST_MAXIMUM: usize = 16 * 1024;

/// Header fields of a request at most.
const FIELDS_MAXIMUM: usize = 100;

/// What the subprotocol is called: as it is registered, and as clients of MQTT 3.1 call it. [MQTT5-6.0.0-3]
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// The only version of WebSocket there is.
const VERSION: &str = "13";

/// What the key is put together with, so that the answer proves that it was understood.
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long a client that is refused may take to read the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Why there is no WebSocket.
#[derive(Debug)]
pub(super) enum Error {
    /// The request was refused, with this answer.
    Refused(Refusal),
    /// The connection ended, or failed, before it was over.
    Cut(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "WebSocket refused: {}", refusal.why()),
            Self::Cut(error) => write!(f, "no whole request for a WebSocket: {error}"),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooLong,
    Talkative,
    Path,
    NoWebSocket,
    Version,
    Key,
    Origin,
    Subprotocol,
}

impl Refusal {
    fn why(self) -> &'static str {
        match self {
            Self::Malformed => "malformed request",
            Self::TooLong => "request too long",
            Self::Talkative => "bytes behind the request",
            Self::Path => "another path",
            Self::NoWebSocket => "request for something else",
            Self::Version => "another version of WebSocket",
            Self::Key => "no sound Sec-WebSocket-Key",
            Self::Origin => "an origin that is not listed",
            Self::Subprotocol => "neither subprotocol mqtt nor mqttv3.1",
        }
    }

    /// What the client is told: no more than it needs.
    fn answer(self) -> String {
        let (status, fields) = match self {
            Self::Path => ("404 Not Found", ""),
            Self::Origin => ("403 Forbidden", ""),
            Self::NoWebSocket | Self::Version => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            ),
            _ => ("400 Bad Request", ""),
        };
        format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\nContent-Length: 0\r\n\r\n")
    }
}

/// Reads the request and answers it.
///
/// # Errors
///
/// See [`Error`]. A client that is refused has been told, and the end as well.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    options: &WebSocketOptions,
    stream: &mut S,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let outcome = loop {
        match judge(&bytes, options) {
            Ok(Some(answer)) => break Ok(answer),
            Ok(None) => {}
            Err(refusal) => break Err(refusal),
        }
        let room = REQUEST_MAXIMUM - bytes.len();
        let read = stream.take(room as u64).read_buf(&mut bytes).await;
        if read.map_err(Error::Cut)? == 0 {
            return Err(Error::Cut(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    match outcome {
        Ok(answer) => {
            let written = stream.write_all(answer.as_bytes()).await;
            written.map_err(Error::Cut)?;
            stream.flush().await.map_err(Error::Cut)
        }
        Err(refusal) => {
            // Whether it hears that or not, it is refused.
            let _ = tokio::time::timeout(LINGER, dismiss(refusal, stream)).await;
            Err(Error::Refused(refusal))
        }
    }
}

/// Tells a client that it is refused, and waits until it has gone: a socket that is closed with unread input
/// would destroy the answer under way.
async fn dismiss<S: AsyncRead + AsyncWrite + Unpin>(
    refusal: Refusal,
    stream: &mut S,
) -> io::Result<()> {
    stream.write_all(refusal.answer().as_bytes()).await?;
    stream.shutdown().await?;
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

/// The answer to a request, or nothing while it is not whole.
fn judge(bytes: &[u8], options: &WebSocketOptions) -> Result<Option<String>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAXIMUM];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() >= REQUEST_MAXIMUM => return Err(Refusal::TooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Malformed),
    };
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(Refusal::Malformed);
    }
    let fields = Fields(request.headers);
    fields.only("Host").ok_or(Refusal::Malformed)?;
    if request.path.map(path_of) != Some(&options.path) {
        return Err(Refusal::Path);
    }
    let is = |wanted: &'static str| move |token: &str| token.eq_ignore_ascii_case(wanted);
    if !fields.tokens("Connection").any(is("upgrade"))
        || !fields.tokens("Upgrade").any(is("websocket"))
    {
        return Err(Refusal::NoWebSocket);
    }
    if fields.only("Sec-WebSocket-Version") != Some(VERSION) {
        return Err(Refusal::Version);
    }
    let key = fields.only("Sec-WebSocket-Key").ok_or(Refusal::Key)?;
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(Refusal::Key);
    }
    if !options.origins.is_empty() && !fields.all("Origin").all(|it| options.lists(it)) {
        return Err(Refusal::Origin);
    }
    let mut offered = fields.tokens("Sec-WebSocket-Protocol");
    let chosen = offered.find(|offer| SUBPROTOCOLS.contains(offer));
    let chosen = chosen.ok_or(Refusal::Subprotocol)?;
    // A client waits for the answer: what is behind the request was meant for somebody else.
    if length < bytes.len() {
        return Err(Refusal::Talkative);
    }
    // [MQTT5-6.0.0-4] [MQTT311-6.0.0-4]
    Ok(Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n",
        proof(key)
    )))
}

/// What shows that the server has understood the key.
fn proof(key: &str) -> String {
    let both = format!("{key}{PROOF}");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, both.as_bytes()))
}

/// The path in the target of a request, without what is asked of it and without the host that a proxy may put
/// in front.
fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    path.split('?').next().unwrap_or(path)
}

impl WebSocketOptions {
    /// Whether pages of this origin may connect.
    fn lists(&self, origin: &str) -> bool {
        let mut listed = self.origins.iter();
        listed.any(|known| known.eq_ignore_ascii_case(origin))
    }
}

/// The header fields of a request.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// The values of all fields of this name; what is no text is empty, which nothing allows.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let named = self.0.iter();
        let named = named.filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| std::str::from_utf8(field.value).map_or("", str::trim))
    }

    /// The value of the only field of this name.
    fn only(&self, name: &'static str) -> Option<&'a str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// The members of a list that all fields of this name make together.
    fn tokens(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
    }
}

#[cfg(test)]
mod tests;
