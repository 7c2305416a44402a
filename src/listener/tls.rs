//! Turns a certificate and a key on disk into what a TLS listener shows to its clients.
//!
//! ```text
//!   certificate.pem ──► chain ──┐
//!                               ├──► do they belong together? ──► Arc<ServerConfig>
//!   key.pem ──────────► key ────┘
//! ```
//!
//! Nothing here is kept: a listener calls [`server_config`] again to show a renewed certificate,
//! and hands the new value to the connections it accepts from then on.
//!
//! # ALPN
//!
//! The protocols in [`ALPN`] are offered. A client that names none is welcome, as most MQTT clients
//! are of that kind. A client that names only others is refused with `no_application_protocol`, as
//! RFC 7301 section 3.2 demands: it wants to speak something else, say HTTP, and an attacker must
//! not be able to lead a browser's request into a broker whose certificate covers the same host. Where
//! WebSocket is spoken inside, the protocol is HTTP.
//!
//! # Memory
//!
//! Resumption lives in tickets which the clients keep, not in the broker. The only table the broker
//! holds is for TLS 1.2 clients that know no tickets; it has [`STORED_SESSIONS`] places.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig, SupportedProtocolVersion};

use super::options::{Inside, TlsOptions, TlsVersion};

/// Names under which clients ask for MQTT: the registered one, and the one that devices made for a
/// large cloud's shared port 443 send. Both mean MQTT from the first byte.
pub const ALPN: [&[u8]; 2] = [b"mqtt", b"x-amzn-mqtt-ca"];

/// The name under which browsers ask for a WebSocket: it begins as a request of HTTP/1.1.
pub const ALPN_HTTP: [&[u8]; 1] = [b"http/1.1"];

/// Sessions kept for TLS 1.2 clients that cannot hold a ticket. About 300 bytes each.
pub const STORED_SESSIONS: usize = 256;

/// Reads the files that `options` names and builds what a TLS listener accepts connections with.
///
/// # Errors
///
/// Says which file it is about and what is wrong with it; see [`Error`].
pub fn server_config(options: &TlsOptions) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let identity = identity(options, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options.minimum_version))
        .map_err(|source| Error::Setup { source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    let protocols = match options.inside {
        Inside::Mqtt => &ALPN[..],
        Inside::Http => &ALPN_HTTP,
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.session_storage = ServerSessionMemoryCache::new(STORED_SESSIONS);
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|source| Error::Setup { source })?;
    // A ticket is used once and an MQTT client holds one connection: a second one would only cost
    // bytes and time in every handshake.
    config.send_tls13_tickets = 1;
    // Fragments as large as TLS allows; a smaller limit costs a record header and a seal per piece.
    config.max_fragment_size = None;
    Ok(Arc::new(config))
}

const TLS_1_3_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => TLS_1_3_ONLY,
    }
}

/// The certificate chain with its private key, known to belong together.
fn identity(options: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let chain = chain(&options.certificate)?;
    let key = private_key(&options.key)?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|source| Error::Key {
            path: options.key.clone(),
            source,
        })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        // Unknown: this kind of key cannot tell its public half; the first handshake will.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Error::Mismatch {
            certificate: options.certificate.clone(),
            key: options.key.clone(),
        }),
        Err(source) => Err(Error::Certificate {
            path: options.certificate.clone(),
            source,
        }),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem {
            path: path.to_owned(),
            reason: pem_reason(&source),
        })?;
    if chain.is_empty() {
        return Err(Error::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| {
        let path = path.to_owned();
        match source {
            _ if is_encrypted(&text) => Error::EncryptedKey { path },
            pem::Error::NoItemsFound => Error::NoKey { path },
            other => Error::Pem {
                path,
                reason: pem_reason(&other),
            },
        }
    })
}

/// Whether the text has the mark of a key that needs a passphrase, of PKCS#8 or of the older kinds.
fn is_encrypted(text: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    let has = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    marks.into_iter().any(has)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// The reason in words. The parser's own text would print lines of the file, which may be a key.
fn pem_reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line: is the file cut off?",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it cannot be read as PEM",
    }
}

/// Why a TLS listener cannot be built. Concerns the process: found at start, by `postbud check` or
/// at a reload, and always the administrator's to mend.
#[derive(Debug)]
pub enum Error {
    /// The file is missing or may not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged.
    Pem {
        /// The file.
        path: PathBuf,
        /// Where the damage is, in words.
        reason: &'static str,
    },
    /// The file has no CERTIFICATE section.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file has no PRIVATE KEY section of any kind.
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key needs a passphrase, which a broker that starts unattended has nobody to ask for.
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate is not one a TLS server can show.
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key is of no kind that TLS 1.2 and 1.3 can sign with.
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Both files are sound, but the key is not that of the first certificate.
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library itself failed, for example for want of random numbers.
    Setup {
        /// What it said.
        source: rustls::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "{}: cannot be read", path.display()),
            Self::Pem { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::NoCertificate { path } => {
                write!(f, "{}: holds no certificate; expected PEM", path.display())
            }
            Self::NoKey { path } => write!(
                f,
                "{}: holds no private key; expected PEM of PKCS#8, PKCS#1 or SEC1",
                path.display()
            ),
            Self::EncryptedKey { path } => write!(
                f,
                "{}: the private key is encrypted; expected one without a passphrase",
                path.display()
            ),
            Self::Certificate { path, .. } => {
                write!(f, "{}: not a certificate for a TLS server", path.display())
            }
            Self::Key { path, .. } => {
                write!(
                    f,
                    "{}: the private key cannot be used for TLS",
                    path.display()
                )
            }
            Self::Mismatch { certificate, key } => write!(
                f,
                "{}: the private key does not belong to the certificate in {}",
                key.display(),
                certificate.display()
            ),
            Self::Setup { .. } => f.write_str("TLS cannot be set up"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Certificate { source, .. }
            | Self::Key { source, .. }
            | Self::Setup { source } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
