//! Where the broker listens, and how patient it is with what connects.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::network::Network;
use crate::broker::Entrance;

/// All listeners and the limits they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// One entry per listener, any number of each kind.
    pub listeners: Vec<ListenerOptions>,
    /// Time from accept (TLS handshake included) to a whole CONNECT.
    pub connect_timeout: Duration,
    /// How long a pending write may make no progress before the connection ends, whatever its Keep
    /// Alive.
    pub write_timeout: Duration,
    /// How long a stopping broker waits for its connections to take their last bytes.
    pub drain_timeout: Duration,
}

/// One listener: where it is, and what lies between its sockets and MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// What it is called in the log, in metrics and in rules. Without a name, what is spoken and where,
    /// such as `tcp:127.0.0.1:1883`.
    pub name: Option<Box<str>>,
    /// Where it listens.
    pub place: Place,
    /// TLS, if it is spoken.
    pub tls: Option<TlsOptions>,
    /// WebSocket, if it is spoken: inside TLS, if that is spoken too.
    pub websocket: Option<WebSocketOptions>,
    /// Whether clients have to prove who they are; if not, all of them are nobody in particular.
    pub authentication: bool,
    /// Network Connections that there may be by it, if that is not bounded by those of all listeners only.
    pub connections_maximum: Option<usize>,
    /// What holds for its clients.
    pub entrance: Arc<Entrance>,
}

impl ListenerOptions {
    /// MQTT on plain TCP, with everything else as it is by default.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            name: None,
            place: Place::Internet(InternetOptions::new(address)),
            tls: None,
            websocket: None,
            authentication: true,
            connections_maximum: None,
            entrance: Arc::default(),
        }
    }

    /// What is spoken on it, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match (&self.place, &self.tls, &self.websocket) {
            (Place::Unix(_), ..) => "unix",
            (_, None, None) => "tcp",
            (_, Some(_), None) => "tls",
            (_, None, Some(_)) => "ws",
            (_, Some(_), Some(_)) => "wss",
        }
    }

    /// What it is called: the name that was given, or what is spoken and where.
    pub fn name(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => format!("{}:{}", self.kind(), self.place),
        }
    }

    /// Its address and port, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Internet(options) => Some(options.address),
            Place::Unix(_) => None,
        }
    }
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On an address of the internet.
    Internet(InternetOptions),
    /// In the file system.
    Unix(UnixOptions),
}

/// Where a listener is, as people read it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(options) => options.address.fmt(f),
            Self::Unix(options) => options.path.display().fmt(f),
        }
    }
}

/// A listener for TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetOptions {
    /// Address and port to bind; port 0 lets the system choose and the log tells which.
    pub address: SocketAddr,
    /// What the system is told about its sockets.
    pub tcp: TcpOptions,
    /// Who may say on whose behalf it connects, if anybody.
    pub proxy: Option<ProxyOptions>,
}

impl InternetOptions {
    /// A listener on this address, with everything else as it is by default.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tcp: TcpOptions::default(),
            proxy: None,
        }
    }
}

/// What the system is told about the sockets of a TCP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether small writes leave at once. An acknowledgement is worth it, and batches are made before
    /// the socket.
    pub nodelay: bool,
    /// How long a connection may be silent before the system asks whether its peer is there; zero never
    /// asks.
    pub keepalive: Duration,
    /// Connections that may wait to be accepted, if the system allows as many.
    pub backlog: u32,
    /// Bytes of the system's buffer for what comes; nothing leaves that to the system.
    pub receive_buffer: Option<usize>,
    /// Bytes of the system's buffer for what leaves; nothing leaves that to the system.
    pub send_buffer: Option<usize>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: Duration::ZERO,
            backlog: 4096,
            receive_buffer: None,
            send_buffer: None,
        }
    }
}

/// Who may say on whose behalf it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyOptions {
    /// The proxies that are believed. Nobody else may connect.
    pub trusted: Vec<Network>,
    /// Whether the Common Name of a certificate that the proxy has verified is the client's user.
    pub common_name: bool,
}

/// A listener in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    /// The socket's file.
    pub path: PathBuf,
    /// Who may open it, as in `chmod`.
    pub mode: u32,
}

/// What a WebSocket listener takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// The path of the resource that clients ask for.
    pub path: String,
    /// The origins from which a browser's page may connect; if there are none, any.
    pub origins: Vec<String>,
}

/// The certificate a TLS listener shows, and what it demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file: the server's certificate, then any intermediate ones.
    pub certificate: PathBuf,
    /// PEM file: the private key, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Oldest TLS version accepted.
    pub minimum_version: TlsVersion,
    /// What is spoken inside, as clients ask for it with ALPN.
    pub inside: Inside,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// MQTT from the first byte.
    Mqtt,
    /// HTTP, to be upgraded to WebSocket.
    Http,
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
