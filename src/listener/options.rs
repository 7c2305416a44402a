//! Where the broker listens, and how patient it is with what connects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Address and port to bind; port 0 lets the system choose and the log tells which.
    pub address: SocketAddr,
    /// What is spoken on it.
    pub kind: Kind,
}

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MQTT on plain TCP.
    Tcp,
    /// MQTT inside TLS.
    Tls(TlsOptions),
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
