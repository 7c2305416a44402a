//! Accepts TLS on one listener, with what its files hold at the time.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::options::Field;
use super::fields;
use super::setup::Setup;

/// Accepts TLS on one listener. What it accepts with may be replaced at any time: connections that are
/// there stay as they are.
pub struct Acceptor {
    listener: Arc<str>,
    setup: ArcSwap<Setup>,
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
    pub async fn accept<S>(&self, stream: S) -> io::Result<Accepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = self.setup();
        let acceptor = TlsAcceptor::from(Arc::clone(&begun.config));
        let stream = acceptor.accept(stream).await?;
        let now = self.setup();
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let mut names = (None, None);
        if let Some(clients) = &now.clients {
            if resumed || !Arc::ptr_eq(&begun, &now) {
                let judged = clients.judge(chain, SystemTime::now());
                judged.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
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
