//! Accepts TLS on one listener, with what its files hold at the time.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::options::Field;
use super::fields;
use super::setup::Setup;
use super::stream::TlsStream;

/// Accepts TLS on one listener. What it accepts with may be replaced at any time: connections that are
/// there stay as they are.
pub struct Acceptor {
    listener: Arc<str>,
    setup: ArcSwap<Setup>,
}

/// A client that is not let in.
pub struct Refused<S> {
    /// Why.
    pub error: io::Error,
    left: Left<S>,
}

impl<S> fmt::Debug for Refused<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.error).finish()
    }
}

/// What is left of the connection of a client that is not let in.
enum Left<S> {
    /// The handshake has failed, and TLS has said so to the client.
    Below(S),
    /// The handshake was done.
    Inside(Box<TlsStream<S>>),
}

/// A client that has come through the handshake.
pub struct Accepted<S> {
    /// The connection, inside TLS.
    pub stream: TlsStream<S>,
    /// The user that its certificate names, if such are taken from there.
    pub user: Option<Arc<str>>,
    /// The Client Identifier that its certificate names, likewise.
    pub client_id: Option<Arc<str>>,
}

/// How long a client that is refused may take to hear why.
const LINGER: Duration = Duration::from_secs(2);

impl<S: AsyncRead + AsyncWrite + Unpin> Refused<S> {
    /// Waits until the client has gone, for a while. A socket that is closed while something that the client
    /// has sent is unread, as its CONNECT may be, takes with it what it was told last.
    pub async fn farewell(self) {
        let heard = async {
            match self.left {
                Left::Below(stream) => close_and_drain(stream).await,
                Left::Inside(stream) => close_and_drain(stream).await,
            }
        };
        // Whoever has not heard it by then does not listen.
        let _ = tokio::time::timeout(LINGER, heard).await;
    }
}

async fn close_and_drain(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let closed = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
    if closed.is_err() {
        return;
    }
    let mut scratch = [0; 512];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await;
        if read.is_err() || buffer.filled().is_empty() {
            return;
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor({})", self.listener)
    }
}

impl Acceptor {
    /// An acceptor for the listener of this name.
    pub fn new(listener: Arc<str>, setup: Setup) -> Self {
        Self {
            listener,
            setup: ArcSwap::from_pointee(setup),
        }
    }

    /// The name of its listener.
    pub fn listener(&self) -> &str {
        &self.listener
    }

    /// What it accepts with at present.
    pub fn setup(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    /// Accepts with this from now on.
    pub fn replace(&self, setup: Setup) {
        self.setup.store(Arc::new(setup));
    }

    /// Does the handshake with a client, and judges its certificate.
    ///
    /// A handshake looks at certificates only when it is done in full, and with what was in force when it
    /// began. So a session that is resumed, and a handshake that took so long that something was replaced,
    /// are judged once more: nobody comes in with a certificate that is revoked by now, or has expired.
    ///
    /// # Errors
    ///
    /// The client speaks something else, went away, or is not let in.
    pub async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, Refused<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = self.setup();
        let stream = TlsStream::accept(Arc::clone(&begun.config), stream).await;
        let stream = stream.map_err(|(error, stream)| Refused {
            error,
            left: Left::Below(stream),
        })?;
        let now = self.setup();
        let connection = stream.common();
        let chain = connection.peer_certificates().unwrap_or_default();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let mut names = (None, None);
        if let Some(clients) = &now.clients {
            if (resumed || !Arc::ptr_eq(&begun, &now))
                && let Err(error) = clients.judge(chain, SystemTime::now())
            {
                return Err(Refused {
                    error: io::Error::new(io::ErrorKind::InvalidData, error),
                    left: Left::Inside(Box::new(stream)),
                });
            }
            if let Some(certificate) = chain.first() {
                let options = &clients.options;
                names = (
                    self.name("user", certificate, options.user_from),
                    self.name("Client Identifier", certificate, options.client_id_from),
                );
            }
        }
        let (user, client_id) = names;
        Ok(Accepted {
            stream,
            user,
            client_id,
        })
    }

    fn name(&self, what: &str, certificate: &[u8], field: Option<Field>) -> Option<Arc<str>> {
        let field = field?;
        let name = fields::value(certificate, field);
        if name.is_none() {
            tracing::info!(
                listener = &*self.listener,
                "no {what} for a client: its certificate has no {} that could be one",
                field.name()
            );
        }
        name
    }
}

#[cfg(test)]
mod tests;
