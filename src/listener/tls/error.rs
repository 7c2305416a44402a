//! Why a TLS listener cannot have what its files hold.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why TLS cannot be set up from the files there are. Concerns the process: found at start, by `postbud
/// check` or when files are read again, and always the administrator's to mend.
#[derive(Debug)]
pub enum Error {
    /// The file is missing or may not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than anything it could be meant as.
    TooLarge {
        /// The file.
        path: PathBuf,
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
        /// What is wrong with it, if the TLS library knows more.
        source: Option<rustls::Error>,
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
    /// A certificate for clients to be judged by cannot be the authority of any.
    Authority {
        /// The file.
        path: PathBuf,
        /// Which of the certificates in it, from 1.
        number: usize,
        /// What is wrong with it, in words.
        reason: &'static str,
    },
    /// The file has no certificate revocation list that can be used.
    Crl {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: &'static str,
    },
    /// The new certificate is not valid at this time, and the one in force is.
    NotNow {
        /// The new certificate's file.
        path: PathBuf,
    },
    /// The TLS library itself failed, for example for want of random numbers.
    Setup {
        /// What it said.
        source: rustls::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, text) = match self {
            Self::Read { path, .. } => (path, "cannot be read"),
            Self::TooLarge { path } => (path, "is too large"),
            Self::Pem { path, reason } | Self::Crl { path, reason } => (path, *reason),
            Self::NoCertificate { path } => (path, "holds no certificate; expected PEM"),
            Self::NoKey { path } => (
                path,
                "holds no private key; expected PEM of PKCS#8, PKCS#1 or SEC1",
            ),
            Self::EncryptedKey { path } => (
                path,
                "the private key is encrypted; expected one without a passphrase",
            ),
            Self::Certificate { path, .. } => (path, "not a certificate for a TLS server"),
            Self::Key { path, .. } => (path, "the private key cannot be used for TLS"),
            Self::NotNow { path } => (
                path,
                "the new certificate is not valid now, and the one in force is",
            ),
            Self::Mismatch { certificate, key } => {
                return write!(
                    f,
                    "{}: the private key does not belong to the certificate in {}",
                    key.display(),
                    certificate.display()
                );
            }
            Self::Authority {
                path,
                number,
                reason,
            } => {
                return write!(f, "{}: certificate {number} {reason}", path.display());
            }
            Self::Setup { .. } => return f.write_str("TLS cannot be set up"),
        };
        write!(f, "{}: {text}", path.display())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Certificate {
                source: Some(source),
                ..
            }
            | Self::Key { source, .. }
            | Self::Setup { source } => Some(source),
            _ => None,
        }
    }
}
