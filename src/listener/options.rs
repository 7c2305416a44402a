//! Where the broker listens, and how patient it is with what connects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All listeners and the limits they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// One entry per listener, any number of each kind.
    pub listeners: Vec<ListenerOptions>,
    /// Network Connections at most, over all listeners. One more is accepted and closed at once.
    pub connections_maximum: usize,
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

/// The certificates a TLS listener shows, and what it demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// What is shown, at least one: the first, unless the client asks for a name that another has.
    pub certificates: Vec<CertificateFiles>,
    /// Oldest TLS version accepted.
    pub minimum_version: TlsVersion,
    /// Whether clients are given tickets with which they may resume.
    pub tickets: bool,
    /// What is demanded of the certificates of clients; nothing if they are not asked for any.
    pub clients: Option<ClientOptions>,
    /// How often it is looked whether the files have changed; zero is never.
    pub reload_interval: Duration,
}

/// Where a certificate is, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file: the server's certificate, then any intermediate ones.
    pub certificate: PathBuf,
    /// PEM file: the private key, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Which certificates of clients are accepted, and what is taken from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// PEM file: the authorities that may have signed them.
    pub authorities: PathBuf,
    /// PEM or DER files: which of them are revoked. Without any, none is.
    pub revoked: Vec<PathBuf>,
    /// Whether a revocation list is of use beyond the time at which the next one was due.
    pub expired_lists: bool,
    /// Whether a client without a certificate is refused.
    pub required: bool,
    /// Which field is the client's user, if any.
    pub user_from: Option<Field>,
    /// Which field is its Client Identifier, if any.
    pub client_id_from: Option<Field>,
}

/// A field of a certificate that may say who its owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The Common Name of the subject.
    CommonName,
    /// The whole subject, as RFC 4514 writes it.
    Subject,
    /// The first DNS name among the alternative names.
    Dns,
    /// The first e-mail address there.
    Email,
    /// The first URI there.
    Uri,
}

impl Field {
    /// Its word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommonName => "common-name",
            Self::Subject => "subject",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Uri => "uri",
        }
    }
}

impl TlsOptions {
    /// One certificate, no demands on clients, and all else as by default.
    pub fn showing(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificates: vec![CertificateFiles { certificate, key }],
            minimum_version: TlsVersion::V1_2,
            tickets: true,
            clients: None,
            reload_interval: Duration::from_secs(5),
        }
    }
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
            connections_maximum: 100_000,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
