//! Binds listeners, accepts connections, and gives each to a driver.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::auth::Caller;
use crate::broker::{Broker, Ending, Gauge};

use super::driver::{Driver, Patience};
use super::options::{Kind, ListenerOptions, Options};
use super::tls;
use super::transport::{Metered, Stream, Tcp};

/// Connections that may wait to be accepted, if the system allows as many.
const BACKLOG: i32 = 4096;

/// How long accepting rests when the process has run out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(200);

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// What it is called in the log, in metrics and in rules.
    name: Arc<str>,
    address: SocketAddr,
    acceptor: Option<Acceptor>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// Why a listener cannot be had.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be bound.
    Bind(SocketAddr, io::Error),
    /// Its certificate cannot be used.
    Tls(SocketAddr, Box<tls::Error>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, _) => write!(f, "cannot listen on {address}"),
            Self::Tls(address, _) => write!(f, "cannot serve TLS on {address}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) => Some(error),
            Self::Tls(_, error) => Some(&**error),
        }
    }
}

/// Binds one address for any protocol. The port is free again at once after a stop.
///
/// # Errors
///
/// The address is taken, not this machine's, or not allowed.
pub fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Bound {
    /// Binds a listener. Must be called inside the runtime.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(options: &ListenerOptions) -> Result<Self, Error> {
        let address = options.address;
        let acceptor = match &options.kind {
            Kind::Tcp => None,
            Kind::Tls(options) => {
                let config =
                    tls::server_config(options).map_err(|e| Error::Tls(address, Box::new(e)))?;
                Some(Acceptor(TlsAcceptor::from(config)))
            }
        };
        let listener = bind_address(address).map_err(|error| Error::Bind(address, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::Bind(address, error))?;
        let kind = if acceptor.is_some() { "tls" } else { "tcp" };
        Ok(Self {
            listener,
            name: format!("{kind}:{address}").into(),
            address,
            acceptor,
        })
    }

    /// Where it listens: with port 0 in the options, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is spoken on it, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        if self.acceptor.is_some() {
            "tls"
        } else {
            "tcp"
        }
    }

    /// Accepts connections until told to stop. Each is treated by the options that are in force when it comes.
    pub async fn serve(
        self,
        broker: Arc<Broker>,
        options: Arc<ArcSwap<Options>>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stopped = stop;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.accepted(stream, peer, &broker, &options.load()),
                Err(error) if is_exhausted(&error) => {
                    broker.metrics().accept_failed();
                    tracing::warn!(address = %self.address, "cannot accept: {error}");
                    // The queue stays as it is; whoever closes meanwhile makes room.
                    tokio::time::sleep(BACK_OFF).await;
                }
                // The peer was gone before it was accepted.
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %self.address, "cannot accept: {error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn accepted(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        broker: &Arc<Broker>,
        options: &Options,
    ) {
        broker.metrics().opened();
        let present = broker.metrics().read(Gauge::Connections);
        if usize::try_from(present).unwrap_or(0) > options.connections_maximum {
            tracing::info!(%peer, "refused: too many connections");
            broker.metrics().closed(Ending::TooMany);
            return;
        }
        // An acknowledgement is worth sending at once; batches are made before the socket.
        let _ = stream.set_nodelay(true);
        let patience = Patience {
            connect_by: Instant::now() + options.connect_timeout,
            write: options.write_timeout,
        };
        let broker = Arc::clone(broker);
        let caller = Caller {
            listener: Arc::clone(&self.name),
            peer: Some(peer),
            ..Caller::default()
        };
        match self.acceptor.clone() {
            None => spawn(plain(stream, caller, broker, patience)),
            Some(acceptor) => spawn(secure(acceptor, stream, caller, broker, patience)),
        }
    }
}

/// Starts a connection's task. All of them start here, so that the shape of the runtime can be
/// chosen in one place.
fn spawn(connection: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(connection));
}

async fn plain(stream: TcpStream, caller: Caller, broker: Arc<Broker>, patience: Patience) {
    let mut counted = Counted::new(&broker);
    let driver = Driver::new(Tcp::new(stream), broker, caller, patience);
    counted.ending = driver.run().await;
}

async fn secure(
    acceptor: Acceptor,
    stream: TcpStream,
    caller: Caller,
    broker: Arc<Broker>,
    patience: Patience,
) {
    let peer = caller.peer.map(tracing::field::display);
    let mut counted = Counted::new(&broker);
    // Boxed: the handshake's state is large and soon gone, the connection's task is neither.
    let (stream, meter) = Metered::new(stream);
    let handshake = Box::pin(acceptor.0.accept(stream));
    broker.metrics().gauge(Gauge::Handshaking, 1);
    let shaken = tokio::time::timeout_at(patience.connect_by.into(), handshake).await;
    broker.metrics().gauge(Gauge::Handshaking, -1);
    counted.ending = match shaken {
        Ok(Ok(stream)) => {
            let transport = Stream::new(Box::new(stream), meter);
            Driver::new(transport, broker, caller, patience).run().await
        }
        Ok(Err(error)) => {
            tracing::info!(peer, "TLS handshake failed: {error}");
            Ending::TlsError
        }
        Err(_) => {
            tracing::info!(
                peer,
                reason = Ending::NoConnect.label(),
                "closed: no TLS handshake in time"
            );
            Ending::NoConnect
        }
    };
}

/// Counts a connection as closed when its task ends, however it does.
struct Counted {
    broker: Arc<Broker>,
    ending: Ending,
}

impl Counted {
    fn new(broker: &Arc<Broker>) -> Self {
        Self {
            broker: Arc::clone(broker),
            ending: Ending::TransportError,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.broker.metrics().closed(self.ending);
    }
}

/// Whether accepting failed for something that concerns only the peer.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// Whether accepting failed for want of something that others must give back first.
fn is_exhausted(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(
        error.raw_os_error(),
        Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)
    )
}
