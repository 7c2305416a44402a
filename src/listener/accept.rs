//! Binds listeners, accepts connections, and sends each on its way.
//!
//! ```text
//!   accept ──> counted ──> room for one more? ──> from a proxy that is trusted? ──> a task: `arrival`
//! ```
//!
//! Whoever is turned away here is closed without a word, and without a task.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::auth::Caller;
use crate::broker::{self, Broker, Ending, Permit};

use super::arrival::{Arrival, Counted, Door, why};
use super::driver::Patience;
use super::options::{ListenerOptions, Options, Place};
use super::tls::{self, Keeper};
use super::transport::Direct;
use super::{tcp, unix};

/// Connections that may wait to be accepted at a Unix domain socket.
const UNIX_BACKLOG: i32 = 4096;

/// How long accepting rests when the process has run out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(200);

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    sockets: Sockets,
    door: Arc<Door>,
    kind: &'static str,
    /// What it was bound with.
    options: ListenerOptions,
}

/// Where connections come from.
#[derive(Debug)]
enum Sockets {
    Internet(TcpListener, SocketAddr),
    Unix(UnixListener, unix::File),
}

/// A connection as the system gives it.
enum Accepted {
    Internet(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Sockets {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Internet(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // A socket for both families tells of IPv4 addresses in the clothes of IPv6.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok(Accepted::Internet(stream, peer))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

/// Why a listener cannot be had.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be bound.
    Bind(SocketAddr, io::Error),
    /// The file cannot be made a socket of ours.
    BindFile(PathBuf, io::Error),
    /// Its certificate cannot be used.
    Tls(String, Box<tls::Error>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, _) => write!(f, "cannot listen on {address}"),
            Self::BindFile(path, _) => write!(f, "cannot listen at {}", path.display()),
            Self::Tls(place, _) => write!(f, "cannot serve TLS on {place}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::BindFile(_, error) => Some(error),
            Self::Tls(_, error) => Some(&**error),
        }
    }
}

impl Bound {
    /// Binds a listener. Must be called inside the runtime.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(options: &ListenerOptions) -> Result<Self, Error> {
        let kind = options.kind();
        let (sockets, name, proxy) = match &options.place {
            Place::Internet(internet) => {
                let wrong = |error| Error::Bind(internet.address, error);
                let listener = tcp::bind(internet.address, &internet.tcp).map_err(wrong)?;
                let address = listener.local_addr().map_err(wrong)?;
                let name = format!("{kind}:{address}");
                let sockets = Sockets::Internet(listener, address);
                (sockets, name, internet.proxy.clone())
            }
            Place::Unix(unix) => {
                let wrong = |error| Error::BindFile(unix.path.clone(), error);
                let bound = unix::bind(&unix.path, unix.mode, UNIX_BACKLOG).map_err(wrong)?;
                let name = format!("{kind}:{}", unix.path.display());
                (Sockets::Unix(bound.0, bound.1), name, None)
            }
        };
        let name: Arc<str> = options.name.as_deref().unwrap_or(&name).into();
        let tls = match &options.tls {
            None => None,
            Some(tls) => {
                let keeper = Keeper::new(Arc::clone(&name), tls);
                let wrong = |error| Error::Tls(options.place.to_string(), Box::new(error));
                Some(Arc::new(keeper.map_err(wrong)?))
            }
        };
        Ok(Self {
            sockets,
            door: Arc::new(Door {
                name,
                proxy,
                tls,
                websocket: options.websocket.clone(),
            }),
            kind,
            options: options.clone(),
        })
    }

    /// Where it listens, if that is an address: with port 0 in the options, the port that the system chose.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.sockets {
            Sockets::Internet(_, address) => Some(*address),
            Sockets::Unix(..) => None,
        }
    }

    /// Where it listens, if that is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.sockets {
            Sockets::Internet(..) => None,
            Sockets::Unix(_, file) => Some(file.path()),
        }
    }

    /// What keeps its certificates, if it has any.
    pub fn tls(&self) -> Option<&Arc<Keeper>> {
        self.door.tls.as_ref()
    }

    /// What is spoken on it, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What it is called.
    pub fn name(&self) -> &Arc<str> {
        &self.door.name
    }

    /// Accepts connections until told to stop. Each is treated by the options that are in force when it comes;
    /// among them this listener's have that `index`, if they are there.
    pub fn serve(
        self,
        index: usize,
        broker: Arc<Broker>,
        options: Arc<ArcSwap<Options>>,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send {
        // From now on it is counted, even if nobody ever comes.
        let counters = broker.metrics().door(&self.door.name);
        self.accept(index, broker, counters, options, stop)
    }

    async fn accept(
        self,
        index: usize,
        broker: Arc<Broker>,
        counters: Arc<broker::Door>,
        options: Arc<ArcSwap<Options>>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stopped = stop;
        let listener = &*self.door.name;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = self.sockets.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    let options = options.load();
                    let own = options.listeners.get(index).unwrap_or(&self.options);
                    self.accepted(accepted, &broker, &counters, (&options, own));
                }
                Err(error) if is_exhausted(&error) => {
                    broker.metrics().accept_failed();
                    tracing::warn!(listener, "cannot accept: {error}");
                    // The queue stays as it is; whoever closes meanwhile makes room.
                    tokio::time::sleep(BACK_OFF).await;
                }
                // The peer was gone before it was accepted.
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(listener, "cannot accept: {error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Looks at a connection before anything is read from it.
    fn accepted(
        &self,
        accepted: Accepted,
        broker: &Arc<Broker>,
        counters: &Arc<broker::Door>,
        (options, own): (&Options, &ListenerOptions),
    ) {
        let now = Instant::now();
        // Refused or not, it has been here.
        let counted = Counted::new(counters);
        let peer = match &accepted {
            Accepted::Internet(_, peer) => Some(*peer),
            Accepted::Unix(_) => None,
        };
        let most = own.connections_maximum;
        let is_full = most.is_some_and(|most| counters.open() > most);
        let Some(permit) = self.admit(broker, peer, is_full, now) else {
            return;
        };
        let arrival = Arrival {
            door: Arc::clone(&self.door),
            entrance: Arc::clone(&own.entrance),
            caller: Caller {
                listener: Arc::clone(&self.door.name),
                open: !own.authentication,
                peer,
                ..Caller::default()
            },
            broker: Arc::clone(broker),
            patience: Patience {
                connect_by: now + options.connect_timeout,
                write: options.write_timeout,
            },
            permit,
            counted,
        };
        match accepted {
            Accepted::Unix(stream) => arrival.drive(Direct::new(stream)),
            Accepted::Internet(stream, _) => arrival.set_out(stream),
        }
    }

    /// A place for a connection, if it may have one and the listener is not full. Behind a proxy it is known
    /// later whom it speaks for.
    fn admit(
        &self,
        broker: &Arc<Broker>,
        peer: Option<SocketAddr>,
        is_full: bool,
        now: Instant,
    ) -> Option<Permit> {
        let proxy = self.door.proxy.as_ref();
        let address = peer.map(|it| it.ip());
        // Neither believed nor taken for a client: its header may say anything, and a client that could do
        // without one would come around whatever the proxy is there for.
        let is_stranger = proxy
            .zip(peer)
            .is_some_and(|(proxy, peer)| !proxy.trusts(peer));
        let refused = match (is_full, is_stranger) {
            (true, _) => Some(Ending::TooMany),
            (false, true) => Some(Ending::UntrustedProxy),
            (false, false) => None,
        };
        let permit = broker.admit(address.filter(|_| proxy.is_none()), now);
        let permit = permit.and_then(|permit| match refused {
            Some(ending) => Err(permit.refuse(ending)),
            None => Ok(permit),
        });
        let ending = match permit {
            Ok(permit) => return Some(permit),
            Err(ending) => ending,
        };
        if broker.defence().may_tell(address, now) {
            let peer = peer.map(tracing::field::display);
            let (listener, reason) = (&*self.door.name, ending.label());
            let why = why(ending);
            tracing::info!(peer, listener, reason, "refused: {why}");
        }
        None
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
